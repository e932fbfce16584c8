// SPDX-License-Identifier: Apache-2.0

package receipt

import (
	"bytes"
	"encoding/ascii85"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var stepReasons = []Reason{
	"", TableNotFound, FieldNotFound, TypeNotSupported, KeyNotUnique, PermissionDenied, RowLevelSecurity, ForeignKeyBlocks,
	ConstraintViolated, TriggerBlocks, LockTimeout, StatementTimeout, ValueNotUnderstood, RecordsRemain, NotStarted,
}

// worst returns a Receipt of n steps whose every number has nine digits that nobody can foresee.
func worst(n int, seed uint64) *Receipt {
	rnd := rand.New(rand.NewPCG(seed, 1))
	number := func() int64 { return 100_000_000 + rnd.Int64N(900_000_000) }
	text := func(alphabet string, n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = alphabet[rnd.IntN(len(alphabet))]
		}
		return string(b)
	}
	const label = "abcdefghijklmnopqrstuvwxyz0123456789-"
	at := func() time.Time { return time.UnixMicro(rnd.Int64N(4e15)).UTC() }
	r := &Receipt{
		Version: Version, Run: text(label, 63), PlanDigest: "sha256:" + text("0123456789abcdef", 64), Phase: PhaseVerifying,
		Reason: VersionNotSupported, Message: text(label+" ", 256), StartTime: at(), Time: at(),
		ServerVersion: text(label, 128), Identity: text(label, 128), SkewMilliseconds: number(),
		Account: &AccountSum{Lines: number(), Digest: text("0123456789abcdef", 64)},
	}
	for i := range n {
		oldest := at()
		r.Steps = append(r.Steps, Step{
			Index: i, Counted: rnd.IntN(2) == 0, Verified: rnd.IntN(2) == 0, Reason: stepReasons[rnd.IntN(len(stepReasons))],
			Records: number(), Matched: number(), Retained: number(), Undated: number(), Invalid: number(),
			Deleted: number(), Anonymized: number(), Partitions: 1<<30 + rnd.Int32N(1<<30), InFlight: number(),
			Remaining: number(), Blocked: number(), Held: number(), OldestRemaining: &oldest,
			Constraints: []string{text(label, 63), text(label, 63), text(label, 63)},
		})
	}
	return r
}

// counts strips r of all that Encode may drop.
func counts(r *Receipt) Receipt {
	c := normalise(r)
	c.Message, c.ServerVersion, c.Identity, c.Run, c.Truncated = "", "", "", "", false
	dropConstraints(&c, 0)
	dropOldest(&c)
	if c.Probe != nil {
		c.Probe.Findings, c.Probe.Omitted = nil, 0
	}
	return c
}

func TestEncodeFitsTheWorstCase(t *testing.T) {
	most := 0
	for seed := range uint64(50) {
		r := worst(64, seed)
		b, err := Encode(r)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		most = max(most, len(b))
		got, err := Decode(b)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if !got.Truncated {
			t.Errorf("seed %d: details were dropped without Truncated", seed)
		}
		if diff := cmp.Diff(counts(r), counts(got)); diff != "" {
			t.Fatalf("seed %d: counts changed (-want +got):\n%s", seed, diff)
		}
	}
	if most > MaxBytes {
		t.Errorf("%d bytes, more than %d", most, MaxBytes)
	}
	least := 0
	for seed := range uint64(300) {
		c := counts(worst(64, seed))
		c.Truncated = true
		b, err := pack(&c)
		if err != nil {
			t.Fatal(err)
		}
		least = max(least, len(b))
	}
	if least > MaxBytes-32 {
		t.Errorf("%d bytes for what is never dropped: no room to spare", least)
	}
	t.Logf("the largest worst case took %d bytes, %d of them for what is never dropped", most, least)
}

