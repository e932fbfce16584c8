// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/attest"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/internal/planinput"
	"dataretention.dev/retention-operator/internal/purgejob"
)

// Reasons of a run's part in one datastore that no receipt gives.
const (
	reasonDatastoreGone    = "DatastoreNotFound"
	reasonIdentityUnpinned = "IdentityNotPinned"
	reasonNothingToDo      = "NothingToDo"
	reasonPlanChanged      = "PlanChanged"
	reasonPlanTooLarge     = "PlanTooLarge"
	reasonNameCollision    = "NameCollision"
	reasonDatastoreLost    = holds.ReasonDatastoreLost
	reasonReceiptLost      = "ReceiptLost"
	reasonPolicyDeleted    = "PolicyDeleted"
	reasonNotSelected      = "NotSelected"
)

// advance takes each datastore of the active run one step on. Trouble with one never keeps the others from going on.
// When every datastore is on record as finished and given back, the run is complete.
func (r *Reconciler) advance(ctx context.Context, s *scope) error {
	run := s.policy.Status.ActiveRun
	var errs []error
	complete := true
	for i := range run.Datastores {
		d := &run.Datastores[i]
		before := d.State
		var err error
		switch d.State {
		case retentionv1.RunWaiting:
			err = r.take(ctx, s, d)
		case retentionv1.RunPreparing:
			err = r.prepare(ctx, s, d)
		case retentionv1.RunReleased:
			err = r.carry(ctx, s, d)
		case retentionv1.RunFinished:
			err = r.giveBack(ctx, s, d)
		}
		if errors.Is(err, attest.ErrUnavailable) {
			complete = false
			err = r.await(ctx, s, d, err)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("datastore %s: %w", d.Name, err))
		}
		if d.State != before {
			s.again(immediately)
		}
		complete = complete && err == nil && before == retentionv1.RunFinished
	}
	if complete {
		switch err := r.conclude(ctx, s); {
		case errors.Is(err, attest.ErrUnavailable):
			s.await(ctx, err)
		case err != nil:
			errs = append(errs, err)
		default:
			s.again(immediately)
		}
	}
	return errors.Join(errs...)
}

// take makes the run the one writer of a datastore and compiles its plan.
func (r *Reconciler) take(ctx context.Context, s *scope, d *retentionv1.RunDatastore) error {
	if s.deleting() {
		finish(d, retentionv1.OutcomeInterrupted, reasonPolicyDeleted, "The policy was deleted before the run came to this datastore")
		return nil
	}
	ds, err := r.liveDatastore(ctx, s, d)
	if err != nil || ds == nil {
		return err
	}
	if !usable(ds, d) {
		if d.State == retentionv1.RunWaiting {
			s.again(pollInterval)
		}
		return nil
	}
	if holder := ds.Status.ActiveRun; holder != nil && !s.holds(ds) {
		free, err := r.abandoned(ctx, ds, holder)
		if err != nil {
			return err
		}
		if !free {
			d.Reason, d.Message = "", fmt.Sprintf("Waiting for run %s", holder.Name)
			s.again(pollInterval)
			return nil
		}
	}
	if !s.holds(ds) {
		if defers(ds, s.run(), s.now) {
			d.Reason, d.Message = holds.ReasonErasurePending, "Erasure requests wait for the datastore, and go first"
			s.again(pollInterval)
			return nil
		}
		// After the Datastore was read as free the run is still on record as waiting: one that is over does not come back.
		if _, current, err := r.current(ctx, s, d); err != nil || !current {
			s.again(pollInterval)
			return err
		}
		if err := r.acquire(ctx, s, ds); err != nil {
			return err
		}
	}
	compiled, err := r.compile(ctx, s, ds)
	if err != nil {
		return err
	}
	return settle(d, compiled)
}

// acquire writes the run into the status of a Datastore that is free, with the holds that are in force. No Job of the run
// exists yet, and none is released before the gate has seen that its plan respects them.
func (r *Reconciler) acquire(ctx context.Context, s *scope, ds *retentionv1.Datastore) error {
	inForce, err := holds.InForce(ctx, r.Live, ds)
	if err != nil {
		return err
	}
	base := ds.DeepCopy()
	ds.Status.ActiveRun = &retentionv1.ActiveRun{
		Name: s.run().Name, Policy: s.policy.Name, PolicyUID: string(s.policy.UID), AcquiredTime: metav1.NewTime(s.now),
		Holds: inForce.UIDs(),
	}
	if err := r.Client.Status().Patch(ctx, ds, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("taking the datastore: %w", err)
	}
	return nil
}

