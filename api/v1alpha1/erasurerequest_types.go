// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ErasureRequest asks that a person's data is erased (GDPR Art. 17, CCPA
// §1798.105). The operator finds the person's records in every selected
// Datastore by the data map, erases them, children before parents, leaves what a
// LegalHold or an obligation protects and says so, looks again, and answers in
// the status. The spec cannot be changed: delete the request and file another.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:resource:scope=Namespaced,path=erasurerequests,shortName=erasure,categories=retention
// +kubebuilder:printcolumn:name="Regulation",type=string,JSONPath=`.status.regulation`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Outcome",type=string,JSONPath=`.status.outcome`
// +kubebuilder:printcolumn:name="Found",type=integer,JSONPath=`.status.found`
// +kubebuilder:printcolumn:name="Erased",type=integer,JSONPath=`.status.erased`
// +kubebuilder:printcolumn:name="Verified",type=string,JSONPath=`.status.conditions[?(@.type=="Verified")].status`
// +kubebuilder:printcolumn:name="Due",type=string,JSONPath=`.status.dueTime`
// +kubebuilder:printcolumn:name="Overdue",type=string,JSONPath=`.status.conditions[?(@.type=="Overdue")].status`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name must have at most 63 characters, since it becomes a label"
// +kubebuilder:validation:XValidation:rule=`[has(self.metadata.generateName) && self.metadata.name.startsWith(self.metadata.generateName) && size(self.metadata.name) == size(self.metadata.generateName) + 5 ? self.metadata.generateName : self.metadata.name].all(given, given.matches('^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$') || given.findAll('[0-9]([.-]{0,2}[0-9]){8,}').all(n, n.matches('^(19|20)[0-9]{2}-([0-9][.-]?){1,8}$')))`,message="metadata.name looks like the number of a telephone or an account (nine or more digits); name the request by its file number, such as er-2026-00012345, and put identifiers into the subject's Secret"
// +kubebuilder:validation:XValidation:rule="!self.metadata.name.matches('(-at-|[.]at[.]).+[.][a-z]{2}|([0-9]{1,3}[.]){3}[0-9]')",message="metadata.name looks like an e-mail or IP address; name the request by its file number, and put identifiers into the subject's Secret"
type ErasureRequest struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the object's metadata. Its name must not name the person.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says who is to be erased, where, and under which law. It cannot be
	// changed.
	// +required
	Spec ErasureRequestSpec `json:"spec,omitzero"`

	// status is how far the request has come, and the answer to it.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status ErasureRequestStatus `json:"status,omitzero"`
}

// ErasureRequestSpec says who is to be erased, where, and under which law.
// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="the spec of an ErasureRequest cannot be changed; delete the request and file another"
// +kubebuilder:validation:XValidation:rule="!has(self.recheckEvery) || has(self.recheckFor)",message="recheckEvery says how often the erasure is repeated; set recheckFor, for how long, too"
type ErasureRequestSpec struct {
	// subject names the person: by a Secret, or sealed.
	// +required
	Subject Subject `json:"subject,omitzero"`

	// subjectSecretPolicy says what becomes of the subject's Secret once the
	// request has ended: Delete or Keep. Defaults to Delete.
	// +optional
	SubjectSecretPolicy SubjectSecretPolicy `json:"subjectSecretPolicy,omitempty"`

	// datastoreSelector selects Datastores by their labels. Without it, every
	// Datastore that the request reaches is meant. At most 64 may match.
	// +optional
	DatastoreSelector *DatastoreSelector `json:"datastoreSelector,omitempty"`

	// namespaceSelector also reaches Datastores of the namespaces whose labels
	// match, as far as they allow it by spec.allowErasureFrom. Each such namespace
	// gets an ErasureRequest of its own, that its owners can see.
	// +optional
	NamespaceSelector *NamespaceSelector `json:"namespaceSelector,omitempty"`

	// regulation is the law that sets the time limits: GDPR (one calendar month,
	// reckoned by Regulation 1182/71, extensible by two) or CCPA (confirmed in 10
	// business days, answered in 45 days, extensible by 45). Defaults to GDPR.
	// +optional
	Regulation Regulation `json:"regulation,omitempty"`

	// ground is the ground of GDPR Art. 17(1), for evidence.
	// +optional
	Ground Ground `json:"ground,omitempty"`

	// receivedTime is when the person's request was received, which the time limit
	// runs from. Defaults to the creation of this object.
	// +optional
	ReceivedTime *metav1.Time `json:"receivedTime,omitempty"`

	// timeZone is the zone in which days are reckoned: an IANA name. Defaults to
	// UTC.
	// +optional
	TimeZone TimeZone `json:"timeZone,omitempty"`

	// holidays is the country whose public holidays move the end of a time limit,
	// or are no business days: an ISO 3166 code such as DE. Without it, only
	// Saturdays and Sundays do, and for CCPA the federal holidays of the US.
	// +optional
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=2
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Z]{2}$')",message="write the two letters of a country's ISO 3166 code, for example DE"
	Holidays string `json:"holidays,omitempty"`

	// approval is Automatic, or Required: nothing is erased before a person who
	// may approve ErasureRequests has done so. A namespace or a Datastore can
	// require it for every request. Defaults to Automatic.
	// +optional
	Approval ApprovalMode `json:"approval,omitempty"`

	// recheckFor is for how long the erasure is repeated after it was done, as a
	// period such as P35D: a restored backup or a late import brings people back.
	// The identifiers are kept until then.
	// +optional
	RecheckFor Period `json:"recheckFor,omitempty"`

	// recheckEvery is how often it is repeated, as a period such as P1D or PT6H.
	// Defaults to P1D.
	// +optional
	RecheckEvery Period `json:"recheckEvery,omitempty"`

	// reference is the file number of the request. It must not name the person.
	// +optional
	Reference CaseText `json:"reference,omitempty"`
}

