// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// ErasureInput is all that an erasure plan is compiled from. CompileErasure keeps and changes none of it.
type ErasureInput struct {
	// Run is the name of the run.
	Run string
	// Mode is Simulate to find records only; empty is Enforce.
	Mode Mode
	// SealTo is the public key that the account is sealed to.
	SealTo string
	// Requests are served together, in this order.
	Requests []Request
	// Policies are all policies of the namespace that select the datastore, in any order, also those that are suspended or
	// that simulate: what they retain is retained.
	Policies []Policy
	// Holds are all holds that select the datastore, in any order.
	Holds     []HoldInput
	Datastore Datastore
	// Slot is the instant that every obligation is reckoned from.
	Slot time.Time
	// Limits is replaced by DefaultLimits when it is zero.
	Limits Limits
}

// CompileErasure decides what becomes of the records of persons in each dataset of a datastore. As Compile, it never
// fails. A hold beats an obligation, which beats what the dataset's onErasure says; that a person asked beats every
// period after which data may go, and every other use that is made of a field.
func CompileErasure(in ErasureInput) Plan {
	in.Slot = in.Slot.UTC().Truncate(time.Microsecond)
	if in.Limits == (Limits{}) {
		in.Limits = DefaultLimits
	}
	c := &compiler{data: newDataMap(in.Datastore.filled()), holds: inOrderOfUID(in.Holds),
		rules: readRules(Policy{}, in.Policies, in.Slot)}
	p := Plan{Version: Version, Kind: ErasureKind, Run: in.Run, Mode: cmp.Or(in.Mode, Enforce), Datastore: in.Datastore.Ref,
		Engine: in.Datastore.Engine, Identity: in.Datastore.Identity, TimeZone: cmp.Or(in.Datastore.TimeZone, "UTC"),
		Slot: in.Slot, Limits: in.Limits, Datasets: c.data.datasets, Holds: c.rowHolds(),
		Erasure: newErasure(in.SealTo, c.data.types(), in.Requests)}
	excluded := make([][]Exclusion, len(p.Datasets))
	for _, i := range c.data.orderBy(c.data.leads) {
		d := c.duties(i)
		if !c.data.personal(i) {
			excluded[i] = []Exclusion{{Dataset: p.Datasets[i].Name, Reason: NoPerson,
				Message: "it has no identifiers, and no references lead from it to a dataset that has"}}
		} else {
			step := c.erase(i, d, in.Datastore.OnErasure[p.Datasets[i].Name], in.Slot)
			d.protected = step.Protected
			p.Erasure.Steps = append(p.Erasure.Steps, step)
			p.Notes = append(p.Notes, step.staying(p.Datasets[i].Identifiers)...)
		}
		p.Datasets[i].Protected, p.Datasets[i].Held = d.protected, d.heldBy != nil
	}
	p.Excluded = slices.Concat(excluded...)
	return p
}

// erase is what becomes of the records of persons in the dataset at place i. No side effect of another step may change
// or delete records that this one leaves: nobody would find them again.
func (c *compiler) erase(i int, d duties, on OnErasure, slot time.Time) ErasureStep {
	set := c.data.datasets[i]
	s := ErasureStep{Dataset: set.Name, Path: set.Path, Action: on.Action, LegalBasis: on.LegalBasis,
		Obligations: d.obligations, HeldBy: d.heldBy, Transforms: on.Transforms}
	if s.Action == "" || s.Action == EraseAnonymize && s.Transforms == nil {
		s.Action = EraseUndeclared
	}
	switch {
	case !plausible(slot):
		s.Unclear = "the run's slot is no plausible time: " + slot.Format(time.RFC3339)
	case d.unclear != nil:
		s.Unclear = clip(d.unclear.why)
	case s.Action == EraseAnonymize:
		s.Unclear = clip(c.moves(i, s.Transforms))
	}
	s.Protected = d.protected || !s.Acts()
	return s
}

