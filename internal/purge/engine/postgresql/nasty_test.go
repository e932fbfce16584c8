// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// TestAnEmptyPartitionThatIsWrittenToIsNotDropped: somebody who knows the table's own name waits for our lock and writes a
// young record as soon as we have counted none.
func TestAnEmptyPartitionThatIsWrittenToIsNotDropped(t *testing.T) {
	dsn, conn := database(t, events)
	s := open(t, dsn, plan.Plan{Run: "r", Steps: []plan.Step{deleteStepOf("events", "at", day("2020-01-01"))}})
	step := prepared(t, s, 0)
	st := step.(*deleteStep)
	found, err := s.wholePartitions(t.Context(), st)
	if err != nil || len(found) != 1 {
		t.Fatalf("%v, %v", found, err)
	}
	if err := s.mark(t.Context(), found[0]); err != nil {
		t.Fatal(err)
	}
	postgres.Exec(t, conn, "ALTER TABLE events DETACH PARTITION events_2019; DELETE FROM events_2019")

	reader, writer, observer := postgres.Connect(t, dsn), postgres.Connect(t, dsn), postgres.Connect(t, dsn)
	waiting := func(n int) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
			if postgres.Value[int](t, observer, "SELECT count(*)::int FROM pg_locks WHERE NOT granted AND relation = 'events_2019'::regclass") == n {
				return
			}
		}
		t.Fatalf("%d never waited", n)
	}
	postgres.Exec(t, reader, "BEGIN; SELECT FROM events_2019")
	dropped := make(chan error, 1)
	go func() { dropped <- step.Purge(t.Context(), &recorder{}) }()
	waiting(1)
	written := make(chan error, 1)
	go func() {
		_, err := writer.Exec(t.Context(), "INSERT INTO events_2019 VALUES (1, now())")
		written <- err
	}()
	waiting(2)
	postgres.Exec(t, reader, "COMMIT")
	if err := <-dropped; err != nil {
		t.Fatal(err)
	}
	if err := <-written; err == nil && postgres.Value[bool](t, conn, "SELECT to_regclass('events_2019') IS NULL") {
		t.Error("a young record was dropped")
	}
}

