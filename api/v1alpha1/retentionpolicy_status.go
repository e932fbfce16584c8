// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RetentionPolicyStatus is what was done and what is left.
type RetentionPolicyStatus struct {
	// conditions are Ready (the policy works: its last run, if any, did what it
	// should) and Compliant (no selected datastore holds a record past its
	// deadline beyond one schedule interval). AwaitingApproval, Reconciling and
	// Stalled stand there only while they are True.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +patchStrategy=merge
	// +patchMergeKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`

	// observedGeneration is the generation of the spec that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// lastHandledRequest is the value of the annotation
	// dataretention.dev/requested-at that was last acted on.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	LastHandledRequest string `json:"lastHandledRequest,omitempty"`

	// mode is the mode in force: Enforce or Simulate.
	// +optional
	Mode Mode `json:"mode,omitempty"`

	// selectedDatastores is the number of Datastores that the selector matches.
	// +optional
	SelectedDatastores *int32 `json:"selectedDatastores,omitempty"`

	// nextScheduleTime is when the next run is due. Absent while the policy is
	// suspended.
	// +optional
	NextScheduleTime *metav1.Time `json:"nextScheduleTime,omitempty"`

	// lastScheduleTime is the latest time of the schedule for which a run was
	// started.
	// +optional
	LastScheduleTime *metav1.Time `json:"lastScheduleTime,omitempty"`

	// lastMissedTime is the latest time of the schedule that passed without a run.
	// +optional
	LastMissedTime *metav1.Time `json:"lastMissedTime,omitempty"`

	// lastSuccessfulTime is the time that the latest run which succeeded was due:
	// every record whose period had ended by then is gone.
	// +optional
	LastSuccessfulTime *metav1.Time `json:"lastSuccessfulTime,omitempty"`

	// activeRun is the run that is under way.
	// +optional
	ActiveRun *Run `json:"activeRun,omitempty"`

	// lastRun is the latest run that ended, in full.
	// +optional
	LastRun *Run `json:"lastRun,omitempty"`

	// history is one line for each of the latest runs, newest first.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=200
	History []RunSummary `json:"history,omitempty"`
}

// Run is one run of a policy.
type Run struct {
	// name is the run's name, made from the policy's name and slot.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Name string `json:"name,omitempty"`

	// trigger is what started the run: Schedule, Request (the annotation
	// requested-at), Approval (the annotation approved-plan) or Resume (what had
	// stopped the run before, such as a LegalHold, is over).
	// +required
	Trigger Trigger `json:"trigger,omitempty"`

	// slot is the time that the run is for: every cutoff is reckoned from it.
	// +required
	Slot metav1.Time `json:"slot,omitzero"`

	// mode is Enforce or Simulate.
	// +required
	Mode Mode `json:"mode,omitempty"`

	// policyGeneration is the generation of the policy that the run carries out.
	// +optional
	PolicyGeneration int64 `json:"policyGeneration,omitempty"`

	// startTime is when the run was started.
	// +required
	StartTime metav1.Time `json:"startTime,omitzero"`

	// completionTime is when the last receipt was in.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// outcome is the worst of the datastores' outcomes.
	// +optional
	Outcome Outcome `json:"outcome,omitempty"`

	// message says it in a sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`

	RunTotals `json:",inline"`

	// evidence is the signed statement about the run as a whole.
	// +optional
	Evidence *EvidenceReference `json:"evidence,omitempty"`

	// datastores are the datastores of the run.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=24
	Datastores []RunDatastore `json:"datastores,omitempty"`
}

// RunTotals are the sums over all datasets of a run.
type RunTotals struct {
	// matched is how many records were due before the run's first change.
	// +optional
	Matched *int64 `json:"matched,omitempty"`

	// deleted is how many records the run deleted, over all its attempts.
	// +optional
	Deleted *int64 `json:"deleted,omitempty"`

	// anonymized is how many records the run anonymized, over all its attempts.
	// +optional
	Anonymized *int64 `json:"anonymized,omitempty"`

	// remaining is how many records that are due were still there when the run
	// looked again at its end.
	// +optional
	Remaining *int64 `json:"remaining,omitempty"`

	// counting is Exact, or AtLeast when a Pod died at a moment that leaves one of
	// its batches in doubt: deleted and anonymized are lower bounds then.
	// +optional
	Counting Counting `json:"counting,omitempty"`
}

