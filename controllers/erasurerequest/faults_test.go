// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
)

func TestADatastoreThatIsDownIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.broken["desk"] = true
	w.create("r1", map[string]string{"email": ada}, nil)
	w.settle()
	r := w.request("r1")
	if e := entry(r, "desk"); e.Step != retentionv1.ErasureStepFind || e.Failures != 1 || e.RetryTime == nil || e.Reason != "Unreachable" {
		t.Errorf("entry %+v", e)
	}
	if w.left(ada, adaID) != 4 {
		t.Error("something was erased before everything had been searched")
	}
	expectCondition(t, r, retentionv1.ConditionReconciling, metav1.ConditionTrue, retentionv1.ReasonProgressing)
	w.expectReleased() // retention need not wait meanwhile
	w.tick(2 * time.Minute)
	w.settle()
	if e := entry(w.request("r1"), "desk"); e.Failures != 2 {
		t.Errorf("entry %+v", e)
	}
	w.broken["desk"] = false
	w.tick(2 * time.Hour)
	w.settle()
	w.expectErased("r1")
}

func TestAPodThatDiesInACommitLeavesALowerBound(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.dies["shop"] = 1
	w.create("r1", map[string]string{"email": ada}, nil)
	w.settle()
	r := w.request("r1")
	if r.Status.State != retentionv1.ErasureAnswered || r.Status.Counting != retentionv1.CountingAtLeast || r.Status.Outcome != retentionv1.ErasureDeleted || w.left(ada, adaID) != 0 {
		t.Errorf("status %+v, entry %+v", r.Status, entry(r, "shop"))
	}
	w.expectReleased()
}

// TestAnEvictedPodIsAccountedFor deletes a Pod that has erased while its Job goes on: its log is gone long before the Job ends.
func TestAnEvictedPodIsAccountedFor(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.evicted["shop"] = true
	w.create("r1", map[string]string{"email": ada}, nil)
	w.settle()
	w.expectErased("r1")
	w.expectReleased()
	if r := w.request("r1"); entry(r, "shop").Attempts != 3 {
		t.Errorf("entry %+v", entry(r, "shop"))
	}
}

// TestALostAccountNeverBecomesAnAnswerThatClaimsMore loses the log of the Pod that erased.
func TestALostAccountNeverBecomesAnAnswerThatClaimsMore(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.forget = true
	w.create("r1", map[string]string{"email": ada}, nil)
	w.settle()
	r := w.request("r1")
	if r.Status.State != retentionv1.ErasureAnswered || r.Status.Outcome != retentionv1.ErasureFailed || r.Status.Counting != retentionv1.CountingAtLeast {
		t.Errorf("status %+v", r.Status)
	}
	for _, d := range entry(r, "shop").Datasets {
		if d.Reason != erasure.ReasonAccountLost {
			t.Errorf("dataset %+v", d)
		}
	}
	expectCondition(t, r, retentionv1.ConditionSucceeded, metav1.ConditionFalse, retentionv1.ReasonIncomplete)
	expectCondition(t, r, retentionv1.ConditionVerified, metav1.ConditionFalse, retentionv1.ReasonNotVerified)
}

// TestAJobThatIsGone removes a Job that has erased, together with its finalizer and its Pods, before it was accounted for.
func TestAJobThatIsGone(t *testing.T) {
	w := newWorld(t)
	w.shop()
	var gone string
	w.before = func(job *batchv1.Job, _ int) bool {
		if gone == "" && job.Labels["dataretention.dev/datastore"] == "shop" && strings.Contains(w.planOf(job), `"mode":"Enforce"`) {
			gone = job.Name
			w.records["shop"] = nil // it had done its work
			base := job.DeepCopy()
			job.Finalizers = nil
			w.must(w.c.Patch(t.Context(), job, client.MergeFrom(base)))
			w.must(w.c.Delete(t.Context(), job, client.PropagationPolicy(metav1.DeletePropagationBackground)))
			return false
		}
		return true
	}
	w.create("r1", map[string]string{"email": ada}, nil)
	w.settle()
	w.tick(2 * time.Minute)
	w.settle()
	r := w.request("r1")
	if gone == "" || r.Status.State != retentionv1.ErasureAnswered || r.Status.Outcome != retentionv1.ErasureFailed || r.Status.Counting != retentionv1.CountingAtLeast {
		t.Errorf("Job %q, status %+v", gone, r.Status)
	}
	for _, d := range entry(r, "shop").Datasets {
		if d.Reason != erasure.ReasonAccountLost || d.Counting != retentionv1.CountingAtLeast {
			t.Errorf("dataset %+v", d)
		}
	}
	w.expectReleased()
}

