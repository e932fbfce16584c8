// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/planinput"
	"dataretention.dev/retention-operator/internal/purgejob"
)

// SetupWithManager registers the controller. It hears of a Datastore's spec, labels and annotations, of its probes, and of
// the specs of the policies in its namespace.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	probes := builder.WithPredicates(predicate.NewPredicateFuncs(isProbe))
	specs := builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}))
	err := ctrl.NewControllerManagedBy(mgr).
		Named("datastore").
		For(&retentionv1.Datastore{}, builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}, predicate.AnnotationChangedPredicate{},
		))).
		Owns(&batchv1.Job{}, probes).
		Owns(&corev1.ConfigMap{}, probes).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(ofProbe), probes).
		Watches(&retentionv1.RetentionPolicy{}, handler.EnqueueRequestsFromMapFunc(r.selectedBy), specs).
		Complete(r)
	if err != nil {
		return fmt.Errorf("setting up the Datastore controller: %w", err)
	}
	return nil
}

func isProbe(obj client.Object) bool {
	return obj.GetLabels()[purgejob.LabelComponent] == purgejob.ComponentProbe
}

// ofProbe maps a probe's Pod to its Datastore, whose name is short enough to be a label whole.
func ofProbe(_ context.Context, obj client.Object) []ctrl.Request {
	name := obj.GetLabels()[purgejob.LabelDatastore]
	if name == "" {
		return nil
	}
	return []ctrl.Request{{NamespacedName: types.NamespacedName{Namespace: obj.GetNamespace(), Name: name}}}
}

// selectedBy maps a policy to the Datastores that it selects. When its selector changes it is asked for the old policy
// and for the new one.
func (r *Reconciler) selectedBy(ctx context.Context, obj client.Object) []ctrl.Request {
	policy, ok := obj.(*retentionv1.RetentionPolicy)
	if !ok {
		return nil
	}
	list := &retentionv1.DatastoreList{}
	if err := r.Client.List(ctx, list, client.InNamespace(policy.Namespace)); err != nil {
		return nil // the cache is not there yet; every Datastore gets its first pass anyway
	}
	var requests []ctrl.Request
	for i := range list.Items {
		if planinput.Selects(policy, list.Items[i].Labels) {
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return requests
}
