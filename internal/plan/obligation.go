// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
)

// duties is what all policies together retain of one dataset, and what holds keep of it.
type duties struct {
	// obligations are the longest for each starting point.
	obligations []Obligation
	// unclear is why it cannot be reckoned until when; nothing of the dataset may change then.
	unclear *trouble
	// heldBy are the holds that keep the whole dataset.
	heldBy []string
	// protected is true when any retainAtLeast covers the dataset, or a hold does, or one on single records of the dataset
	// or of one that its references lead to.
	protected bool
	// idle says which obligations are outlasted by which.
	idle []Note
}

// duties collects every retainAtLeast that covers the dataset at place i, each reckoned in its own policy's zone. How a
// rule covers it does not matter here: what must be retained beats every precedence among deletions.
func (c *compiler) duties(i int) duties {
	d := duties{heldBy: c.heldBy(i), protected: slices.ContainsFunc(c.holds, func(h HoldInput) bool { return c.data.kept(h, i) })}
	var rules []*rule // of d.obligations
	outlasted := map[int][]string{}
	for _, r := range c.rules {
		if r.retention == nil || r.match(c.data.datasets[i]) == notAtAll {
			continue
		}
		d.protected = true
		start, _ := c.data.start(i, r.StartingFrom)
		if t := c.unclear(i, r, r.retention); t != nil {
			if d.unclear == nil {
				d.unclear = &trouble{ObligationUnclear,
					fmt.Sprintf("%s retains the dataset for %s, and it is unclear until when: %s", r, r.retention.text, t.why)}
			}
			continue
		}
		o := Obligation{Policy: r.policy.Ref.Name, Rule: r.Name, Period: r.retention.text, Start: start,
			Cutoff: r.retention.cutoff, LegalBasis: r.LegalBasis}
		at := slices.IndexFunc(d.obligations, func(have Obligation) bool { return sameStart(have.Start, start) })
		switch {
		case at < 0:
			d.obligations, rules = append(d.obligations, o), append(rules, r)
		case o.Cutoff.Before(d.obligations[at].Cutoff):
			outlasted[at] = append(outlasted[at], fmt.Sprintf("%s (%s)", rules[at], rules[at].retention.text))
			d.obligations[at], rules[at] = o, r
		default:
			outlasted[at] = append(outlasted[at], fmt.Sprintf("%s (%s)", r, r.retention.text))
		}
	}
	for at, r := range rules {
		if names := outlasted[at]; names != nil {
			d.idle = append(d.idle, Note{Code: RetainedLonger, Dataset: c.data.datasets[i].Name, Rule: ownName(r),
				Message: fmt.Sprintf("%s (%s) retains at least as long as %s", r, r.retention.text, list(names))})
		}
	}
	return d
}

// stays is why nothing of the dataset may change; nil if some records may.
func (d duties) stays() *trouble {
	if d.heldBy != nil {
		return &trouble{Held, "held by " + list(d.heldBy) + "; nothing is deleted or changed here until that is released"}
	}
	return d.unclear
}

func sameStart(a, b Start) bool {
	return a.Field == b.Field && slices.Equal(a.Via, b.Via)
}

func ownName(r *rule) string {
	if r.own {
		return r.Name
	}
	return ""
}

// fieldOf names a field by the place of its dataset.
type fieldOf struct {
	place int
	field string
}

// reckonedFrom returns, for every field that some policy's period runs from or that leads there, the rules that need
// it. A rewritten value would move the period, or hide its end.
func (c *compiler) reckonedFrom() map[fieldOf][]*rule {
	out := map[fieldOf][]*rule{}
	for i, d := range c.data.datasets {
		for _, r := range c.rules {
			if r.match(d) == notAtAll {
				continue
			}
			start, t := c.data.start(i, r.StartingFrom)
			if t != nil {
				continue
			}
			for _, f := range c.data.path(i, start) {
				out[f] = append(out[f], r)
			}
		}
	}
	return out
}

// path are the fields that lead from a record of the dataset at place i to its starting point. The first is its own, the
// others are of other records.
func (m *dataMap) path(i int, s Start) []fieldOf {
	var out []fieldOf
	for _, hop := range s.Via {
		out = append(out, fieldOf{i, hop.Field})
		i = m.place[hop.Dataset]
		out = append(out, fieldOf{i, hop.Key})
	}
	return append(out, fieldOf{i, s.Field})
}

// neededBy returns a rule whose period would be moved if by rewrote the field; nil if there is none. That a rule empties
// the field which its own anonymizing runs from is fine: by then the period is over.
func (c *compiler) neededBy(f fieldOf, by *rule) *rule {
	for _, r := range c.needed[f] {
		if r != by || r.retention != nil {
			return r
		}
	}
	return nil
}
