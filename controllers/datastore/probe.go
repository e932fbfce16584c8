// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"context"
	"errors"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/status"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/receipt"
)

// probeDeadlineSeconds bounds a probe. A database may need long to find its oldest record, and a node to get the image.
const probeDeadlineSeconds = 60 * 60

// foreignGrace is how long a Job that another version of this program has made may go on: two managers of two versions
// must not take turns.
const foreignGrace = 2 * time.Minute

// probe makes the Job of the probe that is due, or looks after it, or takes in its result.
func (r *Reconciler) probe(ctx context.Context, s *scope, why trigger) error {
	in, err := s.input(r.Image)
	if err != nil {
		return err
	}
	s.keep = in.Name
	job, err := r.ensure(ctx, in)
	var foreign *foreignError
	switch {
	case errors.As(err, &foreign):
		if s.now.Sub(foreign.created) > foreignGrace {
			s.keep = "" // what is ours after all, from another version of this program, goes; what is not ours stays
		}
		underWay(s.ds, "", why, cannot("%s; delete it", err))
		s.again(pollInterval)
		return nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		underWay(s.ds, "", why, cannot("The namespace is being deleted"))
		return nil
	case err != nil:
		return err
	}
	pods := &corev1.PodList{}
	if err := r.Live.List(ctx, pods, client.InNamespace(job.Namespace), client.MatchingLabels{batchv1.JobNameLabel: job.Name}); err != nil {
		return fmt.Errorf("listing the probe's Pods: %w", err)
	}
	own := purgejob.PodsOf(job, pods.Items)
	state := purgejob.State(job)
	attempts := purgejob.Attempts(job, own)
	if res := (result{plan: in.plan, receipt: lastReceipt(attempts)}); state.Finished() || conclusive(res.receipt) {
		if res.receipt == nil {
			res.failure = explain(s.ds, state, attempts, own)
		}
		conclude(s.ds, res, s.inputs, s.now)
		s.keep = "" // once the status is written
		status.Stamp(s.ds, s.was, s.now)
		_, next := decideProbe(s.ds, s.inputs, s.now)
		s.again(next.Sub(s.now))
		return nil
	}
	if !job.DeletionTimestamp.IsZero() || outmoded(job, own, r.Image) { // let it go, and make it again
		s.keep = ""
		s.again(immediately)
	}
	underWay(s.ds, job.Name, why, cannotStart(own))
	s.again(pollInterval)
	return nil
}

// input is what the Job of the probe that is due is made of.
type input struct {
	purgejob.Input

	plan *plan.Plan
}

func (s *scope) input(image string) (input, error) {
	name := probeName(s.ds, s.inputs)
	p := s.probe
	p.Run = name
	encoded, err := p.Encode()
	if err != nil {
		return input{}, err
	}
	return input{plan: &p, Input: purgejob.Input{
		Kind:      plan.Probe,
		Namespace: s.ds.Namespace,
		Name:      name,
		Run:       name,
		Datastore: s.ds.Name,
		Owner: metav1.OwnerReference{
			APIVersion: retentionv1.GroupVersion.String(), Kind: "Datastore", Name: s.ds.Name, UID: s.ds.UID,
		},
		Plan:                  encoded,
		Image:                 image,
		ConnectionSecret:      s.ds.Spec.GetConnectionSecret(),
		ActiveDeadlineSeconds: probeDeadlineSeconds,
	}}, nil
}

// ensure returns the probe's Job, which it makes if it is not there. The ConfigMap comes first: the Job's Pod mounts it.
// The error is a *foreignError if something that is not ours has the name.
func (r *Reconciler) ensure(ctx context.Context, in input) (*batchv1.Job, error) {
	key := client.ObjectKey{Namespace: in.Namespace, Name: in.Name}
	job := &batchv1.Job{}
	err := r.Live.Get(ctx, key, job)
	if err == nil {
		return job, foreign(job, purgejob.Ours(job, in.Input))
	}
	if !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("reading the probe's Job: %w", err)
	}
	objects, err := purgejob.Build(in.Input)
	if err != nil {
		return nil, err
	}
	configMap := &corev1.ConfigMap{}
	switch err := r.Live.Get(ctx, key, configMap); {
	case err == nil:
		if err := foreign(configMap, purgejob.OursPlan(configMap, in.Input)); err != nil {
			return nil, err
		}
	case !apierrors.IsNotFound(err):
		return nil, fmt.Errorf("reading the probe's plan: %w", err)
	default:
		if err := r.Client.Create(ctx, objects.ConfigMap); err != nil {
			return nil, fmt.Errorf("creating the probe's plan: %w", err)
		}
	}
	if err := r.Client.Create(ctx, objects.Job); err != nil {
		return nil, fmt.Errorf("creating the probe's Job: %w", err)
	}
	return objects.Job, nil
}

// foreignError says that an object which is not what we would make has its name.
type foreignError struct {
	error

	created time.Time
}

func foreign(obj client.Object, err error) error {
	if err == nil {
		return nil
	}
	return &foreignError{err, obj.GetCreationTimestamp().Time}
}

// outmoded says whether a Job is stuck with another image than ours, as one that was made before somebody put the image
// right. One that is not stuck goes on: two managers with images of their own must not take turns.
func outmoded(job *batchv1.Job, pods []corev1.Pod, image string) bool {
	return cannotStart(pods) != verdict{} && job.Spec.Template.Spec.Containers[0].Image != image
}

// lastReceipt is the one of the latest attempt that left any.
func lastReceipt(attempts []receipt.Attempt) *receipt.Receipt {
	var last *receipt.Receipt
	for _, a := range attempts {
		if a.Receipt != nil {
			last = a.Receipt
		}
	}
	return last
}

// conclusive says whether another attempt within the same Job would tell nothing new.
func conclusive(r *receipt.Receipt) bool {
	if r == nil {
		return false
	}
	switch r.Reason {
	case "", receipt.Unreachable, receipt.Interrupted, receipt.InternalError:
		return false
	}
	return true
}

// cannotStart says why the probe's Pod does not start; the zero verdict if nothing is known to be wrong.
func cannotStart(pods []corev1.Pod) verdict {
	reason, message := purgejob.Waiting(pods)
	if reason == "" {
		return verdict{}
	}
	return cannot("The probe's Pod does not start: %s", join(reason, message))
}

func cannot(format string, args ...any) verdict {
	return verdict{metav1.ConditionFalse, retentionv1.ReasonProbeCannotStart, fmt.Sprintf(format, args...)}
}

// explain says why a Job that has ended left no readable Receipt.
func explain(ds *retentionv1.Datastore, state purgejob.JobState, attempts []receipt.Attempt, pods []corev1.Pod) verdict {
	if len(attempts) > 0 {
		text := "The probe ended without a readable receipt"
		if code := attempts[len(attempts)-1].ExitCode; code != nil {
			text += fmt.Sprintf(" (exit code %d)", *code)
		}
		return verdict{metav1.ConditionFalse, retentionv1.ReasonProbeFailed, text}
	}
	if v := cannotStart(pods); v.reason != "" {
		return v
	}
	if on := meta.FindStatusCondition(ds.Status.Conditions, retentionv1.ConditionReconciling); on != nil && on.Reason == retentionv1.ReasonProbeCannotStart {
		return verdict{metav1.ConditionFalse, on.Reason, on.Message} // the Pod is gone; this is what it waited for
	}
	return verdict{metav1.ConditionFalse, retentionv1.ReasonProbeFailed, join("The probe ended without having started", state.Reason)}
}
