// SPDX-License-Identifier: Apache-2.0

package legalhold

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/internal/planinput"
	"dataretention.dev/retention-operator/internal/purgejob"
)

// enforce takes each Datastore that the hold covers one step on. Jobs are listed before Datastores: a run that is at work was
// on record in its Datastore before.
func (r *Reconciler) enforce(ctx context.Context, s *scope) error {
	atWork, err := r.atWork(ctx, s.hold.Namespace)
	if err != nil {
		return err
	}
	list := &retentionv1.DatastoreList{}
	if err := r.Live.List(ctx, list, client.InNamespace(s.hold.Namespace)); err != nil {
		return fmt.Errorf("listing datastores: %w", err)
	}
	stray, err := r.stopStrays(ctx, s, atWork, list.Items)
	if err != nil {
		return err
	}
	slices.SortFunc(list.Items, func(a, b retentionv1.Datastore) int { return cmp.Compare(a.Name, b.Name) })
	for i := range list.Items {
		ds := &list.Items[i]
		if !holds.Selects(s.hold, ds) && !holds.Registered(&ds.Status, s.uid()) {
			continue
		}
		e := s.entry(ds)
		if err := r.register(ctx, s, ds, &e); err != nil {
			return err
		}
		switch {
		case stray[ds.Name] != "":
			e.WaitingFor = stray[ds.Name]
		case e.WaitingFor != "":
			if err := r.freeAbandoned(ctx, s, ds, &e); err != nil {
				return err
			}
		}
		if err := r.count(ctx, s, ds, &e); err != nil {
			return err
		}
		s.settle(&e)
		s.entries = append(s.entries, e)
	}
	for _, name := range slices.Sorted(maps.Keys(stray)) {
		if !slices.ContainsFunc(list.Items, func(ds retentionv1.Datastore) bool { return ds.Name == name }) {
			// Nobody knows any more what it may touch.
			s.entries = append(s.entries, retentionv1.HoldDatastore{Name: name, WaitingFor: stray[name],
				Message: "The Datastore was deleted while this Job was at work"})
		}
	}
	return nil
}

// entry is what the status says of a Datastore so far.
func (s *scope) entry(ds *retentionv1.Datastore) retentionv1.HoldDatastore {
	for _, e := range s.hold.Status.Datastores {
		if e.Name == ds.Name && e.UID == string(ds.UID) {
			return e
		}
	}
	return retentionv1.HoldDatastore{Name: ds.Name, UID: string(ds.UID)}
}

// register writes the hold into the status of a Datastore, and looks which run it has to wait for.
func (r *Reconciler) register(ctx context.Context, s *scope, ds *retentionv1.Datastore, e *retentionv1.HoldDatastore) error {
	e.WaitingFor, e.Reason, e.Message, e.Datasets = "", "", "", nil
	for _, name := range s.input.Covered(planinput.Datastore(ds).Datasets) {
		e.Datasets = append(e.Datasets, retentionv1.DatasetName(name))
	}
	if len(ds.Status.Holds) >= holds.MaxRegistered && !holds.Registered(&ds.Status, s.uid()) {
		e.Reason, e.Message = reasonTooMany, fmt.Sprintf("The Datastore has %d LegalHolds already; release some, or merge them", len(ds.Status.Holds))
		return nil
	}
	base := ds.DeepCopy()
	if holds.Register(&ds.Status, s.hold.Name, s.uid(), metav1.NewTime(s.now)) {
		if err := r.Client.Status().Patch(ctx, ds, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
			return fmt.Errorf("registering in datastore %s: %w", ds.Name, err)
		}
	}
	for _, h := range ds.Status.Holds {
		if h.UID == s.uid() {
			e.RegisteredTime = ptr.To(h.RegisteredTime)
		}
	}
	if !holds.Enforced(&ds.Status, s.uid()) {
		e.WaitingFor = ds.Status.ActiveRun.Name
	}
	return nil
}

// reasonTooMany says that a Datastore has no room for another hold.
const reasonTooMany = "TooManyHolds"

// settle writes since when the hold is enforced in a Datastore, if it is.
func (s *scope) settle(e *retentionv1.HoldDatastore) {
	switch {
	case !s.enforced(e):
		e.EnforcedTime = nil
		s.again(pollInterval)
	case e.EnforcedTime == nil:
		e.EnforcedTime = ptr.To(metav1.NewTime(s.now))
	}
}

// enforced says whether a hold is enforced in a Datastore: no run can touch what it keeps, and somebody was able to read it.
func (s *scope) enforced(e *retentionv1.HoldDatastore) bool {
	if e.RegisteredTime == nil || e.WaitingFor != "" || e.Reason == retentionv1.ReasonHoldUnreadable {
		return false
	}
	return s.whole() || len(e.Datasets) == 0 || e.CountedTime != nil
}

