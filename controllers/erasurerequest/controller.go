// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/attest"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/controllers/internal/metrics"
	"dataretention.dev/retention-operator/controllers/internal/sealing"
	"dataretention.dev/retention-operator/controllers/internal/status"
	"dataretention.dev/retention-operator/internal/schedule"
	"dataretention.dev/retention-operator/internal/subject"
)

const (
	// pollInterval is how often a pass is made while something that we do not watch may change.
	pollInterval = 10 * time.Second
	// immediately asks for another pass at once, after this one's status is stored.
	immediately = time.Millisecond
	// atLeastEvery is how often an open request is looked at in any case: what is sealed to an old key is sealed anew then.
	atLeastEvery = 12 * time.Hour
)

// Reconciler leads ErasureRequests through their life.
type Reconciler struct {
	// Client reads from the cache, and writes.
	Client client.Client
	// Live reads from the API server. Everything that cannot be taken back is decided by it.
	Live client.Reader
	// Events receives what a person should hear of.
	Events events.EventRecorder
	// Clock tells the time.
	Clock clock.PassiveClock
	// Keys opens what was sealed to the operator.
	Keys sealing.Keys
	// Logs reads the log of a Pod.
	Logs erasure.Logs
	// Image is the image of the Jobs.
	Image string
	// Evidence takes an answer before it is given.
	Evidence attest.Ledger
}

// +kubebuilder:rbac:groups=dataretention.dev,resources=erasurerequests,verbs=get;list;watch;create;update;patch;delete;approve
// +kubebuilder:rbac:groups=dataretention.dev,resources=erasurerequests/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=dataretention.dev,resources=erasurerequests/finalizers,verbs=update
// +kubebuilder:rbac:groups=dataretention.dev,resources=legalholds,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=pods/log,verbs=get
// +kubebuilder:rbac:groups="",resources=secrets,verbs=create;delete

// scope is what one pass works with.
type scope struct {
	request *retentionv1.ErasureRequest
	now     time.Time
	zone    *time.Location
	// datastores are those of the namespace that the request reaches, by name; others are the rest of them.
	datastores, others map[string]*retentionv1.Datastore
	// parent is the request that this one was made from, if any; children are those that were made from this one.
	parent   *retentionv1.ErasureRequest
	children []retentionv1.ErasureRequest
	// foreign are the Datastores that the request reaches in other namespaces.
	foreign map[client.ObjectKey]*retentionv1.Datastore
	// typesOf are the types of identifiers that the Datastores know which the request reaches in other namespaces.
	typesOf map[string][]string
	// unmade says that a request in another namespace has still to be made.
	unmade bool
	// known are the identifiers that records have led to, here and in the family.
	known []subject.Identifier
	// answered is when the request was answered, as the ledger says.
	answered *metav1.Time
	// problem is what keeps the request from going on until a person acts; waiting is what it waits for.
	problem, waiting *note
	// requeue is when to look again; zero is never.
	requeue time.Duration
}

// note is a reason in one word, and in a sentence.
type note struct{ reason, message string }

func (s *scope) st() *retentionv1.ErasureRequestStatus { return &s.request.Status }

func (s *scope) deleting() bool { return !s.request.DeletionTimestamp.IsZero() }

// again asks for another pass after d at the latest.
func (s *scope) again(d time.Duration) {
	if d = max(d, immediately); s.requeue == 0 || d < s.requeue {
		s.requeue = d
	}
}

// waitFor says what the request waits for; what was said first stays.
func (s *scope) waitFor(reason, format string, args ...any) {
	if s.waiting == nil {
		s.waiting = &note{reason, fmt.Sprintf(format, args...)}
	}
}

// atWork says whether any run has the request in hand.
func (s *scope) atWork() bool {
	for i := range s.st().Datastores {
		if erasure.AtWork(&s.st().Datastores[i]) {
			return true
		}
	}
	return false
}

