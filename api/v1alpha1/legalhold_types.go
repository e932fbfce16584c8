// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// LegalHold keeps data: no RetentionPolicy and no ErasureRequest deletes or
// changes what it covers, in the Datastores of its namespace. It has no end; it
// is released by a person, with a reason, and can be deleted only then.
// Condition Enforced is a guarantee: from the moment it is True, nothing that
// the hold covers is deleted or changed by this operator.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:resource:scope=Namespaced,path=legalholds,shortName=hold,categories=retention
// +kubebuilder:printcolumn:name="Enforced",type=string,JSONPath=`.status.conditions[?(@.type=="Enforced")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Enforced")].reason`
// +kubebuilder:printcolumn:name="Datastores",type=integer,JSONPath=`.status.selectedDatastores`
// +kubebuilder:printcolumn:name="Records",type=integer,JSONPath=`.status.records`
// +kubebuilder:printcolumn:name="Since",type=date,JSONPath=`.status.enforcedTime`
// +kubebuilder:printcolumn:name="Authority",type=string,JSONPath=`.spec.authority`
// +kubebuilder:printcolumn:name="Reference",type=string,priority=1,JSONPath=`.spec.reference`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Enforced")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name must have at most 63 characters, since it becomes a label"
// +kubebuilder:validation:XValidation:rule=`[has(self.metadata.generateName) && self.metadata.name.startsWith(self.metadata.generateName) && size(self.metadata.name) == size(self.metadata.generateName) + 5 ? self.metadata.generateName : self.metadata.name].all(given, given.matches('^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$') || given.findAll('[0-9]([.-]{0,2}[0-9]){8,}').all(n, n.matches('^(19|20)[0-9]{2}-([0-9][.-]?){1,8}$')))`,message="metadata.name looks like the number of a telephone or an account (nine or more digits); name the hold by its file number, such as er-2026-00012345, and put identifiers into the subject's Secret"
// +kubebuilder:validation:XValidation:rule="!self.metadata.name.matches('(-at-|[.]at[.]).+[.][a-z]{2}|([0-9]{1,3}[.]){3}[0-9]')",message="metadata.name looks like an e-mail or IP address; name the hold by its file number, and put identifiers into the subject's Secret"
type LegalHold struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the object's metadata. Its name must not name a person.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says what is kept, and why.
	// +required
	Spec LegalHoldSpec `json:"spec,omitzero"`

	// status says whether it is kept.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status LegalHoldStatus `json:"status,omitzero"`
}

// LegalHoldSpec says what is kept, and why. Only release can be changed: to keep
// something else, make another hold before this one is released.
// +kubebuilder:validation:XValidation:rule="has(self.datastoreSelector) == has(oldSelf.datastoreSelector) && (!has(self.datastoreSelector) || self.datastoreSelector == oldSelf.datastoreSelector) && has(self.datasets) == has(oldSelf.datasets) && (!has(self.datasets) || self.datasets == oldSelf.datasets) && has(self.dataClasses) == has(oldSelf.dataClasses) && (!has(self.dataClasses) || self.dataClasses == oldSelf.dataClasses) && has(self.subject) == has(oldSelf.subject) && (!has(self.subject) || self.subject == oldSelf.subject) && has(self.condition) == has(oldSelf.condition) && (!has(self.condition) || self.condition == oldSelf.condition) && self.reason == oldSelf.reason && self.authority == oldSelf.authority && has(self.reference) == has(oldSelf.reference) && (!has(self.reference) || self.reference == oldSelf.reference)",message="what a LegalHold keeps, and why, cannot be changed; make another LegalHold, and release this one once that is Enforced"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.release) || (has(self.release) && self.release == oldSelf.release)",message="a release cannot be taken back or changed; make another LegalHold"
// +kubebuilder:validation:XValidation:rule="!(has(self.subject) && has(self.condition))",message="set subject or condition, not both; make two LegalHolds to keep both"
// +kubebuilder:validation:XValidation:rule="!has(self.condition) || has(self.datasets)",message="condition is about a field; name the datasets that have it in datasets"
type LegalHoldSpec struct {
	// datastoreSelector selects Datastores by their labels. Without it, every
	// Datastore of the namespace is covered.
	// +optional
	DatastoreSelector *DatastoreSelector `json:"datastoreSelector,omitempty"`

	// datasets are the datasets that are covered, by name. Without datasets and
	// dataClasses, every dataset of the selected Datastores is covered.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Datasets []DatasetName `json:"datasets,omitempty"`

	// dataClasses are the classes of data that are covered, in addition to
	// datasets.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	DataClasses []DataClass `json:"dataClasses,omitempty"`

	// subject narrows the hold to the records of one person, with all that refers
	// to them: whatever the data map finds for an ErasureRequest.
	// +optional
	Subject *Subject `json:"subject,omitempty"`

	// condition narrows the hold to records whose field has certain values, with
	// all that refers to them.
	// +optional
	Condition *HoldCondition `json:"condition,omitempty"`

	// reason is why the data must be kept.
	// +required
	Reason CaseText `json:"reason,omitempty"`

	// authority is who demands it: a court, an authority, the legal department.
	// +required
	Authority CaseText `json:"authority,omitempty"`

	// reference is the file number of the matter.
	// +optional
	Reference CaseText `json:"reference,omitempty"`

	// release ends the hold. What it kept goes when its time has come; runs and
	// requests that it blocked go on by themselves.
	// +optional
	Release *HoldRelease `json:"release,omitempty"`
}

