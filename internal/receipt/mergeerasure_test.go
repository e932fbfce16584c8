// SPDX-License-Identifier: Apache-2.0

package receipt

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dataretention.dev/retention-operator/internal/plan"
)

// erasurePlan has n requests and a step for each action.
func erasurePlan(n int, actions ...plan.ErasureAction) *plan.Plan {
	p := &plan.Plan{Kind: plan.ErasureKind, Mode: plan.Enforce, Erasure: &plan.Erasure{Requests: make([]plan.Request, n)}}
	for _, a := range actions {
		p.Erasure.Steps = append(p.Erasure.Steps, plan.ErasureStep{Action: a})
	}
	return p
}

// Lines of one request in one step.
func found(n int64) Line  { return Line{Kind: LineFound, Pass: 1, Numbers: []Numbers{{N: n}}} }
func flight(n int64) Line { return Line{Kind: LineFlight, Numbers: []Numbers{{N: n}}} }
func still(n Numbers) Line {
	return Line{Kind: LineLeft, Pass: 1, Numbers: []Numbers{n}}
}

var (
	committed = Line{Kind: LineCommitted}
	reverted  = Line{Kind: LineRolledBack}
	finished  = Line{Kind: LineFinished}
	gone      = still(Numbers{})
)

// told is an attempt whose account is complete.
func told(reason Reason, lines ...Line) ErasureAttempt {
	a := ErasureAttempt{Attempt: ran(reason), Lines: lines, Complete: true}
	if reason == "" {
		a.Attempt = killed()
	}
	a.Receipt.Account = &AccountSum{Lines: int64(len(lines))}
	return a
}

// cut is an attempt of which only some lines are known, and whose Receipt says that it deleted so many records.
func cut(deleted int64, lines ...Line) ErasureAttempt {
	a := told(Succeeded, lines...)
	a.Complete, a.Receipt.Steps = false, []Step{{Counted: true, Deleted: deleted}}
	return a
}

// hourly returns the attempts one hour after the other.
func hourly(attempts ...ErasureAttempt) []ErasureAttempt {
	for i := range attempts {
		attempts[i].Started = noon.AddDate(0, 0, i)
	}
	return attempts
}

