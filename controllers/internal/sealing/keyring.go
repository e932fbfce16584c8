// SPDX-License-Identifier: Apache-2.0

// Package sealing keeps the operator's keys of age. Persons are sealed to the current one; those before it still open what
// was sealed to them, until nothing needs it any more.
//
// The private keys are in the Secret retention-sealing-keys of the operator's namespace, which only the operator
// reads. The public ones are in the ConfigMap retention-sealing-key there, for everybody who wants to seal. What the
// ConfigMap says follows from the Secret, so a manager that dies between the two writes loses nothing.
package sealing

import (
	"context"
	"errors"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/controllers/internal/upkeep"
	"dataretention.dev/retention-operator/internal/seal"
)

// cacheTime is for how long a key is used without looking whether there is another.
const cacheTime = 30 * time.Second

// Keys seals to the operator, and opens what was sealed to it.
type Keys interface {
	// Recipient is the public key to seal to.
	Recipient(ctx context.Context) (string, error)
	Opener
}

// Keyring has the keys in a Secret. Any number of managers may use it at once.
type Keyring struct {
	// Client reads and writes without a cache: the operator may not list Secrets.
	Client client.Client
	Events events.EventRecorder
	Clock  clock.WithTicker
	// Namespace is the operator's own.
	Namespace string
	// Rotation is how old the current key gets before another takes its place; zero is any age.
	Rotation time.Duration

	mu       sync.Mutex
	ring     seal.Ring
	ringTime time.Time
	// useTime is when Tend looked last what the former keys are needed for.
	useTime time.Time
}

var _ Keys = (*Keyring)(nil)

// Recipient is the public key to seal to. The first call ever makes one.
func (k *Keyring) Recipient(ctx context.Context) (string, error) {
	ring, _, err := k.cached(ctx)
	if err != nil {
		return "", err
	}
	return ring.Current(), nil
}

// Open decrypts what was sealed to a key of the ring.
func (k *Keyring) Open(ctx context.Context, text string) (plaintext []byte, publicKey string, err error) {
	ring, fresh, err := k.cached(ctx)
	if err != nil {
		return nil, "", err
	}
	plaintext, publicKey, err = ring.Open(text)
	if !errors.Is(err, seal.ErrOtherKey) || fresh {
		return plaintext, publicKey, err
	}
	k.forget() // another manager may have made the key meanwhile
	if ring, _, err = k.cached(ctx); err != nil {
		return nil, "", err
	}
	return ring.Open(text)
}

// cached returns the keys, and whether they were read just now.
func (k *Keyring) cached(ctx context.Context) (_ seal.Ring, fresh bool, _ error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if age := k.Clock.Since(k.ringTime); len(k.ring) > 0 && age >= 0 && age < cacheTime {
		return k.ring, false, nil
	}
	keys, _, err := k.ensure(ctx)
	if err != nil {
		return nil, false, err
	}
	k.ring, k.ringTime = ringOf(keys), k.Clock.Now()
	return k.ring, true, nil
}

func (k *Keyring) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ring = nil
}

// ensure reads the keys, and makes the first one if there is none.
func (k *Keyring) ensure(ctx context.Context) (keys []key, _ *corev1.Secret, _ error) {
	secret, err := k.store().Ensure(ctx, func(s *corev1.Secret) (missing bool, err error) {
		if keys, err = parse(s); err != nil || len(keys) > 0 {
			return false, err
		}
		return true, add(s, k.Clock.Now())
	})
	return keys, secret, err
}

func (k *Keyring) store() upkeep.Secret {
	return upkeep.Secret{Client: k.Client, Namespace: k.Namespace, Name: SecretName}
}
