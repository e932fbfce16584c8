// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api/layout"
)

// entry is what is kept of an entry while the ledger is gone through.
type entry struct {
	kind        Kind   // empty if the entry cannot be read
	key         string // as in the leaf
	statement   string
	retainUntil time.Time
	goneBy      *time.Time
	time        time.Time
	level       Level // empty if the statement is gone, or is not valid
	closed      bool  // an Intent that has a Result
	missing     bool  // the statement is gone
}

// entries goes through all entries in their order.
func (v *logVerifier) entries() {
	size := uint64(v.report.Size)
	v.compare()
	for n := uint64(0); n*layout.EntryBundleWidth < size; n++ {
		bundle, err := readEntries(v.export, n, size)
		if err != nil {
			v.found(-1, problem(CodeEntries, "the entries from %d on cannot be read: %v", n*layout.EntryBundleWidth, err))
			return
		}
		for _, raw := range bundle {
			if err := v.tree.Append(rfc6962.DefaultHasher.HashLeaf(raw), v.hashed); err != nil {
				v.found(-1, problem(CodeEntries, "the entries cannot be added up: %v", err))
				return
			}
			v.entry(raw)
			v.compare()
		}
	}
	for id := range v.tiles {
		v.tile(id)
	}
	if !bytes.Equal(v.root(), v.report.Checkpoint.Root[:]) {
		v.found(-1, problem(CodeRoot, "the entries do not lead to the root in the checkpoint: one was changed, moved, removed or added"))
	}
}

// hashed takes a hash of the tree that has become final, and checks tiles that are full.
func (v *logVerifier) hashed(id compact.NodeID, hash []byte) {
	if id.Level%layout.TileHeight != 0 {
		return
	}
	tile := compact.NewNodeID(id.Level/layout.TileHeight, id.Index/layout.TileWidth)
	v.tiles[tile] = append(v.tiles[tile], hash...)
	if len(v.tiles[tile]) == layout.TileWidth*sha256.Size {
		v.tile(tile)
		delete(v.tiles, tile)
	}
}

// tile compares a tile of hashes with the file, if there is one.
func (v *logVerifier) tile(id compact.NodeID) {
	want := v.tiles[id]
	name := layout.TilePath(uint64(id.Level), id.Index, uint8(len(want)/sha256.Size%layout.TileWidth))
	got, err := readFile(v.export, name, layout.TileWidth*sha256.Size)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		v.found(-1, problem(CodeTile, "the hashes in %s cannot be read: %v", name, err))
	case !bytes.Equal(got, want):
		v.found(-1, problem(CodeTile, "the hashes in %s do not follow from the entries", name))
	}
}

// entry checks the next entry and its statement.
func (v *logVerifier) entry(raw []byte) {
	i := int64(len(v.seen))
	l, err := DecodeLeaf(raw)
	if err != nil {
		v.seen = append(v.seen, entry{})
		var p *Problem
		if !errors.As(err, &p) {
			p = problem(CodeLeaf, "%v", err)
		}
		v.found(i, p)
		return
	}
	v.seen = append(v.seen, entry{
		kind: l.Kind, key: l.Key, statement: l.Statement, retainUntil: l.RetainUntil, goneBy: l.GoneBy, time: l.Time,
	})
	v.report.Kinds[l.Kind]++
	if first, ok := v.keys[l.Key]; ok {
		v.found(i, problem(CodeDuplicateKey, "entry %d is of the same kind and key as entry %d: one of them must not be there", i, first))
	} else {
		v.keys[l.Key] = i
	}
	v.order(i, l)
	s := v.statement(i, l, raw)
	if s != nil {
		v.seen[i].level = s.Predicate.Level
	}
	v.closes(i, l, s)
	v.remember(i, l, s)
}

