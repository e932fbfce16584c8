// SPDX-License-Identifier: Apache-2.0

// Package seal encrypts what must not stand readable in the cluster: identifiers of persons, and what is told of single
// requests. It is age (filippo.io/age) with X25519 keys and armor, so that any age client can seal. Both planes use it: the
// manager has the private keys, a purge Pod is only told the public one.
package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// Where the operator publishes its public key: a ConfigMap in its namespace, and the data key in it.
const (
	ConfigMapName = "retention-sealing-key"
	PublicKey     = "public-key"
)

// MaxBytes bounds what Open takes and returns, in bytes.
const MaxBytes = 1 << 20

// Errors of Open. None of them quotes what was sealed.
var (
	// ErrOtherKey says that no key of the ring opens the text: it was sealed to another key, or to one that was destroyed.
	ErrOtherKey = errors.New("it was sealed to a key that this operator does not have, or no longer")
	// ErrDamaged says that the text is no armored age file, or that it was changed or cut.
	ErrDamaged = errors.New("it is no armored age file, or was damaged")
)

// Seal encrypts plaintext to the public key (age1…) and armors it.
func Seal(publicKey string, plaintext []byte) (string, error) {
	recipient, err := age.ParseX25519Recipient(publicKey)
	if err != nil {
		return "", errors.New("the public key is no X25519 key of age (age1…)")
	}
	var out bytes.Buffer
	armored := armor.NewWriter(&out)
	w, err := age.Encrypt(armored, recipient)
	if err != nil {
		return "", fmt.Errorf("sealing: %w", err)
	}
	if _, err := w.Write(plaintext); err != nil {
		return "", fmt.Errorf("sealing: %w", err)
	}
	if err := errors.Join(w.Close(), armored.Close()); err != nil {
		return "", fmt.Errorf("sealing: %w", err)
	}
	return out.String(), nil
}

// Ring is a set of private keys, the current one first.
type Ring []*age.X25519Identity

// Current is the public key to seal to; empty for an empty ring.
func (r Ring) Current() string {
	if len(r) == 0 {
		return ""
	}
	return r[0].Recipient().String()
}

// Open decrypts what was sealed to any key of the ring, and tells which public key that was.
func (r Ring) Open(text string) (plaintext []byte, publicKey string, err error) {
	if len(text) > 2*MaxBytes {
		return nil, "", ErrDamaged
	}
	for _, key := range r {
		plaintext, err := open(text, key)
		var noMatch *age.NoIdentityMatchError
		switch {
		case errors.As(err, &noMatch):
			continue
		case err != nil:
			return nil, "", ErrDamaged
		}
		return plaintext, key.Recipient().String(), nil
	}
	return nil, "", ErrOtherKey
}

func open(text string, key age.Identity) ([]byte, error) {
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(strings.TrimSpace(text))), key)
	if err != nil {
		return nil, err
	}
	plaintext, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err != nil {
		return nil, err
	}
	if len(plaintext) > MaxBytes {
		return nil, ErrDamaged
	}
	return plaintext, nil
}
