// SPDX-License-Identifier: Apache-2.0

package upkeep

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// attempts bounds how often a write is tried again that another manager has overtaken.
const attempts = 5

// Secret is a Secret with keys. Any number of managers may use it at once.
type Secret struct {
	// Client reads and writes without a cache: the operator may not list Secrets.
	Client          client.Client
	Namespace, Name string
}

// Ensure reads the Secret and has fill add to it what it lacks, until fill changes nothing.
func (s Secret) Ensure(ctx context.Context, fill func(*corev1.Secret) (changed bool, err error)) (*corev1.Secret, error) {
	for range attempts {
		secret, err := s.read(ctx)
		if err != nil {
			return nil, err
		}
		changed, err := fill(secret)
		if err != nil {
			return nil, err
		}
		if !changed {
			return secret, nil
		}
		// The answer to a write that came through may be lost, so only a read tells what is there.
		if err := s.Write(ctx, secret); err != nil && !Overtaken(err) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("writing Secret %s: others change it all the time", s.Name)
}

// read returns the Secret, or an empty one that was never stored.
func (s Secret) read(ctx context.Context) (*corev1.Secret, error) {
	secret := &corev1.Secret{}
	err := s.Client.Get(ctx, client.ObjectKey{Namespace: s.Namespace, Name: s.Name}, secret)
	switch {
	case apierrors.IsNotFound(err):
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.Namespace, Name: s.Name}}, nil
	case err != nil:
		return nil, fmt.Errorf("reading Secret %s: %w", s.Name, err)
	}
	return secret, nil
}

// Write creates the Secret, or replaces the very version that was read: no manager ever overwrites another's key.
func (s Secret) Write(ctx context.Context, secret *corev1.Secret) error {
	write := func() error { return s.Client.Update(ctx, secret) }
	if secret.ResourceVersion == "" {
		write = func() error { return s.Client.Create(ctx, secret) }
	}
	if err := write(); err != nil {
		return fmt.Errorf("writing Secret %s: %w", s.Name, err)
	}
	return nil
}

// Overtaken says that somebody else has written first.
func Overtaken(err error) bool {
	return apierrors.IsAlreadyExists(err) || apierrors.IsConflict(err) || apierrors.IsNotFound(err)
}
