// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"fmt"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// BenchmarkDelete deletes from 1,000,000 records of about 170 bytes, next to one plain DELETE of the same. due is the share
// that is due; scattered records are spread over all blocks.
func BenchmarkDelete(b *testing.B) {
	for _, index := range []bool{false, true} {
		for _, scattered := range []bool{false, true} {
			for _, percent := range []int{2, 50} {
				for _, kind := range []string{"plain", "batches"} {
					b.Run(fmt.Sprintf("index=%v/scattered=%v/due=%d%%/%s", index, scattered, percent, kind), func(b *testing.B) {
						for b.Loop() {
							b.StopTimer()
							dsn, run := million(b, index, scattered)
							cutoff := day("2019-01-01").Add(time.Duration(percent) * 10_000 * time.Minute)
							s := open(b, dsn, plan.Plan{Steps: []plan.Step{deleteStepOf("t", "at", cutoff)}})
							step := prepared(b, s, 0)
							counts, err := step.Count(b.Context())
							if err != nil {
								b.Fatal(err)
							}
							b.StartTimer()
							if kind == "plain" {
								run("DELETE FROM t WHERE at <= '" + cutoff.Format(time.RFC3339) + "'")
								continue
							}
							progress := &recorder{}
							if err := step.Purge(b.Context(), progress); err != nil || progress.committed != counts.Matched {
								b.Fatal(progress.committed, counts.Matched, err)
							}
							b.ReportMetric(float64(progress.batches), "batches")
						}
					})
				}
			}
		}
	}
}

// BenchmarkDeleteFamily deletes half of 1,000,000 children by their parents' date, then half of 100,000 parents.
func BenchmarkDeleteFamily(b *testing.B) {
	cutoff := day("2019-01-01").Add(50_000 * time.Minute)
	children := deleteStepOf("c", "at", cutoff)
	children.Start.Via = []plan.Hop{{Field: "p", Path: "p", Key: "id"}}
	for _, kind := range []string{"plain", "batches"} {
		b.Run(kind, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				dsn, conn := database(b, "CREATE TABLE p (id int PRIMARY KEY, at timestamptz NOT NULL); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p, pad text);"+
					"INSERT INTO p SELECT i, timestamptz '2019-01-01' + (i * 7919::bigint % 100000) * interval '1 minute' FROM generate_series(1, 100000) i;"+
					"INSERT INTO c SELECT i, i * 77::bigint % 100000 + 1, repeat('x', 130) FROM generate_series(1, 1000000) i; CREATE INDEX ON c (p); ANALYZE; CHECKPOINT")
				s := open(b, dsn, plan.Plan{Steps: []plan.Step{children, deleteStepOf("p", "at", cutoff)}})
				b.StartTimer()
				if kind == "plain" {
					at := cutoff.Format(time.RFC3339)
					postgres.Exec(b, conn, "DELETE FROM c USING p WHERE p.id = c.p AND p.at <= '"+at+"'; DELETE FROM p WHERE at <= '"+at+"'")
					continue
				}
				for i := range 2 {
					step := prepared(b, s, i)
					progress := &recorder{}
					if err := step.Purge(b.Context(), progress); err != nil || progress.committed == 0 {
						b.Fatal(progress.committed, err)
					}
					b.ReportMetric(float64(progress.batches), fmt.Sprintf("batches%d", i))
				}
			}
		})
	}
}

// million makes a table of a million records, a minute apart.
func million(b *testing.B, index, scattered bool) (string, func(string)) {
	b.Helper()
	order := "i"
	if scattered {
		order = "i * 7919::bigint % 1000000"
	}
	dsn, conn := database(b, "CREATE TABLE t (id int PRIMARY KEY, at timestamptz NOT NULL, pad text);"+
		"INSERT INTO t SELECT i, timestamptz '2019-01-01' + ("+order+") * interval '1 minute', repeat('x', 130) FROM generate_series(1, 1000000) i;")
	if index {
		postgres.Exec(b, conn, "CREATE INDEX ON t (at)")
	}
	postgres.Exec(b, conn, "ANALYZE t; CHECKPOINT")
	return dsn, func(sql string) { postgres.Exec(b, conn, sql) }
}
