// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/metrics"
	"dataretention.dev/retention-operator/controllers/internal/status"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/planinput"
	"dataretention.dev/retention-operator/internal/schedule"
)

const (
	// immediately asks for another pass at once, because what this one saw is out of date.
	immediately = time.Second
	// pollInterval is how often a probe is looked after whose Pods may change unseen.
	pollInterval = 30 * time.Second
)

// Reconciler probes Datastores.
type Reconciler struct {
	// Client reads from the cache, and writes.
	Client client.Client
	// Live reads from the API server.
	Live client.Reader
	// Events receives what a person should hear of.
	Events events.EventRecorder
	// Clock tells the time.
	Clock clock.PassiveClock
	// Image is the image of probe Jobs.
	Image string
}

// +kubebuilder:rbac:groups=dataretention.dev,resources=datastores,verbs=get;list;watch
// +kubebuilder:rbac:groups=dataretention.dev,resources=datastores/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=dataretention.dev,resources=datastores/finalizers,verbs=update
// +kubebuilder:rbac:groups=dataretention.dev,resources=retentionpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch;create;delete
// +kubebuilder:rbac:groups="",resources=pods,verbs=get;list;watch;update;patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// scope is what one pass works with.
type scope struct {
	ds *retentionv1.Datastore
	// was are the conditions at the beginning of the pass.
	was      []metav1.Condition
	policies []plan.Policy
	now      time.Time
	// probe is the plan of a probe without the name of its run, inputs its digest.
	probe  plan.Plan
	inputs string
	// keep is the name of the Job that must stay; empty if none.
	keep string
	// requeue is when to look again; zero is never.
	requeue time.Duration
}

// again asks for another pass after d at the latest.
func (s *scope) again(d time.Duration) {
	if d = max(d, immediately); s.requeue == 0 || d < s.requeue {
		s.requeue = d
	}
}

// Reconcile makes one pass: gather, decide and act, write the status, tell, and tidy up.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	ds := &retentionv1.Datastore{}
	if err := r.Client.Get(ctx, req.NamespacedName, ds); err != nil {
		if client.IgnoreNotFound(err) != nil {
			return ctrl.Result{}, fmt.Errorf("reading the Datastore: %w", err)
		}
		metrics.ForgetDatastore(req.Namespace, req.Name)
		return r.tidy(ctx, req, "", 0)
	}
	if !ds.DeletionTimestamp.IsZero() {
		return r.tidy(ctx, req, "", 0)
	}
	before := ds.DeepCopy()
	patcher := status.NewPatcher(r.Client, ds)
	s := &scope{ds: ds, was: before.Status.Conditions, now: r.Clock.Now()}

	err := r.reconcile(ctx, s)
	if outdated(err) { // somebody else has acted; nothing that we believe is worth writing
		return ctrl.Result{RequeueAfter: immediately}, nil
	}
	if err != nil {
		status.Reconciling(ds, retentionv1.ReasonProgressingWithRetry, "Trying again: the Kubernetes API server did not do what was asked")
	}
	status.Stamp(ds, s.was, s.now)
	if _, patchErr := patcher.Patch(ctx); patchErr != nil {
		if err == nil && outdated(patchErr) {
			return ctrl.Result{RequeueAfter: immediately}, nil
		}
		return ctrl.Result{}, errors.Join(err, patchErr)
	}
	for _, e := range changes(before, ds) {
		r.Events.Eventf(ds, nil, e.kind, e.reason, e.action, "%s", e.message)
	}
	metrics.ObserveDatastore(ds)
	if err != nil {
		return ctrl.Result{}, err
	}
	return r.tidy(ctx, req, s.keep, s.requeue)
}

// tidy ends a pass.
func (r *Reconciler) tidy(ctx context.Context, req ctrl.Request, keep string, requeue time.Duration) (ctrl.Result, error) {
	switch err := r.sweep(ctx, req.Namespace, req.Name, keep); {
	case outdated(err):
		return ctrl.Result{RequeueAfter: immediately}, nil
	case err != nil:
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: requeue}, nil
}

// outdated says whether err means that the cache was behind.
func outdated(err error) bool {
	return apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) || apierrors.IsNotFound(err)
}

// reconcile is the list of phases. Those after check need a spec that can be used.
func (r *Reconciler) reconcile(ctx context.Context, s *scope) error {
	declare(s.ds)
	if err := check(&s.ds.Spec); err != nil {
		refuse(s.ds, err)
		return nil
	}
	if err := r.gatherPolicies(ctx, s); err != nil {
		return err
	}
	if err := s.compile(); err != nil {
		return err
	}
	acceptIdentity(s.ds)
	why, next := decideProbe(s.ds, s.inputs, s.now)
	if why != notDue {
		return r.probe(ctx, s, why)
	}
	s.ds.Status.ActiveProbe = ""
	settle(s.ds)
	s.again(next.Sub(s.now))
	return nil
}

// check finds what CEL cannot know. The error names the field.
func check(spec *retentionv1.DatastoreSpec) error {
	if _, err := schedule.LoadLocation(spec.GetTimeZone()); err != nil {
		return err
	}
	if spec.GetEngine() == "" {
		return errors.New("spec names no engine that this version knows: set postgresql")
	}
	return nil
}

// gatherPolicies reads the policies that select the Datastore: a probe looks for the fields and rights that they need.
func (r *Reconciler) gatherPolicies(ctx context.Context, s *scope) error {
	list := &retentionv1.RetentionPolicyList{}
	if err := r.Client.List(ctx, list, client.InNamespace(s.ds.Namespace)); err != nil {
		return fmt.Errorf("listing policies: %w", err)
	}
	for i := range list.Items {
		if p := &list.Items[i]; planinput.Selects(p, s.ds.Labels) {
			s.policies = append(s.policies, planinput.Policy(p))
		}
	}
	return nil
}

// compile makes the plan of a probe, without a name, and its digest. A probe is told no identity: it reports the one it
// sees, and what that means is decided here.
func (s *scope) compile() error {
	in := planinput.Datastore(s.ds)
	in.Identity = ""
	s.probe = plan.CompileProbe(in, s.policies)
	digest, err := s.probe.Digest()
	if err != nil {
		return err
	}
	s.inputs = digest
	return nil
}
