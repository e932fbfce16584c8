// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
)

// anonymize decides, for each field of the dataset at place i that a rule rewrites, which rule does, and returns one
// step for each rule that wins any field, in the order of the rules.
func (c *compiler) anonymize(i int, d duties) ([]Step, []Exclusion) {
	type won struct {
		by     *candidate
		fields []Transform
	}
	var wins []won
	var lost []lostFields
	for _, field := range c.rewrittenFields(i) {
		own, rivals := c.candidates(i, Anonymize, func(r *rule) bool { return r.transform(field) != nil })
		winner, losses := c.decide(own, rivals)
		if winner != nil {
			needed := c.neededBy(fieldOf{i, field}, winner.rule)
			switch {
			case d.stays() != nil:
				losses = append(losses, loss{*winner, *d.stays()})
			case needed != nil:
				losses = append(losses, loss{*winner, trouble{StartingPointRewritten,
					fmt.Sprintf("%s needs the value to reckon or to reach its starting point", needed)}})
			default:
				at := slices.IndexFunc(wins, func(w won) bool { return w.by.rule == winner.rule })
				if at < 0 {
					at, wins = len(wins), append(wins, won{by: winner})
				}
				wins[at].fields = append(wins[at].fields, *winner.rule.transform(field))
			}
		}
		for _, l := range losses {
			lost = merge(lost, l, field)
		}
	}
	var steps []Step
	for _, r := range c.rules {
		for _, w := range wins {
			if w.by.rule == r {
				s := c.step(i, *w.by, d)
				s.Transforms = w.fields
				steps = append(steps, s)
			}
		}
	}
	var out []Exclusion
	for _, l := range lost {
		out = append(out, l.exclusion(c.data.datasets[i].Name))
	}
	return steps, out
}

// rewrittenFields are the fields of the dataset that rules of the policy rewrite, in the order of the rules.
func (c *compiler) rewrittenFields(i int) []string {
	var out []string
	for _, r := range c.rules {
		if !r.own || !r.acts(Anonymize) || r.match(c.data.datasets[i]) == notAtAll {
			continue
		}
		for _, t := range r.Transforms {
			if !slices.Contains(out, t.Field) {
				out = append(out, t.Field)
			}
		}
	}
	return out
}

// transform is what the rule does to a field, nil if nothing.
func (r *rule) transform(field string) *Transform {
	for i, t := range r.Transforms {
		if t.Field == field {
			return &r.Transforms[i]
		}
	}
	return nil
}

// lostFields are the fields that one rule does not rewrite, for one reason.
type lostFields struct {
	loss
	fields []string
}

func merge(lost []lostFields, l loss, field string) []lostFields {
	for i, have := range lost {
		if have.rule == l.rule && have.loss.trouble == l.trouble {
			lost[i].fields = append(lost[i].fields, field)
			return lost
		}
	}
	return append(lost, lostFields{l, []string{field}})
}

func (l lostFields) exclusion(dataset string) Exclusion {
	return Exclusion{Dataset: dataset, Rule: l.rule.Name, Reason: l.reason,
		Message: fmt.Sprintf("not anonymized: %s: %s", list(l.fields), l.why)}
}
