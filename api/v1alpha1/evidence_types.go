// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// EvidenceReference leads to a signed statement in the operator's ledger. The
// statement is the proof; what stands around this reference is its summary. Get
// it with `kubectl retention evidence get`, and check it with `kubectl retention
// verify`, which needs no cluster.
type EvidenceReference struct {
	// index is the statement's place in the ledger, from 0.
	// +required
	// +kubebuilder:validation:Minimum=0
	Index *int64 `json:"index,omitempty"`

	// digest is the SHA-256 of the statement.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=80
	Digest string `json:"digest,omitempty"`

	// time is when the statement was made.
	// +required
	Time metav1.Time `json:"time,omitzero"`

	// level is how much the statement proves: Deleted, Anonymized, NothingFound,
	// Retained, Incomplete, Unproven, NotDone or None. It is never better than the
	// worst part of what the statement is about.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	Level string `json:"level,omitempty"`
}
