// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/facts"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/receipt"
)

// anyAttempt is an attempt with whatever a Pod may leave for a plan of two steps.
func anyAttempt(rnd *rand.Rand, at time.Time) receipt.Attempt {
	one := func(n int) bool { return rnd.IntN(n) == 0 }
	a := receipt.Attempt{Started: at, Finished: at.Add(time.Minute), ExitCode: ptr.To(int32(rnd.IntN(6)))}
	if one(8) {
		a.Finished = time.Time{}
	}
	if one(10) {
		a.Unreadable = true
		return a
	}
	phases := []receipt.Phase{receipt.PhaseConnecting, receipt.PhaseCounting, receipt.PhasePurging, receipt.PhaseVerifying, receipt.PhaseFinished}
	reasons := []receipt.Reason{"", receipt.Succeeded, receipt.Succeeded, receipt.Succeeded, receipt.Incomplete, receipt.Interrupted, receipt.GuardrailExceeded,
		receipt.Unreachable, receipt.InternalError, receipt.HoldUnreadable}
	r := &receipt.Receipt{Phase: phases[rnd.IntN(len(phases))], Reason: reasons[rnd.IntN(len(reasons))]}
	small := func() int64 { return int64(max(0, rnd.IntN(5)-2)) }
	for i := range 2 {
		if one(4) {
			continue
		}
		s := receipt.Step{Index: i, Counted: !one(5), Records: 100, Matched: small(), Retained: small(), Held: small(), Undated: small(),
			Deleted: small(), Verified: !one(3)}
		if i == 1 {
			s.Deleted, s.Anonymized = 0, s.Deleted
		}
		if one(6) {
			s.InFlight = small()
		}
		if s.Verified && one(3) {
			s.Remaining = small()
			s.Blocked = min(s.Remaining, small())
		}
		if one(5) {
			s.Reason = []receipt.Reason{receipt.PermissionDenied, receipt.LockTimeout, receipt.NotStarted, receipt.Interrupted}[rnd.IntN(4)]
		}
		r.Steps = append(r.Steps, s)
	}
	a.Receipt = r
	return a
}

// TestALevelIsNeverBetterThanWhatHappened reckons the Result of all kinds of attempts, and compares it with what they have done.
func TestALevelIsNeverBetterThanWhatHappened(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 4)) //nolint:gosec // repeatable
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	levels := map[evidence.Level]int{}
	for range 50_000 {
		s := &scope{policy: &retentionv1.RetentionPolicy{}, now: now.Add(time.Hour)}
		s.policy.Name, s.policy.UID = "p", "u"
		mode := []retentionv1.Mode{retentionv1.ModeEnforce, retentionv1.ModeEnforce, retentionv1.ModeSimulate}[rnd.IntN(3)]
		s.policy.Status.ActiveRun = &retentionv1.Run{Name: "p-1", Mode: mode, Slot: metav1.NewTime(now), StartTime: metav1.NewTime(now)}
		d := &retentionv1.RunDatastore{Name: "shop", UID: "d", Job: "j", PlanDigest: "sha256:00", State: retentionv1.RunReleased, Datasets: []retentionv1.RunDataset{
			{Name: "events", Rule: "a", Action: retentionv1.ActionDelete, Cutoff: metav1.NewMicroTime(now)},
			{Name: "visits", Rule: "b", Action: retentionv1.ActionAnonymize, Cutoff: metav1.NewMicroTime(now), NotStarted: ptr.To(int64(0))},
		}}
		if rnd.IntN(10) == 0 {
			d.Excluded = []retentionv1.RunExclusion{{Name: "logs", Rule: "c", Reason: "NoTimestampField", Message: "it has none"}}
		}
		intent := intentFor(s, d)
		var of account
		for i := range rnd.IntN(4) {
			of.attempts = append(of.attempts, anyAttempt(rnd, now.Add(time.Duration(i)*time.Minute)))
		}
		total := receipt.Merge(planOf(intent), of.attempts)
		of.total = &total
		was := d.DeepCopy()
		record(d, of.total)
		p := resultOf(s, was, d, intent, of)
		p.Datastores[0].BackupRetention = "P30D"
		expire(&p, of, s)
		levels[p.Level]++
		checkResult(t, &p, &of, now)
		if t.Failed() {
			t.Fatalf("attempts %+v", of.attempts)
		}
	}
	for _, l := range evidence.Levels[:7] {
		if levels[l] == 0 {
			t.Errorf("no case of level %s: %v", l, levels)
		}
	}
}

