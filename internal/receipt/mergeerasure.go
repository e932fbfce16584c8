// SPDX-License-Identifier: Apache-2.0

package receipt

import (
	"slices"
	"strings"

	"dataretention.dev/retention-operator/internal/plan"
)

// MergeErasure adds up all attempts of the one Job that carried out p, a plan of ErasureKind or Intake. An attempt whose
// account is not complete may have changed what its Receipt says, or anything if that cannot be read: what is known of the
// requests is then a lower bound, and nothing that was seen before counts as verified. A batch without a known end makes the
// counts of the requests in it lower bounds.
func MergeErasure(p *plan.Plan, attempts []ErasureAttempt) ErasureTotal {
	ordered := slices.Clone(attempts)
	slices.SortStableFunc(ordered, func(a, b ErasureAttempt) int { return a.Started.Compare(b.Started) })
	plain := make([]Attempt, len(ordered))
	for i := range ordered {
		plain[i] = ordered[i].Attempt
	}
	total, d := merge(p, plain)
	t := ErasureTotal{Reason: d.reason, Message: d.message, Attempts: len(ordered), Total: total}
	l := newLedger(p)
	for i := range ordered {
		a := &ordered[i]
		a.Attempt = plain[i]
		t.Passes, t.Finished = l.add(a)
	}
	t.Requests = make([]RequestTotal, len(l.people))
	for i := range t.Requests {
		t.Requests[i] = l.request(i, d.reason)
	}
	return t
}

// ledger is what the accounts say, request by request.
type ledger struct {
	plan *plan.Plan
	// steps are those of the Plan, cells what became of each request (the second index) in each of them.
	steps  []plan.ErasureStep
	cells  [][]tally
	people []RequestTotal // without outcomes
}

// tally is what became of one request's records in one dataset.
type tally struct {
	// searched says that somebody looked with an identifier, unsearched that the latest who looked had none.
	searched, unsearched bool
	// most is the most that any look found, with what had been deleted before.
	most                int64
	deleted, anonymized int64
	// left is what a look after the last change found, if verified.
	left        Numbers
	constraints []string
	verified    bool
	reason      Reason
	// inexact says that deleted and anonymized are lower bounds, lost that nobody knows how low.
	inexact, lost bool
}

func (t *tally) changed() bool { return t.deleted+t.anonymized > 0 || t.inexact }

func (t *tally) found() int64 { return max(t.most, t.deleted+t.anonymized) }

// saw takes in how many records a look found. What was anonymized may be among them, or not be found any more.
func (t *tally) saw(n int64) {
	t.searched, t.unsearched = true, false
	t.most = max(t.most, n+t.deleted)
}

func (t *tally) unverify() { t.verified, t.left, t.constraints = false, Numbers{}, nil }

func newLedger(p *plan.Plan) *ledger {
	l := &ledger{plan: p}
	if p.Erasure == nil {
		return l
	}
	l.steps = p.Erasure.Steps
	l.people = make([]RequestTotal, len(p.Erasure.Requests))
	l.cells = make([][]tally, len(l.steps))
	for s := range l.cells {
		l.cells[s] = make([]tally, len(l.people))
	}
	return l
}

// reading is one attempt's account as it is read.
type reading struct {
	*ledger
	// flight is the batch that was announced last, if its end is not told yet.
	flight *Line
	// doubtful are the steps with a batch whose end is not known: what is left there cannot be told by this attempt.
	doubtful map[int]bool
	told     map[int]RequestTotal
	passes   int32
	finished bool
}

// add takes in a later attempt, and says how often it went over the datasets and whether it came to the end.
func (l *ledger) add(a *ErasureAttempt) (passes int32, finished bool) {
	r := &reading{ledger: l, doubtful: map[int]bool{}, told: map[int]RequestTotal{}}
	// Without a sum in the Receipt nothing had been announced yet, and so nothing been changed.
	complete := a.Complete || a.Receipt != nil && a.Receipt.Account == nil
	for lines := a.Lines; len(lines) > 0; {
		whole, rest, ended := join(lines)
		if ended && !r.take(whole) {
			complete = false
		}
		lines = rest
	}
	r.doubt()
	for i, told := range r.told {
		l.people[i].meet(told)
	}
	if !complete {
		r.lose(a.Receipt)
	}
	if a.Receipt != nil {
		r.finished = a.Receipt.Phase == PhaseFinished && a.verdict()
	}
	return r.passes, r.finished
}

