// SPDX-License-Identifier: Apache-2.0

package sealing

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	corev1 "k8s.io/api/core/v1"

	"dataretention.dev/retention-operator/controllers/internal/upkeep"
	"dataretention.dev/retention-operator/internal/seal"
)

const (
	// SecretName is the Secret with the private keys. Its data keys are <Unix time of creation>.key.
	SecretName = "retention-sealing-keys"
	// FormerKeys is the data key of the ConfigMap with the public keys before the current one, one per line, that still open
	// what was sealed to them.
	FormerKeys = "former-keys"
)

// key is a private key.
type key = upkeep.Key[*age.X25519Identity]

func publicOf(k key) string { return k.Private.Recipient().String() }

// parse reads the keys of a Secret, the current one first.
func parse(secret *corev1.Secret) ([]key, error) {
	return upkeep.Parse(secret, func(value []byte) (*age.X25519Identity, error) {
		identity, err := age.ParseX25519Identity(strings.TrimSpace(string(value)))
		if err != nil {
			return nil, errors.New("no X25519 key of age")
		}
		return identity, nil
	})
}

// add puts a new key into the Secret that becomes the current one.
func add(secret *corev1.Secret, now time.Time) error {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return fmt.Errorf("making a sealing key: %w", err)
	}
	keys, err := parse(secret)
	if err != nil {
		return err
	}
	upkeep.Add(secret, keys, now, []byte(identity.String()+"\n"))
	return nil
}

// remove takes the keys with these public keys out of the Secret.
func remove(secret *corev1.Secret, keys []key, public []string) {
	for _, k := range keys {
		if slices.Contains(public, publicOf(k)) {
			upkeep.Remove(secret, k)
		}
	}
}

// published is what the ConfigMap has to say.
func published(keys []key) map[string]string {
	data := map[string]string{seal.PublicKey: publicOf(keys[0])}
	for _, k := range keys[1:] {
		data[FormerKeys] += publicOf(k) + "\n"
	}
	return data
}

func ringOf(keys []key) seal.Ring {
	ring := make(seal.Ring, len(keys))
	for i, k := range keys {
		ring[i] = k.Private
	}
	return ring
}
