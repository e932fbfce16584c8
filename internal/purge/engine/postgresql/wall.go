// SPDX-License-Identifier: Apache-2.0

package postgresql

import "time"

// A wall time is what a clock on the wall shows, without a zone. We hold it as a time.Time in UTC.

// reach is more than any clock was ever set forward or back.
const reach = 48 * time.Hour

// latestInstant is the last instant at which a clock in zone shows wall: of a repeated hour the second one. A wall time
// that a clock skips is read by the clock before the gap, as PostgreSQL does. Both lie on the side of keeping a record.
func latestInstant(wall time.Time, zone *time.Location) time.Time {
	var instant time.Time
	for t := wall.Add(-reach); ; {
		offset, end := offsetAt(t, zone)
		candidate := wall.Add(-offset)
		if !candidate.Before(t) {
			instant = candidate // in this stretch of one offset, or in the gap after it
		}
		if t = end; !t.Before(wall.Add(reach)) {
			return instant
		}
	}
}

// lastWall is the highest wall time, to the microsecond, up to which all wall times have a latestInstant ≤ cutoff.
func lastWall(cutoff time.Time, zone *time.Location) time.Time {
	cutoff = cutoff.UTC().Truncate(time.Microsecond)
	var previous time.Duration
	last := cutoff.Add(reach)
	for t := cutoff.Add(-reach); t.Before(cutoff.Add(reach)); {
		offset, end := offsetAt(t, zone)
		if t.After(cutoff) { // the clock shows t+offset again, or first, after the cutoff
			last = earlier(last, t.Add(offset-time.Microsecond))
		} else {
			if end.After(cutoff) {
				last = earlier(last, cutoff.Add(offset))
			}
			// Wall times in the gap at t are read by the clock before it.
			if gap := offset - previous; !t.Equal(cutoff.Add(-reach)) && gap > 0 && cutoff.Before(t.Add(gap)) {
				last = earlier(last, cutoff.Add(previous))
			}
		}
		previous, t = offset, end
	}
	return last
}

// offsetAt is the offset of zone's clock from UTC at t, and an instant after t up to which it is certain to be the same.
func offsetAt(t time.Time, zone *time.Location) (offset time.Duration, until time.Time) {
	local := t.In(zone)
	_, seconds := local.Zone()
	_, end := local.ZoneBounds()
	switch {
	case end.IsZero():
		end = t.Add(2 * reach)
	case !end.After(t): // ZoneBounds errs on 31 December of leap years beyond a zone's last listed transition
		end = t.Truncate(24 * time.Hour).Add(24 * time.Hour)
	}
	return time.Duration(seconds) * time.Second, end.UTC()
}

func wallOf(t time.Time, zone *time.Location) time.Time {
	offset, _ := offsetAt(t, zone)
	return t.UTC().Add(offset)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
