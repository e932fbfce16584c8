// SPDX-License-Identifier: Apache-2.0

package sealing

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/upkeep"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/seal"
)

// +kubebuilder:rbac:groups=dataretention.dev,resources=erasurerequests;legalholds,verbs=list
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=list

const (
	// tendEvery is how often the keys are looked after, useEvery how often somebody looks what the former ones are needed for.
	tendEvery = time.Minute
	useEvery  = time.Hour
	// pageSize bounds one answer of the API server: a request holds some kilobytes that are sealed.
	pageSize = 200
)

// NeedLeaderElection says that only the manager that leads looks after the keys.
func (k *Keyring) NeedLeaderElection() bool { return true }

// Start looks after the keys until ctx ends.
func (k *Keyring) Start(ctx context.Context) error {
	return upkeep.Every(ctx, k.Clock, tendEvery, "looking after the sealing keys", k.Tend)
}

// Tend makes another key if it is time for one, destroys those that nothing needs any more, and publishes what is left.
func (k *Keyring) Tend(ctx context.Context) error {
	keys, secret, err := k.ensure(ctx)
	if err != nil {
		return err
	}
	cm, err := k.publish(ctx, keys)
	if err != nil {
		return err
	}
	now := k.Clock.Now()
	s := situation{now: now, keys: keys, rotate: upkeep.RotateOf(cm, secret)}
	s.rotate.Now, s.rotate.Created, s.rotate.Rotation = now, keys[0].Created, k.Rotation
	if expired(keys, now) && now.Sub(k.useTime) >= useEvery {
		if s.uses, err = k.look(ctx, ringOf(keys)); err != nil {
			return fmt.Errorf("looking what the former sealing keys are needed for: %w", err)
		}
		k.useTime = now
	}
	d := decide(s)
	switch {
	case d.rotate:
		if err := add(secret, now); err != nil {
			return err
		}
		s.rotate.Done(secret)
	case len(d.destroy) > 0:
		remove(secret, keys, d.destroy)
	default:
		return nil
	}
	if err := k.store().Write(ctx, secret); err != nil {
		return err // at the next look, from what is there then
	}
	k.forget()
	if keys, err = parse(secret); err != nil {
		return err
	}
	if cm, err = k.publish(ctx, keys); err != nil {
		return err
	}
	if d.rotate {
		k.Events.Eventf(cm, nil, corev1.EventTypeNormal, "KeyRotated", "Rotate", "Seal to %s from now on: %s", publicOf(keys[0]), d.reason)
	}
	for _, public := range d.destroy {
		k.Events.Eventf(cm, nil, corev1.EventTypeNormal, "KeyDestroyed", "Destroy", "Key %s was destroyed: %s", public, d.reason)
	}
	return nil
}

// publish makes the ConfigMap say what follows from the keys.
func (k *Keyring) publish(ctx context.Context, keys []key) (*corev1.ConfigMap, error) {
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: seal.ConfigMapName}}
	_, err := controllerutil.CreateOrUpdate(ctx, k.Client, cm, func() error {
		if data := published(keys); !maps.Equal(cm.Data, data) {
			cm.Data = data
		}
		return nil
	})
	if err != nil && !apierrors.IsAlreadyExists(err) && !apierrors.IsConflict(err) {
		return nil, fmt.Errorf("publishing the sealing key: %w", err)
	}
	return cm, nil
}

// look finds out what the keys are needed for. It fails rather than overlook something.
func (k *Keyring) look(ctx context.Context, ring seal.Ring) (*uses, error) {
	u := &uses{sealed: map[string]string{}}
	note := func(obj client.Object, kind, stated string, texts ...string) {
		what := kind + " " + obj.GetNamespace() + "/" + obj.GetName()
		u.sealed[stated] = what
		for _, text := range texts {
			if text == "" {
				continue
			}
			if _, public, err := ring.Open(text); err == nil {
				u.sealed[public] = what
			}
		}
	}
	err := errors.Join(
		each(ctx, k.Client, &v1alpha1.ErasureRequestList{}, func(l *v1alpha1.ErasureRequestList) {
			for i := range l.Items {
				if r := &l.Items[i]; !requestEnded(r) {
					note(r, "ErasureRequest", r.Status.SealingKey, sealedIn(r)...)
				}
			}
		}),
		each(ctx, k.Client, &v1alpha1.LegalHoldList{}, func(l *v1alpha1.LegalHoldList) {
			for i := range l.Items {
				if h := &l.Items[i]; h.Status.ReleasedTime == nil && h.Spec.Subject != nil {
					note(h, "LegalHold", h.Status.SealingKey, h.Spec.Subject.Sealed)
				}
			}
		}),
		// What a Pod told is sealed to the key that its run began with. The finalizer stays until it is on record.
		each(ctx, k.Client, &batchv1.JobList{}, func(l *batchv1.JobList) {
			for i := range l.Items {
				began := l.Items[i].CreationTimestamp.Time
				if controllerutil.ContainsFinalizer(&l.Items[i], purgejob.Finalizer) && (u.firstRun.IsZero() || began.Before(u.firstRun)) {
					u.firstRun = began
				}
			}
		}, client.MatchingLabels{purgejob.LabelManagedBy: purgejob.ManagedBy}),
	)
	return u, err
}

// each lists a kind in all namespaces, a page at a time.
func each[L client.ObjectList](ctx context.Context, c client.Reader, list L, do func(L), opts ...client.ListOption) error {
	opts = append(opts, client.Limit(pageSize))
	for {
		if err := c.List(ctx, list, opts...); err != nil {
			return err
		}
		do(list)
		next := list.GetContinue()
		if next == "" {
			return nil
		}
		opts = append(opts, client.Continue(next))
	}
}

// requestEnded says whether nothing that the request has sealed is needed any more.
func requestEnded(r *v1alpha1.ErasureRequest) bool {
	return r.Status.State == v1alpha1.ErasureAnswered || r.Status.State == v1alpha1.ErasureDenied
}

// sealedIn are the sealed texts of a request.
func sealedIn(r *v1alpha1.ErasureRequest) []string {
	out := []string{r.Spec.Subject.Sealed, r.Status.SealedSubject}
	for _, d := range r.Status.Datastores {
		out = append(out, d.Derived)
	}
	for _, c := range r.Status.Children {
		out = append(out, c.Derived)
	}
	return out
}
