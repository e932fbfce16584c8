// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"cmp"
	"slices"
	"time"
)

// Input is all that a retention plan is compiled from. Compile keeps and changes none of it.
type Input struct {
	// Run is the name of the run.
	Run string
	// Policy is the one that runs.
	Policy Policy
	// Others are all other policies of the namespace that select the datastore, in any order, also those that are
	// suspended or that simulate: what they retain is retained.
	Others    []Policy
	Datastore Datastore
	// Holds are all holds that select the datastore, in any order.
	Holds []HoldInput
	// Slot is the instant that every cutoff is reckoned from.
	Slot time.Time
	// Limits is replaced by DefaultLimits when it is zero.
	Limits Limits
}

// Policy is the specification of one RetentionPolicy.
type Policy struct {
	Ref  Ref
	Mode Mode // empty is Enforce
	// Suspended policies start no run; their obligations hold nevertheless.
	Suspended bool
	// Zone is where periods are reckoned. Nil is a zone that cannot be loaded: no period of this policy can be reckoned
	// then, so that it deletes nothing, and nobody deletes what it retains.
	Zone       *time.Location
	Guardrails Guardrails
	Rules      []Rule
}

// Rule is one rule of a Policy. Periods are texts as a person wrote them.
type Rule struct {
	Name          string
	DataClasses   []string
	Datasets      []string
	DeleteAfter   string
	RetainAtLeast string
	// StartingFrom is empty, `field`, or `dataset.field`.
	StartingFrom string
	Action       Action // empty is Delete
	Transforms   []Transform
	LegalBasis   string
}

// Datastore is the data map of one Datastore, in the order that a person gave it.
type Datastore struct {
	Ref      Ref
	Engine   string
	Identity string
	// TimeZone is the IANA name of the zone in which dates, and timestamps without a zone, are read; empty is UTC.
	TimeZone string
	Datasets []Dataset
	// OnErasure says, by the names of datasets, what becomes of a person's records. A dataset that is not in it does not say.
	OnErasure map[string]OnErasure
}

// OnErasure is what becomes of a person's records in a dataset.
type OnErasure struct {
	Action     ErasureAction
	LegalBasis string
	Transforms []Transform
}

// matched is how a rule covers a dataset.
type matched int

const (
	notAtAll matched = iota
	byClass
	byName
)

// match tells how r covers d: a rule that does both names the dataset.
func (r Rule) match(d Dataset) matched {
	switch {
	case slices.Contains(r.Datasets, d.Name):
		return byName
	case d.DataClass != "" && slices.Contains(r.DataClasses, d.DataClass):
		return byClass
	}
	return notAtAll
}

// action is what the rule asks for once deleteAfter is over.
func (r Rule) action() Action {
	return cmp.Or(r.Action, Delete)
}

func (p Policy) mode() Mode {
	return cmp.Or(p.Mode, Enforce)
}

// inOrder returns the other policies in an order that does not depend on how they were listed, without own itself.
func inOrder(own Policy, others []Policy) []Policy {
	same := func(p Policy) bool { return p.Ref.Namespace == own.Ref.Namespace && p.Ref.Name == own.Ref.Name }
	out := slices.DeleteFunc(slices.Clone(others), same)
	slices.SortStableFunc(out, func(a, b Policy) int {
		return cmp.Or(cmp.Compare(a.Ref.Namespace, b.Ref.Namespace), cmp.Compare(a.Ref.Name, b.Ref.Name),
			cmp.Compare(a.Ref.UID, b.Ref.UID))
	})
	return out
}

// filled returns the datasets with their defaults written out.
func (d Datastore) filled() []Dataset {
	out := make([]Dataset, 0, len(d.Datasets))
	for _, s := range d.Datasets {
		s.Path = cmp.Or(s.Path, s.Name)
		if s.TimestampField != "" {
			s.TimestampFormat = cmp.Or(s.TimestampFormat, Native)
		}
		out = append(out, s)
	}
	return out
}
