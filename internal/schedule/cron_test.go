// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/robfig/cron/v3"
	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	for line, want := range map[string]string{ // the first slot after 15 May 2025 12:34:56
		"0 3 * * *":           "2025-05-16T03:00:00Z",
		"  0   3\t* * *  ":    "2025-05-16T03:00:00Z",
		"*/15 * * * *":        "2025-05-15T12:45:00Z",
		"0 3 * * MON-FRI":     "2025-05-16T03:00:00Z",
		"0 3 ? * SUN":         "2025-05-18T03:00:00Z",
		"0 0 1 JAN,JUL *":     "2025-07-01T00:00:00Z",
		"0 0 13 * FRI":        "2025-05-16T00:00:00Z", // either day will do
		"0 0 29 2 *":          "2028-02-29T00:00:00Z",
		"@hourly":             "2025-05-15T13:00:00Z",
		"@daily":              "2025-05-16T00:00:00Z",
		"@midnight":           "2025-05-16T00:00:00Z",
		"@weekly":             "2025-05-18T00:00:00Z",
		"@monthly":            "2025-06-01T00:00:00Z",
		"@yearly":             "2026-01-01T00:00:00Z",
		"@annually":           "2026-01-01T00:00:00Z",
		"59 23 31 12 *":       "2025-12-31T23:59:00Z",
		"0-5,50-59/3 * * * *": "2025-05-15T12:50:00Z",
	} {
		t.Run(line, func(t *testing.T) {
			s, err := Parse(line, time.UTC)
			if err != nil {
				t.Fatal(err)
			}
			got := s.Next(at(t, "2025-05-15T12:34:56Z"))
			if diff := cmp.Diff(want, got.Format(time.RFC3339Nano)); diff != "" {
				t.Errorf("first slot (-want +got):\n%s", diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for line, why := range map[string]string{
		"":                          "is empty",
		"  ":                        "is empty",
		"0 3 * *":                   "has 4 fields: write five fields",
		"0 0 3 * * *":               "has 6 fields: write five fields",
		"0 3 * * 7":                 "above maximum",
		"60 3 * * *":                "above maximum",
		"0 3 * * MOON":              "is not a cron line",
		"0 3 0 * *":                 "below minimum",
		"*/0 * * * *":               "is not a cron line",
		"0 5-3 * * *":               "is not a cron line",
		"daily":                     "has 1 fields",
		"@fortnightly":              "is not a known macro: write one of @yearly",
		"@Daily":                    "is not a known macro",
		"@daily 3":                  "is not a known macro",
		"@reboot":                   "is not a known macro",
		"@every 1h":                 "has no slots",
		"TZ=Asia/Taipei 0 3 * * *":  "set spec.timeZone",
		"CRON_TZ=UTC 0 3 * * *":     "set spec.timeZone",
		"TZ=":                       "set spec.timeZone", // the library panics on this one
		"0 0 30 2 *":                "never fires: name a day that exists",
		"0 0 31 4,6,9,11 *":         "never fires",
		strings.Repeat("1,", 50000): "has 1 fields",
	} {
		t.Run(clip(line), func(t *testing.T) {
			_, err := Parse(line, time.UTC)
			if !errors.Is(err, ErrSchedule) {
				t.Fatalf("got %v", err)
			}
			if !strings.Contains(err.Error(), why) || len(err.Error()) > 500 {
				t.Errorf("message %q does not say %q, shortly", err, why)
			}
		})
	}
}

func TestParseNeverPanics(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line := rapid.StringOfN(rapid.RuneFrom([]rune("0123456789*/,-?@ \tTZ=LWsunjandilyery#")), 0, 30, -1).Draw(t, "line")
		if _, err := Parse(line, time.UTC); err != nil && !errors.Is(err, ErrSchedule) {
			t.Errorf("%q: %v", line, err)
		}
	})
}

func TestLoadLocation(t *testing.T) {
	for name, want := range map[string]string{"": "UTC", "UTC": "UTC", "Etc/UTC": "Etc/UTC", "Asia/Taipei": "Asia/Taipei"} {
		if loc, err := LoadLocation(name); err != nil || loc.String() != want {
			t.Errorf("%q: got %v, %v", name, loc, err)
		}
	}
	for _, name := range []string{"Local", "local", "localtime", "posixrules", "right/UTC", "Mars/Olympus", "../etc/passwd", "+08:00", "Asia/Taipei "} {
		_, err := LoadLocation(name)
		if !errors.Is(err, ErrTimeZone) || !strings.Contains(err.Error(), "spec.timeZone") || !strings.Contains(err.Error(), "write an IANA name") {
			t.Errorf("%q: got %v", name, err)
		}
	}
}

// On the days on which clocks change, every named time has one slot.
func TestSlotsWhenTheClockChanges(t *testing.T) {
	for name, c := range map[string]struct {
		line, zone, from, to string
		want                 []string // in local time
	}{
		"daily in the gap": {"30 2 * * *", "Europe/Berlin", "2025-03-29T00:00:00Z", "2025-04-01T00:00:00Z",
			[]string{"2025-03-29T02:30:00+01:00", "2025-03-30T03:00:00+02:00", "2025-03-31T02:30:00+02:00"}},
		"daily in the repeated hour": {"30 2 * * *", "Europe/Berlin", "2025-10-25T00:00:00Z", "2025-10-28T00:00:00Z",
			[]string{"2025-10-25T02:30:00+02:00", "2025-10-26T02:30:00+02:00", "2025-10-27T02:30:00+01:00"}},
		"daily after the gap": {"0 3 * * *", "Europe/Berlin", "2025-03-29T12:00:00Z", "2025-03-31T00:00:00Z",
			[]string{"2025-03-30T03:00:00+02:00"}},
		"several in the gap are one": {"*/20 1-3 * * *", "America/New_York", "2025-03-09T06:30:00Z", "2025-03-09T12:00:00Z",
			[]string{"2025-03-09T01:40:00-05:00", "2025-03-09T03:00:00-04:00", "2025-03-09T03:20:00-04:00", "2025-03-09T03:40:00-04:00"}},
		"several in the repeated hour run once": {"*/30 1,2 * * *", "America/New_York", "2025-11-02T04:00:00Z", "2025-11-02T12:00:00Z",
			[]string{"2025-11-02T01:00:00-04:00", "2025-11-02T01:30:00-04:00", "2025-11-02T02:00:00-05:00", "2025-11-02T02:30:00-05:00"}},
		"asked in the repeated hour": {"30 2 * * *", "Europe/Berlin", "2025-10-26T01:10:00Z", "2025-10-28T00:00:00Z",
			[]string{"2025-10-27T02:30:00+01:00"}},
		"hourly in the gap": {"30 * * * *", "Europe/Berlin", "2025-03-30T00:00:00Z", "2025-03-30T02:00:00Z",
			[]string{"2025-03-30T01:30:00+01:00", "2025-03-30T03:30:00+02:00"}},
		"hourly in the repeated hour": {"30 * * * *", "Europe/Berlin", "2025-10-25T23:45:00Z", "2025-10-26T02:45:00Z",
			[]string{"2025-10-26T02:30:00+02:00", "2025-10-26T02:30:00+01:00", "2025-10-26T03:30:00+01:00"}},
		"hourly at the end of the gap": {"@hourly", "Europe/Berlin", "2025-03-30T00:00:00Z", "2025-03-30T02:30:00Z",
			[]string{"2025-03-30T03:00:00+02:00", "2025-03-30T04:00:00+02:00"}},
		"half an hour of gap": {"15 2,3 * * *", "Australia/Lord_Howe", "2025-10-04T12:00:00Z", "2025-10-05T00:00:00Z",
			[]string{"2025-10-05T02:30:00+11:00", "2025-10-05T03:15:00+11:00"}},
		"midnight in the gap": {"@daily", "America/Sao_Paulo", "2018-11-03T04:00:00Z", "2018-11-06T00:00:00Z",
			[]string{"2018-11-04T01:00:00-02:00", "2018-11-05T00:00:00-02:00"}},
		"midnight twice": {"@daily", "America/Sao_Paulo", "2018-02-17T04:00:00Z", "2018-02-19T12:00:00Z",
			[]string{"2018-02-18T00:00:00-03:00", "2018-02-19T00:00:00-03:00"}},
		"the hour before midnight twice": {"30 23 * * *", "America/Sao_Paulo", "2018-02-17T04:00:00Z", "2018-02-19T12:00:00Z",
			[]string{"2018-02-17T23:30:00-02:00", "2018-02-18T23:30:00-03:00"}},
		"a day left out": {"0 3 * * *", "Pacific/Apia", "2011-12-29T00:00:00Z", "2012-01-01T00:00:00Z",
			[]string{"2011-12-29T03:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T03:00:00+14:00", "2012-01-01T03:00:00+14:00"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustParse(t, c.line, c.zone)
			var got []string
			for slot := s.Next(at(t, c.from)); slot.Before(at(t, c.to)); slot = s.Next(slot) {
				got = append(got, slot.In(s.loc).Format(time.RFC3339Nano))
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("slots of %q (-want +got):\n%s", c.line, diff)
			}
		})
	}
}

func TestNextFindsTheNextLeapDay(t *testing.T) {
	s := mustParse(t, "0 3 29 2 *", "Europe/Berlin") // 2100 is no leap year
	if got, want := s.Next(at(t, "2096-03-01T00:00:00Z")), at(t, "2104-02-29T02:00:00Z"); !got.Equal(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// Where no clock changes, the slots are those of the library that CronJobs use.
func TestNextInUTCIsThatOfTheLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line, after := cronLines().Draw(t, "line"), instants().Draw(t, "after")
		theirs, err := cron.ParseStandard("TZ=UTC " + line)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Parse(line, time.UTC)
		if theirs.Next(at(t, "2000-01-01T00:00:00Z")).IsZero() {
			if err == nil {
				t.Fatalf("%q never fires and was accepted", line)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, want := s.Next(after), theirs.Next(after); !want.IsZero() && !got.Equal(want) {
			t.Errorf("%q after %v: got %v, want %v", line, after, got, want)
		}
	})
}

func TestNextIsLaterAndMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := Parse(cronLines().Draw(t, "line"), zones(t).Draw(t, "zone"))
		if err != nil {
			return
		}
		after := instants().Draw(t, "after")
		next := s.Next(after)
		if !next.After(after) || next.Location() != time.UTC {
			t.Fatalf("after %v comes %v", after, next)
		}
		between := after.Add(time.Duration(rapid.Float64Range(0, 1).Draw(t, "between") * float64(next.Sub(after))))
		if got := s.Next(between); between.Before(next) && !got.Equal(next) {
			t.Errorf("after %v comes %v, but after %v comes %v", after, next, between, got)
		}
	})
}

