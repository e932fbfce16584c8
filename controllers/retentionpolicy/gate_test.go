// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"context"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/internal/receipt"
)

// gated brings a run of policy p to where its Job only waits for its release, and returns the Job.
func (w *world) gated() *batchv1.Job {
	w.t.Helper()
	for range 20 {
		w.must(w.pass(w.reconciler(), "p"))
		if run := w.policy("p").Status.ActiveRun; run != nil && run.Datastores[0].Intent != nil {
			return &w.jobs()[0]
		}
	}
	w.t.Fatal("the run never came to the gate")
	return nil
}

func (w *world) change(do func(*retentionv1.RetentionPolicy)) {
	w.t.Helper()
	p := w.policy("p")
	base := p.DeepCopy()
	do(p)
	w.must(w.c.Patch(w.t.Context(), p, client.MergeFrom(base)))
}

// stale is a reconciler whose cache still holds policy p as it is now.
func (w *world) stale() *Reconciler {
	old := w.policy("p")
	r := w.reconciler()
	r.Client = interceptor.NewClient(w.c, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if p, ok := o.(*retentionv1.RetentionPolicy); ok && key.Name == old.Name {
				old.DeepCopyInto(p)
				return nil
			}
			return c.Get(ctx, key, o, opts...)
		},
	})
	return r
}

// staleJob is a reconciler whose cache still holds a Job as it was.
func (w *world) staleJob(old *batchv1.Job) *Reconciler {
	r := w.reconciler()
	r.Client = interceptor.NewClient(w.c, interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if job, ok := o.(*batchv1.Job); ok && key.Name == old.Name {
				old.DeepCopyInto(job)
				return nil
			}
			return c.Get(ctx, key, o, opts...)
		},
	})
	return r
}

func (w *world) expectUntouched(job *batchv1.Job) {
	w.t.Helper()
	got := &batchv1.Job{}
	w.must(w.c.Get(w.t.Context(), client.ObjectKeyFromObject(job), got))
	if !ptr.Deref(got.Spec.Suspend, false) {
		w.t.Errorf("Job %s was released", job.Name)
	}
	if len(w.purged) != 0 {
		w.t.Errorf("purged: %v", w.purged)
	}
}

// TestTheGateReadsItsOwnPolicyPastTheCache: somebody has lengthened a period, and our cache does not know it yet.
func TestTheGateReadsItsOwnPolicyPastTheCache(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("p", nil)
	job := w.gated()
	r := w.stale()
	w.change(func(p *retentionv1.RetentionPolicy) { p.Spec.Rules[0].DeleteAfter = "P10Y" })
	_, _ = r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: w.namespace, Name: "p"}}) // its status is refused
	w.expectUntouched(job)

	p := w.settle("p")
	if p.Status.LastRun.Outcome != retentionv1.OutcomeSucceeded || p.Status.LastRun.Datastores[0].Job == job.Name {
		t.Errorf("last run: %+v", p.Status.LastRun)
	}
	w.expectReleased(p)
}

func TestTheGateHonoursWhatHasChanged(t *testing.T) {
	for name, tc := range map[string]struct {
		change     func(*world)
		wantReason string
	}{
		"the mode is now Simulate": {func(w *world) {
			w.change(func(p *retentionv1.RetentionPolicy) { p.Spec.Mode = retentionv1.ModeSimulate })
		}, reasonPlanChanged},
		"the selector is another": {func(w *world) {
			w.change(func(p *retentionv1.RetentionPolicy) {
				p.Spec.DatastoreSelector.MatchLabels = map[string]retentionv1.LabelValue{"personal": "no"}
			})
		}, reasonNotSelected},
		"the label is gone": {func(w *world) {
			ds := &retentionv1.Datastore{}
			w.must(w.c.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "shop"}, ds))
			ds.Labels = nil
			w.must(w.c.Update(w.t.Context(), ds))
		}, reasonNotSelected},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.datastore("shop")
			w.create("p", nil)
			job := w.gated()
			tc.change(w)
			p := w.settle("p")
			if len(w.purged) != 0 {
				t.Errorf("purged: %v (Job %s)", w.purged, job.Name)
			}
			if p.Status.LastRun == nil || p.Status.LastRun.Outcome != retentionv1.OutcomeInterrupted || p.Status.LastRun.Datastores[0].Reason != tc.wantReason {
				t.Fatalf("last run: %+v", p.Status.LastRun)
			}
			w.expectReleased(p)
		})
	}
}

// TestModeIsABrake: a person sees what a purge does, and sets the mode back to Simulate while it runs.
func TestModeIsABrake(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("p", nil)
	job := w.gated()
	w.must(w.pass(w.reconciler(), "p"))
	w.change(func(p *retentionv1.RetentionPolicy) { p.Spec.Mode = retentionv1.ModeSimulate })
	w.must(w.pass(w.reconciler(), "p"))
	got := &batchv1.Job{}
	w.must(w.c.Get(t.Context(), client.ObjectKeyFromObject(job), got))
	if !ptr.Deref(got.Spec.Suspend, false) {
		t.Fatal("the purge goes on")
	}
	for range 10 {
		w.clock.SetTime(w.clock.Now().Add(holds.SettleAfter / 2))
		w.must(w.pass(w.reconciler(), "p"))
	}
	p := w.settle("p")
	if p.Status.LastRun == nil || p.Status.LastRun.Outcome.Succeeded() || len(w.purged) != 0 {
		t.Errorf("last run: %+v, purged %v", p.Status.LastRun, w.purged)
	}
	w.expectReleased(p)
}