// order checks the times of an entry.
func (v *logVerifier) order(i int64, l *Leaf) {
	if i == 0 || v.report.First.IsZero() {
		v.report.First = l.Time
	}
	if before := v.report.Last; l.Time.Before(before.Add(-ClockTolerance)) { // no problem: the tree itself shows the order
		v.report.Remarks = append(v.report.Remarks, fmt.Sprintf("entry %d is dated %s, and the one before it %s: a clock was wrong",
			i, l.Time.Format(time.RFC3339), before.Format(time.RFC3339)))
	}
	v.report.Last = l.Time
	if w := v.report.Checkpoint.Witnessed; w != nil && l.Time.After(w.Add(ClockTolerance)) {
		v.found(i, problem(CodeTime, "entry %d is dated %s, but a witness saw it at %s already", i, l.Time.Format(time.RFC3339), w.Format(time.RFC3339)))
	}
}

// closes checks that what an entry closes is there and of the right kind. s is nil if the statement is gone.
func (v *logVerifier) closes(i int64, l *Leaf, s *Statement) {
	r := rules[l.Kind]
	if l.Closes == nil {
		if r.required {
			v.found(i, problem(CodeCloses, "entry %d, %s, closes no entry", i, article(l.Kind)))
		}
		return
	}
	n := *l.Closes
	if n < 0 || n >= i {
		v.found(i, problem(CodeCloses, "entry %d closes entry %d, which does not come before it", i, n))
		return
	}
	closed := &v.seen[n]
	if closed.kind == "" {
		return // told already
	}
	if !slices.Contains(r.closes, closed.kind) {
		v.found(i, problem(CodeCloses, "entry %d, %s, closes entry %d, which is %s", i, article(l.Kind), n, article(closed.kind)))
		return
	}
	if s != nil && !v.refers(i, s.Predicate.Closes) {
		return
	}
	v.closesKind(i, n, l, s)
}

// closesKind checks what each kind has to fulfil besides.
func (v *logVerifier) closesKind(i, n int64, l *Leaf, s *Statement) {
	closed := &v.seen[n]
	switch l.Kind {
	case Result:
		if closed.closed {
			v.found(i, problem(CodeSecondResult, "entry %d is a second Result of the Intent in entry %d", i, n))
			return
		}
		closed.closed = true
		v.sameKey(i, n, s)
	case HoldReleased:
		v.sameKey(i, n, s)
	case Conclusion:
		if owner := v.owner[n]; s != nil && owner != "" && owner != ownerOf(s) {
			v.found(i, problem(CodeCloses, "entry %d supersedes the Conclusion in entry %d, which is about something else", i, n))
		}
	case BackupsExpired:
		switch {
		case closed.goneBy == nil:
			v.found(i, problem(CodeCloses, "entry %d says that backups have expired, and entry %d does not say when they would", i, n))
		case closed.goneBy.After(l.Time):
			v.found(i, problem(CodeTime, "entry %d says that the backups of entry %d have expired, before %s was over", i, n, closed.goneBy.Format(time.RFC3339)))
		}
		if s != nil && closed.level != "" && rankOf(s.Predicate.Level) < rankOf(closed.level) {
			v.found(i, problem(CodeLevel, "entry %d claims %s, and the statement in entry %d %s", i, s.Predicate.Level, n, closed.level))
		}
	}
}

// sameKey checks that entry i, of which s is the statement if it is there, closes one of its own key.
func (v *logVerifier) sameKey(i, n int64, s *Statement) {
	if closed := &v.seen[n]; s != nil && closed.key != KeyHash(closed.kind, s.Predicate.Key) {
		v.found(i, problem(CodeCloses, "entry %d, %s, is about something else than %s in entry %d", i, article(s.Predicate.Kind), article(closed.kind), n))
	}
}

// refers checks the kind and the digest of a reference of entry i.
func (v *logVerifier) refers(i int64, r *Reference) bool {
	switch {
	case r.Index >= i:
		v.found(i, problem(CodeCloses, "entry %d refers to entry %d, which does not come before it", i, r.Index))
	case v.seen[r.Index].kind == "":
	case v.seen[r.Index].kind != r.Kind || v.seen[r.Index].statement != r.Digest:
		v.found(i, problem(CodeCloses, "entry %d refers to another statement than the one in entry %d", i, r.Index))
	default:
		return true
	}
	return false
}
