// SPDX-License-Identifier: Apache-2.0

package legalhold

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/internal/purgejob"
)

// TestAHoldBeforeARun: the run excludes what the hold keeps, does the rest, and goes on by itself once the hold is released.
func TestAHoldBeforeARun(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("h", nil)
	w.passHold("h")
	w.passHold("h")
	w.expect("h", "True", retentionv1.ReasonEnforced)
	w.start()
	w.until("the run succeeds", w.succeeded, "h")
	last := w.policy().Status.LastRun
	if w.rows["events"] != 50 || w.rows["logins"] != 0 || !slices.Equal(last.Datastores[0].Holds, []string{"h"}) {
		t.Errorf("rows %v, last run %+v", w.rows, last)
	}
	if c := w.policy().Status.Conditions; !slices.ContainsFunc(c, func(c condition) bool { return c.Type == retentionv1.ConditionCompliant && c.Status == "True" }) {
		t.Errorf("what a hold keeps is no violation: %+v", c)
	}
	w.release("h")
	w.until("all is gone", func() bool { return w.rows["events"] == 0 && w.succeeded() }, "h")
	if got := w.policy().Status.LastRun; got.Trigger != retentionv1.TriggerResume {
		t.Errorf("trigger %s", got.Trigger)
	}
	if ds := w.store("shop"); len(ds.Status.Holds) != 0 {
		t.Errorf("still registered: %+v", ds.Status.Holds)
	}
	for range 5 { // nothing is left to resume
		w.round("h")
	}
	if p := w.policy(); p.Status.ActiveRun != nil || len(p.Status.History) != 2 {
		t.Errorf("it goes on: %+v", p.Status.History)
	}
}

// TestAHoldDuringARun: the Pod stops at a batch's end and is accounted for, and only then the hold is enforced. The run goes on
// with what the hold does not keep.
func TestAHoldDuringARun(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.start()
	w.until("a batch is deleted", func() bool { return w.rows["events"] < 50 })
	w.create("h", nil)
	w.passHold("h")
	w.passHold("h")
	h := w.expect("h", "False", retentionv1.ReasonWaitingForRuns)
	if h.Status.Datastores[0].WaitingFor == "" || h.Status.Datastores[0].RegisteredTime == nil {
		t.Errorf("%+v", h.Status.Datastores)
	}
	w.until("the hold is enforced", func() bool { return w.enforced("h") }, "h")
	rows := w.rows["events"]
	if rows == 0 {
		t.Fatal("the hold came too late to test anything")
	}
	w.until("the run succeeds", w.succeeded, "h")
	if w.rows["events"] != rows || w.rows["logins"] != 0 {
		t.Errorf("rows %v, and %d when the hold was enforced", w.rows, rows)
	}
	history := w.policy().Status.History
	if len(history) != 2 || history[1].Outcome != retentionv1.OutcomeInterrupted || history[0].Trigger != retentionv1.TriggerResume ||
		ptr.Deref(history[1].Deleted, 0) == 0 {
		t.Errorf("history %+v", history)
	}
}

// TestAHoldThatTheRunCannotTouch covers nothing of the Datastore: it is acknowledged, and the run goes on.
func TestAHoldThatTheRunCannotTouch(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	archive := w.datastore("archive")
	archive.Labels = nil // no policy selects it
	archive.Spec.Datasets = append(archive.Spec.Datasets, retentionv1.Dataset{Name: "invoices", TimestampField: "at"})
	w.must(w.c.Update(t.Context(), archive))
	w.start()
	w.until("a batch is deleted", func() bool { return w.rows["events"] < 50 })
	w.create("h", func(s *retentionv1.LegalHoldSpec) { s.Datasets = []retentionv1.DatasetName{"invoices"} })
	w.until("the hold is enforced", func() bool { return w.enforced("h") }, "h")
	if w.store("shop").Status.ActiveRun == nil {
		t.Fatal("the run was over before the hold was enforced: this test shows nothing")
	}
	w.until("the run succeeds", w.succeeded, "h")
	if history := w.policy().Status.History; len(history) != 1 {
		t.Errorf("history %+v", history)
	}
}

