// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
)

// requestData is what statements, and the object, tell of a request.
type requestData struct {
	out    Request
	denial string // the reason of a denial
	// ended is when it was answered, denied or withdrawn; nil as long as it is open.
	ended *time.Time
}

// requestAnswer is what is kept of a Conclusion for those that rest on it.
type requestAnswer struct {
	erased, kept tally
	bases        []string
}

// answer takes in a signed answer, or a denial. The latest one counts.
func (b *builder) answer(p *evidence.Predicate, ref *Ref) {
	a := b.weigh(p)
	b.answers[ref.Index] = a
	id := identity(p.Request.Object)
	d := b.requests[id]
	if d == nil {
		d = &requestData{out: Request{Namespace: p.Request.Namespace, Name: p.Request.Name, UID: p.Request.UID}}
		b.requests[id] = d
	}
	q, o := p.Request, &d.out
	o.Part = q.Channel == "Parent"
	o.Regulation, o.Ground = q.Regulation, q.Ground
	o.Received, o.Due, o.ExtendedFrom, o.ExtensionBasis = utc(q.ReceivedTime), utc(q.DueTime), utc(q.ExtendedFrom), q.ExtensionBasis
	o.Outcome, o.Level, o.Evidence = p.Outcome, p.Level, ref
	o.Erased, o.Kept, o.GoneBy = a.erased.count(), a.kept.count(), utc(p.GoneBy)
	o.Statements++
	o.Bases, o.Recipients = slices.Clone(a.bases), nil
	for _, r := range q.Recipients {
		o.Recipients = append(o.Recipients, r.Name)
	}
	slices.Sort(o.Recipients)
	o.Recipients = slices.Compact(o.Recipients)
	d.end(p, a)
}

// outcomeWithdrawn is that of a request that was deleted before it was answered.
const outcomeWithdrawn = "Withdrawn"

// end says what the request has come to by a statement, and when.
func (d *requestData) end(p *evidence.Predicate, a *requestAnswer) {
	o, q := &d.out, p.Request
	if p.Outcome == outcomeWithdrawn {
		o.State, o.Answer, o.Answered, o.DaysTaken, d.ended = RequestWithdrawn, "", nil, nil, utc(&p.Time)
		return
	}
	answered := p.Time
	if o.Answered != nil {
		answered = *o.Answered // a later statement does not make the first answer later
	}
	o.State, d.denial = RequestAnswered, ""
	if denied(p) {
		o.State, d.denial = RequestDenied, "not given"
		if q.Approval != nil {
			d.denial = cmp.Or(q.Approval.Reason, d.denial)
			o.Bases = append(o.Bases, cmp.Or(q.Approval.Message, d.denial))
			if q.Approval.Time != nil {
				answered = *q.Approval.Time
			}
		}
	}
	if q.AnsweredTime != nil {
		answered = *q.AnsweredTime
	}
	o.Answered, d.ended, o.DaysTaken = utc(&answered), utc(&answered), nil
	if q.DaysTaken != nil {
		n := int(*q.DaysTaken)
		o.DaysTaken = &n
	}
	o.Answer = classify(p, a, o.State == RequestDenied)
}

func denied(p *evidence.Predicate) bool {
	decision := p.Request.Approval
	return p.Outcome == "Denied" || decision != nil && decision.Decision == "Denied"
}

// weigh adds up what was erased and kept, here and by the requests that this one made in other namespaces.
func (b *builder) weigh(p *evidence.Predicate) *requestAnswer {
	a := &requestAnswer{}
	for i := range p.Datastores {
		d := &p.Datastores[i]
		for j := range d.Datasets {
			ds := &d.Datasets[j]
			g := goneOf(p, d, ds)
			a.erased.merge(g.deleted)
			a.erased.merge(g.anonymized)
			a.kept.add(ds.Retained, false)
			a.kept.add(ds.Held, false)
			if basis := obligation(d, ds, false); basis != "" {
				a.bases = append(a.bases, basis)
			}
		}
		for _, h := range d.Holds {
			a.bases = append(a.bases, holdBasis(h))
		}
	}
	for _, ref := range p.Results {
		if child := b.answers[ref.Index]; child != nil {
			a.erased.merge(child.erased)
			a.kept.merge(child.kept)
			a.bases = append(a.bases, child.bases...)
		}
	}
	slices.Sort(a.bases)
	a.bases = slices.Compact(a.bases)
	return a
}

func holdBasis(h evidence.Hold) string {
	basis := "hold " + h.Name
	if h.Reference != "" {
		basis += " (" + h.Reference + ")"
	}
	return basis
}

// classify says what an answer comes to. A level that proves no deletion never makes it one that complied.
func classify(p *evidence.Predicate, a *requestAnswer, denied bool) Answer {
	erased := a.erased.n > 0
	switch {
	case denied:
		return AnsweredDenied
	case p.Level == evidence.LevelNothingFound:
		return AnsweredNothingFound
	case p.Level == evidence.LevelDeleted || p.Level == evidence.LevelAnonymized:
		return AnsweredWhole
	case p.Level == evidence.LevelRetained && erased, p.Level == evidence.LevelIncomplete && erased:
		return AnsweredPart
	case p.Level == evidence.LevelRetained:
		return AnsweredKept
	}
	return AnsweredNotDone
}

