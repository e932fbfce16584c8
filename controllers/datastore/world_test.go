// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/kstatus"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/testing/apiserver"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	apiserver.Run(m)
}

// world is a namespace of a real API server with one Datastore in it. The test takes the parts of the Job controller and
// the kubelet, which do not run there.
type world struct {
	t      *testing.T
	client client.Client
	clock  *clocktesting.FakePassiveClock
	events *events.FakeRecorder
	ns     string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	srv := apiserver.Get(t)
	w := &world{
		t: t, client: srv.Client, ns: srv.Namespace(t),
		clock:  clocktesting.NewFakePassiveClock(time.Now().Truncate(time.Second)),
		events: events.NewFakeRecorder(1000),
	}
	ds := accounts()
	ds.ObjectMeta = metav1.ObjectMeta{Namespace: w.ns, Name: "accounts", Labels: map[string]string{"personal": "true"}}
	ds.Status = retentionv1.DatastoreStatus{}
	w.must(w.client.Create(t.Context(), ds))
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) reconciler() *Reconciler {
	return &Reconciler{Client: w.client, Live: w.client, Events: w.events, Clock: w.clock, Image: "registry.example/purge:1"}
}

func (w *world) request() ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKey{Namespace: w.ns, Name: "accounts"}}
}

// pass makes one pass, which must not fail, and checks the status that it leaves.
func (w *world) pass() ctrl.Result {
	w.t.Helper()
	result, err := w.reconciler().Reconcile(w.t.Context(), w.request())
	w.must(err)
	w.check()
	return result
}

func (w *world) check() {
	w.t.Helper()
	ds := w.datastore()
	if err := kstatus.Check(ds); err != nil {
		w.t.Errorf("after a pass: %v", err)
	}
	for _, c := range standing {
		if brief(ds)[c] == "" {
			w.t.Errorf("after a pass: %s is absent", c)
		}
	}
}

func (w *world) datastore() *retentionv1.Datastore {
	w.t.Helper()
	ds := &retentionv1.Datastore{}
	w.must(w.client.Get(w.t.Context(), w.request().NamespacedName, ds))
	return ds
}

// edit changes the Datastore's spec or metadata, as a person does.
func (w *world) edit(change func(*retentionv1.Datastore)) {
	w.t.Helper()
	ds := w.datastore()
	change(ds)
	w.must(w.client.Update(w.t.Context(), ds))
}

// expect compares conditions, in the form of brief, with those wanted; "" is an absent one.
func (w *world) expect(want map[string]string) {
	w.t.Helper()
	got := brief(w.datastore())
	for k, v := range want {
		if got[k] != v {
			w.t.Errorf("%s is %q, want %q", k, got[k], v)
		}
	}
}

func (w *world) jobs() []batchv1.Job {
	w.t.Helper()
	list := &batchv1.JobList{}
	w.must(w.client.List(w.t.Context(), list, client.InNamespace(w.ns)))
	return list.Items
}

// job returns the only Job.
func (w *world) job() *batchv1.Job {
	w.t.Helper()
	jobs := w.jobs()
	if len(jobs) != 1 {
		w.t.Fatalf("there are %d Jobs, want 1", len(jobs))
	}
	return &jobs[0]
}

// planOf reads the plan that the Job's Pod is given.
func (w *world) planOf(job *batchv1.Job) *plan.Plan {
	w.t.Helper()
	configMap := &corev1.ConfigMap{}
	w.must(w.client.Get(w.t.Context(), client.ObjectKeyFromObject(job), configMap))
	p := &plan.Plan{}
	w.must(json.Unmarshal([]byte(configMap.Data["plan.json"]), p))
	digest, err := p.Digest()
	w.must(err)
	if digest != job.Annotations[purgejob.AnnotationPlanDigest] {
		w.t.Errorf("the Job's digest is not that of its plan")
	}
	return p
}

// startPod makes a Pod of the Job, as the Job controller does.
func (w *world) startPod(job *batchv1.Job) *corev1.Pod {
	w.t.Helper()
	pod := &corev1.Pod{ObjectMeta: *job.Spec.Template.ObjectMeta.DeepCopy(), Spec: *job.Spec.Template.Spec.DeepCopy()}
	pod.Namespace, pod.GenerateName = job.Namespace, job.Name+"-"
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))}
	w.must(w.client.Create(w.t.Context(), pod))
	return pod
}

