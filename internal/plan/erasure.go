// SPDX-License-Identifier: Apache-2.0

package plan

// Erasure is what an erasure plan adds: the persons, by their requests, and what becomes of their records in each
// dataset. In mode Simulate the records are only found. No identifier of a person stands here: those are in files.
type Erasure struct {
	// SealTo is the public key (age1…) that the account is sealed to: all that is told of single requests.
	SealTo string `json:"sealTo"`
	// Types are the types of identifiers that the data map knows, or that a request was filed with, in their order.
	Types []string `json:"types"`
	// Requests are the requests that are served together. A request's place is its number: the folder of its identifiers,
	// and what the account calls it.
	Requests []Request `json:"requests"`
	// Steps has one entry for each dataset that may hold records of a person: it has identifiers, or references lead from it
	// to one that has. Children stand before their parents.
	Steps []ErasureStep `json:"steps"`
}

// Request is one ErasureRequest.
type Request struct {
	Ref
	// Commit asks for commitments to the identifiers that were given.
	Commit bool `json:"commit,omitempty"`
	// Commitments are to the identifiers that the request was filed with. Nothing is done with others in their place: a
	// Secret can be changed after a person has approved.
	Commitments []string `json:"commitments,omitempty"`
}

// ErasureAction says what becomes of a person's records in a dataset.
type ErasureAction string

// The actions of an ErasureStep, with the names of Datastore's datasets[].onErasure.action.
const (
	EraseDelete    ErasureAction = "Delete"
	EraseAnonymize ErasureAction = "Anonymize"
	EraseRetain    ErasureAction = "Retain"
	// EraseUndeclared is for a dataset whose onErasure is missing: its records are found, and stay.
	EraseUndeclared ErasureAction = "Undeclared"
)

// ErasureStep is what becomes of the records of persons in one dataset.
type ErasureStep struct {
	Dataset string        `json:"dataset"`
	Path    string        `json:"path"`
	Action  ErasureAction `json:"action"`
	// LegalBasis is that of EraseRetain.
	LegalBasis string `json:"legalBasis,omitempty"`
	// Obligations are the retainAtLeast that cover the dataset: a record that is inside one of them stays.
	Obligations []Obligation `json:"obligations,omitempty"`
	// Unclear is why it cannot be reckoned until when records must be retained: all of them stay then.
	Unclear string `json:"unclear,omitempty"`
	// HeldBy are the names of the holds that keep the whole dataset.
	HeldBy []string `json:"heldBy,omitempty"`
	// Protected says that no foreign key action may change or delete records of the dataset as a side effect.
	Protected  bool        `json:"protected,omitempty"`
	Transforms []Transform `json:"transforms,omitempty"`
}

// Acts says whether the step changes anything at all.
func (s *ErasureStep) Acts() bool {
	return (s.Action == EraseDelete || s.Action == EraseAnonymize) && len(s.HeldBy) == 0 && s.Unclear == ""
}

// Hold is a hold on single records: those of a person, or those that meet a condition. What refers to such a record, over
// any number of references, is kept as well. A hold on whole datasets needs no entry: their records are in no step.
type Hold struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
	// Datasets are those of the datastore that the hold covers.
	Datasets []string `json:"datasets"`
	// Subject says that the identifiers of a person are in the folder of the hold's place in Plan.Holds.
	Subject   bool       `json:"subject,omitempty"`
	Condition *Condition `json:"condition,omitempty"`
}

// Condition says which records of a hold's datasets are kept.
type Condition struct {
	Field    string   `json:"field"`
	Operator Operator `json:"operator"`
	Values   []string `json:"values,omitempty"`
}

// Operator relates a field to values.
type Operator string

// The operators of a Condition, with the names of LegalHold's condition.operator.
const (
	OperatorIn           Operator = "In"
	OperatorNotIn        Operator = "NotIn" // NULL is covered
	OperatorAtLeast      Operator = "AtLeast"
	OperatorAtMost       Operator = "AtMost"
	OperatorExists       Operator = "Exists"
	OperatorDoesNotExist Operator = "DoesNotExist"
)

// Match says how a field is compared with an identifier.
type Match string

// The ways of comparing, with the names of Datastore's datasets[].identifiers[].match.
const (
	MatchExact      Match = "Exact"
	MatchIgnoreCase Match = "IgnoreCase"
	MatchE164       Match = "E164"
)
