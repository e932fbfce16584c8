// SPDX-License-Identifier: Apache-2.0

package receipt

import (
	"crypto/sha256"
	"encoding/hex"
)

// An erasure serves many requests in one process, and a termination message holds 4,096 bytes. What concerns single
// requests therefore leaves the Pod in its log, as an account: lines that are each sealed to the manager's key. The Receipt
// says how many lines there are and what they hash to, so that a line that is missing is noticed, and keeps the sums over
// all requests, so that they outlive a log that is lost.
//
// In the log, a line of the account is a JSON object with "msg":"Account", its number "seq" from 1, and "sealed": the age
// text of the JSON of a Line. Lines of any other kind may stand between.

// AccountMessage is the msg of a line of an account.
const AccountMessage = "Account"

// MaxLogBytes is where a process ends that keeps an account, for another one to go on: a kubelet throws away what is older
// than the last 10 MiB of a container's log.
const MaxLogBytes = 8 << 20

// AccountSum identifies the account as far as it was written.
type AccountSum struct {
	// Lines is how many lines there are.
	Lines int64 `json:"lines"`
	// Digest is the hexadecimal SHA-256 over the digest before (none for the first) and the sealed text of each line.
	Digest string `json:"digest"`
}

// Next is the sum after one more line.
func (s AccountSum) Next(sealed string) AccountSum {
	digest := sha256.Sum256([]byte(s.Digest + sealed))
	return AccountSum{Lines: s.Lines + 1, Digest: hex.EncodeToString(digest[:])}
}

// LineKind says what a line of an account tells.
type LineKind string

// The kinds of Line.
const (
	// LinePersons tells who the requests are about, as far as it may be told: Persons.
	LinePersons LineKind = "Persons"
	// LineFound tells how many records a search found in the dataset of Step, in the numbers' N.
	LineFound LineKind = "Found"
	// LineFlight announces a commit, with the records of each request in it.
	LineFlight LineKind = "Flight"
	// LineCommitted and LineRolledBack say how the commit announced last ended.
	LineCommitted  LineKind = "Committed"
	LineRolledBack LineKind = "RolledBack"
	// LineLeft tells what a look after the last change found in the dataset of Step.
	LineLeft LineKind = "Left"
	// LineFailed tells why the dataset of Step could not be done: Reason.
	LineFailed LineKind = "Failed"
	// LineFinished is the last line of a process that came to its end.
	LineFinished LineKind = "Finished"
)

// Line is one line of an account. Numbers of requests that are zero may be left out, except that a LineFound or LineLeft
// stands for all requests that its step was searched for.
type Line struct {
	Kind LineKind `json:"k"`
	// More says that the next line goes on with what this one tells. What has no end was not told.
	More bool `json:"m,omitempty"`
	// Step is the place of an ErasureStep in the Plan.
	Step int `json:"s,omitempty"`
	// Pass counts how often the datasets were gone over, from 1.
	Pass    int32     `json:"p,omitempty"`
	Reason  Reason    `json:"r,omitempty"`
	Persons []Person  `json:"who,omitempty"`
	Numbers []Numbers `json:"c,omitempty"`
	// Constraints keep records (LineLeft).
	Constraints []string `json:"x,omitempty"`
	// Unsearched are the requests none of whose identifiers lead to the dataset (LineFound).
	Unsearched []int `json:"u,omitempty"`
}

// Numbers are numbers of records of one request in one dataset.
type Numbers struct {
	Request int `json:"i"`
	// N is what the line's kind says. In a LineLeft: what should be gone and is there, Blocked by constraints included.
	N int64 `json:"n,omitempty"`
	// Retained are kept by an obligation or by EraseRetain, Held by a hold, Blocked by constraints. Bound are those of
	// Blocked that only records which must be kept keep (LineLeft).
	Retained int64 `json:"t,omitempty"`
	Held     int64 `json:"h,omitempty"`
	Blocked  int64 `json:"b,omitempty"`
	Bound    int64 `json:"d,omitempty"`
}

// Person is who a request is about. It leaves the Pod sealed only.
type Person struct {
	Request int `json:"i"`
	// Problem is why nothing may be erased for the request: IdentifiersDisagree, SubjectUnreadable, TooManyIdentifiers.
	Problem Reason `json:"e,omitempty"`
	// Types are the types of the identifiers that were given.
	Types []string `json:"t,omitempty"`
	// Commitments are as spec'd by package subject, one for each identifier that was given.
	Commitments []string `json:"c,omitempty"`
	// Given are the identifiers that were given (Intake only), Derived those that records led to: lines as package subject
	// writes them.
	Given   string `json:"g,omitempty"`
	Derived string `json:"d,omitempty"`
}

