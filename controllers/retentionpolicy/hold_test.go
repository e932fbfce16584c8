// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"context"
	"testing"
	"time"

	"filippo.io/age"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/seal"
)

func TestARunGivesWayToErasuresButNotForEver(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) metav1.Time { return metav1.NewTime(now.Add(-d)) }
	for name, tc := range map[string]struct {
		pending, started, acquired time.Duration // zero pending is none
		defers, yields             bool
	}{
		"nothing waits":                       {0, time.Hour, time.Hour, false, false},
		"requests wait for seconds":           {10 * time.Second, time.Hour, time.Hour, true, false},
		"requests wait for a minute":          {time.Minute, time.Hour, time.Hour, true, true},
		"a long run":                          {time.Minute, 30 * time.Hour, 30 * time.Hour, false, true},
		"a run that was deferred has begun":   {2 * time.Hour, 25 * time.Hour, time.Hour, false, false},
		"a run that was deferred had its day": {2 * time.Hour, 50 * time.Hour, 25 * time.Hour, false, true},
	} {
		ds := &retentionv1.Datastore{}
		run := &retentionv1.Run{StartTime: ago(tc.started)}
		ds.Status.ActiveRun = &retentionv1.ActiveRun{AcquiredTime: ago(tc.acquired)}
		if tc.pending > 0 {
			ds.Status.PendingErasures = &retentionv1.PendingErasures{Since: ptr.To(ago(tc.pending))}
		}
		if defers(ds, run, now) != tc.defers || yields(ds, run, now) != tc.yields {
			t.Errorf("%s: defers %v, yields %v", name, !tc.defers, !tc.yields)
		}
	}
}

func TestWhatIsResumed(t *testing.T) {
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	excluded := []retentionv1.RunExclusion{{Name: "events", Reason: "Held"}}
	for name, tc := range map[string]struct {
		entry   retentionv1.RunDatastore
		change  func(*retentionv1.RetentionPolicy)
		held    []string
		resumes bool
	}{
		"a run that succeeded":          {entry: retentionv1.RunDatastore{Outcome: "Succeeded"}},
		"one stopped for a hold":        {entry: retentionv1.RunDatastore{Outcome: "Interrupted", Reason: "Held"}, resumes: true},
		"one stopped for erasures":      {entry: retentionv1.RunDatastore{Outcome: "Interrupted", Reason: "ErasurePending"}, resumes: true},
		"one stopped for another cause": {entry: retentionv1.RunDatastore{Outcome: "Interrupted", Reason: "PlanChanged"}},
		"a hold that stands": {
			entry: retentionv1.RunDatastore{Outcome: "Succeeded", Holds: []string{"h"}, Excluded: excluded}, held: []string{"h"},
		},
		"a hold that is released": {
			entry: retentionv1.RunDatastore{Outcome: "Succeeded", Holds: []string{"g", "h"}, Excluded: excluded}, held: []string{"g"}, resumes: true,
		},
		"a released hold on records": {
			entry: retentionv1.RunDatastore{Outcome: "Succeeded", Holds: []string{"h"}, Datasets: []retentionv1.RunDataset{{Held: ptr.To(int64(3))}}}, resumes: true,
		},
		"a released hold that kept nothing": {
			entry: retentionv1.RunDatastore{Outcome: "Succeeded", Holds: []string{"h"}, Datasets: []retentionv1.RunDataset{{Held: ptr.To(int64(0))}}},
		},
		"a released hold that could not be read": {
			entry: retentionv1.RunDatastore{Outcome: "Failed", Reason: "HoldUnreadable", Holds: []string{"h"}}, resumes: true,
		},
		"a run that only simulated": {
			entry:  retentionv1.RunDatastore{Outcome: "Simulated", Holds: []string{"h"}, Excluded: excluded},
			change: func(p *retentionv1.RetentionPolicy) { p.Status.LastRun.Mode = retentionv1.ModeSimulate },
		},
		"a policy that is suspended": {
			entry:  retentionv1.RunDatastore{Outcome: "Interrupted", Reason: "Held"},
			change: func(p *retentionv1.RetentionPolicy) { p.Spec.Suspend = ptr.To(true) },
		},
		"a run of this very second": {
			entry:  retentionv1.RunDatastore{Outcome: "Interrupted", Reason: "Held"},
			change: func(p *retentionv1.RetentionPolicy) { p.Status.LastRun.Slot = metav1.NewTime(now) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := &retentionv1.RetentionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", CreationTimestamp: metav1.NewTime(now.Add(-time.Hour))}}
			tc.entry.Name = "shop"
			p.Status.LastScheduleTime = ptr.To(metav1.NewTime(now.Add(-time.Minute)))
			p.Status.LastRun = &retentionv1.Run{Name: "p-1", Mode: retentionv1.ModeEnforce, Slot: metav1.NewTime(now.Add(-time.Hour)),
				Outcome: tc.entry.Outcome, Datastores: []retentionv1.RunDatastore{tc.entry}}
			if tc.change != nil {
				tc.change(p)
			}
			stores := []retentionv1.Datastore{{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}}
			got := decideStart(p, daily(t), stores, tc.held, now)
			if (got.run != nil) != tc.resumes {
				t.Fatalf("run %+v", got.run)
			}
			if got.run != nil && (got.run.Trigger != retentionv1.TriggerResume || got.run.Message == "" || !got.run.Slot.Time.Equal(now)) {
				t.Errorf("run %+v", got.run)
			}
		})
	}
}

