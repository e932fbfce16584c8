// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	flog "github.com/transparency-dev/formats/log"
	fnote "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
)

// keyring are the ledger's own keys, the current one first. Checkpoints are signed with all of them, so that whoever knows
// an old or a new one can follow a change of keys.
type keyring struct {
	signers   []note.Signer
	verifiers []note.Verifier
}

// newKeyring reads note signer keys ("PRIVATE+KEY+…"), which all have the name of the log.
func newKeyring(keys []string) (*keyring, error) {
	k := &keyring{}
	for i, text := range keys {
		signer, verifier, err := fnote.NewEd25519SignerVerifier(text)
		if err != nil {
			return nil, fmt.Errorf("the ledger's key %d cannot be read", i+1) // no reason: it might show the key
		}
		if i > 0 && signer.Name() != k.origin() {
			return nil, fmt.Errorf("the ledger's key %d has the name %q, the first one has %q", i+1, signer.Name(), k.origin())
		}
		k.signers, k.verifiers = append(k.signers, signer), append(k.verifiers, verifier)
	}
	if len(k.signers) == 0 {
		return nil, errors.New("the ledger has no key")
	}
	return k, nil
}

// parseKeys returns the lines of a key file.
func parseKeys(text string) []string { return strings.Fields(text) }

func (k *keyring) origin() string { return k.signers[0].Name() }

func (k *keyring) sign(size uint64, root []byte) ([]byte, error) {
	text := flog.Checkpoint{Origin: k.origin(), Size: size, Hash: root}.Marshal()
	return note.Sign(&note.Note{Text: string(text)}, k.signers...)
}

// open reads a checkpoint that one of the keys has signed.
func (k *keyring) open(raw []byte) (size uint64, root []byte, err error) {
	n, err := note.Open(raw, note.VerifierList(k.verifiers...))
	if err != nil {
		return 0, nil, fmt.Errorf("none of the ledger's keys has signed the checkpoint: %w", err)
	}
	c := flog.Checkpoint{}
	if _, err := c.Unmarshal([]byte(n.Text)); err != nil {
		return 0, nil, fmt.Errorf("the checkpoint cannot be read: %w", err)
	}
	if c.Origin != k.origin() {
		return 0, nil, fmt.Errorf("the checkpoint is that of the ledger %q, not of %q", c.Origin, k.origin())
	}
	return c.Size, c.Hash, nil
}

// guarded signs a checkpoint only if vouch agrees with it: whatever happens to the tiles or in a driver, nothing is signed
// that contradicts what was signed before.
type guarded struct {
	note.Signer
	vouch func(ctx context.Context, size uint64, root []byte) error
}

// Sign signs the text of a checkpoint.
func (g guarded) Sign(text []byte) ([]byte, error) {
	c := flog.Checkpoint{}
	if rest, err := c.Unmarshal(text); err != nil || len(rest) > 0 {
		return nil, errors.Join(errors.New("this is no checkpoint"), err)
	}
	if err := g.vouch(context.Background(), c.Size, c.Hash); err != nil {
		return nil, err
	}
	return g.Signer.Sign(text)
}

// vouch says whether a tree of that size and root is what this log has grown to, or a beginning of it.
func (l *Log) vouch(ctx context.Context, size uint64, root []byte) error {
	h, err := l.readable()
	if err != nil {
		return err
	}
	var want []byte
	if size <= h.size {
		want, err = treeOf{l.back, h}.rootAt(ctx, size)
	} else {
		want, err = l.rootAhead(ctx, h, size)
	}
	if err == nil && !bytes.Equal(root, want) {
		err = fmt.Errorf("the tree of size %d has the root %x, but its entries lead to %x", size, root, want)
		l.fail(err)
	}
	return err
}

// rootAhead returns the root of a tree that has grown beyond the head.
func (l *Log) rootAhead(ctx context.Context, h *head, size uint64) ([]byte, error) {
	r, err := h.grow()
	if err != nil {
		return nil, err
	}
	for entry, err := range (treeOf{l.back, &head{size: size}}).leaves(ctx, h.size) {
		if err != nil {
			return nil, err
		}
		if err := r.Append(hasher.HashLeaf(entry), nil); err != nil {
			return nil, err
		}
	}
	return rootOf(r)
}
