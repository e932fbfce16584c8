// SPDX-License-Identifier: Apache-2.0

package erasurerun

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/internal/purgejob"
)

// take makes a run the one writer of the Datastore. It does what the request needs that has to be answered first; others
// that need the same join it.
func (r *Reconciler) take(ctx context.Context, s *scope) error {
	if left := s.ds.Status.PendingErasures.Since.Add(gatherFor).Sub(s.now); left > 0 {
		s.again(left)
		return nil
	}
	if holder := s.ds.Status.ActiveRun; holder != nil {
		free, err := r.abandoned(ctx, s.ds, holder)
		if err != nil || !free {
			s.again(pollInterval)
			return err
		}
	}
	requests, err := r.requests(ctx, s)
	if err != nil {
		return err
	}
	first := slices.IndexFunc(requests, func(o retentionv1.ErasureRequest) bool { return waiting(&o, s) })
	if first < 0 {
		return nil // the cache lags behind
	}
	inForce, err := holds.InForce(ctx, r.Live, s.ds)
	if err != nil {
		return err
	}
	at := s.now.Truncate(time.Second)
	run := purgejob.ErasureRunName(s.ds.Name, at)
	taken := &batchv1.JobList{}
	if err := r.Live.List(ctx, taken, client.InNamespace(s.ds.Namespace), client.MatchingLabels{purgejob.LabelRun: purgejob.LabelValue(run)}); err != nil {
		return fmt.Errorf("listing Jobs: %w", err)
	}
	if len(taken.Items) > 0 {
		s.again(time.Second) // one run per second: its name is made from it
		return nil
	}
	base := s.ds.DeepCopy()
	s.ds.Status.ActiveRun = &retentionv1.ActiveRun{
		Name: run, AcquiredTime: metav1.NewTime(at), Holds: inForce.UIDs(),
		Erasure: &retentionv1.ErasureRun{Mode: modeOf(erasure.Entry(&requests[first], s.ds.Name)), State: retentionv1.RunPreparing},
	}
	s.again(immediately)
	return r.patch(ctx, s, base, "taking the datastore")
}

// modeOf is what an entry that waits waits for.
func modeOf(e *retentionv1.ErasureDatastore) retentionv1.ErasureRunMode {
	if e.Step == retentionv1.ErasureStepErase {
		return retentionv1.ErasureRunErase
	}
	return retentionv1.ErasureRunFind
}

// steps are those of an entry before and while a run of this mode has it in hand.
func steps(mode retentionv1.ErasureRunMode) (before, during retentionv1.ErasureStep) {
	if mode == retentionv1.ErasureRunErase {
		return retentionv1.ErasureStepErase, retentionv1.ErasureStepErasing
	}
	return retentionv1.ErasureStepFind, retentionv1.ErasureStepFinding
}

// requests lists the requests of the namespace past the cache, the one that has to be answered first in front.
func (r *Reconciler) requests(ctx context.Context, s *scope) ([]retentionv1.ErasureRequest, error) {
	list := &retentionv1.ErasureRequestList{}
	if err := r.Live.List(ctx, list, client.InNamespace(s.ds.Namespace)); err != nil {
		return nil, fmt.Errorf("listing erasure requests: %w", err)
	}
	due := func(o *retentionv1.ErasureRequest) int64 {
		if o.Status.DueTime == nil {
			return 0
		}
		return o.Status.DueTime.Unix()
	}
	slices.SortFunc(list.Items, func(a, b retentionv1.ErasureRequest) int {
		return cmp.Or(cmp.Compare(due(&a), due(&b)), cmp.Compare(a.UID, b.UID))
	})
	return list.Items, nil
}

// abandoned says whether the policy's run that a Datastore names as its holder is over, as when the policy was removed by
// force: no policy has it as its active run, and no Pod is at work.
func (r *Reconciler) abandoned(ctx context.Context, ds *retentionv1.Datastore, holder *retentionv1.ActiveRun) (bool, error) {
	owner := &retentionv1.RetentionPolicy{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: ds.Namespace, Name: holder.Policy}, owner)
	if err != nil && !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("reading the policy that holds the datastore: %w", err)
	}
	if err == nil && string(owner.UID) == holder.PolicyUID && owner.Status.ActiveRun != nil && owner.Status.ActiveRun.Name == holder.Name {
		return false, nil
	}
	pods := &corev1.PodList{}
	if err := r.Live.List(ctx, pods, own(client.ObjectKeyFromObject(ds))...); err != nil {
		return false, fmt.Errorf("listing purge Pods: %w", err)
	}
	return !slices.ContainsFunc(pods.Items, running), nil
}

