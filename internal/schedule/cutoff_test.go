// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestCutoff(t *testing.T) {
	for name, c := range map[string]struct{ zone, slot, period, want, because string }{
		"days": {"UTC", "2025-06-10T03:00:00Z", "P90D", "2025-03-12T03:00:00Z",
			"days without a change of the clock are exact"},
		"hours": {"Europe/Berlin", "2025-03-30T03:00:00Z", "PT12H", "2025-03-29T15:00:00Z",
			"hours are elapsed time, whatever the clock does"},
		"middle of a month": {"UTC", "2025-06-10T03:00:00Z", "P1M", "2025-05-10T03:00:00Z",
			"nothing is clamped"},
		"last day of a short month": {"UTC", "2025-02-28T12:00:00Z", "P1M", "2025-01-28T12:00:00Z",
			"28 January 13:00 is over at 28 February 13:00 and must stay; 29 to 31 January before noon wait for it"},
		"right after a short month": {"UTC", "2025-03-01T00:00:00Z", "P1M", "2025-02-01T00:00:00Z",
			"29 to 31 January are all over on 28 February; 1 February 00:00 is over at this very instant"},
		"the tick before": {"UTC", "2025-02-28T23:59:59.999999Z", "P1M", "2025-01-31T23:59:59.999999Z",
			"the last record of January is over; 1 February is not"},
		"leap year": {"UTC", "2024-02-29T12:00:00Z", "P1M", "2024-01-29T12:00:00Z",
			"29 January 13:00 is over at 29 February 13:00"},
		"slot on a day the source month lacks": {"UTC", "2025-03-30T12:00:00Z", "P1M", "2025-02-28T23:59:59.999999Z",
			"all of 28 February was over on 28 March, where slot − period (28 February 12:00) keeps half a day of it; 1 March is over on 1 April"},
		"slot on the 31st": {"UTC", "2025-05-31T12:00:00Z", "P1M", "2025-04-30T23:59:59.999999Z",
			"all of 30 April was over on 30 May"},
		"a year to the leap day": {"UTC", "2024-02-29T12:00:00Z", "P1Y", "2023-02-28T23:59:59.999999Z",
			"28 February 2023 was over on 28 February 2024; 1 March 2023 is not"},
		"a year from the leap day": {"UTC", "2025-02-28T12:00:00Z", "P1Y", "2024-02-28T12:00:00Z",
			"28 February 2024 13:00 is not over, so that the leap day before noon waits"},
		"months and days": {"UTC", "2025-03-02T12:00:00Z", "P1M2D", "2025-01-28T12:00:00Z",
			"28 January 13:00 + P1M2D is 2 March 13:00"},
		"the zone's midnight": {"Asia/Taipei", "2025-02-28T16:00:00Z", "P1M", "2025-01-31T16:00:00Z",
			"it is 1 March 00:00 there, and so it was 1 February 00:00"},
		"out of a gap": {"Europe/Berlin", "2025-03-30T01:00:00Z", "P1D", "2025-03-29T01:00:00Z",
			"slot 03:00: 02:00 of the day before moved to 03:00 and is over; 02:30 moved to 03:30 and must stay, so that 03:00 waits for it"},
		"in the repeated hour": {"Europe/Berlin", "2025-10-26T00:30:00Z", "P1D", "2025-10-24T23:59:59.999999Z",
			"02:30 the first time: records of 25 October 02:00 and later are over the second time"},
		"source in the repeated hour": {"Europe/Berlin", "2025-10-27T01:15:00Z", "P1D", "2025-10-26T00:15:00Z",
			"slot 02:15: the first 02:30 of the long day must stay, so that the second 02:10 waits for it"},
		"source past the repeated hour": {"Europe/Berlin", "2025-11-26T02:30:00Z", "P1M", "2025-10-26T02:30:00Z",
			"slot 03:30: both times 02:59 are over"},
		"source a month earlier in the repeated hour": {"Europe/Berlin", "2025-11-26T01:30:00Z", "P1M", "2025-10-26T00:30:00Z",
			"slot 02:30: the first 02:31 must stay, so that the second 02:10 waits for it"},
		"sub-microsecond slot": {"UTC", "2025-06-10T03:00:00.000000999Z", "P1M", "2025-05-10T03:00:00Z",
			"a database has no nanoseconds"},
		"a thousand years": {"UTC", "2025-06-10T03:00:00Z", "P1000Y", "1025-06-10T03:00:00Z",
			"farther than a Duration reaches"},
	} {
		t.Run(name, func(t *testing.T) {
			got := mustPeriod(t, c.period).Cutoff(at(t, c.slot), zone(t, c.zone))
			if diff := cmp.Diff(c.want, got.Format(time.RFC3339Nano)); diff != "" {
				t.Errorf("cutoff of %s at %s in %s, because %s (-want +got):\n%s", c.period, c.slot, c.zone, c.because, diff)
			}
		})
	}
}

