// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/internal/evidence"
)

// lostReference is a reference to an entry that no ledger has.
func lostReference(w *world, index int64) retentionv1.EvidenceReference {
	return retentionv1.EvidenceReference{Index: ptr.To(index), Digest: evidence.DigestOf(nil), Time: metav1.NewTime(w.clock.Now().Add(-time.Hour)), Level: "Deleted"}
}

// erasedEverywhere says whether both Datastores of the shop are done with r1.
func (w *world) erasedEverywhere() bool {
	r := w.request("r1")
	done := 0
	for i := range r.Status.Datastores {
		if r.Status.Datastores[i].Step == retentionv1.ErasureStepFinished {
			done++
		}
	}
	return done == 2
}

// TestAnAnswerOutlivesALedgerThatIsLost has requests that refer to entries which the ledger does not have: they end all the same,
// and claim nothing that the lost entries would have had to bear out.
func TestAnAnswerOutlivesALedgerThatIsLost(t *testing.T) {
	for name, lose := range map[string]func(*world, *retentionv1.ErasureRequest){
		"results": func(w *world, r *retentionv1.ErasureRequest) {
			r.Status.Datastores[0].Evidence = []retentionv1.EvidenceReference{lostReference(w, 5000)}
		},
		"the former answer": func(w *world, r *retentionv1.ErasureRequest) { r.Status.Evidence = ptr.To(lostReference(w, 5000)) },
		"both": func(w *world, r *retentionv1.ErasureRequest) {
			r.Status.Datastores[0].Evidence = []retentionv1.EvidenceReference{lostReference(w, 5000)}
			r.Status.Evidence = ptr.To(lostReference(w, 5001))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.shop()
			w.create("r1", map[string]string{"email": ada}, nil)
			w.until("it is erased", w.erasedEverywhere)
			r := w.request("r1")
			if r.Status.AnsweredTime != nil {
				t.Fatal("it is answered already")
			}
			lose(w, r)
			w.must(w.c.Status().Update(t.Context(), r))
			w.settle()
			r, c := w.request("r1"), w.conclusionOf("r1")
			if r.Status.State != retentionv1.ErasureAnswered || len(w.secrets()) != 0 || *r.Status.Evidence.Index >= 5000 || r.Status.Evidence.Level != string(evidence.LevelUnproven) {
				t.Errorf("status %+v", r.Status)
			}
			if c.Level != evidence.LevelUnproven || c.Closes != nil || len(c.Results) != 0 || !gap(c, evidence.GapNamespace, w.namespace, reasonStatementsLost) ||
				c.Datastores[0].Level != evidence.LevelUnproven || c.Message == erasure.MessageUnsound {
				t.Errorf("Conclusion %+v", c)
			}
		})
	}
}

// TestWhatIsStatedAnewIsStatedOnce has the manager die before it can write down what it has stated in the new ledger.
func TestWhatIsStatedAnewIsStatedOnce(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.create("r1", map[string]string{"email": ada}, nil)
	w.until("it is erased", w.erasedEverywhere)
	r, _ := w.managers()
	request := w.request("r1")
	s := &scope{request: request, now: w.clock.Now(), zone: time.UTC}
	former := lostReference(w, 5000)
	request.Status.Outcome = retentionv1.ErasureFailed
	var indices []int64
	for range 3 {
		request.Status.Evidence = former.DeepCopy()
		if stated, err := r.conclusion(t.Context(), s, "Failed", ""); err != nil || !stated {
			t.Fatal(stated, err)
		}
		indices = append(indices, *request.Status.Evidence.Index)
	}
	if indices[1] != indices[0] || indices[2] != indices[0] {
		t.Errorf("stated in the entries %v", indices)
	}
}

// TestADeniedRequestThatIsDeleted is denied while the ledger is down, and deleted then: the denial is stated all the same, and
// the Secret goes.
func TestADeniedRequestThatIsDeleted(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.ledger.Fail(true)
	w.create("r1", map[string]string{"email": ada}, func(r *retentionv1.ErasureRequest) { r.Spec.Approval = retentionv1.ApprovalRequired })
	w.settle()
	deny(w, "r1", "LegalClaims", "The data is needed for a claim")
	w.settle()
	r := w.request("r1")
	w.must(w.c.Delete(t.Context(), r))
	w.settle()
	if w.request("r1") == nil || len(w.secrets()) != 1 {
		t.Errorf("it is gone, and nothing was stated; Secrets %v", w.secrets())
	}
	w.ledger.Fail(false)
	w.tick(time.Minute)
	w.settle()
	all := w.stated(evidence.Conclusion, string(r.UID))
	if w.request("r1") != nil || len(w.secrets()) != 0 || len(all) != 1 || all[0].Outcome != outcomeDenied || all[0].Level != evidence.LevelNotDone ||
		all[0].Request.Approval.Reason != "LegalClaims" {
		t.Errorf("Conclusions %+v, Secrets %v", all, w.secrets())
	}
}

