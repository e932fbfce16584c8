// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"encoding/csv"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParsePeriod(t *testing.T) {
	for text, want := range map[string]Period{
		"P11M":           {months: 11},
		"P90D":           {days: 90},
		"P1Y6M":          {months: 18},
		"P2W":            {days: 14},
		"P1W3D":          {days: 10},
		"PT12H":          {clock: 12 * time.Hour},
		"P1DT12H":        {days: 1, clock: 12 * time.Hour},
		"PT1M":           {clock: time.Minute},
		"P1M":            {months: 1},
		"P1Y2M3W4DT5H6M": {months: 14, days: 25, clock: 5*time.Hour + 6*time.Minute},
		"P0Y1D":          {days: 1},
		"P00090D":        {days: 90},
		"PT99999S":       {clock: 99999 * time.Second},
		"P1000Y":         {months: 12000},
		"P99999D":        {days: 99999},
	} {
		t.Run(text, func(t *testing.T) {
			want.text = text
			got, err := ParsePeriod(text)
			if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if got.String() != text {
				t.Errorf("String() = %q, want the original %q", got.String(), text)
			}
		})
	}
}

func TestParsePeriodRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, why string }{
		"empty":              {"", "is empty"},
		"no length":          {"P", "says no length"},
		"bare T":             {"P1DT", "has nothing after its T"},
		"only T":             {"PT", "has nothing after its T"},
		"zero":               {"P0D", "is zero"},
		"zero in many words": {"P0Y0M0W0DT0H0M0S", "is zero"},
		"negative":           {"-P1D", "negative"},
		"negative number":    {"P-1D", "negative"},
		"plus":               {"P+1D", "is not an ISO 8601 period"},
		"fraction":           {"P1.5Y", "fraction"},
		"comma":              {"P1,5Y", "fraction"},
		"out of order":       {"P1D1Y", "is not an ISO 8601 period"},
		"twice":              {"P1D1D", "is not an ISO 8601 period"},
		"hours without T":    {"P12H", "is not an ISO 8601 period"},
		"days after T":       {"PT1D", "is not an ISO 8601 period"},
		"lower case":         {"p90d", "is not an ISO 8601 period"},
		"Go duration":        {"720h", "is not an ISO 8601 period"},
		"prose":              {"30 days", "is not an ISO 8601 period"},
		"space around":       {" P90D", "is not an ISO 8601 period"},
		"line break":         {"P90D\n", "is not an ISO 8601 period"},
		"other digits":       {"P٣D", "is not an ISO 8601 period"},
		"overlong number":    {"P000090D", "more than five digits"},
		"overflow":           {"P99999999999999999999Y", "more than five digits"},
		"over 1000 years":    {"P1001Y", "longer than 1000 years"},
		"over 1000 in sum":   {"P1000Y1D", "longer than 1000 years"},
		"months over":        {"P12001M", "longer than 1000 years"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParsePeriod(c.text)
			if err == nil {
				t.Fatalf("%q was read as %+v", c.text, got)
			}
			if got != (Period{}) {
				t.Errorf("an error came with %+v", got)
			}
			if !strings.Contains(err.Error(), c.why) || !strings.HasSuffix(err.Error(), "write for example P90D, P11M or P7Y") {
				t.Errorf("message %q neither says %q nor what to write", err, c.why)
			}
		})
	}
	if _, err := ParsePeriod(strings.Repeat("x", 100_000)); len(err.Error()) > 500 {
		t.Errorf("a message of %d bytes repeats all of its input", len(err.Error()))
	}
}

