// SPDX-License-Identifier: Apache-2.0

package status

import (
	"fmt"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
)

// MaxMessage is the most bytes of a condition's or an event's message.
const MaxMessage = 1024

// Object is a kind of ours: an object with conditions.
type Object interface {
	client.Object
	GetConditions() []metav1.Condition
	SetConditions([]metav1.Condition)
	GetObservedGeneration() int64
}

// Set sets one condition for the object's generation. The transition time changes only with the condition's status.
func Set(obj Object, conditionType string, status metav1.ConditionStatus, reason, format string, args ...any) {
	conditions := obj.GetConditions()
	meta.SetStatusCondition(&conditions, metav1.Condition{
		Type:               conditionType,
		Status:             status,
		ObservedGeneration: obj.GetGeneration(),
		Reason:             reason,
		Message:            Truncate(fmt.Sprintf(format, args...), MaxMessage),
	})
	obj.SetConditions(conditions)
}

// Remove removes one condition.
func Remove(obj Object, conditionType string) {
	conditions := obj.GetConditions()
	meta.RemoveStatusCondition(&conditions, conditionType)
	obj.SetConditions(conditions)
}

// Reconciling says that the controller is at work, or tries again.
func Reconciling(obj Object, reason, message string) {
	Remove(obj, retentionv1.ConditionStalled)
	Set(obj, retentionv1.ConditionReconciling, metav1.ConditionTrue, reason, "%s", message)
}

// Stalled says that nothing will happen until a person changes something.
func Stalled(obj Object, reason, message string) {
	Remove(obj, retentionv1.ConditionReconciling)
	Set(obj, retentionv1.ConditionStalled, metav1.ConditionTrue, reason, "%s", message)
}

// Done says that the controller waits for nothing but time.
func Done(obj Object) {
	Remove(obj, retentionv1.ConditionReconciling)
	Remove(obj, retentionv1.ConditionStalled)
}

// Stamp gives every condition whose status has turned compared with was the time now, by the caller's clock, and every
// other one the time that it had, however often it was set or removed in between.
func Stamp(obj Object, was []metav1.Condition, now time.Time) {
	conditions := obj.GetConditions()
	for i := range conditions {
		c := &conditions[i]
		if old := meta.FindStatusCondition(was, c.Type); old != nil && old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		} else {
			c.LastTransitionTime = metav1.NewTime(now.Truncate(time.Second))
		}
	}
	obj.SetConditions(conditions)
}

// Truncate cuts s to at most limit bytes, at the end of a character. What is cut shows as an ellipsis, which counts.
func Truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	const ellipsis = "…"
	end := limit - len(ellipsis)
	if end < 0 {
		return ""
	}
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}
