// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

const (
	// maxStuck bounds how many records a pass tries one by one because of constraints, before it gives up on the others.
	maxStuck = 10_000
	// maxCareful bounds how many records are locked while that is done.
	maxCareful = 500
)

// rewriting is one pass over the due records.
type rewriting struct {
	*anonymizeStep
	progress   engine.Progress
	transforms []transform
	limit      int64
	skipped    int
	stuck      int
	trouble    error
	// tell is told which records a batch changes; nil if nobody asks.
	tell func([]record) error
	// changed are the records that the batch in hand has changed.
	changed []record
}

// Purge makes one pass over all leaves, range by range of their blocks. A new version of a record, which may lie in a
// range to come, needs no change and is passed over.
func (st *anonymizeStep) Purge(ctx context.Context, progress engine.Progress) error {
	st.begin()
	if len(st.table.updateRules) > 0 { // a rewrite rule makes our statement mean something else
		return engine.Fail(receipt.TriggerBlocks, st.table.updateRules[0])
	}
	w := &rewriting{anonymizeStep: st, progress: progress, transforms: st.possible(), limit: int64(max(1, st.s.in.Plan.Limits.BatchRecords))}
	if len(w.transforms) == 0 || st.counts.Records > 0 && st.counts.Matched == 0 {
		return nil
	}
	if err := st.refresh(ctx); err != nil {
		return err
	}
	areas := areasOf(st.table, func(leaf) bool { return st.direct })
	for _, in := range areas {
		// A partition that is gone meanwhile has no records to change.
		if err := w.area(ctx, in); err != nil && (len(areas) == 1 || engine.ReasonOf(err) != receipt.TableNotFound) {
			return err
		}
	}
	return w.trouble
}

// begin forgets what the last pass met.
func (st *anonymizeStep) begin() {
	st.violated, st.objected, st.misunderstood = nil, false, false
	for _, tr := range st.transforms {
		if tr.impossible {
			st.violate(tr.column.name)
		}
	}
}

// violate notes the name of what kept a record.
func (st *anonymizeStep) violate(name string) {
	if !slices.Contains(st.violated, name) && len(st.violated) < maxConstraints {
		st.violated = append(st.violated, name)
	}
}

// area makes one pass over an area, up to the size that it has now.
func (w *rewriting) area(ctx context.Context, in area) error {
	end, slots, err := w.s.extent(ctx, in)
	if err != nil {
		return err
	}
	window := newWindow(w.limit, slots, in.leaf)
	careful := false
	for from := int64(0); from < end*slots; {
		if w.progress.Stopping() {
			return engine.ErrStopped
		}
		to := min(from+window.width, end*slots)
		n, excess, err := w.batch(ctx, w.blocks(in.target, place(from).tid(slots), place(to).tid(slots)), careful)
		reason := engine.ReasonOf(err)
		switch {
		case w.stuck >= maxStuck:
			return engine.Fail(receipt.ConstraintViolated, strings.Join(w.violated, ", "))
		case excess > 0:
			window.tooMany(excess)
			continue
		case err == nil:
			window.done(n)
		case !local(err):
			return err
		case !careful && reason != receipt.LockTimeout && reason != receipt.StatementTimeout:
			careful = true // the same range again, record by record where need be
			continue
		case window.narrow(reason):
			continue
		default:
			if w.skipped++; w.trouble == nil {
				w.trouble = err
			}
			if w.skipped == maxSkipped {
				return w.trouble
			}
		}
		from, careful = to, false
	}
	return nil
}

// part is some records of target: within renders where they lie, due which of those there are meant, and whose, if it is set,
// the persons that such a record belongs to.
type part struct {
	target             string
	within, due, whose func(*arguments) string
}

// where renders the condition that a record of alias t belongs to the part.
func (r part) where(a *arguments) string { return r.within(a) + " AND " + r.due(a) }

// blocks are the due records of an area from a place (inclusive) to another (exclusive), as ctids.
func (w *rewriting) blocks(target, from, to string) part {
	return part{target: target, due: func(a *arguments) string { return w.due.due("t", a) }, within: func(a *arguments) string {
		return "t.ctid >= " + a.add(from, "tid") + " AND t.ctid < " + a.add(to, "tid")
	}}
}

// batch rewrites the records of a part in one transaction, unless they are more than the limit: then excess is how
// many there are, or more than the limit at least. If it is careful, a constraint keeps single records and no others.
func (w *rewriting) batch(ctx context.Context, r part, careful bool) (n, excess int64, err error) {
	n, err = w.s.batch(ctx, w.progress, func(ctx context.Context, tx pgx.Tx) (n int64, err error) {
		// A constraint that is checked at the commit would fail there, and nobody could tell for which record.
		if _, err := tx.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
			return 0, err
		}
		excess, w.changed = 0, nil
		limit := w.limit
		if careful {
			limit = min(limit, maxCareful)
		}
		if careful || w.tell != nil || slices.ContainsFunc(w.transforms, func(tr transform) bool { return tr.compute != nil }) {
			n, err = w.listed(ctx, tx, r, limit, careful)
		} else {
			n, err = w.atOnce(ctx, tx, r)
		}
		if err == nil && n > limit {
			excess = n
			return 0, nil // which rolls back
		}
		if err == nil && w.tell != nil {
			err = w.tell(w.changed)
		}
		return n, told(err)
	})
	return n, excess, err
}

// witness counts the records of a part that are to be rewritten still, but for so many that cannot be.
func (w *rewriting) witness(r part, but int64) func(context.Context) (int64, error) {
	var a arguments
	sql := "SELECT count(*) - " + a.add(but, "bigint") + " FROM " + r.target + " AS t WHERE " + r.where(&a) + " AND " + changesOf(w.transforms, &a)
	return w.s.counting(sql, a)
}

// atOnce rewrites the records of a part by one statement.
func (w *rewriting) atOnce(ctx context.Context, tx pgx.Tx, r part) (int64, error) {
	var a arguments
	sql := "UPDATE " + r.target + " AS t SET " + assignments(w.transforms, &a) + " WHERE " + r.where(&a) + " AND " + changesOf(w.transforms, &a)
	w.s.witness = w.witness(r, 0)
	tag, err := tx.Exec(ctx, sql, a...)
	return tag.RowsAffected(), err
}

// assignments renders SET for transforms; those that Go computes stand in u.v0, u.v1, …, by their place, NULL for those that
// stay.
func assignments(transforms []transform, a *arguments) string {
	var set []string
	for i, tr := range transforms {
		x, name := quoted("t", tr.column.name), pgx.Identifier{tr.column.name}.Sanitize()
		if tr.compute != nil {
			set = append(set, fmt.Sprintf("%s = coalesce(u.v%d, %s::text)", name, i, x))
			continue
		}
		set = append(set, name+" = "+tr.value(x, a))
	}
	return strings.Join(set, ", ")
}

// violation says whether err is an objection to a record's new values, by a constraint, a column or a trigger, and by whom.
func violation(err error) *engine.Error {
	var server *pgconn.PgError
	if !errors.As(err, &server) {
		return nil
	}
	switch server.Code {
	case "23502", "23503", "23505", "23514", "23P01", "22001":
		return &engine.Error{Reason: receipt.ConstraintViolated, Object: objectOf(server), Code: server.Code}
	case "P0001":
		return &engine.Error{Reason: receipt.TriggerBlocks, Object: objectOf(server), Code: server.Code}
	}
	return nil
}

// told is err, with an objection reduced to what no other attempt cures.
func told(err error) error {
	if v := violation(err); v != nil {
		return v
	}
	return err
}
