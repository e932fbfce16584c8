// SPDX-License-Identifier: Apache-2.0

package evidence

import "strings"

// Levels are all levels, from best to worst.
var Levels = []Level{
	LevelDeleted, LevelAnonymized, LevelNothingFound, LevelRetained, LevelIncomplete, LevelUnproven, LevelNotDone, LevelNone,
}

// Combine returns the level of a whole, given those of its parts:
//
//	no parts                    NotDone
//	any Unproven (or unknown)   Unproven
//	all NotDone                 NotDone
//	any Incomplete or NotDone   Incomplete
//	any Retained                Retained
//	any Anonymized              Anonymized
//	any Deleted                 Deleted
//	else                        NothingFound
//
// None counts as NotDone.
func Combine(levels ...Level) Level {
	has := map[Level]bool{}
	for _, l := range levels {
		switch l {
		case LevelNone:
			l = LevelNotDone
		case LevelDeleted, LevelAnonymized, LevelNothingFound, LevelRetained, LevelIncomplete, LevelUnproven, LevelNotDone:
		default:
			l = LevelUnproven
		}
		has[l] = true
	}
	switch {
	case len(has) == 0:
		return LevelNotDone
	case has[LevelUnproven]:
		return LevelUnproven
	case has[LevelNotDone] && len(has) == 1:
		return LevelNotDone
	case has[LevelIncomplete] || has[LevelNotDone]:
		return LevelIncomplete
	case has[LevelRetained]:
		return LevelRetained
	case has[LevelAnonymized]:
		return LevelAnonymized
	case has[LevelDeleted]:
		return LevelDeleted
	}
	return LevelNothingFound
}

// OfRetention is the level of one dataset in a run of a policy, whose outcome is a word of receipt.StepOutcome. It believes
// the word only as far as the numbers bear it out.
func OfRetention(outcome string, ds Dataset) Level {
	switch outcome {
	case "Deleted", "Anonymized":
		return ds.gone(outcome)
	case "NothingDue":
		return ds.stays(LevelNothingFound)
	case "RetainedByObligation", "RetainedByHold":
		return ds.stays(LevelRetained)
	case "Blocked", "Failed":
		return ds.failed()
	case "Simulated", "NotRun", "AwaitingApproval", "":
		return ds.untouched()
	}
	return LevelUnproven
}

// OfErasure is the level of one dataset in an erasure, whose outcome is a word of receipt.ErasureOutcome; empty for a search
// that found something.
func OfErasure(outcome string, ds Dataset) Level {
	switch outcome {
	case "Deleted", "Anonymized":
		return ds.gone(outcome)
	case "NotFound":
		return ds.stays(LevelNothingFound)
	case "RetainedByObligation", "RetainedByHold":
		return ds.stays(LevelRetained)
	case "Failed", "Expiring": // what expires by itself is still there
		return ds.failed()
	case "Skipped", "Unreachable", "Simulated", "NotRun", "":
		return ds.untouched()
	}
	return LevelUnproven
}

// Reasons of package receipt and of the controllers that change a level.
const (
	reasonAccountLost = "AccountLost"
	reasonReceiptLost = "ReceiptLost"
	reasonReferenced  = "ReferencedByRetained"
	reasonUnclear     = "ObligationUnclear"
)

// lost says whether a part of the account is gone: what was done can then not be proved, whatever is there now.
func (d *Dataset) lost() bool { return d.Reason == reasonAccountLost || d.Reason == reasonReceiptLost }

// changed says whether any record was changed.
func (d *Dataset) changed() bool {
	return positive(d.Deleted) || positive(d.Anonymized) || d.DroppedPartitions > 0
}

// gone is the level of what is said to be deleted or anonymized: somebody must have looked afterwards.
func (d *Dataset) gone(outcome string) Level {
	switch {
	case d.lost():
		return LevelUnproven
	case d.Remaining == nil || *d.Remaining > 0 || positive(d.Blocked):
		return LevelIncomplete
	case positive(d.Held) || positive(d.Retained):
		return LevelRetained
	case outcome == "Anonymized" || positive(d.Anonymized):
		return LevelAnonymized
	}
	return LevelDeleted
}

// stays is the level of what was not to be changed, at best l.
func (d *Dataset) stays(l Level) Level {
	switch {
	case d.lost():
		return LevelUnproven
	case l == LevelRetained && (d.Reason == reasonReferenced || d.Reason == reasonUnclear): // what remains is kept by what must stay
		return l
	case positive(d.Remaining) || positive(d.Blocked):
		return LevelIncomplete
	case l == LevelNothingFound && d.changed(): // then something was found
		return LevelIncomplete
	case l == LevelNothingFound && (positive(d.Held) || positive(d.Retained)):
		return LevelRetained
	}
	return l
}

func (d *Dataset) failed() Level {
	if d.lost() {
		return LevelUnproven
	}
	return LevelIncomplete
}

// untouched is the level of what nobody was to change, or could.
func (d *Dataset) untouched() Level {
	switch {
	case d.lost():
		return LevelUnproven
	case d.changed():
		return LevelIncomplete
	}
	return LevelNotDone
}

func positive(n *int64) bool { return n != nil && *n > 0 }

// bearable says whether a whole may have a level, given those of its parts and whether they changed anything: never a better
// one than Combine of the parts, nor "nothing found" or "not done" where something was done. Unproven claims nothing, and
// Incomplete no deletion, so that a whole may say so for a reason that no part shows.
func bearable(l Level, changed bool, parts ...Level) bool {
	best := Combine(parts...)
	switch l {
	case best, LevelUnproven:
		return true
	case LevelIncomplete:
		return best != LevelUnproven
	case LevelNotDone:
		return !changed && best != LevelUnproven && best != LevelDeleted && best != LevelAnonymized
	case LevelNothingFound, LevelNone:
		return false
	case LevelDeleted, LevelAnonymized, LevelRetained:
	}
	return rankOf(l) > rankOf(best)
}

// claims says whether a level says of all that it is about that it is gone, was never there, or has to stay.
func claims(l Level) bool {
	return l == LevelDeleted || l == LevelAnonymized || l == LevelNothingFound || l == LevelRetained
}

// rankOf is the place in Levels; an unknown level is the best, so that nothing bears it.
func rankOf(l Level) int {
	for i, other := range Levels {
		if l == other {
			return i
		}
	}
	return -1
}

// EnginePostgreSQL is the Engine of a PostgreSQL Datastore.
const EnginePostgreSQL = "postgresql"

// ReversibilityOf says what it takes to bring records back that went by the method, in an engine. Empty where none went.
func ReversibilityOf(m Method, engine string) string {
	switch m {
	case MethodDelete:
		return ReversibleByBackup
	case MethodDropPartition:
		if strings.EqualFold(engine, EnginePostgreSQL) { // a dropped table's files are unlinked at the commit
			return ReversibleDropped
		}
		return ReversibleByBackup
	case MethodAnonymize:
		return ReversibleFieldsByBackup
	case MethodRetain:
	}
	return ""
}
