// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/plan"
)

func expectCondition(t *testing.T, r *retentionv1.ErasureRequest, condition string, status metav1.ConditionStatus, reason string) {
	t.Helper()
	c := meta.FindStatusCondition(r.Status.Conditions, condition)
	if c == nil || c.Status != status || c.Reason != reason {
		t.Errorf("%s = %+v, want %s/%s", condition, c, status, reason)
	}
}

// expectErased checks the answer to a request whose person was in the shop and at the desk.
func (w *world) expectErased(name string) {
	w.t.Helper()
	r := w.request(name)
	st := &r.Status
	if st.State != retentionv1.ErasureAnswered || st.Outcome != retentionv1.ErasureDeleted || ptr.Deref(st.Found, -1) != 4 || ptr.Deref(st.Erased, -1) != 4 ||
		st.Counting != retentionv1.CountingExact || len(st.Commitments) != 1 || strings.Join(st.IdentifierTypes, ",") != "customer_id,email" {
		w.t.Errorf("status %+v", st)
	}
	expectCondition(w.t, r, retentionv1.ConditionReady, metav1.ConditionTrue, retentionv1.ReasonAnswered)
	expectCondition(w.t, r, retentionv1.ConditionSucceeded, metav1.ConditionTrue, retentionv1.ReasonErased)
	expectCondition(w.t, r, retentionv1.ConditionVerified, metav1.ConditionTrue, retentionv1.ReasonVerified)
	expectCondition(w.t, r, retentionv1.ConditionOverdue, metav1.ConditionFalse, retentionv1.ReasonWithinTimeLimit)
	for _, e := range st.Datastores {
		if e.Derived != "" || e.Step != retentionv1.ErasureStepFinished || e.Identity != "id-"+e.Name || !ptr.Deref(e.Verified, false) {
			w.t.Errorf("entry %+v", e)
		}
	}
}

func TestAPersonIsErasedWhereverSheIsKnown(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.create("r1", map[string]string{"email": ada}, nil)
	w.settle()
	w.expectErased("r1")
	w.expectReleased()
	if w.left(ada, adaID) != 0 || w.left(bob, bobID) != 3 {
		t.Errorf("records %+v", w.records)
	}
	if got := w.secrets(); len(got) != 0 {
		t.Errorf("Secrets with identifiers are left: %v", got)
	}
	all := w.everything() + strings.Join(w.told(), "\n")
	for _, id := range []string{ada, adaID} {
		if strings.Contains(all, id) {
			t.Errorf("%s stands somewhere", id)
		}
	}
	pods := len(w.pods)
	w.fill() // whatever comes back now, a request that is answered is never carried out again
	w.settle()
	if len(w.pods) != pods {
		t.Error("an answered request was carried out again")
	}
}

// TestKilledBeforeEveryWrite kills the manager before each of its writes in turn, before and after those to the ledger, too;
// with a second Datastore, to which identifiers are carried, before some of them.
func TestKilledBeforeEveryWrite(t *testing.T) {
	for _, desk := range []bool{false, true} {
		writes := killedBefore(t, -1, desk)
		for k := range writes {
			if desk && k%13 != 0 {
				continue
			}
			t.Run(fmt.Sprintf("desk %v, write %d of %d", desk, k, writes), func(t *testing.T) {
				t.Parallel()
				killedBefore(t, k, desk)
			})
		}
	}
}

// killedBefore has a person erased by a manager that dies before a write, and by its successor. It returns how many writes
// that took.
func killedBefore(t *testing.T, k int, desk bool) int {
	w := newWorld(t)
	erased := int64(3)
	w.datastore("shop", customers(), nil)
	w.fill()
	if desk {
		w.datastore("desk", tickets(), nil)
		erased = 4
	}
	w.create("r1", map[string]string{"email": ada}, nil)
	w.writesLeft = k
	w.settle()
	if w.killed != (k >= 0) {
		t.Errorf("killed: %v", w.killed)
	}
	st := w.request("r1").Status
	if st.State != retentionv1.ErasureAnswered || st.Outcome != retentionv1.ErasureDeleted || ptr.Deref(st.Found, -1) != erased ||
		ptr.Deref(st.Erased, -1) != erased || st.Counting != retentionv1.CountingExact {
		t.Errorf("status %+v", st)
	}
	w.expectReleased()
	if c := w.conclusionOf("r1"); !c.Request.AnsweredTime.Equal(st.AnsweredTime.Time) || c.Level != evidence.LevelDeleted {
		t.Errorf("Conclusion %+v", c)
	}
	if w.left(ada, adaID) != 4-int(erased) || w.left(bob, bobID) != 3 || len(w.secrets()) != 0 {
		t.Errorf("records %+v, Secrets %v", w.records, w.secrets())
	}
	return w.writes
}

