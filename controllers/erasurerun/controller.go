// SPDX-License-Identifier: Apache-2.0

package erasurerun

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/attest"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/controllers/internal/jobs"
	"dataretention.dev/retention-operator/controllers/internal/sealing"
	"dataretention.dev/retention-operator/internal/purgejob"
)

const (
	// pollInterval is how often a pass is made while something that we do not watch may change.
	pollInterval = 10 * time.Second
	// settleInterval is how often one is made while a Job's last Pod is ending: its log is there for a short time only.
	settleInterval = 2 * time.Second
	// immediately asks for another pass at once, after this one's status is stored.
	immediately = time.Millisecond
	// gatherFor is how long a run waits for further requests after the first: one Job does for all of them.
	gatherFor = 2 * time.Second
)

// Reconciler carries out what erasure requests wait for in a Datastore.
type Reconciler struct {
	// Client reads from the cache, and writes.
	Client client.Client
	// Live reads from the API server. Everything that an erasure depends on is read with it.
	Live client.Reader
	// Events receives what a person should hear of.
	Events events.EventRecorder
	// Clock tells the time.
	Clock clock.PassiveClock
	// Keys opens what was sealed to the operator.
	Keys sealing.Keys
	// Logs reads the log of a Pod.
	Logs erasure.Logs
	// Image is the image of purge Jobs.
	Image string
	// Evidence takes what a Job is about to do before it is released, and what came of it before that is let go of.
	Evidence attest.Ledger
}

// +kubebuilder:rbac:groups=dataretention.dev,resources=erasurerequests,verbs=get;list;watch
// +kubebuilder:rbac:groups=dataretention.dev,resources=erasurerequests/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=dataretention.dev,resources=datastores,verbs=get;list;watch
// +kubebuilder:rbac:groups=dataretention.dev,resources=datastores/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=dataretention.dev,resources=legalholds,verbs=get;list;watch
// +kubebuilder:rbac:groups=dataretention.dev,resources=retentionpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups="",resources=pods/log,verbs=get
// +kubebuilder:rbac:groups="",resources=secrets,verbs=create;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// scope is what one pass works with.
type scope struct {
	ds  *retentionv1.Datastore
	now time.Time
	// requeue is when to look again; zero is never.
	requeue time.Duration
}

// run is the erasure run that holds the Datastore, or nil.
func (s *scope) run() *retentionv1.ActiveRun {
	if run := s.ds.Status.ActiveRun; run != nil && run.Erasure != nil {
		return run
	}
	return nil
}

// again asks for another pass after d at the latest.
func (s *scope) again(d time.Duration) {
	if d = max(d, immediately); s.requeue == 0 || d < s.requeue {
		s.requeue = d
	}
}

// Reconcile makes one pass over what waits for a Datastore.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	s := &scope{ds: &retentionv1.Datastore{}, now: r.Clock.Now()}
	if err := r.Client.Get(ctx, req.NamespacedName, s.ds); err != nil {
		if !apierrors.IsNotFound(err) {
			return ctrl.Result{}, err
		}
		return r.result(ctx, s, r.dropOrphans(ctx, req.NamespacedName, ""))
	}
	return r.result(ctx, s, r.reconcile(ctx, s))
}

// result asks for the next pass. The ledger is asked again at a steady pace.
func (r *Reconciler) result(ctx context.Context, s *scope, err error) (ctrl.Result, error) {
	if errors.Is(err, attest.ErrUnavailable) {
		log.FromContext(ctx).Error(err, "What is left of a run waits for the evidence ledger")
		return ctrl.Result{RequeueAfter: pollInterval}, nil
	}
	if err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: s.requeue}, nil
}

