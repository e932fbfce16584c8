// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/controllers/internal/facts"
	"dataretention.dev/retention-operator/internal/evidence"
)

// conclusionOf is the one Conclusion of a request.
func (w *world) conclusionOf(name string) evidence.Predicate {
	w.t.Helper()
	all := w.stated(evidence.Conclusion, string(w.request(name).UID))
	if len(all) != 1 {
		w.t.Fatalf("%d Conclusions of %s", len(all), name)
	}
	return all[0]
}

func gap(p evidence.Predicate, kind evidence.GapKind, name, reason string) bool {
	return slices.ContainsFunc(p.NotCovered, func(g evidence.Gap) bool { return g.Kind == kind && g.Name == name && g.Reason == reason })
}

func TestWhatIsStatedOfAnErasure(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop", customers(), func(ds *retentionv1.Datastore) {
		ds.Spec.Recipients = []retentionv1.PlainText{"Parcel service"}
		ds.Spec.Backups = &retentionv1.Backups{Retention: "P35D"}
	})
	w.datastore("desk", tickets(), nil)
	w.fill()
	w.create("r1", map[string]string{"email": ada}, func(r *retentionv1.ErasureRequest) {
		r.Spec.Ground = "ConsentWithdrawn"
		r.Spec.ReceivedTime = ptr.To(metav1.NewTime(w.clock.Now().Add(-50 * time.Hour)))
	})
	w.create("r2", map[string]string{"email": bob}, nil)
	w.settle()
	r := w.request("r1")
	c := w.conclusionOf("r1")
	if c.Level != evidence.LevelDeleted || c.Outcome != "Deleted" || len(c.Datastores) != 2 || c.Closes != nil {
		t.Errorf("Conclusion %+v", c)
	}
	if q := c.Request; q.UID != string(r.UID) || q.Ground != "ConsentWithdrawn" || *q.DaysTaken != 3 || !q.AnsweredTime.Equal(r.Status.AnsweredTime.Time) ||
		!slices.Equal(q.IdentifierTypes, []string{"customer_id", "email"}) || len(q.Commitments) != 1 || !*q.Verified || q.Approval.Reason != retentionv1.ReasonApprovalNotRequired ||
		!q.DueTime.Equal(r.Status.DueTime.Time) || q.Channel != "Object" || len(q.Recipients) != 1 {
		t.Errorf("request %+v", q)
	}
	if c.GoneBy != nil || c.LogicallyDeletedTime == nil || !gap(c, evidence.GapBackup, "desk", facts.GapNotDeclared) || !gap(c, evidence.GapBackup, "shop", facts.GapDeclared) ||
		!gap(c, evidence.GapRecipient, "Parcel service", facts.GapNotNotified) || !gap(c, evidence.GapEngine, "desk", facts.GapNotCleaned) {
		t.Errorf("gone by %v, not covered %+v", c.GoneBy, c.NotCovered)
	}
	if ref := r.Status.Evidence; ref == nil || ref.Level != "Deleted" || w.entries()[*ref.Index].Statement.Predicate.Key != c.Key || w.entries()[*ref.Index].Digest != ref.Digest {
		t.Errorf("reference %+v", ref)
	}
	for _, e := range r.Status.Datastores { // two searches of the desk: before and after its number was known
		last := e.Evidence[len(e.Evidence)-1]
		result := w.entries()[*last.Index].Statement.Predicate
		if result.Kind != evidence.Result || result.Level != evidence.LevelDeleted || result.Datastores[0].Name != e.Name || result.Run.Name != e.Run {
			t.Errorf("Result %+v", result)
		}
		if !slices.ContainsFunc(c.Results, func(r evidence.Reference) bool { return r.Index == *last.Index && r.Digest == last.Digest }) {
			t.Errorf("the Conclusion rests on %+v, not on %d", c.Results, *last.Index)
		}
	}
	for _, p := range w.stated(evidence.Result, "") {
		d := p.Datastores[0]
		switch search := p.Run.Mode == evidence.ModeSimulate; {
		case search && (p.Level != evidence.LevelNotDone || p.Outcome != "Simulated" || p.GoneBy != nil):
			t.Errorf("search %+v", p)
		case !search && (p.Level != evidence.LevelDeleted || d.Datasets[0].Remaining == nil || *d.Verified != true || len(d.Attempts) != 1 || d.ServerVersion == "" || len(p.Requests) != 2):
			t.Errorf("erasure %+v", p)
		case !search && d.Name == "shop" && (*d.Datasets[0].Deleted != 3 || p.GoneBy == nil || p.Message != "Requests by outcome: Deleted 2"): // of both persons together
			t.Errorf("erasure %+v", p)
		}
	}
	for _, p := range w.stated(evidence.Intent, "") {
		if p.Level != evidence.LevelNone || p.Datastores[0].PlanDigest == "" || p.Datastores[0].Identity == "" || p.Datastores[0].Datasets[0].Method != evidence.MethodDelete {
			t.Errorf("Intent %+v", p)
		}
	}
}

