// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"slices"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/subject"
)

// erasure is a plan.ErasureKind at work.
type erasure struct {
	*runner
	eraser engine.Eraser
	steps  []*eraseRun
	// skip are the requests for which nothing may be done.
	skip []bool
}

// erase is the list of phases of a plan.ErasureKind.
func (r *runner) erase(ctx context.Context) (receipt.ExitCode, error) {
	eraser, err := r.eraser()
	if err != nil {
		return exitCode(err), err
	}
	e := &erasure{runner: r, eraser: eraser}
	if r.plan.Mode == plan.Enforce {
		if err := r.session.Lock(ctx); err != nil {
			return exitCode(err), err
		}
	}
	r.phase(receipt.PhaseCounting)
	if _, err := r.hold(ctx); err != nil {
		return exitCode(err), err
	}
	if err := e.find(ctx); err != nil {
		return exitCode(err), err
	}
	if r.plan.Mode == plan.Simulate {
		return r.finish()
	}
	for pass := int32(1); ; pass++ {
		r.phase(receipt.PhasePurging)
		if err := e.pass(ctx); err != nil {
			return exitCode(err), err
		}
		r.phase(receipt.PhaseVerifying)
		next, err := e.verify(ctx, pass)
		if err != nil {
			return exitCode(err), err
		}
		if !next.freed && (!next.again || pass >= maxPasses) {
			return r.finish()
		}
	}
}

// find looks for the records of all requests, and tells what it found.
func (e *erasure) find(ctx context.Context) error {
	persons, problems := e.persons()
	committing, cancel := context.WithCancel(ctx)
	defer cancel()
	wait := e.commit(committing, persons)
	found, err := e.eraser.Find(ctx, persons)
	if err != nil {
		cancel()
		_, _ = wait()
		return err
	}
	commitments, err := wait()
	if err != nil {
		return err
	}
	about := make([]receipt.Person, len(persons))
	e.skip = make([]bool, len(persons))
	for i, p := range persons {
		if problems[i] == "" {
			problems[i] = found.Problems[i]
		}
		e.skip[i] = problems[i] != ""
		about[i] = receipt.Person{Request: i, Problem: problems[i], Types: subject.Types(p.Given), Commitments: commitments[i],
			Derived: subject.Format(found.Derived[i])}
	}
	if err := e.say(aboutPersons(about)...); err != nil {
		return err
	}
	e.receipt.Steps = make([]receipt.Step, len(found.Steps))
	for i := range found.Steps {
		e.receipt.Steps[i] = receipt.Step{Index: i}
		s := newEraseRun(e, i, &found.Steps[i])
		e.steps, e.runner.steps = append(e.steps, s), append(e.runner.steps, &s.stepRun)
		if err := s.tell(); err != nil {
			return err
		}
	}
	return nil
}

// pass makes one pass over every step that acts and is not settled, children before parents.
func (e *erasure) pass(ctx context.Context) error {
	for _, s := range e.steps {
		if e.Stopping.Load() {
			return engine.ErrStopped
		}
		if !s.acts() || s.settled() {
			continue
		}
		s.trouble, s.transient = "", false
		if err := s.erase(ctx); err != nil {
			return err
		}
		s.seen = e.changed
		s.passed()
		_ = e.write()
	}
	return nil
}

// verify looks again for records in every step, and tells what is left. It begins with the parents, so that what they newly
// lead to is found.
func (e *erasure) verify(ctx context.Context, pass int32) (next, error) {
	var n next
	for _, s := range slices.Backward(e.steps) {
		if e.Stopping.Load() {
			return n, engine.ErrStopped
		}
		more, err := s.verify(ctx, pass)
		if err != nil {
			return n, err
		}
		n.again, n.freed = n.again || more.again, n.freed || more.freed
	}
	return n, nil
}
