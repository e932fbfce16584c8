// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/testing/apiserver"
)

var errKilled = errors.New("the manager was killed")

// mortal is a client whose manager dies at its n-th write: before the API server hears of it, or after it has acted and
// before the manager hears. From then on nothing is written any more.
type mortal struct {
	client.Client

	left    int
	after   bool
	written int
}

func (m *mortal) write(do func() error) error {
	m.written++
	m.left--
	switch {
	case m.left > 0:
		return do()
	case m.left == 0 && m.after:
		return errors.Join(errKilled, do())
	}
	return errKilled
}

func (m *mortal) Create(ctx context.Context, obj client.Object, opts ...client.CreateOption) error {
	return m.write(func() error { return m.Client.Create(ctx, obj, opts...) })
}

func (m *mortal) Delete(ctx context.Context, obj client.Object, opts ...client.DeleteOption) error {
	return m.write(func() error { return m.Client.Delete(ctx, obj, opts...) })
}

func (m *mortal) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.PatchOption) error {
	return m.write(func() error { return m.Client.Patch(ctx, obj, patch, opts...) })
}

func (m *mortal) Status() client.SubResourceWriter {
	return mortalStatus{m.Client.Status(), m}
}

type mortalStatus struct {
	client.SubResourceWriter

	mortal *mortal
}

func (s mortalStatus) Patch(ctx context.Context, obj client.Object, patch client.Patch, opts ...client.SubResourcePatchOption) error {
	return s.mortal.write(func() error { return s.SubResourceWriter.Patch(ctx, obj, patch, opts...) })
}

// TestKilledAtEveryWrite kills the manager at its n-th write of a whole probe, for every n, and lets another one go on.
// In the end everything must be as if nothing had happened, and the database must have been probed once.
func TestKilledAtEveryWrite(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			died := false
			t.Run(fmt.Sprintf("write %d, acted on %v", n, after), func(t *testing.T) {
				w := newWorld(t)
				first := &mortal{Client: w.client, left: n, after: after}
				doomed := w.reconciler()
				doomed.Client = first
				pass := func() {
					if !died {
						_, err := doomed.Reconcile(t.Context(), w.request())
						died = errors.Is(err, errKilled)
						if err != nil && !died {
							t.Fatal(err)
						}
					}
					if died { // its successor
						w.pass()
					}
				}
				pass()
				job := w.job()
				w.answer(job, healthy())
				pass()
				pass()
				w.check()
				w.expect(map[string]string{"Ready": "True/Ready", "IdentityPinned": "True/IdentityPinned", "Reconciling": "", "Stalled": ""})
				w.expectNothingLeft()
				if got := w.datastore().Status.ActiveProbe; got != "" {
					t.Errorf("%s is said to run", got)
				}
			})
			if !died {
				if n < 8 {
					t.Errorf("a probe took %d writes; were they counted?", n-1)
				}
				break
			}
		}
	}
}

// TestTwoManagers has two managers, each with passes of its own, work on one Datastore at once. They mean the same
// probes, five and no more.
func TestTwoManagers(t *testing.T) {
	w := newWorld(t)
	made := watchJobs(t, w.ns)
	both := func() {
		t.Helper()
		var managers sync.WaitGroup
		for range 2 {
			r := w.reconciler()
			managers.Go(func() {
				for range 10 {
					if _, err := r.Reconcile(t.Context(), w.request()); err != nil {
						t.Error(err)
					}
				}
			})
		}
		managers.Wait()
		w.check()
	}
	for round := range 5 {
		w.edit(annotate(retentionv1.AnnotationRequestedAt, fmt.Sprint(round)))
		both()
		w.answer(w.job(), healthy())
		both()
		w.pass() // whatever the loser of the last race made goes
		w.expect(map[string]string{"Ready": "True/Ready"})
		w.expectNothingLeft()
	}
	if got := made(); got != 5 {
		t.Errorf("%d probes were made, want 5", got)
	}
}