// reconcile counts what waits, and takes the run one step on, or begins one.
func (r *Reconciler) reconcile(ctx context.Context, s *scope) error {
	requests := &retentionv1.ErasureRequestList{}
	if err := r.Client.List(ctx, requests, client.InNamespace(s.ds.Namespace)); err != nil {
		return fmt.Errorf("listing erasure requests: %w", err)
	}
	pending := pendingOf(requests.Items, s)
	if pending == nil && s.ds.Status.PendingErasures == nil && s.run() == nil {
		if err := r.dropOrphans(ctx, client.ObjectKeyFromObject(s.ds), string(s.ds.UID)); err != nil { // of one of that name before
			return err
		}
		return r.heal(ctx, s, requests.Items)
	}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(s.ds), s.ds); err != nil {
		return client.IgnoreNotFound(err)
	}
	if s.run() != nil {
		if err := r.advance(ctx, s); err != nil {
			return err
		}
	}
	if err := r.announce(ctx, s, pending); err != nil {
		return err
	}
	if pending != nil && s.run() == nil {
		return r.take(ctx, s)
	}
	return nil
}

// waiting says whether a run may take the request up now.
func waiting(request *retentionv1.ErasureRequest, s *scope) bool {
	e := erasure.Entry(request, s.ds.Name)
	if e == nil || e.UID != string(s.ds.UID) || !erasure.Workable(request) || !erasure.Reaches(request, s.ds) {
		return false
	}
	if t := e.RetryTime; t != nil && t.After(s.now) && !erasure.AtWork(e) {
		s.again(t.Sub(s.now))
	}
	return erasure.Waits(e, s.now)
}

// pendingOf counts the requests that wait for the Datastore; nil if none does, or nobody could work on it.
func pendingOf(requests []retentionv1.ErasureRequest, s *scope) *retentionv1.PendingErasures {
	var pending retentionv1.PendingErasures
	for i := range requests {
		if !waiting(&requests[i], s) {
			continue
		}
		pending.Requests++
		if due := requests[i].Status.DueTime; due != nil && (pending.EarliestDueTime == nil || due.Before(pending.EarliestDueTime)) {
			pending.EarliestDueTime = due
		}
	}
	if ok, _, _ := erasure.Usable(s.ds); pending.Requests == 0 || !ok {
		return nil
	}
	return &pending
}

// announce writes what waits into the status of the Datastore, so that retention makes way.
func (r *Reconciler) announce(ctx context.Context, s *scope, pending *retentionv1.PendingErasures) error {
	base := s.ds.DeepCopy()
	if pending != nil {
		since := metav1.NewTime(s.now)
		pending.Since = &since
		if old := base.Status.PendingErasures; old != nil && old.Since != nil {
			pending.Since = old.Since
		}
	}
	s.ds.Status.PendingErasures = pending
	if equality.Semantic.DeepEqual(base.Status.PendingErasures, pending) {
		return nil
	}
	return r.patch(ctx, s, base, "counting what waits")
}

// patch writes the Datastore's status with its resourceVersion.
func (r *Reconciler) patch(ctx context.Context, s *scope, base *retentionv1.Datastore, what string) error {
	if err := r.Client.Status().Patch(ctx, s.ds, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

func (r *Reconciler) keeper() jobs.Keeper { return jobs.Keeper{Client: r.Client, Live: r.Live} }

// own selects the Jobs and plans of erasures on a Datastore. Those of retention carry the label of their policy.
func own(key client.ObjectKey) []client.ListOption {
	return []client.ListOption{client.InNamespace(key.Namespace), client.MatchingLabels{
		purgejob.LabelManagedBy: purgejob.ManagedBy, purgejob.LabelComponent: purgejob.ComponentPurge,
		purgejob.LabelDatastore: purgejob.LabelValue(key.Name),
	}}
}

// remove removes a Job with its plan and what was handed over to it.
func (r *Reconciler) remove(ctx context.Context, ds *retentionv1.Datastore, job string) error {
	if err := r.keeper().DropHandOff(ctx, ds.Namespace, job); err != nil {
		return err
	}
	return r.keeper().Remove(ctx, ds, job)
}
