// SPDX-License-Identifier: Apache-2.0

// Package erasure is what the two controllers that carry out ErasureRequests share: the one that leads a request through
// its life, and the one that runs what waits for a Datastore.
package erasure

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/receipt"
)

// Finalizer keeps a request that is at work until what was done for it is on record.
const Finalizer = retentionv1.Group + "/erasure"

// Labels and annotation of a request that was made from one in another namespace. The UID makes sure that it is that one.
const (
	LabelParentNamespace = retentionv1.Group + "/parent-namespace"
	LabelParentName      = retentionv1.Group + "/parent-name"
	AnnotationParentUID  = retentionv1.Group + "/parent-uid"
)

// ReasonAccountLost says that nobody knows what was erased. It stays with a dataset for good: that nothing is there later
// does not tell that nothing was.
const ReasonAccountLost = string(receipt.AccountLost)

// ReasonDatastoreNotFound says that the Datastore was deleted, or made anew, before the request had ended there.
const ReasonDatastoreNotFound = "DatastoreNotFound"

// ParentOf returns the request that r was made from, and whether there is one.
func ParentOf(r *retentionv1.ErasureRequest) (key client.ObjectKey, uid types.UID, ok bool) {
	key = client.ObjectKey{Namespace: r.Labels[LabelParentNamespace], Name: r.Labels[LabelParentName]}
	uid = types.UID(r.Annotations[AnnotationParentUID])
	return key, uid, key.Namespace != "" && key.Name != "" && uid != ""
}

// Reaches says whether the request is about the Datastore: its selector matches, and, if it comes from another namespace,
// the Datastore allows that.
func Reaches(r *retentionv1.ErasureRequest, ds *retentionv1.Datastore) bool {
	if !ds.DeletionTimestamp.IsZero() || ds.Namespace != r.Namespace {
		return false
	}
	if parent, _, ok := ParentOf(r); ok && !slices.Contains(ds.Spec.AllowErasureFrom, parent.Namespace) {
		return false
	}
	return Matches(r.Spec.DatastoreSelector, ds.Labels)
}

// Matches says whether a selector matches labels; one that is absent matches all, one that cannot be read none.
func Matches(s *retentionv1.DatastoreSelector, of map[string]string) bool {
	if s == nil {
		return true
	}
	selector, err := metav1.LabelSelectorAsSelector(s.AsLabelSelector())
	return err == nil && selector.Matches(labels.Set(of))
}

// Types are the types of identifiers that the Datastores know.
func Types(datastores ...*retentionv1.Datastore) []string {
	types := map[string]bool{}
	for _, ds := range datastores {
		for i := range ds.Spec.Datasets {
			for _, id := range ds.Spec.Datasets[i].Identifiers {
				types[id.Type] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(types))
}

// Entry returns the request's entry for a Datastore, or nil.
func Entry(r *retentionv1.ErasureRequest, datastore string) *retentionv1.ErasureDatastore {
	for i := range r.Status.Datastores {
		if e := &r.Status.Datastores[i]; e.Name == datastore {
			return e
		}
	}
	return nil
}

// Approved says whether work may be done for the request.
func Approved(r *retentionv1.ErasureRequest) bool {
	return meta.IsStatusConditionTrue(r.Status.Conditions, retentionv1.ConditionApproved) && !Denied(r)
}

// Denied says whether a person has refused the request.
func Denied(r *retentionv1.ErasureRequest) bool {
	return meta.IsStatusConditionTrue(r.Status.Conditions, retentionv1.ConditionDenied)
}

// Ended says whether nothing will be done for the request any more, whatever happens.
func Ended(r *retentionv1.ErasureRequest) bool {
	return r.Status.State == retentionv1.ErasureAnswered || r.Status.State == retentionv1.ErasureDenied
}

// Workable says whether a run may serve the request.
func Workable(r *retentionv1.ErasureRequest) bool {
	return Approved(r) && !Ended(r) && r.DeletionTimestamp.IsZero() && controllerutil.ContainsFinalizer(r, Finalizer)
}

// AtWork says whether a run has the request in hand in a Datastore.
func AtWork(e *retentionv1.ErasureDatastore) bool {
	return e.Step == retentionv1.ErasureStepFinding || e.Step == retentionv1.ErasureStepErasing
}

// Waits says whether the entry waits for a run, and its pause after a failure is over.
func Waits(e *retentionv1.ErasureDatastore, now time.Time) bool {
	return (e.Step == retentionv1.ErasureStepFind || e.Step == retentionv1.ErasureStepErase) &&
		(e.RetryTime == nil || !e.RetryTime.After(now))
}

// The pause before a run is tried again: it doubles with each failure in a row.
const (
	firstPause = time.Minute
	maxPause   = time.Hour
)

// Fail has the entry wait for another try, the longer the oftener it has failed in a row.
func Fail(e *retentionv1.ErasureDatastore, now time.Time) {
	e.Failures = min(e.Failures+1, 30)
	pause := min(firstPause<<min(e.Failures-1, 6), maxPause)
	t := metav1.NewTime(now.Add(pause))
	e.RetryTime = &t
}

// LoseAccount takes down that nobody knows what was erased of the entry's datasets.
func LoseAccount(e *retentionv1.ErasureDatastore) {
	for i := range e.Datasets {
		d := &e.Datasets[i]
		d.Outcome, d.Reason, d.Counting = retentionv1.ErasureFailed, ReasonAccountLost, retentionv1.CountingAtLeast
	}
	no := false
	e.Outcome, e.Verified = retentionv1.ErasureFailed, &no
}

// Worse returns the worse of two outcomes. One that is absent does not count.
func Worse(a, b retentionv1.ErasureOutcome) retentionv1.ErasureOutcome {
	if a == "" || b != "" && receipt.ErasureOutcome(b).WorseThan(receipt.ErasureOutcome(a)) {
		return b
	}
	return a
}

// Usable says whether a run may begin on the Datastore as its last probe saw it, and if not, why. One that answers as
// another server than the pinned one is never touched.
func Usable(ds *retentionv1.Datastore) (ok bool, reason, message string) {
	reachable := meta.FindStatusCondition(ds.Status.Conditions, retentionv1.ConditionReachable)
	switch {
	case ds.Status.Identity != "" && ds.Status.ObservedIdentity == ds.Status.Identity:
		return true, "", ""
	case ds.Status.Identity != "":
		return false, retentionv1.ReasonIdentityChanged, "another server answers than the one pinned; accept it on the Datastore with the annotation " +
			retentionv1.AnnotationAcceptedIdentity
	case reachable != nil && reachable.Status == metav1.ConditionFalse:
		return false, reachable.Reason, reachable.Message
	}
	return false, retentionv1.ReasonNotProbed, "waiting for the first probe of the Datastore"
}
