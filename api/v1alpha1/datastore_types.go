// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Datastore says what personal data a database holds, where it lies in it, and
// how it is connected: the data map that retention policies and erasure
// requests work from. A probe checks the map against the database, on every
// change and once a day, and writes what it finds into the status. A Datastore
// on its own deletes nothing.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:storageversion
// +kubebuilder:resource:scope=Namespaced,shortName=dstore,categories=retention
// +kubebuilder:printcolumn:name="Engine",type=string,JSONPath=`.status.engine`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.status.serverVersion`
// +kubebuilder:printcolumn:name="Datasets",type=integer,JSONPath=`.status.datasetCount`
// +kubebuilder:printcolumn:name="Records",type=integer,JSONPath=`.status.records`
// +kubebuilder:printcolumn:name="Oldest",type=date,JSONPath=`.status.oldestRecordTime`
// +kubebuilder:printcolumn:name="Active Run",type=string,JSONPath=`.status.activeRun.name`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Identity",type=string,priority=1,JSONPath=`.status.identity`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="metadata.name must have at most 63 characters, since it becomes a label"
type Datastore struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the object's metadata. Policies select Datastores by its labels.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is the connection and the data map.
	// +required
	Spec DatastoreSpec `json:"spec,omitzero"`

	// status is what the last probe saw.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status DatastoreStatus `json:"status,omitzero"`
}

// DatastoreSpec is the connection and the data map of a Datastore.
// +kubebuilder:validation:XValidation:rule="has(self.postgresql)",message="set exactly one engine, for example postgresql: {secretRef: {name: my-connection}}"
// +kubebuilder:validation:XValidation:rule="has(self.postgresql) == has(oldSelf.postgresql)",message="the engine of a Datastore cannot change; make a new Datastore for the other database"
// +kubebuilder:validation:XValidation:rule="!has(self.datasets) || self.datasets.all(d, !has(d.references) || d.references.all(r, self.datasets.exists(o, o.name == r.dataset)))",fieldPath=".datasets",messageExpression="'references of ' + self.datasets.map(d, has(d.references) && d.references.exists(r, self.datasets.all(o, o.name != r.dataset)), d.name)[0] + ' name a dataset that is not in spec.datasets; add that dataset, or correct the reference'",message="references[].dataset must be the name of a dataset in spec.datasets; add that dataset, or correct the reference"
// +kubebuilder:validation:XValidation:rule="!has(self.datasets) || self.datasets.all(d, self.datasets.exists_one(o, (has(o.path) ? o.path : o.name) == (has(d.path) ? d.path : d.name)))",fieldPath=".datasets",message="two datasets have the same path, so that one table would be counted twice; map each table once"
type DatastoreSpec struct {
	// postgresql connects to a PostgreSQL database, version 14 or later.
	// +optional
	PostgreSQL *PostgreSQL `json:"postgresql,omitempty"`

	// timeZone is the zone in which dates, and timestamps without a zone, are
	// read: an IANA name such as Europe/Berlin. Defaults to UTC.
	// +optional
	TimeZone TimeZone `json:"timeZone,omitempty"`

	// datasets is the data map: each table that holds personal data, and how it
	// belongs to the others.
	// +required
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Datasets []Dataset `json:"datasets,omitempty"`

	// purposes are the purposes of the processing, as the records of processing
	// activities name them (GDPR Art. 30(1)(b)). They are repeated in evidence.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Purposes []PlainText `json:"purposes,omitempty"`

	// recipients are the categories of recipients that the data is disclosed to
	// (GDPR Art. 30(1)(d)). They are repeated in evidence.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Recipients []PlainText `json:"recipients,omitempty"`

	// backups says how long backups of this datastore live, so that evidence can
	// name the day by which deleted data is gone from them as well.
	// +optional
	Backups *Backups `json:"backups,omitempty"`

	// allowErasureFrom are the namespaces whose ErasureRequests may reach this
	// Datastore by their namespaceSelector. Requests of its own namespace always
	// may.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.all(n, n.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'))",message="write names of namespaces: lower-case letters, digits and '-'"
	AllowErasureFrom []string `json:"allowErasureFrom,omitempty"`

	// erasureApproval is Automatic, or Required: an ErasureRequest that reaches
	// this Datastore waits for approval by a person who may give it. Defaults to
	// Automatic.
	// +optional
	ErasureApproval ApprovalMode `json:"erasureApproval,omitempty"`
}

