// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/seal"
)

const (
	// requestsPerLine and bytesPerLine keep a line of the log below 64 KiB, sealed and armored.
	requestsPerLine = 200
	bytesPerLine    = 32 << 10
)

var (
	errAccount = &failure{receipt.InternalError, "The account cannot be written, so nothing more was changed"}
	errLogFull = &failure{receipt.Interrupted, "The log is as long as it may be; another Pod goes on"}
)

// counter counts what is written to the log.
type counter struct {
	out     io.Writer
	written atomic.Int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.out.Write(p)
	c.written.Add(int64(n))
	return n, err //nolint:wrapcheck // it is a writer like the other
}

// say writes a group of lines to the account: sealed, one after the other, and into the sum. What could not be written
// forbids all that would come after it.
func (r *runner) say(lines ...receipt.Line) error {
	for i := range lines {
		lines[i].More = i+1 < len(lines)
		if err := r.sayLine(lines[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *runner) sayLine(line receipt.Line) error {
	if r.mute {
		return errAccount
	}
	switch line.Kind {
	case receipt.LineCommitted, receipt.LineRolledBack, receipt.LineFinished: // they end what was begun
	default:
		if r.Logged != nil && r.Logged() > receipt.MaxLogBytes {
			return errLogFull
		}
	}
	r.mute = true
	plain, err := json.Marshal(line)
	if err != nil {
		return errAccount
	}
	sealed, err := seal.Seal(r.plan.Erasure.SealTo, plain)
	if err != nil {
		return errAccount
	}
	sum := receipt.AccountSum{}
	if r.receipt.Account != nil {
		sum = *r.receipt.Account
	}
	sum = sum.Next(sealed)
	record := slog.NewRecord(r.Clock(), slog.LevelInfo, receipt.AccountMessage, 0)
	record.AddAttrs(slog.Int64("seq", sum.Lines), slog.String("sealed", sealed))
	if err := r.Log.Handler().Handle(context.Background(), record); err != nil { // a Logger would hide the error
		return errAccount
	}
	r.receipt.Account, r.mute = &sum, false
	return nil
}

// numbered spreads numbers of requests over lines.
func numbered(line receipt.Line, numbers []receipt.Numbers) []receipt.Line {
	lines := []receipt.Line{line}
	for i, n := range numbers {
		if i > 0 && i%requestsPerLine == 0 {
			lines = append(lines, receipt.Line{Kind: line.Kind, Step: line.Step, Pass: line.Pass, Reason: line.Reason})
		}
		last := &lines[len(lines)-1]
		last.Numbers = append(last.Numbers, n)
	}
	return lines
}

// inFlight are the numbers of a batch.
func inFlight(persons map[int]int64) []receipt.Numbers {
	var numbers []receipt.Numbers
	for _, i := range slices.Sorted(maps.Keys(persons)) {
		numbers = append(numbers, receipt.Numbers{Request: i, N: persons[i]})
	}
	return numbers
}

// aboutPersons spreads persons over lines; one with many identifiers takes several.
func aboutPersons(persons []receipt.Person) []receipt.Line {
	lines := []receipt.Line{{Kind: receipt.LinePersons}}
	size := 0
	for _, whole := range persons {
		for _, part := range parts(whole) {
			n := encoded(part)
			last := &lines[len(lines)-1]
			if len(last.Persons) == requestsPerLine || size > 0 && size+n > bytesPerLine {
				lines, size = append(lines, receipt.Line{Kind: receipt.LinePersons}), 0
				last = &lines[len(lines)-1]
			}
			last.Persons = append(last.Persons, part)
			size += n
		}
	}
	return lines
}

// parts are what one person's entry is made of: all in one if that is short.
func parts(p receipt.Person) []receipt.Person {
	if encoded(p) <= bytesPerLine/2 {
		return []receipt.Person{p}
	}
	var out []receipt.Person
	part := receipt.Person{Request: p.Request, Problem: p.Problem, Types: p.Types}
	add := func(change func(*receipt.Person)) {
		if before := encoded(part); before > bytesPerLine/4 {
			out, part = append(out, part), receipt.Person{Request: p.Request, Problem: p.Problem}
		}
		change(&part)
	}
	for _, c := range p.Commitments {
		add(func(q *receipt.Person) { q.Commitments = append(q.Commitments, c) })
	}
	for line := range strings.Lines(p.Given) {
		add(func(q *receipt.Person) { q.Given += line })
	}
	for line := range strings.Lines(p.Derived) {
		add(func(q *receipt.Person) { q.Derived += line })
	}
	return append(out, part)
}

func encoded(p receipt.Person) int {
	b, err := json.Marshal(p)
	if err != nil {
		return bytesPerLine
	}
	return len(b)
}
