// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"context"
	"fmt"
	"slices"
	"time"

	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/facts"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/receipt"
)

// account is what came of an execution. The zero value is that of one that never began.
type account struct {
	// total adds up attempts; it is nil for an execution that never began, or whose account is lost.
	total    *receipt.Total
	attempts []receipt.Attempt
	// receipts are the digests of what the Pods have left, images of what they ran.
	receipts []evidence.Subject
	images   []string
	// lost says that nobody knows what was done.
	lost bool
}

// close states what came of an execution, as its entry d has ended, and refers to it there. was is the entry before.
func (r *Reconciler) close(ctx context.Context, s *scope, was, d *retentionv1.RunDatastore, intent *evidence.Logged, of account) error {
	ds, err := r.datastoreOf(ctx, s, d)
	if err != nil {
		return err
	}
	p := resultOf(s, was, d, intent, of)
	if ds != nil {
		p.Datastores[0].BackupRetention = facts.Datastore(ds, nil, "", "").BackupRetention // as it is now, at the deletion
	}
	expire(&p, of, s)
	logged, err := r.state(ctx, p, append(slices.Clone(intent.Statement.Subject), of.receipts...))
	if err != nil {
		return err
	}
	d.Intent, d.Evidence = facts.Reference(intent), facts.Reference(logged)
	return nil
}

// resultOf is the Result of an execution: what its Intent says, and what came of that. Figures are those of the receipts.
func resultOf(s *scope, was, d *retentionv1.RunDatastore, intent *evidence.Logged, of account) evidence.Predicate {
	before := &intent.Statement.Predicate
	p := evidence.Predicate{
		Kind: evidence.Result, Key: before.Key, Closes: ptr.To(intent.Reference), Policy: before.Policy, Run: before.Run,
		Operator: evidence.Operator{ImageDigests: of.images},
	}
	var ds evidence.Datastore
	if len(before.Datastores) > 0 {
		ds = before.Datastores[0]
	}
	ds.Datasets = slices.Clone(ds.Datasets)
	ds.Outcome, ds.Reason, ds.Message = string(d.Outcome), d.Reason, d.Message
	ds.StartTime, ds.CompletionTime = facts.Time(d.StartTime), facts.Time(d.CompletionTime)
	ds.ServerVersion, ds.ClockSkewMilliseconds = d.ServerVersion, d.ClockSkewMilliseconds
	ds.Attempts = facts.Attempts(of.attempts)
	ds.Holds = slices.Clone(ds.Holds)
	for _, name := range d.Holds { // that came while the Job was at work, and which its plan does not touch
		if !slices.ContainsFunc(ds.Holds, func(h evidence.Hold) bool { return h.Name == name }) {
			ds.Holds = append(ds.Holds, evidence.Hold{Object: evidence.Object{Namespace: s.policy.Namespace, Name: name}})
		}
	}
	for i := range ds.Datasets {
		fill(&ds, i, was, d, of)
	}
	if of.total != nil && d.Outcome == retentionv1.OutcomeSucceeded {
		ds.Verified = ptr.To(true) // an outcome of Succeeded needs a count of zero in every dataset
	}
	ds.Level = levelOf(&ds, of)
	p.Level, p.Outcome, p.Message = ds.Level, ds.Outcome, ds.Message
	p.NotCovered = slices.DeleteFunc(slices.Clone(before.NotCovered), func(g evidence.Gap) bool {
		return g.Kind == evidence.GapEngine || g.Kind == evidence.GapBackup // they are about what was deleted
	})
	p.NotCovered = append(p.NotCovered, undated(&ds)...)
	p.Datastores = []evidence.Datastore{ds}
	return p
}

// fill writes what was done in the dataset at place i.
func fill(ds *evidence.Datastore, i int, was, d *retentionv1.RunDatastore, of account) {
	e := &ds.Datasets[i]
	if of.total == nil || i >= len(of.total.Steps) {
		e.Outcome, e.Reason = string(receipt.StepNotRun), d.Reason
		if of.lost {
			e.Outcome, e.Reason, e.Counting = string(receipt.StepFailed), reasonReceiptLost, string(retentionv1.CountingAtLeast)
		}
		return
	}
	step := &of.total.Steps[i]
	e.Outcome, e.Reason = string(step.Outcome), string(step.Reason)
	e.Counting, e.CountingMethod = string(retentionv1.CountingExact), evidence.CountedRows
	if !step.Exact {
		e.Counting = string(retentionv1.CountingAtLeast)
	}
	if step.Counted {
		e.Records, e.Matched, e.Retained, e.Invalid = ptr.To(step.Records), ptr.To(step.Matched), ptr.To(step.Retained), ptr.To(step.Invalid)
		if step.Held > 0 || len(ds.Holds) > 0 {
			e.Held = ptr.To(step.Held)
		}
		if i < len(was.Datasets) && was.Datasets[i].NotStarted != nil { // set by skeleton
			e.NotStarted = ptr.To(step.Undated)
		} else {
			e.Undated = ptr.To(step.Undated)
		}
	}
	if e.Method == evidence.MethodAnonymize {
		e.Anonymized = ptr.To(step.Anonymized)
	} else {
		e.Deleted = ptr.To(step.Deleted)
	}
	e.DroppedPartitions, e.Constraints = step.Partitions, step.Constraints
	if step.Verified {
		e.Remaining, e.Blocked, e.Verification = ptr.To(step.Remaining), ptr.To(step.Blocked), evidence.VerifiedRecount
	}
}

