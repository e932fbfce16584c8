// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/controllers/internal/upkeep"
	"dataretention.dev/retention-operator/internal/evidence"
)

// cacheTime is for how long keys are used without looking whether there are others.
const cacheTime = 30 * time.Second

// Keyring has the keys that statements are signed and checkpoints are cosigned with, and those of the ledger, in two Secrets.
// Any number of managers may use it at once.
type Keyring struct {
	// Client reads and writes without a cache: the operator may not list Secrets.
	Client client.Client
	Events events.EventRecorder
	Clock  clock.WithTicker
	// Namespace is the operator's own.
	Namespace string
	// Rotation is how old the statement key gets before another takes its place; zero is any age.
	Rotation time.Duration

	mu       sync.Mutex
	keys     *keys
	keysTime time.Time
	cluster  string
}

// statementKey is the key to sign with now.
func (k *Keyring) statementKey(ctx context.Context) (ed25519.PrivateKey, error) {
	keys, err := k.cached(ctx)
	if err != nil {
		return nil, err
	}
	return keys.statements[keys.signer(k.Clock.Now())].Private, nil
}

// trust has all public keys ever, as the operator's own Secret has them.
func (k *Keyring) trust(ctx context.Context) (*evidence.Trust, error) {
	keys, err := k.cached(ctx)
	if err != nil {
		return nil, err
	}
	return keys.trust, nil
}

// LogKeys are the note signer keys of the ledger, the current one first: for a ledger in the manager's process.
func (k *Keyring) LogKeys(ctx context.Context) ([]string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, _, ledger, err := k.ensure(ctx)
	if err != nil {
		return nil, err
	}
	return strings.Fields(string(ledger.Data[logKey])), nil
}

// StatementKeys are the public keys of statements: for a ledger in the manager's process.
func (k *Keyring) StatementKeys(ctx context.Context) ([]ed25519.PublicKey, error) {
	trust, err := k.trust(ctx)
	if err != nil {
		return nil, err
	}
	return trust.Statement, nil
}

// Cluster is the UID of the namespace kube-system, by which clusters are told apart.
func (k *Keyring) Cluster(ctx context.Context) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.clusterUID(ctx)
}

func (k *Keyring) clusterUID(ctx context.Context) (string, error) {
	if k.cluster != "" {
		return k.cluster, nil
	}
	ns := &corev1.Namespace{}
	if err := k.Client.Get(ctx, client.ObjectKey{Name: metav1.NamespaceSystem}, ns); err != nil {
		return "", fmt.Errorf("finding out which cluster this is: %w", err)
	}
	k.cluster = string(ns.UID)
	return k.cluster, nil
}

// cached returns the keys. The first call ever makes them.
func (k *Keyring) cached(ctx context.Context) (*keys, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if age := k.Clock.Since(k.keysTime); k.keys != nil && age >= 0 && age < cacheTime {
		return k.keys, nil
	}
	keys, _, _, err := k.ensure(ctx)
	if err != nil {
		return nil, err
	}
	k.keys, k.keysTime = keys, k.Clock.Now()
	return keys, nil
}

func (k *Keyring) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys = nil
}

func (k *Keyring) store(name string) upkeep.Secret {
	return upkeep.Secret{Client: k.Client, Namespace: k.Namespace, Name: name}
}

// ensure reads both Secrets, and makes what is missing in them. It needs the mutex.
func (k *Keyring) ensure(ctx context.Context) (_ *keys, secret, ledger *corev1.Secret, err error) {
	cluster, err := k.clusterUID(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	ledger, err = k.store(LedgerSecret).Ensure(ctx, func(s *corev1.Secret) (bool, error) { return fillLedger(s, cluster, k.Clock.Now()) })
	if err != nil {
		return nil, nil, nil, err
	}
	logs, err := notePublic(ledger, logKey, evidence.UseLog)
	if err != nil {
		return nil, nil, nil, err
	}
	lost := false
	secret, err = k.store(KeysName).Ensure(ctx, func(s *corev1.Secret) (changed bool, err error) {
		var l bool
		changed, l, err = fillKeys(s, cluster, logs, func() ([]evidence.PublicKey, error) { return k.published(ctx) }, k.Clock.Now())
		lost = lost || l
		return changed, err
	})
	if err != nil {
		return nil, nil, nil, err
	}
	if lost {
		k.Events.Eventf(secret, nil, corev1.EventTypeWarning, "KeysLost", "MakeKey",
			"Secret %s had lost its statement keys, and has a new one now. Statements that the former keys have signed still verify", KeysName)
	}
	parsed, err := parseKeys(secret, ledger)
	return parsed, secret, ledger, err
}

// published are the public keys of the ConfigMap, none if there is no ConfigMap.
func (k *Keyring) published(ctx context.Context) ([]evidence.PublicKey, error) {
	cm := &corev1.ConfigMap{}
	err := k.Client.Get(ctx, client.ObjectKey{Namespace: k.Namespace, Name: KeysName}, cm)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the published keys: %w", err)
	}
	return publishedIn(cm)
}

func publishedIn(cm *corev1.ConfigMap) ([]evidence.PublicKey, error) {
	text := cm.Data[TrustKey]
	if text == "" {
		return nil, nil
	}
	trust, err := evidence.ParseTrust([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("%s of ConfigMap %s cannot be read: %w; restore it from a backup, or delete the ConfigMap", TrustKey, cm.Name, err)
	}
	return trust.Keys, nil
}

// witnessing writes down that a checkpoint is kept from now on.
func (k *Keyring) witnessing(ctx context.Context) error {
	_, err := k.store(KeysName).Ensure(ctx, func(s *corev1.Secret) (bool, error) {
		if s.ResourceVersion == "" || s.Annotations[annotationWitnessed] != "" {
			return false, nil
		}
		metav1.SetMetaDataAnnotation(&s.ObjectMeta, annotationWitnessed, k.Clock.Now().UTC().Format(time.RFC3339))
		return true, nil
	})
	k.forget()
	return err
}
