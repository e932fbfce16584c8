// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDeadline(t *testing.T) {
	for name, c := range map[string]struct {
		law                              Regulation
		zone, holidays, received         string
		wantConfirm, wantDue, wantExtend string
		because                          string
	}{
		"the same-numbered day": {GDPR, "UTC", "", "2025-11-05T10:00:00Z",
			"", "2025-12-05T23:59:59Z", "2026-02-05T23:59:59Z", "the day of receipt does not count, nor does the time of day"},
		"the example of the EDPB": {GDPR, "Europe/Brussels", "BE", "2021-08-31T10:00:00Z",
			"", "2021-09-30T21:59:59Z", "2021-11-30T22:59:59Z", "Guidelines 01/2022: 31 August leads to 30 September"},
		"a month without the day": {GDPR, "UTC", "", "2028-01-31T00:00:00Z",
			"", "2028-02-29T23:59:59Z", "2028-05-01T23:59:59Z", "29 February is a Tuesday; 30 April is a Sunday"},
		"clamped, then a Saturday": {GDPR, "UTC", "", "2026-01-31T12:00:00Z",
			"", "2026-03-02T23:59:59Z", "2026-04-30T23:59:59Z", "28 February 2026 is a Saturday"},
		"the extension is reckoned from the receipt": {GDPR, "UTC", "", "2025-01-31T12:00:00Z",
			"", "2025-02-28T23:59:59Z", "2025-04-30T23:59:59Z", "not from 28 February, which would end on 28 April"},
		"Christmas on a Friday": {GDPR, "Europe/Berlin", "DE", "2026-11-25T09:00:00Z",
			"", "2026-12-28T22:59:59Z", "2027-02-25T22:59:59Z", "25 December is a holiday, then comes a weekend"},
		"without holidays only weekends count": {GDPR, "Europe/Berlin", "", "2026-11-25T09:00:00Z",
			"", "2026-12-25T22:59:59Z", "2027-02-25T22:59:59Z", "a limit that ends too early is kept, too"},
		"Easter": {GDPR, "Europe/Vienna", "AT", "2026-03-05T09:00:00Z",
			"", "2026-04-07T21:59:59Z", "2026-06-05T21:59:59Z", "5 April 2026 is Easter Sunday, and Monday is a holiday"},
		"no working day on Good Friday in Germany": {GDPR, "Europe/Berlin", "DE", "2026-03-03T09:00:00Z",
			"", "2026-04-07T21:59:59Z", "2026-06-03T21:59:59Z", "Friday to Monday"},
		"a holiday of Swiss cantons": {GDPR, "Europe/Zurich", "CH", "2025-05-19T09:00:00Z",
			"", "2025-06-19T21:59:59Z", "2025-08-19T21:59:59Z", "Corpus Christi is none in most of them"},
		"a Swedish day off by custom": {GDPR, "Europe/Stockholm", "SE", "2026-11-24T09:00:00Z",
			"", "2026-12-24T22:59:59Z", "2027-02-24T22:59:59Z", "Christmas Eve is no public holiday"},
		"the zone says which day it is": {GDPR, "Asia/Tokyo", "", "2025-11-05T15:00:00Z",
			"", "2025-12-08T14:59:59Z", "2026-02-06T14:59:59Z", "it is 6 November there; 6 December is a Saturday"},
		"summer time begins before the end": {GDPR, "Europe/Berlin", "", "2025-03-14T09:00:00Z",
			"", "2025-04-14T21:59:59Z", "2025-06-16T21:59:59Z", "14 June 2025 is a Saturday"},
		"midnight comes twice": {GDPR, "America/Havana", "", "2025-10-01T12:00:00Z",
			"", "2025-11-04T04:59:59Z", "2026-01-02T04:59:59Z", "1 November is a Saturday; the clock is set back on 2 November"},
		"ten business days": {CCPA, "America/Los_Angeles", "", "2026-11-24T20:00:00Z",
			"2026-12-10T07:59:59Z", "2027-01-09T07:59:59Z", "2027-02-23T07:59:59Z", "Thanksgiving is none: 9 December; 45 days on is 8 January, a Friday"},
		"the end of 45 days does not move": {CCPA, "UTC", "", "2026-11-25T20:00:00Z",
			"2026-12-10T23:59:59Z", "2027-01-09T23:59:59Z", "2027-02-23T23:59:59Z", "9 January 2027 is a Saturday"},
		"Independence Day observed": {CCPA, "America/Los_Angeles", "US", "2026-06-18T20:00:00Z",
			"2026-07-07T06:59:59Z", "2026-08-03T06:59:59Z", "2026-09-17T06:59:59Z",
			"Juneteenth on Friday 19 June, 4 July 2026 is a Saturday and observed on Friday: 6 July"},
		"received on a Sunday": {CCPA, "UTC", "", "2025-11-30T12:00:00Z",
			"2025-12-12T23:59:59Z", "2026-01-14T23:59:59Z", "2026-02-28T23:59:59Z", "the first business day is Monday"},
	} {
		t.Run(name, func(t *testing.T) {
			in := DeadlineInput{Regulation: c.law, Received: at(t, c.received), Zone: zone(t, c.zone), Holidays: c.holidays}
			got, err := Deadline(in)
			if err != nil {
				t.Fatal(err)
			}
			confirm := ""
			if got.ConfirmBy != nil {
				confirm = got.ConfirmBy.Format(time.RFC3339Nano)
			}
			for what, pair := range map[string][2]string{
				"confirm by":   {confirm, c.wantConfirm},
				"due":          {got.Due.Format(time.RFC3339Nano), c.wantDue},
				"extended due": {got.ExtendedDue.Format(time.RFC3339Nano), c.wantExtend},
			} {
				if pair[0] != pair[1] {
					t.Errorf("%s %s, want %s: %s", what, pair[0], pair[1], c.because)
				}
			}
			in.Extended = true
			if extended, err := Deadline(in); err != nil || !extended.Due.Equal(got.ExtendedDue) {
				t.Errorf("extended: due %v (%v), want %v", extended.Due, err, got.ExtendedDue)
			}
		})
	}
}

