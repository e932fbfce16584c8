// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/subject"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// TestErasureManyRequests files a hundred requests at once on a table of 1,000,000 records without an index. They are
// served together, and each gets its own answer.
func TestErasureManyRequests(t *testing.T) {
	e := newEnv(t, database)
	postgres.Exec(t, e.db, `CREATE TABLE event (id int, email text, what text);
		INSERT INTO event SELECT i, 'user' || i % 100000 || '@shop.example', 'something' FROM generate_series(1, 1000000) i; ANALYZE event`)
	ds := e.datastore(dataset("event", func(d *retentionv1.Dataset) {
		d.Identifiers = []retentionv1.Identifier{{Type: "email", Field: "email", Match: retentionv1.MatchIgnoreCase}}
		d.OnErasure = erases(retentionv1.ErasureActionDelete)
	}))
	// Every tenth of them is nobody.
	const requests = 100
	nobody := func(i int) bool { return i%10 == 0 }
	email := func(i int) string {
		if nobody(i) {
			return fmt.Sprintf("nobody%d@shop.example", i)
		}
		return fmt.Sprintf("user%d@shop.example", 1000+i)
	}
	others := e.fingerprint(map[string]string{"event": "id % 100000 BETWEEN 1000 AND 1099 AND id % 10 <> 0"})
	begun := time.Now()
	for i := range requests {
		name := fmt.Sprintf("case-%d", i)
		e.erasure(name, e.subject(name, map[string]string{"email": email(i)}), nil)
	}
	filed := time.Now()

	jobs := map[string]bool{}
	list := &retentionv1.ErasureRequestList{}
	e.waitFor(5*time.Minute, "all answers", func() (bool, string) {
		running := &batchv1.JobList{}
		e.must(e.c.List(t.Context(), running, client.InNamespace(e.namespace), client.MatchingLabels{purgejob.LabelComponent: purgejob.ComponentPurge}))
		for i := range running.Items {
			jobs[running.Items[i].Name] = true
		}
		e.must(e.c.List(t.Context(), list, client.InNamespace(e.namespace)))
		answered := 0
		for i := range list.Items {
			if list.Items[i].Status.State == retentionv1.ErasureAnswered {
				answered++
			}
		}
		return answered == requests, fmt.Sprintf("%d are answered", answered)
	})
	t.Logf("%d requests were filed in %s and answered in %s by %d Jobs", requests, filed.Sub(begun).Round(time.Second), time.Since(begun).Round(time.Second), len(jobs))

	for i := range list.Items {
		r := &list.Items[i]
		var n int
		if _, err := fmt.Sscanf(r.Name, "case-%d", &n); err != nil {
			t.Fatal(err)
		}
		if nobody(n) {
			e.expectAnswer(r, retentionv1.ErasureNotFound, 0, 0)
		} else {
			e.expectAnswer(r, retentionv1.ErasureDeleted, 10, 10)
		}
		if c := r.Status.Commitments; len(c) != 1 || (i < 10 && !subject.Committed(c[0], subject.Identifier{Type: "email", Value: email(n)})) {
			t.Errorf("%s: the commitments %v are not its own", r.Name, c)
		}
	}
	expectUntouched(t, others, e.fingerprint(nil))
	// The first requests go ahead while the others are still filed.
	if len(jobs) == 0 || len(jobs) > 20 {
		t.Errorf("%d Jobs served %d requests", len(jobs), requests)
	}
	e.must(e.c.Get(t.Context(), client.ObjectKeyFromObject(ds), ds))
	if ds.Status.ActiveRun != nil || ds.Status.PendingErasures != nil {
		t.Errorf("the Datastore is held by %+v, and %+v wait", ds.Status.ActiveRun, ds.Status.PendingErasures)
	}
}

// TestErasureGoesBeforeALongPurge files a request while a purge works that takes several minutes: the purge gives way, the
// request is answered, and the purge goes on without anyone asking.
func TestErasureGoesBeforeALongPurge(t *testing.T) {
	const records = 1_000_000
	e := newEnv(t, database)
	postgres.Exec(t, e.db, fmt.Sprintf(`CREATE TABLE account (id int PRIMARY KEY, email text);
		CREATE TABLE event (id int, at timestamptz);
		INSERT INTO account SELECT i, 'user' || i || '@shop.example' FROM generate_series(1, 20) i;
		INSERT INTO event SELECT i, now() - interval '200 days' FROM generate_series(1, %d) i;
		CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.0002); RETURN OLD; END';
		CREATE TRIGGER slow BEFORE DELETE ON event FOR EACH ROW EXECUTE FUNCTION slow(); ANALYZE`, records))
	ds := e.datastore(
		dataset("account", func(d *retentionv1.Dataset) {
			d.Identifiers = []retentionv1.Identifier{{Type: "email", Field: "email", Match: retentionv1.MatchIgnoreCase}}
			d.OnErasure = erases(retentionv1.ErasureActionDelete)
		}),
		dataset("event", func(d *retentionv1.Dataset) { d.TimestampField = "at" }))
	p := e.policy("p", nil, retentionv1.Rule{Name: "old", Datasets: []retentionv1.DatasetName{"event"}, DeleteAfter: "P90D"})
	e.untilDeleting("the purge")

	begun := time.Now()
	r := e.erasure("urgent", e.subject("urgent", map[string]string{"email": "user3@shop.example"}), nil)
	e.answered(r, 3*time.Minute)
	left := e.count("SELECT count(*) FROM event")
	e.expectAnswer(r, retentionv1.ErasureDeleted, 1, 1)
	t.Logf("answered after %s, with %d of %d records left of the purge", time.Since(begun).Round(time.Second), left, records)
	if left == 0 {
		t.Error("the purge was over before: nothing was tested")
	}

	postgres.Exec(t, e.db, "DROP TRIGGER slow ON event")
	e.waitFor(3*time.Minute, "the purge to go on", func() (bool, string) {
		e.must(e.c.Get(t.Context(), client.ObjectKeyFromObject(p), p))
		return e.count("SELECT count(*) FROM event") == 0, fmt.Sprintf("%+v", p.Status)
	})
	e.untilIdle(p, ds)
	if run := p.Status.LastRun; run.Outcome != retentionv1.OutcomeSucceeded || run.Trigger != retentionv1.TriggerResume {
		t.Errorf("the purge went on as %s and ended as %s: %s", run.Trigger, run.Outcome, run.Message)
	}
}
