// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// Records of p are due before 2020; ids below 100 are old. kept is what SELECT string_agg(id) of p, then of c, then says.
func TestForeignKeys(t *testing.T) {
	const parent = "CREATE TABLE p (id int PRIMARY KEY, at date); INSERT INTO p SELECT i, CASE WHEN i < 100 THEN date '2019-01-01' ELSE '2021-01-01' END FROM unnest('{1,2,3,101}'::int[]) i;"
	protect := []plan.Dataset{{Name: "c", Path: "c", Protected: true}}
	tests := map[string]struct {
		schema     string
		datasets   []plan.Dataset
		path       string
		want       engine.Leftover
		changed    int64
		parents    string
		checkOther string // a query and what it returns
		other      string
	}{
		"no action": {
			schema: parent + "CREATE TABLE c (id int, p int CONSTRAINT needs_p REFERENCES p); INSERT INTO c VALUES (1, 1), (2, 101), (3, NULL)",
			want:   engine.Leftover{Remaining: 1, Blocked: 1, Constraints: []string{"needs_p"}}, changed: 2, parents: "1,101",
		},
		"deferred": {
			schema: parent + "CREATE TABLE c (id int, p int CONSTRAINT needs_p REFERENCES p DEFERRABLE INITIALLY DEFERRED); INSERT INTO c VALUES (1, 1)",
			want:   engine.Leftover{Remaining: 1, Blocked: 1, Constraints: []string{"needs_p"}}, changed: 2, parents: "1,101",
		},
		"cascade deletes nobody's records": {
			schema: parent + "CREATE TABLE c (id int, p int CONSTRAINT takes REFERENCES p ON DELETE CASCADE); INSERT INTO c VALUES (1, 1)",
			want:   engine.Leftover{Remaining: 1, Blocked: 1, Constraints: []string{"takes"}}, changed: 2, parents: "1,101",
			checkOther: "SELECT count(*)::text FROM c", other: "1",
		},
		"set null": {
			schema:  parent + "CREATE TABLE c (id int, p int REFERENCES p ON DELETE SET NULL); INSERT INTO c VALUES (1, 1), (2, 101)",
			changed: 3, parents: "101", checkOther: "SELECT count(*)::text FROM c WHERE p IS NULL", other: "1",
		},
		"set null of a protected child": {
			schema:   parent + "CREATE TABLE c (id int, p int CONSTRAINT forgets REFERENCES p ON DELETE SET NULL); INSERT INTO c VALUES (1, 1)",
			datasets: protect, want: engine.Leftover{Remaining: 1, Blocked: 1, Constraints: []string{"forgets"}}, changed: 2, parents: "1,101",
			checkOther: "SELECT count(*)::text FROM c WHERE p IS NULL", other: "0",
		},
		"set null of a partition of a protected child": {
			schema: parent + "CREATE TABLE c (id int, p int) PARTITION BY HASH (id); CREATE TABLE c0 PARTITION OF c FOR VALUES WITH (MODULUS 1, REMAINDER 0);" +
				"ALTER TABLE c0 ADD CONSTRAINT forgets FOREIGN KEY (p) REFERENCES p ON DELETE SET NULL; INSERT INTO c VALUES (1, 1)",
			datasets: protect, want: engine.Leftover{Remaining: 1, Blocked: 1, Constraints: []string{"forgets"}}, changed: 2, parents: "1,101",
		},
		"set null of a column that must have a value": {
			schema: parent + "CREATE TABLE c (id int, p int NOT NULL CONSTRAINT forgets REFERENCES p ON DELETE SET NULL); INSERT INTO c VALUES (1, 1)",
			want:   engine.Leftover{Remaining: 1, Blocked: 1, Constraints: []string{"forgets"}}, changed: 2, parents: "1,101",
		},
		"several": {
			schema: parent + "CREATE TABLE c (id int, p int CONSTRAINT one REFERENCES p, q int CONSTRAINT two REFERENCES p, r int CONSTRAINT three REFERENCES p);" +
				"INSERT INTO c VALUES (1, 1, 1, 101), (2, 101, 2, NULL)",
			want: engine.Leftover{Remaining: 2, Blocked: 2, Constraints: []string{"one", "two"}}, changed: 1, parents: "1,2,101",
		},
		"composite": {
			schema: "CREATE TABLE p (id int, k text, at date, PRIMARY KEY (id, k)); INSERT INTO p VALUES (1, 'a', '2019-01-01'), (1, 'b', '2019-01-01'), (2, 'a', '2019-01-01');" +
				"CREATE TABLE c (k text, p int, CONSTRAINT both_parts FOREIGN KEY (p, k) REFERENCES p); INSERT INTO c VALUES ('b', 1), ('a', NULL), (NULL, 2)",
			want: engine.Leftover{Remaining: 1, Blocked: 1, Constraints: []string{"both_parts"}}, changed: 2, parents: "1",
		},
		"another collation": {
			schema: `CREATE TABLE p (id text COLLATE "C" PRIMARY KEY, at date); INSERT INTO p VALUES ('1', '2019-01-01'), ('2', '2019-01-01');` +
				`CREATE TABLE c (p text COLLATE "POSIX" CONSTRAINT words REFERENCES p); INSERT INTO c VALUES ('1')`,
			want: engine.Leftover{Remaining: 1, Blocked: 1, Constraints: []string{"words"}}, changed: 1, parents: "1",
		},
		"a tree goes from its leaves": {
			schema:  parent + "ALTER TABLE p ADD up int CONSTRAINT above REFERENCES p; UPDATE p SET up = 1 WHERE id = 2; UPDATE p SET up = 2 WHERE id = 3; UPDATE p SET up = 1 WHERE id = 1",
			changed: 3, parents: "101",
		},
		"a tree with a young leaf stays": {
			schema: parent + "ALTER TABLE p ADD up int CONSTRAINT above REFERENCES p; UPDATE p SET up = 1 WHERE id = 2; UPDATE p SET up = 2 WHERE id = 101",
			want:   engine.Leftover{Remaining: 2, Blocked: 2, Constraints: []string{"above"}}, changed: 1, parents: "1,2,101",
		},
		"a ring stays": {
			schema: parent + "ALTER TABLE p ADD up int CONSTRAINT above REFERENCES p; UPDATE p SET up = 1 WHERE id = 2; UPDATE p SET up = 2 WHERE id = 1",
			want:   engine.Leftover{Remaining: 2, Blocked: 2, Constraints: []string{"above"}}, changed: 1, parents: "1,2,101",
		},
		"partitions on both sides count once": {
			schema: "CREATE TABLE p (id int PRIMARY KEY, at date) PARTITION BY HASH (id); CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0);" +
				"CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 1); INSERT INTO p SELECT i, '2019-01-01' FROM generate_series(1, 20) i;" +
				"CREATE TABLE c (id int, p int CONSTRAINT needs_p REFERENCES p) PARTITION BY HASH (id); CREATE TABLE c0 PARTITION OF c FOR VALUES WITH (MODULUS 1, REMAINDER 0);" +
				"INSERT INTO c VALUES (1, 3), (2, 4)",
			want: engine.Leftover{Remaining: 2, Blocked: 2, Constraints: []string{"needs_p"}}, changed: 18, parents: "3,4",
		},
		"a key to one partition": {
			schema: "CREATE TABLE p (id int, at date) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p (PRIMARY KEY (id)) FOR VALUES IN (1, 3); CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2, 4);" +
				"INSERT INTO p SELECT i, '2019-01-01' FROM generate_series(1, 4) i; CREATE TABLE c (p int CONSTRAINT needs_p1 REFERENCES p1); INSERT INTO c VALUES (3)",
			want: engine.Leftover{Remaining: 1, Blocked: 1, Constraints: []string{"needs_p1"}}, changed: 3, parents: "3",
		},
		"a key to one partition, with a namesake in another": {
			schema: "CREATE TABLE p (id int, k int, at date) PARTITION BY LIST (k); CREATE TABLE p1 PARTITION OF p (PRIMARY KEY (id)) FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2);" +
				"INSERT INTO p VALUES (3, 1, '2019-01-01'), (3, 2, '2019-01-01'); CREATE TABLE c (p int CONSTRAINT needs_p1 REFERENCES p1); INSERT INTO c VALUES (3)",
			want: engine.Leftover{Remaining: 1, Blocked: 1, Constraints: []string{"needs_p1"}}, changed: 1, parents: "3",
		},
		"tables that inherit": {
			schema:  parent + "CREATE TABLE q () INHERITS (p); INSERT INTO q VALUES (7, '2019-01-01'), (107, '2021-01-01')",
			changed: 4, parents: "101,107",
		},
		"odd names": {
			schema: `CREATE SCHEMA "My Schema"; CREATE TABLE "My Schema"."select ""p"".x" (id int PRIMARY KEY, "the at; --" date);` +
				`INSERT INTO "My Schema"."select ""p"".x" VALUES (1, '2019-01-01'), (2, '2019-01-01'), (3, '2021-01-01');` +
				`CREATE TABLE "c""d" ("p%s$1" int CONSTRAINT "odd ""one""" REFERENCES "My Schema"."select ""p"".x"); INSERT INTO "c""d" VALUES (1)`,
			path: `"My Schema"."select ""p"".x"`,
			want: engine.Leftover{Remaining: 1, Blocked: 1, Constraints: []string{`odd "one"`}}, changed: 1, parents: "1,3",
		},
		"without a primary key": {
			schema:  "CREATE TABLE p (id int, at date); INSERT INTO p SELECT 1, '2019-01-01' FROM generate_series(1, 500); INSERT INTO p SELECT 2, '2021-01-01' FROM generate_series(1, 3)",
			changed: 500, parents: "2,2,2",
		},
		"a trigger that keeps records": {
			schema: parent + "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF OLD.id = 2 THEN RETURN NULL; END IF; RETURN OLD; END';" +
				"CREATE TRIGGER keep BEFORE DELETE ON p FOR EACH ROW EXECUTE FUNCTION keep()",
			want: engine.Leftover{Remaining: 1, Reason: receipt.TriggerBlocks}, changed: 2, parents: "2,101",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dsn, conn := database(t, test.schema)
			path, field := "p", "at"
			if test.path != "" {
				path, field = test.path, "the at; --"
			}
			s := open(t, dsn, plan.Plan{Datasets: test.datasets, Steps: []plan.Step{deleteStepOf(path, field, day("2020-01-01"))}})
			got, _ := carryOut(t, s, 0)
			if diff := cmp.Diff(test.want, got.Leftover, cmpopts.IgnoreFields(engine.Leftover{}, "Oldest")); diff != "" {
				t.Errorf("left (-want +got):\n%s", diff)
			}
			if got.Changed != test.changed {
				t.Errorf("deleted %d, want %d", got.Changed, test.changed)
			}
			if kept := postgres.Value[string](t, conn, "SELECT coalesce(string_agg(id::text, ',' ORDER BY id), '') FROM "+path); kept != test.parents {
				t.Errorf("kept %s, want %s", kept, test.parents)
			}
			if test.checkOther != "" {
				if other := postgres.Value[string](t, conn, test.checkOther); other != test.other {
					t.Errorf("%s: got %s, want %s", test.checkOther, other, test.other)
				}
			}
		})
	}
}

