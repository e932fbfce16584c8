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

// Condition types of an ErasureRequest.
const (
	// ConditionApproved is True once work may begin. A person sets it, or the controller where nobody has to.
	ConditionApproved = "Approved"
	// ConditionDenied is True when a person has refused the request; the reason and the message are the answer.
	ConditionDenied = "Denied"
	// ConditionSucceeded is True when every record of the person that was found is deleted or anonymized.
	ConditionSucceeded = "Succeeded"
	// ConditionVerified is True when a look after the last change found nothing that should be gone.
	ConditionVerified = "Verified"
	// ConditionOverdue is True when the time limit has passed without an answer.
	ConditionOverdue = "Overdue"
)

// Condition types of a LegalHold.
const (
	// ConditionEnforced is True when nothing that the hold covers is deleted or changed from now on.
	ConditionEnforced = "Enforced"
	// ConditionReleased is True when the hold no longer keeps anything.
	ConditionReleased = "Released"
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
	// ReasonLedgerUnavailable says that the evidence ledger cannot be used now, and that the work waits for it.
	ReasonLedgerUnavailable = "LedgerUnavailable"
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

// Reasons of an ErasureRequest's conditions, and of its parts.
const (
	// ReasonApprovalNotRequired says that nobody has to approve.
	ReasonApprovalNotRequired = "ApprovalNotRequired"
	// ReasonAwaitingApproval says that a person has to approve or deny.
	ReasonAwaitingApproval = "AwaitingApproval"
	// ReasonDenied says that a person has refused the request.
	ReasonDenied = "Denied"
	// ReasonAnswered says that the answer is complete.
	ReasonAnswered = "Answered"
	// ReasonErased says that all that was found is gone.
	ReasonErased = "Erased"
	// ReasonNotFound says that somebody looked everywhere, and there was nothing.
	ReasonNotFound = "NotFound"
	// ReasonRetainedByHold says that a LegalHold keeps records.
	ReasonRetainedByHold = "RetainedByHold"
	// ReasonRetainedByObligation says that the law demands that records are kept.
	ReasonRetainedByObligation = "RetainedByObligation"
	// ReasonIdentifiersDisagree says that the identifiers lead to different persons.
	ReasonIdentifiersDisagree = "IdentifiersDisagree"
	// ReasonSubjectUnreadable says that the subject cannot be read: a Secret that is missing or has no usable key, or
	// what was sealed to another key.
	ReasonSubjectUnreadable = "SubjectUnreadable"
	// ReasonWithinTimeLimit says that the time limit has not passed, or was kept.
	ReasonWithinTimeLimit = "WithinTimeLimit"
	// ReasonTimeLimitPassed says that the time limit has passed.
	ReasonTimeLimitPassed = "TimeLimitPassed"
	// ReasonNotAllowed says that a Datastore does not allow requests from another namespace.
	ReasonNotAllowed = "NotAllowed"
	// ReasonIncomplete says that something was not done; the datastores say what.
	ReasonIncomplete = "Incomplete"
	// ReasonVerified says that a look afterwards found nothing.
	ReasonVerified = "Verified"
	// ReasonNotVerified says that nobody has looked after the last change, or that something was there.
	ReasonNotVerified = "NotVerified"
)

// Reasons of a LegalHold's conditions.
const (
	// ReasonEnforced says that every run that started before has stopped.
	ReasonEnforced = "Enforced"
	// ReasonRegistering says that the hold is being written into Datastores.
	ReasonRegistering = "Registering"
	// ReasonWaitingForRuns says that a run that started before has not stopped yet.
	ReasonWaitingForRuns = "WaitingForRuns"
	// ReasonMatchesNothing says that there is nothing that the hold covers.
	ReasonMatchesNothing = "MatchesNothing"
	// ReasonHoldUnreadable says that the hold cannot be read. Nothing is deleted from the Datastores that it selects.
	ReasonHoldUnreadable = "HoldUnreadable"
	// ReasonReleased says that the hold keeps nothing any more.
	ReasonReleased = "Released"
)
