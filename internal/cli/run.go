// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
)

func runCommand() *cobra.Command {
	t := &target{}
	var wait, utc bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "run POLICY",
		Short: "Ask for a run of a policy now",
		Long: "Ask for a run of a RetentionPolicy now, also while it is suspended. A policy with mode: Enforce deletes what is due; its " +
			"guardrails hold as for any run. With --wait the command shows how far the run is, and says how it ended by its exit code: " +
			"0 succeeded or simulated, 3 waits for approval, 4 did not do all it should, 5 still under way.",
		Example:           "  kubectl retention run telemetry --wait",
		Args:              arguments(1, 1),
		ValidArgsFunction: completeNames(policies),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.connect()
			if err != nil {
				return err
			}
			policy := &v1alpha1.RetentionPolicy{}
			if err := c.get(cmd.Context(), args[0], policy); err != nil {
				return err
			}
			return c.runNow(cmd, terminalOf(cmd, utc), policy, wait, timeout)
		},
	}
	t.flags(cmd)
	zoneFlag(cmd, &utc)
	timeoutFlag(cmd, &timeout)
	cmd.Flags().BoolVar(&wait, "wait", false, "wait for the run to end, and show how far it is")
	return cmd
}

// runNow asks for a run, and follows it if asked to.
func (c *cluster) runNow(cmd *cobra.Command, t *terminal, policy *v1alpha1.RetentionPolicy, wait bool, timeout time.Duration) error {
	if !policy.DeletionTimestamp.IsZero() {
		return fmt.Errorf("policy %s/%s is being deleted, and starts no run", policy.Namespace, policy.Name)
	}
	request := time.Now().UTC().Format(time.RFC3339Nano)
	asked := policy.DeepCopy()
	metav1.SetMetaDataAnnotation(&asked.ObjectMeta, v1alpha1.AnnotationRequestedAt, request)
	if err := c.Patch(cmd.Context(), asked, client.MergeFrom(policy)); err != nil {
		return c.explained(err, "asking for a run of %s/%s", policy.Namespace, policy.Name)
	}
	fmt.Fprintf(t.out, "Asked for a run of policy %s/%s (%s).\n", policy.Namespace, policy.Name, policy.Spec.GetMode())
	if !wait {
		fmt.Fprintf(t.out, "See how far it is: kubectl retention watch policy/%s -n %s\n", policy.Name, policy.Namespace)
		return nil
	}
	return c.followed(cmd, t, timeout, c.requestedRun(policy.Name, string(policy.UID), request))
}

// requestedRun follows the run that a request starts. A run that is under way goes first.
func (c *cluster) requestedRun(name, uid, request string) followed {
	var run followed
	return func(ctx context.Context) (*situation, error) {
		if run != nil {
			return run(ctx)
		}
		p := &v1alpha1.RetentionPolicy{}
		if err := c.get(ctx, name, p); err != nil {
			return nil, err
		}
		if string(p.UID) != uid {
			return nil, fmt.Errorf("policy %s/%s was deleted, and another made", p.Namespace, name)
		}
		if p.Status.LastHandledRequest != request {
			return waitForStart(p)
		}
		started := p.Status.ActiveRun
		if started == nil || started.Trigger != v1alpha1.TriggerRequest {
			started = p.Status.LastRun
		}
		if started == nil {
			return nil, errors.New("the operator has handled the request, and no run is in the status")
		}
		run = c.policyRun(name, started.Name)
		return run(ctx)
	}
}

// waitForStart says why the run has not begun, or that it never will.
func waitForStart(p *v1alpha1.RetentionPolicy) (*situation, error) {
	if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionStalled); c != nil && c.Status == metav1.ConditionTrue &&
		p.Status.ObservedGeneration == p.Generation {
		return nil, fmt.Errorf("policy %s starts no run before its spec is changed: %s", p.Name, c.Message)
	}
	if n := p.Status.SelectedDatastores; n != nil && *n == 0 {
		return nil, fmt.Errorf("policy %s selects no Datastore, so that there is nothing to run on: look at spec.datastoreSelector and the Datastores' labels", p.Name)
	}
	if active := p.Status.ActiveRun; active != nil {
		return &situation{lines: []string{fmt.Sprintf("Run %s is under way, and goes first.", active.Name)}, pods: podsOf(active.Name)}, nil
	}
	return &situation{lines: []string{"Waiting for the operator to start the run."}}, nil
}

// approvedRun follows the last run, which an approval carries on under the same name.
func (c *cluster) approvedRun(before *v1alpha1.RetentionPolicy) followed {
	run := before.Status.LastRun
	started := false
	goOn := c.policyRun(before.Name, run.Name)
	return func(ctx context.Context) (*situation, error) {
		if started {
			return goOn(ctx)
		}
		p := &v1alpha1.RetentionPolicy{}
		if err := c.get(ctx, before.Name, p); err != nil {
			return nil, err
		}
		last := p.Status.LastRun
		if p.Status.ActiveRun == nil && last != nil && last.Name == run.Name && last.StartTime.Equal(&run.StartTime) {
			return &situation{lines: []string{"Waiting for the operator to carry the run on."}}, nil
		}
		started = true
		return goOn(ctx)
	}
}
