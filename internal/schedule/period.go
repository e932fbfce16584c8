// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Period is an ISO 8601 calendar period such as P90D, P11M, P1Y6M, P2W or
// PT12H. The zero value is no period; ParsePeriod never returns it without an
// error. Periods are comparable with ==, by the way they were written.
type Period struct {
	text   string
	months int           // years and months
	days   int           // weeks and days
	clock  time.Duration // hours, minutes and seconds: elapsed time
}

const (
	maxPeriodYears = 1000
	daysPerYear    = 365.2425
	periodAdvice   = "write for example P90D, P11M or P7Y"
)

var periodSyntax = regexp.MustCompile(`^P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?$`)

// ParsePeriod reads P[nY][nM][nW][nD][T[nH][nM][nS]]: whole non-negative
// numbers of at most five digits, not all zero, together at most 1000 years.
// The error says what to write instead.
func ParsePeriod(s string) (Period, error) {
	refuse := func(why string) (Period, error) {
		return Period{}, fmt.Errorf("period %q %s: %s", clip(s), why, periodAdvice)
	}
	found := periodSyntax.FindStringSubmatch(s)
	switch {
	case s == "":
		return refuse("is empty")
	case strings.Contains(s, "-"):
		return refuse("has a minus sign, and a period cannot be negative")
	case strings.ContainsAny(s, ".,"):
		return refuse("has a fraction, and only whole numbers are allowed")
	case found == nil:
		return refuse("is not an ISO 8601 period (P, then years Y, months M, weeks W and days D in this order, then T before hours H, minutes M and seconds S)")
	case strings.HasSuffix(s, "P"):
		return refuse("says no length")
	case strings.HasSuffix(s, "T"):
		return refuse("has nothing after its T")
	}
	var n [7]int
	for i, digits := range found[1:] {
		if len(digits) > 5 {
			return refuse("has a number of more than five digits")
		}
		if digits != "" {
			n[i], _ = strconv.Atoi(digits) // one to five digits always fit
		}
	}
	p := Period{
		text:   s,
		months: 12*n[0] + n[1],
		days:   7*n[2] + n[3],
		clock:  time.Duration(n[4])*time.Hour + time.Duration(n[5])*time.Minute + time.Duration(n[6])*time.Second,
	}
	if p.months == 0 && p.days == 0 && p.clock == 0 {
		return refuse("is zero, which would delete every record at once")
	}
	if p.approxDays() > maxPeriodYears*daysPerYear {
		return refuse(fmt.Sprintf("is longer than %d years", maxPeriodYears))
	}
	return p, nil
}

// String returns the period as it was written.
func (p Period) String() string { return p.text }

// approxDays is the length with months and years of mean length, for rough bounds only.
func (p Period) approxDays() float64 {
	return float64(p.months)*daysPerYear/12 + float64(p.days) + p.clock.Hours()/24
}

// AddTo is the instant, in UTC, at which the period of a record of instant t
// is over, reckoned by the calendar and the wall clock of loc:
//
//  1. Years and months come first. A day that the month does not have becomes
//     the month's last: 31 January + P1M is 28 or 29 February, 29 February +
//     P1Y is 28 February. Weeks and days follow. The time of day stays.
//  2. A wall time that does not exist there moves forward by the length of the
//     gap (02:30 becomes 03:30); one that exists twice is the later one.
//  3. Hours, minutes and seconds are elapsed time, added last.
//
// It equals PostgreSQL's timestamptz + interval in a session of the same time
// zone, save that PostgreSQL also applies rule 2 between the months and the
// days of one period.
//
// It is not monotone: 30 January 23:00 + P1M is later than 31 January 01:00 +
// P1M. Cutoff takes care of that.
func (p Period) AddTo(t time.Time, loc *time.Location) time.Time {
	t = t.UTC().Round(0)
	if p.months != 0 || p.days != 0 {
		t = latest(p.shift(wallOf(t, loc)), loc)
	}
	return t.Add(p.clock)
}

// shift adds the years, months, weeks and days to a wall time, or to a date at
// its midnight. On dates it is non-decreasing.
func (p Period) shift(w wall) wall {
	w = addMonths(w, p.months)
	return w.AddDate(0, 0, p.days)
}

// addMonths keeps the day of the month if the new month has it, and takes the
// month's last day otherwise; n may be negative.
func addMonths(w wall, n int) wall {
	first := w.AddDate(0, n, 1-w.Day())
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(w.Day(), last)-1)
}
