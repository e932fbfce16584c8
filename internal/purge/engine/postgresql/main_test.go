// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

func TestMain(m *testing.M) { postgres.Run(m) }

// open opens a session on the database of dsn that carries out steps.
func open(tb testing.TB, dsn string, p plan.Plan) *session {
	tb.Helper()
	p.Version, p.Kind, p.Engine = plan.Version, plan.Retention, "postgresql"
	if p.Erasure != nil {
		p.Kind = plan.ErasureKind
	}
	if p.Mode == "" {
		p.Mode = plan.Enforce
	}
	if p.TimeZone == "" {
		p.TimeZone = "UTC"
	}
	if p.Limits == (plan.Limits{}) {
		p.Limits = plan.DefaultLimits
	}
	s, err := Engine{}.Connect(tb.Context(), engine.Input{
		ConnectionDir: postgres.Get(tb).Connection(tb, dsn), KeysDir: tb.TempDir(), Plan: &p,
		Clock: time.Now, // the server's clock is real as well
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return s.(*session)
}

// recorder is a Progress that remembers.
type recorder struct {
	committed, largest int64
	batches            int
	dropped            int32
	inFlight           int64
	onBatch            func()
	stop               bool
}

func (r *recorder) InFlight(n int64) error { r.inFlight = n; return nil }
func (r *recorder) RolledBack()            { r.inFlight = 0 }
func (r *recorder) Stopping() bool         { return r.stop }

func (r *recorder) Committed(n int64, dropped int32) {
	r.inFlight = 0
	r.committed += n
	r.dropped += dropped
	r.largest = max(r.largest, n)
	r.batches++
	if r.onBatch != nil {
		r.onBatch()
	}
}

// prepared prepares a step and fails the test if that cannot be done.
func prepared(tb testing.TB, s *session, index int) engine.Step {
	tb.Helper()
	step, err := s.Prepare(tb.Context(), index)
	if err != nil {
		tb.Fatal(err)
	}
	return step
}

// result is what came of a step.
type result struct {
	engine.Counts
	engine.Leftover
	Changed int64
}

// carryOut counts, purges and verifies a step.
func carryOut(tb testing.TB, s *session, index int) (result, *recorder) {
	tb.Helper()
	step := prepared(tb, s, index)
	var r result
	var err error
	progress := &recorder{}
	if r.Counts, err = step.Count(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	if err := step.Purge(tb.Context(), progress); err != nil {
		tb.Fatal(err)
	}
	if r.Leftover, err = step.Verify(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	r.Changed = progress.committed
	return r, progress
}

// database makes a database with a schema and returns its DSN and a connection to it.
func database(tb testing.TB, schema string) (string, *pgx.Conn) {
	tb.Helper()
	dsn := postgres.Get(tb).Database(tb)
	conn := postgres.Connect(tb, dsn)
	postgres.Exec(tb, conn, schema)
	return dsn, conn
}

func day(s string) time.Time {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		panic(err)
	}
	return t
}

func deleteStepOf(path, field string, cutoff time.Time) plan.Step {
	return plan.Step{Dataset: path, Path: path, Action: plan.Delete, Start: plan.Start{Field: field, Format: plan.Native}, Cutoff: cutoff}
}
