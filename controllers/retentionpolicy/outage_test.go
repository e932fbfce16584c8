// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/internal/evidence"
)

// drain returns the reasons of the events so far.
func (w *world) drain() (reasons []string) {
	for {
		select {
		case e := <-w.events.Events:
			reasons = append(reasons, strings.Fields(e)[1])
		default:
			return reasons
		}
	}
}

func count(list []string, s string) (n int) {
	for _, have := range list {
		if have == s {
			n++
		}
	}
	return n
}

// expectWaiting checks that the status says that the ledger is waited for.
func (w *world) expectWaiting() {
	w.t.Helper()
	p := w.policy("p")
	expectCondition(w.t, p, retentionv1.ConditionReady, metav1.ConditionFalse, retentionv1.ReasonLedgerUnavailable)
	expectCondition(w.t, p, retentionv1.ConditionReconciling, metav1.ConditionTrue, retentionv1.ReasonLedgerUnavailable)
}

// TestNothingIsReleasedWithoutTheLedger stops the ledger at each of the places where a run needs it. The run waits there, keeps
// what it has, says so, and goes on.
func TestNothingIsReleasedWithoutTheLedger(t *testing.T) {
	for name, tc := range map[string]struct {
		reach   func(*world) // brings the run there
		waits   func(*world) // checks that it waits
		intents int          // while it waits
	}{
		"before the Intent": {
			func(w *world) { w.ledger.Fail(true) },
			func(w *world) {
				if len(w.purged) != 0 {
					w.t.Errorf("purged: %v", w.purged)
				}
				if d := w.policy("p").Status.ActiveRun.Datastores[0]; d.State != retentionv1.RunReleased || d.Intent != nil || d.Reason != retentionv1.ReasonLedgerUnavailable {
					w.t.Errorf("entry %+v", d)
				}
			}, 0,
		},
		"before the release": {
			func(w *world) { w.gated(); w.ledger.Fail(true) },
			func(w *world) {
				if len(w.purged) != 0 {
					w.t.Errorf("purged: %v", w.purged)
				}
			}, 1,
		},
		"before the Result": {
			func(w *world) {
				w.gated()
				w.must(w.pass(w.reconciler(), "p"))
				w.kubelet()
				w.ledger.Fail(true)
			},
			func(w *world) {
				pods := &corev1.PodList{}
				w.must(w.c.List(w.t.Context(), pods, client.InNamespace(w.namespace)))
				if len(pods.Items) != 1 || len(pods.Items[0].Finalizers) != 1 {
					w.t.Errorf("the receipt is let go of: %+v", pods.Items)
				}
				if d := w.policy("p").Status.ActiveRun.Datastores[0]; d.State != retentionv1.RunReleased || d.Outcome != "" || d.Datasets[0].Deleted != nil {
					w.t.Errorf("entry %+v", d)
				}
			}, 1,
		},
		"before the Conclusion": {
			func(w *world) {
				w.gated()
				for range 20 {
					w.must(w.pass(w.reconciler(), "p"))
					w.kubelet()
					if w.policy("p").Status.ActiveRun.Datastores[0].State == retentionv1.RunFinished {
						break
					}
				}
				w.ledger.Fail(true)
			},
			func(w *world) {
				if st := w.policy("p").Status; st.ActiveRun == nil || st.LastRun != nil {
					w.t.Errorf("the run is over: %+v", st)
				}
			}, 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.datastore("shop")
			w.create("p", nil)
			tc.reach(w)
			for range 12 {
				w.must(w.pass(w.reconciler(), "p"))
				w.kubelet()
			}
			tc.waits(w)
			w.expectWaiting()
			if n := len(w.stated(evidence.Intent)); n != tc.intents {
				t.Errorf("%d Intents", n)
			}
			if n := count(w.drain(), eventLedgerDown); n != 1 {
				t.Errorf("told %d times that the ledger is not there", n)
			}
			w.ledger.Fail(false)
			p := w.settle("p")
			if p.Status.LastRun.Outcome != retentionv1.OutcomeSucceeded || ptr.Deref(p.Status.LastRun.Deleted, -1) != 10 || p.Status.LastRun.Evidence.Level != "Deleted" {
				t.Errorf("last run %+v", p.Status.LastRun)
			}
			if n := count(w.drain(), eventLedgerBack); n != 1 {
				t.Errorf("told %d times that the ledger is back", n)
			}
			expectCondition(t, p, retentionv1.ConditionReady, metav1.ConditionTrue, retentionv1.ReasonRunSucceeded)
			w.expectReleased(p)
		})
	}
}