// TestNothingIsDeletedWhileHoldsCannotBeListed: the gate stays shut.
func TestNothingIsDeletedWhileHoldsCannotBeListed(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.start()
	for range 4 { // somewhere on the way
		w.passPolicy()
	}
	w.unlistable = true
	for range 10 {
		w.round()
	}
	if w.rows["events"] != 50 {
		t.Errorf("rows %v", w.rows)
	}
	w.unlistable = false
	w.until("the run succeeds", w.succeeded)
}

// TestRandomly lets a hold come at a random moment of a run, with the passes of two managers, the kubelet and time in random
// order, and a manager that dies at a random write: from the moment that the hold is enforced no row goes that it keeps.
func TestRandomly(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 1))
			w := newWorld(t)
			w.datastore("shop")
			w.rows["events"] = 120
			w.start()
			born, dies := 10+random.IntN(50), random.IntN(80)
			enforced, rows := false, 0
			for i := range 400 {
				if i == born {
					w.create("h", nil)
				}
				if i == dies {
					w.writesLeft = random.IntN(3)
				}
				switch n := random.IntN(10); {
				case n < 3:
					w.passPolicy()
				case n < 6 && i >= born:
					w.passHold("h")
				case n < 8:
					w.kubelet()
				default:
					w.clock.SetTime(w.clock.Now().Add(time.Duration(random.IntN(4000)) * time.Millisecond))
				}
				if !enforced && i >= born && w.enforced("h") {
					enforced, rows = true, w.rows["events"]
				}
				if enforced && w.rows["events"] != rows {
					t.Fatalf("step %d: %d rows went after the hold was enforced", i, rows-w.rows["events"])
				}
				if enforced && w.rows["logins"] == 0 && w.succeeded() {
					t.Logf("enforced with %d of 120 rows", rows)
					return
				}
			}
			w.until("the end", func() bool { return w.rows["logins"] == 0 && w.succeeded() && w.enforced("h") }, "h")
		})
	}
}

// TestAManagerThatDiesBeforeAnyWrite goes through the life of a hold with a manager that dies at its n-th write.
func TestAManagerThatDiesBeforeAnyWrite(t *testing.T) {
	const writes = 48 // or a few more, in all; each third is enough
	for n := 0; n < writes; n += 3 {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.datastore("shop")
			w.start()
			w.until("a batch is deleted", func() bool { return w.rows["events"] < 50 })
			w.kept["events"] = 7
			w.create("h", func(s *retentionv1.LegalHoldSpec) {
				s.Condition = &retentionv1.HoldCondition{Field: "case", Operator: "Exists"}
			})
			w.writesLeft = n
			w.until("the hold is enforced", func() bool { return w.enforced("h") }, "h")
			w.until("the run succeeds", w.succeeded, "h")
			if w.rows["events"] != 7 || w.rows["logins"] != 0 {
				t.Fatalf("rows %v", w.rows)
			}
			w.release("h")
			w.until("all is gone", func() bool { return w.rows["events"] == 0 && w.succeeded() }, "h")
			w.must(client.IgnoreNotFound(w.c.Delete(t.Context(), w.hold("h"))))
			w.until("the hold is gone", func() bool { return w.hold("h") == nil }, "h")
			if w.writesLeft > 0 {
				t.Errorf("it never died: %d writes are left", w.writesLeft)
			}
		})
	}
}

