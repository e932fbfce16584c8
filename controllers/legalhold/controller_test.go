// SPDX-License-Identifier: Apache-2.0

package legalhold

import (
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/prometheus/client_golang/prometheus/testutil"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/metrics"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/seal"
)

type condition = metav1.Condition

// rounds makes n rounds of holds and kubelet, without a policy.
func (w *world) rounds(n int, name string) {
	w.t.Helper()
	for range n {
		w.passHold(name)
		w.kubelet()
		w.clock.SetTime(w.clock.Now().Add(time.Second))
	}
}

func TestAHoldThatMatchesNothing(t *testing.T) {
	w := newWorld(t)
	w.create("h", nil)
	w.rounds(2, "h")
	w.expect("h", "False", retentionv1.ReasonMatchesNothing)

	w.datastore("shop") // it appears later
	w.rounds(1, "h")
	h := w.expect("h", "True", retentionv1.ReasonEnforced)
	if *h.Status.SelectedDatastores != 1 || h.Status.EnforcedTime == nil || !slices.Equal(h.Status.Datastores[0].Datasets, []retentionv1.DatasetName{"events"}) {
		t.Errorf("status %+v", h.Status)
	}
	if ds := w.store("shop"); len(ds.Status.Holds) != 1 || ds.Status.Holds[0].UID != string(h.UID) {
		t.Errorf("holds %+v", ds.Status.Holds)
	}
	if told := w.told(); !slices.Equal(told, []string{"Warning MatchesNothing", "Normal Enforced"}) {
		t.Errorf("told %v", told)
	}
	if v := testutil.ToFloat64(metrics.HoldEnforced.WithLabelValues(w.namespace, "h")); v != 1 {
		t.Errorf("metric %v", v)
	}
	w.create("other", func(s *retentionv1.LegalHoldSpec) { s.Datasets = []retentionv1.DatasetName{"nowhere"} })
	w.rounds(2, "other")
	w.expect("other", "False", retentionv1.ReasonMatchesNothing)
}

// TestLabelsDoNotReleaseAHold: a Datastore that comes to match is registered; one that no longer does stays so.
func TestLabelsDoNotReleaseAHold(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("h", func(s *retentionv1.LegalHoldSpec) {
		s.DatastoreSelector = &retentionv1.DatastoreSelector{MatchLabels: map[string]retentionv1.LabelValue{"case": "42"}}
	})
	w.rounds(2, "h")
	w.expect("h", "False", retentionv1.ReasonMatchesNothing)
	for _, label := range []string{"42", "none"} {
		ds := w.store("shop")
		ds.Labels["case"] = label
		w.must(w.c.Update(t.Context(), ds))
		w.rounds(1, "h")
		w.expect("h", "True", retentionv1.ReasonEnforced)
	}
	w.start()
	w.until("the run succeeds", w.succeeded, "h")
	if w.rows["events"] != 50 {
		t.Errorf("rows %v", w.rows)
	}
}

