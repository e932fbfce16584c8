// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"errors"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/internal/evidence"
)

// TestAPlanThatIsReplacedAfterItsIntent: the first Intent is closed before the second plan is on record.
func TestAPlanThatIsReplacedAfterItsIntent(t *testing.T) {
	for name, down := range map[string]bool{"ledger up": false, "ledger down meanwhile": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.datastore("shop")
			w.create("p", nil)
			job := w.gated()
			w.change(func(p *retentionv1.RetentionPolicy) { p.Spec.Rules[0].DeleteAfter = "P1Y" })
			w.ledger.Fail(down)
			for range 3 {
				w.must(w.pass(w.reconciler(), "p"))
			}
			if down {
				if d := w.policy("p").Status.ActiveRun.Datastores[0]; d.Job != job.Name || d.Reason != retentionv1.ReasonLedgerUnavailable {
					t.Errorf("the first plan is forgotten: %+v", d)
				}
				w.ledger.Fail(false)
			}
			p := w.settle("p")
			results := w.stated(evidence.Result)
			if len(results) != 2 || p.Status.LastRun.Outcome != retentionv1.OutcomeSucceeded {
				t.Fatalf("%d Results, last run %+v", len(results), p.Status.LastRun)
			}
			first := results[0].Statement.Predicate
			if first.Level != evidence.LevelNotDone || first.Datastores[0].Job != job.Name || first.Datastores[0].Reason != reasonPlanChanged ||
				first.Datastores[0].Datasets[0].Outcome != "NotRun" || first.LogicallyDeletedTime != nil {
				t.Errorf("first Result %+v", first)
			}
			if c := w.conclusion(); len(c.Results) != 1 || c.Results[0] != results[1].Reference {
				t.Errorf("the Conclusion rests on %+v", c.Results)
			}
			w.expectNotPurged(job)
		})
	}
}

// expectNotPurged checks that a Job was never carried out.
func (w *world) expectNotPurged(job *batchv1.Job) {
	w.t.Helper()
	if w.purged[job.Name] != 0 {
		w.t.Errorf("Job %s was carried out", job.Name)
	}
}

// TestAPolicyDeletedAtEveryStage deletes it after each number of passes. All that was stated is closed, and concluded.
func TestAPolicyDeletedAtEveryStage(t *testing.T) {
	for n := 1; ; n++ {
		w := newWorld(t)
		w.datastore("shop")
		w.datastore("crm")
		w.create("p", nil)
		for range n {
			w.must(w.pass(w.reconciler(), "p"))
			w.kubelet()
		}
		st := w.policy("p").Status
		w.must(w.c.Delete(t.Context(), w.policy("p")))
		for range 30 {
			w.clock.SetTime(w.clock.Now().Add(holds.SettleAfter / 2))
			if err := w.pass(w.reconciler(), "p"); err != nil && !apierrors.IsNotFound(err) {
				t.Fatal(err)
			}
			if w.policy("p") == nil {
				break
			}
		}
		if p := w.policy("p"); p != nil {
			t.Fatalf("after %d passes: the policy stays: %+v", n, p.Status.ActiveRun)
		}
		w.expectReleased(nil)
		if st.ActiveRun != nil {
			if c := w.conclusion(); len(c.Datastores) != 2 {
				t.Errorf("after %d passes: the Conclusion is about %+v", n, c.Datastores)
			} else if deleted := len(w.purged) == 2; (c.Level == evidence.LevelDeleted) != deleted {
				t.Errorf("after %d passes: level %s with %d purges", n, c.Level, len(w.purged))
			}
		}
		if st.LastRun != nil {
			if n < 8 {
				t.Fatalf("a run took %d passes only", n)
			}
			return
		}
	}
}

