// SPDX-License-Identifier: Apache-2.0

package upkeep

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// keySuffix ends the data key of a private key: <Unix time of creation>.key.
const keySuffix = ".key"

// Key is a private key. It became a former one when the next was created.
type Key[K any] struct {
	Created time.Time
	Private K
}

// Parse reads the keys of a Secret, the latest first. decode says in its error what the value should have been; the value is
// never quoted.
func Parse[K any](secret *corev1.Secret, decode func([]byte) (K, error)) ([]Key[K], error) {
	var keys []Key[K]
	for name, value := range secret.Data {
		unix, found := strings.CutSuffix(name, keySuffix)
		if !found {
			continue
		}
		seconds, err := strconv.ParseInt(unix, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("key %s of Secret %s is no Unix time with the suffix %s", name, secret.Name, keySuffix)
		}
		private, err := decode(value)
		if err != nil {
			return nil, fmt.Errorf("key %s of Secret %s is %w; remove it, or restore it from a backup", name, secret.Name, err)
		}
		keys = append(keys, Key[K]{time.Unix(seconds, 0).UTC(), private})
	}
	slices.SortFunc(keys, func(a, b Key[K]) int { return b.Created.Compare(a.Created) })
	return keys, nil
}

// Add puts a new key into the Secret that becomes the latest one, whatever the clock was when the others were made.
func Add[K any](secret *corev1.Secret, keys []Key[K], now time.Time, encoded []byte) {
	created := now.Unix()
	if len(keys) > 0 {
		created = max(created, keys[0].Created.Unix()+1)
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	secret.Data[strconv.FormatInt(created, 10)+keySuffix] = encoded
}

// Remove takes a key out of the Secret.
func Remove[K any](secret *corev1.Secret, k Key[K]) {
	delete(secret.Data, strconv.FormatInt(k.Created.Unix(), 10)+keySuffix)
}
