// SPDX-License-Identifier: Apache-2.0

package legalhold

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/controllers/internal/sealing"
	"dataretention.dev/retention-operator/controllers/internal/status"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/planinput"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/receipt"
)

const (
	// countEvery is how often the records that a hold keeps are counted.
	countEvery = 24 * time.Hour
	// countDeadlineSeconds bounds a count, which may have to read whole tables, and the time that a node needs for the image.
	countDeadlineSeconds = 2 * 60 * 60
	// A count that failed is made again after a quarter of the time that the hold has stood there, within these bounds.
	minRetry, maxRetry = time.Minute, time.Hour
)

// reasonNotProbed says that no probe has reached the Datastore yet, so that no run can begin on it either.
const reasonNotProbed = "IdentityNotPinned"

// open looks whether what the hold has sealed can be opened, and notes the key.
func (r *Reconciler) open(ctx context.Context, s *scope) error {
	subject := s.hold.Spec.Subject
	if subject == nil || subject.Sealed == "" {
		return nil
	}
	_, key, err := sealing.OpenFor(ctx, r.Keys, subject.Sealed, s.hold.Namespace)
	switch {
	case errors.Is(err, sealing.ErrUnreadable):
		s.sealed = "spec.subject.sealed: " + err.Error()
	case err != nil:
		return fmt.Errorf("opening the subject: %w", err)
	default:
		s.hold.Status.SealingKey = key
	}
	return nil
}

// count has a Job count the records that the hold keeps in a Datastore, if that is due, and takes in what it says.
func (r *Reconciler) count(ctx context.Context, s *scope, ds *retentionv1.Datastore, e *retentionv1.HoldDatastore) error {
	was := s.entry(ds)
	if s.whole() || len(e.Datasets) == 0 || e.Reason != "" {
		return nil
	}
	if s.sealed != "" {
		e.Reason, e.Message = retentionv1.ReasonHoldUnreadable, s.sealed
		return nil
	}
	if due := countDue(ds, e); due.After(s.now) {
		s.again(due.Sub(s.now))
		return nil
	}
	if ds.Status.Identity == "" {
		e.Reason, e.Message = reasonNotProbed, "Waiting for the first probe of the Datastore, to count what the hold keeps"
		return nil
	}
	c, err := s.counting(ds, e, r.Image)
	if err != nil {
		return err
	}
	s.keep = append(s.keep, c.in.Name)
	job, err := r.ensure(ctx, c)
	if errors.Is(err, purgejob.ErrForeign) {
		e.Reason, e.Message = "NameCollision", status.Truncate(err.Error(), maxMessage)
		return nil
	}
	if was.Reason == retentionv1.ReasonHoldUnreadable { // until a count has read it
		e.Reason, e.Message = was.Reason, was.Message
	}
	if err != nil {
		return err
	}
	return r.collect(ctx, s, e, c, job)
}

// countDue is when the next count is due: at once after a change of the data map, else once a day.
func countDue(ds *retentionv1.Datastore, e *retentionv1.HoldDatastore) time.Time {
	if e.CountedTime == nil || e.Generation != ds.Generation {
		return time.Time{}
	}
	return e.CountedTime.Add(countEvery)
}

// counting is a count.
type counting struct {
	in    purgejob.Input
	plan  plan.Plan
	holds holds.Set
}

// counting says what the Job of a count is made of. Its name changes with the plan and with each count that succeeds.
func (s *scope) counting(ds *retentionv1.Datastore, e *retentionv1.HoldDatastore, image string) (*counting, error) {
	c := &counting{plan: plan.CompileCountHeld(planinput.Datastore(ds), []plan.HoldInput{s.input}), holds: holds.Set{*s.hold}}
	last := ptr.Deref(e.CountedTime, ptr.Deref(e.RegisteredTime, metav1.Time{}))
	c.plan.Run = purgejob.RunName("hold-"+s.hold.Name, last.Time)
	encoded, err := c.plan.Encode()
	if err != nil {
		return nil, err
	}
	c.in = purgejob.Input{
		Kind:                  plan.CountHeld,
		Namespace:             s.hold.Namespace,
		Name:                  purgejob.JobName("hold-"+s.hold.Name, ds.Name, last.Time, s.uid()+plan.DigestOf(encoded)),
		Run:                   c.plan.Run,
		Datastore:             ds.Name,
		Owner:                 *metav1.NewControllerRef(s.hold, retentionv1.GroupVersion.WithKind("LegalHold")),
		Plan:                  encoded,
		Image:                 image,
		ConnectionSecret:      ds.Spec.GetConnectionSecret(),
		Holds:                 c.holds.Sources(&c.plan),
		Types:                 holds.Types(&c.plan),
		ActiveDeadlineSeconds: countDeadlineSeconds,
	}
	if c.holds.Sealed(&c.plan) {
		c.in.Carried = c.in.Name
	}
	return c, nil
}

