// SPDX-License-Identifier: Apache-2.0

package plan

import "fmt"

// ExclusionReason is why a dataset has no step, or why a rule has no say in it: a closed set, in the form of a
// condition's reason.
type ExclusionReason string

// Reasons that are as somebody meant it.
const (
	// NoRule: no rule of the policy covers the dataset.
	NoRule ExclusionReason = "NoRule"
	// RetainOnly: the policy only retains here.
	RetainOnly ExclusionReason = "RetainOnly"
	// LostToExplicit: the rule covers the class, and another one names the dataset.
	LostToExplicit ExclusionReason = "LostToExplicit"
	// LostToShorter: another rule's deleteAfter is over sooner.
	LostToShorter ExclusionReason = "LostToShorter"
	// Held: holds keep the whole dataset.
	Held ExclusionReason = "Held"
	// NoPerson: no identifier leads to the dataset, so that nobody can tell whose its records are (in an erasure).
	NoPerson ExclusionReason = "NoPerson"
)

// Reasons that are problems: data is kept that a rule means to go, and a person has to change something.
const (
	// LostToInactive: the rule gives way to one of another policy that names the dataset, but that one is suspended or
	// only simulates, so that nobody carries it out.
	LostToInactive ExclusionReason = "LostToInactive"
	// NoTimestampField: the dataset has no timestampField, and the rule no startingFrom.
	NoTimestampField ExclusionReason = "NoTimestampField"
	// NoReference: no chain of references leads to the dataset that startingFrom names.
	NoReference ExclusionReason = "NoReference"
	// AmbiguousReference: several equally short ones do.
	AmbiguousReference ExclusionReason = "AmbiguousReference"
	// InvalidRule: a period or startingFrom cannot be read, or the policy's time zone is unknown.
	InvalidRule ExclusionReason = "InvalidRule"
	// ObligationUnclear: some policy retains the dataset's records, and it cannot be reckoned until when.
	ObligationUnclear ExclusionReason = "ObligationUnclear"
	// StartingPointRewritten: the rule would anonymize a field that a deletion or an obligation is reckoned from.
	StartingPointRewritten ExclusionReason = "StartingPointRewritten"
	// SlotImplausible: the slot itself is no believable time.
	SlotImplausible ExclusionReason = "SlotImplausible"
)

// Problem tells whether a person has to change something for the rule to be carried out.
func (e Exclusion) Problem() bool {
	switch e.Reason {
	case NoRule, RetainOnly, LostToExplicit, LostToShorter, Held, NoPerson:
		return false
	}
	return true
}

// Note says something about a plan that a person should know, though it leaves nothing out.
type Note struct {
	Code NoteCode `json:"code"`
	// Dataset and Rule are what it is about; either may be empty.
	Dataset string `json:"dataset,omitempty"`
	Rule    string `json:"rule,omitempty"`
	Message string `json:"message"`
}

// NoteCode is the kind of a Note: a closed set.
type NoteCode string

// The kinds of Note.
const (
	// RuleMatchesNothing: the datastore has nothing that the rule covers. Another datastore of the policy may have it.
	RuleMatchesNothing NoteCode = "RuleMatchesNothing"
	// NameMatchesNothing: the rule covers something, but one of its datasets or classes is not there.
	NameMatchesNothing NoteCode = "NameMatchesNothing"
	// PeriodsContradict: a rule retains for longer than its own deleteAfter. Retaining wins. A problem.
	PeriodsContradict NoteCode = "PeriodsContradict"
	// RetainedLonger: an obligation has no effect, since another one from the same starting point is longer.
	RetainedLonger NoteCode = "RetainedLonger"
	// OtherPolicyActs: another policy has a rule for the same dataset, and runs it on its own.
	OtherPolicyActs NoteCode = "OtherPolicyActs"
	// ChildStays: records are deleted that records which stay may refer to.
	ChildStays NoteCode = "ChildStays"
	// ReferenceCycle: datasets refer to each other in a circle, so that no order has all children before their parents.
	ReferenceCycle NoteCode = "ReferenceCycle"
	// IdentifierStays: an erasure anonymizes records and leaves an identifier in them. A problem.
	IdentifierStays NoteCode = "IdentifierStays"
)

// Problem tells whether a person has to change something.
func (n Note) Problem() bool { return n.Code == PeriodsContradict || n.Code == IdentifierStays }

// Problems are the sentences about all that a person has to change; none when the plan is as the policy means it.
func (p *Plan) Problems() []string {
	var out []string
	add := func(problem bool, dataset, rule, message string) {
		if problem {
			out = append(out, about(dataset, rule)+message)
		}
	}
	for _, e := range p.Excluded {
		add(e.Problem(), e.Dataset, e.Rule, e.Message)
	}
	for _, n := range p.Notes {
		add(n.Problem(), n.Dataset, n.Rule, n.Message)
	}
	return out
}

// about is the beginning of a line about a dataset, a rule, or both.
func about(dataset, rule string) string {
	switch {
	case dataset == "" && rule == "":
		return ""
	case rule == "":
		return dataset + ": "
	case dataset == "":
		return "rule " + rule + ": "
	}
	return dataset + ", rule " + rule + ": "
}

// MaxMessage is the most characters of an Exclusion's or a Note's message, so that it fits into a status.
const MaxMessage = 500

func clip(message string) string {
	if r := []rune(message); len(r) > MaxMessage {
		return string(r[:MaxMessage-1]) + "…"
	}
	return message
}

// list joins names for a sentence and stays short.
func list(names []string) string {
	const most = 160 // characters, though at least one name
	s := names[0]
	for i, name := range names[1:] {
		if len(s)+len(name) > most {
			return fmt.Sprintf("%s and %d more", s, len(names)-1-i)
		}
		s += ", " + name
	}
	return s
}