// TestTwoManagersAtOnce lets two managers work on the same hold and the same policy at the same time.
func TestTwoManagersAtOnce(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.datastore("crm")
	w.start()
	rows := -1
	for i := range 60 {
		if i == 8 {
			w.create("h", nil)
		}
		var all sync.WaitGroup
		for range 2 {
			h, p := w.holds(), w.policies()
			all.Go(func() { // errors are conflicts, and are what keeps them apart
				_, _ = p.Reconcile(t.Context(), w.request("p"))
			})
			all.Go(func() { _, _ = h.Reconcile(t.Context(), w.request("h")) })
		}
		all.Wait()
		if i > 8 && rows < 0 && w.enforced("h") {
			rows = w.rows["events"]
		}
		w.kubelet()
		w.clock.SetTime(w.clock.Now().Add(time.Second))
	}
	if rows < 0 || w.rows["events"] != rows {
		t.Errorf("%d rows, and %d when the hold was enforced", w.rows["events"], rows)
	}
	w.until("the run succeeds", w.succeeded, "h")
}

// TestARunWhoseDatastoreIsGone is stopped, and waited for, by holds that know of neither.
func TestARunWhoseDatastoreIsGone(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.start()
	w.until("a batch is deleted", func() bool { return w.rows["events"] < 50 })
	w.must(w.c.Delete(t.Context(), w.store("shop")))
	w.create("h", nil)
	w.passHold("h")
	w.passHold("h")
	w.expect("h", "False", retentionv1.ReasonWaitingForRuns)
	w.datastore("shop") // made anew
	w.passHold("h")
	w.expect("h", "False", retentionv1.ReasonWaitingForRuns)
	for range 15 {
		w.round("h")
	}
	w.expect("h", "True", retentionv1.ReasonEnforced)
	rows := w.rows["events"]
	if rows == 0 {
		t.Fatal("the run was not stopped")
	}
	for range 10 {
		w.round("h")
	}
	if w.rows["events"] != rows {
		t.Errorf("%d rows, and %d when the hold was enforced", w.rows["events"], rows)
	}
	if last := w.policy().Status.LastRun; last == nil || last.Datastores[0].Reason != holds.ReasonDatastoreLost {
		t.Errorf("last run %+v", last)
	}
}

// TestARunWhosePolicyIsGone: somebody has removed the policy by force, and nobody else gives the Datastore back.
func TestARunWhosePolicyIsGone(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.start()
	w.until("a batch is deleted", func() bool { return w.rows["events"] < 50 })
	p := w.policy()
	p.Finalizers = nil
	w.must(w.c.Update(t.Context(), p))
	w.must(w.c.Delete(t.Context(), p))
	crm := w.datastore("crm") // somebody else's run is none of its business
	crm.Status.ActiveRun = &retentionv1.ActiveRun{Name: "other", AcquiredTime: metav1.NewTime(w.clock.Now())}
	w.must(w.c.Status().Update(t.Context(), crm))
	other := w.jobs()[0]
	other.ObjectMeta = metav1.ObjectMeta{Namespace: w.namespace, Name: "other", Labels: maps.Clone(other.Labels)}
	other.Labels[purgejob.LabelDatastore], other.Labels[purgejob.LabelRun] = "crm", "other"
	other.Spec.Selector, other.Spec.Template.Labels, other.Spec.Suspend = nil, nil, ptr.To(true)
	w.must(w.c.Create(t.Context(), &other))
	w.create("h", func(s *retentionv1.LegalHoldSpec) {
		s.DatastoreSelector = &retentionv1.DatastoreSelector{MatchLabels: map[string]retentionv1.LabelValue{"case": "42"}}
	})
	ds := w.store("shop")
	ds.Labels["case"] = "42"
	w.must(w.c.Update(t.Context(), ds))
	w.passHold("h")
	w.passHold("h")
	w.expect("h", "False", retentionv1.ReasonWaitingForRuns)
	for range 15 {
		w.passHold("h")
		w.kubelet()
		w.clock.SetTime(w.clock.Now().Add(time.Second))
	}
	w.must(w.c.Get(t.Context(), client.ObjectKeyFromObject(&other), &other))
	if holds.Stopped(&other) {
		t.Error("it has stopped another run")
	}
	w.expect("h", "True", retentionv1.ReasonEnforced)
	if ds := w.store("shop"); ds.Status.ActiveRun != nil || w.rows["events"] == 0 {
		t.Errorf("active run %+v, rows %v", ds.Status.ActiveRun, w.rows)
	}
}
