// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"fmt"

	"dataretention.dev/retention-operator/internal/receipt"
)

// access is how the due records of one leaf are reached.
type access int

const (
	// byBlocks reads the leaf once, range by range of its blocks. That costs what one plain DELETE costs.
	byBlocks access = iota
	// byIndex reads an index on the starting point from its oldest value on. It pays if few records are due.
	byIndex
)

// indexBelow is the share of due records below which an index is worth its random reads.
const indexBelow = 0.1

// chooseAccess decides from the facts of the catalog and from the counts, which are zero if nobody counted.
func chooseAccess(rule moment, l leaf, matched, records int64) access {
	if rule.own() && l.leading[rule.column.name] && records > 0 && float64(matched) < indexBelow*float64(records) {
		return byIndex
	}
	return byBlocks
}

// place is a position in a relation: its block times the most records that a block can hold, plus the record's number.
type place int64

// blockSlots is one more than the most records that a block of size bytes holds: each takes at least 24 bytes with its
// header and 4 for its pointer; numbers start with 1.
func blockSlots(size int64) int64 { return (size-24)/28 + 1 }

// tid renders a place as a ctid.
func (p place) tid(slots int64) string { return fmt.Sprintf("(%d,%d)", int64(p)/slots, int64(p)%slots) }

// window adapts how much of a relation one batch covers, in places, so that a batch has close to, but not more than, the
// records that it may have.
type window struct {
	target, slots int64
	width         int64
}

// maxBlocks bounds how much one batch reads where little is due.
const maxBlocks = 1024

// newWindow starts so that a batch stays below target even if all records are due.
func newWindow(target, slots int64, l leaf) window {
	perBlock := slots / 4 // nobody knows: about 100 bytes each
	if l.pages > 0 && l.records > 0 {
		perBlock = max(1, int64(l.records)/l.pages)
	}
	w := window{target: target, slots: slots}
	w.set(min(target*slots/perBlock, 125*slots))
	return w
}

// done learns from a batch that changed n records: the next one aims a little below the target, and at most doubles.
func (w *window) done(n int64) {
	next := 2 * w.width
	if n > 0 {
		next = min(next, w.width*w.target*85/(100*n))
	}
	w.set(next)
}

// tooMany learns from a batch that would have changed n records, more than the target.
func (w *window) tooMany(n int64) { w.set(fewer(w.width, w.target, n, w.slots)) }

// narrow learns from a batch that failed. It returns false if it was as narrow as makes sense.
func (w *window) narrow(reason receipt.Reason) bool {
	next := narrower(w.width, w.slots, reason)
	if next > 0 {
		w.set(next)
	}
	return next > 0
}

func (w *window) set(width int64) { w.width = wholeBlocks(min(width, maxBlocks*w.slots), w.slots) }

// fewer is the width of the parts of a range that has n records, which are more than target.
func fewer(width, target, n, slots int64) int64 {
	return wholeBlocks(min(width/2, width*target*3/(4*n)), slots)
}

// narrower is the width of the parts of a range that failed. It is 0 if the range is as narrow as makes sense: one block
// where time was the matter, one record where the record was.
func narrower(width, slots int64, reason receipt.Reason) int64 {
	least, next := int64(1), width/8
	switch reason {
	case receipt.LockTimeout: // waited for many times: the blocks without the locked record shall not wait again
		least, next = slots, slots
	case receipt.StatementTimeout:
		least = slots
	}
	if width <= least {
		return 0
	}
	return wholeBlocks(max(least, next), slots)
}

// wholeBlocks keeps a width to whole blocks where it can.
func wholeBlocks(width, slots int64) int64 {
	if width > slots {
		return width - width%slots
	}
	return max(1, width)
}
