// SPDX-License-Identifier: Apache-2.0

package purgejob

import (
	"cmp"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/receipt"
)

const (
	// nobody is the user and group of the process: nonroot of the usual minimal images.
	nobody int64 = 65532
	// gracePeriodSeconds is longer than a batch's statement and lock timeouts, so that a batch can end.
	gracePeriodSeconds int64 = 90
	purgeBackoffLimit  int32 = 6
	lookBackoffLimit   int32 = 0 // the controller looks again, and tells why sooner
)

func (in Input) jobSpec() batchv1.JobSpec {
	backoffLimit := purgeBackoffLimit
	if in.component() != ComponentPurge {
		backoffLimit = lookBackoffLimit
	}
	return batchv1.JobSpec{
		Suspend:               new(in.Suspend),
		Parallelism:           new(int32(1)),
		Completions:           new(int32(1)),
		CompletionMode:        new(batchv1.NonIndexedCompletion),
		BackoffLimit:          new(backoffLimit),
		ActiveDeadlineSeconds: new(in.ActiveDeadlineSeconds),
		PodFailurePolicy:      podFailurePolicy(),
		// No second writer while the first is still ending.
		PodReplacementPolicy: new(batchv1.Failed),
		Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{
				Labels:      in.labels(),
				Annotations: in.annotations(),
				// A Pod that is deleted keeps its termination message until we have read it.
				Finalizers: []string{Finalizer},
			},
			Spec: in.podSpec(),
		},
	}
}

// podFailurePolicy fails the Job at once where another try can change nothing, and does not count what a node did to a
// Pod. Everything else counts towards backoffLimit.
func podFailurePolicy() *batchv1.PodFailurePolicy {
	return &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{
		{
			Action: batchv1.PodFailurePolicyActionFailJob,
			OnExitCodes: &batchv1.PodFailurePolicyOnExitCodesRequirement{
				ContainerName: new(ContainerName),
				Operator:      batchv1.PodFailurePolicyOnExitCodesOpIn,
				Values: []int32{
					int32(receipt.ExitPlanRefused), int32(receipt.ExitGuardrail), int32(receipt.ExitMismatch),
				},
			},
		},
		{
			Action: batchv1.PodFailurePolicyActionIgnore,
			OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{
				{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue},
			},
		},
	}}
}

func (in Input) podSpec() corev1.PodSpec {
	return corev1.PodSpec{
		RestartPolicy:                 corev1.RestartPolicyNever,
		AutomountServiceAccountToken:  new(false),
		EnableServiceLinks:            new(false),
		TerminationGracePeriodSeconds: new(gracePeriodSeconds),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:   new(true),
			RunAsUser:      new(nobody),
			RunAsGroup:     new(nobody),
			FSGroup:        new(nobody),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{in.container()},
		Volumes:    in.volumes(),
	}
}

func (in Input) container() corev1.Container {
	resources := in.Resources
	if resources.Limits == nil && resources.Requests == nil {
		resources = DefaultResources()
	}
	var mounts []corev1.VolumeMount
	for _, f := range in.folders() {
		mounts = append(mounts, corev1.VolumeMount{Name: f.volume.Name, MountPath: f.directory, ReadOnly: true})
	}
	return corev1.Container{
		Name:                     ContainerName,
		Image:                    in.Image,
		ImagePullPolicy:          corev1.PullIfNotPresent,
		Args:                     in.args(),
		Resources:                *resources.DeepCopy(),
		VolumeMounts:             mounts,
		TerminationMessagePath:   corev1.TerminationMessagePathDefault,
		TerminationMessagePolicy: corev1.TerminationMessageReadFile,
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false),
			ReadOnlyRootFilesystem:   new(true),
			Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		},
	}
}

