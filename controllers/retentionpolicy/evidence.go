// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"context"
	"errors"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/internal/purgejob"
)

// reasonNotBegun is why the Job of an entry is stopped that ends before it was released.
const reasonNotBegun = "NotBegun"

// unbegun says whether a Job was stopped before it was released.
func unbegun(job *batchv1.Job) bool {
	return holds.StoppedFor(job) == reasonPlanChanged || holds.StoppedFor(job) == reasonNotBegun
}

// carry takes an entry on that is on record as released. However its execution ends, its Result is in the ledger before that
// is on record: an entry that was released has exactly one Intent and one Result. An entry whose step failed stays as it was.
func (r *Reconciler) carry(ctx context.Context, s *scope, d *retentionv1.RunDatastore) error {
	d.Evidence = nil
	before := d.DeepCopy()
	err := r.supervise(ctx, s, d)
	if err == nil && d.Evidence == nil && (d.State != retentionv1.RunReleased || d.Job != before.Job) {
		err = r.abandon(ctx, s, before, d)
	}
	if err != nil {
		*d = *before
	}
	return err
}

// abandon closes the execution of an entry that leaves no receipts. was is the entry before it ended, or was given another
// plan, which d has now.
func (r *Reconciler) abandon(ctx context.Context, s *scope, was, d *retentionv1.RunDatastore) error {
	of := account{lost: d.Reason == reasonReceiptLost}
	if !of.lost {
		if err := r.forbid(ctx, s, was.Job); err != nil {
			return err
		}
	}
	intent, err := r.intention(ctx, s, was)
	if err != nil {
		return err
	}
	ended := d
	if d.Job != was.Job {
		ended = was.DeepCopy()
		finish(ended, retentionv1.OutcomeInterrupted, reasonPlanChanged, "The plan changed before the purge began; another takes its place")
	}
	return r.close(ctx, s, was, ended, intent, of)
}

// errBegun says that a Job which was not to begin has begun, or may have.
var errBegun = errors.New("the Job was released by another manager")

// forbid makes sure that a Job which was not released never will be: nothing may be done of which the ledger says that it was
// not. The write fails if another manager releases the Job just now.
func (r *Reconciler) forbid(ctx context.Context, s *scope, name string) error {
	job := &batchv1.Job{}
	if err := r.Live.Get(ctx, client.ObjectKey{Namespace: s.policy.Namespace, Name: name}, job); err != nil {
		return fmt.Errorf("reading the Job past the cache: %w", err)
	}
	if !ptr.Deref(job.Spec.Suspend, false) || holds.Stopped(job) && !unbegun(job) {
		return errBegun
	}
	if _, err := holds.Stop(ctx, r.Client, job, reasonNotBegun, s.now); err != nil {
		return err
	}
	pods, err := r.jobs().Pods(ctx, job)
	if err == nil && len(pods) > 0 {
		err = errBegun
	}
	return err
}

// ledgerMessage is what a status says while the ledger keeps a run waiting.
const ledgerMessage = "The evidence ledger cannot be used now: nothing is released, and nothing that was done is let go of, until it can"

// await says that the ledger keeps a run waiting.
func (s *scope) await(ctx context.Context, err error) {
	log.FromContext(ctx).Info("A run waits for the ledger", "cause", err.Error())
	s.unattested = true
	s.again(pollInterval)
}

// await says that the ledger keeps an entry waiting. A hold need not wait for it: once the Job can do nothing any more, the
// run respects every hold.
func (r *Reconciler) await(ctx context.Context, s *scope, d *retentionv1.RunDatastore, err error) error {
	s.await(ctx, err)
	d.Reason, d.Message = retentionv1.ReasonLedgerUnavailable, ledgerMessage
	job := &batchv1.Job{}
	err = r.Live.Get(ctx, client.ObjectKey{Namespace: s.policy.Namespace, Name: d.Job}, job)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the Job past the cache: %w", err)
	}
	pods, err := r.jobs().Pods(ctx, job)
	if err != nil || !purgejob.Settled(job, pods) || !purgejob.State(job).Finished() && !holds.Ceased(job, s.now) {
		return err
	}
	ds, err := r.datastoreOf(ctx, s, d)
	if err != nil || ds == nil || !s.holds(ds) {
		return err
	}
	inForce, err := holds.InForce(ctx, r.Live, ds)
	if err != nil {
		return err
	}
	return r.hold(ctx, ds, append(inForce.UIDs(), ds.Status.ActiveRun.Holds...))
}
