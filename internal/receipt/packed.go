// SPDX-License-Identifier: Apache-2.0

package receipt

import (
	"bytes"
	"compress/flate"
	"encoding/ascii85"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"io"
	"math/bits"
	"slices"
	"time"
)

// The packed form of a Receipt:
//
//	"rz1:" ascii85( crc32 | uvarint len(z) | z | uvarint steps | uvarint columns | one width in bits per column | bits ) "~"
//
// z is the deflated JSON of everything but the numbers of steps. Those are stored column by column with as many bits as
// the column's largest value needs: 64 steps of twelve 9-digit numbers hold 2,888 bytes of information, so that neither
// compressed decimals nor base64 (3,072 bytes in 4,096) leave enough room for the rest.
//
// Columns may be appended; a reader takes those that it knows. Any other change needs a new magic.
const (
	magic      = "rz1:"
	terminator = '~' // outside of the alphabet, so that the tail of an older, longer message cannot be taken for data
	maxInflate = 64 << 10
)

// preset primes the compressor with the words that a Receipt is made of. It is part of the format.
const preset = `{"v":1,"trunc":true,"omitted":"details":[{"at":,"constraints":["_fkey","],"oldest":"00Z"},` +
	`"reasons":["","Unreachable","AuthenticationFailed","GuardrailExceeded","IdentityChanged","TableNotFound",` +
	`"FieldNotFound","TypeNotSupported","KeyNotUnique","PermissionDenied","RowLevelSecurity","ConstraintViolated",` +
	`"TriggerBlocks","StatementTimeout","LockTimeout","ValueNotUnderstood","NotStarted","RecordsRemain","ForeignKeyBlocks"]` +
	`"probe":{"ds":[{"i":0,"n":,"oldest":","idx":true},{"i":1,"n":-1}],"f":[{"c":"ForeignKeyNotMapped","i":-1,"o":"` +
	`{"c":"ForeignKeyNotIndexed","i":1,"o":"_id"},{"c":"CascadingForeignKey","i":2,"o":"` +
	`{"v":1,"run":"","plan":"sha256:","phase":"Verifying","phase":"Finished","reason":"Incomplete","phase":"Purging",` +
	`"reason":"Interrupted","reason":"Succeeded","start":"202","time":"202","server":"PostgreSQL 1","identity":"7","skew":`

var errPacked = errors.New("the packed form is damaged")

// wire is what z holds.
type wire struct {
	Receipt          // without Steps
	Reasons []Reason `json:"reasons,omitempty"`
	Details []detail `json:"details,omitempty"`
}

type detail struct {
	At          int        `json:"at"`
	Constraints []string   `json:"constraints,omitempty"`
	Oldest      *time.Time `json:"oldest,omitempty"`
}

// column is one number of every step.
type column struct {
	get func(w *wire, at int, s *Step) uint64
	set func(w *wire, at int, s *Step, v uint64)
}

// columns are the numbers of a step, in their order in the packed form.
var columns = []column{
	{ // how far Index is from the place in the list, zigzag: usually nothing
		func(_ *wire, at int, s *Step) uint64 { d := int64(s.Index - at); return uint64(d<<1 ^ d>>63) },
		func(_ *wire, at int, s *Step, v uint64) { s.Index = at + int(int64(v>>1)^-int64(v&1)) },
	},
	{
		func(_ *wire, _ int, s *Step) uint64 { return bit(s.Counted) | bit(s.Verified)<<1 },
		func(_ *wire, _ int, s *Step, v uint64) { s.Counted, s.Verified = v&1 != 0, v&2 != 0 },
	},
	{
		func(w *wire, _ int, s *Step) uint64 { return uint64(slices.Index(w.Reasons, s.Reason)) },
		func(w *wire, _ int, s *Step, v uint64) {
			s.Reason = "?" // no word: refused by validate
			if v < uint64(len(w.Reasons)) {
				s.Reason = w.Reasons[v]
			}
		},
	},
	count(func(s *Step) *int64 { return &s.Records }),
	count(func(s *Step) *int64 { return &s.Matched }),
	count(func(s *Step) *int64 { return &s.Retained }),
	count(func(s *Step) *int64 { return &s.Undated }),
	count(func(s *Step) *int64 { return &s.Invalid }),
	count(func(s *Step) *int64 { return &s.Deleted }),
	count(func(s *Step) *int64 { return &s.Anonymized }),
	{
		func(_ *wire, _ int, s *Step) uint64 { return uint64(s.Partitions) },
		func(_ *wire, _ int, s *Step, v uint64) {
			s.Partitions = int32(v)
			if uint64(s.Partitions) != v {
				s.Partitions = -1 // refused by validate
			}
		},
	},
	count(func(s *Step) *int64 { return &s.InFlight }),
	count(func(s *Step) *int64 { return &s.Remaining }),
	count(func(s *Step) *int64 { return &s.Blocked }),
	count(func(s *Step) *int64 { return &s.Held }),
}

