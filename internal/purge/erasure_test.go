// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/subject"
)

// of are n records of some persons.
func of(n int, persons ...int) []*record {
	var out []*record
	for range n {
		out = append(out, &record{persons: persons})
	}
	return out
}

func left(records []*record) int {
	n := 0
	for _, r := range records {
		if !r.gone {
			n++
		}
	}
	return n
}

func TestErasure(t *testing.T) {
	w := &world{sets: [][]*record{
		slices.Concat(of(4, 0), of(2, 1), of(1, 0, 1)), slices.Concat(of(1, 0), of(1, 1)), of(3, 1),
	}}
	p := newProcess(t, w, 3)
	code := p.run()
	r := p.receipts.last()
	if code != receipt.ExitDone || r.Reason != receipt.Succeeded || r.Phase != receipt.PhaseFinished || r.Account == nil || w.locks != 1 {
		t.Fatalf("code %d, %+v", code, r)
	}
	if s := r.Steps[0]; s.Matched != 8 || s.Deleted != 7 || !s.Verified || s.Remaining != 0 {
		t.Errorf("the first step: %+v", s)
	}
	if got, want := p.kinds(), "Persons Found Found Found Flight Committed Flight Committed Flight Committed Flight Committed Flight Committed Left Left Left Finished"; got != want {
		t.Errorf("the account: %s", got)
	}
	total := p.total()
	if !total.Finished || total.Passes != 1 || total.Reason != receipt.Succeeded || total.Total.Outcome != receipt.OutcomeSucceeded {
		t.Errorf("total: %+v", total)
	}
	for i, want := range []struct {
		outcome receipt.ErasureOutcome
		deleted [3]int64
	}{{receipt.ErasureDeleted, [3]int64{5, 1, 0}}, {receipt.ErasureDeleted, [3]int64{3, 1, 3}}, {receipt.ErasureNotFound, [3]int64{}}} {
		got := total.Requests[i]
		if got.Outcome != want.outcome || !got.Verified || !got.Told || !slices.Equal(got.Types, []string{"email"}) {
			t.Errorf("request %d: %+v", i, got)
		}
		for s, step := range got.Steps {
			if step.Deleted != want.deleted[s] || step.Found != want.deleted[s] || !step.Exact || !step.Searched || !step.Verified {
				t.Errorf("request %d, step %d: %+v", i, s, step)
			}
		}
	}
}

func TestErasureFindsOnly(t *testing.T) {
	w := &world{sets: [][]*record{of(4, 0), of(1, 0)}, derived: map[int][]subject.Identifier{0: {{Type: "customer_id", Value: "77"}}},
		unsearched: map[int]map[int]bool{0: {1: true}}}
	p := newProcess(t, w, 2)
	p.plan.Mode = plan.Simulate
	p.plan.Erasure.Requests[0].Commit = true
	p.plan.Erasure.Steps[1].HeldBy = []string{"case"}
	if code := p.run(); code != receipt.ExitDone || w.locks != 0 || left(w.sets[0]) != 4 {
		t.Fatalf("code %d, %d locks, %d left", code, w.locks, left(w.sets[0]))
	}
	if got, want := p.kinds(), "Persons Found Found Finished"; got != want {
		t.Errorf("the account: %s", got)
	}
	total := p.total()
	first, second := total.Requests[0], total.Requests[1]
	if first.Derived != "customer_id=77\n" || first.Steps[0].Found != 4 || first.Steps[1].Found != 1 || first.Verified || first.Outcome != "" {
		t.Errorf("the first: %+v", first)
	}
	if len(first.Commitments) != 1 || !subject.Committed(first.Commitments[0], subject.Identifier{Type: "email", Value: "person-0@example.com"}) || second.Commitments != nil {
		t.Errorf("commitments %v, %v", first.Commitments, second.Commitments)
	}
	if second.Steps[0].Outcome != receipt.ErasureSkipped || second.Steps[0].Reason != receipt.NoIdentifier || second.Steps[0].Searched ||
		second.Steps[1].Outcome != receipt.ErasureNotFound || second.Outcome != receipt.ErasureSkipped {
		t.Errorf("the second: %+v", second)
	}
}