func TestDeadlineRefuses(t *testing.T) {
	_, err := Deadline(DeadlineInput{Regulation: GDPR, Received: at(t, "2026-01-01T00:00:00Z"), Zone: time.UTC, Holidays: "XX"})
	if !errors.Is(err, ErrHolidays) || !strings.Contains(err.Error(), "AT, AU, BE") || !strings.Contains(err.Error(), `"XX"`) {
		t.Errorf("got %v", err)
	}
	if _, err := Deadline(DeadlineInput{Regulation: "LGPD", Zone: time.UTC}); err == nil || !strings.Contains(err.Error(), "LGPD") {
		t.Errorf("got %v", err)
	}
}

// TestHolidays finds a table entry that stands for no holidays at all.
func TestHolidays(t *testing.T) {
	for code := range holidays {
		working, err := workingDays(code)
		if err != nil {
			t.Fatal(err)
		}
		for _, day := range []string{"2026-01-01T00:00:00Z", "2026-12-25T00:00:00Z"} {
			// Both are weekdays in 2026, and holidays in every country of the table but Japan, where Christmas is none.
			if got, want := working.IsWorkday(at(t, day)), code == "JP" && strings.HasPrefix(day, "2026-12"); got != want {
				t.Errorf("%s: %s is a working day: %v", code, day, got)
			}
		}
	}
}

// TestDeadlineProperties reckons with days in another way than the code does: one by one.
func TestDeadlineProperties(t *testing.T) {
	codes := []string{"", "DE", "AT", "FR", "GB", "US", "JP", "BG"}
	rapid.Check(t, func(t *rapid.T) {
		in := DeadlineInput{
			Regulation: rapid.SampledFrom([]Regulation{GDPR, CCPA}).Draw(t, "regulation"),
			Received:   instants().Draw(t, "received"),
			Zone:       zone(t, rapid.SampledFrom(modernZones).Draw(t, "zone")),
			Holidays:   rapid.SampledFrom(codes).Draw(t, "holidays"),
		}
		got, err := Deadline(in)
		if err != nil {
			t.Fatal(err)
		}
		y, m, d := in.Received.In(in.Zone).Date()
		received := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
		dayOf := func(end time.Time) time.Time {
			y, m, d := end.In(in.Zone).Date()
			if next := end.Add(time.Second).In(in.Zone); next.Day() == d {
				t.Fatalf("%v is not the last second of its day", end.In(in.Zone))
			}
			return time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
		}
		if in.Regulation == CCPA {
			if days := dayOf(got.Due).Sub(received).Hours() / 24; days != 45 {
				t.Fatalf("due after %v days", days)
			}
			if confirm := dayOf(*got.ConfirmBy).Sub(received).Hours() / 24; confirm < 12 || confirm > 30 {
				t.Fatalf("to be confirmed after %v days", confirm)
			}
		} else {
			for months, end := range map[int]time.Time{1: got.Due, 3: got.ExtendedDue} {
				numbered := received // the same-numbered day, or the last of the month, found by walking
				for want := (int(received.Month())-1+months)%12 + 1; int(numbered.Month()) != want; {
					numbered = numbered.AddDate(0, 0, 1)
				}
				for numbered.Day() < received.Day() && numbered.AddDate(0, 0, 1).Month() == numbered.Month() {
					numbered = numbered.AddDate(0, 0, 1)
				}
				day := dayOf(end)
				if day.Before(numbered) || day.Sub(numbered) > 10*24*time.Hour {
					t.Fatalf("%d months end on %v, and the same-numbered day is %v", months, day, numbered)
				}
				if w := day.Weekday(); w == time.Saturday || w == time.Sunday {
					t.Fatalf("%v is a %v", day, w)
				}
			}
		}
		// A later receipt never makes an earlier limit.
		in.Received = in.Received.Add(time.Duration(rapid.Int64Range(0, int64(40*24*time.Hour)).Draw(t, "later")))
		later, err := Deadline(in)
		if err != nil {
			t.Fatal(err)
		}
		if later.Due.Before(got.Due) || later.ExtendedDue.Before(got.ExtendedDue) ||
			got.ConfirmBy != nil && later.ConfirmBy.Before(*got.ConfirmBy) {
			t.Fatalf("received later, and due earlier: %+v, %+v", got, later)
		}
	})
}
