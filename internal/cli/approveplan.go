// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
)

func approvePlanCommand() *cobra.Command {
	t := &target{}
	var yes, wait, utc bool
	var store, digest string
	cmd := &cobra.Command{
		Use:   "approve-plan POLICY",
		Short: "Approve a plan that a guardrail stopped, after showing what is due",
		Long: "Show what is due beyond the guardrails of a policy, and approve exactly that plan: same run, same cutoffs, and no more records than " +
			"were counted. You are asked before, or give --yes; with --digest only the plan that you have seen is approved.",
		Example: "  kubectl retention approve-plan telemetry\n" +
			"  kubectl retention approve-plan telemetry --digest sha256:9f86… --yes --wait",
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
			parts, err := chosen(policy, store, digest)
			if err != nil {
				return err
			}
			term := terminalOf(cmd, utc)
			term.parts(policy.Status.LastRun, parts)
			if !yes {
				if err := ask(cmd, "Approve it?"); err != nil {
					return err
				}
			}
			if err := c.approvePlans(cmd, policy, parts); err != nil {
				return err
			}
			fmt.Fprintf(term.out, "Approved. Run %s goes on.\n", policy.Status.LastRun.Name)
			if !wait {
				return nil
			}
			return c.followed(cmd, term, 0, c.approvedRun(policy))
		},
	}
	t.flags(cmd)
	zoneFlag(cmd, &utc)
	f := cmd.Flags()
	f.BoolVarP(&yes, "yes", "y", false, "do not ask")
	f.BoolVar(&wait, "wait", false, "wait for the run to end, and show how far it is")
	f.StringVar(&store, "datastore", "", "approve the plan for this datastore only")
	f.StringVar(&digest, "digest", "", "approve the plan with this digest only")
	complete(cmd, "datastore", completeNames(datastores))
	complete(cmd, "digest", completeValues())
	return cmd
}

// chosen are the parts of the last run to approve.
func chosen(p *v1alpha1.RetentionPolicy, store, digest string) ([]*v1alpha1.RunDatastore, error) {
	all := approvable(p)
	if len(all) == 0 {
		switch run := p.Status.LastRun; {
		case p.Status.ActiveRun != nil:
			return nil, fmt.Errorf("run %s of policy %s is under way; there is nothing to approve before it has ended", p.Status.ActiveRun.Name, p.Name)
		case run != nil && run.Outcome == v1alpha1.OutcomeAwaitingApproval:
			return nil, fmt.Errorf("the plan that was stopped cannot be approved any more; ask for a new run: kubectl retention run %s", p.Name)
		}
		return nil, fmt.Errorf("no plan of policy %s/%s waits for approval", p.Namespace, p.Name)
	}
	parts := slices.DeleteFunc(slices.Clone(all), func(d *v1alpha1.RunDatastore) bool {
		return store != "" && d.Name != store || digest != "" && d.PlanDigest != digest
	})
	if len(parts) == 0 {
		var waiting []string
		for _, d := range all {
			waiting = append(waiting, fmt.Sprintf("%s (datastore %s)", d.PlanDigest, d.Name))
		}
		return nil, fmt.Errorf("no such plan waits for approval; these do: %s", list(waiting))
	}
	return parts, nil
}

// parts prints what is due.
func (t *terminal) parts(run *v1alpha1.Run, parts []*v1alpha1.RunDatastore) {
	fmt.Fprintf(t.out, "Run %s was stopped by a guardrail before its first change.\n", run.Name)
	for _, d := range parts {
		root := &node{text: []cell{{"Datastore " + d.Name, bold}, {d.PlanDigest, dim}}}
		if d.Message != "" {
			root.detail(yellow, "%s", d.Message)
		}
		for i := range d.Datasets {
			ds := &d.Datasets[i]
			what := fmt.Sprintf("%s due", records(value(ds.Matched)))
			if ds.Records != nil {
				what += fmt.Sprintf(" of %s", count(*ds.Records))
			}
			root.add(&node{text: []cell{{string(ds.Name), bold}, {fmt.Sprintf("%s by rule %s", ds.Action, ds.Rule), plain}, {what, red},
				{"records up to " + t.time(ds.Cutoff.Time), plain}}})
		}
		root.align()
		if len(d.Holds) > 0 {
			root.detail(plain, "respects the holds %s", list(d.Holds))
		}
		fmt.Fprintln(t.out)
		t.tree(root)
	}
	fmt.Fprintln(t.out)
}

// approvePlans adds the digests to the annotation. Those of plans that wait no more are dropped.
func (c *cluster) approvePlans(cmd *cobra.Command, policy *v1alpha1.RetentionPolicy, parts []*v1alpha1.RunDatastore) error {
	waiting := map[string]bool{}
	for _, d := range approvable(policy) {
		waiting[d.PlanDigest] = true
	}
	var digests []string
	for _, digest := range strings.FieldsFunc(policy.Annotations[v1alpha1.AnnotationApprovedPlan], func(r rune) bool { return r == ',' || r == ' ' }) {
		if waiting[digest] {
			digests = append(digests, digest)
		}
	}
	for _, d := range parts {
		if !slices.Contains(digests, d.PlanDigest) {
			digests = append(digests, d.PlanDigest)
		}
	}
	approved := policy.DeepCopy()
	metav1.SetMetaDataAnnotation(&approved.ObjectMeta, v1alpha1.AnnotationApprovedPlan, strings.Join(digests, ","))
	// The version read: what was shown is what is approved.
	patch := client.MergeFromWithOptions(policy, client.MergeFromWithOptimisticLock{})
	if err := c.Patch(cmd.Context(), approved, patch); err != nil {
		return c.explained(err, "approving plans of %s/%s", policy.Namespace, policy.Name)
	}
	return nil
}

// ask asks a person. Without one it is an error.
func ask(cmd *cobra.Command, question string) error {
	if file, ok := cmd.InOrStdin().(*os.File); ok && !term.IsTerminal(int(file.Fd())) {
		return errors.New("nobody can be asked: give --yes if that is what you want")
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s [y/N] ", question)
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("reading the answer: %w", err)
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		return errors.New("nothing was approved")
	}
	return nil
}
