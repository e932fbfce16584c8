// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/receipt"
)

func TestEditReplacesTheProbe(t *testing.T) {
	w := newWorld(t)
	w.probe(healthy())
	w.edit(annotate(retentionv1.AnnotationRequestedAt, "1"))
	w.pass()
	old := w.job()
	pod := w.startPod(old)
	w.edit(func(ds *retentionv1.Datastore) { ds.Spec.PostgreSQL.SecretRef.Name = "the-right-one" })
	w.pass()
	w.expect(map[string]string{"Ready": "Unknown/Progressing", "Reconciling": "True/Progressing"})
	job := w.job()
	if job.UID == old.UID {
		t.Fatal("the old probe goes on")
	}
	w.must(w.client.Get(t.Context(), client.ObjectKeyFromObject(pod), pod))
	if len(pod.Finalizers) > 0 {
		t.Error("the old probe's Pod cannot go")
	}
	w.answer(job, healthy())
	w.pass()
	w.expect(map[string]string{"Ready": "True/Ready"})
}

func TestPodThatCannotStart(t *testing.T) {
	w := newWorld(t)
	w.pass()
	pod := w.startPod(w.job())
	w.pass()
	w.expect(map[string]string{"Reconciling": "True/Progressing"})
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: purgejob.ContainerName, Image: "i",
		State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull", Message: "no such image"}},
	}}
	w.must(w.client.Status().Update(t.Context(), pod))
	w.pass()
	w.expect(map[string]string{"Ready": "False/ProbeCannotStart", "Reconciling": "True/ProbeCannotStart"})
	for _, c := range w.datastore().Status.Conditions {
		if c.Type == "Ready" && !strings.Contains(c.Message, "ErrImagePull: no such image") {
			t.Errorf("the message is %q", c.Message)
		}
	}
	if diff := cmp.Diff([]string{"Warning ProbeCannotStart"}, w.told()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}

	// The Job gives up; its Pod never ran.
	pod.Status.Phase, pod.Status.ContainerStatuses = corev1.PodFailed, nil
	w.must(w.client.Status().Update(t.Context(), pod))
	w.failJob(w.job(), "DeadlineExceeded")
	w.pass()
	w.expect(map[string]string{"Ready": "False/ProbeCannotStart", "Reachable": "False/ProbeCannotStart", "Reconciling": "True/ProgressingWithRetry"})
	w.expectNothingLeft()
}

// TestImageIsReplaced: a manager that is told the right image does not wait for a Pod that cannot get the wrong one, and
// leaves alone a Pod that can.
func TestImageIsReplaced(t *testing.T) {
	w := newWorld(t)
	w.pass()
	wrong := w.job()
	pod := w.startPod(wrong)
	r := w.reconciler()
	r.Image = "registry.example/purge:2"
	pass := func() {
		t.Helper()
		for range 2 {
			if _, err := r.Reconcile(t.Context(), w.request()); err != nil {
				t.Fatal(err)
			}
			w.check()
		}
	}
	pass()
	if w.job().UID != wrong.UID {
		t.Fatal("a Job that may well work was replaced")
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: purgejob.ContainerName, Image: "i", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ErrImagePull"}},
	}}
	w.must(w.client.Status().Update(t.Context(), pod))
	pass()
	right := w.job()
	if right.UID == wrong.UID || right.Spec.Template.Spec.Containers[0].Image != r.Image {
		t.Fatalf("the image is still %s", right.Spec.Template.Spec.Containers[0].Image)
	}
	w.answer(right, healthy())
	w.pass()
	w.expect(map[string]string{"Ready": "True/Ready"})
}

