// SPDX-License-Identifier: Apache-2.0

package ledgertest_test

import (
	"os"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// TestEveryKind has a ledger take a statement of every kind, as those who use this package will.
func TestEveryKind(t *testing.T) {
	now := time.Date(2026, time.November, 1, 2, 0, 0, 0, time.UTC)
	l := ledgertest.New(t, ledgertest.With(func() time.Time { return now }))
	intent := l.Append(t, ledgertest.Statement(evidence.Intent, "uid/run/job", now, ledgertest.None))
	result := ledgertest.Statement(evidence.Result, "uid/run/job", now, intent)
	goneBy := now.Add(time.Hour)
	result.Predicate.GoneBy = &goneBy
	done := l.Append(t, result)
	conclusion := ledgertest.Statement(evidence.Conclusion, "uid/run/Schedule", now, ledgertest.None)
	conclusion.Predicate.Results = []evidence.Reference{done}
	first := l.Append(t, conclusion)
	l.Append(t, ledgertest.Statement(evidence.Conclusion, "uid/run/Schedule2", now, first))
	hold := l.Append(t, ledgertest.Statement(evidence.HoldEnforced, "hold", now, ledgertest.None))
	l.Append(t, ledgertest.Statement(evidence.HoldReleased, "hold", now, hold))
	now = now.Add(48 * time.Hour)
	l.Append(t, ledgertest.Statement(evidence.BackupsExpired, done.Digest, now, done))
	pruned := ledgertest.Statement(evidence.Pruned, "first", now, ledgertest.None)
	pruned.Predicate.Pruned.Indices = []int64{intent.Index}
	envelope := l.Sign(t, pruned)
	if _, err := l.Client.Append(t.Context(), envelope); err != nil {
		t.Fatal(err)
	}
	if err := l.Client.Prune(t.Context(), envelope); err != nil {
		t.Fatal(err)
	}
	l.Close(t)
	report, err := evidence.VerifyLog(os.DirFS(l.Dir), l.Trust)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Problems) > 0 || report.Size != 8 || len(report.Pruned) != 1 || len(report.Dangling) != 0 {
		t.Errorf("%+v", report)
	}
}
