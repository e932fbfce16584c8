// SPDX-License-Identifier: Apache-2.0

package purgejob

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/internal/testing/apiserver"
)

func TestMain(m *testing.M) { apiserver.Run(m) }

// A real API server takes the objects as they are, in a namespace that enforces the restricted standard, and what it made
// of them is still provably ours.
func TestAnAPIServerAcceptsTheObjects(t *testing.T) {
	srv := apiserver.Get(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "purgejob-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	if err := srv.Client.Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	for name, in := range inputs() {
		t.Run(name, func(t *testing.T) {
			in.Namespace = namespace.Name
			o := build(t, in)
			args := o.Job.Spec.Template.Spec.Containers[0].Args
			for _, object := range []client.Object{o.ConfigMap, o.Job} {
				if err := srv.Client.Create(t.Context(), object); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(args, o.Job.Spec.Template.Spec.Containers[0].Args); diff != "" {
				t.Errorf("arguments changed:\n%s", diff)
			}
			if err := Ours(o.Job, in); err != nil {
				t.Error(err)
			}
			if err := OursPlan(o.ConfigMap, in); err != nil {
				t.Error(err)
			}
			pod := &corev1.Pod{ObjectMeta: o.Job.Spec.Template.ObjectMeta, Spec: o.Job.Spec.Template.Spec}
			pod.Namespace, pod.GenerateName = in.Namespace, in.Name+"-"
			if err := srv.Client.Create(t.Context(), pod, client.DryRunAll); err != nil {
				t.Errorf("its Pod: %v", err)
			}
			o.ConfigMap.Data[planFile] = "{}"
			if err := srv.Client.Update(t.Context(), o.ConfigMap); err == nil {
				t.Error("the plan could be changed")
			}
		})
	}
}