// What must not change stays, and what keeps it is told.
func TestErasureLeavesWhatMustStay(t *testing.T) {
	p := func(change func(*plan.ErasureStep), records ...*record) (*world, *process) {
		w := &world{sets: [][]*record{records}}
		p := newProcess(t, w, 1)
		change(&p.plan.Erasure.Steps[0])
		return w, p
	}
	for name, tc := range map[string]struct {
		change   func(*plan.ErasureStep)
		records  []*record
		outcome  receipt.ErasureOutcome
		reason   receipt.Reason
		left     int
		verified bool
	}{
		"a hold on all": {func(s *plan.ErasureStep) { s.HeldBy = []string{"case"} }, of(3, 0), receipt.ErasureRetainedByHold, "", 3, true},
		"a hold on nothing that is there": {func(s *plan.ErasureStep) { s.HeldBy = []string{"case"} }, nil,
			receipt.ErasureNotFound, "", 0, true},
		"a hold on some":    {func(*plan.ErasureStep) {}, append(of(3, 0), &record{persons: []int{0}, held: true}), receipt.ErasureRetainedByHold, "", 1, true},
		"kept by the map":   {func(s *plan.ErasureStep) { s.Action = plan.EraseRetain }, of(3, 0), receipt.ErasureRetainedByObligation, "", 3, true},
		"an obligation":     {func(*plan.ErasureStep) {}, append(of(3, 0), &record{persons: []int{0}, retained: true}), receipt.ErasureRetainedByObligation, "", 1, true},
		"an unclear one":    {func(s *plan.ErasureStep) { s.Unclear = "why" }, of(3, 0), receipt.ErasureRetainedByObligation, receipt.ObligationUnclear, 3, true},
		"undeclared":        {func(s *plan.ErasureStep) { s.Action = plan.EraseUndeclared }, of(3, 0), receipt.ErasureSkipped, receipt.Undeclared, 3, false},
		"undeclared, empty": {func(s *plan.ErasureStep) { s.Action = plan.EraseUndeclared }, nil, receipt.ErasureNotFound, "", 0, true},
		"blocked": {func(*plan.ErasureStep) {}, append(of(3, 0), &record{persons: []int{0}, blocked: true}),
			receipt.ErasureFailed, receipt.ForeignKeyBlocks, 1, false},
		"blocked by what is kept": {func(*plan.ErasureStep) {}, append(of(3, 0), &record{persons: []int{0}, blocked: true, bound: true}),
			receipt.ErasureRetainedByObligation, receipt.ReferencedByRetained, 1, true},
		"anonymized": {func(s *plan.ErasureStep) { s.Action = plan.EraseAnonymize }, of(3, 0), receipt.ErasureAnonymized, "", 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			w, p := p(tc.change, tc.records...)
			if code := p.run(); code != receipt.ExitDone || left(w.sets[0]) != tc.left {
				t.Errorf("code %d, %d left, want %d", code, left(w.sets[0]), tc.left)
			}
			total := p.total()
			got := total.Requests[0]
			if !total.Finished || got.Outcome != tc.outcome || got.Steps[0].Reason != tc.reason || got.Verified != tc.verified ||
				got.Steps[0].Found != int64(len(tc.records)) {
				t.Errorf("got %+v", got)
			}
			if (total.Reason == receipt.Succeeded) != tc.verified {
				t.Errorf("the run: %s", total.Reason)
			}
		})
	}
}

// One request that cannot be served keeps no other from being served.
func TestErasureSkipsWhatItCannotServe(t *testing.T) {
	w := &world{sets: [][]*record{slices.Concat(of(1, 0), of(1, 1), of(1, 2), of(1, 3), of(1, 4))},
		problems: map[int]receipt.Reason{1: receipt.IdentifiersDisagree}}
	p := newProcess(t, w, 5)
	p.write("subjects/2/email", "\x01\n")
	p.write("subjects/3/email", "\n")
	p.write("subjects/4/email", "")
	p.write("carried/4.given", "email=carried@example.com\n")
	p.write("carried/4.derived", "customer_id=9\n")
	if code := p.run(); code != receipt.ExitDone {
		t.Errorf("code %d", code)
	}
	if want := []subject.Identifier{{Type: "email", Value: "carried@example.com"}}; !slices.Equal(w.seen[4].Given, want) || len(w.seen[4].Derived) != 1 {
		t.Errorf("the last was searched with %v", w.seen[4])
	}
	for i, want := range []receipt.Reason{"", receipt.IdentifiersDisagree, receipt.SubjectUnreadable, receipt.SubjectUnreadable, ""} {
		got := p.total().Requests[i]
		if got.Problem != want || (want != "") != (got.Outcome == receipt.ErasureSkipped) || got.Verified != (want == "") || w.sets[0][i].gone != (want == "") {
			t.Errorf("request %d: gone %v, %+v", i, w.sets[0][i].gone, got)
		}
	}
}

