// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestErasureAgainstDefinition compares, dataset by dataset, what may become of a person's record with the definition read
// off the design.
func TestErasureAgainstDefinition(t *testing.T) {
	acts := map[ErasureAction]int{}
	rapid.Check(t, func(t *rapid.T) {
		in, retention := someErasure(t)
		w, p := someWorld(t, retention), CompileErasure(in)
		for i, d := range in.Datastore.Datasets {
			o := definition{retention, w, d}
			at := slices.IndexFunc(p.Erasure.Steps, func(s ErasureStep) bool { return s.Dataset == d.Name })
			excluded := slices.ContainsFunc(p.Excluded, func(e Exclusion) bool { return e.Dataset == d.Name && e.Reason == NoPerson })
			if personal := o.personal(); (at >= 0) != personal || excluded == personal {
				t.Fatalf("%s may hold a person's records: %v\n%s", d.Name, personal, render(p))
			}
			if at < 0 {
				continue
			}
			s, on := p.Erasure.Steps[at], in.Datastore.OnErasure[d.Name]
			asked := on.Action == EraseDelete || on.Action == EraseAnonymize && on.Transforms != nil
			want := asked && !o.stays()
			got := s.Acts() && w.released(s)
			if got != want && (got || s.Unclear == "" || s.Action != EraseAnonymize) {
				t.Fatalf("%s erased: %v, by definition: %v\n%s", d.Name, got, want, render(p))
			}
			if got {
				acts[s.Action]++
			}
			if !s.Protected && (!s.Acts() || s.Obligations != nil || o.mayBeHeld()) || s.Protected != p.Datasets[i].Protected {
				t.Fatalf("%s protected: %v\n%s", d.Name, s.Protected, render(p))
			}
		}
	})
	if acts[EraseDelete] < 5 || acts[EraseAnonymize] < 5 {
		t.Errorf("erased %v: the generator has become too tame to say anything", acts)
	}
}

// released tells whether every obligation of the step is over for the dataset's record.
func (w world) released(s ErasureStep) bool {
	return !slices.ContainsFunc(s.Obligations, func(o Obligation) bool { return !over(w.value(s.Dataset, o.Start), o.Cutoff) })
}

// personal tells whether the dataset, or one that it leads to, has identifiers.
func (o definition) personal() bool {
	return slices.ContainsFunc(o.in.Datastore.Datasets, func(d Dataset) bool { return d.Identifiers != nil && o.leadsTo(d.Name) })
}

// TestErasureOrder checks that children stand before parents, and that of two datasets which no reference orders, directly
// or over others, the one that leads to more stands last where they are neighbours.
func TestErasureOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, retention := someErasure(t)
		steps := CompileErasure(in).Erasure.Steps
		below := func(a, b string) bool {
			up, down := map[int]int{}, map[int]int{}
			definition{in: retention}.walk(a, b, nil, up)
			definition{in: retention}.walk(b, a, nil, down)
			return a != b && len(up) > 0 && len(down) == 0
		}
		types := func(name string) int {
			at := slices.IndexFunc(in.Datastore.Datasets, func(d Dataset) bool { return d.Name == name })
			seen := map[string]bool{}
			for _, id := range in.Datastore.Datasets[at].Identifiers {
				seen[id.Type] = true
			}
			return len(seen)
		}
		for i, s := range steps {
			for _, later := range steps[i+1:] {
				if below(later.Dataset, s.Dataset) {
					t.Errorf("%s stands before its child %s", s.Dataset, later.Dataset)
				}
			}
			if i+1 < len(steps) && !below(s.Dataset, steps[i+1].Dataset) && types(s.Dataset) > types(steps[i+1].Dataset) {
				t.Errorf("%s leads to more than %s and stands before it", s.Dataset, steps[i+1].Dataset)
			}
		}
	})
}

// TestMoreHoldsNeverEraseMore adds a hold and checks that no step acts that did not, and none on what is held as a whole.
func TestMoreHoldsNeverEraseMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, retention := someErasure(t)
		before := CompileErasure(in)
		added := someHold(t, "added")
		in.Holds = append(slices.Clip(in.Holds), added)
		after := CompileErasure(in)
		for i, s := range after.Erasure.Steps {
			d := in.Datastore.Datasets[slices.IndexFunc(in.Datastore.Datasets, func(d Dataset) bool { return d.Name == s.Dataset })]
			whole := !added.Subject && added.Condition == nil && definition{in: retention}.held(added, d)
			if s.Acts() && (whole || !before.Erasure.Steps[i].Acts()) {
				t.Errorf("%s %s although it is held\n%s", s.Action, s.Dataset, render(after))
			}
			if whole && !slices.Contains(s.HeldBy, added.Name) {
				t.Errorf("%s does not name the hold\n%s", s.Dataset, render(after))
			}
		}
	})
}

// TestErasureIsDeterministic compares whole plans of inputs in another order, and what is left of one that was encoded.
func TestErasureIsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in, _ := someErasure(t)
		before := mustJSON(t, in)
		a := CompileErasure(in)
		if diff := cmp.Diff(before, mustJSON(t, in)); diff != "" {
			t.Errorf("CompileErasure changed its input:\n%s", diff)
		}
		in.Policies = rapid.Permutation(in.Policies).Draw(t, "policies")
		in.Holds = rapid.Permutation(in.Holds).Draw(t, "holds")
		if diff := cmp.Diff(a, CompileErasure(in)); diff != "" {
			t.Errorf("the order of policies, or of holds, changed the plan:\n%s", diff)
		}
		encoded, err := a.Encode()
		if err != nil {
			t.Fatal(err)
		}
		var back Plan
		if err := json.Unmarshal(encoded, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a, back); diff != "" {
			t.Errorf("decoded another plan:\n%s", diff)
		}
	})
}

