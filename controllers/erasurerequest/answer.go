// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/internal/schedule"
)

// aggregate makes the answer as a whole from its parts. A number is there only if some part has it.
func (s *scope) aggregate() {
	st := s.st()
	erasedBefore, expiry := ptr.Deref(st.Erased, 0), st.FullyExpiredBy
	st.Outcome, st.Found, st.Erased, st.Counting, st.FullyExpiredBy = "", nil, nil, retentionv1.CountingExact, nil
	for i := range st.Datastores {
		e := &st.Datastores[i]
		st.Outcome = erasure.Worse(st.Outcome, e.Outcome)
		var erased int64
		for _, d := range e.Datasets {
			st.Found = add(st.Found, d.Found)
			st.Erased = add(add(st.Erased, d.Deleted), d.Anonymized)
			erased += ptr.Deref(d.Deleted, 0) + ptr.Deref(d.Anonymized, 0)
			if d.Counting == retentionv1.CountingAtLeast {
				st.Counting = retentionv1.CountingAtLeast
			}
		}
		if erased > 0 {
			st.FullyExpiredBy = later(st.FullyExpiredBy, s.expiry(e))
		}
	}
	for i := range st.Children {
		c := &st.Children[i]
		st.Outcome = erasure.Worse(st.Outcome, c.Outcome)
		st.Found, st.Erased = add(st.Found, c.Found), add(st.Erased, c.Erased)
		child := s.child(c)
		if child == nil {
			continue
		}
		of := &child.Status
		if of.Counting == retentionv1.CountingAtLeast {
			st.Counting = retentionv1.CountingAtLeast
		}
		st.FullyExpiredBy = later(st.FullyExpiredBy, of.FullyExpiredBy)
		if len(st.Commitments) == 0 {
			st.Commitments = of.Commitments
		}
		types := append(slices.Clone(st.IdentifierTypes), of.IdentifierTypes...)
		slices.Sort(types)
		st.IdentifierTypes = slices.Compact(types)
	}
	if expiry != nil && ptr.Deref(st.Erased, 0) == erasedBefore {
		st.FullyExpiredBy = expiry // a repetition that found nothing does not put it off
	}
}

func add(sum, n *int64) *int64 {
	if n == nil {
		return sum
	}
	return ptr.To(ptr.Deref(sum, 0) + *n)
}

func later(a, b *metav1.Time) *metav1.Time {
	if a == nil || b != nil && a.Before(b) {
		return b
	}
	return a
}

// expiry is when the last backup of a Datastore has expired that may hold what was erased there.
func (s *scope) expiry(e *retentionv1.ErasureDatastore) *metav1.Time {
	ds := s.datastores[e.Name]
	if ds == nil {
		ds = s.others[e.Name]
	}
	if ds == nil || ds.Spec.Backups == nil || e.CompletionTime == nil {
		return nil
	}
	period, err := schedule.ParsePeriod(string(ds.Spec.Backups.Retention))
	if err != nil {
		return nil
	}
	return ptr.To(metav1.NewTime(period.AddTo(e.CompletionTime.Time, s.zone)))
}

// answer gives the answer for the first time, once it is in the ledger, and has the erasure repeated if that was asked for.
func (r *Reconciler) answer(ctx context.Context, s *scope) error {
	st := s.st()
	st.Recipients = s.recipients()
	var period schedule.Period
	if repeats := s.request.Spec.RecheckFor; repeats != "" {
		var err error
		if period, err = schedule.ParsePeriod(string(repeats)); err != nil {
			return invalidSpec{err}
		}
	}
	if stated, err := r.conclusion(ctx, s, string(st.Outcome), ""); err != nil || !stated {
		s.state(retentionv1.ErasureErasing)
		return err
	}
	if s.request.Spec.RecheckFor == "" {
		return r.end(ctx, s, retentionv1.ErasureAnswered)
	}
	st.AnsweredTime, st.State = s.answered, retentionv1.ErasureWatching
	st.Recheck = &retentionv1.ErasureRecheck{Until: metav1.NewTime(period.AddTo(s.answered.Time, s.zone))}
	s.schedule()
	return nil
}

// maxRecipients is how many recipients a status has room for.
const maxRecipients = 128

// recipients lists those to whom the Datastores from which something was erased disclose data.
func (s *scope) recipients() []retentionv1.ErasureRecipient {
	var out []retentionv1.ErasureRecipient
	for i := range s.st().Datastores {
		e := &s.st().Datastores[i]
		ds := s.datastores[e.Name]
		erased := slices.ContainsFunc(e.Datasets, func(d retentionv1.ErasureDataset) bool {
			return ptr.Deref(d.Deleted, 0)+ptr.Deref(d.Anonymized, 0) > 0
		})
		if ds == nil || !erased {
			continue
		}
		for _, name := range ds.Spec.Recipients {
			out = append(out, retentionv1.ErasureRecipient{Name: name, Datastore: e.Name})
		}
	}
	return out[:min(len(out), maxRecipients)]
}

// schedule says when the next repetition begins: the last one at the end of the time for which they were asked for.
func (s *scope) schedule() {
	c := s.st().Recheck
	next := c.Until.Time
	if every, err := schedule.ParsePeriod(string(s.request.Spec.GetRecheckEvery())); err == nil {
		if t := every.AddTo(s.now, s.zone); t.Before(next) {
			next = t
		}
	}
	c.NextTime = ptr.To(metav1.NewTime(next))
	s.again(next.Sub(s.now))
}