// ensure returns the Job of a count, which it makes if it is not there.
func (r *Reconciler) ensure(ctx context.Context, c *counting) (*batchv1.Job, error) {
	job := &batchv1.Job{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: c.in.Namespace, Name: c.in.Name}, job)
	if err == nil {
		return job, purgejob.Ours(job, c.in)
	}
	if !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("reading the Job that counts: %w", err)
	}
	if c.in.Carried != "" {
		opened, err := c.holds.Carried(ctx, r.Keys, &c.plan)
		if err != nil {
			return nil, err
		}
		if err := r.jobs().HandOff(ctx, c.in, opened); err != nil {
			return nil, err
		}
	}
	return r.jobs().Ensure(ctx, c.in)
}

// collect writes what a count says into the status, once its Job has ended. A Job that failed is made anew after a while.
func (r *Reconciler) collect(ctx context.Context, s *scope, e *retentionv1.HoldDatastore, c *counting, job *batchv1.Job) error {
	s.again(pollInterval)
	pods, err := r.jobs().Pods(ctx, job)
	if err != nil {
		return err
	}
	if !purgejob.State(job).Finished() || !purgejob.Settled(job, pods) || !job.DeletionTimestamp.IsZero() {
		if reason, message := purgejob.Waiting(pods); reason != "" && e.Reason == "" {
			e.Reason, e.Message = reason, message
		}
		return nil
	}
	total := receipt.Merge(&c.plan, purgejob.Attempts(job, pods))
	if total.Reason == receipt.Succeeded && len(total.Steps) == 1 && total.Steps[0].Counted {
		e.Records, e.CountedTime, e.Generation = ptr.To(total.Steps[0].Held), ptr.To(metav1.NewTime(s.now)), c.plan.Datastore.Generation
		e.Reason, e.Message = "", ""
		return nil
	}
	e.Reason, e.Message = failure(total)
	if left := ended(job).Add(retryAfter(e, s.now)).Sub(s.now); left > 0 {
		s.again(left)
		return nil
	}
	s.keep = slices.DeleteFunc(s.keep, func(name string) bool { return name == job.Name })
	s.again(immediately)
	return nil
}

// failure is why a count has no result.
func failure(total receipt.Total) (reason, message string) {
	reason, message = string(total.Reason), total.Message
	if total.Reason == receipt.Succeeded {
		reason = string(receipt.InternalError)
	}
	if message == "" {
		message = "The records that the hold keeps could not be counted"
	}
	return reason, status.Truncate(message, maxMessage)
}

// maxMessage is the most bytes of an entry's message.
const maxMessage = 512

// retryAfter is how long after a count that failed the next one is made.
func retryAfter(e *retentionv1.HoldDatastore, now time.Time) time.Duration {
	if e.RegisteredTime == nil {
		return minRetry
	}
	return min(max(now.Sub(e.RegisteredTime.Time)/4, minRetry), maxRetry)
}

// ended is when a Job ended.
func ended(job *batchv1.Job) time.Time {
	for _, c := range job.Status.Conditions {
		if c.Type == batchv1.JobFailed || c.Type == batchv1.JobComplete {
			return c.LastTransitionTime.Time
		}
	}
	return time.Time{}
}

// tidy removes the Jobs of counts whose result is on record, with all that was made for them.
func (r *Reconciler) tidy(ctx context.Context, s *scope) error {
	list := &batchv1.JobList{}
	if err := r.Client.List(ctx, list, client.InNamespace(s.hold.Namespace), client.MatchingLabels{
		purgejob.LabelManagedBy: purgejob.ManagedBy, purgejob.LabelComponent: purgejob.ComponentLook,
	}); err != nil {
		return fmt.Errorf("listing Jobs: %w", err)
	}
	for i := range list.Items {
		job := &list.Items[i]
		if !metav1.IsControlledBy(job, s.hold) || slices.Contains(s.keep, job.Name) {
			continue
		}
		if err := r.jobs().DropHandOff(ctx, job.Namespace, job.Name); err != nil {
			return err
		}
		if err := r.jobs().Remove(ctx, s.hold, job.Name); err != nil {
			return err
		}
	}
	return nil
}
