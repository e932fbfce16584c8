// SPDX-License-Identifier: Apache-2.0

// Package evidence is the proof of what the operator did: statements, their signatures, their entries in the ledger, and
// how anybody verifies them without us.
//
// A statement is an in-toto Statement v1 (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md) in a DSSE
// envelope. It has digests of plans, specs and receipts, counts, names of schema objects, and never a value of a record or
// an identifier of a person. The package does no I/O and imports nothing of Kubernetes.
package evidence

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

const (
	// StatementType is the type of an in-toto Statement v1.
	StatementType = "https://in-toto.io/Statement/v1"
	// PredicateType is the type of our predicate. Its JSON schema is docs/evidence/predicate.schema.json.
	PredicateType = "https://dataretention.dev/evidence/v1"
	// PayloadType is the payload type of the DSSE envelope, as in-toto wants it.
	PayloadType = "application/vnd.in-toto+json"
)

// Statement is one signed fact.
type Statement struct {
	Type string `json:"_type"`
	// Subject are the digests of what the statement is about: the plan, the specs and the receipts. What was deleted has no
	// digest here: it is gone, and a digest of it could be guessed.
	Subject       []Subject `json:"subject"`
	PredicateType string    `json:"predicateType"`
	Predicate     Predicate `json:"predicate"`
}