// args is the command line of the purge process. There are no environment variables.
func (in Input) args() []string {
	args := []string{
		"purge",
		"--plan=" + planDirectory + "/" + planFile,
		"--plan-digest=" + plan.DigestOf(in.Plan),
		"--connection-dir=" + connectionDirectory,
		"--keys-dir=" + keysDirectory,
		"--receipt=" + corev1.TerminationMessagePathDefault,
	}
	for _, f := range in.folders() {
		switch f.volume.Name {
		case "subjects", "holds", "carried":
			args = append(args, "--"+f.volume.Name+"-dir="+f.directory)
		}
	}
	if in.ApprovedRecords != nil {
		args = append(args, fmt.Sprintf("--approved-records=%d", *in.ApprovedRecords))
	}
	return args
}

// folder is a volume and where the container finds it.
type folder struct {
	directory string
	volume    corev1.Volume
}

// folders are those that the Job needs.
func (in Input) folders() []folder {
	folders := []folder{{planDirectory, corev1.Volume{Name: "plan", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
		LocalObjectReference: corev1.LocalObjectReference{Name: in.Name},
		Items:                []corev1.KeyToPath{{Key: planFile, Path: planFile}},
		DefaultMode:          new(int32(0o444)),
	}}}}}
	if in.ConnectionSecret != "" || in.Kind != plan.Intake {
		folders = append(folders, folder{connectionDirectory,
			projected("connection", []corev1.VolumeProjection{secret(in.ConnectionSecret, nil)})})
	}
	if len(in.Keys) > 0 {
		folders = append(folders, folder{keysDirectory, projected("keys", keySources(in.Keys))})
	}
	if len(in.Subjects) > 0 {
		folders = append(folders, folder{subjectsDirectory, projected("subjects", in.subjectSources(in.Subjects))})
	}
	if len(in.Holds) > 0 {
		folders = append(folders, folder{holdsDirectory, projected("holds", in.subjectSources(in.Holds))})
	}
	if in.Carried != "" {
		carried := secret(in.Carried, nil)
		carried.Secret.Optional = new(false) // we made it: a Pod that does not see it yet has to wait
		folders = append(folders, folder{carriedDirectory, projected("carried", []corev1.VolumeProjection{carried})})
	}
	return folders
}

// volumes projects what is optional, so that a missing Secret or key is reported by the purge process and does not leave
// a Pod that waits for ever.
func (in Input) volumes() []corev1.Volume {
	var volumes []corev1.Volume
	for _, f := range in.folders() {
		volumes = append(volumes, f.volume)
	}
	return volumes
}

func projected(name string, sources []corev1.VolumeProjection) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources:     sources,
		DefaultMode: new(int32(0o440)), // the group is nobody's, by fsGroup
	}}}
}

func secret(name string, items []corev1.KeyToPath) corev1.VolumeProjection {
	return corev1.VolumeProjection{Secret: &corev1.SecretProjection{
		LocalObjectReference: corev1.LocalObjectReference{Name: name},
		Items:                items,
		Optional:             new(true),
	}}
}

// keySources has one source for each Secret, in the order of names, each key once.
func keySources(keys []KeyRef) []corev1.VolumeProjection {
	sorted := slices.Clone(keys)
	slices.SortFunc(sorted, func(a, b KeyRef) int { return cmp.Or(cmp.Compare(a.Secret, b.Secret), cmp.Compare(a.Key, b.Key)) })
	var sources []corev1.VolumeProjection
	for _, k := range slices.Compact(sorted) {
		if n := len(sources); n == 0 || sources[n-1].Secret.Name != k.Secret {
			sources = append(sources, secret(k.Secret, nil))
		}
		last := sources[len(sources)-1].Secret
		last.Items = append(last.Items, corev1.KeyToPath{Key: k.Key, Path: k.Secret + "/" + k.Key})
	}
	return sources
}

// subjectSources has one source for each Secret of a person, with all types of identifiers that are looked for: nobody but
// the kubelet can tell which of them it has.
func (in Input) subjectSources(subjects []SubjectSource) []corev1.VolumeProjection {
	var sources []corev1.VolumeProjection
	for _, s := range subjects {
		var items []corev1.KeyToPath
		for _, t := range in.Types {
			items = append(items, corev1.KeyToPath{Key: t, Path: fmt.Sprintf("%d/%s", s.Number, t)})
		}
		sources = append(sources, secret(s.Secret, items))
	}
	return sources
}
