// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/controllers/internal/facts"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purgejob"
)

// prospect is what an Intent is made from. What is gone is nil.
type prospect struct {
	datastore *retentionv1.Datastore
	plan      *plan.Plan
	holds     holds.Set
	// late says that the Job may have been released before.
	late bool
}

// state puts a statement into the ledger, or finds the one that is there.
func (r *Reconciler) state(ctx context.Context, p evidence.Predicate, subjects []evidence.Subject) (*evidence.Logged, error) {
	p.Operator.Image = r.Image
	p, unsound := erasure.Sound(p, subjects)
	if unsound != nil {
		log.FromContext(ctx).Error(unsound, "A statement leaves its details out")
	}
	logged, err := r.Evidence.Append(ctx, p, subjects...)
	if err != nil {
		return nil, fmt.Errorf("stating %s %s: %w", p.Kind, p.Key, err)
	}
	return &logged, nil
}

// key is that of the Intent and the Result of a Job of the active run.
func (s *scope) key(job string) string {
	return evidence.ExecutionKey(string(s.policy.UID), s.run().Name, job)
}

// intend states what the Job of an entry is about to do, or finds that stated.
func (r *Reconciler) intend(ctx context.Context, s *scope, d *retentionv1.RunDatastore, of prospect) (*evidence.Logged, error) {
	ds := facts.Datastore(of.datastore, of.plan, d.PlanDigest, d.Job)
	if ds.Name == "" {
		ds.Namespace, ds.Name, ds.UID, ds.Generation = s.policy.Namespace, d.Name, d.UID, d.Generation
	}
	ds.Holds = facts.Holds(of.holds, s.now)
	ds.Datasets, ds.Excluded = intended(d, of), excluded(d, of.plan)
	p := evidence.Predicate{
		Kind: evidence.Intent, Key: s.key(d.Job), Level: evidence.LevelNone,
		Policy: policyOf(s.policy), Run: runFacts(s.run(), d), Datastores: []evidence.Datastore{ds},
		NotCovered: append(foreseen(&ds), facts.Map(of.datastore)...),
	}
	if of.late {
		p.Message = "Stated after the Job was made: the ledger had no such statement"
	}
	subjects := []evidence.Subject{facts.Plan(d.Job, d.PlanDigest)}
	spec, err := facts.Spec("policy/"+s.policy.Name, s.policy.Spec)
	if err != nil {
		return nil, err
	}
	subjects = append(subjects, spec)
	if of.datastore != nil {
		if spec, err = facts.Spec("datastore/"+d.Name, of.datastore.Spec); err != nil {
			return nil, err
		}
		subjects = append(subjects, spec)
	}
	return r.state(ctx, p, subjects)
}

// intention returns the Intent of an entry whose execution is to be closed. If none is in the ledger, one is put there: the
// execution ended before it was stated, and another manager that is late may be about to state it.
func (r *Reconciler) intention(ctx context.Context, s *scope, d *retentionv1.RunDatastore) (*evidence.Logged, error) {
	found, err := r.Evidence.Find(ctx, evidence.Intent, s.key(d.Job))
	if err != nil {
		return nil, fmt.Errorf("looking for the Intent of Job %s: %w", d.Job, err)
	}
	if found != nil {
		return found, nil
	}
	of := prospect{late: true}
	if of.datastore, err = r.datastoreOf(ctx, s, d); err != nil {
		return nil, err
	}
	if of.datastore != nil {
		if of.holds, err = holds.InForce(ctx, r.Live, of.datastore); err != nil {
			return nil, err
		}
	}
	configMap := &corev1.ConfigMap{}
	err = r.Live.Get(ctx, client.ObjectKey{Namespace: s.policy.Namespace, Name: d.Job}, configMap)
	if client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	of.plan = purgejob.PlanIn(configMap, d.PlanDigest)
	return r.intend(ctx, s, d, of)
}

// datastoreOf reads the Datastore of an entry past the cache; it is nil if that is gone, or another one has its name.
func (r *Reconciler) datastoreOf(ctx context.Context, s *scope, d *retentionv1.RunDatastore) (*retentionv1.Datastore, error) {
	ds := &retentionv1.Datastore{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: s.policy.Namespace, Name: d.Name}, ds)
	switch {
	case apierrors.IsNotFound(err), err == nil && string(ds.UID) != d.UID:
		return nil, nil //nolint:nilnil // there is none
	case err != nil:
		return nil, fmt.Errorf("reading the datastore: %w", err)
	}
	return ds, nil
}

