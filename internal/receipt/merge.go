// SPDX-License-Identifier: Apache-2.0

package receipt

import (
	"slices"
	"time"

	"dataretention.dev/retention-operator/internal/plan"
)

// Attempt is one container of a Job that has started and ended.
type Attempt struct {
	// Receipt is the last one that it wrote; nil if none can be read.
	Receipt *Receipt
	// ExitCode is nil when nobody saw it end, as on a lost node.
	ExitCode *int32
	// Started and Finished are zero when nobody knows.
	Started, Finished time.Time
	// Unreadable is true when the container had started and its last Receipt cannot be read: it may have done anything
	// that the Plan allows.
	Unreadable bool
}

// Total is what all attempts of one run did together.
type Total struct {
	Outcome Outcome
	// Reason is Succeeded, the reason of the attempt that decided, or Incomplete when only steps keep the run from success.
	Reason Reason
	// Message is what that attempt said.
	Message string
	// Exact is false when Deleted, Anonymized and Partitions are lower bounds.
	Exact bool
	// Attempts counts the containers that ran, Unreadable those of them that left no readable Receipt.
	Attempts, Unreadable int
	// StartTime and EndTime span all attempts; zero when nobody knows.
	StartTime, EndTime time.Time
	// ServerVersion, Identity and SkewMilliseconds are what the last attempt that reached the server found.
	ServerVersion    string
	Identity         string
	SkewMilliseconds int64
	// Steps has one entry for each step of the Plan, in its order.
	Steps []StepTotal
	// Probe is the result of the last attempt that has one.
	Probe *Probe
	// Truncated is true when a Receipt had to leave names out.
	Truncated bool
}

// StepTotal is what all attempts of one run did for one step. Records to Invalid are those of the first attempt that
// counted, before any change. Deleted, Anonymized, Partitions and InFlight are sums. Verified, Remaining, Blocked,
// Constraints and OldestRemaining are the last attempt's that verified the step, if no change came later.
type StepTotal struct {
	Step

	Outcome StepOutcome
	// Exact is false when Deleted, Anonymized and Partitions are lower bounds.
	Exact bool
}

// Merge adds up all attempts of the one Job (or of the Jobs one after another) that carried out p, in the order of their
// start. A Receipt that names steps which p does not have counts as unreadable.
func Merge(p *plan.Plan, attempts []Attempt) Total {
	ordered := slices.Clone(attempts)
	slices.SortStableFunc(ordered, func(a, b Attempt) int { return a.Started.Compare(b.Started) })
	t, _ := merge(p, ordered)
	return t
}

// merge changes its argument: a Receipt that does not fit p is dropped.
func merge(p *plan.Plan, ordered []Attempt) (Total, deciding) {
	actions := actionsOf(p)
	t := Total{Exact: true, Attempts: len(ordered), Steps: make([]StepTotal, len(actions))}
	for i := range t.Steps {
		t.Steps[i] = StepTotal{Step: Step{Index: i}, Exact: true}
	}
	for i := range ordered {
		a := &ordered[i]
		if a.Receipt == nil || !fits(a.Receipt, len(actions)) {
			a.Receipt, a.Unreadable = nil, true
		}
		t.add(a)
	}
	d := decide(ordered)
	t.conclude(p, actions, d)
	return t, d
}

// actionsOf has what each entry of a Receipt's Steps stands for: a step of the Plan or of its Erasure, or a hold.
func actionsOf(p *plan.Plan) []plan.Action {
	if p.Kind == plan.CountHeld {
		return make([]plan.Action, len(p.Holds))
	}
	var actions []plan.Action
	for _, s := range p.Steps {
		actions = append(actions, s.Action)
	}
	if p.Erasure != nil {
		for _, s := range p.Erasure.Steps {
			actions = append(actions, plan.Action(s.Action)) // the names are the same
		}
	}
	return actions
}

func fits(r *Receipt, steps int) bool {
	return !slices.ContainsFunc(r.Steps, func(s Step) bool { return s.Index < 0 || s.Index >= steps })
}

func (t *Total) add(a *Attempt) {
	if !a.Started.IsZero() && (t.StartTime.IsZero() || a.Started.Before(t.StartTime)) {
		t.StartTime = a.Started
	}
	if a.Finished.After(t.EndTime) {
		t.EndTime = a.Finished
	}
	if a.Unreadable {
		t.Unreadable++
		t.Exact = false
		for i := range t.Steps {
			t.Steps[i].Exact = false
			t.Steps[i].unverify()
		}
	}
	r := a.Receipt
	if r == nil {
		return
	}
	t.Truncated = t.Truncated || r.Truncated
	if r.Probe != nil {
		t.Probe = r.Probe
	}
	if r.Identity != "" {
		t.Identity = r.Identity
	}
	if r.ServerVersion != "" {
		t.ServerVersion, t.SkewMilliseconds = r.ServerVersion, r.SkewMilliseconds
	}
	for _, s := range r.Steps {
		t.Steps[s.Index].add(&s)
		t.Exact = t.Exact && t.Steps[s.Index].Exact
	}
}

