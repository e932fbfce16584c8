// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/tessera/api/layout"
)

// tileHeight is how many levels of the tree one level of tiles has.
const tileHeight = 8

// load reads the log from its first entry to its last. Every tile and the root have to follow from the entries, and the
// checkpoint that was published last has to be one of ours, of a beginning of the tree. Then nothing that was ever signed is
// contradicted, as long as the log is not an older copy of itself: that is for the witness to notice.
func (l *Log) load(ctx context.Context) error {
	size, root, err := l.back.treeState(ctx)
	if err != nil {
		return fmt.Errorf("reading the tree's state: %w", err)
	}
	published, publishedRoot, err := l.published(ctx)
	if err != nil {
		return err
	}
	if published > size {
		return fmt.Errorf("the tree has %d entries, but a checkpoint with %d was published: entries are missing", size, published)
	}
	w := &walk{tree: treeOf{l.back, &head{size: size}}, r: ranges.NewEmptyRange(0), index: &l.index,
		roots: []knownRoot{{published, publishedRoot}, {size, root}}}
	if err := w.run(ctx); err != nil {
		return err
	}
	if err := w.compareTiles(ctx); err != nil {
		return err
	}
	if l.head, err = l.headOf(w.r); err != nil {
		return err
	}
	return l.findStatements(ctx)
}

// published returns what the checkpoint that was published last says, or zeros if there is none.
func (l *Log) published(ctx context.Context) (uint64, []byte, error) {
	raw, err := l.back.ReadCheckpoint(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, fmt.Errorf("reading the checkpoint: %w", err)
	}
	return l.keyring.open(raw)
}

// walk goes through all entries of a tree.
type walk struct {
	tree  treeOf
	r     *compact.Range
	index *index
	roots []knownRoot
	// levels are the hashes that the tiles of each level consist of.
	levels [][]byte
}

func (w *walk) run(ctx context.Context) error {
	for entry, err := range w.tree.leaves(ctx, 0) {
		if err != nil {
			return fmt.Errorf("reading the entries: %w", err)
		}
		if _, err := w.index.add(entry); err != nil {
			return fmt.Errorf("entry %d is none of this ledger's: %w", w.r.End(), err)
		}
		if err := w.r.Append(hasher.HashLeaf(entry), w.visit); err != nil {
			return err
		}
		if err := w.compareRoots(); err != nil {
			return err
		}
	}
	return nil
}

// knownRoot is a root that the tree must have had.
type knownRoot struct {
	size uint64
	root []byte
}

func (w *walk) compareRoots() error {
	for _, known := range w.roots {
		if known.size != w.r.End() {
			continue
		}
		root, err := rootOf(w.r)
		if err != nil {
			return err
		}
		if !bytes.Equal(root, known.root) {
			return fmt.Errorf("the first %d entries lead to the root %x, but the ledger says %x: something was changed", known.size, root, known.root)
		}
	}
	return nil
}

// visit is called with every node that is complete, in the order in which tiles have them.
func (w *walk) visit(id compact.NodeID, hash []byte) {
	if id.Level%tileHeight != 0 {
		return
	}
	level := int(id.Level / tileHeight)
	for len(w.levels) <= level {
		w.levels = append(w.levels, nil)
	}
	w.levels[level] = append(w.levels[level], hash...)
}

// compareTiles compares every tile, since a tree that is to grow does so from its tiles.
func (w *walk) compareTiles(ctx context.Context) error {
	const width = layout.TileWidth * len(digest{})
	for level, hashes := range w.levels {
		for i := uint64(0); len(hashes) > 0; i++ {
			want := hashes[:min(width, len(hashes))]
			hashes = hashes[len(want):]
			got, err := w.tree.tile(ctx, uint64(level), i, 0)
			if err != nil {
				return fmt.Errorf("reading the tiles: %w", err)
			}
			if !bytes.HasPrefix(got, want) {
				return fmt.Errorf("tile %d of level %d does not follow from the entries", i, level)
			}
		}
	}
	return nil
}

// findStatements notes which statements are there.
func (l *Log) findStatements(ctx context.Context) error {
	there, err := l.back.statements(ctx)
	if err != nil {
		return fmt.Errorf("looking for the statements: %w", err)
	}
	now := l.Clock()
	for i := range l.index.records {
		r := &l.index.records[i]
		if _, r.present = there[r.statement]; !r.present && !due(r.retainUntil, now) {
			l.Log.Error("a statement is missing that is still to be kept", "index", i, "statement", r.statement.String())
		}
	}
	return nil
}
