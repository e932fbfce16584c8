// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/receipt"
)

func expectCondition(t *testing.T, p *retentionv1.RetentionPolicy, condition string, status metav1.ConditionStatus, reason string) {
	t.Helper()
	c := meta.FindStatusCondition(p.Status.Conditions, condition)
	if c == nil || c.Status != status || c.Reason != reason {
		t.Errorf("%s = %+v, want %s/%s", condition, c, status, reason)
	}
}

// expectReleased checks that nothing holds the datastores, Jobs and Pods any longer, and that the policy can be deleted.
func (w *world) expectReleased(p *retentionv1.RetentionPolicy) {
	w.t.Helper()
	stores := &retentionv1.DatastoreList{}
	w.must(w.c.List(w.t.Context(), stores, client.InNamespace(w.namespace)))
	for _, ds := range stores.Items {
		if ds.Status.ActiveRun != nil {
			w.t.Errorf("datastore %s is still held by %+v", ds.Name, ds.Status.ActiveRun)
		}
	}
	for _, job := range w.jobs() {
		if len(job.Finalizers) > 0 {
			w.t.Errorf("Job %s has finalizers %v", job.Name, job.Finalizers)
		}
	}
	pods := &corev1.PodList{}
	w.must(w.c.List(w.t.Context(), pods, client.InNamespace(w.namespace)))
	for _, pod := range pods.Items {
		if len(pod.Finalizers) > 0 {
			w.t.Errorf("Pod %s has finalizers %v", pod.Name, pod.Finalizers)
		}
	}
	if p != nil && len(p.Finalizers) > 0 {
		w.t.Errorf("the policy has finalizers %v", p.Finalizers)
	}
}

func TestRunSucceeds(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("p", nil)
	p := w.settle("p")
	last := p.Status.LastRun
	if last == nil || last.Outcome != retentionv1.OutcomeSucceeded || last.Trigger != retentionv1.TriggerRequest ||
		ptr.Deref(last.Deleted, -1) != 10 || ptr.Deref(last.Remaining, -1) != 0 || last.Counting != retentionv1.CountingExact {
		t.Fatalf("last run: %+v", last)
	}
	ds := last.Datastores[0].Datasets[0]
	if ds.Outcome != "Deleted" || ptr.Deref(ds.Records, -1) != 100 || ptr.Deref(ds.Matched, -1) != 10 || ds.Cutoff.IsZero() {
		t.Errorf("dataset: %+v", ds)
	}
	expectCondition(t, p, retentionv1.ConditionReady, metav1.ConditionTrue, retentionv1.ReasonRunSucceeded)
	expectCondition(t, p, retentionv1.ConditionCompliant, metav1.ConditionTrue, retentionv1.ReasonNoOverdueRecords)
	if len(p.Status.History) != 1 || p.Status.LastHandledRequest != "1" || p.Status.LastSuccessfulTime == nil || p.Status.NextScheduleTime == nil {
		t.Errorf("status: %+v", p.Status)
	}
	w.expectReleased(p)
	for _, purged := range w.purged {
		if purged != 1 {
			t.Errorf("purged %d times", purged)
		}
	}
}

// TestKilledAtEveryWrite kills the manager before its n-th write, for every n until a run gets through, and starts it
// again. Whatever n is, the purge runs once and its receipt is counted once.
func TestKilledAtEveryWrite(t *testing.T) {
	for n := range 100 {
		w := newWorld(t)
		w.datastore("shop")
		w.datastore("crm")
		w.create("p", nil)
		w.writesLeft = n
		p := w.settle("p")
		last := p.Status.LastRun
		if last == nil || last.Outcome != retentionv1.OutcomeSucceeded || ptr.Deref(last.Deleted, -1) != 20 || last.Counting != retentionv1.CountingExact {
			t.Fatalf("killed before write %d: last run %+v", n, last)
		}
		if len(p.Status.History) != 1 || len(w.purged) != 2 {
			t.Errorf("killed before write %d: history %+v, purged %v", n, p.Status.History, w.purged)
		}
		w.expectReleased(p)
		if !w.killed {
			if n < 15 {
				t.Fatalf("a run took %d writes only: the test does not reach them all", n)
			}
			return
		}
	}
	t.Fatal("a run takes more than 100 writes")
}

