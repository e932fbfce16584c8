// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Defaults of optional fields. They are applied by the getters, never written into an object.
const (
	DefaultTimeZone              = "UTC"
	DefaultActiveDeadlineSeconds = int64(6 * 60 * 60)
	DefaultRunsHistoryLimit      = int32(10)
	DefaultRecheckEvery          = Period("P1D")
	// MaxDatastores is the most Datastores that one policy may select; it bounds the size of its status.
	MaxDatastores = 24
)

// EnginePostgreSQL is the engine key of PostgreSQL.
const EnginePostgreSQL = "postgresql"

// GetEngine returns the key of the engine that is set, or "".
func (s *DatastoreSpec) GetEngine() string {
	if s.PostgreSQL != nil {
		return EnginePostgreSQL
	}
	return ""
}

// GetConnectionSecret returns the name of the Secret with the connection, or "".
func (s *DatastoreSpec) GetConnectionSecret() string {
	if s.PostgreSQL != nil {
		return s.PostgreSQL.SecretRef.Name
	}
	return ""
}

// GetTimeZone returns the IANA name of the zone in which timestamps without a zone are read.
func (s *DatastoreSpec) GetTimeZone() string { return orDefault(string(s.TimeZone), DefaultTimeZone) }

// GetPath returns the table's name as the database spells it.
func (d *Dataset) GetPath() string { return orDefault(d.Path, string(d.Name)) }

// GetTimeZone returns the IANA name of the zone of schedule and periods.
func (s *RetentionPolicySpec) GetTimeZone() string {
	return orDefault(string(s.TimeZone), DefaultTimeZone)
}

// GetMode returns Enforce unless the policy simulates.
func (s *RetentionPolicySpec) GetMode() Mode { return orDefault(s.Mode, ModeEnforce) }

// IsSuspended says whether no further run may start.
func (s *RetentionPolicySpec) IsSuspended() bool { return s.Suspend != nil && *s.Suspend }

// GetActiveDeadlineSeconds returns how long a run may work on one datastore.
func (s *RetentionPolicySpec) GetActiveDeadlineSeconds() int64 {
	return valueOr(s.ActiveDeadlineSeconds, DefaultActiveDeadlineSeconds)
}

// GetSuccessfulRunsHistoryLimit returns how many runs that succeeded are kept in the history.
func (s *RetentionPolicySpec) GetSuccessfulRunsHistoryLimit() int32 {
	return valueOr(s.SuccessfulRunsHistoryLimit, DefaultRunsHistoryLimit)
}

// GetFailedRunsHistoryLimit returns how many runs that did not succeed are kept in the history.
func (s *RetentionPolicySpec) GetFailedRunsHistoryLimit() int32 {
	return valueOr(s.FailedRunsHistoryLimit, DefaultRunsHistoryLimit)
}

// GetAction returns Delete unless the rule anonymizes.
func (r *Rule) GetAction() Action { return orDefault(r.Action, ActionDelete) }

// Succeeded says whether the outcome counts as a success in the history.
func (o Outcome) Succeeded() bool { return o == OutcomeSucceeded || o == OutcomeSimulated }

// GetConditions returns the conditions of the status, for helpers that work on every kind.
func (d *Datastore) GetConditions() []metav1.Condition { return d.Status.Conditions }

// SetConditions replaces the conditions of the status.
func (d *Datastore) SetConditions(c []metav1.Condition) { d.Status.Conditions = c }

// GetObservedGeneration returns the generation that the status is about.
func (d *Datastore) GetObservedGeneration() int64 { return d.Status.ObservedGeneration }

// GetConditions returns the conditions of the status, for helpers that work on every kind.
func (p *RetentionPolicy) GetConditions() []metav1.Condition { return p.Status.Conditions }

// SetConditions replaces the conditions of the status.
func (p *RetentionPolicy) SetConditions(c []metav1.Condition) { p.Status.Conditions = c }

// GetObservedGeneration returns the generation that the status is about.
func (p *RetentionPolicy) GetObservedGeneration() int64 { return p.Status.ObservedGeneration }

// GetRegulation returns GDPR unless the request names another law.
func (s *ErasureRequestSpec) GetRegulation() Regulation {
	return orDefault(s.Regulation, RegulationGDPR)
}

// GetTimeZone returns the IANA name of the zone in which the request's days are reckoned.
func (s *ErasureRequestSpec) GetTimeZone() string {
	return orDefault(string(s.TimeZone), DefaultTimeZone)
}

// GetApproval returns Automatic unless the request itself asks for approval.
func (s *ErasureRequestSpec) GetApproval() ApprovalMode {
	return orDefault(s.Approval, ApprovalAutomatic)
}

// GetSubjectSecretPolicy returns Delete unless the Secret is to be kept.
func (s *ErasureRequestSpec) GetSubjectSecretPolicy() SubjectSecretPolicy {
	return orDefault(s.SubjectSecretPolicy, SubjectSecretDelete)
}

// GetRecheckEvery returns how often an erasure is repeated.
func (s *ErasureRequestSpec) GetRecheckEvery() Period {
	return orDefault(s.RecheckEvery, DefaultRecheckEvery)
}

// GetReceivedTime returns when the request was received: when the object was created, if it does not say.
func (r *ErasureRequest) GetReceivedTime() metav1.Time {
	if r.Spec.ReceivedTime != nil {
		return *r.Spec.ReceivedTime
	}
	return r.CreationTimestamp
}

// GetErasureApproval returns Automatic unless the Datastore asks for approval.
func (s *DatastoreSpec) GetErasureApproval() ApprovalMode {
	return orDefault(s.ErasureApproval, ApprovalAutomatic)
}

// GetMatch returns how the field is compared.
func (i *Identifier) GetMatch() IdentifierMatch { return orDefault(i.Match, MatchExact) }

// GetLeads returns whether the identifier leads on to further data.
func (i *Identifier) GetLeads() IdentifierLeads { return orDefault(i.Leads, LeadsAlways) }

// IsReleased says whether the hold keeps nothing any more.
func (h *LegalHold) IsReleased() bool { return h.Spec.Release != nil }

// GetConditions returns the conditions of the status, for helpers that work on every kind.
func (r *ErasureRequest) GetConditions() []metav1.Condition { return r.Status.Conditions }

// SetConditions replaces the conditions of the status.
func (r *ErasureRequest) SetConditions(c []metav1.Condition) { r.Status.Conditions = c }

// GetObservedGeneration returns the generation that the status is about.
func (r *ErasureRequest) GetObservedGeneration() int64 { return r.Status.ObservedGeneration }

// GetConditions returns the conditions of the status, for helpers that work on every kind.
func (h *LegalHold) GetConditions() []metav1.Condition { return h.Status.Conditions }

// SetConditions replaces the conditions of the status.
func (h *LegalHold) SetConditions(c []metav1.Condition) { h.Status.Conditions = c }

// GetObservedGeneration returns the generation that the status is about.
func (h *LegalHold) GetObservedGeneration() int64 { return h.Status.ObservedGeneration }

func orDefault[T comparable](v, fallback T) T {
	var zero T
	if v == zero {
		return fallback
	}
	return v
}

func valueOr[T any](v *T, fallback T) T {
	if v == nil {
		return fallback
	}
	return *v
}
