// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	batchv1 "k8s.io/api/batch/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
)

// SetupWithManager registers the controller. It hears of a policy's spec and annotations, not of its status, of its
// Jobs, of the Datastores that it selects or works on, and of the holds of its namespace.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("retentionpolicy").
		For(&retentionv1.RetentionPolicy{}, builder.WithPredicates(
			predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Owns(&batchv1.Job{}).
		Watches(&retentionv1.LegalHold{}, handler.EnqueueRequestsFromMapFunc(r.requestsForHold)).
		Watches(&retentionv1.Datastore{}, handler.EnqueueRequestsFromMapFunc(r.requestsFor)).
		Complete(r)
}
