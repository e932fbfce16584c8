// SPDX-License-Identifier: Apache-2.0

package status_test

import (
	"strings"
	"testing"
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