func intentFor(s *scope, d *retentionv1.RunDatastore) *evidence.Logged {
	ds := facts.Datastore(nil, nil, d.PlanDigest, d.Job)
	ds.Name = d.Name
	ds.Datasets, ds.Excluded = intended(d, prospect{}), excluded(d, nil)
	return &evidence.Logged{
		Reference: evidence.Reference{Kind: evidence.Intent, Index: 7, Digest: evidence.DigestOf(nil)},
		Statement: evidence.Statement{Predicate: evidence.Predicate{
			Kind: evidence.Intent, Key: "k", Policy: policyOf(s.policy), Run: runFacts(s.run(), d), Datastores: []evidence.Datastore{ds}, NotCovered: foreseen(&ds),
		}},
	}
}

// checkResult compares a Result with what the attempts say that they have done.
func checkResult(t *testing.T, p *evidence.Predicate, of *account, now time.Time) {
	t.Helper()
	var deleted, anonymized int64
	anyChange := slices.ContainsFunc(of.attempts, changed)
	unreadable := slices.ContainsFunc(of.attempts, func(a receipt.Attempt) bool { return a.Unreadable })
	for _, a := range of.attempts {
		if a.Receipt != nil {
			for _, s := range a.Receipt.Steps {
				deleted += s.Deleted
				anonymized += s.Anonymized
			}
		}
	}
	ds := &p.Datastores[0]
	if got := ptr.Deref(ds.Datasets[0].Deleted, 0) + ptr.Deref(ds.Datasets[1].Anonymized, 0); got != deleted+anonymized {
		t.Errorf("%d in the statement, %d deleted and %d anonymized", got, deleted, anonymized)
	}
	whole := func(of evidence.Dataset) bool { return of.Remaining != nil && *of.Remaining == 0 }
	kept := func(of evidence.Dataset) bool { return ptr.Deref(of.Held, 0)+ptr.Deref(of.Retained, 0) > 0 }
	ok := true
	switch p.Level {
	case evidence.LevelDeleted:
		ok = deleted > 0 && anonymized == 0 && !slices.ContainsFunc(ds.Datasets, func(e evidence.Dataset) bool { return !whole(e) || kept(e) })
	case evidence.LevelAnonymized:
		ok = anonymized > 0 && !slices.ContainsFunc(ds.Datasets, func(e evidence.Dataset) bool { return !whole(e) || kept(e) })
	case evidence.LevelNothingFound:
		ok = !anyChange && len(of.attempts) > 0
	case evidence.LevelRetained:
		ok = !slices.ContainsFunc(ds.Datasets, func(e evidence.Dataset) bool { return !whole(e) }) && slices.ContainsFunc(ds.Datasets, kept)
	case evidence.LevelNotDone:
		ok = !anyChange && p.LogicallyDeletedTime == nil
	case evidence.LevelIncomplete, evidence.LevelUnproven:
	case evidence.LevelNone:
		ok = false
	}
	good := p.Level == evidence.LevelDeleted || p.Level == evidence.LevelAnonymized || p.Level == evidence.LevelNothingFound || p.Level == evidence.LevelRetained
	if !ok || unreadable && p.Level != evidence.LevelUnproven || good && (p.Outcome != "Succeeded" || len(ds.Excluded) > 0) {
		t.Errorf("level %s, outcome %s, datasets %+v", p.Level, p.Outcome, ds.Datasets)
	}
	if anyChange != (p.LogicallyDeletedTime != nil) || anyChange != (p.GoneBy != nil) {
		t.Errorf("something changed: %t; deleted %v, gone by %v", anyChange, p.LogicallyDeletedTime, p.GoneBy)
	}
	p.Operator.Version, p.Time, p.RetainUntil = "test", now, now.AddDate(7, 0, 0)
	facts.Fit(p)
	s := evidence.Statement{Type: evidence.StatementType, PredicateType: evidence.PredicateType, Subject: []evidence.Subject{evidence.SHA256("plan/j", nil)}, Predicate: *p}
	s.Normalize()
	if err := s.Validate(); err != nil {
		t.Errorf("it is not valid: %v", err)
	}
}
