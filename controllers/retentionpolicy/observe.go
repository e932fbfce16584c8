// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"fmt"
	"math"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/metrics"
)

// event is what a person is told once the status that it is about has been written.
type event struct {
	kind    string // corev1.EventTypeNormal or EventTypeWarning
	reason  string
	action  string
	message string
}

// Reasons of events. A run that ended has its outcome, prefixed by Run, as reason.
const (
	eventRunStarted     = "RunStarted"
	eventMissedSchedule = "MissedSchedule"
	eventNotCompliant   = "NotCompliant"
	eventCompliant      = "Compliant"
	eventInvalidSpec    = "InvalidSpec"
	eventLedgerDown     = "LedgerUnavailable"
	eventLedgerBack     = "LedgerAvailable"
)

// changes says which events the step from one status to the next deserves.
func changes(before, after *retentionv1.RetentionPolicy) []event {
	var events []event
	was, is := &before.Status, &after.Status
	if is.LastMissedTime != nil && !is.LastMissedTime.Equal(was.LastMissedTime) {
		events = append(events, event{corev1.EventTypeWarning, eventMissedSchedule, "Schedule",
			fmt.Sprintf("The run of %s was not started within spec.startingDeadlineSeconds", is.LastMissedTime.UTC())})
	}
	if is.ActiveRun != nil && (was.ActiveRun == nil || was.ActiveRun.Name != is.ActiveRun.Name) {
		events = append(events, event{corev1.EventTypeNormal, eventRunStarted, "Run",
			fmt.Sprintf("Run %s started (%s, %s) on %d datastores%s", is.ActiveRun.Name, is.ActiveRun.Trigger, is.ActiveRun.Mode, len(is.ActiveRun.Datastores), because(is.ActiveRun))})
	}
	if completed(was, is) {
		kind := corev1.EventTypeNormal
		if !is.LastRun.Outcome.Succeeded() {
			kind = corev1.EventTypeWarning
		}
		events = append(events, event{kind, "Run" + string(is.LastRun.Outcome), "Run", is.LastRun.Name + ": " + is.LastRun.Message})
	}
	switch reason := reconciling(is.Conditions); {
	case reconciling(was.Conditions) == reason:
	case reason == retentionv1.ReasonLedgerUnavailable:
		events = append(events, event{corev1.EventTypeWarning, eventLedgerDown, "Attest", ledgerMessage})
	case reconciling(was.Conditions) == retentionv1.ReasonLedgerUnavailable && reason != retentionv1.ReasonProgressingWithRetry:
		events = append(events, event{corev1.EventTypeNormal, eventLedgerBack, "Attest", "The evidence ledger can be used again, and the run goes on"})
	}
	events = appendTurn(events, was.Conditions, is.Conditions, retentionv1.ConditionCompliant, metav1.ConditionTrue, corev1.EventTypeNormal, eventCompliant)
	events = appendTurn(events, was.Conditions, is.Conditions, retentionv1.ConditionCompliant, metav1.ConditionFalse, corev1.EventTypeWarning, eventNotCompliant)
	events = appendTurn(events, was.Conditions, is.Conditions, retentionv1.ConditionStalled, metav1.ConditionTrue, corev1.EventTypeWarning, eventInvalidSpec)
	return events
}

// reconciling is the reason of the condition Reconciling; empty if that does not stand.
func reconciling(conditions []metav1.Condition) string {
	if c := meta.FindStatusCondition(conditions, retentionv1.ConditionReconciling); c != nil {
		return c.Reason
	}
	return ""
}

// because is why a run started, where its trigger does not say it all.
func because(run *retentionv1.Run) string {
	if run.Trigger != retentionv1.TriggerResume || run.Message == "" {
		return ""
	}
	return ". " + run.Message
}

// appendTurn appends an event if the condition has turned to status.
func appendTurn(events []event, was, is []metav1.Condition, condition string, status metav1.ConditionStatus, kind, reason string) []event {
	now := meta.FindStatusCondition(is, condition)
	if now == nil || now.Status != status || meta.IsStatusConditionPresentAndEqual(was, condition, status) {
		return events
	}
	return append(events, event{kind, reason, "Observe", now.Message})
}

// completed says whether the step from one status to the next ended a run.
func completed(was, is *retentionv1.RetentionPolicyStatus) bool {
	return was.ActiveRun != nil && is.ActiveRun == nil && is.LastRun != nil
}

// measure sets the metrics from what is in the status, and counts a run that has just ended.
func measure(before, after *retentionv1.RetentionPolicy) {
	namespace, name := after.Namespace, after.Name
	status := &after.Status
	if completed(&before.Status, status) {
		run := status.LastRun
		metrics.Runs.WithLabelValues(namespace, name, string(run.Outcome)).Inc()
		deleted, anonymized := ptr.Deref(run.Deleted, 0), ptr.Deref(run.Anonymized, 0)
		if was := before.Status.LastRun; was != nil && was.Name == run.Name { // an approval: what was done before it is in the sums
			deleted -= ptr.Deref(was.Deleted, 0)
			anonymized -= ptr.Deref(was.Anonymized, 0)
		}
		metrics.RecordsPurged.WithLabelValues(namespace, name, string(retentionv1.ActionDelete)).Add(float64(max(deleted, 0)))
		metrics.RecordsPurged.WithLabelValues(namespace, name, string(retentionv1.ActionAnonymize)).Add(float64(max(anonymized, 0)))
		metrics.RunDuration.WithLabelValues(namespace, name).Observe(run.CompletionTime.Sub(run.StartTime.Time).Seconds())
		if run.Trigger == retentionv1.TriggerSchedule {
			metrics.ScheduleSkew.WithLabelValues(namespace, name).Set(run.StartTime.Sub(run.Slot.Time).Seconds())
		}
	}
	unix := func(t *metav1.Time) float64 {
		if t == nil {
			return 0
		}
		return float64(t.Unix())
	}
	metrics.LastSuccess.WithLabelValues(namespace, name).Set(unix(status.LastSuccessfulTime))
	metrics.NextSchedule.WithLabelValues(namespace, name).Set(unix(status.NextScheduleTime))
	metrics.Compliant.WithLabelValues(namespace, name).Set(metrics.OfCondition(status.Conditions, retentionv1.ConditionCompliant))
	if status.LastRun == nil {
		return
	}
	var overdue, undated int64
	var skew float64
	for _, d := range status.LastRun.Datastores {
		skew = math.Max(skew, math.Abs(float64(ptr.Deref(d.ClockSkewMilliseconds, 0))/1000))
		for _, ds := range d.Datasets {
			left, _ := leftover(ds)
			overdue += left
			undated += ptr.Deref(ds.Undated, 0) + ptr.Deref(ds.Invalid, 0)
		}
	}
	metrics.OverdueRecords.WithLabelValues(namespace, name).Set(float64(overdue))
	metrics.UndatedRecords.WithLabelValues(namespace, name).Set(float64(undated))
	metrics.ClockSkew.WithLabelValues(namespace, name).Set(skew)
}
