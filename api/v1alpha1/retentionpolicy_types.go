// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RetentionPolicy says how long which personal data is kept, and carries it
// out: on its schedule a purge Job runs against every Datastore that it
// selects, deletes or anonymizes what is past its period, verifies that it is
// gone, and the proof is written into the status. What it deletes cannot be
// brought back; start with mode: Simulate.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:resource:scope=Namespaced,path=retentionpolicies,shortName=retpol,categories=retention
// +kubebuilder:printcolumn:name="Schedule",type=string,JSONPath=`.spec.schedule`
// +kubebuilder:printcolumn:name="Mode",type=string,JSONPath=`.status.mode`
// +kubebuilder:printcolumn:name="Datastores",type=integer,JSONPath=`.status.selectedDatastores`
// +kubebuilder:printcolumn:name="Last Run",type=date,JSONPath=`.status.lastRun.slot`
// +kubebuilder:printcolumn:name="Outcome",type=string,JSONPath=`.status.lastRun.outcome`
// +kubebuilder:printcolumn:name="Matched",type=integer,JSONPath=`.status.lastRun.matched`
// +kubebuilder:printcolumn:name="Deleted",type=integer,JSONPath=`.status.lastRun.deleted`
// +kubebuilder:printcolumn:name="Anonymized",type=integer,JSONPath=`.status.lastRun.anonymized`
// +kubebuilder:printcolumn:name="Remaining",type=integer,JSONPath=`.status.lastRun.remaining`
// +kubebuilder:printcolumn:name="Compliant",type=string,JSONPath=`.status.conditions[?(@.type=="Compliant")].status`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Suspend",type=boolean,priority=1,JSONPath=`.spec.suspend`
// +kubebuilder:printcolumn:name="Next",type=string,priority=1,JSONPath=`.status.nextScheduleTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name must have at most 63 characters, since it becomes a label"
type RetentionPolicy struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the object's metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec says how long which data is kept.
	// +required
	Spec RetentionPolicySpec `json:"spec,omitzero"`

	// status is what was done and what is left.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status RetentionPolicyStatus `json:"status,omitzero"`
}