func TestTwoManagersAtOnce(t *testing.T) {
	for range 2 {
		w := newWorld(t)
		w.shop()
		w.create("r1", map[string]string{"email": ada}, nil)
		w.create("r2", map[string]string{"email": bob}, nil)
		for range 40 {
			var both sync.WaitGroup
			for range 2 {
				requests, runs := w.managers()
				both.Go(func() { // errors are conflicts, and are what keeps them apart
					for _, name := range []string{"r1", "r2"} {
						_, _ = requests.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: w.namespace, Name: name}})
					}
					for _, name := range []string{"shop", "desk"} {
						_, _ = runs.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: w.namespace, Name: name}})
					}
				})
			}
			both.Wait()
			w.kubelet()
			w.tick(time.Second)
		}
		w.settle()
		w.expectErased("r1")
		if r := w.request("r2"); r.Status.Outcome != retentionv1.ErasureDeleted || ptr.Deref(r.Status.Erased, -1) != 3 {
			t.Errorf("status %+v", r.Status)
		}
		w.expectReleased()
		if w.left(ada, adaID)+w.left(bob, bobID) != 0 {
			t.Errorf("records %+v", w.records)
		}
	}
}

func TestRequestsThatWaitShareOneJob(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.create("r1", map[string]string{"email": ada}, nil)
	w.create("r2", map[string]string{"email": bob}, nil)
	w.create("r3", map[string]string{"email": "nobody@example.com"}, nil)
	w.settle()
	w.expectErased("r1")
	if r := w.request("r2"); r.Status.Outcome != retentionv1.ErasureDeleted || ptr.Deref(r.Status.Erased, -1) != 3 {
		t.Errorf("status %+v", r.Status)
	}
	// Nobody knows a number of the third person, so that nobody has looked at the desk.
	if r := w.request("r3"); entry(r, "shop").Outcome != retentionv1.ErasureNotFound || entry(r, "desk").Outcome != retentionv1.ErasureSkipped ||
		entry(r, "desk").Reason != reasonNoIdentifier || meta.IsStatusConditionTrue(r.Status.Conditions, retentionv1.ConditionSucceeded) {
		t.Errorf("status %+v", r.Status)
	}
	if len(w.pods) > 6 {
		t.Errorf("%d Jobs: %v", len(w.pods), w.pods)
	}
}

func TestAPersonWhomNobodyKnowsIsNotFound(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.create("r1", map[string]string{"email": "nobody@example.com", "customer_id": "c-1"}, nil)
	w.settle()
	r := w.request("r1")
	if r.Status.State != retentionv1.ErasureAnswered || r.Status.Outcome != retentionv1.ErasureNotFound || ptr.Deref(r.Status.Found, -1) != 0 {
		t.Errorf("status %+v", r.Status)
	}
	expectCondition(t, r, retentionv1.ConditionSucceeded, metav1.ConditionFalse, retentionv1.ReasonNotFound)
	expectCondition(t, r, retentionv1.ConditionVerified, metav1.ConditionTrue, retentionv1.ReasonVerified)
}

