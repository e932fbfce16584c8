// SPDX-License-Identifier: Apache-2.0

// Package plan holds the Plan, the only thing that crosses from the control plane to the data plane, and the pure
// planner that compiles one.
//
// A Plan is complete: whoever holds it needs no clock, no policy and no Kubernetes to know what to do. Every cutoff is
// a pinned instant, so a retry an hour later deletes the same records as the first attempt. The package imports
// nothing of Kubernetes and no driver, because both planes import it.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Version names the wire format of a Plan. A data plane refuses a version that it does not know.
const Version = "dataretention.dev/plan/v1"

// Kind says what a purge Pod is asked to do.
type Kind string

// The kinds of Plan.
const (
	// Retention applies the steps in order.
	Retention Kind = "Retention"
	// Probe looks at the datastore and changes nothing.
	Probe Kind = "Probe"
	// ErasureKind finds the records of persons, and erases them unless the mode is Simulate.
	ErasureKind Kind = "Erasure"
	// CountHeld counts what the holds of the plan keep, and changes nothing.
	CountHeld Kind = "CountHeld"
	// Intake reads the identifiers of persons and seals them, and needs no datastore.
	Intake Kind = "Intake"
)

// Mode says whether a retention plan may change data.
type Mode string

// The modes of a Plan, with the names of RetentionPolicy's spec.mode.
const (
	Enforce  Mode = "Enforce"
	Simulate Mode = "Simulate"
)

// Action says what happens to a record whose time is over.
type Action string

// The actions of a Step, with the names of RetentionPolicy's rules[].action.
const (
	Delete    Action = "Delete"
	Anonymize Action = "Anonymize"
)

// TimestampFormat says how a field stores an instant.
type TimestampFormat string

// The formats of a timestamp field, with the names of Datastore's datasets[].timestampFormat.
const (
	// Native is the engine's own date and time types.
	Native TimestampFormat = "Native"
	// UnixSeconds is a number of seconds since 1970-01-01T00:00:00Z.
	UnixSeconds TimestampFormat = "UnixSeconds"
	// UnixMilliseconds is a number of milliseconds since 1970-01-01T00:00:00Z.
	UnixMilliseconds TimestampFormat = "UnixMilliseconds"
)

// A starting point outside [EarliestPlausible, LatestPlausible) is a sentinel (the zero epoch in any zone, year 1,
// 9999-12-31, ±infinity), not a time: such a record is counted as Invalid and never deleted.
var (
	EarliestPlausible = time.Date(1970, 1, 2, 0, 0, 0, 0, time.UTC)
	LatestPlausible   = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
)

// Plan is what one purge Pod does to one datastore. All times are UTC with microsecond resolution.
type Plan struct {
	Version   string `json:"version"`
	Kind      Kind   `json:"kind"`
	Run       string `json:"run"`
	Mode      Mode   `json:"mode,omitempty"`
	Policy    Ref    `json:"policy,omitzero"`
	Datastore Ref    `json:"datastore"`
	// Engine is the engine key of the Datastore's spec, such as postgresql.
	Engine string `json:"engine"`
	// Identity is the pinned identity of the server. Empty only in a Probe.
	Identity string `json:"identity,omitempty"`
	// TimeZone is the IANA zone in which timestamps without a zone, and dates, are read.
	TimeZone string `json:"timeZone"`
	// Slot is the scheduled instant that the cutoffs were computed from.
	Slot       time.Time  `json:"slot,omitzero"`
	Guardrails Guardrails `json:"guardrails,omitzero"`
	Limits     Limits     `json:"limits"`
	Datasets   []Dataset  `json:"datasets"`
	Steps      []Step     `json:"steps,omitempty"`
	// Erasure is set in a plan of ErasureKind or Intake only.
	Erasure *Erasure `json:"erasure,omitempty"`
	// Holds are the holds on single records, in the order of their UIDs.
	Holds    []Hold      `json:"holds,omitempty"`
	Excluded []Exclusion `json:"excluded,omitempty"`
	Notes    []Note      `json:"notes,omitempty"`
}

