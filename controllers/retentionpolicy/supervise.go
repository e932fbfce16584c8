// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/purgejob"
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
	case s.deleting() || job.Annotations[annotationStopped] != "":
		return r.stop(ctx, s, d, job)
	case ptr.Deref(job.Spec.Suspend, false):
		return r.release(ctx, s, d, job)
	case s.withdrawn(s.policy):
		return r.stop(ctx, s, d, job)
	}
	return r.report(ctx, s, d, job)
}

// release looks, past every cache, at all that could forbid the run, and starts the Job only if nothing does. LegalHolds
// are to be read here as well.
func (r *Reconciler) release(ctx context.Context, s *scope, d *retentionv1.RunDatastore, job *batchv1.Job) error {
	policy := &retentionv1.RetentionPolicy{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(s.policy), policy); err != nil {
		return fmt.Errorf("reading the policy before the release: %w", err)
	}
	active := policy.Status.ActiveRun
	if policy.UID != s.policy.UID || policy.Generation != s.policy.Generation || !policy.DeletionTimestamp.IsZero() ||
		active == nil || active.Name != s.run().Name {
		s.again(pollInterval)
		return nil // what we hold, such as our own rules, is out of date; the next pass sees why
	}
	if on := findDatastore(active, d.Name); on == nil || on.State != retentionv1.RunReleased || on.PlanDigest != d.PlanDigest {
		return nil
	}
	pods, err := r.podsOf(ctx, job)
	if err != nil {
		return err
	}
	if len(pods) > 0 { // it was suspended after it had begun: what it did must be accounted for, whatever is the matter now
		if s.withdrawn(policy) {
			return r.stop(ctx, s, d, job)
		}
		return r.resume(ctx, s, d, job)
	}
	ds, err := r.liveDatastore(ctx, s, d)
	if err != nil || ds == nil {
		return err
	}
	if !s.holds(ds) {
		finish(d, retentionv1.OutcomeFailed, reasonDatastoreLost, "status.activeRun of the Datastore was overwritten before the purge began")
		return nil
	}
	if !usable(ds, d) {
		return nil
	}
	if s.withdrawn(policy) {
		finish(d, retentionv1.OutcomeInterrupted, reasonPlanChanged, "spec.mode no longer lets anything be changed")
		return nil
	}
	c, err := r.compile(ctx, s, ds)
	if err != nil {
		return err
	}
	if c.digest != d.PlanDigest { // nothing has been done yet: what has changed since is part of the plan
		return settle(d, c)
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
	if err != nil || !s.holds(ds) || ds.Status.ObservedIdentity != ds.Status.Identity {
		return r.stop(ctx, s, d, job)
	}
	return r.unsuspend(ctx, s, job)
}

func (r *Reconciler) unsuspend(ctx context.Context, s *scope, job *batchv1.Job) error {
	base := job.DeepCopy()
	job.Spec.Suspend = ptr.To(false)
	if err := r.Client.Patch(ctx, job, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("releasing the Job: %w", err)
	}
	s.again(pollInterval)
	return nil
}

// stop ends a Job for good and accounts for what it did. It is suspended, not deleted: of a Job that is being deleted
// Kubernetes no longer stops the Pods. The Pod ends with its batch, and our finalizer keeps its receipt. The mark on the
// Job makes a release that another manager is about to write fail, and keeps the Job from ever being released again.
func (r *Reconciler) stop(ctx context.Context, s *scope, d *retentionv1.RunDatastore, job *batchv1.Job) error {
	stopped, err := time.Parse(time.RFC3339, job.Annotations[annotationStopped])
	if !ptr.Deref(job.Spec.Suspend, false) || err != nil {
		base := job.DeepCopy()
		stopped = s.now
		job.Spec.Suspend = ptr.To(true)
		metav1.SetMetaDataAnnotation(&job.ObjectMeta, annotationStopped, stopped.UTC().Format(time.RFC3339))
		if err := r.Client.Patch(ctx, job, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
			return fmt.Errorf("suspending the Job: %w", err)
		}
	}
	return r.collectStopped(ctx, s, d, job, stopped)
}

// annotationStopped says since when a Job is not to work any more.
const annotationStopped = retentionv1.Group + "/stopped-at"

// settleAfter is how long the Job controller may still make a Pod of a Job that it has not yet seen stopped.
const settleAfter = 10 * time.Second

// collectStopped is collect for a Job that was stopped at a time: a Pod that is being made just then would go unnoticed,
// and its receipt with it.
func (r *Reconciler) collectStopped(ctx context.Context, s *scope, d *retentionv1.RunDatastore, job *batchv1.Job, stopped time.Time) error {
	if left := stopped.Add(settleAfter).Sub(s.now); left > 0 && left <= settleAfter {
		s.again(left)
		return nil
	}
	return r.collect(ctx, s, d, job)
}

// report says why a Job's Pod does not start, if it does not.
func (r *Reconciler) report(ctx context.Context, s *scope, d *retentionv1.RunDatastore, job *batchv1.Job) error {
	pods, err := r.podsOf(ctx, job)
	if err != nil {
		return err
	}
	d.Reason, d.Message = purgejob.Waiting(pods)
	s.again(pollInterval)
	return nil
}

// collect adds up the receipts of a Job that has ended, once its last Pod has.
func (r *Reconciler) collect(ctx context.Context, s *scope, d *retentionv1.RunDatastore, job *batchv1.Job) error {
	pods, err := r.podsOf(ctx, job)
	if err != nil {
		return err
	}
	if !purgejob.Settled(job, pods) {
		s.again(pollInterval)
		return nil
	}
	record(d, s.run().Mode, purgejob.Attempts(job, pods))
	return nil
}

// podsOf lists the Pods of a Job past the cache: a Pod that is missing here is a receipt that is missing there.
func (r *Reconciler) podsOf(ctx context.Context, job *batchv1.Job) ([]corev1.Pod, error) {
	list := &corev1.PodList{}
	if err := r.Live.List(ctx, list, client.InNamespace(job.Namespace), client.MatchingLabels{batchv1.JobNameLabel: job.Name}); err != nil {
		return nil, fmt.Errorf("listing the Job's Pods: %w", err)
	}
	return purgejob.PodsOf(job, list.Items), nil
}

// dropFinalizers lets go of a Job and its Pods.
func (r *Reconciler) dropFinalizers(ctx context.Context, policy *retentionv1.RetentionPolicy, name string) error {
	job := &batchv1.Job{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: policy.Namespace, Name: name}, job)
	if apierrors.IsNotFound(err) {
		return r.dropOrphans(ctx, policy, name)
	}
	if err != nil {
		return fmt.Errorf("reading the Job: %w", err)
	}
	if !metav1.IsControlledBy(job, policy) {
		return nil
	}
	pods, err := r.podsOf(ctx, job)
	if err != nil {
		return err
	}
	for i := range pods {
		if err := r.dropFinalizer(ctx, &pods[i]); err != nil {
			return err
		}
	}
	return r.dropFinalizer(ctx, job)
}

// dropOrphans lets go of the Pods of a Job that somebody has removed together with its finalizer: nobody else would.
func (r *Reconciler) dropOrphans(ctx context.Context, policy *retentionv1.RetentionPolicy, job string) error {
	list := &corev1.PodList{}
	if err := r.Live.List(ctx, list, client.InNamespace(policy.Namespace), client.MatchingLabels{
		batchv1.JobNameLabel: job, purgejob.LabelPolicy: purgejob.LabelValue(policy.Name),
	}); err != nil {
		return fmt.Errorf("listing the Pods of a Job that is gone: %w", err)
	}
	for i := range list.Items {
		if err := r.dropFinalizer(ctx, &list.Items[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reconciler) dropFinalizer(ctx context.Context, obj client.Object) error {
	base := obj.DeepCopyObject().(client.Object)
	if !controllerutil.RemoveFinalizer(obj, purgejob.Finalizer) {
		return nil
	}
	if err := r.Client.Patch(ctx, obj, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("taking the finalizer off: %w", err)
	}
	return nil
}
