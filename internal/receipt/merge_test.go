// SPDX-License-Identifier: Apache-2.0

package receipt

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"dataretention.dev/retention-operator/internal/plan"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// ran is an attempt that wrote a final Receipt.
func ran(reason Reason, steps ...Step) Attempt {
	code := int32(ExitFailed)
	phase := PhasePurging
	switch reason {
	case Succeeded:
		code, phase = int32(ExitDone), PhaseFinished
	case Incomplete:
		phase = PhaseFinished
	case GuardrailExceeded:
		code, phase = int32(ExitGuardrail), PhaseCounting
	}
	return Attempt{Receipt: &Receipt{Version: Version, Phase: phase, Reason: reason, Steps: steps}, ExitCode: &code}
}

// killed is an attempt that had no time to give a reason.
func killed(steps ...Step) Attempt {
	code := int32(137)
	return Attempt{Receipt: &Receipt{Version: Version, Phase: PhasePurging, Steps: steps}, ExitCode: &code}
}

// silent is an attempt that left nothing.
func silent(code int32) Attempt { return Attempt{Unreadable: true, ExitCode: &code} }

func planOf(mode plan.Mode, actions ...plan.Action) *plan.Plan {
	p := &plan.Plan{Kind: plan.Retention, Mode: mode}
	for _, a := range actions {
		p.Steps = append(p.Steps, plan.Step{Action: a})
	}
	return p
}

// each returns the attempts one hour after the other.
func each(attempts ...Attempt) []Attempt {
	for i := range attempts {
		attempts[i].Started = noon.Add(time.Duration(i) * time.Hour)
		attempts[i].Finished = attempts[i].Started.Add(time.Minute)
	}
	return attempts
}

