// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // an image without /usr/share/zoneinfo must reckon the same
)

// ErrTimeZone is wrapped by every error of LoadLocation: the specification has
// to change, a retry cannot help.
var ErrTimeZone = errors.New("spec.timeZone")

// LoadLocation returns the location of an IANA time zone name; the empty name
// is UTC. Names that mean something else on every machine ("Local") and the
// leap-second variants ("right/…") are refused.
func LoadLocation(name string) (*time.Location, error) {
	switch {
	case name == "":
		return time.UTC, nil
	case strings.EqualFold(name, "local"), name == "localtime", name == "posixrules", strings.HasPrefix(name, "right/"):
		return nil, fmt.Errorf("%w: %q is not a fixed time zone: write an IANA name, for example Asia/Taipei or UTC", ErrTimeZone, clip(name))
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%w: time zone %q is unknown: write an IANA name, for example Asia/Taipei or UTC", ErrTimeZone, clip(name))
	}
	return loc, nil
}

// reach is more than any wall clock was ever set forward or back: the largest
// jumps, across the date line, are 24 hours.
const reach = 48 * time.Hour

// segment is a stretch of time [start, end) with one UTC offset.
type segment struct {
	start, end time.Time
	offset     time.Duration
}

// segments cuts [from, to) at the transitions of loc, and perhaps elsewhere.
func segments(loc *time.Location, from, to time.Time) []segment {
	var out []segment
	for from.Before(to) {
		s := segmentAt(from, loc)
		if s.end.After(to) {
			s.end = to
		}
		out = append(out, s)
		from = s.end
	}
	return out
}

// segmentAt starts at t and ends, later than t, where the offset next changes
// or sooner.
func segmentAt(t time.Time, loc *time.Location) segment {
	local := t.In(loc)
	_, end := local.ZoneBounds()
	if end.IsZero() { // the offset never changes again
		end = t.AddDate(1, 0, 0)
	}
	if !end.After(t) {
		// Beyond a zone's last listed transition (2037), ZoneBounds takes every
		// year for 365 days long and errs on 31 December of a leap year.
		end = t.Truncate(24 * time.Hour).Add(24 * time.Hour)
	}
	return segment{start: t.UTC(), end: end.UTC(), offset: offsetOf(local)}
}

func offsetOf(local time.Time) time.Duration {
	_, seconds := local.Zone()
	return time.Duration(seconds) * time.Second
}

// A wall is what a clock on the wall shows, held as a time.Time in UTC so that
// calendar arithmetic on it never meets a transition.
type wall = time.Time

func wallOf(t time.Time, loc *time.Location) wall {
	return t.UTC().Round(0).Add(offsetOf(t.In(loc)))
}

// latest is the last instant at which a clock in loc shows w. A wall time in a
// gap is read by the clock before the gap, which moves it forward by the
// length of the gap: 02:30 becomes 03:30. Both are what PostgreSQL does, and
// both lie on the side of keeping a record.
func latest(w wall, loc *time.Location) time.Time {
	segs := segments(loc, w.Add(-reach), w.Add(reach))
	for i := len(segs) - 1; i >= 0; i-- {
		t := w.Add(-segs[i].offset)
		if t.Before(segs[i].start) {
			continue
		}
		// Beyond the segment's end t is in the gap that follows it.
		return t
	}
	return w.Add(-segs[0].offset) // not reached: an offset is smaller than reach
}

// earliest is the first instant at which a clock in loc shows w or later: of a
// repeated wall time the first, of a wall time in a gap the end of the gap. It
// is non-decreasing in w.
func earliest(w wall, loc *time.Location) time.Time {
	segs := segments(loc, w.Add(-reach), w.Add(reach))
	for _, s := range segs {
		t := w.Add(-s.offset)
		if t.Before(s.start) {
			return s.start
		}
		if t.Before(s.end) {
			return t
		}
	}
	return w.Add(-segs[len(segs)-1].offset) // not reached, see latest
}

// highest is the highest wall time that a clock in loc has shown up to and
// including t; right after the clock was set back it lies ahead of wallOf(t).
func highest(t time.Time, loc *time.Location) wall {
	high := wallOf(t, loc)
	for _, s := range segments(loc, t.UTC().Add(-reach), t.UTC()) {
		if shown := s.end.Add(s.offset - time.Nanosecond); shown.After(high) {
			high = shown
		}
	}
	return high
}

// clip bounds what a message repeats of its input.
func clip(s string) string {
	const limit = 80
	if r := []rune(s); len(r) > limit {
		return string(r[:limit]) + "…"
	}
	return s
}