func TestNothingFoundIsNeverDeleted(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.create("nobody", map[string]string{"email": "nobody@example.com", "customer_id": "c-1"}, nil)
	w.create("unknown", map[string]string{"email": "unknown@example.com"}, nil) // nobody can look at the desk
	w.settle()
	if c := w.conclusionOf("nobody"); c.Level != evidence.LevelNothingFound || c.Outcome != "NotFound" || c.LogicallyDeletedTime != nil || len(c.NotCovered) != 0 {
		t.Errorf("Conclusion %+v", c)
	}
	if c := w.conclusionOf("unknown"); c.Level != evidence.LevelIncomplete || !gap(c, evidence.GapDatastore, "desk", reasonNoIdentifier) {
		t.Errorf("Conclusion %+v", c)
	}
	for _, p := range w.stated(evidence.Result, "") {
		if p.Level == evidence.LevelDeleted || p.LogicallyDeletedTime != nil {
			t.Errorf("Result %+v", p)
		}
	}
}

// TestALostAccountIsUnproven loses the log of the Pod that erased.
func TestALostAccountIsUnproven(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.forget = true
	w.create("r1", map[string]string{"email": ada}, nil)
	w.settle()
	if c := w.conclusionOf("r1"); c.Level != evidence.LevelUnproven || *c.Request.Verified {
		t.Errorf("Conclusion %+v", c)
	}
	unproven := 0
	for _, p := range w.stated(evidence.Result, "") {
		if p.Run.Mode == evidence.ModeEnforce && p.Level == evidence.LevelUnproven {
			unproven++
		}
	}
	if unproven != 2 {
		t.Errorf("%d Results are Unproven", unproven)
	}
}

func TestADenialIsStated(t *testing.T) {
	w := newWorld(t)
	w.shop()
	for name, message := range map[string]string{"r1": "The data is needed for a claim (Art. 17(3)(e))", "r2": "She has called from +49 151 2345 6789"} {
		w.create(name, map[string]string{"email": ada}, func(r *retentionv1.ErasureRequest) { r.Spec.Approval = retentionv1.ApprovalRequired })
		w.settle()
		w.ledger.Fail(true)
		deny(w, name, "LegalClaims", message)
		w.settle()
		r := w.request(name)
		if r.Status.AnsweredTime != nil || r.Status.State != retentionv1.ErasureAwaitingApproval || !slices.Contains(w.secrets(), name) {
			t.Errorf("it was denied without the ledger: %+v", r.Status)
		}
		expectCondition(t, r, retentionv1.ConditionReady, metav1.ConditionFalse, retentionv1.ReasonLedgerUnavailable)
		w.ledger.Fail(false)
		w.tick(time.Minute)
		w.settle()
		if r = w.request(name); r.Status.State != retentionv1.ErasureDenied || r.Status.AnsweredTime == nil || slices.Contains(w.secrets(), name) {
			t.Errorf("status %+v", r.Status)
		}
		c := w.conclusionOf(name)
		if c.Level != evidence.LevelNotDone || c.Outcome != outcomeDenied || len(c.Datastores) != 2 || c.Datastores[0].Outcome != erasure.NotRun ||
			!c.Request.AnsweredTime.Equal(r.Status.AnsweredTime.Time) || c.Request.Approval.Decision != "Denied" || c.Request.Approval.Reason != "LegalClaims" {
			t.Errorf("Conclusion %+v", c)
		}
		if want := map[string]string{"r1": message}[name]; c.Request.Approval.Message != want {
			t.Errorf("message %q", c.Request.Approval.Message)
		}
	}
}

