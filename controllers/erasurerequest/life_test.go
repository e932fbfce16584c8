// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"fmt"
	"slices"
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
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/controllers/internal/holds"
)

// hold makes a hold on a dataset of every Datastore, and registers it as its own controller does.
func (w *world) hold(name string, datasets ...retentionv1.DatasetName) {
	w.t.Helper()
	h := &retentionv1.LegalHold{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name},
		Spec:       retentionv1.LegalHoldSpec{Datasets: datasets, Reason: "claim", Authority: "court"},
	}
	w.must(w.c.Create(w.t.Context(), h))
	for _, ds := range w.datastores() {
		holds.Register(&ds.Status, name, string(h.UID), metav1.NewTime(w.clock.Now()))
		w.must(w.c.Status().Update(w.t.Context(), &ds))
	}
}

func (w *world) release(name string) {
	w.t.Helper()
	h := &retentionv1.LegalHold{}
	w.must(w.c.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, h))
	h.Spec.Release = &retentionv1.HoldRelease{Reason: "settled"}
	w.must(w.c.Update(w.t.Context(), h))
}

func TestAHoldKeepsAndItsReleaseGoesOn(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.hold("claim", "orders")
	w.create("r1", map[string]string{"email": ada}, nil)
	w.settle()
	r := w.request("r1")
	if r.Status.State != retentionv1.ErasureRetainedByHold || r.Status.AnsweredTime != nil || len(w.secrets()) != 1 {
		t.Errorf("status %+v", r.Status)
	}
	expectCondition(t, r, retentionv1.ConditionReady, metav1.ConditionFalse, retentionv1.ReasonRetainedByHold)
	expectCondition(t, r, retentionv1.ConditionSucceeded, metav1.ConditionFalse, retentionv1.ReasonRetainedByHold)
	if e := entry(r, "shop"); !slices.Equal(e.Holds, []string{"claim"}) || e.Outcome != retentionv1.ErasureHeld {
		t.Errorf("entry %+v", e)
	}
	orders := 0
	for _, rec := range w.records["shop"] {
		if rec.dataset == "orders" && rec.customer == adaID {
			orders++
		}
	}
	if orders != 2 {
		t.Errorf("%d held orders are left", orders)
	}
	w.tick(60 * 24 * time.Hour)
	w.settle()
	expectCondition(t, w.request("r1"), retentionv1.ConditionOverdue, metav1.ConditionTrue, retentionv1.ReasonTimeLimitPassed)
	w.release("claim")
	w.settle()
	r = w.request("r1")
	if r.Status.State != retentionv1.ErasureAnswered || r.Status.Outcome != retentionv1.ErasureDeleted || ptr.Deref(r.Status.Erased, -1) != 4 || w.left(ada, adaID) != 0 {
		t.Errorf("status %+v, records %+v", r.Status, w.records)
	}
	expectCondition(t, r, retentionv1.ConditionSucceeded, metav1.ConditionTrue, retentionv1.ReasonErased)
	w.expectReleased()
}

func TestAHoldThatComesWhileAJobIsAtWorkStopsIt(t *testing.T) {
	w := newWorld(t)
	w.shop()
	placed := false
	w.before = func(job *batchv1.Job, _ int) bool {
		if job.Labels["dataretention.dev/datastore"] != "shop" || !strings.Contains(w.planOf(job), `"mode":"Enforce"`) || placed {
			return true
		}
		placed = true
		w.hold("claim", "customer") // the Job is released, and its Pod has not begun
		return false
	}
	w.create("r1", map[string]string{"email": ada}, nil)
	for range 60 {
		w.pass()
		w.tick(time.Second)
		if placed && slices.ContainsFunc(w.jobs(), func(j batchv1.Job) bool { return holds.Stopped(&j) }) {
			break
		}
		w.kubelet()
	}
	w.settle()
	r := w.request("r1")
	if !placed || r.Status.State != retentionv1.ErasureRetainedByHold || w.left(ada, adaID) == 0 {
		t.Fatalf("placed %v, status %+v, records %+v", placed, r.Status, w.records)
	}
	if !slices.ContainsFunc(w.records["shop"], func(rec record) bool { return rec.ids["email"] == ada }) {
		t.Error("the held record is gone")
	}
	w.expectReleased()
}

func (w *world) planOf(job *batchv1.Job) string {
	configMap := &corev1.ConfigMap{}
	w.must(w.c.Get(w.t.Context(), client.ObjectKeyFromObject(job), configMap))
	return configMap.Data["plan.json"]
}

