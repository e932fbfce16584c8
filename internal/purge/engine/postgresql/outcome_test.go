// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"errors"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// errLost is what a commit returns whose connection is lost.
var errLost = errors.New("the connection is gone")

// When the connection is lost in a commit, the server is asked, and what it says is not taken for more than it is.
func TestTheOutcomeOfACommitInDoubt(t *testing.T) {
	dsn, conn := database(t, "CREATE TABLE events (id int, at timestamptz); INSERT INTO events SELECT i, '2020-01-01' FROM generate_series(1, 10) i")
	xid := func(t *testing.T, then string) string {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _, _ = conn.Exec(t.Context(), then) }()
		id := ""
		if err := tx.QueryRow(t.Context(), "SELECT pg_current_xact_id()::text").Scan(&id); err != nil {
			t.Fatal(err)
		}
		return id
	}
	next := postgres.Value[string](t, conn, "SELECT (pg_current_xact_id()::text::bigint + 1000)::text")
	for name, c := range map[string]struct {
		xid       string
		still     int64 // what the witness finds, of 10; -1 for none
		restarted bool
		want      bool
		doubt     bool
	}{
		"committed, and gone":                {xid: xid(t, "COMMIT"), still: 0, want: true},
		"committed by somebody else":         {xid: xid(t, "COMMIT"), still: 10},
		"committed, nobody looked":           {xid: xid(t, "COMMIT"), still: -1, want: true},
		"committed before or after a crash?": {xid: xid(t, "COMMIT"), still: -1, restarted: true, doubt: true},
		"committed, gone, and a crash since": {xid: xid(t, "COMMIT"), still: 0, restarted: true, want: true},
		"rolled back":                        {xid: xid(t, "ROLLBACK"), still: 10},
		"forgotten in a crash":               {xid: next, still: 10},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, dsn, plan.Plan{Steps: []plan.Step{deleteStepOf("events", "at", day("2021-01-01"))}})
			if c.still >= 0 {
				s.witness = s.counting("SELECT $1::bigint", arguments{c.still})
			}
			if c.restarted {
				s.started = s.started.Add(-time.Hour)
			}
			got, err := s.outcome(t.Context(), c.xid, 10, errLost)
			if got != c.want || (err != nil) != c.doubt {
				t.Errorf("committed: %t, %v", got, err)
			}
		})
	}
}

// Every kind of batch has a witness that sees what it did, and that sees it undone.
func TestWitnesses(t *testing.T) {
	const schema = `
		CREATE TABLE events (id int, at timestamptz, ip inet, name text) PARTITION BY RANGE (at);
		CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
		INSERT INTO events SELECT i, '2020-01-01', '192.0.2.7', CASE WHEN i <= 5 THEN '192.0.2.7' ELSE 'nowhere' END FROM generate_series(1, 10) i;`
	anonymize := func(field string) plan.Step {
		st := deleteStepOf("events", "at", day("2020-06-01"))
		st.Action, st.Transforms = plan.Anonymize, []plan.Transform{{Field: field, With: plan.MethodTruncateIP}}
		return st
	}
	for name, c := range map[string]struct {
		step plan.Step
		n    int64
	}{
		"delete":         {deleteStepOf("events", "at", day("2020-06-01")), 10},
		"drop":           {deleteStepOf("events", "at", day("2021-01-01")), 10},
		"rewrite in SQL": {anonymize("ip"), 10},
		"rewrite in Go":  {anonymize("name"), 5},
	} {
		t.Run(name, func(t *testing.T) {
			dsn, conn := database(t, schema)
			s := open(t, dsn, plan.Plan{Run: "r", Steps: []plan.Step{c.step}})
			step := prepared(t, s, 0)
			if _, err := step.Count(t.Context()); err != nil {
				t.Fatal(err)
			}
			var witness func(context.Context) (int64, error)
			// The witness is asked on a connection of its own: at this point our transaction is open.
			observer := open(t, dsn, plan.Plan{Run: "r", Steps: []plan.Step{c.step}})
			progress := &inFlight{recorder: recorder{}, then: func() {
				swap := s.conn
				s.conn = observer.conn
				defer func() { s.conn = swap }()
				if witness = s.witness; witness == nil {
					t.Error("no witness")
					return
				}
				if c.step.Cutoff == day("2021-01-01") {
					return // the table is locked
				}
				if still, err := witness(t.Context()); err != nil || 2*still < c.n {
					t.Errorf("before the commit: %d still there, %v", still, err)
				}
			}}
			if err := step.Purge(t.Context(), progress); err != nil && c.n == 10 {
				t.Fatal(err)
			}
			if progress.committed != c.n {
				t.Errorf("%d changed, want %d", progress.committed, c.n)
			}
			if still, err := witness(t.Context()); err != nil || 2*still >= c.n {
				t.Errorf("after the commit: %d still there, %v", still, err)
			}
			_ = conn
		})
	}
}

// inFlight calls then for the first batch in flight.
type inFlight struct {
	recorder
	then func()
}

func (p *inFlight) InFlight(n int64) error {
	_ = p.recorder.InFlight(n) // it never refuses
	if p.then != nil {
		p.then()
		p.then = nil
	}
	return nil
}
