// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/go-logr/logr"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/erasurerun"
	"dataretention.dev/retention-operator/controllers/internal/attest/attesttest"
	"dataretention.dev/retention-operator/controllers/internal/kstatus"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/seal"
	"dataretention.dev/retention-operator/internal/testing/apiserver"
)

func TestMain(m *testing.M) { apiserver.Run(m) }

// ring is the operator's keys.
type ring struct{ seal.Ring }

func newRing(t *testing.T) *ring {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return &ring{seal.Ring{key}}
}

func (r *ring) Recipient(context.Context) (string, error) { return r.Current(), nil }

func (r *ring) Open(_ context.Context, text string) ([]byte, string, error) { return r.Ring.Open(text) }

// world is a real API server with both controllers of erasures. The API server has no kubelet: kubelet plays it, and the
// purge processes with it.
type world struct {
	t          *testing.T
	c          client.WithWatch
	namespace  string
	namespaces []string
	clock      *clocktesting.FakePassiveClock
	events     *events.FakeRecorder
	keys       *ring
	ledger     *attesttest.Ledger
	// writesLeft is how many writes succeed before the manager dies; negative is all.
	writesLeft int
	// writes counts all of them.
	writes int
	killed bool

	mu sync.Mutex
	// records are what is in the databases, by the name of the Datastore.
	records map[string][]record
	// logs are those of Pods, by name; one that is missing is gone.
	logs map[string]string
	// pods counts the Pods that were run, and erased the records that they erased, by Job.
	pods, erased map[string]int
	// before is called before a Pod runs, and may keep it from doing so.
	before func(job *batchv1.Job, attempt int) bool
	// broken makes the Pods of a Datastore end without having reached it.
	broken map[string]bool
	// dies makes a Pod die after the first commit without having told of its end.
	dies map[string]int
	// evicted has the first Pod that erases in a Datastore interrupted and deleted; its log is gone a round later.
	evicted   map[string]bool
	perishing []string
	// commits makes the commitments real ones, which take their time, and has them compared.
	commits bool
	// forget makes the log of a Pod that changes something unreadable.
	forget bool
	// says is what a receipt says in a sentence.
	says string
}

var errKilled = errors.New("the manager was killed")

func newWorld(t *testing.T) *world {
	t.Helper()
	srv := apiserver.Get(t)
	c, err := client.NewWithWatch(srv.Config, client.Options{Scheme: srv.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	ctrl.SetLogger(logr.Discard())
	w := &world{
		t: t, c: c, namespace: srv.Namespace(t), writesLeft: -1, keys: newRing(t),
		clock:  clocktesting.NewFakePassiveClock(time.Now().UTC().Truncate(time.Second)),
		events: events.NewFakeRecorder(10000),
		logs:   map[string]string{}, pods: map[string]int{}, erased: map[string]int{}, records: map[string][]record{},
		broken: map[string]bool{}, dies: map[string]int{}, evicted: map[string]bool{},
	}
	w.namespaces = []string{w.namespace}
	w.ledger = attesttest.New(t)
	t.Cleanup(w.verify)
	return w
}

// write does what a manager does unless it is dead.
func (w *world) write(do func() error) error {
	w.writes++
	switch {
	case w.writesLeft == 0:
		w.killed = true
		return errKilled
	case w.writesLeft > 0:
		w.writesLeft--
	}
	return do()
}

// mortal is a client that dies when its writes are used up.
func (w *world) mortal() client.Client {
	write := w.write
	return interceptor.NewClient(w.c, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return write(func() error { return c.Create(ctx, o, opts...) })
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return write(func() error { w.expectStated(o, true); return c.Delete(ctx, o, opts...) })
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			return write(func() error { w.expectStated(o, false); return c.Patch(ctx, o, p, opts...) })
		},
		SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			return write(func() error { w.expectStated(o, false); return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	})
}

// managers returns the controllers as they are after a restart: they know nothing but what the API server tells.
func (w *world) managers() (*Reconciler, *erasurerun.Reconciler) {
	c := w.mortal()
	const image = "retention-operator:test"
	return &Reconciler{Client: c, Live: w.c, Events: w.events, Clock: w.clock, Keys: w.keys, Logs: w.log, Image: image, Evidence: &mortalLedger{w}},
		&erasurerun.Reconciler{Client: c, Live: w.c, Events: w.events, Clock: w.clock, Keys: w.keys, Logs: w.log, Image: image, Evidence: &mortalLedger{w}}
}

func (w *world) log(_ context.Context, _, pod string) (io.ReadCloser, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text, found := w.logs[pod]
	if !found {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "pods"}, pod)
	}
	return io.NopCloser(strings.NewReader(text)), nil
}

