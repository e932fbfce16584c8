// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
)

// digest is a SHA-256: of a statement, or of a kind and key (evidence.KeyHash).
type digest [sha256.Size]byte

func (d digest) String() string { return "sha256:" + hex.EncodeToString(d[:]) }

// parseDigest reads 64 hexadecimal digits, with or without "sha256:".
func parseDigest(s string) (d digest, err error) {
	b, err := hex.DecodeString(strings.TrimPrefix(s, "sha256:"))
	if err != nil || len(b) != len(d) {
		return d, fmt.Errorf("%.80q is no SHA-256 in hexadecimal", s)
	}
	return digest(b), nil
}

// kinds are kept as a number, so that a record stays small.
var kinds = []evidence.Kind{evidence.Intent, evidence.Result, evidence.Conclusion, evidence.BackupsExpired,
	evidence.HoldEnforced, evidence.HoldReleased, evidence.Pruned}

// record is what is kept in memory of an entry: about 130 bytes with its place in the map, so 130 MB for a million.
type record struct {
	statement digest
	// Unix times in nanoseconds. goneBy is 0 if there is none.
	time, retainUntil, goneBy int64
	kind                      uint8
	// closed: an Intent has its Result, any other its BackupsExpired.
	closed bool
	// present: the statement is still there.
	present bool
}

func (r *record) is(k evidence.Kind) bool { return kinds[r.kind] == k }

// due says whether a time that a record has is over.
func due(nanoseconds int64, now time.Time) bool {
	return nanoseconds != 0 && nanoseconds <= now.UnixNano()
}

// index has a record of every entry, in order, and finds the entry of a kind and key. It is not safe for concurrent use.
type index struct {
	records []record
	byKey   map[digest]int64
}

// add appends the entry with the given bytes. It fails if a log of ours cannot have such an entry.
func (x *index) add(encoded []byte) (*record, error) {
	leaf, err := evidence.DecodeLeaf(encoded)
	if err != nil {
		return nil, err
	}
	r, key, err := recordOf(leaf)
	if err != nil {
		return nil, err
	}
	i := int64(len(x.records))
	if first, ok := x.byKey[key]; ok {
		return nil, fmt.Errorf("there is an entry of the same kind and key: %d", first)
	}
	if c := leaf.Closes; c != nil && (r.is(evidence.Result) || r.is(evidence.BackupsExpired)) {
		if *c < 0 || *c >= i {
			return nil, fmt.Errorf("it closes entry %d, which is not before it", *c)
		}
		if x.records[*c].closed {
			return nil, fmt.Errorf("it closes entry %d, which is closed", *c)
		}
		x.records[*c].closed = true
	}
	if x.byKey == nil {
		x.byKey = map[digest]int64{}
	}
	x.byKey[key] = i
	x.records = append(x.records, r)
	return &x.records[i], nil
}

func recordOf(leaf *evidence.Leaf) (r record, key digest, err error) {
	for k, kind := range kinds {
		if leaf.Kind == kind {
			r.kind = uint8(k)
		}
	}
	if !r.is(leaf.Kind) {
		return r, key, fmt.Errorf("the kind %.40q is not known", leaf.Kind)
	}
	if key, err = parseDigest(leaf.Key); err != nil {
		return r, key, err
	}
	if r.statement, err = parseDigest(leaf.Statement); err != nil {
		return r, key, err
	}
	r.time, r.retainUntil = leaf.Time.UnixNano(), leaf.RetainUntil.UnixNano()
	if leaf.GoneBy != nil {
		r.goneBy = leaf.GoneBy.UnixNano()
	}
	return r, key, nil
}

// at returns the record of an entry, or nil if there is none.
func (x *index) at(i int64) *record {
	if i < 0 || i >= int64(len(x.records)) {
		return nil
	}
	return &x.records[i]
}

// find returns the places of the first entries, at most limit, that fit, and how many fit in all.
func (x *index) find(limit int, fits func(*record) bool) (found []int64, total int64) {
	for i := range x.records {
		if !fits(&x.records[i]) {
			continue
		}
		if total++; len(found) < limit {
			found = append(found, int64(i))
		}
	}
	return found, total
}
