// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// erasure is the records of the Plan's requests, and what is to become of them.
type erasure struct {
	*search
	// place has the dataset of each step, steps the step of each dataset that has one.
	place []int
	steps map[int]*erasureStep
	// changed says that nobody has looked since the last change.
	changed bool
}

// fate is what is to become of a record.
type fate int8

const (
	// fateOpen is to be erased.
	fateOpen fate = iota
	// fateDone needs no change: it is anonymized.
	fateDone
	// fateKept is by an obligation, fateHeld by a hold; fateUndeclared says that nobody knows what to do.
	fateKept
	fateHeld
	fateUndeclared
)

// stays says whether the record is one that must be kept.
func (f fate) stays() bool { return f == fateKept || f == fateHeld }

// newErasure searches for the records of persons.
func (s *session) newErasure(ctx context.Context, persons []engine.Person) (*erasure, error) {
	f, err := s.newSearch(ctx, len(persons))
	if err != nil {
		return nil, err
	}
	e := &erasure{search: f, steps: map[int]*erasureStep{}, changed: true}
	for i := range s.in.Plan.Erasure.Steps {
		step := &s.in.Plan.Erasure.Steps[i]
		place := slices.IndexFunc(f.sets, func(set *searched) bool { return set.plan.Name == step.Dataset })
		if place < 0 {
			return nil, engine.Fail(receipt.PlanRefused, step.Dataset)
		}
		e.place = append(e.place, place)
		e.steps[place] = &erasureStep{e: e, s: s, step: step, set: f.sets[place]}
	}
	f.takes = func(set int) bool { return e.steps[set] == nil || e.steps[set].step.Action == plan.EraseDelete }
	for i, p := range persons {
		f.begin(int32(i), p) // at most 1,000
	}
	if err := f.look(ctx); err != nil {
		return nil, err
	}
	return e, e.decide(ctx)
}

// verify looks again, once after each change.
func (e *erasure) verify(ctx context.Context) error {
	if !e.changed {
		return nil
	}
	if err := e.again(ctx); err != nil {
		return err
	}
	if err := e.decide(ctx); err != nil {
		return err
	}
	if err := e.block(ctx); err != nil {
		return err
	}
	e.changed = false
	return nil
}

// decide finds out what is to become of each record.
func (e *erasure) decide(ctx context.Context) error {
	if e.s.in.Plan.Mode != plan.Enforce {
		return nil
	}
	for _, i := range e.place {
		st := e.steps[i]
		st.trouble = nil
		if st.set.reason != "" {
			continue
		}
		if err := st.resolve(ctx); err != nil {
			if err := st.tell(err); err != nil {
				return err
			}
			continue
		}
		if err := st.decide(ctx); err != nil {
			if err := st.tell(err); err != nil {
				return err
			}
		}
	}
	e.agree()
	return nil
}

// agree has a table that is mapped under two names, or as a table and its partition, treated in one way: what one dataset
// keeps no other erases. Where nobody can tell what another keeps, nothing is erased.
func (e *erasure) agree() {
	for _, i := range e.place {
		st := e.steps[i]
		for j, other := range e.sets {
			if i == j || st.set.table == nil || other.table == nil || !st.set.shares(other) {
				continue
			}
			by := e.steps[j]
			switch {
			case by == nil && !other.plan.Protected:
			case by == nil:
				st.yield(other, func(location) (fate, bool) { return fateKept, true })
			case other.reason != "" && st.trouble == nil:
				st.trouble = engine.Fail(other.reason, other.plan.Path)
			case by.trouble != nil && st.trouble == nil:
				st.trouble = by.trouble
			default:
				st.yield(other, func(at location) (fate, bool) {
					rec := other.records[at]
					return rec.decided(), rec != nil && (rec.fate.stays() || rec.fate == fateUndeclared)
				})
			}
		}
	}
}

// yield leaves the records to their fate that another dataset keeps.
func (st *erasureStep) yield(other *searched, keeps func(location) (fate, bool)) {
	for at, rec := range st.set.records {
		if _, shared := other.leaves[at.leaf]; !shared || rec.fate != fateOpen {
			continue
		}
		if to, kept := keeps(at); kept {
			rec.fate = to
		}
	}
}

