// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"crypto/sha256"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/transparency-dev/formats/log"
	cosignature "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

// ClockTolerance is how far the clocks of manager, ledger and witness may be apart. A statement that is dated later than that
// after the witness saw it in the ledger is not believed.
const ClockTolerance = 10 * time.Minute

// Checkpoint is a state of the ledger that its key has signed (C2SP tlog-checkpoint).
type Checkpoint struct {
	Origin string
	Size   int64
	Root   [sha256.Size]byte
	// Witnessed is when the first of the trusted witnesses cosigned it, by its own clock, and Witness its name. Nil and empty
	// if none has.
	Witnessed *time.Time
	Witness   string
	// Note is its text with all signatures.
	Note []byte
}

// OpenCheckpoint verifies a checkpoint: by a log key whose name is the origin, and by the trusted witnesses as far as they
// have signed. Its errors are of type *Problem.
func OpenCheckpoint(signed []byte, t *Trust) (*Checkpoint, error) {
	c, p := openCheckpoint(signed, t)
	if p != nil {
		return nil, p
	}
	return c, nil
}

func openCheckpoint(signed []byte, t *Trust) (*Checkpoint, *Problem) {
	if t == nil || len(t.Log) == 0 {
		return nil, problem(CodeNoLogKeys, "the trusted keys have none of a ledger, so no checkpoint can be checked")
	}
	if len(signed) > MaxCheckpoint {
		return nil, problem(CodeTooLarge, "the checkpoint has more than %d bytes", MaxCheckpoint)
	}
	text, p := parseCheckpoint(signed)
	if p != nil {
		return nil, p
	}
	var logs []note.Verifier
	for _, v := range t.Log {
		if v.Name() == text.Origin {
			logs = append(logs, v)
		}
	}
	if len(logs) == 0 {
		return nil, problem(CodeOrigin, "the checkpoint is of the ledger %q, of which you trust no key", text.Origin)
	}
	n, p := openNote(signed, logs, t.Witness, text.Origin)
	if p != nil {
		return nil, p
	}
	c := &Checkpoint{Origin: text.Origin, Size: int64(text.Size), Root: [sha256.Size]byte(text.Hash), Note: signed}
	if p := c.witness(n, t); p != nil {
		return nil, p
	}
	return c, nil
}

// parseCheckpoint reads a checkpoint that may be of anybody.
func parseCheckpoint(signed []byte) (*log.Checkpoint, *Problem) {
	text := &log.Checkpoint{}
	if _, err := text.Unmarshal(signed); err != nil {
		return nil, problem(CodeCheckpoint, "the checkpoint is not one: %v", err)
	}
	if text.Size > math.MaxInt64 || len(text.Hash) != sha256.Size {
		return nil, problem(CodeCheckpoint, "the checkpoint has no possible size, or no SHA-256 root")
	}
	return text, nil
}

func openNote(signed []byte, logs, witnesses []note.Verifier, origin string) (*note.Note, *Problem) {
	n, err := note.Open(signed, note.VerifierList(slices.Concat(logs, witnesses)...))
	var invalid *note.InvalidSignatureError
	var unverified *note.UnverifiedNoteError
	switch {
	case errors.As(err, &invalid):
		if isOf(witnesses, invalid.Name, invalid.Hash) {
			return nil, problem(CodeWitness, "the cosignature of the witness %q does not fit the checkpoint", invalid.Name)
		}
		return nil, problem(CodeLogSignature, "the signature of the ledger %q does not fit the checkpoint: size, root or origin were changed", invalid.Name)
	case errors.As(err, &unverified):
		return nil, problem(CodeLogSignature, "no key that you trust of the ledger %q has signed the checkpoint", origin)
	case err != nil:
		return nil, problem(CodeCheckpoint, "the checkpoint is not a signed note: %v", err)
	}
	for _, s := range slices.Concat(n.Sigs, n.UnverifiedSigs) {
		if _, p := unbase64(s.Base64, "a signature of the checkpoint"); p != nil {
			return nil, p
		}
	}
	for _, s := range n.Sigs {
		if isOf(logs, s.Name, s.Hash) {
			return n, nil
		}
	}
	return nil, problem(CodeLogSignature, "no key that you trust of the ledger %q has signed the checkpoint", origin)
}

func isOf(verifiers []note.Verifier, name string, hash uint32) bool {
	return slices.ContainsFunc(verifiers, func(v note.Verifier) bool { return v.Name() == name && v.KeyHash() == hash })
}

// witness takes the earliest cosignature.
func (c *Checkpoint) witness(n *note.Note, t *Trust) *Problem {
	for _, s := range n.Sigs {
		if !isOf(t.Witness, s.Name, s.Hash) {
			continue
		}
		at, err := cosignature.CoSigV1Timestamp(s)
		if err != nil {
			return problem(CodeWitness, "the cosignature of the witness %q has no time", s.Name)
		}
		at = at.UTC()
		if at.Year() < FirstYear || at.Year() > LastYear {
			return problem(CodeWitness, "the witness %q says that it cosigned in the year %d", s.Name, at.Year())
		}
		if c.Witnessed == nil || at.Before(*c.Witnessed) {
			c.Witnessed, c.Witness = &at, s.Name
		}
	}
	switch {
	case c.Witnessed != nil || !t.RequireWitness:
		return nil
	case len(t.Witness) == 0:
		return problem(CodeNoWitnessKeys, "a witness is required, and the trusted keys have none of a witness")
	}
	return problem(CodeWitnessMissing, "no witness that you trust has cosigned the checkpoint (%s)", strings.Join(names(t.Witness), ", "))
}

func names(verifiers []note.Verifier) []string {
	var all []string
	for _, v := range verifiers {
		all = append(all, v.Name())
	}
	return all
}

// VerifyConsistent verifies that the ledger of the checkpoint newer goes on from that of older, with a consistency proof of
// RFC 6962: that nothing which was there then was changed or taken away. Both are verified against the trust. Its errors are
// of type *Problem.
func VerifyConsistent(older, newer []byte, hashes [][]byte, t *Trust) error {
	a, p := openCheckpoint(older, t)
	if p != nil {
		return p
	}
	b, p := openCheckpoint(newer, t)
	if p != nil {
		return p
	}
	if p = consistent(a, b, hashes); p != nil {
		return p // a nil *Problem would be an error
	}
	return nil
}

func consistent(a, b *Checkpoint, hashes [][]byte) *Problem {
	switch {
	case a.Origin != b.Origin:
		return problem(CodeOrigin, "the checkpoints are of two ledgers, %q and %q", a.Origin, b.Origin)
	case b.Size < a.Size:
		return problem(CodeTruncated, "the ledger had %d entries, and has %d now: entries were taken away", a.Size, b.Size)
	case b.Size == a.Size && a.Root != b.Root:
		return problem(CodeRewritten, "the ledger has two different states with %d entries: it was rewritten", a.Size)
	}
	err := proof.VerifyConsistency(rfc6962.DefaultHasher, uint64(a.Size), uint64(b.Size), hashes, a.Root[:], b.Root[:])
	if err != nil {
		var mismatch proof.RootMismatchError
		if errors.As(err, &mismatch) {
			return problem(CodeConsistency, "the proof does not show that the ledger of %d entries goes on from that of %d: it was rewritten, or the proof was changed", b.Size, a.Size)
		}
		return problem(CodeConsistency, "the proof cannot show that the ledger of %d entries goes on from that of %d: %v", b.Size, a.Size, err)
	}
	return nil
}