// Safety and tightness against the definition record by record: whatever is
// older than the cutoff is over, and a tick later something must stay.
func TestCutoffIsTheLatestSafeInstant(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loc, slot, p := zones(t).Draw(t, "zone"), instants().Draw(t, "slot"), calendarPeriods().Draw(t, "period")
		if rapid.Bool().Draw(t, "odd source") { // rather than an odd slot
			slot = p.AddTo(slot, loc)
		}
		cutoff := p.Cutoff(slot, loc)
		if cutoff.Location() != time.UTC || !cutoff.Equal(cutoff.Truncate(Tick)) {
			t.Fatalf("%v is not in UTC and whole microseconds", cutoff)
		}
		if over := p.AddTo(cutoff.Add(Tick), loc); !over.After(slot) {
			t.Errorf("%v at %v in %v: cutoff %v is too early, a tick later is over at %v", p, slot, loc, cutoff, over)
		}
		check := func(record time.Time) {
			if over := p.AddTo(record, loc); over.After(slot) {
				t.Errorf("%v at %v in %v: %v is up to the cutoff %v but not over until %v", p, slot, loc, record, cutoff, over)
			}
		}
		check(cutoff)
		for range 20 {
			check(cutoff.Add(-time.Duration(rapid.Int64Range(0, 5*86400e6).Draw(t, "age")) * time.Microsecond))
			check(cutoff.Add(-time.Duration(rapid.Int64Range(0, 800*86400).Draw(t, "old")) * time.Second))
		}
		for minutes := range 5 * 24 * 4 { // every quarter of an hour
			check(cutoff.Truncate(15 * time.Minute).Add(-time.Duration(minutes) * 15 * time.Minute))
		}
	})
}

// A record that is over but waits for an older one waits a day, an hour for
// the clock's change in its month and one for the change at its end.
func TestCutoffKeepsNothingMuchTooLong(t *testing.T) {
	const patience = 26 * time.Hour
	rapid.Check(t, func(t *rapid.T) {
		loc := zone(t, rapid.SampledFrom(modernZones).Draw(t, "zone"))
		sinceThen := func(t time.Time) bool { return t.Year() >= 1990 } // these zones were odd before
		record, p := instants().Filter(sinceThen).Draw(t, "record"), calendarPeriods().Draw(t, "period")
		over := p.AddTo(record, loc)
		if cutoff := p.Cutoff(over.Add(patience), loc); cutoff.Before(record) {
			t.Errorf("%v + %v in %v was over at %v and is still kept at %v", record, p, loc, over, over.Add(patience))
		}
		if p.months == 0 && loc == time.UTC {
			if cutoff := p.Cutoff(over, loc); !cutoff.Equal(record) {
				t.Errorf("%v + %v is over at %v, whose cutoff is %v", record, p, over, cutoff)
			}
		}
	})
}

// Time only takes records away from what must stay.
func TestCutoffIsMonotone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		loc, slot, p := zones(t).Draw(t, "zone"), instants().Draw(t, "slot"), calendarPeriods().Draw(t, "period")
		later := slot.Add(time.Duration(rapid.Int64Range(0, 3*86400e6).Draw(t, "later")) * time.Microsecond)
		if a, b := p.Cutoff(slot, loc), p.Cutoff(later, loc); b.Before(a) {
			t.Errorf("%v in %v: cutoff %v at %v, but %v at %v", p, loc, a, slot, b, later)
		}
	})
}

func BenchmarkCutoff(b *testing.B) {
	p, loc := mustPeriod(b, "P11M"), zone(b, "Europe/Berlin")
	slot := time.Date(2025, 3, 30, 3, 0, 0, 0, time.UTC)
	for b.Loop() {
		p.Cutoff(slot, loc)
	}
}
