// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// erasureStep is what becomes of the records of persons in one dataset.
type erasureStep struct {
	e    *erasure
	s    *session
	step *plan.ErasureStep
	set  *searched

	obligations []moment
	held        holding
	// rewrite is nil where records are deleted.
	rewrite *anonymizeStep
	// keys are the foreign keys whose children keep a record.
	keys []foreignKey
	// trouble is why the step cannot be carried out.
	trouble error
	// skipped is how many parts could not be done, late why the first of them.
	skipped int
	late    error
	// refused are the records that were to go, and stayed without an error.
	refused map[location]bool
}

// PrepareErasure looks whether a step can be carried out. See engine.Eraser.
func (s *session) PrepareErasure(ctx context.Context, index int) (engine.ErasureStep, error) {
	if s.erasure == nil {
		return nil, engine.Fail(receipt.PlanRefused, "erasure")
	}
	st := s.erasure.steps[s.erasure.place[index]]
	switch {
	case st.set.reason != "":
		return nil, engine.Fail(st.set.reason, st.step.Path)
	case st.trouble != nil:
		return nil, st.trouble
	case !st.step.Acts():
		return st, nil
	}
	if err := st.prepare(ctx); err != nil {
		return nil, err
	}
	if st.rewrite != nil || s.in.Plan.Mode != plan.Enforce {
		return st, nil
	}
	return st, s.scan(ctx, func(ctx context.Context, tx pgx.Tx) error {
		sql, a := st.deleteSQL(places{leaf: leaf{oid: st.set.table.oid}, target: st.set.table.name}, nil, false)
		return explain(ctx, tx, sql, a)
	})
}

// prepare looks at the table and at what refers to it again.
func (st *erasureStep) prepare(ctx context.Context) error {
	if err := st.e.lookup(ctx, st.set); err != nil {
		return err
	}
	if err := st.resolve(ctx); err != nil {
		return err
	}
	protected, err := st.s.protectedTables(ctx)
	if err != nil {
		return err
	}
	st.keys = st.set.table.blocking(protected)
	if err := unreadable(st.keys); err != nil {
		return err
	}
	if rules := slices.Concat(st.set.table.deleteRules, st.set.table.updateRules); len(rules) > 0 {
		return engine.Fail(receipt.TriggerBlocks, rules[0]) // a rewrite rule makes our statement mean something else
	}
	return st.reachable()
}

// reachable returns an error if records that refer to the dataset's cannot be found: those would lose what leads to them.
func (st *erasureStep) reachable() error {
	for _, child := range st.e.sets {
		for _, r := range child.plan.References {
			if child.reason != "" && r.Dataset == st.set.plan.Name && !st.set.carried(r.Key) {
				return engine.Fail(child.reason, child.plan.Path)
			}
		}
	}
	return nil
}

// Erase makes one pass over the records that are to be erased. See engine.ErasureStep.
//
// Those that are furthest from the identifiers come first, so that a pass which ends in the middle leaves the way to the
// others.
func (st *erasureStep) Erase(ctx context.Context, skip []bool, progress engine.ErasureProgress) error {
	if !st.step.Acts() || st.trouble != nil {
		return st.trouble
	}
	if err := st.prepare(ctx); err != nil {
		return err
	}
	st.e.changed = true
	st.skipped, st.late, st.refused = 0, nil, map[location]bool{}
	for p, problem := range st.e.problems {
		if problem != "" {
			skip = append(slices.Clone(skip), make([]bool, max(0, p+1-len(skip)))...)
			skip[p] = true
		}
	}
	w := &erasing{erasureStep: st, skip: skip, progress: progress}
	if st.rewrite != nil {
		st.rewrite.begin()
		if err := w.pass(ctx); err != nil {
			return err
		}
		return st.late
	}
	self := slices.ContainsFunc(st.keys, func(k foreignKey) bool { return k.self })
	for before := int64(-1); w.erased > before; {
		before = w.erased
		if err := w.pass(ctx); err != nil {
			return err
		}
		if self && w.erased == before {
			if err := w.rings(ctx); err != nil {
				return err
			}
		}
		if !self {
			break
		}
	}
	return st.late
}

