// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// sweep is one pass over a table that does something to its due records, in batches.
type sweep struct {
	s        *session
	progress engine.Progress
	rule     moment
	// matched of records are due, if somebody counted.
	matched, records int64
	// statement renders a statement on target AS t that changes the due records for which where holds.
	statement func(target, where string, a *arguments) string
	// strict makes a record that somebody refers to meanwhile an error that is tried again.
	strict bool

	changed int64
	// skipped is how many ranges could not be done, trouble why the first of them.
	skipped int
	trouble error
}

// maxSkipped bounds how many ranges a pass leaves behind before it gives up.
const maxSkipped = 32

// area is what one part of a pass reads: one leaf, or the whole tree where we have no rights on the leaves.
type area struct {
	leaf
	target string
}

// areasOf cuts a table into the areas of a pass. may says whether we may change a leaf itself; if not, all leaves are
// gone through together, block range by block range, with our right on the table.
func areasOf(t *table, may func(leaf) bool) []area {
	if len(t.leaves) == 1 && t.leaves[0].oid == t.oid || !slices.ContainsFunc(t.leaves, func(l leaf) bool { return !may(l) }) {
		var areas []area
		for _, l := range t.leaves {
			areas = append(areas, area{leaf: l, target: "ONLY " + l.name})
		}
		return areas
	}
	whole := area{leaf: leaf{oid: t.oid, name: t.name, records: -1, leading: map[string]bool{}}, target: t.name}
	for name := range t.columns {
		whole.leading[name] = t.indexed(name)
	}
	return []area{whole}
}

// run goes over all areas. Its error is engine.ErrStopped, or an *engine.Error; some records may have been changed.
func (w *sweep) run(ctx context.Context, areas []area) error {
	for _, a := range areas {
		var err error
		done := false
		if chooseAccess(w.rule, a.leaf, w.matched, w.records) == byIndex {
			done, err = w.index(ctx, a)
		}
		if err == nil && !done {
			err = w.blocks(ctx, a)
		}
		// A partition that is gone meanwhile has no records to change.
		if err != nil && (len(areas) == 1 || engine.ReasonOf(err) != receipt.TableNotFound) {
			return err
		}
	}
	return w.trouble
}

// batch runs one statement in a transaction, unless it changes more than limit records: then excess is how many it would
// have changed. prepare renders the statement.
func (w *sweep) batch(ctx context.Context, limit int64, prepare func(context.Context, pgx.Tx) (string, arguments, error)) (n, excess int64, err error) {
	if w.progress.Stopping() {
		return 0, 0, engine.ErrStopped
	}
	n, err = w.s.batch(ctx, w.progress, func(ctx context.Context, tx pgx.Tx) (int64, error) {
		excess = 0
		if w.strict {
			if _, err := tx.Exec(ctx, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"); err != nil {
				return 0, err
			}
		}
		sql, a, err := prepare(ctx, tx)
		if err != nil {
			return 0, err
		}
		w.s.witness = w.s.counting(strings.Replace(sql, "DELETE", "SELECT count(*)", 1), a)
		tag, err := tx.Exec(ctx, sql, a...)
		if err == nil && tag.RowsAffected() > limit {
			excess = tag.RowsAffected()
			return 0, nil // which rolls back
		}
		return tag.RowsAffected(), err
	})
	w.changed += n
	return n, excess, err
}

// extent is how many blocks the largest table of an area has now, and how many slots a block may have.
func (s *session) extent(ctx context.Context, in area) (blocks, slots int64, err error) {
	var blockSize int64
	err = s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, treeOf+`
			SELECT coalesce(max(pg_relation_size(tree.oid)), 0) / current_setting('block_size')::bigint, current_setting('block_size')::bigint
			FROM tree JOIN pg_catalog.pg_class c USING (oid) WHERE c.relkind = 'r'`, in.oid).Scan(&blocks, &blockSize)
	})
	return blocks, blockSlots(blockSize), err
}