func TestIdentifiersOfTwoPersonsEraseNobody(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.create("r1", map[string]string{"email": ada, "customer_id": bobID}, nil)
	w.settle()
	r := w.request("r1")
	expectCondition(t, r, retentionv1.ConditionStalled, metav1.ConditionTrue, retentionv1.ReasonIdentifiersDisagree)
	if w.left(ada, adaID) != 4 || w.left(bob, bobID) != 3 || r.Status.AnsweredTime != nil {
		t.Errorf("records %+v, status %+v", w.records, r.Status)
	}
	for _, job := range w.jobs() {
		if strings.Contains(w.everything(), `\"mode\":\"`+string(plan.Enforce)+`\"`) {
			t.Errorf("Job %s erases", job.Name)
		}
	}
	deny(w, "r1", "NotIdentified", "The identifiers belong to two persons")
	w.settle()
	r = w.request("r1")
	if r.Status.State != retentionv1.ErasureDenied || len(w.secrets()) != 0 {
		t.Errorf("status %+v", r.Status)
	}
}

func TestTheSubjectMayComeLater(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.create("r1", map[string]string{"email": ada}, func(r *retentionv1.ErasureRequest) { r.Spec.Subject.SecretRef.Name = "later" })
	w.settle()
	expectCondition(t, w.request("r1"), retentionv1.ConditionReady, metav1.ConditionFalse, retentionv1.ReasonSubjectUnreadable)
	w.create("later", map[string]string{"email": ada}, func(r *retentionv1.ErasureRequest) {
		r.Name, r.Spec.Approval = "other", retentionv1.ApprovalRequired
	})
	w.tick(2 * time.Hour)
	w.settle()
	w.expectErased("r1")
	if st := w.request("r1").Status.SubjectSecret; st != secretKept {
		t.Errorf("the Secret that another request names is %s", st)
	}
}

func TestSealedInGit(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.create("r1", nil, func(r *retentionv1.ErasureRequest) {
		r.Spec.Subject = retentionv1.Subject{Sealed: w.sealed("email=" + ada + "\n")}
	})
	other := newRing(t)
	w.keys, other = other, w.keys
	text := w.sealed("email=" + ada)
	w.keys = other
	w.create("r2", nil, func(r *retentionv1.ErasureRequest) { r.Spec.Subject = retentionv1.Subject{Sealed: text} })
	w.settle()
	w.expectErased("r1")
	if r := w.request("r1"); r.Status.SealingKey != w.keys.Current() {
		t.Errorf("sealing key %q", r.Status.SealingKey)
	}
	expectCondition(t, w.request("r2"), retentionv1.ConditionStalled, metav1.ConditionTrue, retentionv1.ReasonSubjectUnreadable)
}

// decide sets a condition as a person does who may approve.
func set(w *world, name, condition, reason, message string) {
	w.t.Helper()
	r := w.request(name)
	meta.SetStatusCondition(&r.Status.Conditions, metav1.Condition{
		Type: condition, Status: metav1.ConditionTrue, Reason: reason, Message: message, ObservedGeneration: r.Generation,
	})
	w.must(w.c.Status().Update(w.t.Context(), r))
}

func deny(w *world, name, reason, message string) {
	w.t.Helper()
	set(w, name, retentionv1.ConditionDenied, reason, message)
}

func TestAPersonApproves(t *testing.T) {
	for _, by := range []string{"request", "namespace", "datastore"} {
		t.Run(by, func(t *testing.T) {
			w := newWorld(t)
			w.shop()
			switch by {
			case "namespace":
				w.label(w.namespace, retentionv1.LabelErasureApproval, "Required")
			case "datastore":
				ds := &retentionv1.Datastore{}
				w.must(w.c.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "desk"}, ds))
				ds.Spec.ErasureApproval = retentionv1.ApprovalRequired
				w.must(w.c.Update(t.Context(), ds))
			}
			w.create("r1", map[string]string{"email": ada}, func(r *retentionv1.ErasureRequest) {
				if by == "request" {
					r.Spec.Approval = retentionv1.ApprovalRequired
				}
			})
			w.settle()
			if r := w.request("r1"); r.Status.State != retentionv1.ErasureAwaitingApproval || len(w.pods) != 0 {
				t.Fatalf("status %+v, Jobs %v", r.Status, w.pods)
			}
			expectCondition(t, w.request("r1"), retentionv1.ConditionReady, metav1.ConditionFalse, retentionv1.ReasonAwaitingApproval)
			set(w, "r1", retentionv1.ConditionApproved, "Checked", "The person has shown who she is")
			w.settle()
			w.expectErased("r1")
			expectCondition(t, w.request("r1"), retentionv1.ConditionApproved, metav1.ConditionTrue, "Checked")
		})
	}
}