// Records that are written while the erasure goes on are erased too; if there is no end of them, that is said.
func TestErasureLooksAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		arrivals, passes int
		outcome          receipt.ErasureOutcome
		found            int64
	}{
		"never":   {0, 1, receipt.ErasureDeleted, 4},
		"once":    {1, 2, receipt.ErasureDeleted, 5},
		"twice":   {2, 3, receipt.ErasureDeleted, 6},
		"always":  {99, 3, receipt.ErasureFailed, 7},
		"in vain": {-1, 1, receipt.ErasureDeleted, 4},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{sets: [][]*record{of(4, 0)}}
			looks := 0
			w.look = func(int) {
				if looks++; looks > 1 && looks-1 <= tc.arrivals {
					w.sets[0] = append(w.sets[0], &record{persons: []int{0}})
				}
			}
			p := newProcess(t, w, 1)
			p.run()
			total := p.total()
			if got := total.Requests[0]; total.Passes != int32(tc.passes) || got.Outcome != tc.outcome || got.Steps[0].Found != tc.found || got.Verified != (tc.outcome == receipt.ErasureDeleted) {
				t.Errorf("%d passes, %+v", total.Passes, got)
			}
		})
	}
}

func TestErasureOfABrokenDataset(t *testing.T) {
	w := &world{sets: [][]*record{of(1, 0), of(1, 0)}, broken: map[int]receipt.Reason{0: receipt.PermissionDenied}}
	p := newProcess(t, w, 1)
	code := p.run()
	got := p.total()
	if code != receipt.ExitDone || got.Reason != receipt.Incomplete || !got.Finished || got.Requests[0].Outcome != receipt.ErasureFailed ||
		got.Requests[0].Steps[0].Reason != receipt.PermissionDenied || got.Requests[0].Steps[1].Outcome != receipt.ErasureDeleted || got.Requests[0].Verified {
		t.Errorf("code %d, %+v", code, got)
	}
}

func TestErasureStops(t *testing.T) {
	w := &world{sets: [][]*record{of(9, 0)}}
	p := newProcess(t, w, 1)
	stopping := &atomic.Bool{}
	p.change = func(c *Config) { c.Stopping = stopping }
	w.commit = func() ending { stopping.Store(true); return ending{true, true} }
	code := p.run()
	got := p.total()
	if code != receipt.ExitInterrupted || left(w.sets[0]) != 6 || got.Finished || got.Reason != receipt.Interrupted || got.Requests[0].Steps[0].Deleted != 3 ||
		!got.Requests[0].Steps[0].Exact || got.Requests[0].Outcome != receipt.ErasureFailed || strings.Contains(p.kinds(), "Finished") {
		t.Errorf("code %d, %d left, %s, %+v", code, left(w.sets[0]), p.kinds(), got)
	}
}

func TestErasureEndsBeforeItsLogIsCut(t *testing.T) {
	w := &world{sets: [][]*record{of(9, 0)}}
	p := newProcess(t, w, 1)
	logged := int64(0)
	p.change = func(c *Config) { c.Logged = func() int64 { return logged } }
	w.commit = func() ending { logged = receipt.MaxLogBytes + 1; return ending{true, true} }
	code := p.run()
	got := p.total()
	if r := p.receipts.last(); code != receipt.ExitFailed || r.Reason != receipt.Interrupted || r.Steps[0].Deleted != 3 || r.Steps[0].InFlight != 0 || left(w.sets[0]) != 6 {
		t.Errorf("code %d, %+v", code, r)
	}
	if got.Finished || got.Requests[0].Steps[0].Deleted != 3 || !got.Requests[0].Steps[0].Exact {
		t.Errorf("got %+v", got)
	}
}

func TestIntake(t *testing.T) {
	p := newProcess(t, &world{}, 3)
	p.plan.Kind, p.plan.Mode, p.plan.Engine, p.plan.Identity, p.plan.Limits = plan.Intake, "", "", "", plan.Limits{}
	p.plan.Erasure.Requests[0].Commit = true
	p.write("subjects/0/customer_id", "7\n8\n")
	p.write("subjects/2/email", "")
	if code := p.run(); code != receipt.ExitDone {
		t.Fatalf("code %d", code)
	}
	got := p.total()
	if a := got.Requests[0]; !got.Finished || a.Given != "customer_id=7\ncustomer_id=8\nemail=person-0@example.com\n" || len(a.Commitments) != 3 || a.Problem != "" {
		t.Errorf("the first: %+v", a)
	}
	if got.Requests[2].Problem != receipt.SubjectUnreadable || got.Requests[2].Given != "" || got.Requests[1].Given != "email=person-1@example.com\n" {
		t.Errorf("the others: %+v", got.Requests[1:])
	}
}