func TestPrepareSaysWhatIsWrong(t *testing.T) {
	dsn, _ := database(t, `
		CREATE TABLE parent (id int PRIMARY KEY, other int, at date, word text UNIQUE);
		CREATE TABLE t (id int, ref int, word text, at date, note text, n bigint, f float8);
		CREATE VIEW v AS SELECT * FROM t;
		CREATE TABLE heir () INHERITS (t);
		CREATE TABLE base (id int PRIMARY KEY, at date); CREATE TABLE heir2 () INHERITS (base)`)
	via := func(field, path, key string) plan.Start {
		return plan.Start{Via: []plan.Hop{{Field: field, Path: path, Key: key}}, Field: "at", Format: plan.Native}
	}
	tests := map[string]struct {
		path  string
		start plan.Start
		want  engine.Error
	}{
		"no table":              {"gone", plan.Start{Field: "at"}, engine.Error{Reason: receipt.TableNotFound, Object: "gone"}},
		"no schema":             {"gone.t", plan.Start{Field: "at"}, engine.Error{Reason: receipt.TableNotFound, Object: "gone.t"}},
		"a view":                {"v", plan.Start{Field: "at"}, engine.Error{Reason: receipt.TableNotFound, Object: "v"}},
		"three parts":           {"a.b.c", plan.Start{Field: "at"}, engine.Error{Reason: receipt.TableNotFound, Object: "a.b.c"}},
		"capitals matter":       {"T", plan.Start{Field: "at"}, engine.Error{Reason: receipt.TableNotFound, Object: "T"}},
		"no field":              {"t", plan.Start{Field: "gone"}, engine.Error{Reason: receipt.FieldNotFound, Object: "t.gone"}},
		"a system column":       {"t", plan.Start{Field: "ctid"}, engine.Error{Reason: receipt.FieldNotFound, Object: "t.ctid"}},
		"text":                  {"t", plan.Start{Field: "note", Format: plan.Native}, engine.Error{Reason: receipt.TypeNotSupported, Object: "t.note"}},
		"a number as native":    {"t", plan.Start{Field: "n", Format: plan.Native}, engine.Error{Reason: receipt.TypeNotSupported, Object: "t.n"}},
		"a float":               {"t", plan.Start{Field: "f", Format: plan.UnixSeconds}, engine.Error{Reason: receipt.TypeNotSupported, Object: "t.f"}},
		"a date as seconds":     {"t", plan.Start{Field: "at", Format: plan.UnixSeconds}, engine.Error{Reason: receipt.TypeNotSupported, Object: "t.at"}},
		"no reference field":    {"t", via("gone", "parent", "id"), engine.Error{Reason: receipt.FieldNotFound, Object: "t.gone"}},
		"no parent":             {"t", via("ref", "gone", "id"), engine.Error{Reason: receipt.TableNotFound, Object: "gone"}},
		"no key":                {"t", via("ref", "parent", "gone"), engine.Error{Reason: receipt.FieldNotFound, Object: "parent.gone"}},
		"a key that is not one": {"t", via("ref", "parent", "other"), engine.Error{Reason: receipt.KeyNotUnique, Object: "parent.other"}},
		"a key with heirs":      {"t", via("ref", "base", "id"), engine.Error{Reason: receipt.KeyNotUnique, Object: "base.id"}},
		"a key of another type": {"t", via("ref", "parent", "word"), engine.Error{Reason: receipt.TypeNotSupported, Object: "t", Code: "42883"}},
		"an obligation's field": {"t", plan.Start{Field: "obligation"}, engine.Error{Reason: receipt.FieldNotFound, Object: "t.gone"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			step := plan.Step{Path: test.path, Action: plan.Delete, Start: test.start, Cutoff: day("2020-01-01")}
			if test.start.Field == "obligation" {
				step.Start.Field = "at"
				step.Obligations = []plan.Obligation{{Start: plan.Start{Field: "gone"}, Cutoff: day("2020-01-01")}}
			}
			_, err := open(t, dsn, plan.Plan{Steps: []plan.Step{step}}).Prepare(t.Context(), 0)
			var got *engine.Error
			if !errors.As(err, &got) || *got != test.want {
				t.Errorf("got %v, want %v", err, &test.want)
			}
		})
	}
}

