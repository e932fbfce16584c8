// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
)

func approveCommand() *cobra.Command {
	t := &target{}
	condition := metav1.Condition{Type: v1alpha1.ConditionApproved, Reason: v1alpha1.ConditionApproved}
	cmd := &cobra.Command{
		Use:   "approve ERASUREREQUEST",
		Short: "Approve an ErasureRequest",
		Long: "Approve an ErasureRequest that waits for it. You need the verb approve on erasurerequests, and it must not be you who " +
			"filed it.",
		Example:           "  kubectl retention approve case-2026-117 -n shop",
		Args:              arguments(1, 1),
		ValidArgsFunction: completeNames(requests),
		RunE: func(cmd *cobra.Command, args []string) error {
			return decide(cmd, t, args[0], condition)
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&condition.Message, "message", "A person has approved the request", "what to note with it; it must not name the person")
	return cmd
}

func denyCommand() *cobra.Command {
	t := &target{}
	condition := metav1.Condition{Type: v1alpha1.ConditionDenied}
	cmd := &cobra.Command{
		Use:   "deny ERASUREREQUEST --message …",
		Short: "Deny an ErasureRequest, with the answer to the person",
		Long: "Deny an ErasureRequest that has not been answered, with the answer to the person, which goes into the signed evidence. You need the " +
			"verb approve on erasurerequests. A denial cannot be taken back.",
		Example:           "  kubectl retention deny case-2026-117 --reason LegalClaims --message 'The data is needed in a pending lawsuit'",
		Args:              arguments(1, 1),
		ValidArgsFunction: completeNames(requests),
		RunE: func(cmd *cobra.Command, args []string) error {
			if strings.TrimSpace(condition.Message) == "" {
				return errors.New("--message is missing: it is the answer to the person")
			}
			return decide(cmd, t, args[0], condition)
		},
	}
	t.flags(cmd)
	cmd.Flags().StringVar(&condition.Reason, "reason", v1alpha1.ReasonDenied, "why, in one word, such as LegalClaims")
	cmd.Flags().StringVar(&condition.Message, "message", "", "why, in a sentence; it must not name the person")
	return cmd
}

// decide sets the condition of a request. A request that was approved can still be denied; the operator says what came of it.
func decide(cmd *cobra.Command, t *target, name string, condition metav1.Condition) error {
	c, err := t.connect()
	if err != nil {
		return err
	}
	request := &v1alpha1.ErasureRequest{}
	if err := c.get(cmd.Context(), name, request); err != nil {
		return err
	}
	if meta.IsStatusConditionTrue(request.Status.Conditions, v1alpha1.ConditionDenied) {
		return fmt.Errorf("request %s/%s was denied: file another", request.Namespace, name)
	}
	if meta.IsStatusConditionTrue(request.Status.Conditions, condition.Type) {
		return fmt.Errorf("request %s/%s was approved before", request.Namespace, name)
	}
	condition.Status, condition.ObservedGeneration = metav1.ConditionTrue, request.Generation
	condition.LastTransitionTime = metav1.NewTime(time.Now())
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&condition)
	if err != nil {
		return err
	}
	decision := &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"conditions": []any{content}}}}
	decision.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("ErasureRequest"))
	decision.SetNamespace(request.Namespace)
	decision.SetName(name)
	decision.SetUID(request.UID) // this request, and none that was filed under its name since
	// What a manager applied before and does not apply now is removed, so each condition has a manager of its own.
	owner := client.FieldOwner(fieldManager + "-" + strings.ToLower(condition.Type))
	if err := c.Status().Apply(cmd.Context(), client.ApplyConfigurationFromUnstructured(decision), client.ForceOwnership, owner); err != nil {
		return c.explained(err, "setting condition %s of %s/%s", condition.Type, request.Namespace, name)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "Request %s/%s: condition %s is True.\n", request.Namespace, name, condition.Type)
	return nil
}
