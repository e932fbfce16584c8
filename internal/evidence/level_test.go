// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"dataretention.dev/retention-operator/internal/receipt"
)

func TestCombine(t *testing.T) {
	const (
		D, A, F, R, I, U, N = LevelDeleted, LevelAnonymized, LevelNothingFound, LevelRetained, LevelIncomplete, LevelUnproven, LevelNotDone
	)
	cases := []struct {
		parts []Level
		want  Level
	}{
		{nil, N},
		{[]Level{D}, D}, {[]Level{A}, A}, {[]Level{F}, F}, {[]Level{R}, R}, {[]Level{I}, I}, {[]Level{U}, U}, {[]Level{N}, N},
		{[]Level{LevelNone}, N}, {[]Level{"Certified"}, U}, {[]Level{""}, U}, {[]Level{D, ""}, U},
		{[]Level{D, F}, D}, {[]Level{D, A}, A}, {[]Level{D, R}, R}, {[]Level{A, R, F}, R}, {[]Level{D, I}, I}, {[]Level{D, N}, I},
		{[]Level{F, N}, I}, {[]Level{R, N}, I}, {[]Level{N, N}, N}, {[]Level{N, LevelNone}, N}, {[]Level{D, LevelNone}, I},
		{[]Level{I, U}, U}, {[]Level{N, U}, U}, {[]Level{D, U, N}, U}, {[]Level{I, N}, I}, {[]Level{F, F}, F},
	}
	for _, c := range cases {
		if got := Combine(c.parts...); got != c.want {
			t.Errorf("Combine(%v) is %s, want %s", c.parts, got, c.want)
		}
	}
}

// A whole is never better than one of its parts, and parts of parts make no difference.
func TestCombineProperties(t *testing.T) {
	levels := rapid.SliceOfN(rapid.SampledFrom(Levels[:7]), 1, 8)
	rapid.Check(t, func(t *rapid.T) {
		a, b := levels.Draw(t, "a"), levels.Draw(t, "b")
		all := append(slices.Clone(a), b...)
		whole := Combine(all...)
		if nested := Combine(Combine(a...), Combine(b...)); nested != whole {
			t.Errorf("Combine(Combine(%v), Combine(%v)) is %s, Combine of all is %s", a, b, nested, whole)
		}
		clean := func(l Level) bool {
			return l == LevelDeleted || l == LevelAnonymized || l == LevelNothingFound || l == LevelRetained
		}
		for _, l := range all {
			if clean(whole) && !clean(l) {
				t.Errorf("Combine(%v) is %s", all, whole)
			}
		}
		if whole == LevelDeleted && !slices.Contains(all, LevelDeleted) || whole == LevelAnonymized && !slices.Contains(all, LevelAnonymized) {
			t.Errorf("Combine(%v) is %s, and no part is", all, whole)
		}
		if !bearable(whole, false, all...) {
			t.Errorf("%v do not bear out their own %s", all, whole)
		}
	})
}

func TestBearable(t *testing.T) {
	cases := []struct {
		level   Level
		changed bool
		part    Level
		want    bool
	}{
		{LevelDeleted, true, LevelDeleted, true},
		{LevelDeleted, true, LevelAnonymized, false},
		{LevelDeleted, false, LevelNothingFound, false},
		{LevelDeleted, false, LevelNotDone, false},
		{LevelAnonymized, true, LevelDeleted, true},
		{LevelNothingFound, true, LevelDeleted, false},
		{LevelNothingFound, false, LevelRetained, false},
		{LevelNothingFound, false, LevelNotDone, false},
		{LevelRetained, true, LevelDeleted, true},
		{LevelRetained, true, LevelIncomplete, false},
		{LevelIncomplete, true, LevelDeleted, true},
		{LevelIncomplete, false, LevelUnproven, false},
		{LevelIncomplete, false, LevelNotDone, true},
		{LevelUnproven, true, LevelDeleted, true},
		{LevelUnproven, false, LevelNotDone, true},
		{LevelNotDone, true, LevelIncomplete, false},
		{LevelNotDone, false, LevelIncomplete, true},
		{LevelNotDone, false, LevelDeleted, false},
		{LevelNotDone, false, LevelUnproven, false},
		{LevelNotDone, false, LevelNothingFound, true},
		{LevelNone, false, LevelNotDone, false},
		{"Certified", false, LevelDeleted, false},
		{"Certified", false, "Certified", false},
	}
	for _, c := range cases {
		if got := bearable(c.level, c.changed, c.part); got != c.want {
			t.Errorf("%s on top of %s (changed: %v): %v, want %v", c.level, c.part, c.changed, got, c.want)
		}
	}
}

