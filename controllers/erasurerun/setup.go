// SPDX-License-Identifier: Apache-2.0

package erasurerun

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
)

// SetupWithManager registers the controller. It hears of Datastores, of the Jobs that it has made for them, and of requests
// that wait for them or are in its hands.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager) error {
	err := ctrl.NewControllerManagedBy(mgr).
		Named("erasurerun").
		For(&retentionv1.Datastore{}).
		Owns(&batchv1.Job{}).
		Watches(&retentionv1.ErasureRequest{}, handler.EnqueueRequestsFromMapFunc(datastoresOf)).
		Complete(r)
	if err != nil {
		return fmt.Errorf("setting up the controller of erasure runs: %w", err)
	}
	return nil
}

// datastoresOf maps a request to the Datastores where something is to be done for it.
func datastoresOf(_ context.Context, obj client.Object) []ctrl.Request {
	request, ok := obj.(*retentionv1.ErasureRequest)
	if !ok {
		return nil
	}
	var out []ctrl.Request
	for i := range request.Status.Datastores {
		e := &request.Status.Datastores[i]
		if erasure.AtWork(e) || e.Step == retentionv1.ErasureStepFind || e.Step == retentionv1.ErasureStepErase {
			out = append(out, ctrl.Request{NamespacedName: client.ObjectKey{Namespace: request.Namespace, Name: e.Name}})
		}
	}
	return out
}
