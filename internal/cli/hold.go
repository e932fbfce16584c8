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
		Short: "Work with LegalHolds",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(releaseCommand())
	return cmd
}

func releaseCommand() *cobra.Command {
	var namespace, reason string
	cmd := &cobra.Command{
		Use:   "release LEGALHOLD --reason …",
		Short: "Release a LegalHold: what it kept is deleted when its time has come",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(reason) == "" {
				return errors.New("--reason is missing: why the data need not be kept any longer")
			}
			c, err := connect(namespace)
			if err != nil {
				return err
			}
			hold := &v1alpha1.LegalHold{}
			if err := c.get(cmd, args[0], hold); err != nil {
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
				return fmt.Errorf("releasing %s/%s: %w", hold.Namespace, hold.Name, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Hold %s/%s is released.\n", hold.Namespace, hold.Name)
			return nil
		},
	}
	namespaceFlag(cmd, &namespace)
	cmd.Flags().StringVar(&reason, "reason", "", "why the data need not be kept any longer")
	return cmd
}
