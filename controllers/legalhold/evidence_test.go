// SPDX-License-Identifier: Apache-2.0

package legalhold

import (
	"testing"
	"time"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
)

// stated are the statements about holds that are in the ledger.
func (w *world) stated() []evidence.Logged {
	w.t.Helper()
	var out []evidence.Logged
	for _, e := range w.ledger.Entries(w.t) {
		if e.Kind == evidence.HoldEnforced || e.Kind == evidence.HoldReleased {
			out = append(out, e)
		}
	}
	return out
}

func TestWhatIsStatedOfAHold(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("h", func(s *retentionv1.LegalHoldSpec) { s.Reference = "2 O 17/26" })
	w.rounds(4, "h")
	h := w.expect("h", "True", retentionv1.ReasonEnforced)
	all := w.stated()
	if len(all) != 1 || h.Status.Evidence == nil || *h.Status.Evidence.Index != all[0].Index || h.Status.Evidence.Digest != all[0].Digest || h.Status.ReleaseEvidence != nil {
		t.Fatalf("stated %+v, status %+v", all, h.Status)
	}
	p := all[0].Statement.Predicate
	if p.Key != string(h.UID) || p.Level != evidence.LevelNone || p.Hold.Authority != "court" || p.Hold.Reference != "2 O 17/26" || p.Hold.Scope != "Datasets" ||
		!p.Hold.EnforcedTime.Equal(h.Status.EnforcedTime.Time) || len(p.Datastores) != 1 || p.Datastores[0].Name != "shop" || len(p.Datastores[0].Datasets) != 1 {
		t.Errorf("%+v", p)
	}
	w.datastore("crm") // for a while it is not enforced everywhere
	w.rounds(4, "h")
	w.expect("h", "True", retentionv1.ReasonEnforced)
	w.release("h")
	w.rounds(4, "h")
	h = w.expect("h", "False", retentionv1.ReasonReleased)
	all = w.stated()
	if len(all) != 2 || h.Status.ReleaseEvidence == nil || *h.Status.ReleaseEvidence.Index != all[1].Index || len(h.Finalizers) != 0 {
		t.Fatalf("stated %+v, status %+v", all, h.Status)
	}
	if p = all[1].Statement.Predicate; p.Kind != evidence.HoldReleased || p.Hold.Release != "settled" || p.Closes == nil || p.Closes.Index != all[0].Index || p.Hold.ReleasedTime == nil {
		t.Errorf("%+v", p)
	}
}

// TestNoDigestTellsWhomAHoldIsAbout has a statement say the same whatever the values of a condition are: they may be numbers of
// persons.
func TestNoDigestTellsWhomAHoldIsAbout(t *testing.T) {
	digest := func(field retentionv1.FieldName, values ...retentionv1.CaseText) string {
		hold := &retentionv1.LegalHold{Spec: retentionv1.LegalHoldSpec{Condition: &retentionv1.HoldCondition{Field: field, Operator: "In", Values: values}}}
		subject, err := specOf(hold)
		if err != nil || len(hold.Spec.Condition.Values) != len(values) {
			t.Fatal(err, hold.Spec.Condition)
		}
		return subject.Digest["sha256"]
	}
	if digest("id", "c-1") != digest("id", "c-2", "c-3") || digest("id", "c-1") == digest("name", "c-1") {
		t.Error("the digest depends on the values, or on nothing")
	}
}

// TestNoHoldWaitsForTheLedger has it fail all the while. What was not stated is stated when it is back, in its order.
func TestNoHoldWaitsForTheLedger(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.start()
	w.until("a batch is deleted", func() bool { return w.rows["events"] < 50 })
	w.ledger.Fail(true)
	w.create("h", nil)
	w.until("the hold is enforced", func() bool { return w.enforced("h") }, "h")
	if rows := w.rows["events"]; rows == 0 || w.hold("h").Status.Evidence != nil {
		t.Fatalf("%d rows, status %+v", rows, w.hold("h").Status)
	}
	w.release("h")
	w.rounds(3, "h")
	if h := w.expect("h", "False", retentionv1.ReasonReleased); h.Status.ReleasedTime == nil || len(w.store("shop").Status.Holds) != 0 {
		t.Errorf("status %+v, Datastore %+v", h.Status, w.store("shop").Status.Holds)
	}
	w.must(w.c.Delete(t.Context(), w.hold("h")))
	w.rounds(3, "h")
	if w.hold("h") == nil {
		t.Error("it is gone, and nothing was stated")
	}
	w.ledger.Fail(false)
	w.rounds(3, "h")
	all := w.stated()
	if w.hold("h") != nil || len(all) != 2 || all[0].Kind != evidence.HoldEnforced || all[1].Kind != evidence.HoldReleased || all[1].Statement.Predicate.Closes.Index != all[0].Index {
		t.Errorf("stated %+v", all)
	}
}

// TestStatedOnce loses the ledger's answers, and has the manager die before it can write them down.
func TestStatedOnce(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.ledger.CrashAfter(evidence.HoldEnforced)
	w.ledger.CrashAfter(evidence.HoldReleased)
	w.create("h", nil)
	w.rounds(2, "h")
	w.clock.SetTime(w.clock.Now().Add(time.Minute))
	w.rounds(2, "h")
	w.release("h")
	for k := range 4 {
		w.writesLeft = k
		w.rounds(1, "h")
	}
	w.rounds(4, "h")
	h := w.expect("h", "False", retentionv1.ReasonReleased)
	if all := w.stated(); len(all) != 2 || *h.Status.Evidence.Index != all[0].Index || *h.Status.ReleaseEvidence.Index != all[1].Index || len(h.Finalizers) != 0 {
		t.Errorf("stated %+v, status %+v", all, h.Status)
	}
}

// TestAHoldThatWasNeverEnforced has no statement that it was.
func TestAHoldThatWasNeverEnforced(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("h", func(s *retentionv1.LegalHoldSpec) { s.Datasets = []retentionv1.DatasetName{"nowhere"} })
	w.rounds(3, "h")
	w.release("h")
	w.rounds(4, "h")
	if all := w.stated(); len(all) != 1 || all[0].Kind != evidence.HoldReleased || all[0].Statement.Predicate.Closes != nil || all[0].Statement.Predicate.Hold.EnforcedTime != nil {
		t.Errorf("stated %+v", all)
	}
}

// TestARemovalByForceIsStated: nobody has released the hold, and it keeps nothing any more.
func TestARemovalByForceIsStated(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.datastore("crm")
	w.create("h", nil)
	w.rounds(3, "h")
	h := w.expect("h", "True", retentionv1.ReasonEnforced)
	h.Finalizers = nil
	w.must(w.c.Update(t.Context(), h))
	w.must(w.c.Delete(t.Context(), h))
	w.ledger.Fail(true)
	w.passHold("h")
	if len(w.stated()) != 1 {
		t.Error("the ledger has answered")
	}
	w.ledger.Fail(false)
	w.passHold("h")
	all := w.stated()
	if len(all) != 2 || len(w.store("shop").Status.Holds)+len(w.store("crm").Status.Holds) != 0 {
		t.Fatalf("stated %+v", all)
	}
	if p := all[1].Statement.Predicate; p.Key != string(h.UID) || p.Hold.Release != "Removed by force, without a release" || p.Hold.Authority != "court" || p.Closes.Index != all[0].Index {
		t.Errorf("%+v", p)
	}
}