// pass makes one pass over every request and every Datastore, and checks that the status that it leaves of a request is one
// that kstatus understands.
func (w *world) pass() {
	w.t.Helper()
	requests, runs := w.managers()
	for _, r := range w.list() {
		key := client.ObjectKeyFromObject(&r)
		_, err := requests.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: key})
		w.tolerate(err)
		after := w.get(key)
		if after == nil || after.Status.ObservedGeneration < after.Generation {
			continue // gone, or the pass only set the finalizer
		}
		if err := kstatus.Check(after); err != nil {
			w.t.Errorf("after a pass: %v", err)
		}
	}
	for _, ds := range w.datastores() {
		_, err := runs.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(&ds)})
		w.tolerate(err)
	}
	if w.killed {
		w.writesLeft = -1 // killed once is killed once
	}
}

func (w *world) tolerate(err error) {
	w.t.Helper()
	if err != nil && !errors.Is(err, errKilled) && !apierrors.IsConflict(err) {
		w.t.Fatalf("pass: %v", err)
	}
}

// settle makes passes, with the kubelet at work between them and the clock going on, until nothing changes any more.
func (w *world) settle() {
	w.t.Helper()
	quiet, last := 0, ""
	for range 400 {
		w.pass()
		w.kubelet()
		w.tick(2 * time.Second)
		now := w.fingerprint()
		if quiet++; now != last || w.running() {
			quiet, last = 0, now
		}
		if quiet == 4 {
			return
		}
	}
	w.t.Fatalf("no end:\n%s", last)
}

// running says whether an erasure run is under way that does not wait for the ledger.
func (w *world) running() bool {
	return slices.ContainsFunc(w.datastores(), func(ds retentionv1.Datastore) bool {
		run := ds.Status.ActiveRun
		return run != nil && run.Erasure != nil && run.Erasure.Reason != retentionv1.ReasonLedgerUnavailable
	})
}

func (w *world) tick(d time.Duration) { w.clock.SetTime(w.clock.Now().Add(d)) }

func (w *world) fingerprint() string {
	var b strings.Builder
	for _, r := range w.list() {
		fmt.Fprintf(&b, "%s/%s %s\n", r.Namespace, r.Name, r.ResourceVersion)
	}
	for _, ds := range w.datastores() {
		run, err := json.Marshal(ds.Status.ActiveRun)
		w.must(err)
		fmt.Fprintf(&b, "%s %s %s\n", ds.Name, ds.ResourceVersion, run)
	}
	return b.String()
}

func (w *world) list() []retentionv1.ErasureRequest {
	var out []retentionv1.ErasureRequest
	for _, namespace := range w.namespaces {
		list := &retentionv1.ErasureRequestList{}
		w.must(w.c.List(w.t.Context(), list, client.InNamespace(namespace)))
		out = append(out, list.Items...)
	}
	return out
}

func (w *world) datastores() []retentionv1.Datastore {
	var out []retentionv1.Datastore
	for _, namespace := range w.namespaces {
		list := &retentionv1.DatastoreList{}
		w.must(w.c.List(w.t.Context(), list, client.InNamespace(namespace)))
		out = append(out, list.Items...)
	}
	return out
}

