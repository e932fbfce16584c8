// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

const (
	heldRecords = 40_000
	// heldPerson is whom the holds on single records are about: one record in fifty.
	heldPerson = "person = 7"
)

// TestHoldAtAnyMoment makes a hold at a random moment of a purge, again and again: on the whole dataset, on a person, and on
// a condition in turn. Once the hold says Enforced, no record that it covers disappears; what it does not cover is deleted
// all the same, and what it covered goes when it is released, without anyone asking.
func TestHoldAtAnyMoment(t *testing.T) {
	e := newEnv(t, database)
	postgres.Exec(t, e.db, fmt.Sprintf(`
		CREATE TABLE origin AS SELECT i AS id, i %% 50 AS person, CASE WHEN i %% 10 = 9 THEN now() ELSE now() - interval '200 days' END AS at
		FROM generate_series(1, %d) i;
		CREATE TABLE event (LIKE origin, PRIMARY KEY (id));
		CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.001); RETURN OLD; END';
		CREATE TRIGGER slow BEFORE DELETE ON event FOR EACH ROW WHEN (OLD.id %% 8 = 0) EXECUTE FUNCTION slow()`, heldRecords))
	ds := e.datastore(dataset("event", func(d *retentionv1.Dataset) {
		d.TimestampField = "at"
		d.Identifiers = []retentionv1.Identifier{{Type: "person_id", Field: "person"}}
	}))
	p := e.policy("p", nil, retentionv1.Rule{Name: "old", Datasets: []retentionv1.DatasetName{"event"}, DeleteAfter: "P90D"})
	e.ended(p, 2*time.Minute)

	kinds := []struct {
		name    string
		narrow  func(name string, s *retentionv1.LegalHoldSpec)
		covered string
	}{
		{"dataset", func(_ string, s *retentionv1.LegalHoldSpec) { s.Datasets = []retentionv1.DatasetName{"event"} }, "true"},
		{"person", func(name string, s *retentionv1.LegalHoldSpec) {
			s.Subject = ptr.To(e.subject(name, map[string]string{"person_id": "7"}))
		}, heldPerson},
		{"condition", func(_ string, s *retentionv1.LegalHoldSpec) {
			s.Datasets = []retentionv1.DatasetName{"event"}
			s.Condition = &retentionv1.HoldCondition{Field: "person", Operator: "In", Values: []retentionv1.CaseText{"7"}}
		}, heldPerson},
	}
	var times []time.Duration
	midway := 0
	for round := range many(6, 100) {
		kind := kinds[round%len(kinds)]
		name := fmt.Sprintf("%s-%d", kind.name, round)
		postgres.Exec(t, e.db, "TRUNCATE event; INSERT INTO event SELECT * FROM origin; ANALYZE event")
		e.request(p, name)
		time.Sleep(time.Duration(rand.IntN(8000)) * time.Millisecond)

		begun := time.Now()
		h := e.hold(name, func(s *retentionv1.LegalHoldSpec) { kind.narrow(name, s) })
		e.enforced(h, 2*time.Minute)
		took := time.Since(begun)
		covered := e.count("SELECT count(*) FROM event WHERE " + kind.covered)
		due := e.count("SELECT count(*) FROM event WHERE at < now() - interval '90 days'")
		times = append(times, took)
		if due > 0 && due < heldRecords*9/10 {
			midway++
		}

		e.untilIdle(p, ds)
		if now := e.count("SELECT count(*) FROM event WHERE " + kind.covered); now != covered {
			t.Errorf("%s: %d covered records were there when the hold was enforced, and %d when the purge had ended", name, covered, now)
		}
		if left := e.count("SELECT count(*) FROM event WHERE at < now() - interval '90 days' AND NOT (" + kind.covered + ")"); left != 0 {
			t.Errorf("%s: %d records that the hold does not cover are still there", name, left)
		}
		t.Logf("%s: enforced after %s with %d of %d records left, %d of them covered", name, took.Round(10*time.Millisecond), due, heldRecords*9/10, covered)

		e.release(h)
		e.waitFor(2*time.Minute, name+": the purge to go on", func() (bool, string) {
			e.must(e.c.Get(t.Context(), client.ObjectKeyFromObject(p), p))
			return e.count("SELECT count(*) FROM event WHERE at < now() - interval '90 days'") == 0, fmt.Sprintf("%+v", p.Status)
		})
		e.untilIdle(p, ds)
		if stay := e.count("SELECT count(*) FROM event"); stay != heldRecords/10 {
			t.Errorf("%s: %d records are there at the end, want %d", name, stay, heldRecords/10)
		}
		if t.Failed() {
			return
		}
	}
	slices.Sort(times)
	t.Logf("%d holds, %d of them in the middle of a purge; from creation to Enforced: %s at least, %s median, %s at most", len(times), midway,
		times[0].Round(10*time.Millisecond), times[len(times)/2].Round(10*time.Millisecond), times[len(times)-1].Round(10*time.Millisecond))
	if midway == 0 {
		t.Error("no hold came in the middle of a purge: nothing was tested")
	}
}

