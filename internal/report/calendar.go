// SPDX-License-Identifier: Apache-2.0

package report

import (
	"sort"
	"time"
)

// span is a stretch of time: from is in it, until is not.
type span struct{ from, until time.Time }

// days is the rough length of a period.
func days(from, until time.Time) float64 { return until.Sub(from).Hours() / 24 }

// stripUnit and chartUnit are chosen so that a cell can still be seen on paper.
func stripUnit(from, until time.Time) Unit {
	switch d := days(from, until); {
	case d <= 100:
		return Day
	case d <= 900:
		return Week
	}
	return Month
}

func chartUnit(from, until time.Time) Unit {
	switch d := days(from, until); {
	case d <= 15:
		return Day
	case d <= 750:
		return Week
	}
	return Month
}

// spans cuts a period at midnights, Mondays or the first of each month, in the zone. The first and the last may be shorter.
func spans(unit Unit, from, until time.Time, zone *time.Location) []span {
	var out []span
	for from.Before(until) {
		next := nextCut(unit, from, zone)
		if next.After(until) {
			next = until
		}
		out = append(out, span{from.UTC(), next.UTC()})
		from = next
	}
	return out
}

// nextCut is the first cut after an instant. Where the clock skips midnight, the day begins later.
func nextCut(unit Unit, t time.Time, zone *time.Location) time.Time {
	y, m, d := t.In(zone).Date()
	for ahead := 1; ; ahead++ {
		var next time.Time
		switch unit {
		case Day:
			next = time.Date(y, m, d+ahead, 0, 0, 0, 0, zone)
		case Week:
			weekday := (int(t.In(zone).Weekday()) + 6) % 7 // since Monday
			next = time.Date(y, m, d-weekday+7*ahead, 0, 0, 0, 0, zone)
		case Month:
			next = time.Date(y, m+time.Month(ahead), 1, 0, 0, 0, 0, zone)
		}
		if next.After(t) {
			return next
		}
	}
}

// find is the place of the span that has the instant, or -1.
func find(in []span, t time.Time) int {
	i := sort.Search(len(in), func(i int) bool { return t.Before(in[i].until) })
	if i == len(in) || t.Before(in[i].from) {
		return -1
	}
	return i
}

// daysTaken is from receipt to answer in whole days begun: the least number of days of the zone's calendar after which the
// answer was there.
func daysTaken(received, answered time.Time, zone *time.Location) int {
	n := 0
	if guess := int(days(received, answered)) - 1; guess > 0 {
		n = guess
	}
	for received.In(zone).AddDate(0, 0, n).Before(answered) {
		n++
	}
	return n
}

// daysLeft is how many days of the calendar are from now to the day of due: 0 if that is today.
func daysLeft(now, due time.Time, zone *time.Location) int {
	n := dayNumber(due, zone) - dayNumber(now, zone)
	if n == 0 && now.After(due) {
		return -1
	}
	return n
}

// dayNumber numbers the days of the calendar.
func dayNumber(t time.Time, zone *time.Location) int {
	y, m, d := t.In(zone).Date()
	return int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
}

// hundredths rounds to two decimals, halves up.
func hundredths(sum, n int) float64 {
	return float64((200*sum+n)/(2*n)) / 100
}

func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC()
	return &u
}