func TestDeniedWithAReason(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.create("r1", map[string]string{"email": ada}, func(r *retentionv1.ErasureRequest) { r.Spec.Approval = retentionv1.ApprovalRequired })
	w.settle()
	deny(w, "r1", "LegalClaims", "The data is needed for a claim (Art. 17(3)(e))")
	w.settle()
	r := w.request("r1")
	expectCondition(t, r, retentionv1.ConditionReady, metav1.ConditionTrue, retentionv1.ReasonDenied)
	if c := meta.FindStatusCondition(r.Status.Conditions, retentionv1.ConditionReady); !strings.Contains(c.Message, "Art. 17(3)(e)") {
		t.Errorf("message %q", c.Message)
	}
	set(w, "r1", retentionv1.ConditionApproved, "Late", "Too late")
	w.settle()
	if r := w.request("r1"); r.Status.State != retentionv1.ErasureDenied || len(w.pods) != 0 || w.left(ada, adaID) != 4 || r.Status.SubjectSecret != secretDeleted {
		t.Errorf("status %+v, Jobs %v", r.Status, w.pods)
	}
}

func TestDeletedMidRun(t *testing.T) {
	for name, early := range map[string]bool{"before the Job is released": true, "while it is at work": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.shop()
			w.before = func(job *batchv1.Job, _ int) bool { return false }
			w.create("r1", map[string]string{"email": ada}, nil)
			for range 30 {
				w.pass()
				w.tick(time.Second)
				if jobs := w.jobs(); early && len(jobs) > 0 || len(jobs) > 1 && !ptr.Deref(jobs[0].Spec.Suspend, true) {
					break
				}
			}
			w.must(w.c.Delete(t.Context(), w.request("r1")))
			w.before = nil
			w.settle()
			if r := w.request("r1"); r != nil {
				t.Errorf("still there: %+v", r.Status)
			}
			w.expectReleased()
			if w.left(ada, adaID) != 4 {
				t.Errorf("records %+v", w.records)
			}
			if got := w.secrets(); len(got) != 1 || got[0] != "r1" {
				t.Errorf("Secrets %v", got)
			}
		})
	}
}

func (w *world) label(namespace, key, value string) {
	w.t.Helper()
	ns := w.ns(namespace)
	if ns.Labels == nil {
		ns.Labels = map[string]string{}
	}
	ns.Labels[key] = value
	w.must(w.c.Update(w.t.Context(), ns))
}

func TestAWrongSpecSaysWhich(t *testing.T) {
	for field, change := range map[string]func(*retentionv1.ErasureRequest){
		"spec.receivedTime": func(r *retentionv1.ErasureRequest) {
			r.Spec.ReceivedTime = ptr.To(metav1.NewTime(time.Now().Add(24 * time.Hour)))
		},
		"spec.holidays": func(r *retentionv1.ErasureRequest) { r.Spec.Holidays = "XX" },
	} {
		t.Run(field, func(t *testing.T) {
			w := newWorld(t)
			w.shop()
			w.create("r1", map[string]string{"email": ada}, change)
			w.settle()
			r := w.request("r1")
			expectCondition(t, r, retentionv1.ConditionStalled, metav1.ConditionTrue, retentionv1.ReasonInvalidSpec)
			if c := meta.FindStatusCondition(r.Status.Conditions, retentionv1.ConditionStalled); !strings.Contains(c.Message, field) || len(w.pods) != 0 {
				t.Errorf("message %q", c.Message)
			}
		})
	}
}

func TestFinalizerIsNotLeftBehind(t *testing.T) {
	w := newWorld(t)
	w.create("r1", map[string]string{"email": ada}, nil)
	w.settle()
	expectCondition(t, w.request("r1"), retentionv1.ConditionReady, metav1.ConditionFalse, retentionv1.ReasonNoDatastores)
	if r := w.request("r1"); len(r.Finalizers) != 1 || r.Finalizers[0] != erasure.Finalizer {
		t.Errorf("finalizers %v", r.Finalizers)
	}
	w.shop()
	w.settle()
	w.expectErased("r1")
	w.expectReleased()
}
