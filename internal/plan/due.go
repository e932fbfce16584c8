// SPDX-License-Identifier: Apache-2.0

package plan

import "time"

// plausible tells whether t is a time, and no sentinel.
func plausible(t time.Time) bool {
	return !t.Before(EarliestPlausible) && t.Before(LatestPlausible)
}

// over tells whether a period that runs from start is over. The zero Time, which stands for a missing value, is never.
func over(start, cutoff time.Time) bool {
	return plausible(start) && !start.After(cutoff)
}

// Due tells whether a record is due: what an engine's query has to say, in the fewest words. obligationStarts are the
// record's starting points for each of the step's obligations, in their order; where one is missing the record stays.
func (s Step) Due(start time.Time, obligationStarts []time.Time) bool {
	if len(obligationStarts) != len(s.Obligations) || !over(start, s.Cutoff) {
		return false
	}
	for i, o := range s.Obligations {
		if !over(obligationStarts[i], o.Cutoff) {
			return false
		}
	}
	return true
}
