// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/purgejob"
)

func (w *world) store(name string) *retentionv1.Datastore {
	w.t.Helper()
	ds := &retentionv1.Datastore{}
	w.must(w.c.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, ds))
	return ds
}

// until makes passes, with the kubelet at work between them, until done says so.
func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	for range 120 {
		if done() {
			return
		}
		w.pass()
		w.kubelet()
		w.tick(time.Second)
	}
	w.t.Fatalf("never: %s", what)
}

// erasing is the erasing Job on a Datastore, or nil.
func (w *world) erasing(datastore string) *batchv1.Job {
	for _, job := range w.jobs() {
		if job.Labels[purgejob.LabelDatastore] == datastore && strings.Contains(w.planOf(&job), `"mode":"Enforce"`) {
			return &job
		}
	}
	return nil
}

// waits says whether the run of a Datastore says that it waits for the ledger.
func (w *world) waits(datastore string) bool {
	run := w.store(datastore).Status.ActiveRun
	return run != nil && run.Erasure.Reason == retentionv1.ReasonLedgerUnavailable
}

// TestWithoutALedgerNothingIsReleased has it fail before anything has begun.
func TestWithoutALedgerNothingIsReleased(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.ledger.Fail(true)
	w.create("r1", map[string]string{"email": ada}, nil)
	w.settle()
	if len(w.pods) != 0 || !w.waits("shop") || !w.waits("desk") {
		t.Errorf("Pods %v, run %+v", w.pods, w.store("shop").Status.ActiveRun)
	}
	for _, job := range w.jobs() {
		if !ptr.Deref(job.Spec.Suspend, false) {
			t.Errorf("Job %s is released", job.Name)
		}
	}
	w.clock.SetTime(w.request("r1").Status.DueTime.Add(time.Hour)) // the time limit goes on
	w.settle()
	expectCondition(t, w.request("r1"), retentionv1.ConditionOverdue, metav1.ConditionTrue, retentionv1.ReasonTimeLimitPassed)
	w.ledger.Fail(false)
	w.tick(time.Minute)
	w.settle()
	if r := w.request("r1"); r.Status.Outcome != retentionv1.ErasureDeleted || ptr.Deref(r.Status.Erased, -1) != 4 {
		t.Errorf("status %+v", r.Status)
	}
	w.expectReleased()
}

// TestWithoutALedgerNothingIsLetGoOf has it fail while a Job is at work. The log of its Pod, which somebody deletes, is gone
// when the ledger is back.
func TestWithoutALedgerNothingIsLetGoOf(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop", customers(), nil)
	w.fill()
	w.create("r1", map[string]string{"email": ada}, nil)
	w.until("it is at work", func() bool {
		job := w.erasing("shop")
		return job != nil && !ptr.Deref(job.Spec.Suspend, true)
	})
	w.ledger.Fail(true)
	w.settle()
	job := w.erasing("shop")
	pods := &corev1.PodList{}
	w.must(w.c.List(t.Context(), pods, client.InNamespace(w.namespace), client.MatchingLabels{batchv1.JobNameLabel: job.Name}))
	if !w.waits("shop") || w.left(ada, adaID) != 1 || len(job.Finalizers) == 0 || len(pods.Items) != 1 || len(pods.Items[0].Finalizers) == 0 {
		t.Fatalf("Job %s has the finalizers %v, and %d Pods; run %+v", job.Name, job.Finalizers, len(pods.Items), w.store("shop").Status.ActiveRun)
	}
	if e := entry(w.request("r1"), "shop"); e.Step != retentionv1.ErasureStepErasing || e.Outcome != "" {
		t.Errorf("entry %+v", e)
	}
	w.must(w.c.Delete(t.Context(), &pods.Items[0], client.GracePeriodSeconds(0)))
	w.tick(time.Minute)
	w.settle()
	w.logs = map[string]string{}
	w.ledger.Fail(false)
	w.tick(time.Minute)
	w.settle()
	r := w.request("r1")
	if r.Status.Outcome != retentionv1.ErasureDeleted || ptr.Deref(r.Status.Erased, -1) != 3 || r.Status.Counting != retentionv1.CountingExact || w.conclusionOf("r1").Level != evidence.LevelDeleted {
		t.Errorf("status %+v", r.Status)
	}
	w.expectReleased()
}