func running(p corev1.Pod) bool {
	return p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
}

// claimed says whether the run has the request in hand.
func claimed(request *retentionv1.ErasureRequest, s *scope) bool {
	e := erasure.Entry(request, s.ds.Name)
	return e != nil && erasure.AtWork(e) && e.Run == s.run().Name
}

// gather claims the requests that the run serves, puts the plan on record that is made for them, and lets the Datastore go
// if there are none.
func (r *Reconciler) gather(ctx context.Context, s *scope) error {
	requests, err := r.requests(ctx, s)
	if err != nil {
		return err
	}
	mode := s.run().Erasure.Mode
	batch := slices.DeleteFunc(slices.Clone(requests), func(o retentionv1.ErasureRequest) bool { return !claimed(&o, s) })
	for i := range requests {
		request := &requests[i]
		if len(batch) >= purgejob.MaxRequests {
			break
		}
		if !waiting(request, s) || modeOf(erasure.Entry(request, s.ds.Name)) != mode {
			continue
		}
		switch ok, err := r.claim(ctx, s, request); {
		case apierrors.IsConflict(err) || apierrors.IsNotFound(err): // it has changed; another run takes it
		case err != nil:
			return err
		case ok:
			batch = append(batch, *request)
		}
	}
	return r.settle(ctx, s, batch)
}

// claim takes a request into the run, unless its identifiers cannot be had: then its entry says so.
func (r *Reconciler) claim(ctx context.Context, s *scope, request *retentionv1.ErasureRequest) (bool, error) {
	base := request.DeepCopy()
	e := erasure.Entry(request, s.ds.Name)
	_, known, refuse, err := r.identifiers(ctx, s, request)
	if err != nil {
		return false, err
	}
	if refuse != nil {
		refuse(e)
		return false, r.patchRequest(ctx, request, base)
	}
	_, e.Step = steps(s.run().Erasure.Mode)
	e.Run, e.RetryTime, e.Reason, e.Message = s.run().Name, nil, "", ""
	e.SearchedWith = int32(len(known)) // at most subject.MaxIdentifiers
	return true, r.patchRequest(ctx, request, base)
}

// unclaim gives a request back that no Job has worked for.
func (r *Reconciler) unclaim(ctx context.Context, s *scope, request *retentionv1.ErasureRequest, why func(e *retentionv1.ErasureDatastore)) error {
	base := request.DeepCopy()
	e := erasure.Entry(request, s.ds.Name)
	if e.Step == retentionv1.ErasureStepErasing {
		e.Step = retentionv1.ErasureStepErase
	} else {
		e.Step = retentionv1.ErasureStepFind
	}
	if why != nil {
		why(e)
	}
	return client.IgnoreNotFound(r.patchRequest(ctx, request, base))
}

func (r *Reconciler) patchRequest(ctx context.Context, request, base *retentionv1.ErasureRequest) error {
	if err := r.Client.Status().Patch(ctx, request, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("writing the status of request %s: %w", request.Name, err)
	}
	return nil
}

// batch returns the requests that the run has in hand. Those that it must not serve any longer are given back.
func (r *Reconciler) batch(ctx context.Context, s *scope) ([]retentionv1.ErasureRequest, error) {
	requests, err := r.requests(ctx, s)
	if err != nil {
		return nil, err
	}
	var batch []retentionv1.ErasureRequest
	for i := range requests {
		request := &requests[i]
		if !claimed(request, s) {
			continue
		}
		e := erasure.Entry(request, s.ds.Name)
		if erasure.Workable(request) && erasure.Reaches(request, s.ds) && e.UID == string(s.ds.UID) {
			batch = append(batch, *request)
			continue
		}
		if err := r.unclaim(ctx, s, request, nil); err != nil {
			return nil, err
		}
	}
	return batch, nil
}

