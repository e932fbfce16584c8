// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// TestEverythingIsAccountedFor checks that no dataset and no rule drops out of a plan without a word.
func TestEverythingIsAccountedFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := someInput(t)
		p := Compile(in)
		for _, d := range in.Datastore.Datasets {
			deletions, steps := 0, 0
			for _, s := range p.Steps {
				if s.Dataset == d.Name {
					steps++
					if s.Action == Delete {
						deletions++
					}
				}
			}
			excluded := 0
			for _, e := range p.Excluded {
				if e.Dataset == d.Name {
					excluded++
				}
			}
			if deletions > 1 {
				t.Errorf("%s has %d deletions", d.Name, deletions)
			}
			if steps+excluded == 0 {
				t.Errorf("%s has neither a step nor a reason", d.Name)
			}
			for _, r := range in.Policy.Rules {
				if r.match(d) != notAtAll && r.DeleteAfter != "" {
					accountForRule(t, p, d.Name, r)
				}
			}
		}
	})
}

// accountForRule checks that a rule that wants to act on a dataset either does or is excluded: exactly one of both for a
// deletion, and for each field exactly one of both.
func accountForRule(t *rapid.T, p Plan, dataset string, r Rule) {
	var done int
	var rewritten []string
	for _, s := range p.Steps {
		if s.Dataset == dataset && s.Rule == r.Name {
			done++
			for _, f := range s.Transforms {
				rewritten = append(rewritten, f.Field)
			}
		}
	}
	var excluded []Exclusion
	for _, e := range p.Excluded {
		if e.Dataset == dataset && e.Rule == r.Name {
			excluded = append(excluded, e)
		}
	}
	if r.action() == Delete && done+len(excluded) != 1 {
		t.Errorf("%s, %s: %d steps and %d exclusions, want one of both", dataset, r.Name, done, len(excluded))
	}
	for _, f := range r.Transforms {
		times := 0
		for _, e := range excluded {
			if slices.Contains(fieldsOf(e), f.Field) {
				times++
			}
		}
		if slices.Contains(rewritten, f.Field) {
			times++
		}
		if times != 1 {
			t.Errorf("%s, %s: the field %s is accounted for %d times, want once\n%s", dataset, r.Name, f.Field, times, render(p))
		}
	}
}

// fieldsOf are the fields that an exclusion says are not anonymized.
func fieldsOf(e Exclusion) []string {
	fields, _, _ := strings.Cut(strings.TrimPrefix(e.Message, "not anonymized: "), ":")
	return strings.Split(fields, ", ")
}

// TestProtection checks that every dataset which anybody retains or holds is marked, with its steps, and no other one is.
func TestProtection(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := someInput(t)
		p := Compile(in)
		retained, want := map[string]bool{}, map[string]bool{}
		for _, policy := range append([]Policy{in.Policy}, in.Others...) {
			for _, r := range policy.Rules {
				for _, d := range in.Datastore.Datasets {
					retained[d.Name] = retained[d.Name] || r.RetainAtLeast != "" && r.match(d) != notAtAll
				}
			}
		}
		for _, d := range in.Datastore.Datasets {
			want[d.Name] = retained[d.Name] || definition{in: in, d: d}.mayBeHeld()
		}
		probe := CompileProbe(in.Datastore, append(in.Others, in.Policy))
		for i, d := range p.Datasets {
			if d.Protected != want[d.Name] || probe.Datasets[i].Protected != retained[d.Name] {
				t.Errorf("%s protected: %v, want %v; in the probe: %v, want %v", d.Name, d.Protected, want[d.Name],
					probe.Datasets[i].Protected, retained[d.Name])
			}
		}
		for _, s := range p.Steps {
			if s.Protected != want[s.Dataset] {
				t.Errorf("the step for %s protected: %v, want %v", s.Dataset, s.Protected, want[s.Dataset])
			}
		}
	})
}

// TestChildrenStandBeforeParents checks the order against every reference that is no part of a circle.
func TestChildrenStandBeforeParents(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := someInput(t)
		p := Compile(in)
		first, last := map[string]int{}, map[string]int{}
		for i, s := range p.Steps {
			if _, seen := first[s.Dataset]; !seen {
				first[s.Dataset] = i
			}
			last[s.Dataset] = i
		}
		for _, child := range in.Datastore.Datasets {
			for _, r := range child.References {
				parent, hasStep := first[r.Dataset]
				end, childHasStep := last[child.Name]
				back := map[int]int{}
				definition{in: in}.walk(r.Dataset, child.Name, nil, back)
				if hasStep && childHasStep && len(back) == 0 && end > parent {
					t.Errorf("%s references %s and stands behind it\n%s", child.Name, r.Dataset, render(p))
				}
			}
		}
		for i := range p.Steps[:max(0, len(p.Steps)-1)] {
			a, b := p.Steps[i], p.Steps[i+1]
			if a.Dataset == b.Dataset && a.Action == Anonymize && b.Action == Delete {
				t.Errorf("%s is anonymized before it is deleted", a.Dataset)
			}
		}
	})
}

