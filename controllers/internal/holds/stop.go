// SPDX-License-Identifier: Apache-2.0

package holds

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
)

// Annotations of a Job that was stopped: since when it is not to work any more, and why, in one word.
const (
	AnnotationStopped = retentionv1.Group + "/stopped-at"
	annotationReason  = retentionv1.Group + "/stopped-for"
)

// SettleAfter is how long the Job controller may still make a Pod of a Job that it has not yet seen stopped.
const SettleAfter = 10 * time.Second

// Stopped says whether a Job was stopped for good.
func Stopped(job *batchv1.Job) bool { return job.Annotations[AnnotationStopped] != "" }

// Ceased says whether a Job that was stopped can have no Pod any more that we do not see.
func Ceased(job *batchv1.Job, now time.Time) bool {
	stopped, err := time.Parse(time.RFC3339, job.Annotations[AnnotationStopped])
	return err == nil && ptr.Deref(job.Spec.Suspend, false) && SettlesIn(stopped, now) == 0
}

// StoppedFor is why a Job was stopped; empty if it was not, or for no reason that has a word.
func StoppedFor(job *batchv1.Job) string { return job.Annotations[annotationReason] }

// Stop ends a Job for good, and returns since when. It is suspended, not deleted: of a Job that is being deleted Kubernetes
// no longer stops the Pods. The Pod ends with its batch, and our finalizer keeps its receipt. The mark on the Job makes a
// release that another manager is about to write fail, and keeps the Job from ever being released again. reason may be
// empty; the first one stays.
func Stop(ctx context.Context, c client.Client, job *batchv1.Job, reason string, now time.Time) (time.Time, error) {
	stopped, err := time.Parse(time.RFC3339, job.Annotations[AnnotationStopped])
	if ptr.Deref(job.Spec.Suspend, false) && err == nil {
		return stopped, nil
	}
	base := job.DeepCopy()
	job.Spec.Suspend = ptr.To(true)
	metav1.SetMetaDataAnnotation(&job.ObjectMeta, AnnotationStopped, now.UTC().Format(time.RFC3339))
	if reason != "" && StoppedFor(job) == "" {
		metav1.SetMetaDataAnnotation(&job.ObjectMeta, annotationReason, reason)
	}
	if err := c.Patch(ctx, job, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
		return time.Time{}, fmt.Errorf("suspending the Job: %w", err)
	}
	return now, nil
}

// SettlesIn is how long to wait until every Pod of a Job that was stopped at a time can be seen: a Pod that is being made
// just then would go unnoticed, and its receipt with it.
func SettlesIn(stopped, now time.Time) time.Duration {
	if left := stopped.Add(SettleAfter).Sub(now); left > 0 && left <= SettleAfter {
		return left
	}
	return 0
}
