// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestDue(t *testing.T) {
	instant := func(s string) *time.Time { v := at(t, s); return &v }
	within := func(d time.Duration) *time.Duration { return &d }
	created := at(t, "2025-05-10T12:00:00Z")
	for name, c := range map[string]struct {
		line    string // "0 3 * * *" if empty
		now     string
		last    *time.Time
		late    *time.Duration
		suspend bool
		want    Decision
	}{
		"just created": {now: "2025-05-10T12:00:00Z",
			want: Decision{Next: at(t, "2025-05-11T03:00:00Z"), Reason: ReasonNotDue}},
		"slots before creation are none of ours": {now: "2025-05-11T02:59:59Z",
			want: Decision{Next: at(t, "2025-05-11T03:00:00Z"), Reason: ReasonNotDue}},
		"the first slot": {now: "2025-05-11T03:00:00Z",
			want: Decision{Slot: instant("2025-05-11T03:00:00Z"), Next: at(t, "2025-05-12T03:00:00Z"), Reason: ReasonDue}},
		"a slot runs once": {now: "2025-05-11T03:00:01Z", last: instant("2025-05-11T03:00:00Z"),
			want: Decision{Next: at(t, "2025-05-12T03:00:00Z"), Reason: ReasonNotDue}},
		"three days down: one run": {now: "2025-05-15T12:00:00Z", last: instant("2025-05-12T03:00:00Z"),
			want: Decision{Slot: instant("2025-05-15T03:00:00Z"), Missed: 2, Next: at(t, "2025-05-16T03:00:00Z"), Reason: ReasonCatchUp}},
		"within the deadline": {now: "2025-05-15T04:00:00Z", last: instant("2025-05-12T03:00:00Z"), late: within(time.Hour),
			want: Decision{Slot: instant("2025-05-15T03:00:00Z"), Missed: 2, Next: at(t, "2025-05-16T03:00:00Z"), Reason: ReasonCatchUp}},
		"past the deadline": {now: "2025-05-15T04:00:01Z", last: instant("2025-05-12T03:00:00Z"), late: within(time.Hour),
			want: Decision{TooLate: instant("2025-05-15T03:00:00Z"), Missed: 3, Next: at(t, "2025-05-16T03:00:00Z"), Reason: ReasonDeadlineExceeded}},
		"told once": {now: "2025-05-15T04:00:02Z", last: instant("2025-05-15T03:00:00Z"), late: within(time.Hour),
			want: Decision{Next: at(t, "2025-05-16T03:00:00Z"), Reason: ReasonNotDue}},
		"suspended": {now: "2025-05-15T12:00:00Z", last: instant("2025-05-12T03:00:00Z"), suspend: true,
			want: Decision{Reason: ReasonSuspended}},
		"never a storm": {line: "* * * * *", now: "2025-05-15T12:00:30Z", last: instant("2025-05-12T03:00:00Z"),
			want: Decision{Slot: instant("2025-05-15T12:00:00Z"), Missed: MaxMissed, Next: at(t, "2025-05-15T12:01:00Z"), Reason: ReasonCatchUp}},
		"a storm too late": {line: "* * * * *", now: "2025-05-15T12:00:30Z", last: instant("2025-05-12T03:00:00Z"), late: within(10 * time.Second),
			want: Decision{TooLate: instant("2025-05-15T12:00:00Z"), Missed: MaxMissed, Next: at(t, "2025-05-15T12:01:00Z"), Reason: ReasonDeadlineExceeded}},
		"the clock went back": {now: "2025-05-09T12:00:00Z", last: instant("2025-05-15T03:00:00Z"),
			want: Decision{Next: at(t, "2025-05-10T03:00:00Z"), Reason: ReasonNotDue}},
		"a last slot from before creation": {now: "2025-05-10T13:00:00Z", last: instant("2025-05-01T03:00:00Z"),
			want: Decision{Next: at(t, "2025-05-11T03:00:00Z"), Reason: ReasonNotDue}},
	} {
		t.Run(name, func(t *testing.T) {
			line := c.line
			if line == "" {
				line = "0 3 * * *"
			}
			got := Due(Input{
				Schedule: mustParse(t, line, "UTC"), Now: at(t, c.now), Created: created,
				LastScheduleTime: c.last, StartingDeadline: c.late, Suspend: c.suspend,
			})
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("decision (-want +got):\n%s", diff)
			}
		})
	}
}

// A controller that looks at its policy now and then, and is down now and
// then, takes each slot at most once, in order, and the last one always.
func TestDueOverTime(t *testing.T) {
	s := mustParse(t, "30 2 * * *", "Europe/Berlin")
	now, end := at(t, "2025-03-20T00:00:00Z"), at(t, "2025-11-10T00:00:00Z")
	in := Input{Schedule: s, Created: now}
	runs, missed := 0, 0
	for i := 0; now.Before(end); i++ {
		in.Now = now
		d := Due(in)
		if d.Slot != nil {
			if in.LastScheduleTime != nil && !d.Slot.After(*in.LastScheduleTime) {
				t.Fatalf("slot %v after %v", d.Slot, in.LastScheduleTime)
			}
			in.LastScheduleTime = d.Slot
			runs, missed = runs+1, missed+d.Missed
		}
		now = now.Add(37 * time.Minute)
		if i%400 == 399 {
			now = now.Add(100 * time.Hour) // down
		}
	}
	days := 0
	for slot := s.Next(in.Created); slot.Before(in.Now); slot = s.Next(slot) {
		days++
	}
	if runs+missed != days || missed == 0 {
		t.Errorf("%d runs and %d missed slots in %d days", runs, missed, days)
	}
}