// SubjectSecretPolicy says what becomes of a subject's Secret.
// +kubebuilder:validation:Enum=Delete;Keep
type SubjectSecretPolicy string

// What becomes of a subject's Secret.
const (
	SubjectSecretDelete SubjectSecretPolicy = "Delete"
	SubjectSecretKeep   SubjectSecretPolicy = "Keep"
)

// NamespaceSelector selects namespaces by their labels; all its requirements
// must hold.
// +kubebuilder:validation:XValidation:rule="(has(self.matchLabels) && size(self.matchLabels) > 0) || (has(self.matchExpressions) && self.matchExpressions.exists(e, e.operator in ['In', 'Exists']))",message="name at least one label that a namespace must have (matchLabels, or a matchExpression with In or Exists); an empty selector, or one of exclusions only, would reach namespaces that nobody meant"
type NamespaceSelector struct {
	// matchLabels are labels that a namespace must carry with exactly these
	// values.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=16
	// +kubebuilder:validation:XValidation:rule=`self.all(k, k.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))`,message="write keys of labels, for example app or data.example.com/personal"
	MatchLabels map[string]LabelValue `json:"matchLabels,omitempty"`

	// matchExpressions are further requirements on labels.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	MatchExpressions []LabelRequirement `json:"matchExpressions,omitempty"`
}

// AsLabelSelector returns s as the type that apimachinery's selectors are made
// from.
func (s NamespaceSelector) AsLabelSelector() *metav1.LabelSelector {
	return DatastoreSelector(s).AsLabelSelector()
}

// Regulation is a law that gives a right to erasure.
// +kubebuilder:validation:Enum=GDPR;CCPA
type Regulation string

// The regulations.
const (
	RegulationGDPR Regulation = "GDPR"
	RegulationCCPA Regulation = "CCPA"
)

// Ground is a ground of GDPR Art. 17(1): (a) NoLongerNecessary, (b)
// ConsentWithdrawn, (c) Objection, (d) UnlawfulProcessing, (e) LegalObligation,
// (f) ChildConsent.
// +kubebuilder:validation:Enum=NoLongerNecessary;ConsentWithdrawn;Objection;UnlawfulProcessing;LegalObligation;ChildConsent
type Ground string

// ApprovalMode says whether a person has to approve a request.
// +kubebuilder:validation:Enum=Automatic;Required
type ApprovalMode string

// Whether a person has to approve a request.
const (
	ApprovalAutomatic ApprovalMode = "Automatic"
	ApprovalRequired  ApprovalMode = "Required"
)

// ErasureRequestList is a list of ErasureRequests.
// +kubebuilder:object:root=true
type ErasureRequestList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ErasureRequest `json:"items"`
}
