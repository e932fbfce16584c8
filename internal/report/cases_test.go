// SPDX-License-Identifier: Apache-2.0

package report

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
)

// TestOutcomes: which outcomes of a dataset let a number stand as deleted, in a part that was not done as a whole.
func TestOutcomes(t *testing.T) {
	for outcome, counts := range map[string]bool{
		"Deleted": true, "Anonymized": true, "RetainedByObligation": true, "RetainedByHold": true, "Blocked": true, "Failed": true, "Expiring": true, "": true,
		"NothingDue": false, "NotFound": false, "Simulated": false, "NotRun": false, "AwaitingApproval": false, "Skipped": false, "Unreachable": false,
	} {
		p := &evidence.Predicate{Level: evidence.LevelIncomplete, Run: &evidence.Run{Mode: evidence.ModeEnforce}}
		g := goneOf(p, &evidence.Datastore{Level: evidence.LevelIncomplete}, &evidence.Dataset{Outcome: outcome, Deleted: n(5)})
		if (g.deleted.n == 5) != counts || g.contradiction == counts {
			t.Errorf("%q: %d deleted, contradiction %v; want counted %v", outcome, g.deleted.n, g.contradiction, counts)
		}
	}
}

func TestJudge(t *testing.T) {
	seen := deleted("a", "c", 5)
	with := func(change func(*evidence.Dataset)) evidence.Dataset {
		d := seen
		change(&d)
		return d
	}
	for name, tc := range map[string]struct {
		level    evidence.Level
		outcome  string
		datasets []evidence.Dataset
		gaps     []evidence.Gap
		want     State
		why      Why
	}{
		"all gone":                  {evidence.LevelDeleted, "Succeeded", []evidence.Dataset{seen}, nil, Compliant, ""},
		"kept by an obligation":     {evidence.LevelRetained, "Succeeded", []evidence.Dataset{with(func(d *evidence.Dataset) { d.Retained = n(9) })}, nil, Compliant, ""},
		"nothing to do":             {evidence.LevelNothingFound, "Succeeded", nil, nil, Compliant, ""},
		"nothing, and nobody there": {evidence.LevelNotDone, "Unreachable", nil, nil, Unknown, WhyNotObserved},
		"left":                      {evidence.LevelIncomplete, "Incomplete", []evidence.Dataset{with(func(d *evidence.Dataset) { d.Remaining = n(2) })}, nil, NotCompliant, WhyRecordsLeft},
		"nobody looked afterwards":  {evidence.LevelIncomplete, "Incomplete", []evidence.Dataset{seen, with(func(d *evidence.Dataset) { d.Remaining = nil })}, nil, Unknown, WhyNotObserved},
		"another was not reached": {evidence.LevelIncomplete, "Succeeded", []evidence.Dataset{seen}, []evidence.Gap{{Kind: evidence.GapDatastore, Name: "b"}},
			Unknown, WhyNotObserved},
		"undated":                       {evidence.LevelDeleted, "Succeeded", []evidence.Dataset{with(func(d *evidence.Dataset) { d.Undated = n(1) })}, nil, Unknown, WhyUndated},
		"invalid":                       {evidence.LevelDeleted, "Succeeded", []evidence.Dataset{with(func(d *evidence.Dataset) { d.Invalid = n(1) })}, nil, Unknown, WhyUndated},
		"a rule could not be applied":   {evidence.LevelIncomplete, "Succeeded", []evidence.Dataset{seen}, nil, Unknown, WhyIncomplete},
		"unproven":                      {evidence.LevelUnproven, "Failed", []evidence.Dataset{seen}, nil, Unknown, WhyUnproven},
		"simulated, and something due":  {evidence.LevelNotDone, "Simulated", []evidence.Dataset{{Outcome: "Simulated", Matched: n(3)}}, nil, NotCompliant, WhySimulated},
		"simulated, and nothing due":    {evidence.LevelNotDone, "Simulated", []evidence.Dataset{{Outcome: "Simulated", Matched: n(0)}}, nil, Compliant, ""},
		"waits for approval":            {evidence.LevelNotDone, "AwaitingApproval", []evidence.Dataset{{Outcome: "AwaitingApproval", Matched: n(3)}}, nil, NotCompliant, WhyAwaitingApproval},
		"kept by a hold, and some left": {evidence.LevelIncomplete, "Incomplete", []evidence.Dataset{with(func(d *evidence.Dataset) { d.Held, d.Remaining = n(9), n(1) })}, nil, NotCompliant, WhyRecordsLeft},
	} {
		t.Run(name, func(t *testing.T) {
			p := &evidence.Predicate{Level: tc.level, NotCovered: tc.gaps}
			state, why, _ := judge(p, []evidence.Datastore{{Level: tc.level, Outcome: tc.outcome, Datasets: tc.datasets}})
			if state != tc.want || why != tc.why {
				t.Errorf("%s (%s), want %s (%s)", state, why, tc.want, tc.why)
			}
		})
	}
}

