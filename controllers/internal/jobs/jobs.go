// SPDX-License-Identifier: Apache-2.0

// Package jobs makes Jobs and lets go of them, for every controller that starts one.
package jobs

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"dataretention.dev/retention-operator/internal/purgejob"
)

// Keeper keeps Jobs. Client writes; Live reads past the cache.
type Keeper struct {
	Client client.Client
	Live   client.Reader
}

// Ensure makes the ConfigMap and the Job, or finds them made by an earlier pass. What is there and not provably ours is an
// error that wraps purgejob.ErrForeign.
func (k Keeper) Ensure(ctx context.Context, in purgejob.Input) (*batchv1.Job, error) {
	objects, err := purgejob.Build(in)
	if err != nil {
		return nil, err
	}
	configMap := &corev1.ConfigMap{}
	if err := k.getOrCreate(ctx, objects.ConfigMap, configMap); err != nil {
		return nil, err
	}
	if err := purgejob.OursPlan(configMap, in); err != nil {
		return nil, err
	}
	job := &batchv1.Job{}
	if err := k.getOrCreate(ctx, objects.Job, job); err != nil {
		return nil, err
	}
	return job, purgejob.Ours(job, in)
}

// getOrCreate reads the object of desired's name into found, or creates desired there.
func (k Keeper) getOrCreate(ctx context.Context, desired, found client.Object) error {
	key := client.ObjectKeyFromObject(desired)
	err := k.Live.Get(ctx, key, found)
	if apierrors.IsNotFound(err) {
		if err = k.Client.Create(ctx, desired); err == nil || apierrors.IsAlreadyExists(err) {
			err = k.Live.Get(ctx, key, found)
		}
	}
	if err != nil {
		return fmt.Errorf("making %T %s: %w", desired, key.Name, err)
	}
	return nil
}

// Pods lists the Pods of a Job past the cache: a Pod that is missing here is a receipt that is missing there.
func (k Keeper) Pods(ctx context.Context, job *batchv1.Job) ([]corev1.Pod, error) {
	list := &corev1.PodList{}
	if err := k.Live.List(ctx, list, client.InNamespace(job.Namespace), client.MatchingLabels{batchv1.JobNameLabel: job.Name}); err != nil {
		return nil, fmt.Errorf("listing the Job's Pods: %w", err)
	}
	return purgejob.PodsOf(job, list.Items), nil
}

// Unsuspend lets a Job work.
func (k Keeper) Unsuspend(ctx context.Context, job *batchv1.Job) error {
	base := job.DeepCopy()
	job.Spec.Suspend = ptr.To(false)
	if err := k.Client.Patch(ctx, job, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("releasing the Job: %w", err)
	}
	return nil
}

// LetGo takes our finalizer off a Job, if owner controls it, and off its Pods, also those of a Job that somebody has
// removed together with its finalizer: nobody else would.
func (k Keeper) LetGo(ctx context.Context, owner client.Object, name string) error {
	job := &batchv1.Job{}
	err := k.Live.Get(ctx, client.ObjectKey{Namespace: owner.GetNamespace(), Name: name}, job)
	gone := apierrors.IsNotFound(err)
	if err != nil && !gone {
		return fmt.Errorf("reading the Job: %w", err)
	}
	if !gone && !metav1.IsControlledBy(job, owner) {
		return nil
	}
	list := &corev1.PodList{}
	if err := k.Live.List(ctx, list, client.InNamespace(owner.GetNamespace()), client.MatchingLabels{
		batchv1.JobNameLabel: name, purgejob.LabelManagedBy: purgejob.ManagedBy,
	}); err != nil {
		return fmt.Errorf("listing the Job's Pods: %w", err)
	}
	for i := range list.Items {
		if err := k.dropFinalizer(ctx, &list.Items[i]); err != nil {
			return err
		}
	}
	if gone {
		return nil
	}
	return k.dropFinalizer(ctx, job)
}

func (k Keeper) dropFinalizer(ctx context.Context, obj client.Object) error {
	base := obj.DeepCopyObject().(client.Object) // a copy of an object is an object
	if !controllerutil.RemoveFinalizer(obj, purgejob.Finalizer) {
		return nil
	}
	if err := k.Client.Patch(ctx, obj, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("taking the finalizer off: %w", err)
	}
	return nil
}

// Remove lets go of a Job that owner controls and deletes it with its plan.
func (k Keeper) Remove(ctx context.Context, owner client.Object, name string) error {
	if err := k.LetGo(ctx, owner, name); err != nil {
		return err
	}
	for _, obj := range []client.Object{&batchv1.Job{}, &corev1.ConfigMap{}} {
		err := k.Live.Get(ctx, client.ObjectKey{Namespace: owner.GetNamespace(), Name: name}, obj)
		if apierrors.IsNotFound(err) || err == nil && !metav1.IsControlledBy(obj, owner) {
			continue
		}
		if err == nil {
			uid := obj.GetUID()
			err = k.Client.Delete(ctx, obj, client.PropagationPolicy(metav1.DeletePropagationBackground), client.Preconditions{UID: &uid})
		}
		if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting %T %s: %w", obj, name, err)
		}
	}
	return nil
}