// slotsByLooking reads the clock on the wall minute by minute.
func slotsByLooking(s Schedule, from, to time.Time) []time.Time {
	var out []time.Time
	if s.everyHour {
		for t := from.Truncate(time.Minute); t.Before(to); t = t.Add(time.Minute) {
			if t.After(from) && s.matches(t) {
				out = append(out, t)
			}
		}
		return out
	}
	// Each named time has its slot when the clock first shows it or more.
	high := wallOf(from.Add(-72*time.Hour), s.loc)
	for t := from.Add(-72 * time.Hour).Truncate(time.Minute); t.Before(to); t = t.Add(time.Minute) {
		shown := wallOf(t, s.loc)
		if !shown.After(high) {
			continue
		}
		if named := s.nextWall(high); !named.After(shown) && t.After(from) {
			out = append(out, t)
		}
		high = shown
	}
	return out
}

func TestSlotsAreThoseOfTheWallClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		zoneName := rapid.SampledFrom(append(modernZones, "Pacific/Apia", "Pacific/Kiritimati", "Antarctica/Troll")).Draw(t, "zone")
		since := func(t time.Time) bool { return t.Year() >= 1990 } // whole minutes since
		from := instants().Filter(since).Draw(t, "from")
		s, err := Parse(cronLines().Draw(t, "line"), zone(t, zoneName))
		if err != nil {
			return
		}
		to := from.Add(36 * time.Hour)
		var got []time.Time
		for slot := s.Next(from); slot.Before(to); slot = s.Next(slot) {
			got = append(got, slot)
		}
		if diff := cmp.Diff(slotsByLooking(s, from, to), got); diff != "" {
			t.Errorf("slots (-looking +got):\n%s", diff)
		}
	})
}

