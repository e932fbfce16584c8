// SPDX-License-Identifier: Apache-2.0

package erasurerun

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/controllers/internal/sealing"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/planinput"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/subject"
)

// compiled is a plan and what it was made from.
type compiled struct {
	plan    plan.Plan
	encoded []byte
	digest  string
	job     string
	holds   holds.Set
	// requests are in the order of the plan's, the one that has to be answered first in front.
	requests []retentionv1.ErasureRequest
}

// compile makes the plan of the run for the requests, from the live state of every policy and every hold that has a say in
// it.
func (r *Reconciler) compile(ctx context.Context, s *scope, requests []retentionv1.ErasureRequest) (*compiled, error) {
	policies := &retentionv1.RetentionPolicyList{}
	if err := r.Live.List(ctx, policies, client.InNamespace(s.ds.Namespace)); err != nil {
		return nil, fmt.Errorf("listing policies: %w", err)
	}
	inForce, err := holds.InForce(ctx, r.Live, s.ds)
	if err != nil {
		return nil, err
	}
	recipient, err := r.Keys.Recipient(ctx)
	if err != nil {
		return nil, fmt.Errorf("finding the key to seal to: %w", err)
	}
	run := s.run()
	in := plan.ErasureInput{
		Run: run.Name, Mode: plan.Enforce, SealTo: recipient, Holds: inForce.Inputs(),
		Datastore: planinput.Datastore(s.ds), Slot: run.AcquiredTime.Time, Limits: plan.DefaultLimits,
	}
	if run.Erasure.Mode == retentionv1.ErasureRunFind {
		in.Mode = plan.Simulate
	}
	for i := range policies.Items {
		if p := &policies.Items[i]; planinput.Selects(p, s.ds.Labels) {
			in.Policies = append(in.Policies, planinput.Policy(p))
		}
	}
	for i := range requests {
		o := &requests[i]
		in.Requests = append(in.Requests, plan.Request{
			Ref:         plan.Ref{Namespace: o.Namespace, Name: o.Name, UID: string(o.UID), Generation: o.Generation},
			Commit:      uncommitted(o.Status.Commitments, erasure.Types(s.ds)),
			Commitments: o.Status.Commitments,
		})
	}
	c := &compiled{plan: plan.CompileErasure(in), holds: inForce, requests: requests}
	if c.encoded, err = c.plan.Encode(); err != nil {
		return nil, err
	}
	c.digest = plan.DigestOf(c.encoded)
	c.job = purgejob.ErasureJobName(s.ds.Name, run.AcquiredTime.Time, c.digest)
	return c, nil
}

// uncommitted says whether there may be identifiers that were given and that there is no commitment to: those of types that
// no data map knew before.
func uncommitted(commitments, types []string) bool {
	return len(commitments) < subject.MaxCommitments && (len(commitments) == 0 || slices.ContainsFunc(types, func(kind string) bool {
		return !slices.ContainsFunc(commitments, func(c string) bool { return subject.CommittedType(c) == kind })
	}))
}

// input says what the Job is made of.
func (r *Reconciler) input(s *scope, c *compiled) purgejob.Input {
	in := purgejob.Input{
		Kind:                  plan.ErasureKind,
		Namespace:             s.ds.Namespace,
		Name:                  c.job,
		Run:                   s.run().Name,
		Datastore:             s.ds.Name,
		Owner:                 *ownerOf(s.ds),
		Plan:                  c.encoded,
		Image:                 r.Image,
		ConnectionSecret:      s.ds.Spec.GetConnectionSecret(),
		Keys:                  purgejob.KeysOf(&c.plan),
		Holds:                 c.holds.Sources(&c.plan),
		Types:                 c.plan.Erasure.Types,
		Carried:               c.job,
		ActiveDeadlineSeconds: retentionv1.DefaultActiveDeadlineSeconds,
		Suspend:               true,
	}
	for i := range c.requests {
		if ref := c.requests[i].Spec.Subject.SecretRef; ref != nil {
			in.Subjects = append(in.Subjects, purgejob.SubjectSource{Number: i, Secret: ref.Name})
		}
	}
	return in
}