// decided is what was decided about a record; fateOpen if there is none.
func (rec *found) decided() fate {
	if rec == nil {
		return fateOpen
	}
	return rec.fate
}

// shares says whether a table holds records of both datasets.
func (set *searched) shares(other *searched) bool {
	for leaf := range set.leaves {
		if _, ok := other.leaves[leaf]; ok {
			return true
		}
	}
	return false
}

// tell notes an error that is a matter of the step, and returns any other.
func (st *erasureStep) tell(err error) error {
	switch engine.ReasonOf(err) {
	case receipt.Unreachable, receipt.Interrupted, receipt.IdentityChanged, receipt.WriterActive, receipt.AuthenticationFails,
		receipt.DatabaseNotFound, receipt.VersionNotSupported, receipt.HoldUnreadable, receipt.InternalError:
		return err
	}
	st.trouble = err
	return nil
}

// resolve resolves in the catalog what decides about a record.
func (st *erasureStep) resolve(ctx context.Context) error {
	if !st.step.Acts() {
		return nil
	}
	st.obligations = nil
	for _, o := range st.step.Obligations {
		m, err := st.s.resolveMoment(ctx, st.set.table, o.Start, o.Cutoff)
		if err != nil {
			return err
		}
		st.obligations = append(st.obligations, m)
	}
	keeps, err := st.s.heldIn(ctx, st.set.table)
	if err != nil {
		return err
	}
	st.held = keeps
	if st.step.Action != plan.EraseAnonymize {
		return nil
	}
	fresh, err := st.s.newAnonymize(ctx, plan.Step{Path: st.step.Path, Transforms: st.step.Transforms}, st.set.table)
	if before := st.rewrite; err == nil && before != nil {
		fresh.violated, fresh.objected, fresh.misunderstood = before.violated, before.objected, before.misunderstood
	}
	st.rewrite = fresh
	return err
}

// free renders the condition that no obligation keeps the record of alias t.
func (st *erasureStep) free(a *arguments) string {
	return predicate{obligations: st.obligations}.free("t", a)
}

// decide finds out what is to become of each record of the dataset.
func (st *erasureStep) decide(ctx context.Context) error {
	fixed := fateKept
	switch {
	case st.step.Acts():
	case len(st.step.HeldBy) > 0:
		fixed = fateHeld
	case st.step.Action == plan.EraseUndeclared:
		fixed = fateUndeclared
	}
	if !st.step.Acts() {
		for _, rec := range st.set.records {
			rec.fate = fixed
		}
		return nil
	}
	here := map[location]bool{}
	for _, some := range st.set.parts(slices.Collect(maps.Keys(st.set.records)), maxRead) {
		var a arguments
		where := some.where(&a)
		changes := "true"
		if st.rewrite != nil {
			changes = changesOf(st.rewrite.transforms, &a)
		}
		sql := "SELECT t.ctid::text, (" + st.free(&a) + ") IS TRUE, (" + st.held.of("t", &a) + ") IS TRUE, " + changes + " FROM " + some.target + " AS t WHERE " + where
		err := st.s.scan(ctx, func(ctx context.Context, tx pgx.Tx) error {
			rows, err := tx.Query(ctx, sql, a...)
			if err != nil {
				return err
			}
			var tid string
			var free, isHeld, changes bool
			_, err = pgx.ForEachRow(rows, []any{&tid, &free, &isHeld, &changes}, func() error {
				at, err := locationOf(some.leaf.oid, tid)
				if rec := st.set.records[at]; rec != nil {
					here[at] = true
					rec.fate = fateOf(isHeld, free, changes)
				}
				return err
			})
			return err
		})
		if err != nil {
			return err
		}
	}
	maps.DeleteFunc(st.set.records, func(at location, _ *found) bool { return !here[at] }) // gone, or moved, since
	return nil
}

func fateOf(isHeld, free, changes bool) fate {
	switch {
	case isHeld:
		return fateHeld
	case !free:
		return fateKept
	case !changes:
		return fateDone
	}
	return fateOpen
}

// maxRead bounds how many places one reading statement names.
const maxRead = 10_000

// places are those of some records of one leaf.
type places struct {
	leaf   leaf
	target string
	whole  bool
	at     []location
}