func TestADatastoreThatIsGone(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.broken["desk"] = true
	w.create("r1", map[string]string{"email": ada}, nil)
	w.settle()
	desk := &retentionv1.Datastore{}
	w.must(w.c.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "desk"}, desk))
	w.must(w.c.Delete(t.Context(), desk))
	w.settle()
	r := w.request("r1")
	if e := entry(r, "desk"); e.Outcome != retentionv1.ErasureFailed || e.Reason != erasure.ReasonDatastoreNotFound {
		t.Errorf("entry %+v", e)
	}
	if e := entry(r, "shop"); e.Outcome != retentionv1.ErasureDeleted || r.Status.Outcome != retentionv1.ErasureFailed || ptr.Deref(r.Status.Erased, -1) != 3 {
		t.Errorf("entry %+v, status %+v", e, r.Status)
	}
}

// TestADatastoreOfAnotherPolicysRunIsWaitedFor keeps a run of a RetentionPolicy in the way.
func TestADatastoreOfAnotherRunIsWaitedFor(t *testing.T) {
	w := newWorld(t)
	w.shop()
	policy := &retentionv1.RetentionPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "p"},
		Spec: retentionv1.RetentionPolicySpec{
			DatastoreSelector: retentionv1.DatastoreSelector{MatchLabels: map[string]retentionv1.LabelValue{"personal": "true"}},
			Schedule:          "0 3 1 1 *",
			Rules:             []retentionv1.Rule{{Name: "old", Datasets: []retentionv1.DatasetName{"orders"}, RetainAtLeast: "P90D", LegalBasis: "tax"}},
		},
	}
	w.must(w.c.Create(t.Context(), policy))
	now := metav1.NewTime(w.clock.Now())
	policy.Status.ActiveRun = &retentionv1.Run{Name: "p-1", Trigger: retentionv1.TriggerRequest, Slot: now, Mode: retentionv1.ModeEnforce, StartTime: now,
		Datastores: []retentionv1.RunDatastore{{Name: "shop", UID: "x", State: retentionv1.RunReleased}}}
	w.must(w.c.Status().Update(t.Context(), policy))
	shop := &retentionv1.Datastore{}
	w.must(w.c.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "shop"}, shop))
	shop.Status.ActiveRun = &retentionv1.ActiveRun{Name: "p-1", Policy: "p", PolicyUID: string(policy.UID), AcquiredTime: now}
	w.must(w.c.Status().Update(t.Context(), shop))
	w.create("r1", map[string]string{"email": ada}, nil)
	w.settle()
	w.must(w.c.Get(t.Context(), client.ObjectKeyFromObject(shop), shop))
	if p := shop.Status.PendingErasures; p == nil || p.Requests != 1 || p.Since == nil || p.EarliestDueTime == nil || shop.Status.ActiveRun.Policy != "p" {
		t.Errorf("pending %+v, active %+v", p, shop.Status.ActiveRun)
	}
	shop.Status.ActiveRun = nil // it has made way
	w.must(w.c.Status().Update(t.Context(), shop))
	w.must(w.c.Delete(t.Context(), policy))
	w.settle()
	w.expectErased("r1")
	w.expectReleased()
}
