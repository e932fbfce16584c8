// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"fmt"
	"iter"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"
)

var (
	hasher = rfc6962.DefaultHasher
	ranges = &compact.RangeFactory{Hash: hasher.HashChildren}
)

// head is a state of the tree. It does not change once it is made.
type head struct {
	size uint64
	root []byte
	// frontier are the nodes that the root follows from, and from which the tree grows.
	frontier [][]byte
	// checkpoint is the signed note that says all this.
	checkpoint []byte
}

func emptyHead() *head { return &head{root: hasher.EmptyRoot()} }

// grow returns the frontier of h as a range that can be appended to.
func (h *head) grow() (*compact.Range, error) {
	return ranges.NewRange(0, h.size, append([][]byte(nil), h.frontier...))
}

func rootOf(r *compact.Range) ([]byte, error) {
	if r.End() == 0 {
		return hasher.EmptyRoot(), nil // for which a compact range has none
	}
	return r.GetRootHash(nil)
}

// treeOf reads the tiles of a tree as it is at a head. Those of any smaller tree are the beginnings of these, so nothing has
// to be kept of what the tree once was.
type treeOf struct {
	tiles
	head *head
}

// tile reads a tile for a tree that is not larger than the head's. It has the type client.TileFetcherFunc.
func (t treeOf) tile(ctx context.Context, level, index uint64, _ uint8) ([]byte, error) {
	return t.ReadTile(ctx, level, index, layout.PartialTileSize(level, index, t.head.size))
}

// leaves yields the entries from the given one up to the head's size, in order.
func (t treeOf) leaves(ctx context.Context, from uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if from >= t.head.size {
			return
		}
		for r := range layout.Range(from, t.head.size-from, t.head.size) {
			bundle, err := client.GetEntryBundle(ctx, t.ReadEntryBundle, r.Index, t.head.size)
			if err == nil && uint(len(bundle.Entries)) < r.First+r.N {
				err = fmt.Errorf("the entry bundle at index %d has %d entries, fewer than %d", r.Index, len(bundle.Entries), r.First+r.N)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for _, entry := range bundle.Entries[r.First : r.First+r.N] {
				if !yield(entry, nil) {
					return
				}
			}
		}
	}
}

// leaf returns one entry.
func (t treeOf) leaf(ctx context.Context, i uint64) ([]byte, error) {
	for entry, err := range t.leaves(ctx, i) {
		return entry, err
	}
	return nil, fmt.Errorf("there is no entry %d in a tree of %d", i, t.head.size)
}

// rootAt returns the root that the tree had when it was of a size, having proved that it grew from that to what it is.
func (t treeOf) rootAt(ctx context.Context, size uint64) ([]byte, error) {
	switch {
	case size == t.head.size:
		return t.head.root, nil
	case size == 0:
		return hasher.EmptyRoot(), nil
	}
	nodes, err := client.FetchRangeNodes(ctx, size, t.tile)
	if err != nil {
		return nil, err
	}
	r, err := ranges.NewRange(0, size, nodes)
	if err != nil {
		return nil, err
	}
	root, err := rootOf(r)
	if err != nil {
		return nil, err
	}
	if _, err := t.consistency(ctx, size, root, t.head.size, t.head.root); err != nil {
		return nil, err
	}
	return root, nil
}

// consistency returns the proof that the tree of one size and root is the beginning of that of another. It has been verified.
func (t treeOf) consistency(ctx context.Context, from uint64, fromRoot []byte, to uint64, toRoot []byte) ([][]byte, error) {
	if from == 0 || from == to {
		return nil, nil
	}
	builder, err := client.NewProofBuilder(ctx, to, t.tile)
	if err != nil {
		return nil, err
	}
	hashes, err := builder.ConsistencyProof(ctx, from, to)
	if err != nil {
		return nil, err
	}
	if err := proof.VerifyConsistency(hasher, from, to, hashes, fromRoot, toRoot); err != nil {
		return nil, fmt.Errorf("the ledger's tiles are damaged: the tree of size %d is not the beginning of that of size %d: %w", from, to, err)
	}
	return hashes, nil
}

// inclusion returns the proof that the entry is at that place in the tree of that size and root. It has been verified.
func (t treeOf) inclusion(ctx context.Context, i, size uint64, root, entry []byte) ([][]byte, error) {
	builder, err := client.NewProofBuilder(ctx, size, t.tile)
	if err != nil {
		return nil, err
	}
	hashes, err := builder.InclusionProof(ctx, i)
	if err != nil {
		return nil, err
	}
	if err := proof.VerifyInclusion(hasher, i, size, hasher.HashLeaf(entry), hashes, root); err != nil {
		return nil, fmt.Errorf("the ledger's tiles are damaged: entry %d is not in the tree of size %d: %w", i, size, err)
	}
	return hashes, nil
}
