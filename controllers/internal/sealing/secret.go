// SPDX-License-Identifier: Apache-2.0

package sealing

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
	corev1 "k8s.io/api/core/v1"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/seal"
)

const (
	// SecretName is the Secret with the private keys. Its data keys are <Unix time of creation>.key.
	SecretName = "retention-sealing-keys"
	// FormerKeys is the data key of the ConfigMap with the public keys before the current one, one per line, that still open
	// what was sealed to them.
	FormerKeys = "former-keys"
	// AnnotationRotate on the ConfigMap asks for another key. Any change of its value counts as one request.
	AnnotationRotate = v1alpha1.Group + "/rotate-requested-at"

	keySuffix = ".key"
	// annotationHandled on the Secret is the value of AnnotationRotate that was handled.
	annotationHandled = v1alpha1.Group + "/last-handled-rotation"
)

// key is a private key. It became a former one when the next was created.
type key struct {
	created  time.Time
	identity *age.X25519Identity
}

func (k key) public() string { return k.identity.Recipient().String() }

// parse reads the keys of a Secret, the current one first. An error never quotes a key.
func parse(data map[string][]byte) ([]key, error) {
	var keys []key
	for name, value := range data {
		unix, found := strings.CutSuffix(name, keySuffix)
		if !found {
			continue
		}
		seconds, err := strconv.ParseInt(unix, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("key %s of Secret %s is no Unix time with the suffix %s", name, SecretName, keySuffix)
		}
		identity, err := age.ParseX25519Identity(strings.TrimSpace(string(value)))
		if err != nil {
			return nil, fmt.Errorf("key %s of Secret %s is no X25519 key of age; remove it, or restore it from a backup", name, SecretName)
		}
		keys = append(keys, key{time.Unix(seconds, 0).UTC(), identity})
	}
	slices.SortFunc(keys, func(a, b key) int { return b.created.Compare(a.created) })
	return keys, nil
}

// add puts a new key into the Secret that becomes the current one, whatever the clock was when the others were made.
func add(secret *corev1.Secret, now time.Time) error {
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		return fmt.Errorf("making a sealing key: %w", err)
	}
	keys, err := parse(secret.Data)
	if err != nil {
		return err
	}
	created := now.Unix()
	if len(keys) > 0 {
		created = max(created, keys[0].created.Unix()+1)
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	secret.Data[strconv.FormatInt(created, 10)+keySuffix] = []byte(identity.String() + "\n")
	return nil
}

// remove takes the keys with these public keys out of the Secret.
func remove(secret *corev1.Secret, keys []key, public []string) {
	for _, k := range keys {
		if slices.Contains(public, k.public()) {
			delete(secret.Data, strconv.FormatInt(k.created.Unix(), 10)+keySuffix)
		}
	}
}

// published is what the ConfigMap has to say.
func published(keys []key) map[string]string {
	data := map[string]string{seal.PublicKey: keys[0].public()}
	for _, k := range keys[1:] {
		data[FormerKeys] += k.public() + "\n"
	}
	return data
}

func ringOf(keys []key) seal.Ring {
	ring := make(seal.Ring, len(keys))
	for i, k := range keys {
		ring[i] = k.identity
	}
	return ring
}
