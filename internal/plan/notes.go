// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
)

// ruleNotes says which rules of the policy cover nothing, or contradict themselves.
func (c *compiler) ruleNotes() []Note {
	var out []Note
	for _, r := range c.rules {
		if !r.own {
			continue
		}
		covers := slices.ContainsFunc(c.data.datasets, func(d Dataset) bool { return r.match(d) != notAtAll })
		missing := c.missing(r)
		switch {
		case !covers:
			out = append(out, Note{Code: RuleMatchesNothing, Rule: r.Name,
				Message: "the datastore has nothing that the rule covers: no " + list(missing)})
		case len(missing) > 0:
			out = append(out, Note{Code: NameMatchesNothing, Rule: r.Name,
				Message: "the datastore has no " + list(missing)})
		}
		if covers && r.contradicts() {
			out = append(out, Note{Code: PeriodsContradict, Rule: r.Name, Message: fmt.Sprintf(
				"retainAtLeast %s is longer than deleteAfter %s; records are kept until retainAtLeast is over",
				r.retention.text, r.deletion.text)})
		}
	}
	return out
}

// missing are the datasets and classes that a rule speaks of and the datastore does not have.
func (c *compiler) missing(r *rule) []string {
	var out []string
	for _, name := range r.Datasets {
		if _, known := c.data.place[name]; !known {
			out = append(out, "dataset "+name)
		}
	}
	for _, class := range r.DataClasses {
		if !slices.ContainsFunc(c.data.datasets, func(d Dataset) bool { return d.DataClass == class }) {
			out = append(out, "class "+class)
		}
	}
	return out
}

// datasetNotes says what stands beside the steps: other policies, children that stay, circles.
func (c *compiler) datasetNotes(steps []Step) []Note {
	var out []Note
	for _, s := range steps {
		i := c.data.place[s.Dataset]
		if others := c.otherActors(i, s); others != nil {
			out = append(out, Note{Code: OtherPolicyActs, Dataset: s.Dataset, Rule: s.Rule,
				Message: fmt.Sprintf("also asked for, on its own schedule, by %s", list(others))})
		}
		if children := c.stayingChildren(i, s, steps); children != nil {
			out = append(out, Note{Code: ChildStays, Dataset: s.Dataset, Rule: s.Rule,
				Message: fmt.Sprintf("records of %s may stay longer than the records that they refer to here: "+
					"they block the deletion, or lose what they refer to", list(children))})
		}
	}
	for _, circle := range c.data.circles() {
		out = append(out, Note{Code: ReferenceCycle, Message: fmt.Sprintf(
			"%s refer to each other in a circle; they are taken in the order of the data map", list(circle))})
	}
	return out
}

// otherActors are the rules of other policies that ask for the same (of a step that anonymizes: for any of its fields)
// and do not give way to a rule that names the dataset.
func (c *compiler) otherActors(i int, s Step) []string {
	asks := func(r *rule) bool {
		rewrites := slices.ContainsFunc(s.Transforms, func(t Transform) bool { return r.transform(t.Field) != nil })
		return r.acts(s.Action) && (s.Action == Delete || rewrites)
	}
	named := slices.ContainsFunc(c.rules, func(r *rule) bool {
		return asks(r) && r.match(c.data.datasets[i]) == byName
	})
	var out []string
	for _, r := range c.rules {
		how := r.match(c.data.datasets[i])
		if !r.own && asks(r) && (how == byName || how == byClass && !named) && !c.inactive(r.policy) {
			out = append(out, fmt.Sprintf("%s (%s)", r, r.deletion.text))
		}
	}
	return out
}

// stayingChildren are the datasets that reference the one at place i, of which a deletion is planned, and that have no
// deletion themselves, or a later one from the same starting point.
func (c *compiler) stayingChildren(i int, parent Step, steps []Step) []string {
	if parent.Action != Delete {
		return nil
	}
	var out []string
	for j, d := range c.data.datasets {
		refers := slices.ContainsFunc(c.data.edges[j], func(e edge) bool { return e.to == i })
		if !refers {
			continue
		}
		at := slices.IndexFunc(steps, func(s Step) bool { return s.Action == Delete && s.Dataset == d.Name })
		if at < 0 || c.sameField(j, steps[at].Start, i, parent.Start) && steps[at].Cutoff.Before(parent.Cutoff) {
			out = append(out, d.Name)
		}
	}
	return out
}

// sameField tells whether two starting points, of the datasets at places i and j, are the same field.
func (c *compiler) sameField(i int, a Start, j int, b Start) bool {
	return c.data.owner(i, a) == c.data.owner(j, b) && a.Field == b.Field
}
