// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// storage is a way to store an instant.
type storage struct {
	sql       string
	format    plan.TimestampFormat
	sentinels []string
	// write renders an instant; read is the starting point that this stands for, worked out without the code under test.
	write func(t time.Time, loc *time.Location) string
	read  func(t time.Time, loc *time.Location) time.Time
}

func lastShown(wall time.Time, loc *time.Location) time.Time {
	return slices.MaxFunc(shownAt(wall, loc), time.Time.Compare)
}

func wallIn(t time.Time, loc *time.Location) time.Time {
	l := t.In(loc)
	return time.Date(l.Year(), l.Month(), l.Day(), l.Hour(), l.Minute(), l.Second(), l.Nanosecond(), time.UTC)
}

const micros = "2006-01-02 15:04:05.999999"

var storages = []storage{
	{"timestamptz", plan.Native, []string{"epoch", "0001-01-01 00:00:00+00", "9999-12-31 23:59:59+00", "infinity", "-infinity", "1970-01-01 23:00:00+00"},
		func(t time.Time, _ *time.Location) string { return t.UTC().Format(micros) + "+00" },
		func(t time.Time, _ *time.Location) time.Time { return t }},
	{"moment", plan.Native, []string{"epoch", "infinity"},
		func(t time.Time, _ *time.Location) string { return t.UTC().Format(micros) + "+00" },
		func(t time.Time, _ *time.Location) time.Time { return t }},
	{"timestamp", plan.Native, []string{"1970-01-01 00:00:00", "0001-01-01", "9999-12-31", "infinity", "-infinity"},
		func(t time.Time, loc *time.Location) string { return wallIn(t, loc).Format(micros) },
		func(t time.Time, loc *time.Location) time.Time {
			w := wallIn(t, loc)
			fraction := w.Sub(w.Truncate(time.Second))
			return lastShown(w.Add(-fraction), loc).Add(fraction)
		}},
	{"date", plan.Native, []string{"1970-01-01", "0001-01-01", "9999-12-31", "infinity", "-infinity"},
		func(t time.Time, loc *time.Location) string { return wallIn(t, loc).Format(time.DateOnly) },
		func(t time.Time, loc *time.Location) time.Time {
			return lastShown(wallIn(t, loc).Truncate(24*time.Hour).AddDate(0, 0, 1), loc)
		}},
	{"bigint", plan.UnixSeconds, []string{"0", "-1", "253402300799", "9223372036854775807", "1700000000000"},
		func(t time.Time, _ *time.Location) string { return fmt.Sprint(t.Unix()) },
		func(t time.Time, _ *time.Location) time.Time { return time.Unix(t.Unix(), 0) }},
	{"int", plan.UnixSeconds, []string{"0", "-1", "86399"},
		func(t time.Time, _ *time.Location) string { return fmt.Sprint(t.Unix()) },
		func(t time.Time, _ *time.Location) time.Time { return time.Unix(t.Unix(), 0) }},
	{"bigint", plan.UnixMilliseconds, []string{"0", "-1", "253402300799000", "1700000"},
		func(t time.Time, _ *time.Location) string { return fmt.Sprint(t.UnixMilli()) },
		func(t time.Time, _ *time.Location) time.Time { return time.UnixMilli(t.UnixMilli()) }},
	{"numeric", plan.UnixSeconds, []string{"0", "NaN", "Infinity", "-Infinity", "1e30"},
		func(t time.Time, _ *time.Location) string {
			return fmt.Sprintf("%d.%06d", t.Unix(), t.Nanosecond()/1000)
		},
		func(t time.Time, _ *time.Location) time.Time { return t }},
	{"numeric(20,3)", plan.UnixMilliseconds, []string{"0", "NaN"},
		func(t time.Time, _ *time.Location) string {
			return fmt.Sprintf("%d.%03d", t.UnixMilli(), t.Nanosecond()/1000%1000)
		},
		func(t time.Time, _ *time.Location) time.Time { return t }},
}

// cell is a value in the database and what it means.
type cell struct {
	sql string
	// start is the starting point, zero for NULL and for a sentinel.
	start time.Time
	null  bool
}

