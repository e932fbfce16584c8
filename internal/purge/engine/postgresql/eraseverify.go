// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"slices"

	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// pins are keys of records that records of other datasets refer to, by what the data map says, and by which alone these
// can be found again: those that are to be erased still, or that a hold keeps for now. Who they are is known by the way.
type pins map[*way]map[string]blocker

// pins are what the records of other datasets keep.
func (st *erasureStep) pins() pins {
	out := pins{}
	for _, child := range st.e.sets {
		if child != st.set {
			for at, rec := range child.records {
				st.pin(out, child, at, rec)
			}
		}
	}
	return out
}

// pin notes what a record keeps.
func (st *erasureStep) pin(out pins, child *searched, at location, rec *found) {
	for _, c := range rec.claims {
		w := child.ways[c.way]
		if w.own || w.identified != nil || w.parent != st.set.index {
			continue
		}
		switch rec.fate {
		case fateOpen:
		case fateHeld, fateUndeclared:
			if st.set.carried(w.key) {
				continue
			}
		default:
			continue
		}
		if out[w] == nil {
			out[w] = map[string]blocker{}
		}
		// What is to be erased still weighs more than what must stay.
		if before, ok := out[w][c.value]; !ok || st.e.mustStay(before.at) {
			out[w][c.value] = blocker{at, child.plan.Name + "." + w.column.name}
		}
	}
}

// pinned returns what keeps a record.
func (st *erasureStep) pinned(rec *found, by pins) []blocker {
	var out []blocker
	for w, values := range by {
		i := slices.IndexFunc(st.set.keys, func(k column) bool { return k.name == w.key })
		if i < 0 || rec.keys[i] == nil {
			continue
		}
		if text, ok := w.column.admit(*rec.keys[i]); ok {
			if b, ok := values[text]; ok {
				out = append(out, b)
			}
		}
	}
	return out
}

// Verify tells what is left. See engine.ErasureStep.
func (st *erasureStep) Verify(ctx context.Context) (*engine.ErasureLeftover, error) {
	if err := st.e.verify(ctx); err != nil {
		return nil, err
	}
	switch {
	case st.set.reason != "":
		return nil, engine.Fail(st.set.reason, st.step.Path)
	case st.trouble != nil:
		return nil, st.trouble
	}
	left := &engine.ErasureLeftover{Persons: make([]engine.Left, len(st.e.known))}
	var free int64
	var disagree, refused bool
	for at, rec := range st.set.records {
		if rec.fate == fateOpen {
			left.Total++
			for _, b := range rec.blockers {
				if !slices.Contains(left.Constraints, b.key) && len(left.Constraints) < maxConstraints {
					left.Constraints = append(left.Constraints, b.key)
				}
			}
			if len(rec.blockers) == 0 {
				free++
				refused = refused || st.refused[at]
			}
		}
		for _, c := range rec.claims {
			rec.count(&left.Persons[c.person])
			disagree = disagree || rec.fate == fateOpen && st.e.problems[c.person] != ""
		}
	}
	slices.Sort(left.Constraints)
	if free > 0 {
		left.Reason = st.reason(disagree, refused)
	}
	if st.rewrite != nil && free > 0 {
		left.Constraints = slices.Concat(left.Constraints, st.rewrite.violated)
	}
	return left, nil
}

// count counts a record for a person.
func (rec *found) count(n *engine.Left) {
	switch rec.fate {
	case fateKept:
		n.Retained++
	case fateHeld:
		n.Held++
	case fateOpen:
		n.Remaining++
		if len(rec.blockers) > 0 {
			n.Blocked++
		}
		if rec.bound {
			n.Bound++
		}
	}
}

// reason is why records remain that no other keeps, as far as anybody knows.
func (st *erasureStep) reason(disagree, refused bool) receipt.Reason {
	t := st.set.table
	switch {
	case st.rewrite != nil && len(st.rewrite.violated) > 0:
		return receipt.ConstraintViolated
	case st.rewrite != nil && st.rewrite.misunderstood:
		return receipt.ValueNotUnderstood
	case st.rewrite != nil && (st.rewrite.objected || len(t.updateTriggers) > 0), refused && len(t.deleteTriggers) > 0:
		return receipt.TriggerBlocks
	case disagree:
		return receipt.IdentifiersDisagree
	}
	return ""
}
