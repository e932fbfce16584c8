// SPDX-License-Identifier: Apache-2.0

package receipt

import (
	"encoding/binary"
	"math"
)

// bitWriter appends numbers of any width, least significant bit first.
type bitWriter struct {
	bytes []byte
	used  int // bits
}

func (w *bitWriter) write(v uint64, width int) {
	for i := range width {
		if w.used%8 == 0 {
			w.bytes = append(w.bytes, 0)
		}
		w.bytes[w.used/8] |= byte(v>>i&1) << (w.used % 8)
		w.used++
	}
}

// bitReader reads what a bitWriter wrote.
type bitReader struct {
	bytes []byte
	used  int // bits
}

// read returns false when fewer than width bits are left or width is more than a number has.
func (r *bitReader) read(width int) (v uint64, ok bool) {
	if width > 64 || r.used+width > 8*len(r.bytes) {
		return 0, false
	}
	for i := range width {
		v |= uint64(r.bytes[r.used/8]>>(r.used%8)&1) << i
		r.used++
	}
	return v, true
}

// uvarint takes a number off b. A damaged one reads as more than any length.
func uvarint(b *[]byte) uint64 {
	v, n := binary.Uvarint(*b)
	if n <= 0 {
		return math.MaxUint64
	}
	*b = (*b)[n:]
	return v
}

// take takes n bytes off b.
func take(b *[]byte, n uint64) (head []byte, ok bool) {
	if n > uint64(len(*b)) {
		return nil, false
	}
	head, *b = (*b)[:n], (*b)[n:]
	return head, true
}
