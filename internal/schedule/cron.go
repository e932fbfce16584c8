// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// ErrSchedule is wrapped by every error of Parse: the specification has to
// change, a retry cannot help.
var ErrSchedule = errors.New("spec.schedule")

// MaxMissed is how far missed slots are counted: it stands for that many or
// more.
const MaxMissed = 100

// Schedule is the slots of a cron line in a time zone.
//
// The fields name times on the wall clock. When the clock changes, a schedule
// that names hours ("30 2 * * *") keeps one slot for each time it names: a
// time in the gap has its slot at the end of the gap, where slots that fall
// together are one; a repeated time has its slot the first time. A schedule
// that matches every hour ("*/15 * * * *") follows elapsed time instead: none
// in the gap, and the repeated hour has its slots twice.
type Schedule struct {
	spec      *cron.SpecSchedule // its location is UTC: it is only asked about wall times
	loc       *time.Location
	everyHour bool
}

var (
	cronParser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)
	cronMacros = []string{"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}
)

const (
	cronAdvice = `write five fields (minute, hour, day of month, month, day of week), for example "0 3 * * *", or a macro such as @daily`
	allHours   = 1<<24 - 1
)

// Parse reads a cron line of five fields, or a macro from @hourly to @yearly,
// whose slots follow the wall clock of loc. A line that never fires (30
// February) is refused. The error says what to write instead.
func Parse(line string, loc *time.Location) (Schedule, error) {
	refuse := func(why, advice string) (Schedule, error) {
		return Schedule{}, fmt.Errorf("%w: %q %s: %s", ErrSchedule, clip(line), why, advice)
	}
	fields := strings.Fields(line)
	switch {
	case len(fields) == 0:
		return refuse("is empty", cronAdvice)
	case strings.Contains(line, "TZ="):
		return refuse("names a time zone", "remove it and set spec.timeZone, for example Asia/Taipei")
	case strings.HasPrefix(fields[0], "@every"):
		return refuse("counts from the start of a process and has no slots", cronAdvice)
	case strings.HasPrefix(fields[0], "@"):
		if len(fields) > 1 || !slices.Contains(cronMacros, fields[0]) {
			return refuse("is not a known macro", "write one of "+strings.Join(cronMacros, ", ")+", or five fields")
		}
	case len(fields) != 5:
		return refuse(fmt.Sprintf("has %d fields", len(fields)), cronAdvice)
	}
	parsed, err := cronParser.Parse(strings.Join(fields, " "))
	if err != nil {
		return refuse("is not a cron line ("+clip(err.Error())+")", cronAdvice)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return refuse("has no slots", cronAdvice)
	}
	spec.Location = time.UTC
	s := Schedule{spec: spec, loc: loc, everyHour: spec.Hour&allHours == allHours}
	if s.nextWall(time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return refuse("never fires", "name a day that exists in that month")
	}
	return s, nil
}

// nextWall is the first wall time after w that the fields match.
func (s Schedule) nextWall(w wall) wall {
	next := s.spec.Next(w)
	if next.IsZero() {
		// The parser's library looks five years ahead; 29 February can be
		// eight years away.
		next = s.spec.Next(w.AddDate(4, 0, 0))
	}
	return next
}

// Next is the first slot after the given instant, in UTC.
func (s Schedule) Next(after time.Time) time.Time {
	after = after.UTC().Round(0)
	if !s.everyHour {
		return earliest(s.nextWall(highest(after, s.loc)), s.loc)
	}
	for {
		now := segmentAt(after, s.loc)
		if next := s.nextWall(after.Add(now.offset)).Add(-now.offset); next.Before(now.end) {
			return next
		}
		after = now.end // what was due in the gap is not
		if s.matches(after) {
			return after
		}
	}
}

func (s Schedule) matches(t time.Time) bool {
	w := wallOf(t, s.loc)
	return s.nextWall(w.Add(-time.Nanosecond)).Equal(w)
}

// MostRecent is the latest slot in (earliest, now], nil if there is none, and
// the number of slots in it: at most MaxMissed+1, which stands for that many
// or more. It is as quick after ten years as after a day.
func (s Schedule) MostRecent(earliest, now time.Time) (slot *time.Time, count int) {
	for t := s.Next(earliest); !t.After(now) && count <= MaxMissed; t = s.Next(t) {
		slot, count = &t, count+1
	}
	if count <= MaxMissed {
		return slot, count
	}
	last := s.lastBetween(slot.Add(-time.Second), now)
	return &last, count
}

// lastBetween is the latest slot up to and including now; some slot lies after
// low. Next is monotone, and slots are whole seconds, so that bisection finds
// it.
func (s Schedule) lastBetween(low, now time.Time) time.Time {
	low = low.UTC().Truncate(time.Second)
	// Next(low) ≤ now always holds, Next(low+span) ≤ now never does.
	span := now.Unix() - low.Unix() + 1
	found := int64(0)
	for span-found > 1 {
		mid := found + (span-found)/2
		if s.Next(add(low, mid)).After(now) {
			span = mid
		} else {
			found = mid
		}
	}
	return s.Next(add(low, found))
}

// add works beyond the 292 years that a Duration spans.
func add(t time.Time, seconds int64) time.Time { return time.Unix(t.Unix()+seconds, 0).UTC() }

// Interval is the distance between the latest slot up to and including at and
// the next one. Uneven schedules have uneven intervals: "0 3 * * 1-5" has
// three days over the weekend.
func (s Schedule) Interval(at time.Time) time.Duration {
	next := s.Next(at)
	// Two slots of any schedule are at most eight years apart, and a day or
	// two where the calendar changed.
	return next.Sub(s.lastBetween(at.AddDate(-9, 0, 0), at))
}
