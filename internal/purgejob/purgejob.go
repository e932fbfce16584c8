// SPDX-License-Identifier: Apache-2.0

// Package purgejob turns a Plan into a Job, and a Job with its Pods back into the attempts that a Receipt's Total is made
// of. It is pure: it has no client, does no I/O and reads no clock.
package purgejob

import (
	"errors"
	"fmt"
	"maps"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dataretention.dev/retention-operator/internal/plan"
)

// Finalizer keeps a Job and its Pods until their Receipts are stored. Whoever stores them takes it off.
const Finalizer = "dataretention.dev/receipt"

// Labels of a Job and its Pods, besides app.kubernetes.io/*. Their values are LabelValue of the name.
const (
	LabelRun       = "dataretention.dev/run"
	LabelPolicy    = "dataretention.dev/policy"
	LabelDatastore = "dataretention.dev/datastore"
)

// LabelComponent is ComponentPurge or ComponentProbe; LabelManagedBy is ManagedBy.
const (
	LabelName      = "app.kubernetes.io/name"
	LabelComponent = "app.kubernetes.io/component"
	LabelManagedBy = "app.kubernetes.io/managed-by"
	LabelPartOf    = "app.kubernetes.io/part-of"

	ComponentPurge = "purge"
	ComponentProbe = "probe"
	ManagedBy      = "retention-operator"
)

// AnnotationPlanDigest is the digest of the Plan, on the Job, its Pods and its ConfigMap.
const AnnotationPlanDigest = "dataretention.dev/plan-digest"

// ContainerName is the name of the only container.
const ContainerName = "purge"

// Where the container finds its input.
const (
	planDirectory       = "/etc/retention/plan"
	planFile            = "plan.json"
	connectionDirectory = "/etc/retention/connection"
	keysDirectory       = "/etc/retention/keys"
)

// maxPlanBytes leaves room for a ConfigMap's metadata below the 1 MiB that the API server accepts.
const maxPlanBytes = 1<<20 - 16<<10

// Errors of Build.
var (
	// ErrPlanTooLarge is wrapped for a Plan that no ConfigMap can hold.
	ErrPlanTooLarge = errors.New("the plan is too large for a ConfigMap")
	// ErrNoDeadline is returned for an input without a positive ActiveDeadlineSeconds.
	ErrNoDeadline = errors.New("a purge Job needs a deadline")
)

// KeyRef names one key of a Secret. The container finds it at <keys-dir>/<secret>/<key>.
type KeyRef struct {
	Secret, Key string
}

// Input is everything that a Job is made of.
type Input struct {
	Kind plan.Kind
	// Namespace is that of the Job, of its owner and of all Secrets; Name is from JobName.
	Namespace, Name string
	// Run is from RunName. Policy is empty for a probe.
	Run, Policy, Datastore string
	// Owner is the controller of the Job and of its ConfigMap.
	Owner metav1.OwnerReference
	// Plan is the encoded Plan.
	Plan []byte
	// Image is the operator's own.
	Image string
	// ConnectionSecret may be missing: the purge process then says so itself.
	ConnectionSecret string
	Keys             []KeyRef
	// ApprovedRecords is how many due records a person has approved beyond the guardrails.
	ApprovedRecords       *int64
	ActiveDeadlineSeconds int64
	// Labels are further labels of the Job, its Pods and the ConfigMap. They never replace our own.
	Labels map[string]string
	// Resources replace DefaultResources if they name anything.
	Resources corev1.ResourceRequirements
	// Suspend creates the Job suspended.
	Suspend bool
}

// Objects are what has to be created for one Job, the ConfigMap first.
type Objects struct {
	// ConfigMap holds the Plan. It has the Job's name and is immutable.
	ConfigMap *corev1.ConfigMap
	Job       *batchv1.Job
}

// DefaultResources are enough for a process of constant memory.
func DefaultResources() corev1.ResourceRequirements {
	return corev1.ResourceRequirements{
		Requests: corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse("50m"),
			corev1.ResourceMemory: resource.MustParse("64Mi"),
		},
		Limits: corev1.ResourceList{
			corev1.ResourceCPU:    resource.MustParse("1"),
			corev1.ResourceMemory: resource.MustParse("256Mi"),
		},
	}
}

// Build returns the objects of one Job. The same input gives the same objects.
func Build(in Input) (*Objects, error) {
	if len(in.Plan) > maxPlanBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrPlanTooLarge, len(in.Plan), maxPlanBytes)
	}
	if in.ActiveDeadlineSeconds <= 0 {
		return nil, ErrNoDeadline
	}
	meta := metav1.ObjectMeta{
		Namespace:       in.Namespace,
		Name:            in.Name,
		Labels:          in.labels(),
		Annotations:     in.annotations(),
		OwnerReferences: []metav1.OwnerReference{in.owner()},
	}
	configMap := &corev1.ConfigMap{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
		ObjectMeta: *meta.DeepCopy(),
		Immutable:  new(true),
		Data:       map[string]string{planFile: string(in.Plan)},
	}
	job := &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: *meta.DeepCopy(),
		Spec:       in.jobSpec(),
	}
	job.Finalizers = []string{Finalizer}
	return &Objects{ConfigMap: configMap, Job: job}, nil
}

func (in Input) component() string {
	if in.Kind == plan.Probe {
		return ComponentProbe
	}
	return ComponentPurge
}

func (in Input) labels() map[string]string {
	l := maps.Clone(in.Labels)
	if l == nil {
		l = map[string]string{}
	}
	delete(l, LabelPolicy)
	l[LabelName] = ManagedBy
	l[LabelComponent] = in.component()
	l[LabelManagedBy] = ManagedBy
	l[LabelPartOf] = ManagedBy
	l[LabelRun] = LabelValue(in.Run)
	l[LabelDatastore] = LabelValue(in.Datastore)
	if in.Policy != "" {
		l[LabelPolicy] = LabelValue(in.Policy)
	}
	return l
}

func (in Input) annotations() map[string]string {
	return map[string]string{AnnotationPlanDigest: plan.DigestOf(in.Plan)}
}

// owner makes sure that the reference is a controller's. It does not block the owner's deletion: that would need rights
// on the owner's finalizers, and our own finalizer keeps the Job anyway.
func (in Input) owner() metav1.OwnerReference {
	o := *in.Owner.DeepCopy()
	o.Controller = new(true)
	o.BlockOwnerDeletion = nil
	return o
}