// join puts the first line and those that go on with it together; ended is false if the last of them is missing.
func join(lines []Line) (whole Line, rest []Line, ended bool) {
	whole = lines[0]
	for n := 1; ; n++ {
		if !lines[n-1].More {
			return whole, lines[n:], true
		}
		if n == len(lines) || lines[n].Kind != whole.Kind || lines[n].Step != whole.Step {
			return whole, lines[n:], false
		}
		whole.Persons = slices.Concat(whole.Persons, lines[n].Persons)
		whole.Numbers = slices.Concat(whole.Numbers, lines[n].Numbers)
		whole.Unsearched = slices.Concat(whole.Unsearched, lines[n].Unsearched)
	}
}

// take takes in a line. It returns false for one that cannot be of an account for the Plan.
func (r *reading) take(line Line) bool {
	r.passes = max(r.passes, line.Pass)
	switch line.Kind {
	case LinePersons:
		return r.persons(line.Persons)
	case LineFinished:
		r.finished = true
		return true
	case LineCommitted, LineRolledBack:
		return r.end(line.Kind == LineCommitted)
	case LineFound, LineFlight, LineLeft, LineFailed:
		if line.Step < 0 || line.Step >= len(r.steps) || !r.fit(line) {
			return false
		}
	default:
		return false
	}
	switch line.Kind {
	case LineFound:
		r.found(line)
	case LineFlight:
		r.doubt()
		r.flight = &line
	case LineLeft:
		r.leftover(line)
	case LineFailed:
		for i := range r.cells[line.Step] {
			t := &r.cells[line.Step][i]
			t.unverify()
			t.reason = line.Reason
		}
	}
	return true
}

func (r *reading) fit(line Line) bool {
	known := func(i int) bool { return i >= 0 && i < len(r.people) }
	for _, n := range line.Numbers {
		if !known(n.Request) || min(n.N, n.Retained, n.Held, n.Blocked, n.Bound) < 0 {
			return false
		}
	}
	return !slices.ContainsFunc(line.Unsearched, func(i int) bool { return !known(i) })
}

func (r *reading) persons(persons []Person) bool {
	for _, p := range persons {
		if p.Request < 0 || p.Request >= len(r.people) {
			return false
		}
		t := r.told[p.Request]
		if p.Problem != "" {
			t.Problem = p.Problem
		}
		t.Types = append(t.Types, p.Types...)
		t.Commitments = append(t.Commitments, p.Commitments...)
		t.Given, t.Derived = t.Given+p.Given, t.Derived+p.Derived
		r.told[p.Request] = t
	}
	return true
}

// meet takes in what a later attempt tells of the person. What records led to may have been erased since.
func (t *RequestTotal) meet(later RequestTotal) {
	t.Told, t.Problem = true, later.Problem
	t.Types = slices.Compact(slices.Sorted(slices.Values(slices.Concat(t.Types, later.Types))))
	if len(t.Commitments) == 0 {
		t.Commitments = later.Commitments
	}
	t.Given, t.Derived = union(t.Given, later.Given), union(t.Derived, later.Derived)
}

// union has each line of a and b once.
func union(a, b string) string {
	lines := slices.Compact(slices.Sorted(strings.Lines(a + b)))
	return strings.Join(lines, "")
}

// found begins a new look: what was seen before no longer counts as the last.
func (r *reading) found(line Line) {
	numbers := line.byRequest()
	unsearched := make(map[int]bool, len(line.Unsearched))
	for _, i := range line.Unsearched {
		unsearched[i] = true
	}
	for i := range r.people {
		t := &r.cells[line.Step][i]
		t.unverify()
		t.reason = ""
		if unsearched[i] {
			t.unsearched = true
			continue
		}
		t.saw(numbers[i].N)
	}
}

