// SPDX-License-Identifier: Apache-2.0

package receipt

import (
	"cmp"

	"dataretention.dev/retention-operator/internal/plan"
)

// The outcome of a request in a dataset is the first of these that applies. "Verified" means that somebody looked after the
// last change by any attempt, and that no account of a change after that look is missing.
//
//	the plan only finds, and something was changed           Failed, InternalError
//	nothing may be done for the request                      Skipped, or Failed if something was done before; the problem
//	verified, and some are there that should be gone         Skipped, Undeclared, where nobody says what to do
//	                                                         Failed, if not all of them are kept by constraints
//	                                                         Failed, ForeignKeyBlocks, if not only by records that are kept
//	          a hold keeps some                              RetainedByHold
//	          an obligation, or the data map, keeps some     RetainedByObligation
//	          this run deleted or anonymized some            Deleted, Anonymized
//	          it may have: some were found, and the account  Deleted or Anonymized, whichever the step does
//	          is not exact
//	          nobody knows: a part of the account is lost    Failed, AccountLost
//	          some were found: somebody else did it          Deleted or Anonymized, AlreadyDone
//	          else                                           NotFound
//	not verified, a part of the account is lost              Failed, AccountLost
//	          no identifier leads there, and nothing changed Skipped, NoIdentifier
//	          a reason of failure                            Failed
//	          something changed                              Failed, the run's reason or NotVerified
//	          the plan only finds                            NotFound if nothing was found, else none
//	          the datastore cannot be used                   Unreachable
//	          else                                           Failed, the run's reason or NotStarted
//
// So zero records are NotFound only if somebody looked who had an identifier, nothing was changed before, and nothing is
// unknown of what was.

var erasureRank = map[ErasureOutcome]int{
	ErasureNotFound: 0, "": 1, ErasureDeleted: 2, ErasureAnonymized: 3, ErasureRetainedByObligation: 4, ErasureExpiring: 5,
	ErasureRetainedByHold: 6, ErasureSkipped: 7, ErasureUnreachable: 8, ErasureFailed: 9,
}

// WorseThan orders outcomes. An unknown one is worse than all.
func (o ErasureOutcome) WorseThan(other ErasureOutcome) bool { return o.rank() > other.rank() }

func (o ErasureOutcome) rank() int {
	if n, ok := erasureRank[o]; ok {
		return n
	}
	return len(erasureRank)
}

// ending is what a tally's outcome depends on besides itself.
type ending struct {
	step     *plan.ErasureStep
	simulate bool
	problem  Reason // of the request
	run      Reason
	// held says that a hold, rather than an obligation, is what keeps the records that keep others.
	held bool
}

// outcome applies the table above.
func (t *tally) outcome(e ending) (ErasureOutcome, Reason) {
	switch {
	case e.simulate && t.changed():
		return ErasureFailed, InternalError
	case e.problem != "" && t.changed():
		return ErasureFailed, e.problem
	case e.problem != "":
		return ErasureSkipped, e.problem
	case t.verified:
		return t.seen(e)
	}
	return t.unseen(e)
}

// unseen is the outcome where nobody looked after the last change.
func (t *tally) unseen(e ending) (ErasureOutcome, Reason) {
	switch {
	case t.lost:
		return ErasureFailed, AccountLost
	case t.unsearched && !t.changed():
		return ErasureSkipped, NoIdentifier
	case t.reason != "":
		return ErasureFailed, t.reason
	case e.simulate && t.searched && t.found() == 0:
		return ErasureNotFound, ""
	case e.simulate && t.searched:
		return "", ""
	case unusable(e.run) && !t.changed():
		return ErasureUnreachable, e.run
	case e.run != Succeeded && e.run != Incomplete:
		return ErasureFailed, e.run
	case t.changed():
		return ErasureFailed, NotVerified
	}
	return ErasureFailed, NotStarted
}

// seen is the outcome of what was looked at after the last change.
func (t *tally) seen(e ending) (ErasureOutcome, Reason) {
	left, bound := t.left, Reason("")
	if left.N > 0 {
		bound = ReferencedByRetained
	}
	switch {
	case left.N > 0 && e.step.Action == plan.EraseUndeclared:
		return ErasureSkipped, Undeclared
	case left.N > left.Blocked:
		return ErasureFailed, cmp.Or(t.reason, RecordsRemain)
	case left.Blocked > left.Bound:
		return ErasureFailed, ForeignKeyBlocks
	case left.Held > 0 || left.N > 0 && e.held:
		return ErasureRetainedByHold, bound
	case e.step.Unclear != "" && left.Retained > 0:
		return ErasureRetainedByObligation, ObligationUnclear
	case left.Retained > 0 || left.N > 0:
		return ErasureRetainedByObligation, bound
	}
	return t.clean(e)
}

// clean is the outcome where a look after the last change found nothing.
func (t *tally) clean(e ending) (ErasureOutcome, Reason) {
	switch {
	case t.deleted > 0:
		return ErasureDeleted, ""
	case t.anonymized > 0:
		return ErasureAnonymized, ""
	case t.inexact && t.found() > 0 && e.step.Acts():
		return done(e.step.Action), t.lostReason()
	case t.lost:
		return ErasureFailed, AccountLost
	case t.found() > 0 && e.step.Acts():
		return done(e.step.Action), AlreadyDone
	}
	return ErasureNotFound, ""
}

func (t *tally) lostReason() Reason {
	if t.lost {
		return AccountLost
	}
	return ""
}

// unusable says whether a run that ended for this reason could not use the datastore at all.
func unusable(r Reason) bool {
	switch r {
	case Unreachable, AuthenticationFails, DatabaseNotFound, SecretIncomplete:
		return true
	}
	return false
}

// done is the outcome of an action that was carried out.
func done(action plan.ErasureAction) ErasureOutcome {
	if action == plan.EraseAnonymize {
		return ErasureAnonymized
	}
	return ErasureDeleted
}