// add adds a later attempt's figures.
func (t *StepTotal) add(s *Step) {
	if s.Counted && !t.Counted {
		t.Counted = true
		t.Records, t.Matched, t.Retained, t.Held = s.Records, s.Matched, s.Retained, s.Held
		t.Undated, t.Invalid = s.Undated, s.Invalid
	}
	reason := s.Reason
	if reason == Succeeded || reason == NotStarted {
		reason = ""
	}
	t.Deleted += s.Deleted
	t.Anonymized += s.Anonymized
	t.Partitions += s.Partitions
	t.InFlight += s.InFlight
	t.Exact = t.Exact && s.InFlight == 0
	if s.changed() {
		t.unverify()
	}
	if s.Verified && s.InFlight == 0 {
		t.Verified, t.Remaining, t.Blocked = true, s.Remaining, s.Blocked
		t.Constraints, t.OldestRemaining, t.Reason = s.Constraints, s.OldestRemaining, reason
	} else if reason != "" && !t.Verified {
		t.Reason = reason
	}
}

func (s *Step) changed() bool { return s.Deleted+s.Anonymized+int64(s.Partitions)+s.InFlight > 0 }

func (t *StepTotal) unverify() {
	t.Verified, t.Remaining, t.Blocked, t.Constraints, t.OldestRemaining = false, 0, 0, nil, nil
	t.Reason = ""
}

// deciding is what the attempts say of the run as a whole.
type deciding struct {
	reason  Reason
	message string
}

// decide takes the worst reason of the attempts from the last verdict on; of two that are equally bad, the later.
func decide(ordered []Attempt) deciding {
	d := deciding{reason: NotStarted}
	for i := range ordered {
		a := &ordered[i]
		next := deciding{reason: a.reason()}
		if a.Receipt != nil {
			next.message = a.Receipt.Message
		}
		if i == 0 || a.verdict() || !ofReason(d.reason, false).WorseThan(ofReason(next.reason, false)) {
			d = next
		}
	}
	return d
}

// verdict says whether an attempt settled the run, so that the trouble of earlier ones no longer counts: it came to the
// end of the Plan, or a guardrail stopped it.
func (a *Attempt) verdict() bool {
	if a.Receipt == nil {
		return false
	}
	r := a.reason()
	return (r == Succeeded || r == Incomplete) && a.Receipt.Phase == PhaseFinished || r == GuardrailExceeded
}

// reason is why an attempt ended. One that was killed could not say; its exit code then has to.
func (a *Attempt) reason() Reason {
	if a.Receipt != nil && a.Receipt.Reason != "" {
		return a.Receipt.Reason
	}
	if a.ExitCode == nil || *a.ExitCode > 128 {
		return Interrupted
	}
	switch ExitCode(*a.ExitCode) {
	case ExitGuardrail:
		return GuardrailExceeded
	case ExitUnavailable:
		return Unreachable
	}
	return InternalError
}

// conclude gives every step, and then the run, its outcome.
func (t *Total) conclude(p *plan.Plan, actions []plan.Action, d deciding) {
	simulate := p.Mode == plan.Simulate
	anyEnded := false
	for i := range t.Steps {
		s := &t.Steps[i]
		s.conclude(actions[i], simulate, d.reason)
		anyEnded = anyEnded || s.Outcome.ended()
	}
	t.Reason, t.Message = d.reason, d.message
	t.Outcome = ofReason(d.reason, simulate)
	if p.Kind == plan.Probe && t.Probe == nil && d.reason == Succeeded {
		t.Outcome, t.Reason = OutcomeFailed, InternalError
	}
	for i := range t.Steps {
		if o := ofStep(&t.Steps[i], anyEnded); o.WorseThan(t.Outcome) {
			t.Outcome, t.Reason, t.Message = o, Incomplete, ""
		}
	}
}

// conclude applies the table of StepOutcome. run is the reason of the run.
func (t *StepTotal) conclude(action plan.Action, simulate bool, run Reason) {
	switch {
	case simulate && t.changed():
		t.Outcome, t.Reason = StepFailed, InternalError
	case simulate && t.Counted && t.Reason == "":
		t.Outcome = StepSimulated
	case t.Verified && t.Remaining == 0 && t.Reason == "":
		t.Outcome = t.clean(action)
	case t.Verified && t.Remaining > 0:
		t.remaining()
	case t.Reason != "":
		t.Outcome = StepFailed
	case t.changed():
		t.Outcome = StepFailed
		if ofReason(run, simulate).WorseThan(OutcomeIncomplete) {
			t.explain(run)
		}
		t.explain(NotVerified)
	case run == GuardrailExceeded && t.Counted:
		if t.Outcome = t.clean(action); t.Matched > 0 {
			t.Outcome = StepAwaitingApproval
			t.explain(GuardrailExceeded)
		}
	default:
		t.Outcome = StepNotRun
		t.explain(NotStarted)
	}
}

// remaining is for a step with due records left.
func (t *StepTotal) remaining() {
	if t.Blocked >= t.Remaining {
		t.Outcome = StepBlocked
		t.explain(ForeignKeyBlocks)
		return
	}
	t.Outcome = StepFailed
	t.explain(RecordsRemain)
}

// clean is the outcome of a step with no due record left.
func (t *StepTotal) clean(action plan.Action) StepOutcome {
	mayHave := !t.Exact && t.Matched > 0
	switch {
	case t.Deleted > 0 || mayHave && action == plan.Delete:
		return StepDeleted
	case t.Anonymized > 0 || mayHave && action == plan.Anonymize:
		return StepAnonymized
	case t.Held > 0:
		return StepRetainedByHold
	case t.Retained > 0:
		return StepRetainedByObligation
	}
	return StepNothingDue
}

func (t *StepTotal) explain(r Reason) {
	if t.Reason == "" {
		t.Reason = r
	}
}
