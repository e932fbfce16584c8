// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/schedule"
)

// Datastore says what a Datastore is, and which plan is carried out there by which Job. Outcome and datasets are the
// caller's to fill in. ds is nil, or another one by its UID, if the Datastore is gone; p is nil if there is no plan, or
// none that can be read. What the plan says goes before what the Datastore says now.
func Datastore(ds *retentionv1.Datastore, p *plan.Plan, digest, job string) evidence.Datastore {
	out := evidence.Datastore{PlanDigest: digest, Job: job}
	if p != nil {
		out.Object, out.Engine, out.Identity = Ref(p.Datastore), p.Engine, p.Identity
	}
	if ds == nil || p != nil && string(ds.UID) != p.Datastore.UID {
		return out
	}
	if p == nil {
		out.Object, out.Engine, out.Identity = Object(ds), ds.Spec.GetEngine(), ds.Status.Identity
	}
	for _, purpose := range ds.Spec.Purposes {
		out.Purposes = append(out.Purposes, string(purpose))
	}
	if ds.Spec.Backups != nil {
		out.BackupRetention = string(ds.Spec.Backups.Retention)
	}
	return out
}

// Categories are the categories of personal data in a dataset; nil if nobody has declared any.
func Categories(ds *retentionv1.Datastore, dataset string) []string {
	if ds == nil {
		return nil
	}
	for i := range ds.Spec.Datasets {
		if d := &ds.Spec.Datasets[i]; string(d.Name) == dataset {
			var out []string
			for _, c := range d.Categories {
				out = append(out, string(c))
			}
			return out
		}
	}
	return nil
}

// GoneBy is when the last backup has expired that may hold what was deleted until end, by a retention that was declared (an
// ISO 8601 period) and is reckoned in zone, UTC if that is nil. It is nil if nothing was deleted (end is zero), or if
// nothing that can be read was declared.
func GoneBy(end time.Time, retention string, zone *time.Location) *time.Time {
	if end.IsZero() || retention == "" {
		return nil
	}
	if zone == nil {
		zone = time.UTC
	}
	period, err := schedule.ParsePeriod(retention)
	if err != nil {
		return nil
	}
	return ptr.To(period.AddTo(end, zone).UTC())
}

// Reasons of gaps that no other part of the operator gives.
const (
	GapNotDeclared = "NotDeclared"
	GapDeclared    = "Declared"
	GapNotNotified = "NotNotified"
	GapNotCleaned  = "NotCleanedUp"
)

// Backups says what backups mean for what was deleted in a Datastore: until when they may hold it, or that nobody has
// declared for how long. d.BackupRetention and, once it is known, d.GoneBy have to be filled in.
func Backups(d *evidence.Datastore) []evidence.Gap {
	switch {
	case d.GoneBy != nil:
		return []evidence.Gap{{Kind: evidence.GapBackup, Name: d.Name, Reason: GapDeclared, Until: ptr.To(*d.GoneBy),
			Message: fmt.Sprintf("backups may hold what was deleted for %s, as the Datastore declares; nobody checks that", d.BackupRetention)}}
	case d.BackupRetention == "":
		return []evidence.Gap{{Kind: evidence.GapBackup, Name: d.Name, Reason: GapNotDeclared,
			Message: "the Datastore does not declare how long backups live (spec.backups.retention)"}}
	}
	return nil
}

// Engine says what every deletion in a Datastore leaves to others.
func Engine(d *evidence.Datastore) evidence.Gap {
	return evidence.Gap{Kind: evidence.GapEngine, Name: d.Name, Reason: GapNotCleaned,
		Message: "bytes stay in the engine's files until it cleans up; replicas with filters of their own, exports and caches are out of sight"}
}

// Map says what the data map of a Datastore does not know, as its last probe saw, and who else has the data. ds may be nil.
func Map(ds *retentionv1.Datastore) []evidence.Gap {
	if ds == nil {
		return nil
	}
	var out []evidence.Gap
	for _, condition := range []string{retentionv1.ConditionSchemaMatches, retentionv1.ConditionReferencesMapped, retentionv1.ConditionCountsReliable} {
		if c := meta.FindStatusCondition(ds.Status.Conditions, condition); c != nil && c.Status != metav1.ConditionTrue {
			out = append(out, evidence.Gap{Kind: evidence.GapDataset, Name: ds.Name, Reason: c.Reason, Message: c.Message})
		}
	}
	for _, recipient := range ds.Spec.Recipients {
		out = append(out, evidence.Gap{Kind: evidence.GapRecipient, Name: string(recipient), Reason: GapNotNotified,
			Message: "data of datastore " + ds.Name + " is disclosed to it; nobody has checked that it is deleted there"})
	}
	return out
}