// TestWithoutALedgerNothingIsAnswered has it fail once everything is erased.
func TestWithoutALedgerNothingIsAnswered(t *testing.T) {
	for _, again := range []retentionv1.Period{"", "P3D"} {
		w := newWorld(t)
		w.datastore("shop", customers(), nil)
		w.fill()
		w.create("r1", map[string]string{"email": ada}, func(r *retentionv1.ErasureRequest) { r.Spec.RecheckFor = again })
		w.until("it is erased", func() bool { return entry(w.request("r1"), "shop").Step == retentionv1.ErasureStepFinished })
		w.ledger.Fail(true)
		w.tick(time.Minute)
		w.settle()
		r := w.request("r1")
		if r.Status.AnsweredTime != nil || r.Status.State != retentionv1.ErasureErasing || len(w.secrets()) != 1 || r.Status.Recheck != nil || r.Status.Evidence != nil {
			t.Errorf("status %+v", r.Status)
		}
		expectCondition(t, r, retentionv1.ConditionReady, metav1.ConditionFalse, retentionv1.ReasonLedgerUnavailable)
		w.ledger.Fail(false)
		at := w.clock.Now()
		w.tick(time.Minute)
		w.settle()
		if r = w.request("r1"); r.Status.AnsweredTime.Time.Before(at) || r.Status.Evidence == nil || (again == "") != (len(w.secrets()) == 0) {
			t.Errorf("status %+v", r.Status)
		}
	}
}

// TestTheAnswerIsLostOnTheWay has the ledger take statements whose answers get lost.
func TestTheAnswerIsLostOnTheWay(t *testing.T) {
	w := newWorld(t)
	w.shop()
	for _, kind := range []evidence.Kind{evidence.Intent, evidence.Result, evidence.Conclusion} {
		w.ledger.CrashAfter(kind)
	}
	w.create("r1", map[string]string{"email": ada}, nil)
	w.settle()
	w.tick(time.Minute)
	w.settle()
	w.expectErased("r1")
	if at := w.conclusionOf("r1").Request.AnsweredTime; !at.Equal(w.request("r1").Status.AnsweredTime.Time) {
		t.Errorf("answered at %v, stated at %v", w.request("r1").Status.AnsweredTime, at)
	}
}

// TestNoHoldWaitsForTheLedger has a hold come while a run waits for the ledger, at two stages.
func TestNoHoldWaitsForTheLedger(t *testing.T) {
	respected := func(w *world) bool {
		return w.store("shop").Status.ActiveRun == nil || holds.Enforced(&w.store("shop").Status, w.store("shop").Status.Holds[0].UID)
	}
	t.Run("before the Job is released", func(t *testing.T) {
		w := newWorld(t)
		w.datastore("shop", customers(), nil)
		w.fill()
		w.ledger.Fail(true)
		w.create("r1", map[string]string{"email": ada}, nil)
		w.settle()
		w.hold("claim", "customer")
		w.until("the hold is respected", func() bool { return respected(w) })
		if !w.waits("shop") {
			t.Errorf("run %+v", w.store("shop").Status.ActiveRun)
		}
		w.ledger.Fail(false)
		w.tick(time.Minute)
		w.settle()
		if r := w.request("r1"); r.Status.State != retentionv1.ErasureRetainedByHold {
			t.Errorf("status %+v", r.Status)
		}
	})
	t.Run("when the Job has ended", func(t *testing.T) {
		w := newWorld(t)
		w.datastore("shop", customers(), nil)
		w.fill()
		w.create("r1", map[string]string{"email": ada}, nil)
		w.until("it has erased", func() bool { return w.left(ada, adaID) == 1 })
		w.ledger.Fail(true)
		w.hold("claim", "customer")
		w.until("the hold is respected", func() bool { return respected(w) })
		w.ledger.Fail(false)
		w.tick(time.Minute)
		w.settle()
	})
	t.Run("while the Job is at work", func(t *testing.T) {
		w := newWorld(t)
		w.datastore("shop", customers(), nil)
		w.fill()
		w.before = func(job *batchv1.Job, _ int) bool { return !strings.Contains(w.planOf(job), `"mode":"Enforce"`) }
		w.create("r1", map[string]string{"email": ada}, nil)
		w.until("it is at work", func() bool { job := w.erasing("shop"); return job != nil && !ptr.Deref(job.Spec.Suspend, true) })
		w.ledger.Fail(true)
		w.hold("claim", "customer")
		w.until("the hold is respected", func() bool { return respected(w) })
		if job := w.erasing("shop"); !holds.Stopped(job) || holds.StoppedFor(job) != holds.ReasonHeld {
			t.Errorf("Job %s is stopped for %q", job.Name, holds.StoppedFor(job))
		}
		w.before = nil
		w.ledger.Fail(false)
		w.tick(time.Minute)
		w.settle()
		if w.left(ada, adaID) == 1 {
			t.Error("what the hold keeps is gone")
		}
	})
}