func TestEncodeFitsAProbeOf64Datasets(t *testing.T) {
	r := worst(0, 7)
	r.Probe = &Probe{}
	rnd := rand.New(rand.NewPCG(7, 7))
	for i := range 64 {
		oldest := time.UnixMicro(rnd.Int64N(4e15)).UTC()
		r.Probe.Datasets = append(r.Probe.Datasets, DatasetProbe{Index: i, Records: rnd.Int64(), Oldest: &oldest, Indexed: i%2 == 0})
	}
	for i := range 640 {
		code := FindTrigger
		if i%64 == 63 {
			code = FindTableMissing
		}
		r.Probe.Findings = append(r.Probe.Findings, Finding{Code: code, Dataset: i / 10, Object: fmt.Sprintf("%016x_%d", rnd.Uint64(), i)})
	}
	b, err := Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > MaxBytes || len(b) < MaxBytes*9/10 {
		t.Errorf("%d bytes: want at most %d, and the room used", len(b), MaxBytes)
	}
	if diff := cmp.Diff(r.Probe.Datasets, got.Probe.Datasets); diff != "" {
		t.Errorf("datasets (-want +got):\n%s", diff)
	}
	if n := len(got.Probe.Findings) + got.Probe.Omitted; n != 640 || got.Probe.Omitted == 0 || !got.Truncated {
		t.Errorf("%d findings kept, %d omitted, truncated %v", len(got.Probe.Findings), got.Probe.Omitted, got.Truncated)
	}
	unusable, last := 0, -1
	for _, f := range got.Probe.Findings {
		if f.Code == FindTableMissing {
			unusable++
		}
		if f.Dataset < last {
			t.Error("the findings are out of their order")
		}
		last = f.Dataset
	}
	if unusable != 10 {
		t.Errorf("%d of 10 findings that make a dataset unusable were kept", unusable)
	}
	if got.Message != r.Message || got.Identity != r.Identity {
		t.Error("message or identity went before the findings")
	}
}