// TestAHoldOnAPerson is enforced once a Job has counted what it keeps; it counts again once a day and when the map changes.
func TestAHoldOnAPerson(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.kept["events"] = 3
	w.create("h", func(s *retentionv1.LegalHoldSpec) {
		s.Subject = &retentionv1.Subject{SecretRef: &retentionv1.SecretReference{Name: "person"}}
	})
	w.rounds(2, "h")
	w.expect("h", "False", retentionv1.ReasonRegistering)
	jobs := w.jobs()
	if len(jobs) != 1 || jobs[0].Labels["app.kubernetes.io/component"] != "look" {
		t.Fatalf("jobs %v", jobs)
	}
	w.rounds(3, "h")
	h := w.expect("h", "True", retentionv1.ReasonEnforced)
	if ptr.Deref(h.Status.Records, -1) != 3 || h.Status.Datastores[0].CountedTime == nil {
		t.Errorf("status %+v", h.Status)
	}
	w.rounds(2, "h")
	if jobs := w.jobs(); len(jobs) != 0 {
		t.Errorf("jobs are left: %v", jobs)
	}
	recounted := func(n int) {
		t.Helper()
		w.kept["events"] = n
		w.rounds(6, "h")
		if h := w.expect("h", "True", retentionv1.ReasonEnforced); ptr.Deref(h.Status.Records, -1) != int64(n) {
			t.Errorf("%d records, not %d", *h.Status.Records, n)
		}
	}
	w.clock.SetTime(w.clock.Now().Add(25 * time.Hour))
	recounted(4)
	ds := w.store("shop")
	ds.Spec.Datasets[0].Path = "public.events"
	w.must(w.c.Update(t.Context(), ds))
	w.told()
	recounted(0)
	h = w.hold("h")
	if told := w.told(); !slices.Contains(told, "Warning MatchesNothing") {
		t.Errorf("told %v", told)
	}
	if c := h.Status.Conditions; !slices.ContainsFunc(c, func(c condition) bool { return strings.Contains(c.Message, matchesNoRecord) }) {
		t.Errorf("conditions %+v", c)
	}
}

// TestAHoldThatCannotBeRead says so, is registered nevertheless, and is tried again.
func TestAHoldThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.uncountable = receipt.HoldUnreadable
	w.create("h", func(s *retentionv1.LegalHoldSpec) {
		s.Subject = &retentionv1.Subject{SecretRef: &retentionv1.SecretReference{Name: "nobody"}}
	})
	w.rounds(6, "h")
	w.expect("h", "False", retentionv1.ReasonHoldUnreadable)
	if ds := w.store("shop"); len(ds.Status.Holds) != 1 {
		t.Errorf("holds %+v", ds.Status.Holds)
	}
	w.clock.SetTime(w.clock.Now().Add(2 * minRetry))
	w.rounds(3, "h")
	w.expect("h", "False", retentionv1.ReasonHoldUnreadable) // while it is counted anew, too
	w.uncountable = ""
	w.clock.SetTime(w.clock.Now().Add(2 * minRetry))
	w.rounds(8, "h")
	w.expect("h", "True", retentionv1.ReasonEnforced)
}

// TestASealedSubject: the manager opens it for the Job, in a Secret that goes with the Job, and notes the key.
func TestASealedSubject(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.ring = seal.Ring{key}
	w.datastore("shop")
	for name, to := range map[string]*age.X25519Identity{"h": key, "lost": other} {
		sealed, err := seal.Seal(to.Recipient().String(), []byte("email=a@example.com\n"))
		w.must(err)
		w.create(name, func(s *retentionv1.LegalHoldSpec) { s.Subject = &retentionv1.Subject{Sealed: sealed} })
	}
	w.rounds(2, "lost")
	w.expect("lost", "False", retentionv1.ReasonHoldUnreadable)
	copied, err := seal.Seal(key.Recipient().String(), []byte("# namespace: elsewhere\nemail=a@example.com\n"))
	w.must(err)
	w.create("copied", func(s *retentionv1.LegalHoldSpec) { s.Subject = &retentionv1.Subject{Sealed: copied} })
	w.rounds(2, "copied")
	if h := w.expect("copied", "False", retentionv1.ReasonHoldUnreadable); len(w.jobs()) != 0 || h.Status.SealingKey != "" {
		t.Errorf("Jobs %v, key %q", w.jobs(), h.Status.SealingKey)
	}

	w.passHold("h")
	w.passHold("h")
	secrets := func() []corev1.Secret {
		list := &corev1.SecretList{}
		w.must(w.c.List(t.Context(), list, client.InNamespace(w.namespace)))
		return list.Items
	}
	if s := secrets(); len(s) != 1 || s[0].Name != w.jobs()[0].Name || string(s[0].Data["h0.given"]) != "email=a@example.com\n" {
		t.Errorf("secrets %v", s)
	}
	w.rounds(6, "h")
	h := w.expect("h", "True", retentionv1.ReasonEnforced)
	if h.Status.SealingKey != key.Recipient().String() {
		t.Errorf("key %q", h.Status.SealingKey)
	}
	if s := secrets(); len(s) != 0 {
		t.Errorf("secrets are left: %v", s)
	}
}