// work is a purge that is, or may be, at work.
type work struct {
	datastore, run string // as labels
	job            *batchv1.Job
	name           string
}

// atWork lists, past the cache, the Jobs that may change data now or are about to, and the Pods whose Job is gone.
func (r *Reconciler) atWork(ctx context.Context, namespace string) ([]work, error) {
	purges := []client.ListOption{client.InNamespace(namespace), client.MatchingLabels{
		purgejob.LabelManagedBy: purgejob.ManagedBy, purgejob.LabelComponent: purgejob.ComponentPurge,
	}}
	pods, jobList := &corev1.PodList{}, &batchv1.JobList{}
	for _, list := range []client.ObjectList{jobList, pods} {
		if err := r.Live.List(ctx, list, purges...); err != nil {
			return nil, fmt.Errorf("listing purges: %w", err)
		}
	}
	busy := map[string]bool{}
	var out []work
	for i := range pods.Items {
		if p := &pods.Items[i]; p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			name := p.Labels[batchv1.JobNameLabel]
			busy[name] = true
			out = append(out, work{datastore: p.Labels[purgejob.LabelDatastore], run: p.Labels[purgejob.LabelRun], name: cmp.Or(name, p.Name)})
		}
	}
	for i := range jobList.Items {
		job := &jobList.Items[i]
		if state := purgejob.State(job); busy[job.Name] || state.Busy || !state.Finished() && !holds.Ceased(job, r.Clock.Now()) {
			out = append(out, work{datastore: job.Labels[purgejob.LabelDatastore], run: job.Labels[purgejob.LabelRun], job: job, name: job.Name})
		}
	}
	return out, nil
}

// stopStrays stops the purges that no Datastore has on record as its run: its Datastore was deleted, or made anew, or somebody
// has overwritten its status. It returns the purges that have to be waited for, by the names of their Datastores.
func (r *Reconciler) stopStrays(ctx context.Context, s *scope, all []work, datastores []retentionv1.Datastore) (map[string]string, error) {
	stray := map[string]string{}
	for _, w := range all {
		i := slices.IndexFunc(datastores, func(ds retentionv1.Datastore) bool { return purgejob.LabelValue(ds.Name) == w.datastore })
		if i >= 0 && onRecord(&datastores[i], w.run) {
			continue
		}
		if w.job != nil && !holds.Stopped(w.job) && !purgejob.State(w.job).Finished() {
			if _, err := holds.Stop(ctx, r.Client, w.job, holds.ReasonDatastoreLost, s.now); err != nil {
				return nil, err
			}
		}
		name := w.datastore
		if i >= 0 {
			name = datastores[i].Name
		}
		stray[name] = w.name
		s.again(pollInterval)
	}
	return stray, nil
}

// freeAbandoned gives back a Datastore that a policy's run holds of which the policy knows nothing, as when somebody has
// removed the policy by force: nobody else would before the next run. Its Jobs are stopped and waited for first.
func (r *Reconciler) freeAbandoned(ctx context.Context, s *scope, ds *retentionv1.Datastore, e *retentionv1.HoldDatastore) error {
	holder := ds.Status.ActiveRun
	if holder.Policy == "" {
		return nil // an erasure is ended by its own controller
	}
	policy := &retentionv1.RetentionPolicy{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: ds.Namespace, Name: holder.Policy}, policy)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading the policy that holds datastore %s: %w", ds.Name, err)
	}
	if run := policy.Status.ActiveRun; string(policy.UID) == holder.PolicyUID && run != nil && run.Name == holder.Name {
		return nil
	}
	s.again(pollInterval)
	all, err := r.atWork(ctx, ds.Namespace) // once more: the policy was read later
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(w work) bool { return w.datastore != purgejob.LabelValue(ds.Name) })
	base := ds.DeepCopy()
	ds.Status.ActiveRun = nil
	stray, err := r.stopStrays(ctx, s, all, []retentionv1.Datastore{*ds})
	if err != nil || stray[ds.Name] != "" {
		return err
	}
	if err := r.Client.Status().Patch(ctx, ds, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("giving back datastore %s, whose run was abandoned: %w", ds.Name, err)
	}
	e.WaitingFor = ""
	return nil
}

// onRecord says whether a Datastore has a run on record, by the value of its label.
func onRecord(ds *retentionv1.Datastore, run string) bool {
	return ds.Status.ActiveRun != nil && purgejob.LabelValue(ds.Status.ActiveRun.Name) == run
}
