// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
)

func holdCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hold",
		Short: "Create and release legal holds",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(holdCreateCommand(), releaseCommand())
	return cmd
}

func releaseCommand() *cobra.Command {
	t := &target{}
	var reason string
	cmd := &cobra.Command{
		Use:   "release LEGALHOLD --reason …",
		Short: "Release a LegalHold: what it kept is deleted when its time has come",
		Long: "Release a LegalHold. What it kept is deleted when its time has come, and runs and requests that it blocked go on by " +
			"themselves. A release cannot be taken back.",
		Example:           "  kubectl retention hold release case-3-o-17-26 --reason 'The case has ended'",
		Args:              arguments(1, 1),
		ValidArgsFunction: completeNames(legalHolds),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return errors.New("--reason is missing: why the data need not be kept any longer")
			}
			c, err := t.connect()
			if err != nil {
				return err
			}
			hold := &v1alpha1.LegalHold{}
			if err := c.get(cmd.Context(), args[0], hold); err != nil {
				return err
			}
			if hold.IsReleased() {
				return fmt.Errorf("hold %s/%s was released before: %s", hold.Namespace, hold.Name, hold.Spec.Release.Reason)
			}
			was := hold.DeepCopy()
			hold.Spec.Release = &v1alpha1.HoldRelease{Reason: v1alpha1.CaseText(reason)}
			// The version read: a release cannot be taken back, so it must not meet another hold of that name.
			patch := client.MergeFromWithOptions(was, client.MergeFromWithOptimisticLock{})
			if err := c.Patch(cmd.Context(), hold, patch); err != nil {
				return c.explained(err, "releasing %s/%s", hold.Namespace, hold.Name)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Hold %s/%s is released.\n", hold.Namespace, hold.Name)
			return nil
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why the data need not be kept any longer")
	return cmd
}