// repeat begins a repetition that is due.
func (s *scope) repeat() {
	c := s.st().Recheck
	if c == nil || c.NextTime == nil {
		return
	}
	if left := c.NextTime.Sub(s.now); left > 0 {
		s.again(left)
		return
	}
	s.sweep(recheckSchedule)
	for i := range s.st().Datastores {
		if e := &s.st().Datastores[i]; s.datastores[e.Name] != nil && !erasure.AtWork(e) {
			reopen(e)
		}
	}
}

// repeated takes a repetition down that has ended, and ends the request after the last one. more is how many records have
// been erased since the answer before. If the answer is another one now, it is stated first.
func (r *Reconciler) repeated(ctx context.Context, s *scope, more int64) error {
	c := s.st().Recheck
	if c != nil {
		c.Found = ptr.To(ptr.Deref(c.Found, 0) + max(more, 0))
	}
	if stated, err := r.conclusion(ctx, s, string(s.st().Outcome), ""); err != nil || !stated {
		return err
	}
	if c == nil {
		return r.end(ctx, s, retentionv1.ErasureAnswered)
	}
	if c.NextTime != nil {
		return nil
	}
	c.LastTime = ptr.To(metav1.NewTime(s.now))
	c.Times++
	if !s.now.Before(c.Until.Time) {
		return r.end(ctx, s, retentionv1.ErasureAnswered)
	}
	s.schedule()
	return nil
}

// patience is how long after the end of the time for which repetitions were asked for the last one may still succeed.
const patience = 24 * time.Hour

// giveUp ends the repetitions if the last one cannot be carried out: the identifiers are not kept for ever.
func (r *Reconciler) giveUp(ctx context.Context, s *scope, at stage) error {
	c := s.st().Recheck
	if c == nil || at == finished || s.now.Before(c.Until.Add(patience)) || s.atWork() {
		return nil
	}
	for i := range s.st().Datastores {
		e := &s.st().Datastores[i]
		if e.Step == retentionv1.ErasureStepFinished {
			continue
		}
		outcome := e.Outcome
		if outcome == "" {
			outcome = retentionv1.ErasureUnreachable
		}
		finish(e, outcome, "NotRepeated", "The last repetition could not be carried out")
	}
	s.aggregate()
	if stated, err := r.conclusion(ctx, s, string(s.st().Outcome), ""); err != nil || !stated {
		return err
	}
	return r.end(ctx, s, retentionv1.ErasureAnswered)
}

// What became of the subject's Secret.
const (
	secretKept    = "Kept"
	secretDeleted = "Deleted"
)

// end ends the request for good, once its answer is in the ledger: the identifiers go, and the answer stays.
func (r *Reconciler) end(ctx context.Context, s *scope, state retentionv1.ErasureState) error {
	st := s.st()
	if err := r.deleteSubject(ctx, s); err != nil {
		return err
	}
	if err := r.dropIntake(ctx, s.request); err != nil {
		return err
	}
	st.AnsweredTime, st.State, st.SealedSubject, st.SealedTypes = s.answered, state, "", nil
	for i := range st.Datastores {
		st.Datastores[i].Derived = ""
	}
	for i := range st.Children {
		st.Children[i].Derived = ""
	}
	if st.Recheck != nil {
		st.Recheck.NextTime = nil
	}
	s.again(immediately)
	return nil
}

// deleteSubject deletes the subject's Secret, unless it is to be kept or names the person of something that has not ended.
// The operator cannot read it: that it is a Secret of persons and of nothing else is for admission to see to.
func (r *Reconciler) deleteSubject(ctx context.Context, s *scope) error {
	st, ref := s.st(), s.request.Spec.Subject.SecretRef
	if ref == nil || st.SubjectSecret != "" {
		return nil
	}
	if s.request.Spec.GetSubjectSecretPolicy() == retentionv1.SubjectSecretKeep {
		st.SubjectSecret = secretKept
		return nil
	}
	needed, err := r.needed(ctx, s.request, ref.Name)
	if err != nil {
		return err
	}
	if needed {
		st.SubjectSecret = secretKept // whoever needs it still deletes it
		return nil
	}
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.request.Namespace, Name: ref.Name}}
	switch err := r.Client.Delete(ctx, secret, client.DisableReadYourWritesConsistency); { // it would list Secrets
	case err == nil || apierrors.IsNotFound(err):
		st.SubjectSecret = secretDeleted
	case apierrors.IsForbidden(err) || apierrors.IsInvalid(err):
		st.SubjectSecret = secretKept
	default:
		return fmt.Errorf("deleting the subject's Secret: %w", err)
	}
	return nil
}

// needed says whether another request or hold that has not ended names its person by the same Secret.
func (r *Reconciler) needed(ctx context.Context, request *retentionv1.ErasureRequest, secret string) (bool, error) {
	names := func(s *retentionv1.Subject) bool { return s != nil && s.SecretRef != nil && s.SecretRef.Name == secret }
	requests := &retentionv1.ErasureRequestList{} // from the cache, uncopied: there may be thousands, and they are only read
	if err := r.Client.List(ctx, requests, client.InNamespace(request.Namespace), client.UnsafeDisableDeepCopy); err != nil {
		return false, fmt.Errorf("listing erasure requests: %w", err)
	}
	for i := range requests.Items {
		if o := &requests.Items[i]; o.UID != request.UID && !erasure.Ended(o) && names(&o.Spec.Subject) {
			return true, nil
		}
	}
	list := &retentionv1.LegalHoldList{}
	if err := r.Live.List(ctx, list, client.InNamespace(request.Namespace)); err != nil {
		return false, fmt.Errorf("listing legal holds: %w", err)
	}
	return slices.ContainsFunc(list.Items, func(h retentionv1.LegalHold) bool { return !h.IsReleased() && names(h.Spec.Subject) }), nil
}
