// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"dataretention.dev/retention-operator/internal/schedule"
)

// record is the record that a question is about: one of an age, or with starting points. The zero record is none.
type record struct {
	age schedule.Period
	// starts are starting points by the field that they stand in; the empty name is every other field. The zero time is an
	// empty field.
	starts map[string]time.Time
}

func (r record) asked() bool { return r.age != (schedule.Period{}) || len(r.starts) > 0 }

// start is the record's starting point in a field, by the zone of the policy whose period is reckoned. Zero is an empty field.
func (r record) start(field string, at time.Time, zone *time.Location) time.Time {
	if r.age != (schedule.Period{}) {
		return r.age.Cutoff(at, zone)
	}
	if t, ok := r.starts[field]; ok {
		return t
	}
	return r.starts[""]
}

// empty stands for a field without a value.
const empty = "none"

// parseRecord reads --age and --starting-point. Times without a zone are read in the zone of the Datastore, and a date is
// the end of that day, as the purge process reads them.
func parseRecord(age string, starts []string, zone *time.Location) (record, error) {
	switch {
	case age != "" && len(starts) > 0:
		return record{}, errors.New("give --age or --starting-point, not both")
	case age != "":
		period, err := schedule.ParsePeriod(age)
		if err != nil {
			return record{}, fmt.Errorf("--age: %w", err)
		}
		return record{age: period}, nil
	}
	r := record{starts: map[string]time.Time{}}
	for _, s := range starts {
		field, value, named := strings.Cut(s, "=")
		if !named {
			field, value = "", s
		}
		t, err := parseStart(value, zone)
		if err != nil {
			return record{}, fmt.Errorf("--starting-point: %w", err)
		}
		if _, twice := r.starts[field]; twice {
			return record{}, fmt.Errorf("--starting-point: %s is given twice", s)
		}
		r.starts[field] = t
	}
	return r, nil
}

// describe says which record it is, with times as format writes them; empty for none.
func (r record) describe(format func(time.Time) string) string {
	if r.age != (schedule.Period{}) {
		return "of age " + r.age.String()
	}
	var out []string
	for _, field := range slices.Sorted(maps.Keys(r.starts)) {
		what, t := "that started", r.starts[field]
		if field != "" {
			what = "whose " + field + " is"
		}
		switch {
		case t.IsZero() && field == "":
			out = append(out, "without a starting point")
		case t.IsZero():
			out = append(out, what+" empty")
		default:
			out = append(out, what+" "+format(t))
		}
	}
	return strings.Join(out, " and ")
}

func parseStart(s string, zone *time.Location) (time.Time, error) {
	if s == empty {
		return time.Time{}, nil
	}
	if day, err := time.ParseInLocation(time.DateOnly, s, zone); err == nil {
		return day.AddDate(0, 0, 1).Add(-schedule.Tick), nil
	}
	return parseTime(s, zone)
}

// parseTime reads an instant: RFC 3339, or without a zone in the one that is given. A date is the beginning of the day.
func parseTime(s string, zone *time.Location) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: write 2026-11-20, 2026-11-20T09:00 or 2026-11-20T09:00:00Z", s)
}
