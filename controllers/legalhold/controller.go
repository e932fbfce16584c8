// SPDX-License-Identifier: Apache-2.0

package legalhold

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/attest"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/controllers/internal/jobs"
	"dataretention.dev/retention-operator/controllers/internal/metrics"
	"dataretention.dev/retention-operator/controllers/internal/status"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/planinput"
)

// Finalizer keeps a hold until it is released and stands in no Datastore any more.
const Finalizer = retentionv1.Group + "/hold"

const (
	// pollInterval is how often a pass is made while something that we do not watch may change.
	pollInterval = 10 * time.Second
	// immediately asks for another pass at once, after this one's status is stored.
	immediately = time.Millisecond
)

// Reconciler enforces LegalHolds.
type Reconciler struct {
	// Client reads from the cache, and writes.
	Client client.Client
	// Live reads from the API server. Whether a hold is enforced is judged by nothing else.
	Live client.Reader
	// Events receives what a person should hear of.
	Events events.EventRecorder
	// Clock tells the time.
	Clock clock.PassiveClock
	// Image is the image of the Jobs that count.
	Image string
	// Keys opens what a hold has sealed.
	Keys holds.Opener
	// Evidence takes that a hold was enforced, and released. No hold waits for it.
	Evidence attest.Ledger
}

// +kubebuilder:rbac:groups=dataretention.dev,resources=legalholds,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups=dataretention.dev,resources=legalholds/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=dataretention.dev,resources=legalholds/finalizers,verbs=update
// +kubebuilder:rbac:groups=dataretention.dev,resources=datastores,verbs=get;list;watch
// +kubebuilder:rbac:groups=dataretention.dev,resources=datastores/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=create;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// scope is what one pass works with.
type scope struct {
	hold  *retentionv1.LegalHold
	input plan.HoldInput
	// sealed is why what the hold has sealed cannot be opened; empty if it can, or nothing is.
	sealed string
	now    time.Time
	// entries are the Datastores that the hold covers, in the order of their names.
	entries []retentionv1.HoldDatastore
	// keep are the names of Jobs that must stay.
	keep []string
	// requeue is when to look again; zero is never.
	requeue time.Duration
}

// again asks for another pass after d at the latest.
func (s *scope) again(d time.Duration) {
	if d = max(d, immediately); s.requeue == 0 || d < s.requeue {
		s.requeue = d
	}
}

// whole says whether the hold keeps whole datasets, so that there is nothing to count.
func (s *scope) whole() bool { return !s.input.Subject && s.input.Condition == nil }

func (s *scope) uid() string { return string(s.hold.UID) }

func (r *Reconciler) jobs() jobs.Keeper { return jobs.Keeper{Client: r.Client, Live: r.Live} }

// Reconcile makes one pass: gather, decide and act, write the status, tell, and tidy up.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	hold := &retentionv1.LegalHold{}
	if err := r.Client.Get(ctx, req.NamespacedName, hold); err != nil {
		if client.IgnoreNotFound(err) != nil {
			return ctrl.Result{}, fmt.Errorf("reading the LegalHold: %w", err)
		}
		metrics.ForgetHold(req.Namespace, req.Name)
		return r.later(ctx, r.forget(ctx, req))
	}
	if done(hold) {
		return r.letGo(ctx, hold)
	}
	if marked, err := r.finalize(ctx, hold); err != nil || marked {
		if outdated(err) {
			err = nil
		}
		return ctrl.Result{RequeueAfter: immediately}, err
	}
	before := hold.DeepCopy()
	patcher := status.NewPatcher(r.Client, hold)
	s := &scope{hold: hold, input: planinput.Hold(hold), now: r.Clock.Now()}

	err := r.reconcile(ctx, s)
	if outdated(err) { // somebody else has acted; what we believe is decided again
		return ctrl.Result{RequeueAfter: immediately}, nil
	}
	judge(s, err)
	status.Stamp(hold, before.Status.Conditions, s.now)
	if _, patchErr := patcher.Patch(ctx); patchErr != nil {
		if err == nil && outdated(patchErr) {
			return ctrl.Result{RequeueAfter: immediately}, nil
		}
		return ctrl.Result{}, errors.Join(err, patchErr)
	}
	for _, e := range changes(before, hold) {
		r.Events.Eventf(hold, nil, e.kind, e.reason, e.action, "%s", status.Truncate(e.message, status.MaxMessage))
	}
	metrics.ObserveHold(before, hold)
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := r.tidy(ctx, s); err != nil {
		return ctrl.Result{}, err
	}
	stated, err := r.state(ctx, hold, patcher)
	if outdated(err) {
		return ctrl.Result{RequeueAfter: immediately}, nil
	}
	if !stated {
		s.again(pollInterval)
	}
	return ctrl.Result{RequeueAfter: s.requeue}, err
}