// Ref names the Kubernetes object, and the generation of it, that a Plan was made from.
type Ref struct {
	Namespace  string `json:"namespace"`
	Name       string `json:"name"`
	UID        string `json:"uid,omitempty"`
	Generation int64  `json:"generation,omitempty"`
}

// Guardrails stop a run before its first delete. Zero means no limit.
type Guardrails struct {
	// MaxRecords bounds the due records of all steps together.
	MaxRecords int64 `json:"maxRecords,omitempty"`
	// MaxPercent bounds the due records of each step, as a percentage of its dataset's records.
	MaxPercent int32 `json:"maxPercent,omitempty"`
}

// Limits keep the data plane gentle and bounded.
type Limits struct {
	// BatchRecords is the most records that one transaction touches.
	BatchRecords int32 `json:"batchRecords"`
	// LockTimeoutMilliseconds bounds how long a batch waits for a lock, and with it how long others queue behind it.
	LockTimeoutMilliseconds int64 `json:"lockTimeoutMilliseconds"`
	// StatementTimeoutMilliseconds bounds one batch's statement.
	StatementTimeoutMilliseconds int64 `json:"statementTimeoutMilliseconds"`
	// ScanTimeoutMilliseconds bounds one counting statement, which reads a whole dataset.
	ScanTimeoutMilliseconds int64 `json:"scanTimeoutMilliseconds"`
	// MaxClockSkewMilliseconds is how far the server's clock may be from the Pod's before the run is refused.
	MaxClockSkewMilliseconds int64 `json:"maxClockSkewMilliseconds"`
}

// DefaultLimits are used for every Plan that sets none.
var DefaultLimits = Limits{
	BatchRecords:                 5000,
	LockTimeoutMilliseconds:      2_000,
	StatementTimeoutMilliseconds: 60_000,
	ScanTimeoutMilliseconds:      30 * 60_000,
	MaxClockSkewMilliseconds:     30_000,
}

// Dataset is one entry of the data map, as the Datastore declares it.
type Dataset struct {
	Name            string          `json:"name"`
	Path            string          `json:"path"`
	DataClass       string          `json:"dataClass,omitempty"`
	TimestampField  string          `json:"timestampField,omitempty"`
	TimestampFormat TimestampFormat `json:"timestampFormat,omitempty"`
	// Identifiers are the fields that carry identifiers of a person.
	Identifiers []Identifier `json:"identifiers,omitempty"`
	References  []Reference  `json:"references,omitempty"`
	// Fields are further fields that policies name (rules[].startingFrom, rules[].anonymize), for a probe to look for.
	Fields []string `json:"fields,omitempty"`
	// Rights are the actions that policies want to take, for a probe to check.
	Rights []Action `json:"rights,omitempty"`
	// Protected says that somebody's retainAtLeast covers this dataset or that a hold does, also when it has no step: no
	// foreign key action may change or delete its records as a side effect.
	Protected bool `json:"protected,omitempty"`
	// Held says that a hold keeps the whole dataset: no record of its table changes, under whatever name a step reaches it.
	Held bool `json:"held,omitempty"`
}

// Identifier says which field of a dataset carries which type of identifier.
type Identifier struct {
	Type  string `json:"type"`
	Field string `json:"field"`
	// Match is empty for MatchExact.
	Match Match `json:"match,omitempty"`
	// Ends says that a record which was found does not lead on by this identifier: it may be another person's.
	Ends bool `json:"ends,omitempty"`
}

// Reference says that Field of this dataset holds the Key of a record of another Dataset.
type Reference struct {
	Field   string `json:"field"`
	Dataset string `json:"dataset"`
	Key     string `json:"key"`
}

