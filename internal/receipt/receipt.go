// SPDX-License-Identifier: Apache-2.0

// Package receipt holds the Receipt, the only thing that crosses from the data plane back to the control plane: what a
// purge Pod says that it did, in at most 4,096 bytes of its termination message.
//
// The package imports nothing of Kubernetes and no driver, because both planes import it. A Receipt holds counts and
// the names of schema objects, never a value of a record.
package receipt

import "time"

// Version names the wire format of a Receipt. A reader accepts every version that an older writer may have written.
const Version = 1

// MaxBytes is what the kubelet keeps of one container's termination message.
const MaxBytes = 4096

// ExitCode is how a purge process ends. The Job's podFailurePolicy reads it.
type ExitCode int

// The exit codes. 2, 3 and 4 fail the Job at once; everything else is tried again.
const (
	ExitDone        ExitCode = 0
	ExitFailed      ExitCode = 1
	ExitPlanRefused ExitCode = 2
	ExitGuardrail   ExitCode = 3
	ExitMismatch    ExitCode = 4
	ExitUnavailable ExitCode = 5
	// ExitInterrupted follows a SIGTERM after the batch in hand has ended (128+15, what a shell would say).
	ExitInterrupted ExitCode = 143
)

// Phase is how far a purge process has come.
type Phase string

// The phases, in their order.
const (
	PhaseConnecting Phase = "Connecting"
	PhaseCounting   Phase = "Counting"
	PhasePurging    Phase = "Purging"
	PhaseVerifying  Phase = "Verifying"
	PhaseFinished   Phase = "Finished"
)

// Reason is why a process or a step ended as it did: a closed set, in the form of a condition's reason.
type Reason string

// Reasons of a process as a whole.
const (
	Succeeded           Reason = "Succeeded"
	PlanRefused         Reason = "PlanRefused"
	GuardrailExceeded   Reason = "GuardrailExceeded"
	IdentityChanged     Reason = "IdentityChanged"
	ClockSkewed         Reason = "ClockSkewed"
	SecretIncomplete    Reason = "SecretIncomplete" // the Secret is missing, or lacks a key, or holds one that cannot be read
	Unreachable         Reason = "Unreachable"
	AuthenticationFails Reason = "AuthenticationFailed"
	DatabaseNotFound    Reason = "DatabaseNotFound"
	VersionNotSupported Reason = "VersionNotSupported"
	WriterActive        Reason = "WriterActive" // another purge holds the datastore's lock
	Interrupted         Reason = "Interrupted"
	Incomplete          Reason = "Incomplete" // some step did not succeed; the steps say which
	InternalError       Reason = "InternalError"
)

// Reasons of a step.
const (
	TableNotFound      Reason = "TableNotFound"
	FieldNotFound      Reason = "FieldNotFound"
	TypeNotSupported   Reason = "TypeNotSupported"
	KeyNotUnique       Reason = "KeyNotUnique"
	PermissionDenied   Reason = "PermissionDenied"
	RowLevelSecurity   Reason = "RowLevelSecurity"
	ForeignKeyBlocks   Reason = "ForeignKeyBlocks"
	ConstraintViolated Reason = "ConstraintViolated" // an anonymized value breaks a constraint
	TriggerBlocks      Reason = "TriggerBlocks"      // a trigger or rule kept records, or changed what a statement did
	LockTimeout        Reason = "LockTimeout"
	StatementTimeout   Reason = "StatementTimeout"
	ValueNotUnderstood Reason = "ValueNotUnderstood" // a value that TruncateIP or TruncateDate cannot parse
	RecordsRemain      Reason = "RecordsRemain"      // verification found due records for another reason
	NotVerified        Reason = "NotVerified"        // records were changed, and nobody counted what remains
	NotStarted         Reason = "NotStarted"
)

// Receipt is what one attempt (one Pod) did.
type Receipt struct {
	Version    int    `json:"v"`
	Run        string `json:"run"`
	PlanDigest string `json:"plan"`
	Phase      Phase  `json:"phase"`
	Reason     Reason `json:"reason,omitempty"`
	// Message is one sanitised sentence for a person, at most 256 bytes, without any value of a record.
	Message   string    `json:"msg,omitempty"`
	StartTime time.Time `json:"start"`
	// Time is when this Receipt was last rewritten.
	Time          time.Time `json:"time"`
	ServerVersion string    `json:"server,omitempty"`
	Identity      string    `json:"identity,omitempty"`
	// SkewMilliseconds is the server's clock minus the Pod's.
	SkewMilliseconds int64  `json:"skew,omitempty"`
	Steps            []Step `json:"steps,omitempty"`
	Probe            *Probe `json:"probe,omitempty"`
	// Account identifies the account of an erasure, as far as it was written.
	Account *AccountSum `json:"account,omitempty"`
	// Truncated is true when names of constraints or findings were left out to stay below MaxBytes. Counts never are.
	Truncated bool `json:"trunc,omitempty"`
}

