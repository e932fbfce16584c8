// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// stepRun is one step of the Plan as it goes. It is the engine's Progress.
type stepRun struct {
	r     *runner
	index int
	step  plan.Step
	work  engine.Step // nil if the step cannot be carried out
	// trouble is why the latest pass could not do all, transient whether another attempt may cure it.
	trouble   receipt.Reason
	transient bool
	// seen is the runner's changed when the latest pass over this step ended.
	seen int64
	// doubt is the size of batches of which nobody knows whether they were committed.
	doubt int64
}

// out is the step's entry in the Receipt.
func (s *stepRun) out() *receipt.Step { return &s.r.receipt.Steps[s.index] }

// InFlight puts a batch on record before its commit. What cannot be put on record is not done, nor what is more than was
// allowed: records may become due after they were counted.
func (s *stepRun) InFlight(n int64) error {
	if limit := s.r.limit(); limit >= 0 && s.r.changed+n > limit {
		s.r.refused = &failure{receipt.GuardrailExceeded, fmt.Sprintf(
			"More records became due during the purge than the %d that are allowed", limit)}
		return engine.Fail(receipt.GuardrailExceeded, "")
	}
	s.doubt = s.out().InFlight
	s.out().InFlight = s.doubt + n
	if err := s.r.write(); err != nil {
		s.out().InFlight = s.doubt
		s.r.refused = &failure{receipt.InternalError, "The receipt cannot be written, so nothing more was changed"}
		return engine.Fail(receipt.InternalError, "")
	}
	return nil
}

// Committed puts a batch on record after its commit.
func (s *stepRun) Committed(n int64, dropped int32) {
	out := s.out()
	out.InFlight, out.Verified = s.doubt, false
	s.r.changed += n
	out.Partitions += dropped
	if s.step.Action == plan.Anonymize {
		out.Anonymized += n
	} else {
		out.Deleted += n
	}
	_ = s.r.write() // if not, the record before still says that the batch is in doubt
	if now := s.r.Clock(); now.Sub(s.r.logged) >= 5*time.Second {
		s.r.logged = now
		s.r.Log.Info("Progress", "dataset", s.step.Dataset, "rule", s.step.Rule, "done", out.Deleted+out.Anonymized, "due", out.Matched)
	}
}

// RolledBack takes a batch off the record.
func (s *stepRun) RolledBack() {
	s.out().InFlight = s.doubt
	_ = s.r.write() // if not, the record before still says that the batch is in doubt
}

// Stopping says whether the process was asked to end.
func (s *stepRun) Stopping() bool { return s.r.Stopping.Load() }

// count looks at every step and counts. A step that cannot be carried out is on record with its reason.
func (r *runner) count(ctx context.Context) error {
	r.receipt.Steps = make([]receipt.Step, len(r.plan.Steps))
	for i, step := range r.plan.Steps {
		s := &stepRun{r: r, index: i, step: step}
		r.receipt.Steps[i] = receipt.Step{Index: i}
		r.steps = append(r.steps, s)
	}
	for _, s := range r.steps {
		if r.Stopping.Load() {
			return engine.ErrStopped
		}
		work, err := r.session.Prepare(ctx, s.index)
		if err == nil {
			var counts engine.Counts
			if counts, err = work.Count(ctx); err == nil {
				s.work = work
				out := s.out()
				out.Counted = true
				out.Records, out.Matched, out.Retained, out.Held = counts.Records, counts.Matched, counts.Retained, counts.Held
				out.Undated, out.Invalid = counts.Undated, counts.Invalid
				out.OldestRemaining = counts.Oldest
				r.Log.Info("Counted", "dataset", s.step.Dataset, "rule", s.step.Rule, "records", counts.Records, "due", counts.Matched)
			}
		}
		if err := s.failed(err); err != nil {
			return err
		}
		_ = r.write()
	}
	return nil
}

// purge makes one pass over every step that is not settled.
func (r *runner) purge(ctx context.Context) error {
	for _, s := range r.steps {
		if r.Stopping.Load() {
			return engine.ErrStopped
		}
		if s.work == nil || s.settled() {
			continue
		}
		s.trouble, s.transient = "", false
		if err := s.failed(s.work.Purge(ctx, s)); err != nil {
			return err
		}
		s.seen = r.changed
		s.passed()
		_ = r.write()
	}
	return nil
}

