// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"

	"github.com/transparency-dev/formats/proof"
)

// maxHashes is more than an inclusion proof can have in a tree of 2^63 entries.
const maxHashes = 63

// NewBundle puts together what the ledger has of one entry: the envelope, the leaf's bytes, its index from 0, the hashes of its
// inclusion proof (RFC 6962) in the tree of the checkpoint, and the checkpoint as a signed note.
func NewBundle(e *Envelope, leaf []byte, index int64, hashes [][]byte, checkpoint []byte) (*Bundle, error) {
	if e == nil || index < 0 {
		return nil, fmt.Errorf("making a bundle of entry %d: there is no such entry", index)
	}
	p := proof.TLogProof{Index: uint64(index), Checkpoint: checkpoint}
	for _, h := range hashes {
		if len(h) != sha256.Size {
			return nil, fmt.Errorf("making a bundle of entry %d: a hash of %d bytes", index, len(h))
		}
		p.Hashes = append(p.Hashes, [sha256.Size]byte(h))
	}
	return &Bundle{
		MediaType: BundleMediaType,
		Envelope:  *e,
		Leaf:      base64.StdEncoding.EncodeToString(leaf),
		Proof:     string(p.Marshal()),
	}, nil
}

// Encode returns the bundle as a file.
func (b *Bundle) Encode() ([]byte, error) {
	file, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encoding the bundle: %w", err)
	}
	return append(file, '\n'), nil
}

// DecodeBundle reads a bundle without verifying it. Its errors are of type *Problem.
func DecodeBundle(file []byte) (*Bundle, error) {
	b, p := decodeBundle(file)
	if p != nil {
		return nil, p
	}
	return b, nil
}

func decodeBundle(file []byte) (*Bundle, *Problem) {
	b := &Bundle{}
	if p := decode(file, MaxBundle, b, "the bundle"); p != nil {
		return nil, p
	}
	if b.MediaType != BundleMediaType {
		return nil, problem(CodeMediaType, "the file is %q, not a bundle %q", b.MediaType, BundleMediaType)
	}
	return b, nil
}

// Proven is the proof of a bundle, read but not verified.
type Proven struct {
	Index  int64
	Hashes [][]byte
	// Checkpoint is the signed note.
	Checkpoint []byte
}

// ReadProof reads the bundle's proof. Its errors are of type *Problem.
func (b *Bundle) ReadProof() (*Proven, error) {
	r, p := readProof(b.Proof)
	if p != nil {
		return nil, p
	}
	return r, nil
}

func readProof(text string) (*Proven, *Problem) {
	var parsed proof.TLogProof
	if err := parsed.Unmarshal([]byte(text)); err != nil {
		return nil, problem(CodeProof, "the proof is not one of the form tlog-proof@v1: %v", err)
	}
	switch {
	case parsed.ExtraData != nil || !bytes.Equal(parsed.Marshal(), []byte(text)):
		return nil, problem(CodeProof, "the proof has something that does not belong there")
	case parsed.Index > math.MaxInt64:
		return nil, problem(CodeProof, "the proof's index %d cannot be", parsed.Index)
	case len(parsed.Hashes) > maxHashes:
		return nil, problem(CodeProof, "the proof has %d hashes, more than any tree", len(parsed.Hashes))
	}
	r := &Proven{Index: int64(parsed.Index), Checkpoint: parsed.Checkpoint}
	for i := range parsed.Hashes {
		r.Hashes = append(r.Hashes, parsed.Hashes[i][:])
	}
	return r, nil
}
