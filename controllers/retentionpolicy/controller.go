// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/attest"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/controllers/internal/metrics"
	"dataretention.dev/retention-operator/controllers/internal/status"
	"dataretention.dev/retention-operator/internal/planinput"
)

// Finalizer keeps a policy whose run is under way until its receipts and its evidence are on record. While the ledger cannot be
// used, a policy that is being deleted, and a namespace, wait for it: nothing that was done goes unproven. Who has lost the
// ledger for good takes the finalizer off the policy, and that of package purgejob off its Jobs and Pods; the Intents that are
// in the ledger then stay open, and are reported as such.
const Finalizer = retentionv1.Group + "/active-run"

const (
	// pollInterval is how often a pass is made while something that we do not watch may change.
	pollInterval = 10 * time.Second
	// immediately asks for another pass at once, after this one's status is stored.
	immediately = time.Millisecond
)

// Reconciler carries out RetentionPolicies.
type Reconciler struct {
	// Client reads from the cache, and writes.
	Client client.Client
	// Live reads from the API server. Everything that a deletion depends on is read with it.
	Live client.Reader
	// Events receives what a person should hear of.
	Events events.EventRecorder
	// Clock tells the time.
	Clock clock.PassiveClock
	// Image is the image of purge Jobs.
	Image string
	// Keys opens what holds have sealed.
	Keys holds.Opener
	// Evidence is the ledger of what runs are about to do and have done.
	Evidence attest.Ledger
}

// +kubebuilder:rbac:groups=dataretention.dev,resources=retentionpolicies,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups=dataretention.dev,resources=retentionpolicies/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=dataretention.dev,resources=retentionpolicies/finalizers,verbs=update
// +kubebuilder:rbac:groups=dataretention.dev,resources=datastores,verbs=get;list;watch
// +kubebuilder:rbac:groups=dataretention.dev,resources=datastores/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups=dataretention.dev,resources=legalholds,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=secrets,verbs=create;delete
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// scope is what one pass works with.
type scope struct {
	policy     *retentionv1.RetentionPolicy
	timing     timing
	datastores []retentionv1.Datastore
	now        time.Time
	// requeue is when to look again; zero is never.
	requeue time.Duration
	// unattested says that the ledger keeps the run waiting.
	unattested bool
}

func (s *scope) run() *retentionv1.Run { return s.policy.Status.ActiveRun }

func (s *scope) deleting() bool { return !s.policy.DeletionTimestamp.IsZero() }

// again asks for another pass after d at the latest.
func (s *scope) again(d time.Duration) {
	if d = max(d, immediately); s.requeue == 0 || d < s.requeue {
		s.requeue = d
	}
}