// endPod ends a Pod, as the kubelet reports it.
func (w *world) endPod(pod *corev1.Pod, message string, exitCode int32) {
	w.t.Helper()
	now := metav1.NewTime(w.clock.Now())
	pod.Status.Phase = corev1.PodSucceeded
	if exitCode != 0 {
		pod.Status.Phase = corev1.PodFailed
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: purgejob.ContainerName, Image: "i", ImageID: "i", ContainerID: "containerd://1",
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: exitCode, Message: message, StartedAt: now, FinishedAt: now, ContainerID: "containerd://1",
		}},
	}}
	w.must(w.client.Status().Update(w.t.Context(), pod))
}

// failJob ends a Job as the Job controller does when it gives up.
func (w *world) failJob(job *batchv1.Job, reason string) {
	w.t.Helper()
	now := metav1.NewTime(w.clock.Now())
	job.Status.StartTime = &now
	job.Status.Failed = 1
	for _, kind := range []batchv1.JobConditionType{batchv1.JobFailureTarget, batchv1.JobFailed} {
		job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{
			Type: kind, Status: corev1.ConditionTrue, Reason: reason, LastTransitionTime: now, LastProbeTime: now,
		})
	}
	job.Status.UncountedTerminatedPods = &batchv1.UncountedTerminatedPods{}
	job.Status.Terminating, job.Status.Ready = ptr.To(int32(0)), ptr.To(int32(0))
	w.must(w.client.Status().Update(w.t.Context(), job))
}

// answer runs the Job's Pod to its end with a receipt for the Job's plan.
func (w *world) answer(job *batchv1.Job, r *receipt.Receipt) *corev1.Pod {
	w.t.Helper()
	message := *r
	message.Run, message.PlanDigest = job.Name, job.Annotations[purgejob.AnnotationPlanDigest]
	message.StartTime, message.Time = w.clock.Now(), w.clock.Now()
	encoded, err := receipt.Encode(&message)
	w.must(err)
	pod := w.startPod(job)
	code := int32(0)
	if r.Reason != receipt.Succeeded {
		code = int32(receipt.ExitUnavailable)
	}
	w.endPod(pod, string(encoded), code)
	return pod
}

// probe has the next probe end with r: its Job is made, runs, and its receipt is taken in. Nothing of it is left.
func (w *world) probe(r *receipt.Receipt) {
	w.t.Helper()
	w.pass()
	job := w.job()
	w.answer(job, r)
	if !conclusive(r) {
		w.failJob(job, "BackoffLimitExceeded")
	}
	w.pass()
	w.expectNothingLeft()
}

// expectNothingLeft fails if a probe's Job, plan, or finalizer on a Pod is left. A Pod itself is: what collects the
// dependents of a deleted Job does not run here.
func (w *world) expectNothingLeft() {
	w.t.Helper()
	if jobs := w.jobs(); len(jobs) > 0 {
		w.t.Errorf("%d Jobs are left, the first is %s", len(jobs), jobs[0].Name)
	}
	plans := &corev1.ConfigMapList{}
	w.must(w.client.List(w.t.Context(), plans, client.InNamespace(w.ns), client.HasLabels{purgejob.LabelDatastore}))
	if len(plans.Items) > 0 {
		w.t.Errorf("%d plans are left", len(plans.Items))
	}
	pods := &corev1.PodList{}
	w.must(w.client.List(w.t.Context(), pods, client.InNamespace(w.ns)))
	for _, p := range pods.Items {
		if len(p.Finalizers) > 0 {
			w.t.Errorf("Pod %s still has %s", p.Name, strings.Join(p.Finalizers, ", "))
		}
	}
}

// told returns the reasons of the events since it was last asked.
func (w *world) told() []string {
	var reasons []string
	for {
		select {
		case e := <-w.events.Events:
			fields := strings.Fields(e)
			reasons = append(reasons, fields[0]+" "+fields[1])
		default:
			return reasons
		}
	}
}
