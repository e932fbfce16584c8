// SPDX-License-Identifier: Apache-2.0

package legalhold

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
)

// notice is what a person is told once the status that it is about has been written.
type notice struct {
	kind    string // corev1.EventTypeNormal or EventTypeWarning
	reason  string
	action  string
	message string
}

// changes says which events the step from one status to the next deserves.
func changes(before, after *retentionv1.LegalHold) []notice {
	was, is := meta.FindStatusCondition(before.Status.Conditions, retentionv1.ConditionEnforced), meta.FindStatusCondition(after.Status.Conditions, retentionv1.ConditionEnforced)
	if is == nil {
		return nil
	}
	turned := was == nil || was.Status != is.Status || was.Reason != is.Reason
	var events []notice
	switch {
	case !turned:
	case is.Status == metav1.ConditionTrue, is.Reason == retentionv1.ReasonReleased:
		events = append(events, notice{corev1.EventTypeNormal, is.Reason, "Hold", is.Message})
	case is.Reason == retentionv1.ReasonMatchesNothing, is.Reason == retentionv1.ReasonHoldUnreadable:
		events = append(events, notice{corev1.EventTypeWarning, is.Reason, "Hold", is.Message})
	}
	empty := func(h *retentionv1.LegalHold) bool {
		return h.Status.Records != nil && ptr.Deref(h.Status.Records, 0) == 0
	}
	if is.Status == metav1.ConditionTrue && empty(after) && (turned || !empty(before)) {
		events = append(events, notice{corev1.EventTypeWarning, retentionv1.ReasonMatchesNothing, "Hold", is.Message})
	}
	return events
}
