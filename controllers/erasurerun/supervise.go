// SPDX-License-Identifier: Apache-2.0

package erasurerun

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/controllers/internal/status"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purgejob"
)

// Reasons why a Job was stopped.
const (
	// reasonWithdrawn says that a request that it serves was denied or deleted, or no longer reaches the Datastore.
	reasonWithdrawn = "Withdrawn"
	// reasonPlanChanged says that another Job takes its place. It never began.
	reasonPlanChanged = "PlanChanged"
	// reasonNameCollision says that an object of its name is not ours. It never began.
	reasonNameCollision = "NameCollision"
)

// advance takes the run one step on.
func (r *Reconciler) advance(ctx context.Context, s *scope) error {
	switch s.run().Erasure.State {
	case retentionv1.RunPreparing:
		return r.prepare(ctx, s)
	case retentionv1.RunReleased:
		return r.supervise(ctx, s)
	default:
		return r.giveBack(ctx, s)
	}
}

// supervise releases the Job of a run that is on record as Released, and accounts for it once it has ended.
func (r *Reconciler) supervise(ctx context.Context, s *scope) error {
	run := s.run()
	job := &batchv1.Job{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: s.ds.Namespace, Name: run.Erasure.Job}, job)
	switch {
	case apierrors.IsNotFound(err), err == nil && (!metav1.IsControlledBy(job, s.ds) || job.Annotations[purgejob.AnnotationPlanDigest] != run.Erasure.PlanDigest):
		return r.lose(ctx, s)
	case err != nil:
		return fmt.Errorf("reading the Job: %w", err)
	}
	switch {
	case purgejob.State(job).Finished():
		return r.collect(ctx, s, job)
	case !job.DeletionTimestamp.IsZero():
		return r.collectStopped(ctx, s, job, job.DeletionTimestamp.Time)
	case holds.Stopped(job):
		return r.stop(ctx, s, job, "")
	case ptr.Deref(job.Spec.Suspend, false):
		return r.release(ctx, s, job)
	}
	return r.watch(ctx, s, job)
}

// release looks, past every cache, at all that could forbid the run, and starts the Job only if nothing does.
func (r *Reconciler) release(ctx context.Context, s *scope, job *batchv1.Job) error {
	pods, err := r.keeper().Pods(ctx, job)
	if err != nil {
		return err
	}
	if len(pods) > 0 { // it was suspended after it had begun: what it did must be accounted for
		stop, err := r.mustStop(ctx, s)
		if err != nil {
			return err
		}
		if stop != "" {
			return r.stop(ctx, s, job, stop)
		}
		s.again(pollInterval)
		return r.keeper().Unsuspend(ctx, job)
	}
	batch, err := r.batch(ctx, s)
	if err != nil {
		return err
	}
	if ok, reason, message := erasure.Usable(s.ds); !ok {
		return r.replace(ctx, s, job, reason, func() error { return r.abandon(ctx, s, batch, reason, message) })
	}
	if len(batch) == 0 {
		return r.replace(ctx, s, job, reasonWithdrawn, func() error { return r.finish(ctx, s, nil) })
	}
	c, err := r.compile(ctx, s, batch)
	if err != nil {
		return err
	}
	if c.digest != s.run().Erasure.PlanDigest { // nothing has been done yet: what has changed since is part of the plan
		return r.replace(ctx, s, job, reasonPlanChanged, func() error { return r.settleOn(ctx, s, c) })
	}
	if base := s.ds.DeepCopy(); holds.Record(s.run(), c.holds.UIDs()) {
		if err := r.patch(ctx, s, base, "putting the holds on record"); err != nil {
			return err
		}
	}
	if stated, err := r.intend(ctx, s, c); err != nil || !stated {
		return err
	}
	carried, whole, err := r.carried(ctx, s, c)
	if err != nil {
		return err
	}
	if !whole {
		s.again(immediately)
		return nil // the next pass compiles for those that are left
	}
	switch err := r.keeper().HandOff(ctx, r.input(s, c), carried); {
	case errors.Is(err, purgejob.ErrForeign):
		return r.replace(ctx, s, job, reasonNameCollision, func() error { return r.collide(ctx, s, c) })
	case err != nil:
		return err
	}
	if err := r.keeper().Unsuspend(ctx, job); err != nil {
		return err
	}
	r.Events.Eventf(s.ds, nil, corev1.EventTypeNormal, "ErasureRunStarted", "Run", "Run %s (%s) serves %d requests", s.run().Name, s.run().Erasure.Mode, len(c.requests))
	s.again(pollInterval)
	return nil
}