// TestAPlanThatChangesAfterItsIntent has a hold come between the Intent and the gate.
func TestAPlanThatChangesAfterItsIntent(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop", customers(), nil)
	w.fill()
	w.create("r1", map[string]string{"email": ada}, nil)
	w.until("the intent to erase is stated", func() bool {
		run := w.store("shop").Status.ActiveRun
		return run != nil && run.Erasure.Mode == retentionv1.ErasureRunErase && run.Erasure.Intent != nil
	})
	stated := w.store("shop").Status.ActiveRun.Erasure
	if job := w.erasing("shop"); !ptr.Deref(job.Spec.Suspend, false) {
		t.Fatal("the Job was released in the same pass")
	}
	w.hold("claim", "customer")
	w.settle()
	results := w.stated(evidence.Result, "/"+stated.Job)
	if len(results) != 1 || results[0].Level != evidence.LevelNotDone || results[0].Outcome != erasure.NotRun || results[0].Datastores[0].Reason != "PlanChanged" ||
		results[0].Closes.Index != *stated.Intent.Index || results[0].Datastores[0].PlanDigest != stated.PlanDigest {
		t.Errorf("Results %+v", results)
	}
	if e := entry(w.request("r1"), "shop"); e.Outcome != retentionv1.ErasureHeld || len(w.stated(evidence.Intent, "")) != 3 {
		t.Errorf("entry %+v", e)
	}
	last := w.stated(evidence.Result, "")[2]
	if last.Level != evidence.LevelRetained || len(last.Datastores[0].Holds) != 1 || last.Datastores[0].Holds[0].Authority != "court" {
		t.Errorf("Result %+v", last)
	}
}

// TestAJobThatSomebodyElseReleases is stated late, with its Result.
func TestAJobThatSomebodyElseReleases(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop", customers(), nil)
	w.fill()
	w.ledger.Fail(true)
	w.create("r1", map[string]string{"email": ada}, nil)
	w.settle()
	job := w.jobs()[0]
	w.must(w.c.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: job.Name}})) // its Pod waits for one
	job.Spec.Suspend = ptr.To(false)
	w.must(w.c.Update(t.Context(), &job))
	w.settle()
	w.ledger.Fail(false)
	w.tick(time.Minute)
	w.settle()
	intents := w.stated(evidence.Intent, "/"+job.Name)
	if len(intents) != 1 || !strings.Contains(intents[0].Message, "somebody else has released it") {
		t.Errorf("Intents %+v", intents)
	}
}

