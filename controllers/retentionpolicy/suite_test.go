// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/attest/attesttest"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/controllers/internal/kstatus"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/testing/apiserver"
)

func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	apiserver.Run(m)
}

// world is a namespace of a real API server with a reconciler in it. The API server has no kubelet: kubelet plays it, and
// writes into Pods what a purge process would have left.
type world struct {
	t         *testing.T
	c         client.WithWatch
	namespace string
	clock     *clocktesting.FakePassiveClock
	events    *events.FakeRecorder
	// writesLeft is how many writes succeed before the manager dies; negative is all.
	writesLeft int
	killed     bool
	// pod is what a purge Pod leaves; it is called once for each Pod, with the number of Pods before it.
	pod func(job *batchv1.Job, attempt int) podEnd
	// purged counts the Pods that ran to their end, deleted the records that they have deleted, by Job.
	purged  map[string]int
	deleted map[string]int64
	// keys are the manager's.
	keys holds.Opener
	// ledger has the evidence.
	ledger *attesttest.Ledger
}

// podEnd is how a Pod ends.
type podEnd struct {
	code    int32
	message []byte
}

var errKilled = errors.New("the manager was killed")

func newWorld(t *testing.T) *world {
	t.Helper()
	srv := apiserver.Get(t)
	c, err := client.NewWithWatch(srv.Config, client.Options{Scheme: srv.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, c: c, namespace: srv.Namespace(t), writesLeft: -1, purged: map[string]int{}, deleted: map[string]int64{},
		clock:  clocktesting.NewFakePassiveClock(time.Now().UTC().Truncate(time.Second)),
		events: events.NewFakeRecorder(1000),
		pod:    func(job *batchv1.Job, _ int) podEnd { return ends(job, receipt.ExitDone, succeeded(10, 10)) },
		ledger: attesttest.New(t),
	}
	t.Cleanup(w.expectAccounts)
	return w
}

// write lets the manager write, or die before it.
func (w *world) write(do func() error) error {
	switch {
	case w.writesLeft == 0:
		w.killed = true
		return errKilled
	case w.writesLeft > 0:
		w.writesLeft--
	}
	return do()
}

// reconciler returns a manager as it is after a restart: it knows nothing but what the API server tells.
func (w *world) reconciler() *Reconciler {
	mortal := interceptor.NewClient(w.c, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return w.write(func() error { return c.Create(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return w.write(func() error { return c.Delete(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			if data, err := p.Data(o); err == nil && bytes.Contains(data, []byte(`"suspend":false`)) {
				w.expectIntent(o.(*batchv1.Job)) // nothing else can be suspended
			}
			return w.write(func() error { return c.Patch(ctx, o, p, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return w.write(func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	})
	return &Reconciler{Client: mortal, Live: w.c, Events: w.events, Clock: w.clock, Image: "retention-operator:test", Keys: w.keys, Evidence: mortalLedger{w}}
}

// pass makes one pass over the policy and checks that the status it leaves is one that kstatus understands.
func (w *world) pass(r *Reconciler, name string) error {
	w.t.Helper()
	result, err := r.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: w.namespace, Name: name}})
	p := &retentionv1.RetentionPolicy{}
	if getErr := w.c.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, p); getErr == nil && p.Status.ObservedGeneration >= 0 {
		if result.RequeueAfter == immediately && p.Status.ObservedGeneration < p.Generation {
			return err // the pass only set the finalizer: the status is that of before
		}
		if kerr := kstatus.Check(p); kerr != nil {
			w.t.Errorf("after a pass: %v", kerr)
		}
	}
	return err
}

// settle makes passes, with the kubelet at work between them, until no run is active and nothing more is due, and
// returns the policy.
func (w *world) settle(name string) *retentionv1.RetentionPolicy {
	w.t.Helper()
	quiet := 0
	for range 200 {
		err := w.pass(w.reconciler(), name)
		if err != nil && !errors.Is(err, errKilled) && !apierrors.IsConflict(err) {
			w.t.Fatalf("pass: %v", err)
		}
		if w.killed {
			w.writesLeft = -1 // killed once is killed once
		}
		w.kubelet()
		p := w.policy(name)
		if p == nil {
			return nil
		}
		if err == nil && p.Status.ActiveRun == nil {
			if quiet++; quiet == 3 {
				return p
			}
			continue
		}
		quiet = 0
	}
	w.t.Fatalf("no end: %+v", w.policy(name).Status.ActiveRun)
	return nil
}

func (w *world) policy(name string) *retentionv1.RetentionPolicy {
	p := &retentionv1.RetentionPolicy{}
	if err := w.c.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, p); apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func (w *world) jobs() []batchv1.Job {
	list := &batchv1.JobList{}
	w.must(w.c.List(w.t.Context(), list, client.InNamespace(w.namespace)))
	return list.Items
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// kubelet runs the Job controller and the kubelet for one round: every released Job gets a Pod, which ends at once.
func (w *world) kubelet() {
	w.t.Helper()
	at := map[string][]string{}
	for _, job := range w.jobs() {
		if ptr.Deref(job.Spec.Suspend, false) || purgejob.State(&job).Finished() {
			continue
		}
		ds := job.Labels[purgejob.LabelDatastore]
		if at[ds] = append(at[ds], job.Name); len(at[ds]) > 1 {
			w.t.Errorf("two purges at once on %s: %v", ds, at[ds])
		}
		w.runPod(&job)
	}
}

func (w *world) runPod(job *batchv1.Job) {
	w.t.Helper()
	ctx := w.t.Context()
	attempt := w.purged[job.Name]
	w.purged[job.Name]++
	end := w.pod(job, attempt)
	if r, err := receipt.Decode(end.message); err == nil && len(r.Steps) > 0 {
		w.deleted[job.Name] += r.Steps[0].Deleted
	}
	now := metav1.NewTime(w.clock.Now())
	pod := &corev1.Pod{
		ObjectMeta: *job.Spec.Template.ObjectMeta.DeepCopy(),
		Spec:       *job.Spec.Template.Spec.DeepCopy(),
	}
	pod.Namespace, pod.Name = job.Namespace, fmt.Sprintf("%s-%d", job.Name, attempt)
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Labels[batchv1.JobNameLabel] = job.Name
	w.must(controllerutil.SetControllerReference(job, pod, w.c.Scheme()))
	w.must(w.c.Create(ctx, pod))
	pod.Status.Phase = corev1.PodSucceeded
	if end.code != 0 {
		pod.Status.Phase = corev1.PodFailed
	}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: purgejob.ContainerName, ContainerID: "test://1",
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: end.code, Message: string(end.message), StartedAt: now, FinishedAt: now, ContainerID: "test://1",
		}},
	}}
	w.must(w.c.Status().Update(ctx, pod))

	job.Status.StartTime = &now
	final := slices.Contains([]int32{2, 3, 4}, end.code) || attempt >= 2
	switch {
	case end.code == 0:
		job.Status.Succeeded = 1
		job.Status.CompletionTime = &now
		job.Status.Conditions = append(job.Status.Conditions,
			batchv1.JobCondition{Type: batchv1.JobSuccessCriteriaMet, Status: corev1.ConditionTrue, Reason: batchv1.JobReasonCompletionsReached, LastTransitionTime: now},
			batchv1.JobCondition{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, Reason: batchv1.JobReasonCompletionsReached, LastTransitionTime: now})
	case final:
		job.Status.Failed++
		job.Status.Conditions = append(job.Status.Conditions,
			batchv1.JobCondition{Type: batchv1.JobFailureTarget, Status: corev1.ConditionTrue, Reason: batchv1.JobReasonPodFailurePolicy, LastTransitionTime: now},
			batchv1.JobCondition{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: batchv1.JobReasonPodFailurePolicy, LastTransitionTime: now})
	default:
		job.Status.Failed++
	}
	w.must(w.c.Status().Update(ctx, job))
}

// ends is a Pod that leaves a receipt for the Job's plan.
func ends(job *batchv1.Job, code receipt.ExitCode, r *receipt.Receipt) podEnd {
	r.Version, r.Run, r.PlanDigest = receipt.Version, job.Labels[purgejob.LabelRun], job.Annotations[purgejob.AnnotationPlanDigest]
	b, err := receipt.Encode(r)
	if err != nil {
		panic(err)
	}
	return podEnd{code: int32(code), message: b}
}

// succeeded is the receipt of a process that found matched due records in step 0, deleted deleted, and verified.
func succeeded(matched, deleted int64) *receipt.Receipt {
	now := time.Now().UTC().Truncate(time.Second)
	return &receipt.Receipt{
		Phase: receipt.PhaseFinished, Reason: receipt.Succeeded, StartTime: now, Time: now, ServerVersion: "15.18", Identity: "id-1",
		Steps: []receipt.Step{{Index: 0, Counted: true, Records: 100, Matched: matched, Deleted: deleted, Verified: true, Reason: receipt.Succeeded}},
	}
}

// datastore makes a Datastore that has been probed.
func (w *world) datastore(name string) *retentionv1.Datastore {
	w.t.Helper()
	ds := &retentionv1.Datastore{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name, Labels: map[string]string{"personal": "true"}},
		Spec: retentionv1.DatastoreSpec{
			PostgreSQL: &retentionv1.PostgreSQL{SecretRef: retentionv1.SecretReference{Name: "connection"}},
			Datasets:   []retentionv1.Dataset{{Name: "events", TimestampField: "at"}},
		},
	}
	w.must(w.c.Create(w.t.Context(), ds))
	ds.Status.Identity, ds.Status.ObservedIdentity = "id-1", "id-1"
	ds.Status.ObservedGeneration = ds.Generation
	meta.SetStatusCondition(&ds.Status.Conditions, metav1.Condition{Type: retentionv1.ConditionReady, Status: metav1.ConditionTrue, Reason: retentionv1.ReasonReady})
	w.must(w.c.Status().Update(w.t.Context(), ds))
	return ds
}

// create makes a policy that deletes events after 90 days, changed by change, and a request for a run.
func (w *world) create(name string, change func(*retentionv1.RetentionPolicy)) {
	w.t.Helper()
	p := &retentionv1.RetentionPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name, Annotations: map[string]string{retentionv1.AnnotationRequestedAt: "1"}},
		Spec: retentionv1.RetentionPolicySpec{
			DatastoreSelector: retentionv1.DatastoreSelector{MatchLabels: map[string]retentionv1.LabelValue{"personal": "true"}},
			Schedule:          "0 3 1 1 *",
			Rules:             []retentionv1.Rule{{Name: "old", Datasets: []retentionv1.DatasetName{"events"}, DeleteAfter: "P90D"}},
		},
	}
	if change != nil {
		change(p)
	}
	w.must(w.c.Create(w.t.Context(), p))
}
