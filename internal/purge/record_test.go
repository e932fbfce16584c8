// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// full is a disk that takes so many writes and no more.
type full struct {
	memory
	left int
}

func (f *full) Write(r *receipt.Receipt) error {
	if f.left == 0 {
		return errors.New("no space left on device")
	}
	f.left--
	return f.memory.Write(r)
}

// TestNothingIsChangedThatCannotBePutOnRecord lets the disk run full at every write. What was deleted must stand in the last
// Receipt that could be written, or be in doubt there.
func TestNothingIsChangedThatCannotBePutOnRecord(t *testing.T) {
	for writes := 1; ; writes++ {
		f := newFixture(t, 250, 250)
		disk := &full{left: writes}
		code, _ := f.run(nil, func(c *Config) { c.Receipts = disk })
		r := disk.last()
		var known, doubt int64
		for _, s := range r.Steps {
			known, doubt = known+s.Deleted, doubt+s.InFlight
		}
		gone := 250 - f.left()
		if gone < known || gone > known+doubt {
			t.Errorf("after %d writes: %d are gone, the receipt knows of %d and doubts %d", writes, gone, known, doubt)
		}
		if r.Phase == receipt.PhaseFinished {
			if disk.left > 0 || code != receipt.ExitDone {
				t.Logf("%d writes left, exit code %d", disk.left, code)
			}
			return
		}
		if writes > 100 {
			t.Fatal("no end")
		}
	}
}

// TestDoubtOutlivesLaterBatches: a batch whose end nobody knows makes the count a lower bound, whatever comes after it.
func TestDoubtOutlivesLaterBatches(t *testing.T) {
	r := &runner{Config: Config{Receipts: &memory{}, Clock: time.Now, Log: slog.New(slog.DiscardHandler), Stopping: &atomic.Bool{}, ApprovedRecords: -1},
		plan: &plan.Plan{}, receipt: receipt.Receipt{Version: receipt.Version, Phase: receipt.PhasePurging, Steps: make([]receipt.Step, 1)}}
	s := &stepRun{r: r, step: plan.Step{Action: plan.Delete}}
	for _, n := range []int64{5, 7} { // of the first batch nothing more is heard
		if err := s.InFlight(n); err != nil {
			t.Fatal(err)
		}
	}
	s.Committed(7, 0)
	if out := s.out(); out.Deleted != 7 || out.InFlight != 5 {
		t.Errorf("after a commit: %+v", out)
	}
	if err := s.InFlight(3); err != nil {
		t.Fatal(err)
	}
	s.RolledBack()
	if out := s.out(); out.Deleted != 7 || out.InFlight != 5 {
		t.Errorf("after a rollback: %+v", out)
	}
}

// lateArrivals are records with an old date that come when the first Receipt of a purge is written, after the count.
type lateArrivals struct {
	memory
	arrive func()
}

func (l *lateArrivals) Write(r *receipt.Receipt) error {
	if r.Phase == receipt.PhasePurging && l.arrive != nil {
		l.arrive()
		l.arrive = nil
	}
	return l.memory.Write(r)
}

// TestGuardrailsHoldDuringThePurge: ten records were due when they were counted, and a thousand when they are deleted.
func TestGuardrailsHoldDuringThePurge(t *testing.T) {
	for name, tc := range map[string]struct {
		guardrails plan.Guardrails
		approved   int64
		most       int64
	}{
		"a number":   {plan.Guardrails{MaxRecords: 150}, -1, 150},
		"approved":   {plan.Guardrails{MaxRecords: 5}, 10, 10},
		"percentage": {plan.Guardrails{MaxPercent: 1}, 10, 10},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, 100, 10)
			p := f.plan
			p.Guardrails = tc.guardrails
			receipts := &lateArrivals{arrive: func() {
				postgres.Exec(t, f.db, "INSERT INTO event SELECT 1000 + i, now() - interval '100 days' FROM generate_series(1, 1000) i")
			}}
			code, _ := f.run(&p, func(c *Config) { c.Receipts, c.ApprovedRecords = receipts, tc.approved })
			r := receipts.last()
			if gone := 1100 - f.left(); gone > tc.most || r.Steps[0].Deleted != gone {
				t.Errorf("%d were deleted, the receipt says %d", gone, r.Steps[0].Deleted)
			}
			if code != receipt.ExitGuardrail || r.Reason != receipt.GuardrailExceeded {
				t.Errorf("exit code %d, reason %s", code, r.Reason)
			}
		})
	}
}

// TestARoleThatDeletesWithoutForeignKeysIsRefused: its deletions would leave orphans.
func TestARoleThatDeletesWithoutForeignKeysIsRefused(t *testing.T) {
	f := newFixture(t, 100, 10)
	role, its := f.srv.Role(t, f.dsn)
	postgres.Exec(t, f.db, "ALTER ROLE "+role+" SET session_replication_role = replica; GRANT SELECT, DELETE ON event TO "+role)
	code, receipts := f.run(nil, func(c *Config) { c.ConnectionDir = f.srv.Connection(t, its) })
	if r := receipts.last(); code == receipt.ExitDone || r.Reason != receipt.PermissionDenied || f.left() != 100 {
		t.Errorf("exit code %d, reason %s, %d left", code, r.Reason, f.left())
	}
}

var _ engine.Progress = (*stepRun)(nil)