// ownerOf names the Datastore as the controller of what a run makes. Its deletion need not wait for that.
func ownerOf(ds *retentionv1.Datastore) *metav1.OwnerReference {
	owner := metav1.NewControllerRef(ds, retentionv1.GroupVersion.WithKind("Datastore"))
	owner.BlockOwnerDeletion = nil
	return owner
}

// known are the identifiers of a request that records have led to, here and in its family.
func (r *Reconciler) known(ctx context.Context, request *retentionv1.ErasureRequest) ([]subject.Identifier, error) {
	parent, err := erasure.Family(ctx, r.Live, request)
	if err != nil {
		return nil, fmt.Errorf("reading the request that %s was made from: %w", request.Name, err)
	}
	return erasure.Derived(ctx, r.Keys, request, parent)
}

// carried opens, for the one Job that needs it, what requests and holds have sealed and what was found so far. Requests
// whose identifiers cannot be had are given back, and whole is false: the plan is to be made without them.
func (r *Reconciler) carried(ctx context.Context, s *scope, c *compiled) (out map[string]string, whole bool, err error) {
	if out, err = c.holds.Carried(ctx, r.Keys, &c.plan); err != nil {
		return nil, false, err
	}
	whole = true
	for i := range c.requests {
		request := &c.requests[i]
		given, known, refuse, err := r.identifiers(ctx, s, request)
		if err == nil && refuse != nil {
			whole, err = false, r.unclaim(ctx, s, request, refuse)
		}
		if err != nil {
			return nil, false, err
		}
		if len(given) > 0 {
			out[purgejob.GivenKey(i)] = subject.Format(given)
		}
		if len(known) > 0 {
			out[purgejob.DerivedKey(i)] = subject.Format(known)
		}
	}
	return out, whole, nil
}

// identifiers are those that the request has sealed, and those that records have led to. If no run can serve the request
// with them, refuse says so in its entry; an error says that they cannot be had now.
func (r *Reconciler) identifiers(ctx context.Context, s *scope, request *retentionv1.ErasureRequest) (
	given, known []subject.Identifier, refuse func(*retentionv1.ErasureDatastore), err error,
) {
	if request.Spec.Subject.Sealed != "" {
		given, _, err = erasure.Given(ctx, r.Live, r.Keys, request)
		if errors.Is(err, sealing.ErrUnreadable) {
			message := "spec.subject.sealed: " + err.Error()
			return nil, nil, func(e *retentionv1.ErasureDatastore) {
				e.Reason, e.Message = string(receipt.SubjectUnreadable), message
				erasure.Fail(e, s.now)
			}, nil
		}
		if err != nil {
			return nil, nil, nil, fmt.Errorf("opening the subject of request %s: %w", request.Name, err)
		}
	}
	known, err = r.known(ctx, request)
	if err == nil && len(subject.Union(given, known)) > subject.MaxIdentifiers {
		refuse = func(e *retentionv1.ErasureDatastore) { // it stays so
			e.Step, e.Reason, e.Message = retentionv1.ErasureStepFound, string(receipt.TooManyIdentifiers), problemMessage(receipt.TooManyIdentifiers, false)
		}
	}
	return given, known, refuse, err
}

var errPlanLost = errors.New("the plan of the run is gone")

// planOf reads the plan on record that the run's Job carries out. errPlanLost says that nobody has it any more.
func (r *Reconciler) planOf(ctx context.Context, s *scope) (*plan.Plan, error) {
	configMap := &corev1.ConfigMap{}
	err := r.Live.Get(ctx, client.ObjectKey{Namespace: s.ds.Namespace, Name: s.run().Erasure.Job}, configMap)
	if apierrors.IsNotFound(err) {
		return nil, errPlanLost
	}
	if err != nil {
		return nil, fmt.Errorf("reading the plan: %w", err)
	}
	p := purgejob.PlanIn(configMap, s.run().Erasure.PlanDigest)
	if p == nil || p.Erasure == nil {
		return nil, errPlanLost
	}
	return p, nil
}
