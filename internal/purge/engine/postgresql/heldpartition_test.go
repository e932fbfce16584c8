// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"encoding/json"
	"testing"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// A partition that a run before has begun to detach is held under its own name, and under that of the table that it came
// from.
func TestHoldsOnPartitionsOnTheirWayOut(t *testing.T) {
	t.Parallel()
	for name, held := range map[string]struct {
		hold plan.Dataset
		step string
	}{
		"held by its own name, purged by the table's": {plan.Dataset{Name: "old", Path: "e1", Held: true}, "events"},
		"held by the table's name, purged by its own": {plan.Dataset{Name: "all", Path: "events", Held: true}, "e1"},
	} {
		t.Run(name, func(t *testing.T) {
			dsn, conn := database(t, `
				CREATE TABLE events (id int, at date) PARTITION BY RANGE (at);
				CREATE TABLE e1 PARTITION OF events FOR VALUES FROM ('2018-01-01') TO ('2018-02-01');
				CREATE TABLE e2 PARTITION OF events FOR VALUES FROM ('2018-02-01') TO ('2018-03-01');
				INSERT INTO events SELECT i, date '2018-01-01' + i FROM generate_series(0, 50) i`)
			parent := postgres.Value[uint32](t, conn, "SELECT 'events'::regclass::oid")
			text, err := json.Marshal(mark{Parent: parent})
			if err != nil {
				t.Fatal(err)
			}
			postgres.Exec(t, conn, "COMMENT ON TABLE e1 IS '"+markPrefix+string(text)+"'")
			postgres.Exec(t, conn, "ALTER TABLE events DETACH PARTITION e1")
			s := open(t, dsn, plan.Plan{Run: "r", Steps: []plan.Step{deleteStepOf(held.step, "at", day("2020-01-01"))},
				Datasets: []plan.Dataset{{Name: held.step, Path: held.step}, held.hold}})
			got, _ := carryOut(t, s, 0)
			if n := postgres.Value[int64](t, conn, "SELECT count(*) FROM e1"); n != 31 || got.Held != 31 || got.Remaining != 0 {
				t.Errorf("%d of 31 held records are left: %+v", n, got)
			}
		})
	}
}