// PostgreSQL is the connection to a PostgreSQL database.
type PostgreSQL struct {
	// secretRef names the Secret with the connection. Its keys are those of the
	// Service Binding specification (host, port, database, username, password, or
	// uri, and sslmode, ca.crt); the keys that CloudNativePG writes (dbname, user,
	// uri) are understood as well. The operator never reads it: it is mounted into
	// the purge Pod only.
	// +required
	SecretRef SecretReference `json:"secretRef,omitzero"`
}

// Backups says how long backups live.
type Backups struct {
	// retention is how long the youngest backup that holds a deleted record is
	// kept, as a period such as P35D.
	// +required
	Retention Period `json:"retention,omitempty"`
}

// Dataset is one table with personal data.
// +kubebuilder:validation:XValidation:rule="!has(self.timestampFormat) || has(self.timestampField)",message="timestampFormat says how timestampField is stored; set timestampField too"
type Dataset struct {
	// name is the dataset's name in policies and in evidence, and the table's name
	// unless path says otherwise.
	// +required
	Name DatasetName `json:"name,omitempty"`

	// path is the table's name where it is not name: `table` or `schema.table`,
	// spelled as the database does. A name with a dot in it is put into double
	// quotes: sales."order.details". Defaults to name.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule=`!self.matches(r'\p{Cc}') && self.matches('^("([^"]|"")+"|[^".]+)([.]("([^"]|"")+"|[^".]+))?$')`,message="write table or schema.table; put a name with a dot or a double quote in it into double quotes, for example sales.\"order.details\""
	Path string `json:"path,omitempty"`

	// dataClass is the class of personal data in this dataset; rules can name
	// classes instead of datasets.
	// +optional
	DataClass DataClass `json:"dataClass,omitempty"`

	// categories are the categories of personal data in it, for example
	// user.contact.email. They are repeated in evidence.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Categories []PlainText `json:"categories,omitempty"`

	// timestampField is the field that a record's age runs from, unless a rule's
	// startingFrom names another. A record whose field is empty, or holds a
	// placeholder such as 1970-01-01, 9999-12-31 or infinity, is counted and never
	// deleted. A date counts as the end of that day.
	// +optional
	TimestampField FieldName `json:"timestampField,omitempty"`

	// timestampFormat says how timestampField stores time: Native (the database's
	// date and time types), UnixSeconds or UnixMilliseconds (numbers). Defaults to
	// Native.
	// +optional
	TimestampFormat TimestampFormat `json:"timestampFormat,omitempty"`

	// identifiers are the fields that identify a person, and the type of each.
	// Equal types join datastores.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +listMapKey=field
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	Identifiers []Identifier `json:"identifiers,omitempty"`

	// references say which records of other datasets a record belongs to, as
	// foreign keys do. They decide the order of deletion (children first) and are
	// what startingFrom: parent.field follows.
	// +optional
	// +listType=map
	// +listMapKey=field
	// +listMapKey=dataset
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	References []Reference `json:"references,omitempty"`

	// onErasure says what an erasure request does with a person's records here.
	// +optional
	OnErasure *OnErasure `json:"onErasure,omitempty"`
}

// TimestampFormat says how a field stores time.
// +kubebuilder:validation:Enum=Native;UnixSeconds;UnixMilliseconds
type TimestampFormat string

// Identifier is a field that identifies a person.
type Identifier struct {
	// type is the type of identifier, such as email, customer_id, device_id or
	// phone.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z]([a-z0-9_]*[a-z0-9])?$')",message="write a type of lower-case letters, digits and '_', for example email or customer_id"
	Type string `json:"type,omitempty"`

	// field is the field that holds it.
	// +required
	Field FieldName `json:"field,omitempty"`

	// match says how the field is compared with an identifier: Exact; IgnoreCase,
	// as for e-mail addresses; or E164, telephone numbers written in any way with
	// their country code, such as +49 (30) 1234-567. Defaults to Exact.
	// +optional
	Match IdentifierMatch `json:"match,omitempty"`

	// leads says whether a record that was found leads on to further data by this
	// identifier: Always, or Never, where the field may hold the identifier of
	// another person than the one whom the record is about, such as a referrer or
	// the other party of a message. Defaults to Always.
	// +optional
	Leads IdentifierLeads `json:"leads,omitempty"`
}

// IdentifierMatch says how a field is compared with an identifier.
// +kubebuilder:validation:Enum=Exact;IgnoreCase;E164
type IdentifierMatch string

// How a field is compared with an identifier.
const (
	MatchExact      IdentifierMatch = "Exact"
	MatchIgnoreCase IdentifierMatch = "IgnoreCase"
	MatchE164       IdentifierMatch = "E164"
)