// usable says whether a run may begin on the datastore as its last probe saw it. A datastore that no probe has reached
// yet is waited for; one that answers as another server is never touched.
func usable(ds *retentionv1.Datastore, d *retentionv1.RunDatastore) bool {
	reachable := findCondition(ds, retentionv1.ConditionReachable)
	switch {
	case ds.Status.Identity != "" && ds.Status.ObservedIdentity == ds.Status.Identity:
		return true
	case ds.Status.Identity != "":
		finish(d, retentionv1.OutcomeFailed, retentionv1.ReasonIdentityChanged,
			fmt.Sprintf("Another server answers (%s) than the one pinned; accept it on the Datastore with the annotation %s",
				ds.Status.ObservedIdentity, retentionv1.AnnotationAcceptedIdentity))
	case reachable != nil && reachable.Status == metav1.ConditionFalse:
		finish(d, retentionv1.OutcomeUnreachable, reachable.Reason, reachable.Message)
	default:
		d.Reason, d.Message = reasonIdentityUnpinned, "Waiting for the first probe of the Datastore"
	}
	return false
}

// settle writes what the run is about to do into its entry, before anything is done.
func settle(d *retentionv1.RunDatastore, c *compiled) error {
	d.Excluded, d.Holds = c.excluded, c.holds.Names()
	if d.ApprovedRecords != nil && d.PlanDigest != c.digest {
		finish(d, retentionv1.OutcomeAwaitingApproval, reasonPlanChanged,
			"The policy or the datastore has changed since the plan was approved; ask for a new run")
		return nil
	}
	if len(c.datasets) > maxEntries {
		finish(d, retentionv1.OutcomeFailed, reasonPlanTooLarge,
			fmt.Sprintf("The policy has %d steps in this datastore, and at most %d can be accounted for: use several policies", len(c.datasets), maxEntries))
		return nil
	}
	d.PlanDigest, d.Datasets, d.Generation = c.digest, c.datasets, c.plan.Datastore.Generation
	d.Job, d.Intent, d.Evidence = "", nil, nil
	if len(c.plan.Steps) == 0 {
		outcome := retentionv1.OutcomeSucceeded
		if slices.ContainsFunc(d.Excluded, isProblem) {
			outcome = retentionv1.OutcomeIncomplete
		}
		message := "No rule deletes or anonymizes anything in this datastore"
		if keptBack(d) {
			message += ", as LegalHolds keep what is there"
		}
		finish(d, outcome, reasonNothingToDo, message)
		return nil
	}
	d.Job = c.jobName
	d.State, d.Reason, d.Message = retentionv1.RunPreparing, "", ""
	return nil
}

// prepare makes the suspended Job, or adopts it if it is provably ours.
func (r *Reconciler) prepare(ctx context.Context, s *scope, d *retentionv1.RunDatastore) error {
	if s.deleting() {
		finish(d, retentionv1.OutcomeInterrupted, reasonPolicyDeleted, "The policy was deleted before the purge began")
		return nil
	}
	ds, err := r.liveDatastore(ctx, s, d)
	if err != nil || ds == nil {
		return err
	}
	c, err := r.compile(ctx, s, ds)
	if err != nil {
		return err
	}
	if c.digest != d.PlanDigest { // something changed in between; nothing has been made for the new plan yet
		return r.replan(ctx, s, d, c)
	}
	switch err := r.ensure(ctx, r.jobInput(s, ds, d, c), c); {
	case errors.Is(err, purgejob.ErrForeign):
		finish(d, retentionv1.OutcomeFailed, reasonNameCollision, err.Error())
	case errors.Is(err, purgejob.ErrPlanTooLarge):
		finish(d, retentionv1.OutcomeFailed, reasonPlanTooLarge, err.Error())
	case err != nil:
		return err
	default:
		d.State = retentionv1.RunReleased
	}
	return nil
}

// replan puts another plan in the place of an entry's, whose Job never began. What was sealed is not left lying about.
func (r *Reconciler) replan(ctx context.Context, s *scope, d *retentionv1.RunDatastore, c *compiled) error {
	if err := r.dropHandOff(ctx, s, d); err != nil {
		return err
	}
	return settle(d, c)
}

