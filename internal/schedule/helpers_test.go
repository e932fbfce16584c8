// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"fmt"
	"time"

	"pgregory.net/rapid"
)

// fataler is what *testing.T and *rapid.T share.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

func at(t fataler, s string) time.Time {
	t.Helper()
	out, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func zone(t fataler, name string) *time.Location {
	t.Helper()
	loc, err := LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return loc
}

func mustPeriod(t fataler, s string) Period {
	t.Helper()
	p, err := ParsePeriod(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func mustParse(t fataler, line, zoneName string) Schedule {
	t.Helper()
	s, err := Parse(line, zone(t, zoneName))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// modernZones change their clocks by at most an hour, within the years that
// instants draws from.
var modernZones = []string{
	"UTC", "Asia/Taipei", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo",
	"Africa/Casablanca", "Europe/Dublin", "Asia/Gaza", "America/Havana", "Asia/Kathmandu", "Asia/Beirut",
}

// oddZones left out or repeated whole days, changed by odd seconds, or by
// several hours.
var oddZones = []string{
	"Pacific/Apia", "Pacific/Kwajalein", "Pacific/Kiritimati", "America/Juneau", "Asia/Manila", "Africa/Monrovia",
	"Antarctica/Troll", "Antarctica/Casey", "Europe/Amsterdam", "America/Caracas", "Asia/Pyongyang", "Pacific/Guam",
}

func zones(t fataler) *rapid.Generator[*time.Location] {
	var all []*time.Location
	for _, name := range append(append([]string{}, modernZones...), oddZones...) {
		all = append(all, zone(t, name))
	}
	return rapid.SampledFrom(all)
}

// instants draws microseconds, near month ends, leap days and the days on
// which clocks changed more often than elsewhere.
func instants() *rapid.Generator[time.Time] {
	special := []time.Time{
		time.Date(2011, 12, 30, 10, 0, 0, 0, time.UTC),  // Apia leaves out a day
		time.Date(1993, 8, 21, 12, 0, 0, 0, time.UTC),   // so does Kwajalein
		time.Date(1994, 12, 31, 10, 0, 0, 0, time.UTC),  // and Kiritimati
		time.Date(1867, 10, 18, 12, 0, 0, 0, time.UTC),  // Alaska has one twice
		time.Date(1844, 12, 31, 12, 0, 0, 0, time.UTC),  // Manila leaves one out
		time.Date(2018, 11, 4, 3, 0, 0, 0, time.UTC),    // midnight in a gap
		time.Date(2018, 2, 18, 2, 0, 0, 0, time.UTC),    // midnight twice
		time.Date(2025, 3, 30, 1, 0, 0, 0, time.UTC),    // Berlin
		time.Date(2025, 10, 26, 1, 0, 0, 0, time.UTC),   //
		time.Date(2025, 3, 9, 7, 0, 0, 0, time.UTC),     // New York
		time.Date(2025, 11, 2, 6, 0, 0, 0, time.UTC),    //
		time.Date(2025, 4, 5, 15, 0, 0, 0, time.UTC),    // Lord Howe
		time.Date(2025, 10, 4, 15, 30, 0, 0, time.UTC),  //
		time.Date(2025, 2, 23, 2, 0, 0, 0, time.UTC),    // Casablanca
		time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC),    // leap day
		time.Date(2025, 2, 28, 12, 0, 0, 0, time.UTC),   //
		time.Date(2000, 2, 29, 12, 0, 0, 0, time.UTC),   //
		time.Date(1900, 2, 28, 12, 0, 0, 0, time.UTC),   // no leap year
		time.Date(2025, 12, 31, 23, 59, 0, 0, time.UTC), //
		time.Date(2040, 12, 31, 12, 0, 0, 0, time.UTC),  // time.ZoneBounds errs
	}
	return rapid.Custom(func(t *rapid.T) time.Time {
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			near := rapid.SampledFrom(special).Draw(t, "special")
			return near.Add(time.Duration(rapid.Int64Range(-60*3600, 60*3600).Draw(t, "seconds")) * time.Second)
		case 1: // around a month's end
			first := time.Date(2015+rapid.IntRange(0, 15).Draw(t, "year"), time.Month(rapid.IntRange(1, 12).Draw(t, "month")), 1, 0, 0, 0, 0, time.UTC)
			return first.Add(time.Duration(rapid.Int64Range(-4*86400e6, 2*86400e6).Draw(t, "microseconds")) * time.Microsecond)
		default:
			return time.UnixMicro(rapid.Int64Range(0, 2_200_000_000e6).Draw(t, "microseconds")).UTC()
		}
	})
}

func calendarPeriods() *rapid.Generator[Period] {
	return rapid.Custom(func(t *rapid.T) Period {
		var p Period
		kind := rapid.IntRange(1, 7).Draw(t, "kind")
		if kind&1 != 0 {
			p.months = rapid.SampledFrom([]int{1, 2, 3, 6, 11, 12, 13, 18, 84, 120, 1200}).Draw(t, "months")
		}
		if kind&2 != 0 {
			p.days = rapid.SampledFrom([]int{1, 2, 7, 29, 30, 31, 90, 365}).Draw(t, "days")
		}
		if kind&4 != 0 {
			p.clock = time.Duration(rapid.IntRange(1, 100_000).Draw(t, "clock")) * time.Second
		}
		p.text = fmt.Sprintf("P%dM%dDT%dS", p.months, p.days, int(p.clock.Seconds()))
		return p
	})
}
