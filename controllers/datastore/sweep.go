// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/purgejob"
)

// sweep lets go of every probe of the Datastore but the one to keep: it takes our finalizer off its Pods and its Job, and
// deletes the Job and its plan. Probes of an earlier Datastore of the same name go too. A probe changes nothing, so that
// one too many deleted is only made again.
func (r *Reconciler) sweep(ctx context.Context, namespace, name, keep string) error {
	probes := []client.ListOption{client.InNamespace(namespace), client.MatchingLabels{
		purgejob.LabelManagedBy: purgejob.ManagedBy,
		purgejob.LabelComponent: purgejob.ComponentProbe,
		purgejob.LabelDatastore: purgejob.LabelValue(name),
	}}
	pods, jobs, plans := &corev1.PodList{}, &batchv1.JobList{}, &corev1.ConfigMapList{}
	for _, list := range []client.ObjectList{pods, jobs, plans} {
		if err := r.Client.List(ctx, list, probes...); err != nil {
			return fmt.Errorf("listing old probes: %w", err)
		}
	}
	for i := range jobs.Items {
		if job := &jobs.Items[i]; job.Name != keep && ownedByDatastore(job, name) {
			if err := r.drop(ctx, job); err != nil {
				return err
			}
		}
	}
	for i := range pods.Items { // after their Job is marked for deletion, so that no new one comes
		if pod := &pods.Items[i]; pod.Labels[batchv1.JobNameLabel] != keep {
			if err := r.unfinalize(ctx, pod); err != nil {
				return err
			}
		}
	}
	for i := range plans.Items {
		if plan := &plans.Items[i]; plan.Name != keep && ownedByDatastore(plan, name) {
			if err := r.drop(ctx, plan); err != nil {
				return err
			}
		}
	}
	return nil
}

func ownedByDatastore(obj client.Object, name string) bool {
	owner := metav1.GetControllerOfNoCopy(obj)
	return owner != nil && owner.Kind == "Datastore" && owner.Name == name && owner.APIVersion == retentionv1.GroupVersion.String()
}

// drop takes our finalizer off an object of ours and deletes it, this very one.
func (r *Reconciler) drop(ctx context.Context, obj client.Object) error {
	if err := r.unfinalize(ctx, obj); err != nil || !obj.GetDeletionTimestamp().IsZero() {
		return err
	}
	uid := obj.GetUID()
	err := r.Client.Delete(ctx, obj, client.PropagationPolicy(metav1.DeletePropagationBackground), client.Preconditions{UID: &uid})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting an old probe: %w", err)
	}
	return nil
}

// unfinalize takes our finalizer off, whatever else has happened to the object.
func (r *Reconciler) unfinalize(ctx context.Context, obj client.Object) error {
	base := obj.DeepCopyObject().(client.Object) // a copy of an object is an object
	if !controllerutil.RemoveFinalizer(obj, purgejob.Finalizer) {
		return nil
	}
	patch := client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, obj, patch); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("letting go of an old probe: %w", err)
	}
	return nil
}