func TestGarbageForAReceipt(t *testing.T) {
	for name, message := range map[string]string{
		"nothing":      "",
		"text":         "panic: runtime error: password=hunter2",
		"half":         `{"v":1,"run":"x","pla`,
		"another plan": `{"v":1,"run":"x","plan":"sha256:00","phase":"Finished","reason":"Succeeded","start":"2026-11-24T12:00:00Z","time":"2026-11-24T12:00:00Z"}`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pass()
			job := w.job()
			w.endPod(w.startPod(job), message, 137)
			w.pass()
			w.expect(map[string]string{"Ready": "Unknown/NotProbed"}) // the Job may try again
			w.failJob(job, "BackoffLimitExceeded")
			w.pass()
			w.expect(map[string]string{"Ready": "False/ProbeFailed", "Reachable": "False/ProbeFailed", "IdentityPinned": "Unknown/NotProbed", "Reconciling": "True/ProgressingWithRetry"})
			for _, c := range w.datastore().Status.Conditions {
				if strings.Contains(c.Message, "hunter2") {
					t.Errorf("%s repeats what it cannot read: %s", c.Type, c.Message)
				}
			}
			w.expectNothingLeft()
		})
	}
}

func TestUnreachableWaitsForTheJobsOwnRetries(t *testing.T) {
	w := newWorld(t)
	w.pass()
	job := w.job()
	w.answer(job, failed(receipt.Unreachable, ""))
	w.pass()
	w.expect(map[string]string{"Ready": "Unknown/NotProbed", "Reconciling": "True/Progressing"})
	w.clock.SetTime(w.clock.Now().Add(20 * time.Second))
	w.answer(job, healthy())
	w.pass()
	w.expect(map[string]string{"Ready": "True/Ready"})
}

func TestForeignJobIsNotAdopted(t *testing.T) {
	w := newWorld(t)
	w.pass()
	ours := w.job()
	// Another Job gets the name before the manager comes to make its own.
	foreign := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: ours.Name, Labels: ours.Labels}, Spec: *ours.Spec.DeepCopy()}
	foreign.Spec.Selector, foreign.Spec.Template.Labels, foreign.Spec.Template.Finalizers = nil, nil, nil
	ours.Finalizers = nil
	w.must(w.client.Update(t.Context(), ours))
	w.must(w.client.Delete(t.Context(), ours, client.PropagationPolicy(metav1.DeletePropagationBackground)))
	w.must(w.client.Create(t.Context(), foreign))
	w.answer(foreign, healthy())

	w.pass()
	w.expect(map[string]string{"Ready": "False/ProbeCannotStart", "Reachable": "Unknown/NotProbed", "Reconciling": "True/ProbeCannotStart"})
	w.clock.SetTime(w.clock.Now().Add(time.Hour))
	w.pass()
	if got := w.job(); got.UID != foreign.UID || !got.DeletionTimestamp.IsZero() {
		t.Fatal("the foreign Job was touched")
	}
	w.must(w.client.Delete(t.Context(), foreign, client.PropagationPolicy(metav1.DeletePropagationBackground)))
	w.probe(healthy())
	w.expect(map[string]string{"Ready": "True/Ready"})
}

// TestJobOfAnotherVersion: a Job of ours that this version would build otherwise is made anew.
func TestJobOfAnotherVersion(t *testing.T) {
	w := newWorld(t)
	w.pass()
	old := w.job()
	changed := old.DeepCopy()
	changed.ResourceVersion, changed.UID, changed.Spec.Selector, changed.Spec.Template.Labels = "", "", nil, nil
	changed.Spec.Template.Spec.Containers[0].Args = []string{"purge", "--as-in-2025"}
	old.Finalizers = nil
	w.must(w.client.Update(t.Context(), old))
	w.must(w.client.Delete(t.Context(), old, client.PropagationPolicy(metav1.DeletePropagationBackground)))
	w.must(w.client.Create(t.Context(), changed))
	w.pass()
	if w.job().UID != changed.UID {
		t.Error("the Job was replaced at once; two versions would take turns")
	}
	w.clock.SetTime(w.clock.Now().Add(foreignGrace + time.Minute))
	w.pass()
	w.expectNothingLeft()
	w.probe(healthy())
	w.expect(map[string]string{"Ready": "True/Ready"})
}

func TestJobDeletedByAPersonIsMadeAgain(t *testing.T) {
	w := newWorld(t)
	w.pass()
	job := w.job()
	w.must(w.client.Delete(t.Context(), job, client.PropagationPolicy(metav1.DeletePropagationBackground)))
	w.pass() // lets go of it
	w.expectNothingLeft()
	w.probe(healthy())
	w.expect(map[string]string{"Ready": "True/Ready"})
}