// moves says which transform of the dataset at place i would move the end of an obligation that is on other records, and
// may be on records that nobody asked to erase; empty if none does. A value that is emptied moves no end: without it there
// is none.
func (c *compiler) moves(i int, transforms []Transform) string {
	for k, d := range c.data.datasets {
		for _, r := range c.rules {
			start, t := c.data.start(k, r.StartingFrom)
			if r.retention == nil || r.match(d) == notAtAll || t != nil {
				continue
			}
			for _, f := range c.data.path(k, start)[1:] {
				rewrites := func(t Transform) bool { return f == fieldOf{i, t.Field} && t.With != MethodNull }
				if slices.ContainsFunc(transforms, rewrites) {
					return fmt.Sprintf("%s retains records of %s by %s.%s, which onErasure.anonymize would rewrite", r, d.Name,
						c.data.datasets[i].Name, f.field)
				}
			}
		}
	}
	return ""
}

// staying says which identifiers a step that anonymizes leaves as they are: the records are as personal as before.
func (s *ErasureStep) staying(identifiers []Identifier) []Note {
	var fields []string
	for _, id := range identifiers {
		if !slices.ContainsFunc(s.Transforms, func(t Transform) bool { return t.Field == id.Field }) {
			fields = append(fields, id.Field)
		}
	}
	if s.Action != EraseAnonymize || fields == nil {
		return nil
	}
	return []Note{{Code: IdentifierStays, Dataset: s.Dataset,
		Message: clip("onErasure.anonymize leaves identifiers of the person as they are: " + list(sorted(fields)))}}
}

// CompileIntake returns the plan that reads the identifiers of the requests' persons and seals them. It is about no
// datastore.
func CompileIntake(run, sealTo string, types []string, requests []Request) Plan {
	return Plan{Version: Version, Kind: Intake, Run: run, TimeZone: "UTC", Limits: DefaultLimits, Datasets: []Dataset{},
		Erasure: newErasure(sealTo, sorted(slices.Clone(types)), requests)}
}

// newErasure has lists that are encoded as such also if they are empty.
func newErasure(sealTo string, types []string, requests []Request) *Erasure {
	all := append([]string{}, types...)
	for _, r := range requests {
		for _, c := range r.Commitments {
			kind, _, _ := strings.Cut(c, ":")
			all = append(all, kind)
		}
	}
	return &Erasure{SealTo: sealTo, Types: sorted(all), Requests: append([]Request{}, requests...), Steps: []ErasureStep{}}
}

// types are the types of identifiers that datasets carry, in their order.
func (m *dataMap) types() []string {
	var out []string
	for _, d := range m.datasets {
		for _, id := range d.Identifiers {
			out = append(out, id.Type)
		}
	}
	return sorted(out)
}

// personal tells whether the dataset at place i may hold records of a person: it carries identifiers, or references lead
// from it to one that does.
func (m *dataMap) personal(i int) bool {
	for j, d := range m.datasets {
		if len(d.Identifiers) > 0 && (i == j || m.reaches[i][j]) {
			return true
		}
	}
	return false
}

// leads weighs how much the records of the dataset at place i lead to: by how many types of identifiers, and, among
// equals, whether others refer to them.
func (m *dataMap) leads(i int) int {
	var types []string
	for _, id := range m.datasets[i].Identifiers {
		types = append(types, id.Type)
	}
	return 2*len(sorted(types)) + min(1, len(m.children(i)))
}

// orderBy returns all places, children before parents. What no reference orders, or only a circle of them, stands with
// the least weight first, and else in the order of the map: what leads to a person's other records goes last, so that an
// erasure which dies in the middle finds them again.
func (m *dataMap) orderBy(weight func(i int) int) []int {
	var out []int
	done := make([]bool, len(m.datasets))
	for len(out) < len(m.datasets) {
		next := -1
		for j := range m.datasets { // below is a strict order, so that one is always free
			waits := slices.ContainsFunc(m.children(j), func(i int) bool { return !done[i] })
			if !done[j] && !waits && (next < 0 || weight(j) < weight(next)) {
				next = j
			}
		}
		done[next] = true
		out = append(out, next)
	}
	return out
}