// finishRequests keeps those that were open at some time in the period, and counts.
func (b *builder) finishRequests() {
	var counted []*requestData
	for _, id := range slices.Sorted(maps.Keys(b.requests)) {
		d := b.requests[id]
		o := &d.out
		b.measure(d)
		if o.Received != nil && !o.Received.Before(b.in.Until) || d.ended != nil && d.ended.Before(b.in.From) {
			continue
		}
		if o.Evidence != nil {
			o.BackupsExpired = b.expired[o.Evidence.Index]
		}
		o.Bases, o.Recipients = list(o.Bases), list(o.Recipients)
		b.r.Requests = append(b.r.Requests, *o)
		if !o.Part {
			counted = append(counted, d)
		}
	}
	slices.SortFunc(b.r.Requests, compareRequests)
	b.r.Requests = list(b.r.Requests)
	b.r.Metrics = []RequestMetrics{b.metrics("", counted)}
	regulations := map[string][]*requestData{}
	for _, d := range counted {
		regulations[d.out.Regulation] = append(regulations[d.out.Regulation], d)
	}
	for _, name := range slices.Sorted(maps.Keys(regulations)) {
		if name != "" {
			b.r.Metrics = append(b.r.Metrics, b.metrics(name, regulations[name]))
		}
	}
}

// compareRequests puts open ones first, by their time limits, then the answered ones by the time of their answers.
func compareRequests(x, y Request) int {
	when := func(r Request) time.Time {
		for _, t := range []*time.Time{r.Answered, r.Due, r.Received} {
			if t != nil {
				return *t
			}
		}
		return time.Time{}
	}
	return cmp.Or(openFirst[x.State]-openFirst[y.State], when(x).Compare(when(y)), cmp.Compare(x.Namespace, y.Namespace), cmp.Compare(x.Name, y.Name), cmp.Compare(x.UID, y.UID))
}

var openFirst = map[RequestState]int{RequestOverdue: 0, RequestOpen: 1, RequestAnswered: 2, RequestDenied: 2, RequestWithdrawn: 3}

// measure fills in the days, and whether the limit was met.
func (b *builder) measure(d *requestData) {
	o := &d.out
	if d.ended == nil {
		o.State = RequestOpen
		if o.Due != nil {
			n := daysLeft(b.in.Now, *o.Due, b.in.Zone)
			o.DaysLeft = &n
			if b.in.Now.After(*o.Due) {
				o.State = RequestOverdue
			}
		}
		return
	}
	if o.Answered == nil {
		return // withdrawn
	}
	if o.DaysTaken == nil && o.Received != nil {
		n := daysTaken(*o.Received, *o.Answered, b.in.Zone)
		o.DaysTaken = &n
	}
	if o.Due != nil {
		inTime := !o.Answered.After(*o.Due)
		o.InTime = &inTime
	}
}

// metrics counts requests of one regulation, or all.
func (b *builder) metrics(regulation string, of []*requestData) RequestMetrics {
	m := RequestMetrics{Regulation: regulation}
	denials := map[string]int{}
	var took []int
	for _, d := range of {
		o := &d.out
		if o.Received != nil && !o.Received.Before(b.in.From) {
			m.Received++
		} else {
			m.CarriedOver++
		}
		if o.ExtendedFrom != nil {
			m.Extended++
		}
		switch {
		case d.ended == nil || !d.ended.Before(b.in.Until):
			m.Open++
			if o.State == RequestOverdue {
				m.Overdue++
			}
			continue
		case o.State == RequestWithdrawn:
			m.Withdrawn++
			continue
		}
		m.Answered++
		*m.class(o.Answer)++
		if o.Answer == AnsweredDenied {
			denials[d.denial]++
		}
		if o.InTime != nil {
			if *o.InTime {
				m.InTime++
			} else {
				m.Late++
			}
		}
		if o.DaysTaken != nil {
			took = append(took, *o.DaysTaken)
		}
	}
	m.DenialReasons, m.Days = tallies(denials), daysOf(took)
	return m
}

// class is the number of the answers of a class.
func (m *RequestMetrics) class(a Answer) *int {
	switch a {
	case AnsweredWhole:
		return &m.CompliedInWhole
	case AnsweredPart:
		return &m.CompliedInPart
	case AnsweredNothingFound:
		return &m.NothingFound
	case AnsweredKept:
		return &m.AllKept
	case AnsweredDenied:
		return &m.Denied
	case AnsweredNotDone:
	}
	return &m.NotDone
}

func daysOf(took []int) Days {
	d := Days{Answers: len(took)}
	if len(took) == 0 {
		return d
	}
	slices.Sort(took)
	for _, n := range took {
		d.SumDays += n
	}
	low, high := took[(len(took)-1)/2], took[len(took)/2]
	median, mean := float64(low+high)/2, hundredths(d.SumDays, len(took))
	d.Median, d.Mean, d.Longest = &median, &mean, &took[len(took)-1]
	return d
}
