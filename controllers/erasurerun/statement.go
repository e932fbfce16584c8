// SPDX-License-Identifier: Apache-2.0

package erasurerun

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/attest"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/controllers/internal/facts"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/plan"
)

// key makes the Intent of the run's Job, and its Result, the only ones.
func (s *scope) key() string {
	return evidence.ExecutionKey(string(s.ds.UID), s.run().Name, s.run().Erasure.Job)
}

// intend has the ledger take what the Job is about to do, and puts that on record. It returns whether the ledger says, now,
// what was on record before this pass: the gate is passed through once more between the two, and what stands in a status
// alone, or is of a ledger that was lost, releases nothing.
func (r *Reconciler) intend(ctx context.Context, s *scope, c *compiled) (bool, error) {
	p, subjects, err := r.announcement(s, &c.plan, c.holds, c.requests)
	if err != nil {
		return false, err
	}
	logged, err := r.append(ctx, p, subjects)
	if err != nil {
		return false, r.await(ctx, s, err, false)
	}
	e := s.run().Erasure
	if facts.Refers(e.Intent, logged) {
		return true, nil
	}
	base := s.ds.DeepCopy()
	e.Intent, e.Reason, e.Message = facts.Reference(logged), "", ""
	s.again(immediately)
	return false, r.patch(ctx, s, base, "putting the intent on record")
}

// announcement is what the Intent of the run's Job says. p is its plan, or nil if nobody has it any more.
func (r *Reconciler) announcement(s *scope, p *plan.Plan, set holds.Set, requests []retentionv1.ErasureRequest) (evidence.Predicate, []evidence.Subject, error) {
	run := s.run()
	mode := evidence.ModeEnforce
	if run.Erasure.Mode == retentionv1.ErasureRunFind {
		mode = evidence.ModeSimulate
	}
	d := facts.Datastore(s.ds, p, run.Erasure.PlanDigest, run.Erasure.Job)
	d.Holds = facts.Holds(set, s.now)
	out := evidence.Predicate{
		Kind: evidence.Intent, Key: s.key(), Level: evidence.LevelNone, Operator: evidence.Operator{Image: r.Image},
		Run: &evidence.Run{Name: run.Name, Mode: mode, Slot: facts.Time(&run.AcquiredTime)},
	}
	subjects := []evidence.Subject{facts.Plan(run.Erasure.Job, run.Erasure.PlanDigest)}
	spec, err := facts.Spec("datastore/"+s.ds.Name, s.ds.Spec)
	if err != nil {
		return out, nil, err
	}
	subjects = append(subjects, spec)
	if p != nil {
		for i := range p.Erasure.Steps {
			d.Datasets = append(d.Datasets, stepFacts(&p.Erasure.Steps[i], s.ds))
		}
		for _, e := range p.Excluded {
			d.Excluded = append(d.Excluded, evidence.Exclusion{Dataset: e.Dataset, Rule: e.Rule, Reason: string(e.Reason), Message: e.Message})
		}
		for _, of := range p.Erasure.Requests {
			out.Requests = append(out.Requests, facts.Ref(of.Ref))
		}
	}
	for i := range requests {
		if !slices.ContainsFunc(out.Requests, func(o evidence.Object) bool { return o.UID == string(requests[i].UID) }) {
			continue
		}
		spec, err := facts.Spec("request/"+requests[i].Name, requests[i].Spec)
		if err != nil {
			return out, nil, err
		}
		subjects = append(subjects, spec)
	}
	out.Datastores = []evidence.Datastore{d}
	return out, subjects, nil
}

// stepFacts is what a step is to do, and by which rules records stay.
func stepFacts(step *plan.ErasureStep, ds *retentionv1.Datastore) evidence.Dataset {
	d := evidence.Dataset{Name: step.Dataset, Categories: facts.Categories(ds, step.Dataset), LegalBasis: legalBasis(step)}
	if in := erasure.DatasetIn(ds, step.Dataset); in != nil {
		d.DataClass = string(in.DataClass)
	}
	switch {
	case step.Action == plan.EraseUndeclared:
		d.RuleReason = "the data map does not say what becomes of records (onErasure)"
	case !step.Acts():
		d.Method = evidence.MethodRetain
	default:
		d.Method = evidence.Method(step.Action) // the names are the same
	}
	var why []string
	for _, name := range step.HeldBy {
		why = append(why, "legal hold "+name+" keeps the whole dataset")
	}
	for _, o := range step.Obligations {
		why = append(why, fmt.Sprintf("rule %s of policy %s retains records for %s", o.Rule, o.Policy, o.Period))
	}
	if step.Unclear != "" {
		why = append(why, "it cannot be reckoned until when records must be retained")
	}
	if len(step.Obligations) > 0 {
		d.Rule, d.Period = step.Obligations[0].Policy+"/"+step.Obligations[0].Rule, step.Obligations[0].Period
	}
	d.RuleReason = cmp.Or(d.RuleReason, strings.Join(why, "; "))
	return d
}