// Counting says how a number is to be read.
// +kubebuilder:validation:Enum=Exact;AtLeast
type Counting string

// How a number is to be read.
const (
	CountingExact   Counting = "Exact"
	CountingAtLeast Counting = "AtLeast"
)

// Trigger is what started a run.
// +kubebuilder:validation:Enum=Schedule;Request;Approval;Resume
type Trigger string

// What starts a run.
const (
	TriggerSchedule Trigger = "Schedule"
	TriggerRequest  Trigger = "Request"
	TriggerApproval Trigger = "Approval"
	TriggerResume   Trigger = "Resume"
)

// Outcome is how a run, or its part in one datastore, ended. From best to
// worst: Succeeded (all that was due is gone, and a look afterwards confirmed
// it), Simulated, AwaitingApproval (a guardrail stopped it before its first
// change), Incomplete (some of it was not done; the datasets say what),
// Interrupted (stopped before its end), Failed, Unreachable.
// +kubebuilder:validation:Enum=Succeeded;Simulated;AwaitingApproval;Incomplete;Interrupted;Failed;Unreachable
type Outcome string

// Outcomes of a run.
const (
	OutcomeSucceeded        Outcome = "Succeeded"
	OutcomeSimulated        Outcome = "Simulated"
	OutcomeAwaitingApproval Outcome = "AwaitingApproval"
	OutcomeIncomplete       Outcome = "Incomplete"
	OutcomeInterrupted      Outcome = "Interrupted"
	OutcomeUnreachable      Outcome = "Unreachable"
	OutcomeFailed           Outcome = "Failed"
)

// RunState is how far a run has come in one datastore.
// +kubebuilder:validation:Enum=Waiting;Preparing;Released;Finished
type RunState string

// How far a run has come in one datastore.
const (
	// RunWaiting means that the datastore is not taken yet.
	RunWaiting RunState = "Waiting"
	// RunPreparing means that the datastore is taken and the suspended Job is
	// being made.
	RunPreparing RunState = "Preparing"
	// RunReleased means that the Job was, or is about to be, released. From here
	// on a missing Job is a lost receipt.
	RunReleased RunState = "Released"
	// RunFinished means that the receipts are stored here.
	RunFinished RunState = "Finished"
)

// RunDatastore is a run's part in one datastore.
type RunDatastore struct {
	// name is the Datastore's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// uid is the Datastore's UID.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`

	// generation is the generation of the Datastore that the plan was made from.
	// +optional
	Generation int64 `json:"generation,omitempty"`

	// state is how far the run has come here: Waiting, Preparing, Released or
	// Finished.
	// +required
	State RunState `json:"state,omitempty"`

	// planDigest identifies the plan; it is what an approval names.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	PlanDigest string `json:"planDigest,omitempty"`

	// job is the name of the purge Job, and of the ConfigMap with its plan.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Job string `json:"job,omitempty"`

	// intent is the signed statement of what the Job is about to do. It is in the
	// ledger before the Job is released.
	// +optional
	Intent *EvidenceReference `json:"intent,omitempty"`

	// evidence is the signed statement of what came of it.
	// +optional
	Evidence *EvidenceReference `json:"evidence,omitempty"`

	// approvedRecords is how many due records the approval covers, when the run
	// follows one.
	// +optional
	ApprovedRecords *int64 `json:"approvedRecords,omitempty"`

	// outcome is how it ended.
	// +optional
	Outcome Outcome `json:"outcome,omitempty"`

	// reason is why, in one word.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// message is why, in a sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`

	// startTime is when the first Pod started.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// completionTime is when the last Pod ended.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// attempts is how many Pods worked on it.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`

	// serverVersion is the server's own version.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	ServerVersion string `json:"serverVersion,omitempty"`

	// clockSkewMilliseconds is the server's clock minus the Pod's. Only the Pod's
	// cutoffs decide what is due.
	// +optional
	ClockSkewMilliseconds *int64 `json:"clockSkewMilliseconds,omitempty"`

	// datasets is what was done in each dataset that a rule covers, in the order
	// in which it was done.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=128
	Datasets []RunDataset `json:"datasets,omitempty"`

	// holds are the names of the LegalHolds that the run respected here.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MaxLength=253
	Holds []string `json:"holds,omitempty"`

	// excluded are the datasets that no step covers, and why.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=128
	Excluded []RunExclusion `json:"excluded,omitempty"`
}