// TestMoreObligationsNeverChangeMore adds a retainAtLeast anywhere and checks that nothing more is deleted or rewritten.
func TestMoreObligationsNeverChangeMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := someInput(t)
		w := someWorld(t, in)
		before := w.changes(Compile(in))
		r := someRule(t, "added")
		r.DeleteAfter, r.Action, r.Transforms, r.RetainAtLeast = "", "", nil, somePeriod(t)
		if where := rapid.IntRange(0, len(in.Others)).Draw(t, "where"); where < len(in.Others) {
			in.Others[where].Rules = append(in.Others[where].Rules, r)
		} else {
			in.Policy.Rules = append(in.Policy.Rules, r)
		}
		for what := range w.changes(Compile(in)) {
			if !before[what] {
				t.Errorf("%s changes only since %s is to be retained\n%s", what, r.Name, render(Compile(in)))
			}
		}
	})
}

// TestMoreHoldsNeverChangeMore adds a hold and checks that every step was there before, that none is left of what the hold
// keeps as a whole, and that the plan names it if it keeps single records.
func TestMoreHoldsNeverChangeMore(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := someInput(t)
		before := Compile(in)
		added := someHold(t, "added")
		in.Holds = append(in.Holds, added)
		after := Compile(in)
		for _, s := range after.Steps {
			if !slices.ContainsFunc(before.Steps, func(b Step) bool {
				b.Protected = s.Protected
				return cmp.Equal(b, s)
			}) {
				t.Errorf("%s %s only since %s is held\n%s", s.Action, s.Dataset, added.Name, render(after))
			}
		}
		single, covers := added.Subject || added.Condition != nil, false
		for i, d := range in.Datastore.Datasets {
			held := definition{in: in}.held(added, d)
			covers = covers || held
			if !single && held && (!after.Datasets[i].Held || slices.ContainsFunc(after.Steps, func(s Step) bool { return s.Dataset == d.Name })) {
				t.Errorf("%s is not held\n%s", d.Name, render(after))
			}
		}
		named := slices.ContainsFunc(after.Holds, func(h Hold) bool { return h.UID == added.UID })
		if named != (single && covers) {
			t.Errorf("the plan names the hold: %v\n%s", named, render(after))
		}
	})
}

// TestUntouchedMeansUntouched checks that what a hold keeps is neither a dataset that a run changes nor below one, if the
// run need not stop for it.
func TestUntouchedMeansUntouched(t *testing.T) {
	untouched := 0
	rapid.Check(t, func(t *rapid.T) {
		in := someInput(t)
		p, added := Compile(in), someHold(t, "added")
		if Touches(&p, in.Datastore, added) {
			return
		}
		if p.Mode != Simulate && len(p.Steps) > 0 {
			untouched++
		}
		in.Holds = []HoldInput{added}
		for _, s := range p.Steps {
			for _, d := range in.Datastore.Datasets {
				kept := definition{in: in, d: d}
				if p.Mode != Simulate && kept.mayBeHeld() && kept.leadsTo(s.Dataset) {
					t.Errorf("%s of %s may change %s\n%s", s.Action, s.Dataset, d.Name, render(p))
				}
			}
		}
	})
	if untouched < 5 {
		t.Errorf("only %d holds were beside a run: the generator has become too tame to say anything", untouched)
	}
}

// TestOrderOfOthersDoesNotMatter compares whole plans, digest included, and checks that the input stays as it is.
func TestOrderOfOthersDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := someInput(t)
		before := mustJSON(t, in)
		a := Compile(in)
		if diff := cmp.Diff(before, mustJSON(t, in)); diff != "" {
			t.Errorf("Compile changed its input:\n%s", diff)
		}
		shuffled := in
		shuffled.Others = rapid.Permutation(in.Others).Draw(t, "others")
		shuffled.Holds = rapid.Permutation(in.Holds).Draw(t, "holds")
		b := Compile(shuffled)
		if diff := cmp.Diff(a, b); diff != "" {
			t.Errorf("the order of the other policies, or of the holds, changed the plan:\n%s", diff)
		}
		if x, y := mustDigest(t, a), mustDigest(t, b); x != y {
			t.Errorf("digests %s and %s of one plan", x, y)
		}
	})
}

// TestPlanSurvivesItsEncoding decodes a plan as the data plane does.
func TestPlanSurvivesItsEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Compile(someInput(t))
		encoded, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		var back Plan
		if err := json.Unmarshal(encoded, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(p, back); diff != "" {
			t.Errorf("decoded another plan:\n%s", diff)
		}
		if got := mustDigest(t, back); got != DigestOf(encoded) {
			t.Errorf("digest %s after decoding, %s before", got, DigestOf(encoded))
		}
	})
}

// TestMessagesFitAStatus checks the length of what a controller copies, and that problems are listed.
func TestMessagesFitAStatus(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := Compile(someInput(t))
		problems := 0
		for _, e := range p.Excluded {
			if n := len([]rune(e.Message)); n == 0 || n > MaxMessage {
				t.Errorf("message of %d characters: %s", n, e.Message)
			}
			if e.Problem() {
				problems++
			}
		}
		for _, n := range p.Notes {
			if size := len([]rune(n.Message)); size == 0 || size > MaxMessage {
				t.Errorf("message of %d characters: %s", size, n.Message)
			}
			if n.Problem() {
				problems++
			}
		}
		if got := len(p.Problems()); got != problems {
			t.Errorf("%d problems listed of %d", got, problems)
		}
	})
}

func mustJSON(t *rapid.T, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func mustDigest(t *rapid.T, p Plan) string {
	d, err := p.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return d
}