// erasing is one pass.
type erasing struct {
	*erasureStep
	skip     []bool
	progress engine.ErasureProgress
	erased   int64
	// stuck is how many records were tried one by one.
	stuck int
}

func (w *erasing) pass(ctx context.Context) error {
	var at []location
	for where, rec := range w.set.records {
		if rec.fate == fateOpen && slices.ContainsFunc(rec.claims, w.wanted) {
			at = append(at, where)
		}
	}
	slices.SortFunc(at, func(a, b location) int {
		return cmp.Or(-cmp.Compare(w.set.records[a].round, w.set.records[b].round), compareLocations(a, b))
	})
	pins := w.pins()
	for _, some := range w.set.cut(at, int(max(1, w.s.in.Plan.Limits.BatchRecords))) {
		some.at = slices.DeleteFunc(slices.Clone(some.at), func(where location) bool {
			return len(w.pinned(w.set.records[where], pins)) > 0
		})
		if len(some.at) == 0 {
			continue
		}
		if err := w.erase(ctx, some); err != nil {
			return err
		}
		for _, where := range some.at {
			if rec := w.set.records[where]; rec != nil {
				w.pin(pins, w.set, where, rec)
			}
		}
	}
	return nil
}

// rings erases records that nothing keeps but each other, all at once.
func (w *erasing) rings(ctx context.Context) error {
	for _, rec := range w.set.records {
		rec.blockers = nil
	}
	if err := w.block(ctx, w.keys); err != nil {
		return err
	}
	ring := map[location]bool{}
	for at, rec := range w.set.records {
		ring[at] = rec.fate == fateOpen && len(rec.blockers) > 0 && slices.ContainsFunc(rec.claims, w.wanted)
	}
	for changed := true; changed; {
		changed = false
		for at := range ring {
			if ring[at] && slices.ContainsFunc(w.set.records[at].blockers, func(b blocker) bool { return !ring[b.at] }) {
				ring[at], changed = false, true
			}
		}
	}
	maps.DeleteFunc(ring, func(_ location, in bool) bool { return !in })
	for _, some := range w.set.parts(slices.Collect(maps.Keys(ring)), int(max(1, w.s.in.Plan.Limits.BatchRecords))) {
		if w.progress.Stopping() {
			return engine.ErrStopped
		}
		if err := w.deleteSome(ctx, some, true); err != nil && !local(err) {
			return err
		}
	}
	return nil
}

// wanted says whether a claim is that of a person whose records go.
func (w *erasing) wanted(c claim) bool { return int(c.person) >= len(w.skip) || !w.skip[c.person] }

// erase erases some records in one transaction, or, if that fails for a reason that need not concern all of them, in parts.
// What fails alone is left behind.
func (w *erasing) erase(ctx context.Context, p places) error {
	if w.progress.Stopping() {
		return engine.ErrStopped
	}
	var err error
	if w.rewrite != nil {
		err = w.rewriteSome(ctx, p)
	} else {
		err = w.deleteSome(ctx, p, false)
	}
	if err == nil || !local(err) {
		return err
	}
	if len(p.at) == 1 {
		w.refused[p.at[0]] = engine.ReasonOf(err) == receipt.TriggerBlocks
		if w.skipped++; w.late == nil {
			w.late = err
		}
		if w.skipped == maxSkipped {
			return w.late
		}
		return nil
	}
	size := (len(p.at) + 1) / 2
	if engine.ReasonOf(err) == receipt.LockTimeout { // waited for many times: few shall wait again
		size = (len(p.at) + 15) / 16
	}
	for part := range slices.Chunk(p.at, size) {
		smaller := p
		smaller.at = part
		if err := w.erase(ctx, smaller); err != nil {
			return err
		}
	}
	return nil
}