// TestAPolicyDeletedAfterItsPlanChangedLeavesNothing: of a plan that was replaced before its release a Job is left.
func TestAPolicyDeletedAfterItsPlanChangedLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("p", nil)
	first := w.gated()
	w.change(func(p *retentionv1.RetentionPolicy) { p.Spec.Rules[0].DeleteAfter = "P10Y" })
	for range 20 {
		w.must(w.pass(w.reconciler(), "p"))
		if jobs := w.jobs(); len(jobs) == 2 {
			break
		}
	}
	w.must(w.c.Delete(t.Context(), w.policy("p")))
	for range 20 {
		w.clock.SetTime(w.clock.Now().Add(holds.SettleAfter / 2))
		_ = w.pass(w.reconciler(), "p")
	}
	if w.policy("p") != nil {
		t.Fatal("the policy stays")
	}
	w.expectReleased(nil)
	t.Logf("first Job: %s", first.Name)
}

// TestAPodThatIsMadeWhileItsJobIsStoppedCounts: the Job controller was about to make the Pod when the policy was deleted.
func TestAPodThatIsMadeWhileItsJobIsStoppedCounts(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("p", nil)
	job := w.gated()
	w.must(w.pass(w.reconciler(), "p"))
	w.must(w.c.Delete(t.Context(), w.policy("p")))
	for range 5 {
		w.must(w.pass(w.reconciler(), "p"))
	}
	if run := w.policy("p").Status.ActiveRun; run == nil || run.Datastores[0].State != retentionv1.RunReleased {
		t.Fatalf("the run was over before the Job controller could have seen that the Job is stopped: %+v", run)
	}
	w.must(w.c.Get(t.Context(), client.ObjectKeyFromObject(job), job))
	if !ptr.Deref(job.Spec.Suspend, false) {
		t.Error("the Job goes on")
	}
	w.clock.SetTime(w.clock.Now().Add(2 * holds.SettleAfter))
	for range 5 {
		w.must(client.IgnoreNotFound(w.pass(w.reconciler(), "p")))
	}
	if w.policy("p") != nil {
		t.Error("the policy stays")
	}
}

// TestAnAttemptBeforeAGuardrailIsNotForgotten: what the first attempt deleted would be gone from the record.
func TestAnAttemptBeforeAGuardrailIsNotForgotten(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.pod = func(job *batchv1.Job, attempt int) podEnd {
		if attempt == 0 {
			r := succeeded(10, 4)
			r.Phase, r.Reason, r.Steps[0].Verified, r.Steps[0].Reason = receipt.PhasePurging, "", false, ""
			end := ends(job, receipt.ExitDone, r)
			end.code = 137
			return end
		}
		r := succeeded(50, 0)
		r.Phase, r.Reason, r.Steps[0].Verified, r.Steps[0].Reason = receipt.PhaseCounting, receipt.GuardrailExceeded, false, ""
		return ends(job, receipt.ExitGuardrail, r)
	}
	w.create("p", func(p *retentionv1.RetentionPolicy) {
		p.Spec.Guardrails = &retentionv1.Guardrails{MaxRecords: ptr.To(int64(20))}
	})
	digest := w.settle("p").Status.LastRun.Datastores[0].PlanDigest
	w.change(func(p *retentionv1.RetentionPolicy) { p.Annotations[retentionv1.AnnotationApprovedPlan] = digest })
	if last := w.settle("p").Status.LastRun; ptr.Deref(last.Deleted, -1) != 4 {
		t.Errorf("the first attempt is forgotten: %+v", last)
	}
}

// TestPodsOfARemovedJobAreLetGo: somebody has removed a Job with its finalizer; its Pod has one of its own.
func TestPodsOfARemovedJobAreLetGo(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("p", nil)
	job := w.gated()
	pod := &corev1.Pod{ObjectMeta: *job.Spec.Template.ObjectMeta.DeepCopy(), Spec: *job.Spec.Template.Spec.DeepCopy()}
	pod.Namespace, pod.Name = job.Namespace, "orphan"
	pod.Labels[batchv1.JobNameLabel] = job.Name
	w.must(controllerutil.SetControllerReference(job, pod, w.c.Scheme()))
	w.must(w.c.Create(t.Context(), pod))
	job.Finalizers = nil
	w.must(w.c.Update(t.Context(), job))
	w.must(client.IgnoreNotFound(w.c.Delete(t.Context(), job, client.PropagationPolicy(metav1.DeletePropagationBackground))))
	p := w.settle("p")
	if p.Status.LastRun.Datastores[0].Reason != reasonReceiptLost {
		t.Errorf("last run: %+v", p.Status.LastRun)
	}
	w.expectReleased(p)
}

// TestAClockThatWasFarAheadDoesNotStopThePolicyForYears: a slot of 2038 is on record.
func TestAClockThatWasFarAheadDoesNotStopThePolicyForYears(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	p := &retentionv1.RetentionPolicy{}
	p.CreationTimestamp = metav1.NewTime(now.AddDate(-1, 0, 0))
	p.Name = "p"
	p.Status.LastScheduleTime = ptr.To(metav1.NewTime(now.AddDate(12, 0, 0)))
	stores := []retentionv1.Datastore{{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}}
	if got := decideStart(p, daily(t), stores, nil, now); got.run == nil || got.run.Slot.After(now) {
		t.Errorf("run: %+v", got.run)
	}
	p.Status.LastScheduleTime = ptr.To(metav1.NewTime(now.Add(time.Second))) // another manager's clock, by a hair
	if got := decideStart(p, daily(t), stores, nil, now); got.run != nil {
		t.Errorf("run: %+v", got.run)
	}
}
