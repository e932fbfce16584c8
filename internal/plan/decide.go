// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
)

// candidate is a rule that asks for an action on a dataset.
type candidate struct {
	rule *rule
	how  matched
	// start is where its period runs from, unless trouble says that the rule cannot be applied here.
	start   Start
	trouble *trouble
}

// loss is a candidate that has no say, and why.
type loss struct {
	candidate
	trouble
}

// candidates returns the rules that ask for the action on the dataset at place i and for which keep holds: those of the
// policy, and the others that name the dataset.
func (c *compiler) candidates(i int, a Action, keep func(*rule) bool) (own, rivals []candidate) {
	for _, r := range c.rules {
		how := r.match(c.data.datasets[i])
		if how == notAtAll || !r.acts(a) || !keep(r) {
			continue
		}
		k := candidate{rule: r, how: how}
		k.start, _ = c.data.start(i, r.StartingFrom)
		k.trouble = c.unclear(i, r, r.deletion)
		switch {
		case r.own:
			own = append(own, k)
		case how == byName:
			rivals = append(rivals, k)
		}
	}
	return own, rivals
}

// decide chooses among the candidates of one policy for one action on one dataset: one that names the dataset beats
// those that cover its class, also when another policy has it; then the latest cutoff, which is the shortest period,
// wins, and the first of equals. A candidate that cannot be applied never lets one through that it would have beaten by
// name: what it wants is unknown, and might be a longer period.
func (c *compiler) decide(own, rivals []candidate) (winner *candidate, losses []loss) {
	named := false
	for _, k := range own {
		named = named || k.how == byName
	}
	var usable, beaten []candidate
	for _, k := range own {
		switch {
		case named && k.how == byClass, !named && len(rivals) > 0:
			beaten = append(beaten, k)
		case k.trouble != nil:
			losses = append(losses, loss{k, *k.trouble})
		default:
			usable = append(usable, k)
		}
	}
	for i, k := range usable {
		if winner == nil || k.rule.deletion.cutoff.After(winner.rule.deletion.cutoff) {
			winner = &usable[i]
		}
	}
	for i, k := range usable {
		if &usable[i] != winner {
			losses = append(losses, loss{k, lostToShorter(k, *winner)})
		}
	}
	for _, k := range beaten {
		losses = append(losses, loss{k, c.lostToExplicit(own, rivals)})
	}
	return winner, losses
}

func lostToShorter(k, winner candidate) trouble {
	why := fmt.Sprintf("%s (%s) is shorter than %s", winner.rule, winner.rule.deletion.text, k.rule.deletion.text)
	if k.rule.deletion.cutoff.Equal(winner.rule.deletion.cutoff) {
		why = fmt.Sprintf("%s (%s) is as short as %s and stands first", winner.rule, winner.rule.deletion.text, k.rule.deletion.text)
	}
	if !sameStart(k.start, winner.start) {
		why += ", though from another starting point"
	}
	return trouble{LostToShorter, why}
}

// lostToExplicit says which rule names the dataset: one of the policy itself, else one of another.
func (c *compiler) lostToExplicit(own, rivals []candidate) trouble {
	for _, k := range own {
		if k.how == byName {
			return trouble{LostToExplicit, k.rule.String() + " names the dataset, this rule only its class"}
		}
	}
	for _, k := range rivals {
		if !c.inactive(k.rule.policy) {
			return trouble{LostToExplicit, k.rule.String() + " names the dataset, this rule only its class"}
		}
	}
	state := "only simulates"
	if rivals[0].rule.policy.Suspended {
		state = "is suspended"
	}
	return trouble{LostToInactive, fmt.Sprintf("%s names the dataset, this rule only its class; but that policy %s, "+
		"so that nothing is done here until it runs, or a rule of this policy names the dataset", rivals[0].rule, state)}
}

// inactive tells whether a policy that wins leaves the work undone that this one would do.
func (c *compiler) inactive(p *Policy) bool {
	return p.Suspended || p.mode() == Simulate && c.in.Policy.mode() != Simulate
}
