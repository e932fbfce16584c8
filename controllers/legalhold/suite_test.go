// SPDX-License-Identifier: Apache-2.0

package legalhold

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

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
	"dataretention.dev/retention-operator/controllers/internal/kstatus"
	"dataretention.dev/retention-operator/controllers/retentionpolicy"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/seal"
	"dataretention.dev/retention-operator/internal/testing/apiserver"
)

func TestMain(m *testing.M) { apiserver.Run(m) }

// world is a namespace of a real API server with both controllers in it, that of holds and that of policies. The API server
// has no kubelet: kubelet plays it, and plays the purge process as well, which deletes one batch of rows in each round.
type world struct {
	t         *testing.T
	c         client.WithWatch
	namespace string
	clock     *clocktesting.FakePassiveClock
	events    *events.FakeRecorder
	// writesLeft is how many writes succeed before the manager dies; negative is all.
	writesLeft int
	killed     bool
	// unlistable has the API server refuse to list holds.
	unlistable bool
	ring       seal.Ring
	ledger     *attesttest.Ledger
	// rows are the due rows of each dataset, kept how many of them a hold on single records keeps.
	rows, kept map[string]int
	// uncountable is why a count of what a hold keeps fails; empty if it does not.
	uncountable receipt.Reason
	// deleted is how many rows each running Pod has deleted, by step.
	deleted map[string][]int64
}

// batch is how many rows a Pod deletes in one round.
const batch = 10

var errKilled = errors.New("the manager was killed")

