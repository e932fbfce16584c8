// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"errors"
	"fmt"
	"time"

	"dataretention.dev/retention-operator/internal/schedule"
)

// rule is one rule of one policy with its periods reckoned at the slot.
type rule struct {
	Rule
	policy *Policy
	own    bool
	// deletion and retention are deleteAfter and retainAtLeast; nil where the rule has none.
	deletion, retention *limit
}

// limit is a period reckoned at the slot: either its cutoff, or why there is none.
type limit struct {
	text   string
	cutoff time.Time
	err    error
}

// readRules reads the rules of the policy itself, which come first, and of the others.
func readRules(own Policy, others []Policy, slot time.Time) []*rule {
	var out []*rule
	add := func(p Policy, isOwn bool) {
		for _, r := range p.Rules {
			out = append(out, &rule{Rule: r, policy: &p, own: isOwn,
				deletion:  reckon("deleteAfter", r.DeleteAfter, slot, p.Zone),
				retention: reckon("retainAtLeast", r.RetainAtLeast, slot, p.Zone)})
		}
	}
	add(own, true)
	for _, p := range inOrder(own, others) {
		add(p, false)
	}
	return out
}

var errZone = errors.New("the policy's time zone is unknown")

// reckon returns nil for an absent period.
func reckon(field, text string, slot time.Time, zone *time.Location) *limit {
	if text == "" {
		return nil
	}
	l := &limit{text: text}
	period, err := schedule.ParsePeriod(text)
	switch {
	case err != nil:
		l.err = fmt.Errorf("%s: %w", field, err)
	case zone == nil:
		l.err = errZone
	default:
		l.cutoff = period.Cutoff(slot, zone)
		if !l.cutoff.Before(slot) {
			l.err = fmt.Errorf("%s: the cutoff of %s is not before the slot", field, text)
		}
	}
	return l
}

// acts tells whether the rule asks for an action on a dataset that it covers.
func (r *rule) acts(a Action) bool {
	return r.deletion != nil && r.action() == a
}

// contradicts tells whether the rule retains for longer than its own deleteAfter, at this slot.
func (r *rule) contradicts() bool {
	return r.retention != nil && r.deletion != nil && r.retention.err == nil && r.deletion.err == nil &&
		r.retention.cutoff.Before(r.deletion.cutoff)
}

// String names the rule for people; a rule of another policy with that policy.
func (r *rule) String() string {
	if r.own {
		return "rule " + r.Name
	}
	return fmt.Sprintf("rule %s of policy %s", r.Name, r.policy.Ref.Name)
}

// unclear says why one of a rule's periods cannot be reckoned for the dataset at place i; nil if it can.
func (c *compiler) unclear(i int, r *rule, l *limit) *trouble {
	if l.err != nil {
		return &trouble{InvalidRule, l.err.Error()}
	}
	_, t := c.data.start(i, r.StartingFrom)
	return t
}
