// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"dataretention.dev/retention-operator/controllers/internal/attest"
	"dataretention.dev/retention-operator/controllers/internal/attest/attesttest"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/testing/apiserver"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

func TestMain(m *testing.M) { apiserver.Run(m) }

// predicate is one of ledgertest's, with nothing in it that Append fills in.
func predicate(kind evidence.Kind, key string, closes evidence.Reference) evidence.Predicate {
	p := ledgertest.Statement(kind, key, time.Now(), closes).Predicate
	p.Time, p.RetainUntil, p.Operator = time.Time{}, time.Time{}, evidence.Operator{}
	return p
}

func subject(key string) evidence.Subject { return evidence.SHA256("plan", []byte(key)) }

func TestAppendAndFind(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	l := attesttest.New(t, func(o *attesttest.Options) { o.Clock = clock })
	ctx := t.Context()
	if found, err := l.Find(ctx, evidence.Intent, "a/b/c"); err != nil || found != nil {
		t.Fatalf("found %v, %v", found, err)
	}
	intent, err := l.Append(ctx, predicate(evidence.Intent, "a/b/c", ledgertest.None), subject("x"))
	must(t, err)
	p := &intent.Statement.Predicate
	if intent.Index != 0 || intent.Kind != evidence.Intent || p.Operator.Version != "test" || len(p.Operator.Cluster) != 36 ||
		!p.Time.Equal(clock.Now().Truncate(time.Millisecond)) || !p.RetainUntil.Equal(p.Time.AddDate(7, 0, 0)) {
		t.Errorf("got %+v", intent)
	}
	clock.Step(time.Minute)
	again, err := l.Append(ctx, predicate(evidence.Intent, "a/b/c", ledgertest.None), subject("something else"))
	must(t, err)
	if again.Digest != intent.Digest || again.Index != 0 || !again.Time.Equal(intent.Time) || again.Statement.Subject[0].Digest["sha256"] != intent.Statement.Subject[0].Digest["sha256"] {
		t.Errorf("the second append returns %+v", again)
	}
	result, err := l.Append(ctx, predicate(evidence.Result, "a/b/c", intent.Reference), subject("x"))
	must(t, err)
	found, err := l.Find(ctx, evidence.Result, "a/b/c")
	if err != nil || found == nil || found.Reference != result.Reference || found.Statement.Predicate.Level != evidence.LevelDeleted {
		t.Errorf("found %+v, %v", found, err)
	}
	if entries := l.Entries(t); len(entries) != 2 || entries[1].Reference != result.Reference {
		t.Errorf("the ledger has %+v", entries)
	}
	// What is no statement is refused before anything is signed.
	if _, err := l.Append(ctx, evidence.Predicate{Kind: evidence.Result, Key: "nothing"}, subject("x")); !errors.Is(err, attest.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}

func TestFailures(t *testing.T) {
	l := attesttest.New(t)
	l.CrashAfter(evidence.Intent)
	if _, err := l.Append(t.Context(), predicate(evidence.Intent, "k", ledgertest.None), subject("x")); !errors.Is(err, attest.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	if n := len(l.Entries(t)); n != 1 {
		t.Fatalf("there are %d entries", n)
	}
	found, err := l.Find(t.Context(), evidence.Intent, "k")
	if err != nil || found == nil {
		t.Fatalf("found %v, %v", found, err)
	}
	l.Fail(true)
	_, err = l.Find(t.Context(), evidence.Intent, "k")
	_, err2 := l.Append(t.Context(), predicate(evidence.Intent, "k", ledgertest.None), subject("x"))
	if !errors.Is(err, attest.ErrUnavailable) || !errors.Is(err2, attest.ErrUnavailable) || len(l.Entries(t)) != 1 {
		t.Errorf("got %v, %v", err, err2)
	}
	l.Fail(false)
	// The ledger itself is closed: now it is the client that finds out.
	l.Raw.Close(t)
	if _, err := l.Client.Append(t.Context(), predicate(evidence.Intent, "k", ledgertest.None), subject("x")); !errors.Is(err, attest.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	l.Restart(t)
	logged, err := l.Append(t.Context(), predicate(evidence.Intent, "k", ledgertest.None), subject("x"))
	if err != nil || logged.Reference != found.Reference {
		t.Errorf("got %+v, %v", logged, err)
	}
}

func BenchmarkAppend(b *testing.B) {
	l := attesttest.New(b)
	for i := 0; b.Loop(); i++ {
		if _, err := l.Append(b.Context(), predicate(evidence.Intent, fmt.Sprint(i), ledgertest.None), subject("x")); err != nil {
			b.Fatal(err)
		}
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
