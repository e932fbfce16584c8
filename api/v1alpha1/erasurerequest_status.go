// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ErasureRequestStatus is how far a request has come, and the answer to it.
type ErasureRequestStatus struct {
	// conditions are Ready (the request is answered, or denied); Approved and
	// Denied, which only a person with the verb approve on erasurerequests may
	// set; Succeeded (everything of the person that was found is erased); Verified
	// (a look after the last change found nothing that should be gone); Overdue.
	// Reconciling and Stalled stand there only while they are True.
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

	// state is how far the request has come: Received, AwaitingApproval, Denied,
	// Finding, Erasing, RetainedByHold (waits for the release of a hold), Watching
	// (answered, and repeated until recheckUntil) or Answered.
	// +optional
	State ErasureState `json:"state,omitempty"`

	// regulation is the law in force: GDPR or CCPA.
	// +optional
	Regulation Regulation `json:"regulation,omitempty"`

	// receivedTime is when the time limit began to run.
	// +optional
	ReceivedTime *metav1.Time `json:"receivedTime,omitempty"`

	// confirmByTime is until when the receipt has to be confirmed to the person
	// (CCPA: 10 business days).
	// +optional
	ConfirmByTime *metav1.Time `json:"confirmByTime,omitempty"`

	// dueTime is until when the request has to be answered, an extension included.
	// +optional
	DueTime *metav1.Time `json:"dueTime,omitempty"`

	// extension is the extension of the time limit, if a reason for one was given
	// in time by the annotation dataretention.dev/extension-reason.
	// +optional
	Extension *ErasureExtension `json:"extension,omitempty"`

	// approvedTime is when work could begin.
	// +optional
	ApprovedTime *metav1.Time `json:"approvedTime,omitempty"`

	// answeredTime is when the answer was complete for the first time.
	// +optional
	AnsweredTime *metav1.Time `json:"answeredTime,omitempty"`

	// outcome is the worst of the datasets' outcomes: the answer as a whole.
	// +optional
	Outcome ErasureOutcome `json:"outcome,omitempty"`

	// found is how many records of the person were found.
	// +optional
	Found *int64 `json:"found,omitempty"`

	// erased is how many of them were deleted or anonymized.
	// +optional
	Erased *int64 `json:"erased,omitempty"`

	// counting is Exact, or AtLeast when found and erased are lower bounds.
	// +optional
	Counting Counting `json:"counting,omitempty"`

	// identifierTypes are the types of identifiers that the request was carried
	// out with: those that were given, and those that were found to belong to the
	// person.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=63
	IdentifierTypes []string `json:"identifierTypes,omitempty"`

	// commitments prove, to whoever knows an identifier of the person, that this
	// request was about it: slow salted hashes (argon2id), one for each identifier
	// that was given. Check one with `retention-operator verify-subject`.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=256
	Commitments []string `json:"commitments,omitempty"`

	// evidence is the latest signed statement of the answer, or of the denial.
	// When something has changed since, as when a repetition has found more, a
	// further one takes its place here; the ledger keeps all of them.
	// +optional
	Evidence *EvidenceReference `json:"evidence,omitempty"`

	// sealingKey is the public key that spec.subject.sealed was sealed to.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	SealingKey string `json:"sealingKey,omitempty"`

	// sealedSubject is the subject, sealed to the operator's key, for the requests
	// that were made in other namespaces from this one. It goes when the request
	// has ended.
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	SealedSubject string `json:"sealedSubject,omitempty"`

	// sealedTypes are the types of identifiers that sealedSubject was asked for:
	// those that the Datastores knew.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=1024
	// +kubebuilder:validation:items:MaxLength=63
	SealedTypes []string `json:"sealedTypes,omitempty"`

	// datastores are the Datastores of this namespace, and what became of the
	// person's records in each.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Datastores []ErasureDatastore `json:"datastores,omitempty"`

	// children are the requests in other namespaces that were made from this one.
	// +optional
	// +listType=map
	// +listMapKey=namespace
	// +kubebuilder:validation:MaxItems=64
	Children []ErasureChild `json:"children,omitempty"`

	// recipients are those who have to be told of the erasure (GDPR Art. 19).
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=128
	Recipients []ErasureRecipient `json:"recipients,omitempty"`

	// fullyExpiredBy is when the last backup that may hold the person's records
	// has expired, by spec.backups of the Datastores.
	// +optional
	FullyExpiredBy *metav1.Time `json:"fullyExpiredBy,omitempty"`

	// recheck is the repetition of the erasure.
	// +optional
	Recheck *ErasureRecheck `json:"recheck,omitempty"`

	// subjectSecret says what became of the subject's Secret: Kept or Deleted.
	// Absent while it is needed.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	SubjectSecret string `json:"subjectSecret,omitempty"`
}