func TestMergeErasureOutcomes(t *testing.T) {
	del, anon := plan.EraseDelete, plan.EraseAnonymize
	problem := Line{Kind: LinePersons, Persons: []Person{{Problem: IdentifiersDisagree}}}
	nobody := Line{Kind: LineFound, Unsearched: []int{0}}
	unreadable := ErasureAttempt{Attempt: silent(137)}
	type want struct {
		outcome        ErasureOutcome
		reason         Reason
		found, done    int64
		exact, verifid bool
	}
	tests := map[string]struct {
		action   plan.ErasureAction
		attempts []ErasureAttempt
		want     want
	}{
		"deleted":    {del, hourly(told(Succeeded, found(3), flight(3), committed, gone, finished)), want{ErasureDeleted, "", 3, 3, true, true}},
		"anonymized": {anon, hourly(told(Succeeded, found(3), flight(3), committed, gone, finished)), want{ErasureAnonymized, "", 3, 3, true, true}},
		"not found":  {del, hourly(told(Succeeded, found(0), gone, finished)), want{ErasureNotFound, "", 0, 0, true, true}},
		"rolled back, and tried again": {del, hourly(told(Succeeded, found(3), flight(3), reverted, flight(3), committed, gone, finished)),
			want{ErasureDeleted, "", 3, 3, true, true}},
		"gone by another hand": {del, hourly(told(Succeeded, found(3), gone, finished)), want{ErasureDeleted, AlreadyDone, 3, 0, true, true}},
		"no identifier":        {del, hourly(told(Succeeded, nobody, gone, finished)), want{ErasureSkipped, NoIdentifier, 0, 0, true, false}},
		"disagreeing":          {del, hourly(told(Succeeded, problem, found(3), still(Numbers{N: 3}), finished)), want{ErasureSkipped, IdentifiersDisagree, 3, 0, true, false}},
		"disagreeing after something was done": {del, hourly(told("", found(3), flight(1), committed), told(Succeeded, problem, found(2), finished)),
			want{ErasureFailed, IdentifiersDisagree, 3, 1, true, false}},
		"some remain": {del, hourly(told(Incomplete, found(3), flight(1), committed, still(Numbers{N: 2}), finished)),
			want{ErasureFailed, RecordsRemain, 3, 1, true, false}},
		"some are blocked": {del, hourly(told(Incomplete, found(3), flight(1), committed, still(Numbers{N: 2, Blocked: 2, Bound: 1}), finished)),
			want{ErasureFailed, ForeignKeyBlocks, 3, 1, true, false}},
		"some are bound": {del, hourly(told(Succeeded, found(3), flight(1), committed, still(Numbers{N: 2, Blocked: 2, Bound: 2}), finished)),
			want{ErasureRetainedByObligation, ReferencedByRetained, 3, 1, true, true}},
		"some are held": {del, hourly(told(Succeeded, found(3), flight(1), committed, still(Numbers{Held: 1, Retained: 1}), finished)),
			want{ErasureRetainedByHold, "", 3, 1, true, true}},
		"some are retained": {del, hourly(told(Succeeded, found(3), flight(1), committed, still(Numbers{Retained: 2}), finished)),
			want{ErasureRetainedByObligation, "", 3, 1, true, true}},
		"written between": {del, hourly(told(Succeeded, found(3), flight(3), committed, still(Numbers{N: 2}), flight(2), committed, gone, finished)),
			want{ErasureDeleted, "", 5, 5, true, true}},
		"by two attempts": {del, hourly(told("", found(3), flight(1), committed), told(Succeeded, found(3), flight(3), committed, gone, finished)),
			want{ErasureDeleted, "", 4, 4, true, true}},
		"killed before any change": {del, hourly(told("", found(3))), want{ErasureFailed, Interrupted, 3, 0, true, false}},
		"killed in a commit":       {del, hourly(told("", found(3), flight(3))), want{ErasureFailed, Interrupted, 3, 0, false, false}},
		"killed in a commit, then none left": {del, hourly(told("", found(3), flight(3)), told(Succeeded, found(0), gone, finished)),
			want{ErasureDeleted, "", 3, 0, false, true}},
		"killed in a commit, then some left": {del, hourly(told("", found(3), flight(2)), told(Succeeded, found(3), flight(3), committed, gone, finished)),
			want{ErasureDeleted, "", 3, 3, false, true}},
		"killed within an announcement": {del, hourly(told("", found(3), Line{Kind: LineFlight, More: true, Numbers: []Numbers{{N: 3}}})),
			want{ErasureFailed, Interrupted, 3, 0, true, false}},
		"a look while a batch is in doubt": {del, hourly(told(Succeeded, found(3), flight(1), flight(2), committed, gone, finished)),
			want{ErasureFailed, NotVerified, 3, 2, false, false}},
		"verified, then a new look": {del, hourly(told("", found(3), flight(3), committed, gone), told("", found(1))),
			want{ErasureFailed, Interrupted, 4, 3, true, false}},
		"verified, then a server that is gone": {del, hourly(told(Succeeded, found(3), flight(3), committed, gone, finished), ErasureAttempt{Attempt: ran(Unreachable)}),
			want{ErasureDeleted, "", 3, 3, true, true}},
		"verified, then changed": {del, hourly(told("", found(3), gone, flight(3), committed)), want{ErasureFailed, Interrupted, 3, 3, true, false}},
		"the table is not there": {del, hourly(told(Incomplete, Line{Kind: LineFailed, Reason: TableNotFound}, finished)),
			want{ErasureFailed, TableNotFound, 0, 0, true, false}},
		"the server is not there": {del, hourly(ErasureAttempt{Attempt: ran(Unreachable)}), want{ErasureUnreachable, Unreachable, 0, 0, true, false}},
		"the server is gone after some": {del, hourly(told(Unreachable, found(3), flight(1), committed)),
			want{ErasureFailed, Unreachable, 3, 1, true, false}},
		"no attempt":          {del, nil, want{ErasureFailed, NotStarted, 0, 0, true, false}},
		"the account is lost": {del, hourly(cut(3)), want{ErasureFailed, AccountLost, 0, 0, false, false}},
		"the account is lost, and nothing was changed": {del, hourly(cut(0), told(Succeeded, found(0), gone, finished)),
			want{ErasureNotFound, "", 0, 0, true, true}},
		"the account is lost, then nothing is there": {del, hourly(cut(3), told(Succeeded, found(0), gone, finished)),
			want{ErasureFailed, AccountLost, 0, 0, false, true}},
		"the account is lost in part, then nothing is there": {del, hourly(cut(3, found(3)), told(Succeeded, found(0), gone, finished)),
			want{ErasureDeleted, AccountLost, 3, 0, false, true}},
		"the account is lost, then some are erased": {del, hourly(cut(3), told(Succeeded, found(1), flight(1), committed, gone, finished)),
			want{ErasureDeleted, "", 1, 1, false, true}},
		"verified, then an account is lost": {del, hourly(told(Succeeded, found(3), flight(3), committed, gone, finished), cut(1)),
			want{ErasureFailed, AccountLost, 3, 3, false, false}},
		"nothing can be read of the first": {del, hourly(unreadable, told(Succeeded, found(0), gone, finished)),
			want{ErasureFailed, AccountLost, 0, 0, false, true}},
		"nothing can be read of the last": {del, hourly(told(Succeeded, found(0), gone, finished), unreadable),
			want{ErasureFailed, AccountLost, 0, 0, false, false}},
		"nothing can be read of one that could change nothing": {plan.EraseRetain, hourly(unreadable, told(Succeeded, found(2), still(Numbers{Retained: 2}), finished)),
			want{ErasureRetainedByObligation, "", 2, 0, true, true}},
		"a line of another plan": {del, hourly(told(Succeeded, found(0), Line{Kind: LineLeft, Step: 7}, gone, finished)),
			want{ErasureFailed, AccountLost, 0, 0, true, false}},
		"a number below nothing": {del, hourly(told(Succeeded, found(0), flight(-3), gone, finished)),
			want{ErasureFailed, AccountLost, 0, 0, true, false}},
		"an end without a beginning": {del, hourly(told(Succeeded, found(0), committed, gone, finished)),
			want{ErasureFailed, AccountLost, 0, 0, true, false}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := MergeErasure(erasurePlan(1, tt.action), tt.attempts).Requests[0]
			s := r.Steps[0]
			got := want{s.Outcome, s.Reason, s.Found, s.Deleted + s.Anonymized, s.Exact, r.Verified}
			if got != tt.want || r.Outcome != s.Outcome {
				t.Errorf("got %+v (request %s), want %+v", got, r.Outcome, tt.want)
			}
		})
	}
}