func policyOf(p *retentionv1.RetentionPolicy) *evidence.Policy {
	return &evidence.Policy{Object: facts.Object(p), Schedule: p.Spec.Schedule, TimeZone: p.Spec.GetTimeZone()}
}

// runFacts says which run it is. d is the entry that it is about, nil for all.
func runFacts(run *retentionv1.Run, d *retentionv1.RunDatastore) *evidence.Run {
	out := &evidence.Run{
		Name: run.Name, Trigger: string(run.Trigger), Mode: string(run.Mode), Slot: facts.At(run.Slot.Time),
		StartTime: facts.At(run.StartTime.Time), CompletionTime: facts.Time(run.CompletionTime),
	}
	if d != nil && d.ApprovedRecords != nil {
		out.ApprovedPlan, out.ApprovedRecords = d.PlanDigest, ptr.To(*d.ApprovedRecords)
	}
	return out
}

// intended says what is about to be done in each dataset: what the plan says or, if nobody can read it, the entry.
func intended(d *retentionv1.RunDatastore, of prospect) []evidence.Dataset {
	var out []evidence.Dataset
	if of.plan == nil {
		for _, ds := range d.Datasets {
			m := evidence.Method(ds.Action)
			out = append(out, evidence.Dataset{Name: string(ds.Name), Rule: ds.Rule, Method: m,
				Reversibility: evidence.ReversibilityOf(m, retentionv1.EnginePostgreSQL), Cutoff: facts.At(ds.Cutoff.Time)})
		}
		return out
	}
	for i := range of.plan.Steps {
		step := &of.plan.Steps[i]
		m := evidence.Method(step.Action) // the names are the same
		ds := evidence.Dataset{
			Name: step.Dataset, Rule: step.Rule, RuleReason: step.Reason, Period: step.Period, LegalBasis: step.LegalBasis,
			Method: m, Reversibility: evidence.ReversibilityOf(m, of.plan.Engine), Cutoff: facts.At(step.Cutoff),
			Categories: facts.Categories(of.datastore, step.Dataset),
		}
		for k := range of.plan.Datasets {
			if of.plan.Datasets[k].Name == step.Dataset {
				ds.DataClass = of.plan.Datasets[k].DataClass
			}
		}
		out = append(out, ds)
	}
	return out
}

// reasonObligation is why a retainAtLeast stands among the exclusions of a statement.
const reasonObligation = "RetainAtLeast"

// excluded says which rules and datasets have no part, and which obligations keep records back: what the plan says or, if
// nobody can read it, the entry.
func excluded(d *retentionv1.RunDatastore, p *plan.Plan) []evidence.Exclusion {
	list := d.Excluded
	if p != nil {
		list = exclusions(p)
	}
	var out []evidence.Exclusion
	for _, x := range list {
		out = append(out, evidence.Exclusion{Dataset: string(x.Name), Rule: x.Rule, Reason: x.Reason, Message: x.Message})
	}
	if p == nil {
		return out
	}
	for i := range p.Steps {
		for _, o := range p.Steps[i].Obligations {
			message := fmt.Sprintf("policy %s retains for %s", o.Policy, o.Period)
			if o.LegalBasis != "" {
				message += ": " + o.LegalBasis
			}
			out = append(out, evidence.Exclusion{Dataset: p.Steps[i].Dataset, Rule: o.Rule, Reason: reasonObligation, Message: message})
		}
	}
	return out
}

// foreseen is what is known beforehand not to be covered.
func foreseen(ds *evidence.Datastore) []evidence.Gap {
	var out []evidence.Gap
	for _, x := range ds.Excluded {
		if isUncovered(x) {
			name := strings.TrimSuffix(ds.Name+"/"+x.Dataset, "/")
			out = append(out, evidence.Gap{Kind: evidence.GapDataset, Name: name, Reason: x.Reason, Message: x.Message})
		}
	}
	return append(append(out, facts.Engine(ds)), facts.Backups(ds)...)
}

// isUncovered says whether no rule acts on a dataset, though nobody has meant it to stay.
func isUncovered(x evidence.Exclusion) bool {
	return x.Reason == string(plan.NoRule) || isObstacle(x)
}

// isObstacle says whether a rule means something to go that stays for that exclusion.
func isObstacle(x evidence.Exclusion) bool {
	return x.Reason != reasonObligation && isProblem(retentionv1.RunExclusion{Reason: x.Reason})
}