// HoldCondition says which records a hold covers.
// +kubebuilder:validation:XValidation:rule="self.operator in ['In', 'NotIn'] ? has(self.values) : self.operator in ['Exists', 'DoesNotExist'] ? !has(self.values) : has(self.values) && size(self.values) == 1",message="give values with In and NotIn, exactly one value with AtLeast and AtMost, and none with Exists and DoesNotExist"
type HoldCondition struct {
	// field is the field of each dataset in datasets.
	// +required
	Field FieldName `json:"field,omitempty"`

	// operator is In, NotIn (a record without a value is covered, too), AtLeast,
	// AtMost, Exists (the field is not empty) or DoesNotExist.
	// +required
	Operator HoldOperator `json:"operator,omitempty"`

	// values are compared as the type of the field: write dates and times as
	// 2026-11-20 or 2026-11-20T09:00:00Z.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Values []CaseText `json:"values,omitempty"`
}

// HoldOperator relates a field to values.
// +kubebuilder:validation:Enum=In;NotIn;AtLeast;AtMost;Exists;DoesNotExist
type HoldOperator string

// HoldRelease ends a hold.
type HoldRelease struct {
	// reason is why the data need not be kept any longer.
	// +required
	Reason CaseText `json:"reason,omitempty"`
}

// LegalHoldStatus says whether a hold is enforced.
type LegalHoldStatus struct {
	// conditions are Enforced (from now on nothing that the hold covers is deleted
	// or changed), Released, and Ready. Reconciling and Stalled stand there only
	// while they are True.
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

	// selectedDatastores is the number of Datastores that the hold covers.
	// +optional
	SelectedDatastores *int32 `json:"selectedDatastores,omitempty"`

	// records is how many records the hold keeps, as far as somebody has counted:
	// the records of a person, or those that meet the condition.
	// +optional
	Records *int64 `json:"records,omitempty"`

	// enforcedTime is since when the hold is enforced in every selected Datastore.
	// +optional
	EnforcedTime *metav1.Time `json:"enforcedTime,omitempty"`

	// evidence is the signed statement that the hold was enforced.
	// +optional
	Evidence *EvidenceReference `json:"evidence,omitempty"`

	// releaseEvidence is the signed statement that it was released.
	// +optional
	ReleaseEvidence *EvidenceReference `json:"releaseEvidence,omitempty"`

	// releasedTime is when the release took effect.
	// +optional
	ReleasedTime *metav1.Time `json:"releasedTime,omitempty"`

	// sealingKey is the public key that spec.subject.sealed was sealed to.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	SealingKey string `json:"sealingKey,omitempty"`

	// datastores are the selected Datastores.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=128
	Datastores []HoldDatastore `json:"datastores,omitempty"`
}

// HoldDatastore is how far a hold is enforced in one Datastore.
type HoldDatastore struct {
	// name is the Datastore's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name,omitempty"`

	// uid is the Datastore's UID.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`

	// generation is the generation of the Datastore that the records were counted
	// for.
	// +optional
	Generation int64 `json:"generation,omitempty"`

	// registeredTime is when the hold was written into the Datastore's status: no
	// run that starts later overlooks it.
	// +optional
	RegisteredTime *metav1.Time `json:"registeredTime,omitempty"`

	// enforcedTime is when every run that had started before had stopped, or was
	// seen not to touch what the hold covers.
	// +optional
	EnforcedTime *metav1.Time `json:"enforcedTime,omitempty"`

	// waitingFor is the run that has to stop first.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	WaitingFor string `json:"waitingFor,omitempty"`

	// datasets are the datasets that the hold covers here.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=64
	Datasets []DatasetName `json:"datasets,omitempty"`

	// records is how many records it keeps here. Absent while nobody has counted.
	// +optional
	Records *int64 `json:"records,omitempty"`

	// reason is why the hold cannot be read or matches nothing here, in one word.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// message is why, in a sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`

	// countedTime is when the records were counted.
	// +optional
	CountedTime *metav1.Time `json:"countedTime,omitempty"`
}

// LegalHoldList is a list of LegalHolds.
// +kubebuilder:object:root=true
type LegalHoldList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []LegalHold `json:"items"`
}