// replace marks a Job that never began, so that no other manager releases it any more, and closes its Intent, before then
// changes the course.
func (r *Reconciler) replace(ctx context.Context, s *scope, job *batchv1.Job, why string, then func() error) error {
	if _, err := holds.Stop(ctx, r.Client, job, why, s.now); err != nil {
		return err
	}
	if err := r.keeper().DropHandOff(ctx, s.ds.Namespace, job.Name); err != nil {
		return err
	}
	if err := r.concludeUnbegun(ctx, s, why); err != nil {
		return r.await(ctx, s, err, false)
	}
	s.again(immediately)
	return then()
}

// mustStop says why a Job that is at work must stop, or "". A hold that came since the release is acknowledged if the plan
// does not touch what it keeps.
func (r *Reconciler) mustStop(ctx context.Context, s *scope) (string, error) {
	if s.ds.Status.ObservedIdentity != s.ds.Status.Identity {
		return retentionv1.ReasonIdentityChanged, nil
	}
	inForce, err := holds.InForce(ctx, r.Live, s.ds)
	if err != nil {
		return "", err
	}
	reaction := holds.React(s.run(), inForce.UIDs(), func([]string) bool {
		p, err := r.planOf(ctx, s)
		return err != nil || inForce.Without(s.run().Holds).Touches(p, s.ds)
	})
	switch reaction {
	case holds.Halt:
		return holds.ReasonHeld, nil
	case holds.Accept:
		base := s.ds.DeepCopy()
		holds.Record(s.run(), append(inForce.UIDs(), s.run().Holds...))
		if err := r.patch(ctx, s, base, "acknowledging a hold"); err != nil {
			return "", err
		}
	}
	if s.run().Erasure.Mode != retentionv1.ErasureRunErase {
		return "", nil
	}
	requests, err := r.requests(ctx, s)
	if err != nil {
		return "", err
	}
	if slices.ContainsFunc(requests, func(o retentionv1.ErasureRequest) bool {
		return claimed(&o, s) && !(erasure.Workable(&o) && erasure.Reaches(&o, s.ds))
	}) {
		return reasonWithdrawn, nil
	}
	return "", nil
}

// watch looks after a Job that is at work.
func (r *Reconciler) watch(ctx context.Context, s *scope, job *batchv1.Job) error {
	stop, err := r.mustStop(ctx, s)
	if err != nil {
		return err
	}
	if stop != "" {
		return r.stop(ctx, s, job, stop)
	}
	pods, err := r.keeper().Pods(ctx, job)
	if err != nil {
		return err
	}
	if err := r.keep(ctx, s, job, pods); err != nil {
		return err
	}
	base := s.ds.DeepCopy()
	e := s.run().Erasure
	e.Reason, e.Message = purgejob.Waiting(pods)
	e.Message = status.Truncate(e.Message, 512)
	s.again(pollInterval)
	if equality.Semantic.DeepEqual(e, base.Status.ActiveRun.Erasure) {
		return nil
	}
	return r.patch(ctx, s, base, "saying what the Job waits for")
}

// stop ends a Job at a batch's end and accounts for what it did.
func (r *Reconciler) stop(ctx context.Context, s *scope, job *batchv1.Job, why string) error {
	since, err := holds.Stop(ctx, r.Client, job, why, s.now)
	if err != nil {
		return err
	}
	return r.collectStopped(ctx, s, job, since)
}

// collectStopped is collect for a Job that was stopped at a time: a Pod that is being made just then would go unnoticed.
func (r *Reconciler) collectStopped(ctx context.Context, s *scope, job *batchv1.Job, since time.Time) error {
	if left := holds.SettlesIn(since, s.now); left > 0 {
		s.again(min(left, settleInterval))
		pods, err := r.keeper().Pods(ctx, job)
		if err != nil {
			return err
		}
		return r.keep(ctx, s, job, pods)
	}
	return r.collect(ctx, s, job)
}