// Reconcile makes one pass: gather, decide and act, write the status, then tell.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	request := &retentionv1.ErasureRequest{}
	if err := r.Client.Get(ctx, req.NamespacedName, request); err != nil {
		if client.IgnoreNotFound(err) == nil {
			metrics.ForgetErasure(req.Namespace, req.Name)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if erasure.Ended(request) && request.Status.ObservedGeneration == request.Generation {
		metrics.ForgetErasure(req.Namespace, req.Name)
		return ctrl.Result{}, r.unfinalize(ctx, request) // an answer that was given stays as it is
	}
	before := request.DeepCopy()
	patcher := status.NewPatcher(r.Client, request)
	s := &scope{request: request, now: r.Clock.Now()}

	err := r.reconcile(ctx, s)
	switch {
	case errors.Is(err, errFinalizerAdded):
		return ctrl.Result{RequeueAfter: immediately}, nil
	case errors.Is(err, errWithdrawn):
		return ctrl.Result{}, nil
	}
	judge(s, err)
	status.Stamp(request, before.Status.Conditions, s.now)
	if _, patchErr := patcher.Patch(ctx); patchErr != nil {
		return ctrl.Result{}, errors.Join(err, patchErr) // whatever was decided is decided again from what is stored
	}
	for _, e := range changes(before, request) {
		r.Events.Eventf(request, nil, e.kind, e.reason, e.action, "%s", status.Truncate(e.message, status.MaxMessage))
	}
	metrics.ObserveErasure(request)
	if before.Status.AnsweredTime == nil && request.Status.AnsweredTime != nil {
		metrics.ErasureAnswers.WithLabelValues(request.Namespace, string(answerOf(request))).Inc()
	}
	if err != nil && !isInvalid(err) {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: s.requeue}, nil
}

// reconcile is the list of phases.
func (r *Reconciler) reconcile(ctx context.Context, s *scope) error {
	if s.deleting() {
		return r.withdraw(ctx, s)
	}
	s.again(atLeastEvery)
	if err := s.reckon(); err != nil {
		return invalidSpec{err}
	}
	if err := r.gather(ctx, s); err != nil {
		return err
	}
	if err := r.finalize(ctx, s.request); err != nil {
		return err
	}
	if erasure.Denied(s.request) {
		return r.deny(ctx, s)
	}
	if err := r.readSubject(ctx, s); err != nil || s.problem != nil || s.waiting != nil {
		return err
	}
	if approved, err := r.approve(ctx, s); err != nil || !approved {
		return err
	}
	if err := r.target(ctx, s); err != nil {
		return err
	}
	if err := r.reachOut(ctx, s); err != nil {
		return err
	}
	if err := r.learn(ctx, s); err != nil {
		return err
	}
	return r.turn(ctx, s)
}

// finalize sets our finalizer before anything is decided: whatever becomes of the request is stated. It then ends the pass: the object has changed under it.
func (r *Reconciler) finalize(ctx context.Context, request *retentionv1.ErasureRequest) error {
	base, marked := request.DeepCopy(), request.DeepCopy()
	if !controllerutil.AddFinalizer(marked, erasure.Finalizer) {
		return nil
	}
	if err := r.Client.Patch(ctx, marked, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{})); err != nil {
		return fmt.Errorf("setting the finalizer: %w", err)
	}
	return errFinalizerAdded
}

var (
	errFinalizerAdded = errors.New("the finalizer was added")
	errWithdrawn      = errors.New("the request was let go")
)

// unfinalize takes our finalizer off.
func (r *Reconciler) unfinalize(ctx context.Context, request *retentionv1.ErasureRequest) error {
	base := request.DeepCopy()
	if !controllerutil.RemoveFinalizer(request, erasure.Finalizer) {
		return nil
	}
	err := r.Client.Patch(ctx, request, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}))
	return client.IgnoreNotFound(err)
}

// withdraw lets a request go that is being deleted, once no run has it in hand. What it made in other namespaces, and has
// not ended, goes with it.
func (r *Reconciler) withdraw(ctx context.Context, s *scope) error {
	if err := r.withdrawChildren(ctx, s.request); err != nil {
		return err
	}
	if err := r.dropIntake(ctx, s.request); err != nil {
		return err
	}
	if s.atWork() {
		if err := r.gather(ctx, s); err != nil {
			return err
		}
		s.dropLost()
		if s.atWork() {
			s.waitFor(retentionv1.ReasonProgressing, "The request was deleted; waiting for the run that has it in hand")
			s.again(pollInterval)
			return nil
		}
	}
	if stated, err := r.stateWithdrawal(ctx, s); err != nil || !stated {
		return err
	}
	if err := r.unfinalize(ctx, s.request); err != nil {
		return err
	}
	return errWithdrawn
}

// stateWithdrawal has the ledger take what became of a request that is being deleted. One that was denied is denied: its
// Secret goes as it would have gone.
func (r *Reconciler) stateWithdrawal(ctx context.Context, s *scope) (bool, error) {
	if !controllerutil.ContainsFinalizer(s.request, erasure.Finalizer) || erasure.Ended(s.request) {
		return true, nil
	}
	zone, err := schedule.LoadLocation(s.request.Spec.GetTimeZone())
	if err != nil {
		zone = time.UTC
	}
	s.zone = zone
	if err := r.gather(ctx, s); err != nil {
		return false, err
	}
	denied := erasure.Denied(s.request)
	outcome, reason := outcomeWithdrawn, ""
	switch {
	case s.st().AnsweredTime != nil:
		outcome = string(s.st().Outcome)
	case denied:
		outcome, reason = outcomeDenied, decision(s.st().Conditions, outcomeDenied).Reason
	}
	if stated, err := r.conclusion(ctx, s, outcome, reason); err != nil || !stated || !denied {
		return stated, err
	}
	return true, r.deleteSubject(ctx, s)
}
