// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"fmt"

	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/subject"
)

// eraser is the session of an engine that can find persons.
func (r *runner) eraser() (engine.Eraser, error) {
	e, ok := r.session.(engine.Eraser)
	if !ok {
		return nil, refuse("the engine cannot find the records of persons")
	}
	return e, nil
}

// hold makes the session keep what the Plan's holds on single records cover, and returns how many records each keeps. A hold
// that cannot be resolved ends the process.
func (r *runner) hold(ctx context.Context) ([]int64, error) {
	if len(r.plan.Holds) == 0 {
		return nil, nil
	}
	eraser, err := r.eraser()
	if err != nil {
		return nil, err
	}
	persons := make([]engine.Person, len(r.plan.Holds))
	for i, hold := range r.plan.Holds {
		if !hold.Subject {
			continue
		}
		if persons[i], err = r.person(r.HoldsDir, i, fmt.Sprintf("h%d.given", i), ""); err != nil || len(persons[i].Given) == 0 {
			return nil, &failure{receipt.HoldUnreadable, "The person of hold " + hold.Name + " cannot be read"}
		}
	}
	return eraser.Hold(ctx, persons)
}

// countHeld is a plan.CountHeld: the steps of its Receipt are the Plan's holds.
func (r *runner) countHeld(ctx context.Context) (receipt.ExitCode, error) {
	r.phase(receipt.PhaseCounting)
	held, err := r.hold(ctx)
	if err != nil {
		return exitCode(err), err
	}
	for i, n := range held {
		r.receipt.Steps = append(r.receipt.Steps, receipt.Step{Index: i, Counted: true, Held: n, Verified: true})
	}
	return r.conclude()
}

// intake is a plan.Intake: it reads the persons and hands them on, sealed. It needs no datastore.
func (r *runner) intake(ctx context.Context) (receipt.ExitCode, error) {
	persons, problems := r.persons()
	commitments, err := r.commit(ctx, persons)()
	if err != nil {
		return exitCode(err), err
	}
	about := make([]receipt.Person, len(persons))
	for i, p := range persons {
		about[i] = receipt.Person{Request: i, Problem: problems[i], Types: subject.Types(p.Given), Commitments: commitments[i],
			Given: subject.Format(p.Given), Derived: subject.Format(p.Derived)}
	}
	if err := r.say(aboutPersons(about)...); err != nil {
		return exitCode(err), err
	}
	return r.finish()
}

// finish ends an account and the process.
func (r *runner) finish() (receipt.ExitCode, error) {
	if err := r.say(receipt.Line{Kind: receipt.LineFinished}); err != nil {
		return exitCode(err), err
	}
	return r.conclude()
}
