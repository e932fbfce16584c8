// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
)

// event is what a person is told once the status that it is about has been written.
type event struct {
	kind    string // corev1.EventTypeNormal or EventTypeWarning
	reason  string
	action  string
	message string
}

// Reasons of events.
const (
	eventApproved        = "Approved"
	eventDenied          = "Denied"
	eventExtended        = "TimeLimitExtended"
	eventDueSoon         = "DueSoon"
	eventOverdue         = "Overdue"
	eventStalled         = "Stalled"
	eventRetainedByHold  = "RetainedByHold"
	eventAnswered        = "Answered"
	eventNotifyRecipient = "NotifyRecipient"
	eventReappeared      = "Reappeared"
	eventNotAllowed      = "NotAllowed"
	eventSecretKept      = "SubjectSecretKept"
)

// changes says which events the step from one status to the next deserves.
func changes(before, after *retentionv1.ErasureRequest) []event {
	var out []event
	was, is := &before.Status, &after.Status
	tell := func(kind, reason, action, format string, args ...any) {
		out = append(out, event{kind, reason, action, fmt.Sprintf(format, args...)})
	}
	if was.ApprovedTime == nil && is.ApprovedTime != nil {
		tell(corev1.EventTypeNormal, eventApproved, "Approve", "%s", messageOf(is.Conditions, retentionv1.ConditionApproved))
	}
	if was.Extension == nil && is.Extension != nil {
		tell(corev1.EventTypeNormal, eventExtended, "Extend", "The time limit ends at %s instead of %s", is.DueTime.UTC(), is.Extension.OriginalDueTime.UTC())
	}
	if reason := overdueReason(is); reason != overdueReason(was) {
		switch reason {
		case reasonDueWithinWeek, reasonDueWithinDay:
			tell(corev1.EventTypeWarning, eventDueSoon, "Reckon", "%s", messageOf(is.Conditions, retentionv1.ConditionOverdue))
		case retentionv1.ReasonTimeLimitPassed:
			tell(corev1.EventTypeWarning, eventOverdue, "Reckon", "%s", messageOf(is.Conditions, retentionv1.ConditionOverdue))
		}
	}
	if meta.IsStatusConditionTrue(is.Conditions, retentionv1.ConditionStalled) && !meta.IsStatusConditionTrue(was.Conditions, retentionv1.ConditionStalled) {
		tell(corev1.EventTypeWarning, eventStalled, "Judge", "%s", messageOf(is.Conditions, retentionv1.ConditionStalled))
	}
	for i := range is.Children {
		if c := &is.Children[i]; c.Reason == retentionv1.ReasonNotAllowed && i >= len(was.Children) {
			tell(corev1.EventTypeWarning, eventNotAllowed, "ReachOut",
				"Namespace %s has Datastores that do not name this one in spec.allowErasureFrom; they are not reached", c.Namespace)
		}
	}
	if is.State != was.State {
		switch is.State {
		case retentionv1.ErasureDenied:
			tell(corev1.EventTypeNormal, eventDenied, "Deny", "%s", denial(after))
		case retentionv1.ErasureRetainedByHold:
			tell(corev1.EventTypeWarning, eventRetainedByHold, "Erase", "%s", summary(is))
		}
	}
	return append(out, answers(was, is)...)
}

// answers says which events the answer deserves: itself, and one for each recipient that has to be told, once.
func answers(was, is *retentionv1.ErasureRequestStatus) []event {
	var out []event
	if was.AnsweredTime == nil && is.AnsweredTime != nil && is.State != retentionv1.ErasureDenied {
		kind := corev1.EventTypeNormal
		if is.Outcome != retentionv1.ErasureDeleted && is.Outcome != retentionv1.ErasureAnonymized && is.Outcome != retentionv1.ErasureNotFound {
			kind = corev1.EventTypeWarning
		}
		out = append(out, event{kind, eventAnswered, "Answer", summary(is)})
		for _, r := range is.Recipients {
			out = append(out, event{corev1.EventTypeNormal, eventNotifyRecipient, "Notify",
				fmt.Sprintf("Tell %s, to whom Datastore %s discloses data, that the person's data was erased", r.Name, r.Datastore)})
		}
	}
	if c, old := is.Recheck, was.Recheck; c != nil && old != nil && c.Found != nil && *c.Found > 0 && (old.Found == nil || *old.Found < *c.Found) {
		out = append(out, event{corev1.EventTypeWarning, eventReappeared, "Recheck",
			fmt.Sprintf("%d records of the person had come back and were erased", *c.Found-value(old.Found))})
	}
	if was.SubjectSecret == "" && is.SubjectSecret == secretKept {
		out = append(out, event{corev1.EventTypeNormal, eventSecretKept, "Answer", "The subject's Secret was not deleted: it is to be kept, is needed by another object, or is of another type"})
	}
	return out
}

func value(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

func messageOf(conditions []metav1.Condition, condition string) string {
	if c := meta.FindStatusCondition(conditions, condition); c != nil {
		return c.Message
	}
	return ""
}

func overdueReason(st *retentionv1.ErasureRequestStatus) string {
	if c := meta.FindStatusCondition(st.Conditions, retentionv1.ConditionOverdue); c != nil && st.AnsweredTime == nil {
		return c.Reason
	}
	return ""
}
