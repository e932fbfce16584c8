// SPDX-License-Identifier: Apache-2.0

package sealing

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"dataretention.dev/retention-operator/internal/seal"
	"dataretention.dev/retention-operator/internal/subject"
)

// Opener opens what was sealed to the manager's keys, and tells to which.
type Opener interface {
	// Open decrypts what was sealed to any key that is still there, and tells which public key that was. Its errors
	// seal.ErrOtherKey and seal.ErrDamaged are about the text; every other one says that the keys cannot be had now.
	Open(ctx context.Context, text string) (plaintext []byte, publicKey string, err error)
}

// ErrUnreadable is wrapped by the errors of OpenFor that are about the text: it will never be read there.
var ErrUnreadable = errors.New("what was sealed cannot be read")

// ErrScope is wrapped by those that are about where it is used: a sealed text that was copied must not be opened for whoever
// did so.
var ErrScope = errors.New("it was sealed for another namespace")

// OpenFor opens the identifiers of a person whom an object in the namespace names, or one that was made from an object in
// another of the namespaces. A text that does not say for which namespace it was sealed is for any.
func OpenFor(ctx context.Context, keys Opener, text string, namespaces ...string) (ids []subject.Identifier, publicKey string, err error) {
	plaintext, publicKey, err := keys.Open(ctx, text)
	if errors.Is(err, seal.ErrOtherKey) || errors.Is(err, seal.ErrDamaged) {
		return nil, "", fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if err != nil {
		return nil, "", err
	}
	if scope := subject.Scope(plaintext); scope != "" && !slices.Contains(namespaces, scope) {
		return nil, "", fmt.Errorf("%w: %w", ErrUnreadable, ErrScope)
	}
	if ids, err = subject.Parse(plaintext); err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return ids, publicKey, nil
}