func (r *reading) leftover(line Line) {
	if r.doubtful[line.Step] {
		return
	}
	numbers := line.byRequest()
	for i := range r.people {
		t := &r.cells[line.Step][i]
		if t.unsearched || !t.searched {
			continue
		}
		n := numbers[i]
		t.unverify()
		t.saw(n.N + n.Retained + n.Held)
		t.verified, t.left, t.reason = true, n, line.Reason
		if n.Blocked > 0 {
			t.constraints = line.Constraints
		}
	}
}

func (l *Line) byRequest() map[int]Numbers {
	numbers := make(map[int]Numbers, len(l.Numbers))
	for _, n := range l.Numbers {
		numbers[n.Request] = n
	}
	return numbers
}

// end is the known end of a batch.
func (r *reading) end(committed bool) bool {
	if r.flight == nil {
		return false
	}
	flight := r.flight
	r.flight = nil
	if !committed {
		return true
	}
	for _, n := range flight.Numbers {
		t := &r.cells[flight.Step][n.Request]
		if r.steps[flight.Step].Action == plan.EraseAnonymize {
			t.anonymized += n.N
		} else {
			t.deleted += n.N
		}
		t.unverify()
	}
	return true
}

// doubt is for a batch of which nobody tells how it ended.
func (r *reading) doubt() {
	if r.flight == nil {
		return
	}
	for _, n := range r.flight.Numbers {
		t := &r.cells[r.flight.Step][n.Request]
		t.inexact = true
		t.unverify()
	}
	r.doubtful[r.flight.Step] = true
	r.flight = nil
}

// lose is for an attempt whose account is not complete: what it saw last is not known, and it may have changed records of
// every request for which it is not told that it did not, in every step that it changed anything in.
func (r *reading) lose(receipt *Receipt) {
	for s := range r.steps {
		changed := r.plan.Mode != plan.Simulate && r.steps[s].Acts() && (receipt == nil ||
			slices.ContainsFunc(receipt.Steps, func(t Step) bool { return t.Index == s && t.changed() }))
		for i := range r.people {
			t := &r.cells[s][i]
			t.unverify()
			t.reason = AccountLost
			if changed && r.told[i].Problem == "" {
				t.inexact, t.lost = true, true
			}
		}
	}
}

// request is the total of the request at place i, in a run that ended for a reason.
func (l *ledger) request(i int, run Reason) RequestTotal {
	t := l.people[i]
	if l.plan.Kind == plan.Intake {
		return t
	}
	var retained, held bool
	for s := range l.steps {
		retained = retained || l.cells[s][i].left.Retained > 0
		held = held || l.cells[s][i].left.Held > 0
	}
	holds := len(l.plan.Holds) > 0 || slices.ContainsFunc(l.steps, func(s plan.ErasureStep) bool { return len(s.HeldBy) > 0 })
	e := ending{simulate: l.plan.Mode == plan.Simulate, problem: t.Problem, run: run, held: held || holds && !retained}
	t.Steps, t.Verified = make([]RequestStep, len(l.steps)), t.Problem == "" && len(l.steps) > 0
	for s := range l.steps {
		c := &l.cells[s][i]
		e.step = &l.steps[s]
		o := &t.Steps[s]
		o.Outcome, o.Reason = c.outcome(e)
		o.Searched, o.Verified, o.Exact = c.searched, c.verified, !c.inexact
		o.Found, o.Deleted, o.Anonymized = c.found(), c.deleted, c.anonymized
		o.Remaining, o.Retained, o.Held = c.left.N, c.left.Retained, c.left.Held
		o.Blocked, o.Bound, o.Constraints = c.left.Blocked, c.left.Bound, c.constraints
		t.Verified = t.Verified && c.verified && c.left.N == c.left.Bound
		if s == 0 || o.Outcome.WorseThan(t.Outcome) {
			t.Outcome = o.Outcome
		}
	}
	if len(l.steps) == 0 {
		t.Outcome = ErasureSkipped
	}
	return t
}
