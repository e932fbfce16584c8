// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// probed probes datasets with the rights that dsn gives.
func probed(tb testing.TB, dsn string, datasets ...plan.Dataset) *receipt.Probe {
	tb.Helper()
	for i := range datasets {
		if datasets[i].Path == "" {
			datasets[i].Path = datasets[i].Name
		}
	}
	p, err := open(tb, dsn, plan.Plan{Datasets: datasets, TimeZone: "Europe/Berlin"}).Probe(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func TestProbeFindings(t *testing.T) {
	deletes, anonymizes := []plan.Action{plan.Delete}, []plan.Action{plan.Anonymize}
	timed := plan.Dataset{Name: "t", TimestampField: "at"}
	tests := map[string]struct {
		schema   string
		datasets []plan.Dataset
		// grant is what a role without rights is given; none probes as the superuser. ROLE stands for its name.
		grant string
		want  []receipt.Finding
	}{
		"nothing": {schema: "CREATE TABLE t (at timestamptz)", datasets: []plan.Dataset{timed}},
		"missing tables hide no others": {
			schema:   "CREATE TABLE t (id int)",
			datasets: []plan.Dataset{{Name: "gone"}, {Name: "nowhere.t"}, timed, {Name: "a.b.c"}},
			want: []receipt.Finding{
				{Code: receipt.FindTableMissing, Dataset: 0, Object: "gone"}, {Code: receipt.FindTableMissing, Dataset: 1, Object: "nowhere.t"},
				{Code: receipt.FindTableMissing, Dataset: 3, Object: "a.b.c"}, {Code: receipt.FindFieldMissing, Dataset: 2, Object: "at"},
			},
		},
		"a view": {
			schema: "CREATE VIEW v AS SELECT 1 AS id; CREATE MATERIALIZED VIEW m AS SELECT 1 AS id; CREATE SEQUENCE s", datasets: []plan.Dataset{{Name: "v"}, {Name: "m"}, {Name: "s"}},
			want: []receipt.Finding{
				{Code: receipt.FindNotATable, Dataset: 0, Object: "v"}, {Code: receipt.FindNotATable, Dataset: 1, Object: "m"},
				{Code: receipt.FindNotATable, Dataset: 2, Object: "s"},
			},
		},
		"a foreign partition": {
			schema: `CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; CREATE TABLE t (at timestamptz) PARTITION BY RANGE (at);
				CREATE FOREIGN TABLE far PARTITION OF t FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') SERVER s; CREATE FOREIGN TABLE f (at timestamptz) SERVER s`,
			datasets: []plan.Dataset{{Name: "t"}, {Name: "f"}},
			want: []receipt.Finding{
				{Code: receipt.FindNotATable, Dataset: 1, Object: "f"}, {Code: receipt.FindNotATable, Dataset: 0, Object: `"public"."far"`},
			},
		},
		"missing fields": {
			schema: "CREATE TABLE t (id int)",
			datasets: []plan.Dataset{{
				Name: "t", TimestampField: "at", Fields: []string{"ended", "id"}, Identifiers: []plan.Identifier{{Type: "email", Field: "mail"}},
				References: []plan.Reference{{Field: "owner", Dataset: "t", Key: "uid"}},
			}},
			want: []receipt.Finding{
				{Code: receipt.FindFieldMissing, Object: "ended"}, {Code: receipt.FindFieldMissing, Object: "mail"},
				{Code: receipt.FindFieldMissing, Object: "owner"}, {Code: receipt.FindFieldMissing, Object: "at"},
				{Code: receipt.FindFieldMissing, Object: "t.uid"},
			},
		},
		"types of timestamps": {
			schema: "CREATE TABLE txt (at text); CREATE TABLE num (at bigint); CREATE TABLE tim (at time); CREATE TABLE nat (at timestamptz)",
			datasets: []plan.Dataset{
				{Name: "txt", TimestampField: "at"}, {Name: "num", TimestampField: "at"}, {Name: "num", TimestampField: "at", TimestampFormat: plan.UnixSeconds},
				{Name: "tim", TimestampField: "at"}, {Name: "nat", TimestampField: "at", TimestampFormat: plan.UnixMilliseconds},
			},
			want: []receipt.Finding{
				{Code: receipt.FindTypeNotSupported, Dataset: 0, Object: "at"}, {Code: receipt.FindTypeNotSupported, Dataset: 1, Object: "at"},
				{Code: receipt.FindTypeNotSupported, Dataset: 3, Object: "at"}, {Code: receipt.FindTypeNotSupported, Dataset: 4, Object: "at"},
			},
		},
		"a key that is not unique": {
			schema:   "CREATE TABLE parent (id int, part int, PRIMARY KEY (id, part)); CREATE TABLE t (parent_id int)",
			datasets: []plan.Dataset{{Name: "t", References: []plan.Reference{{Field: "parent_id", Dataset: "parent", Key: "id"}}}, {Name: "parent"}},
			want:     []receipt.Finding{{Code: receipt.FindKeyNotUnique, Object: "parent.id"}},
		},
		"no rights": {
			schema: "CREATE TABLE t (at timestamptz)", grant: "GRANT USAGE ON SCHEMA public TO ROLE",
			datasets: []plan.Dataset{timed, {Name: "also", Path: "t", Rights: append(deletes, anonymizes...)}},
			want: []receipt.Finding{
				{Code: receipt.FindSelectNotGranted, Dataset: 0, Object: "t"}, {Code: receipt.FindSelectNotGranted, Dataset: 1, Object: "t"},
				{Code: receipt.FindDeleteNotGranted, Dataset: 1, Object: "t"}, {Code: receipt.FindUpdateNotGranted, Dataset: 1, Object: "t"},
			},
		},
		"all rights that are needed": {
			schema: "CREATE TABLE t (at timestamptz); CREATE TABLE u (ip inet)", grant: "GRANT SELECT, DELETE ON t TO ROLE; GRANT SELECT, UPDATE (ip) ON u TO ROLE",
			datasets: []plan.Dataset{{Name: "t", TimestampField: "at", Rights: deletes}, {Name: "u", Rights: anonymizes}},
		},
		"a schema that may not be used": {
			schema: "CREATE SCHEMA s; CREATE TABLE s.t (at timestamptz)", grant: "GRANT ALL ON s.t TO ROLE", datasets: []plan.Dataset{{Name: "s.t"}},
			want: []receipt.Finding{{Code: receipt.FindSelectNotGranted, Object: "s.t"}},
		},
		"row-level security": {
			schema: `CREATE TABLE t (at timestamptz); INSERT INTO t VALUES ('2020-01-01'); ALTER TABLE t ENABLE ROW LEVEL SECURITY;
				CREATE POLICY mine ON t USING (false)`, grant: "GRANT ALL ON t TO ROLE",
			datasets: []plan.Dataset{timed}, want: []receipt.Finding{{Code: receipt.FindRowsHidden, Object: "t"}},
		},
		"row-level security that is forced on the owner": {
			schema: "CREATE TABLE t (at timestamptz); ALTER TABLE t ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY", grant: "ALTER TABLE t OWNER TO ROLE",
			datasets: []plan.Dataset{timed}, want: []receipt.Finding{{Code: receipt.FindRowsHidden, Object: "t"}},
		},
		"row-level security does not bind the owner": {
			schema: "CREATE TABLE t (at timestamptz); ALTER TABLE t ENABLE ROW LEVEL SECURITY", grant: "ALTER TABLE t OWNER TO ROLE",
			datasets: []plan.Dataset{timed},
		},
		"soft deletion": {
			schema:   `CREATE TABLE t (at timestamptz, deleted_at timestamptz, "isDeleted" bool, undeleted int, deleted bool)`,
			datasets: []plan.Dataset{{Name: "t", TimestampField: "at", Fields: []string{"deleted"}}, {Name: "same", Path: "t", TimestampField: "deleted_at", Fields: []string{"deleted", "isDeleted"}}},
			want:     []receipt.Finding{{Code: receipt.FindSoftDelete, Object: "deleted_at"}, {Code: receipt.FindSoftDelete, Object: "isDeleted"}},
		},
		"triggers": {
			schema: `CREATE TABLE t (at timestamptz); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';
				CREATE TRIGGER audit BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION f();
				CREATE TRIGGER outbox AFTER DELETE ON t REFERENCING OLD TABLE AS old FOR EACH STATEMENT EXECUTE FUNCTION f();
				CREATE TRIGGER touched BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f();
				CREATE TRIGGER added BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f();
				CREATE TRIGGER off BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE t DISABLE TRIGGER off`,
			datasets: []plan.Dataset{{Name: "t", Rights: deletes}, {Name: "u", Path: "t", Rights: anonymizes}},
			want: []receipt.Finding{
				{Code: receipt.FindTrigger, Dataset: 0, Object: "audit"}, {Code: receipt.FindTrigger, Dataset: 0, Object: "outbox"},
				{Code: receipt.FindTrigger, Dataset: 1, Object: "touched"},
			},
		},
		"rules": {
			schema:   `CREATE TABLE t (at timestamptz); CREATE RULE keep AS ON DELETE TO t DO INSTEAD NOTHING; CREATE RULE log AS ON INSERT TO t DO ALSO NOTHING`,
			datasets: []plan.Dataset{timed}, want: []receipt.Finding{{Code: receipt.FindRule, Object: "keep"}},
		},
		"inheritance": {
			schema:   `CREATE TABLE t (at timestamptz); CREATE TABLE child () INHERITS (t); CREATE TABLE p (at timestamptz) PARTITION BY RANGE (at); CREATE TABLE p1 PARTITION OF p DEFAULT`,
			datasets: []plan.Dataset{timed, {Name: "child"}, {Name: "p"}, {Name: "p1"}},
			want: []receipt.Finding{
				{Code: receipt.FindInheritance, Dataset: 0, Object: "t"}, {Code: receipt.FindInheritance, Dataset: 1, Object: "child"},
			},
		},
		"foreign keys": {
			schema: `CREATE TABLE t (id int PRIMARY KEY);
				CREATE TABLE mapped (tid int CONSTRAINT m REFERENCES t); CREATE INDEX ON mapped (tid);
				CREATE TABLE unmapped (tid int CONSTRAINT u REFERENCES t); CREATE INDEX ON unmapped (tid);
				CREATE TABLE cascading (tid int CONSTRAINT c REFERENCES t ON DELETE CASCADE); CREATE INDEX ON cascading (tid);
				CREATE TABLE half (tid int CONSTRAINT h REFERENCES t, other int); CREATE INDEX ON half (other, tid)`,
			datasets: []plan.Dataset{
				{Name: "t"}, {Name: "mapped", References: []plan.Reference{{Field: "tid", Dataset: "t", Key: "id"}}},
				{Name: "cascading", References: []plan.Reference{{Field: "tid", Dataset: "t", Key: "id"}}},
				{Name: "half", References: []plan.Reference{{Field: "other", Dataset: "t", Key: "id"}}},
			},
			want: []receipt.Finding{
				{Code: receipt.FindCascade, Object: "c of public.cascading"}, {Code: receipt.FindForeignKeyUnmapped, Object: "h of public.half"},
				{Code: receipt.FindForeignKeyUnindexed, Object: "h of public.half"}, {Code: receipt.FindForeignKeyUnmapped, Object: "u of public.unmapped"},
			},
		},
		"a foreign key of partitions": {
			schema: `CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE c (tid int CONSTRAINT k REFERENCES t, at int) PARTITION BY RANGE (at);
				CREATE INDEX ON c (tid); CREATE TABLE c1 PARTITION OF c DEFAULT`,
			datasets: []plan.Dataset{{Name: "t"}, {Name: "c", References: []plan.Reference{{Field: "tid", Dataset: "t", Key: "id"}}}},
		},
		"a table refers to itself": {
			schema:   `CREATE TABLE t (id int PRIMARY KEY, boss int CONSTRAINT k REFERENCES t); CREATE INDEX ON t (boss)`,
			datasets: []plan.Dataset{{Name: "t"}}, want: []receipt.Finding{{Code: receipt.FindForeignKeyUnmapped, Object: "k of public.t"}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dsn, conn := database(t, test.schema)
			if test.grant != "" {
				var role string
				role, dsn = postgres.Get(t).Role(t, dsn)
				postgres.Exec(t, conn, strings.ReplaceAll(test.grant, "ROLE", role))
			}
			if diff := cmp.Diff(test.want, probed(t, dsn, test.datasets...).Findings); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProbeDatasets(t *testing.T) {
	const records = `INSERT INTO t SELECT '2021-03-04 05:06:07'::timestamp + i * interval '1 day' FROM generate_series(0, 999) i;
		INSERT INTO t VALUES ('epoch'), ('infinity'), ('-infinity'), (NULL), ('9999-12-31')`
	at := func(s string) *time.Time {
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			panic(err)
		}
		return &t
	}
	tests := map[string]struct {
		schema  string
		dataset plan.Dataset
		want    receipt.DatasetProbe
	}{
		"never analyzed, so counted": {
			schema: "CREATE TABLE t (at timestamptz);" + records, dataset: plan.Dataset{TimestampField: "at"},
			want: receipt.DatasetProbe{Records: 1005, Oldest: at("2021-03-04T05:06:07Z")},
		},
		"indexed": {
			schema: "CREATE TABLE t (at timestamptz); CREATE INDEX ON t (at);" + records, dataset: plan.Dataset{TimestampField: "at"},
			want: receipt.DatasetProbe{Records: 1005, Oldest: at("2021-03-04T05:06:07Z"), Indexed: true},
		},
		"without a zone": {
			schema: "CREATE TABLE t (at timestamp);" + records, dataset: plan.Dataset{TimestampField: "at"},
			want: receipt.DatasetProbe{Records: 1005, Oldest: at("2021-03-04T04:06:07Z")},
		},
		"a number": {
			schema:  "CREATE TABLE t (at bigint); INSERT INTO t VALUES (0), (1600000000), (1700000000), (NULL)",
			dataset: plan.Dataset{TimestampField: "at", TimestampFormat: plan.UnixSeconds},
			want:    receipt.DatasetProbe{Records: 4, Oldest: at("2020-09-13T12:26:40Z")},
		},
		"analyzed, and grown since": {
			schema: "CREATE TABLE t (at timestamptz);" + records + "; ANALYZE t; INSERT INTO t SELECT now() FROM generate_series(1, 1005)",
			want:   receipt.DatasetProbe{Records: 2010},
		},
		"partitions": {
			schema: `CREATE TABLE t (at timestamptz) PARTITION BY RANGE (at); CREATE TABLE a PARTITION OF t FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
				CREATE TABLE b PARTITION OF t DEFAULT; CREATE INDEX ON t (at);` + records + "; ANALYZE a",
			dataset: plan.Dataset{TimestampField: "at"}, want: receipt.DatasetProbe{Records: 1005, Oldest: at("2021-03-04T05:06:07Z"), Indexed: true},
		},
		"empty": {schema: "CREATE TABLE t (at timestamptz)", dataset: plan.Dataset{TimestampField: "at"}},
		"gone":  {want: receipt.DatasetProbe{Records: -1}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dsn, _ := database(t, test.schema)
			test.dataset.Name = "t"
			got := probed(t, dsn, test.dataset).Datasets
			if len(got) == 1 && got[0].Records > 1700 && got[0].Records < 2300 && test.want.Records == 2010 {
				got[0].Records = 2010 // an estimate, as the last page is half empty
			}
			if diff := cmp.Diff([]receipt.DatasetProbe{test.want}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestProbeIsBounded(t *testing.T) {
	dsn, conn := database(t, "CREATE TABLE t (at timestamptz); INSERT INTO t SELECT now() FROM generate_series(1, 1000)")
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "LOCK TABLE t"); err != nil {
		t.Fatal(err)
	}
	limits := plan.DefaultLimits
	limits.LockTimeoutMilliseconds = 10
	s := open(t, dsn, plan.Plan{Datasets: []plan.Dataset{{Name: "t", Path: "t", TimestampField: "at"}}, Limits: limits})
	p, err := s.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&receipt.Probe{Datasets: []receipt.DatasetProbe{{Records: -1}}}, p); diff != "" {
		t.Errorf("of a table that somebody has locked:\n%s", diff)
	}
}
