// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/receipt"
)

// record is a record that is locked, and what Go computed for it: one value for each transform, nil where the field stays
// or the server computes.
type record struct {
	relation uint32
	tid      string
	values   []*string
	// byServer says that the server has something to change as well.
	byServer bool
	// persons are those to whom it belongs, if somebody asks.
	persons []int32
}

// listed rewrites the due records of a range one by one as far as their values go, but by one statement. It returns a number
// above limit, and changes nothing, if there are more.
func (w *rewriting) listed(ctx context.Context, tx pgx.Tx, r part, limit int64, careful bool) (int64, error) {
	records, err := w.lock(ctx, tx, r, limit)
	if err != nil || len(records) == 0 {
		return 0, err
	}
	if int64(len(records)) > limit {
		return 2 * limit, nil
	}
	var some []record
	for _, rec := range records {
		if w.compute(rec.values) || rec.byServer {
			some = append(some, rec)
		}
	}
	if len(some) == 0 {
		return 0, nil
	}
	var n int64
	if careful {
		n, err = w.apply(ctx, tx, r, some)
	} else {
		n, err = w.update(ctx, tx, r, some, w.transforms)
	}
	w.s.witness = w.witness(r, int64(len(records))-n)
	return n, err
}

// lock locks and reads the due records of a range, one more than limit at most.
func (w *rewriting) lock(ctx context.Context, tx pgx.Tx, r part, limit int64) ([]record, error) {
	var a arguments
	var fields strings.Builder
	byServer := "false"
	for _, tr := range w.transforms {
		x := quoted("t", tr.column.name)
		if tr.compute == nil {
			byServer += " OR " + tr.changes(x, &a)
			fields.WriteString(", NULL")
			continue
		}
		fields.WriteString(", CASE WHEN " + tr.changes(x, &a) + " THEN " + x + "::text END")
	}
	whose := "NULL::int[]"
	if r.whose != nil {
		whose = r.whose(&a)
	}
	sql := "SELECT t.tableoid, t.ctid::text, " + byServer + ", ARRAY[" + strings.TrimPrefix(fields.String(), ", ") + "]::text[], " + whose + " FROM " + r.target +
		" AS t WHERE " + r.where(&a) + " AND " + changesOf(w.transforms, &a) +
		" LIMIT " + a.add(limit+1, "bigint") + " FOR UPDATE OF t"
	rows, err := tx.Query(ctx, sql, a...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (rec record, err error) {
		return rec, row.Scan(&rec.relation, &rec.tid, &rec.byServer, &rec.values, &rec.persons)
	})
}

// compute replaces values by what becomes of them, nil for those that are not understood, and says whether any changes.
func (w *rewriting) compute(values []*string) bool {
	some := false
	for i, v := range values {
		if v == nil {
			continue
		}
		became, ok := w.transforms[i].compute(*v)
		w.misunderstood = w.misunderstood || !ok
		if values[i] = nil; ok && became != *v {
			values[i], some = &became, true
		}
	}
	return some
}

// update rewrites records by one statement.
func (w *rewriting) update(ctx context.Context, tx pgx.Tx, r part, records []record, transforms []transform) (int64, error) {
	var a arguments
	relations, tids := make([]uint32, len(records)), make([]string, len(records))
	for i, rec := range records {
		relations[i], tids[i] = rec.relation, rec.tid
	}
	arrays, names := a.add(relations, "oid[]")+", "+a.add(tids, "text[]"), "relation, tid"
	for i, tr := range transforms {
		if tr.compute == nil {
			continue
		}
		values := make([]*string, len(records))
		for j, rec := range records {
			values[j] = rec.values[w.place(tr)]
		}
		arrays += ", " + a.add(values, "text[]")
		names += fmt.Sprintf(", v%d", i)
	}
	sql := "UPDATE " + r.target + " AS t SET " + assignments(transforms, &a) + " FROM unnest(" + arrays + ") WITH ORDINALITY AS u(" + names + ", n)" +
		" WHERE t.tableoid = u.relation AND t.ctid = u.tid::tid AND " + r.within(&a) + " RETURNING u.n"
	rows, err := tx.Query(ctx, sql, a...)
	if err != nil {
		return 0, err
	}
	before := len(w.changed)
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&n}, func() error {
		w.changed = append(w.changed, records[n-1])
		return nil
	})
	return int64(len(w.changed) - before), err
}

// place is a transform's place among all.
func (w *rewriting) place(tr transform) int {
	for i := range w.transforms {
		if w.transforms[i].column.name == tr.column.name {
			return i
		}
	}
	return -1
}

// apply rewrites records, and leaves those as they are to which a constraint or a trigger objects: it halves the records
// until it has found them. Of such a record, the fields that nobody objects to are rewritten.
func (w *rewriting) apply(ctx context.Context, tx pgx.Tx, r part, records []record) (int64, error) {
	if w.stuck >= maxStuck {
		return 0, nil
	}
	n, err := w.tentative(ctx, tx, r, records, w.transforms, true)
	v := violation(err)
	switch {
	case v == nil:
		return n, err
	case len(records) > 1:
		half := len(records) / 2
		first, err := w.apply(ctx, tx, r, records[:half])
		if err != nil {
			return 0, err
		}
		second, err := w.apply(ctx, tx, r, records[half:])
		return first + second, err
	}
	w.stuck++
	var good []transform
	for i, tr := range w.transforms {
		if !w.wanted(ctx, tx, r, records[0], i) {
			continue
		}
		_, err := w.tentative(ctx, tx, r, records, append(good[:len(good):len(good)], tr), false)
		switch v := violation(err); {
		case err == nil:
			good = append(good, tr)
		case v == nil:
			return 0, err
		case v.Reason == receipt.TriggerBlocks:
			w.objected = true
		case v.Object == "":
			w.violate(tr.column.name)
		default:
			w.violate(v.Object)
		}
	}
	if len(good) == 0 {
		return 0, nil
	}
	return w.tentative(ctx, tx, r, records, good, true)
}

// wanted says whether the transform at place i would change a record.
func (w *rewriting) wanted(ctx context.Context, tx pgx.Tx, r part, rec record, i int) bool {
	tr := w.transforms[i]
	if tr.compute != nil {
		return rec.values[i] != nil
	}
	var a arguments
	var yes bool
	err := tx.QueryRow(ctx, "SELECT "+tr.changes(quoted("t", tr.column.name), &a)+" FROM "+r.target+" AS t WHERE t.tableoid = "+
		a.add(rec.relation, "oid")+" AND t.ctid = "+a.add(rec.tid, "tid"), a...).Scan(&yes)
	return err == nil && yes // an error ends the transaction, which the next statement tells
}

// tentative is update in a savepoint, which is taken back on an error, or if it is not to be kept.
func (w *rewriting) tentative(ctx context.Context, tx pgx.Tx, r part, records []record, transforms []transform, keep bool) (int64, error) {
	savepoint, err := tx.Begin(ctx)
	if err != nil {
		return 0, err
	}
	before := len(w.changed)
	n, err := w.update(ctx, savepoint, r, records, transforms)
	if err != nil || !keep {
		w.changed = w.changed[:before]
		return n, errors.Join(err, savepoint.Rollback(ctx))
	}
	return n, savepoint.Commit(ctx)
}