// A role that may not see the children cannot tell what blocks.
func TestRights(t *testing.T) {
	dsn, conn := database(t, "CREATE TABLE p (id int PRIMARY KEY, at date); CREATE TABLE c (p int REFERENCES p ON DELETE CASCADE);"+
		"CREATE TABLE parts (id int, at date) PARTITION BY HASH (id); CREATE TABLE part0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);"+
		"CREATE TABLE part1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1); INSERT INTO parts SELECT i, '2019-01-01' FROM generate_series(1, 2000) i;"+
		"CREATE TABLE hidden (id int, at date); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY; INSERT INTO hidden VALUES (1, '2019-01-01')")
	role, its := postgres.Get(t).Role(t, dsn)
	postgres.Exec(t, conn, strings.ReplaceAll("GRANT SELECT, DELETE ON p, parts, hidden TO ROLE", "ROLE", role))
	cutoff := day("2020-01-01")
	s := open(t, its, plan.Plan{Steps: []plan.Step{deleteStepOf("p", "at", cutoff), deleteStepOf("parts", "at", cutoff), deleteStepOf("hidden", "at", cutoff)}})
	var got *engine.Error
	if _, err := s.Prepare(t.Context(), 0); !errors.As(err, &got) || got.Reason != receipt.PermissionDenied || got.Object != "public.c" {
		t.Errorf("unreadable child: got %v", err)
	}
	if _, err := s.Prepare(t.Context(), 2); engine.ReasonOf(err) != receipt.RowLevelSecurity {
		t.Errorf("row-level security: got %v", err)
	}
	// The right on a partitioned table is none on its partitions, and is enough.
	if got, _ := carryOut(t, s, 1); got.Changed != 2000 || got.Remaining != 0 {
		t.Errorf("partitions: got %+v", got)
	}
	// So it is where a policy of a partition, which is none of the table, would hide records of it.
	postgres.Exec(t, conn, strings.ReplaceAll("INSERT INTO parts SELECT i, '2019-01-01' FROM generate_series(1, 2000) i;"+
		"GRANT SELECT, DELETE ON part0, part1 TO ROLE; ALTER TABLE part0 ENABLE ROW LEVEL SECURITY", "ROLE", role))
	if got, _ := carryOut(t, s, 1); got.Changed != 2000 || got.Remaining != 0 {
		t.Errorf("partitions with a policy: got %+v", got)
	}
	postgres.Exec(t, conn, strings.ReplaceAll("GRANT SELECT (p) ON c TO ROLE; INSERT INTO p VALUES (1, '2019-01-01')", "ROLE", role))
	if got, _ := carryOut(t, s, 0); got.Changed != 1 {
		t.Errorf("readable child: got %+v", got)
	}
}