func TestMergeStepOutcomes(t *testing.T) {
	oldest := noon.AddDate(-3, 0, 0)
	del, anon := plan.Delete, plan.Anonymize
	tests := map[string]struct {
		mode     plan.Mode
		action   plan.Action
		attempts []Attempt
		want     StepOutcome
		reason   Reason
		inexact  bool
	}{
		"deleted": {plan.Enforce, del, each(ran(Succeeded, Step{Counted: true, Matched: 9, Deleted: 9, Verified: true})), StepDeleted, "", false},
		"deleted by the first, verified by the second": {plan.Enforce, del, each(
			ran(Interrupted, Step{Counted: true, Matched: 9, Deleted: 9}),
			ran(Succeeded, Step{Counted: true, Verified: true})), StepDeleted, "", false},
		"a partition dropped, whose records were counted": {plan.Enforce, del, each(
			ran(Succeeded, Step{Counted: true, Matched: 9, Deleted: 9, Partitions: 1, Verified: true})), StepDeleted, "", false},
		"anonymized": {plan.Enforce, anon, each(ran(Succeeded, Step{Counted: true, Matched: 9, Anonymized: 9, Verified: true})), StepAnonymized, "", false},
		"committed in flight, nothing left for the second": {plan.Enforce, del, each(
			killed(Step{Counted: true, Matched: 9, InFlight: 9}),
			ran(Succeeded, Step{Counted: true, Verified: true})), StepDeleted, "", true},
		"committed in flight, anonymized": {plan.Enforce, anon, each(
			killed(Step{Counted: true, Matched: 9, InFlight: 9}),
			ran(Succeeded, Step{Counted: true, Verified: true})), StepAnonymized, "", true},
		"gone by another hand": {plan.Enforce, del, each(ran(Succeeded, Step{Counted: true, Matched: 9, Verified: true})), StepNothingDue, "", false},
		"nothing due":          {plan.Enforce, del, each(ran(Succeeded, Step{Counted: true, Records: 9, Verified: true})), StepNothingDue, "", false},
		"all that is due kept by an obligation": {plan.Enforce, del, each(
			ran(Succeeded, Step{Counted: true, Retained: 9, Verified: true})), StepRetainedByObligation, "", false},
		"some kept by an obligation, the others deleted": {plan.Enforce, del, each(
			ran(Succeeded, Step{Counted: true, Matched: 1, Retained: 9, Deleted: 1, Verified: true})), StepDeleted, "", false},
		"all that would be due kept by a hold": {plan.Enforce, del, each(
			ran(Succeeded, Step{Counted: true, Held: 9, Retained: 1, Verified: true})), StepRetainedByHold, "", false},
		"some kept by a hold, the others deleted": {plan.Enforce, del, each(
			ran(Succeeded, Step{Counted: true, Matched: 1, Held: 9, Deleted: 1, Verified: true})), StepDeleted, "", false},
		"some kept by a hold, the others gone by another hand": {plan.Enforce, del, each(
			ran(Succeeded, Step{Counted: true, Matched: 1, Held: 9, Verified: true})), StepRetainedByHold, "", false},
		"simulated": {plan.Simulate, del, each(ran(Succeeded, Step{Counted: true, Matched: 9})), StepSimulated, "", false},
		"simulated, although a change was made": {plan.Simulate, del, each(
			ran(Succeeded, Step{Counted: true, Matched: 9, Deleted: 1})), StepFailed, InternalError, false},
		"simulated, not counted":            {plan.Simulate, del, each(ran(Interrupted, Step{})), StepNotRun, NotStarted, false},
		"simulated, the table is not there": {plan.Simulate, del, each(ran(Incomplete, Step{Reason: TableNotFound})), StepFailed, TableNotFound, false},
		"blocked":                           {plan.Enforce, del, each(ran(Incomplete, Step{Counted: true, Matched: 9, Deleted: 7, Verified: true, Remaining: 2, Blocked: 2, OldestRemaining: &oldest})), StepBlocked, ForeignKeyBlocks, false},
		"blocked by a trigger":              {plan.Enforce, del, each(ran(Incomplete, Step{Counted: true, Matched: 2, Verified: true, Remaining: 2, Blocked: 2, Reason: TriggerBlocks})), StepBlocked, TriggerBlocks, false},
		"blocked in part, the rest unknown": {plan.Enforce, del, each(ran(Incomplete, Step{Counted: true, Matched: 9, Verified: true, Remaining: 2, Blocked: 1})), StepFailed, RecordsRemain, false},
		"some remain":                       {plan.Enforce, del, each(ran(Incomplete, Step{Counted: true, Matched: 9, Deleted: 8, Verified: true, Remaining: 1})), StepFailed, RecordsRemain, false},
		"some remain for a lock":            {plan.Enforce, del, each(ran(Incomplete, Step{Counted: true, Matched: 9, Verified: true, Remaining: 9, Reason: LockTimeout})), StepFailed, LockTimeout, false},
		"none remain, but something is wrong": {plan.Enforce, del, each(
			ran(Incomplete, Step{Counted: true, Matched: 9, Deleted: 9, Verified: true, Reason: RowLevelSecurity})), StepFailed, RowLevelSecurity, false},
		"the table is not there":          {plan.Enforce, del, each(ran(Incomplete, Step{Reason: TableNotFound})), StepFailed, TableNotFound, false},
		"interrupted after some":          {plan.Enforce, del, each(ran(Interrupted, Step{Counted: true, Matched: 9, Deleted: 4})), StepFailed, Interrupted, false},
		"killed in flight":                {plan.Enforce, del, each(killed(Step{Counted: true, Matched: 9, InFlight: 4})), StepFailed, Interrupted, true},
		"all deleted, but nobody looked":  {plan.Enforce, del, each(ran(Succeeded, Step{Counted: true, Matched: 9, Deleted: 9})), StepFailed, NotVerified, false},
		"verified while a batch was open": {plan.Enforce, del, each(ran(Succeeded, Step{Counted: true, Matched: 9, Deleted: 4, InFlight: 5, Verified: true})), StepFailed, NotVerified, true},
		"the server gone after some":      {plan.Enforce, del, each(ran(Unreachable, Step{Counted: true, Matched: 9, Deleted: 4})), StepFailed, Unreachable, false},
		"verified, then changed by a later": {plan.Enforce, del, each(
			ran(Succeeded, Step{Counted: true, Matched: 9, Deleted: 9, Verified: true}),
			killed(Step{Counted: true, Matched: 1, Deleted: 1})), StepFailed, Interrupted, false},
		"verified, then a silent one": {plan.Enforce, del, each(
			ran(Succeeded, Step{Counted: true, Matched: 9, Deleted: 9, Verified: true}), silent(137)), StepFailed, Interrupted, true},
		"verified, then a later one that did nothing": {plan.Enforce, del, each(
			ran(Incomplete, Step{Counted: true, Matched: 9, Deleted: 9, Verified: true}),
			ran(Unreachable, Step{Reason: NotStarted})), StepDeleted, "", false},
		"failed, then well": {plan.Enforce, del, each(
			ran(Incomplete, Step{Counted: true, Matched: 9, Deleted: 1, Verified: true, Remaining: 8, Reason: LockTimeout}),
			ran(Succeeded, Step{Counted: true, Matched: 8, Deleted: 8, Verified: true})), StepDeleted, "", false},
		"failed, then not reached": {plan.Enforce, del, each(
			ran(Incomplete, Step{Reason: PermissionDenied}), ran(Unreachable, Step{Reason: NotStarted})), StepFailed, PermissionDenied, false},
		"counted, not reached":   {plan.Enforce, del, each(ran(Interrupted, Step{Counted: true, Matched: 9})), StepNotRun, NotStarted, false},
		"counted zero, no proof": {plan.Enforce, del, each(ran(Interrupted, Step{Counted: true})), StepNotRun, NotStarted, false},
		"not in the receipt":     {plan.Enforce, del, each(ran(Succeeded)), StepNotRun, NotStarted, false},
		"no attempt":             {plan.Enforce, del, nil, StepNotRun, NotStarted, false},
		"a guardrail, some due":  {plan.Enforce, del, each(ran(GuardrailExceeded, Step{Counted: true, Matched: 9})), StepAwaitingApproval, GuardrailExceeded, false},
		"a guardrail, none due here": {plan.Enforce, del, each(
			ran(GuardrailExceeded, Step{Counted: true, Records: 9})), StepNothingDue, "", false},
		"a guardrail, all kept by an obligation": {plan.Enforce, del, each(
			ran(GuardrailExceeded, Step{Counted: true, Retained: 9})), StepRetainedByObligation, "", false},
		"a guardrail, not counted yet": {plan.Enforce, del, each(ran(GuardrailExceeded, Step{})), StepNotRun, NotStarted, false},
		"a guardrail after a change": {plan.Enforce, del, each(
			killed(Step{Counted: true, Matched: 9, Deleted: 4}),
			ran(GuardrailExceeded, Step{Counted: true, Matched: 5})), StepFailed, NotVerified, false},
		"approved after a guardrail": {plan.Enforce, del, each(
			ran(GuardrailExceeded, Step{Counted: true, Matched: 9}),
			ran(Succeeded, Step{Counted: true, Matched: 9, Deleted: 9, Verified: true})), StepDeleted, "", false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := Merge(planOf(tt.mode, tt.action), tt.attempts).Steps[0]
			if got.Outcome != tt.want || got.Reason != tt.reason || got.Exact == tt.inexact {
				t.Errorf("got %s, %q, exact %v; want %s, %q, exact %v", got.Outcome, got.Reason, got.Exact, tt.want, tt.reason, !tt.inexact)
			}
		})
	}
}

