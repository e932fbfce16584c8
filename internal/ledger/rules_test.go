// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// TestRules tries to append what must not follow what is there.
func TestRules(t *testing.T) {
	now := time.Date(2026, time.November, 1, 2, 0, 0, 0, time.UTC)
	clock := now
	l := ledgertest.New(t, ledgertest.With(func() time.Time { return clock }))
	statement := func(kind evidence.Kind, key string, closes evidence.Reference, change ...func(*evidence.Predicate)) *evidence.Statement {
		s := ledgertest.Statement(kind, key, clock, closes)
		for _, f := range change {
			f(&s.Predicate)
		}
		return s
	}
	goneBy := now.Add(time.Hour)
	one := l.Append(t, statement(evidence.Intent, "one", ledgertest.None))
	two := l.Append(t, statement(evidence.Intent, "two", ledgertest.None))
	result := l.Append(t, statement(evidence.Result, "one", one, func(p *evidence.Predicate) { p.GoneBy = &goneBy }))
	plain := l.Append(t, statement(evidence.Conclusion, "one", ledgertest.None, func(p *evidence.Predicate) { p.Results = []evidence.Reference{result} }))
	hold := l.Append(t, statement(evidence.HoldEnforced, "hold", ledgertest.None))

	with := func(r evidence.Reference, change func(*evidence.Reference)) evidence.Reference { change(&r); return r }
	for name, c := range map[string]struct {
		s    *evidence.Statement
		code string
	}{
		"a second Result with another key": {statement(evidence.Result, "another", one), ledger.CodeRefused},
		"a Result of another execution":    {statement(evidence.Result, "two", one), ledger.CodeRefused},
		"a Result of what is not there":    {statement(evidence.Result, "two", with(two, func(r *evidence.Reference) { r.Index = 99 })), ledger.CodeRefused},
		"a Result of a Result":             {statement(evidence.Result, "two", with(result, func(r *evidence.Reference) { r.Kind = evidence.Intent })), ledger.CodeRefused},
		"a Result of another statement":    {statement(evidence.Result, "two", with(two, func(r *evidence.Reference) { r.Digest = one.Digest })), ledger.CodeRefused},
		"a Conclusion on what is not there": {statement(evidence.Conclusion, "c", ledgertest.None, func(p *evidence.Predicate) {
			p.Results = []evidence.Reference{{Kind: evidence.Result, Index: 77, Digest: one.Digest}}
		}), ledger.CodeRefused},
		"a Conclusion on another Result": {statement(evidence.Conclusion, "c", ledgertest.None, func(p *evidence.Predicate) {
			p.Results = []evidence.Reference{with(result, func(r *evidence.Reference) { r.Digest = one.Digest })}
		}), ledger.CodeRefused},
		"backups that expire later":         {statement(evidence.BackupsExpired, result.Digest, result), ledger.CodeNotDue},
		"backups that nobody has declared":  {statement(evidence.BackupsExpired, plain.Digest, plain), ledger.CodeRefused},
		"the release of another hold":       {statement(evidence.HoldReleased, "other", hold), ledger.CodeRefused},
		"the removal of what is to be kept": {statement(evidence.Pruned, "p", ledgertest.None, func(p *evidence.Predicate) { p.Pruned.Indices = []int64{0} }), ledger.CodeNotDue},
		"the removal of what is not there":  {statement(evidence.Pruned, "p", ledgertest.None, func(p *evidence.Predicate) { p.Pruned.Indices = []int64{99} }), ledger.CodeRefused},
		"a statement from the future":       {ledgertest.Statement(evidence.Intent, "f", clock.Add(time.Hour), ledgertest.None), ledger.CodeClock},
		"a statement from the past":         {ledgertest.Statement(evidence.Intent, "f", clock.Add(-time.Hour), ledgertest.None), ledger.CodeClock},
	} {
		_, err := l.Client.Append(t.Context(), l.Sign(t, c.s))
		if err == nil {
			t.Errorf("%s was appended", name)
			continue
		}
		refused(t, err, c.code)
	}

	clock = now.Add(2 * time.Hour)
	s, err := l.Client.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Expired) != 1 || s.Expired[0].Index != result.Index || len(s.Dangling) != 1 || s.Dangling[0].Index != two.Index || s.Dangling[0].Envelope == nil {
		t.Errorf("expired: %+v, dangling: %+v", s.Expired, s.Dangling)
	}
	l.Append(t, statement(evidence.BackupsExpired, result.Digest, result))
	l.Append(t, statement(evidence.Result, "two", two))
	if s, err = l.Client.State(t.Context()); err != nil || len(s.Expired) > 0 || len(s.Dangling) > 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestPrune removes statements only when they are over, and that was announced.
