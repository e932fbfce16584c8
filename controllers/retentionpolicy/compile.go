// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/controllers/internal/status"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/planinput"
	"dataretention.dev/retention-operator/internal/purgejob"
)

// compiled is a plan and what the status says of it.
type compiled struct {
	plan     plan.Plan
	encoded  []byte
	digest   string
	jobName  string
	datasets []retentionv1.RunDataset
	excluded []retentionv1.RunExclusion
	// holds are those that the plan respects.
	holds holds.Set
}

// compile makes the plan of the active run for one datastore from the live state of every policy and every hold that has a
// say in it.
func (r *Reconciler) compile(ctx context.Context, s *scope, ds *retentionv1.Datastore) (*compiled, error) {
	list := &retentionv1.RetentionPolicyList{}
	if err := r.Live.List(ctx, list, client.InNamespace(ds.Namespace)); err != nil {
		return nil, fmt.Errorf("listing policies: %w", err)
	}
	inForce, err := holds.InForce(ctx, r.Live, ds)
	if err != nil {
		return nil, err
	}
	p := plan.Compile(planinput.Retention(s.run().Name, s.policy, s.run().Mode, ds, list.Items, inForce.Inputs(), s.run().Slot.Time))
	encoded, err := p.Encode()
	if err != nil {
		return nil, err
	}
	c := &compiled{plan: p, encoded: encoded, digest: plan.DigestOf(encoded), holds: inForce}
	c.jobName = purgejob.JobName(s.policy.Name, ds.Name, s.run().Slot.Time, c.digest+"/"+string(s.run().Trigger))
	for _, step := range p.Steps {
		c.datasets = append(c.datasets, skeleton(step))
	}
	c.excluded = exclusions(&p)
	c.excluded = c.excluded[:min(len(c.excluded), maxEntries)] // the status has room for so many
	return c, nil
}

// exclusions are the rules and datasets that have no part in a plan. What a person has to change comes first.
func exclusions(p *plan.Plan) []retentionv1.RunExclusion {
	var out []retentionv1.RunExclusion
	for _, x := range p.Excluded {
		out = append(out, retentionv1.RunExclusion{
			Name: retentionv1.DatasetName(x.Dataset), Rule: x.Rule, Reason: string(x.Reason), Message: status.Truncate(x.Message, 512),
		})
	}
	for _, n := range p.Notes {
		if n.Problem() || n.Code == plan.RuleMatchesNothing || n.Code == plan.NameMatchesNothing {
			out = append(out, retentionv1.RunExclusion{
				Name: retentionv1.DatasetName(n.Dataset), Rule: n.Rule, Reason: string(n.Code), Message: status.Truncate(n.Message, 512),
			})
		}
	}
	slices.SortStableFunc(out, func(a, b retentionv1.RunExclusion) int { return rank(a) - rank(b) })
	return out
}

// maxEntries is how many datasets and exclusions a status lists for one datastore.
const maxEntries = 128

func rank(x retentionv1.RunExclusion) int {
	if isProblem(x) {
		return 0
	}
	return 1
}

// skeleton is a step's entry in the status before anything is done. NotStarted is there, and zero, where an empty
// starting point means that the event has not happened; the receipt's number goes there then.
func skeleton(step plan.Step) retentionv1.RunDataset {
	ds := retentionv1.RunDataset{
		Name: retentionv1.DatasetName(step.Dataset), Rule: step.Rule,
		Action: retentionv1.Action(step.Action), Cutoff: metav1.NewMicroTime(step.Cutoff),
	}
	if step.Start.Event {
		ds.NotStarted = ptr.To(int64(0))
	}
	return ds
}

// isProblem says whether a person has to change something for an excluded dataset or rule.
func isProblem(x retentionv1.RunExclusion) bool {
	return plan.Exclusion{Reason: plan.ExclusionReason(x.Reason)}.Problem() && !slices.Contains(perDatastore, plan.NoteCode(x.Reason))
}

// perDatastore are the notes that are a problem only if they stand at every datastore of a run: a rule need not find
// something everywhere, but somewhere.
var perDatastore = []plan.NoteCode{plan.RuleMatchesNothing, plan.NameMatchesNothing}

// problemOf returns the first thing that a person has to change for the run to be what the policy means, if any.
func problemOf(run *retentionv1.Run) (string, bool) {
	everywhere := map[retentionv1.RunExclusion]int{}
	for i := range run.Datastores {
		d := &run.Datastores[i]
		for _, x := range d.Excluded {
			if isProblem(x) {
				return fmt.Sprintf("Datastore %s, dataset %s, rule %s: %s", d.Name, x.Name, x.Rule, x.Message), true
			}
			if slices.Contains(perDatastore, plan.NoteCode(x.Reason)) {
				if everywhere[x]++; everywhere[x] == len(run.Datastores) {
					return fmt.Sprintf("Rule %s: %s", x.Rule, x.Message), true
				}
			}
		}
	}
	return "", false
}