// IdentifierLeads says whether an identifier leads on to further data.
// +kubebuilder:validation:Enum=Always;Never
type IdentifierLeads string

// Whether an identifier leads on to further data.
const (
	LeadsAlways IdentifierLeads = "Always"
	LeadsNever  IdentifierLeads = "Never"
)

// Reference says that a field holds the key of a record of another dataset.
type Reference struct {
	// field is the field of this dataset.
	// +required
	Field FieldName `json:"field,omitempty"`

	// dataset is the name of the dataset that it refers to.
	// +required
	Dataset DatasetName `json:"dataset,omitempty"`

	// key is the field of that dataset which it equals. It must be unique there.
	// +required
	Key FieldName `json:"key,omitempty"`
}

// OnErasure says what an erasure request does with a person's records.
// +kubebuilder:validation:XValidation:rule="self.action != 'Retain' || has(self.legalBasis)",message="legalBasis is required with action: Retain; name the law or the contract that demands it"
// +kubebuilder:validation:XValidation:rule="(self.action == 'Anonymize') == has(self.anonymize)",message="action: Anonymize and the list anonymize go together; set both, or neither"
type OnErasure struct {
	// action is Delete, Anonymize or Retain.
	// +required
	Action ErasureAction `json:"action,omitempty"`

	// legalBasis names what demands that the records are kept. Required with
	// Retain.
	// +optional
	LegalBasis PlainText `json:"legalBasis,omitempty"`

	// anonymize are the fields that action: Anonymize rewrites, and how. Set the
	// field of a reference to "Null" where the record that it refers to shall go.
	// +optional
	// +listType=map
	// +listMapKey=field
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Anonymize []Anonymization `json:"anonymize,omitempty"`
}

// ErasureAction is what an erasure request does with a record.
// +kubebuilder:validation:Enum=Delete;Anonymize;Retain
type ErasureAction string

// What an erasure request does with a record.
const (
	ErasureActionDelete    ErasureAction = "Delete"
	ErasureActionAnonymize ErasureAction = "Anonymize"
	ErasureActionRetain    ErasureAction = "Retain"
)

// DatastoreStatus is what the last probe saw.
type DatastoreStatus struct {
	// conditions are Ready and what it is made of: Reachable, SchemaMatches and
	// IdentityPinned. ReferencesMapped and CountsReliable do not stop a purge;
	// they name what the data map misses and what makes counts doubtful.
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

	// lastHandledRequest is the value of the annotation
	// dataretention.dev/requested-at that was last acted on.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	LastHandledRequest string `json:"lastHandledRequest,omitempty"`

	// engine is the kind of database: postgresql.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Engine string `json:"engine,omitempty"`

	// serverVersion is the server's own version.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	ServerVersion string `json:"serverVersion,omitempty"`

	// identity is the server's own identity, pinned at the first probe. When the
	// server at the other end is another one, nothing is purged until a person
	// accepts it with the annotation dataretention.dev/accepted-identity.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Identity string `json:"identity,omitempty"`

	// observedIdentity is the identity that the last probe saw.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	ObservedIdentity string `json:"observedIdentity,omitempty"`

	// lastProbeTime is when the last probe ended.
	// +optional
	LastProbeTime *metav1.Time `json:"lastProbeTime,omitempty"`

	// activeProbe is the name of the probe's Job that runs now.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	ActiveProbe string `json:"activeProbe,omitempty"`

	// probeInputs is a digest of what the last probe was asked to look at. A probe
	// runs again when it changes.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	ProbeInputs string `json:"probeInputs,omitempty"`

	// datasetCount is the number of datasets in the data map.
	// +optional
	DatasetCount *int32 `json:"datasetCount,omitempty"`

	// records is the sum of the datasets' estimated records.
	// +optional
	Records *int64 `json:"records,omitempty"`

	// oldestRecordTime is the earliest timestamp of any dataset.
	// +optional
	OldestRecordTime *metav1.Time `json:"oldestRecordTime,omitempty"`

	// datasets is what the last probe saw of each dataset.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=64
	Datasets []DatasetStatus `json:"datasets,omitempty"`

	// activeRun is the purge run that holds this datastore: there is never more
	// than one.
	// +optional
	ActiveRun *ActiveRun `json:"activeRun,omitempty"`

	// holds are the LegalHolds that cover this datastore. A run that takes the
	// datastore sees those that stand here: both are written with the object's
	// resourceVersion.
	// +optional
	// +listType=map
	// +listMapKey=uid
	// +kubebuilder:validation:MaxItems=128
	Holds []RegisteredHold `json:"holds,omitempty"`

	// pendingErasures are the erasure requests that wait for this datastore. No
	// RetentionPolicy takes it before them.
	// +optional
	PendingErasures *PendingErasures `json:"pendingErasures,omitempty"`
}

