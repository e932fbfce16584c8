// SPDX-License-Identifier: Apache-2.0

package erasurerun

import (
	"context"
	"fmt"
	"io"
	"maps"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/controllers/internal/erasure"
)

// keptKey is the key of an account that was put by in its ConfigMap, which has the name of the Pod.
const keptKey = "account.gz"

// keep puts the accounts of Pods by whose logs are about to go: that of a Pod which is deleted while its Job goes on, or was
// stopped, would be gone when the Job has ended. They are sealed, and go when the Datastore is given back.
func (r *Reconciler) keep(ctx context.Context, s *scope, job *batchv1.Job, pods []corev1.Pod) error {
	for i := range pods {
		pod := &pods[i]
		if !erasure.Perishable(pod) {
			continue
		}
		found, err := r.kept(ctx, s, pod.Name)
		if err != nil {
			return err
		}
		if found != nil {
			continue
		}
		packed, err := erasure.Keep(ctx, r.Logs, pod)
		if err != nil {
			return err
		}
		if packed == nil {
			continue
		}
		err = r.Client.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{
				Namespace: pod.Namespace, Name: pod.Name, Labels: maps.Clone(job.Labels), OwnerReferences: []metav1.OwnerReference{*ownerOf(s.ds)},
			},
			Immutable: ptr.To(true), BinaryData: map[string][]byte{keptKey: packed},
		})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("putting the account of Pod %s by: %w", pod.Name, err)
		}
	}
	return nil
}

// kept returns the account of a Pod that was put by, or nil.
func (r *Reconciler) kept(ctx context.Context, s *scope, pod string) ([]byte, error) {
	configMap := &corev1.ConfigMap{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: s.ds.Namespace, Name: pod}, configMap)
	if apierrors.IsNotFound(err) || err == nil && !metav1.IsControlledBy(configMap, s.ds) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading an account that was put by: %w", err)
	}
	return configMap.BinaryData[keptKey], nil
}

// logs reads the log of a Pod, or what was put by of it.
func (r *Reconciler) logs(s *scope) erasure.Logs {
	return func(ctx context.Context, namespace, pod string) (io.ReadCloser, error) {
		packed, err := r.kept(ctx, s, pod)
		if err != nil {
			return nil, err
		}
		if packed != nil {
			if log, err := erasure.Unpack(packed); err == nil {
				return log, nil
			}
		}
		return r.Logs(ctx, namespace, pod)
	}
}
