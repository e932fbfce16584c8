// SPDX-License-Identifier: Apache-2.0

package erasurerun

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/controllers/internal/status"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/subject"
)

// ending is how a run ended.
type ending struct {
	run   *retentionv1.ActiveRun
	plan  *plan.Plan
	total receipt.ErasureTotal
	// tries are the attempts that total adds up.
	tries   []receipt.ErasureAttempt
	stopped bool
	// whole says that the account of the last attempt is complete.
	whole bool
	now   time.Time
	// evidence leads to what the ledger says of it.
	evidence *retentionv1.EvidenceReference
}

// collect adds up the receipts and accounts of a Job that has ended, once its last Pod has. What came of it goes into the
// ledger first, and then into the entries of the requests. Until then the finalizers keep the Job and its Pods.
func (r *Reconciler) collect(ctx context.Context, s *scope, job *batchv1.Job) error {
	pods, err := r.keeper().Pods(ctx, job)
	if err != nil {
		return err
	}
	if !purgejob.Settled(job, pods) {
		s.again(settleInterval)
		return r.keep(ctx, s, job, pods)
	}
	end := ending{run: s.run(), stopped: holds.Stopped(job), now: s.now}
	if end.plan, err = r.planOf(ctx, s); err != nil && !errors.Is(err, errPlanLost) {
		return err
	}
	if end.tries, err = erasure.Attempts(ctx, r.logs(s), r.Keys, job, pods, s.now); err != nil {
		return err
	}
	if n := len(end.tries); n > 0 {
		end.whole = end.tries[n-1].Complete
	}
	if end.plan != nil {
		end.total = receipt.MergeErasure(end.plan, end.tries)
	}
	if end.evidence, err = r.conclude(ctx, s, &end, job, pods); err != nil {
		return errors.Join(r.keep(ctx, s, job, pods), r.await(ctx, s, err, true)) // a log may be gone when the ledger is back
	}
	if end.plan == nil {
		return r.loseAccount(ctx, s, nil, end.evidence)
	}
	return r.recordAll(ctx, s, &end)
}

// recordAll writes what became of each request into its entry, and ends the run.
func (r *Reconciler) recordAll(ctx context.Context, s *scope, end *ending) error {
	for i := range end.plan.Erasure.Requests {
		if err := r.record(ctx, s, end, i); err != nil {
			return err
		}
	}
	kind := corev1.EventTypeNormal
	if !end.total.Finished {
		kind = corev1.EventTypeWarning
	}
	if err := r.finish(ctx, s, end.evidence); err != nil {
		return err
	}
	r.Events.Eventf(s.ds, nil, kind, "ErasureRunEnded", "Run", "Run %s (%s) for %d requests: %s", end.run.Name, end.run.Erasure.Mode,
		len(end.plan.Erasure.Requests), end.total.Reason)
	return nil
}

// recordAttempts bounds how often a request's status is written again that somebody else has written meanwhile.
const recordAttempts = 8

// record writes what became of the request at place n of the plan into its entry, unless that is on record.
func (r *Reconciler) record(ctx context.Context, s *scope, end *ending, n int) error {
	of := end.plan.Erasure.Requests[n]
	for attempt := 1; ; attempt++ {
		request := &retentionv1.ErasureRequest{}
		err := r.Live.Get(ctx, client.ObjectKey{Namespace: of.Namespace, Name: of.Name}, request)
		if apierrors.IsNotFound(err) || err == nil && (string(request.UID) != of.UID || !claimed(request, s)) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading request %s: %w", of.Name, err)
		}
		base := request.DeepCopy()
		if err := r.learn(ctx, s, request, end, n); err != nil {
			return err
		}
		settleEntry(&request.Status, erasure.Entry(request, s.ds.Name), end, n)
		if err = r.patchRequest(ctx, request, base); !apierrors.IsConflict(err) || attempt == recordAttempts {
			return client.IgnoreNotFound(err)
		}
	}
}

// learn takes over the identifiers that the run was led to.
func (r *Reconciler) learn(ctx context.Context, s *scope, request *retentionv1.ErasureRequest, end *ending, n int) error {
	told := &end.total.Requests[n]
	if told.Derived == "" {
		return nil
	}
	found, err := subject.Parse([]byte(told.Derived))
	if err != nil { // more than a person has; every other text is as the process has formatted it
		told.Problem = receipt.TooManyIdentifiers
		return nil //nolint:nilerr // it stands in the entry
	}
	known, err := r.known(ctx, request)
	if err != nil {
		return err
	}
	e := erasure.Entry(request, s.ds.Name)
	have, err := erasure.Open(ctx, r.Keys, e.Derived)
	if err != nil && !erasure.Lost(err) {
		return err
	}
	// The run has searched with what was known when it claimed the request, and with what it was led to itself.
	family, all := subject.Union(known, found), subject.Union(have, found)
	e.SearchedWith += int32(min(len(family)-len(known), subject.MaxIdentifiers))
	switch {
	case len(family) > subject.MaxIdentifiers || len(all) > subject.MaxIdentifiers:
		told.Problem = receipt.TooManyIdentifiers
	case !slices.Equal(all, have):
		sealed, err := erasure.Seal(ctx, r.Keys, subject.Operator, all)
		switch {
		case errors.Is(err, erasure.ErrTooLong):
			told.Problem = receipt.TooManyIdentifiers
		case err != nil:
			return err
		default:
			e.Derived = sealed
		}
	}
	request.Status.IdentifierTypes = union(request.Status.IdentifierTypes, subject.Types(found))
	return nil
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	all = slices.Compact(all)
	return all[:min(len(all), 64)]
}