func count(field func(*Step) *int64) column {
	return column{
		func(_ *wire, _ int, s *Step) uint64 { return uint64(*field(s)) },
		func(_ *wire, _ int, s *Step, v uint64) { *field(s) = int64(v) },
	}
}

func bit(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// pack returns the packed form of a valid Receipt.
func pack(r *Receipt) ([]byte, error) {
	w := wire{Receipt: *r}
	w.Steps = nil
	for i := range r.Steps {
		s := &r.Steps[i]
		if !slices.Contains(w.Reasons, s.Reason) {
			w.Reasons = append(w.Reasons, s.Reason)
		}
		if len(s.Constraints) > 0 || s.OldestRemaining != nil {
			w.Details = append(w.Details, detail{At: i, Constraints: s.Constraints, Oldest: s.OldestRemaining})
		}
	}
	text, err := marshal(&w)
	if err != nil {
		return nil, err
	}
	z, err := deflate(text)
	if err != nil {
		return nil, err
	}
	body := make([]byte, 4, MaxBytes)
	body = binary.AppendUvarint(body, uint64(len(z)))
	body = append(body, z...)
	body = binary.AppendUvarint(body, uint64(len(r.Steps)))
	body = binary.AppendUvarint(body, uint64(len(columns)))
	for _, c := range columns {
		width := 0
		for i := range r.Steps {
			width = max(width, bits.Len64(c.get(&w, i, &r.Steps[i])))
		}
		body = append(body, byte(width))
	}
	widths := body[len(body)-len(columns):]
	out := bitWriter{}
	for k, c := range columns {
		for i := range r.Steps {
			out.write(c.get(&w, i, &r.Steps[i]), int(widths[k]))
		}
	}
	body = append(body, out.bytes...)
	binary.BigEndian.PutUint32(body, crc32.ChecksumIEEE(body[4:]))

	b := make([]byte, len(magic)+ascii85.MaxEncodedLen(len(body))+1)
	n := copy(b, magic)
	n += ascii85.Encode(b[n:], body)
	b[n] = terminator
	return b[:n+1], nil
}

// unpack reads the packed form, without its magic, up to the terminator. What follows is not looked at.
func unpack(b []byte) (*Receipt, error) {
	end := bytes.IndexByte(b, terminator)
	if end < 0 {
		return nil, errPacked
	}
	body := make([]byte, 4*end) // "z" stands for four zero bytes
	n, _, err := ascii85.Decode(body, b[:end], true)
	if err != nil || n < 4 {
		return nil, errPacked
	}
	in := body[4:n]
	if crc32.ChecksumIEEE(in) != binary.BigEndian.Uint32(body) {
		return nil, errPacked
	}
	z, ok := take(&in, uvarint(&in))
	if !ok {
		return nil, errPacked
	}
	var w wire
	if text, err := inflate(z); err != nil || json.Unmarshal(text, &w) != nil {
		return nil, errPacked
	}
	steps := uvarint(&in)
	widths, ok := take(&in, uvarint(&in))
	if !ok || steps > maxSteps {
		return nil, errPacked
	}
	r := w.Receipt
	if r.Steps = nil; steps > 0 {
		r.Steps = make([]Step, steps)
	}
	source := bitReader{bytes: in}
	for k, width := range widths {
		for i := range r.Steps {
			v, ok := source.read(int(width))
			if !ok {
				return nil, errPacked
			}
			if k < len(columns) {
				columns[k].set(&w, i, &r.Steps[i], v)
			}
		}
	}
	for _, d := range w.Details {
		if d.At < 0 || d.At >= len(r.Steps) {
			return nil, errPacked
		}
		r.Steps[d.At].Constraints, r.Steps[d.At].OldestRemaining = d.Constraints, d.Oldest
	}
	return &r, nil
}

func deflate(b []byte) ([]byte, error) {
	var z bytes.Buffer
	w, err := flate.NewWriterDict(&z, flate.BestCompression, []byte(preset))
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return z.Bytes(), nil
}

// inflate refuses what grows beyond maxInflate.
func inflate(z []byte) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(flate.NewReaderDict(bytes.NewReader(z), []byte(preset)), maxInflate+1))
	if err != nil || len(b) > maxInflate {
		return nil, errPacked
	}
	return b, nil
}
