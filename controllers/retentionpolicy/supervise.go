// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/facts"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/receipt"
)

// supervise releases the Job of an entry that is on record as Released, and adds up its receipts once it has ended.
func (r *Reconciler) supervise(ctx context.Context, s *scope, d *retentionv1.RunDatastore) error {
	job := &batchv1.Job{}
	key := client.ObjectKey{Namespace: s.policy.Namespace, Name: d.Job}
	err := r.Client.Get(ctx, key, job)
	if apierrors.IsNotFound(err) {
		err = r.Live.Get(ctx, key, job)
	}
	switch {
	case apierrors.IsNotFound(err), err == nil && (!metav1.IsControlledBy(job, s.policy) || job.Annotations[purgejob.AnnotationPlanDigest] != d.PlanDigest):
		finish(d, retentionv1.OutcomeFailed, reasonReceiptLost,
			"The purge Job is gone, and with it the account of what it did; somebody has removed it together with its finalizer")
		return nil
	case err != nil:
		return fmt.Errorf("reading the Job: %w", err)
	}
	switch {
	case purgejob.State(job).Finished():
		return r.collect(ctx, s, d, job)
	case !job.DeletionTimestamp.IsZero():
		return r.collectStopped(ctx, s, d, job, job.DeletionTimestamp.Time)
	case s.deleting() || holds.Stopped(job) && !unbegun(job):
		return r.stop(ctx, s, d, job, "")
	case ptr.Deref(job.Spec.Suspend, false):
		return r.release(ctx, s, d, job)
	case s.withdrawn(s.policy):
		return r.stop(ctx, s, d, job, "")
	}
	switch reason, err := r.objection(ctx, s, d); {
	case err != nil:
		return err
	case reason != "":
		return r.stop(ctx, s, d, job, reason)
	}
	return r.report(ctx, s, d, job)
}

// current reads the policy past the cache and says whether an entry is on record there as it is here, with its run, state
// and plan. If it is not, what we hold is out of date; the next pass sees why.
func (r *Reconciler) current(ctx context.Context, s *scope, d *retentionv1.RunDatastore) (*retentionv1.RetentionPolicy, bool, error) {
	policy := &retentionv1.RetentionPolicy{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(s.policy), policy); err != nil {
		return nil, false, fmt.Errorf("reading the policy past the cache: %w", err)
	}
	active := policy.Status.ActiveRun
	if policy.UID != s.policy.UID || policy.Generation != s.policy.Generation || !policy.DeletionTimestamp.IsZero() ||
		active == nil || active.Name != s.run().Name {
		return nil, false, nil
	}
	on := findDatastore(active, d.Name)
	return policy, on != nil && on.State == d.State && on.PlanDigest == d.PlanDigest, nil
}

// release looks, past every cache, at all that could forbid the run, and starts the Job only if nothing does. The holds that
// are on record in the Datastore are then exactly those that the plan respects.
func (r *Reconciler) release(ctx context.Context, s *scope, d *retentionv1.RunDatastore, job *batchv1.Job) error {
	policy, current, err := r.current(ctx, s, d)
	if err != nil || !current {
		s.again(pollInterval)
		return err
	}
	pods, err := r.jobs().Pods(ctx, job)
	if err != nil {
		return err
	}
	if len(pods) > 0 { // it was suspended after it had begun: what it did must be accounted for, whatever is the matter now
		if s.withdrawn(policy) || holds.Stopped(job) {
			return r.stop(ctx, s, d, job, "")
		}
		return r.resume(ctx, s, d, job)
	}
	ds, err := r.liveDatastore(ctx, s, d)
	if err != nil || ds == nil {
		return err
	}
	switch {
	case !s.holds(ds):
		finish(d, retentionv1.OutcomeFailed, reasonDatastoreLost, "status.activeRun of the Datastore was overwritten before the purge began")
		return nil
	case !usable(ds, d):
		return nil
	case s.withdrawn(policy):
		finish(d, retentionv1.OutcomeInterrupted, reasonPlanChanged, "spec.mode no longer lets anything be changed")
		return nil
	case yields(ds, s.run(), s.now):
		return r.stop(ctx, s, d, job, holds.ReasonErasurePending)
	}
	c, err := r.compile(ctx, s, ds)
	if err != nil {
		return err
	}
	if c.digest != d.PlanDigest { // nothing has been done yet: what has changed since is part of the plan
		// Nobody who believes in the old plan may release its Job once the new one is on record.
		if _, err := holds.Stop(ctx, r.Client, job, reasonPlanChanged, s.now); err != nil {
			return err
		}
		return r.replan(ctx, s, d, c)
	}
	if holds.Stopped(job) {
		finish(d, retentionv1.OutcomeInterrupted, holds.ReasonHeld, "What was against the purge before it began is so no more. A new run follows at once")
		return nil
	}
	if err := r.hold(ctx, ds, c.holds.UIDs()); err != nil {
		return err
	}
	d.Holds = c.holds.Names()
	return r.declare(ctx, s, d, job, prospect{datastore: ds, plan: &c.plan, holds: c.holds})
}

