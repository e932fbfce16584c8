// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"dataretention.dev/retention-operator/internal/evidence"
)

var (
	anyCount = rapid.Custom(func(t *rapid.T) *int64 {
		if rapid.IntRange(0, 3).Draw(t, "absent") == 0 {
			return nil
		}
		return n(rapid.Int64Range(0, 1000).Draw(t, "number"))
	})
	outcomes = []string{"Deleted", "Anonymized", "NothingDue", "NotFound", "Simulated", "RetainedByObligation", "RetainedByHold", "Blocked", "Failed", "NotRun",
		"AwaitingApproval", "Skipped", "Unreachable", "Expiring", ""}
	anyTime = rapid.Custom(func(t *rapid.T) time.Time {
		return day(2025, 11, 1, 0).Add(time.Duration(rapid.IntRange(0, 200*24*60).Draw(t, "minutes")) * time.Minute)
	})
)

// anyDataset says anything, whether it makes sense or not: a report has to bear whatever was signed.
func anyDataset(t *rapid.T) evidence.Dataset {
	return evidence.Dataset{
		Name: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "dataset"), DataClass: rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "class"),
		Method:  evidence.Method(rapid.SampledFrom([]string{"Delete", "Anonymize", "DropPartition", "Retain", ""}).Draw(t, "method")),
		Outcome: rapid.SampledFrom(outcomes).Draw(t, "outcome"), Matched: anyCount.Draw(t, "matched"),
		Deleted: anyCount.Draw(t, "deleted"), Anonymized: anyCount.Draw(t, "anonymized"), Retained: anyCount.Draw(t, "retained"), Held: anyCount.Draw(t, "held"),
		Remaining: anyCount.Draw(t, "remaining"), Blocked: anyCount.Draw(t, "blocked"), Undated: anyCount.Draw(t, "undated"),
		Counting: rapid.SampledFrom([]string{"", "Exact", "AtLeast"}).Draw(t, "counting"),
	}
}

func anyLevel(t *rapid.T) evidence.Level { return rapid.SampledFrom(evidence.Levels).Draw(t, "level") }

// anyLog is a ledger of statements that say anything.
func anyLog(t *rapid.T, tb testing.TB, levels func(*rapid.T) evidence.Level) []Entry {
	l := &log{t: tb}
	for i := range rapid.IntRange(0, 30).Draw(t, "statements") {
		p := evidence.Predicate{Key: fmt.Sprint(i), Time: anyTime.Draw(t, "time"), Level: levels(t),
			Kind: rapid.SampledFrom([]evidence.Kind{evidence.Result, evidence.Result, evidence.Conclusion, evidence.Intent, evidence.BackupsExpired}).Draw(t, "kind"),
			Run:  &evidence.Run{Name: rapid.SampledFrom([]string{"r1", "r2"}).Draw(t, "run"), Mode: rapid.SampledFrom([]string{"Enforce", "Enforce", "Simulate"}).Draw(t, "mode")},
		}
		if rapid.Bool().Draw(t, "policy") {
			of := policyOf("ns", rapid.SampledFrom([]string{"p1", "p2"}).Draw(t, "name"), "0 3 * * *")
			p.Policy = &of
		} else if p.Kind == evidence.Conclusion {
			p.Request = anyRequest(t)
			p.Run = nil
			p.Outcome = rapid.SampledFrom([]string{"Deleted", "Denied", "NotFound", "Withdrawn", "Failed"}).Draw(t, "answer")
		}
		for range rapid.IntRange(0, 2).Draw(t, "datastores") {
			d := datastoreOf("ns", rapid.SampledFrom([]string{"d1", "d2"}).Draw(t, "datastore"), "")
			d.Level, d.Outcome = levels(t), rapid.SampledFrom([]string{"Succeeded", "Failed", "Unreachable", ""}).Draw(t, "outcome")
			for range rapid.IntRange(0, 3).Draw(t, "datasets") {
				d.Datasets = append(d.Datasets, anyDataset(t))
			}
			p.Datastores = append(p.Datastores, d)
		}
		if i > 0 {
			p.Closes = &evidence.Reference{Index: int64(rapid.IntRange(0, i-1).Draw(t, "closes"))}
			p.Results = []evidence.Reference{{Index: int64(rapid.IntRange(0, i-1).Draw(t, "result"))}}
		}
		l.raw(&evidence.Statement{Predicate: p})
	}
	return l.entries
}