// ErasureState is how far a request has come.
// +kubebuilder:validation:Enum=Received;AwaitingApproval;Denied;Finding;Erasing;RetainedByHold;Watching;Answered
type ErasureState string

// How far a request has come.
const (
	ErasureReceived         ErasureState = "Received"
	ErasureAwaitingApproval ErasureState = "AwaitingApproval"
	ErasureDenied           ErasureState = "Denied"
	ErasureFinding          ErasureState = "Finding"
	ErasureErasing          ErasureState = "Erasing"
	ErasureRetainedByHold   ErasureState = "RetainedByHold"
	ErasureWatching         ErasureState = "Watching"
	ErasureAnswered         ErasureState = "Answered"
)

// ErasureOutcome is what became of the records of a person: Deleted, Anonymized,
// NotFound (somebody looked, and there were none), RetainedByObligation,
// RetainedByHold, Expiring (gone by itself by a known time), Skipped (nobody
// looked or acted; the reason says why), Unreachable, Failed.
// +kubebuilder:validation:Enum=Deleted;Anonymized;NotFound;RetainedByObligation;RetainedByHold;Expiring;Skipped;Unreachable;Failed
type ErasureOutcome string

// Outcomes of an erasure.
const (
	ErasureDeleted              ErasureOutcome = "Deleted"
	ErasureAnonymized           ErasureOutcome = "Anonymized"
	ErasureNotFound             ErasureOutcome = "NotFound"
	ErasureRetainedByObligation ErasureOutcome = "RetainedByObligation"
	ErasureHeld                 ErasureOutcome = "RetainedByHold"
	ErasureExpiring             ErasureOutcome = "Expiring"
	ErasureSkipped              ErasureOutcome = "Skipped"
	ErasureUnreachable          ErasureOutcome = "Unreachable"
	ErasureFailed               ErasureOutcome = "Failed"
)

// ErasureExtension is an extension of the time limit (GDPR Art. 12(3), CCPA
// regulations §7021(b)).
type ErasureExtension struct {
	// reason is why, as it was given.
	// +required
	Reason CaseText `json:"reason,omitempty"`

	// time is when it was given, inside the first time limit.
	// +required
	Time metav1.Time `json:"time,omitzero"`

	// originalDueTime is the end of the time limit without the extension.
	// +required
	OriginalDueTime metav1.Time `json:"originalDueTime,omitzero"`
}

// ErasureStep is how far a request has come in one Datastore.
// +kubebuilder:validation:Enum=Find;Finding;Found;Erase;Erasing;Finished
type ErasureStep string

// How far a request has come in one Datastore.
const (
	// ErasureStepFind waits for the Datastore to be searched.
	ErasureStepFind ErasureStep = "Find"
	// ErasureStepFinding is being searched by the run that is named.
	ErasureStepFinding ErasureStep = "Finding"
	// ErasureStepFound was searched, and waits for the other Datastores.
	ErasureStepFound ErasureStep = "Found"
	// ErasureStepErase waits for its turn in the Datastore.
	ErasureStepErase ErasureStep = "Erase"
	// ErasureStepErasing is being erased by the run that is named.
	ErasureStepErasing ErasureStep = "Erasing"
	// ErasureStepFinished has an outcome.
	ErasureStepFinished ErasureStep = "Finished"
)

// ErasureDatastore is what became of the person's records in one Datastore.
type ErasureDatastore struct {
	// name is the Datastore's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// uid is the Datastore's UID.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`

	// identity is the identity of the server that was erased on.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Identity string `json:"identity,omitempty"`

	// step is how far the request has come here.
	// +required
	Step ErasureStep `json:"step,omitempty"`

	// run is the name of the run that works on it, or has worked on it last.
	// Requests that wait for the same Datastore share one.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Run string `json:"run,omitempty"`

	// searchedWith is how many further identifiers of the person, besides those
	// that were given, were known when this Datastore was searched.
	// +optional
	SearchedWith int32 `json:"searchedWith,omitempty"`

	// derived are further identifiers of the person that were found here, sealed
	// to the operator's key. They go when the request has ended.
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	Derived string `json:"derived,omitempty"`

	// outcome is the worst of the datasets' outcomes.
	// +optional
	Outcome ErasureOutcome `json:"outcome,omitempty"`

	// reason is why, in one word.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// message is why, in a sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`

	// verified says whether a look after the last change found nothing that should
	// be gone.
	// +optional
	Verified *bool `json:"verified,omitempty"` //nolint:kubeapilinter // an observation with two values, not a setting

	// passes is how often the Datastore was gone over: more than once when records
	// were written between the search and the erasure.
	// +optional
	Passes int32 `json:"passes,omitempty"`

	// attempts is how many Pods worked on it.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`

	// failures is how many runs in a row did not come to an end here. The next one
	// waits the longer.
	// +optional
	Failures int32 `json:"failures,omitempty"`

	// startTime is when the first Pod of the run started.
	// +optional
	StartTime *metav1.Time `json:"startTime,omitempty"`

	// completionTime is when the last Pod of the run ended.
	// +optional
	CompletionTime *metav1.Time `json:"completionTime,omitempty"`

	// retryTime is when it is tried again.
	// +optional
	RetryTime *metav1.Time `json:"retryTime,omitempty"`

	// holds are the names of the LegalHolds that keep records here.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=253
	Holds []string `json:"holds,omitempty"`

	// evidence are the signed statements of the runs that worked on it, the latest
	// ones last.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	Evidence []EvidenceReference `json:"evidence,omitempty"`

	// datasets is what became of the records in each dataset, in the order in
	// which it was done.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Datasets []ErasureDataset `json:"datasets,omitempty"`
}