func TestWhoComesBackIsErasedAgain(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.create("r1", map[string]string{"email": ada}, func(r *retentionv1.ErasureRequest) {
		r.Spec.RecheckFor, r.Spec.RecheckEvery = "P3D", "P1D"
	})
	w.settle()
	r := w.request("r1")
	if r.Status.State != retentionv1.ErasureWatching || r.Status.AnsweredTime == nil || r.Status.Recheck.NextTime == nil || !slices.Equal(w.secrets(), []string{"r1"}) {
		t.Fatalf("status %+v", r.Status)
	}
	expectCondition(t, r, retentionv1.ConditionReady, metav1.ConditionTrue, retentionv1.ReasonAnswered)
	expectCondition(t, r, retentionv1.ConditionSucceeded, metav1.ConditionTrue, retentionv1.ReasonErased)
	w.told()
	w.fill() // a backup is restored
	w.tick(25 * time.Hour)
	w.settle()
	r = w.request("r1")
	c := r.Status.Recheck
	if w.left(ada, adaID) != 0 || c.Times != 1 || ptr.Deref(c.Found, -1) != 4 || c.Reason != recheckSchedule || ptr.Deref(r.Status.Erased, -1) != 8 {
		t.Errorf("recheck %+v, status %+v", c, r.Status)
	}
	if !slices.ContainsFunc(w.told(), func(e string) bool { return strings.Contains(e, eventReappeared) }) {
		t.Error("nobody was told")
	}

	shop := &retentionv1.Datastore{} // another server, which has her too
	w.must(w.c.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "shop"}, shop))
	shop.Status.Identity, shop.Status.ObservedIdentity = "id-new", "id-new"
	w.must(w.c.Status().Update(t.Context(), shop))
	w.records["shop"] = []record{{dataset: "customer", ids: map[string]string{"email": ada, "customer_id": adaID}}}
	w.settle()
	r = w.request("r1")
	if c := r.Status.Recheck; w.left(ada, adaID) != 0 || c.Times != 2 || c.Reason != recheckIdentityChanged || entry(r, "shop").Identity != "id-new" {
		t.Errorf("recheck %+v, entry %+v", c, entry(r, "shop"))
	}

	w.records["crm"] = []record{{dataset: "ticket", ids: map[string]string{"customer_id": adaID}}}
	w.datastore("crm", tickets(), nil)
	w.settle()
	r = w.request("r1")
	if c := r.Status.Recheck; w.left(ada, adaID) != 0 || c.Times != 3 || c.Reason != recheckNewDatastore {
		t.Errorf("recheck %+v, records %+v", c, w.records)
	}

	for range 4 {
		w.tick(25 * time.Hour)
		w.settle()
	}
	r = w.request("r1")
	if r.Status.State != retentionv1.ErasureAnswered || r.Status.SubjectSecret != secretDeleted || len(w.secrets()) != 0 || r.Status.Outcome != retentionv1.ErasureDeleted {
		t.Errorf("status %+v", r.Status)
	}
	w.expectReleased()
}

// team makes another namespace with a desk in it.
func (w *world) team(allow ...string) string {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "team-", Labels: map[string]string{"privacy": "yes", "of": w.namespace}}}
	w.must(w.c.Create(w.t.Context(), namespace))
	w.namespaces = append(w.namespaces, namespace.Name)
	name := fmt.Sprintf("desk-%d", len(w.namespaces))
	w.datastore(name, tickets(), func(ds *retentionv1.Datastore) { ds.Namespace, ds.Spec.AllowErasureFrom = namespace.Name, allow })
	w.records[name] = []record{{dataset: "ticket", ids: map[string]string{"customer_id": adaID}}}
	return namespace.Name
}

func (w *world) reaching(r *retentionv1.ErasureRequest) {
	r.Spec.NamespaceSelector = &retentionv1.NamespaceSelector{MatchLabels: map[string]retentionv1.LabelValue{"of": retentionv1.LabelValue(w.namespace)}}
}