func TestLevelsOfDatasets(t *testing.T) {
	zero, some := ptr(int64(0)), ptr(int64(5))
	looked := Dataset{Deleted: some, Remaining: zero}
	cases := []struct {
		outcome            string
		ds                 Dataset
		retention, erasure Level
	}{
		{"Deleted", looked, LevelDeleted, LevelDeleted},
		{"Deleted", Dataset{Deleted: some}, LevelIncomplete, LevelIncomplete}, // nobody looked
		{"Deleted", Dataset{Deleted: some, Remaining: some}, LevelIncomplete, LevelIncomplete},
		{"Deleted", Dataset{Deleted: some, Remaining: zero, Blocked: some}, LevelIncomplete, LevelIncomplete},
		{"Deleted", Dataset{Deleted: some, Remaining: zero, Held: some}, LevelRetained, LevelRetained},
		{"Deleted", Dataset{Deleted: some, Remaining: zero, Retained: some}, LevelRetained, LevelRetained},
		{"Deleted", Dataset{Deleted: some, Anonymized: some, Remaining: zero}, LevelAnonymized, LevelAnonymized},
		{"Deleted", Dataset{Deleted: some, Remaining: zero, Reason: "AccountLost"}, LevelUnproven, LevelUnproven},
		{"Deleted", Dataset{Remaining: zero, Found: some, Reason: "AlreadyDone"}, LevelDeleted, LevelDeleted},
		{"Anonymized", Dataset{Anonymized: some, Remaining: zero}, LevelAnonymized, LevelAnonymized},
		{"Anonymized", Dataset{Anonymized: some}, LevelIncomplete, LevelIncomplete},
		{"NothingDue", Dataset{Remaining: zero}, LevelNothingFound, LevelUnproven},
		{"NothingDue", Dataset{Held: some}, LevelRetained, LevelUnproven},
		{"NothingDue", Dataset{Deleted: some}, LevelIncomplete, LevelUnproven},
		{"NotFound", Dataset{Found: zero}, LevelUnproven, LevelNothingFound},
		{"NotFound", Dataset{Remaining: some}, LevelUnproven, LevelIncomplete},
		{"NotFound", Dataset{Reason: "AccountLost"}, LevelUnproven, LevelUnproven},
		{"RetainedByObligation", Dataset{Retained: some}, LevelRetained, LevelRetained},
		{"RetainedByHold", Dataset{Held: some}, LevelRetained, LevelRetained},
		{"RetainedByHold", Dataset{Held: some, Remaining: some}, LevelIncomplete, LevelIncomplete},
		{"RetainedByHold", Dataset{Held: some, Remaining: some, Blocked: some, Reason: "ReferencedByRetained"}, LevelRetained, LevelRetained},
		{"RetainedByObligation", Dataset{Remaining: some, Reason: "ObligationUnclear"}, LevelRetained, LevelRetained},
		{"Blocked", Dataset{Blocked: some}, LevelIncomplete, LevelUnproven},
		{"Failed", Dataset{}, LevelIncomplete, LevelIncomplete},
		{"Failed", Dataset{Reason: "AccountLost"}, LevelUnproven, LevelUnproven},
		{"Failed", Dataset{Reason: "ReceiptLost"}, LevelUnproven, LevelUnproven},
		{"Expiring", Dataset{}, LevelUnproven, LevelIncomplete},
		{"Simulated", Dataset{Matched: some}, LevelNotDone, LevelNotDone},
		{"NotRun", Dataset{}, LevelNotDone, LevelNotDone},
		{"NotRun", Dataset{DroppedPartitions: 1}, LevelIncomplete, LevelIncomplete},
		{"AwaitingApproval", Dataset{Matched: some}, LevelNotDone, LevelUnproven},
		{"Skipped", Dataset{}, LevelUnproven, LevelNotDone},
		{"Unreachable", Dataset{}, LevelUnproven, LevelNotDone},
		{"Skipped", Dataset{Deleted: some}, LevelUnproven, LevelIncomplete},
		{"", Dataset{}, LevelNotDone, LevelNotDone},
		{"", Dataset{Reason: "AccountLost"}, LevelUnproven, LevelUnproven},
		{"Vanished", looked, LevelUnproven, LevelUnproven},
	}
	for i, c := range cases {
		if got := OfRetention(c.outcome, c.ds); got != c.retention {
			t.Errorf("%d: retention %q: %s, want %s", i, c.outcome, got, c.retention)
		}
		if got := OfErasure(c.outcome, c.ds); got != c.erasure {
			t.Errorf("%d: erasure %q: %s, want %s", i, c.outcome, got, c.erasure)
		}
	}
}