func anyRequest(t *rapid.T) *evidence.Request {
	q := &evidence.Request{Object: evidence.Object{Namespace: "ns", Name: rapid.SampledFrom([]string{"q1", "q2", "q3", "q4", "q5"}).Draw(t, "request")},
		Channel: rapid.SampledFrom([]string{"Object", "Parent"}).Draw(t, "channel")}
	q.Regulation = "GDPR"
	if len(q.Name)%2 == 0 && q.Name > "q2" {
		q.Regulation = "CCPA"
	}
	for _, at := range []**time.Time{&q.ReceivedTime, &q.DueTime, &q.AnsweredTime} {
		if rapid.IntRange(0, 3).Draw(t, "given") > 0 {
			when := anyTime.Draw(t, "when")
			*at = &when
		}
	}
	return q
}

func inputOf(entries []Entry) Input {
	from, until := quarter()
	return Input{From: from, Until: until, Zone: zone, Now: until.AddDate(0, 0, 3), Version: "test", Source: "test", Entries: entries}
}

func records(counts ...*Count) (sum int64) {
	for _, c := range counts {
		if c != nil {
			sum += c.Records
		}
	}
	return sum
}

// TestTotalsAreSums: whatever was stated, the numbers of the parts add up to those of the whole, and to what an independent
// count over the statements gives.
func TestTotalsAreSums(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		entries := anyLog(rt, t, anyLevel)
		r, err := Build(inputOf(entries))
		if err != nil {
			rt.Fatal(err)
		}
		want := countedByHand(entries, r.Period)
		byClass, byTime, byRun, byPolicy := int64(0), int64(0), int64(0), int64(0)
		for _, c := range r.Classes {
			byClass += records(c.Deleted)
		}
		for _, s := range r.Deletions.Stretches {
			byTime += records(s.Deleted...)
		}
		for _, u := range r.Runs {
			byRun += records(u.Deleted)
		}
		for _, p := range r.Policies {
			byPolicy += records(p.Deleted)
		}
		onRequest := records(r.Summary.DeletedOnRequest)
		if got := records(r.Summary.Deleted); got != want || byClass != want || byTime != want || byRun+onRequest != want || byPolicy != byRun {
			rt.Fatalf("deleted: %d in all, by class %d, by time %d, by run %d and policy %d plus on request %d; counted by hand %d", got, byClass, byTime, byRun, byPolicy, onRequest, want)
		}
		for _, p := range r.Policies {
			if p.Runs != p.Compliant+p.NotCompliant+p.Unknown || sum(p.Outcomes) != p.Runs || sum(p.Levels) != p.Runs {
				rt.Fatalf("runs of %s do not add up: %+v", p.Name, p)
			}
		}
		checkMetrics(rt, r)
		checkBounds(rt, r)
	})
}

// countedByHand counts what Results of the period have deleted, in another way than the report does.
func countedByHand(entries []Entry, period Period) (total int64) {
	for _, e := range entries {
		p := &e.Statement.Predicate
		if p.Kind != evidence.Result || p.Run.Mode != "Enforce" || p.Time.Before(period.From) || !p.Time.Before(period.Until) {
			continue
		}
		for _, d := range p.Datastores {
			if d.Level == evidence.LevelNotDone || d.Level == evidence.LevelNothingFound {
				continue
			}
			for _, ds := range d.Datasets {
				if slices.Contains([]string{"Deleted", "Anonymized", "RetainedByObligation", "RetainedByHold", "Blocked", "Failed", "Expiring", ""}, ds.Outcome) && ds.Deleted != nil {
					total += *ds.Deleted
				}
			}
		}
	}
	return total
}

func sum(of []Tally) (n int) {
	for _, t := range of {
		n += t.Times
	}
	return n
}

func checkMetrics(t *rapid.T, r *Report) {
	var parts RequestMetrics
	for i, m := range r.Metrics {
		if m.CarriedOver+m.Received != m.Answered+m.Withdrawn+m.Open {
			t.Fatalf("%q: what came is not what went: %+v", m.Regulation, m)
		}
		if m.Answered != m.CompliedInWhole+m.CompliedInPart+m.NothingFound+m.AllKept+m.Denied+m.NotDone || sum(m.DenialReasons) != m.Denied || m.InTime+m.Late > m.Answered {
			t.Fatalf("%q: the answers do not add up: %+v", m.Regulation, m)
		}
		if i > 0 {
			parts.Received += m.Received
			parts.Answered += m.Answered
			parts.Open += m.Open
			parts.Days.SumDays += m.Days.SumDays
		}
	}
	if all := r.Metrics[0]; parts.Received != all.Received || parts.Answered != all.Answered || parts.Open != all.Open || parts.Days.SumDays != all.Days.SumDays {
		t.Fatalf("the regulations do not add up to all: %+v", r.Metrics)
	}
	for _, q := range r.Requests {
		complied := q.Answer == AnsweredWhole || q.Answer == AnsweredPart
		if complied && (q.Level == evidence.LevelNothingFound || q.Level == evidence.LevelNotDone || q.Level == evidence.LevelUnproven) {
			t.Fatalf("%s counts as complied with, with level %s", q.Name, q.Level)
		}
	}
}