func TestMergeErasureOfSeveral(t *testing.T) {
	p := erasurePlan(3, plan.EraseDelete, plan.EraseRetain)
	at := func(step int, l Line) Line { l.Step = step; return l }
	a := told(Succeeded,
		Line{Kind: LinePersons, More: true, Persons: []Person{{Request: 0, Types: []string{"email"}, Commitments: []string{"c"}, Derived: "id=2\n"}}},
		Line{Kind: LinePersons, Persons: []Person{{Request: 0, Derived: "id=1\n"}, {Request: 2, Problem: SubjectUnreadable}}},
		Line{Kind: LineFound, Pass: 1, More: true, Numbers: []Numbers{{Request: 0, N: 2}}}, Line{Kind: LineFound, Pass: 1, Numbers: []Numbers{{Request: 1, N: 1}}},
		Line{Kind: LineFound, Step: 1, Numbers: []Numbers{{Request: 1, N: 4}}, Unsearched: []int{2}},
		Line{Kind: LineFlight, Numbers: []Numbers{{Request: 0, N: 2}, {Request: 1, N: 1}}}, committed,
		at(1, Line{Kind: LineLeft, Pass: 2, Numbers: []Numbers{{Request: 1, Retained: 4}}}), at(0, gone), finished)
	a.Receipt.Steps = []Step{{Counted: true, Matched: 3, Deleted: 2, Verified: true}, {Index: 1, Counted: true, Matched: 4, Retained: 4, Verified: true}}
	got := MergeErasure(p, hourly(a))
	if !got.Finished || got.Passes != 2 || got.Reason != Succeeded || got.Attempts != 1 || got.Total.Outcome != OutcomeSucceeded || got.Total.Steps[0].Deleted != 2 {
		t.Errorf("got %+v", got)
	}
	var outcomes []ErasureOutcome
	for _, r := range got.Requests {
		outcomes = append(outcomes, r.Outcome)
	}
	if want := []ErasureOutcome{ErasureDeleted, ErasureRetainedByObligation, ErasureSkipped}; !slices.Equal(outcomes, want) {
		t.Errorf("outcomes %v, want %v", outcomes, want)
	}
	first := got.Requests[0]
	if first.Derived != "id=1\nid=2\n" || !first.Told || first.Steps[1].Outcome != ErasureNotFound || got.Requests[1].Told || !got.Requests[1].Verified {
		t.Errorf("the first: %+v", first)
	}
}

// What was learned of a person before their records were erased is kept, and so are the first commitments.
func TestMergeErasureKeepsWhatWasLearned(t *testing.T) {
	who := func(p Person) Line { return Line{Kind: LinePersons, Persons: []Person{p}} }
	got := MergeErasure(erasurePlan(1, plan.EraseDelete), hourly(
		told("", who(Person{Types: []string{"email"}, Commitments: []string{"first"}, Derived: "id=1\n"}), found(1), flight(1), committed),
		told(Succeeded, who(Person{Types: []string{"email"}, Commitments: []string{"second"}}), found(0), gone, finished))).Requests[0]
	if got.Derived != "id=1\n" || !slices.Equal(got.Commitments, []string{"first"}) || !slices.Equal(got.Types, []string{"email"}) {
		t.Errorf("got %+v", got)
	}
}

