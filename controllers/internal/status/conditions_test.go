// SPDX-License-Identifier: Apache-2.0

package status_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/status"
)

func TestReconcilingAndStalledExcludeEachOther(t *testing.T) {
	obj := &retentionv1.Datastore{ObjectMeta: metav1.ObjectMeta{Generation: 3}}
	expect := func(want ...metav1.Condition) {
		t.Helper()
		if diff := cmp.Diff(want, obj.Status.Conditions, cmpopts.IgnoreFields(metav1.Condition{}, "LastTransitionTime"), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	status.Reconciling(obj, "Progressing", "100% at work")
	expect(metav1.Condition{Type: "Reconciling", Status: "True", Reason: "Progressing", Message: "100% at work", ObservedGeneration: 3})
	status.Stalled(obj, "InvalidSpec", "no")
	expect(metav1.Condition{Type: "Stalled", Status: "True", Reason: "InvalidSpec", Message: "no", ObservedGeneration: 3})
	status.Done(obj)
	expect()
}

func TestSetTruncates(t *testing.T) {
	obj := &retentionv1.Datastore{}
	status.Set(obj, "Ready", metav1.ConditionFalse, "Some", "%s", strings.Repeat("ü", 600))
	message := obj.Status.Conditions[0].Message
	if len(message) > status.MaxMessage || len(message) < status.MaxMessage-4 || !utf8.ValidString(message) {
		t.Errorf("message has %d bytes, valid UTF-8: %v", len(message), utf8.ValidString(message))
	}
}

func TestStamp(t *testing.T) {
	then, now := metav1.Unix(1000, 0), time.Unix(2000, 500)
	was := []metav1.Condition{{Type: "Same", Status: "True", LastTransitionTime: then}, {Type: "Turned", Status: "True", LastTransitionTime: then}}
	obj := &retentionv1.Datastore{}
	obj.Status.Conditions = append([]metav1.Condition(nil), was...)
	status.Remove(obj, "Same")
	status.Set(obj, "Same", metav1.ConditionTrue, "Again", "again")
	status.Set(obj, "Turned", metav1.ConditionFalse, "Turned", "turned")
	status.Set(obj, "New", metav1.ConditionTrue, "New", "new")
	status.Stamp(obj, was, now)
	got := map[string]int64{}
	for _, c := range obj.Status.Conditions {
		got[c.Type] = c.LastTransitionTime.Unix()
	}
	if diff := cmp.Diff(map[string]int64{"Same": 1000, "Turned": 2000, "New": 2000}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTruncate(t *testing.T) {
	for name, tc := range map[string]struct {
		in    string
		limit int
		want  string
	}{
		"fits":                 {"abc", 3, "abc"},
		"cut":                  {"abcdef", 5, "ab…"},
		"in a character":       {"aüüü", 6, "aü…"},
		"no room at all":       {"abc", 2, ""},
		"exactly the ellipsis": {"abcd", 3, "…"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := status.Truncate(tc.in, tc.limit); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}
