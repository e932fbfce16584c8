// SPDX-License-Identifier: Apache-2.0

package erasure

import (
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/sealing"
	"dataretention.dev/retention-operator/internal/seal"
	"dataretention.dev/retention-operator/internal/subject"
)

// Lost says whether nobody will ever read a text that could not be opened.
func Lost(err error) bool {
	return errors.Is(err, seal.ErrOtherKey) || errors.Is(err, seal.ErrDamaged) || errors.Is(err, sealing.ErrUnreadable)
}

// maxSealed is what a status takes of one sealed text, in bytes.
const maxSealed = 16384

// ErrTooLong is returned by Seal for more than a status can hold.
var ErrTooLong = errors.New("there are more identifiers than can be kept")

// Family returns the request that leads, if r was made from another: the identifiers that were found for any of its
// children are known to all. It returns nil if r stands alone, or if the other does not know r as its child.
func Family(ctx context.Context, reader client.Reader, r *retentionv1.ErasureRequest) (*retentionv1.ErasureRequest, error) {
	key, uid, ok := ParentOf(r)
	if !ok {
		return nil, nil
	}
	parent := &retentionv1.ErasureRequest{}
	if err := reader.Get(ctx, key, parent); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	if parent.UID != uid {
		return nil, nil
	}
	for _, c := range parent.Status.Children {
		if c.Namespace == r.Namespace && c.Name == r.Name && c.UID == string(r.UID) {
			return parent, nil
		}
	}
	return nil, nil
}

// Derived opens the identifiers that were found to belong to the person: those of r itself, of r's children, and of the
// family. A text that nobody can open any more counts for nothing, as what it held will be found again.
func Derived(ctx context.Context, keys sealing.Keys, r, parent *retentionv1.ErasureRequest) ([]subject.Identifier, error) {
	var all []subject.Identifier
	for _, of := range []*retentionv1.ErasureRequest{r, parent} {
		if of == nil {
			continue
		}
		var texts []string
		for i := range of.Status.Datastores {
			texts = append(texts, of.Status.Datastores[i].Derived)
		}
		for i := range of.Status.Children {
			texts = append(texts, of.Status.Children[i].Derived)
		}
		for _, text := range texts {
			ids, err := Open(ctx, keys, text)
			if err != nil && !Lost(err) {
				return nil, err
			}
			all = subject.Union(all, ids)
		}
	}
	return all, nil
}

// Given opens what the request has sealed, and tells to which key. A request that was made from another may have the text
// of that one, if that one knows it.
func Given(ctx context.Context, live client.Reader, keys sealing.Keys, r *retentionv1.ErasureRequest) ([]subject.Identifier, string, error) {
	ids, key, err := sealing.OpenFor(ctx, keys, r.Spec.Subject.Sealed, r.Namespace)
	if !errors.Is(err, sealing.ErrScope) {
		return ids, key, err
	}
	parent, unread := Family(ctx, live, r)
	if unread != nil {
		return nil, "", fmt.Errorf("reading the request that this one was made from: %w", unread)
	}
	if parent == nil {
		return nil, "", err
	}
	return sealing.OpenFor(ctx, keys, r.Spec.Subject.Sealed, r.Namespace, parent.Namespace)
}

// Open opens one sealed text; an empty one holds nothing.
func Open(ctx context.Context, keys sealing.Keys, text string) ([]subject.Identifier, error) {
	if text == "" {
		return nil, nil
	}
	plaintext, _, err := keys.Open(ctx, text)
	if err != nil {
		return nil, fmt.Errorf("opening what was sealed: %w", err)
	}
	ids, err := subject.Parse(plaintext)
	if errors.Is(err, subject.ErrEmpty) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", sealing.ErrUnreadable, err)
	}
	return ids, nil
}

// Seal seals identifiers to the current key, for use in a namespace, or by the operator only (subject.Operator); none give an
// empty text.
func Seal(ctx context.Context, keys sealing.Keys, scope string, ids []subject.Identifier) (string, error) {
	if len(ids) == 0 {
		return "", nil
	}
	recipient, err := keys.Recipient(ctx)
	if err != nil {
		return "", fmt.Errorf("finding the key to seal to: %w", err)
	}
	text, err := seal.Seal(recipient, []byte(subject.FormatFor(scope, ids)))
	if err == nil && len(text) > maxSealed {
		return "", ErrTooLong
	}
	return text, err
}