func TestAttemptsAddUp(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.pod = func(job *batchv1.Job, attempt int) podEnd {
		if attempt == 0 { // killed after a batch: it says nothing but what it wrote last
			r := succeeded(10, 4)
			r.Phase, r.Reason, r.Steps[0].Verified, r.Steps[0].Reason = receipt.PhasePurging, "", false, ""
			end := ends(job, receipt.ExitDone, r)
			end.code = 137
			return end
		}
		return ends(job, receipt.ExitDone, succeeded(6, 6))
	}
	w.create("p", nil)
	ds := w.settle("p").Status.LastRun.Datastores[0]
	if ds.Outcome != retentionv1.OutcomeSucceeded || ds.Attempts != 2 || ptr.Deref(ds.Datasets[0].Deleted, -1) != 10 ||
		ptr.Deref(ds.Datasets[0].Matched, -1) != 10 || ds.Datasets[0].Counting != retentionv1.CountingExact {
		t.Errorf("datastore: %+v", ds)
	}
}

func TestABatchInFlightMakesALowerBound(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.pod = func(job *batchv1.Job, attempt int) podEnd {
		if attempt == 0 {
			r := succeeded(10, 4)
			r.Phase, r.Reason, r.Steps[0].Verified, r.Steps[0].InFlight = receipt.PhasePurging, "", false, 2
			end := ends(job, receipt.ExitDone, r)
			end.code = 137
			return end
		}
		return ends(job, receipt.ExitDone, succeeded(4, 4))
	}
	w.create("p", nil)
	last := w.settle("p").Status.LastRun
	if last.Outcome != retentionv1.OutcomeSucceeded || ptr.Deref(last.Deleted, -1) != 8 || last.Counting != retentionv1.CountingAtLeast ||
		!strings.Contains(last.Message, "at least 8 deleted") {
		t.Errorf("last run: %+v", last)
	}
}

func TestAGuardrailWaitsForApproval(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.pod = func(job *batchv1.Job, _ int) podEnd {
		args := strings.Join(job.Spec.Template.Spec.Containers[0].Args, " ")
		if strings.Contains(args, "--approved-records=50") {
			return ends(job, receipt.ExitDone, succeeded(50, 50))
		}
		r := succeeded(50, 0)
		r.Reason, r.Steps[0].Verified, r.Steps[0].Reason = receipt.GuardrailExceeded, false, receipt.NotStarted
		return ends(job, receipt.ExitGuardrail, r)
	}
	w.create("p", func(p *retentionv1.RetentionPolicy) {
		p.Spec.Guardrails = &retentionv1.Guardrails{MaxPercent: ptr.To(int32(20))}
	})
	p := w.settle("p")
	if p.Status.LastRun.Outcome != retentionv1.OutcomeAwaitingApproval || ptr.Deref(p.Status.LastRun.Deleted, 0) != 0 {
		t.Fatalf("last run: %+v", p.Status.LastRun)
	}
	expectCondition(t, p, retentionv1.ConditionAwaitingApproval, metav1.ConditionTrue, retentionv1.ReasonGuardrailExceeded)
	expectCondition(t, p, retentionv1.ConditionReady, metav1.ConditionFalse, retentionv1.ReasonGuardrailExceeded)
	expectCondition(t, p, retentionv1.ConditionCompliant, metav1.ConditionFalse, retentionv1.ReasonOverdueRecords)
	digest := p.Status.LastRun.Datastores[0].PlanDigest
	if c := meta.FindStatusCondition(p.Status.Conditions, retentionv1.ConditionReady); !strings.Contains(c.Message, digest) {
		t.Errorf("the message does not say what to approve: %s", c.Message)
	}

	base := p.DeepCopy()
	p.Annotations[retentionv1.AnnotationApprovedPlan] = digest
	w.must(w.c.Patch(t.Context(), p, client.MergeFrom(base)))
	p = w.settle("p")
	if p.Status.LastRun.Outcome != retentionv1.OutcomeSucceeded || ptr.Deref(p.Status.LastRun.Deleted, -1) != 50 || p.Status.LastRun.Trigger != retentionv1.TriggerApproval {
		t.Fatalf("after the approval: %+v", p.Status.LastRun)
	}
	if p.Status.LastRun.Datastores[0].PlanDigest != digest || len(p.Status.History) != 1 {
		t.Errorf("another plan was carried out than the one approved: %+v", p.Status.History)
	}
	if meta.FindStatusCondition(p.Status.Conditions, retentionv1.ConditionAwaitingApproval) != nil {
		t.Error("it still awaits approval")
	}
	w.expectReleased(p)
}

