// SPDX-License-Identifier: Apache-2.0

package report

import (
	"maps"
	"slices"

	"dataretention.dev/retention-operator/internal/evidence"
)

// holdData is what statements, and the object, tell of a hold.
type holdData struct {
	out    Hold
	inside bool // a run of the period respected it
}

// hold takes in that a hold was enforced or released.
func (b *builder) hold(p *evidence.Predicate, ref *Ref) {
	if p.Hold == nil {
		return
	}
	d := b.holdOf(*p.Hold)
	o := &d.out
	o.fill(p.Hold)
	if p.Kind == evidence.HoldReleased {
		o.State, o.ReleasedEvidence = HoldReleased, ref
		o.Released, o.Release = utc(p.Hold.ReleasedTime), p.Hold.Release
		if o.Released == nil {
			o.Released = &ref.Time
		}
		return
	}
	o.EnforcedEvidence = ref
	if o.State != HoldReleased {
		o.State = HoldInForce
	}
	if o.Enforced == nil {
		o.Enforced = &ref.Time
	}
}

func (b *builder) holdOf(h evidence.Hold) *holdData {
	id := identity(h.Object)
	d := b.holds[id]
	if d == nil {
		d = &holdData{out: Hold{Namespace: h.Namespace, Name: h.Name, UID: h.UID, State: HoldSeen}}
		b.holds[id] = d
	}
	return d
}

// fill takes what a statement says of the hold, where it says something.
func (o *Hold) fill(h *evidence.Hold) {
	for to, from := range map[*string]string{
		&o.Scope: h.Scope, &o.Reason: h.Reason, &o.Authority: h.Authority, &o.Reference: h.Reference,
	} {
		if from != "" {
			*to = from
		}
	}
	if h.EnforcedTime != nil {
		o.Enforced = utc(h.EnforcedTime)
	}
	if c := countOf(h.Records); c != nil {
		o.Records = c
	}
}

// respected notes that a Result of the period respected a hold.
func (b *builder) respected(h evidence.Hold) {
	d := b.holdOf(h)
	d.inside = true
	d.out.Respected++
	if d.out.State == HoldSeen {
		d.out.fill(&h)
	}
}

// finishHolds keeps those that were in force at some time in the period, or were meant to be.
func (b *builder) finishHolds() {
	for _, id := range slices.Sorted(maps.Keys(b.holds)) {
		d := b.holds[id]
		o := &d.out
		if o.Enforced != nil && !o.Enforced.Before(b.in.Until) {
			continue
		}
		if o.Released != nil && o.Released.Before(b.in.From) && !d.inside {
			continue
		}
		b.r.Holds = append(b.r.Holds, *o)
	}
	rank := map[HoldState]int{HoldGone: 0, HoldPending: 1, HoldSeen: 2, HoldInForce: 3, HoldReleased: 4}
	slices.SortFunc(b.r.Holds, func(x, y Hold) int {
		if rank[x.State] != rank[y.State] {
			return rank[x.State] - rank[y.State]
		}
		return compareStrings(x.Namespace, y.Namespace, x.Name, y.Name, x.UID, y.UID)
	})
	b.r.Holds = list(b.r.Holds)
}