// RunDataset is what a run did in one dataset under one rule. All numbers are
// of records.
type RunDataset struct {
	// name is the dataset's name.
	// +required
	Name DatasetName `json:"name,omitempty"`

	// rule is the rule that applied.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Rule string `json:"rule,omitempty"`

	// action is Delete or Anonymize.
	// +required
	Action Action `json:"action,omitempty"`

	// cutoff is the latest starting point that is due.
	// +required
	Cutoff metav1.MicroTime `json:"cutoff,omitzero"`

	// outcome is how it ended: Deleted, Anonymized, NothingDue, Simulated,
	// RetainedByObligation, Blocked (constraints keep records), Failed, NotRun or
	// AwaitingApproval.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Outcome string `json:"outcome,omitempty"`

	// reason is why, where the outcome needs one.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// records is how many records the dataset had.
	// +optional
	Records *int64 `json:"records,omitempty"`

	// matched is how many of them were due.
	// +optional
	Matched *int64 `json:"matched,omitempty"`

	// deleted is how many were deleted, over all attempts.
	// +optional
	Deleted *int64 `json:"deleted,omitempty"`

	// anonymized is how many were anonymized, over all attempts.
	// +optional
	Anonymized *int64 `json:"anonymized,omitempty"`

	// droppedPartitions is how many partitions were dropped whole. Their records
	// are in deleted.
	// +optional
	DroppedPartitions int32 `json:"droppedPartitions,omitempty"`

	// retained is how many past the rule's cutoff are kept by a retainAtLeast.
	// +optional
	Retained *int64 `json:"retained,omitempty"`

	// held is how many past the rule's cutoff are kept by a LegalHold.
	// +optional
	Held *int64 `json:"held,omitempty"`

	// notStarted is how many are kept because the event that startingFrom names
	// has not happened.
	// +optional
	NotStarted *int64 `json:"notStarted,omitempty"`

	// undated is how many have no timestamp. They are never deleted.
	// +optional
	Undated *int64 `json:"undated,omitempty"`

	// invalid is how many have a placeholder for a timestamp (1970-01-01,
	// 9999-12-31, infinity), or a reference that leads nowhere. They are never
	// deleted.
	// +optional
	Invalid *int64 `json:"invalid,omitempty"`

	// remaining is how many that are due were still there at the end.
	// +optional
	Remaining *int64 `json:"remaining,omitempty"`

	// blocked is how many of remaining are kept by constraints.
	// +optional
	Blocked *int64 `json:"blocked,omitempty"`

	// constraints are the names of those constraints.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=128
	Constraints []string `json:"constraints,omitempty"`

	// oldestRemainingTime is the earliest starting point among remaining.
	// +optional
	OldestRemainingTime *metav1.Time `json:"oldestRemainingTime,omitempty"`

	// counting is Exact, or AtLeast when deleted and anonymized are lower bounds.
	// +optional
	Counting Counting `json:"counting,omitempty"`
}

// RunExclusion says why a dataset, or a rule, had no part in a run.
type RunExclusion struct {
	// name is the dataset's name. Empty for a rule that fits no dataset.
	// +optional
	Name DatasetName `json:"name,omitempty"`

	// rule is the rule that lost, or that could not be applied.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Rule string `json:"rule,omitempty"`

	// reason is why, in one word.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// message is why, in a sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
}

// RunSummary is one line about a run.
type RunSummary struct {
	// name is the run's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Name string `json:"name,omitempty"`

	// trigger is what started it.
	// +required
	Trigger Trigger `json:"trigger,omitempty"`

	// slot is the time that it was for.
	// +required
	Slot metav1.Time `json:"slot,omitzero"`

	// mode is Enforce or Simulate.
	// +required
	Mode Mode `json:"mode,omitempty"`

	// completionTime is when it ended.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// outcome is how it ended.
	// +required
	Outcome Outcome `json:"outcome,omitempty"`

	// evidence is the signed statement about the run.
	// +optional
	Evidence *EvidenceReference `json:"evidence,omitempty"`

	RunTotals `json:",inline"`
}