func TestAnApprovalOfAPlanThatHasChangedIsVoid(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.pod = func(job *batchv1.Job, _ int) podEnd {
		r := succeeded(50, 0)
		r.Reason, r.Steps[0].Verified = receipt.GuardrailExceeded, false
		return ends(job, receipt.ExitGuardrail, r)
	}
	w.create("p", func(p *retentionv1.RetentionPolicy) {
		p.Spec.Guardrails = &retentionv1.Guardrails{MaxRecords: ptr.To(int64(20))}
	})
	p := w.settle("p")
	base := p.DeepCopy()
	p.Annotations[retentionv1.AnnotationApprovedPlan] = p.Status.LastRun.Datastores[0].PlanDigest
	p.Spec.Rules[0].DeleteAfter = "P1D"
	w.must(w.c.Patch(t.Context(), p, client.MergeFrom(base)))
	pods := len(w.purged)
	p = w.settle("p")
	if d := p.Status.LastRun.Datastores[0]; d.Outcome != retentionv1.OutcomeAwaitingApproval || d.Reason != reasonPlanChanged || len(w.purged) != pods {
		t.Errorf("datastore: %+v, purged %v", d, w.purged)
	}
}

func TestOneWriterPerDatastore(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("a", nil)
	w.create("b", nil)
	for range 60 { // the kubelet complains about two purges at once
		for _, name := range []string{"a", "b"} {
			if err := w.pass(w.reconciler(), name); err != nil {
				t.Logf("pass: %v", err)
			}
		}
		released := 0
		for _, job := range w.jobs() {
			if !ptr.Deref(job.Spec.Suspend, false) && !purgejob.State(&job).Finished() {
				released++
			}
		}
		if released > 1 {
			t.Fatalf("%d Jobs are released at once", released)
		}
		w.kubelet()
	}
	for _, name := range []string{"a", "b"} {
		if p := w.settle(name); p.Status.LastRun == nil || p.Status.LastRun.Outcome != retentionv1.OutcomeSucceeded {
			t.Errorf("policy %s: %+v", name, p.Status.LastRun)
		}
	}
	w.expectReleased(nil)
}

func TestARunIsNotStoppedByALeftoverHolder(t *testing.T) {
	w := newWorld(t)
	ds := w.datastore("shop")
	ds.Status.ActiveRun = &retentionv1.ActiveRun{Name: "gone-1", Policy: "gone", PolicyUID: "u", AcquiredTime: metav1.Now()}
	w.must(w.c.Status().Update(t.Context(), ds))
	w.create("p", nil)
	if p := w.settle("p"); p.Status.LastRun.Outcome != retentionv1.OutcomeSucceeded {
		t.Errorf("last run: %+v", p.Status.LastRun)
	}
}

func TestALostJobIsNeverMadeAnew(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("p", nil)
	for range 20 {
		w.must(w.pass(w.reconciler(), "p"))
		if jobs := w.jobs(); len(jobs) == 1 && !ptr.Deref(jobs[0].Spec.Suspend, false) {
			jobs[0].Finalizers = nil
			w.must(w.c.Update(t.Context(), &jobs[0]))
			w.must(client.IgnoreNotFound(w.c.Delete(t.Context(), &jobs[0], client.PropagationPolicy(metav1.DeletePropagationBackground))))
			break
		}
	}
	p := w.settle("p")
	last := p.Status.LastRun
	if last.Outcome != retentionv1.OutcomeFailed || last.Datastores[0].Reason != reasonReceiptLost || last.Counting != retentionv1.CountingAtLeast {
		t.Errorf("last run: %+v", last)
	}
	if len(w.purged) != 0 {
		t.Errorf("the purge ran again: %v", w.purged)
	}
	expectCondition(t, p, retentionv1.ConditionCompliant, metav1.ConditionUnknown, retentionv1.ReasonNotObserved)
}

func TestAForeignJobIsNotAdopted(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("p", nil)
	var name string
	for range 20 {
		w.must(w.pass(w.reconciler(), "p"))
		if run := w.policy("p").Status.ActiveRun; run != nil && run.Datastores[0].State == retentionv1.RunPreparing {
			name = run.Datastores[0].Job
			break
		}
	}
	foreign := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name}}
	w.must(w.c.Create(t.Context(), foreign))
	p := w.settle("p")
	if d := p.Status.LastRun.Datastores[0]; d.Outcome != retentionv1.OutcomeFailed || d.Reason != reasonNameCollision {
		t.Errorf("datastore: %+v", d)
	}
	if len(w.purged) != 0 {
		t.Errorf("a plan of somebody else was carried out: %v", w.purged)
	}
}