func TestEncodeDropsInOrder(t *testing.T) {
	full := func(change func(*Receipt)) *Receipt {
		r := worst(24, 3)
		change(r)
		return r
	}
	tests := map[string]struct {
		in   *Receipt
		want func(r *Receipt) bool
	}{
		"a small receipt keeps everything and stays readable": {
			in: full(func(r *Receipt) { r.Steps = r.Steps[:2] }),
			want: func(r *Receipt) bool {
				return !r.Truncated && len(r.Steps[1].Constraints) == 3 && r.Message != "" && r.Steps[1].OldestRemaining != nil
			},
		},
		"one constraint of each step is kept before none is": {
			in: full(func(r *Receipt) { r.Steps = r.Steps[:20] }),
			want: func(r *Receipt) bool {
				return r.Truncated && len(r.Steps[0].Constraints) == 1 && len(r.Steps[19].Constraints) == 1 && r.Message != ""
			},
		},
		"constraints go before the message": {
			in: full(func(*Receipt) {}),
			want: func(r *Receipt) bool {
				return r.Truncated && r.Steps[0].Constraints == nil && r.Message != "" && r.Steps[0].OldestRemaining != nil
			},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b, err := Encode(tt.in)
			if err != nil {
				t.Fatal(err)
			}
			got, err := Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			if !tt.want(got) {
				t.Errorf("%d bytes, truncated %v, constraints %d, message %d bytes", len(b), got.Truncated,
					len(got.Steps[0].Constraints), len(got.Message))
			}
			if diff := cmp.Diff(counts(tt.in), counts(got)); diff != "" {
				t.Errorf("counts changed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestEncodeRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*Receipt)
		want   error
	}{
		"a negative count":                   {func(r *Receipt) { r.Steps[1].Deleted = -1 }, errInvalid},
		"a step twice":                       {func(r *Receipt) { r.Steps[1].Index = 0 }, errInvalid},
		"a reason that no condition accepts": {func(r *Receipt) { r.Reason = "duplicate key (email)=(a@b)" }, errInvalid},
		"an account of less than nothing":    {func(r *Receipt) { r.Account.Lines = -1 }, errInvalid},
		"no version":                         {func(r *Receipt) { r.Version = 0 }, errInvalid},
		"a year that JSON cannot carry":      {func(r *Receipt) { r.Time = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }, errInvalid},
		"counts that cannot fit": {func(r *Receipt) {
			for i := range r.Steps {
				s := &r.Steps[i]
				for _, n := range []*int64{&s.Records, &s.Matched, &s.Retained, &s.Undated, &s.Invalid, &s.Deleted, &s.Remaining} {
					*n = int64(rand.Uint64() >> 1)
				}
			}
		}, ErrTooLarge},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := worst(64, 1)
			tt.change(r)
			if _, err := Encode(r); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestDecode(t *testing.T) {
	small, err := Encode(worst(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	packed, err := Encode(worst(64, 1))
	if err != nil {
		t.Fatal(err)
	}
	if small[0] != '{' || !bytes.HasPrefix(packed, []byte(magic)) {
		t.Fatalf("not one of each form: %.8q %.8q", small, packed)
	}
	damaged := bytes.Clone(packed)
	damaged[2000]++
	tests := map[string]struct {
		in   []byte
		want error
	}{
		"JSON":                                 {small, nil},
		"JSON before NULs":                     {append(bytes.Clone(small), make([]byte, 100)...), nil},
		"JSON before the tail of an older one": {append(bytes.Clone(small), `"deleted":17}]}`...), nil},
		"JSON before the tail of a packed one": {append(bytes.Clone(small), packed[len(small):]...), nil},
		"packed":                               {packed, nil},
		"packed before NULs":                   {append(bytes.Clone(packed), make([]byte, MaxBytes-len(packed))...), nil},
		"nothing":                              {nil, ErrUnreadable},
		"only NULs":                            {make([]byte, 64), ErrUnreadable},
		"half of a JSON one":                   {small[:len(small)/2], ErrUnreadable},
		"half of a packed one":                 {packed[:len(packed)/2], ErrUnreadable},
		"packed, one byte changed":             {damaged, ErrUnreadable},
		"a magic only":                         {[]byte(magic), ErrUnreadable},
		"a kubelet's text":                     {[]byte("The container could not be located when the pod was terminated"), ErrUnreadable},
		"another JSON":                         {[]byte(`{"email":"jane@example.com"}`), ErrUnreadable},
		"a JSON list":                          {[]byte(`[1]`), ErrUnreadable},
		"a negative count":                     {[]byte(`{"v":1,"phase":"Purging","start":"2026-01-01T00:00:00Z","time":"2026-01-01T00:00:00Z","steps":[{"i":0,"deleted":-1}]}`), ErrUnreadable},
		"a reason that is none":                {[]byte(`{"v":1,"phase":"Purging","reason":"a b","start":"2026-01-01T00:00:00Z","time":"2026-01-01T00:00:00Z"}`), ErrUnreadable},
		"a newer version, whatever its fields hold": {[]byte(`{"v":2,"run":["jane@example.com"]}`), ErrNewer},
		"a newer packed form":                       {[]byte("rz2:jane@example.com~"), ErrNewer},
		"too long":                                  {append(bytes.Clone(small), make([]byte, MaxBytes)...), ErrUnreadable},
		"a bomb":                                    {bomb(t), ErrUnreadable},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r, err := Decode(tt.in)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got error %v, want %v", err, tt.want)
			}
			if err == nil {
				if want := counts(worst(len(r.Steps), 1)); cmp.Diff(want, counts(r)) != "" {
					t.Error("counts changed")
				}
				return
			}
			if r != nil || strings.Contains(err.Error(), "jane") {
				t.Errorf("receipt %v with error %v", r, err)
			}
		})
	}
}

// A Receipt of before holds were counted is read as it was.
func TestDecodeReadsOlderReceipts(t *testing.T) {
	all := columns
	defer func() { columns = all }()
	want := worst(16, 1)
	for i := range want.Steps {
		want.Steps[i].Held = 0
	}
	older := counts(want)
	columns = all[:len(all)-1]
	b, err := pack(&older)
	columns = all
	if err != nil {
		t.Fatal(err)
	}
	got, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(counts(want), counts(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// bomb returns a well-formed packed message whose JSON inflates to a megabyte of spaces.
func bomb(t *testing.T) []byte {
	t.Helper()
	z, err := deflate([]byte(`{"v":1,` + strings.Repeat(" ", 1<<20) + `"phase":"Purging"}`))
	if err != nil {
		t.Fatal(err)
	}
	body := append(binary.AppendUvarint(make([]byte, 4), uint64(len(z))), z...)
	body = append(body, 0, 0)
	binary.BigEndian.PutUint32(body, crc32.ChecksumIEEE(body[4:]))
	b := make([]byte, ascii85.MaxEncodedLen(len(body)))
	b = b[:ascii85.Encode(b, body)]
	if len(b) > MaxBytes-8 {
		t.Fatalf("the bomb takes %d bytes", len(b))
	}
	return append(append([]byte(magic), b...), terminator)
}

func BenchmarkEncode(b *testing.B) {
	for _, n := range []int{2, 16, 64} {
		r := worst(n, 1)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Encode(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