// where renders the condition that the record of alias t is at one of the places.
func (p places) where(a *arguments) string {
	where := "t.ctid = ANY (" + a.add(p.tids(), "text[]") + "::tid[])"
	if p.whole {
		where += " AND t.tableoid = " + a.add(p.leaf.oid, "oid")
	}
	return where
}

func (p places) tids() []string {
	tids := make([]string, len(p.at))
	for i, at := range p.at {
		tids[i] = at.tid()
	}
	return tids
}

// parts puts places into parts of one leaf and at most size each, in the order of the leaves' blocks.
func (set *searched) parts(at []location, size int) []places {
	slices.SortFunc(at, compareLocations)
	return set.cut(at, size)
}

// cut cuts places into parts of one leaf and at most size each, in their order.
func (set *searched) cut(at []location, size int) []places {
	var out []places
	for len(at) > 0 {
		n := 1
		for n < min(len(at), size) && at[n].leaf == at[0].leaf {
			n++
		}
		p := places{leaf: set.leaves[at[0].leaf], at: at[:n]}
		if p.target = "ONLY " + p.leaf.name; p.leaf.oid != set.table.oid && !p.leaf.deletable && !p.leaf.updatable {
			p.target, p.whole = set.table.name, true // our rights are on the table
		}
		if p.leaf.oid != 0 { // a partition that has gone since has no records
			out = append(out, p)
		}
		at = at[n:]
	}
	return out
}

func compareLocations(a, b location) int {
	return cmp.Or(cmp.Compare(a.leaf, b.leaf), cmp.Compare(a.block, b.block), cmp.Compare(a.slot, b.slot))
}

// blocker is a record that keeps another by a foreign key.
type blocker struct {
	at  location
	key string
}

// block finds out which records keep those that should go, and whether these must be kept themselves.
func (e *erasure) block(ctx context.Context) error {
	protected, err := e.s.protectedTables(ctx)
	if err != nil {
		return err
	}
	for _, i := range e.place {
		if st := e.steps[i]; st.set.reason == "" && st.trouble == nil && st.step.Acts() {
			if err := st.block(ctx, st.set.table.blocking(protected)); err != nil {
				if err := st.tell(err); err != nil {
					return err
				}
			}
		}
	}
	for changed := true; changed; {
		changed = false
		for _, i := range e.place {
			for _, rec := range e.sets[i].records {
				if !rec.bound && len(rec.blockers) > 0 && !slices.ContainsFunc(rec.blockers, func(b blocker) bool { return !e.mustStay(b.at) }) {
					rec.bound, changed = true, true
				}
			}
		}
	}
	return nil
}

// mustStay says whether the record at a place is one that was found and must be kept.
func (e *erasure) mustStay(at location) bool {
	for _, i := range e.place {
		if rec := e.sets[i].records[at]; rec != nil && (rec.fate.stays() || rec.bound) {
			return true
		}
	}
	return false
}

// block finds the records that keep those of the dataset that should go, by keys and by what the data map says.
func (st *erasureStep) block(ctx context.Context, keys []foreignKey) error {
	var at []location
	pins := st.pins()
	for where, rec := range st.set.records {
		if rec.fate == fateOpen {
			at = append(at, where)
			rec.blockers = append(rec.blockers, st.pinned(rec, pins)...)
		}
	}
	if st.rewrite != nil {
		return nil
	}
	for _, some := range st.set.parts(at, maxRead) {
		for _, k := range keys {
			var a arguments
			sql := "SELECT t.ctid::text, child.tableoid, child.ctid::text FROM " + some.target + " AS t JOIN " + k.childName + " AS child ON " +
				strings.Join(k.conditions("t", &a), " AND ") + " WHERE " + some.where(&a)
			err := st.s.scan(ctx, func(ctx context.Context, tx pgx.Tx) error {
				rows, err := tx.Query(ctx, sql, a...)
				if err != nil {
					return err
				}
				var tid, child string
				var leaf uint32
				_, err = pgx.ForEachRow(rows, []any{&tid, &leaf, &child}, func() error {
					where, err := locationOf(some.leaf.oid, tid)
					by, err2 := locationOf(leaf, child)
					if rec := st.set.records[where]; rec != nil {
						rec.blockers = append(rec.blockers, blocker{by, k.name})
					}
					return cmp.Or(err, err2)
				})
				return err
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
