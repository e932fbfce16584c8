// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Annotations that a person sets. The controllers read them and never write them.
const (
	// AnnotationRequestedAt asks for a probe (on a Datastore) or a run (on a RetentionPolicy) now. Any change of its
	// value counts as one request; the value that was handled is echoed in status.lastHandledRequest.
	AnnotationRequestedAt = Group + "/requested-at"

	// AnnotationApprovedPlan, on a RetentionPolicy, approves the plans whose digests it lists, separated by commas. A plan
	// that a guardrail stopped is then carried out, as long as no more records are due than when it was stopped.
	AnnotationApprovedPlan = Group + "/approved-plan"

	// AnnotationAcceptedIdentity, on a Datastore, accepts the server identity that it holds in place of the pinned one.
	AnnotationAcceptedIdentity = Group + "/accepted-identity"

	// AnnotationExtensionReason, on an ErasureRequest, extends its time limit as far as the law allows, for the reason that
	// it holds. It counts only if it is set before the first time limit ends.
	AnnotationExtensionReason = Group + "/extension-reason"

	// AnnotationRequestedBy, on an ErasureRequest, names the user who filed it. Admission makes sure that it is true and
	// that this user is not the one who approves.
	AnnotationRequestedBy = Group + "/requested-by"
)

// Labels that a person sets.
const (
	// LabelErasureApproval, on a Namespace, with the value Required, makes every ErasureRequest in it, and every one that
	// reaches it, wait for approval.
	LabelErasureApproval = Group + "/erasure-approval"
)

// SubjectSecretType is the type of a Secret that names a person. The operator deletes Secrets of no other type.
const SubjectSecretType = Group + "/subject"
