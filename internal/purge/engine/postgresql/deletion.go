// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"slices"

	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// Purge drops partitions that are due as a whole, then goes over what is left, leaf by leaf. A table that refers to itself
// is gone over again as long as that deletes something: a record can go when those that refer to it have gone.
func (st *deleteStep) Purge(ctx context.Context, progress engine.Progress) error {
	if len(st.table.deleteRules) > 0 { // a rewrite rule makes our statement mean something else
		return engine.Fail(receipt.TriggerBlocks, st.table.deleteRules[0])
	}
	if st.table.partitioned {
		if err := st.s.dropPartitions(ctx, st, progress); err != nil {
			return err
		}
	}
	if st.counts.Records > 0 && st.counts.Matched == 0 {
		return nil
	}
	for {
		if err := st.refresh(ctx); err != nil {
			return err
		}
		changed, err := st.pass(ctx, progress)
		if err != nil || changed == 0 || !slices.ContainsFunc(st.keys, func(k foreignKey) bool { return k.self }) {
			return err
		}
	}
}

// pass goes over all leaves once and returns how many records it deleted.
func (st *deleteStep) pass(ctx context.Context, progress engine.Progress) (int64, error) {
	w := &sweep{
		s: st.s, progress: progress, rule: st.due.rule, matched: st.counts.Matched, records: st.counts.Records,
		statement: st.statement,
		// A child that is added between our look and our lock would be deleted or changed along with its parent. This
		// isolation level makes PostgreSQL notice. Elsewhere the constraint itself does.
		strict: slices.ContainsFunc(st.keys, func(k foreignKey) bool { return k.onDelete != noAction && k.onDelete != restrict }),
	}
	err := w.run(ctx, areasOf(st.table, func(l leaf) bool { return l.deletable }))
	return w.changed, err
}

// statement renders the DELETE of the due records of target for which where holds and that no child needs.
func (st *deleteStep) statement(target, where string, a *arguments) string {
	sql := "DELETE FROM " + target + " AS t WHERE " + where + " AND " + st.due.due("t", a)
	for _, k := range st.keys {
		sql += " AND NOT " + k.references("t", a)
	}
	return sql
}