// later asks for another pass at a steady pace while the ledger cannot be used.
func (r *Reconciler) later(ctx context.Context, err error) (ctrl.Result, error) {
	if errors.Is(err, attest.ErrUnavailable) {
		log.FromContext(ctx).Error(err, "The statement about a legal hold waits for the evidence ledger")
		return ctrl.Result{RequeueAfter: pollInterval}, nil
	}
	return ctrl.Result{}, err
}

// letGo ends the care for a hold whose release is on record, once it is stated.
func (r *Reconciler) letGo(ctx context.Context, hold *retentionv1.LegalHold) (ctrl.Result, error) {
	stated, err := r.state(ctx, hold, status.NewPatcher(r.Client, hold))
	switch {
	case outdated(err):
		return ctrl.Result{RequeueAfter: immediately}, nil
	case err != nil:
		return ctrl.Result{}, client.IgnoreNotFound(err)
	case !stated:
		return ctrl.Result{RequeueAfter: pollInterval}, nil
	}
	return ctrl.Result{}, r.unfinalize(ctx, hold)
}

// outdated says whether err means that what we have read is no longer so.
func outdated(err error) bool { return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) }

// reconcile is the list of phases.
func (r *Reconciler) reconcile(ctx context.Context, s *scope) error {
	if s.hold.IsReleased() {
		return r.release(ctx, s)
	}
	if err := r.open(ctx, s); err != nil {
		return err
	}
	return r.enforce(ctx, s)
}

// done says whether a hold is released, and that is on record.
func done(hold *retentionv1.LegalHold) bool {
	return hold.IsReleased() && hold.Status.ReleasedTime != nil && hold.Status.ObservedGeneration == hold.Generation
}

// release removes the hold from every Datastore. What it kept may go from then on.
func (r *Reconciler) release(ctx context.Context, s *scope) error {
	if err := r.unregister(ctx, s.hold.Namespace, s.uid()); err != nil {
		return err
	}
	s.entries = s.hold.Status.Datastores
	for i := range s.entries {
		s.entries[i].WaitingFor = ""
	}
	s.hold.Status.ReleasedTime = ptr.To(metav1.NewTime(s.now))
	s.again(immediately)
	return nil
}

// forget removes a hold that is gone, though nobody has released it, from every Datastore, once that is stated: it keeps
// nothing any more.
func (r *Reconciler) forget(ctx context.Context, req ctrl.Request) error {
	list := &retentionv1.DatastoreList{}
	if err := r.Live.List(ctx, list, client.InNamespace(req.Namespace)); err != nil {
		return fmt.Errorf("listing datastores: %w", err)
	}
	live := &retentionv1.LegalHold{}
	if err := r.Live.Get(ctx, req.NamespacedName, live); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("reading the LegalHold past the cache: %w", err)
	}
	for i := range list.Items {
		for _, h := range slices.Clone(list.Items[i].Status.Holds) {
			if h.Name != req.Name || h.UID == string(live.UID) {
				continue
			}
			if err := r.stateForced(ctx, req.Namespace, &h, r.Clock.Now()); err != nil {
				return err
			}
			if err := r.drop(ctx, &list.Items[i], h.UID); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Reconciler) unregister(ctx context.Context, namespace, uid string) error {
	list := &retentionv1.DatastoreList{}
	if err := r.Live.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return fmt.Errorf("listing datastores: %w", err)
	}
	for i := range list.Items {
		if err := r.drop(ctx, &list.Items[i], uid); err != nil {
			return err
		}
	}
	return nil
}

// drop removes one hold from the status of a Datastore.
func (r *Reconciler) drop(ctx context.Context, ds *retentionv1.Datastore, uid string) error {
	base := ds.DeepCopy()
	if !holds.Unregister(&ds.Status, uid) {
		return nil
	}
	err := r.Client.Status().Patch(ctx, ds, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("removing the hold from datastore %s: %w", ds.Name, err)
	}
	return nil
}

// finalize sets our finalizer before the hold is registered anywhere. It says whether that changed the object.
func (r *Reconciler) finalize(ctx context.Context, hold *retentionv1.LegalHold) (bool, error) {
	base := hold.DeepCopy()
	if !hold.DeletionTimestamp.IsZero() || !controllerutil.AddFinalizer(hold, Finalizer) {
		return false, nil
	}
	if err := r.Client.Patch(ctx, hold, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
		return false, fmt.Errorf("setting the finalizer: %w", err)
	}
	return true, nil
}

// unfinalize ends the care for a hold whose release is on record.
func (r *Reconciler) unfinalize(ctx context.Context, hold *retentionv1.LegalHold) error {
	if err := r.tidy(ctx, &scope{hold: hold}); err != nil {
		return err
	}
	base := hold.DeepCopy()
	if !controllerutil.RemoveFinalizer(hold, Finalizer) {
		return nil
	}
	err := r.Client.Patch(ctx, hold, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}))
	return client.IgnoreNotFound(err)
}