func (w *world) get(key client.ObjectKey) *retentionv1.ErasureRequest {
	w.t.Helper()
	r := &retentionv1.ErasureRequest{}
	if err := w.c.Get(w.t.Context(), key, r); apierrors.IsNotFound(err) {
		return nil
	} else if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func (w *world) request(name string) *retentionv1.ErasureRequest {
	w.t.Helper()
	return w.get(client.ObjectKey{Namespace: w.namespace, Name: name})
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// customers is a data map: customers have an e-mail address and a number, and orders refer to them.
func customers() []retentionv1.Dataset {
	erase := &retentionv1.OnErasure{Action: retentionv1.ErasureActionDelete}
	return []retentionv1.Dataset{
		{Name: "customer", Identifiers: []retentionv1.Identifier{{Type: "email", Field: "email"}, {Type: "customer_id", Field: "id"}}, OnErasure: erase},
		{Name: "orders", References: []retentionv1.Reference{{Field: "customer", Dataset: "customer", Key: "id"}}, OnErasure: erase},
	}
}

// tickets is a data map that knows customers by their number only.
func tickets() []retentionv1.Dataset {
	return []retentionv1.Dataset{{
		Name: "ticket", Identifiers: []retentionv1.Identifier{{Type: "customer_id", Field: "customer"}},
		OnErasure: &retentionv1.OnErasure{Action: retentionv1.ErasureActionDelete},
	}}
}

// datastore makes a Datastore that has been probed, in the first namespace unless change puts it elsewhere.
func (w *world) datastore(name string, datasets []retentionv1.Dataset, change func(*retentionv1.Datastore)) *retentionv1.Datastore {
	w.t.Helper()
	ds := &retentionv1.Datastore{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name, Labels: map[string]string{"personal": "true"}},
		Spec: retentionv1.DatastoreSpec{
			PostgreSQL: &retentionv1.PostgreSQL{SecretRef: retentionv1.SecretReference{Name: "connection"}},
			Datasets:   datasets,
		},
	}
	if change != nil {
		change(ds)
	}
	w.must(w.c.Create(w.t.Context(), ds))
	ds.Status.Identity, ds.Status.ObservedIdentity = "id-"+name, "id-"+name
	ds.Status.ObservedGeneration = ds.Generation
	meta.SetStatusCondition(&ds.Status.Conditions, metav1.Condition{Type: retentionv1.ConditionReady, Status: metav1.ConditionTrue, Reason: retentionv1.ReasonReady})
	w.must(w.c.Status().Update(w.t.Context(), ds))
	return ds
}

// create makes a request about the person with the identifiers, which stand in a Secret of its name.
func (w *world) create(name string, ids map[string]string, change func(*retentionv1.ErasureRequest)) {
	w.t.Helper()
	w.must(w.c.Create(w.t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}, Type: retentionv1.SubjectSecretType, StringData: ids,
	}))
	r := &retentionv1.ErasureRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec: retentionv1.ErasureRequestSpec{
			Subject: retentionv1.Subject{SecretRef: &retentionv1.SecretReference{Name: name}},
		},
	}
	if change != nil {
		change(r)
	}
	w.must(w.c.Create(w.t.Context(), r))
}

// sealed seals lines for a request.
func (w *world) sealed(lines string) string {
	text, err := seal.Seal(w.keys.Current(), []byte(lines))
	w.must(err)
	return text
}

func (w *world) jobs() []batchv1.Job {
	var out []batchv1.Job
	for _, namespace := range w.namespaces {
		list := &batchv1.JobList{}
		w.must(w.c.List(w.t.Context(), list, client.InNamespace(namespace)))
		out = append(out, list.Items...)
	}
	return out
}

// kubelet runs the Job controller and the kubelet for one round: every released Job gets a Pod, which ends at once.
func (w *world) kubelet() {
	w.t.Helper()
	for _, pod := range w.perishing {
		delete(w.logs, pod)
	}
	w.perishing = nil
	at := map[string][]string{}
	for _, job := range w.jobs() {
		if ptr.Deref(job.Spec.Suspend, false) || purgejob.State(&job).Finished() || !job.DeletionTimestamp.IsZero() {
			continue
		}
		if w.before != nil && !w.before(&job, w.pods[job.Name]) {
			continue
		}
		if ds := job.Labels[purgejob.LabelDatastore]; ds != "" {
			if at[ds] = append(at[ds], job.Name); len(at[ds]) > 1 {
				w.t.Errorf("two purges at once on %s: %v", ds, at[ds])
			}
		}
		w.runPod(&job)
	}
}

