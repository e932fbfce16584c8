// SPDX-License-Identifier: Apache-2.0

package report

import (
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
)

// Schema names the JSON form of a Report. Fields may be added to it; none changes its meaning.
const Schema = "dataretention.dev/report/v1"

// Report is the whole report. Its JSON form is docs/report.md's: times are RFC 3339 in UTC, lists are never null, and a
// number of records that nobody has counted is absent.
type Report struct {
	Schema       string       `json:"schema"`
	Made         Made         `json:"made"`
	Period       Period       `json:"period"`
	Verification Verification `json:"verification"`
	Summary      Summary      `json:"summary"`

	Policies   []Policy         `json:"policies"`
	Runs       []Run            `json:"runs"`
	Deletions  Deletions        `json:"deletions"`
	Metrics    []RequestMetrics `json:"requestMetrics"`
	Requests   []Request        `json:"requests"`
	Holds      []Hold           `json:"holds"`
	Classes    []Class          `json:"classes"`
	Exceptions []Exception      `json:"exceptions"`
	// BackupTotals has one line per Datastore, Backups one per Result that has deleted something.
	BackupTotals []BackupTotal `json:"backupTotals"`
	Backups      []Backup      `json:"backups"`
	Proofs       []Proof       `json:"proofs"`
	// Notes are what the report does not know, in sentences.
	Notes []string `json:"notes"`
}

// Made is who made the report, when, and from what.
type Made struct {
	Time time.Time `json:"time"`
	// By is whoever made it, as they call themselves; may be empty.
	By      string `json:"by,omitempty"`
	Version string `json:"version"`
	// Source says where the statements are from.
	Source string `json:"source"`
	// Live says whether the objects of the cluster were read, too. Open requests are known from those only.
	Live bool `json:"live"`
	// Namespace is the only one that the report is about; empty for all.
	Namespace string `json:"namespace,omitempty"`
}

// Period is the time that the report is about: From is in it, Until is not.
type Period struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	// Zone is the IANA name of the time zone in which days, weeks and months are reckoned.
	Zone string `json:"zone"`
}

// contains says whether an instant is in the period.
func (p Period) contains(t time.Time) bool { return !t.Before(p.From) && t.Before(p.Until) }

// Verification is what was checked before the report was made.
type Verification struct {
	// Signatures says whether the signature of every statement was checked, Inclusion whether the log was: that every entry is
	// in the tree of a signed checkpoint.
	Signatures bool `json:"signatures"`
	Inclusion  bool `json:"inclusion"`
	// Message says it in a sentence.
	Message string `json:"message,omitempty"`
	// Origin, Size and Root are those of the checkpoint: the log's name, how many entries, and the root hash in base64.
	Origin string `json:"origin,omitempty"`
	Size   *int64 `json:"size,omitempty"`
	Root   string `json:"root,omitempty"`
	// Witnessed is how many witnesses have cosigned it.
	Witnessed int `json:"witnessed,omitempty"`
	// Statements is how many were read, Pruned how many of the entries have none any more.
	Statements int64 `json:"statements"`
	Pruned     int64 `json:"pruned"`
	Keys       []Key `json:"keys"`
}

// Key is a public key that was used to check.
type Key struct {
	// Use is statement, log or witness.
	Use     string     `json:"use"`
	Name    string     `json:"name,omitempty"`
	ID      string     `json:"id"`
	Created *time.Time `json:"created,omitempty"`
}

// Count is a number of records. A nil Count was counted by nobody.
type Count struct {
	Records int64 `json:"records"`
	// AtLeast says that it is a lower bound.
	AtLeast bool `json:"atLeast,omitempty"`
}

// Ref leads to a statement in the ledger.
type Ref struct {
	Index  int64          `json:"index"`
	Digest string         `json:"digest"`
	Kind   evidence.Kind  `json:"kind"`
	Level  evidence.Level `json:"level,omitempty"`
	Time   time.Time      `json:"time"`
}

