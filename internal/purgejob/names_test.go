// SPDX-License-Identifier: Apache-2.0

package purgejob

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"pgregory.net/rapid"
)

func TestNames(t *testing.T) {
	tests := map[string]struct{ got, want string }{
		"a job":                          {JobName("telemetry", "accounts", slot, ""), "telemetry-accounts-20261120030000-zdt36ecu"},
		"an approved job":                {JobName("telemetry", "accounts", slot, "approved"), "telemetry-accounts-20261120030000-dfoof4ts"},
		"a probe":                        {JobName("", "accounts", slot, ""), "probe-accounts-20261120030000-"},
		"in another zone":                {JobName("telemetry", "accounts", slot.In(time.FixedZone("", 8*3600)), ""), JobName("telemetry", "accounts", slot, "")},
		"a run":                          {RunName("telemetry", slot), "telemetry-20261120030000"},
		"a run of a policy with a dot":   {RunName("tele.metry", slot), "tele-metry-"},
		"a short label":                  {LabelValue("a.b"), "a.b"},
		"a short name leaves its share":  {JobName("p", strings.Repeat("d", 60), slot, ""), "p-" + strings.Repeat("d", 37) + "-20261120030000-"},
		"two long names share the space": {JobName(strings.Repeat("p", 60), strings.Repeat("d", 60), slot, ""), strings.Repeat("p", 19) + "-" + strings.Repeat("d", 19) + "-2026"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if !strings.HasPrefix(tt.got, tt.want) {
				t.Errorf("got %s, want %s", tt.got, tt.want)
			}
		})
	}
}

// Names are legal whatever they are made of, stay the same, and differ when anything they are made of differs.
func TestNamesAreLegalAndDistinct(t *testing.T) {
	name := rapid.OneOf(
		rapid.SampledFrom([]string{"a", "b", "a-b", "b-a", "a.b", "a-b-a", "probe", "a-b-20261120030000"}),
		rapid.StringMatching(`[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?){0,10}`),
	)
	at := rapid.Custom(func(t *rapid.T) time.Time { return time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "second"), 0) })
	type arguments struct {
		policy, datastore, attempt string
		slot                       int64
	}
	draw := func(t *rapid.T) (arguments, time.Time) {
		s := at.Draw(t, "slot")
		return arguments{
			name.Draw(t, "policy"), name.Draw(t, "datastore"), rapid.SampledFrom([]string{"", "approved"}).Draw(t, "attempt"), s.Unix(),
		}, s
	}
	rapid.Check(t, func(t *rapid.T) {
		a, slotA := draw(t)
		b, slotB := draw(t)
		if rapid.Bool().Draw(t, "same slot") {
			b.slot, slotB = a.slot, slotA
		}
		jobA, jobB := JobName(a.policy, a.datastore, slotA, a.attempt), JobName(b.policy, b.datastore, slotB, b.attempt)
		runA, runB := RunName(a.policy, slotA), RunName(b.policy, slotB)
		for _, n := range []string{jobA, runA, JobName("", a.datastore, slotA, "")} {
			if e := validation.IsDNS1123Label(n); len(e) > 0 {
				t.Errorf("%q: %v", n, e)
			}
		}
		if v := LabelValue(a.policy); len(validation.IsValidLabelValue(v)) > 0 {
			t.Errorf("label %q", v)
		}
		if (jobA == jobB) != (a == b) {
			t.Errorf("%v and %v: %s and %s", a, b, jobA, jobB)
		}
		if same := a.policy == b.policy && a.slot == b.slot; (runA == runB) != same {
			t.Errorf("%v and %v: %s and %s", a, b, runA, runB)
		}
		if (LabelValue(a.policy) == LabelValue(b.policy)) != (a.policy == b.policy) {
			t.Errorf("%s and %s have one label", a.policy, b.policy)
		}
		if JobName("", a.datastore, slotA, "") == JobName("probe", a.datastore, slotA, "") {
			t.Error("a probe has the name of a policy's job")
		}
	})
}