// A rewrite rule makes a DELETE mean something else: nothing is sent, and nothing claimed.
func TestRewriteRule(t *testing.T) {
	dsn, _ := database(t, "CREATE TABLE p (id int, at date); INSERT INTO p VALUES (1, '2019-01-01'); CREATE RULE soft AS ON DELETE TO p DO INSTEAD UPDATE p SET id = -id")
	s := open(t, dsn, plan.Plan{Steps: []plan.Step{deleteStepOf("p", "at", day("2020-01-01"))}})
	step := prepared(t, s, 0)
	progress := &recorder{}
	if err := step.Purge(t.Context(), progress); engine.ReasonOf(err) != receipt.TriggerBlocks || progress.committed != 0 {
		t.Errorf("got %v, %d", err, progress.committed)
	}
	if left, err := step.Verify(t.Context()); err != nil || left.Remaining != 1 || left.Reason != receipt.TriggerBlocks {
		t.Errorf("got %+v, %v", left, err)
	}
}

// A child that comes while its parent is being deleted lives on, with its parent, whatever the foreign key says.
func TestChildAddedMeanwhileSurvives(t *testing.T) {
	for _, action := range []string{"NO ACTION", "CASCADE"} {
		t.Run(action, func(t *testing.T) {
			dsn, conn := database(t, "CREATE TABLE p (id int PRIMARY KEY, at date); INSERT INTO p SELECT i, '2019-01-01' FROM generate_series(1, 10) i;"+
				"CREATE TABLE c (p int CONSTRAINT needs_p REFERENCES p ON DELETE "+action+")")
			s := open(t, dsn, plan.Plan{Steps: []plan.Step{deleteStepOf("p", "at", day("2020-01-01"))}})
			step := prepared(t, s, 0)
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), "INSERT INTO c VALUES (5)"); err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			progress := &recorder{}
			go func() { done <- step.Purge(t.Context(), progress) }()
			watch := postgres.Connect(t, dsn)
			for postgres.Value[int](t, watch, "SELECT count(*) FROM pg_locks WHERE NOT granted") == 0 {
				time.Sleep(5 * time.Millisecond)
			}
			if err := tx.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil || progress.committed != 9 {
				t.Errorf("deleted %d, %v", progress.committed, err)
			}
			left, err := step.Verify(t.Context())
			if diff := cmp.Diff([]string{"needs_p"}, left.Constraints); diff != "" || err != nil || left.Blocked != 1 {
				t.Errorf("%+v, %v", left, err)
			}
			if n := postgres.Value[int](t, conn, "SELECT count(*) FROM c"); n != 1 {
				t.Errorf("%d children", n)
			}
		})
	}
}