// RetentionPolicySpec says how long which data is kept.
type RetentionPolicySpec struct {
	// datastoreSelector selects the Datastores of this namespace that the rules
	// apply to, by their labels. At most 24 may match.
	// +required
	DatastoreSelector DatastoreSelector `json:"datastoreSelector,omitzero"`

	// schedule is when a run starts, as a cron line of five fields (minute, hour,
	// day of month, month, day of week) or a macro such as @daily.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:XValidation:rule="!self.contains('TZ=')",message="write the zone into spec.timeZone, not into the schedule"
	// +kubebuilder:validation:XValidation:rule="self.contains('TZ=') || (self.startsWith('@') ? self in ['@yearly', '@annually', '@monthly', '@weekly', '@daily', '@midnight', '@hourly'] : self.split(' ').filter(f, f != '').size() == 5)",message="write a cron line of five fields (minute hour day-of-month month day-of-week), for example '0 3 * * *', or one of @yearly, @monthly, @weekly, @daily, @hourly"
	// +kubebuilder:validation:XValidation:rule="self.startsWith('@') || self.split(' ').filter(f, f != '').size() != 5 || self.split(' ').filter(f, f != '')[0].split(',').all(i, i.matches('^(\\\\*|\\\\?|[0-5]?[0-9](-[0-5]?[0-9])?)(/[1-9][0-9]?)?$'))",message="the first field of schedule is the minute: 0 to 59, or *"
	// +kubebuilder:validation:XValidation:rule="self.startsWith('@') || self.split(' ').filter(f, f != '').size() != 5 || self.split(' ').filter(f, f != '')[1].split(',').all(i, i.matches('^(\\\\*|\\\\?|([01]?[0-9]|2[0-3])(-([01]?[0-9]|2[0-3]))?)(/[1-9][0-9]?)?$'))",message="the second field of schedule is the hour: 0 to 23, or *"
	// +kubebuilder:validation:XValidation:rule="self.startsWith('@') || self.split(' ').filter(f, f != '').size() != 5 || self.split(' ').filter(f, f != '')[2].split(',').all(i, i.matches('^(\\\\*|\\\\?|(0?[1-9]|[12][0-9]|3[01])(-(0?[1-9]|[12][0-9]|3[01]))?)(/[1-9][0-9]?)?$'))",message="the third field of schedule is the day of the month: 1 to 31, or *"
	// +kubebuilder:validation:XValidation:rule="self.startsWith('@') || self.split(' ').filter(f, f != '').size() != 5 || self.split(' ').filter(f, f != '')[3].split(',').all(i, i.matches('^(\\\\*|\\\\?|(0?[1-9]|1[0-2]|(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))(-(0?[1-9]|1[0-2]|(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)))?)(/[1-9][0-9]?)?$'))",message="the fourth field of schedule is the month: 1 to 12, JAN to DEC, or *"
	// +kubebuilder:validation:XValidation:rule="self.startsWith('@') || self.split(' ').filter(f, f != '').size() != 5 || self.split(' ').filter(f, f != '')[4].split(',').all(i, i.matches('^(\\\\*|\\\\?|(0?[0-6]|(?i:sun|mon|tue|wed|thu|fri|sat))(-(0?[0-6]|(?i:sun|mon|tue|wed|thu|fri|sat)))?)(/[1-9][0-9]?)?$'))",message="the fifth field of schedule is the day of the week: 0 (Sunday) to 6, SUN to SAT, or *"
	// +kubebuilder:validation:XValidation:rule="self.startsWith('@') || self.replace(' ', ',').split(',').all(i, (!i.matches('^[0-9]{1,2}-[0-9]{1,2}(/.*)?$') || int(i.split('/')[0].split('-')[0]) <= int(i.split('/')[0].split('-')[1])) && (!i.matches('^[A-Za-z]{3}-[A-Za-z]{3}(/.*)?$') || 'sunmontuewedthufrisatjanfebmaraprmayjunjulaugsepoctnovdec'.indexOf(i.lowerAscii().substring(0, 3)) <= 'sunmontuewedthufrisatjanfebmaraprmayjunjulaugsepoctnovdec'.indexOf(i.lowerAscii().substring(4, 7))))",message="a range in schedule begins with the lower value; write 22-23,0-4 instead of 22-4, and FRI,SAT,SUN instead of FRI-SUN"
	Schedule string `json:"schedule,omitempty"`

	// timeZone is the zone of the schedule, and the zone in which periods are
	// reckoned: an IANA name such as Asia/Taipei. Defaults to UTC.
	// +optional
	TimeZone TimeZone `json:"timeZone,omitempty"`

	// startingDeadlineSeconds is how late a run may start when its time was
	// missed, for example because the operator was down. A run that would start
	// later is recorded as missed. Without it, the latest missed run is made up
	// for, whenever that is; never more than one.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=31622400
	StartingDeadlineSeconds *int64 `json:"startingDeadlineSeconds,omitempty"`

	// suspend stops further runs from starting. A run that has started goes on.
	// Defaults to false.
	// +optional
	Suspend *bool `json:"suspend,omitempty"` //nolint:kubeapilinter // parity with CronJob

	// mode is Enforce, or Simulate, which counts what would go and changes
	// nothing. Defaults to Enforce.
	// +optional
	Mode Mode `json:"mode,omitempty"`

	// rules say which data is kept how long. Where several fit the same dataset:
	// what must be retained beats what may be deleted, the longest retainAtLeast
	// wins, a dataset named beats a class, then the shortest deleteAfter wins.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Rules []Rule `json:"rules,omitempty"`

	// guardrails stop a run before its first deletion when more is due than
	// somebody expected.
	// +optional
	Guardrails *Guardrails `json:"guardrails,omitempty"`

	// activeDeadlineSeconds is how long one run may work on one datastore, waiting
	// for it not counted. What is done by then is accounted for; the next run goes
	// on. Defaults to 21600, six hours.
	// +optional
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=604800
	ActiveDeadlineSeconds *int64 `json:"activeDeadlineSeconds,omitempty"`

	// successfulRunsHistoryLimit is how many runs that succeeded are kept in
	// status.history. Defaults to 10.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	SuccessfulRunsHistoryLimit *int32 `json:"successfulRunsHistoryLimit,omitempty"`

	// failedRunsHistoryLimit is how many runs that did not succeed are kept in
	// status.history. Defaults to 10.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	FailedRunsHistoryLimit *int32 `json:"failedRunsHistoryLimit,omitempty"`
}

// Mode says whether a policy changes data.
// +kubebuilder:validation:Enum=Enforce;Simulate
type Mode string

// The modes of a RetentionPolicy.
const (
	ModeEnforce  Mode = "Enforce"
	ModeSimulate Mode = "Simulate"
)

