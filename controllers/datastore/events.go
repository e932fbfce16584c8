// SPDX-License-Identifier: Apache-2.0

package datastore

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

const actionProbe = "Probe"

// Reasons of events that are no reasons of conditions.
const eventIdentityAccepted = "IdentityAccepted"

// changes says which events the step from one status to the next deserves: what is new, and nothing twice.
func changes(before, after *retentionv1.Datastore) []event {
	var events []event
	was, is := &before.Status, &after.Status
	switch {
	case was.Identity == is.Identity:
	case was.Identity == "":
		events = append(events, event{corev1.EventTypeNormal, retentionv1.ReasonIdentityPinned, actionProbe, "The server is " + is.Identity})
	default:
		events = append(events, event{corev1.EventTypeNormal, eventIdentityAccepted, "AcceptIdentity",
			fmt.Sprintf("The server is %s from now on; it was %s", is.Identity, was.Identity)})
	}
	ready := meta.FindStatusCondition(is.Conditions, retentionv1.ConditionReady)
	if ready != nil && news(was.Conditions, ready) {
		switch ready.Status {
		case metav1.ConditionTrue:
			events = append(events, event{corev1.EventTypeNormal, ready.Reason, actionProbe, ready.Message})
		case metav1.ConditionFalse:
			events = append(events, event{corev1.EventTypeWarning, ready.Reason, actionProbe, ready.Message})
		}
	}
	for _, c := range []string{retentionv1.ConditionReferencesMapped, retentionv1.ConditionCountsReliable} {
		if on := meta.FindStatusCondition(is.Conditions, c); on != nil && on.Status == metav1.ConditionFalse && news(was.Conditions, on) {
			events = append(events, event{corev1.EventTypeWarning, on.Reason, actionProbe, on.Message})
		}
	}
	return events
}

// news says whether a condition has come to another status or reason.
func news(was []metav1.Condition, now *metav1.Condition) bool {
	old := meta.FindStatusCondition(was, now.Type)
	return old == nil || old.Status != now.Status || old.Reason != now.Reason
}
