// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dataretention.dev/retention-operator/internal/evidence"
)

var update = flag.Bool("update", false, "write what the tests get into testdata")

func build(t testing.TB, in Input) *Report {
	t.Helper()
	r, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestGolden pins the JSON form, which programs read, over a quarter with something of everything.
func TestGolden(t *testing.T) {
	r := build(t, richOn(t, func(day int) bool { return slices.Contains([]int{0, 4, 6, 27, 33, 40, 45, 48, 56, 61, 72, 88}, day) }))
	var b bytes.Buffer
	if err := r.JSON(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "rich.json", b.Bytes())
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run the test with -update", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}

// TestRich checks by hand what the rich quarter comes to.
func TestRich(t *testing.T) {
	r := build(t, rich(t))
	find := func(name string) *Policy {
		for i := range r.Policies {
			if r.Policies[i].Name == name {
				return &r.Policies[i]
			}
		}
		t.Fatalf("there is no policy %s", name)
		return nil
	}
	customers := find("customer-data")
	if customers.Runs != 88 || customers.Compliant != 85 || customers.NotCompliant != 3 || customers.Unknown != 0 {
		t.Errorf("customer-data: %d runs, %d, %d, %d", customers.Runs, customers.Compliant, customers.NotCompliant, customers.Unknown)
	}
	states := map[State]int{}
	for _, c := range customers.Strip {
		states[c.State]++
	}
	if want := map[State]int{Compliant: 85, NotCompliant: 3, NoRun: 2}; !cmp.Equal(states, want) {
		t.Errorf("customer-data's strip: %v, want %v", states, want)
	}
	if logs := find("access-logs"); logs.Unknown != 1 || !logs.Deleted.AtLeast || logs.Compliant != 89 {
		t.Errorf("access-logs: %+v", logs)
	}
	leads := find("leads")
	if leads.Runs != 13 || leads.Compliant != 13 || leads.Deleted != nil || leads.Anonymized.Records == 0 {
		t.Errorf("leads: %+v: a run that was approved later is one run, and anonymized is not deleted", leads)
	}
	if trial := find("invoices-trial"); trial.NotCompliant != 13 || trial.Deleted != nil || !trial.Gone {
		t.Errorf("invoices-trial: %+v", trial)
	}
	if fresh := find("receipts"); fresh.Latest != NoRun || fresh.Runs != 0 {
		t.Errorf("receipts: %+v", fresh)
	}

	m := r.Metrics[0]
	want := RequestMetrics{CarriedOver: 1, Received: 15, Answered: 12, Withdrawn: 1, Open: 3, CompliedInWhole: 6, CompliedInPart: 1, NothingFound: 1, AllKept: 1,
		Denied: 1, NotDone: 2, DenialReasons: []Tally{{"IdentityNotVerified", 1}}, InTime: 11, Late: 1, Extended: 2, Overdue: 1, Days: m.Days}
	if diff := cmp.Diff(want, m); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	// 2, 2, 8, 12, 13, 14, 14, 15, 18, 29, 38, 51
	if m.Days.Answers != 12 || m.Days.SumDays != 216 || *m.Days.Median != 14 || *m.Days.Mean != 18 || *m.Days.Longest != 51 {
		t.Errorf("days: %d, sum %d, median %v, mean %v, longest %v", m.Days.Answers, m.Days.SumDays, *m.Days.Median, *m.Days.Mean, *m.Days.Longest)
	}

	holds := map[string]HoldState{}
	for _, h := range r.Holds {
		holds[h.Name] = h.State
	}
	if want := map[string]HoldState{"lg-berlin-2025-0417": HoldInForce, "tax-audit-2022": HoldReleased, "works-council-12": HoldGone, "regulator-2026-3": HoldPending}; !cmp.Equal(holds, want) {
		t.Errorf("holds: %v, want %v", holds, want)
	}
	kinds := map[ExceptionKind]int{}
	for _, e := range r.Exceptions {
		kinds[e.Kind]++
	}
	for _, kind := range []ExceptionKind{ExceptionDangling, ExceptionUnproven, ExceptionBlocked, ExceptionUnreachable, ExceptionNotDone, ExceptionUndated,
		ExceptionObligation, ExceptionHold, ExceptionNotCovered, ExceptionRule} {
		if kinds[kind] == 0 {
			t.Errorf("there is no exception of kind %s", kind)
		}
	}
	if kinds[ExceptionContradiction] > 0 || kinds[ExceptionRemaining] > 0 || kinds[ExceptionDangling] != 1 {
		t.Errorf("exceptions: %v", kinds)
	}
	if s := r.Summary; s.BackupsOverdue == 0 || s.BackupsPending == 0 || !s.Deleted.AtLeast {
		t.Errorf("summary: %+v", s)
	}
}

// small is a ledger of one policy, to be changed by tests.
func small(t *testing.T, change func(l *log)) Input {
	from, until := quarter()
	l := &log{t: t}
	change(l)
	return Input{From: from, Until: until, Zone: zone, Now: until.AddDate(0, 0, 1), Version: "test", Source: "test", Entries: l.entries}
}

func simple(when time.Time, datasets ...evidence.Dataset) run {
	d := datastoreOf("shop", "db", "P30D")
	d.Datasets = datasets
	return run{policy: policyOf("shop", "p", "0 3 * * *"), name: "p-" + when.Format("20060102t1504z"), time: when, datastore: d, level: evidence.LevelDeleted, outcome: "Succeeded"}
}

func TestPeriod(t *testing.T) {
	from, until := quarter()
	in := small(t, func(l *log) {
		for _, when := range []time.Time{from.Add(-time.Second), from, until.Add(-2 * time.Second), until} {
			l.run(simple(when.UTC(), deleted("a", "c", 10)))
		}
	})
	if r := build(t, in); r.Summary.Deleted.Records != 20 || len(r.Runs) != 3 {
		// The Conclusion of the first run is made a second later, in the period: its Result's records are not.
		t.Errorf("%d records in %d runs", r.Summary.Deleted.Records, len(r.Runs))
	}
}

func TestDangling(t *testing.T) {
	intentOf := func(l *log, when time.Time) *evidence.Reference {
		p := policyOf("shop", "p", "0 3 * * *")
		return l.add(evidence.Predicate{Kind: evidence.Intent, Key: "k" + when.String(), Time: when, Level: evidence.LevelNone, Policy: &p,
			Run: &evidence.Run{Name: "r", Mode: evidence.ModeEnforce}, Datastores: []evidence.Datastore{{Object: evidence.Object{Namespace: "shop", Name: "db"}}}})
	}
	resultOf := func(l *log, when time.Time, of *evidence.Reference) int64 {
		p, d := policyOf("shop", "p", "0 3 * * *"), datastoreOf("shop", "db", "")
		d.Level, d.Outcome = evidence.LevelNotDone, "Interrupted"
		return l.add(evidence.Predicate{Kind: evidence.Result, Key: "k" + when.String(), Time: when, Level: evidence.LevelNotDone, Policy: &p, Closes: of,
			Run: &evidence.Run{Name: "r", Mode: evidence.ModeEnforce}, Datastores: []evidence.Datastore{d}}).Index
	}
	for name, tc := range map[string]struct {
		change func(l *log)
		want   int
	}{
		"before the period":             {func(l *log) { intentOf(l, day(2025, 12, 1, 8)) }, 1},
		"in the period":                 {func(l *log) { intentOf(l, date(2, 1)) }, 1},
		"after the period":              {func(l *log) { intentOf(l, date(4, 1)) }, 0},
		"closed":                        {func(l *log) { resultOf(l, date(2, 2), intentOf(l, date(2, 1))) }, 0},
		"closed after the period":       {func(l *log) { resultOf(l, date(4, 1), intentOf(l, date(3, 31))) }, 0},
		"closed by a removed statement": {func(l *log) { l.prune(resultOf(l, date(2, 2), intentOf(l, date(2, 1)))) }, 0},
		"the Result is of another":      {func(l *log) { intentOf(l, date(1, 5)); resultOf(l, date(2, 2), intentOf(l, date(2, 1))) }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			if r := build(t, small(t, tc.change)); r.Summary.Dangling != tc.want {
				t.Errorf("%d Intents are dangling, want %d", r.Summary.Dangling, tc.want)
			}
		})
	}
}

// TestDanglingTile: a Job that has begun just now is no alarm yet.
func TestDanglingTile(t *testing.T) {
	in := rich(t)
	if got := danglingTile(build(t, in)).Tone; got != toneBad {
		t.Errorf("an Intent without a Result is %s", got)
	}
	in.Now = in.Entries[len(in.Entries)-1].Leaf.Time.Add(time.Hour)
	if got := danglingTile(build(t, in)).Tone; got != toneWarn {
		t.Errorf("an Intent of an hour ago is %s", got)
	}
	in.Entries = in.Entries[:len(in.Entries)-1]
	if got := danglingTile(build(t, in)).Tone; got != toneGood {
		t.Errorf("no Intent is %s", got)
	}
}

// TestUnknownNumbers: what nobody counted is absent, and makes a sum a lower bound where something may have gone.
func TestUnknownNumbers(t *testing.T) {
	lost := deleted("b", "c", 5)
	lost.Outcome, lost.Deleted, lost.Remaining, lost.Blocked = "Failed", nil, nil, nil
	notRun := lost
	notRun.Outcome = "NotRun"
	for name, tc := range map[string]struct {
		runs []run
		want *Count
	}{
		"none":                     {nil, nil},
		"nothing due":              {[]run{level(simple(date(2, 1), deleted("a", "c", 0)), evidence.LevelNothingFound)}, &Count{0, false}},
		"not run":                  {[]run{level(simple(date(2, 1), notRun), evidence.LevelNotDone)}, nil},
		"a number is missing":      {[]run{level(simple(date(2, 1), deleted("a", "c", 7), lost), evidence.LevelIncomplete)}, &Count{7, true}},
		"only a number is missing": {[]run{level(simple(date(2, 1), lost), evidence.LevelIncomplete)}, nil},
		"part was not run":         {[]run{level(simple(date(2, 1), deleted("a", "c", 7), notRun), evidence.LevelIncomplete)}, &Count{7, false}},
		"a receipt is lost":        {[]run{simple(date(2, 1), deleted("a", "c", 7)), level(simple(date(2, 2)), evidence.LevelUnproven)}, &Count{7, true}},
	} {
		t.Run(name, func(t *testing.T) {
			r := build(t, small(t, func(l *log) {
				for _, run := range tc.runs {
					l.run(run)
				}
			}))
			if diff := cmp.Diff(tc.want, r.Summary.Deleted); diff != "" {
				t.Errorf("deleted (-want +got):\n%s", diff)
			}
		})
	}
}

func level(r run, l evidence.Level) run {
	r.level = l
	return r
}

func TestPrunedIsAtLeast(t *testing.T) {
	in := small(t, func(l *log) {
		l.run(simple(date(2, 1), deleted("a", "c", 7)))
		gone, _ := l.run(simple(date(2, 2), deleted("a", "c", 9)))
		l.prune(gone.Index)
	})
	r := build(t, in)
	if diff := cmp.Diff(&Count{7, true}, r.Summary.Deleted); diff != "" {
		t.Errorf("deleted (-want +got):\n%s", diff)
	}
	if !strings.Contains(strings.Join(r.Notes, "\n"), "1 statement of the period was removed") {
		t.Errorf("notes: %q", r.Notes)
	}
}

func TestRepeatedEntryCountsOnce(t *testing.T) {
	in := small(t, func(l *log) {
		result, _ := l.run(simple(date(2, 1), deleted("a", "c", 7)))
		again := l.entries[result.Index]
		again.Index = int64(len(l.entries))
		l.entries = append(l.entries, again)
	})
	r := build(t, in)
	if r.Summary.Deleted.Records != 7 || !strings.Contains(strings.Join(r.Notes, "\n"), "1 entry repeats") {
		t.Errorf("%d records, notes %q", r.Summary.Deleted.Records, r.Notes)
	}
}

func TestNamespace(t *testing.T) {
	in := rich(t)
	in.Namespace = "hr"
	r := build(t, in)
	if len(r.Policies) != 1 || len(r.Holds) != 1 || len(r.Requests) != 0 || r.Summary.Dangling != 0 {
		t.Errorf("%d policies, %d holds, %d requests, %d dangling", len(r.Policies), len(r.Holds), len(r.Requests), r.Summary.Dangling)
	}
	for _, c := range r.Classes {
		if c.Namespace != "hr" {
			t.Errorf("there is a Datastore of %s", c.Namespace)
		}
	}
}

func TestRefused(t *testing.T) {
	in := rich(t)
	for name, change := range map[string]func(*Input){
		"no zone":        func(in *Input) { in.Zone = nil },
		"no period":      func(in *Input) { in.Until = in.From },
		"not begun":      func(in *Input) { in.Now = in.From },
		"out of order":   func(in *Input) { in.Entries = []Entry{in.Entries[1], in.Entries[0]} },
		"the same twice": func(in *Input) { in.Entries = []Entry{in.Entries[1], in.Entries[1]} },
	} {
		t.Run(name, func(t *testing.T) {
			in := in
			change(&in)
			if _, err := Build(in); err == nil {
				t.Error("it was built")
			}
		})
	}
}

func TestDays(t *testing.T) {
	for name, tc := range map[string]struct {
		received, answered time.Time
		want               int
	}{
		"at once":                      {date(1, 1), date(1, 1), 0},
		"a second":                     {date(1, 1), date(1, 1).Add(time.Second), 1},
		"a day":                        {date(1, 1), date(1, 2), 1},
		"a day and a second":           {date(1, 1), date(1, 2).Add(time.Second), 2},
		"a day of 23 hours":            {time.Date(2026, 3, 28, 12, 0, 0, 0, zone), time.Date(2026, 3, 29, 12, 0, 0, 0, zone), 1},
		"a day of 25 hours":            {time.Date(2026, 10, 24, 12, 0, 0, 0, zone), time.Date(2026, 10, 25, 12, 0, 0, 0, zone), 1},
		"answered before it was there": {date(1, 5), date(1, 1), 0},
		"years":                        {day(2020, 2, 29, 9), day(2026, 2, 28, 9), 2191},
	} {
		t.Run(name, func(t *testing.T) {
			if got := daysTaken(tc.received, tc.answered, zone); got != tc.want {
				t.Errorf("%d days, want %d", got, tc.want)
			}
		})
	}
	due := time.Date(2026, 4, 10, 23, 59, 59, 0, zone)
	for now, want := range map[time.Time]int{due: 0, due.Add(-24 * time.Hour): 1, due.Add(time.Second): -1, due.Add(49 * time.Hour): -3, due.Add(-30 * time.Minute): 0} {
		if got := daysLeft(now, due, zone); got != want {
			t.Errorf("%d days left at %s, want %d", got, now, want)
		}
	}
}

func TestMeanAndMedian(t *testing.T) {
	for _, tc := range []struct {
		took         []int
		median, mean float64
	}{{[]int{5}, 5, 5}, {[]int{1, 2}, 1.5, 1.5}, {[]int{9, 1, 1}, 1, 3.67}, {[]int{0, 0, 1}, 0, 0.33}, {[]int{4, 3, 2, 1}, 2.5, 2.5}, {[]int{1, 1, 1, 1, 1, 1, 1, 2}, 1, 1.13}} {
		d := daysOf(slices.Clone(tc.took))
		if *d.Median != tc.median || math.Abs(*d.Mean-tc.mean) > 1e-9 {
			t.Errorf("%v: median %v, mean %v; want %v, %v", tc.took, *d.Median, *d.Mean, tc.median, tc.mean)
		}
	}
	if d := daysOf(nil); d.Median != nil || d.Mean != nil {
		t.Error("there is a mean of nothing")
	}
}

func TestCalendar(t *testing.T) {
	sao, err := time.LoadLocation("America/Sao_Paulo") // where the clock has skipped midnight
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		unit        Unit
		from, until time.Time
		zone        *time.Location
		want        int
	}{
		"days over a change of the clock": {Day, berlin(2026, 3, 28), berlin(2026, 3, 31), zone, 3},
		"days where midnight is skipped":  {Day, time.Date(2018, 11, 3, 0, 0, 0, 0, sao), time.Date(2018, 11, 6, 0, 0, 0, 0, sao), sao, 3},
		"weeks begin on Mondays":          {Week, berlin(2026, 1, 1), berlin(2026, 2, 1), zone, 5},
		"a week":                          {Week, berlin(2026, 1, 5), berlin(2026, 1, 12), zone, 1},
		"months":                          {Month, berlin(2026, 1, 15), berlin(2027, 1, 1), zone, 12},
		"part of a day":                   {Day, berlin(2026, 1, 1).Add(time.Hour), berlin(2026, 1, 1).Add(2 * time.Hour), zone, 1},
	} {
		t.Run(name, func(t *testing.T) {
			got := spans(tc.unit, tc.from, tc.until, tc.zone)
			if len(got) != tc.want {
				t.Fatalf("%d spans, want %d: %v", len(got), tc.want, got)
			}
			if !got[0].from.Equal(tc.from) || !got[len(got)-1].until.Equal(tc.until) {
				t.Error("they do not cover the period")
			}
			for i := range got {
				if i > 0 && !got[i].from.Equal(got[i-1].until) {
					t.Error("there is a gap")
				}
				if find(got, got[i].from) != i || find(got, got[i].until.Add(-time.Nanosecond)) != i {
					t.Errorf("span %d is not found", i)
				}
			}
			if find(got, tc.until) != -1 || find(got, tc.from.Add(-1)) != -1 {
				t.Error("what is outside is found")
			}
		})
	}
}