func newWorld(t *testing.T) *world {
	t.Helper()
	srv := apiserver.Get(t)
	c, err := client.NewWithWatch(srv.Config, client.Options{Scheme: srv.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	return &world{
		t: t, c: c, namespace: srv.Namespace(t), writesLeft: -1, ledger: attesttest.New(t),
		clock:  clocktesting.NewFakePassiveClock(time.Now().UTC().Truncate(time.Second)),
		events: events.NewFakeRecorder(1000),
		rows:   map[string]int{"events": 50, "logins": 50}, kept: map[string]int{}, deleted: map[string][]int64{},
	}
}

func (w *world) Open(_ context.Context, text string) ([]byte, string, error) {
	return w.ring.Open(text)
}

// client is the manager's: it dies when its writes are used up.
func (w *world) client() (mortal, live client.Client) {
	write := func(do func() error) error {
		switch {
		case w.writesLeft == 0:
			w.killed = true
			return errKilled
		case w.writesLeft > 0:
			w.writesLeft--
		}
		return do()
	}
	list := func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
		if _, ok := l.(*retentionv1.LegalHoldList); ok && w.unlistable {
			return errors.New("holds cannot be listed")
		}
		return c.List(ctx, l, opts...)
	}
	funcs := interceptor.Funcs{
		List: list,
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return write(func() error { return c.Create(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return write(func() error { return c.Delete(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return write(func() error { return c.Patch(ctx, o, p, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return write(func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	}
	return interceptor.NewClient(w.c, funcs), interceptor.NewClient(w.c, interceptor.Funcs{List: list})
}

// holds and policies are the controllers as they are after a restart: they know nothing but what the API server tells.
func (w *world) holds() *Reconciler {
	mortal, live := w.client()
	return &Reconciler{Client: mortal, Live: live, Events: w.events, Clock: w.clock, Image: "retention-operator:test", Keys: w, Evidence: w.ledger}
}

func (w *world) policies() *retentionpolicy.Reconciler {
	mortal, live := w.client()
	return &retentionpolicy.Reconciler{Client: mortal, Live: live, Events: events.NewFakeRecorder(1000), Clock: w.clock, Image: "retention-operator:test", Keys: w, Evidence: w.ledger}
}

func (w *world) request(name string) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKey{Namespace: w.namespace, Name: name}}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// tolerate is must, but for what happens to a manager that dies or is too late.
func (w *world) tolerate(err error) {
	w.t.Helper()
	if err != nil && !errors.Is(err, errKilled) && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		w.t.Fatal(err)
	}
	if w.killed {
		w.killed, w.writesLeft = false, -1 // killed once is killed once
	}
}

// passHold makes one pass over hold h, and checks that its status is one that kstatus understands.
func (w *world) passHold(name string) {
	w.t.Helper()
	_, err := w.holds().Reconcile(w.t.Context(), w.request(name))
	if w.unlistable {
		return
	}
	w.tolerate(err)
	if h := w.hold(name); h != nil && h.Status.ObservedGeneration == h.Generation {
		if err := kstatus.Check(h); err != nil {
			w.t.Errorf("after a pass: %v", err)
		}
	}
}

func (w *world) passPolicy() {
	w.t.Helper()
	_, err := w.policies().Reconcile(w.t.Context(), w.request("p"))
	if !w.unlistable {
		w.tolerate(err)
	}
}

func (w *world) hold(name string) *retentionv1.LegalHold {
	h := &retentionv1.LegalHold{}
	if err := w.c.Get(w.t.Context(), w.request(name).NamespacedName, h); apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		w.t.Fatal(err)
	}
	return h
}

func (w *world) policy() *retentionv1.RetentionPolicy {
	p := &retentionv1.RetentionPolicy{}
	w.must(w.c.Get(w.t.Context(), w.request("p").NamespacedName, p))
	return p
}

func (w *world) store(name string) *retentionv1.Datastore {
	ds := &retentionv1.Datastore{}
	w.must(w.c.Get(w.t.Context(), w.request(name).NamespacedName, ds))
	return ds
}

// round makes one pass of each controller, with the kubelet at work in between.
func (w *world) round(holds ...string) {
	w.t.Helper()
	w.passPolicy()
	for _, h := range holds {
		w.passHold(h)
	}
	w.kubelet()
	w.clock.SetTime(w.clock.Now().Add(time.Second))
}

// until makes rounds until done says so.
func (w *world) until(what string, done func() bool, holds ...string) {
	w.t.Helper()
	for range 80 {
		if done() {
			return
		}
		w.round(holds...)
	}
	w.t.Fatalf("never: %s; policy %+v", what, w.policy().Status)
}

func (w *world) enforced(name string) bool {
	return meta.IsStatusConditionTrue(w.hold(name).Status.Conditions, retentionv1.ConditionEnforced)
}

func (w *world) expect(name string, status metav1.ConditionStatus, reason string) *retentionv1.LegalHold {
	w.t.Helper()
	h := w.hold(name)
	c := meta.FindStatusCondition(h.Status.Conditions, retentionv1.ConditionEnforced)
	if c == nil || c.Status != status || c.Reason != reason {
		w.t.Fatalf("Enforced: %+v; datastores %+v", c, h.Status.Datastores)
	}
	return h
}

// idle says whether the policy has nothing to do, and its last run is a success.
func (w *world) succeeded() bool {
	st := w.policy().Status
	return st.ActiveRun == nil && st.LastRun != nil && st.LastRun.Outcome == retentionv1.OutcomeSucceeded
}

// datastore makes a Datastore with two datasets that has been probed.
func (w *world) datastore(name string) *retentionv1.Datastore {
	w.t.Helper()
	ds := &retentionv1.Datastore{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name, Labels: map[string]string{"personal": "true"}},
		Spec: retentionv1.DatastoreSpec{
			PostgreSQL: &retentionv1.PostgreSQL{SecretRef: retentionv1.SecretReference{Name: "connection"}},
			Datasets: []retentionv1.Dataset{
				{Name: "events", TimestampField: "at", Identifiers: []retentionv1.Identifier{{Type: "email", Field: "email"}}},
				{Name: "logins", TimestampField: "at", DataClass: "telemetry"},
			},
		},
	}
	w.must(w.c.Create(w.t.Context(), ds))
	ds.Status.Identity, ds.Status.ObservedIdentity = "id-1", "id-1"
	ds.Status.ObservedGeneration = ds.Generation
	meta.SetStatusCondition(&ds.Status.Conditions, metav1.Condition{Type: retentionv1.ConditionReady, Status: metav1.ConditionTrue, Reason: retentionv1.ReasonReady})
	w.must(w.c.Status().Update(w.t.Context(), ds))
	return ds
}

// start makes policy p, which deletes from both datasets, and asks for a run.
func (w *world) start() {
	w.t.Helper()
	w.must(w.c.Create(w.t.Context(), &retentionv1.RetentionPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "p", Annotations: map[string]string{retentionv1.AnnotationRequestedAt: "1"}},
		Spec: retentionv1.RetentionPolicySpec{
			DatastoreSelector: retentionv1.DatastoreSelector{MatchLabels: map[string]retentionv1.LabelValue{"personal": "true"}},
			Schedule:          "0 3 1 1 *",
			Rules:             []retentionv1.Rule{{Name: "old", Datasets: []retentionv1.DatasetName{"events", "logins"}, DeleteAfter: "P90D"}},
		},
	}))
}

// create makes a hold on dataset events.
func (w *world) create(name string, change func(*retentionv1.LegalHoldSpec)) {
	w.t.Helper()
	h := &retentionv1.LegalHold{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec:       retentionv1.LegalHoldSpec{Datasets: []retentionv1.DatasetName{"events"}, Reason: "litigation", Authority: "court"},
	}
	if change != nil {
		change(&h.Spec)
	}
	w.must(w.c.Create(w.t.Context(), h))
}

func (w *world) release(name string) {
	w.t.Helper()
	h := w.hold(name)
	base := h.DeepCopy()
	h.Spec.Release = &retentionv1.HoldRelease{Reason: "settled"}
	w.must(w.c.Patch(w.t.Context(), h, client.MergeFrom(base)))
}

// kubelet is one round of the Job controller, the kubelet and the purge processes.
func (w *world) kubelet() {
	w.t.Helper()
	list := &batchv1.JobList{}
	w.must(w.c.List(w.t.Context(), list, client.InNamespace(w.namespace)))
	for i := range list.Items {
		job := &list.Items[i]
		if purgejob.State(job).Finished() || !job.DeletionTimestamp.IsZero() {
			continue
		}
		pod := w.podOf(job)
		switch suspended := ptr.Deref(job.Spec.Suspend, false); {
		case pod == nil && suspended:
		case pod == nil:
			w.startPod(job)
		case suspended && pod.Status.Phase == corev1.PodRunning:
			w.work(job, pod, true)
		case pod.Status.Phase == corev1.PodRunning:
			w.work(job, pod, false)
		}
	}
}

func (w *world) podOf(job *batchv1.Job) *corev1.Pod {
	pods := &corev1.PodList{}
	w.must(w.c.List(w.t.Context(), pods, client.InNamespace(w.namespace), client.MatchingLabels{batchv1.JobNameLabel: job.Name}))
	if own := purgejob.PodsOf(job, pods.Items); len(own) > 0 {
		return &own[0]
	}
	return nil
}

func (w *world) startPod(job *batchv1.Job) {
	w.t.Helper()
	pod := &corev1.Pod{ObjectMeta: *job.Spec.Template.ObjectMeta.DeepCopy(), Spec: *job.Spec.Template.Spec.DeepCopy()}
	pod.Namespace, pod.Name = job.Namespace, job.Name+"-"+string(job.UID)
	pod.Labels[batchv1.JobNameLabel] = job.Name
	w.must(controllerutil.SetControllerReference(job, pod, w.c.Scheme()))
	w.must(w.c.Create(w.t.Context(), pod))
	now := metav1.NewTime(w.clock.Now())
	pod.Status.Phase = corev1.PodRunning
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: purgejob.ContainerName, ContainerID: "test://1", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
	}}
	w.must(w.c.Status().Update(w.t.Context(), pod))
	job.Status.StartTime, job.Status.Active = &now, 1
	w.must(w.c.Status().Update(w.t.Context(), job))
}

// work is one round of a process: a batch, and the end if it was told to stop or nothing is left to do.
func (w *world) work(job *batchv1.Job, pod *corev1.Pod, stopped bool) {
	w.t.Helper()
	configMap, p := &corev1.ConfigMap{}, &plan.Plan{}
	w.must(w.c.Get(w.t.Context(), client.ObjectKeyFromObject(job), configMap))
	w.must(json.Unmarshal([]byte(configMap.Data["plan.json"]), p))
	now := w.clock.Now()
	r := &receipt.Receipt{Version: receipt.Version, Run: job.Labels[purgejob.LabelRun], PlanDigest: job.Annotations[purgejob.AnnotationPlanDigest],
		Phase: receipt.PhaseFinished, Reason: receipt.Succeeded, StartTime: now, Time: now, ServerVersion: "15.18", Identity: "id-1"}
	if p.Kind == plan.CountHeld {
		if r.Reason = w.uncountable; r.Reason != "" {
			w.end(job, pod, receipt.ExitFailed, r)
			return
		}
		r.Reason = receipt.Succeeded
		r.Steps = []receipt.Step{{Index: 0, Counted: true, Verified: true, Held: int64(w.kept[p.Holds[0].Datasets[0]])}}
		w.end(job, pod, receipt.ExitDone, r)
		return
	}
	left := 0
	deleted := w.deleted[pod.Name]
	for i, step := range p.Steps {
		kept := 0
		if slices.ContainsFunc(p.Holds, func(h plan.Hold) bool { return slices.Contains(h.Datasets, step.Dataset) }) {
			kept = w.kept[step.Dataset]
		}
		n := min(batch, max(w.rows[step.Dataset]-kept, 0))
		w.rows[step.Dataset] -= n
		if len(deleted) <= i {
			deleted = append(deleted, 0)
		}
		deleted[i] += int64(n)
		left += max(w.rows[step.Dataset]-kept, 0)
		r.Steps = append(r.Steps, receipt.Step{Index: i, Counted: true, Records: 100, Matched: 50, Deleted: deleted[i], Held: int64(kept), Verified: left == 0})
	}
	w.deleted[pod.Name] = deleted
	switch {
	case left == 0:
		w.end(job, pod, receipt.ExitDone, r)
	case stopped:
		r.Phase, r.Reason = receipt.PhasePurging, receipt.Interrupted
		w.end(job, pod, receipt.ExitInterrupted, r)
	}
}

func (w *world) end(job *batchv1.Job, pod *corev1.Pod, code receipt.ExitCode, r *receipt.Receipt) {
	w.t.Helper()
	message, err := receipt.Encode(r)
	w.must(err)
	now := metav1.NewTime(w.clock.Now())
	pod.Status.Phase = corev1.PodSucceeded
	if code != receipt.ExitDone {
		pod.Status.Phase = corev1.PodFailed
	}
	pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: int32(code), Message: string(message), StartedAt: now, FinishedAt: now, ContainerID: "test://1",
	}}
	w.must(w.c.Status().Update(w.t.Context(), pod))
	job.Status.Active = 0
	condition := func(kinds ...batchv1.JobConditionType) {
		for _, kind := range kinds {
			job.Status.Conditions = append(job.Status.Conditions,
				batchv1.JobCondition{Type: kind, Status: corev1.ConditionTrue, Reason: "Test", LastTransitionTime: now})
		}
	}
	switch {
	case code == receipt.ExitDone:
		job.Status.Succeeded, job.Status.CompletionTime = 1, &now
		condition(batchv1.JobSuccessCriteriaMet, batchv1.JobComplete)
	case code == receipt.ExitInterrupted:
		job.Status.Failed++
	default:
		job.Status.Failed++
		condition(batchv1.JobFailureTarget, batchv1.JobFailed)
	}
	w.must(w.c.Status().Update(w.t.Context(), job))
}

// told are the reasons of the events so far.
func (w *world) told() []string {
	var out []string
	for {
		select {
		case e := <-w.events.Events:
			var kind, reason string
			_, _ = fmt.Sscanf(e, "%s %s", &kind, &reason)
			out = append(out, kind+" "+reason)
		default:
			return out
		}
	}
}