// Rule says how long some data is kept.
// +kubebuilder:validation:XValidation:rule="has(self.dataClasses) || has(self.datasets)",message="say what the rule covers: set datasets, or dataClasses"
// +kubebuilder:validation:XValidation:rule="has(self.deleteAfter) || has(self.retainAtLeast)",message="say how long: set deleteAfter, retainAtLeast, or both"
// +kubebuilder:validation:XValidation:rule="!has(self.action) || has(self.deleteAfter)",message="action says what happens after deleteAfter; set deleteAfter too"
// +kubebuilder:validation:XValidation:rule="(has(self.action) && self.action == 'Anonymize') == has(self.anonymize)",message="action: Anonymize and the list anonymize go together; set both, or neither"
type Rule struct {
	// name is the rule's name, for people and evidence.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([a-z0-9-]*[a-z0-9])?$')",message="write a name of lower-case letters, digits and '-'"
	Name string `json:"name,omitempty"`

	// dataClasses are the classes of data that the rule covers, in every selected
	// Datastore.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	DataClasses []DataClass `json:"dataClasses,omitempty"`

	// datasets are the datasets that the rule covers, by name, in every selected
	// Datastore that has them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Datasets []DatasetName `json:"datasets,omitempty"`

	// deleteAfter is the period after which a record goes, counted from its
	// starting point: an ISO 8601 calendar period such as P90D, P11M or P7Y.
	// Months and years are those of the calendar: 31 January plus P1M is the last
	// day of February.
	// +optional
	DeleteAfter Period `json:"deleteAfter,omitempty"`

	// retainAtLeast is the period for which a record must be kept, counted from
	// its starting point: an ISO 8601 calendar period such as P7Y. It holds for
	// every policy of the namespace that selects the same Datastore.
	// +optional
	RetainAtLeast Period `json:"retainAtLeast,omitempty"`

	// legalBasis names what demands retainAtLeast, or allows deleteAfter. It is
	// repeated in evidence.
	// +optional
	LegalBasis PlainText `json:"legalBasis,omitempty"`

	// startingFrom is the field that the periods run from, where it is not the
	// dataset's timestampField: `field` of the dataset itself, or `parent.field`,
	// a field of a dataset that it references, directly or over others. While the
	// field is empty, the event has not happened, and the record stays.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=192
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'\p{Cc}') && self.matches('^([^.]+|[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?[.].+)$')`,message="write field, or parent.field, where parent is the name of a dataset"
	StartingFrom string `json:"startingFrom,omitempty"`

	// action is what happens to a record after deleteAfter: Delete or Anonymize.
	// Defaults to Delete.
	// +optional
	Action Action `json:"action,omitempty"`

	// anonymize are the fields that action: Anonymize rewrites, and how.
	// Anonymized is not erased: what is left may still point to a person.
	// +optional
	// +listType=map
	// +listMapKey=field
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Anonymize []Anonymization `json:"anonymize,omitempty"`
}

// Action is what happens to a record whose period is over.
// +kubebuilder:validation:Enum=Delete;Anonymize
type Action string

// The actions of a Rule.
const (
	ActionDelete    Action = "Delete"
	ActionAnonymize Action = "Anonymize"
)

// Anonymization rewrites one field so that it says less.
// +kubebuilder:validation:XValidation:rule="has(self.with)",fieldPath=".with",reason=FieldValueRequired,message="write \"Null\" (in quotes, since YAML reads a bare Null as no value), Constant, TruncateIP, TruncateDate or HMAC"
// +kubebuilder:validation:XValidation:rule="!has(self.with) || (self.with == 'Constant') == has(self.value)",message="value belongs to with: Constant, and is required there"
// +kubebuilder:validation:XValidation:rule="!has(self.with) || (self.with == 'HMAC') == has(self.keyRef)",message="keyRef belongs to with: HMAC, and is required there"
// +kubebuilder:validation:XValidation:rule="!has(self.with) || (self.with == 'TruncateDate') == has(self.unit)",message="unit (Year, Month or Day) belongs to with: TruncateDate, and is required there"
type Anonymization struct {
	// field is the field to rewrite.
	// +required
	Field FieldName `json:"field,omitempty"`

	// with is how, and required: "Null" empties it (write the quotes: YAML reads a
	// bare Null as no value); Constant writes value; TruncateIP keeps 24 bits of
	// an IPv4 and 48 bits of an IPv6 address; TruncateDate keeps unit; HMAC
	// replaces it by its HMAC-SHA-256 under a key, so that equal values stay equal
	// (this is pseudonymization: whoever has the key can link).
	// +optional
	With AnonymizeMethod `json:"with,omitempty"`

	// value is what Constant writes.
	// +optional
	// +kubebuilder:validation:MinLength=0
	// +kubebuilder:validation:MaxLength=256
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'\p{Cc}')`,message="write one line of text, without line breaks and other control characters"
	Value *string `json:"value,omitempty"`

	// unit is what TruncateDate keeps: Year, Month or Day.
	// +optional
	Unit DateUnit `json:"unit,omitempty"`

	// keyRef names the Secret and key that hold HMAC's key.
	// +optional
	KeyRef *SecretKeyReference `json:"keyRef,omitempty"`
}

// AnonymizeMethod is how a field is rewritten.
// +kubebuilder:validation:Enum=Null;Constant;TruncateIP;TruncateDate;HMAC
type AnonymizeMethod string

// DateUnit is a unit of a date.
// +kubebuilder:validation:Enum=Year;Month;Day
type DateUnit string

// Guardrails stop a run before its first deletion. The run then waits for
// approval of its plan, by the annotation dataretention.dev/approved-plan with
// the plan's digest, until the next run replaces it.
// +kubebuilder:validation:MinProperties=1
// +kubebuilder:validation:XValidation:rule="has(self.maxRecords) || has(self.maxPercent)",message="set maxRecords, maxPercent, or both; or leave guardrails out"
type Guardrails struct {
	// maxRecords is the most records that one run may delete or anonymize in one
	// datastore.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxRecords *int64 `json:"maxRecords,omitempty"`

	// maxPercent is the largest part of any one dataset that one run may delete or
	// anonymize, in percent of its records.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=100
	MaxPercent *int32 `json:"maxPercent,omitempty"`
}

// RetentionPolicyList is a list of RetentionPolicies.
// +kubebuilder:object:root=true
type RetentionPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RetentionPolicy `json:"items"`
}