func TestAServerThatIsAnotherIsNotTouched(t *testing.T) {
	w := newWorld(t)
	ds := w.datastore("shop")
	ds.Status.ObservedIdentity = "id-2"
	w.must(w.c.Status().Update(t.Context(), ds))
	w.create("p", nil)
	p := w.settle("p")
	if d := p.Status.LastRun.Datastores[0]; d.Outcome != retentionv1.OutcomeFailed || d.Reason != retentionv1.ReasonIdentityChanged {
		t.Errorf("datastore: %+v", d)
	}
	if len(w.jobs()) != 0 {
		t.Error("a Job was made")
	}
}

func TestADeletedPolicyAccountsForItsRun(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("p", nil)
	for range 20 {
		w.must(w.pass(w.reconciler(), "p"))
		if jobs := w.jobs(); len(jobs) == 1 && !ptr.Deref(jobs[0].Spec.Suspend, false) {
			break
		}
	}
	w.must(w.c.Delete(t.Context(), w.policy("p")))
	for range 20 {
		w.clock.SetTime(w.clock.Now().Add(holds.SettleAfter / 2))
		_ = w.pass(w.reconciler(), "p")
		if w.policy("p") == nil {
			break
		}
	}
	if p := w.policy("p"); p != nil {
		t.Errorf("the policy stays: finalizers %v, active run %+v", p.Finalizers, p.Status.ActiveRun)
	}
	w.expectReleased(nil)
}

func TestWaitsForDatastoreAndProbe(t *testing.T) {
	w := newWorld(t)
	w.create("p", nil)
	p := w.settle("p")
	expectCondition(t, p, retentionv1.ConditionReady, metav1.ConditionFalse, retentionv1.ReasonNoDatastores)
	expectCondition(t, p, retentionv1.ConditionCompliant, metav1.ConditionUnknown, retentionv1.ReasonNoDatastores)
	ds := w.datastore("shop")
	if p = w.settle("p"); p.Status.LastRun == nil || p.Status.LastRun.Outcome != retentionv1.OutcomeSucceeded {
		t.Errorf("the request was lost while there was no datastore: %+v, %+v", p.Status.LastRun, ds.Status)
	}
}

func TestInvalidSpecStalls(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("never", func(p *retentionv1.RetentionPolicy) { p.Spec.Schedule = "0 3 30 2 *" })
	p := w.settle("never")
	expectCondition(t, p, retentionv1.ConditionStalled, metav1.ConditionTrue, retentionv1.ReasonInvalidSpec)
	expectCondition(t, p, retentionv1.ConditionReady, metav1.ConditionFalse, retentionv1.ReasonInvalidSpec)
	expectCondition(t, p, retentionv1.ConditionCompliant, metav1.ConditionUnknown, retentionv1.ReasonInvalidSpec)
	if len(w.jobs()) != 0 {
		t.Error("a Job was made for an invalid policy")
	}
}

func TestScheduleCatchesUpOnce(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("p", func(p *retentionv1.RetentionPolicy) { p.Spec.Schedule, p.Annotations = "0 * * * *", nil })
	w.settle("p")
	w.clock.SetTime(w.clock.Now().Add(48*time.Hour + time.Minute))
	p := w.settle("p")
	if len(p.Status.History) != 1 || p.Status.LastRun.Trigger != retentionv1.TriggerSchedule {
		t.Errorf("48 missed slots led to %d runs", len(p.Status.History))
	}
	if late := w.clock.Now().Sub(p.Status.LastScheduleTime.Time); late > time.Hour {
		t.Errorf("the run was for %s, %s ago", p.Status.LastScheduleTime, late)
	}
}

func TestSimulationIsNoSuccess(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.pod = func(job *batchv1.Job, _ int) podEnd {
		r := succeeded(10, 0)
		r.Steps[0].Verified = false
		return ends(job, receipt.ExitDone, r)
	}
	w.create("p", func(p *retentionv1.RetentionPolicy) { p.Spec.Mode = retentionv1.ModeSimulate })
	p := w.settle("p")
	if p.Status.LastRun.Outcome != retentionv1.OutcomeSimulated || p.Status.LastSuccessfulTime != nil || ptr.Deref(p.Status.LastRun.Matched, -1) != 10 {
		t.Errorf("last run: %+v", p.Status.LastRun)
	}
	expectCondition(t, p, retentionv1.ConditionCompliant, metav1.ConditionFalse, retentionv1.ReasonOverdueRecords)
}
