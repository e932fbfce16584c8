// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"slices"
	"time"
)

// Tick is the resolution of a cutoff, which is that of PostgreSQL.
const Tick = time.Microsecond

// Cutoff is the latest instant, in UTC and in whole microseconds, such that
// the period of every record up to and including it is over at slot: for every
// t ≤ Cutoff, p.AddTo(t, loc) ≤ slot, and one microsecond later there is a
// record that must stay.
//
// One instant cannot say more. Around a month's end, and around a change of
// the clock, a record may be over while an older one is not: at 28 February
// 12:00 a record of 31 January 01:00 is over after P1M, one of 28 January
// 13:00 is not. The younger one is then kept until the older one is over as
// well, which is within a day and the change of the clock; nothing is ever
// deleted early. In effect a period that ends on a clamped day ends with the
// last hour of that day (as Regulation 1182/71, article 3(2)(c), has it), and
// a period without years and months, in a zone that does not change its clock,
// is met exactly.
//
// To compare two periods, compare their cutoffs at the same slot.
func (p Period) Cutoff(slot time.Time, loc *time.Location) time.Time {
	limit := slot.UTC().Round(0).Add(-p.clock)
	if p.months == 0 && p.days == 0 {
		return limit.Truncate(Tick)
	}
	// Between two neighbouring breakpoints AddTo moves with its argument, so
	// that a look at the first instant of each stretch tells all of it.
	points := p.breakpoints(limit, loc)
	for i, start := range points[:len(points)-1] {
		room := slot.Sub(p.AddTo(start, loc)).Truncate(Tick)
		if room < 0 {
			return start.Add(-Tick)
		}
		if last := start.Add(room); last.Before(points[i+1].Add(-Tick)) {
			return last
		}
	}
	return points[len(points)-1].Add(-Tick) // the last breakpoint is past every record that is over
}

// breakpoints returns, in order, every instant at which AddTo may do anything
// else than move with its argument, from one before which all is over at limit
// to one from which nothing is; limit is the slot less the period's clock part.
// All are whole seconds. It may return more than needed.
func (p Period) breakpoints(limit time.Time, loc *time.Location) []time.Time {
	// On dates alone AddTo is monotone: a first date that is over by days, and
	// a last one that is not over by days, bracket the cutoff whatever the
	// clocks do.
	const margin = 4 // days; twice reach
	today := dateOf(wallOf(limit, loc))
	first := addMonths(today.AddDate(0, 0, -p.days-margin), -p.months)
	last := first
	for p.shift(last).Before(today.AddDate(0, 0, margin)) {
		last = last.AddDate(0, 0, 1)
	}
	from, to := first.Add(-reach), last.Add(reach)

	// The times of day at which the target's wall clock jumps, and midnight,
	// at which the date and thus the clamping changes.
	jumps := []time.Duration{0}
	target := segments(loc, p.shift(dateOf(from)).Add(-reach), p.shift(dateOf(to)).Add(2*reach))
	for i, s := range target[1:] {
		for _, offset := range []time.Duration{target[i].offset, s.offset} {
			w := s.start.Add(offset)
			jumps = append(jumps, w.Sub(dateOf(w)))
		}
	}
	points := []time.Time{from, to}
	for _, s := range segments(loc, from, to) {
		points = append(points, s.start)
		for date := first.AddDate(0, 0, -4); date.Before(to.Add(reach)); date = date.AddDate(0, 0, 1) {
			for _, timeOfDay := range jumps {
				if t := date.Add(timeOfDay - s.offset); t.After(s.start) && t.Before(s.end) {
					points = append(points, t)
				}
			}
		}
	}
	slices.SortFunc(points, time.Time.Compare)
	return slices.CompactFunc(points, time.Time.Equal)
}

// dateOf is the midnight of a wall time's day.
func dateOf(w wall) wall {
	y, m, d := w.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
}