// ErasureDataset is what became of the person's records in one dataset.
type ErasureDataset struct {
	// name is the dataset's name.
	// +required
	Name DatasetName `json:"name,omitempty"`

	// action is what the data map asks for: Delete, Anonymize or Retain.
	// +optional
	Action ErasureAction `json:"action,omitempty"`

	// outcome is what became of the records.
	// +required
	Outcome ErasureOutcome `json:"outcome,omitempty"`

	// reason is why, where the outcome needs one.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// legalBasis is what demands that records are kept.
	// +optional
	LegalBasis PlainText `json:"legalBasis,omitempty"`

	// found is how many records of the person were there. Absent if nobody looked.
	// +optional
	Found *int64 `json:"found,omitempty"`

	// deleted is how many were deleted, over all attempts.
	// +optional
	Deleted *int64 `json:"deleted,omitempty"`

	// anonymized is how many were anonymized, over all attempts.
	// +optional
	Anonymized *int64 `json:"anonymized,omitempty"`

	// retained is how many are kept by an obligation.
	// +optional
	Retained *int64 `json:"retained,omitempty"`

	// held is how many are kept by a LegalHold.
	// +optional
	Held *int64 `json:"held,omitempty"`

	// remaining is how many that should be gone were still there at the end.
	// Absent if nobody looked.
	// +optional
	Remaining *int64 `json:"remaining,omitempty"`

	// counting is Exact, or AtLeast when deleted and anonymized are lower bounds.
	// +optional
	Counting Counting `json:"counting,omitempty"`

	// constraints are the names of the constraints that keep records.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:items:MaxLength=128
	Constraints []string `json:"constraints,omitempty"`
}

// ErasureChild is a request in another namespace that was made from this one.
type ErasureChild struct {
	// namespace is its namespace.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace,omitempty"`

	// name is its name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// uid is its UID.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`

	// state is how far it has come.
	// +optional
	State ErasureState `json:"state,omitempty"`

	// outcome is its outcome.
	// +optional
	Outcome ErasureOutcome `json:"outcome,omitempty"`

	// reason is why there is no child, or no better outcome, in one word.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// verified says whether a look after the last change found nothing that should
	// be gone.
	// +optional
	Verified *bool `json:"verified,omitempty"` //nolint:kubeapilinter // an observation with two values, not a setting

	// found is how many records of the person were found.
	// +optional
	Found *int64 `json:"found,omitempty"`

	// erased is how many of them were deleted or anonymized.
	// +optional
	Erased *int64 `json:"erased,omitempty"`

	// evidence is the signed statement of its answer.
	// +optional
	Evidence *EvidenceReference `json:"evidence,omitempty"`

	// derived are further identifiers of the person that were found there, sealed
	// to the operator's key. They go when the request has ended.
	// +optional
	// +kubebuilder:validation:MaxLength=16384
	Derived string `json:"derived,omitempty"`
}

// ErasureRecipient is somebody who has to be told of the erasure.
type ErasureRecipient struct {
	// name is the recipient as the Datastore names it.
	// +required
	Name PlainText `json:"name,omitempty"`

	// datastore is the Datastore that names it.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Datastore string `json:"datastore,omitempty"`
}

// ErasureRecheck is the repetition of an erasure.
type ErasureRecheck struct {
	// until is when it ends. Until then the identifiers are kept.
	// +required
	Until metav1.Time `json:"until,omitzero"`

	// nextTime is when the next repetition begins.
	// +optional
	NextTime *metav1.Time `json:"nextTime,omitempty"`

	// lastTime is when the last repetition ended.
	// +optional
	LastTime *metav1.Time `json:"lastTime,omitempty"`

	// times is how many repetitions have ended.
	// +optional
	Times int32 `json:"times,omitempty"`

	// found is how many records of the person all repetitions have found and
	// erased.
	// +optional
	Found *int64 `json:"found,omitempty"`

	// reason is why the latest repetition began: Schedule, IdentityChanged or
	// NewDatastore.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`
}