// untilIdle waits until the policy has handled what it was asked for, and nothing has run for a second.
func (e *env) untilIdle(p *retentionv1.RetentionPolicy, ds *retentionv1.Datastore) {
	e.t.Helper()
	since := time.Now()
	e.waitFor(3*time.Minute, "nothing to run", func() (bool, string) {
		e.must(e.c.Get(e.t.Context(), client.ObjectKeyFromObject(p), p))
		e.must(e.c.Get(e.t.Context(), client.ObjectKeyFromObject(ds), ds))
		if p.Status.LastHandledRequest != p.Annotations[retentionv1.AnnotationRequestedAt] || p.Status.ActiveRun != nil || ds.Status.ActiveRun != nil {
			since = time.Now()
		}
		return time.Since(since) > time.Second, fmt.Sprintf("%+v; the Datastore is held by %+v", p.Status, ds.Status.ActiveRun)
	})
}

// TestHoldBlocksAnErasure has a hold keep what a request asks to erase: the request says so, its time limit goes on, and it
// is carried out when the hold is released. The hold cannot be deleted before that.
func TestHoldBlocksAnErasure(t *testing.T) {
	e := newEnv(t, database)
	postgres.Exec(t, e.db, `CREATE TABLE account (id int PRIMARY KEY, email text);
		CREATE TABLE message (id int PRIMARY KEY, account_id int REFERENCES account);
		INSERT INTO account SELECT i, 'user' || i || '@shop.example' FROM generate_series(1, 20) i;
		INSERT INTO message SELECT i, 1 + i % 20 FROM generate_series(1, 400) i`)
	e.datastore(
		dataset("account", func(d *retentionv1.Dataset) {
			d.Identifiers = []retentionv1.Identifier{{Type: "email", Field: "email", Match: retentionv1.MatchIgnoreCase}}
			d.OnErasure = erases(retentionv1.ErasureActionDelete)
		}),
		dataset("message", func(d *retentionv1.Dataset) {
			d.References = []retentionv1.Reference{{Field: "account_id", Dataset: "account", Key: "id"}}
			d.OnErasure = erases(retentionv1.ErasureActionDelete)
		}))
	others := e.fingerprint(map[string]string{"account": "id IN (5, 6)", "message": "account_id IN (5, 6)"})
	h := e.hold("mail", func(s *retentionv1.LegalHoldSpec) {
		s.Subject = ptr.To(e.subject("held", map[string]string{"email": "user5@shop.example"}))
	})
	e.enforced(h, 2*time.Minute)
	if n := ptr.Deref(h.Status.Records, -1); n != 21 {
		t.Errorf("the hold says that it keeps %d records, want 21", n)
	}

	blocked := e.erasure("blocked", e.subject("blocked", map[string]string{"email": "user5@shop.example"}), nil)
	free := e.erasure("free", e.subject("free", map[string]string{"email": "user6@shop.example"}), nil)
	e.answered(free, 3*time.Minute)
	e.expectAnswer(free, retentionv1.ErasureDeleted, 21, 21)
	e.reaches(blocked, 3*time.Minute, retentionv1.ErasureRetainedByHold)
	e.expectAnswer(blocked, retentionv1.ErasureHeld, 21, 0)
	if d := blocked.Status.Datastores[0]; !slices.Equal(d.Holds, []string{"mail"}) || blocked.Status.DueTime == nil {
		t.Errorf("the request does not say what keeps the records, or when it is due: %+v", blocked.Status)
	}
	if n := e.count("SELECT count(*) FROM message WHERE account_id = 5") + e.count("SELECT count(*) FROM account WHERE id = 5"); n != 21 {
		t.Errorf("%d of 21 held records are there", n)
	}
	if err := e.c.Delete(t.Context(), h.DeepCopy()); err == nil {
		t.Error("a hold that is not released can be deleted")
	}
	if e.subjectIsGone("blocked") {
		t.Error("the Secret of a request that waits is gone")
	}

	e.release(h)
	e.answered(blocked, 3*time.Minute)
	e.expectAnswer(blocked, retentionv1.ErasureDeleted, 21, 21)
	expectUntouched(t, others, e.fingerprint(nil))
	if !meta.IsStatusConditionFalse(blocked.Status.Conditions, retentionv1.ConditionOverdue) {
		t.Errorf("conditions: %+v", blocked.Status.Conditions)
	}
}
