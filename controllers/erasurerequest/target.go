// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
)

// maxTargets is the most Datastores that a request may reach in its namespace: as many as its status has room for.
const maxTargets = 64

// Reasons of an entry.
const (
	reasonNotSelected  = "NotSelected"
	reasonNoIdentifier = "NoIdentifier"
)

// Reasons of a repetition.
const (
	recheckSchedule        = "Schedule"
	recheckIdentityChanged = "IdentityChanged"
	recheckNewDatastore    = "NewDatastore"
	recheckReopened        = "Reopened" // by further identifiers, or a hold that was released
)

// gather reads the Datastores of the namespace.
func (r *Reconciler) gather(ctx context.Context, s *scope) error {
	list := &retentionv1.DatastoreList{}
	if err := r.Client.List(ctx, list, client.InNamespace(s.request.Namespace)); err != nil {
		return fmt.Errorf("listing datastores: %w", err)
	}
	s.datastores, s.others = map[string]*retentionv1.Datastore{}, map[string]*retentionv1.Datastore{}
	for i := range list.Items {
		ds := &list.Items[i]
		if erasure.Reaches(s.request, ds) {
			s.datastores[ds.Name] = ds
		} else if ds.DeletionTimestamp.IsZero() {
			s.others[ds.Name] = ds
		}
	}
	for i := range s.st().Datastores { // what the cache does not know of may be new
		e := &s.st().Datastores[i]
		if s.datastores[e.Name] != nil || s.others[e.Name] != nil || e.Step == retentionv1.ErasureStepFinished {
			continue
		}
		ds := &retentionv1.Datastore{}
		if err := r.Live.Get(ctx, client.ObjectKey{Namespace: s.request.Namespace, Name: e.Name}, ds); err == nil && erasure.Reaches(s.request, ds) {
			s.datastores[ds.Name] = ds
		} else if client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("reading a datastore: %w", err)
		}
	}
	return nil
}

// target brings the entries in line with the Datastores that the request reaches: a new one, one that was made anew, and
// one at whose other end another server answers, is searched; one that is gone can no longer be.
func (r *Reconciler) target(_ context.Context, s *scope) error {
	st := s.st()
	for _, name := range slices.Sorted(maps.Keys(s.datastores)) {
		ds := s.datastores[name]
		e := erasure.Entry(s.request, name)
		switch {
		case e == nil:
			st.Datastores = append(st.Datastores, retentionv1.ErasureDatastore{Name: name, UID: string(ds.UID), Step: retentionv1.ErasureStepFind})
			s.sweep(recheckNewDatastore)
		case e.UID != string(ds.UID):
			loseRun(e, ds)
			e.UID, e.Identity = string(ds.UID), ""
			reopen(e)
			s.sweep(recheckNewDatastore)
		case e.Step == retentionv1.ErasureStepFinished && e.Identity != "" && ds.Status.Identity != "" && e.Identity != ds.Status.Identity:
			reopen(e)
			s.sweep(recheckIdentityChanged)
		}
	}
	s.dropLost()
	st.Datastores = slices.DeleteFunc(st.Datastores, func(e retentionv1.ErasureDatastore) bool {
		return s.others[e.Name] != nil && !erasure.AtWork(&e) && e.Step != retentionv1.ErasureStepFinished && len(e.Datasets) == 0
	})
	for i := range st.Datastores {
		e := &st.Datastores[i]
		if s.others[e.Name] != nil && !erasure.AtWork(e) && e.Step != retentionv1.ErasureStepFinished {
			finish(e, retentionv1.ErasureSkipped, reasonNotSelected, "spec.datastoreSelector no longer selects the Datastore")
		}
	}
	if len(st.Datastores) > maxTargets {
		return invalidSpec{fmt.Errorf("the request reaches %d Datastores, and one request may reach %d: narrow spec.datastoreSelector and file another",
			len(st.Datastores), maxTargets)}
	}
	return nil
}

// dropLost ends the entries of Datastores that are gone: nobody works on them any more, and nobody can.
func (s *scope) dropLost() {
	for i := range s.st().Datastores {
		e := &s.st().Datastores[i]
		if s.datastores[e.Name] == nil && s.others[e.Name] == nil && e.Step != retentionv1.ErasureStepFinished {
			loseRun(e, nil)
			finish(e, retentionv1.ErasureFailed, erasure.ReasonDatastoreNotFound, "The Datastore was deleted before the request had ended there")
		}
	}
}

// loseRun takes down that nobody will ever know what the run which has the entry in hand has erased.
func loseRun(e *retentionv1.ErasureDatastore, ds *retentionv1.Datastore) {
	if e.Step != retentionv1.ErasureStepErasing {
		return
	}
	if ds != nil && len(e.Datasets) == 0 {
		for i := range ds.Spec.Datasets {
			e.Datasets = append(e.Datasets, retentionv1.ErasureDataset{Name: ds.Spec.Datasets[i].Name})
		}
	}
	erasure.LoseAccount(e)
}

// finish ends an entry without a run.
func finish(e *retentionv1.ErasureDatastore, outcome retentionv1.ErasureOutcome, reason, message string) {
	e.Step, e.Reason, e.Message, e.RetryTime = retentionv1.ErasureStepFinished, reason, message, nil
	e.Outcome = erasure.Worse(e.Outcome, outcome)
	no := false
	e.Verified = &no
}

// reopen has a Datastore searched again. What was done there stays on record.
func reopen(e *retentionv1.ErasureDatastore) {
	e.Step = retentionv1.ErasureStepFind
	e.Reason, e.Message, e.RetryTime, e.Failures, e.SearchedWith, e.Holds = "", "", nil, 0, 0, nil
}

// sweep says that a repetition is under way, and why, if the request was answered before.
func (s *scope) sweep(reason string) {
	if c := s.st().Recheck; c != nil && c.NextTime != nil {
		c.NextTime, c.Reason = nil, reason
	}
}