func (w *world) runPod(job *batchv1.Job) {
	w.t.Helper()
	ctx := w.t.Context()
	attempt := w.pods[job.Name]
	w.pods[job.Name]++
	now := metav1.NewTime(w.clock.Now())
	pod := &corev1.Pod{ObjectMeta: *job.Spec.Template.ObjectMeta.DeepCopy(), Spec: *job.Spec.Template.Spec.DeepCopy()}
	pod.Namespace, pod.Name = job.Namespace, fmt.Sprintf("%s-%d", job.Name, attempt)
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Labels[batchv1.JobNameLabel] = job.Name
	w.must(controllerutil.SetControllerReference(job, pod, w.c.Scheme()))
	w.must(w.c.Create(ctx, pod))
	end := w.process(job, pod.Name, attempt)
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
	if end.code == 143 {
		w.must(w.c.Delete(ctx, pod, client.GracePeriodSeconds(0)))
		w.perishing = append(w.perishing, pod.Name)
	}
	if job.Status.StartTime == nil {
		job.Status.StartTime = &now
	}
	switch {
	case end.code == 0:
		job.Status.Succeeded = 1
		job.Status.CompletionTime = &now
		job.Status.Conditions = append(job.Status.Conditions,
			batchv1.JobCondition{Type: batchv1.JobSuccessCriteriaMet, Status: corev1.ConditionTrue, Reason: batchv1.JobReasonCompletionsReached, LastTransitionTime: now},
			batchv1.JobCondition{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, Reason: batchv1.JobReasonCompletionsReached, LastTransitionTime: now})
	case attempt >= 1:
		job.Status.Failed++
		job.Status.Conditions = append(job.Status.Conditions,
			batchv1.JobCondition{Type: batchv1.JobFailureTarget, Status: corev1.ConditionTrue, Reason: batchv1.JobReasonBackoffLimitExceeded, LastTransitionTime: now},
			batchv1.JobCondition{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, Reason: batchv1.JobReasonBackoffLimitExceeded, LastTransitionTime: now})
	default:
		job.Status.Failed++
	}
	w.must(w.c.Status().Update(ctx, job))
}

// everything is what a person with the right to read all but Secrets sees.
func (w *world) everything() string {
	var b strings.Builder
	for _, namespace := range w.namespaces {
		for _, list := range []client.ObjectList{
			&retentionv1.ErasureRequestList{}, &retentionv1.DatastoreList{}, &batchv1.JobList{}, &corev1.ConfigMapList{}, &corev1.PodList{},
		} {
			w.must(w.c.List(w.t.Context(), list, client.InNamespace(namespace)))
			text, err := json.Marshal(list)
			w.must(err)
			b.Write(text)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, log := range w.logs {
		b.WriteString(log)
	}
	return b.String()
}

// secrets are the names of the Secrets with identifiers.
func (w *world) secrets() []string {
	var out []string
	for _, namespace := range w.namespaces {
		list := &corev1.SecretList{}
		w.must(w.c.List(w.t.Context(), list, client.InNamespace(namespace)))
		for _, s := range list.Items {
			if s.Type == retentionv1.SubjectSecretType {
				out = append(out, s.Name)
			}
		}
	}
	slices.Sort(out)
	return out
}

// expectReleased checks that nothing holds the Datastores, Jobs and Pods any longer, and that nothing that was opened for a
// Job is left.
func (w *world) expectReleased() {
	w.t.Helper()
	for _, ds := range w.datastores() {
		if ds.Status.ActiveRun != nil || ds.Status.PendingErasures != nil {
			w.t.Errorf("datastore %s is still held: %+v, %+v", ds.Name, ds.Status.ActiveRun, ds.Status.PendingErasures)
		}
	}
	for _, job := range w.jobs() {
		if len(job.Finalizers) > 0 {
			w.t.Errorf("Job %s has finalizers %v", job.Name, job.Finalizers)
		}
	}
	for _, namespace := range w.namespaces {
		pods := &corev1.PodList{}
		w.must(w.c.List(w.t.Context(), pods, client.InNamespace(namespace)))
		for _, pod := range pods.Items {
			if len(pod.Finalizers) > 0 {
				w.t.Errorf("Pod %s has finalizers %v", pod.Name, pod.Finalizers)
			}
		}
	}
	for _, r := range w.list() {
		if len(r.Finalizers) > 0 && (r.Status.State == retentionv1.ErasureAnswered || r.Status.State == retentionv1.ErasureDenied) {
			w.t.Errorf("request %s has finalizers %v", r.Name, r.Finalizers)
		}
	}
}

func (w *world) told() []string {
	var out []string
	for {
		select {
		case e := <-w.events.Events:
			out = append(out, e)
		default:
			return out
		}
	}
}

func (w *world) ns(name string) *corev1.Namespace {
	w.t.Helper()
	ns := &corev1.Namespace{}
	w.must(w.c.Get(w.t.Context(), client.ObjectKey{Name: name}, ns))
	return ns
}
