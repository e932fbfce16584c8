// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// events has a partition for each of three years, 100 records in each.
const events = `
	CREATE TABLE events (id int, at timestamptz) PARTITION BY RANGE (at);
	CREATE TABLE events_2019 PARTITION OF events FOR VALUES FROM (MINVALUE) TO ('2020-01-01');
	CREATE TABLE events_2020 PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
	CREATE TABLE "events 'odd' %s" PARTITION OF events FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
	INSERT INTO events SELECT i, timestamptz '2019-01-01' + interval '1 year' * (i / 100) + interval '1 day' * (i % 100)
	FROM generate_series(0, 299) i;`

// purged says what came of a run over a table called events.
type purged struct {
	Matched, Deleted, Remaining int64
	Dropped                     int32
	Left                        string // the partitions, or what else is called events…, with their records
}

func purgeEvents(t *testing.T, dsn string, cutoff string) purged {
	t.Helper()
	s := open(t, dsn, plan.Plan{Run: "r", Steps: []plan.Step{deleteStepOf("events", "at", day(cutoff))}})
	got, progress := carryOut(t, s, 0)
	return purged{Matched: got.Matched, Deleted: got.Changed, Remaining: got.Remaining, Dropped: progress.dropped,
		Left: left(t, postgres.Connect(t, dsn))}
}

// left lists the tables called events…, each with its records, and with a ! if it is no partition.
func left(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	return postgres.Value[string](t, conn, `
		SELECT coalesce(string_agg(c.relname || CASE WHEN c.relispartition THEN '' ELSE '!' END || '=' ||
		       (xpath('/row/n/text()', query_to_xml('SELECT count(*) AS n FROM ' || c.oid::regclass, false, true, '')))[1]::text, ' ' ORDER BY c.relname), '')
		FROM pg_class c WHERE c.relname LIKE 'events%' AND c.relkind = 'r'`)
}