// TestAnAnswerOfTheLedgerThatIsLost: it was appended, and nobody heard of it.
func TestAnAnswerOfTheLedgerThatIsLost(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.datastore("crm")
	w.create("p", nil)
	for _, kind := range []evidence.Kind{evidence.Intent, evidence.Result, evidence.Conclusion} {
		w.ledger.CrashAfter(kind)
	}
	for range 20 { // time passes between what was stated and what comes into the status
		w.must(w.pass(w.reconciler(), "p"))
		w.kubelet()
		w.clock.SetTime(w.clock.Now().Add(time.Second))
	}
	p := w.settle("p")
	if p.Status.LastRun.Outcome != retentionv1.OutcomeSucceeded || ptr.Deref(p.Status.LastRun.Deleted, -1) != 20 {
		t.Errorf("last run %+v", p.Status.LastRun)
	}
	if n := len(w.entries()); n != 5 {
		t.Errorf("%d entries", n)
	}
	stated := w.conclusion()
	if !stated.Run.CompletionTime.Equal(p.Status.LastRun.CompletionTime.Time) {
		t.Errorf("completed at %v, and at %v by the status", stated.Run.CompletionTime, p.Status.LastRun.CompletionTime)
	}
	w.expectReleased(p)
}

// TestAHoldIsEnforcedWhileTheLedgerIsDown: it need not wait for a run that can do nothing any more.
func TestAHoldIsEnforcedWhileTheLedgerIsDown(t *testing.T) {
	for name, begin := range map[string]func(*world){
		"before the release": func(*world) {},
		"at work":            func(w *world) { w.must(w.pass(w.reconciler(), "p")) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.datastore("shop")
			w.create("p", nil)
			w.gated()
			begin(w)
			w.ledger.Fail(true)
			h := w.legalHold("h", func(*retentionv1.LegalHoldSpec) {})
			for range 4 {
				w.must(w.pass(w.reconciler(), "p"))
				w.clock.SetTime(w.clock.Now().Add(holds.SettleAfter))
			}
			ds := &retentionv1.Datastore{}
			w.must(w.c.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "shop"}, ds))
			if ds.Status.ActiveRun == nil || !slices.Contains(ds.Status.ActiveRun.Holds, string(h.UID)) {
				t.Errorf("the hold waits for the ledger: %+v", ds.Status.ActiveRun)
			}
			w.ledger.Fail(false)
			w.settle("p")
			if len(w.purged) != 0 {
				t.Errorf("purged: %v", w.purged)
			}
			for _, l := range w.stated(evidence.Result) {
				if l.Statement.Predicate.Level != evidence.LevelNotDone {
					t.Errorf("%+v", l.Statement.Predicate)
				}
			}
		})
	}
}

// TestAPolicyDeletedWhileTheLedgerIsDown waits for it.
func TestAPolicyDeletedWhileTheLedgerIsDown(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("p", nil)
	w.gated()
	w.must(w.pass(w.reconciler(), "p"))
	w.kubelet()
	w.ledger.Fail(true)
	w.must(w.c.Delete(t.Context(), w.policy("p")))
	for range 10 {
		w.must(w.pass(w.reconciler(), "p"))
	}
	if p := w.policy("p"); p == nil || p.Status.ActiveRun == nil {
		t.Fatalf("the policy went without its evidence: %+v", p)
	}
	w.ledger.Fail(false)
	if p := w.settle("p"); p != nil {
		t.Errorf("the policy stays: %+v", p)
	}
	if c := w.conclusion(); c.Level != evidence.LevelDeleted {
		t.Errorf("Conclusion %+v", c)
	}
}