func (r *Reconciler) dropHandOff(ctx context.Context, s *scope, d *retentionv1.RunDatastore) error {
	if d.Job == "" || len(d.Holds) == 0 {
		return nil
	}
	return r.jobs().DropHandOff(ctx, s.policy.Namespace, d.Job)
}

// giveBack takes the finalizers off the Job and its Pods, whose receipts are on record, and frees the datastore.
func (r *Reconciler) giveBack(ctx context.Context, s *scope, d *retentionv1.RunDatastore) error {
	if d.Job != "" {
		if err := r.jobs().LetGo(ctx, s.policy, d.Job); err != nil {
			return err
		}
	}
	if err := r.dropHandOff(ctx, s, d); err != nil {
		return err
	}
	ds := &retentionv1.Datastore{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: s.policy.Namespace, Name: d.Name}, ds)
	if apierrors.IsNotFound(err) || (err == nil && !s.holds(ds)) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the datastore: %w", err)
	}
	base := ds.DeepCopy()
	ds.Status.ActiveRun = nil
	if err := r.Client.Status().Patch(ctx, ds, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("giving the datastore back: %w", err)
	}
	return nil
}

// liveDatastore reads the datastore of an entry past the cache. It finishes the entry and returns nil if it is gone, or is
// no longer meant.
func (r *Reconciler) liveDatastore(ctx context.Context, s *scope, d *retentionv1.RunDatastore) (*retentionv1.Datastore, error) {
	ds := &retentionv1.Datastore{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: s.policy.Namespace, Name: d.Name}, ds)
	gone := apierrors.IsNotFound(err)
	switch {
	case err != nil && !gone:
		return nil, fmt.Errorf("reading the datastore: %w", err)
	case gone || string(ds.UID) != d.UID || !ds.DeletionTimestamp.IsZero():
		finish(d, retentionv1.OutcomeFailed, reasonDatastoreGone, "The Datastore was deleted, or made anew, during the run")
		return nil, nil
	case !planinput.Selects(s.policy, ds.Labels):
		finish(d, retentionv1.OutcomeInterrupted, reasonNotSelected, "spec.datastoreSelector no longer selects the Datastore")
		return nil, nil
	}
	return ds, nil
}

// abandoned says whether the run that a datastore names as its holder is over: a run is on record as active in its
// policy before it takes a datastore, and until after it has given it back. An erasure is ended by its own controller.
func (r *Reconciler) abandoned(ctx context.Context, ds *retentionv1.Datastore, holder *retentionv1.ActiveRun) (bool, error) {
	if holder.Policy == "" {
		return false, nil
	}
	owner := &retentionv1.RetentionPolicy{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: ds.Namespace, Name: holder.Policy}, owner)
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("reading the policy that holds the datastore: %w", err)
	}
	if err == nil && string(owner.UID) == holder.PolicyUID && owner.Status.ActiveRun != nil && owner.Status.ActiveRun.Name == holder.Name {
		return false, nil
	}
	pods := &corev1.PodList{} // whatever became of the policy: no Pod of that run may still be at work
	if err := r.Live.List(ctx, pods, client.InNamespace(ds.Namespace), client.MatchingLabels{
		purgejob.LabelComponent: purgejob.ComponentPurge, purgejob.LabelDatastore: purgejob.LabelValue(ds.Name),
	}); err != nil {
		return false, fmt.Errorf("listing purge Pods: %w", err)
	}
	return !slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool {
		return p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
	}), nil
}

// finish ends an entry that has no receipts to add up.
func finish(d *retentionv1.RunDatastore, outcome retentionv1.Outcome, reason, message string) {
	d.State = retentionv1.RunFinished
	d.Outcome, d.Reason, d.Message = outcome, reason, message
	for i := range d.Datasets {
		if d.Datasets[i].Outcome == "" {
			d.Datasets[i].Outcome, d.Datasets[i].Reason = "NotRun", reason
		}
	}
}

func (s *scope) holds(ds *retentionv1.Datastore) bool {
	holder := ptr.Deref(ds.Status.ActiveRun, retentionv1.ActiveRun{})
	return holder.Name == s.run().Name && holder.PolicyUID == string(s.policy.UID)
}