// world is three tables, each with a reference to the next, without foreign keys.
type world struct {
	rng      *rand.Rand
	loc      *time.Location
	schema   string
	storages [3]storage
	cutoffs  [3]time.Time // for a starting point in each table
	at       [3][]cell
	ref      [3][]int // index into the next table; -1 NULL, -2 dangling
}

func newWorld(seed uint64, zone *time.Location) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 1)), loc: zone, schema: fmt.Sprintf("w%d", seed)} // reproducible
	sizes := [3]int{200 + w.rng.IntN(400), 40, 15}
	for level := range 3 {
		w.storages[level] = storages[w.rng.IntN(len(storages))]
		w.cutoffs[level] = time.Date(2010+w.rng.IntN(12), time.Month(1+w.rng.IntN(12)), 1+w.rng.IntN(28), w.rng.IntN(24), w.rng.IntN(60),
			w.rng.IntN(60), 1000*w.rng.IntN(1_000_000), time.UTC)
		for range sizes[level] {
			w.at[level] = append(w.at[level], w.cell(level))
			ref := -1
			if level < 2 {
				if ref = w.rng.IntN(sizes[level+1] + 4); ref >= sizes[level+1] {
					ref = -1 - ref%2
				}
			}
			w.ref[level] = append(w.ref[level], ref)
		}
	}
	return w
}

func (w *world) cell(level int) cell {
	s := w.storages[level]
	switch w.rng.IntN(8) {
	case 0:
		return cell{sql: "NULL", null: true}
	case 1:
		return cell{sql: "'" + s.sentinels[w.rng.IntN(len(s.sentinels))] + "'"}
	}
	near := []time.Duration{0, time.Microsecond, -time.Microsecond, time.Millisecond, time.Second, -time.Second, time.Hour, -time.Hour,
		24 * time.Hour, -24 * time.Hour, -48 * time.Hour, 36 * time.Hour}
	var t time.Time
	if w.rng.IntN(2) == 0 {
		t = w.cutoffs[level].Add(near[w.rng.IntN(len(near))])
	} else {
		t = w.cutoffs[level].Add(time.Duration(w.rng.Int64N(int64(4*365*24*time.Hour))) - 2*365*24*time.Hour).Truncate(time.Microsecond)
	}
	return cell{sql: "'" + s.write(t, w.loc) + "'", start: s.read(t, w.loc)}
}

// start is a starting point level references away.
func (w *world) start(level int) plan.Start {
	start := plan.Start{Field: "at", Format: w.storages[level].format}
	for i := range level {
		start.Via = append(start.Via, plan.Hop{Field: "ref", Path: fmt.Sprintf("%s.t%d", w.schema, i+1), Key: "id"})
	}
	return start
}

// follow finds the starting point of a record, level references away.
func (w *world) follow(record, level int) (c cell, dangling bool) {
	for i := range level {
		switch record = w.ref[i][record]; record {
		case -1:
			return cell{null: true}, false
		case -2:
			return cell{null: true}, true
		}
	}
	return w.at[level][record], false
}

func (w *world) create(tb testing.TB, conn *pgx.Conn) {
	tb.Helper()
	var sql strings.Builder
	fmt.Fprintf(&sql, "CREATE SCHEMA %[1]s; CREATE TABLE %[1]s.t1 (id bigint PRIMARY KEY, at %[2]s, ref int); CREATE TABLE %[1]s.t2 (id int UNIQUE, at %[3]s);",
		w.schema, w.storages[1].sql, w.storages[2].sql)
	fmt.Fprintf(&sql, "CREATE TABLE %s.t0 (id int, at %s, ref int, pad text DEFAULT repeat('x', 300))", w.schema, w.storages[0].sql)
	if kind := w.rng.IntN(4); kind == 0 {
		fmt.Fprintf(&sql, " PARTITION BY HASH (id); CREATE TABLE %[1]s.h0 PARTITION OF %[1]s.t0 FOR VALUES WITH (MODULUS 2, REMAINDER 0); "+
			"CREATE TABLE %[1]s.h1 PARTITION OF %[1]s.t0 FOR VALUES WITH (MODULUS 2, REMAINDER 1)", w.schema)
	}
	sql.WriteString(";")
	if w.rng.IntN(2) == 0 {
		fmt.Fprintf(&sql, "CREATE INDEX ON %s.t0 (at);", w.schema)
	}
	for level := range 3 {
		for i, c := range w.at[level] {
			ref := map[int]string{-1: "NULL", -2: "-7"}[w.ref[level][i]]
			if w.ref[level][i] >= 0 {
				ref = fmt.Sprint(w.ref[level][i])
			}
			if level == 2 {
				fmt.Fprintf(&sql, "INSERT INTO %s.t2 VALUES (%d, %s);", w.schema, i, c.sql)
			} else {
				fmt.Fprintf(&sql, "INSERT INTO %s.t%d VALUES (%d, %s, %s);", w.schema, level, i, c.sql, ref)
			}
		}
	}
	postgres.Exec(tb, conn, sql.String())
}