// TestADenialSurvivesItsManager kills the manager before each of its writes, and before and after the append.
func TestADenialSurvivesItsManager(t *testing.T) {
	killed := true
	for k := 0; killed; k++ {
		w := newWorld(t)
		w.shop()
		w.create("r1", map[string]string{"email": ada}, func(r *retentionv1.ErasureRequest) { r.Spec.Approval = retentionv1.ApprovalRequired })
		w.settle()
		deny(w, "r1", "LegalClaims", "The data is needed for a claim")
		w.writesLeft = k
		w.settle()
		st := w.request("r1").Status
		if c := w.conclusionOf("r1"); st.State != retentionv1.ErasureDenied || len(w.secrets()) != 0 || !c.Request.AnsweredTime.Equal(st.AnsweredTime.Time) {
			t.Fatalf("killed before write %d: status %+v, Conclusion %+v", k, st, c)
		}
		killed = w.killed
	}
}

// TestAChangedAnswerSupersedesTheFormer has the person come back.
func TestAChangedAnswerSupersedesTheFormer(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.create("r1", map[string]string{"email": ada}, func(r *retentionv1.ErasureRequest) {
		r.Spec.RecheckFor, r.Spec.RecheckEvery = "P3D", "P1D"
	})
	w.settle()
	uid := string(w.request("r1").UID)
	first := w.request("r1").Status
	w.tick(25 * time.Hour)
	w.settle()
	if n := len(w.stated(evidence.Conclusion, uid)); n != 1 || w.request("r1").Status.Recheck.Times != 1 {
		t.Errorf("%d Conclusions after a repetition that has found nothing", n)
	}
	w.fill()
	w.tick(25 * time.Hour)
	w.ledger.Fail(true)
	w.settle()
	if st := w.request("r1").Status; st.Recheck.Times != 1 || *st.Evidence.Index != *first.Evidence.Index {
		t.Errorf("status %+v", st)
	}
	w.ledger.Fail(false)
	w.tick(time.Minute)
	w.settle()
	all, st := w.stated(evidence.Conclusion, uid), w.request("r1").Status
	if len(all) != 2 || all[1].Closes == nil || all[1].Closes.Index != *first.Evidence.Index || all[1].Closes.Digest != first.Evidence.Digest ||
		all[1].Message != "Records found: 8, erased: 8" || !all[1].Request.AnsweredTime.Equal(first.AnsweredTime.Time) || all[1].Request.Rechecks != 1 {
		t.Errorf("Conclusions %+v", all)
	}
	if st.Recheck.Times != 2 || ptr.Deref(st.Recheck.Found, -1) != 4 || *st.Evidence.Index == *first.Evidence.Index || !st.AnsweredTime.Equal(first.AnsweredTime) {
		t.Errorf("status %+v", st)
	}
	for range 3 {
		w.tick(25 * time.Hour)
		w.settle()
	}
	if n := len(w.stated(evidence.Conclusion, uid)); n != 2 || w.request("r1").Status.State != retentionv1.ErasureAnswered {
		t.Errorf("%d Conclusions at the end, state %s", n, w.request("r1").Status.State)
	}
}