func (w *world) pending(since *time.Duration) {
	w.t.Helper()
	ds := &retentionv1.Datastore{}
	w.must(w.c.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "shop"}, ds))
	ds.Status.PendingErasures = nil
	if since != nil {
		ds.Status.PendingErasures = &retentionv1.PendingErasures{Requests: 1, Since: ptr.To(metav1.NewTime(w.clock.Now().Add(-*since)))}
	}
	w.must(w.c.Status().Update(w.t.Context(), ds))
}

// TestErasuresGoFirst: a run does not take the Datastore while requests wait; one at work gives way, and goes on after them.
func TestErasuresGoFirst(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("p", nil)
	w.pending(ptr.To(time.Second))
	for range 5 {
		w.must(w.pass(w.reconciler(), "p"))
	}
	if d := w.policy("p").Status.ActiveRun.Datastores[0]; d.State != retentionv1.RunWaiting || d.Reason != holds.ReasonErasurePending {
		t.Fatalf("entry %+v", d)
	}
	w.pending(nil)
	job := w.gated()
	w.must(w.pass(w.reconciler(), "p")) // released
	w.pending(ptr.To(time.Minute))
	w.must(w.pass(w.reconciler(), "p"))
	w.must(w.c.Get(t.Context(), client.ObjectKeyFromObject(job), job))
	if !ptr.Deref(job.Spec.Suspend, false) {
		t.Fatal("the Job goes on")
	}
	for range 6 {
		w.clock.SetTime(w.clock.Now().Add(holds.SettleAfter))
		w.must(w.pass(w.reconciler(), "p"))
	}
	st := w.policy("p").Status
	if d := st.LastRun.Datastores[0]; d.Outcome != retentionv1.OutcomeInterrupted || d.Reason != holds.ReasonErasurePending {
		t.Errorf("last run %+v", d)
	}
	if run := st.ActiveRun; run == nil || run.Trigger != retentionv1.TriggerResume || run.Datastores[0].State != retentionv1.RunWaiting {
		t.Fatalf("active run %+v", run)
	}
	w.pending(nil)
	if p := w.settle("p"); p.Status.LastRun.Outcome != retentionv1.OutcomeSucceeded {
		t.Errorf("last run %+v", p.Status.LastRun)
	}
}

// legalHold makes a hold on records of events.
func (w *world) legalHold(name string, change func(*retentionv1.LegalHoldSpec)) *retentionv1.LegalHold {
	w.t.Helper()
	h := &retentionv1.LegalHold{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec:       retentionv1.LegalHoldSpec{Datasets: []retentionv1.DatasetName{"events"}, Reason: "litigation", Authority: "court"},
	}
	change(&h.Spec)
	w.must(w.c.Create(w.t.Context(), h))
	return h
}