// TestADropIsOnlyForThoseWhoNeedNotHearOfIt: an audit by a statement's trigger, and a subscriber of a publication.
func TestADropIsOnlyForThoseWhoNeedNotHearOfIt(t *testing.T) {
	for name, and := range map[string]string{
		"an audit of whole statements": `CREATE TABLE audit (id int); CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN INSERT INTO audit SELECT id FROM gone; RETURN NULL; END';
			CREATE TRIGGER audit AFTER DELETE ON events_2019 REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION audit()`,
		"a publication of the table": `ALTER TABLE events_2019 REPLICA IDENTITY FULL; ALTER TABLE events_2020 REPLICA IDENTITY FULL; ALTER TABLE "events 'odd' %s" REPLICA IDENTITY FULL; CREATE PUBLICATION p FOR TABLE events`,
		"a publication by its root": `ALTER TABLE events_2019 REPLICA IDENTITY FULL; ALTER TABLE events_2020 REPLICA IDENTITY FULL; ALTER TABLE "events 'odd' %s" REPLICA IDENTITY FULL;
			CREATE PUBLICATION p FOR TABLE events WITH (publish_via_partition_root)`,
	} {
		t.Run(name, func(t *testing.T) {
			dsn, _ := database(t, events+and)
			if got := purgeEvents(t, dsn, "2020-01-01"); got.Dropped != 0 || got.Deleted != 101 || got.Remaining != 0 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestProtectedInEveryShape: what must be retained is not changed by ON DELETE SET NULL either, whatever part of a tree
// the data map names and the key is on.
func TestProtectedInEveryShape(t *testing.T) {
	for name, tc := range map[string]struct{ schema, protected string }{
		"the key is on the root, the map names a partition": {`
			CREATE TABLE c (id int, p int REFERENCES p ON DELETE SET NULL, at date) PARTITION BY RANGE (at);
			CREATE TABLE c_old PARTITION OF c FOR VALUES FROM ('2000-01-01') TO ('2030-01-01');
			INSERT INTO c VALUES (1, 1, '2020-01-01')`, "c_old"},
		"the key is on an heir, the map names its parent": {`
			CREATE TABLE c (id int, p int, at date);
			CREATE TABLE c_heir () INHERITS (c);
			ALTER TABLE c_heir ADD FOREIGN KEY (p) REFERENCES p ON DELETE SET NULL;
			INSERT INTO c_heir VALUES (1, 1, '2020-01-01')`, "c"},
		"the key is on a partition, the map names its root": {`
			CREATE TABLE c (id int, p int, at date) PARTITION BY RANGE (at);
			CREATE TABLE c_old PARTITION OF c FOR VALUES FROM ('2000-01-01') TO ('2030-01-01');
			ALTER TABLE c_old ADD FOREIGN KEY (p) REFERENCES p ON DELETE SET NULL;
			INSERT INTO c VALUES (1, 1, '2020-01-01')`, "c"},
	} {
		t.Run(name, func(t *testing.T) {
			dsn, conn := database(t, `CREATE TABLE p (id int PRIMARY KEY, at date); INSERT INTO p VALUES (1, '2001-01-01'), (2, '2001-01-01');`+tc.schema)
			s := open(t, dsn, plan.Plan{
				Run: "r", Datasets: []plan.Dataset{{Name: "c", Path: tc.protected, Protected: true}},
				Steps: []plan.Step{deleteStepOf("p", "at", day("2021-01-01"))},
			})
			got, _ := carryOut(t, s, 0)
			if got.Changed != 1 || got.Blocked != 1 || postgres.Value[int](t, conn, "SELECT count(p)::int FROM c") != 1 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestNastySchemas has what schemas of the world have: what is due is counted by psql's own means.
func TestNastySchemas(t *testing.T) {
	const cutoff = "2021-01-01"
	for name, tc := range map[string]struct {
		schema, table, field string
		format               plan.TimestampFormat
		matched, remaining   int64
		undated, invalid     int64
		left                 int
	}{
		"the cutoff to the microsecond": {schema: `CREATE TABLE x (at timestamptz); INSERT INTO x VALUES ('2021-01-01Z'), ('2020-12-31 23:59:59.999999Z'),
			('2021-01-01 00:00:00.000001Z')`, matched: 2, left: 1},
		"infinity, years before Christ, NULL": {schema: `CREATE TABLE x (at timestamptz); INSERT INTO x VALUES ('infinity'), ('-infinity'), ('0044-03-15 BC'),
			(NULL), ('294276-12-31'), ('9999-12-31'), ('1970-01-01'), ('2020-01-01')`, matched: 1, undated: 1, invalid: 6, left: 7},
		"the same as dates": {schema: `CREATE TABLE x (at date); INSERT INTO x VALUES ('infinity'), ('-infinity'), ('0044-03-15 BC'), (NULL), ('5874897-12-31'),
			('2020-12-31'), ('2021-01-01')`, matched: 1, undated: 1, invalid: 4, left: 6},
		"a domain of a domain, NOT NULL": {schema: `CREATE DOMAIN d AS timestamptz; CREATE DOMAIN dd AS d NOT NULL; CREATE TABLE x (at dd); CREATE INDEX ON x (at);
			INSERT INTO x SELECT timestamptz '2020-12-31Z' + i * interval '1 hour' FROM generate_series(0, 4999) i; ANALYZE x`, matched: 25, left: 4975},
		"seconds at the edge of int4": {schema: `CREATE TABLE x (at int); INSERT INTO x VALUES (2147483647), (-2147483648), (0), (NULL), (1600000000), (1609459200), (1609459201)`,
			format: plan.UnixSeconds, matched: 2, undated: 1, invalid: 2, left: 5},
		"milliseconds taken for seconds": {schema: `CREATE TABLE x (at bigint); INSERT INTO x VALUES (1600000000000), (9223372036854775807), (-9223372036854775808)`,
			format: plan.UnixSeconds, invalid: 3, left: 3},
		"numbers that are none": {schema: `CREATE TABLE x (at numeric); INSERT INTO x VALUES ('NaN'), ('Infinity'), ('-Infinity'), (1609459200.0000001), (1609459200), (1e300), (NULL)`,
			format: plan.UnixSeconds, matched: 1, undated: 1, invalid: 4, left: 6},
		"no rows and no pages": {schema: `CREATE TABLE x (at timestamptz)`},
		"heirs, whose ctids are the same": {schema: `CREATE TABLE x (id int, at date); CREATE TABLE heir (more int) INHERITS (x); CREATE TABLE grandchild () INHERITS (heir);
			INSERT INTO x SELECT i, '2020-01-01' FROM generate_series(1, 300) i; INSERT INTO heir SELECT i, '2022-01-01' FROM generate_series(1, 300) i;
			INSERT INTO grandchild SELECT i, CASE WHEN i % 2 = 0 THEN date '2020-01-01' ELSE '2022-01-01' END FROM generate_series(1, 300) i`, matched: 450, left: 450},
		"huge records": {schema: `CREATE TABLE x (at date, blob text); ALTER TABLE x ALTER blob SET STORAGE EXTERNAL;
			INSERT INTO x SELECT '2020-01-01', repeat('x', 200000) FROM generate_series(1, 50)`, matched: 50},
		"names with quotes, dots and 63 bytes": {schema: `CREATE SCHEMA "S.1"; CREATE TABLE "S.1"."a ""b"".c; DROP TABLE x --` + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" + `" ("at""; " date);
			INSERT INTO "S.1"."a ""b"".c; DROP TABLE x --` + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" + `" VALUES ('2020-01-01'), ('2022-01-01')`,
			table: `"S.1"."a ""b"".c; DROP TABLE x --` + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" + `"`, field: `at"; `, matched: 1, left: 1},
		"employees who report to each other": {schema: `CREATE TABLE x (id int PRIMARY KEY, boss int REFERENCES x, at date);
			INSERT INTO x SELECT i, nullif(i - 1, 0), '2020-01-01' FROM generate_series(1, 40) i; INSERT INTO x VALUES (100, 20, '2022-01-01'), (200, NULL, '2020-01-01'),
			(201, 200, '2020-01-01'), (300, 300, '2020-01-01'); UPDATE x SET boss = 201 WHERE id = 200`, matched: 43, remaining: 22, left: 23},
		"composite keys with NULLs, of which one is FULL": {schema: `CREATE TABLE x (a int, b int, at date, PRIMARY KEY (a, b), UNIQUE (b, a));
			CREATE TABLE c (a int, b int, FOREIGN KEY (a, b) REFERENCES x); CREATE TABLE f (a int, b int, FOREIGN KEY (b, a) REFERENCES x (b, a) MATCH FULL);
			INSERT INTO x SELECT i, i, '2020-01-01' FROM generate_series(1, 5) i; INSERT INTO c VALUES (1, NULL), (NULL, 2), (3, 3); INSERT INTO f VALUES (NULL, NULL), (4, 4)`,
			matched: 5, remaining: 2, left: 2},
		"a key to a unique column that is no primary key, deferred, in a cycle": {schema: `CREATE TABLE x (id int PRIMARY KEY, code text UNIQUE, o int, at date);
			CREATE TABLE o (id int PRIMARY KEY, code text REFERENCES x (code) DEFERRABLE INITIALLY DEFERRED); ALTER TABLE x ADD FOREIGN KEY (o) REFERENCES o DEFERRABLE INITIALLY DEFERRED;
			BEGIN; INSERT INTO x VALUES (1, 'a', 1, '2020-01-01'), (2, 'b', NULL, '2020-01-01'); INSERT INTO o VALUES (1, 'a'); COMMIT`, matched: 2, remaining: 1, left: 1},
		"a trigger that keeps every other record": {schema: `CREATE TABLE x (id int, at date); CREATE FUNCTION k() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN IF OLD.id % 2 = 0 THEN RETURN NULL; END IF; RETURN OLD; END'; CREATE TRIGGER k BEFORE DELETE ON x FOR EACH ROW EXECUTE FUNCTION k();
			INSERT INTO x SELECT i, '2020-01-01' FROM generate_series(1, 100) i`, matched: 100, remaining: 50, left: 50},
		"a trigger that makes a soft deletion of it": {schema: `CREATE TABLE x (id int PRIMARY KEY, at date, gone bool); CREATE FUNCTION k() RETURNS trigger LANGUAGE plpgsql AS
			'BEGIN UPDATE x SET gone = true WHERE id = OLD.id; RETURN NULL; END'; CREATE TRIGGER k BEFORE DELETE ON x FOR EACH ROW EXECUTE FUNCTION k();
			INSERT INTO x SELECT i, '2020-01-01' FROM generate_series(1, 100) i`, matched: 100, remaining: 100, left: 100},
		"a column that is generated": {schema: `CREATE TABLE x (made date, at date GENERATED ALWAYS AS (made + 30) STORED); INSERT INTO x VALUES ('2020-12-01'), ('2020-12-02')`, matched: 1, left: 1},
	} {
		t.Run(name, func(t *testing.T) {
			dsn, conn := database(t, tc.schema)
			if tc.table == "" {
				tc.table, tc.field = "x", "at"
			}
			step := deleteStepOf(tc.table, tc.field, day(cutoff))
			if tc.format != "" {
				step.Start.Format = tc.format
			}
			s := open(t, dsn, plan.Plan{Run: "r", Steps: []plan.Step{step}})
			got, _ := carryOut(t, s, 0)
			if got.Matched != tc.matched || got.Remaining != tc.remaining || got.Changed != tc.matched-tc.remaining || got.Undated != tc.undated || got.Invalid != tc.invalid {
				t.Errorf("got %+v, want %d matched, %d remaining, %d undated, %d invalid", got, tc.matched, tc.remaining, tc.undated, tc.invalid)
			}
			if n := postgres.Value[int](t, conn, "SELECT count(*)::int FROM "+tc.table); n != tc.left {
				t.Errorf("%d left, want %d", n, tc.left)
			}
		})
	}
}

// TestATableThatIsRewrittenMeanwhile: CLUSTER and VACUUM FULL give every record another place.
func TestATableThatIsRewrittenMeanwhile(t *testing.T) {
	dsn, conn := database(t, `CREATE TABLE x (id int PRIMARY KEY, at date); INSERT INTO x SELECT i, CASE WHEN i % 3 = 0 THEN date '2022-01-01' ELSE '2020-01-01' END FROM generate_series(1, 30000) i`)
	s := open(t, dsn, plan.Plan{Run: "r", Limits: plan.Limits{BatchRecords: 500}, Steps: []plan.Step{deleteStepOf("x", "at", day("2021-01-01"))}})
	step := prepared(t, s, 0)
	if _, err := step.Count(t.Context()); err != nil {
		t.Fatal(err)
	}
	progress := &recorder{}
	progress.onBatch = func() {
		switch progress.batches {
		case 5:
			postgres.Exec(t, conn, "CLUSTER x USING x_pkey")
		case 9:
			postgres.Exec(t, conn, "VACUUM FULL x")
		case 12:
			postgres.Exec(t, conn, "UPDATE x SET at = at WHERE id > 25000") // records move behind the pass
		}
	}
	left := int64(1)
	for pass := 0; left > 0 && pass < 3; pass++ {
		if err := step.Purge(t.Context(), progress); err != nil {
			t.Fatal(err)
		}
		after, err := step.Verify(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		left = after.Remaining
	}
	if n := postgres.Value[int](t, conn, "SELECT count(*)::int FROM x WHERE at = '2022-01-01'"); n != 10000 || left != 0 || progress.committed != 20000 {
		t.Errorf("%d of 10000 stayed, %d remain, %d deleted", n, left, progress.committed)
	}
}

// TestRoleSettingsDoNotMatter: what a role has been given for every session does not weaken what we promise.
func TestRoleSettingsDoNotMatter(t *testing.T) {
	dsn, conn := database(t, `CREATE TABLE x (at timestamp); INSERT INTO x VALUES ('2020-12-31 23:30'), ('2021-01-01 00:30')`)
	role, its := postgres.Get(t).Role(t, dsn)
	postgres.Exec(t, conn, "GRANT SELECT, DELETE ON x TO "+role)
	for _, setting := range []string{"synchronous_commit = off", "default_transaction_isolation = serializable", "default_transaction_read_only = on",
		"timezone = 'Pacific/Kiritimati'", "datestyle = 'SQL, DMY'", "enable_tidscan = off", "statement_timeout = 1", "standard_conforming_strings = off"} {
		postgres.Exec(t, conn, "ALTER ROLE "+role+" SET "+setting)
	}
	s := open(t, its, plan.Plan{Run: "r", Steps: []plan.Step{deleteStepOf("x", "at", day("2021-01-01"))}})
	got, _ := carryOut(t, s, 0)
	if got.Changed != 1 || got.Remaining != 0 || postgres.Value[int](t, conn, "SELECT count(*)::int FROM x") != 1 {
		t.Errorf("%+v", got)
	}
	if v := postgres.Value[string](t, s.conn, "SHOW synchronous_commit"); v != "on" {
		t.Errorf("synchronous_commit = %s", v)
	}
}

// TestAServerThatHidesItsIdentifierIsKnownByWhatItHas: a name and a number of a database may be the same in two clusters.
func TestAServerThatHidesItsIdentifierIsKnownByWhatItHas(t *testing.T) {
	dsn, conn := database(t, "CREATE TABLE x (at date); REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
	role, its := postgres.Get(t).Role(t, dsn)
	oid := postgres.Value[string](t, conn, "SELECT min(oid::bigint)::text FROM pg_roles WHERE oid::bigint >= 16384")
	s := open(t, its, plan.Plan{Run: "r", Steps: []plan.Step{deleteStepOf("x", "at", day("2021-01-01"))}})
	if server, err := s.Server(t.Context()); err != nil || !strings.HasPrefix(server.Identity, "unknown-"+oid+"/") {
		t.Errorf("%q to %s, %v", server.Identity, role, err)
	}
}

// TestADatabaseMadeAnewIsAnother: of the same name, on the same server, while we were not connected.
func TestADatabaseMadeAnewIsAnother(t *testing.T) {
	dsn, _ := database(t, "CREATE TABLE x (at date)")
	s := open(t, dsn, plan.Plan{Run: "r", Steps: []plan.Step{deleteStepOf("x", "at", day("2021-01-01"))}})
	server, err := s.Server(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	admin := postgres.Connect(t, postgres.Get(t).DSN("postgres"))
	name := s.config.Database
	postgres.Exec(t, admin, `DROP DATABASE "`+name+`" WITH (FORCE)`)
	postgres.Exec(t, admin, `CREATE DATABASE "`+name+`"`)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	_, err = s.Server(ctx)
	var e *engine.Error
	if !errors.As(err, &e) || e.Reason != "IdentityChanged" {
		t.Errorf("%v after %s", err, server.Identity)
	}
}
