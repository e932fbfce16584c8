// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dataretention.dev/retention-operator/internal/schedule"
)

// TestAgainstDefinition compares, record by record, what a plan deletes and rewrites with the definition read off the
// design, which knows no steps and no plans, and finds references by walking them all.
func TestAgainstDefinition(t *testing.T) {
	due, rewritten := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		in := someInput(t)
		w := someWorld(t, in)
		got := w.changes(Compile(in))
		for _, d := range in.Datastore.Datasets {
			o := definition{in, w, d}
			want := o.changes(func(r Rule) bool { return r.DeleteAfter != "" && r.Action != Anonymize })
			if got[d.Name] != want {
				t.Fatalf("%s deleted: %v, by definition: %v\n%s", d.Name, got[d.Name], want, render(Compile(in)))
			}
			if want {
				due++
			}
			for _, f := range someFields {
				want := o.changes(func(r Rule) bool { return r.DeleteAfter != "" && r.Action == Anonymize && rewrites(r, f) })
				if got := got[d.Name+"."+f]; got != want && (got || !refused(Compile(in), d.Name, f)) {
					t.Fatalf("%s.%s rewritten: %v, by definition: %v\n%s", d.Name, f, got, want, render(Compile(in)))
				}
				if got[d.Name+"."+f] {
					rewritten++
				}
			}
		}
	})
	if due < 5 || rewritten < 5 {
		t.Errorf("only %d records were due, %d fields rewritten: the generator has become too tame to say anything", due, rewritten)
	}
}

func rewrites(r Rule, field string) bool {
	return slices.ContainsFunc(r.Transforms, func(t Transform) bool { return t.Field == field })
}

// refused tells whether the plan says that a field is needed to reckon a period.
func refused(p Plan, dataset, field string) bool {
	return slices.ContainsFunc(p.Excluded, func(e Exclusion) bool {
		return e.Dataset == dataset && e.Reason == StartingPointRewritten && slices.Contains(fieldsOf(e), field)
	})
}

type definition struct {
	in Input
	w  world
	d  Dataset
}

// stays tells whether a hold keeps the dataset, or somebody's retainAtLeast the record.
func (o definition) stays() bool {
	for _, h := range o.in.Holds {
		if !h.Subject && h.Condition == nil && o.held(h, o.d) {
			return true
		}
	}
	for _, p := range append([]Policy{o.in.Policy}, o.in.Others...) {
		for _, r := range p.Rules {
			if r.RetainAtLeast != "" && o.covers(r) > 0 && !o.over(p, r, r.RetainAtLeast) {
				return true
			}
		}
	}
	return false
}

// held tells whether a hold covers a dataset.
func (o definition) held(h HoldInput, d Dataset) bool {
	if h.Datasets == nil && h.DataClasses == nil {
		return true
	}
	return slices.Contains(h.Datasets, d.Name) || slices.Contains(h.DataClasses, d.DataClass)
}

// mayBeHeld tells whether a hold keeps records of the dataset: all, or those of a person or a condition with what refers
// to them.
func (o definition) mayBeHeld() bool {
	for _, h := range o.in.Holds {
		for _, d := range o.in.Datastore.Datasets {
			single := h.Subject || h.Condition != nil
			if o.held(h, d) && (d.Name == o.d.Name || single && o.leadsTo(d.Name)) {
				return true
			}
		}
	}
	return false
}

// leadsTo tells whether references lead from the dataset to another one.
func (o definition) leadsTo(to string) bool {
	ways := map[int]int{}
	o.walk(o.d.Name, to, nil, ways)
	return len(ways) > 0
}

// changes tells whether the record is due for an action, which asks tells of a rule.
func (o definition) changes(asks func(Rule) bool) bool {
	if o.stays() {
		return false
	}
	best := 0
	for _, r := range o.in.Policy.Rules {
		if asks(r) {
			best = max(best, o.covers(r))
		}
	}
	for _, p := range o.in.Others {
		for _, r := range p.Rules {
			if asks(r) && o.covers(r) == 2 && best < 2 {
				return false
			}
		}
	}
	if best == 0 {
		return false
	}
	var winner *Rule
	var soonest time.Time
	for _, r := range o.in.Policy.Rules {
		period, err := schedule.ParsePeriod(r.DeleteAfter)
		if _, ok := o.start(r); !ok || err != nil || o.in.Policy.Zone == nil || !asks(r) || o.covers(r) < best {
			continue
		}
		if c := period.Cutoff(o.in.Slot, o.in.Policy.Zone); winner == nil || c.After(soonest) {
			winner, soonest = &r, c
		}
	}
	return winner != nil && o.over(o.in.Policy, *winner, winner.DeleteAfter)
}

// covers is 2 for a rule that names the dataset, 1 for one that covers its class, 0 otherwise.
func (o definition) covers(r Rule) int {
	switch {
	case slices.Contains(r.Datasets, o.d.Name):
		return 2
	case slices.Contains(r.DataClasses, o.d.DataClass):
		return 1
	}
	return 0
}

// over tells whether the period of the record, and of every older one, is over at the slot: start + period ≤ slot. That
// older ones count as well matters around the ends of months and changes of the clock, see schedule.Period.Cutoff.
func (o definition) over(p Policy, r Rule, text string) bool {
	start, ok := o.start(r)
	period, err := schedule.ParsePeriod(text)
	if !ok || err != nil || p.Zone == nil || start.Before(EarliestPlausible) || !start.Before(LatestPlausible) {
		return false
	}
	if period.AddTo(start, p.Zone).After(o.in.Slot) {
		return false
	}
	// Slots are full hours and zones differ by quarters of one, so that no exception lies between two of these.
	const quarter = 15 * time.Minute
	for older := start.Add(-time.Microsecond).Truncate(quarter).Add(time.Microsecond); start.Sub(older) < 4*24*time.Hour; older = older.Add(-quarter) {
		if older.Before(start) && period.AddTo(older, p.Zone).After(o.in.Slot) {
			return false
		}
	}
	return true
}

// start is the record's value of the field that the rule starts from, or false if there is no such field.
func (o definition) start(r Rule) (time.Time, bool) {
	parent, field, dotted := strings.Cut(r.StartingFrom, ".")
	switch {
	case r.StartingFrom == "":
		return o.w[o.d.Name+".created_at"], o.d.TimestampField != ""
	case !dotted:
		return o.w[o.d.Name+"."+r.StartingFrom], true
	case field == "":
		return time.Time{}, false
	}
	ways := map[int]int{} // how many ways there are of each length
	o.walk(o.d.Name, parent, nil, ways)
	for length := range 10 {
		if ways[length] > 0 {
			return o.w[parent+"."+field], ways[length] == 1
		}
	}
	return time.Time{}, false
}

// walk counts the ways from one dataset to another that visit none twice.
func (o definition) walk(from, to string, visited []string, ways map[int]int) {
	at := slices.IndexFunc(o.in.Datastore.Datasets, func(d Dataset) bool { return d.Name == from })
	if at < 0 || slices.Contains(visited, from) {
		return
	}
	if from == to {
		ways[len(visited)]++
		return
	}
	references := slices.Clone(o.in.Datastore.Datasets[at].References)
	slices.SortFunc(references, func(a, b Reference) int { return strings.Compare(a.Field+a.Dataset, b.Field+b.Dataset) })
	for _, r := range slices.Compact(references) {
		o.walk(r.Dataset, to, append(slices.Clip(visited), from), ways)
	}
}
