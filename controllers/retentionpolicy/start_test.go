// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
)

func TestDecideStart(t *testing.T) {
	created := metav1.NewTime(slot.Add(-72 * time.Hour))
	yesterday := ptr.To(metav1.NewTime(slot.Add(-24 * time.Hour)))
	shop := []retentionv1.Datastore{{ObjectMeta: metav1.ObjectMeta{Name: "shop", UID: "u1"}}}
	awaiting := func() *retentionv1.Run {
		r := runOf(retentionv1.OutcomeAwaitingApproval, dataset(func(ds *retentionv1.RunDataset) { ds.Deleted, ds.Remaining = nil, nil }))
		r.Datastores[0].PlanDigest = "sha256:aa"
		return r
	}
	for name, tc := range map[string]struct {
		policy      func(*retentionv1.RetentionPolicy)
		datastores  []retentionv1.Datastore
		now         time.Time
		wantRun     string
		wantTrigger retentionv1.Trigger
		wantSlot    time.Time
		wantTooLate bool
	}{
		"nothing is due": {func(p *retentionv1.RetentionPolicy) { p.Status.LastScheduleTime = ptr.To(metav1.NewTime(slot)) }, shop, slot.Add(time.Hour), "", "", time.Time{}, false},
		"the slot has come": {func(p *retentionv1.RetentionPolicy) { p.Status.LastScheduleTime = yesterday }, shop, slot.Add(time.Second),
			"p-20261124030000", retentionv1.TriggerSchedule, slot, false},
		"three slots were missed: one run, for the latest": {nil, shop, slot.Add(time.Hour), "p-20261124030000", retentionv1.TriggerSchedule, slot, false},
		"it is too late": {func(p *retentionv1.RetentionPolicy) { p.Spec.StartingDeadlineSeconds = ptr.To(int64(60)) }, shop, slot.Add(time.Hour), "", "", time.Time{}, true},
		"a missed slot is told once": {func(p *retentionv1.RetentionPolicy) {
			p.Spec.StartingDeadlineSeconds = ptr.To(int64(60))
			p.Status.LastMissedTime = ptr.To(metav1.NewTime(slot))
		}, shop, slot.Add(time.Hour), "", "", time.Time{}, false},
		"suspended": {func(p *retentionv1.RetentionPolicy) { p.Spec.Suspend = ptr.To(true) }, shop, slot.Add(time.Hour), "", "", time.Time{}, false},
		"a request while suspended": {func(p *retentionv1.RetentionPolicy) {
			p.Spec.Suspend = ptr.To(true)
			p.Annotations = map[string]string{retentionv1.AnnotationRequestedAt: "1"}
		}, shop, slot.Add(time.Hour + time.Millisecond), "p-20261124040000", retentionv1.TriggerRequest, slot.Add(time.Hour), false},
		"a request that was handled": {func(p *retentionv1.RetentionPolicy) {
			p.Status.LastScheduleTime = ptr.To(metav1.NewTime(slot))
			p.Annotations = map[string]string{retentionv1.AnnotationRequestedAt: "1"}
			p.Status.LastHandledRequest = "1"
		}, shop, slot.Add(time.Hour), "", "", time.Time{}, false},
		"a run is active":                {func(p *retentionv1.RetentionPolicy) { p.Status.ActiveRun = runOf("") }, shop, slot.Add(time.Hour), "", "", time.Time{}, false},
		"no datastore: the slot is kept": {nil, nil, slot.Add(time.Hour), "", "", time.Time{}, false},
		"a plan is approved": {func(p *retentionv1.RetentionPolicy) {
			p.Status.LastScheduleTime, p.Status.LastRun = ptr.To(metav1.NewTime(slot)), awaiting()
			p.Annotations = map[string]string{retentionv1.AnnotationApprovedPlan: "sha256:bb,sha256:aa"}
		}, shop, slot.Add(time.Hour), "p-1", retentionv1.TriggerApproval, slot, false},
		"another plan is approved": {func(p *retentionv1.RetentionPolicy) {
			p.Status.LastScheduleTime, p.Status.LastRun = ptr.To(metav1.NewTime(slot)), awaiting()
			p.Annotations = map[string]string{retentionv1.AnnotationApprovedPlan: "sha256:a"}
		}, shop, slot.Add(time.Hour), "", "", time.Time{}, false},
		"a plan that was carried out is approved again": {func(p *retentionv1.RetentionPolicy) {
			p.Status.LastScheduleTime, p.Status.LastRun = ptr.To(metav1.NewTime(slot)), awaiting()
			p.Status.LastRun.Outcome, p.Status.LastRun.Datastores[0].Outcome = retentionv1.OutcomeSucceeded, retentionv1.OutcomeSucceeded
			p.Annotations = map[string]string{retentionv1.AnnotationApprovedPlan: "sha256:aa"}
		}, shop, slot.Add(time.Hour), "", "", time.Time{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := &retentionv1.RetentionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", CreationTimestamp: created}}
			if tc.policy != nil {
				tc.policy(p)
			}
			p.Spec.Schedule = "0 3 * * *"
			timing, err := parseTiming(&p.Spec)
			if err != nil {
				t.Fatal(err)
			}
			got := decideStart(p, timing, tc.datastores, nil, tc.now)
			if (got.due.TooLate != nil) != tc.wantTooLate {
				t.Errorf("TooLate = %v, want %v", got.due.TooLate, tc.wantTooLate)
			}
			if got.run == nil {
				if tc.wantRun != "" {
					t.Fatalf("no run, want %s", tc.wantRun)
				}
				return
			}
			if got.run.Name != tc.wantRun || got.run.Trigger != tc.wantTrigger || !got.run.Slot.Time.Equal(tc.wantSlot) {
				t.Errorf("run %s/%s/%s, want %s/%s/%s", got.run.Name, got.run.Trigger, got.run.Slot, tc.wantRun, tc.wantTrigger, tc.wantSlot)
			}
			if n := len(got.run.Datastores); n != 1 || got.run.Datastores[0].State != retentionv1.RunWaiting {
				t.Errorf("datastores: %+v", got.run.Datastores)
			}
		})
	}
}