func TestAddTo(t *testing.T) {
	for name, c := range map[string]struct{ zone, from, period, want string }{
		"31 January in a common year":  {"UTC", "2025-01-31T01:00:00Z", "P1M", "2025-02-28T01:00:00Z"},
		"31 January in a leap year":    {"UTC", "2024-01-31T01:00:00Z", "P1M", "2024-02-29T01:00:00Z"},
		"30 January keeps its hour":    {"UTC", "2025-01-30T23:00:00Z", "P1M", "2025-02-28T23:00:00Z"},
		"leap day after a year":        {"UTC", "2024-02-29T00:00:00Z", "P1Y", "2025-02-28T00:00:00Z"},
		"leap day after four years":    {"UTC", "2024-02-29T00:00:00Z", "P4Y", "2028-02-29T00:00:00Z"},
		"1900 was no leap year":        {"UTC", "1896-02-29T00:00:00Z", "P4Y", "1900-02-28T00:00:00Z"},
		"eleven months over a year":    {"UTC", "2024-03-31T12:00:00Z", "P11M", "2025-02-28T12:00:00Z"},
		"months before days":           {"UTC", "2025-01-31T00:00:00Z", "P1M1D", "2025-03-01T00:00:00Z"},
		"90 days are not three months": {"UTC", "2025-12-01T00:00:00Z", "P90D", "2026-03-01T00:00:00Z"},
		"microseconds stay":            {"UTC", "2025-01-31T23:59:59.999999Z", "P1M", "2025-02-28T23:59:59.999999Z"},
		"a thousand years":             {"UTC", "2025-01-31T00:00:00Z", "P1000Y", "3025-01-31T00:00:00Z"},
		"the zone decides on the day":  {"Asia/Taipei", "2025-01-30T16:30:00Z", "P1M", "2025-02-27T16:30:00Z"}, // 31 January there
		"a day over spring forward":    {"Europe/Berlin", "2025-03-29T11:00:00Z", "P1D", "2025-03-30T10:00:00Z"},
		"24 hours over spring forward": {"Europe/Berlin", "2025-03-29T11:00:00Z", "PT24H", "2025-03-30T11:00:00Z"},
		"a gap moves forward":          {"Europe/Berlin", "2025-03-29T01:30:00Z", "P1D", "2025-03-30T01:30:00Z"},       // 02:30 → 03:30
		"a repeated hour is the later": {"Europe/Berlin", "2025-10-25T00:30:00Z", "P1D", "2025-10-26T01:30:00Z"},       // 02:30 CET
		"from a repeated hour":         {"Europe/Berlin", "2025-10-26T00:30:00Z", "P1D", "2025-10-27T01:30:00Z"},       // 02:30 CEST
		"hours come after the gap":     {"Europe/Berlin", "2025-03-29T01:30:00Z", "P1DT1H", "2025-03-30T02:30:00Z"},    //
		"half an hour of gap":          {"Australia/Lord_Howe", "2025-10-03T15:45:00Z", "P1D", "2025-10-04T15:45:00Z"}, // 02:15 → 02:45
		"half an hour twice":           {"Australia/Lord_Howe", "2025-04-04T14:45:00Z", "P1D", "2025-04-05T15:15:00Z"}, // 01:45 the second time
		"a day that was left out":      {"Pacific/Apia", "2011-12-29T20:00:00Z", "P1D", "2011-12-30T20:00:00Z"},        // 29th 10:00 → 31st 10:00
		"midnight in a gap":            {"America/Sao_Paulo", "2018-11-03T03:15:00Z", "P1D", "2018-11-04T03:15:00Z"},   // 00:15 → 01:15
		"before there were zones":      {"Europe/Berlin", "1800-01-31T00:00:00Z", "P1M", "1800-02-28T00:00:00Z"},       //
		"hours only do not re-read":    {"Europe/Berlin", "2025-10-26T00:30:00Z", "PT1S", "2025-10-26T00:30:01Z"},      // first 02:30
		"over the month, into the gap": {"America/New_York", "2025-02-09T07:30:00Z", "P1M", "2025-03-09T07:30:00Z"},    // 02:30 → 03:30
		"single step when both change": {"Europe/Berlin", "2025-02-28T01:30:00Z", "P1M2D", "2025-03-30T01:30:00Z"},     // 30 March 02:30 → 03:30
	} {
		t.Run(name, func(t *testing.T) {
			got := mustPeriod(t, c.period).AddTo(at(t, c.from), zone(t, c.zone))
			if diff := cmp.Diff(c.want, got.Format(time.RFC3339Nano)); diff != "" {
				t.Errorf("%s + %s in %s (-want +got):\n%s", c.from, c.period, c.zone, diff)
			}
		})
	}
}

// The rows are what PostgreSQL 15 answers to from + make_interval(months, days,
// secs) in a session of the zone: drawn at random, many of them on the days on
// which clocks change, between 1970 and 2020 so that no new law changes them.
func TestAddToIsThatOfPostgreSQL(t *testing.T) {
	file, err := os.Open("testdata/postgresql.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	reader := csv.NewReader(file)
	reader.Comma = '|'
	rows, err := reader.ReadAll()
	if err != nil || len(rows) != 401 {
		t.Fatalf("read %d rows: %v", len(rows), err)
	}
	for _, row := range rows[1:] {
		var n [3]int
		for i := range n {
			if n[i], err = strconv.Atoi(row[2+i]); err != nil {
				t.Fatal(err)
			}
		}
		p := Period{months: n[0], days: n[1], clock: time.Duration(n[2]) * time.Second}
		got := p.AddTo(at(t, row[1]), zone(t, row[0])).Format("2006-01-02T15:04:05.000000")
		if got != row[5] {
			t.Errorf("%v: got %s", row, got)
		}
	}
}

// Before any change of the clock, arithmetic is plain: a day after the other.
func TestAddToInUTC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		from := instants().Draw(t, "from")
		days := rapid.IntRange(1, 5000).Draw(t, "days")
		months := rapid.IntRange(0, 600).Draw(t, "months")
		got := Period{days: days}.AddTo(from, time.UTC)
		if want := from.Add(time.Duration(days) * 24 * time.Hour); !got.Equal(want) {
			t.Errorf("%v + %d days = %v, want %v", from, days, got, want)
		}
		got = Period{months: months}.AddTo(from, time.UTC)
		if want := int(from.Month()) - 1 + months; 12*(got.Year()-from.Year())+int(got.Month())-1 != want {
			t.Errorf("%v + %d months = %v: another month", from, months, got)
		}
		nextMonth := got.AddDate(0, 0, 1).Month() != got.Month()
		if got.Day() != from.Day() && (!nextMonth || got.Day() > from.Day()) {
			t.Errorf("%v + %d months = %v: neither the same day nor the last", from, months, got)
		}
		if got.Sub(dateOf(got)) != from.Sub(dateOf(from)) {
			t.Errorf("%v + %d months = %v: another time of day", from, months, got)
		}
	})
}

// A record is never over before its period is: the wall clock has reached the
// wall time that the calendar names.
func TestAddToReachesTheNamedTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loc, from, p := zones(t).Draw(t, "zone"), instants().Draw(t, "from"), calendarPeriods().Draw(t, "period")
		p.clock = 0 // elapsed time names no time of day
		got := p.AddTo(from, loc)
		named := p.shift(wallOf(from, loc))
		shown := wallOf(got, loc)
		if shown.Before(named) {
			t.Errorf("%v + %v ends when the clock in %v shows %v, before %v", from, p, loc, shown, named)
		}
		if later := shown.Sub(named); later > 24*time.Hour {
			t.Errorf("%v + %v ends %v after %v", from, p, later, named)
		}
	})
}