// blocks makes one pass over an area in ranges of blocks, up to the size that it has now. What is added meanwhile is not
// due, but for what is written with an old date: verification finds that.
func (w *sweep) blocks(ctx context.Context, in area) error {
	end, slots, err := w.s.extent(ctx, in)
	if err != nil {
		return err
	}
	window := newWindow(w.limit(), slots, in.leaf)
	for from := int64(0); from < end*slots; {
		to := min(from+window.width, end*slots)
		n, err := w.places(ctx, in, slots, from, to)
		if err != nil {
			return err
		}
		window.done(n)
		from = to
	}
	return nil
}

// places does one range of an area, from from up to but not including to. A range that has too many records, or fails for
// a reason that need not concern all of it, is done in parts. A part that is as small as makes sense is left behind.
func (w *sweep) places(ctx context.Context, in area, slots, from, to int64) (int64, error) {
	n, excess, err := w.batch(ctx, w.limit(), func(context.Context, pgx.Tx) (string, arguments, error) {
		var a arguments
		where := "t.ctid >= " + a.add(place(from).tid(slots), "tid") + " AND t.ctid < " + a.add(place(to).tid(slots), "tid")
		return w.statement(in.target, where, &a), a, nil
	})
	var width int64
	switch {
	case excess > 0:
		width = fewer(to-from, w.limit(), excess, slots)
	case err == nil || !local(err):
		return n, err
	default:
		width = narrower(to-from, slots, engine.ReasonOf(err))
	}
	if width == 0 {
		if w.skip(err); w.skipped == maxSkipped {
			return 0, w.trouble
		}
		return 0, nil
	}
	for ; from < to; from += width {
		m, err := w.places(ctx, in, slots, from, min(from+width, to))
		if err != nil {
			return n, err
		}
		n += m
	}
	return n, nil
}

// index goes through an index on the starting point, from the oldest on. It never looks at the same part of the index
// twice, as that is full of what was just deleted. It returns false where that cannot be done: too many records have the
// same starting point, or something stands in the way.
func (w *sweep) index(ctx context.Context, in area) (done bool, err error) {
	limit := w.limit()
	start := quoted("t", w.rule.column.name)
	for low := w.rule.first; ; {
		var next any
		_, excess, err := w.batch(ctx, limit, func(ctx context.Context, tx pgx.Tx) (string, arguments, error) {
			// Whatever the statistics say, this is a walk along the index.
			if _, err := tx.Exec(ctx, "SELECT set_config('enable_seqscan', 'off', true)"); err != nil {
				return "", nil, err
			}
			var bound arguments
			next = nil
			err := tx.QueryRow(ctx, "SELECT "+start+" FROM "+in.target+" AS t WHERE "+start+" >= "+bound.add(low, w.rule.cast)+
				" AND "+start+" <= "+bound.add(w.rule.last, w.rule.cast)+" ORDER BY "+start+" OFFSET "+bound.add(limit, "bigint")+
				" LIMIT 1", bound...).Scan(&next)
			if err != nil && !errors.Is(err, pgx.ErrNoRows) {
				return "", nil, err
			}
			var a arguments
			where := start + " >= " + a.add(low, w.rule.cast)
			if next != nil {
				where += " AND " + start + " < " + a.add(next, w.rule.cast)
			}
			return w.statement(in.target, where, &a), a, nil
		})
		switch {
		case excess > 0, err != nil && local(err), next != nil && reflect.DeepEqual(next, low):
			return false, nil
		case err != nil:
			return false, err
		case next == nil:
			return true, nil
		}
		low = next
	}
}

func (w *sweep) limit() int64 { return int64(max(1, w.s.in.Plan.Limits.BatchRecords)) }

// skip leaves a range behind that cannot be done.
func (w *sweep) skip(err error) {
	w.skipped++
	if w.trouble == nil {
		w.trouble = err
	}
}

// local says whether an error is a matter of some records, so that others may go.
func local(err error) bool {
	switch engine.ReasonOf(err) {
	case receipt.LockTimeout, receipt.StatementTimeout, receipt.ForeignKeyBlocks, receipt.ConstraintViolated, receipt.TriggerBlocks,
		receipt.ValueNotUnderstood:
		return true
	}
	return false
}