func TestCountHeld(t *testing.T) {
	w := &world{holds: []int64{7, 0}}
	p := newProcess(t, w, 0)
	p.plan.Kind, p.plan.Mode, p.plan.Erasure = plan.CountHeld, "", nil
	p.plan.Holds = []plan.Hold{{Name: "a", UID: "1", Datasets: []string{"set0"}, Subject: true},
		{Name: "b", UID: "2", Datasets: []string{"set0"}, Condition: &plan.Condition{Field: "f", Operator: plan.OperatorExists}}}
	p.write("holds/0/email", "held@example.com\n")
	code := p.run()
	total := receipt.Merge(&p.plan, []receipt.Attempt{{Receipt: p.receipts.last(), ExitCode: new(int32(code))}})
	if code != receipt.ExitDone || w.locks != 0 || total.Outcome != receipt.OutcomeSucceeded || len(total.Steps) != 2 || total.Steps[0].Held != 7 || total.Steps[1].Held != 0 {
		t.Errorf("code %d, %+v", code, total)
	}
	if len(w.kept) != 2 || len(w.kept[0].Given) != 1 || w.kept[1].Given != nil {
		t.Errorf("held were %v", w.kept)
	}
	for name, change := range map[string]func(){
		"no identifier": func() { p.write("holds/0/email", "") },
		"damaged":       func() { p.write("holds/0/email", "\x01") },
		"by the engine": func() { p.write("holds/0/email", "a@b"); w.holdErr = engine.Fail(receipt.HoldUnreadable, "") },
	} {
		change()
		if code := p.run(); code != receipt.ExitMismatch || p.receipts.last().Reason != receipt.HoldUnreadable {
			t.Errorf("%s: code %d, %s", name, code, p.receipts.last().Reason)
		}
	}
}

// A hold that cannot be read keeps everything.
func TestAHoldThatCannotBeReadStopsAnErasure(t *testing.T) {
	w := &world{sets: [][]*record{of(3, 0)}}
	p := newProcess(t, w, 1)
	p.plan.Holds = []plan.Hold{{Name: "a", UID: "1", Datasets: []string{"set0"}, Subject: true}}
	if code := p.run(); code != receipt.ExitMismatch || left(w.sets[0]) != 3 || p.kinds() != "" {
		t.Errorf("code %d, %d left", code, left(w.sets[0]))
	}
	p.write("carried/h0.given", "email=held@example.com\n")
	if code := p.run(); code != receipt.ExitDone || left(w.sets[0]) != 0 || len(w.kept) != 1 {
		t.Errorf("with its person: code %d, %d left", code, left(w.sets[0]))
	}
}

func TestErasureRefusals(t *testing.T) {
	for name, change := range map[string]func(*plan.Plan){
		"no identity":        func(p *plan.Plan) { p.Identity = "" },
		"no mode":            func(p *plan.Plan) { p.Mode = "" },
		"no requests":        func(p *plan.Plan) { p.Erasure.Requests = nil },
		"too many requests":  func(p *plan.Plan) { p.Erasure.Requests = make([]plan.Request, maxRequests+1) },
		"no erasure":         func(p *plan.Plan) { p.Erasure = nil },
		"no key":             func(p *plan.Plan) { p.Erasure.SealTo = "" },
		"no public key":      func(p *plan.Plan) { p.Erasure.SealTo = "age1abc" },
		"an unknown action":  func(p *plan.Plan) { p.Erasure.Steps[0].Action = "Drop" },
		"steps of retention": func(p *plan.Plan) { p.Steps = make([]plan.Step, 1) },
		"no limits":          func(p *plan.Plan) { p.Limits = plan.Limits{} },
		"a future obligation": func(p *plan.Plan) {
			p.Erasure.Steps[0].Obligations = []plan.Obligation{{Cutoff: p.Slot.AddDate(1, 0, 0)}}
		},
		"a hold on nothing":        func(p *plan.Plan) { p.Holds = make([]plan.Hold, 1) },
		"an intake of a datastore": func(p *plan.Plan) { p.Kind = plan.Intake },
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{sets: [][]*record{of(3, 0)}}
			p := newProcess(t, w, 1)
			change(&p.plan)
			if code := p.run(); code != receipt.ExitPlanRefused || left(w.sets[0]) != 3 || p.receipts.last().Reason != receipt.PlanRefused {
				t.Errorf("code %d, %s", code, p.receipts.last().Reason)
			}
		})
	}
	w := &world{sets: [][]*record{of(3, 0)}}
	p := newProcess(t, w, 1)
	p.plan.Identity = "another world"
	if code := p.run(); code != receipt.ExitMismatch || left(w.sets[0]) != 3 {
		t.Errorf("another server: code %d", code)
	}
}
