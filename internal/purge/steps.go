// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"errors"
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
}

// out is the step's entry in the Receipt.
func (s *stepRun) out() *receipt.Step { return &s.r.receipt.Steps[s.index] }

// InFlight puts a batch on record before its commit.
func (s *stepRun) InFlight(n int64) {
	s.out().InFlight = n
	s.r.write()
}

// Committed puts a batch on record after its commit.
func (s *stepRun) Committed(n int64, dropped int32) {
	out := s.out()
	out.InFlight, out.Verified = 0, false
	out.Partitions += dropped
	if s.step.Action == plan.Anonymize {
		out.Anonymized += n
	} else {
		out.Deleted += n
	}
	s.r.write()
	if now := s.r.Clock(); now.Sub(s.r.logged) >= 5*time.Second {
		s.r.logged = now
		s.r.Log.Info("Progress", "dataset", s.step.Dataset, "rule", s.step.Rule, "done", out.Deleted+out.Anonymized, "due", out.Matched)
	}
}

// RolledBack takes a batch off the record.
func (s *stepRun) RolledBack() {
	s.out().InFlight = 0
	s.r.write()
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
				out.Records, out.Matched, out.Retained = counts.Records, counts.Matched, counts.Retained
				out.Undated, out.Invalid = counts.Undated, counts.Invalid
				out.OldestRemaining = counts.Oldest
				r.Log.Info("Counted", "dataset", s.step.Dataset, "rule", s.step.Rule, "records", counts.Records, "due", counts.Matched)
			}
		}
		if err := s.failed(err); err != nil {
			return err
		}
		r.write()
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
		r.write()
	}
	return nil
}

// settled says whether a verification found nothing that another pass could do.
func (s *stepRun) settled() bool {
	out := s.out()
	return out.Verified && out.Remaining == out.Blocked
}

// verify counts what is left, in every step: a step that came later may have changed what an earlier one left. It says
// whether another pass may help.
func (r *runner) verify(ctx context.Context) (again bool, err error) {
	for _, s := range r.steps {
		if r.Stopping.Load() {
			return false, engine.ErrStopped
		}
		if s.work == nil {
			continue
		}
		left, err := s.work.Verify(ctx)
		if err := s.failed(err); err != nil {
			return false, err
		}
		if err != nil {
			continue
		}
		out := s.out()
		progressed := !out.Verified || out.Remaining != left.Remaining
		out.Verified = true
		out.Remaining, out.Blocked, out.Constraints, out.OldestRemaining = left.Remaining, left.Blocked, left.Constraints, left.Oldest
		out.Reason = s.leftoverReason(left)
		s.transient = s.transient && left.Remaining > left.Blocked
		r.write()
		curable := s.trouble == "" && left.Reason == "" || s.transient
		again = again || (progressed && curable && left.Remaining > left.Blocked)
	}
	return again, nil
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
	if errors.Is(err, engine.ErrStopped) {
		return err
	}
	reason := engine.ReasonOf(err)
	var e *engine.Error
	if errors.As(err, &e) {
		s.transient = e.Transient || reason == receipt.StatementTimeout
	}
	switch reason {
	case receipt.Unreachable, receipt.Interrupted, receipt.IdentityChanged, receipt.WriterActive:
		return err
	}
	s.trouble = reason
	s.out().Reason, s.out().Verified = reason, false
	s.r.Log.Warn("Step failed", "dataset", s.step.Dataset, "rule", s.step.Rule, "reason", reason, "error", err.Error())
	s.r.write()
	return nil
}