// A hold keeps what keeps a record, if holds are all that can.
func TestMergeErasureBoundByHolds(t *testing.T) {
	bound := hourly(told(Succeeded, found(1), still(Numbers{N: 1, Blocked: 1, Bound: 1}), finished))
	p := erasurePlan(1, plan.EraseDelete)
	if got := MergeErasure(p, bound).Requests[0].Outcome; got != ErasureRetainedByObligation {
		t.Errorf("without a hold: %s", got)
	}
	p.Holds = make([]plan.Hold, 1)
	if got := MergeErasure(p, bound).Requests[0].Outcome; got != ErasureRetainedByHold {
		t.Errorf("with one: %s", got)
	}
}

func TestMergeErasureFindsOnly(t *testing.T) {
	p := erasurePlan(1, plan.EraseDelete)
	p.Mode = plan.Simulate
	for name, tt := range map[string]struct {
		lines    []Line
		complete bool
		want     ErasureOutcome
		reason   Reason
	}{
		"found":           {[]Line{found(2), finished}, true, "", ""},
		"not found":       {[]Line{found(0), finished}, true, ErasureNotFound, ""},
		"no identifier":   {[]Line{{Kind: LineFound, Unsearched: []int{0}}, finished}, true, ErasureSkipped, NoIdentifier},
		"a change":        {[]Line{found(2), flight(1), committed, finished}, true, ErasureFailed, InternalError},
		"an account lost": {[]Line{found(0)}, false, ErasureFailed, AccountLost},
	} {
		t.Run(name, func(t *testing.T) {
			a := told(Succeeded, tt.lines...)
			a.Complete = tt.complete
			got := MergeErasure(p, hourly(a)).Requests[0]
			if got.Outcome != tt.want || got.Steps[0].Reason != tt.reason || got.Verified {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// The order in which attempts are listed does not matter, and a log that lacks its end never lets more be claimed than the
// whole one: no record more, nothing exact or verified that is not.
func TestMergeErasureOfLessClaimsLess(t *testing.T) {
	p := erasurePlan(2, plan.EraseDelete, plan.EraseAnonymize)
	line := rapid.Custom(func(t *rapid.T) Line {
		l := Line{
			Kind: rapid.SampledFrom([]LineKind{LineFound, LineFlight, LineCommitted, LineCommitted, LineRolledBack, LineLeft, LineFailed}).Draw(t, "kind"),
			Step: rapid.IntRange(0, 1).Draw(t, "step"), Pass: 1,
		}
		for i := range 2 {
			n := rapid.Int64Range(0, 3)
			l.Numbers = append(l.Numbers, Numbers{Request: i, N: n.Draw(t, "n"), Retained: n.Draw(t, "retained")})
		}
		if l.Kind == LineFailed {
			l.Reason = LockTimeout
		}
		return l
	})
	rapid.Check(t, func(t *rapid.T) {
		var attempts []ErasureAttempt
		for range rapid.IntRange(1, 3).Draw(t, "attempts") {
			a := told(rapid.SampledFrom([]Reason{"", Succeeded, Unreachable}).Draw(t, "reason"), rapid.SliceOfN(line, 0, 8).Draw(t, "lines")...)
			a.Receipt.Steps = []Step{{Deleted: 1}, {Index: 1, Anonymized: 1}}
			attempts = append(attempts, a)
		}
		attempts = hourly(attempts...)
		whole := MergeErasure(p, attempts)
		order := rapid.Permutation(indexes(len(attempts))).Draw(t, "order")
		var mixed []ErasureAttempt
		for _, i := range order {
			mixed = append(mixed, attempts[i])
		}
		if diff := cmp.Diff(whole, MergeErasure(p, mixed)); diff != "" {
			t.Fatalf("in another order (-want +got):\n%s", diff)
		}
		last := &attempts[len(attempts)-1]
		last.Lines, last.Complete = last.Lines[:rapid.IntRange(0, len(last.Lines)).Draw(t, "end")], false
		less := MergeErasure(p, attempts)
		for i, r := range less.Requests {
			if r.Verified || !r.Outcome.WorseThan(ErasureUnreachable) {
				t.Errorf("request %d: %s, verified %v", i, r.Outcome, r.Verified)
			}
			for s, step := range r.Steps {
				if w := whole.Requests[i].Steps[s]; step.Exact || step.Deleted > w.Deleted || step.Anonymized > w.Anonymized || step.Found > w.Found {
					t.Errorf("request %d, step %d: %+v, and all together %+v", i, s, step, w)
				}
			}
		}
	})
}