const lateMessage = "The Job had begun before this was stated: somebody else has released it, or a version of the operator that stated nothing"

// intent returns the Intent of the run's Job. There is one of every Job that we have released; that of another is stated now.
func (r *Reconciler) intent(ctx context.Context, s *scope, p *plan.Plan) (*evidence.Logged, error) {
	logged, err := r.Evidence.Find(ctx, evidence.Intent, s.key())
	if err != nil || logged != nil {
		return logged, err
	}
	requests, err := r.requests(ctx, s)
	if err != nil {
		return nil, err
	}
	set, err := holds.InForce(ctx, r.Live, s.ds)
	if err != nil {
		return nil, err
	}
	out, subjects, err := r.announcement(s, p, set, requests)
	if err != nil {
		return nil, err
	}
	out.Message = lateMessage
	return r.append(ctx, out, subjects)
}

// resultOf is the beginning of the Result that closes an Intent: of the same run, requests and plan.
func resultOf(intent *evidence.Logged) evidence.Predicate {
	of := &intent.Statement.Predicate
	ref := intent.Reference
	out := evidence.Predicate{
		Kind: evidence.Result, Key: of.Key, Closes: &ref, Operator: evidence.Operator{Image: of.Operator.Image},
		Requests: of.Requests, Datastores: slices.Clone(of.Datastores),
	}
	if of.Run != nil {
		out.Run = ptr.To(*of.Run)
	}
	for i := range out.Datastores {
		out.Datastores[i].Datasets = slices.Clone(out.Datastores[i].Datasets)
	}
	return out
}

// notRun completes the Result of a Job that never began.
func notRun(out *evidence.Predicate, reason string) {
	out.Outcome, out.Level = erasure.NotRun, evidence.LevelNotDone
	for i := range out.Datastores {
		d := &out.Datastores[i]
		d.Outcome, d.Reason, d.Level = erasure.NotRun, reason, evidence.LevelNotDone
		for k := range d.Datasets {
			d.Datasets[k].Outcome = erasure.NotRun
		}
	}
}

// lost completes the Result of a Job that may have done anything that its plan allows, and of which nobody knows what. One
// that only searches changes nothing.
func lost(out *evidence.Predicate, reason string) {
	notRun(out, reason)
	if out.Run == nil || out.Run.Mode != evidence.ModeEnforce {
		return
	}
	out.Outcome, out.Level = string(retentionv1.ErasureFailed), evidence.LevelUnproven
	for i := range out.Datastores {
		d := &out.Datastores[i]
		d.Outcome, d.Level = out.Outcome, evidence.LevelUnproven
		for k := range d.Datasets {
			if m := d.Datasets[k].Method; m == evidence.MethodDelete || m == evidence.MethodAnonymize {
				d.Datasets[k].Outcome, d.Datasets[k].Reason = out.Outcome, erasure.ReasonAccountLost
			}
		}
	}
}

// await takes down that the run waits for the ledger, and is asked again. idle says that no process of its Job is at work
// or ever will be: what holds keep is then touched by another plan only, which will know all of them, so that none has to
// wait for the ledger.
func (r *Reconciler) await(ctx context.Context, s *scope, err error, idle bool) error {
	if !errors.Is(err, attest.ErrUnavailable) {
		return err
	}
	log.FromContext(ctx).Error(err, "The run waits for the evidence ledger", "run", s.run().Name)
	base := s.ds.DeepCopy()
	if idle {
		inForce, err := holds.InForce(ctx, r.Live, s.ds)
		if err != nil {
			return err
		}
		holds.Record(s.run(), inForce.UIDs())
	}
	e := s.run().Erasure
	e.Reason, e.Message = retentionv1.ReasonLedgerUnavailable, erasure.MessageLedgerUnavailable
	s.requeue = pollInterval
	if equality.Semantic.DeepEqual(base.Status, s.ds.Status) {
		return nil
	}
	return r.patch(ctx, s, base, "saying that the run waits for the ledger")
}
