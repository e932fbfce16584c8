// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/receipt"
)

// observationGrace is how long after the next slot the latest look still counts: a run needs time to start and to end.
// It never exceeds one schedule interval.
const observationGrace = time.Hour

// verdict is a condition's status, reason and message.
type verdict struct {
	status  metav1.ConditionStatus
	reason  string
	message string
}

func unknown(reason, format string, args ...any) verdict {
	return verdict{metav1.ConditionUnknown, reason, fmt.Sprintf(format, args...)}
}

// complianceInput is all that the promise is judged by.
type complianceInput struct {
	lastRun *retentionv1.Run
	// generation is the policy's, now.
	generation int64
	datastores []retentionv1.Datastore
	timing     timing
	now        time.Time
}

// judgeCompliance says whether some selected datastore holds a record past its deadline beyond one schedule interval, as
// far as the latest run that ended tells. What was not looked at, or cannot be known, is Unknown and never True.
func judgeCompliance(in complianceInput) verdict {
	if in.lastRun == nil {
		return unknown(retentionv1.ReasonNeverRun, "No run has ended yet")
	}
	slot := in.lastRun.Slot.Time
	var overdue, undated int64
	var notObserved string
	for i := range in.datastores {
		name := in.datastores[i].Name
		d := findDatastore(in.lastRun, name)
		if d == nil || d.UID != string(in.datastores[i].UID) {
			notObserved = fmt.Sprintf("Datastore %s was not part of the latest run", name)
			continue
		}
		if d.Generation != in.datastores[i].Generation {
			notObserved = fmt.Sprintf("Datastore %s has changed since the latest run", name)
		}
		if len(d.Datasets) == 0 && d.Outcome != retentionv1.OutcomeSucceeded && d.Outcome != retentionv1.OutcomeSimulated {
			notObserved = fmt.Sprintf("Datastore %s was not looked at: %s", name, d.Reason)
		}
		for _, ds := range d.Datasets {
			left, known := leftover(ds)
			switch {
			case !known:
				notObserved = fmt.Sprintf("Dataset %s of %s was not looked at: %s", ds.Name, name, ds.Reason)
			case left > 0 && overdueFor(ds, slot, in.now) > in.timing.schedule.Interval(slot):
				overdue += left
			}
			undated += ptr.Deref(ds.Undated, 0) + ptr.Deref(ds.Invalid, 0)
		}
	}
	problem, notApplicable := problemOf(in.lastRun)
	switch {
	case overdue > 0:
		return verdict{metav1.ConditionFalse, retentionv1.ReasonOverdueRecords,
			fmt.Sprintf("%d records were past their deadline at %s", overdue, slot.UTC().Format(time.RFC3339))}
	case notObserved != "":
		return unknown(retentionv1.ReasonNotObserved, "%s", notObserved)
	case notApplicable:
		return unknown(retentionv1.ReasonRulesNotApplicable, "%s", problem)
	case in.lastRun.PolicyGeneration != in.generation:
		return unknown(retentionv1.ReasonNotObserved, "The policy has changed since the latest run")
	case in.now.After(observationLimit(in.timing, slot)), believable(&slot, in.now) == nil:
		return unknown(retentionv1.ReasonObservationTooOld, "The latest look was for %s", slot.UTC().Format(time.RFC3339))
	case undated > 0:
		return unknown(retentionv1.ReasonUndatedRecords,
			"%d records have no usable timestamp: they are never deleted, and whether they are past a deadline cannot be known", undated)
	}
	return verdict{metav1.ConditionTrue, retentionv1.ReasonNoOverdueRecords,
		fmt.Sprintf("No record was past its deadline at %s", slot.UTC().Format(time.RFC3339))}
}

// observationLimit is how long a look for slot counts as the latest.
func observationLimit(t timing, slot time.Time) time.Time {
	next := t.schedule.Next(slot)
	return next.Add(min(observationGrace, next.Sub(slot)))
}

// leftover is how many due records the latest look left in a dataset: what verification found, or, where nothing was to
// be changed, what was counted.
func leftover(ds retentionv1.RunDataset) (records int64, known bool) {
	switch {
	case ds.Remaining != nil:
		return *ds.Remaining, true
	case ds.Matched != nil && unchanged[ds.Outcome]:
		return *ds.Matched, true
	}
	return 0, false
}

// unchanged are the outcomes of a dataset in which nothing was to be changed: what was counted is what is there.
var unchanged = map[string]bool{
	string(receipt.OutcomeSimulated):        true,
	string(receipt.OutcomeAwaitingApproval): true,
}

// overdueFor is how long the oldest leftover record has been past its deadline. A record that started at the cutoff was
// due at the slot exactly. Without a time for the oldest record it is taken to be overdue for ever.
func overdueFor(ds retentionv1.RunDataset, slot, now time.Time) time.Duration {
	if ds.OldestRemainingTime == nil {
		return time.Duration(1<<63 - 1)
	}
	return ds.Cutoff.Sub(ds.OldestRemainingTime.Time) + now.Sub(slot)
}

func findDatastore(run *retentionv1.Run, name string) *retentionv1.RunDatastore {
	for i := range run.Datastores {
		if run.Datastores[i].Name == name {
			return &run.Datastores[i]
		}
	}
	return nil
}
