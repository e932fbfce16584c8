// SPDX-License-Identifier: Apache-2.0

package erasurerun

import (
	"slices"
	"testing"
	"time"

	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/receipt"
)

func hasBackups(gaps []evidence.Gap) bool {
	return slices.ContainsFunc(gaps, func(g evidence.Gap) bool { return g.Kind == evidence.GapBackup })
}

// TestWhatAResultClaims merges attempts as they come, and looks how much the Result says. Each one has to be valid, too.
func TestWhatAResultClaims(t *testing.T) {
	began := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	deleted := func(n int64) []receipt.Line {
		return []receipt.Line{
			{Kind: receipt.LinePersons, Persons: []receipt.Person{{Request: 0}, {Request: 1}}},
			{Kind: receipt.LineFound, Pass: 1, Numbers: []receipt.Numbers{{Request: 0, N: n}}},
			{Kind: receipt.LineFlight, Numbers: []receipt.Numbers{{Request: 0, N: n}}}, {Kind: receipt.LineCommitted},
			{Kind: receipt.LineLeft, Pass: 1}, {Kind: receipt.LineFinished},
		}
	}
	done := func(step receipt.Step) *receipt.Receipt {
		return &receipt.Receipt{Phase: receipt.PhaseFinished, Reason: receipt.Succeeded, Account: &receipt.AccountSum{Lines: 6}, Steps: []receipt.Step{step},
			ServerVersion: "15.18", Identity: "id"}
	}
	attempt := func(r *receipt.Receipt, complete bool, lines ...receipt.Line) receipt.ErasureAttempt {
		return receipt.ErasureAttempt{Attempt: receipt.Attempt{Receipt: r, ExitCode: ptr.To[int32](0), Started: began, Finished: began.Add(time.Minute), Unreadable: r == nil},
			Complete: complete, Lines: lines}
	}
	look := func(left receipt.Line) []receipt.Line {
		return []receipt.Line{{Kind: receipt.LinePersons, Persons: []receipt.Person{{Request: 0}, {Request: 1}}}, {Kind: receipt.LineFound, Pass: 1}, left, {Kind: receipt.LineFinished}}
	}
	two := receipt.Step{Counted: true, Matched: 2, Deleted: 2, Verified: true}
	for name, tc := range map[string]struct {
		mode     plan.Mode
		action   plan.ErasureAction
		attempts []receipt.ErasureAttempt
		want     evidence.Level
		outcome  string
	}{
		"deleted": {plan.Enforce, plan.EraseDelete, []receipt.ErasureAttempt{attempt(done(two), true, deleted(2)...)}, evidence.LevelDeleted, "Deleted"},
		"nothing found": {plan.Enforce, plan.EraseDelete, []receipt.ErasureAttempt{attempt(done(receipt.Step{Counted: true, Verified: true}), true,
			look(receipt.Line{Kind: receipt.LineLeft, Pass: 1})...)}, evidence.LevelNothingFound, "NotFound"},
		"anonymized": {plan.Enforce, plan.EraseAnonymize, []receipt.ErasureAttempt{attempt(done(receipt.Step{Counted: true, Matched: 2, Anonymized: 2, Verified: true}), true, deleted(2)...)},
			evidence.LevelAnonymized, "Anonymized"},
		"retained": {plan.Enforce, plan.EraseRetain, []receipt.ErasureAttempt{attempt(done(receipt.Step{Counted: true, Matched: 2, Retained: 2, Verified: true}), true,
			look(receipt.Line{Kind: receipt.LineLeft, Pass: 1, Numbers: []receipt.Numbers{{Request: 1, Retained: 2}}})...)}, evidence.LevelRetained, "RetainedByObligation"},
		"kept by what must be kept": {plan.Enforce, plan.EraseDelete, []receipt.ErasureAttempt{attempt(done(receipt.Step{Counted: true, Matched: 2, Retained: 2, Verified: true}), true,
			look(receipt.Line{Kind: receipt.LineLeft, Pass: 1, Numbers: []receipt.Numbers{{Request: 1, N: 2, Blocked: 2, Bound: 2}}})...)}, evidence.LevelRetained, "RetainedByObligation"},
		"undeclared": {plan.Enforce, plan.EraseUndeclared, []receipt.ErasureAttempt{attempt(done(receipt.Step{Counted: true, Matched: 2, Remaining: 2, Verified: true}), true,
			look(receipt.Line{Kind: receipt.LineLeft, Pass: 1, Numbers: []receipt.Numbers{{Request: 1, N: 2}}})...)}, evidence.LevelNotDone, "Skipped"},
		"blocked": {plan.Enforce, plan.EraseDelete, []receipt.ErasureAttempt{attempt(done(receipt.Step{Counted: true, Matched: 2, Remaining: 2, Blocked: 2, Verified: true}), true,
			look(receipt.Line{Kind: receipt.LineLeft, Pass: 1, Numbers: []receipt.Numbers{{Request: 1, N: 2, Blocked: 2}}})...)}, evidence.LevelIncomplete, "Failed"},
		"the account is lost": {plan.Enforce, plan.EraseDelete, []receipt.ErasureAttempt{attempt(done(two), false)}, evidence.LevelUnproven, "Failed"},
		"the account of an attempt is lost that changed nothing": {plan.Enforce, plan.EraseDelete, []receipt.ErasureAttempt{
			attempt(&receipt.Receipt{Phase: receipt.PhaseCounting, Reason: receipt.Interrupted, Account: &receipt.AccountSum{Lines: 1}}, false),
			attempt(done(two), true, deleted(2)...)}, evidence.LevelDeleted, "Deleted"},
		"a receipt cannot be read": {plan.Enforce, plan.EraseDelete, []receipt.ErasureAttempt{attempt(nil, false), attempt(done(two), true, deleted(2)...)}, evidence.LevelUnproven, "Failed"},
		"a batch without a known end": {plan.Enforce, plan.EraseDelete, []receipt.ErasureAttempt{
			attempt(&receipt.Receipt{Phase: receipt.PhasePurging, Account: &receipt.AccountSum{Lines: 3}, Steps: []receipt.Step{{Counted: true, Matched: 2, InFlight: 2}}}, true, deleted(2)[:3]...),
			attempt(done(receipt.Step{Counted: true, Verified: true}), true, look(receipt.Line{Kind: receipt.LineLeft, Pass: 1})...)}, evidence.LevelDeleted, "Deleted"},
		"a batch that nobody tells of, and nothing found": {plan.Enforce, plan.EraseDelete, []receipt.ErasureAttempt{
			attempt(&receipt.Receipt{Phase: receipt.PhasePurging, Account: &receipt.AccountSum{Lines: 1}, Steps: []receipt.Step{{Counted: true, InFlight: 2}}}, true, deleted(0)[:1]...),
			attempt(done(receipt.Step{Counted: true, Verified: true}), true, look(receipt.Line{Kind: receipt.LineLeft, Pass: 1})...)}, evidence.LevelUnproven, "NotFound"},
		"interrupted": {plan.Enforce, plan.EraseDelete, []receipt.ErasureAttempt{
			attempt(&receipt.Receipt{Phase: receipt.PhasePurging, Reason: receipt.Interrupted, Account: &receipt.AccountSum{Lines: 4}, Steps: []receipt.Step{{Counted: true, Matched: 5, Deleted: 2}}},
				true, deleted(2)[:4]...)}, evidence.LevelIncomplete, "Failed"},
		"out of reach": {plan.Enforce, plan.EraseDelete, []receipt.ErasureAttempt{attempt(&receipt.Receipt{Phase: receipt.PhaseConnecting, Reason: receipt.Unreachable}, true)},
			evidence.LevelNotDone, "Unreachable"},
		"searched, and found": {plan.Simulate, plan.EraseDelete, []receipt.ErasureAttempt{attempt(done(receipt.Step{Counted: true, Matched: 2}), true, deleted(2)[:2]...)}, evidence.LevelNotDone, "Simulated"},
		"searched, and not found": {plan.Simulate, plan.EraseDelete, []receipt.ErasureAttempt{attempt(done(receipt.Step{Counted: true}), true,
			look(receipt.Line{Kind: receipt.LineFinished})...)}, evidence.LevelNotDone, "Simulated"},
		"searched, and the account is lost": {plan.Simulate, plan.EraseDelete, []receipt.ErasureAttempt{attempt(done(receipt.Step{Counted: true, Matched: 2}), false)},
			evidence.LevelNotDone, "Failed"},
		"searched, and nobody knows": {plan.Simulate, plan.EraseDelete, []receipt.ErasureAttempt{attempt(nil, false)}, evidence.LevelNotDone, "Failed"},
		"a search that has deleted":  {plan.Simulate, plan.EraseDelete, []receipt.ErasureAttempt{attempt(done(two), true, deleted(2)...)}, evidence.LevelIncomplete, "Failed"},
	} {
		t.Run(name, func(t *testing.T) {
			p := &plan.Plan{Kind: plan.ErasureKind, Mode: tc.mode, Erasure: &plan.Erasure{
				Requests: []plan.Request{{}, {}}, Steps: []plan.ErasureStep{{Dataset: "customer", Action: tc.action}},
			}}
			mode := evidence.ModeEnforce
			if tc.mode == plan.Simulate {
				mode = evidence.ModeSimulate
			}
			ds := &retentionv1.Datastore{Spec: retentionv1.DatastoreSpec{PostgreSQL: &retentionv1.PostgreSQL{}}}
			out := evidence.Predicate{Kind: evidence.Result, Key: "d/run/job", Time: began, RetainUntil: began.AddDate(7, 0, 0), Operator: evidence.Operator{Version: "test"},
				Closes: &evidence.Reference{Kind: evidence.Intent, Digest: evidence.DigestOf(nil)}, Run: &evidence.Run{Name: "run", Mode: mode},
				Datastores: []evidence.Datastore{{Object: evidence.Object{Name: "shop"}, BackupRetention: "P35D"}}}
			end := ending{plan: p, tries: tc.attempts, total: receipt.MergeErasure(p, tc.attempts)}
			end.tell(&out, ds)
			if out.Level != tc.want || out.Outcome != tc.outcome || out.Datastores[0].Level != tc.want {
				t.Errorf("%s, %s: %+v", out.Level, out.Outcome, out.Datastores[0])
			}
			if l := out.Level; (l == evidence.LevelNotDone || l == evidence.LevelNothingFound) && (out.GoneBy != nil || out.LogicallyDeletedTime != nil || out.Datastores[0].GoneBy != nil || hasBackups(out.NotCovered)) {
				t.Errorf("%s, and what was deleted is gone by %v: %+v", l, out.GoneBy, out.NotCovered)
			}
			s := evidence.Statement{Type: evidence.StatementType, PredicateType: evidence.PredicateType, Predicate: out, Subject: []evidence.Subject{evidence.SHA256("plan/job", nil)}}
			if err := s.Validate(); err != nil {
				t.Error(err)
			}
			if _, err := erasure.Sound(out, s.Subject); err != nil {
				t.Error(err)
			}
			for _, finish := range []func(*evidence.Predicate, string){notRun, lost} {
				base := resultOf(&evidence.Logged{Statement: s})
				base.Kind, base.Key, base.Closes, base.Time, base.RetainUntil, base.Operator = out.Kind, out.Key, out.Closes, out.Time, out.RetainUntil, out.Operator
				for i := range base.Datastores[0].Datasets {
					base.Datastores[0].Datasets[i] = stepFacts(&p.Erasure.Steps[i], ds)
				}
				finish(&base, erasure.ReasonAccountLost)
				s := s
				if s.Predicate = base; s.Validate() != nil || base.Level == evidence.LevelDeleted {
					t.Error(base.Level, s.Validate())
				}
			}
		})
	}
}
