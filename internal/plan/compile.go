// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Compile decides which records of a datastore a policy's run deletes or anonymizes. It never fails: what cannot be
// decided is left out of the plan, with the reason, and Plan.Problems names it.
//
// Precedence: a hold beats everything; what any policy retains beats what one may delete or anonymize; of several
// retainAtLeast the longest holds; a rule that names the dataset beats one that covers its class, whichever policy it is of; then the shortest
// deleteAfter wins. Deleting and anonymizing are separate questions, the latter one for each field.
func Compile(in Input) Plan {
	in.Slot = in.Slot.UTC().Truncate(time.Microsecond)
	if in.Limits == (Limits{}) {
		in.Limits = DefaultLimits
	}
	c := &compiler{in: in, data: newDataMap(in.Datastore.filled()), holds: inOrderOfUID(in.Holds)}
	p := Plan{Version: Version, Kind: Retention, Run: in.Run, Mode: in.Policy.mode(), Policy: in.Policy.Ref,
		Datastore: in.Datastore.Ref, Engine: in.Datastore.Engine, Identity: in.Datastore.Identity,
		TimeZone: cmp.Or(in.Datastore.TimeZone, "UTC"), Slot: in.Slot, Guardrails: in.Policy.Guardrails, Limits: in.Limits,
		Datasets: c.data.datasets}
	if !plausible(in.Slot) {
		for _, d := range p.Datasets {
			p.Excluded = append(p.Excluded, Exclusion{Dataset: d.Name, Reason: SlotImplausible,
				Message: "the run's slot is no plausible time: " + in.Slot.Format(time.RFC3339)})
		}
		return p
	}
	c.rules = readRules(in.Policy, in.Others, in.Slot)
	c.needed = c.reckonedFrom()
	p.Holds = c.rowHolds()
	excluded := make([][]Exclusion, len(p.Datasets))
	notes := c.ruleNotes()
	for _, i := range c.data.order() {
		d := c.duties(i)
		steps, out := c.dataset(i, d)
		p.Datasets[i].Protected, p.Datasets[i].Held = d.protected, d.heldBy != nil
		p.Steps = append(p.Steps, steps...)
		excluded[i] = out
		if len(steps) > 0 {
			notes = append(notes, d.idle...)
		}
	}
	p.Excluded = slices.Concat(excluded...)
	p.Notes = slices.Concat(notes, c.datasetNotes(p.Steps))
	for i := range p.Excluded {
		p.Excluded[i].Message = clip(p.Excluded[i].Message)
	}
	for i := range p.Notes {
		p.Notes[i].Message = clip(p.Notes[i].Message)
	}
	return p
}

type compiler struct {
	in    Input
	data  *dataMap
	rules []*rule
	holds []HoldInput
	// needed is what reckonedFrom returns.
	needed map[fieldOf][]*rule
}

// dataset returns the steps for the dataset at place i, deletion first, and why other rules, or all, are left out.
func (c *compiler) dataset(i int, d duties) ([]Step, []Exclusion) {
	var steps []Step
	var out []Exclusion
	name := c.data.datasets[i].Name
	winner, losses := c.decide(c.candidates(i, Delete, func(*rule) bool { return true }))
	switch {
	case winner == nil:
	case d.stays() != nil:
		losses = append(losses, loss{*winner, *d.stays()})
	default:
		steps = append(steps, c.step(i, *winner, d))
	}
	slices.SortStableFunc(losses, func(a, b loss) int {
		return slices.Index(c.rules, a.rule) - slices.Index(c.rules, b.rule)
	})
	for _, l := range losses {
		out = append(out, Exclusion{Dataset: name, Rule: l.rule.Name, Reason: l.reason, Message: l.why})
	}
	more, lost := c.anonymize(i, d)
	steps, out = append(steps, more...), append(out, lost...)
	if len(steps) == 0 && len(out) == 0 {
		out = c.untouched(i)
	}
	return steps, out
}

// untouched says why no rule asks for anything.
func (c *compiler) untouched(i int) []Exclusion {
	d := c.data.datasets[i]
	var out []Exclusion
	for _, r := range c.rules {
		if !r.own || r.match(d) == notAtAll {
			continue
		}
		if r.retention == nil {
			out = append(out, Exclusion{Dataset: d.Name, Rule: r.Name, Reason: InvalidRule,
				Message: "the rule asks for nothing that is known"})
			continue
		}
		e := Exclusion{Dataset: d.Name, Rule: r.Name, Reason: RetainOnly,
			Message: fmt.Sprintf("retained for at least %s; no rule of this policy says when it goes", r.retention.text)}
		if t := c.unclear(i, r, r.retention); t != nil {
			e.Reason, e.Message = t.reason, fmt.Sprintf("retained for at least %s, and it is unclear until when: %s", r.retention.text, t.why)
		}
		out = append(out, e)
	}
	if out == nil {
		out = []Exclusion{{Dataset: d.Name, Reason: NoRule, Message: noRuleMessage(d)}}
	}
	return out
}

func noRuleMessage(d Dataset) string {
	if d.DataClass == "" {
		return "no rule of this policy names the dataset, and it has no dataClass"
	}
	return fmt.Sprintf("no rule of this policy names the dataset or its class %s", d.DataClass)
}

// step is what a winning rule does.
func (c *compiler) step(i int, k candidate, d duties) Step {
	set := c.data.datasets[i]
	return Step{Dataset: set.Name, Path: set.Path, Rule: k.rule.Name, Action: k.rule.action(),
		Period: k.rule.deletion.text, LegalBasis: k.rule.LegalBasis, Start: k.start, Cutoff: k.rule.deletion.cutoff,
		Obligations: d.obligations, Protected: d.protected, Reason: c.why(set, k, d)}
}

// why tells a person why this rule applies, and what limits it.
func (c *compiler) why(d Dataset, k candidate, all duties) string {
	s := fmt.Sprintf("rule %s names the dataset", k.rule.Name)
	if k.how == byClass {
		s = fmt.Sprintf("rule %s covers the class %s", k.rule.Name, d.DataClass)
	}
	var longer, apart []string
	for _, o := range all.obligations {
		who := fmt.Sprintf("rule %s of policy %s (%s)", o.Rule, o.Policy, o.Period)
		switch {
		case !sameStart(o.Start, k.start):
			apart = append(apart, who)
		case o.Cutoff.Before(k.rule.deletion.cutoff):
			longer = append(longer, who)
		}
	}
	if longer != nil {
		s += "; retained longer by " + list(longer)
	}
	if apart != nil {
		s += "; retained, from another starting point, by " + list(apart)
	}
	if (longer != nil || apart != nil) && k.rule.action() == Anonymize {
		s += "; a record that must be kept is kept unchanged"
	}
	return s
}