// checkBounds: a whole is a lower bound where a part is.
func checkBounds(t *rapid.T, r *Report) {
	whole := r.Summary.Deleted
	for _, c := range r.Classes {
		if c.Deleted != nil && c.Deleted.AtLeast && !whole.AtLeast {
			t.Fatalf("%s is at least %d, and the whole is exact", c.DataClass, c.Deleted.Records)
		}
		if c.Deleted != nil && whole == nil {
			t.Fatal("a part was counted, and the whole was not")
		}
	}
}

// TestNothingIsNeverDeleted: statements that prove no deletion add nothing, whatever numbers stand in them, and each such
// number is an exception.
func TestNothingIsNeverDeleted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		entries := anyLog(rt, t, func(t *rapid.T) evidence.Level {
			return rapid.SampledFrom([]evidence.Level{evidence.LevelNothingFound, evidence.LevelNotDone}).Draw(t, "level")
		})
		r, err := Build(inputOf(entries))
		if err != nil {
			rt.Fatal(err)
		}
		if records(r.Summary.Deleted, r.Summary.Anonymized, r.Summary.DeletedOnRequest) != 0 || len(r.Deletions.Classes) > 0 {
			rt.Fatalf("%+v records were deleted where nothing was", r.Summary.Deleted)
		}
		for _, m := range r.Metrics {
			if m.CompliedInWhole+m.CompliedInPart > 0 {
				rt.Fatalf("requests were complied with: %+v", m)
			}
		}
		contradictions, stated := 0, false
		for _, e := range r.Exceptions {
			if e.Kind == ExceptionContradiction {
				contradictions++
			}
		}
		for _, e := range entries {
			p := &e.Statement.Predicate
			if p.Kind != evidence.Result || !r.Period.contains(p.Time) {
				continue
			}
			for _, d := range p.Datastores {
				for _, ds := range d.Datasets {
					stated = stated || positive(ds.Deleted) || positive(ds.Anonymized)
				}
			}
		}
		if stated != (contradictions > 0) {
			rt.Fatalf("numbers were stated: %v, and %d contradictions found", stated, contradictions)
		}
	})
}

// TestCompliantMeansSeen: a run is compliant only if every dataset was looked at afterwards, and nothing was there.
func TestCompliantMeansSeen(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p := &evidence.Predicate{Level: anyLevel(rt)}
		var datastores []evidence.Datastore
		for range rapid.IntRange(0, 3).Draw(rt, "datastores") {
			d := evidence.Datastore{Level: anyLevel(rt), Outcome: rapid.SampledFrom([]string{"Succeeded", "Failed", "Unreachable", "Simulated"}).Draw(rt, "outcome")}
			for range rapid.IntRange(0, 2).Draw(rt, "datasets") {
				d.Datasets = append(d.Datasets, anyDataset(rt))
			}
			datastores = append(datastores, d)
		}
		state, why, left := judge(p, datastores)
		if (state == Compliant) != (why == "") {
			rt.Fatalf("%s for the reason %q", state, why)
		}
		if state == NotCompliant && records(left) == 0 {
			rt.Fatal("nothing was left, and the run is not compliant")
		}
		if state != Compliant {
			return
		}
		if len(datastores) == 0 || p.Level == evidence.LevelUnproven || p.Level == evidence.LevelIncomplete || records(left) > 0 {
			rt.Fatalf("%d Datastores, level %s, %d left: compliant", len(datastores), p.Level, records(left))
		}
		for _, d := range datastores {
			for _, ds := range d.Datasets {
				nothingMatched := leftByNotDoing[ds.Outcome] && ds.Matched != nil && *ds.Matched == 0
				if ds.Remaining == nil && !nothingMatched || positive(ds.Undated) {
					rt.Fatalf("nobody looked at %+v, and the run is compliant", ds)
				}
			}
		}
	})
}

// TestSameInputSameReport: the report does not depend on the order of maps, and leaves its input as it is.
func TestSameInputSameReport(t *testing.T) {
	in := rich(t)
	var pages [2]bytes.Buffer
	for i := range pages {
		r := build(t, in)
		if err := r.JSON(&pages[i]); err != nil {
			t.Fatal(err)
		}
		if err := r.HTML(&pages[i]); err != nil {
			t.Fatal(err)
		}
		files, err := r.CSV()
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range r.tables() {
			pages[i].Write(files[table.name])
		}
	}
	if !bytes.Equal(pages[0].Bytes(), pages[1].Bytes()) {
		t.Error("two reports of the same input differ")
	}
}