// answerOf logs an answer.
func answerOf(l *log, key string, when, received time.Time, change func(p *evidence.Predicate)) *evidence.Reference {
	p := evidence.Predicate{Kind: evidence.Conclusion, Key: key, Time: when, Level: evidence.LevelNothingFound, Outcome: "NotFound",
		Request: &evidence.Request{Object: evidence.Object{Namespace: "shop", Name: "er", UID: "u"}, Channel: "Object", ReceivedTime: &received, DueTime: at(received.AddDate(0, 1, 0))}}
	d := datastoreOf("shop", "db", "")
	d.Level, d.Outcome = evidence.LevelNothingFound, "NotFound"
	d.Datasets = []evidence.Dataset{{Name: "a", Outcome: "NotFound", Found: n(0), Remaining: n(0)}}
	p.Datastores = []evidence.Datastore{d}
	if change != nil {
		change(&p)
	}
	return l.add(p)
}

func TestRequestsAtTheEdge(t *testing.T) {
	from, until := quarter()
	live := func(ended time.Time) *Live {
		return &Live{Requests: []v1alpha1.ErasureRequest{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "er", UID: "u", CreationTimestamp: micro(from.Add(time.Hour))},
			Status:     v1alpha1.ErasureRequestStatus{State: v1alpha1.ErasureAnswered, AnsweredTime: ref(ended), Outcome: "Deleted"},
		}}}
	}
	for name, tc := range map[string]struct {
		change func(l *log)
		live   *Live
		want   RequestMetrics
		rows   int
	}{
		"received and answered in it": {func(l *log) { answerOf(l, "1", date(2, 2), date(2, 1), nil) }, nil, RequestMetrics{Received: 1, Answered: 1, NothingFound: 1}, 1},
		"answered after it":           {func(l *log) { answerOf(l, "1", until.Add(time.Hour), date(3, 30), nil) }, nil, RequestMetrics{Received: 1, Open: 1}, 1},
		"received before it":          {func(l *log) { answerOf(l, "1", date(1, 2), from.Add(-time.Hour), nil) }, nil, RequestMetrics{CarriedOver: 1, Answered: 1, NothingFound: 1}, 1},
		"over before it":              {func(l *log) { answerOf(l, "1", from.Add(-time.Second), day(2025, 12, 1, 8), nil) }, nil, RequestMetrics{}, 0},
		"received after it":           {func(l *log) { answerOf(l, "1", until.Add(2*time.Hour), until.Add(time.Hour), nil) }, nil, RequestMetrics{}, 0},
		"open all through it":         {func(l *log) { answerOf(l, "1", until.Add(time.Hour), from.Add(-time.Hour), nil) }, nil, RequestMetrics{CarriedOver: 1, Open: 1}, 1},
		"repeated after it": {func(l *log) {
			first := answerOf(l, "1", date(2, 2), date(2, 1), nil)
			answerOf(l, "2", until.Add(time.Hour), date(2, 1), func(p *evidence.Predicate) { p.Closes = first })
		}, nil, RequestMetrics{Received: 1, Answered: 1, NothingFound: 1}, 1},
		"part of another": {func(l *log) {
			answerOf(l, "1", date(2, 2), date(2, 1), func(p *evidence.Predicate) { p.Request.Channel = "Parent" })
		}, nil, RequestMetrics{}, 1},
		"signed, and an object that says otherwise": {func(l *log) { answerOf(l, "1", date(2, 2), date(2, 1), nil) }, live(date(3, 1)), RequestMetrics{Received: 1, Answered: 1, NothingFound: 1}, 1},
		"only an object that says answered":         {func(*log) {}, live(date(3, 1)), RequestMetrics{Received: 1, Answered: 1, NotDone: 1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			in := small(t, tc.change)
			in.Live = tc.live
			r := build(t, in)
			got := r.Metrics[0]
			got.Days, got.DenialReasons, got.InTime = Days{}, nil, 0
			if diff := cmp.Diff(tc.want, got); diff != "" || len(r.Requests) != tc.rows {
				t.Errorf("%d rows, want %d; metrics (-want +got):\n%s", len(r.Requests), tc.rows, diff)
			}
		})
	}
}