// Step is one action on one dataset. Steps are carried out in order; children stand before their parents.
//
// A record is due when its starting point is plausible and ≤ Cutoff, and the same holds for every obligation.
type Step struct {
	Dataset string `json:"dataset"`
	Path    string `json:"path"`
	Rule    string `json:"rule"`
	Action  Action `json:"action"`
	// Period is the rule's deleteAfter as it was written; only Cutoff decides.
	Period      string       `json:"period"`
	LegalBasis  string       `json:"legalBasis,omitempty"`
	Start       Start        `json:"start"`
	Cutoff      time.Time    `json:"cutoff"`
	Obligations []Obligation `json:"obligations,omitempty"`
	// Protected says that somebody's retainAtLeast covers this dataset or that a hold does; no foreign key action may
	// change or delete its records as a side effect.
	Protected  bool        `json:"protected,omitempty"`
	Transforms []Transform `json:"transforms,omitempty"`
	// Reason tells a person why this rule and no other applies.
	Reason string `json:"reason"`
}

// Start is the starting point of a period (ISO 27555): the field whose value it runs from.
type Start struct {
	// Via are the references to follow from the step's dataset to the dataset that has Field; empty for its own.
	Via    []Hop           `json:"via,omitempty"`
	Field  string          `json:"field"`
	Format TimestampFormat `json:"format"`
	// Event is true when the rule's startingFrom names a field that is not its dataset's timestampField: a NULL then
	// means that the event has not happened, which is no defect of the data.
	Event bool `json:"event,omitempty"`
}

// Hop follows one reference: the record of Path whose Key equals Field of the dataset that we come from.
type Hop struct {
	Field   string `json:"field"`
	Dataset string `json:"dataset"`
	Path    string `json:"path"`
	Key     string `json:"key"`
}

// Obligation is a retainAtLeast that covers a step's dataset: a record stays until it is over, whatever the rule says.
type Obligation struct {
	Policy string `json:"policy"`
	Rule   string `json:"rule"`
	// Period is the rule's retainAtLeast as it was written; only Cutoff decides.
	Period     string    `json:"period"`
	Start      Start     `json:"start"`
	Cutoff     time.Time `json:"cutoff"`
	LegalBasis string    `json:"legalBasis,omitempty"`
}

// Method is how a Transform makes a value say less.
type Method string

// The methods of a Transform, with the names of RetentionPolicy's rules[].anonymize[].with.
const (
	MethodNull         Method = "Null"
	MethodConstant     Method = "Constant"
	MethodTruncateIP   Method = "TruncateIP"
	MethodTruncateDate Method = "TruncateDate"
	MethodHMAC         Method = "HMAC"
)

// Transform rewrites one field of a record that is anonymized.
type Transform struct {
	Field string `json:"field"`
	With  Method `json:"with"`
	// Value is the value of MethodConstant.
	Value string `json:"value,omitempty"`
	// Unit is the unit that MethodTruncateDate keeps: Year, Month or Day.
	Unit string `json:"unit,omitempty"`
	// Key names the file of MethodHMAC's key, relative to the directory that the Pod mounts keys in.
	Key string `json:"key,omitempty"`
}

// Exclusion says why a dataset of the datastore has no step, or why a rule that covers it has no say.
type Exclusion struct {
	Dataset string          `json:"dataset"`
	Rule    string          `json:"rule,omitempty"`
	Reason  ExclusionReason `json:"reason"`
	Message string          `json:"message"`
}

// Digest identifies a Plan: "sha256:" and the hexadecimal SHA-256 of its JSON encoding. It is what a person approves,
// and what a Pod checks before it opens a connection.
func (p *Plan) Digest() (string, error) {
	b, err := p.Encode()
	if err != nil {
		return "", err
	}
	return DigestOf(b), nil
}

// Encode returns the JSON encoding of p, which is deterministic: the type holds no maps.
func (p *Plan) Encode() ([]byte, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encoding the plan: %w", err)
	}
	return b, nil
}

// DigestOf returns the digest of an encoded Plan.
func DigestOf(encoded []byte) string {
	sum := sha256.Sum256(encoded)
	return "sha256:" + hex.EncodeToString(sum[:])
}