// TestARefusalAtTheGateIsStated: what forbids a run is in the ledger, and its Job can never be released any more.
func TestARefusalAtTheGateIsStated(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("p", nil)
	job := w.gated()
	w.changeDatastore("shop", func(ds *retentionv1.Datastore) { ds.Status.ObservedIdentity = "id-2" })
	w.ledger.Fail(true)
	for range 3 {
		w.must(w.pass(w.reconciler(), "p"))
	}
	w.must(w.c.Get(t.Context(), client.ObjectKeyFromObject(job), job))
	if !holds.Stopped(job) {
		t.Error("another manager may still release the Job")
	}
	w.ledger.Fail(false)
	p := w.settle("p")
	r := w.stated(evidence.Result)[0].Statement.Predicate
	if r.Level != evidence.LevelNotDone || r.Datastores[0].Reason != retentionv1.ReasonIdentityChanged || p.Status.LastRun.Datastores[0].Reason != retentionv1.ReasonIdentityChanged {
		t.Errorf("Result %+v, last run %+v", r, p.Status.LastRun)
	}
	w.expectReleased(p)
}

// TestAJobThatAnotherManagerReleasesIsNotCalledNotDone: one manager is about to close the execution, as it sees a reason
// against it, and another one that did not see it releases the Job just before.
func TestAJobThatAnotherManagerReleasesIsNotCalledNotDone(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("p", nil)
	job := w.gated()
	w.changeDatastore("shop", func(ds *retentionv1.Datastore) { ds.Status.ObservedIdentity = "id-2" })
	stale := job.DeepCopy()
	w.must(w.c.Get(t.Context(), client.ObjectKeyFromObject(job), stale))
	job = stale.DeepCopy()
	job.Spec.Suspend = ptr.To(false)
	w.must(w.c.Update(t.Context(), job))
	// The first manager has read the Job as suspended, and there is no Pod yet.
	if err := w.pass(w.staleJob(stale), "p"); !errors.Is(err, errBegun) || len(w.stated(evidence.Result)) != 0 {
		t.Fatalf("error %v, Results %+v", err, w.stated(evidence.Result))
	}
	p := w.settle("p")
	if r := w.stated(evidence.Result)[0].Statement.Predicate; r.Level != evidence.LevelDeleted || ptr.Deref(p.Status.LastRun.Deleted, -1) != 10 {
		t.Errorf("Result %+v, last run %+v", r, p.Status.LastRun)
	}
}

// TestAnEntryWhoseIntentTheLedgerDoesNotHave: the status was restored, or written by somebody else.
func TestAnEntryWhoseIntentTheLedgerDoesNotHave(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("p", nil)
	for range 20 {
		w.must(w.pass(w.reconciler(), "p"))
		p := w.policy("p")
		if run := p.Status.ActiveRun; run != nil && run.Datastores[0].State == retentionv1.RunReleased {
			run.Datastores[0].Intent = &retentionv1.EvidenceReference{Index: ptr.To(int64(7)), Digest: "sha256:" + strings.Repeat("0", 64), Time: metav1.NewTime(time.Now())}
			w.must(w.c.Status().Update(t.Context(), p))
			break
		}
	}
	p := w.settle("p") // expectIntent checks the release
	if p.Status.LastRun.Outcome != retentionv1.OutcomeSucceeded {
		t.Errorf("last run %+v", p.Status.LastRun)
	}
}

// TestAJobThatWasReleasedBeforeThereWasALedger is accounted for all the same.
func TestAJobThatWasReleasedBeforeThereWasALedger(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("p", nil)
	for range 20 {
		w.must(w.pass(w.reconciler(), "p"))
		if run := w.policy("p").Status.ActiveRun; run != nil && run.Datastores[0].State == retentionv1.RunReleased {
			break
		}
	}
	job := w.jobs()[0]
	job.Spec.Suspend = ptr.To(false)
	w.must(w.c.Update(t.Context(), &job))
	p := w.settle("p")
	intent := w.stated(evidence.Intent)[0].Statement.Predicate
	if p.Status.LastRun.Evidence.Level != "Deleted" || intent.Message == "" || len(intent.Datastores[0].Datasets) != 1 || intent.Datastores[0].Datasets[0].RuleReason == "" {
		t.Errorf("last run %+v, Intent %+v", p.Status.LastRun, intent)
	}
}