// lose ends a run whose Job is missing although it was on record as released: somebody has removed it together with its
// finalizer, and nobody knows what it did.
func (r *Reconciler) lose(ctx context.Context, s *scope) error {
	pods := &corev1.PodList{}
	if err := r.Live.List(ctx, pods, client.InNamespace(s.ds.Namespace), client.MatchingLabels{
		batchv1.JobNameLabel: s.run().Erasure.Job, purgejob.LabelManagedBy: purgejob.ManagedBy,
	}); err != nil {
		return fmt.Errorf("listing the Pods of a Job that is gone: %w", err)
	}
	if slices.ContainsFunc(pods.Items, running) {
		s.again(pollInterval)
		return nil
	}
	p, err := r.planOf(ctx, s)
	if err != nil && !errors.Is(err, errPlanLost) {
		return err
	}
	ref, err := r.concludeLost(ctx, s, p)
	if err != nil {
		return r.await(ctx, s, err, true)
	}
	return r.loseAccount(ctx, s, p, ref)
}

// loseAccount takes down, in every request that the run has in hand, that nobody knows what was done for it. The ledger says
// so already.
func (r *Reconciler) loseAccount(ctx context.Context, s *scope, p *plan.Plan, ref *retentionv1.EvidenceReference) error {
	requests, err := r.requests(ctx, s)
	if err != nil {
		return err
	}
	for i := range requests {
		if !claimed(&requests[i], s) {
			continue
		}
		if err := r.unclaim(ctx, s, &requests[i], func(e *retentionv1.ErasureDatastore) {
			if s.run().Erasure.Mode == retentionv1.ErasureRunErase {
				expect(e, p, s.ds)
				erasure.LoseAccount(e)
			}
			erasure.Refer(e, ref)
			e.Reason, e.Message = erasure.ReasonAccountLost, "the account of a run is gone; the Datastore is gone over again"
			erasure.Fail(e, s.now)
		}); err != nil {
			return err
		}
	}
	return r.finish(ctx, s, ref)
}

// expect has the entry name every dataset that a run may have changed.
func expect(e *retentionv1.ErasureDatastore, p *plan.Plan, ds *retentionv1.Datastore) {
	var names []retentionv1.DatasetName
	if p != nil {
		for i := range p.Erasure.Steps {
			if p.Erasure.Steps[i].Acts() {
				names = append(names, retentionv1.DatasetName(p.Erasure.Steps[i].Dataset))
			}
		}
	} else {
		for i := range ds.Spec.Datasets {
			names = append(names, ds.Spec.Datasets[i].Name)
		}
	}
	for _, name := range names {
		if !slices.ContainsFunc(e.Datasets, func(d retentionv1.ErasureDataset) bool { return d.Name == name }) && len(e.Datasets) < maxDatasets {
			e.Datasets = append(e.Datasets, retentionv1.ErasureDataset{Name: name})
		}
	}
}

// giveBack lets go of the Job and its Pods, whose receipts are on record, of the Secret, and of the Datastore.
func (r *Reconciler) giveBack(ctx context.Context, s *scope) error {
	run := s.run()
	requests, err := r.requests(ctx, s)
	if err != nil {
		return err
	}
	for i := range requests { // claimed by a manager that did not know that the plan was made already
		if claimed(&requests[i], s) {
			if err := r.unclaim(ctx, s, &requests[i], nil); err != nil {
				return err
			}
		}
	}
	if run.Erasure.Job != "" {
		if err := r.keeper().LetGo(ctx, s.ds, run.Erasure.Job); err != nil {
			return err
		}
		if err := r.keeper().DropHandOff(ctx, s.ds.Namespace, run.Erasure.Job); err != nil {
			return err
		}
	}
	if err := r.prune(ctx, s, run.Erasure.Job); err != nil {
		return r.await(ctx, s, err, true)
	}
	if err := r.dropOrphans(ctx, client.ObjectKeyFromObject(s.ds), string(s.ds.UID)); err != nil {
		return r.await(ctx, s, err, true)
	}
	base := s.ds.DeepCopy()
	s.ds.Status.ActiveRun = nil
	s.again(immediately)
	return r.patch(ctx, s, base, "giving the datastore back")
}
