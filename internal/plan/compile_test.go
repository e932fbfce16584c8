// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDue(t *testing.T) {
	cutoff, tick := at("2026-01-01T00:00:00Z"), time.Microsecond
	plain := Step{Cutoff: cutoff}
	retained := Step{Cutoff: cutoff, Obligations: []Obligation{{Cutoff: cutoff.AddDate(-1, 0, 0)}}}
	tests := map[string]struct {
		step        Step
		start       time.Time
		obligations []time.Time
		want        bool
	}{
		"at the cutoff":              {plain, cutoff, nil, true},
		"a tick later":               {plain, cutoff.Add(tick), nil, false},
		"long ago":                   {plain, cutoff.AddDate(-20, 0, 0), nil, true},
		"missing":                    {plain, time.Time{}, nil, false},
		"the epoch":                  {plain, time.Unix(0, 0), nil, false},
		"the epoch in another zone":  {plain, time.Unix(0, 0).Add(14 * time.Hour), nil, false},
		"the first plausible":        {plain, EarliestPlausible, nil, true},
		"never":                      {Step{Cutoff: at("9999-12-31T23:59:59Z")}, LatestPlausible, nil, false},
		"obligation over":            {retained, cutoff, []time.Time{cutoff.AddDate(-1, 0, 0)}, true},
		"obligation a tick too late": {retained, cutoff, []time.Time{cutoff.AddDate(-1, 0, 0).Add(tick)}, false},
		"obligation without start":   {retained, cutoff, []time.Time{{}}, false},
		"obligation not looked at":   {retained, cutoff, nil, false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := tc.step.Due(tc.start, tc.obligations); got != tc.want {
				t.Errorf("Due = %v, want %v", got, tc.want)
			}
		})
	}
}

// reasons are the plan's exclusions as "dataset/rule reason".
func reasons(p Plan) []string {
	var out []string
	for _, e := range p.Excluded {
		out = append(out, e.Dataset+"/"+e.Rule+" "+string(e.Reason))
	}
	return out
}

func codes(p Plan) []string {
	var out []string
	for _, n := range p.Notes {
		out = append(out, n.Dataset+"/"+n.Rule+" "+string(n.Code))
	}
	return out
}

func TestExclusions(t *testing.T) {
	blank := []Transform{{Field: "ip", With: MethodNull}}
	simulating := policy("other", Rule{Name: "named", Datasets: names("log"), DeleteAfter: "P10Y"})
	simulating.Mode = Simulate
	own := policy("own", Rule{Name: "class", DataClasses: names("log"), DeleteAfter: "P1Y"})
	ownSimulating := own
	ownSimulating.Mode = Simulate
	suspended := simulating
	suspended.Mode, suspended.Suspended = Enforce, true
	logs := store(classed("log", table("log", "at")))
	tests := map[string]struct {
		plan Plan
		want []string
	}{
		"an unclear obligation stops anonymizing": {
			compile(policy("own", Rule{Name: "ip", Datasets: names("log"), DeleteAfter: "P1D", Action: Anonymize, Transforms: blank}),
				logs, policy("law", Rule{Name: "keep", Datasets: names("log"), RetainAtLeast: "P1Y", StartingFrom: "case.closed_at"})),
			[]string{"log/ip ObligationUnclear"}},
		"a rule must not rewrite what its own obligation runs from": {
			compile(policy("own", Rule{Name: "ip", Datasets: names("log"), DeleteAfter: "P1Y", RetainAtLeast: "P1D", StartingFrom: "ip",
				Action: Anonymize, Transforms: blank}), logs),
			[]string{"log/ip StartingPointRewritten"}},
		"a rule may empty what its own anonymizing runs from": {
			compile(policy("own", Rule{Name: "ip", Datasets: names("log"), DeleteAfter: "P1Y", StartingFrom: "ip",
				Action: Anonymize, Transforms: blank}), logs),
			nil},
		"simulating beside a simulating policy is as it will be": {
			compile(ownSimulating, logs, simulating), []string{"log/class LostToExplicit"}},
		"enforcing beside a simulating policy": {
			compile(own, logs, simulating), []string{"log/class LostToInactive"}},
		"any policy beside a suspended one": {
			compile(ownSimulating, logs, suspended), []string{"log/class LostToInactive"}},
		"an active policy among inactive ones": {
			compile(own, logs, simulating, policy("z", Rule{Name: "named", Datasets: names("log"), DeleteAfter: "P2Y"})),
			[]string{"log/class LostToExplicit"}},
		"one rule that names and covers": {
			compile(policy("own", Rule{Name: "both", Datasets: names("log"), DataClasses: names("log"), DeleteAfter: "P1Y"}), logs, simulating),
			nil},
		"a policy's older self among the others": {
			compile(own, logs, policy("own", Rule{Name: "named", Datasets: names("log"), DeleteAfter: "P10Y", RetainAtLeast: "P20Y"})),
			nil},
		"an action that is not known": {
			compile(policy("own", Rule{Name: "x", Datasets: names("log"), DeleteAfter: "P1Y", Action: "Archive"}), logs),
			[]string{"log/x InvalidRule"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, reasons(tc.plan)); diff != "" {
				t.Errorf("exclusions (-want +got):\n%s\n%s", diff, render(tc.plan))
			}
		})
	}
}

