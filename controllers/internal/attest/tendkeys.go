// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"dataretention.dev/retention-operator/controllers/internal/upkeep"
	"dataretention.dev/retention-operator/internal/evidence"
)

// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get

// tendEvery is how often keys and ledger are looked after.
const tendEvery = time.Minute

// NeedLeaderElection says that only the manager that leads looks after the keys.
func (k *Keyring) NeedLeaderElection() bool { return true }

// Start looks after the keys until ctx ends.
func (k *Keyring) Start(ctx context.Context) error {
	return upkeep.Every(ctx, k.Clock, tendEvery, "looking after the evidence keys", k.Tend)
}

// Tend makes another statement key if it is time for one, destroys those that sign nothing any more, and publishes all public
// keys. If a person has asked for other keys (upkeep.AnnotationRotate on the ConfigMap), witness and ledger get others, too. The
// ledger starts again with its own when the kubelet has brought them, and signs with its former keys as well.
func (k *Keyring) Tend(ctx context.Context) error {
	keys, secret, ledger, err := k.fresh(ctx)
	if err != nil {
		return err
	}
	cm, err := k.publish(ctx, keys.trust.Keys)
	if err != nil {
		return err
	}
	now := k.Clock.Now()
	rotate := upkeep.RotateOf(cm, secret)
	rotate.Now, rotate.Created, rotate.Rotation = now, keys.statements[0].Created, k.Rotation
	reason, former := rotate.Due(), keys.former(now)
	switch {
	case reason != "":
		if err := addStatementKey(secret, now); err != nil {
			return err
		}
		if rotate.Asked() {
			if err := k.replaceOthers(ctx, secret, ledger); err != nil {
				return err
			}
		}
		rotate.Done(secret)
	case len(former) > 0:
		for _, f := range former {
			upkeep.Remove(secret, f)
		}
	default:
		return nil
	}
	if err := k.store(KeysName).Write(ctx, secret); err != nil {
		return err // at the next look, from what is there then
	}
	if keys, _, _, err = k.fresh(ctx); err != nil {
		return err
	}
	if cm, err = k.publish(ctx, keys.trust.Keys); err != nil {
		return err
	}
	if reason != "" {
		k.Events.Eventf(cm, nil, corev1.EventTypeNormal, "KeyRotated", "Rotate", "Statements are signed with %s from %s on: %s",
			idOf(keys.statements[0]), keys.statements[0].Created.Add(publishFirst).Format(time.RFC3339), reason)
		return nil
	}
	for _, f := range former {
		k.Events.Eventf(cm, nil, corev1.EventTypeNormal, "KeyDestroyed", "Destroy",
			"The private key of %s was destroyed: another one signs. What it has signed still verifies", idOf(f))
	}
	return nil
}

// fresh reads the keys past the cache, and leaves them there.
func (k *Keyring) fresh(ctx context.Context) (_ *keys, secret, ledger *corev1.Secret, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	keys, secret, ledger, err := k.ensure(ctx)
	if err == nil {
		k.keys, k.keysTime = keys, k.Clock.Now()
	}
	return keys, secret, ledger, err
}

// replaceOthers puts another key before those of the ledger, and others in the place of its certificate and of the witness's key.
func (k *Keyring) replaceOthers(ctx context.Context, secret, ledger *corev1.Secret) error {
	cluster, err := k.Cluster(ctx)
	if err != nil {
		return err
	}
	origin, _, err := evidence.NoteKey(firstLine(ledger.Data[logKey])) // a ledger never changes its name
	if err != nil {
		return unreadable(ledger, logKey, "no note signer key")
	}
	if err := addNoteKey(ledger, logKey, origin); err != nil {
		return err
	}
	if err := addCertificate(ledger, k.Clock.Now()); err != nil {
		return err
	}
	if err := k.store(LedgerSecret).Write(ctx, ledger); err != nil {
		return err
	}
	delete(secret.Data, witnessKey)
	return addNoteKey(secret, witnessKey, witnessPrefix+cluster)
}

// publish makes the ConfigMap have all public keys. Those that are there stay.
func (k *Keyring) publish(ctx context.Context, known []evidence.PublicKey) (*corev1.ConfigMap, error) {
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: KeysName}}
	_, err := controllerutil.CreateOrUpdate(ctx, k.Client, cm, func() error {
		there, err := publishedIn(cm)
		if err != nil {
			return err
		}
		if all := union(there, known); len(all) > len(there) {
			if cm.Data == nil {
				cm.Data = map[string]string{}
			}
			cm.Data[TrustKey] = string(evidence.FormatTrust(all))
		}
		return nil
	})
	if err != nil && !upkeep.Overtaken(err) {
		return nil, fmt.Errorf("publishing the evidence keys: %w", err)
	}
	return cm, nil
}

func idOf(k statementKey) string { return evidence.KeyID(k.Private.Public().(ed25519.PublicKey)) }