func TestAcrossNamespaces(t *testing.T) {
	for _, way := range []string{"secret", "sealed"} {
		t.Run(way, func(t *testing.T) {
			w := newWorld(t)
			w.datastore("shop", customers(), nil)
			w.fill()
			open, closed := w.team(w.namespace), w.team()
			w.create("r1", map[string]string{"email": ada}, func(r *retentionv1.ErasureRequest) {
				w.reaching(r)
				if way == "sealed" {
					r.Spec.Subject = retentionv1.Subject{Sealed: w.sealed("email=" + ada)}
				}
			})
			w.settle()
			r := w.request("r1")
			if r.Status.State != retentionv1.ErasureAnswered || r.Status.Outcome != retentionv1.ErasureDeleted || ptr.Deref(r.Status.Erased, -1) != 4 {
				t.Errorf("status %+v", r.Status)
			}
			expectCondition(t, r, retentionv1.ConditionVerified, metav1.ConditionTrue, retentionv1.ReasonVerified)
			if len(w.records["desk-2"]) != 0 || len(w.records["desk-3"]) != 1 {
				t.Errorf("records %+v", w.records)
			}
			for _, c := range r.Status.Children {
				switch c.Namespace {
				case open:
					child := w.get(client.ObjectKey{Namespace: open, Name: c.Name})
					if c.State != retentionv1.ErasureAnswered || c.Outcome != retentionv1.ErasureDeleted || ptr.Deref(c.Erased, -1) != 1 || c.Derived != "" || string(child.UID) != c.UID {
						t.Errorf("child %+v", c)
					}
				case closed:
					if c.UID != "" || c.Reason != retentionv1.ReasonNotAllowed || c.Outcome != "" {
						t.Errorf("child %+v", c)
					}
				}
			}
			if all := w.everything(); strings.Contains(all, ada) || strings.Contains(all, adaID) || r.Status.SealedSubject != "" {
				t.Error("an identifier stands somewhere")
			}
			if way == "secret" && len(w.secrets()) != 0 {
				t.Errorf("Secrets %v", w.secrets())
			}
			w.expectReleased()
		})
	}
}

func TestAnotherTeamHasItsSay(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop", customers(), nil)
	w.fill()
	team := w.team(w.namespace)
	w.label(team, retentionv1.LabelErasureApproval, "Required")
	w.create("r1", nil, func(r *retentionv1.ErasureRequest) {
		w.reaching(r)
		r.Spec.Subject = retentionv1.Subject{Sealed: w.sealed("email=" + ada)}
	})
	w.settle()
	r := w.request("r1")
	if len(r.Status.Children) != 1 || r.Status.Children[0].State != retentionv1.ErasureAwaitingApproval || w.left(ada, adaID) != 5 {
		t.Fatalf("status %+v, records %+v", r.Status, w.records)
	}
	child := w.get(client.ObjectKey{Namespace: team, Name: r.Status.Children[0].Name})
	meta.SetStatusCondition(&child.Status.Conditions, metav1.Condition{
		Type: retentionv1.ConditionDenied, Status: metav1.ConditionTrue, Reason: "Needed", Message: "It is needed for a claim", ObservedGeneration: child.Generation,
	})
	w.must(w.c.Status().Update(t.Context(), child))
	w.settle()
	r = w.request("r1")
	if r.Status.State != retentionv1.ErasureAnswered || r.Status.Outcome != retentionv1.ErasureSkipped || r.Status.Children[0].Reason != retentionv1.ReasonDenied || len(w.records["desk-2"]) != 1 {
		t.Errorf("status %+v, records %+v", r.Status, w.records)
	}
	expectCondition(t, r, retentionv1.ConditionSucceeded, metav1.ConditionFalse, retentionv1.ReasonIncomplete)
	if w.left(ada, adaID) != 2 { // the team's ticket, and the one at a desk that does not exist here
		t.Errorf("records %+v", w.records)
	}
}

func TestADeletedRequestTakesItsChildrenAlong(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop", customers(), nil)
	w.fill()
	team := w.team(w.namespace)
	w.label(team, retentionv1.LabelErasureApproval, "Required")
	w.create("r1", nil, func(r *retentionv1.ErasureRequest) {
		w.reaching(r)
		r.Spec.Subject = retentionv1.Subject{Sealed: w.sealed("email=" + ada)}
	})
	w.settle()
	w.must(w.c.Delete(t.Context(), w.request("r1")))
	w.settle()
	if left := w.list(); len(left) != 0 {
		t.Errorf("left: %+v", left)
	}
}

// TestFiledAgain files a request anew whose predecessor of the same name was deleted after it had been answered.
func TestFiledAgain(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop", customers(), nil)
	team := w.team(w.namespace)
	for round := range 2 {
		w.fill()
		w.records["desk-2"] = []record{{dataset: "ticket", ids: map[string]string{"customer_id": adaID}}}
		w.create("r1", map[string]string{"email": ada}, w.reaching)
		w.settle()
		r := w.request("r1")
		if r.Status.Outcome != retentionv1.ErasureDeleted || ptr.Deref(r.Status.Erased, -1) != 4 || len(w.records["desk-2"]) != 0 {
			t.Fatalf("round %d: status %+v, records %+v", round, r.Status, w.records)
		}
		w.must(w.c.Delete(t.Context(), r))
	}
	answers := 0
	for _, r := range w.list() {
		if r.Namespace == team && r.Status.State == retentionv1.ErasureAnswered {
			answers++
		}
	}
	if answers != 2 {
		t.Errorf("%d answers are left with the team", answers)
	}
}