func TestApprovedRunCarriesTheCount(t *testing.T) {
	p := &retentionv1.RetentionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "p", Annotations: map[string]string{retentionv1.AnnotationApprovedPlan: "sha256:aa"}}}
	untouched := func(ds *retentionv1.RunDataset) { ds.Deleted, ds.Remaining = nil, nil }
	p.Status.LastRun = runOf(retentionv1.OutcomeAwaitingApproval, dataset(untouched), dataset(untouched))
	p.Status.LastRun.Datastores[0].PlanDigest = "sha256:aa"
	p.Status.LastRun.Datastores = append(p.Status.LastRun.Datastores, retentionv1.RunDatastore{Name: "done", State: retentionv1.RunFinished, Outcome: retentionv1.OutcomeSucceeded})
	got := approvedRun(p, slot)
	if n := ptr.Deref(got.Datastores[0].ApprovedRecords, -1); n != 20 {
		t.Errorf("approved records = %d, want 20", n)
	}
	if got.Datastores[1].State != retentionv1.RunFinished || got.Datastores[1].Outcome != retentionv1.OutcomeSucceeded {
		t.Errorf("a datastore that was done is done again: %+v", got.Datastores[1])
	}
	if p.Status.LastRun.CompletionTime != nil || p.Status.LastRun.Datastores[0].State != retentionv1.RunFinished {
		t.Error("the last run was changed in place")
	}
}

func TestSummarize(t *testing.T) {
	inexact := dataset(func(ds *retentionv1.RunDataset) { ds.Counting = retentionv1.CountingAtLeast })
	for name, tc := range map[string]struct {
		datastores  []retentionv1.RunDatastore
		wantOutcome retentionv1.Outcome
		wantDeleted *int64
		wantCount   retentionv1.Counting
	}{
		"none":          {nil, retentionv1.OutcomeFailed, nil, retentionv1.CountingExact},
		"all succeeded": {runOf(retentionv1.OutcomeSucceeded, dataset(nil), dataset(nil)).Datastores, retentionv1.OutcomeSucceeded, ptr.To(int64(20)), retentionv1.CountingExact},
		"the worst caps it": {append(runOf(retentionv1.OutcomeSucceeded, dataset(nil)).Datastores, runOf(retentionv1.OutcomeIncomplete).Datastores...),
			retentionv1.OutcomeIncomplete, ptr.To(int64(10)), retentionv1.CountingExact},
		"one in doubt makes the sum a lower bound": {runOf(retentionv1.OutcomeSucceeded, dataset(nil), inexact).Datastores, retentionv1.OutcomeSucceeded, ptr.To(int64(20)), retentionv1.CountingAtLeast},
		"a lost receipt makes it a lower bound": {[]retentionv1.RunDatastore{{Outcome: retentionv1.OutcomeFailed, Reason: reasonReceiptLost}},
			retentionv1.OutcomeFailed, nil, retentionv1.CountingAtLeast},
		"an outcome nobody knows is no success": {[]retentionv1.RunDatastore{{Outcome: ""}}, "", nil, retentionv1.CountingExact},
	} {
		t.Run(name, func(t *testing.T) {
			outcome, totals := summarize(tc.datastores)
			if outcome != tc.wantOutcome || ptr.Deref(totals.Deleted, -1) != ptr.Deref(tc.wantDeleted, -1) || totals.Counting != tc.wantCount {
				t.Errorf("got %s %v %s, want %s %v %s", outcome, ptr.Deref(totals.Deleted, -1), totals.Counting, tc.wantOutcome, ptr.Deref(tc.wantDeleted, -1), tc.wantCount)
			}
		})
	}
}

func TestHistoryIsBounded(t *testing.T) {
	var history []retentionv1.RunSummary
	for i := range 20 {
		outcome := retentionv1.OutcomeSucceeded
		if i%2 == 0 {
			outcome = retentionv1.OutcomeFailed
		}
		at := metav1.NewTime(slot.Add(time.Duration(i) * time.Hour))
		history = addToHistory(history, retentionv1.RunSummary{Name: at.Format(time.RFC3339), CompletionTime: &at, Outcome: outcome}, 3, 2)
	}
	count := map[retentionv1.Outcome]int{}
	for i, l := range history {
		count[l.Outcome]++
		if i > 0 && history[i-1].CompletionTime.Before(l.CompletionTime) {
			t.Errorf("line %d is newer than the one before it", i)
		}
	}
	if count[retentionv1.OutcomeSucceeded] != 3 || count[retentionv1.OutcomeFailed] != 2 {
		t.Errorf("kept %v, want 3 that succeeded and 2 that failed", count)
	}
	again := addToHistory(history, history[2], 3, 2)
	if len(again) != len(history) {
		t.Errorf("a run that ends twice has two lines: %d, want %d", len(again), len(history))
	}
}
