// SPDX-License-Identifier: Apache-2.0

package report

import (
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
)

// Policy is a RetentionPolicy in the period.
type Policy struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	UID       string `json:"uid,omitempty"`
	// Schedule, TimeZone and Mode are those of the object, or else of the latest statement.
	Schedule string `json:"schedule,omitempty"`
	TimeZone string `json:"timeZone,omitempty"`
	Mode     string `json:"mode,omitempty"`
	// Now is what the object says at the time the report is made; absent without a cluster, or if it is gone.
	Now *PolicyNow `json:"now,omitempty"`
	// Gone says that the cluster was read and has no such object any more.
	Gone  bool   `json:"gone,omitempty"`
	Rules []Rule `json:"rules"`

	// Runs is how many runs ended, or deleted something, in the period: the sum of each of the groups below.
	Runs         int     `json:"runs"`
	Compliant    int     `json:"compliant"`
	NotCompliant int     `json:"notCompliant"`
	Unknown      int     `json:"unknown"`
	Outcomes     []Tally `json:"outcomes"`
	Levels       []Tally `json:"levels"`

	Deleted    *Count `json:"deleted,omitempty"`
	Anonymized *Count `json:"anonymized,omitempty"`
	// Remaining is what the latest run left of what was due.
	Remaining *Count `json:"remaining,omitempty"`
	// Latest is the compliance of the latest run in the period.
	Latest State `json:"latest"`
	// Strip is the compliance over time, one cell per StripUnit (Day, Week or Month).
	StripUnit Unit   `json:"stripUnit"`
	Strip     []Cell `json:"strip"`
	Evidence  *Ref   `json:"evidence,omitempty"`
}

// PolicyNow is a policy's status.
type PolicyNow struct {
	// Compliant is the condition's status: True, False or Unknown. Reason and Message are the condition's.
	Compliant string     `json:"compliant"`
	Reason    string     `json:"reason,omitempty"`
	Message   string     `json:"message,omitempty"`
	Suspended bool       `json:"suspended,omitempty"`
	NextRun   *time.Time `json:"nextRun,omitempty"`
}

// Rule is a rule of a policy.
type Rule struct {
	Name          string   `json:"name"`
	Covers        []string `json:"covers"`
	DeleteAfter   string   `json:"deleteAfter,omitempty"`
	RetainAtLeast string   `json:"retainAtLeast,omitempty"`
	Action        string   `json:"action,omitempty"`
	LegalBasis    string   `json:"legalBasis,omitempty"`
}

// Tally is how often something was.
type Tally struct {
	Name  string `json:"name"`
	Times int    `json:"times"`
}

// State is whether the promise was kept.
type State string

// The states of a run, and of a cell of a strip.
const (
	Compliant    State = "Compliant"
	NotCompliant State = "NotCompliant"
	Unknown      State = "Unknown"
	// NoRun: a run was due, and no statement tells of one.
	NoRun State = "NoRun"
	// NotDue: no run was due.
	NotDue State = "NotDue"
)

// Why is why a run is not compliant, or why that is unknown.
type Why string

// Why a run is not compliant, or why that is unknown: the gravest is told.
const (
	// WhyRecordsLeft: records past their period were still there. WhySimulated: since nothing was to be changed.
	// WhyAwaitingApproval: since a guardrail stopped the run before its first change.
	WhyRecordsLeft      Why = "RecordsLeft"
	WhySimulated        Why = "OnlySimulated"
	WhyAwaitingApproval Why = "AwaitingApproval"
	// WhyUnproven: nobody can account for what was done. WhyNotObserved: nobody has looked everywhere.
	WhyUnproven    Why = "Unproven"
	WhyNotObserved Why = "NotObserved"
	// WhyUndated: records have no usable date. WhyIncomplete: some rule was not carried out.
	WhyUndated    Why = "Undated"
	WhyIncomplete Why = "Incomplete"
	// WhyNotConcluded: no statement says how the run ended.
	WhyNotConcluded Why = "NotConcluded"
)

// Unit is a stretch of the calendar.
type Unit string

// The units of strips and charts.
const (
	Day   Unit = "Day"
	Week  Unit = "Week"
	Month Unit = "Month"
)

// Cell is one stretch of a policy's strip. Its state is the worst of its runs, each as it ended.
type Cell struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	State State     `json:"state"`
	Runs  int       `json:"runs"`
}

// Run is one run of a policy. Its numbers are those of its Results in the period.
type Run struct {
	Namespace  string     `json:"namespace"`
	Policy     string     `json:"policy"`
	PolicyUID  string     `json:"policyUID,omitempty"`
	Name       string     `json:"name"`
	Trigger    string     `json:"trigger,omitempty"`
	Mode       string     `json:"mode,omitempty"`
	Slot       *time.Time `json:"slot,omitempty"`
	Completion *time.Time `json:"completion,omitempty"`
	// Outcome is empty if no statement says how the run ended.
	Outcome string         `json:"outcome,omitempty"`
	Message string         `json:"message,omitempty"`
	Level   evidence.Level `json:"level,omitempty"`
	State   State          `json:"state"`
	// Why is why it is not compliant, or why that is unknown.
	Why        Why    `json:"why,omitempty"`
	Deleted    *Count `json:"deleted,omitempty"`
	Anonymized *Count `json:"anonymized,omitempty"`
	Remaining  *Count `json:"remaining,omitempty"`
	Evidence   *Ref   `json:"evidence,omitempty"`
}

