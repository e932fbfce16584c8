// SPDX-License-Identifier: Apache-2.0

package legalhold

import (
	"context"
	"fmt"
	"maps"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
)

// SetupWithManager registers the controller. It hears of a hold's spec, of its Jobs, and of every Datastore of its
// namespace, as far as it matters to holds.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	err := ctrl.NewControllerManagedBy(mgr).
		Named("legalhold").
		For(&retentionv1.LegalHold{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(&batchv1.Job{}).
		Watches(&retentionv1.Datastore{}, handler.EnqueueRequestsFromMapFunc(r.holdsOf),
			builder.WithPredicates(predicate.Funcs{UpdateFunc: matters})).
		Complete(r)
	if err != nil {
		return fmt.Errorf("setting up the LegalHold controller: %w", err)
	}
	return nil
}

// matters says whether a change of a Datastore may change what a hold on it has to say.
func matters(e event.UpdateEvent) bool {
	was, wasOne := e.ObjectOld.(*retentionv1.Datastore)
	is, isOne := e.ObjectNew.(*retentionv1.Datastore)
	if !wasOne || !isOne {
		return true
	}
	run := func(ds *retentionv1.Datastore) retentionv1.ActiveRun {
		run := ptr.Deref(ds.Status.ActiveRun, retentionv1.ActiveRun{})
		return retentionv1.ActiveRun{Name: run.Name, Holds: run.Holds}
	}
	return was.UID != is.UID || was.Generation != is.Generation || !maps.Equal(was.Labels, is.Labels) ||
		was.Status.Identity != is.Status.Identity || !equality.Semantic.DeepEqual(was.Status.Holds, is.Status.Holds) ||
		!equality.Semantic.DeepEqual(run(was), run(is))
}

// holdsOf maps a Datastore to the holds of its namespace: each may select it, or have selected it.
func (r *Reconciler) holdsOf(ctx context.Context, obj client.Object) []ctrl.Request {
	list := &retentionv1.LegalHoldList{}
	if err := r.Client.List(ctx, list, client.InNamespace(obj.GetNamespace())); err != nil {
		return nil // the cache is not there yet; every hold gets its first pass anyway
	}
	var requests []ctrl.Request
	for i := range list.Items {
		requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	if ds, ok := obj.(*retentionv1.Datastore); ok {
		for _, h := range ds.Status.Holds { // one that is gone has to be removed there
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKey{Namespace: ds.Namespace, Name: h.Name}})
		}
	}
	return requests
}
