// SPDX-License-Identifier: Apache-2.0

package erasurerun

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/controllers/internal/facts"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/receipt"
)

// conclude has the ledger take what came of the run's Job, which has ended. It has sums over all requests, and of single
// requests only how many had which outcome.
func (r *Reconciler) conclude(ctx context.Context, s *scope, end *ending, job *batchv1.Job, pods []corev1.Pod) (*retentionv1.EvidenceReference, error) {
	intent, err := r.intent(ctx, s, end.plan)
	if err != nil {
		return nil, err
	}
	out := resultOf(intent)
	out.Operator.ImageDigests = facts.Images(job, pods)
	d := &out.Datastores[0]
	d.Attempts = facts.Attempts(end.attempts())
	switch {
	case len(end.tries) == 0:
		notRun(&out, cmp.Or(holds.StoppedFor(job), string(end.total.Reason)))
	case end.plan == nil:
		lost(&out, erasure.ReasonAccountLost)
	default:
		end.tell(&out, s.ds)
	}
	return r.close(ctx, intent, out, facts.Receipts(job, pods)...)
}

// concludeLost is conclude for a Job that is gone.
func (r *Reconciler) concludeLost(ctx context.Context, s *scope, p *plan.Plan) (*retentionv1.EvidenceReference, error) {
	intent, err := r.intent(ctx, s, p)
	if err != nil {
		return nil, err
	}
	out := resultOf(intent)
	lost(&out, erasure.ReasonAccountLost)
	return r.close(ctx, intent, out)
}

// concludeUnbegun closes the Intent of a Job that was stopped for good before it had begun, if there is one.
func (r *Reconciler) concludeUnbegun(ctx context.Context, s *scope, reason string) error {
	intent, err := r.Evidence.Find(ctx, evidence.Intent, s.key())
	if err != nil || intent == nil {
		return err
	}
	out := resultOf(intent)
	notRun(&out, reason)
	_, err = r.close(ctx, intent, out)
	return err
}

// close has the ledger take the Result of an Intent, which is about the same plan and specs.
func (r *Reconciler) close(ctx context.Context, intent *evidence.Logged, out evidence.Predicate, receipts ...evidence.Subject) (*retentionv1.EvidenceReference, error) {
	logged, err := r.append(ctx, out, slices.Concat(intent.Statement.Subject, receipts))
	if err != nil {
		return nil, err
	}
	return facts.Reference(logged), nil
}

func (r *Reconciler) append(ctx context.Context, out evidence.Predicate, subjects []evidence.Subject) (*evidence.Logged, error) {
	out, unsound := erasure.Sound(out, subjects)
	if unsound != nil {
		log.FromContext(ctx).Error(unsound, "A statement leaves its details out")
	}
	logged, err := r.Evidence.Append(ctx, out, subjects...)
	return &logged, err
}

func (end *ending) attempts() []receipt.Attempt {
	var out []receipt.Attempt
	for i := range end.tries {
		out = append(out, end.tries[i].Attempt)
	}
	return out
}

// tell fills in what the attempts say.
func (end *ending) tell(out *evidence.Predicate, ds *retentionv1.Datastore) {
	t, d := &end.total, &out.Datastores[0]
	search := end.plan.Mode == plan.Simulate
	d.Datasets = nil
	var levels []evidence.Level
	touched := false
	for i := range end.plan.Erasure.Steps {
		e := end.dataset(i, ds)
		if search && e.Reason == erasure.ReasonAccountLost { // nobody knows what it found; it changed nothing
			e.Outcome, e.Reason = erasure.NotRun, ""
		}
		levels = append(levels, evidence.OfErasure(e.Outcome, e))
		touched = touched || erasure.Touched(&e)
		d.Datasets = append(d.Datasets, e)
	}
	d.StartTime, d.CompletionTime = facts.At(t.Total.StartTime), facts.At(t.Total.EndTime)
	out.Run.StartTime, out.Run.CompletionTime = d.StartTime, d.CompletionTime
	if t.Total.ServerVersion != "" {
		d.ServerVersion, d.ClockSkewMilliseconds = t.Total.ServerVersion, ptr.To(t.Total.SkewMilliseconds)
	}
	d.Outcome, d.Reason = end.outcome(search && !touched), string(t.Reason)
	switch d.Level = end.cap(evidence.Combine(levels...)); {
	case search && !touched:
		d.Level = evidence.LevelNotDone // whatever it found, nothing was changed
	case touched && (d.Level == evidence.LevelNotDone || d.Level == evidence.LevelNothingFound):
		d.Level = evidence.LevelUnproven // a batch whose end nobody knows may have changed something
	}
	if !search {
		d.Verified = ptr.To(!slices.ContainsFunc(t.Requests, func(r receipt.RequestTotal) bool { return !r.Verified }))
	}
	if touched && d.CompletionTime != nil {
		out.LogicallyDeletedTime = d.CompletionTime
		d.GoneBy = facts.GoneBy(t.Total.EndTime, d.BackupRetention, nil)
		out.GoneBy = d.GoneBy
	}
	out.Level, out.Outcome, out.Message = d.Level, d.Outcome, end.counts()
	out.NotCovered = end.gaps(d, touched)
}

