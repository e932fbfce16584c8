// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"fmt"
	"time"

	"github.com/rickar/cal/v2"
)

// Regulation is a law that limits how long the answer to a person may take.
type Regulation string

// The regulations.
const (
	GDPR Regulation = "GDPR"
	CCPA Regulation = "CCPA"
)

// The time limits of the CCPA regulations, §7021, in days after the receipt.
const (
	ccpaConfirm  = 10 // business days
	ccpaAnswer   = 45
	ccpaExtended = 90
)

// DeadlineInput is what time limits are reckoned from.
type DeadlineInput struct {
	Regulation Regulation
	// Received is when the person's request was received, Zone where it was: it says which day that is.
	Received time.Time
	Zone     *time.Location
	// Holidays is the ISO 3166 code of the country whose public holidays count. If empty, only Saturdays and Sundays do, and
	// for the CCPA the federal holidays of the US.
	Holidays string
	// Extended says that the limit was extended: Due is ExtendedDue then.
	Extended bool
}

// Limits are time limits. Each is the last second of a day, since a status keeps seconds, and the midnight that follows
// would read as the next day.
type Limits struct {
	// ConfirmBy is until when the receipt has to be confirmed, nil if the law does not ask for it.
	ConfirmBy *time.Time
	// Due is until when the request has to be answered, ExtendedDue until when if the limit is extended.
	Due, ExtendedDue time.Time
}

// Deadline reckons the time limits of a person's request. The day of its receipt does not count.
//
// GDPR Art. 12(3) gives a month, and three if extended, by Art. 3 of Regulation (EEC, Euratom) 1182/71: a month ends with
// the last hour of the day that has the same number, or else of the month's last day; if that is a public holiday, a Sunday
// or a Saturday, with the last hour of the next working day.
//
// The CCPA gives 10 business days to confirm the receipt, and 45 calendar days to answer, 90 if extended, whatever day that is.
func Deadline(in DeadlineInput) (Limits, error) {
	code := in.Holidays
	if code == "" && in.Regulation == CCPA {
		code = "US"
	}
	working, err := workingDays(code)
	if err != nil {
		return Limits{}, err
	}
	day := wallOf(in.Received, in.Zone).Truncate(24 * time.Hour)
	var out Limits
	switch in.Regulation {
	case GDPR:
		out.Due = dayEnd(rollOver(addMonths(day, 1), working), in.Zone)
		out.ExtendedDue = dayEnd(rollOver(addMonths(day, 3), working), in.Zone)
	case CCPA:
		confirm := day
		for range ccpaConfirm {
			confirm = rollOver(confirm.AddDate(0, 0, 1), working)
		}
		confirmBy := dayEnd(confirm, in.Zone)
		out.ConfirmBy = &confirmBy
		out.Due = dayEnd(day.AddDate(0, 0, ccpaAnswer), in.Zone)
		out.ExtendedDue = dayEnd(day.AddDate(0, 0, ccpaExtended), in.Zone)
	default:
		return Limits{}, fmt.Errorf("spec.regulation: %q is unknown: write %s or %s", clip(string(in.Regulation)), GDPR, CCPA)
	}
	if in.Extended {
		out.Due = out.ExtendedDue
	}
	return out, nil
}

// rollOver is day, or the next working day if it is none.
func rollOver(day wall, working *cal.BusinessCalendar) wall {
	for !working.IsWorkday(day) {
		day = day.AddDate(0, 0, 1)
	}
	return day
}

// dayEnd is the last second of day. An hour that comes twice before midnight counts both times.
func dayEnd(day wall, loc *time.Location) time.Time {
	return latest(day.AddDate(0, 0, 1), loc).Add(-time.Second)
}