// Reconcile makes one pass: gather, decide and act, write the status, then tell.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	policy := &retentionv1.RetentionPolicy{}
	if err := r.Client.Get(ctx, req.NamespacedName, policy); err != nil {
		if client.IgnoreNotFound(err) == nil {
			metrics.ForgetPolicy(req.Namespace, req.Name)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	before := policy.DeepCopy()
	patcher := status.NewPatcher(r.Client, policy)
	s := &scope{policy: policy, now: r.Clock.Now()}

	err := r.reconcile(ctx, s)
	if errors.Is(err, errFinalizerAdded) {
		return ctrl.Result{RequeueAfter: immediately}, nil
	}
	judge(s, err)
	status.Stamp(policy, before.Status.Conditions, s.now)
	if _, patchErr := patcher.Patch(ctx); patchErr != nil {
		return ctrl.Result{}, errors.Join(err, patchErr) // whatever was decided is decided again from what is stored
	}
	for _, e := range changes(before, policy) {
		r.Events.Eventf(policy, nil, e.kind, e.reason, e.action, "%s", status.Truncate(e.message, status.MaxMessage))
	}
	measure(before, policy)
	if err != nil && !isInvalid(err) {
		return ctrl.Result{}, err
	}
	if s.run() == nil && before.Status.ActiveRun == nil { // the pass has pruned what runs left behind
		return ctrl.Result{RequeueAfter: s.requeue}, r.unfinalize(ctx, policy)
	}
	return ctrl.Result{RequeueAfter: s.requeue}, nil
}

// reconcile is the list of phases.
func (r *Reconciler) reconcile(ctx context.Context, s *scope) error {
	var err error
	if s.timing, err = parseTiming(&s.policy.Spec); err != nil && s.run() == nil && !s.deleting() {
		return invalidSpec{err}
	}
	if err := r.selectDatastores(ctx, s); err != nil {
		return err
	}
	if s.run() != nil {
		return r.advance(ctx, s)
	}
	if err := r.prune(ctx, s.policy); err != nil || s.deleting() {
		return err
	}
	return r.start(ctx, s)
}

// selectDatastores gathers the datastores that the policy selects, in the order of their names.
func (r *Reconciler) selectDatastores(ctx context.Context, s *scope) error {
	selector, err := metav1.LabelSelectorAsSelector(s.policy.Spec.DatastoreSelector.AsLabelSelector())
	if err != nil {
		return invalidSpec{fmt.Errorf("spec.datastoreSelector: %w", err)}
	}
	if selector.Empty() {
		return invalidSpec{fmt.Errorf("spec.datastoreSelector is empty and would select every Datastore: name at least one label")}
	}
	list := &retentionv1.DatastoreList{}
	if err := r.Client.List(ctx, list, client.InNamespace(s.policy.Namespace), client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return fmt.Errorf("listing datastores: %w", err)
	}
	s.datastores = slices.DeleteFunc(list.Items, func(d retentionv1.Datastore) bool { return !d.DeletionTimestamp.IsZero() })
	slices.SortFunc(s.datastores, func(a, b retentionv1.Datastore) int { return strings.Compare(a.Name, b.Name) })
	s.policy.Status.SelectedDatastores = ptr.To(int32(len(s.datastores))) // a namespace holds no 2^31 of them
	if len(s.datastores) > retentionv1.MaxDatastores {
		return invalidSpec{fmt.Errorf("spec.datastoreSelector selects %d Datastores, and one policy may have %d: narrow it and add another policy",
			len(s.datastores), retentionv1.MaxDatastores)}
	}
	return nil
}

// start starts a run if one is due, and says when the next one is.
func (r *Reconciler) start(ctx context.Context, s *scope) error {
	st := &s.policy.Status
	held, err := r.unreleased(ctx, s.policy)
	if err != nil {
		return err
	}
	decision := decideStart(s.policy, s.timing, s.datastores, held, s.now)
	if t := decision.due.TooLate; t != nil {
		st.LastMissedTime = ptr.To(metav1.NewTime(*t))
	}
	st.NextScheduleTime = nil
	if next := decision.due.Next; !next.IsZero() {
		st.NextScheduleTime = ptr.To(metav1.NewTime(next))
		s.again(next.Sub(s.now))
	}
	if decision.run == nil {
		if (requestOf(s.policy) != st.LastHandledRequest || decision.resumes) && len(s.datastores) > 0 {
			s.again(time.Second) // what is to start in the second of the last run waits for the next
		}
		return nil
	}
	if err := r.finalize(ctx, s.policy); err != nil {
		return err
	}
	st.ActiveRun, st.LastHandledRequest = decision.run, decision.request
	if decision.run.Trigger == retentionv1.TriggerSchedule {
		st.LastScheduleTime = &decision.run.Slot
	}
	s.again(immediately)
	return nil
}

// finalize sets our finalizer before a run begins. It then ends the pass: the object has changed under it.
func (r *Reconciler) finalize(ctx context.Context, policy *retentionv1.RetentionPolicy) error {
	base := policy.DeepCopy()
	marked := policy.DeepCopy()
	if !controllerutil.AddFinalizer(marked, Finalizer) {
		return nil
	}
	if err := r.Client.Patch(ctx, marked, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("setting the finalizer: %w", err)
	}
	return errFinalizerAdded
}

var errFinalizerAdded = errors.New("the finalizer was added")

// unfinalize takes our finalizer off when no run is left.
func (r *Reconciler) unfinalize(ctx context.Context, policy *retentionv1.RetentionPolicy) error {
	base := policy.DeepCopy()
	if !controllerutil.RemoveFinalizer(policy, Finalizer) {
		return nil
	}
	err := r.Client.Patch(ctx, policy, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}))
	return client.IgnoreNotFound(err)
}

// requestsForHold maps a LegalHold to the policies of its namespace that are at work, or whose last run has respected a hold.
func (r *Reconciler) requestsForHold(ctx context.Context, obj client.Object) []ctrl.Request {
	list := &retentionv1.RetentionPolicyList{}
	if err := r.Client.List(ctx, list, client.InNamespace(obj.GetNamespace())); err != nil {
		return nil // the cache is not there yet; every policy gets its first pass anyway
	}
	var requests []ctrl.Request
	for i := range list.Items {
		p := &list.Items[i]
		if p.Status.ActiveRun != nil || respectsHolds(p.Status.LastRun) {
			requests = append(requests, ctrl.Request{NamespacedName: client.ObjectKeyFromObject(p)})
		}
	}
	return requests
}

// requestsFor maps a Datastore to the policies that select it or are at work on it.
func (r *Reconciler) requestsFor(ctx context.Context, obj client.Object) []ctrl.Request {
	list := &retentionv1.RetentionPolicyList{}
	if err := r.Client.List(ctx, list, client.InNamespace(obj.GetNamespace())); err != nil {
		return nil // the cache is not there yet; every policy gets its first pass anyway
	}
	var requests []ctrl.Request
	for i := range list.Items {
		p := &list.Items[i]
		if planinput.Selects(p, obj.GetLabels()) || (p.Status.ActiveRun != nil && findDatastore(p.Status.ActiveRun, obj.GetName()) != nil) {
			requests = append(requests, ctrl.Request{NamespacedName: types.NamespacedName{Namespace: p.Namespace, Name: p.Name}})
		}
	}
	return requests
}