// TestTouches looks at a run that deletes invoices, and blurs the log.
func TestTouches(t *testing.T) {
	run := func(mode Mode, s Datastore) Plan {
		p := policy("p", Rule{Name: "old", Datasets: names("invoice"), DeleteAfter: "P3Y"},
			Rule{Name: "ip", Datasets: names("access_log"), DeleteAfter: "P3D", Action: Anonymize, Transforms: []Transform{{Field: "ip", With: MethodNull}}})
		p.Mode = mode
		return compile(p, s)
	}
	whole := func(datasets ...string) HoldInput { return HoldInput{Name: "h", UID: "1", Datasets: datasets} }
	now, edited, again, classless := shop(), shop(), shop(), shop()
	edited.Ref.Generation++
	again.Ref.UID = "another"
	classless.Datasets[3].DataClass, classless.Datasets[4].DataClass = "", "" // invoice and its lines
	classless.Ref.Generation++
	billing := HoldInput{Name: "h", DataClasses: names("billing")}
	enforced, simulated := run("", now), run(Simulate, now)
	find, erase, held := erasureScenarios()["erasure-find"], erasureScenarios()["erasure"], erasureScenarios()["erasure-held"]
	tests := map[string]struct {
		plan Plan
		now  Datastore
		hold HoldInput
		want bool
	}{
		"a dataset that it deletes":                   {enforced, now, whole("invoice"), true},
		"a dataset that it anonymizes":                {enforced, now, whole("access_log"), true},
		"a child":                                     {enforced, now, whole("invoice_line"), true},
		"a parent":                                    {enforced, now, whole("customer"), true},
		"a person among the parent's records":         {enforced, now, person("h", "1", "customer"), true},
		"a person elsewhere":                          {enforced, now, person("h", "1", "rate"), true},
		"everything":                                  {enforced, now, whole(), true},
		"by class":                                    {enforced, now, billing, true},
		"nothing that is there":                       {enforced, now, whole("gone"), false},
		"a map that has changed":                      {enforced, edited, whole("customer"), true},
		"another datastore of the name":               {enforced, again, whole("customer"), true},
		"a class that it had when the run began":      {enforced, classless, billing, true},
		"a run that simulates":                        {simulated, now, whole("invoice"), false},
		"a search":                                    {find, now, whole(), false},
		"a dataset whose records an erasure deletes":  {erase, now, whole("customer"), true},
		"one whose records it leaves, below others":   {erase, now, whole("invoice_line"), true},
		"one that it leaves, below none":              {held, now, whole("access_log"), true},
		"one that it cannot reach":                    {erase, now, whole("employee"), true},
		"a person among records that it cannot reach": {erase, now, person("h", "1", "employee"), true},
		"a probe": {CompileProbe(now, nil), now, whole(), false},
		"a count": {CompileCountHeld(now, nil), now, whole(), false},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Touches(&tc.plan, tc.now, tc.hold); got != tc.want {
				t.Errorf("Touches = %v, want %v\n%s", got, tc.want, render(tc.plan))
			}
		})
	}
}

// TestAnonymizeMovesNoObligation: rewriting a customer's field must not end the obligation on an invoice earlier.
func TestAnonymizeMovesNoObligation(t *testing.T) {
	tests := map[string]struct {
		rule Rule
		with Transform
		want string
	}{
		"the starting point of another's": {Rule{Datasets: names("invoice"), RetainAtLeast: "P7Y", StartingFrom: "customer.left_at"},
			Transform{Field: "left_at", With: MethodTruncateDate, Unit: "Year"},
			"rule r of policy law retains records of invoice by customer.left_at, which onErasure.anonymize would rewrite"},
		"what leads to another's": {Rule{Datasets: names("invoice"), RetainAtLeast: "P7Y", StartingFrom: "customer.left_at"},
			Transform{Field: "customer_id", With: MethodConstant, Value: "0"},
			"rule r of policy law retains records of invoice by customer.customer_id, which onErasure.anonymize would rewrite"},
		"emptied": {Rule{Datasets: names("invoice"), RetainAtLeast: "P7Y", StartingFrom: "customer.left_at"},
			Transform{Field: "left_at", With: MethodNull}, ""},
		"its own": {Rule{Datasets: names("customer"), RetainAtLeast: "P7Y", StartingFrom: "left_at"},
			Transform{Field: "left_at", With: MethodTruncateDate, Unit: "Year"}, ""},
		"of a period after which data goes": {Rule{Datasets: names("invoice"), DeleteAfter: "P7Y", StartingFrom: "customer.left_at"},
			Transform{Field: "left_at", With: MethodTruncateDate, Unit: "Year"}, ""},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s := shop()
			s.OnErasure["customer"] = OnErasure{Action: EraseAnonymize, Transforms: []Transform{tc.with}}
			tc.rule.Name = "r"
			p := CompileErasure(ErasureInput{Policies: []Policy{policy("law", tc.rule)}, Datastore: s, Slot: slot})
			for _, step := range p.Erasure.Steps {
				want := ""
				if step.Dataset == "customer" {
					want = tc.want
				}
				if step.Unclear != want {
					t.Errorf("%s: unclear %q, want %q", step.Dataset, step.Unclear, want)
				}
			}
		})
	}
}

// TestProblemsOfErasure: that a person cannot be found somewhere is no problem of the map, that one stays known is.
func TestProblemsOfErasure(t *testing.T) {
	p := erasureScenarios()["erasure"]
	want := []string{"access_log: onErasure.anonymize leaves identifiers of the person as they are: on_behalf_of"}
	if diff := cmp.Diff(want, p.Problems()); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}
