// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"slices"
	"time"
)

// attentionRow are the runs of a policy that were not compliant, or of which that is unknown, for the same reason.
type attentionRow struct {
	Namespace, Policy string
	State             State
	Why               Why
	Runs              int
	First, Last       time.Time
	// What follows is that of the latest of them.
	Latest   Run
	Evidence *Ref
}

// attention are those runs: the gravest first, then the latest.
func attention(r *Report) []attentionRow {
	type key struct {
		namespace, policy, uid string
		state                  State
		why                    Why
	}
	rows := map[key]*attentionRow{}
	for i := range r.Runs {
		run := &r.Runs[i]
		if run.State != NotCompliant && run.State != Unknown {
			continue
		}
		k := key{run.Namespace, run.Policy, run.PolicyUID, run.State, run.Why}
		row := rows[k]
		if row == nil {
			row = &attentionRow{Namespace: run.Namespace, Policy: run.Policy, State: run.State, Why: run.Why}
			rows[k] = row
		}
		row.Runs++
		when := run.when()
		if row.First.IsZero() || when.Before(row.First) {
			row.First = when
		}
		if row.Last.IsZero() || !when.Before(row.Last) {
			row.Last, row.Latest, row.Evidence = when, *run, run.Evidence
		}
	}
	var out []attentionRow
	for _, row := range rows {
		out = append(out, *row)
	}
	slices.SortFunc(out, func(x, y attentionRow) int {
		return cmp.Or(worse[y.State]-worse[x.State], y.Last.Compare(x.Last),
			compareStrings(x.Namespace, y.Namespace, x.Policy, y.Policy, string(x.Why), string(y.Why), x.Latest.Name, y.Latest.Name))
	})
	return out
}

// when is the time of a run, as far as it is known.
func (r *Run) when() time.Time {
	switch {
	case r.Evidence != nil:
		return r.Evidence.Time
	case r.Completion != nil:
		return *r.Completion
	case r.Slot != nil:
		return *r.Slot
	}
	return time.Time{}
}
