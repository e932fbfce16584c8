// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/utils/clock"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
)

const (
	// A Find and an Append take at most so long: a controller that waits does nothing else meanwhile, such as stopping a Job for a
	// hold. An append that comes through later is found by the next try.
	findTimeout   = 5 * time.Second
	appendTimeout = 10 * time.Second
	// After a call that took too long, or failuresInRow that failed otherwise, calls fail at once for so long. Then one of them
	// finds out, and the others still fail at once.
	breakTime     = 10 * time.Second
	failuresInRow = 3
)

// errHangs is what a call fails with that is not made.
var errHangs = errors.New("the ledger has not answered lately, and is asked again in a few seconds")

// breaker sees to it that a ledger which hangs costs its callers little.
type breaker struct {
	clock clock.PassiveClock

	mu       sync.Mutex
	failures int
	open     bool
	since    time.Time // since when it is open
	probing  bool
}

// call does something that takes at most so long, unless the ledger is known not to answer.
func (b *breaker) call(ctx context.Context, limit time.Duration, do func(ctx context.Context) error) error {
	probe, err := b.enter()
	if err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err = do(within)
	b.leave(probe, outcomeOf(ctx, within, err))
	return err
}

// enter says whether the call is the one that finds out whether the ledger answers again.
func (b *breaker) enter() (probe bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open {
		return false, nil
	}
	if age := b.clock.Since(b.since); b.probing || age >= 0 && age < breakTime {
		return false, errHangs
	}
	b.probing = true
	return true, nil
}

func (b *breaker) leave(probe bool, o outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if probe {
		b.probing = false
	}
	switch o {
	case answered:
		b.open, b.failures = false, 0
	case failed:
		b.failures++
	case hung:
		b.failures = failuresInRow
	}
	if o != unknown && b.failures >= failuresInRow {
		b.open, b.since = true, b.clock.Now()
	}
}

// outcome is what a call tells of the ledger.
type outcome int

const (
	unknown outcome = iota // it was not asked, or the caller gave up
	answered
	failed
	hung
)

func outcomeOf(ctx, within context.Context, err error) outcome {
	var (
		answer *ledger.Error
		wrong  *Inconsistent
		proof  *evidence.Problem
	)
	switch {
	case err == nil, errors.As(err, &answer) && answer.Status/100 != 5, errors.As(err, &wrong), errors.As(err, &proof):
		return answered
	case ctx.Err() != nil, errors.Is(err, ErrRefused): // refused before it was sent
		return unknown
	case within.Err() != nil:
		return hung
	}
	return failed
}
