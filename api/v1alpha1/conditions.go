// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Condition types of every kind, with the meaning that kstatus gives them.
const (
	// ConditionReady is True when the object does what its spec says.
	ConditionReady = "Ready"
	// ConditionReconciling stands while the controller is at work or tries again.
	ConditionReconciling = "Reconciling"
	// ConditionStalled stands while nothing will happen until a person changes something.
	ConditionStalled = "Stalled"
)

// Condition types of a Datastore.
const (
	// ConditionReachable is True when the last probe reached the database with the credentials given.
	ConditionReachable = "Reachable"
	// ConditionSchemaMatches is True when every table, field and right that the data map and the policies need is there.
	ConditionSchemaMatches = "SchemaMatches"
	// ConditionIdentityPinned is True when the database is the one that was first seen, or that a person accepted.
	ConditionIdentityPinned = "IdentityPinned"
	// ConditionReferencesMapped is True when every foreign key that points to a dataset is in the data map.
	ConditionReferencesMapped = "ReferencesMapped"
	// ConditionCountsReliable is True when nothing in the database makes counts of deleted records doubtful: row-level
	// security, soft deletion, triggers, rules, cascades.
	ConditionCountsReliable = "CountsReliable"
)

// Condition types of a RetentionPolicy.
const (
	// ConditionCompliant is True while no selected datastore holds a record past its deadline beyond one schedule
	// interval, as far as the latest look at each of them tells.
	ConditionCompliant = "Compliant"
	// ConditionAwaitingApproval stands while a guardrail's stop waits for a person.
	ConditionAwaitingApproval = "AwaitingApproval"
)

// Reasons that several kinds use.
const (
	// ReasonReady says that everything is as it should be.
	ReasonReady = "Ready"
	// ReasonProgressing says that work is under way.
	ReasonProgressing = "Progressing"
	// ReasonProgressingWithRetry says that something failed and is tried again.
	ReasonProgressingWithRetry = "ProgressingWithRetry"
	// ReasonSuspended says that spec.suspend is true.
	ReasonSuspended = "Suspended"
	// ReasonInvalidSpec says that a field of the spec cannot be used; the message names it.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonNotProbed says that no probe has ended yet.
	ReasonNotProbed = "NotProbed"
)

// Reasons of a Datastore's conditions. A failed connection uses the reasons of the receipt: SecretIncomplete,
// Unreachable, AuthenticationFailed, DatabaseNotFound, ClockSkewed, VersionNotSupported, InternalError.
const (
	// ReasonReachable says that the database answered.
	ReasonReachable = "Reachable"
	// ReasonSchemaMatches says that the data map fits the database.
	ReasonSchemaMatches = "SchemaMatches"
	// ReasonIdentityPinned says that the database is the one that was pinned.
	ReasonIdentityPinned = "IdentityPinned"
	// ReasonIdentityChanged says that another database answers.
	ReasonIdentityChanged = "IdentityChanged"
	// ReasonReferencesMapped says that the map knows every foreign key.
	ReasonReferencesMapped = "ReferencesMapped"
	// ReasonForeignKeysNotMapped says that the map does not know some foreign keys.
	ReasonForeignKeysNotMapped = "ForeignKeysNotMapped"
	// ReasonCountsReliable says that nothing makes counts doubtful.
	ReasonCountsReliable = "CountsReliable"
	// ReasonCountsDoubtful says that something makes counts doubtful; the message names it.
	ReasonCountsDoubtful = "CountsDoubtful"
	// ReasonProbeCannotStart says that the probe's Pod does not start; the message says why.
	ReasonProbeCannotStart = "ProbeCannotStart"
	// ReasonProbeFailed says that the probe ended without a receipt.
	ReasonProbeFailed = "ProbeFailed"
)

// Reasons of a RetentionPolicy's conditions.
const (
	// ReasonNoDatastores says that the selector matches no Datastore.
	ReasonNoDatastores = "NoDatastores"
	// ReasonNeverRun says that no run has ended yet.
	ReasonNeverRun = "NeverRun"
	// ReasonRunSucceeded says that the latest run did all it should.
	ReasonRunSucceeded = "RunSucceeded"
	// ReasonRunIncomplete says that the latest run left something undone.
	ReasonRunIncomplete = "RunIncomplete"
	// ReasonRunFailed says that the latest run failed.
	ReasonRunFailed = "RunFailed"
	// ReasonGuardrailExceeded says that more is due than the guardrails allow.
	ReasonGuardrailExceeded = "GuardrailExceeded"
	// ReasonRulesNotApplicable says that a rule names a dataset that it cannot be applied to.
	ReasonRulesNotApplicable = "RulesNotApplicable"
	// ReasonNoOverdueRecords says that the latest look found no record past its deadline.
	ReasonNoOverdueRecords = "NoOverdueRecords"
	// ReasonOverdueRecords says that there are records past their deadline.
	ReasonOverdueRecords = "OverdueRecords"
	// ReasonUndatedRecords says that records without a usable timestamp make the promise impossible to check.
	ReasonUndatedRecords = "UndatedRecords"
	// ReasonObservationTooOld says that the latest look is older than the promise allows.
	ReasonObservationTooOld = "ObservationTooOld"
	// ReasonNotObserved says that some datastore or dataset was not looked at.
	ReasonNotObserved = "NotObserved"
)
