// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// eraseRun is one ErasureStep of the Plan as it goes. It is the engine's ErasureProgress.
type eraseRun struct {
	stepRun
	e     *erasure
	plan  *plan.ErasureStep
	found *engine.Found
	// ready is nil until the step was prepared.
	ready engine.ErasureStep
	// flight is the size of the batch in flight.
	flight int64
}

func newEraseRun(e *erasure, index int, found *engine.Found) *eraseRun {
	step := &e.runner.plan.Erasure.Steps[index]
	return &eraseRun{e: e, plan: step, found: found, stepRun: stepRun{r: e.runner, index: index,
		step: plan.Step{Dataset: step.Dataset, Path: step.Path, Action: plan.Action(step.Action)}}} // the names are the same
}

// acts says whether the step is to change anything, and its dataset could be searched.
func (s *eraseRun) acts() bool { return s.plan.Acts() && s.found.Reason == "" }

// tell tells what was found.
func (s *eraseRun) tell() error {
	if s.found.Reason != "" {
		s.trouble, s.out().Reason = s.found.Reason, s.found.Reason
		s.r.Log.Warn("Step failed", "dataset", s.plan.Dataset, "reason", s.found.Reason)
		return s.r.say(receipt.Line{Kind: receipt.LineFailed, Step: s.index, Reason: s.found.Reason})
	}
	line := receipt.Line{Kind: receipt.LineFound, Step: s.index, Pass: 1}
	var numbers []receipt.Numbers
	out := s.out()
	out.Counted = true
	for i, n := range s.found.Records {
		out.Matched += n
		switch {
		case s.found.Unsearched[i]:
			line.Unsearched = append(line.Unsearched, i)
		case n > 0:
			numbers = append(numbers, receipt.Numbers{Request: i, N: n})
		}
	}
	s.r.Log.Info("Found", "dataset", s.plan.Dataset, "records", out.Matched)
	return s.r.say(numbered(line, numbers)...)
}

// erase makes one pass over the dataset.
func (s *eraseRun) erase(ctx context.Context) error {
	if s.ready == nil {
		ready, err := s.e.eraser.PrepareErasure(ctx, s.index)
		if err != nil {
			return s.gaveUp(err)
		}
		s.ready = ready
	}
	return s.failed(s.ready.Erase(ctx, s.e.skip, s))
}

// gaveUp tells that nobody could look at what is left. It returns what ends the whole process.
func (s *eraseRun) gaveUp(err error) error {
	if err := s.failed(err); err != nil {
		return err
	}
	return s.r.say(receipt.Line{Kind: receipt.LineFailed, Step: s.index, Reason: s.trouble})
}

// InFlight puts a batch on record before its commit: in the account, and then in the Receipt, which says that the account
// goes as far.
func (s *eraseRun) InFlight(total int64, persons map[int]int64) error {
	line := receipt.Line{Kind: receipt.LineFlight, Step: s.index}
	if err := s.r.say(numbered(line, inFlight(persons))...); err != nil {
		s.r.refused = err
		return engine.Fail(receipt.InternalError, "")
	}
	if err := s.stepRun.InFlight(total); err != nil {
		_ = s.r.say(receipt.Line{Kind: receipt.LineRolledBack}) // if not, the batch is in doubt
		return err
	}
	s.flight = total
	return nil
}

// Committed puts a batch on record after its commit.
func (s *eraseRun) Committed() {
	_ = s.r.say(receipt.Line{Kind: receipt.LineCommitted}) // if not, the batch is in doubt, and nothing more is changed
	s.stepRun.Committed(s.flight, 0)
}

// RolledBack takes a batch off the record.
func (s *eraseRun) RolledBack() {
	_ = s.r.say(receipt.Line{Kind: receipt.LineRolledBack}) // if not, the batch is in doubt, and nothing more is changed
	s.stepRun.RolledBack()
}

// verify looks again, and tells what is left.
func (s *eraseRun) verify(ctx context.Context, pass int32) (next, error) {
	switch {
	case s.found.Reason != "":
		return next{}, nil // it was told
	case !s.acts():
		if pass > 1 {
			return next{}, nil
		}
		return next{}, s.record(pass, s.untouched())
	case s.ready == nil:
		if s.out().Reason != "" {
			return next{}, nil // it cannot be prepared, as was told
		}
		ready, err := s.e.eraser.PrepareErasure(ctx, s.index)
		if err != nil {
			return next{}, s.gaveUp(err)
		}
		s.ready = ready
	}
	before := *s.out()
	left, err := s.ready.Verify(ctx)
	if err != nil {
		return next{}, s.gaveUp(err)
	}
	if err := s.record(pass, left); err != nil {
		return next{}, err
	}
	out := s.out()
	s.transient = s.transient && out.Remaining > out.Blocked
	progressed := !before.Verified || before.Remaining != out.Remaining
	curable := s.trouble == "" && left.Reason == "" || s.transient
	return next{again: progressed && curable && out.Remaining > out.Blocked, freed: out.Blocked > 0 && s.freed()}, nil
}

// untouched is what is left where nothing was to be changed: all that was found.
func (s *eraseRun) untouched() *engine.ErasureLeftover {
	left := &engine.ErasureLeftover{Persons: make([]engine.Left, len(s.found.Records))}
	for i, n := range s.found.Records {
		switch p := &left.Persons[i]; {
		case len(s.plan.HeldBy) > 0:
			p.Held = n
		case s.plan.Action == plan.EraseUndeclared:
			p.Remaining = n
			left.Reason = receipt.Undeclared
		default:
			p.Retained = n
		}
		left.Total += left.Persons[i].Remaining
	}
	return left
}

// record puts on record what is left. The Receipt leaves out what is there of requests for which nothing may be done, and
// what only records keep that have to stay.
func (s *eraseRun) record(pass int32, left *engine.ErasureLeftover) error {
	line := receipt.Line{Kind: receipt.LineLeft, Step: s.index, Pass: pass, Constraints: left.Constraints[:min(len(left.Constraints), maxConstraints)]}
	var numbers []receipt.Numbers
	var sum engine.Left
	for i, p := range left.Persons {
		if p != (engine.Left{}) {
			numbers = append(numbers, receipt.Numbers{Request: i, N: p.Remaining, Retained: p.Retained, Held: p.Held, Blocked: p.Blocked, Bound: p.Bound})
		}
		if !s.e.skip[i] {
			sum.Remaining += p.Remaining - p.Bound
			sum.Blocked += p.Blocked - p.Bound
			sum.Retained += p.Retained + p.Bound
			sum.Held += p.Held
		}
	}
	out := s.out()
	out.Verified, out.Constraints = true, line.Constraints
	out.Remaining, out.Blocked, out.Retained, out.Held = sum.Remaining, sum.Blocked, sum.Retained, sum.Held
	out.Reason = s.leftoverReason(engine.Leftover{Remaining: sum.Remaining, Blocked: sum.Blocked, Reason: left.Reason})
	if out.Reason != receipt.ForeignKeyBlocks {
		line.Reason = out.Reason
	}
	if err := s.r.say(numbered(line, numbers)...); err != nil {
		return err
	}
	s.verified()
	_ = s.r.write()
	return nil
}

// maxConstraints is as many names as a status holds.
const maxConstraints = 16
