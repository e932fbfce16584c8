// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// accounts are persons with many records each, which are slow to delete.
func (e *env) accounts(persons, records int) *retentionv1.Datastore {
	e.t.Helper()
	postgres.Exec(e.t, e.db, fmt.Sprintf(`CREATE TABLE account (id int PRIMARY KEY, email text);
		CREATE TABLE message (id int PRIMARY KEY, account_id int REFERENCES account, body text);
		CREATE INDEX ON message (account_id);
		INSERT INTO account SELECT i, 'user' || i || '@shop.example' FROM generate_series(0, %[1]d) i;
		INSERT INTO message SELECT i, i %% (%[1]d + 1), repeat('x', 100) FROM generate_series(1, (%[1]d + 1) * %[2]d) i;
		CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.001); RETURN OLD; END';
		CREATE TRIGGER slow BEFORE DELETE ON message FOR EACH ROW WHEN (OLD.id %% 8 = 0) EXECUTE FUNCTION slow(); ANALYZE`, persons, records))
	return e.datastore(
		dataset("account", func(d *retentionv1.Dataset) {
			d.Identifiers = []retentionv1.Identifier{{Type: "email", Field: "email", Match: retentionv1.MatchIgnoreCase}}
			d.OnErasure = erases(retentionv1.ErasureActionDelete)
		}),
		dataset("message", func(d *retentionv1.Dataset) {
			d.References = []retentionv1.Reference{{Field: "account_id", Dataset: "account", Key: "id"}}
			d.OnErasure = erases(retentionv1.ErasureActionDelete)
		}))
}

// TestErasureFaults kills, with SIGKILL, the purge process, the managers and PostgreSQL while a person is erased: at any
// moment, or while records are deleted. Each request ends with a right answer, or says what it cannot vouch for.
func TestErasureFaults(t *testing.T) {
	const records = 40_000
	e := newEnv(t, database)
	rounds := many(2, 10)
	ds := e.accounts(3*rounds, records)
	person := 0
	for _, victim := range e.victims(func() string {
		e.must(e.c.Get(t.Context(), client.ObjectKeyFromObject(ds), ds))
		if run := ds.Status.ActiveRun; run != nil && run.Erasure != nil {
			return run.Erasure.PlanDigest
		}
		return ""
	}) {
		t.Run(victim.name, func(t *testing.T) {
			for round := range rounds {
				person++
				name := fmt.Sprintf("case-%d", person)
				others := e.fingerprint(map[string]string{"account": fmt.Sprintf("id = %d", person), "message": fmt.Sprintf("account_id = %d", person)})
				r := e.erasure(name, e.subject(name, map[string]string{"email": fmt.Sprintf("user%d@shop.example", person)}), nil)
				if round%2 == 0 {
					e.waitFor(time.Minute, name+" to be erased in part", func() (bool, string) {
						return e.count("SELECT count(*) FROM message WHERE account_id = $1", person) < records, ""
					})
				} else {
					time.Sleep(time.Duration(rand.IntN(10000)) * time.Millisecond)
				}
				left := e.count("SELECT count(*) FROM message WHERE account_id = $1", person)
				victim.kill()
				e.answered(r, 6*time.Minute)

				s, messages := r.Status, e.became(r, "db", "message")
				t.Logf("killed with %d of %d left: %s, %s, found %d, erased %d in %d attempts", left, records, s.Outcome, s.Counting,
					ptr.Deref(s.Found, -1), ptr.Deref(s.Erased, -1), s.Datastores[0].Attempts)
				if s.Outcome != retentionv1.ErasureDeleted {
					t.Errorf("%s ends as %s: %+v", name, s.Outcome, s)
				}
				if n := e.count("SELECT count(*) FROM message WHERE account_id = $1", person) + e.count("SELECT count(*) FROM account WHERE id = $1", person); n != 0 {
					t.Errorf("%s: %d records are left of a person who is said to be erased", name, n)
				}
				expectUntouched(t, others, e.fingerprint(nil))
				deleted := ptr.Deref(messages.Deleted, -1)
				if deleted > records || (messages.Counting == retentionv1.CountingExact && deleted != records) {
					t.Errorf("%s: the answer says %s %d deleted, the database %d", name, messages.Counting, deleted, records)
				}
				if (messages.Counting == retentionv1.CountingExact) != (s.Counting == retentionv1.CountingExact) && s.Counting == retentionv1.CountingExact {
					t.Errorf("%s: %s as a whole, and %s in a part", name, s.Counting, messages.Counting)
				}
				if t.Failed() {
					return
				}
			}
		})
	}
}

// TestErasureRestoredBackup erases a person, restores a backup that was made before, and does nothing else: the person is
// gone again within the time of the repetition.
func TestErasureRestoredBackup(t *testing.T) {
	e := newEnv(t, database)
	e.accounts(4, 50)
	theirs := map[string]string{"account": "id = 2", "message": "account_id = 2"}
	others := e.fingerprint(theirs)
	backup := e.postgresTool("pg_dump", nil, "--clean", "--if-exists")

	r := e.erasure("watched", e.subject("watched", map[string]string{"email": "user2@shop.example"}), func(r *retentionv1.ErasureRequest) {
		r.Spec.RecheckFor, r.Spec.RecheckEvery = "P1D", "PT20S"
	})
	e.reaches(r, 3*time.Minute, retentionv1.ErasureWatching)
	e.expectAnswer(r, retentionv1.ErasureDeleted, 51, 51)
	if n := e.count("SELECT count(*) FROM account WHERE id = 2"); n != 0 || e.subjectIsGone("watched") {
		t.Fatalf("%d accounts are there after the first time; the identifiers are needed until %+v", n, r.Status.Recheck)
	}

	e.postgresTool("psql", backup, "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1")
	if n := e.count("SELECT count(*) FROM account WHERE id = 2") + e.count("SELECT count(*) FROM message WHERE account_id = 2"); n != 51 {
		t.Fatalf("the backup has brought %d of 51 records back", n)
	}
	restored := time.Now()
	e.waitFor(3*time.Minute, "the person to be erased again", func() (bool, string) {
		e.must(e.c.Get(t.Context(), client.ObjectKeyFromObject(r), r))
		gone := e.count("SELECT count(*) FROM account WHERE id = 2")+e.count("SELECT count(*) FROM message WHERE account_id = 2") == 0
		return gone && r.Status.Recheck != nil && ptr.Deref(r.Status.Recheck.Found, 0) > 0, fmt.Sprintf("%+v", r.Status)
	})
	t.Logf("gone again %s after the backup was restored", time.Since(restored).Round(time.Second))
	expectUntouched(t, others, e.fingerprint(nil))
	if n := ptr.Deref(r.Status.Recheck.Found, -1); n != 51 || r.Status.Outcome != retentionv1.ErasureDeleted {
		t.Errorf("the repetitions have found %d records, want 51: %+v", n, r.Status)
	}
}

// postgresTool runs a program of PostgreSQL on the database.
func (e *env) postgresTool(program string, input []byte, args ...string) []byte {
	e.t.Helper()
	u, err := url.Parse(e.dsn)
	e.must(err)
	var stderr strings.Builder
	cmd := exec.CommandContext(e.t.Context(), program, append(args, u.String())...)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &stderr
	out, err := cmd.Output()
	if err != nil {
		e.t.Fatalf("%s: %v: %s", program, err, stderr.String())
	}
	return out
}
