// SPDX-License-Identifier: Apache-2.0

package jobs

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"dataretention.dev/retention-operator/internal/purgejob"
)

// HandOff makes the short-lived Secret of a Job that has not been released. We may not read Secrets: one that is there, be
// it of an earlier pass or somebody else's, is replaced. One that we may not delete is an error that wraps
// purgejob.ErrForeign.
func (k Keeper) HandOff(ctx context.Context, in purgejob.Input, data map[string]string) error {
	err := k.Client.Create(ctx, purgejob.Handoff(in, data), client.DisableReadYourWritesConsistency) // it would list Secrets
	if apierrors.IsAlreadyExists(err) {
		if err := k.DropHandOff(ctx, in.Namespace, in.Name); err != nil {
			return err
		}
		err = k.Client.Create(ctx, purgejob.Handoff(in, data), client.DisableReadYourWritesConsistency)
		if apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("secret %s: %w: it stays", in.Name, purgejob.ErrForeign)
		}
	}
	if err != nil {
		return fmt.Errorf("making the Job's Secret: %w", err)
	}
	return nil
}

// DropHandOff deletes the short-lived Secret of a Job, if there is one. One that admission does not let us delete is not ours.
func (k Keeper) DropHandOff(ctx context.Context, namespace, job string) error {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: job}}
	switch err := k.Client.Delete(ctx, secret, client.DisableReadYourWritesConsistency); {
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err):
		log.FromContext(ctx).Info("A Secret of the Job's name is not ours, and stays", "secret", client.ObjectKeyFromObject(secret))
	case client.IgnoreNotFound(err) != nil:
		return fmt.Errorf("deleting the Job's Secret: %w", err)
	}
	return nil
}
