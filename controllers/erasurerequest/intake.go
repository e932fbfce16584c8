// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/controllers/internal/jobs"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/subject"
)

const (
	// intakeDeadlineSeconds bounds the Job that only reads files.
	intakeDeadlineSeconds = 600
	// intakePause is how long after a Job that could not read the subject another one tries.
	intakePause = time.Minute
)

func (r *Reconciler) keeper() jobs.Keeper { return jobs.Keeper{Client: r.Client, Live: r.Live} }

// sealedSubject returns the subject as it can be handed to another namespace: sealed. What is in a Secret, which we must
// not read, a Job in this namespace reads and seals, and does so again when a Datastore knows another type of identifiers.
// The text is empty as long as it has not done so, or if no other namespace needs it.
func (r *Reconciler) sealedSubject(ctx context.Context, s *scope) (string, error) {
	st := s.st()
	if sealed := s.request.Spec.Subject.Sealed; sealed != "" || len(s.typesOf) == 0 {
		return sealed, nil
	}
	types := slices.Concat(st.SealedTypes, erasure.Types(slices.Collect(maps.Values(s.datastores))...))
	for _, of := range s.typesOf {
		types = append(types, of...)
	}
	slices.Sort(types)
	types = slices.Compact(types)
	if st.SealedSubject != "" && len(types) == len(st.SealedTypes) {
		return st.SealedSubject, nil
	}
	s.waitFor(retentionv1.ReasonProgressing, "Waiting for a Job that seals the subject for the requests in other namespaces")
	s.unmade = true
	job, err := r.intake(ctx, s, types)
	if err != nil || job == nil {
		return "", err
	}
	return r.takeIn(ctx, s, job, types)
}

// intake makes the Job, or finds it made. It returns nil if the Job that was found has to go first: it asked for other types,
// or sealed to an older key.
func (r *Reconciler) intake(ctx context.Context, s *scope, types []string) (*batchv1.Job, error) {
	name := intakeName(s.request)
	recipient, err := r.Keys.Recipient(ctx)
	if err != nil {
		return nil, fmt.Errorf("finding the key to seal to: %w", err)
	}
	p := plan.CompileIntake(name, recipient, types, []plan.Request{{Ref: ref(s.request)}})
	encoded, err := p.Encode()
	if err != nil {
		return nil, err
	}
	job := &batchv1.Job{}
	err = r.Live.Get(ctx, client.ObjectKey{Namespace: s.request.Namespace, Name: name}, job)
	if err == nil {
		if !metav1.IsControlledBy(job, s.request) {
			return nil, fmt.Errorf("job %s is not ours", name)
		}
		if job.Annotations[purgejob.AnnotationPlanDigest] == plan.DigestOf(encoded) {
			return job, nil
		}
		s.again(time.Second)
		return nil, r.dropIntake(ctx, s.request)
	}
	if !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("reading the intake Job: %w", err)
	}
	job, err = r.keeper().Ensure(ctx, purgejob.Input{
		Kind: plan.Intake, Namespace: s.request.Namespace, Name: name, Run: name,
		Owner: *metav1.NewControllerRef(s.request, retentionv1.GroupVersion.WithKind("ErasureRequest")),
		Plan:  encoded, Image: r.Image, Types: types,
		Subjects:              []purgejob.SubjectSource{{Secret: s.request.Spec.Subject.SecretRef.Name}},
		ActiveDeadlineSeconds: intakeDeadlineSeconds,
	})
	if errors.Is(err, purgejob.ErrForeign) { // a plan of ours for an older key, whose Job was never made
		return nil, r.dropIntake(ctx, s.request)
	}
	return job, err
}

func intakeName(r *retentionv1.ErasureRequest) string {
	return purgejob.LookJobName(r.Name, r.CreationTimestamp.Time, string(r.UID))
}

func ref(r *retentionv1.ErasureRequest) plan.Ref {
	return plan.Ref{Namespace: r.Namespace, Name: r.Name, UID: string(r.UID), Generation: r.Generation}
}

// takeIn takes over what the Job has sealed, once it has ended.
func (r *Reconciler) takeIn(ctx context.Context, s *scope, job *batchv1.Job, types []string) (string, error) {
	pods, err := r.keeper().Pods(ctx, job)
	if err != nil {
		return "", err
	}
	if !purgejob.State(job).Finished() || !purgejob.Settled(job, pods) {
		s.again(pollInterval)
		return "", nil
	}
	attempts, err := erasure.Attempts(ctx, r.Logs, r.Keys, job, pods, s.now)
	if err != nil {
		return "", err
	}
	p := plan.Plan{Kind: plan.Intake, Erasure: &plan.Erasure{Requests: []plan.Request{{Ref: ref(s.request)}}}}
	if told := receipt.MergeErasure(&p, attempts).Requests[0]; told.Told && told.Problem == "" && told.Given != "" {
		ids, err := subject.Parse([]byte(told.Given))
		if err != nil {
			return "", fmt.Errorf("reading what was taken in: %w", err)
		}
		sealed, err := erasure.Seal(ctx, r.Keys, s.request.Namespace, ids) // for the requests that are made from this one
		if err != nil {
			return "", err
		}
		s.st().SealedSubject, s.st().SealedTypes = sealed, types
		s.waiting, s.unmade = nil, false
		return s.st().SealedSubject, nil
	}
	s.waiting = &note{retentionv1.ReasonSubjectUnreadable, "The subject's Secret cannot be read: it is missing, or holds no identifier of a type that a data map names; it is tried again"}
	var ended time.Time
	for _, a := range attempts {
		if a.Finished.After(ended) {
			ended = a.Finished
		}
	}
	if left := ended.Add(intakePause).Sub(s.now); left > 0 {
		s.again(left)
		return "", nil
	}
	s.again(time.Second)
	return "", r.dropIntake(ctx, s.request)
}

// dropIntake removes the Job that has sealed the subject.
func (r *Reconciler) dropIntake(ctx context.Context, request *retentionv1.ErasureRequest) error {
	if request.Spec.Subject.SecretRef == nil || request.Spec.NamespaceSelector == nil {
		return nil
	}
	return r.keeper().Remove(ctx, request, intakeName(request))
}