// TestAnAnswerThatIsWhatItWas goes from one answer to another and back.
func TestAnAnswerThatIsWhatItWas(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.create("r1", map[string]string{"email": ada}, func(r *retentionv1.ErasureRequest) { r.Spec.RecheckFor = "P3D" })
	w.settle()
	r, _ := w.managers()
	request := w.request("r1")
	s := &scope{request: request, now: w.clock.Now(), zone: time.UTC}
	var indices []int64
	for _, outcome := range []retentionv1.ErasureOutcome{"Deleted", "Failed", "Failed", "Deleted", "Deleted", "Failed", "Deleted"} {
		request.Status.Datastores[0].Outcome, request.Status.Outcome = outcome, outcome
		for range 2 { // the second time as after a crash
			former := request.Status.Evidence
			if stated, err := r.conclusion(t.Context(), s, string(outcome), ""); err != nil || !stated {
				t.Fatal(stated, err)
			}
			after := request.Status.Evidence
			request.Status.Evidence = former
			if stated, err := r.conclusion(t.Context(), s, string(outcome), ""); err != nil || !stated || *request.Status.Evidence.Index != *after.Index {
				t.Fatal(stated, err, request.Status.Evidence, after)
			}
		}
		indices = append(indices, *request.Status.Evidence.Index)
	}
	n := indices[0]
	if want := []int64{n, n + 1, n + 1, n + 2, n + 2, n + 3, n + 4}; !slices.Equal(indices, want) {
		t.Errorf("the answers are in the entries %v, want %v", indices, want)
	}
}

func TestOtherNamespacesHaveConclusionsOfTheirOwn(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop", customers(), func(ds *retentionv1.Datastore) { ds.Spec.Backups = &retentionv1.Backups{Retention: "P35D"} })
	w.fill()
	open, closed, denied := w.team(w.namespace), w.team(), w.team(w.namespace)
	w.label(denied, retentionv1.LabelErasureApproval, "Required")
	w.create("r1", map[string]string{"email": ada}, w.reaching)
	w.settle()
	for _, c := range w.request("r1").Status.Children {
		if c.Namespace != denied {
			continue
		}
		child := w.get(client.ObjectKey{Namespace: denied, Name: c.Name})
		meta.SetStatusCondition(&child.Status.Conditions, metav1.Condition{
			Type: retentionv1.ConditionDenied, Status: metav1.ConditionTrue, Reason: "Needed", Message: "It is needed for a claim", ObservedGeneration: child.Generation,
		})
		w.must(w.c.Status().Update(t.Context(), child))
	}
	w.settle()
	r, c := w.request("r1"), w.conclusionOf("r1")
	if c.Level != evidence.LevelIncomplete || c.GoneBy != nil || !gap(c, evidence.GapNamespace, closed, retentionv1.ReasonNotAllowed) ||
		!gap(c, evidence.GapNamespace, denied, retentionv1.ReasonDenied) || !gap(c, evidence.GapBackup, open+"/desk-2", facts.GapNotDeclared) {
		t.Errorf("Conclusion %+v", c)
	}
	for _, child := range r.Status.Children {
		if child.Namespace == closed {
			continue
		}
		if child.Evidence == nil || !slices.ContainsFunc(c.Results, func(ref evidence.Reference) bool {
			return ref.Kind == evidence.Conclusion && ref.Index == *child.Evidence.Index
		}) {
			t.Errorf("child %+v, results %+v", child, c.Results)
			continue
		}
		own := w.entries()[*child.Evidence.Index].Statement.Predicate
		if want := map[string]evidence.Level{open: evidence.LevelDeleted, denied: evidence.LevelNotDone}[child.Namespace]; own.Level != want || own.Request.Channel != "Parent" {
			t.Errorf("Conclusion in %s: %+v", child.Namespace, own)
		}
	}
}

// TestARequestThatIsDeletedInTheMiddle is stated with what was done for it.
func TestARequestThatIsDeletedInTheMiddle(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.hold("claim", "orders")
	w.create("r1", map[string]string{"email": ada}, nil)
	w.settle()
	r := w.request("r1")
	w.must(w.c.Delete(t.Context(), r))
	w.ledger.Fail(true)
	w.settle()
	if w.request("r1") == nil {
		t.Error("it is gone, and nothing was stated")
	}
	w.ledger.Fail(false)
	w.tick(time.Minute)
	w.settle()
	all := w.stated(evidence.Conclusion, string(r.UID))
	if w.request("r1") != nil || len(all) != 1 || all[0].Outcome != outcomeWithdrawn || all[0].Level != evidence.LevelIncomplete || all[0].Request.AnsweredTime != nil {
		t.Errorf("Conclusions %+v", all)
	}
}