// passed tells how far a step has come when a pass over it has ended.
func (s *stepRun) passed() {
	out := s.out()
	s.r.Log.Info("Passed", "dataset", s.step.Dataset, "rule", s.step.Rule, "done", out.Deleted+out.Anonymized, "due", out.Matched)
}

// settled says whether a verification found nothing that another pass could do: nothing is left, or what is left is blocked
// by records that were there when the latest pass went over it, and are there still.
func (s *stepRun) settled() bool {
	out := s.out()
	return out.Verified && (out.Remaining == 0 || out.Remaining == out.Blocked && !s.freed())
}

// freed says whether another step has changed something since, so that less may be blocked now.
func (s *stepRun) freed() bool { return s.r.changed > s.seen }

// next says whether another pass may help: because records moved while we passed over them, or because steps freed records
// of each other.
type next struct{ again, freed bool }

// verify counts what is left in every step that something was left of: a step that came later may have changed that.
func (r *runner) verify(ctx context.Context) (next, error) {
	var n next
	for _, s := range r.steps {
		if r.Stopping.Load() {
			return n, engine.ErrStopped
		}
		out := s.out()
		if s.work == nil || out.Verified && out.Remaining == 0 {
			continue
		}
		left, err := s.work.Verify(ctx)
		if err != nil {
			if err := s.failed(err); err != nil {
				return n, err
			}
			continue
		}
		progressed := !out.Verified || out.Remaining != left.Remaining
		s.record(left)
		out.Reason = s.leftoverReason(left)
		s.transient = s.transient && left.Remaining > left.Blocked
		_ = r.write()
		curable := s.trouble == "" && left.Reason == "" || s.transient
		n.again = n.again || (progressed && curable && left.Remaining > left.Blocked)
		n.freed = n.freed || (left.Blocked > 0 && s.freed())
	}
	return n, nil
}

// foresee counts what would be blocked, for a simulation.
func (r *runner) foresee(ctx context.Context) error {
	for _, s := range r.steps {
		if r.Stopping.Load() {
			return engine.ErrStopped
		}
		if s.work == nil || s.out().Matched == 0 {
			continue
		}
		left, err := s.work.Verify(ctx)
		if err != nil {
			if err := s.failed(err); err != nil {
				return err
			}
			continue
		}
		s.record(left)
		_ = r.write()
	}
	return nil
}

// record puts on record what is left.
func (s *stepRun) record(left engine.Leftover) {
	out := s.out()
	out.Verified = true
	out.Remaining, out.Blocked, out.Constraints, out.OldestRemaining = left.Remaining, left.Blocked, left.Constraints, left.Oldest
	s.verified()
}

// verified tells what a look afterwards, or in a simulation, has found.
func (s *stepRun) verified() {
	out := s.out()
	s.r.Log.Info("Verified", "dataset", s.step.Dataset, "rule", s.step.Rule, "remaining", out.Remaining, "blocked", out.Blocked)
}

// leftoverReason is why records remain; empty if none do.
func (s *stepRun) leftoverReason(left engine.Leftover) receipt.Reason {
	switch {
	case left.Remaining == 0:
		return ""
	case left.Remaining == left.Blocked:
		return receipt.ForeignKeyBlocks
	case left.Reason != "":
		return left.Reason
	case s.trouble != "":
		return s.trouble
	}
	return receipt.RecordsRemain
}

// failed puts a step's failure on record and returns it only if it ends the whole process: a lost server, a stop.
func (s *stepRun) failed(err error) error {
	if err == nil {
		return nil
	}
	if s.r.refused != nil {
		return s.r.refused
	}
	if errors.Is(err, engine.ErrStopped) {
		return err
	}
	reason := engine.ReasonOf(err)
	var e *engine.Error
	if errors.As(err, &e) {
		s.transient = e.Transient || reason == receipt.StatementTimeout
	}
	switch reason {
	case receipt.Unreachable, receipt.Interrupted, receipt.IdentityChanged, receipt.WriterActive, receipt.AuthenticationFails,
		receipt.DatabaseNotFound, receipt.VersionNotSupported:
		return err
	}
	s.trouble = reason
	s.out().Reason, s.out().Verified = reason, false
	s.r.Log.Warn("Step failed", "dataset", s.step.Dataset, "rule", s.step.Rule, "reason", reason, "error", err.Error())
	_ = s.r.write()
	return nil
}