func TestPartitionsBeforeTheCutoffAreDropped(t *testing.T) {
	for name, c := range map[string]struct {
		cutoff, and string
		want        purged
	}{
		"two years": {cutoff: "2021-01-01", want: purged{Matched: 201, Deleted: 201, Dropped: 2, Left: `events 'odd' %s=99`}},
		"to the microsecond": {cutoff: "2020-12-31", want: purged{Matched: 200, Deleted: 200, Dropped: 1,
			Left: `events 'odd' %s=100 events_2020=0`}},
		"an odd name": {cutoff: "2022-01-01", want: purged{Matched: 300, Deleted: 300, Dropped: 3}},
		"a sentinel stays, and so does its partition": {cutoff: "2021-01-01", and: `INSERT INTO events VALUES (1, '-infinity'), (2, '1970-01-01')`,
			want: purged{Matched: 201, Deleted: 201, Dropped: 1, Left: `events 'odd' %s=99 events_2019=2`}},
		"a default partition": {cutoff: "2021-01-01", and: `CREATE TABLE events_rest PARTITION OF events DEFAULT; INSERT INTO events VALUES (1, NULL)`,
			want: purged{Matched: 201, Deleted: 201, Left: `events 'odd' %s=99 events_2019=0 events_2020=0 events_rest=1`}},
		"a view": {cutoff: "2021-01-01", and: `CREATE VIEW v AS SELECT * FROM events_2020`,
			want: purged{Matched: 201, Deleted: 201, Dropped: 1, Left: `events 'odd' %s=99 events_2020=0`}},
		"a trigger": {cutoff: "2021-01-01", and: `
			CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';
			CREATE TRIGGER audit BEFORE DELETE ON events FOR EACH ROW EXECUTE FUNCTION f()`,
			want: purged{Matched: 201, Deleted: 201, Left: `events 'odd' %s=99 events_2019=0 events_2020=0`}},
		"partitions of partitions": {cutoff: "2021-01-01", and: `
			CREATE TABLE events_early PARTITION OF events FOR VALUES FROM ('2022-01-01') TO ('2030-01-01') PARTITION BY RANGE (at);
			CREATE TABLE events_early_1 PARTITION OF events_early FOR VALUES FROM ('2022-01-01') TO ('2023-01-01')`,
			want: purged{Matched: 201, Deleted: 201, Dropped: 2, Left: `events 'odd' %s=99 events_early_1=0`}},
	} {
		t.Run(name, func(t *testing.T) {
			dsn, conn := database(t, events)
			postgres.Exec(t, conn, c.and)
			if diff := cmp.Diff(c.want, purgeEvents(t, dsn, c.cutoff)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPartitionBoundsOfEveryType(t *testing.T) {
	for name, c := range map[string]struct {
		column string
		format plan.TimestampFormat
		values [3]string // a bound, the last value before it, and the bound after
		cutoff time.Time
		zone   string
		want   int32
	}{
		"date, its last day over": {column: "date", values: [3]string{"'2020-01-01'", "'2020-01-31'", "'2020-02-01'"}, cutoff: day("2020-02-01"), want: 1},
		"date, its last day not over": {column: "date", values: [3]string{"'2020-01-01'", "'2020-01-30'", "'2020-02-01'"},
			cutoff: day("2020-02-01").Add(-time.Microsecond), want: 0},
		"timestamp east of Greenwich": {column: "timestamp", values: [3]string{"'2020-01-01'", "'2020-01-31'", "'2020-02-01'"},
			zone: "Asia/Taipei", cutoff: day("2020-02-01").Add(-8*time.Hour - time.Microsecond), want: 1},
		"timestamp west of Greenwich": {column: "timestamp", values: [3]string{"'2020-01-01'", "'2020-01-31'", "'2020-02-01'"},
			zone: "America/New_York", cutoff: day("2020-02-01"), want: 0},
		"seconds": {column: "bigint", format: plan.UnixSeconds, values: [3]string{"1577836800", "1580515199", "1580515200"},
			cutoff: day("2020-02-01").Add(-time.Second), want: 1},
		"milliseconds": {column: "bigint", format: plan.UnixMilliseconds, values: [3]string{"1577836800000", "1580515199999", "1580515200000"},
			cutoff: day("2020-02-01").Add(-time.Millisecond), want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			dsn, _ := database(t, `
				CREATE TABLE events (at `+c.column+`) PARTITION BY RANGE (at);
				CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (`+c.values[0]+`) TO (`+c.values[2]+`);
				INSERT INTO events VALUES (`+c.values[0]+`), (`+c.values[1]+`)`)
			step := deleteStepOf("events", "at", c.cutoff)
			if c.format != "" {
				step.Start.Format = c.format
			}
			s := open(t, dsn, plan.Plan{TimeZone: c.zone, Steps: []plan.Step{step}})
			if _, progress := carryOut(t, s, 0); progress.dropped != c.want {
				t.Errorf("dropped %d partitions, want %d", progress.dropped, c.want)
			}
		})
	}
}

// A process may die at any point; the next one has to find out what is left to do.
func TestPartitionsAfterACrash(t *testing.T) {
	const comment = `COMMENT ON TABLE events_2020 IS 'it''s mine';`
	interrupted := func(t *testing.T, dsn string, detach bool, then string) {
		t.Helper()
		s := open(t, dsn, plan.Plan{Run: "r", Steps: []plan.Step{deleteStepOf("events", "at", day("2021-01-01"))}})
		st := prepared(t, s, 0).(*deleteStep)
		parts, err := s.wholePartitions(t.Context(), st)
		if err != nil || len(parts) != 2 {
			t.Fatalf("%d partitions, %v", len(parts), err)
		}
		for _, p := range parts {
			if err := s.mark(t.Context(), p); err != nil {
				t.Fatal(err)
			}
			if detach {
				if err := s.alter(t.Context(), "ALTER TABLE events DETACH PARTITION "+p.name+" CONCURRENTLY"); err != nil {
					t.Fatal(err)
				}
			}
		}
		s.Close()
		postgres.Exec(t, postgres.Connect(t, dsn), then)
	}
	all := purged{Matched: 201, Deleted: 201, Dropped: 2, Left: `events 'odd' %s=99`}
	for name, c := range map[string]struct {
		detach bool
		then   string
		want   purged
	}{
		"after the mark":       {want: all},
		"after the detachment": {detach: true, want: all},
		"and somebody emptied them": {detach: true, then: "DELETE FROM events_2019; DELETE FROM events_2020",
			want: purged{Matched: 1, Deleted: 1, Left: `events 'odd' %s=99`}},
		"and somebody attached one again": {detach: true,
			then: `ALTER TABLE events ATTACH PARTITION events_2020 FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')`, want: all},
		"and somebody added what is not due": {detach: true,
			then: `ALTER TABLE events_2019 DROP CONSTRAINT events_2019_at_check; INSERT INTO events_2019 VALUES (1, '1970-01-01')`,
			want: purged{Matched: 201, Deleted: 201, Dropped: 1, Left: `events 'odd' %s=99 events_2019=1`}},
		"and a view depends on one": {detach: true, then: "CREATE VIEW v AS SELECT * FROM events_2020",
			want: purged{Matched: 201, Deleted: 201, Dropped: 1, Left: `events 'odd' %s=99 events_2020!=0`}},
		"and somebody else made a mark": {
			then: `CREATE ROLE mallory; CREATE TABLE events_evil (id int, at timestamptz); INSERT INTO events_evil VALUES (1, '2020-01-01');
				DO $$ BEGIN EXECUTE format('COMMENT ON TABLE events_evil IS %L', obj_description('events_2020'::regclass, 'pg_class')); END $$;
				ALTER TABLE events_evil OWNER TO mallory`,
			want: purged{Matched: 201, Deleted: 201, Dropped: 2, Left: `events 'odd' %s=99 events_evil!=1`}},
	} {
		t.Run(name, func(t *testing.T) {
			dsn, conn := database(t, events+comment)
			defer func() {
				_, _ = conn.Exec(context.WithoutCancel(t.Context()), "DROP OWNED BY mallory; DROP ROLE mallory")
			}()
			interrupted(t, dsn, c.detach, c.then)
			if diff := cmp.Diff(c.want, purgeEvents(t, dsn, "2021-01-01")); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
	t.Run("the comment comes back with the partition", func(t *testing.T) {
		dsn, conn := database(t, events+comment)
		interrupted(t, dsn, true, `ALTER TABLE events_2020 DROP CONSTRAINT events_2020_at_check; INSERT INTO events_2020 VALUES (1, '2020-01-01')`)
		s := open(t, dsn, plan.Plan{Run: "r", Steps: []plan.Step{deleteStepOf("events", "at", day("2020-06-01"))}})
		if got, progress := carryOut(t, s, 0); got.Changed != 101+100 && progress.dropped != 1 {
			t.Errorf("deleted %d, dropped %d", got.Changed, progress.dropped)
		}
		postgres.Exec(t, conn, "SELECT 1")
		if got := left(t, conn); strings.Contains(got, "!") {
			t.Errorf("left %s", got)
		}
	})
}

// A transaction that is still reading lets DETACH CONCURRENTLY come halfway only.
func TestPartitionInUseIsEmptiedNowAndDroppedNextTime(t *testing.T) {
	dsn, _ := database(t, events)
	reader, err := postgres.Connect(t, dsn).BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reader.Exec(t.Context(), "SELECT count(*) FROM events"); err != nil {
		t.Fatal(err)
	}
	limits := plan.DefaultLimits
	limits.LockTimeoutMilliseconds = 100
	p := plan.Plan{Run: "r", Limits: limits, Steps: []plan.Step{deleteStepOf("events", "at", day("2021-01-01"))}}
	got, progress := carryOut(t, open(t, dsn, p), 0)
	if got.Changed != 201 || got.Remaining != 0 || progress.dropped != 0 {
		t.Errorf("deleted %d, remaining %d, dropped %d", got.Changed, got.Remaining, progress.dropped)
	}
	if err := reader.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	// events_2020 could not even be begun with, and is empty now. Nobody would mind one that is dropped, but some empty
	// partitions are there for what is to come.
	want := purged{Left: `events 'odd' %s=99 events_2020=0`}
	if diff := cmp.Diff(want, purgeEvents(t, dsn, "2021-01-01")); diff != "" {
		t.Errorf("next time (-want +got):\n%s", diff)
	}
}