// levelOf is how much the Result of an execution proves: what its datasets bear out, and never more than its outcome says.
func levelOf(ds *evidence.Datastore, of account) evidence.Level {
	if of.lost || of.total != nil && unaccountable(of.total) {
		return evidence.LevelUnproven
	}
	if of.total == nil {
		return evidence.LevelNotDone
	}
	var parts []evidence.Level
	for _, e := range ds.Datasets {
		parts = append(parts, evidence.OfRetention(e.Outcome, e))
	}
	level := evidence.Combine(parts...)
	whole := retentionv1.Outcome(ds.Outcome) == retentionv1.OutcomeSucceeded && !slices.ContainsFunc(ds.Excluded, isObstacle)
	switch level {
	case evidence.LevelDeleted, evidence.LevelAnonymized, evidence.LevelNothingFound, evidence.LevelRetained:
		if !whole {
			level = evidence.LevelIncomplete
		}
	case evidence.LevelIncomplete, evidence.LevelUnproven, evidence.LevelNotDone, evidence.LevelNone:
	}
	if level == evidence.LevelIncomplete && ds.Outcome != string(retentionv1.OutcomeIncomplete) &&
		ds.Outcome != string(retentionv1.OutcomeSucceeded) && !slices.ContainsFunc(of.attempts, changed) {
		return evidence.LevelNotDone // stopped, or without success, before any change
	}
	return level
}

// unaccountable says whether more may have been done than the receipts tell: one cannot be read, or a batch was in flight and
// nothing else shows that it, or anybody, deleted what was due.
func unaccountable(t *receipt.Total) bool {
	return t.Unreadable > 0 || slices.ContainsFunc(t.Steps, func(s receipt.StepTotal) bool {
		return !s.Exact && s.Deleted+s.Anonymized == 0 && (s.Outcome == receipt.StepDeleted || s.Outcome == receipt.StepAnonymized)
	})
}

// changed says whether an attempt changed anything, or may have.
func changed(a receipt.Attempt) bool {
	return a.Unreadable || a.Receipt != nil && slices.ContainsFunc(a.Receipt.Steps, func(s receipt.Step) bool {
		return s.Deleted+s.Anonymized+int64(s.Partitions)+s.InFlight > 0
	})
}

// lastChange is the end of the last attempt that changed anything, or may have; now if nobody knows when that was. It is zero
// if there is none.
func lastChange(attempts []receipt.Attempt, now time.Time) time.Time {
	var last time.Time
	for _, a := range attempts {
		if !changed(a) {
			continue
		}
		end := a.Finished
		if end.IsZero() {
			end = now
		}
		if end.After(last) {
			last = end
		}
	}
	return last
}

// expire writes when what was deleted could no longer be read, and when the last backup is gone that may hold it.
func expire(p *evidence.Predicate, of account, s *scope) {
	ds := &p.Datastores[0]
	end := lastChange(of.attempts, s.now)
	if end.IsZero() || !mayHaveChanged[p.Level] {
		return
	}
	p.LogicallyDeletedTime = facts.At(end)
	ds.GoneBy = facts.GoneBy(end, ds.BackupRetention, s.timing.zone)
	p.GoneBy = ds.GoneBy
	p.NotCovered = append(append(p.NotCovered, facts.Engine(ds)), facts.Backups(ds)...)
}

// mayHaveChanged are the levels of statements about executions that changed something, or may have.
var mayHaveChanged = map[evidence.Level]bool{
	evidence.LevelDeleted: true, evidence.LevelAnonymized: true, evidence.LevelRetained: true,
	evidence.LevelIncomplete: true, evidence.LevelUnproven: true,
}

// undated are the records of which nobody can say whether they are due.
func undated(ds *evidence.Datastore) []evidence.Gap {
	var out []evidence.Gap
	for _, e := range ds.Datasets {
		if n := ptr.Deref(e.Undated, 0) + ptr.Deref(e.Invalid, 0); n > 0 {
			out = append(out, evidence.Gap{Kind: evidence.GapDataset, Name: ds.Name + "/" + e.Name, Reason: retentionv1.ReasonUndatedRecords,
				Message: fmt.Sprintf("%d records have no usable timestamp; they are never deleted", n)})
		}
	}
	return out
}

// planOf is as much of the plan as adding up needs, from what was stated before the Job was released.
func planOf(intent *evidence.Logged) *plan.Plan {
	before := &intent.Statement.Predicate
	p := &plan.Plan{Kind: plan.Retention, Mode: plan.Mode(before.Run.Mode)}
	for _, ds := range before.Datastores[0].Datasets {
		p.Steps = append(p.Steps, plan.Step{Dataset: ds.Name, Rule: ds.Rule, Action: plan.Action(ds.Method)})
	}
	return p
}