// personal tells of a batch whose it is.
type personal struct {
	engine.ErasureProgress
	persons map[int]int64
}

// InFlight tells of the batch.
func (p *personal) InFlight(n int64) error { return p.ErasureProgress.InFlight(n, p.persons) }

// Committed tells of its commit.
func (p *personal) Committed(int64, int32) { p.ErasureProgress.Committed() }

// deleteSome deletes records. A record is asked once more whether it is a person's: another may lie at its place by now.
func (w *erasing) deleteSome(ctx context.Context, p places, ring bool) error {
	progress := &personal{ErasureProgress: w.progress}
	var gone map[location]bool
	_, err := w.s.batch(ctx, progress, func(ctx context.Context, tx pgx.Tx) (int64, error) {
		progress.persons, gone = map[int]int64{}, map[location]bool{}
		isolation := "READ COMMITTED"
		if slices.ContainsFunc(w.keys, func(k foreignKey) bool { return k.onDelete != noAction && k.onDelete != restrict }) {
			isolation = "REPEATABLE READ" // see deleteStep.pass
		}
		// A constraint that is checked at the commit would fail there, and nobody could tell for which record.
		if _, err := tx.Exec(ctx, "SET TRANSACTION ISOLATION LEVEL "+isolation+"; SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
			return 0, err
		}
		sql, a := w.deleteSQL(p, w.wanted, ring)
		rows, err := tx.Query(ctx, sql, a...)
		if err != nil {
			return 0, err
		}
		var tid string
		var person int32
		_, err = pgx.ForEachRow(rows, []any{&tid, &person}, func() error {
			at, err := locationOf(p.leaf.oid, tid)
			gone[at] = true
			progress.persons[int(person)]++
			return err
		})
		w.s.witness = w.witness(p, gone)
		if ring {
			err = told(err) // a ring that is kept by a record of another is kept still when it is tried again
		}
		return int64(len(gone)), err
	})
	if err != nil {
		return err
	}
	for _, at := range p.at {
		w.refused[at] = !gone[at]
		if gone[at] {
			delete(w.set.records, at)
		}
	}
	w.erased += int64(len(gone))
	return nil
}

// witness counts those of the records that are there still.
func (w *erasing) witness(p places, gone map[location]bool) func(context.Context) (int64, error) {
	p.at = slices.DeleteFunc(slices.Clone(p.at), func(at location) bool { return !gone[at] })
	var a arguments
	where := p.where(&a)
	return w.s.counting("SELECT count(*) FROM "+p.target+" AS t WHERE "+where+" AND "+w.belong(p, w.wanted, &a), a)
}

// claims renders the claims on records, as a table v of places, persons, ways and texts, and the condition that x, which
// renders a column of the record at the place, is as its claim says.
func (st *erasureStep) claims(p places, wanted func(claim) bool, a *arguments) (from string, is func(x func(string) string) string) {
	var tids, values []string
	var persons, ways []int32
	for _, at := range p.at {
		rec := st.set.records[at]
		if rec == nil {
			continue
		}
		for _, c := range rec.claims {
			if wanted(c) {
				tids, persons, ways, values = append(tids, at.tid()), append(persons, c.person), append(ways, c.way), append(values, c.value)
			}
		}
	}
	from = fmt.Sprintf("unnest(%s::tid[], %s, %s, %s) AS v(tid, person, way, value)", a.add(tids, "text[]"), a.add(persons, "int[]"),
		a.add(ways, "int[]"), a.add(values, "text[]"))
	is = func(x func(string) string) string {
		var b strings.Builder
		b.WriteString("CASE v.way") // in this order: no text is cast that its column does not admit
		for n, w := range st.set.ways {
			fmt.Fprintf(&b, " WHEN %d THEN %s", n, w.is(x(w.column.name), "v.value"))
		}
		return b.String() + " ELSE false END"
	}
	return from, is
}