// settleEntry writes what became of the request at place n into its entry, and says what comes next.
func settleEntry(st *retentionv1.ErasureRequestStatus, e *retentionv1.ErasureDatastore, end *ending, n int) {
	t, own := &end.total, &end.total.Requests[n]
	st.IdentifierTypes = union(st.IdentifierTypes, own.Types)
	erasure.Refer(e, end.evidence)
	filed := len(st.Commitments) > 0
	st.Commitments = commit(st.Commitments, own.Commitments)
	e.Attempts += int32(t.Attempts) // bounded by the Job's backoffLimit, and by the runs of a request
	if e.StartTime == nil && !t.Total.StartTime.IsZero() {
		e.StartTime = ptr.To(metav1.NewTime(t.Total.StartTime))
	}
	if !t.Total.EndTime.IsZero() {
		e.CompletionTime = ptr.To(metav1.NewTime(t.Total.EndTime))
	}
	if t.Total.Identity != "" {
		e.Identity = end.plan.Identity // the process works on no other
	}
	erase := end.run.Erasure.Mode == retentionv1.ErasureRunErase
	if erase {
		e.Passes = t.Passes
		accumulate(e, end.plan, own)
	}
	before, _ := steps(end.run.Erasure.Mode)
	e.Reason, e.Message = "", ""
	switch {
	case own.Problem != "":
		e.Step, e.Reason, e.Message = retentionv1.ErasureStepFound, string(own.Problem), problemMessage(own.Problem, filed)
	case t.Finished && erase:
		e.Step, e.Failures = retentionv1.ErasureStepFinished, 0
	case t.Finished && (own.Told || end.whole):
		e.Step, e.Failures = retentionv1.ErasureStepFound, 0
	default:
		e.Step = before
		if end.stopped {
			return // it goes on at once
		}
		e.Reason, e.Message = string(t.Reason), status.Truncate(retryMessage(t), 512)
		if t.Finished {
			e.Reason = erasure.ReasonAccountLost
		}
		erasure.Fail(e, end.now)
	}
}

// commit adds the commitments of types that have none yet. What is on record stays: it is what the request was filed with.
func commit(old, further []string) []string {
	all := slices.Clone(old)
	for _, c := range further {
		if !slices.ContainsFunc(old, func(o string) bool { return subject.CommittedType(o) == subject.CommittedType(c) }) {
			all = append(all, c)
		}
	}
	return all[:min(len(all), subject.MaxCommitments)]
}

// problemMessage says what keeps a request from being carried out. filed says that there are commitments to what it was
// filed with.
func problemMessage(problem receipt.Reason, filed bool) string {
	switch {
	case problem == receipt.IdentifiersDisagree:
		return "The identifiers lead to records of different persons"
	case problem == receipt.TooManyIdentifiers:
		return "Records lead to more identifiers than can belong to one person"
	case filed:
		return "The identifiers are not those that the request was filed with, or the subject's Secret is gone"
	}
	return "There is no identifier of a type that the data map knows, or one that cannot be used"
}

func retryMessage(t *receipt.ErasureTotal) string {
	switch {
	case t.Message != "":
		return t.Message
	case t.Attempts == 0:
		return "No purge Pod ever started; see the Job's events"
	}
	return "The run did not come to its end"
}

// maxDatasets is how many datasets an entry has room for.
const maxDatasets = 64

// accumulate adds what a run did for a request to what runs before it did.
func accumulate(e *retentionv1.ErasureDatastore, p *plan.Plan, own *receipt.RequestTotal) {
	old := e.Datasets
	e.Datasets, e.Outcome, e.Holds = nil, "", nil
	if len(own.Steps) == 0 {
		e.Outcome = retentionv1.ErasureOutcome(own.Outcome)
	}
	for i := range own.Steps {
		step := &p.Erasure.Steps[i]
		d := dataset(step, &own.Steps[i])
		if at := slices.IndexFunc(old, func(o retentionv1.ErasureDataset) bool { return o.Name == d.Name }); at >= 0 {
			d = merge(old[at], d, own.Steps[i].Found)
			old = slices.Delete(slices.Clone(old), at, at+1)
		}
		if d.Outcome == retentionv1.ErasureHeld {
			e.Holds = union(e.Holds, holdsOf(p, step))
		}
		e.Datasets = append(e.Datasets, d)
	}
	e.Datasets = append(e.Datasets, old...) // of datasets that the data map no longer has
	e.Datasets = e.Datasets[:min(len(e.Datasets), maxDatasets)]
	for _, d := range e.Datasets {
		e.Outcome = erasure.Worse(e.Outcome, d.Outcome)
	}
	e.Holds = e.Holds[:min(len(e.Holds), 16)]
	e.Verified = ptr.To(own.Verified)
}

