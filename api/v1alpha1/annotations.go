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
)