// watchJobs returns a function that says how many Jobs of different names were ever made in a namespace.
func watchJobs(t *testing.T, namespace string) func() int {
	t.Helper()
	srv := apiserver.Get(t)
	c, err := client.NewWithWatch(srv.Config, client.Options{Scheme: srv.Scheme})
	if err != nil {
		t.Fatal(err)
	}
	seen, err := c.Watch(t.Context(), &batchv1.JobList{}, client.InNamespace(namespace))
	if err != nil {
		t.Fatal(err)
	}
	return func() int {
		names := map[string]bool{}
		last := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "last", Labels: map[string]string{"last": "true"}}}
		last.Spec.Template.Spec = corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "i"}},
		}
		if err := c.Create(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		for e := range seen.ResultChan() {
			job, ok := e.Object.(*batchv1.Job)
			if !ok || e.Type != watch.Added {
				continue
			}
			if job.Name == "last" {
				break
			}
			names[job.Name] = true
		}
		return len(names)
	}
}

// TestNeverTouchesTheActiveRun: between the manager's look at a Datastore and its writing of the status, a run takes the
// Datastore. What the manager has decided must not be stored, and the run must stay.
func TestNeverTouchesTheActiveRun(t *testing.T) {
	w := newWorld(t)
	w.pass()
	w.answer(w.job(), healthy())

	run := &retentionv1.ActiveRun{Name: "tax-1", Policy: "tax", PolicyUID: "u9", AcquiredTime: metav1.NewTime(w.clock.Now())}
	r := w.reconciler()
	r.Client = &intruder{Client: w.client, act: func() {
		ds := w.datastore()
		ds.Status.ActiveRun = run
		w.must(w.client.Status().Update(t.Context(), ds))
	}}
	result, err := r.Reconcile(t.Context(), w.request())
	if err != nil || result.RequeueAfter != immediately {
		t.Fatalf("a conflict is no error, but a reason to look again: %v, %v", result, err)
	}
	w.expect(map[string]string{"Ready": "Unknown/NotProbed"})
	if len(w.told()) != 0 {
		t.Error("events were sent for a status that was not written")
	}
	if got := w.job(); got.Name == "" || len(got.Finalizers) == 0 {
		t.Error("the probe was let go of before its result was stored")
	}
	w.pass()
	w.expect(map[string]string{"Ready": "True/Ready"})
	got := w.datastore().Status.ActiveRun
	if got == nil {
		t.Fatal("the run is gone")
	}
	if diff := cmp.Diff(run.Name, got.Name); diff != "" {
		t.Errorf("the run (-want +got):\n%s", diff)
	}
}

// intruder acts right before the first write of a status.
type intruder struct {
	client.Client

	act func()
}

func (i *intruder) Status() client.SubResourceWriter {
	if i.act != nil {
		i.act()
		i.act = nil
	}
	return i.Client.Status()
}

// TestStaleCache: a manager whose cache does not know yet of its own Job and status does no harm.
func TestStaleCache(t *testing.T) {
	w := newWorld(t)
	old := w.datastore()
	w.pass()
	job := w.job()
	r := w.reconciler()
	r.Client = &reading{Client: w.client, change: old.DeepCopyInto}
	result, err := r.Reconcile(t.Context(), w.request())
	if err != nil || result == (ctrl.Result{}) {
		t.Fatalf("got %v, %v", result, err)
	}
	if got := w.job(); got.UID != job.UID {
		t.Error("another Job was made")
	}
	w.answer(job, healthy())
	w.pass()
	w.expect(map[string]string{"Ready": "True/Ready"})
	w.expectNothingLeft()

	// The cache still holds the Datastore as it was before its first probe.
	r.Client = &reading{Client: w.client, change: old.DeepCopyInto}
	for range 3 {
		if _, err := r.Reconcile(t.Context(), w.request()); err != nil {
			t.Fatal(err)
		}
	}
	w.expect(map[string]string{"Ready": "True/Ready"})
	w.pass() // what it has made from its old belief goes
	w.expectNothingLeft()
	if got := w.datastore().Status.LastProbeTime; !got.Time.Equal(w.clock.Now()) {
		t.Errorf("the last probe was at %s", got)
	}
}
