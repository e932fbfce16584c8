// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"errors"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

// Verified is what a bundle proves, if its keys are trusted.
type Verified struct {
	Statement Statement
	// Payload are the bytes that were signed, and Digest is "sha256:…" of them.
	Payload []byte
	Digest  string
	// KeyID is that of the statement key that has signed.
	KeyID string
	Leaf  Leaf
	// Index is the statement's place in the ledger, from 0.
	Index int64
	// Checkpoint is the state of the ledger that the proof leads to; its Witnessed is nil if no trusted witness has cosigned.
	Checkpoint Checkpoint
}

// Witnessed is when a trusted witness saw the statement in the ledger, by its own clock; nil if none has.
func (v *Verified) Witnessed() *time.Time { return v.Checkpoint.Witnessed }

// Verify verifies a bundle offline: that a trusted key has signed its statement, that the statement does not contradict itself,
// that it is in the ledger, and that the trusted key of the ledger has signed for that. Its errors are of type *Problem; the
// first thing that does not fit is the one that is told.
func Verify(bundle []byte, t *Trust) (*Verified, error) {
	v, p := verify(bundle, t)
	if p != nil {
		return nil, p
	}
	return v, nil
}

func verify(file []byte, t *Trust) (*Verified, *Problem) {
	if t == nil || len(t.Statement) == 0 {
		return nil, problem(CodeNoStatementKeys, "the trusted keys have none for statements, so no signature can be checked")
	}
	if len(t.Log) == 0 {
		return nil, problem(CodeNoLogKeys, "the trusted keys have none of a ledger, so no checkpoint can be checked")
	}
	b, p := decodeBundle(file)
	if p != nil {
		return nil, p
	}
	s, payload, keyID, p := openValid(&b.Envelope, t)
	if p != nil && p.Code == CodeSignature {
		return nil, diagnose(b, t)
	}
	if p != nil {
		return nil, p
	}
	v := &Verified{Statement: *s, Payload: payload, Digest: DigestOf(payload), KeyID: keyID}
	leaf, p := v.leaf(b)
	if p != nil {
		return nil, p
	}
	if p := v.include(b.Proof, leaf, t); p != nil {
		return nil, p
	}
	return v, nil
}

// openValid opens an envelope and validates its statement.
func openValid(e *Envelope, t *Trust) (*Statement, []byte, string, *Problem) {
	s, payload, keyID, p := open(e, t.Statement)
	if p != nil {
		return nil, nil, "", p
	}
	if err := s.Validate(); err != nil {
		code := CodeStatement
		switch {
		case s.Type != StatementType || s.PredicateType != PredicateType:
			code = CodeStatementType
		case errors.Is(err, errLevel):
			code = CodeLevel
		}
		return nil, nil, "", problem(code, "the statement is signed, but it is not valid: %v", err)
	}
	return s, payload, keyID, nil
}

// leaf checks that the bundle's entry is the statement's, byte for byte.
func (v *Verified) leaf(b *Bundle) ([]byte, *Problem) {
	leaf, p := unbase64(b.Leaf, "the entry")
	if p != nil {
		return nil, p
	}
	_, signature, _ := parts(&b.Envelope) // which was opened
	want := leafOf(&v.Statement, v.Payload, signature)
	encoded, err := want.Encode()
	if err != nil {
		return nil, problem(CodeLeaf, "the statement has no entry: %v", err)
	}
	if !bytes.Equal(leaf, encoded) {
		if got, err := DecodeLeaf(leaf); err == nil && got.Statement != want.Statement {
			return nil, problem(CodeOtherLeaf, "the entry is that of another statement")
		}
		return nil, problem(CodeLeaf, "the entry does not say what follows from this statement and its signature")
	}
	v.Leaf = *want
	return leaf, nil
}

// include checks that the entry is in the ledger of the checkpoint.
func (v *Verified) include(text string, leaf []byte, t *Trust) *Problem {
	r, p := readProof(text)
	if p != nil {
		return p
	}
	c, p := openCheckpoint(r.Checkpoint, t)
	if p != nil {
		return p
	}
	if r.Index >= c.Size {
		return problem(CodeIndex, "the proof is about entry %d, and the ledger has %d entries", r.Index, c.Size)
	}
	if ref := v.Statement.Predicate.Closes; ref != nil && ref.Index >= r.Index {
		return problem(CodeCloses, "the statement is entry %d, and closes entry %d, which came later", r.Index, ref.Index)
	}
	if p := included(r, leaf, c); p != nil {
		return p
	}
	if c.Witnessed != nil && v.Statement.Predicate.Time.After(c.Witnessed.Add(ClockTolerance)) {
		return problem(CodeTime, "the statement is dated %s, but a witness saw it in the ledger at %s already",
			v.Statement.Predicate.Time.Format(time.RFC3339), c.Witnessed.Format(time.RFC3339))
	}
	v.Index, v.Checkpoint = r.Index, *c
	return nil
}

// included checks that the hashes lead from the entry to the checkpoint's root.
func included(r *Proven, leaf []byte, c *Checkpoint) *Problem {
	hash := rfc6962.DefaultHasher.HashLeaf(leaf)
	fits := func(i int64) error {
		return proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(i), uint64(c.Size), hash, r.Hashes, c.Root[:])
	}
	err := fits(r.Index)
	if err == nil {
		return nil
	}
	// Whoever reads this wants to know what was changed. In a small ledger it costs nothing to find out.
	for i := range min(c.Size, 1<<12) {
		if fits(i) == nil {
			return problem(CodeIndex, "the proof says that the statement is entry %d of the ledger, and it is entry %d", r.Index, i)
		}
	}
	var mismatch proof.RootMismatchError
	if errors.As(err, &mismatch) {
		return problem(CodeInclusion, "the proof does not lead from the statement to the ledger's root: this statement is not entry %d of this ledger, or a hash was changed", r.Index)
	}
	return problem(CodeProofLength, "the proof cannot lead from entry %d to the root of a ledger of %d entries: %v", r.Index, c.Size, err)
}
