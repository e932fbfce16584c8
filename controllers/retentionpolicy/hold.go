// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purgejob"
)

// objection is why a run whose Job was released must not go on, in one word; empty if nothing stands against it. New holds
// that its plan cannot touch are acknowledged.
func (r *Reconciler) objection(ctx context.Context, s *scope, d *retentionv1.RunDatastore) (string, error) {
	ds := &retentionv1.Datastore{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: s.policy.Namespace, Name: d.Name}, ds)
	gone := apierrors.IsNotFound(err)
	if err != nil && !gone {
		return "", fmt.Errorf("reading the datastore: %w", err)
	}
	switch {
	case gone || string(ds.UID) != d.UID || !ds.DeletionTimestamp.IsZero() || !s.holds(ds):
		return reasonDatastoreLost, nil
	case yields(ds, s.run(), s.now):
		return holds.ReasonErasurePending, nil
	}
	inForce, err := holds.InForce(ctx, r.Live, ds)
	if err != nil {
		return "", err
	}
	unseen := inForce.Without(ds.Status.ActiveRun.Holds)
	switch holds.React(ds.Status.ActiveRun, inForce.UIDs(), func([]string) bool { return r.touched(ctx, s, d, ds, unseen) }) {
	case holds.Halt:
		return holds.ReasonHeld, nil
	case holds.Accept:
		return "", r.acknowledge(ctx, s, d, ds, unseen)
	}
	return "", nil
}

// touched says whether the plan of an entry may touch what the holds keep. A plan that cannot be read may touch anything.
func (r *Reconciler) touched(ctx context.Context, s *scope, d *retentionv1.RunDatastore, ds *retentionv1.Datastore, unseen holds.Set) bool {
	configMap := &corev1.ConfigMap{}
	if err := r.Live.Get(ctx, client.ObjectKey{Namespace: s.policy.Namespace, Name: d.Job}, configMap); err != nil {
		return true
	}
	p := purgejob.PlanIn(configMap, d.PlanDigest)
	return p == nil || unseen.Touches(p, ds)
}

// acknowledge puts on record that the run respects further holds.
func (r *Reconciler) acknowledge(ctx context.Context, s *scope, d *retentionv1.RunDatastore, ds *retentionv1.Datastore, unseen holds.Set) error {
	if _, current, err := r.current(ctx, s, d); err != nil || !current {
		s.again(pollInterval)
		return err
	}
	if err := r.hold(ctx, ds, append(unseen.UIDs(), ds.Status.ActiveRun.Holds...)); err != nil {
		return err
	}
	d.Holds = append(d.Holds, unseen.Names()...)
	slices.Sort(d.Holds)
	d.Holds = slices.Compact(d.Holds)
	return nil
}

// hold puts on record which holds the run that has the Datastore respects: exactly those of uids. Whoever has written the
// Datastore since it was read, such as a hold, is not overlooked: the write fails then.
func (r *Reconciler) hold(ctx context.Context, ds *retentionv1.Datastore, uids []string) error {
	base := ds.DeepCopy()
	if !holds.Record(ds.Status.ActiveRun, uids) {
		return nil
	}
	if err := r.Client.Status().Patch(ctx, ds, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("recording the holds that the run respects: %w", err)
	}
	return nil
}

// unreleased are the names of the holds of the namespace that are not released. They matter only if a run has respected any.
func (r *Reconciler) unreleased(ctx context.Context, policy *retentionv1.RetentionPolicy) ([]string, error) {
	if !respectsHolds(policy.Status.LastRun) {
		return nil, nil
	}
	list := &retentionv1.LegalHoldList{}
	if err := r.Live.List(ctx, list, client.InNamespace(policy.Namespace)); err != nil {
		return nil, fmt.Errorf("listing legal holds: %w", err)
	}
	var names []string
	for i := range list.Items {
		if !list.Items[i].IsReleased() {
			names = append(names, list.Items[i].Name)
		}
	}
	return names, nil
}

func respectsHolds(run *retentionv1.Run) bool {
	return run != nil && slices.ContainsFunc(run.Datastores, func(d retentionv1.RunDatastore) bool { return len(d.Holds) > 0 })
}

// resumable says why a run that has ended is to be followed by another one at once; empty if it is not. held are the names
// of the holds that are not released.
func resumable(last *retentionv1.Run, held []string) string {
	if last == nil {
		return ""
	}
	for i := range last.Datastores {
		d := &last.Datastores[i]
		switch {
		case d.Outcome == retentionv1.OutcomeInterrupted && d.Reason == holds.ReasonHeld:
			return fmt.Sprintf("Run %s stopped in datastore %s for a LegalHold, and goes on with what that does not keep", last.Name, d.Name)
		case d.Outcome == retentionv1.OutcomeInterrupted && d.Reason == holds.ReasonErasurePending:
			return fmt.Sprintf("Run %s stopped in datastore %s for erasure requests, and goes on after them", last.Name, d.Name)
		case last.Mode != retentionv1.ModeEnforce || !keptBack(d):
			continue
		}
		for _, name := range d.Holds {
			if !slices.Contains(held, name) {
				return fmt.Sprintf("LegalHold %s, which kept data of datastore %s in run %s, is released", name, d.Name, last.Name)
			}
		}
	}
	return ""
}

// keptBack says whether holds kept anything from being done in an entry.
func keptBack(d *retentionv1.RunDatastore) bool {
	return d.Reason == retentionv1.ReasonHoldUnreadable ||
		slices.ContainsFunc(d.Excluded, func(x retentionv1.RunExclusion) bool { return x.Reason == string(plan.Held) }) ||
		slices.ContainsFunc(d.Datasets, func(ds retentionv1.RunDataset) bool { return ds.Held != nil && *ds.Held > 0 })
}

// interrupted gives an entry whose Job was stopped for a reason that outcome, unless it had come to its end before.
func interrupted(d *retentionv1.RunDatastore, reason string) {
	message := map[string]string{
		holds.ReasonHeld:           "Stopped at the end of a batch: a LegalHold keeps what the run might have touched. A new run follows at once",
		holds.ReasonErasurePending: "Stopped at the end of a batch: erasure requests wait for the datastore. A new run follows them",
		reasonDatastoreLost:        "Stopped at the end of a batch: the Datastore was deleted, or its status.activeRun overwritten",
	}[reason]
	if message == "" || d.Outcome.Succeeded() || d.Outcome == retentionv1.OutcomeAwaitingApproval {
		return
	}
	d.Outcome, d.Reason, d.Message = retentionv1.OutcomeInterrupted, reason, message
}

// unreadable says which hold could not be read in a run, if any.
func unreadable(run *retentionv1.Run) (verdict, bool) {
	for i := range run.Datastores {
		if d := &run.Datastores[i]; d.Reason == retentionv1.ReasonHoldUnreadable {
			return verdict{metav1.ConditionFalse, retentionv1.ReasonHoldUnreadable, fmt.Sprintf(
				"Datastore %s: a LegalHold cannot be read (%s), so that nothing is deleted there; the next slot tries again. %s", d.Name, strings.Join(d.Holds, ", "), d.Message)}, true
		}
	}
	return verdict{}, false
}