// settle puts on record what the run is about to do for the batch, before anything is done. Without a batch the Datastore
// is given back.
func (r *Reconciler) settle(ctx context.Context, s *scope, batch []retentionv1.ErasureRequest) error {
	s.again(immediately)
	if len(batch) == 0 {
		return r.finish(ctx, s, nil)
	}
	c, err := r.compile(ctx, s, batch)
	if err != nil {
		return err
	}
	return r.settleOn(ctx, s, c)
}

func (r *Reconciler) settleOn(ctx context.Context, s *scope, c *compiled) error {
	base := s.ds.DeepCopy()
	run := s.run()
	holds.Record(run, c.holds.UIDs())
	run.Erasure.State, run.Erasure.Job, run.Erasure.PlanDigest = retentionv1.RunPreparing, c.job, c.digest
	run.Erasure.Requests = int32(len(c.requests)) // at most purgejob.MaxRequests
	run.Erasure.Intent, run.Erasure.Evidence, run.Erasure.Reason, run.Erasure.Message = nil, nil, "", ""
	return r.patch(ctx, s, base, "putting the plan on record")
}

// finish says that all that the run did is on record, and where; ref is nil if no Job of it has ever begun.
func (r *Reconciler) finish(ctx context.Context, s *scope, ref *retentionv1.EvidenceReference) error {
	base := s.ds.DeepCopy()
	e := s.run().Erasure
	e.State, e.Evidence, e.Reason, e.Message = retentionv1.RunFinished, ref, "", ""
	s.again(immediately)
	return r.patch(ctx, s, base, "ending the run")
}

// prepare makes the suspended Job, or adopts it if it is provably ours.
func (r *Reconciler) prepare(ctx context.Context, s *scope) error {
	run := s.run()
	if run.Erasure.Job == "" {
		return r.gather(ctx, s)
	}
	batch, err := r.batch(ctx, s)
	if err != nil {
		return err
	}
	if len(batch) == 0 {
		return r.settle(ctx, s, nil)
	}
	c, err := r.compile(ctx, s, batch)
	if err != nil {
		return err
	}
	s.again(immediately)
	if c.digest != run.Erasure.PlanDigest { // something changed in between; no Job was released yet
		return r.settleOn(ctx, s, c)
	}
	switch _, err := r.keeper().Ensure(ctx, r.input(s, c)); {
	case errors.Is(err, purgejob.ErrPlanTooLarge), errors.Is(err, purgejob.ErrJobTooLarge):
		return r.shrink(ctx, s, c)
	case errors.Is(err, purgejob.ErrForeign):
		return r.collide(ctx, s, c)
	case err != nil:
		return err
	}
	base := s.ds.DeepCopy()
	run.Erasure.State = retentionv1.RunReleased
	return r.patch(ctx, s, base, "putting the release on record")
}

// shrink gives half of a batch back that no Job can serve at once: those that have to be answered last.
func (r *Reconciler) shrink(ctx context.Context, s *scope, c *compiled) error {
	if len(c.requests) == 1 {
		return r.abandon(ctx, s, c.requests, "PlanTooLarge", "the plan is too large for a Job")
	}
	for i := len(c.requests) / 2; i < len(c.requests); i++ {
		if err := r.unclaim(ctx, s, &c.requests[i], nil); err != nil {
			return err
		}
	}
	return nil // the next pass compiles for those that are left
}

// collide ends a run for whose Job there is no name.
func (r *Reconciler) collide(ctx context.Context, s *scope, c *compiled) error {
	return r.abandon(ctx, s, c.requests, reasonNameCollision, "an object of the Job's name is not ours")
}

// abandon ends a run that cannot begin. Its requests are tried again after a pause.
func (r *Reconciler) abandon(ctx context.Context, s *scope, requests []retentionv1.ErasureRequest, reason, message string) error {
	for i := range requests {
		if err := r.unclaim(ctx, s, &requests[i], func(e *retentionv1.ErasureDatastore) {
			e.Reason, e.Message = reason, message
			erasure.Fail(e, s.now)
		}); err != nil {
			return err
		}
	}
	return r.finish(ctx, s, nil)
}