func TestHoldsAtTheEdge(t *testing.T) {
	hold := func(l *log, enforced time.Time, released *time.Time) {
		h := evidence.Hold{Object: evidence.Object{Namespace: "shop", Name: "h", UID: "h"}, EnforcedTime: &enforced}
		first := l.add(evidence.Predicate{Kind: evidence.HoldEnforced, Key: "h", Time: enforced, Level: evidence.LevelNone, Hold: &h})
		if released != nil {
			over := h
			over.ReleasedTime = released
			l.add(evidence.Predicate{Kind: evidence.HoldReleased, Key: "h", Time: *released, Level: evidence.LevelNone, Closes: first, Hold: &over})
		}
	}
	from, until := quarter()
	for name, tc := range map[string]struct {
		enforced time.Time
		released *time.Time
		want     []HoldState
	}{
		"all through it":  {from.Add(-time.Hour), nil, []HoldState{HoldInForce}},
		"over before it":  {from.Add(-2 * time.Hour), at(from.Add(-time.Hour)), nil},
		"released in it":  {from.Add(-time.Hour), at(date(2, 1)), []HoldState{HoldReleased}},
		"after it":        {until.Add(time.Hour), nil, nil},
		"released later":  {date(2, 1), at(until.Add(time.Hour)), []HoldState{HoldReleased}},
		"enforced in it":  {date(2, 1), nil, []HoldState{HoldInForce}},
		"at its last end": {until.Add(-time.Second), nil, []HoldState{HoldInForce}},
	} {
		t.Run(name, func(t *testing.T) {
			r := build(t, small(t, func(l *log) { hold(l, tc.enforced, tc.released) }))
			var got []HoldState
			for _, h := range r.Holds {
				got = append(got, h.State)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestObligationOfARun: the basis is that of what retains, not of the rule that would delete.
func TestObligationOfARun(t *testing.T) {
	ds := deleted("orders", "order", 3)
	ds.Outcome, ds.LegalBasis = "RetainedByObligation", "basis of the deletion"
	d := evidence.Datastore{Excluded: []evidence.Exclusion{{Dataset: "other", Reason: "RetainAtLeast", Message: "no"}, {Dataset: "orders", Reason: "RetainAtLeast", Message: "§ 147 AO"}}}
	if got := obligation(&d, &ds, true); got != "§ 147 AO" {
		t.Errorf("got %q", got)
	}
	if got := obligation(&evidence.Datastore{}, &ds, true); got != "not named" {
		t.Errorf("got %q", got)
	}
	if got := obligation(&d, &ds, false); got != "basis of the deletion" {
		t.Errorf("in an erasure, got %q", got)
	}
	ds.Outcome, ds.Retained = "Deleted", n(0)
	if got := obligation(&d, &ds, true); got != "" {
		t.Errorf("nothing is kept, and the obligation is %q", got)
	}
}

// TestGravestAreShown: where there are too many policies for the page, those that are not compliant are not among those left out.
func TestGravestAreShown(t *testing.T) {
	in := small(t, func(l *log) {
		for i := range maxRows + 20 {
			r := simple(date(2, 1).Add(time.Duration(i)*time.Minute), deleted("a", "c", 1))
			if i >= maxRows {
				r.datastore.Datasets[0].Remaining = n(7)
				r.level, r.outcome = evidence.LevelIncomplete, "Incomplete"
			}
			r.policy = policyOf("shop", fmt.Sprintf("p-%03d", i), "0 3 * * *")
			l.run(r)
		}
	})
	v := newView(build(t, in))
	for i, p := range v.Policies[:20] {
		if p.Latest != NotCompliant {
			t.Errorf("row %d is %s, %s", i, p.Name, p.Latest)
		}
	}
}

// TestStrip: what a policy's schedule asked for, and what came.
func TestStrip(t *testing.T) {
	in := small(t, func(l *log) {
		p := policyOf("shop", "p", "0 4 * * 1") // Mondays
		for _, d := range []int{5, 12, 26} {
			r := simple(day(2026, 1, d, 4), deleted("a", "c", 1))
			r.policy = p
			if d == 12 {
				r.datastore.Datasets[0].Remaining = n(1)
				r.level, r.outcome = evidence.LevelIncomplete, "Incomplete"
			}
			l.run(r)
		}
	})
	in.Until = berlin(2026, 2, 1)
	r := build(t, in)
	var got strings.Builder
	for _, c := range r.Policies[0].Strip {
		got.WriteByte(map[State]byte{Compliant: 'C', NotCompliant: 'X', NoRun: 'o', NotDue: '.', Unknown: '?'}[c.State])
	}
	if want := "....C......X......o......C....."; got.String() != want {
		t.Errorf("got  %s\nwant %s", got.String(), want)
	}
}