// Subject is a ResourceDescriptor of in-toto.
type Subject struct {
	// Name is what it is: plan, policy, request, datastore, hold, receipt, statement or checkpoint, and a name after a slash.
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// SHA256 returns the subject of that name with the SHA-256 digest of b.
func SHA256(name string, b []byte) Subject {
	sum := sha256.Sum256(b)
	return Subject{Name: name, Digest: map[string]string{"sha256": hex.EncodeToString(sum[:])}}
}

// Kind says what a statement states.
type Kind string

// The kinds of statement.
const (
	// Intent says what a Job is about to do. It is in the ledger before the Job is released.
	Intent Kind = "Intent"
	// Result says what came of an Intent. Every Intent has exactly one.
	Result Kind = "Result"
	// Conclusion says how a run of a policy, or a request, ended over all that it was meant to reach.
	Conclusion Kind = "Conclusion"
	// BackupsExpired says that the last backup that could hold what was deleted has expired, as was declared.
	BackupsExpired Kind = "BackupsExpired"
	// HoldEnforced says that nothing which a LegalHold covers is deleted from now on, HoldReleased that it no longer keeps it.
	HoldEnforced Kind = "HoldEnforced"
	HoldReleased Kind = "HoldReleased"
	// Pruned says that older statements were removed because they had been kept as long as evidence is. Their entries stay.
	Pruned Kind = "Pruned"
)

// Level is how much a statement proves, from best to worst. A statement never has a better one than its worst part, and
// "nothing found" and "not run" never read as "deleted".
type Level string

// The levels, in the order of Levels.
const (
	// Deleted: all that was due or found is deleted, and a look afterwards found nothing left.
	LevelDeleted Level = "Deleted"
	// Anonymized: as Deleted, but some records were anonymized, which is not deletion.
	LevelAnonymized Level = "Anonymized"
	// NothingFound: somebody looked everywhere, and there was nothing to delete.
	LevelNothingFound Level = "NothingFound"
	// Retained: what may go is gone; the rest is kept by an obligation or a hold, and by which one is said.
	LevelRetained Level = "Retained"
	// Incomplete: something that should be gone is still there, or nobody has looked afterwards.
	LevelIncomplete Level = "Incomplete"
	// Unproven: something may have been done that nobody can account for.
	LevelUnproven Level = "Unproven"
	// NotDone: nothing was changed, or somewhere nobody could even look.
	LevelNotDone Level = "NotDone"
	// None: the statement claims no deletion (Intent, holds, Pruned).
	LevelNone Level = "None"
)

// Predicate is what a statement says. Times are UTC. A number that nobody has counted is absent, not zero.
type Predicate struct {
	Kind Kind `json:"kind"`
	// Key makes the statement the only one of its kind: an entry with the same kind and key is never appended twice.
	Key string `json:"key"`
	// Time is when the operator made the statement, by its own clock. That of the ledger's checkpoint is independent of it.
	Time time.Time `json:"time"`
	// RetainUntil is until when the statement is to be kept.
	RetainUntil time.Time `json:"retainUntil"`
	Operator    Operator  `json:"operator"`

	Level Level `json:"level"`
	// Outcome and Message are those of the object's status.
	Outcome string `json:"outcome,omitempty"`
	Message string `json:"message,omitempty"`

	// Closes names the statement that this one answers: the Intent of a Result, the statement whose backups have expired, the
	// Conclusion that a later one supersedes.
	Closes *Reference `json:"closes,omitempty"`
	// Results are the Results that a Conclusion rests on.
	Results []Reference `json:"results,omitempty"`

	Policy  *Policy  `json:"policy,omitempty"`
	Run     *Run     `json:"run,omitempty"`
	Request *Request `json:"request,omitempty"`
	// Requests are those that an erasure's Job served.
	Requests []Object `json:"requests,omitempty"`
	Hold     *Hold    `json:"hold,omitempty"`

	// Datastores are all that should have been reached: those that were not say so.
	Datastores []Datastore `json:"datastores,omitempty"`

	// LogicallyDeletedTime is when the last record could no longer be read by any query.
	LogicallyDeletedTime *time.Time `json:"logicallyDeletedTime,omitempty"`
	// GoneBy is when the last backup that may hold it has expired, by what the Datastores declare. Absent if nothing was
	// deleted, or if some Datastore that was deleted from declares nothing: NotCovered says which.
	GoneBy *time.Time `json:"goneBy,omitempty"`
	// NotCovered is what the statement does not prove.
	NotCovered []Gap `json:"notCovered,omitempty"`

	Pruned *PrunedEntries `json:"pruned,omitempty"`
}

// Operator is who states it.
type Operator struct {
	Version string `json:"version"`
	// Image is the image of the purge Jobs as it was asked for; ImageDigests are what the nodes ran, from the Pods' status.
	Image        string   `json:"image,omitempty"`
	ImageDigests []string `json:"imageDigests,omitempty"`
	// Cluster is the UID of the namespace kube-system, by which clusters are told apart.
	Cluster string `json:"cluster,omitempty"`
}

// Object names an object of the cluster, and the version of its spec.
type Object struct {
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
	UID        string `json:"uid,omitempty"`
	Generation int64  `json:"generation,omitempty"`
}

// Reference names another entry of the ledger.
type Reference struct {
	Kind Kind `json:"kind"`
	// Index is its place in the ledger, from 0.
	Index int64 `json:"index"`
	// Digest is "sha256:" and the hexadecimal SHA-256 of the statement.
	Digest string `json:"digest"`
}

// Policy is the RetentionPolicy of a run.
type Policy struct {
	Object
	Schedule string `json:"schedule,omitempty"`
	TimeZone string `json:"timeZone,omitempty"`
}

// Run is one run.
type Run struct {
	Name string `json:"name"`
	// Trigger is what started it, as in the status of a RetentionPolicy. Empty for a run of erasure requests.
	Trigger string `json:"trigger,omitempty"`
	// Mode is Enforce or Simulate; a search for persons is a Simulate.
	Mode string `json:"mode"`
	// Slot is the instant that every cutoff is reckoned from.
	Slot           *time.Time `json:"slot,omitempty"`
	StartTime      *time.Time `json:"startTime,omitempty"`
	CompletionTime *time.Time `json:"completionTime,omitempty"`
	// ApprovedPlan and ApprovedRecords are what a person has approved beyond the guardrails.
	ApprovedPlan    string `json:"approvedPlan,omitempty"`
	ApprovedRecords *int64 `json:"approvedRecords,omitempty"`
}

// Request is an ErasureRequest (CCPA regulations § 7101(b): date, nature and manner of the request, date and nature of the
// response, basis of a denial).
type Request struct {
	Object
	Regulation string `json:"regulation,omitempty"`
	// Ground is that of GDPR Art. 17(1).
	Ground string `json:"ground,omitempty"`
	// Channel is how it came in: Object, or Parent for one made from a request in another namespace.
	Channel        string     `json:"channel,omitempty"`
	ReceivedTime   *time.Time `json:"receivedTime,omitempty"`
	DueTime        *time.Time `json:"dueTime,omitempty"`
	ExtendedFrom   *time.Time `json:"extendedFrom,omitempty"`
	ExtensionBasis string     `json:"extensionBasis,omitempty"`
	ApprovedTime   *time.Time `json:"approvedTime,omitempty"`
	AnsweredTime   *time.Time `json:"answeredTime,omitempty"`
	// Approval is who decided and how: the reason and message of the condition Approved or Denied, and by whom if known.
	Approval *Decision `json:"approval,omitempty"`
	// DaysTaken is from receipt to answer, in whole days begun, reckoned in the request's time zone.
	DaysTaken *int32 `json:"daysTaken,omitempty"`
	// IdentifierTypes are types, never values. Commitments are slow salted hashes by which whoever knows an identifier can
	// show that the request was about it.
	IdentifierTypes []string `json:"identifierTypes,omitempty"`
	Commitments     []string `json:"commitments,omitempty"`
	// Recipients have to be told of the erasure (GDPR Art. 19).
	Recipients []Recipient `json:"recipients,omitempty"`
	Verified   *bool       `json:"verified,omitempty"`
	// Rechecks is how often the erasure was repeated, RecheckUntil until when it is.
	Rechecks     int32      `json:"rechecks,omitempty"`
	RecheckUntil *time.Time `json:"recheckUntil,omitempty"`
}

// Decision is what a person has decided.
type Decision struct {
	Decision string     `json:"decision"`
	Reason   string     `json:"reason,omitempty"`
	Message  string     `json:"message,omitempty"`
	Time     *time.Time `json:"time,omitempty"`
	By       string     `json:"by,omitempty"`
}

// Recipient has to be told of an erasure.
type Recipient struct {
	Name      string `json:"name"`
	Datastore string `json:"datastore"`
}

// Hold is a LegalHold.
type Hold struct {
	Object
	// SeenTime is when a run had it in its plan.
	SeenTime *time.Time `json:"seenTime,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	// Authority and Reference are who ordered it, as its spec says.
	Authority string `json:"authority,omitempty"`
	Reference string `json:"reference,omitempty"`
	// Scope is what it keeps: Datastores, Datasets, Subject or Condition.
	Scope        string     `json:"scope,omitempty"`
	EnforcedTime *time.Time `json:"enforcedTime,omitempty"`
	ReleasedTime *time.Time `json:"releasedTime,omitempty"`
	Release      string     `json:"release,omitempty"`
	Records      *int64     `json:"records,omitempty"`
}

// Datastore is what was, or was not, done in one Datastore.
type Datastore struct {
	Object
	Engine string `json:"engine,omitempty"`
	// Identity is that of the server which was pinned.
	Identity      string `json:"identity,omitempty"`
	ServerVersion string `json:"serverVersion,omitempty"`
	// ClockSkewMilliseconds is the server's clock minus the Pod's.
	ClockSkewMilliseconds *int64   `json:"clockSkewMilliseconds,omitempty"`
	Purposes              []string `json:"purposes,omitempty"`
	// PlanDigest is that of the plan, as the status shows it. Job is the Job that carried it out.
	PlanDigest string `json:"planDigest,omitempty"`
	Job        string `json:"job,omitempty"`

	Outcome string `json:"outcome,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
	Level   Level  `json:"level,omitempty"`

	StartTime      *time.Time `json:"startTime,omitempty"`
	CompletionTime *time.Time `json:"completionTime,omitempty"`
	// Attempts is how many Pods worked on it, with what each of them ended.
	Attempts []Attempt `json:"attempts,omitempty"`
	// Holds are those that the plan respects, by which nothing of theirs was touched.
	Holds    []Hold    `json:"holds,omitempty"`
	Datasets []Dataset `json:"datasets,omitempty"`
	// Excluded are rules and datasets that had no part, and why: the precedence of rules.
	Excluded []Exclusion `json:"excluded,omitempty"`
	// BackupRetention is what spec.backups.retention declared, an ISO 8601 period.
	BackupRetention string     `json:"backupRetention,omitempty"`
	GoneBy          *time.Time `json:"goneBy,omitempty"`
	Verified        *bool      `json:"verified,omitempty"`
}

// Attempt is one Pod.
type Attempt struct {
	StartTime  *time.Time `json:"startTime,omitempty"`
	EndTime    *time.Time `json:"endTime,omitempty"`
	ExitCode   *int32     `json:"exitCode,omitempty"`
	Reason     string     `json:"reason,omitempty"`
	Unreadable bool       `json:"unreadable,omitempty"`
}

// Method is how records went.
type Method string

// The methods, and how reversible each is.
const (
	// MethodDelete removes records; they cannot be read by any query. Their bytes go with the engine's own clean-up.
	MethodDelete Method = "Delete"
	// MethodDropPartition removes the files of a partition that held nothing else.
	MethodDropPartition Method = "DropPartition"
	// MethodAnonymize overwrites fields; the records stay. It is no deletion.
	MethodAnonymize Method = "Anonymize"
	MethodRetain    Method = "Retain"
)

// Dataset is what was done in one dataset. Numbers are of records.
type Dataset struct {
	Name       string   `json:"name"`
	DataClass  string   `json:"dataClass,omitempty"`
	Categories []string `json:"categories,omitempty"`
	Rule       string   `json:"rule,omitempty"`
	// RuleReason says why this rule and no other applies.
	RuleReason string `json:"ruleReason,omitempty"`
	Period     string `json:"period,omitempty"`
	LegalBasis string `json:"legalBasis,omitempty"`
	Method     Method `json:"method,omitempty"`
	// Reversibility says what it takes to bring the records back: see ReversibilityOf.
	Reversibility string `json:"reversibility,omitempty"`
	// Cutoff is the latest starting point that is due, pinned for all attempts.
	Cutoff  *time.Time `json:"cutoff,omitempty"`
	Outcome string     `json:"outcome,omitempty"`
	Reason  string     `json:"reason,omitempty"`

	// Records is how many there were before, Matched how many of them were due.
	Records *int64 `json:"records,omitempty"`
	Matched *int64 `json:"matched,omitempty"`
	// Found is how many were found of the persons whom requests are about.
	Found      *int64 `json:"found,omitempty"`
	Deleted    *int64 `json:"deleted,omitempty"`
	Anonymized *int64 `json:"anonymized,omitempty"`
	// DroppedPartitions is how many partitions were dropped whole; their records are in Deleted.
	DroppedPartitions int32 `json:"droppedPartitions,omitempty"`
	// Retained are kept by an obligation, Held by a hold, NotStarted because what the period runs from has not happened.
	Retained   *int64 `json:"retained,omitempty"`
	Held       *int64 `json:"held,omitempty"`
	NotStarted *int64 `json:"notStarted,omitempty"`
	// Undated have no time to reckon from, Invalid a placeholder for one. They are never deleted.
	Undated *int64 `json:"undated,omitempty"`
	Invalid *int64 `json:"invalid,omitempty"`
	// Remaining is how many that should be gone were there after the last change; absent if nobody looked. Blocked of them
	// are kept by Constraints of the database.
	Remaining   *int64   `json:"remaining,omitempty"`
	Blocked     *int64   `json:"blocked,omitempty"`
	Constraints []string `json:"constraints,omitempty"`
	// Counting is Exact or AtLeast; CountingMethod says how it was counted.
	Counting       string `json:"counting,omitempty"`
	CountingMethod string `json:"countingMethod,omitempty"`
	// Verification says how it was looked afterwards; absent if nobody did.
	Verification string `json:"verification,omitempty"`
}

// How things are counted and verified, and how reversible they are, in words that stand in every statement.
const (
	// CountedRows: the rows that the engine reported as changed, summed over committed batches of all attempts.
	CountedRows = "rows reported by the engine, summed over committed transactions of all attempts"
	// VerifiedRecount: counted again by the purge process with the same connection and role, after the last change.
	VerifiedRecount = "counted again after the last change, on the primary, with the role that deleted"
	// ReversibleByBackup: only a backup, or files that the engine has not cleaned up yet, bring it back.
	ReversibleByBackup = "from backups, and until the engine has cleaned up from its files"
	// ReversibleDropped: the engine has removed the files of the partition; what is left of them on the disk is its owner's matter.
	ReversibleDropped = "from backups; the engine has removed the files, which is not the same as overwriting the disk"
	// ReversibleFieldsByBackup: as for deletion, for the fields that were overwritten; the record stays.
	ReversibleFieldsByBackup = "overwritten fields from backups; the record itself stays"
)

// Exclusion says why a rule or a dataset had no part.
type Exclusion struct {
	Dataset string `json:"dataset,omitempty"`
	Rule    string `json:"rule,omitempty"`
	Reason  string `json:"reason"`
	Message string `json:"message,omitempty"`
}

// GapKind is the kind of a Gap.
type GapKind string

// What a statement may not cover.
const (
	GapDatastore GapKind = "Datastore" // could not be reached, or nobody looked
	GapDataset   GapKind = "Dataset"   // no rule, or the data map is silent
	GapBackup    GapKind = "Backup"    // backups hold it until Until; without Until nobody has declared for how long
	GapRecipient GapKind = "Recipient" // has to be told; nobody has checked
	GapEngine    GapKind = "Engine"    // bytes that stay until the engine cleans up; replicas, exports and caches
	GapNamespace GapKind = "Namespace" // another namespace's part of a request
)

// Gap is something that a statement does not cover.
type Gap struct {
	Kind    GapKind    `json:"kind"`
	Name    string     `json:"name,omitempty"`
	Reason  string     `json:"reason"`
	Message string     `json:"message,omitempty"`
	Until   *time.Time `json:"until,omitempty"`
}

// PrunedEntries says which statements were removed.
type PrunedEntries struct {
	// Before is the time before which RetainUntil of all of them was over.
	Before time.Time `json:"before"`
	// Indices are their places in the ledger.
	Indices []int64 `json:"indices"`
}

// Encode returns the statement's bytes: what is signed, and what its digest is of.
func (s *Statement) Encode() ([]byte, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encoding the statement: %w", err)
	}
	return b, nil
}

// DigestOf returns "sha256:" and the hexadecimal SHA-256 of b.
func DigestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}