func TestMergeRunOutcomes(t *testing.T) {
	done := Step{Counted: true, Matched: 9, Deleted: 9, Verified: true}
	second := func(s Step) Step { s.Index = 1; return s }
	due := Step{Counted: true, Matched: 9}
	tests := map[string]struct {
		mode     plan.Mode
		attempts []Attempt
		want     Outcome
		reason   Reason
		inexact  bool
	}{
		"both steps well":         {plan.Enforce, each(ran(Succeeded, done, second(done))), OutcomeSucceeded, Succeeded, false},
		"well at the second time": {plan.Enforce, each(ran(Unreachable), ran(Succeeded, done, second(done))), OutcomeSucceeded, Succeeded, false},
		"well after a silent one": {plan.Enforce, each(silent(137), ran(Succeeded, done, second(done))), OutcomeSucceeded, Succeeded, true},
		"well before a silent one": {plan.Enforce, each(
			ran(Succeeded, done, second(done)), silent(137)), OutcomeInterrupted, Interrupted, true},
		"a silent one, then not all verified": {plan.Enforce, each(
			silent(137), ran(Succeeded, done)), OutcomeIncomplete, Incomplete, true},
		"a success that skips a step": {plan.Enforce, each(ran(Succeeded, done)), OutcomeIncomplete, Incomplete, false},
		"a success that lets records remain": {plan.Enforce, each(
			ran(Succeeded, done, Step{Index: 1, Counted: true, Verified: true, Remaining: 1})), OutcomeIncomplete, Incomplete, false},
		"a success with a batch open": {plan.Enforce, each(
			ran(Succeeded, done, Step{Index: 1, Counted: true, InFlight: 1, Verified: true})), OutcomeIncomplete, Incomplete, true},
		"simulated": {plan.Simulate, each(ran(Succeeded, due, second(due))), OutcomeSimulated, Succeeded, false},
		"simulated in part": {plan.Simulate, each(
			ran(Incomplete, due, Step{Index: 1, Reason: TableNotFound})), OutcomeIncomplete, Incomplete, false},
		"a guardrail":                      {plan.Enforce, each(ran(GuardrailExceeded, due, second(due))), OutcomeAwaitingApproval, GuardrailExceeded, false},
		"a guardrail after a dead server":  {plan.Enforce, each(ran(Unreachable), ran(GuardrailExceeded, due, second(due))), OutcomeAwaitingApproval, GuardrailExceeded, false},
		"a guardrail before all counted":   {plan.Enforce, each(ran(GuardrailExceeded, due)), OutcomeIncomplete, Incomplete, false},
		"blocked":                          {plan.Enforce, each(ran(Incomplete, done, Step{Index: 1, Counted: true, Verified: true, Remaining: 1, Blocked: 1})), OutcomeIncomplete, Incomplete, false},
		"one table missing":                {plan.Enforce, each(ran(Incomplete, done, Step{Index: 1, Reason: TableNotFound})), OutcomeIncomplete, Incomplete, false},
		"all tables missing":               {plan.Enforce, each(ran(Incomplete, Step{Reason: TableNotFound}, Step{Index: 1, Reason: TableNotFound})), OutcomeFailed, Incomplete, false},
		"incomplete after a dead server":   {plan.Enforce, each(ran(Unreachable), ran(Incomplete, done, Step{Index: 1, Reason: LockTimeout})), OutcomeIncomplete, Incomplete, false},
		"interrupted":                      {plan.Enforce, each(ran(Interrupted, done, due)), OutcomeInterrupted, Interrupted, false},
		"killed before it could count":     {plan.Enforce, each(killed()), OutcomeInterrupted, Interrupted, false},
		"killed in flight":                 {plan.Enforce, each(killed(done, Step{Index: 1, Counted: true, InFlight: 7})), OutcomeInterrupted, Interrupted, true},
		"lost with its node":               {plan.Enforce, each(Attempt{Unreadable: true}), OutcomeInterrupted, Interrupted, true},
		"interrupted, then a dead server":  {plan.Enforce, each(ran(Interrupted, done), ran(Unreachable)), OutcomeUnreachable, Unreachable, false},
		"a dead server, then a bad secret": {plan.Enforce, each(ran(Unreachable), ran(SecretIncomplete)), OutcomeUnreachable, Unreachable, false},
		"well, then a dead server":         {plan.Enforce, each(ran(Succeeded, done, second(done)), ran(Unreachable)), OutcomeUnreachable, Unreachable, false},
		"a dead server, silently":          {plan.Enforce, each(silent(int32(ExitUnavailable))), OutcomeUnreachable, Unreachable, true},
		"another server":                   {plan.Enforce, each(ran(IdentityChanged)), OutcomeFailed, IdentityChanged, false},
		"the plan refused":                 {plan.Enforce, each(ran(PlanRefused)), OutcomeFailed, PlanRefused, false},
		"a reason of a newer data plane":   {plan.Enforce, each(ran("SomethingNew")), OutcomeFailed, "SomethingNew", false},
		"an exit of zero without a word":   {plan.Enforce, each(silent(0)), OutcomeFailed, InternalError, true},
		"a panic":                          {plan.Enforce, each(silent(2)), OutcomeFailed, InternalError, true},
		"a guardrail without a word":       {plan.Enforce, each(silent(3)), OutcomeIncomplete, Incomplete, true},
		"a receipt of another plan":        {plan.Enforce, each(ran(Succeeded, done, second(done), Step{Index: 2, Deleted: 5})), OutcomeFailed, InternalError, true},
		"no attempt":                       {plan.Enforce, nil, OutcomeFailed, NotStarted, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := Merge(planOf(tt.mode, plan.Delete, plan.Delete), tt.attempts)
			if got.Outcome != tt.want || got.Reason != tt.reason || got.Exact == tt.inexact {
				t.Errorf("got %s, %q, exact %v; want %s, %q, exact %v", got.Outcome, got.Reason, got.Exact, tt.want, tt.reason, !tt.inexact)
			}
			if got.Attempts != len(tt.attempts) {
				t.Errorf("%d attempts, want %d", got.Attempts, len(tt.attempts))
			}
		})
	}
}

