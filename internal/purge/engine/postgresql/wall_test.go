// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"testing"
	"time"
)

// zones have clocks that were set forward and back by an hour, half an hour and a day.
var zones = []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "America/St_Johns"}

func zone(tb testing.TB, name string) *time.Location {
	tb.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		tb.Fatal(err)
	}
	return loc
}

// shownAt are the instants at which a clock shows wall, tried one by one.
func shownAt(wall time.Time, loc *time.Location) []time.Time {
	var at []time.Time
	for offset := 15 * time.Hour; offset >= -15*time.Hour; offset -= 15 * time.Minute {
		t := wall.Add(-offset)
		if t.In(loc).Format(time.DateTime) == wall.Format(time.DateTime) {
			at = append(at, t)
		}
	}
	return at
}

func TestLatestInstant(t *testing.T) {
	tests := map[string]struct{ zone, wall, want string }{
		"plain":             {"Europe/Berlin", "2024-07-01 12:00:00", "2024-07-01 10:00:00"},
		"repeated":          {"Europe/Berlin", "2024-10-27 02:30:00", "2024-10-27 01:30:00"},
		"start of repeat":   {"Europe/Berlin", "2024-10-27 02:00:00", "2024-10-27 01:00:00"},
		"after repeat":      {"Europe/Berlin", "2024-10-27 03:00:00", "2024-10-27 02:00:00"},
		"in the gap":        {"Europe/Berlin", "2024-03-31 02:30:00", "2024-03-31 01:30:00"},
		"after the gap":     {"Europe/Berlin", "2024-03-31 03:00:00", "2024-03-31 01:00:00"},
		"half an hour":      {"Australia/Lord_Howe", "2024-04-07 01:45:00", "2024-04-06 15:15:00"},
		"the missing day":   {"Pacific/Apia", "2011-12-30 12:00:00", "2011-12-30 22:00:00"},
		"far in the future": {"Europe/Berlin", "9998-12-31 23:00:00", "9998-12-31 22:00:00"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := latestInstant(instant(t, test.wall), zone(t, test.zone))
			if want := instant(t, test.want); !got.Equal(want) {
				t.Errorf("got %v, want %v", got.UTC(), want)
			}
		})
	}
}

func instant(tb testing.TB, s string) time.Time {
	tb.Helper()
	v, err := time.Parse(time.DateTime, s)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// Whatever is written up to lastWall is over at the cutoff, read in any way; the next wall time that a clock shows is not,
// or one before it is not.
func TestLastWallIsSafeAndTight(t *testing.T) {
	for _, name := range zones {
		loc := zone(t, name)
		for _, around := range []string{"2024-03-31 01:00:00", "2024-10-27 01:00:00", "2024-03-10 07:00:00", "2024-11-03 06:00:00",
			"2024-04-06 15:00:00", "2024-10-05 15:30:00", "2011-12-30 10:00:00", "2048-12-31 20:00:00"} {
			for minutes := -26 * 60; minutes <= 26*60; minutes += 15 {
				cutoff := instant(t, around).Add(time.Duration(minutes) * time.Minute)
				last := lastWall(cutoff, loc)
				for w := last.Truncate(15 * time.Minute); w.After(last.Add(-27 * time.Hour)); w = w.Add(-15 * time.Minute) {
					if got := latestInstant(w, loc); got.After(cutoff) {
						t.Fatalf("%s, cutoff %v: %v is below %v but ends %v", name, cutoff, w, last, got)
					}
				}
				if next := last.Add(time.Microsecond); !latestInstant(next, loc).After(cutoff) {
					t.Fatalf("%s, cutoff %v: %v is over too, beyond %v", name, cutoff, next, last)
				}
			}
		}
	}
}

// latestInstant agrees with a clock that is looked at, one instant after the other.
func TestLatestInstantIsTheLastThatAClockShows(t *testing.T) {
	for _, name := range zones {
		loc := zone(t, name)
		for _, around := range []string{"2024-03-31 01:00:00", "2024-10-27 01:00:00", "2024-04-06 15:00:00", "2011-12-30 10:00:00"} {
			for minutes := -30 * 60; minutes <= 30*60; minutes += 15 {
				wall := instant(t, around).Add(time.Duration(minutes) * time.Minute)
				shown := shownAt(wall, loc)
				if len(shown) == 0 {
					continue // in a gap
				}
				want := shown[0]
				for _, at := range shown {
					if at.After(want) {
						want = at
					}
				}
				if got := latestInstant(wall, loc); !got.Equal(want) {
					t.Fatalf("%s: %v is %v, want %v", name, wall, got.UTC(), want)
				}
			}
		}
	}
}
