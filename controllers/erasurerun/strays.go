// SPDX-License-Identifier: Apache-2.0

package erasurerun

import (
	"context"
	"fmt"
	"maps"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/controllers/internal/facts"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/purgejob"
)

// reasonRunLost says that the run is no longer on record in its Datastore.
const reasonRunLost = "RunLost"

// writeOff closes the Intent of a Job that no run accounts for any more, unless there is none, or it is closed. job is nil
// if it is gone. It is stopped for good.
func (r *Reconciler) writeOff(ctx context.Context, datastoreUID, run, name string, job *batchv1.Job, reason string) error {
	key := evidence.ExecutionKey(datastoreUID, run, name)
	intent, err := r.Evidence.Find(ctx, evidence.Intent, key)
	if err != nil || intent == nil {
		return err
	}
	if result, err := r.Evidence.Find(ctx, evidence.Result, key); err != nil || result != nil {
		return err
	}
	out := resultOf(intent)
	begun := job == nil || !ptr.Deref(job.Spec.Suspend, false)
	if job != nil {
		_, err = holds.Stop(ctx, r.Client, job, reason, r.Clock.Now())
	}
	if job == nil || apierrors.IsNotFound(err) {
		lost(&out, reason)
		_, err = r.close(ctx, intent, out)
		return err
	}
	if err != nil {
		return err
	}
	pods, err := r.keeper().Pods(ctx, job)
	if err != nil {
		return err
	}
	attempts := purgejob.Attempts(job, pods)
	if begun || len(pods)+len(attempts) > 0 {
		lost(&out, reason)
	} else {
		notRun(&out, reason)
	}
	if len(out.Datastores) > 0 {
		out.Datastores[0].Attempts = facts.Attempts(attempts)
	}
	_, err = r.close(ctx, intent, out, facts.Receipts(job, pods)...)
	return err
}

// dropOrphans removes the Jobs of a Datastore of that name that is gone. What they did cannot be accounted for any more: the
// requests and the ledger say so. Nothing keeps the Datastore meanwhile.
func (r *Reconciler) dropOrphans(ctx context.Context, key client.ObjectKey, uid string) error {
	list := &batchv1.JobList{}
	if err := r.Client.List(ctx, list, own(key)...); err != nil {
		return fmt.Errorf("listing Jobs: %w", err)
	}
	for i := range list.Items {
		job := &list.Items[i]
		owner := metav1.GetControllerOfNoCopy(job)
		if owner == nil || owner.Kind != "Datastore" || owner.Name != key.Name || string(owner.UID) == uid {
			continue
		}
		if err := r.writeOff(ctx, string(owner.UID), job.Labels[purgejob.LabelRun], job.Name, job, erasure.ReasonDatastoreNotFound); err != nil {
			return err
		}
		stub := &retentionv1.Datastore{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name, UID: owner.UID}}
		if err := r.remove(ctx, stub, job.Name); err != nil {
			return err
		}
	}
	return nil
}

// prune removes the Jobs of earlier runs, but for the one to keep. One that still has our finalizer, and a plan whose Job is
// gone, was not accounted for by its run. If there is none to keep, no run has accounted for the last one either.
func (r *Reconciler) prune(ctx context.Context, s *scope, keep string) error {
	jobs, plans := &batchv1.JobList{}, &corev1.ConfigMapList{}
	for _, list := range []client.ObjectList{jobs, plans} {
		if err := r.Live.List(ctx, list, own(client.ObjectKeyFromObject(s.ds))...); err != nil {
			return fmt.Errorf("listing what earlier runs have left: %w", err)
		}
	}
	old, runs := map[string]*batchv1.Job{}, map[string]string{} // by the name of the Job
	for i := range plans.Items {
		if o := &plans.Items[i]; o.Name != keep && metav1.IsControlledBy(o, s.ds) {
			old[o.Name], runs[o.Name] = nil, o.Labels[purgejob.LabelRun]
		}
	}
	for i := range jobs.Items {
		if o := &jobs.Items[i]; o.Name != keep && metav1.IsControlledBy(o, s.ds) {
			old[o.Name], runs[o.Name] = o, o.Labels[purgejob.LabelRun]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if job := old[name]; keep == "" || job == nil || controllerutil.ContainsFinalizer(job, purgejob.Finalizer) {
			if err := r.writeOff(ctx, string(s.ds.UID), runs[name], name, job, reasonRunLost); err != nil {
				return err
			}
		}
		if err := r.remove(ctx, s.ds, name); err != nil {
			return err
		}
	}
	return nil
}

// heal gives back what a run that is over has in hand: a manager that was held up may have claimed it too late, or
// somebody has overwritten the run in the status of the Datastore.
func (r *Reconciler) heal(ctx context.Context, s *scope, requests []retentionv1.ErasureRequest) error {
	if !slices.ContainsFunc(requests, func(o retentionv1.ErasureRequest) bool { return strayed(&o, s.ds) }) {
		return nil
	}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(s.ds), s.ds); err != nil || s.run() != nil {
		return client.IgnoreNotFound(err)
	}
	pods := &corev1.PodList{}
	if err := r.Live.List(ctx, pods, own(client.ObjectKeyFromObject(s.ds))...); err != nil {
		return fmt.Errorf("listing purge Pods: %w", err)
	}
	if slices.ContainsFunc(pods.Items, func(p corev1.Pod) bool { return running(p) && p.Labels[purgejob.LabelPolicy] == "" }) {
		s.again(pollInterval)
		return nil
	}
	if err := r.prune(ctx, s, ""); err != nil {
		return err
	}
	live, err := r.requests(ctx, s)
	if err != nil {
		return err
	}
	for i := range live {
		if !strayed(&live[i], s.ds) {
			continue
		}
		if err := r.unclaim(ctx, s, &live[i], func(e *retentionv1.ErasureDatastore) {
			if e.Step == retentionv1.ErasureStepErase { // as unclaim has left it
				expect(e, nil, s.ds)
				erasure.LoseAccount(e)
			}
		}); err != nil {
			return err
		}
	}
	return nil
}

// strayed says whether a request is in the hand of a run, although none is under way.
func strayed(request *retentionv1.ErasureRequest, ds *retentionv1.Datastore) bool {
	e := erasure.Entry(request, ds.Name)
	return e != nil && erasure.AtWork(e) && e.UID == string(ds.UID) && (ds.Status.ActiveRun == nil || ds.Status.ActiveRun.Name != e.Run)
}
