// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"
)

// tile is one figure at the top.
type tile struct {
	Tone, Label, Figure, Before, Detail string
}

// lede says the essence in sentences.
func lede(r *Report) []string {
	s := &r.Summary
	var out []string
	if s.Policies > 0 {
		sentence := fmt.Sprintf("After the latest runs, %s of %s compliant", number(s.PoliciesCompliant), plural2(s.Policies, "policy was", "policies were"))
		if s.PoliciesNotCompliant > 0 {
			sentence += fmt.Sprintf(", and %s not", plural2(s.PoliciesNotCompliant, "was", "were"))
		}
		out = append(out, sentence+".")
	}
	switch {
	case s.Deleted == nil:
		out = append(out, "Nobody has counted any deletion.")
	default:
		sentence := fmt.Sprintf("%s records were deleted", capital(countText(s.Deleted)))
		if s.Anonymized != nil && s.Anonymized.Records > 0 {
			sentence += fmt.Sprintf(" and %s anonymized, which is not deletion", countText(s.Anonymized))
		}
		out = append(out, sentence+".")
	}
	if s.RequestsAnswered > 0 {
		sentence := fmt.Sprintf("%s answered", capital(plural2(s.RequestsAnswered, "erasure request was", "erasure requests were")))
		if s.MedianDays != nil {
			sentence += fmt.Sprintf(", in %s days at the median", floatText(s.MedianDays))
		}
		if s.RequestsLate > 0 {
			sentence += fmt.Sprintf(", %s of them late", number(s.RequestsLate))
		}
		out = append(out, sentence+".")
	}
	if s.RequestsOverdue > 0 {
		out = append(out, capital(plural2(s.RequestsOverdue, "open request is", "open requests are"))+" past the time limit.")
	}
	if s.Dangling > 0 {
		out = append(out, capital(plural2(s.Dangling, "Job was", "Jobs were"))+" announced of which no statement says what came of it.")
	}
	return out
}

func plural2(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// tiles are the figures at the top.
func tiles(r *Report) []tile {
	s := &r.Summary
	policies := tile{Label: "Policies compliant", Figure: fmt.Sprintf("%d of %d", s.PoliciesCompliant, s.Policies), Tone: toneGood,
		Detail: fmt.Sprintf("%d not, %d unknown, %d without a run", s.PoliciesNotCompliant, s.PoliciesUnknown, s.PoliciesNotRun)}
	switch {
	case s.PoliciesNotCompliant > 0:
		policies.Tone = toneBad
	case s.PoliciesUnknown+s.PoliciesNotRun > 0:
		policies.Tone = toneWarn
	case s.Policies == 0:
		policies.Tone = toneNeutral
	}
	deleted := countTile("Records deleted", s.Deleted, "by policies and on request")
	if s.DeletedOnRequest != nil {
		deleted.Detail = countText(s.DeletedOnRequest) + " of them on request"
	}
	anonymized := countTile("Records anonymized", s.Anonymized, "not deleted: what is left may point to a person")
	requests := tile{Label: "Requests answered", Figure: number(s.RequestsAnswered), Tone: toneNeutral,
		Detail: fmt.Sprintf("%d in time, %d late, %d received", s.RequestsInTime, s.RequestsLate, s.RequestsReceived)}
	if s.RequestsLate > 0 {
		requests.Tone = toneBad
	}
	taken := tile{Label: "Median days to answer", Figure: floatText(s.MedianDays), Tone: toneNeutral,
		Detail: "mean " + floatText(r.Metrics[0].Days.Mean)}
	open := tile{Label: "Requests open", Figure: number(s.RequestsOpen), Tone: toneNeutral, Detail: fmt.Sprintf("%d overdue", s.RequestsOverdue)}
	if s.RequestsOverdue > 0 {
		open.Tone = toneBad
	}
	holds := tile{Label: "Legal holds in force", Figure: number(s.HoldsInForce), Tone: toneNeutral, Detail: plural(len(r.Holds), "hold") + " in the period"}
	for i := range r.Holds {
		if badgeOf(r.Holds[i].State).Tone == toneBad {
			holds.Tone, holds.Detail = toneBad, "some not enforced, or gone"
		}
	}
	backups := tile{Label: "Backups still to expire", Figure: number(s.BackupsPending + s.BackupsOverdue), Tone: toneNeutral,
		Detail: fmt.Sprintf("%d overdue", s.BackupsOverdue)}
	if s.BackupsOverdue > 0 {
		backups.Tone = toneBad
	}
	return []tile{policies, deleted, anonymized, danglingTile(r), requests, taken, open, holds, backups,
		{Label: "Exceptions", Figure: number(s.Exceptions), Tone: toneNeutral, Detail: "each with its basis, below"}}
}

// danglingTile tells Jobs that may still be at work from those of which nobody says what came of them.
func danglingTile(r *Report) tile {
	t := tile{Label: "Intents without a result", Figure: number(r.Summary.Dangling), Tone: toneGood, Detail: "each was followed by one"}
	for i := range r.Exceptions {
		switch e := &r.Exceptions[i]; {
		case e.Kind != ExceptionDangling:
		case r.Made.Time.Sub(e.First) >= workTime:
			t.Tone, t.Detail = toneBad, "nobody says what came of them"
			return t
		default:
			t.Tone, t.Detail = toneWarn, "their Jobs may be at work"
		}
	}
	return t
}

func countTile(label string, c *Count, detail string) tile {
	t := tile{Label: label, Figure: absent, Tone: toneNeutral, Detail: detail}
	if c != nil {
		t.Figure = number(c.Records)
		if c.AtLeast {
			t.Before = "at least"
		}
	}
	return t
}
