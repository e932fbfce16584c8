// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
)

// SetupWithManager registers the controller. It hears of requests, of those in other namespaces that belong to them, of the
// Jobs that seal subjects, and of Datastores, holds and namespaces.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	labelled := builder.WithPredicates(predicate.LabelChangedPredicate{})
	err := ctrl.NewControllerManagedBy(mgr).
		Named("erasurerequest").
		For(&retentionv1.ErasureRequest{}).
		Owns(&batchv1.Job{}).
		Watches(&retentionv1.ErasureRequest{}, handler.EnqueueRequestsFromMapFunc(r.relatives)).
		Watches(&retentionv1.Datastore{}, handler.EnqueueRequestsFromMapFunc(r.openRequests), builder.WithPredicates(predicate.Or(
			predicate.GenerationChangedPredicate{}, predicate.LabelChangedPredicate{}, identityChanged{}))).
		Watches(&retentionv1.LegalHold{}, handler.EnqueueRequestsFromMapFunc(r.openRequests), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.reaching), labelled).
		Complete(r)
	if err != nil {
		return fmt.Errorf("setting up the ErasureRequest controller: %w", err)
	}
	return nil
}

// relatives maps a request to the one that it was made from, and to those that were made from it.
func (r *Reconciler) relatives(_ context.Context, obj client.Object) []ctrl.Request {
	request, ok := obj.(*retentionv1.ErasureRequest)
	if !ok {
		return nil
	}
	var out []ctrl.Request
	if parent, _, ok := erasure.ParentOf(request); ok {
		out = append(out, ctrl.Request{NamespacedName: parent})
	}
	for _, c := range request.Status.Children {
		out = append(out, ctrl.Request{NamespacedName: client.ObjectKey{Namespace: c.Namespace, Name: c.Name}})
	}
	return out
}

// openRequests maps an object to the requests of its namespace that have not ended, and to those that reach into it.
func (r *Reconciler) openRequests(ctx context.Context, obj client.Object) []ctrl.Request {
	return append(r.list(ctx, func(*retentionv1.ErasureRequest) bool { return true }, client.InNamespace(obj.GetNamespace())), r.reaching(ctx, obj)...)
}

// reaching lists the open requests that reach into other namespaces.
func (r *Reconciler) reaching(ctx context.Context, _ client.Object) []ctrl.Request {
	return r.list(ctx, func(o *retentionv1.ErasureRequest) bool { return o.Spec.NamespaceSelector != nil })
}

func (r *Reconciler) list(ctx context.Context, which func(*retentionv1.ErasureRequest) bool, opts ...client.ListOption) []ctrl.Request {
	list := &retentionv1.ErasureRequestList{}
	if err := r.Client.List(ctx, list, opts...); err != nil {
		return nil // the cache is not there yet; every request gets its first pass anyway
	}
	var out []ctrl.Request
	for i := range list.Items {
		if o := &list.Items[i]; !erasure.Ended(o) && which(o) {
			out = append(out, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(o)})
		}
	}
	return out
}

// identityChanged lets a Datastore's update pass that changes whether, and as which server, it can be used.
type identityChanged struct{ predicate.Funcs }

// Update implements predicate.Predicate.
func (identityChanged) Update(e ctrlevent.UpdateEvent) bool {
	was, ok := e.ObjectOld.(*retentionv1.Datastore)
	is, okNew := e.ObjectNew.(*retentionv1.Datastore)
	return ok && okNew && (was.Status.Identity != is.Status.Identity || was.Status.ObservedIdentity != is.Status.ObservedIdentity)
}
