// SPDX-License-Identifier: Apache-2.0

package receipt

// Outcome is how a whole run on one datastore ended: a closed set, for a status.
type Outcome string

// The outcomes of a run, from the best to the worst. A run gets the worst that applies, by the reason of the deciding
// attempts and by each step:
//
//	Succeeded         reason Succeeded           or a step Deleted, Anonymized, NothingDue, RetainedByObligation,
//	                                             RetainedByHold
//	Simulated         and the plan simulates     or a step Simulated
//	AwaitingApproval  reason GuardrailExceeded   or a step AwaitingApproval
//	Incomplete        reason Incomplete          or a step Blocked, NotRun, Failed beside one that came to an end
//	Interrupted       reason Interrupted,        or a step Failed for being Interrupted
//	                  or killed without one
//	Failed            any other reason           or a step Failed while none came to an end
//	                  or no attempt at all       or a probe without a result
//	Unreachable       reason Unreachable
//
// The deciding attempts are those from the last verdict on (see verdict); if there is none, all. So Succeeded needs an
// attempt that says so after everything else that happened, and a valid count of zero remaining records for each step.
const (
	OutcomeSucceeded        Outcome = "Succeeded"
	OutcomeSimulated        Outcome = "Simulated"
	OutcomeAwaitingApproval Outcome = "AwaitingApproval"
	OutcomeIncomplete       Outcome = "Incomplete"
	OutcomeInterrupted      Outcome = "Interrupted"
	OutcomeFailed           Outcome = "Failed"
	OutcomeUnreachable      Outcome = "Unreachable"
)

var outcomeRank = map[Outcome]int{
	OutcomeSucceeded: 0, OutcomeSimulated: 1, OutcomeAwaitingApproval: 2, OutcomeIncomplete: 3, OutcomeInterrupted: 4,
	OutcomeFailed: 5, OutcomeUnreachable: 6,
}

// WorseThan orders outcomes. An unknown one is worse than all.
func (o Outcome) WorseThan(other Outcome) bool { return rank(o) > rank(other) }

func rank(o Outcome) int {
	if n, ok := outcomeRank[o]; ok {
		return n
	}
	return len(outcomeRank)
}

// StepOutcome is how one step of a run ended: a closed set, for a status.
type StepOutcome string

// The outcomes of a step. "Verified" means that due records were counted after the last change by any attempt.
//
//	verified, none remain  and this run deleted some             Deleted
//	                       and this run anonymized some          Anonymized
//	                       and it may have: some were due        Deleted or Anonymized, whichever the step does
//	                       and counts are not exact
//	                       else a hold keeps some                RetainedByHold
//	                       else an obligation keeps some         RetainedByObligation
//	                       else                                  NothingDue
//	verified, some remain  all of them kept by constraints       Blocked
//	                       else                                  Failed
//	not verified           a reason of failure, or some change   Failed
//	                       plan simulates, counted               Simulated
//	                       a guardrail stopped it: some due      AwaitingApproval
//	                       a guardrail stopped it: counted, none RetainedByHold, RetainedByObligation or NothingDue
//	                       else                                  NotRun
//
// Zero records is not the same as not run: NothingDue needs a count, NotRun has none that still holds.
const (
	StepDeleted              StepOutcome = "Deleted"
	StepAnonymized           StepOutcome = "Anonymized"
	StepNothingDue           StepOutcome = "NothingDue"
	StepSimulated            StepOutcome = "Simulated"
	StepRetainedByObligation StepOutcome = "RetainedByObligation"
	StepRetainedByHold       StepOutcome = "RetainedByHold"
	StepBlocked              StepOutcome = "Blocked"
	StepFailed               StepOutcome = "Failed"
	StepNotRun               StepOutcome = "NotRun"
	StepAwaitingApproval     StepOutcome = "AwaitingApproval"
)

// ended says whether nothing is left to do for a step.
func (o StepOutcome) ended() bool {
	switch o {
	case StepDeleted, StepAnonymized, StepNothingDue, StepRetainedByObligation, StepRetainedByHold, StepSimulated:
		return true
	}
	return false
}

// ofReason is the best outcome that a run can have whose deciding attempt gave this reason.
func ofReason(r Reason, simulate bool) Outcome {
	switch r {
	case Succeeded:
		if simulate {
			return OutcomeSimulated
		}
		return OutcomeSucceeded
	case GuardrailExceeded:
		return OutcomeAwaitingApproval
	case Incomplete:
		return OutcomeIncomplete
	case Interrupted:
		return OutcomeInterrupted
	case Unreachable:
		return OutcomeUnreachable
	}
	return OutcomeFailed
}

// ofStep is the best outcome that a run can have with this step. anyEnded says whether any step came to an end.
func ofStep(s *StepTotal, anyEnded bool) Outcome {
	switch {
	case s.Outcome == StepSimulated:
		return OutcomeSimulated
	case s.Outcome.ended():
		return OutcomeSucceeded
	case s.Outcome == StepAwaitingApproval:
		return OutcomeAwaitingApproval
	case s.Outcome == StepFailed && s.Reason == Interrupted:
		return OutcomeInterrupted
	case s.Outcome == StepFailed && !anyEnded:
		return OutcomeFailed
	}
	return OutcomeIncomplete
}
