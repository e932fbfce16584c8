// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/planinput"
)

func simulateCommand() *cobra.Command {
	t := &target{}
	var utc bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "simulate POLICY",
		Short: "Show what a run of a policy would delete, and change nothing",
		Long: "Show what a run of a policy would delete now. A policy with mode: Simulate is run, and its run counts what is due and changes " +
			"nothing. For a policy with mode: Enforce the plan is shown that a run would carry out now, without counts: the mode belongs to " +
			"the policy, no run of an enforcing one is a simulation, and this command does not make another policy, since that would " +
			"have a say in what the others may delete.",
		Example:           "  kubectl retention simulate telemetry",
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
			term := terminalOf(cmd, utc)
			if policy.Spec.GetMode() == v1alpha1.ModeSimulate {
				return c.runNow(cmd, term, policy, true, timeout)
			}
			return c.plans(cmd.Context(), term, policy)
		},
	}
	t.flags(cmd)
	zoneFlag(cmd, &utc)
	timeoutFlag(cmd, &timeout)
	return cmd
}

// plans prints what a run would do now in each Datastore of a policy, without counts.
func (c *cluster) plans(ctx context.Context, t *terminal, policy *v1alpha1.RetentionPolicy) error {
	policies, stores, holds := &v1alpha1.RetentionPolicyList{}, &v1alpha1.DatastoreList{}, &v1alpha1.LegalHoldList{}
	for _, list := range []client.ObjectList{policies, stores, holds} {
		if err := c.List(ctx, list, client.InNamespace(c.namespace)); err != nil {
			return c.explained(err, "reading what a plan depends on")
		}
	}
	slot := t.now.Truncate(time.Second)
	fmt.Fprintf(t.out, "What a run of policy %s/%s would do at %s. Nothing was counted or changed.\n", policy.Namespace, policy.Name, t.time(slot))
	selected := 0
	for i := range stores.Items {
		store := &stores.Items[i]
		if !planinput.Selects(policy, store.Labels) {
			continue
		}
		selected++
		var inputs []plan.HoldInput
		for _, h := range holdsInForce(holds.Items, store) {
			inputs = append(inputs, planinput.Hold(&h))
		}
		compiled := plan.Compile(planinput.Retention("simulate", policy, policy.Spec.GetMode(), store, policies.Items, inputs, slot))
		fmt.Fprintln(t.out)
		t.tree(t.planNode(&compiled))
	}
	if selected == 0 {
		fmt.Fprintln(t.out, "\nIt selects no Datastore.")
	}
	fmt.Fprintf(t.out, "\nThe policy enforces. For counts without a deletion, set mode: Simulate, and run this again; or make the policy with mode: Simulate first.\n"+
		"For one record: kubectl retention explain DATASTORE DATASET --age PERIOD\n")
	return nil
}

// planNode is a plan as a tree.
func (t *terminal) planNode(p *plan.Plan) *node {
	root := &node{text: []cell{{"Datastore " + p.Datastore.Name, bold}}}
	for i := range p.Steps {
		s := &p.Steps[i]
		n := root.add(&node{mark: healthBusy, text: []cell{{s.Dataset, bold}, {fmt.Sprintf("%s after %s", s.Action, s.Period), plain}}})
		n.detail(plain, "records whose %s is up to %s", fieldOf(s.Start), t.time(s.Cutoff))
		for _, o := range s.Obligations {
			n.detail(plain, "of those, only records whose %s is up to %s: kept for %s by rule %s of policy %s", fieldOf(o.Start), t.time(o.Cutoff), o.Period, o.Rule, o.Policy)
		}
		n.detail(dim, "%s", s.Reason)
	}
	for _, x := range p.Excluded {
		mark := healthOver
		if x.Problem() {
			mark = healthBad
		}
		n := root.add(&node{mark: mark, text: []cell{{x.Dataset, bold}, {"not touched by " + ruleOr(x.Rule) + ": " + string(x.Reason), plain}}})
		n.detail(dim, "%s", x.Message)
	}
	for _, h := range p.Holds {
		root.add(&node{mark: healthWarn, text: []cell{{"hold " + h.Name, bold}, {"keeps single records of " + list(h.Datasets) + ", and what refers to them", plain}}})
	}
	return root
}

func ruleOr(rule string) string {
	if rule == "" {
		return "this policy"
	}
	return "rule " + rule
}
