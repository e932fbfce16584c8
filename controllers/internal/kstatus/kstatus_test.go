// SPDX-License-Identifier: Apache-2.0

package kstatus_test

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/kstatus"
)

func condition(kind string, status metav1.ConditionStatus, generation int64) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: "Because", Message: "It is so", ObservedGeneration: generation, LastTransitionTime: metav1.Unix(1, 0)}
}

func TestCheck(t *testing.T) {
	noReason, longMessage, noTime := condition("Ready", "True", 2), condition("Ready", "True", 2), condition("Ready", "True", 2)
	noReason.Reason = ""
	longMessage.Message = strings.Repeat("x", 1025)
	noTime.LastTransitionTime = metav1.Time{}
	for name, tc := range map[string]struct {
		observed   int64
		conditions []metav1.Condition
		want       string // part of the error; "" for none
	}{
		"at rest":                       {2, []metav1.Condition{condition("Ready", "True", 2)}, ""},
		"first visit":                   {-1, []metav1.Condition{condition("Ready", "Unknown", 2), condition("Reconciling", "True", 2)}, ""},
		"stalled":                       {2, []metav1.Condition{condition("Ready", "False", 2), condition("Stalled", "True", 2)}, ""},
		"failed, next try by schedule":  {2, []metav1.Condition{condition("Ready", "False", 2)}, ""},
		"ready while a change comes":    {1, []metav1.Condition{condition("Ready", "True", 1), condition("Reconciling", "True", 2)}, ""},
		"no Ready":                      {2, nil, "Ready is absent"},
		"both":                          {2, []metav1.Condition{condition("Ready", "False", 2), condition("Stalled", "True", 2), condition("Reconciling", "True", 2)}, "together"},
		"Reconciling False":             {2, []metav1.Condition{condition("Ready", "True", 2), condition("Reconciling", "False", 2)}, "only while it is True"},
		"old Stalled":                   {2, []metav1.Condition{condition("Ready", "False", 2), condition("Stalled", "True", 1)}, "Stalled is about generation 1"},
		"Ready and Stalled":             {2, []metav1.Condition{condition("Ready", "True", 2), condition("Stalled", "True", 2)}, "although Stalled"},
		"Unknown for ever":              {2, []metav1.Condition{condition("Ready", "Unknown", 2)}, "Ready is Unknown"},
		"old Ready":                     {2, []metav1.Condition{condition("Ready", "True", 1)}, "at rest"},
		"change not seen, nobody works": {1, []metav1.Condition{condition("Ready", "False", 1)}, "not observed"},
		"ahead":                         {3, []metav1.Condition{condition("Ready", "True", 2)}, "ahead"},
		"condition ahead":               {2, []metav1.Condition{condition("Ready", "True", 2), condition("Reachable", "True", 3)}, "observedGeneration 3"},
		"no reason":                     {2, []metav1.Condition{noReason}, "CamelCase"},
		"long message":                  {2, []metav1.Condition{longMessage}, "1025 bytes"},
		"no time":                       {2, []metav1.Condition{noTime}, "lastTransitionTime"},
	} {
		t.Run(name, func(t *testing.T) {
			obj := &retentionv1.Datastore{ObjectMeta: metav1.ObjectMeta{Generation: 2}}
			obj.Status.ObservedGeneration, obj.Status.Conditions = tc.observed, tc.conditions
			err := kstatus.Check(obj)
			if (err == nil) != (tc.want == "") || (err != nil && !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