// TestTheGateReadsTheHolds: one that came after the Job was made has another Job take its place. The old one can never be
// released any more, and the Datastore has on record which holds the new one respects.
func TestTheGateReadsTheHolds(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("p", nil)
	job := w.gated()
	h := w.legalHold("h", func(s *retentionv1.LegalHoldSpec) {
		s.Condition = &retentionv1.HoldCondition{Field: "case", Operator: "Exists"}
	})
	w.must(w.pass(w.reconciler(), "p"))
	w.must(w.c.Get(t.Context(), client.ObjectKeyFromObject(job), job))
	if !holds.Stopped(job) || !ptr.Deref(job.Spec.Suspend, false) {
		t.Errorf("the old Job can be released: %v", job.Annotations)
	}
	for range 2 {
		w.must(w.pass(w.reconciler(), "p"))
	}
	ds := &retentionv1.Datastore{}
	w.must(w.c.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "shop"}, ds))
	if run := ds.Status.ActiveRun; run == nil || len(run.Holds) != 1 || run.Holds[0] != string(h.UID) {
		t.Errorf("active run %+v", run)
	}
	w.pod = func(job *batchv1.Job, _ int) podEnd {
		r := succeeded(7, 7)
		r.Steps[0].Held = 3
		return ends(job, receipt.ExitDone, r)
	}
	p := w.settle("p")
	d := p.Status.LastRun.Datastores[0]
	if d.Job == job.Name || w.purged[job.Name] != 0 || len(d.Holds) != 1 || ptr.Deref(d.Datasets[0].Held, -1) != 3 {
		t.Errorf("last run %+v", p.Status.LastRun)
	}
	if !meta.IsStatusConditionTrue(p.Status.Conditions, retentionv1.ConditionCompliant) {
		t.Errorf("what a hold keeps is no violation: %+v", p.Status.Conditions)
	}
}

// TestAHoldThatCannotBeRead: nothing is deleted, the condition says why, and the release sets the policy going again.
func TestAHoldThatCannotBeRead(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	h := w.legalHold("h", func(s *retentionv1.LegalHoldSpec) {
		s.Subject = &retentionv1.Subject{SecretRef: &retentionv1.SecretReference{Name: "missing"}}
	})
	fine := w.pod
	w.pod = func(job *batchv1.Job, _ int) podEnd {
		r := succeeded(0, 0)
		r.Phase, r.Reason, r.Message, r.Steps = receipt.PhaseCounting, receipt.HoldUnreadable, "The person of hold h cannot be read", nil
		return ends(job, receipt.ExitFailed, r)
	}
	w.create("p", nil)
	p := w.settle("p")
	if d := p.Status.LastRun.Datastores[0]; d.Outcome != retentionv1.OutcomeFailed || d.Reason != retentionv1.ReasonHoldUnreadable {
		t.Errorf("entry %+v", d)
	}
	if c := meta.FindStatusCondition(p.Status.Conditions, retentionv1.ConditionReady); c.Reason != retentionv1.ReasonHoldUnreadable {
		t.Errorf("condition %+v", c)
	}
	w.pod = fine
	w.clock.SetTime(w.clock.Now().Add(time.Minute))
	base := h.DeepCopy()
	h.Spec.Release = &retentionv1.HoldRelease{Reason: "settled"}
	w.must(w.c.Patch(t.Context(), h, client.MergeFrom(base)))
	if p := w.settle("p"); p.Status.LastRun.Trigger != retentionv1.TriggerResume || p.Status.LastRun.Outcome != retentionv1.OutcomeSucceeded {
		t.Errorf("last run %+v", p.Status.LastRun)
	}
}

type opener struct{ seal.Ring }

func (o opener) Open(_ context.Context, text string) ([]byte, string, error) {
	return o.Ring.Open(text)
}

// TestPersonsOfHoldsReachThePod: a Secret is mounted, and what was sealed is opened into one that goes with the Job.
func TestPersonsOfHoldsReachThePod(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := seal.Seal(key.Recipient().String(), []byte("email=a@example.com\n"))
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.keys = opener{seal.Ring{key}}
	w.datastore("shop")
	w.legalHold("secret", func(s *retentionv1.LegalHoldSpec) {
		s.Subject = &retentionv1.Subject{SecretRef: &retentionv1.SecretReference{Name: "person"}}
	})
	w.legalHold("sealed", func(s *retentionv1.LegalHoldSpec) { s.Subject = &retentionv1.Subject{Sealed: sealed} })
	w.create("p", nil)
	job := w.gated()
	mounted := map[string]bool{}
	for _, v := range job.Spec.Template.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, source := range v.Projected.Sources {
			mounted[v.Name+"/"+source.Secret.Name] = true
		}
	}
	if !mounted["carried/"+job.Name] || !mounted["holds/person"] {
		t.Errorf("mounted: %v", mounted)
	}
	secret := &corev1.Secret{}
	w.must(w.c.Get(t.Context(), client.ObjectKeyFromObject(job), secret))
	if len(secret.Data) != 1 || secret.Type != retentionv1.SubjectSecretType {
		t.Errorf("secret %v", secret)
	}
	w.settle("p")
	if err := w.c.Get(t.Context(), client.ObjectKeyFromObject(job), secret); !apierrors.IsNotFound(err) {
		t.Errorf("the Secret stays: %v", err)
	}
}