// Every word that a receipt can end with has a level: no outcome is unknown here.
func TestOutcomesAreKnown(t *testing.T) {
	for _, o := range []receipt.StepOutcome{
		receipt.StepDeleted, receipt.StepAnonymized, receipt.StepNothingDue, receipt.StepSimulated, receipt.StepRetainedByObligation,
		receipt.StepRetainedByHold, receipt.StepBlocked, receipt.StepFailed, receipt.StepNotRun, receipt.StepAwaitingApproval,
	} {
		if got := OfRetention(string(o), Dataset{Remaining: ptr(int64(0))}); got == LevelUnproven {
			t.Errorf("the outcome %s of a step is not known", o)
		}
	}
	for _, o := range []receipt.ErasureOutcome{
		receipt.ErasureNotFound, receipt.ErasureDeleted, receipt.ErasureAnonymized, receipt.ErasureRetainedByObligation,
		receipt.ErasureRetainedByHold, receipt.ErasureExpiring, receipt.ErasureSkipped, receipt.ErasureUnreachable, receipt.ErasureFailed, "",
	} {
		if got := OfErasure(string(o), Dataset{Remaining: ptr(int64(0))}); got == LevelUnproven {
			t.Errorf("the outcome %q of an erasure is not known", o)
		}
	}
	if string(receipt.AccountLost) != reasonAccountLost || string(receipt.ReferencedByRetained) != reasonReferenced || string(receipt.ObligationUnclear) != reasonUnclear {
		t.Error("a reason is called otherwise in package receipt")
	}
}

func TestReversibility(t *testing.T) {
	for _, m := range []Method{MethodDelete, MethodDropPartition, MethodAnonymize} {
		for _, engine := range []string{EnginePostgreSQL, "PostgreSQL", "mongodb", ""} {
			if got := ReversibilityOf(m, engine); got == "" {
				t.Errorf("nothing is said of %s in %q", m, engine)
			}
		}
	}
	if got := fmt.Sprint(ReversibilityOf(MethodRetain, EnginePostgreSQL), ReversibilityOf("", "")); got != "" {
		t.Errorf("where nothing went: %q", got)
	}
	if ReversibilityOf(MethodAnonymize, EnginePostgreSQL) == ReversibilityOf(MethodDelete, EnginePostgreSQL) {
		t.Error("anonymized reads like deleted")
	}
	if ReversibilityOf(MethodDropPartition, "PostgreSQL") != ReversibleDropped {
		t.Error("a dropped partition reads like a deletion row by row")
	}
}
