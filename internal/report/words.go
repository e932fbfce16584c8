// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// absent is shown where nobody has counted, or nothing is known.
const absent = "–"

// words writes dates and sentences for people, in the report's time zone.
type words struct {
	zone *time.Location
}

func newWords(r *Report) words {
	zone, err := time.LoadLocation(r.Period.Zone)
	if err != nil {
		zone = time.UTC
	}
	return words{zone}
}

// number writes thousands apart: 1,234,567.
func number[T int | int64](n T) string {
	digits := strconv.FormatInt(int64(n), 10)
	sign := ""
	if n < 0 {
		sign, digits = "−", digits[1:]
	}
	var groups []string
	for len(digits) > 3 {
		groups = append(groups, digits[len(digits)-3:])
		digits = digits[:len(digits)-3]
	}
	groups = append(groups, digits)
	slices.Reverse(groups)
	return sign + strings.Join(groups, ",")
}

func countText(c *Count) string {
	switch {
	case c == nil:
		return absent
	case c.AtLeast:
		return "at least " + number(c.Records)
	}
	return number(c.Records)
}

func floatText(f *float64) string {
	if f == nil {
		return absent
	}
	return strconv.FormatFloat(*f, 'f', -1, 64)
}

func (w words) date(t time.Time) string   { return t.In(w.zone).Format("2\u00a0Jan\u00a02006") }
func (w words) moment(t time.Time) string { return t.In(w.zone).Format("2\u00a0Jan\u00a02006, 15:04") }

func (w words) optional(t *time.Time) string {
	if t == nil {
		return absent
	}
	return w.date(*t)
}

func iso(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// span writes a stretch of time: whole days by their first and last.
func (w words) span(from, until time.Time) string {
	f, u := from.In(w.zone), until.In(w.zone)
	if !midnight(f) || !midnight(u) {
		return f.Format("2 January 2006, 15:04") + " to " + u.Format("2 January 2006, 15:04")
	}
	last := u.AddDate(0, 0, -1)
	switch {
	case !f.Before(last):
		return f.Format("2 January 2006")
	case f.Year() == last.Year() && f.Month() == last.Month():
		return f.Format("2") + " to " + last.Format("2 January 2006")
	case f.Year() == last.Year():
		return f.Format("2 January") + " to " + last.Format("2 January 2006")
	}
	return f.Format("2 January 2006") + " to " + last.Format("2 January 2006")
}

func midnight(t time.Time) bool {
	return t.Hour() == 0 && t.Minute() == 0 && t.Second() == 0 && t.Nanosecond() == 0
}

func daysText(n *int) string {
	if n == nil {
		return absent
	}
	return number(*n)
}

// daysLeftText says how many days are left of a time limit.
func daysLeftText(n *int) string {
	switch {
	case n == nil:
		return absent
	case *n < 0:
		return nonBreaking(plural(-*n, "day") + " over")
	case *n == 0:
		return "due today"
	}
	return nonBreaking(plural(*n, "day") + " left")
}

func nonBreaking(s string) string { return strings.ReplaceAll(s, " ", "\u00a0") }

// isWord says whether a text is short enough to stand in one line.
func isWord(s string) bool { return len([]rune(s)) <= 16 }

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return number(n) + " " + noun + "s"
}

// short cuts a text that is too long for a table.
func short(s string) string {
	if r := []rune(s); len(r) > maxText {
		return string(r[:maxText]) + "…"
	}
	return s
}

func join(s []string) string {
	if len(s) == 0 {
		return absent
	}
	return strings.Join(s, ", ")
}

// hexOf is a digest without the name of its algorithm, which the column has.
func hexOf(digest string) string { return strings.TrimPrefix(digest, "sha256:") }

func className(class string) string { return cmp.Or(class, "(no class)") }

func metricName(regulation string) string { return cmp.Or(regulation, "All requests") }

func unitWord(u Unit) string { return strings.ToLower(string(u)) }

// policyNow says in a few words how a policy stands now.
func (w words) policyNow(p *Policy) string {
	switch {
	case p.Gone:
		return "no longer in the cluster"
	case p.Now == nil:
		return ""
	case p.Now.Suspended:
		return "suspended"
	case p.Now.NextRun != nil:
		return "next run " + w.moment(*p.Now.NextRun)
	}
	return ""
}

