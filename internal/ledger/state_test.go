// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// TestStateTellsOfAll has more backups expire than come with their envelopes. One statement cannot be read, one was removed.
func TestStateTellsOfAll(t *testing.T) {
	const n = 103
	clock := time.Date(2026, time.November, 1, 2, 0, 0, 0, time.UTC)
	l := ledgertest.New(t, ledgertest.With(func() time.Time { return clock }))
	goneBy := clock.Add(time.Hour)
	refs := make([]evidence.Reference, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			s := ledgertest.Statement(evidence.Conclusion, fmt.Sprint(i), clock, ledgertest.None)
			s.Predicate.GoneBy = &goneBy
			ref := l.Append(t, s)
			refs[ref.Index] = ref
		})
	}
	all.Wait()
	clock = clock.Add(25 * time.Hour)
	if err := os.WriteFile(filepath.Join(l.Dir, evidence.ExportStatement(refs[1].Digest)), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := ledgertest.Statement(evidence.Pruned, "p", clock, ledgertest.None)
	s.Predicate.Pruned.Indices = []int64{0}
	l.Append(t, s)
	if err := l.Client.Prune(t.Context(), l.Sign(t, s)); err != nil {
		t.Fatal(err)
	}
	state, err := l.Client.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(state.Expired) != n-1 {
		t.Fatalf("it tells of %d, want %d", len(state.Expired), n-1)
	}
	for k, e := range state.Expired {
		if want := k < 100 && e.Index != 1; e.Index != int64(k+1) || (e.Envelope != nil) != want {
			t.Errorf("at %d is entry %d, with its statement: %v, want %v", k, e.Index, e.Envelope != nil, want)
		}
	}
}

// TestAClockThatRanAhead does not keep out what is stated once it is right again.
func TestAClockThatRanAhead(t *testing.T) {
	now := time.Date(2026, time.November, 1, 2, 0, 0, 0, time.UTC)
	clock := now.AddDate(1, 0, 0)
	l := ledgertest.New(t, ledgertest.With(func() time.Time { return clock }))
	l.Append(t, ledgertest.Statement(evidence.Intent, "ahead", clock, ledgertest.None))
	clock = now
	l.Append(t, ledgertest.Statement(evidence.Intent, "right", clock.Add(-9*time.Minute), ledgertest.None))
	_, err := l.Client.Append(t.Context(), l.Sign(t, ledgertest.Statement(evidence.Intent, "late", clock.Add(-11*time.Minute), ledgertest.None)))
	refused(t, err, ledger.CodeClock)
	l.Append(t, ledgertest.Statement(evidence.Intent, "on", clock, ledgertest.None))
	l.Close(t)
	report, err := evidence.VerifyLog(os.DirFS(l.Dir), l.Trust)
	if err != nil || len(report.Problems) > 0 || report.Size != 3 || len(report.Remarks) != 1 {
		t.Errorf("%+v, %v", report, err)
	}
}
