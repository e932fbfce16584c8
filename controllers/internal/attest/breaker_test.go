// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	clocktesting "k8s.io/utils/clock/testing"

	"dataretention.dev/retention-operator/controllers/internal/attest"
	"dataretention.dev/retention-operator/controllers/internal/attest/attesttest"
	"dataretention.dev/retention-operator/controllers/internal/metrics"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// TestALedgerThatHangs costs one call its time, and the others nothing.
func TestALedgerThatHangs(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	l := attesttest.New(t, func(o *attesttest.Options) { o.Clock = clock })
	logged, err := l.Append(t.Context(), predicate(evidence.Intent, "k", ledgertest.None), subject("x"))
	must(t, err)
	find := func() (took time.Duration) {
		start := time.Now()
		if _, err := l.Find(t.Context(), evidence.Intent, "k"); !errors.Is(err, attest.ErrUnavailable) || errors.Is(err, attest.ErrRefused) {
			t.Errorf("got %v", err)
		}
		return time.Since(start)
	}
	l.Hang(true)
	if took := find(); took > 7*time.Second {
		t.Errorf("the first call took %s", took)
	}
	start := time.Now()
	for range 20 {
		find()
		if _, err := l.Append(t.Context(), predicate(evidence.Intent, "another", ledgertest.None), subject("x")); !errors.Is(err, attest.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("40 calls more took %s", took)
	}
	clock.Step(10 * time.Second) // one looks, and the others do not wait for it
	took := make(chan time.Duration, 10)
	for range cap(took) {
		go func() { took <- find() }()
	}
	slow := 0
	for range cap(took) {
		if <-took > 3*time.Second {
			slow++
		}
	}
	if slow != 1 {
		t.Errorf("%d calls waited", slow)
	}
	l.Hang(false)
	clock.Step(10 * time.Second)
	if found, err := l.Find(t.Context(), evidence.Intent, "k"); err != nil || found == nil || found.Reference != logged.Reference {
		t.Errorf("found %+v, %v", found, err)
	}
}

// TestACallerThatGivesUp says nothing about the ledger.
func TestACallerThatGivesUp(t *testing.T) {
	l := attesttest.New(t)
	l.Hang(true)
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if _, err := l.Find(ctx, evidence.Intent, "k"); !errors.Is(err, attest.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
		cancel()
	}
	l.Hang(false)
	if _, err := l.Find(t.Context(), evidence.Intent, "k"); err != nil {
		t.Errorf("got %v", err)
	}
}

// TestNobodyWaitsForALook has somebody look at a ledger that does not answer him.
func TestNobodyWaitsForALook(t *testing.T) {
	l := attesttest.New(t)
	end, err := l.Look(t.Context())
	must(t, err)
	defer end()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := l.Find(ctx, evidence.Intent, "k")
		done <- err
	}()
	select {
	case err := <-done:
		if !errors.Is(err, attest.ErrUnavailable) {
			t.Errorf("got %v", err)
		}
	case <-time.After(3 * time.Second):
		t.Error("it waits for longer than it has time")
	}
}

// TestRefused tells what is refused for good from what is not available.
func TestRefused(t *testing.T) {
	clock := clocktesting.NewFakeClock(time.Now())
	l := attesttest.New(t, func(o *attesttest.Options) { o.Clock = clock })
	one, err := l.Append(t.Context(), predicate(evidence.Intent, "one", ledgertest.None), subject("x"))
	must(t, err)
	before := testutil.ToFloat64(metrics.RefusedStatements)
	late := predicate(evidence.Intent, "late", ledgertest.None)
	late.Time = clock.Now().Add(-time.Hour)
	for name, c := range map[string]struct {
		p    evidence.Predicate
		good bool
		says string
	}{
		"another key":    {predicate(evidence.Result, "two", one.Reference), true, "it closes entry 0, which has another key"},
		"no statement":   {evidence.Predicate{Kind: evidence.Result, Key: "nothing"}, true, ""},
		"a wrong clock":  {late, false, "one of the clocks is wrong"},
		"not there, yet": {predicate(evidence.Result, "one", evidence.Reference{Kind: evidence.Intent, Index: 7, Digest: one.Digest}), true, "there is none"},
	} {
		for range 4 { // it answers, so it is asked each time
			_, err := l.Append(t.Context(), c.p, subject("x"))
			if !errors.Is(err, attest.ErrUnavailable) || errors.Is(err, attest.ErrRefused) != c.good || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: got %v", name, err)
			}
		}
	}
	if got := testutil.ToFloat64(metrics.RefusedStatements) - before; got != 12 {
		t.Errorf("%v were counted", got)
	}
}