// Whatever the schema, the types and the values: what is deleted, kept and counted is what the definition says, record by
// record.
func TestDeletesWhatTheDefinitionSays(t *testing.T) {
	dsn, conn := database(t, "CREATE DOMAIN moment AS timestamptz")
	for seed := range uint64(60) {
		zoneName := zones[seed%uint64(len(zones))]
		w := newWorld(seed, zone(t, zoneName))
		w.create(t, conn)
		level := w.rng.IntN(3)
		step := plan.Step{Dataset: "t0", Path: w.schema + ".t0", Action: plan.Delete, Start: w.start(level), Cutoff: w.cutoffs[level]}
		var obliged []int
		for range w.rng.IntN(3) {
			l := w.rng.IntN(3)
			obliged = append(obliged, l)
			step.Obligations = append(step.Obligations, plan.Obligation{Start: w.start(l), Cutoff: w.cutoffs[l].AddDate(0, 0, w.rng.IntN(400)-200)})
		}
		var want engine.Counts
		var keep []int32
		for i := range w.at[0] {
			start, dangling := w.follow(i, level)
			var obligations []time.Time
			for _, l := range obliged {
				o, _ := w.follow(i, l)
				obligations = append(obligations, o.start)
			}
			want.Records++
			due := step.Due(start.start, obligations)
			switch {
			case due:
				want.Matched++
				if want.Oldest == nil || start.start.Before(*want.Oldest) {
					oldest := start.start.UTC()
					want.Oldest = &oldest
				}
			case dangling || !start.null && start.start.IsZero():
				want.Invalid++
			case start.null:
				want.Undated++
			case !start.start.After(step.Cutoff):
				want.Retained++
			}
			if !due {
				keep = append(keep, int32(i)) // small
			}
		}
		limits := plan.DefaultLimits
		limits.BatchRecords = int32(1 + w.rng.IntN(60))
		s := open(t, dsn, plan.Plan{Steps: []plan.Step{step}, TimeZone: zoneName, Limits: limits})
		about := fmt.Sprintf("seed %d: %s, %d away, %v, obligations %v, batches of %d", seed, w.storages[level].sql, level, zoneName, obliged, limits.BatchRecords)
		prepared := prepared(t, s, 0).(*deleteStep)
		got, err := prepared.Count(t.Context())
		if err != nil {
			t.Fatal(about, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: counts (-want +got):\n%s", about, diff)
		}
		if w.rng.IntN(2) == 0 {
			prepared.counts.Records *= 1000 // so that an index is taken where there is one
		}
		progress := &recorder{}
		if err := prepared.Purge(t.Context(), progress); err != nil {
			t.Fatal(about, err)
		}
		var kept []int32
		if err := conn.QueryRow(t.Context(), "SELECT array_agg(id ORDER BY id) FROM "+step.Path).Scan(&kept); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(keep, kept); diff != "" {
			t.Errorf("%s: kept records (-want +got):\n%s", about, diff)
		}
		if progress.committed != want.Matched || progress.largest > int64(limits.BatchRecords) {
			t.Errorf("%s: told of %d in batches of up to %d, want %d", about, progress.committed, progress.largest, want.Matched)
		}
		left, err := prepared.Verify(t.Context())
		if diff := cmp.Diff(engine.Leftover{}, left); diff != "" || err != nil {
			t.Errorf("%s: %v, left (-want +got):\n%s", about, err, diff)
		}
		s.Close()
	}
}