func TestNotesAboutOthers(t *testing.T) {
	logs := store(classed("log", table("log", "at")))
	own := policy("own", Rule{Name: "named", Datasets: names("log"), DeleteAfter: "P1Y"})
	named := policy("other", Rule{Name: "named", Datasets: names("log"), DeleteAfter: "P2Y"})
	suspended := named
	suspended.Suspended = true
	tests := map[string]struct {
		other Policy
		want  []string
	}{
		"another names it too":                 {named, []string{"log/named OtherPolicyActs"}},
		"one that is suspended does not act":   {suspended, nil},
		"one that covers the class gives way":  {policy("other", Rule{Name: "c", DataClasses: names("log"), DeleteAfter: "P1D"}), nil},
		"one that anonymizes asks otherwise":   {policy("other", Rule{Name: "c", Datasets: names("log"), DeleteAfter: "P1D", Action: Anonymize}), nil},
		"one that retains is in the step then": {policy("other", Rule{Name: "c", Datasets: names("log"), RetainAtLeast: "P1D"}), nil},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, codes(compile(own, logs, tc.other))); diff != "" {
				t.Errorf("notes (-want +got):\n%s", diff)
			}
		})
	}
}

// TestReferenceWrittenTwice must not look like two ways.
func TestReferenceWrittenTwice(t *testing.T) {
	parent := [3]string{"invoice_id", "invoice", "id"}
	p := compile(policy("p", Rule{Name: "r", Datasets: names("line"), DeleteAfter: "P1Y", StartingFrom: "invoice.issued_on"}),
		store(table("invoice", "issued_on"), table("line", "", parent, parent)))
	want := Start{Via: []Hop{{Field: "invoice_id", Dataset: "invoice", Path: "invoice", Key: "id"}}, Field: "issued_on", Format: Native}
	if diff := cmp.Diff(want, stepFor(t, p, "line", Delete).Start); diff != "" {
		t.Errorf("start (-want +got):\n%s", diff)
	}
}

func TestDefaults(t *testing.T) {
	precise := slot.Add(1234567 * time.Nanosecond).In(zone("Asia/Taipei"))
	p := Compile(Input{Policy: policy("p"), Datastore: store(Dataset{Name: "log", TimestampField: "at"}), Slot: precise})
	if want := slot.Add(1234 * time.Microsecond); !p.Slot.Equal(want) {
		t.Errorf("slot %v, want %v", p.Slot, want)
	}
	if p.Mode != Enforce || p.Limits != DefaultLimits || p.TimeZone != "UTC" || p.Kind != Retention || p.Version != Version {
		t.Errorf("defaults are not filled in: %+v", p)
	}
	want := []Dataset{{Name: "log", Path: "log", TimestampField: "at", TimestampFormat: Native}}
	if diff := cmp.Diff(want, p.Datasets); diff != "" {
		t.Errorf("datasets (-want +got):\n%s", diff)
	}
	empty, err := (&Plan{Datasets: Compile(Input{Slot: slot}).Datasets}).Encode()
	if err != nil || !strings.Contains(string(empty), `"datasets":[]`) {
		t.Errorf("no datasets are encoded as %s, %v", empty, err)
	}
}

// TestEvent tells a field that an event fills from the one that every record should have.
func TestEvent(t *testing.T) {
	s := store(table("invoice", "issued_on"), table("line", "added_at", [3]string{"invoice_id", "invoice", "id"}))
	tests := map[string]bool{"": false, "added_at": false, "line.added_at": false, "removed_at": true, "line.removed_at": true,
		"invoice.issued_on": false, "invoice.paid_at": true, "invoice": true, "line.added_at.utc": true}
	for startingFrom, want := range tests {
		p := compile(policy("p", Rule{Name: "r", Datasets: names("line"), DeleteAfter: "P1Y", StartingFrom: startingFrom}), s)
		if got := stepFor(t, p, "line", Delete).Start.Event; got != want {
			t.Errorf("startingFrom %q: event %v, want %v", startingFrom, got, want)
		}
	}
}

// TestProbeIsStable checks that a probe, whose digest decides whether to probe again, does not depend on the order of
// the policies.
func TestProbeIsStable(t *testing.T) {
	s := store(table("log", "at"))
	a := policy("a", Rule{Name: "r", Datasets: names("log"), DeleteAfter: "P1Y", StartingFrom: "x"})
	b := policy("b", Rule{Name: "r", Datasets: names("log"), DeleteAfter: "P1Y", Action: Anonymize,
		Transforms: []Transform{{Field: "ip", With: MethodNull}, {Field: "x", With: MethodNull}}})
	one, two := CompileProbe(s, []Policy{a, b}), CompileProbe(s, []Policy{b, a})
	if diff := cmp.Diff(one, two); diff != "" {
		t.Errorf("the order of policies matters:\n%s", diff)
	}
	want := []Dataset{{Name: "log", Path: "log", TimestampField: "at", TimestampFormat: Native,
		Fields: []string{"ip", "x"}, Rights: []Action{Anonymize, Delete}}}
	if diff := cmp.Diff(want, one.Datasets); diff != "" {
		t.Errorf("datasets (-want +got):\n%s", diff)
	}
}

func TestLongMessagesAreClipped(t *testing.T) {
	long := strings.Repeat("ü", 400)
	p := compile(policy("p", Rule{Name: "r", Datasets: names("log"), DeleteAfter: "P1Y", StartingFrom: long + "." + long}),
		store(table("log", "at")))
	if got := len([]rune(p.Excluded[0].Message)); got != MaxMessage {
		t.Errorf("message of %d characters, want %d", got, MaxMessage)
	}
	if got := list([]string{"a", strings.Repeat("b", 300), "c"}); got != "a and 2 more" {
		t.Errorf("list = %q", got)
	}
}