func TestPrune(t *testing.T) {
	now := time.Date(2026, time.November, 1, 2, 0, 0, 0, time.UTC)
	clock := now
	at := ledgertest.With(func() time.Time { return clock })
	l := ledgertest.New(t, at)
	intent := l.Append(t, ledgertest.Statement(evidence.Intent, "key", now, ledgertest.None))
	clock = now.Add(23 * time.Hour)
	later := l.Append(t, ledgertest.Statement(evidence.Intent, "later", clock, ledgertest.None))

	clock = now.Add(25 * time.Hour)
	s, err := l.Client.State(t.Context())
	if err != nil || len(s.Prunable) != 1 || s.Prunable[0].Index != intent.Index {
		t.Fatalf("%+v, %v", s, err)
	}
	removal := func(key string, indices ...int64) *evidence.Envelope {
		p := ledgertest.Statement(evidence.Pruned, key, clock, ledgertest.None)
		p.Predicate.Pruned.Indices = indices
		return l.Sign(t, p)
	}
	both := removal("both", intent.Index, later.Index)
	_, err = l.Client.Append(t.Context(), both)
	refused(t, err, ledger.CodeNotDue)
	refused(t, l.Client.Prune(t.Context(), both), ledger.CodeRefused)
	one := removal("one", intent.Index)
	refused(t, l.Client.Prune(t.Context(), one), ledger.CodeRefused) // not announced
	if _, err := l.Client.Append(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	other := removal("one", intent.Index, later.Index)
	refused(t, l.Client.Prune(t.Context(), other), ledger.CodeRefused) // something else was announced
	clock = now.Add(23 * time.Hour)                                    // it was wrong, and has been set right
	refused(t, l.Client.Prune(t.Context(), one), ledger.CodeNotDue)
	clock = now.Add(25 * time.Hour)
	if _, err := l.Client.Entry(t.Context(), intent.Index, 0); err != nil {
		t.Errorf("it is gone already: %v", err)
	}
	for range 2 {
		if err := l.Client.Prune(t.Context(), one); err != nil {
			t.Fatal(err)
		}
	}
	_, err = l.Client.Entry(t.Context(), intent.Index, 0)
	refused(t, err, ledger.CodePruned)
	if e, err := l.Client.Find(t.Context(), evidence.Intent, "key"); err != nil || e == nil || e.Envelope != nil || e.Leaf.Statement != intent.Digest {
		t.Errorf("%+v, %v", e, err)
	}
	_, err = l.Client.Append(t.Context(), l.Sign(t, ledgertest.Statement(evidence.Intent, "key", clock, ledgertest.None)))
	refused(t, err, ledger.CodePruned) // and is not appended again
	l.Reference(t, bundle(t, l, later.Index))
	for range 2 {
		if s, err = l.Client.State(t.Context()); err != nil || len(s.Prunable) > 0 || s.Size != 3 {
			t.Errorf("%+v, %v", s, err)
		}
		l.Close(t)
		l.Open(t, at)
	}
}

func bundle(t *testing.T, l *ledgertest.Ledger, index int64) *evidence.Bundle {
	t.Helper()
	b, err := l.Client.Entry(t.Context(), index, 0)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