// Reasons of a request.
const (
	// IdentifiersDisagree says that the identifiers lead to different persons.
	IdentifiersDisagree Reason = "IdentifiersDisagree"
	// SubjectUnreadable says that there is no identifier of a type that the data map knows, or one that cannot be used.
	SubjectUnreadable Reason = "SubjectUnreadable"
	// TooManyIdentifiers says that records lead to more identifiers than can belong to one person.
	TooManyIdentifiers Reason = "TooManyIdentifiers"
	// AccountLost says that a part of the account is missing: nobody knows what was done for which request.
	AccountLost Reason = "AccountLost"
	// HoldUnreadable says that the person or the condition of a hold cannot be read. Nothing was changed.
	HoldUnreadable Reason = "HoldUnreadable"
	// NoIdentifier says that no identifier that is known leads to the dataset.
	NoIdentifier Reason = "NoIdentifier"
	// Undeclared says that the data map does not say what to do: datasets[].onErasure is missing.
	Undeclared Reason = "Undeclared"
	// AlreadyDone says that records were found, and that nothing was left to do: they had been anonymized before, or somebody
	// else deleted them in between.
	AlreadyDone Reason = "AlreadyDone"
	// ReferencedByRetained says that records stay because others, which must be kept, refer to them.
	ReferencedByRetained Reason = "ReferencedByRetained"
	// ObligationUnclear says that it cannot be reckoned until when records must be retained, so that all of them stay.
	ObligationUnclear Reason = "ObligationUnclear"
)

// ErasureOutcome is what became of a request's records in a dataset: a closed set, for a status.
type ErasureOutcome string

// The outcomes of an erasure, from the best to the worst. See erasureoutcome.go for which applies.
const (
	ErasureNotFound             ErasureOutcome = "NotFound"
	ErasureDeleted              ErasureOutcome = "Deleted"
	ErasureAnonymized           ErasureOutcome = "Anonymized"
	ErasureRetainedByObligation ErasureOutcome = "RetainedByObligation"
	ErasureExpiring             ErasureOutcome = "Expiring"
	ErasureRetainedByHold       ErasureOutcome = "RetainedByHold"
	ErasureSkipped              ErasureOutcome = "Skipped"
	ErasureUnreachable          ErasureOutcome = "Unreachable"
	ErasureFailed               ErasureOutcome = "Failed"
)

// ErasureAttempt is one container of a Job that carried out an erasure plan.
type ErasureAttempt struct {
	Attempt
	// Lines are the opened lines of its account, in their order, as far as they could be had; Complete says that they are
	// all that the Receipt counts, and hash to what it says.
	Lines    []Line
	Complete bool
}

// ErasureTotal is what all attempts did together.
type ErasureTotal struct {
	// Reason and Message are of the attempt that decided, as in Total. Interrupted, Unreachable and the like mean that the
	// run did not come to its end and has to be repeated.
	Reason  Reason
	Message string
	// Finished says that the last attempt came to the end of the plan.
	Finished bool
	// Attempts counts the containers that ran; Passes is how often the last one went over the datasets.
	Attempts int
	Passes   int32
	Total    Total
	// Requests has one entry for each request of the plan, in its order.
	Requests []RequestTotal
}

// RequestTotal is what all attempts did for one request.
type RequestTotal struct {
	// Problem is why nothing was erased for it; empty if nothing stood in the way.
	Problem Reason
	// Told says that a line about the person was read: Types to Derived are known.
	Told        bool
	Types       []string
	Commitments []string
	Given       string
	Derived     string
	// Outcome is the worst of the steps'. Verified says that every step was looked at after the last change, and nothing that
	// should be gone is there. Outcome is empty if a plan of mode Simulate found records, and for an Intake.
	Outcome  ErasureOutcome
	Verified bool
	Steps    []RequestStep
}

// RequestStep is what all attempts did for one request in one dataset.
type RequestStep struct {
	Outcome ErasureOutcome
	Reason  Reason
	// Searched says that Found is known, Verified that Remaining to Bound are. Found is the most that any look found, with
	// what had been deleted before it: the records of the first look, and those that were written later.
	Searched, Verified         bool
	Found, Deleted, Anonymized int64
	Remaining, Retained, Held  int64
	Blocked, Bound             int64
	Constraints                []string
	// Exact is false when Deleted and Anonymized are lower bounds.
	Exact bool
}
