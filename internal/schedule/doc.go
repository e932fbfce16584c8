// SPDX-License-Identifier: Apache-2.0

// Package schedule reckons with time: cron slots, calendar periods, the cutoff
// that separates the records whose period is over from those that must stay,
// and the decision which slot is due. It is pure: no clock, no I/O but the
// time-zone database.
//
// Every instant that it returns is in UTC and carries no monotonic clock
// reading. A location matters only for the wall clock by which days, months
// and cron fields are counted.
package schedule