// Deletions are the records deleted over time, by data class. Anonymized records are not among them.
type Deletions struct {
	Unit Unit `json:"unit"`
	// Classes are the data classes, in the order of the numbers in Stretches: those with most records first.
	Classes   []string  `json:"classes"`
	Stretches []Stretch `json:"stretches"`
}

// Stretch is one week, or another Unit.
type Stretch struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	// Deleted has one number for each of the classes; null where nobody has counted anything.
	Deleted []*Count `json:"deleted"`
}

// Class is what became of the records of one data class in one Datastore.
type Class struct {
	// DataClass is empty for datasets that have none.
	DataClass string `json:"dataClass,omitempty"`
	Namespace string `json:"namespace"`
	Datastore string `json:"datastore"`
	Datasets  int    `json:"datasets"`
	// Deleted and Anonymized are what went in the period, OnRequest the part of both that went by erasure requests.
	Deleted    *Count `json:"deleted,omitempty"`
	Anonymized *Count `json:"anonymized,omitempty"`
	OnRequest  *Count `json:"onRequest,omitempty"`
	// Retained, Held and Remaining are what the latest runs of policies found.
	Retained  *Count   `json:"retained,omitempty"`
	Bases     []string `json:"legalBases"`
	Held      *Count   `json:"held,omitempty"`
	Remaining *Count   `json:"remaining,omitempty"`
}

// Hold is a LegalHold that was in force at some time in the period, or was meant to be.
type Hold struct {
	Namespace string    `json:"namespace"`
	Name      string    `json:"name"`
	UID       string    `json:"uid,omitempty"`
	State     HoldState `json:"state"`
	Scope     string    `json:"scope,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	Authority string    `json:"authority,omitempty"`
	Reference string    `json:"reference,omitempty"`

	Enforced *time.Time `json:"enforced,omitempty"`
	Released *time.Time `json:"released,omitempty"`
	// Release is why it was released.
	Release string `json:"release,omitempty"`
	Records *Count `json:"records,omitempty"`
	// Respected is how many Results in the period say that they respected it.
	Respected        int  `json:"respected"`
	EnforcedEvidence *Ref `json:"enforcedEvidence,omitempty"`
	ReleasedEvidence *Ref `json:"releasedEvidence,omitempty"`
}

// HoldState is how a hold stands.
type HoldState string

// The states of a hold.
const (
	HoldInForce  HoldState = "InForce"
	HoldReleased HoldState = "Released"
	// HoldPending: it is not enforced yet.
	HoldPending HoldState = "NotEnforced"
	// HoldGone: the object is gone from the cluster, and no statement says that the hold was released.
	HoldGone HoldState = "Gone"
	// HoldSeen: known only from the runs that respected it.
	HoldSeen HoldState = "SeenByRuns"
)

// Backup is what backups may still hold of what a Result has deleted or anonymized.
type Backup struct {
	Namespace string `json:"namespace"`
	Datastore string `json:"datastore"`
	// Of is what deleted it: a run.
	Of         string      `json:"of"`
	Deleted    *Count      `json:"deleted,omitempty"`
	Anonymized *Count      `json:"anonymized,omitempty"`
	DeletedOn  time.Time   `json:"deletedOn"`
	GoneBy     *time.Time  `json:"goneBy,omitempty"`
	State      BackupState `json:"state"`
	// Evidence is the Result, Expired the statement that the backups have expired.
	Evidence *Ref `json:"evidence"`
	Expired  *Ref `json:"expired,omitempty"`
}

// BackupState is how it stands with the backups of one deletion.
type BackupState string

// The states of backups.
const (
	BackupExpired BackupState = "Expired"
	BackupPending BackupState = "Pending"
	// BackupOverdue: the time is over for more than a day, and no statement says that the backups have expired.
	BackupOverdue BackupState = "Overdue"
	// BackupUndeclared: nobody has declared how long backups are kept.
	BackupUndeclared BackupState = "Undeclared"
)

// BackupTotal is how it stands with the backups of one Datastore: numbers of Backups.
type BackupTotal struct {
	Namespace  string `json:"namespace"`
	Datastore  string `json:"datastore"`
	Retention  string `json:"retention,omitempty"`
	Deletions  int    `json:"deletions"`
	Expired    int    `json:"expired"`
	Pending    int    `json:"pending"`
	Overdue    int    `json:"overdue"`
	Undeclared int    `json:"undeclared"`
	// LastGoneBy is when the last of the pending ones is gone.
	LastGoneBy *time.Time `json:"lastGoneBy,omitempty"`
}
