// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/subject"
)

// torn is a log that takes so many lines, and half of the next.
type torn struct {
	bytes.Buffer
	left int
}

func (f *torn) Write(p []byte) (int, error) {
	if f.left == 0 {
		_, _ = f.Buffer.Write(p[:len(p)/2])
		return len(p) / 2, errors.New("no space left on device")
	}
	f.left--
	return f.Buffer.Write(p)
}

// TestNothingIsErasedThatIsNotAccountedFor lets the log, or the Receipt's disk, run full at every write.
func TestNothingIsErasedThatIsNotAccountedFor(t *testing.T) {
	for _, which := range []string{"log", "receipt"} {
		ends := false
		for writes := 1; !ends && writes < 200; writes++ {
			w := &world{sets: [][]*record{of(5, 0), of(2, 0)}}
			p := newProcess(t, w, 1)
			log, disk := &torn{left: 1 << 20}, &full{left: 1 << 20}
			if which == "log" {
				log.left = writes
			} else {
				disk.left = writes
			}
			p.change = func(c *Config) {
				c.Log = slog.New(slog.NewJSONHandler(log, nil))
				c.Receipts = disk
			}
			code := p.run()
			p.receipts, p.log = &disk.memory, log.Buffer
			got := p.total()
			for s, records := range w.sets {
				gone, told := int64(len(records)-left(records)), got.Requests[0].Steps[s]
				if told.Deleted > gone || told.Exact && told.Deleted != gone || told.Verified && told.Remaining != int64(left(records)) {
					t.Errorf("%s full after %d writes: %d are gone, told is %+v", which, writes, gone, told)
				}
			}
			ends = got.Finished && log.left > 0 && disk.left > 0
			if code == receipt.ExitDone && !got.Finished && which == "log" {
				t.Errorf("%s full after %d writes: exit code 0 and no end of the account", which, writes)
			}
		}
		if !ends {
			t.Errorf("%s: no end", which)
		}
	}
}

// A thousand requests, some with as many identifiers as there may be, fit into lines that a log takes.
func TestAccountLinesAreShort(t *testing.T) {
	w := &world{derived: map[int][]subject.Identifier{}, sets: [][]*record{nil, nil}}
	for i := range maxRequests {
		w.sets[0] = append(w.sets[0], of(1, i)...)
	}
	w.sets[1] = of(3, slices.Collect(func(yield func(int) bool) {
		for i := range maxRequests {
			if !yield(i) {
				return
			}
		}
	})...)
	for n := range subject.MaxIdentifiers - 1 {
		w.derived[3] = append(w.derived[3], subject.Identifier{Type: strings.Repeat("t", 63), Value: fmt.Sprintf("%04d", n) + strings.Repeat("<", subject.MaxValue-4)})
	}
	p := newProcess(t, w, maxRequests)
	if code := p.run(); code != receipt.ExitDone {
		t.Fatalf("code %d: %s", code, p.receipts.last().Message)
	}
	longest := 0
	for line := range bytes.Lines(p.log.Bytes()) {
		longest = max(longest, len(line))
	}
	if longest > 64<<10 {
		t.Errorf("a line of %d bytes", longest)
	}
	total := p.total()
	if got := total.Requests[3].Derived; got != subject.Format(subject.Union(w.derived[3], nil)) {
		t.Errorf("%d bytes of derived identifiers came back", len(got))
	}
	for i, r := range total.Requests {
		if r.Outcome != receipt.ErasureDeleted || r.Steps[0].Deleted != 1 || r.Steps[1].Deleted != 3 {
			t.Fatalf("request %d: %+v", i, r)
		}
	}
	t.Logf("%d bytes of log, the longest line has %d, %d lines of the account", p.log.Len(), longest, p.receipts.last().Account.Lines)
}

func TestPartsAreWhole(t *testing.T) {
	p := receipt.Person{Request: 7, Problem: receipt.TooManyIdentifiers, Types: []string{"email"}}
	for i := range 400 {
		p.Commitments = append(p.Commitments, strings.Repeat("c", 100))
		p.Given += fmt.Sprintf("email=%d\n", i)
		p.Derived += strings.Repeat("d", 400) + "\n"
	}
	var got receipt.Person
	for _, part := range parts(p) {
		if encoded(part) > bytesPerLine/2 || part.Request != 7 || part.Problem != p.Problem {
			t.Errorf("a part of %d bytes", encoded(part))
		}
		got.Commitments = append(got.Commitments, part.Commitments...)
		got.Types = append(got.Types, part.Types...)
		got.Given, got.Derived = got.Given+part.Given, got.Derived+part.Derived
	}
	got.Request, got.Problem = p.Request, p.Problem
	if diff := cmp.Diff(p, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