// TestAForgedChildLearnsNothing makes a request in another namespace that claims to have been made from one here.
func TestAForgedChildLearnsNothing(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop", customers(), nil)
	w.fill()
	w.create("r1", map[string]string{"email": ada}, func(r *retentionv1.ErasureRequest) { r.Spec.RecheckFor = "P3D" })
	w.settle()
	if r := w.request("r1"); entry(r, "shop").Derived == "" {
		t.Fatalf("nothing to learn: %+v", r.Status)
	}
	team := w.team(w.namespace)
	forged := &retentionv1.ErasureRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: "forged",
			Labels:      map[string]string{erasure.LabelParentNamespace: w.namespace, erasure.LabelParentName: "r1"},
			Annotations: map[string]string{erasure.AnnotationParentUID: string(w.request("r1").UID)}},
		Spec: retentionv1.ErasureRequestSpec{Subject: retentionv1.Subject{Sealed: w.sealed("email=mallory@example.com")}},
	}
	w.must(w.c.Create(t.Context(), forged))
	w.settle()
	if len(w.records["desk-2"]) != 1 {
		t.Error("the forged request was carried out with the identifiers of another")
	}
}

func TestTheClockIsTold(t *testing.T) {
	w := newWorld(t)
	w.shop()
	received := metav1.NewTime(w.clock.Now().Add(-time.Hour))
	w.create("r1", map[string]string{"email": ada}, func(r *retentionv1.ErasureRequest) {
		r.Spec.Approval, r.Spec.ReceivedTime, r.Spec.Regulation = retentionv1.ApprovalRequired, &received, retentionv1.RegulationCCPA
	})
	w.settle()
	r := w.request("r1")
	due := r.Status.DueTime.Time
	if days := due.Sub(received.Time).Hours() / 24; days < 44 || days > 46 || r.Status.ConfirmByTime == nil {
		t.Errorf("due %v after %v days, to be confirmed by %v", due, days, r.Status.ConfirmByTime)
	}
	expect := func(at time.Time, status metav1.ConditionStatus, reason, event string) {
		t.Helper()
		w.told()
		w.clock.SetTime(at)
		w.settle()
		expectCondition(t, w.request("r1"), retentionv1.ConditionOverdue, status, reason)
		if got := strings.Join(w.told(), "\n"); strings.Count(got, event) != 1 {
			t.Errorf("events %q, want one %s", got, event)
		}
	}
	expect(due.Add(-6*24*time.Hour), metav1.ConditionFalse, reasonDueWithinWeek, eventDueSoon)
	expect(due.Add(-20*time.Hour), metav1.ConditionFalse, reasonDueWithinDay, eventDueSoon)
	annotate := func(text string) {
		r := w.request("r1")
		metav1.SetMetaDataAnnotation(&r.ObjectMeta, retentionv1.AnnotationExtensionReason, text)
		w.must(w.c.Update(t.Context(), r))
		w.settle()
	}
	annotate("ask ada@example.com")
	if r := w.request("r1"); r.Status.Extension != nil {
		t.Errorf("extension %+v", r.Status.Extension)
	}
	annotate("Many systems are concerned")
	r = w.request("r1")
	if e := r.Status.Extension; e == nil || !e.OriginalDueTime.Time.Equal(due) || !r.Status.DueTime.After(due) {
		t.Fatalf("extension %+v, due %v", e, r.Status.DueTime)
	}
	expectCondition(t, r, retentionv1.ConditionOverdue, metav1.ConditionFalse, retentionv1.ReasonWithinTimeLimit)
	expect(r.Status.DueTime.Add(time.Hour), metav1.ConditionTrue, retentionv1.ReasonTimeLimitPassed, eventOverdue)
}

func TestRecipientsAreToldOnce(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop", customers(), func(ds *retentionv1.Datastore) {
		ds.Spec.Recipients = []retentionv1.PlainText{"Parcel service"}
		ds.Spec.Backups = &retentionv1.Backups{Retention: "P35D"}
	})
	w.fill()
	w.create("r1", map[string]string{"email": ada}, nil)
	w.settle()
	r := w.request("r1")
	if len(r.Status.Recipients) != 1 || r.Status.Recipients[0].Name != "Parcel service" {
		t.Errorf("recipients %+v", r.Status.Recipients)
	}
	if by := r.Status.FullyExpiredBy; by == nil || by.Sub(w.clock.Now()) < 34*24*time.Hour {
		t.Errorf("fully expired by %v", by)
	}
	if n := strings.Count(strings.Join(w.told(), "\n"), "Parcel service"); n != 1 {
		t.Errorf("told %d times", n)
	}
}