// holdsOf are the names of the holds that may keep records of a step: those on the whole dataset, or else those on single
// records, which reach it through references.
func holdsOf(p *plan.Plan, step *plan.ErasureStep) []string {
	if len(step.HeldBy) > 0 {
		return step.HeldBy
	}
	var out []string
	for _, h := range p.Holds {
		out = append(out, h.Name)
	}
	for i := range p.Erasure.Steps { // what a held record refers to has to stay, too
		out = append(out, p.Erasure.Steps[i].HeldBy...)
	}
	return out
}

// dataset is a step's entry. A number that nobody has counted is absent, not zero. An outcome has to be there; what only
// would have one if the run had come to its end has failed.
func dataset(step *plan.ErasureStep, s *receipt.RequestStep) retentionv1.ErasureDataset {
	d := retentionv1.ErasureDataset{
		Name: retentionv1.DatasetName(step.Dataset), Outcome: retentionv1.ErasureOutcome(s.Outcome), Reason: string(s.Reason),
		Counting: retentionv1.CountingExact,
	}
	if step.Action != plan.EraseUndeclared {
		d.Action = retentionv1.ErasureAction(step.Action)
	}
	if d.Outcome == "" {
		d.Outcome, d.Reason = retentionv1.ErasureFailed, string(receipt.NotVerified)
	}
	if d.Outcome == retentionv1.ErasureRetainedByObligation {
		d.LegalBasis = retentionv1.PlainText(legalBasis(step))
	}
	if !s.Exact {
		d.Counting = retentionv1.CountingAtLeast
	}
	if s.Searched {
		d.Found = ptr.To(s.Found)
	}
	switch step.Action {
	case plan.EraseDelete:
		d.Deleted = ptr.To(s.Deleted)
	case plan.EraseAnonymize:
		d.Anonymized = ptr.To(s.Anonymized)
	}
	if s.Verified {
		d.Remaining, d.Retained, d.Held = ptr.To(s.Remaining), ptr.To(s.Retained), ptr.To(s.Held)
	}
	d.Constraints = s.Constraints[:min(len(s.Constraints), 16)]
	return d
}

func legalBasis(step *plan.ErasureStep) string {
	if step.LegalBasis != "" {
		return step.LegalBasis
	}
	for _, o := range step.Obligations {
		if o.LegalBasis != "" {
			return o.LegalBasis
		}
	}
	return ""
}

// merge adds the figures of a dataset of a later run to those of the runs before. What was erased stays on record, and what
// nobody knows stays unknown: that nothing is there now does not tell that nothing was. found is what the later run found.
func merge(old, d retentionv1.ErasureDataset, found int64) retentionv1.ErasureDataset {
	deleted, anonymized := ptr.Deref(old.Deleted, 0), ptr.Deref(old.Anonymized, 0)
	d.Deleted, d.Anonymized = sum(old.Deleted, d.Deleted), sum(old.Anonymized, d.Anonymized)
	if old.Found != nil || d.Found != nil {
		erased := ptr.Deref(d.Deleted, 0) + ptr.Deref(d.Anonymized, 0)
		d.Found = ptr.To(max(ptr.Deref(old.Found, 0), found+deleted, erased))
	}
	lost := old.Reason == erasure.ReasonAccountLost
	if old.Counting == retentionv1.CountingAtLeast {
		d.Counting = retentionv1.CountingAtLeast
	}
	switch {
	case d.Outcome == retentionv1.ErasureSkipped && deleted+anonymized > 0:
		d.Outcome = erasure.Worse(old.Outcome, d.Outcome)
	case d.Outcome != retentionv1.ErasureNotFound:
	case deleted > 0:
		d.Outcome = retentionv1.ErasureDeleted
	case anonymized > 0:
		d.Outcome = retentionv1.ErasureAnonymized
	case lost || old.Counting == retentionv1.CountingAtLeast:
		d.Outcome = retentionv1.ErasureFailed
		lost = true
	}
	if lost { // for good, whatever else is the matter now
		d.Reason = erasure.ReasonAccountLost
	}
	return d
}

func sum(a, b *int64) *int64 {
	if a == nil && b == nil {
		return nil
	}
	return ptr.To(ptr.Deref(a, 0) + ptr.Deref(b, 0))
}