// Summary are the figures that stand at the top.
type Summary struct {
	Policies int `json:"policies"`
	// The latest run in the period was: compliant, not, unknown, or there was none.
	PoliciesCompliant    int `json:"policiesCompliant"`
	PoliciesNotCompliant int `json:"policiesNotCompliant"`
	PoliciesUnknown      int `json:"policiesUnknown"`
	PoliciesNotRun       int `json:"policiesNotRun"`
	Runs                 int `json:"runs"`

	Deleted    *Count `json:"deleted,omitempty"`
	Anonymized *Count `json:"anonymized,omitempty"`
	// DeletedOnRequest is the part of Deleted that went by erasure requests.
	DeletedOnRequest *Count `json:"deletedOnRequest,omitempty"`

	RequestsReceived int      `json:"requestsReceived"`
	RequestsAnswered int      `json:"requestsAnswered"`
	RequestsInTime   int      `json:"requestsInTime"`
	RequestsLate     int      `json:"requestsLate"`
	RequestsOpen     int      `json:"requestsOpen"`
	RequestsOverdue  int      `json:"requestsOverdue"`
	MedianDays       *float64 `json:"medianDays,omitempty"`

	HoldsInForce   int `json:"holdsInForce"`
	Exceptions     int `json:"exceptions"`
	Dangling       int `json:"dangling"`
	BackupsPending int `json:"backupsPending"`
	BackupsOverdue int `json:"backupsOverdue"`
	Statements     int `json:"statements"`
}

// Exception is something that was not done, cannot be known, or stays for a reason. The same one seen again and again is
// one Exception.
type Exception struct {
	Kind      ExceptionKind `json:"kind"`
	Namespace string        `json:"namespace,omitempty"`
	Datastore string        `json:"datastore,omitempty"`
	// What is the dataset, the rule, the recipient, the run: whatever it is about.
	What string `json:"what,omitempty"`
	// Basis is why: a legal basis, a hold, constraints, a reason in one word. Message says more.
	Basis   string `json:"basis,omitempty"`
	Message string `json:"message,omitempty"`
	// Records is how many it was about at the latest look.
	Records *Count `json:"records,omitempty"`
	// First and Last are when it was stated for the first and the last time in the period, Until is when it ends, if known.
	First time.Time  `json:"first"`
	Last  time.Time  `json:"last"`
	Until *time.Time `json:"until,omitempty"`
	// Statements is how many say so; Evidence is the latest.
	Statements int  `json:"statements"`
	Evidence   *Ref `json:"evidence,omitempty"`
}

// ExceptionKind is the kind of an Exception.
type ExceptionKind string

// The kinds of Exception, in the order in which they are listed: the gravest first.
const (
	// ExceptionDangling: an Intent without a Result: what was meant to be done, and nobody says what came of it.
	ExceptionDangling ExceptionKind = "IntentWithoutResult"
	// ExceptionUnproven: something may have been done that nobody can account for.
	ExceptionUnproven ExceptionKind = "Unproven"
	// ExceptionContradiction: a statement has a number that its own outcome excludes. It is not counted.
	ExceptionContradiction ExceptionKind = "Contradiction"
	// ExceptionBlocked: constraints keep records that should be gone. ExceptionRemaining: something else does.
	ExceptionBlocked   ExceptionKind = "Blocked"
	ExceptionRemaining ExceptionKind = "Remaining"
	// ExceptionUnreachable: nobody could look. ExceptionNotDone: somebody could, and nothing was done.
	ExceptionUnreachable ExceptionKind = "Unreachable"
	ExceptionNotDone     ExceptionKind = "NotDone"
	// ExceptionUndated: records without a usable date, which are never deleted.
	ExceptionUndated ExceptionKind = "Undated"
	// ExceptionObligation and ExceptionHold keep records lawfully.
	ExceptionObligation ExceptionKind = "Obligation"
	ExceptionHold       ExceptionKind = "Hold"
	// ExceptionNotCovered: what statements say that they do not prove.
	ExceptionNotCovered ExceptionKind = "NotCovered"
	// ExceptionRule: a rule or a dataset that had no part, and why.
	ExceptionRule ExceptionKind = "RuleNotApplied"
)

// Proof is one statement that the report rests on.
type Proof struct {
	Ref
	// About is what it is about: a run, a request, a hold.
	About string `json:"about,omitempty"`
	// Pruned says that the statement was removed at the end of its own retention; its entry stays.
	Pruned bool `json:"pruned,omitempty"`
}