func TestMostRecent(t *testing.T) {
	for name, c := range map[string]struct {
		line, zone, earliest, now, want string
		count                           int
	}{
		"none":                       {"0 3 * * *", "UTC", "2025-05-15T03:00:00Z", "2025-05-16T02:59:59.9Z", "", 0},
		"now is in":                  {"0 3 * * *", "UTC", "2025-05-15T03:00:00Z", "2025-05-16T03:00:00Z", "2025-05-16T03:00:00Z", 1},
		"earliest is out":            {"0 3 * * *", "UTC", "2025-05-16T03:00:00Z", "2025-05-16T03:00:00Z", "", 0},
		"earliest after now":         {"0 3 * * *", "UTC", "2025-06-16T03:00:00Z", "2025-05-16T03:00:00Z", "", 0},
		"three days down":            {"0 3 * * *", "UTC", "2025-05-13T03:00:00Z", "2025-05-16T12:00:00Z", "2025-05-16T03:00:00Z", 3},
		"exactly what is counted":    {"* * * * *", "UTC", "2025-05-16T00:00:00Z", "2025-05-16T01:40:30Z", "2025-05-16T01:40:00Z", 100},
		"one more":                   {"* * * * *", "UTC", "2025-05-16T00:00:00Z", "2025-05-16T01:41:30Z", "2025-05-16T01:41:00Z", 101},
		"since the year one":         {"* * * * *", "Europe/Berlin", "0001-01-01T00:00:00Z", "2025-05-16T01:41:30Z", "2025-05-16T01:41:00Z", 101},
		"a year, over a weekend":     {"*/5 9-17 * * 1-5", "Asia/Taipei", "2024-05-16T00:00:00Z", "2025-05-18T12:00:00Z", "2025-05-16T09:55:00Z", 101},
		"fractions of a second":      {"* * * * *", "UTC", "2020-05-16T00:00:00.999Z", "2025-05-16T01:41:00.001Z", "2025-05-16T01:41:00Z", 101},
		"one slot a year, for years": {"@yearly", "UTC", "2015-06-01T00:00:00Z", "2025-05-16T00:00:00Z", "2025-01-01T00:00:00Z", 10},
	} {
		t.Run(name, func(t *testing.T) {
			slot, count := mustParse(t, c.line, c.zone).MostRecent(at(t, c.earliest), at(t, c.now))
			got := ""
			if slot != nil {
				got = slot.Format(time.RFC3339Nano)
			}
			if got != c.want || count != c.count {
				t.Errorf("got %q and %d, want %q and %d", got, count, c.want, c.count)
			}
		})
	}
}

func TestMostRecentIsTheLastOfAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, err := Parse(cronLines().Draw(t, "line"), zones(t).Draw(t, "zone"))
		if err != nil {
			return
		}
		earliest := instants().Draw(t, "earliest")
		now := earliest.Add(time.Duration(rapid.Int64Range(0, 40*86400e6).Draw(t, "down")) * time.Microsecond)
		var want *time.Time
		n := 0
		for slot := s.Next(earliest); !slot.After(now) && n < 2000; slot = s.Next(slot) {
			want, n = &slot, n+1
		}
		slot, count := s.MostRecent(earliest, now)
		if count != min(n, MaxMissed+1) {
			t.Errorf("counted %d of %d", count, n)
		}
		if n == 2000 { // enough looking: the slot must be the last, whatever it is
			if next := s.Next(*slot); slot.After(now) || !next.After(now) {
				t.Errorf("%v is not the last slot up to %v, after which comes %v", slot, now, next)
			}
		} else if diff := cmp.Diff(want, slot); diff != "" {
			t.Errorf("most recent (-want +got):\n%s", diff)
		}
	})
}

func TestInterval(t *testing.T) {
	const hour = time.Hour
	for name, c := range map[string]struct {
		line, zone, at string
		want           time.Duration
	}{
		"daily":                 {"0 3 * * *", "UTC", "2025-05-16T12:00:00Z", 24 * hour},
		"at a slot":             {"0 3 * * *", "UTC", "2025-05-16T03:00:00Z", 24 * hour},
		"over spring forward":   {"0 3 * * *", "Europe/Berlin", "2025-03-29T12:00:00Z", 23 * hour},
		"over a weekend":        {"0 3 * * 1-5", "UTC", "2025-05-17T12:00:00Z", 72 * hour},
		"yearly":                {"@yearly", "UTC", "2024-05-17T12:00:00Z", 366 * 24 * hour},
		"every leap day":        {"0 0 29 2 *", "UTC", "2100-05-17T12:00:00Z", 2921 * 24 * hour},
		"quarters of an hour":   {"*/15 * * * *", "Europe/Berlin", "2025-03-30T00:50:00Z", hour / 4},
		"sub-second resolution": {"* * * * *", "UTC", "2025-03-30T00:50:00.5Z", time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			if got := mustParse(t, c.line, c.zone).Interval(at(t, c.at)); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// cronLines draws lines of five fields, some of which never fire.
func cronLines() *rapid.Generator[string] {
	field := func(t *rapid.T, name string, low, high int) string {
		switch rapid.IntRange(0, 3).Draw(t, name+" kind") {
		case 0:
			return "*"
		case 1:
			return fmt.Sprintf("*/%d", rapid.IntRange(1, (high-low)/2+1).Draw(t, name+" step"))
		case 2:
			a, b := rapid.IntRange(low, high).Draw(t, name), rapid.IntRange(low, high).Draw(t, name)
			return fmt.Sprintf("%d-%d", min(a, b), max(a, b))
		default:
			list := rapid.SliceOfN(rapid.IntRange(low, high), 1, 3).Draw(t, name)
			slices.Sort(list)
			return strings.Trim(strings.ReplaceAll(fmt.Sprint(list), " ", ","), "[]")
		}
	}
	return rapid.Custom(func(t *rapid.T) string {
		days := "* * *" // most lines are daily
		if rapid.Bool().Draw(t, "some days") {
			days = field(t, "day", 1, 31) + " " + field(t, "month", 1, 12) + " " + field(t, "weekday", 0, 6)
		}
		return field(t, "minute", 0, 59) + " " + field(t, "hour", 0, 23) + " " + days
	})
}

func BenchmarkMostRecentAfterYears(b *testing.B) {
	s := mustParse(b, "*/5 9-17 * * 1-5", "Europe/Berlin")
	earliest, now := at(b, "2015-01-01T00:00:00Z"), at(b, "2025-05-18T12:00:00Z")
	for b.Loop() {
		s.MostRecent(earliest, now)
	}
}
