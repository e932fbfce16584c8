// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/schedule"
)

var slot = time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)

func daily(t *testing.T) timing {
	t.Helper()
	s, err := schedule.Parse("0 3 * * *", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	return timing{zone: time.UTC, schedule: s}
}

func dataset(change func(*retentionv1.RunDataset)) retentionv1.RunDataset {
	ds := retentionv1.RunDataset{
		Name: "events", Rule: "old", Action: retentionv1.ActionDelete, Outcome: "Deleted",
		Cutoff:  metav1.NewMicroTime(slot.AddDate(0, 0, -90)),
		Records: ptr.To(int64(100)), Matched: ptr.To(int64(10)), Deleted: ptr.To(int64(10)), Remaining: ptr.To(int64(0)),
	}
	if change != nil {
		change(&ds)
	}
	return ds
}

func runOf(outcome retentionv1.Outcome, datasets ...retentionv1.RunDataset) *retentionv1.Run {
	return &retentionv1.Run{
		Name: "p-1", Slot: metav1.NewTime(slot), Mode: retentionv1.ModeEnforce, Outcome: outcome,
		Datastores: []retentionv1.RunDatastore{{Name: "shop", State: retentionv1.RunFinished, Outcome: outcome, Datasets: datasets}},
	}
}

func TestJudgeCompliance(t *testing.T) {
	shop := retentionv1.Datastore{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}
	crm := retentionv1.Datastore{ObjectMeta: metav1.ObjectMeta{Name: "crm"}}
	remaining := func(n int64, oldest *time.Time) func(*retentionv1.RunDataset) {
		return func(ds *retentionv1.RunDataset) {
			ds.Remaining = ptr.To(n)
			if oldest != nil {
				ds.OldestRemainingTime = ptr.To(metav1.NewTime(*oldest))
			}
		}
	}
	cutoff := slot.AddDate(0, 0, -90)
	for name, tc := range map[string]struct {
		run        *retentionv1.Run
		datastores []retentionv1.Datastore
		after      time.Duration
		wantStatus metav1.ConditionStatus
		wantReason string
	}{
		"no run has ended":                            {nil, []retentionv1.Datastore{shop}, time.Minute, metav1.ConditionUnknown, retentionv1.ReasonNeverRun},
		"all that was due is gone":                    {runOf(retentionv1.OutcomeSucceeded, dataset(nil)), []retentionv1.Datastore{shop}, time.Minute, metav1.ConditionTrue, retentionv1.ReasonNoOverdueRecords},
		"the next run is late by less than the grace": {runOf(retentionv1.OutcomeSucceeded, dataset(nil)), []retentionv1.Datastore{shop}, 25*time.Hour - time.Second, metav1.ConditionTrue, retentionv1.ReasonNoOverdueRecords},
		"the next run never came":                     {runOf(retentionv1.OutcomeSucceeded, dataset(nil)), []retentionv1.Datastore{shop}, 25*time.Hour + time.Second, metav1.ConditionUnknown, retentionv1.ReasonObservationTooOld},
		"a datastore was added since":                 {runOf(retentionv1.OutcomeSucceeded, dataset(nil)), []retentionv1.Datastore{crm, shop}, time.Minute, metav1.ConditionUnknown, retentionv1.ReasonNotObserved},
		"old records remain":                          {runOf(retentionv1.OutcomeIncomplete, dataset(remaining(3, ptr.To(cutoff.Add(-48*time.Hour))))), []retentionv1.Datastore{shop}, time.Minute, metav1.ConditionFalse, retentionv1.ReasonOverdueRecords},
		"records remain, age unknown":                 {runOf(retentionv1.OutcomeIncomplete, dataset(remaining(3, nil))), []retentionv1.Datastore{shop}, time.Minute, metav1.ConditionFalse, retentionv1.ReasonOverdueRecords},
		"what remains is within one interval":         {runOf(retentionv1.OutcomeIncomplete, dataset(remaining(3, ptr.To(cutoff.Add(-time.Hour))))), []retentionv1.Datastore{shop}, time.Minute, metav1.ConditionTrue, retentionv1.ReasonNoOverdueRecords},
		"what remains has grown too old":              {runOf(retentionv1.OutcomeIncomplete, dataset(remaining(3, ptr.To(cutoff.Add(-time.Hour))))), []retentionv1.Datastore{shop}, 24 * time.Hour, metav1.ConditionFalse, retentionv1.ReasonOverdueRecords},
		"a datastore was made anew": {runOf(retentionv1.OutcomeSucceeded, dataset(nil)),
			[]retentionv1.Datastore{{ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "another"}}}, time.Minute, metav1.ConditionUnknown, retentionv1.ReasonNotObserved},
		"the data map has changed since": {runOf(retentionv1.OutcomeSucceeded, dataset(nil)),
			[]retentionv1.Datastore{{ObjectMeta: metav1.ObjectMeta{Name: "shop", Generation: 2}}}, time.Minute, metav1.ConditionUnknown, retentionv1.ReasonNotObserved},
		"the policy has changed since": {func() *retentionv1.Run {
			r := runOf(retentionv1.OutcomeSucceeded, dataset(nil))
			r.PolicyGeneration = 7
			return r
		}(), []retentionv1.Datastore{shop}, time.Minute, metav1.ConditionUnknown, retentionv1.ReasonNotObserved},
		"a wrong clock made the run": {runOf(retentionv1.OutcomeSucceeded, dataset(nil)), []retentionv1.Datastore{shop}, -48 * time.Hour,
			metav1.ConditionUnknown, retentionv1.ReasonObservationTooOld},
		"the datastore was unreachable": {runOf(retentionv1.OutcomeUnreachable), []retentionv1.Datastore{shop}, time.Minute, metav1.ConditionUnknown, retentionv1.ReasonNotObserved},
		"a step was never verified": {runOf(retentionv1.OutcomeFailed, dataset(func(ds *retentionv1.RunDataset) { ds.Remaining = nil; ds.Outcome = "Failed" })),
			[]retentionv1.Datastore{shop}, time.Minute, metav1.ConditionUnknown, retentionv1.ReasonNotObserved},
		"a failed step that deleted nothing is not an observation": {runOf(retentionv1.OutcomeFailed, dataset(func(ds *retentionv1.RunDataset) {
			ds.Remaining, ds.Deleted = nil, nil
			ds.Outcome = "Failed"
			ds.Matched = nil
		})),
			[]retentionv1.Datastore{shop}, time.Minute, metav1.ConditionUnknown, retentionv1.ReasonNotObserved},
		"a simulation found due records": {runOf(retentionv1.OutcomeSimulated, dataset(func(ds *retentionv1.RunDataset) { ds.Remaining, ds.Deleted = nil, nil; ds.Outcome = "Simulated" })),
			[]retentionv1.Datastore{shop}, time.Minute, metav1.ConditionFalse, retentionv1.ReasonOverdueRecords},
		"a simulation found none": {runOf(retentionv1.OutcomeSimulated, dataset(func(ds *retentionv1.RunDataset) {
			ds.Remaining, ds.Deleted, ds.Matched = nil, nil, ptr.To(int64(0))
			ds.Outcome = "Simulated"
		})),
			[]retentionv1.Datastore{shop}, time.Minute, metav1.ConditionTrue, retentionv1.ReasonNoOverdueRecords},
		"a guardrail stopped it": {runOf(retentionv1.OutcomeAwaitingApproval, dataset(func(ds *retentionv1.RunDataset) { ds.Remaining, ds.Deleted = nil, nil; ds.Outcome = "AwaitingApproval" })),
			[]retentionv1.Datastore{shop}, time.Minute, metav1.ConditionFalse, retentionv1.ReasonOverdueRecords},
		"records without a timestamp":            {runOf(retentionv1.OutcomeSucceeded, dataset(func(ds *retentionv1.RunDataset) { ds.Undated = ptr.To(int64(1)) })), []retentionv1.Datastore{shop}, time.Minute, metav1.ConditionUnknown, retentionv1.ReasonUndatedRecords},
		"records with a placeholder":             {runOf(retentionv1.OutcomeSucceeded, dataset(func(ds *retentionv1.RunDataset) { ds.Invalid = ptr.To(int64(1)) })), []retentionv1.Datastore{shop}, time.Minute, metav1.ConditionUnknown, retentionv1.ReasonUndatedRecords},
		"an event that has not happened is fine": {runOf(retentionv1.OutcomeSucceeded, dataset(func(ds *retentionv1.RunDataset) { ds.NotStarted = ptr.To(int64(5)) })), []retentionv1.Datastore{shop}, time.Minute, metav1.ConditionTrue, retentionv1.ReasonNoOverdueRecords},
		"a rule could not be applied": {func() *retentionv1.Run {
			r := runOf(retentionv1.OutcomeSucceeded, dataset(nil))
			r.Datastores[0].Excluded = []retentionv1.RunExclusion{{Name: "log", Rule: "old", Reason: "NoTimestampField", Message: "set timestampField"}}
			return r
		}(), []retentionv1.Datastore{shop}, time.Minute, metav1.ConditionUnknown, retentionv1.ReasonRulesNotApplicable},
		"a rule fits nothing anywhere": {func() *retentionv1.Run {
			r := runOf(retentionv1.OutcomeSucceeded, dataset(nil))
			r.Datastores[0].Excluded = []retentionv1.RunExclusion{{Rule: "typo", Reason: "RuleMatchesNothing", Message: "nothing here is called custmer"}}
			return r
		}(), []retentionv1.Datastore{shop}, time.Minute, metav1.ConditionUnknown, retentionv1.ReasonRulesNotApplicable},
		"a rule that does not cover every dataset is fine": {func() *retentionv1.Run {
			r := runOf(retentionv1.OutcomeSucceeded, dataset(nil))
			r.Datastores[0].Excluded = []retentionv1.RunExclusion{{Name: "log", Reason: "NoRule"}}
			return r
		}(), []retentionv1.Datastore{shop}, time.Minute, metav1.ConditionTrue, retentionv1.ReasonNoOverdueRecords},
	} {
		t.Run(name, func(t *testing.T) {
			got := judgeCompliance(complianceInput{lastRun: tc.run, datastores: tc.datastores, timing: daily(t), now: slot.Add(tc.after)})
			if got.status != tc.wantStatus || got.reason != tc.wantReason {
				t.Errorf("got %s/%s (%s), want %s/%s", got.status, got.reason, got.message, tc.wantStatus, tc.wantReason)
			}
		})
	}
}
