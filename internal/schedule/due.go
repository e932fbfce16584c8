// SPDX-License-Identifier: Apache-2.0

package schedule

import "time"

// Reason says why Due decided as it did. Its values are fit for the reason of
// a condition or an event.
type Reason string

// The reasons of a Decision.
const (
	ReasonSuspended        Reason = "Suspended"        // nothing runs until the policy is resumed
	ReasonNotDue           Reason = "NotDue"           // no slot since the last one
	ReasonDue              Reason = "Due"              // one slot came, and it runs
	ReasonCatchUp          Reason = "CatchUp"          // several slots came, and the latest runs for all
	ReasonDeadlineExceeded Reason = "DeadlineExceeded" // the latest slot is too long ago to start now
)

// Input is what Due decides upon.
type Input struct {
	Schedule Schedule
	Now      time.Time
	// Created is when the policy came to be; slots before it are none of ours.
	Created time.Time
	// LastScheduleTime is the latest slot that was taken, nil before the first.
	// A caller that records a slot as too late passes that one if it is later,
	// and hears of each missed slot once.
	LastScheduleTime *time.Time
	// StartingDeadline is how late a slot may start; nil is any time.
	StartingDeadline *time.Duration
	Suspend          bool
}

// Decision is what to do now and when to look again. All instants are in UTC.
type Decision struct {
	// Slot is the one to run now, nil if there is none. It is the latest: many
	// slots missed lead to one run.
	Slot *time.Time
	// TooLate is the latest slot if its starting deadline has passed.
	TooLate *time.Time
	// Missed counts the slots that came and will not run: those before Slot,
	// or TooLate and those before it. MaxMissed stands for that many or more.
	Missed int
	// Next is the first slot after now, zero while suspended.
	Next   time.Time
	Reason Reason
}

// Due decides with the semantics of a CronJob: a suspended policy has no slot,
// and the slots that it misses are caught up by one run on resumption, as those
// missed while nobody was watching are, if the starting deadline allows.
func Due(in Input) Decision {
	if in.Suspend {
		return Decision{Reason: ReasonSuspended}
	}
	since := in.Created
	if in.LastScheduleTime != nil && in.LastScheduleTime.After(since) {
		since = *in.LastScheduleTime
	}
	d := Decision{Next: in.Schedule.Next(in.Now)}
	slot, count := in.Schedule.MostRecent(since, in.Now)
	switch {
	case slot == nil:
		d.Reason = ReasonNotDue
	case in.StartingDeadline != nil && in.Now.Sub(*slot) > *in.StartingDeadline:
		d.TooLate, d.Missed, d.Reason = slot, min(count, MaxMissed), ReasonDeadlineExceeded
	case count > 1:
		d.Slot, d.Missed, d.Reason = slot, count-1, ReasonCatchUp
	default:
		d.Slot, d.Reason = slot, ReasonDue
	}
	return d
}