// TestAHoldCannotBeDeletedBeforeItIsReleased: the finalizer keeps it, and it stays enforced.
func TestAHoldCannotBeDeletedBeforeItIsReleased(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("h", nil)
	w.rounds(2, "h")
	w.must(w.c.Delete(t.Context(), w.hold("h")))
	w.rounds(3, "h")
	w.expect("h", "True", retentionv1.ReasonEnforced)
	w.release("h")
	w.rounds(4, "h")
	if h := w.hold("h"); h != nil {
		t.Errorf("it stays: %+v", h.Status)
	}
	if ds := w.store("shop"); len(ds.Status.Holds) != 0 {
		t.Errorf("holds %+v", ds.Status.Holds)
	}
}

func TestAReleasedHold(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("h", nil)
	w.rounds(2, "h")
	w.told()
	w.release("h")
	w.rounds(3, "h")
	h := w.expect("h", "False", retentionv1.ReasonReleased)
	if h.Status.ReleasedTime == nil || len(h.Finalizers) != 0 || len(h.Status.Datastores) != 1 {
		t.Errorf("status %+v", h.Status)
	}
	if told := w.told(); !slices.Equal(told, []string{"Normal Released"}) {
		t.Errorf("told %v", told)
	}
}

// TestAHoldThatSomebodyRemovedByForce is removed from the Datastores, and holds no run up.
func TestAHoldThatSomebodyRemovedByForce(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("h", nil)
	w.rounds(2, "h")
	h := w.hold("h")
	h.Finalizers = nil
	w.must(w.c.Update(t.Context(), h))
	w.must(w.c.Delete(t.Context(), h))
	w.start()
	w.until("the run succeeds", w.succeeded)
	w.passHold("h")
	if ds := w.store("shop"); len(ds.Status.Holds) != 0 {
		t.Errorf("holds %+v", ds.Status.Holds)
	}
}

func (w *world) jobs() []batchv1.Job {
	list := &batchv1.JobList{}
	w.must(w.c.List(w.t.Context(), list, client.InNamespace(w.namespace)))
	return list.Items
}

// TestWhatMattersToHolds: the status of a Datastore changes often, and most of that is not about holds.
func TestWhatMattersToHolds(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*retentionv1.Datastore)
		want   bool
	}{
		"the run goes on":            {func(ds *retentionv1.Datastore) { ds.Status.ActiveRun.Erasure.State = "Released" }, false},
		"a probe":                    {func(ds *retentionv1.Datastore) { ds.Status.ActiveProbe = "probe" }, false},
		"the run ends":               {func(ds *retentionv1.Datastore) { ds.Status.ActiveRun = nil }, true},
		"the run acknowledges":       {func(ds *retentionv1.Datastore) { ds.Status.ActiveRun.Holds = []string{"h"} }, true},
		"a hold is removed":          {func(ds *retentionv1.Datastore) { ds.Status.Holds = nil }, true},
		"a label":                    {func(ds *retentionv1.Datastore) { ds.Labels = map[string]string{"case": "42"} }, true},
		"the data map":               {func(ds *retentionv1.Datastore) { ds.Generation++ }, true},
		"the first probe reached it": {func(ds *retentionv1.Datastore) { ds.Status.Identity = "id-1" }, true},
	} {
		was := &retentionv1.Datastore{}
		was.Status.ActiveRun = &retentionv1.ActiveRun{Name: "run", Erasure: &retentionv1.ErasureRun{State: "Preparing"}}
		was.Status.Holds = []retentionv1.RegisteredHold{{Name: "h", UID: "h"}}
		is := was.DeepCopy()
		tc.change(is)
		if got := matters(event.UpdateEvent{ObjectOld: was, ObjectNew: is}); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
