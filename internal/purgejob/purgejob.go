// SPDX-License-Identifier: Apache-2.0

// Package purgejob turns a Plan into a Job, and a Job with its Pods back into the attempts that a Receipt's Total is made
// of. It is pure: it has no client, does no I/O and reads no clock.
package purgejob

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

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

// LabelComponent is ComponentPurge, ComponentProbe or ComponentLook; LabelManagedBy is ManagedBy.
const (
	LabelName      = "app.kubernetes.io/name"
	LabelComponent = "app.kubernetes.io/component"
	LabelManagedBy = "app.kubernetes.io/managed-by"
	LabelPartOf    = "app.kubernetes.io/part-of"

	ComponentPurge = "purge"
	ComponentProbe = "probe"
	// ComponentLook is a Job for a hold or an erasure that cannot change anything: plan.CountHeld and plan.Intake.
	ComponentLook = "look"
	ManagedBy     = "retention-operator"
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
	subjectsDirectory   = "/etc/retention/subjects"
	holdsDirectory      = "/etc/retention/holds"
	carriedDirectory    = "/etc/retention/carried"
)

// MaxRequests is the most requests that one erasure Job serves. With six types of identifiers, and names of usual length,
// such a Job is well below maxJobBytes.
const MaxRequests = 1000

// maxPlanBytes leaves room for a ConfigMap's metadata below the 1 MiB that the API server accepts.
const maxPlanBytes = 1<<20 - 16<<10

// maxJobBytes leaves room for a Job's status and its managed fields below what etcd takes.
const maxJobBytes = 1 << 20

// Errors of Build.
var (
	// ErrPlanTooLarge is wrapped for a Plan that no ConfigMap can hold.
	ErrPlanTooLarge = errors.New("the plan is too large for a ConfigMap")
	// ErrJobTooLarge is wrapped for a Job with more sources than an API server can store: fewer requests may fit.
	ErrJobTooLarge = errors.New("the job has too many subjects")
	// ErrNoDeadline is returned for an input without a positive ActiveDeadlineSeconds.
	ErrNoDeadline = errors.New("a purge Job needs a deadline")
)

// KeyRef names one key of a Secret. The container finds it at <keys-dir>/<secret>/<key>.
type KeyRef struct {
	Secret, Key string
}

// SubjectSource names the Secret of the person that the request, or the hold, of a place in the Plan is about. The container
// finds it at <subjects-dir>/<number>/<type>, or <holds-dir>/<number>/<type>.
type SubjectSource struct {
	Number int
	Secret string
}

// KeysOf lists the keys that the transforms of a plan need. Build takes each once.
func KeysOf(p *plan.Plan) []KeyRef {
	var keys []KeyRef
	add := func(transforms []plan.Transform) {
		for _, t := range transforms {
			if secret, key, ok := strings.Cut(t.Key, "/"); ok {
				keys = append(keys, KeyRef{Secret: secret, Key: key})
			}
		}
	}
	for i := range p.Steps {
		add(p.Steps[i].Transforms)
	}
	if p.Erasure != nil {
		for i := range p.Erasure.Steps {
			add(p.Erasure.Steps[i].Transforms)
		}
	}
	return keys
}

// Input is everything that a Job is made of.
type Input struct {
	Kind plan.Kind
	// Namespace is that of the Job, of its owner and of all Secrets; Name is from JobName.
	Namespace, Name string
	// Run is from RunName or ErasureRunName. Policy is empty for all but plan.Retention, Datastore for plan.Intake.
	Run, Policy, Datastore string
	// Owner is the controller of the Job and of its ConfigMap.
	Owner metav1.OwnerReference
	// Plan is the encoded Plan.
	Plan []byte
	// Image is the operator's own.
	Image string
	// ConnectionSecret may be missing: the purge process then says so itself. It is empty for plan.Intake.
	ConnectionSecret string
	Keys             []KeyRef
	// Subjects and Holds are the Secrets of the persons of the Plan's requests and holds, as far as they are in Secrets.
	// Types are the keys that are looked for in them.
	Subjects, Holds []SubjectSource
	Types           []string
	// Carried is the name of the Secret that Handoff makes, of the same name as the Job; empty if there is none.
	Carried string
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
	if encoded, err := json.Marshal(job); err != nil || len(encoded) > maxJobBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrJobTooLarge, len(encoded), maxJobBytes)
	}
	return &Objects{ConfigMap: configMap, Job: job}, nil
}

func (in Input) component() string {
	switch in.Kind {
	case plan.Probe:
		return ComponentProbe
	case plan.CountHeld, plan.Intake:
		return ComponentLook
	}
	return ComponentPurge
}

func (in Input) labels() map[string]string {
	l := maps.Clone(in.Labels)
	if l == nil {
		l = map[string]string{}
	}
	delete(l, LabelPolicy)
	delete(l, LabelDatastore)
	l[LabelName] = ManagedBy
	l[LabelComponent] = in.component()
	l[LabelManagedBy] = ManagedBy
	l[LabelPartOf] = ManagedBy
	l[LabelRun] = LabelValue(in.Run)
	if in.Datastore != "" {
		l[LabelDatastore] = LabelValue(in.Datastore)
	}
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