// belong renders the condition that the record of alias t is a person's still.
func (st *erasureStep) belong(p places, wanted func(claim) bool, a *arguments) string {
	from, is := st.claims(p, wanted, a)
	return "EXISTS (SELECT 1 FROM " + from + " WHERE v.tid = t.ctid AND " + is(func(name string) string { return quoted("t", name) }) + ")"
}

// deleteSQL renders a statement that deletes records and tells whose they were. In a ring, records of the same batch do not
// keep each other, as far as PostgreSQL itself makes sure that none of them stays alone.
func (st *erasureStep) deleteSQL(p places, wanted func(claim) bool, ring bool) (string, arguments) {
	var a arguments
	where := p.where(&a)
	from, is := st.claims(p, wanted, &a)
	returning := "t.ctid AS tid"
	column := map[string]string{}
	for n, w := range st.set.ways {
		if column[w.column.name] == "" {
			column[w.column.name] = fmt.Sprintf("gone.c%d", n)
			returning += fmt.Sprintf(", %s AS c%d", quoted("t", w.column.name), n)
		}
	}
	sql := "WITH gone AS (DELETE FROM " + p.target + " AS t WHERE " + where + " AND EXISTS (SELECT 1 FROM " + from + " WHERE v.tid = t.ctid AND " +
		is(func(name string) string { return quoted("t", name) }) + ") AND (" + st.free(&a) + ") AND (" + st.held.of("t", &a) + ") IS NOT TRUE"
	for _, k := range st.keys {
		if ring && k.self && k.onDelete == noAction {
			k.spared = &p
		}
		sql += " AND NOT " + k.references("t", &a)
	}
	return sql + " RETURNING " + returning + ") SELECT gone.tid::text, v.person FROM gone JOIN " + from + " ON v.tid = gone.tid AND " +
		is(func(name string) string { return column[name] }), a
}

// rewriteSome anonymizes records.
func (w *erasing) rewriteSome(ctx context.Context, p places) error {
	transforms := w.rewrite.possible()
	if len(transforms) == 0 {
		return nil
	}
	if w.stuck >= maxStuck {
		return engine.Fail(receipt.ConstraintViolated, strings.Join(w.rewrite.violated, ", "))
	}
	progress := &personal{ErasureProgress: w.progress}
	if !w.rewrite.direct && p.leaf.oid != w.set.table.oid {
		p.target, p.whole = w.set.table.name, true
	}
	r := part{target: p.target, within: p.where, due: func(a *arguments) string {
		return w.belong(p, w.wanted, a) + " AND (" + w.free(a) + ") AND (" + w.held.of("t", a) + ") IS NOT TRUE"
	}}
	r.whose = func(a *arguments) string {
		from, is := w.claims(p, w.wanted, a)
		return "ARRAY(SELECT v.person FROM " + from + " WHERE v.tid = t.ctid AND " + is(func(name string) string { return quoted("t", name) }) + ")"
	}
	rw := &rewriting{anonymizeStep: w.rewrite, progress: progress, transforms: transforms, limit: int64(len(p.at)), stuck: w.stuck}
	for _, careful := range []bool{false, true} {
		var changed []location
		rw.tell = func(records []record) error {
			progress.persons, changed = map[int]int64{}, nil
			for _, rec := range records {
				at, err := locationOf(rec.relation, rec.tid)
				if err != nil {
					return err
				}
				changed = append(changed, at)
				for _, person := range rec.persons {
					progress.persons[int(person)]++
				}
			}
			return nil
		}
		n, excess, err := rw.batch(ctx, r, careful)
		switch {
		case excess > 0: // too many to be careful with
			return engine.Fail(receipt.ConstraintViolated, "")
		case err == nil:
			w.erased, w.stuck = w.erased+n, rw.stuck
			for _, at := range changed {
				if rec := w.set.records[at]; rec != nil {
					rec.fate = fateDone
				}
			}
			return nil
		case !local(err) || careful || engine.ReasonOf(err) == receipt.LockTimeout || engine.ReasonOf(err) == receipt.StatementTimeout:
			return err
		}
	}
	return nil
}