// cap has a Result claim no more than the accounts can prove: one that is lost leaves open what was done for whom, and a run
// that did not come to its end has not looked at everything.
func (end *ending) cap(l evidence.Level) evidence.Level {
	switch {
	case end.total.Total.Unreadable > 0 || slices.ContainsFunc(end.tries, unaccounted):
		return evidence.LevelUnproven
	case !end.total.Finished && l != evidence.LevelNotDone && l != evidence.LevelUnproven:
		return evidence.LevelIncomplete
	}
	return l
}

// unaccounted says whether an attempt has changed something, or may have, and its account is not whole.
func unaccounted(a receipt.ErasureAttempt) bool {
	if a.Receipt == nil {
		return true
	}
	return !a.Complete && a.Receipt.Account != nil && slices.ContainsFunc(a.Receipt.Steps, func(s receipt.Step) bool {
		return s.Deleted+s.Anonymized+s.InFlight > 0
	})
}

// dataset is what came of step i for all requests together. The numbers are those of the receipts, which count records once.
func (end *ending) dataset(i int, ds *retentionv1.Datastore) evidence.Dataset {
	step, t := &end.plan.Erasure.Steps[i], &end.total.Total.Steps[i]
	d := stepFacts(step, ds)
	d.Outcome = erasure.NotRun
	for n := range end.total.Requests {
		s := &end.total.Requests[n].Steps[i]
		if n == 0 || s.Outcome.WorseThan(receipt.ErasureOutcome(d.Outcome)) {
			d.Outcome, d.Reason = string(s.Outcome), string(s.Reason)
		}
	}
	var seen *int64
	for n := range end.total.Requests {
		s := &end.total.Requests[n].Steps[i]
		if s.Reason == receipt.AccountLost {
			d.Reason = erasure.ReasonAccountLost
		}
		if s.Searched {
			seen = ptr.To(ptr.Deref(seen, 0) + s.Found)
		}
	}
	if d.Outcome == "" { // a search has found some
		d.Outcome = string(receipt.StepSimulated)
	}
	if d.Found = seen; t.Counted {
		d.Found = ptr.To(max(t.Matched, t.Deleted+t.Anonymized))
	}
	search := end.plan.Mode == plan.Simulate
	if step.Action == plan.EraseDelete && !search || t.Deleted > 0 {
		d.Deleted = ptr.To(t.Deleted)
	}
	if step.Action == plan.EraseAnonymize && !search || t.Anonymized > 0 {
		d.Anonymized = ptr.To(t.Anonymized)
	}
	if t.Verified {
		d.Remaining, d.Blocked, d.Retained, d.Held = ptr.To(t.Remaining), ptr.To(t.Blocked), ptr.To(t.Retained), ptr.To(t.Held)
		d.Constraints = t.Constraints
	}
	erasure.Counted(&d, t.Exact || search || !step.Acts(), ds)
	return d
}

// outcome is the worst of the requests', or that of a search that was one.
func (end *ending) outcome(search bool) string {
	var worst retentionv1.ErasureOutcome
	for n := range end.total.Requests {
		worst = erasure.Worse(worst, retentionv1.ErasureOutcome(end.total.Requests[n].Outcome))
	}
	if search && end.total.Finished && worst != retentionv1.ErasureFailed {
		return string(receipt.OutcomeSimulated)
	}
	return cmp.Or(string(worst), erasure.NotRun)
}

// counts says how many requests had which outcome.
func (end *ending) counts() string {
	of := map[string]int{}
	for n := range end.total.Requests {
		of[cmp.Or(string(end.total.Requests[n].Outcome), "Found")]++
	}
	var parts []string
	for _, outcome := range slices.Sorted(maps.Keys(of)) {
		parts = append(parts, fmt.Sprintf("%s %d", outcome, of[outcome]))
	}
	return "Requests by outcome: " + strings.Join(parts, ", ")
}

// gaps are what the Result does not prove.
func (end *ending) gaps(d *evidence.Datastore, touched bool) []evidence.Gap {
	var out []evidence.Gap
	if touched {
		out = append(facts.Backups(d), facts.Engine(d))
	}
	for i := range end.plan.Erasure.Steps {
		if step := &end.plan.Erasure.Steps[i]; step.Action == plan.EraseUndeclared {
			out = append(out, evidence.Gap{Kind: evidence.GapDataset, Name: d.Name + "/" + step.Dataset, Reason: string(receipt.Undeclared)})
		}
	}
	for _, n := range end.plan.Notes {
		if n.Problem() {
			out = append(out, evidence.Gap{Kind: evidence.GapDataset, Name: d.Name + "/" + n.Dataset, Reason: string(n.Code), Message: n.Message})
		}
	}
	for _, e := range end.plan.Excluded {
		if e.Reason == plan.NoPerson {
			out = append(out, evidence.Gap{Kind: evidence.GapDataset, Name: d.Name + "/" + e.Dataset, Reason: string(e.Reason), Message: e.Message})
		}
	}
	return out
}