func TestMergeAddsUp(t *testing.T) {
	oldest := noon.AddDate(-3, 0, 0)
	first := killed(Step{Counted: true, Records: 100, Matched: 40, Retained: 5, Undated: 2, Invalid: 1, Deleted: 10, Partitions: 1, InFlight: 3})
	first.Receipt.Truncated = true
	lost := silent(137)
	last := ran(Incomplete, Step{
		Counted: true, Records: 87, Matched: 27, Deleted: 25, Partitions: 2, Verified: true, Remaining: 2, Blocked: 2,
		Constraints: []string{"order_customer_fkey"}, OldestRemaining: &oldest, Reason: ForeignKeyBlocks,
	})
	last.Receipt.Identity, last.Receipt.ServerVersion, last.Receipt.SkewMilliseconds = "73", "17.2", 40
	last.Receipt.Message = "2 records are still referred to."
	in := each(first, lost, last)
	in[0], in[2] = in[2], in[0] // in no order
	got := Merge(planOf(plan.Enforce, plan.Delete), in)
	want := Total{
		Outcome: OutcomeIncomplete, Reason: Incomplete, Message: "2 records are still referred to.",
		Attempts: 3, Unreadable: 1, StartTime: noon, EndTime: noon.Add(2*time.Hour + time.Minute),
		ServerVersion: "17.2", Identity: "73", SkewMilliseconds: 40, Truncated: true,
		Steps: []StepTotal{{
			Step: Step{
				Counted: true, Records: 100, Matched: 40, Retained: 5, Undated: 2, Invalid: 1,
				Deleted: 35, Partitions: 3, InFlight: 3, Verified: true, Remaining: 2, Blocked: 2,
				Constraints: []string{"order_customer_fkey"}, OldestRemaining: &oldest, Reason: ForeignKeyBlocks,
			},
			Outcome: StepBlocked,
		}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMergeProbe(t *testing.T) {
	p := &plan.Plan{Kind: plan.Probe}
	found := ran(Succeeded)
	found.Receipt.Probe = &Probe{Datasets: []DatasetProbe{{Records: 7}}}
	if got := Merge(p, each(ran(Unreachable), found)); got.Outcome != OutcomeSucceeded || got.Probe != found.Receipt.Probe {
		t.Errorf("got %s with %v", got.Outcome, got.Probe)
	}
	if got := Merge(p, each(ran(Succeeded))); got.Outcome != OutcomeFailed || got.Reason != InternalError {
		t.Errorf("a success without a result: got %s, %s", got.Outcome, got.Reason)
	}
}

// Whatever the attempts say: success is never claimed without a valid proof for every step, exactness never without a
// readable Receipt of every attempt, and the sums are the sums.
func TestMergeNeverClaimsTooMuch(t *testing.T) {
	step := rapid.Custom(func(t *rapid.T) Step {
		n := rapid.Int64Range(0, 2)
		return Step{
			Counted: rapid.Bool().Draw(t, "counted"), Matched: n.Draw(t, "matched"), Retained: n.Draw(t, "retained"),
			Deleted: n.Draw(t, "deleted"), InFlight: rapid.SampledFrom([]int64{0, 0, 0, 1}).Draw(t, "flight"),
			Verified: rapid.Bool().Draw(t, "verified"), Remaining: rapid.SampledFrom([]int64{0, 0, 1}).Draw(t, "remaining"),
			Reason: rapid.SampledFrom([]Reason{"", "", "", LockTimeout}).Draw(t, "reason"),
		}
	})
	reasons := []Reason{"", Succeeded, Succeeded, Incomplete, Interrupted, Unreachable, GuardrailExceeded}
	rapid.Check(t, func(t *rapid.T) {
		var attempts []Attempt
		for range rapid.IntRange(0, 4).Draw(t, "attempts") {
			if rapid.IntRange(0, 5).Draw(t, "silent") == 0 {
				attempts = append(attempts, silent(137))
				continue
			}
			steps := []Step{step.Draw(t, "step"), step.Draw(t, "step")}
			steps[1].Index = 1
			attempts = append(attempts, ran(rapid.SampledFrom(reasons).Draw(t, "reason"), steps...))
		}
		attempts = each(attempts...)
		got := Merge(planOf(plan.Enforce, plan.Delete, plan.Delete), attempts)
		var deleted [2]int64
		exact, lastChange, lastProof := true, [2]int{-1, -1}, [2]int{-1, -1}
		for at, a := range attempts {
			for i := range 2 {
				if a.Unreadable {
					exact, lastChange[i] = false, at+1
					continue
				}
				s := a.Receipt.Steps[i]
				deleted[i] += s.Deleted
				exact = exact && s.InFlight == 0
				if s.Deleted+s.InFlight > 0 {
					lastChange[i] = at
				}
				if s.Verified && s.InFlight == 0 {
					lastProof[i] = at
					if s.Remaining > 0 {
						lastProof[i] = -1
					}
				}
			}
		}
		if got.Exact != exact {
			t.Errorf("exact %v, want %v", got.Exact, exact)
		}
		for i := range 2 {
			if got.Steps[i].Deleted != deleted[i] {
				t.Errorf("step %d: %d deleted, want %d", i, got.Steps[i].Deleted, deleted[i])
			}
			proven := lastProof[i] >= 0 && lastProof[i] >= lastChange[i]
			if got.Steps[i].Outcome == StepDeleted && !proven {
				t.Errorf("step %d is called deleted without a proof", i)
			}
			if got.Outcome == OutcomeSucceeded && (!proven || attempts[len(attempts)-1].reason() != Succeeded) {
				t.Errorf("success without a proof for step %d", i)
			}
		}
	})
}