// Step is what one attempt did for one step of the Plan. All numbers are of records.
type Step struct {
	// Index is the step's place in the Plan, or in its Erasure.
	Index int `json:"i"`
	// Counted is true once Records to Invalid are known.
	Counted bool `json:"counted,omitempty"`
	// Records is the size of the dataset, Matched how many of its records are due, both before the first change.
	Records int64 `json:"records,omitempty"`
	Matched int64 `json:"matched,omitempty"`
	// Retained are records past the rule's cutoff that an obligation keeps.
	Retained int64 `json:"retained,omitempty"`
	// Held are records that a hold keeps and that would be due without it. For a plan.CountHeld, Index is a place in the
	// Plan's holds, and Held is how many records that one keeps.
	Held int64 `json:"held,omitempty"`
	// Undated have no starting point (NULL), Invalid have a sentinel or a reference that leads nowhere.
	Undated int64 `json:"undated,omitempty"`
	Invalid int64 `json:"invalid,omitempty"`

	Deleted    int64 `json:"deleted,omitempty"`
	Anonymized int64 `json:"anonymized,omitempty"`
	// Partitions is how many partitions were dropped whole; their records are in Deleted.
	Partitions int32 `json:"parts,omitempty"`
	// InFlight is the size of a batch whose commit was under way when this Receipt was written. If it is not zero in the
	// last Receipt of a Pod, Deleted and Anonymized are lower bounds.
	InFlight int64 `json:"flight,omitempty"`

	// Verified is true once Remaining and Blocked were counted after the last change.
	Verified bool `json:"verified,omitempty"`
	// Remaining are due records that are still there; Blocked of them are kept by the constraints named.
	Remaining   int64    `json:"remaining,omitempty"`
	Blocked     int64    `json:"blocked,omitempty"`
	Constraints []string `json:"constraints,omitempty"`
	// OldestRemaining is the earliest starting point among Remaining.
	OldestRemaining *time.Time `json:"oldest,omitempty"`
	Reason          Reason     `json:"reason,omitempty"`
}

// Probe is what a probe found out about a datastore.
type Probe struct {
	Datasets []DatasetProbe `json:"ds,omitempty"`
	Findings []Finding      `json:"f,omitempty"`
	// Omitted is how many findings did not fit.
	Omitted int `json:"omitted,omitempty"`
}

// DatasetProbe is what a probe found out about one dataset of the map.
type DatasetProbe struct {
	// Index is the dataset's place in the Plan.
	Index int `json:"i"`
	// Records is the engine's own estimate; -1 when it has none.
	Records int64 `json:"n"`
	// Oldest is the earliest plausible value of timestampField.
	Oldest *time.Time `json:"oldest,omitempty"`
	// Indexed is true when an index starts with timestampField.
	Indexed bool `json:"idx,omitempty"`
}

// Finding is one thing about a datastore's schema that a person should know.
type Finding struct {
	Code FindingCode `json:"c"`
	// Dataset is the place of the dataset in the Plan; -1 for the datastore as a whole.
	Dataset int `json:"i"`
	// Object is the name of a table, field, constraint, trigger or policy.
	Object string `json:"o,omitempty"`
}

// FindingCode is the kind of a Finding: a closed set.
type FindingCode string

// Findings that make a dataset unusable.
const (
	FindTableMissing     FindingCode = "TableNotFound"
	FindNotATable        FindingCode = "NotATable"
	FindFieldMissing     FindingCode = "FieldNotFound"
	FindTypeNotSupported FindingCode = "TypeNotSupported"
	FindKeyNotUnique     FindingCode = "KeyNotUnique"
	FindSelectNotGranted FindingCode = "SelectNotGranted"
	FindDeleteNotGranted FindingCode = "DeleteNotGranted"
	FindUpdateNotGranted FindingCode = "UpdateNotGranted"
	FindRowsHidden       FindingCode = "RowLevelSecurity" // row-level security hides records from this user
)

// Unusable says whether a finding of this kind keeps a dataset from being purged.
func (c FindingCode) Unusable() bool {
	switch c {
	case FindTableMissing, FindNotATable, FindFieldMissing, FindTypeNotSupported, FindKeyNotUnique, FindSelectNotGranted,
		FindDeleteNotGranted, FindUpdateNotGranted, FindRowsHidden:
		return true
	}
	return false
}

// Findings that a person should know of, and that make counts or completeness doubtful.
const (
	FindForeignKeyUnmapped  FindingCode = "ForeignKeyNotMapped"
	FindForeignKeyUnindexed FindingCode = "ForeignKeyNotIndexed"
	FindCascade             FindingCode = "CascadingForeignKey"
	FindSoftDelete          FindingCode = "SoftDeleteField"
	FindTrigger             FindingCode = "Trigger"
	FindRule                FindingCode = "RewriteRule"
	FindInheritance         FindingCode = "TableInheritance"
)
