// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"math/rand/v2"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// The server dies again and again while partitions are detached and dropped. In the end all is gone that is due, nothing
// else, no partition is left halfway, and the count is exact.
func TestTheServerDiesWhilePartitionsAreDropped(t *testing.T) {
	const partitions, records = 40, 500
	dsn, _ := database(t, `
		CREATE TABLE events (id int, at timestamptz) PARTITION BY RANGE (at);
		DO $$ BEGIN FOR i IN 0..40 LOOP
			EXECUTE format('CREATE TABLE events_%s PARTITION OF events FOR VALUES FROM (%L) TO (%L)', i,
				timestamptz '2020-01-01' + i * interval '1 day', timestamptz '2020-01-02' + i * interval '1 day');
		END LOOP; END $$;
		INSERT INTO events SELECT i, timestamptz '2020-01-01' + (i / 500) * interval '1 day' FROM generate_series(0, 41 * 500 - 1) i`)
	srv := postgres.Get(t)
	stop, killed := make(chan struct{}), make(chan int)
	go func() {
		kills := 0
		defer func() { killed <- kills }()
		first := 5 * time.Millisecond // before all is over
		for {
			select {
			case <-stop:
				return
			case <-time.After(first + time.Duration(rand.IntN(50))*time.Millisecond):
			}
			first = time.Duration(50+rand.IntN(200)) * time.Millisecond
			srv.Kill9(t)
			srv.Restart(t)
			kills++
		}
	}()
	s := open(t, dsn, plan.Plan{Run: "r", Steps: []plan.Step{deleteStepOf("events", "at", day("2020-01-01").AddDate(0, 0, partitions).Add(-time.Microsecond))}})
	got, progress := carryOut(t, s, 0)
	close(stop)
	kills := <-killed
	conn := postgres.Connect(t, dsn)
	if left := postgres.Value[int64](t, conn, "SELECT count(*) FROM events"); left != records {
		t.Errorf("%d records are left, want %d", left, records)
	}
	if got.Matched != partitions*records || got.Changed != partitions*records || got.Remaining != 0 || progress.inFlight != 0 {
		t.Errorf("%d due, %d deleted, %d remaining, %d in flight", got.Matched, got.Changed, got.Remaining, progress.inFlight)
	}
	if n := postgres.Value[int](t, conn, `SELECT count(*) FROM pg_class c WHERE relname LIKE 'events_%' AND relkind = 'r'
		AND (NOT relispartition OR EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = c.oid AND inhdetachpending))`); n != 0 {
		t.Errorf("%d partitions are left halfway", n)
	}
	if kills == 0 {
		t.Error("all was over before the first kill")
	}
	t.Logf("%d kills, %d of %d partitions dropped", kills, progress.dropped, partitions)
}