// declare sees to it that the ledger says what a Job is about to do, and starts the Job if that is on record: not in the same
// pass as it is stated.
func (r *Reconciler) declare(ctx context.Context, s *scope, d *retentionv1.RunDatastore, job *batchv1.Job, of prospect) error {
	intent, err := r.intend(ctx, s, d, of)
	if err != nil {
		return err
	}
	d.Reason, d.Message = "", ""
	if !facts.Refers(d.Intent, intent) {
		d.Intent = facts.Reference(intent)
		s.again(immediately)
		return nil
	}
	return r.unsuspend(ctx, s, job)
}

// withdrawn says whether a person has taken back, by spec.mode, that the run may change anything.
func (s *scope) withdrawn(policy *retentionv1.RetentionPolicy) bool {
	return s.run().Mode == retentionv1.ModeEnforce && policy.Spec.GetMode() != retentionv1.ModeEnforce
}

// resume lets a Job go on that was suspended while it ran, or ends it if it no longer may.
func (r *Reconciler) resume(ctx context.Context, s *scope, d *retentionv1.RunDatastore, job *batchv1.Job) error {
	ds := &retentionv1.Datastore{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: s.policy.Namespace, Name: d.Name}, ds)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading the datastore: %w", err)
	}
	if err != nil || ds.Status.ObservedIdentity != ds.Status.Identity {
		return r.stop(ctx, s, d, job, "")
	}
	switch reason, err := r.objection(ctx, s, d); {
	case err != nil:
		return err
	case reason != "":
		return r.stop(ctx, s, d, job, reason)
	}
	return r.unsuspend(ctx, s, job)
}

func (r *Reconciler) unsuspend(ctx context.Context, s *scope, job *batchv1.Job) error {
	s.again(pollInterval)
	return r.jobs().Unsuspend(ctx, job)
}

// stop ends a Job for good, for a reason or none, and accounts for what it did.
func (r *Reconciler) stop(ctx context.Context, s *scope, d *retentionv1.RunDatastore, job *batchv1.Job, reason string) error {
	stopped, err := holds.Stop(ctx, r.Client, job, reason, s.now)
	if err != nil {
		return err
	}
	return r.collectStopped(ctx, s, d, job, stopped)
}

// collectStopped is collect for a Job that was stopped at a time, once all its Pods can be seen.
func (r *Reconciler) collectStopped(ctx context.Context, s *scope, d *retentionv1.RunDatastore, job *batchv1.Job, stopped time.Time) error {
	if left := holds.SettlesIn(stopped, s.now); left > 0 {
		s.again(left)
		return nil
	}
	return r.collect(ctx, s, d, job)
}

// report says why a Job's Pod does not start, if it does not.
func (r *Reconciler) report(ctx context.Context, s *scope, d *retentionv1.RunDatastore, job *batchv1.Job) error {
	pods, err := r.jobs().Pods(ctx, job)
	if err != nil {
		return err
	}
	d.Reason, d.Message = purgejob.Waiting(pods)
	s.again(pollInterval)
	return nil
}

// collect adds up the receipts of a Job that has ended, once its last Pod has.
func (r *Reconciler) collect(ctx context.Context, s *scope, d *retentionv1.RunDatastore, job *batchv1.Job) error {
	pods, err := r.jobs().Pods(ctx, job)
	if err != nil {
		return err
	}
	if !purgejob.Settled(job, pods) {
		s.again(pollInterval)
		return nil
	}
	intent, err := r.intention(ctx, s, d)
	if err != nil {
		return err
	}
	of := account{attempts: purgejob.Attempts(job, pods), receipts: facts.Receipts(job, pods), images: facts.Images(job, pods)}
	total := receipt.Merge(planOf(intent), of.attempts)
	of.total = &total
	was := d.DeepCopy()
	record(d, of.total)
	if !purgejob.State(job).Finished() {
		interrupted(d, holds.StoppedFor(job))
	}
	return r.close(ctx, s, was, d, intent, of)
}
