// SPDX-License-Identifier: Apache-2.0

package receipt

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func receipts() *rapid.Generator[*Receipt] {
	return rapid.Custom(func(t *rapid.T) *Receipt {
		at := rapid.Custom(func(t *rapid.T) time.Time {
			return time.UnixMicro(rapid.Int64Range(-1e15, 200e15).Draw(t, "µs")).UTC()
		})
		number := rapid.OneOf(rapid.Int64Range(0, 9), rapid.Int64Range(0, 999_999_999))
		name := rapid.StringMatching(`[a-z_<&"é]{0,40}`)
		r := &Receipt{
			Version: Version, Run: name.Draw(t, "run"), PlanDigest: name.Draw(t, "digest"),
			Phase: PhasePurging, Reason: rapid.SampledFrom([]Reason{"", Succeeded, Incomplete}).Draw(t, "reason"),
			Message: rapid.StringN(0, 300, 400).Draw(t, "message"), StartTime: at.Draw(t, "start"), Time: at.Draw(t, "time"),
			ServerVersion: name.Draw(t, "server"), Identity: name.Draw(t, "identity"), SkewMilliseconds: rapid.Int64().Draw(t, "skew"),
		}
		order := rapid.Permutation(indexes(64)).Draw(t, "order")
		for i := range rapid.IntRange(0, 64).Draw(t, "steps") {
			s := Step{
				Index: order[i], Counted: rapid.Bool().Draw(t, "counted"), Verified: rapid.Bool().Draw(t, "verified"),
				Records: number.Draw(t, "records"), Matched: number.Draw(t, "matched"), Retained: number.Draw(t, "retained"),
				Undated: number.Draw(t, "undated"), Invalid: number.Draw(t, "invalid"), Deleted: number.Draw(t, "deleted"),
				Anonymized: number.Draw(t, "anonymized"), Partitions: rapid.Int32Min(0).Draw(t, "partitions"),
				InFlight: number.Draw(t, "flight"), Remaining: number.Draw(t, "remaining"), Blocked: number.Draw(t, "blocked"), Held: number.Draw(t, "held"),
				Reason: rapid.SampledFrom(stepReasons).Draw(t, "reason"),
			}
			if rapid.Bool().Draw(t, "details") {
				oldest := at.Draw(t, "oldest")
				s.OldestRemaining, s.Constraints = &oldest, rapid.SliceOfN(name, 1, 4).Draw(t, "constraints")
			}
			r.Steps = append(r.Steps, s)
		}
		if rapid.Bool().Draw(t, "account") {
			r.Account = &AccountSum{Lines: number.Draw(t, "lines"), Digest: rapid.StringMatching(`[0-9a-f]{64}`).Draw(t, "sum")}
		}
		if rapid.Bool().Draw(t, "probe") {
			r.Probe = &Probe{Omitted: rapid.IntRange(0, 9).Draw(t, "omitted")}
			for i := range rapid.IntRange(0, 8).Draw(t, "datasets") {
				r.Probe.Datasets = append(r.Probe.Datasets, DatasetProbe{Index: i, Records: rapid.Int64Min(-1).Draw(t, "n")})
			}
			for range rapid.IntRange(0, 40).Draw(t, "findings") {
				r.Probe.Findings = append(r.Probe.Findings, Finding{
					Code:    rapid.SampledFrom([]FindingCode{FindTrigger, FindCascade, FindTableMissing}).Draw(t, "code"),
					Dataset: rapid.IntRange(-1, 63).Draw(t, "dataset"), Object: name.Draw(t, "object"),
				})
			}
		}
		return r
	})
}

func indexes(n int) []int {
	s := make([]int, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := receipts().Draw(t, "receipt")
		b, err := Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > MaxBytes {
			t.Fatalf("%d bytes", len(b))
		}
		tail := rapid.SliceOfN(rapid.Byte(), 0, MaxBytes-len(b)).Draw(t, "tail")
		got, err := Decode(append(b, tail...))
		if err != nil {
			t.Fatal(err)
		}
		want, read := normalise(r), *got
		if got.Truncated {
			want, read = counts(&want), counts(got)
		}
		if diff := cmp.Diff(want, read); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

// Both forms carry the same, whichever of them a Receipt's size calls for.
func TestPackedRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := normalise(receipts().Draw(t, "receipt"))
		b, err := pack(&want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := unpack(b[len(magic):])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, *got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func FuzzDecode(f *testing.F) {
	for _, n := range []int{0, 1, 64} {
		b, err := Encode(worst(n, 1))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Add([]byte("rz2:~"))
	f.Add([]byte(`{"v":1,"phase":"Purging","steps":[{"i":1000000000}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Decode(b)
		if err != nil {
			if r != nil || err.Error() != ErrUnreadable.Error() && !errors.Is(err, ErrNewer) {
				t.Errorf("receipt %v with error %v", r, err)
			}
			return
		}
		again, err := Encode(r)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		got, err := Decode(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(counts(r), counts(got)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}