// DatasetStatus is what the last probe saw of a dataset.
type DatasetStatus struct {
	// name is the dataset's name.
	// +required
	Name DatasetName `json:"name,omitempty"`

	// records is the database's own estimate of the number of records. Absent when
	// it has none.
	// +optional
	Records *int64 `json:"records,omitempty"`

	// oldestRecordTime is the earliest plausible timestamp.
	// +optional
	OldestRecordTime *metav1.Time `json:"oldestRecordTime,omitempty"`

	// timestampIndexed says whether an index leads with timestampField, so that a
	// purge need not read the whole table.
	// +optional
	TimestampIndexed *bool `json:"timestampIndexed,omitempty"` //nolint:kubeapilinter // an observation with two values, not a setting

	// findings are what the probe noticed, each as `Code` or `Code: object`.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	// +kubebuilder:validation:items:MaxLength=256
	Findings []string `json:"findings,omitempty"`
}

// ActiveRun is the run that holds a datastore.
// +kubebuilder:validation:XValidation:rule="has(self.policy) == has(self.policyUID)",message="policy and policyUID go together"
type ActiveRun struct {
	// name is the run's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Name string `json:"name,omitempty"`

	// policy is the name of the RetentionPolicy that the run belongs to. Absent
	// for an erasure, which belongs to the ErasureRequests that its plan names.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Policy string `json:"policy,omitempty"`

	// policyUID is the UID of that RetentionPolicy.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	PolicyUID string `json:"policyUID,omitempty"`

	// acquiredTime is when the run took the datastore.
	// +required
	AcquiredTime metav1.Time `json:"acquiredTime,omitzero"`

	// holds are the UIDs of the LegalHolds that the run's plan respects, or does
	// not touch.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=128
	// +kubebuilder:validation:items:MaxLength=64
	Holds []string `json:"holds,omitempty"`

	// erasure is how far an erasure run has come. Absent for the run of a policy,
	// which has it in its own status.
	// +optional
	Erasure *ErasureRun `json:"erasure,omitempty"`
}

// ErasureRun is a run that searches or erases the records of the persons of all
// requests that waited for the datastore.
type ErasureRun struct {
	// mode is Find or Erase.
	// +required
	Mode ErasureRunMode `json:"mode,omitempty"`

	// state is how far it has come: Preparing, Released or Finished.
	// +required
	State RunState `json:"state,omitempty"`

	// job is the name of the Job, of the ConfigMap with its plan, and of the
	// short-lived Secret with what was sealed.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	Job string `json:"job,omitempty"`

	// planDigest identifies the plan.
	// +optional
	// +kubebuilder:validation:MaxLength=80
	PlanDigest string `json:"planDigest,omitempty"`

	// intent is the signed statement of what the Job is about to do.
	// +optional
	Intent *EvidenceReference `json:"intent,omitempty"`

	// evidence is the signed statement of what came of it.
	// +optional
	Evidence *EvidenceReference `json:"evidence,omitempty"`

	// requests is how many requests it serves.
	// +optional
	Requests int32 `json:"requests,omitempty"`

	// reason is what it waits for, in one word.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// message is what it waits for, in a sentence.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	Message string `json:"message,omitempty"`
}

// ErasureRunMode says what an erasure run does.
// +kubebuilder:validation:Enum=Find;Erase
type ErasureRunMode string

// What an erasure run does.
const (
	ErasureRunFind  ErasureRunMode = "Find"
	ErasureRunErase ErasureRunMode = "Erase"
)

// RegisteredHold is a LegalHold that covers a datastore.
type RegisteredHold struct {
	// name is the LegalHold's name.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name,omitempty"`

	// uid is its UID.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid,omitempty"`

	// registeredTime is when it was written here.
	// +required
	RegisteredTime metav1.Time `json:"registeredTime,omitzero"`
}

// PendingErasures are erasure requests that wait.
type PendingErasures struct {
	// requests is how many there are.
	// +optional
	Requests int32 `json:"requests,omitempty"`

	// since is when the first of them began to wait.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`

	// earliestDueTime is the earliest time by which one of them has to be
	// answered.
	// +optional
	EarliestDueTime *metav1.Time `json:"earliestDueTime,omitempty"`
}

// DatastoreList is a list of Datastores.
// +kubebuilder:object:root=true
type DatastoreList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Datastore `json:"items"`
}