// TestAConclusionFitsIntoTheLedger has as much in it as a request can reach.
func TestAConclusionFitsIntoTheLedger(t *testing.T) {
	at := metav1.NewTime(time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC))
	text := func(n int, c string) string { return strings.Repeat(c, n) }
	entry := func(i int) retentionv1.ErasureDatastore {
		e := retentionv1.ErasureDatastore{Name: fmt.Sprintf("%s-%d", text(200, "n"), i), UID: text(36, "u"), Step: retentionv1.ErasureStepFinished,
			Outcome: "Deleted", Identity: text(200, "i"), StartTime: &at, CompletionTime: &at, Verified: ptr.To(true)}
		for k := range 64 {
			e.Datasets = append(e.Datasets, retentionv1.ErasureDataset{Name: retentionv1.DatasetName(fmt.Sprintf("%s_%d", text(60, "d"), k)), Action: "Delete", Outcome: "Deleted",
				LegalBasis: retentionv1.PlainText(text(200, "l")), Found: ptr.To[int64](9), Deleted: ptr.To[int64](9), Remaining: ptr.To[int64](0), Counting: "Exact"})
		}
		for k := range 16 {
			e.Evidence = append(e.Evidence, retentionv1.EvidenceReference{Index: ptr.To(int64(i*16 + k)), Digest: evidence.DigestOf(nil), Time: at, Level: "Deleted"})
		}
		return e
	}
	for _, datastores := range []int{2, 64} {
		r := &retentionv1.ErasureRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "r1", UID: "uid"}}
		r.Status.Outcome, r.Status.ReceivedTime, r.Status.AnsweredTime = "Deleted", &at, &at
		s := &scope{request: r, now: at.Time, zone: time.UTC}
		for i := range datastores {
			r.Status.Datastores = append(r.Status.Datastores, entry(i))
			namespace := fmt.Sprintf("%s-%d", text(60, "n"), i)
			r.Status.Children = append(r.Status.Children, retentionv1.ErasureChild{Namespace: namespace, Name: "r1", UID: namespace, State: retentionv1.ErasureAnswered, Outcome: "Deleted",
				Evidence: &retentionv1.EvidenceReference{Index: ptr.To(int64(5000 + i)), Digest: evidence.DigestOf(nil), Time: at, Level: "Deleted"}})
			child := retentionv1.ErasureRequest{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "r1", UID: types.UID(namespace)}}
			for k := range datastores {
				child.Status.Datastores = append(child.Status.Datastores, entry(k))
			}
			s.children = append(s.children, child)
		}
		p, subjects, err := s.statement("uid/1", "Deleted")
		if err != nil {
			t.Fatal(err)
		}
		p.Time, p.RetainUntil, p.Operator.Version = at.Time, at.AddDate(7, 0, 0), "test"
		statement := evidence.Statement{Type: evidence.StatementType, PredicateType: evidence.PredicateType, Predicate: p, Subject: subjects}
		payload, err := statement.Encode()
		if err != nil || statement.Validate() != nil || len(payload) > evidence.MaxPayload || p.Level != evidence.LevelDeleted || p.GoneBy != nil ||
			(len(p.Datastores) == datastores+datastores*datastores) != (datastores == 2) {
			t.Errorf("%d Datastores: %d bytes, level %s, %v, %v", datastores, len(payload), p.Level, err, statement.Validate())
		}
		if got := len(p.Datastores[0].Datasets); (got == 64) != (datastores == 2) {
			t.Errorf("%d Datastores: %d datasets", datastores, got)
		}
	}
}

func TestDaysTaken(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	received := time.Date(2026, 10, 24, 12, 0, 0, 0, berlin) // a day of 25 hours follows
	for after, want := range map[time.Duration]int32{
		-time.Hour: 0, 0: 0, time.Second: 1, 24 * time.Hour: 1, 25 * time.Hour: 1, 25*time.Hour + time.Second: 2, 49 * time.Hour: 2, 31*24*time.Hour + 2*time.Hour: 32,
	} {
		if got := daysTaken(received.UTC(), received.Add(after), berlin); *got != want {
			t.Errorf("%v: %d days, want %d", after, *got, want)
		}
	}
}
