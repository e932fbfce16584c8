// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// ExecutionKey is the key of an Intent and of its Result: the UID of the RetentionPolicy, or for erasures of the Datastore, the
// name of the run and that of the Job.
func ExecutionKey(ownerUID, run, job string) string { return ownerUID + "/" + run + "/" + job }

// KeyHash returns the hexadecimal SHA-256 of kind, a newline and key. It stands in the leaf instead of the key, so that the
// tree, which nobody can change, has no names.
func KeyHash(kind Kind, key string) string {
	sum := sha256.Sum256([]byte(string(kind) + "\n" + key))
	return hex.EncodeToString(sum[:])
}

// LeafOf returns the entry of an envelope, and its bytes as they are in the tree. It does not verify the signature. Its errors
// are of type *Problem.
func LeafOf(e *Envelope) (leaf *Leaf, encoded []byte, err error) {
	payload, signature, p := parts(e)
	if p != nil {
		return nil, nil, p
	}
	s, p := decodeStatement(payload)
	if p != nil {
		return nil, nil, p
	}
	leaf = leafOf(s, payload, signature)
	encoded, err = leaf.Encode()
	if err != nil {
		return nil, nil, problem(CodeLeaf, "%v", err)
	}
	return leaf, encoded, nil
}

func leafOf(s *Statement, payload, signature []byte) *Leaf {
	leaf := &Leaf{
		Version:     LeafVersion,
		Kind:        s.Predicate.Kind,
		Key:         KeyHash(s.Predicate.Kind, s.Predicate.Key),
		Statement:   DigestOf(payload),
		Signature:   DigestOf(signature),
		Time:        s.Predicate.Time,
		RetainUntil: s.Predicate.RetainUntil,
		GoneBy:      s.Predicate.GoneBy,
	}
	if c := s.Predicate.Closes; c != nil {
		leaf.Closes = &c.Index
	}
	return leaf
}

// Encode returns the leaf's bytes.
func (l *Leaf) Encode() ([]byte, error) {
	b, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("encoding the leaf: %w", err)
	}
	return b, nil
}

// DecodeLeaf reads an entry. It accepts only the bytes that Encode would return. Its errors are of type *Problem.
func DecodeLeaf(b []byte) (*Leaf, error) {
	l := &Leaf{}
	if p := decode(b, MaxLeaf, l, "the entry"); p != nil {
		return nil, p
	}
	if l.Version != LeafVersion {
		return nil, problem(CodeLeaf, "the entry is of version %q, not %q", l.Version, LeafVersion)
	}
	if again, err := l.Encode(); err != nil || string(again) != string(b) {
		return nil, problem(CodeLeaf, "the entry is not written as entries are")
	}
	return l, nil
}
