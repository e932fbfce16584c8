// SPDX-License-Identifier: Apache-2.0

package legalhold

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/log"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/attest"
	"dataretention.dev/retention-operator/controllers/internal/facts"
	"dataretention.dev/retention-operator/controllers/internal/status"
	"dataretention.dev/retention-operator/internal/evidence"
)

// What is stated about a hold is stated after the fact: no hold waits for the ledger, neither to be enforced nor to be
// released. While the ledger cannot be used it is asked again. A hold that is released and deleted keeps its finalizer until
// both statements are in the ledger; by then it holds nothing up any more.

// state has the ledger take that the hold is enforced, the first time that it is, and that it was released, and writes where
// they stand. It returns whether there is nothing left to state.
func (r *Reconciler) state(ctx context.Context, hold *retentionv1.LegalHold, patcher *status.Patcher) (bool, error) {
	err := r.stateAll(ctx, hold)
	unavailable := errors.Is(err, attest.ErrUnavailable)
	if err != nil && !unavailable {
		return false, err
	}
	if unavailable {
		log.FromContext(ctx).Error(err, "The statement about a legal hold waits for the evidence ledger")
	}
	if _, err := patcher.Patch(ctx); err != nil {
		return false, err
	}
	return !unavailable, nil
}

func (r *Reconciler) stateAll(ctx context.Context, hold *retentionv1.LegalHold) error {
	st := &hold.Status
	released := hold.IsReleased() && st.ReleasedTime != nil
	if st.Evidence == nil && st.EnforcedTime != nil && (released || meta.IsStatusConditionTrue(st.Conditions, retentionv1.ConditionEnforced)) {
		ref, err := r.stateOne(ctx, hold, evidence.HoldEnforced)
		if err != nil {
			return err
		}
		st.Evidence = ref
	}
	if released && st.ReleaseEvidence == nil {
		ref, err := r.stateOne(ctx, hold, evidence.HoldReleased)
		if err != nil {
			return err
		}
		st.ReleaseEvidence = ref
	}
	return nil
}

// stateOne has the ledger take one statement about a hold, as its status is now.
func (r *Reconciler) stateOne(ctx context.Context, hold *retentionv1.LegalHold, kind evidence.Kind) (*retentionv1.EvidenceReference, error) {
	st := &hold.Status
	h := facts.Hold(hold)
	h.EnforcedTime, h.Records = facts.Time(st.EnforcedTime), st.Records
	p := evidence.Predicate{Kind: kind, Key: string(hold.UID), Level: evidence.LevelNone, Outcome: string(kind), Hold: &h}
	if kind == evidence.HoldReleased {
		h.ReleasedTime, h.Release = facts.Time(st.ReleasedTime), string(hold.Spec.Release.Reason)
		enforced, err := r.Evidence.Find(ctx, evidence.HoldEnforced, p.Key)
		if err != nil {
			return nil, err
		}
		if enforced != nil {
			p.Closes = &enforced.Reference
		}
	}
	for i := range st.Datastores {
		e := &st.Datastores[i]
		d := evidence.Datastore{
			Object:    evidence.Object{Namespace: hold.Namespace, Name: e.Name, UID: e.UID, Generation: e.Generation},
			StartTime: facts.Time(e.EnforcedTime), Reason: e.Reason,
		}
		for _, name := range e.Datasets {
			d.Datasets = append(d.Datasets, evidence.Dataset{Name: string(name)})
		}
		p.Datastores = append(p.Datastores, d)
	}
	if n := st.SelectedDatastores; n != nil && int(*n) > len(st.Datastores) {
		p.Message = fmt.Sprintf("The hold covers %d Datastores, of which %d are named", *n, len(st.Datastores))
	}
	spec, err := specOf(hold)
	if err != nil {
		return nil, err
	}
	facts.Fit(&p)
	logged, err := r.Evidence.Append(ctx, p, spec)
	if err != nil {
		return nil, err
	}
	return facts.Reference(&logged), nil
}

// specOf is the subject for the spec of a hold, without the values of a condition (`jq -cjS '.spec | del(.condition.values)'`):
// they may be numbers of persons, and who has the rest of the spec could find them by trying all that there are.
func specOf(hold *retentionv1.LegalHold) (evidence.Subject, error) {
	spec := hold.Spec.DeepCopy()
	if spec.Condition != nil {
		spec.Condition.Values = nil
	}
	return facts.Spec("hold/"+hold.Name, *spec)
}

// stateForced has the ledger take that a hold is gone although nobody has released it: somebody has removed it together with
// its finalizer. What it said is not known any more, but for what a Datastore has on record.
func (r *Reconciler) stateForced(ctx context.Context, namespace string, of *retentionv1.RegisteredHold, now time.Time) error {
	released, err := r.Evidence.Find(ctx, evidence.HoldReleased, of.UID)
	if err != nil || released != nil {
		return err
	}
	enforced, err := r.Evidence.Find(ctx, evidence.HoldEnforced, of.UID)
	if err != nil {
		return err
	}
	p := evidence.Predicate{
		Kind: evidence.HoldReleased, Key: of.UID, Level: evidence.LevelNone, Outcome: string(evidence.HoldReleased),
		Hold: &evidence.Hold{
			Object:       evidence.Object{Namespace: namespace, Name: of.Name, UID: of.UID},
			ReleasedTime: facts.At(now), Release: "Removed by force, without a release",
		},
	}
	if enforced != nil {
		p.Closes = &enforced.Reference
		if h := enforced.Statement.Predicate.Hold; h != nil {
			p.Hold.Reason, p.Hold.Authority, p.Hold.Reference, p.Hold.Scope, p.Hold.EnforcedTime = h.Reason, h.Authority, h.Reference, h.Scope, h.EnforcedTime
		}
	}
	spec, err := facts.Spec("hold/"+of.Name, of)
	if err != nil {
		return err
	}
	_, err = r.Evidence.Append(ctx, p, spec)
	return err
}