// TestAChildWhoseLastWordIsMissing has parts of other namespaces that stated something better before.
func TestAChildWhoseLastWordIsMissing(t *testing.T) {
	ref := func(level evidence.Level) *retentionv1.EvidenceReference {
		return &retentionv1.EvidenceReference{Index: ptr.To[int64](3), Digest: evidence.DigestOf(nil), Level: string(level)}
	}
	for name, tc := range map[string]struct {
		child retentionv1.ErasureChild
		// there says that the child itself is there, with a Datastore from which all is deleted.
		there bool
		want  evidence.Level
	}{
		"answered":           {retentionv1.ErasureChild{State: "Answered", Outcome: "Deleted", Evidence: ref(evidence.LevelDeleted)}, true, evidence.LevelDeleted},
		"answered, and gone": {retentionv1.ErasureChild{State: "Answered", Outcome: "Deleted", Evidence: ref(evidence.LevelDeleted)}, false, evidence.LevelDeleted},
		"answered, opened again, and deleted": {retentionv1.ErasureChild{State: "Answered", Outcome: "Failed", Reason: reasonRequestDeleted, Evidence: ref(evidence.LevelDeleted)},
			false, evidence.LevelUnproven},
		"deleted after it had stated little": {retentionv1.ErasureChild{State: "Answered", Outcome: "Failed", Reason: reasonRequestDeleted, Evidence: ref(evidence.LevelIncomplete)},
			false, evidence.LevelUnproven},
		"failed, and stated before that it had not": {retentionv1.ErasureChild{State: "Watching", Outcome: "Failed", Evidence: ref(evidence.LevelDeleted)}, true, evidence.LevelUnproven},
		"failed, and stated so":                     {retentionv1.ErasureChild{State: "Answered", Outcome: "Failed", Evidence: ref(evidence.LevelIncomplete)}, true, evidence.LevelIncomplete},
		"a status only":                             {retentionv1.ErasureChild{State: "Answered", Outcome: "Deleted"}, true, evidence.LevelUnproven},
	} {
		t.Run(name, func(t *testing.T) {
			child := tc.child
			child.Namespace, child.Name, child.UID = "team", "r1", "uid-of-r1"
			s := &scope{request: &retentionv1.ErasureRequest{}, zone: time.UTC, foreign: map[client.ObjectKey]*retentionv1.Datastore{}}
			if tc.there {
				own := retentionv1.ErasureRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "r1", UID: types.UID(child.UID)}}
				own.Status.Datastores = []retentionv1.ErasureDatastore{{Name: "desk", Step: retentionv1.ErasureStepFinished, Outcome: "Deleted", Datasets: []retentionv1.ErasureDataset{
					{Name: "ticket", Action: "Delete", Outcome: "Deleted", Deleted: ptr.To[int64](1), Remaining: ptr.To[int64](0), Counting: "Exact"}}}}
				s.children = []retentionv1.ErasureRequest{own}
			}
			c := &conclusion{Predicate: evidence.Predicate{Kind: evidence.Conclusion, Key: "k/1", Request: &evidence.Request{Object: evidence.Object{Name: "r1"}}}}
			c.child(s, &child)
			c.close()
			if c.Level != tc.want {
				t.Errorf("%s: %+v", c.Level, c.Predicate)
			}
			if d := c.Datastores[0]; len(c.Datastores) != 1 || tc.want == evidence.LevelUnproven && d.Level != evidence.LevelUnproven {
				t.Errorf("Datastores %+v", c.Datastores)
			}
			if _, err := erasure.Sound(c.Predicate, []evidence.Subject{evidence.SHA256("request/r1", nil)}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestAForgedIntentReleasesNothing has somebody write an Intent into the status that is in no ledger, while the ledger is down
// and then while it answers.
func TestAForgedIntentReleasesNothing(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop", customers(), nil)
	w.fill()
	w.ledger.Fail(true)
	w.create("r1", map[string]string{"email": ada}, nil)
	w.settle()
	ds := w.store("shop")
	ds.Status.ActiveRun.Erasure.Intent = ptr.To(lostReference(w, 7))
	w.must(w.c.Status().Update(t.Context(), ds))
	w.settle()
	for _, job := range w.jobs() {
		if !ptr.Deref(job.Spec.Suspend, false) {
			t.Errorf("Job %s is released", job.Name)
		}
	}
	if len(w.pods) != 0 || !w.waits("shop") {
		t.Errorf("Pods %v, run %+v", w.pods, w.store("shop").Status.ActiveRun)
	}
	w.ledger.Fail(false)
	w.tick(time.Minute)
	w.until("the intent is stated", func() bool { return len(w.stated(evidence.Intent, "")) > 0 })
	if run := w.store("shop").Status.ActiveRun.Erasure; run.Intent == nil || *run.Intent.Index != 0 || len(w.pods) != 0 {
		t.Errorf("run %+v, Pods %v", run, w.pods)
	}
	w.settle()
	if r := w.request("r1"); r.Status.Outcome != retentionv1.ErasureDeleted || w.conclusionOf("r1").Level != evidence.LevelDeleted {
		t.Errorf("status %+v", r.Status)
	}
	w.expectReleased()
}