// TestADatastoreThatIsDeletedInTheMiddle closes what was intended, as soon as the ledger can take it.
func TestADatastoreThatIsDeletedInTheMiddle(t *testing.T) {
	for name, begun := range map[string]bool{"before the Job is released": false, "while it is at work": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.shop()
			w.before = func(job *batchv1.Job, _ int) bool { return !strings.Contains(w.planOf(job), `"mode":"Enforce"`) }
			w.create("r1", map[string]string{"email": ada}, nil)
			w.until("the intent to erase is stated", func() bool {
				run := w.store("shop").Status.ActiveRun
				job := w.erasing("shop")
				return job != nil && run != nil && run.Erasure.Intent != nil && ptr.Deref(job.Spec.Suspend, true) != begun
			})
			job := w.erasing("shop")
			w.ledger.Fail(true)
			w.must(w.c.Delete(t.Context(), w.store("shop")))
			w.orphan("shop")
			if w.erasing("shop") == nil {
				t.Error("the Job was let go of, and nothing was stated")
			}
			w.ledger.Fail(false)
			w.orphan("shop")
			results := w.stated(evidence.Result, "/"+job.Name)
			want := map[bool]evidence.Level{false: evidence.LevelNotDone, true: evidence.LevelUnproven}[begun]
			if len(results) != 1 || results[0].Level != want || results[0].Datastores[0].Reason != erasure.ReasonDatastoreNotFound {
				t.Errorf("Results %+v", results)
			}
			w.before = nil
			w.settle()
			if c := w.conclusionOf("r1"); c.Level != evidence.LevelUnproven || !gap(c, evidence.GapDatastore, "shop", erasure.ReasonDatastoreNotFound) {
				t.Errorf("Conclusion %+v", c)
			}
			if slices.ContainsFunc(w.jobs(), func(j batchv1.Job) bool { return j.Name == job.Name }) {
				t.Error("the Job is left")
			}
		})
	}
}

// orphan makes a pass over a Datastore that is gone.
func (w *world) orphan(name string) {
	w.t.Helper()
	_, runs := w.managers()
	_, err := runs.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: w.namespace, Name: name}})
	w.must(err)
}

// TestARunThatSomebodyOverwrites is closed in the ledger, whether its Job is there or not.
func TestARunThatSomebodyOverwrites(t *testing.T) {
	for name, gone := range map[string]bool{"with its Job": false, "without": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.datastore("shop", customers(), nil)
			w.fill()
			w.before = func(job *batchv1.Job, _ int) bool { return !strings.Contains(w.planOf(job), `"mode":"Enforce"`) }
			w.create("r1", map[string]string{"email": ada}, nil)
			w.until("it is at work", func() bool { job := w.erasing("shop"); return job != nil && !ptr.Deref(job.Spec.Suspend, true) })
			job := w.erasing("shop")
			ds := w.store("shop")
			ds.Status.ActiveRun, ds.Status.PendingErasures = nil, nil
			w.must(w.c.Status().Update(t.Context(), ds))
			if gone {
				job.Finalizers = nil
				w.must(w.c.Update(t.Context(), job))
				w.must(w.c.Delete(t.Context(), job))
			}
			w.before = nil
			w.settle()
			results := w.stated(evidence.Result, "/"+job.Name)
			if len(results) != 1 || results[0].Level != evidence.LevelUnproven {
				t.Errorf("Results %+v", results)
			}
			if r := w.request("r1"); r.Status.State != retentionv1.ErasureAnswered || w.conclusionOf("r1").Level != evidence.LevelUnproven {
				t.Errorf("status %+v", r.Status)
			}
			w.expectReleased()
		})
	}
}

// TestADatastoreThatIsMadeAnew closes what was intended for its predecessor, and is searched and erased itself.
func TestADatastoreThatIsMadeAnew(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop", customers(), nil)
	w.fill()
	w.create("r1", map[string]string{"email": ada}, nil)
	w.until("the intent to erase is stated", func() bool {
		run := w.store("shop").Status.ActiveRun
		return run != nil && run.Erasure.Mode == retentionv1.ErasureRunErase && run.Erasure.Intent != nil
	})
	job := w.store("shop").Status.ActiveRun.Erasure.Job
	w.must(w.c.Delete(t.Context(), w.store("shop")))
	w.datastore("shop", customers(), nil)
	w.settle()
	if results := w.stated(evidence.Result, "/"+job); len(results) != 1 || results[0].Level != evidence.LevelNotDone {
		t.Errorf("Results %+v", results)
	}
	if r := w.request("r1"); w.left(ada, adaID) != 1 || r.Status.State != retentionv1.ErasureAnswered || w.conclusionOf("r1").Level != evidence.LevelUnproven {
		t.Errorf("status %+v", r.Status) // its run was in hand when the Datastore went: nobody asks any more whether it had begun
	}
	w.expectReleased()
}
