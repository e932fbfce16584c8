// SPDX-License-Identifier: Apache-2.0

package purgejob

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dataretention.dev/retention-operator/internal/plan"
)

// ErrForeign is wrapped by Ours and OursPlan: an object of that name exists and is not provably ours.
var ErrForeign = errors.New("an object of that name is not ours")

// Ours returns nil if an existing Job is provably the one that in describes: the same controller, run and Plan, and a Pod
// that would be told the same. Whether it is suspended, its image and its resources may differ.
func Ours(job *batchv1.Job, in Input) error {
	if err := ours(&job.ObjectMeta, in); err != nil {
		return fmt.Errorf("job %s: %w", job.Name, err)
	}
	pod := &job.Spec.Template.Spec
	if len(pod.Containers) != 1 || len(pod.InitContainers) != 0 || pod.Containers[0].Name != ContainerName ||
		len(pod.Containers[0].Command) != 0 || !slices.Equal(pod.Containers[0].Args, in.args()) {
		return fmt.Errorf("job %s: %w: it runs something else", job.Name, ErrForeign)
	}
	for _, f := range in.folders() {
		switch f.volume.Name {
		case "subjects", "holds", "carried":
			if !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return equality.Semantic.DeepEqual(v, f.volume) }) {
				return fmt.Errorf("job %s: %w: it is about other persons", job.Name, ErrForeign)
			}
		}
	}
	return nil
}

// OursPlan returns nil if an existing ConfigMap is provably the one that in describes.
func OursPlan(configMap *corev1.ConfigMap, in Input) error {
	if err := ours(&configMap.ObjectMeta, in); err != nil {
		return fmt.Errorf("config map %s: %w", configMap.Name, err)
	}
	if configMap.Immutable == nil || !*configMap.Immutable || configMap.Data[planFile] != string(in.Plan) {
		return fmt.Errorf("config map %s: %w: it holds another plan, or could come to hold one", configMap.Name, ErrForeign)
	}
	return nil
}

// PlanIn returns the plan with this digest that a ConfigMap holds; nil if it holds no such plan.
func PlanIn(configMap *corev1.ConfigMap, digest string) *plan.Plan {
	encoded := []byte(configMap.Data[planFile])
	p := &plan.Plan{}
	if plan.DigestOf(encoded) != digest || json.Unmarshal(encoded, p) != nil {
		return nil
	}
	return p
}

func ours(meta *metav1.ObjectMeta, in Input) error {
	owner := metav1.GetControllerOfNoCopy(meta)
	switch {
	case meta.Namespace != in.Namespace || meta.Name != in.Name:
		return fmt.Errorf("%w: it has another name", ErrForeign)
	case owner == nil || owner.UID != in.Owner.UID || owner.UID == "":
		return fmt.Errorf("%w: it has another controller", ErrForeign)
	case meta.Labels[LabelRun] != LabelValue(in.Run):
		return fmt.Errorf("%w: it belongs to another run", ErrForeign)
	case meta.Annotations[AnnotationPlanDigest] != plan.DigestOf(in.Plan):
		return fmt.Errorf("%w: it was made for another plan", ErrForeign)
	}
	return nil
}