// badge is a status: a shape, a colour and a word, never a colour alone.
type badge struct{ Tone, Word string }

// The tones of badges: their shape and colour.
const (
	toneGood    = "good"
	toneBad     = "bad"
	toneWarn    = "warn"
	toneNeutral = "plain"
)

// badges are the words for closed sets, with their tones. What is not here is shown as it is.
var badges = map[string]badge{
	string(Compliant): {toneGood, "Compliant"}, string(NotCompliant): {toneBad, "Not compliant"},
	string(Unknown): {toneWarn, "Unknown"}, string(NoRun): {toneWarn, "No run"}, string(NotDue): {toneNeutral, "Not due"},

	"Deleted": {toneGood, "Deleted"}, "Anonymized": {toneGood, "Anonymized"}, "NothingFound": {toneNeutral, "Nothing found"},
	"Retained": {toneNeutral, "Retained"}, "Incomplete": {toneBad, "Incomplete"}, "Unproven": {toneBad, "Unproven"},
	"NotDone": {toneWarn, "Not done"},

	string(RequestAnswered): {toneGood, "Answered"}, string(RequestDenied): {toneNeutral, "Denied"},
	string(RequestWithdrawn): {toneNeutral, "Withdrawn"}, string(RequestOpen): {toneWarn, "Open"}, string(RequestOverdue): {toneBad, "Overdue"},
	string(AnsweredWhole): {toneGood, "Complied in whole"}, string(AnsweredPart): {toneWarn, "Complied in part"},
	string(AnsweredKept): {toneNeutral, "All kept"},

	string(HoldInForce): {toneGood, "In force"}, string(HoldReleased): {toneNeutral, "Released"},
	string(HoldPending): {toneBad, "Not enforced"}, string(HoldGone): {toneBad, "Gone, not released"},
	string(HoldSeen): {toneWarn, "Seen by runs"},

	string(BackupExpired): {toneGood, "Expired"}, string(BackupPending): {toneNeutral, "Pending"},
	string(BackupUndeclared): {toneWarn, "Undeclared"},
}

func badgeOf(v any) badge {
	s := fmt.Sprint(v)
	if b, ok := badges[s]; ok {
		return b
	}
	return badge{toneNeutral, cmp.Or(s, absent)}
}

// answerWord is what an answer comes to. It is not the level of the same name.
func answerWord(a Answer) badge {
	if a == AnsweredNotDone {
		return badge{toneWarn, "Not done, or not proved"}
	}
	return badgeOf(a)
}

// whyText says why a run is not compliant, or why that is unknown.
func whyText(w Why) string {
	switch w {
	case WhyRecordsLeft:
		return "records past their period were still there"
	case WhySimulated:
		return "the policy only simulates, and records are past their period"
	case WhyAwaitingApproval:
		return "more was due than the guardrails allow, and nobody had approved it"
	case WhyUnproven:
		return "nobody can account for what was done"
	case WhyNotObserved:
		return "nobody has looked everywhere"
	case WhyUndated:
		return "records without a usable date are never deleted, and may be past their period"
	case WhyIncomplete:
		return "some rule was not carried out"
	case WhyNotConcluded:
		return "no statement says how the run ended"
	}
	return string(w)
}

// kindWords says what kind of exception it is, with its tone.
func kindWords(k ExceptionKind) badge {
	switch k {
	case ExceptionDangling:
		return badge{toneBad, "Intent without result"}
	case ExceptionUnproven:
		return badge{toneBad, "Unproven"}
	case ExceptionContradiction:
		return badge{toneBad, "Contradiction"}
	case ExceptionBlocked:
		return badge{toneBad, "Blocked"}
	case ExceptionRemaining:
		return badge{toneBad, "Still there"}
	case ExceptionUnreachable:
		return badge{toneWarn, "Unreachable"}
	case ExceptionNotDone:
		return badge{toneWarn, "Not done"}
	case ExceptionUndated:
		return badge{toneWarn, "Undated"}
	case ExceptionObligation:
		return badge{toneNeutral, "Obligation"}
	case ExceptionHold:
		return badge{toneNeutral, "Legal hold"}
	case ExceptionNotCovered:
		return badge{toneNeutral, "Not covered"}
	case ExceptionRule:
		return badge{toneNeutral, "Rule not applied"}
	}
	return badge{toneNeutral, string(k)}
}
