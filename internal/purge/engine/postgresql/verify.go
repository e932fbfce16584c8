// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// maxConstraints bounds how many names of constraints a Leftover has.
const maxConstraints = 16

// Verify counts what is due and still there, and which foreign keys keep it. In a simulation it counts what they would keep.
func (st *deleteStep) Verify(ctx context.Context) (engine.Leftover, error) {
	if err := st.refresh(ctx); err != nil {
		return engine.Leftover{}, err
	}
	left, err := st.s.leftover(ctx, st.table, st.due, st.foresee(ctx))
	if err == nil {
		err = st.forBegun(ctx, func(t *table) error {
			more, err := st.s.leftover(ctx, t, st.due, nil) // nothing can refer to it
			left.Remaining, left.Oldest = left.Remaining+more.Remaining, older(left.Oldest, more.Oldest)
			return err
		})
	}
	if left.Remaining > left.Blocked && len(st.table.deleteTriggers)+len(st.table.deleteRules) > 0 {
		left.Reason = receipt.TriggerBlocks
	}
	return left, err
}

// leftover counts the due records of a table, and those of them that a child of one of keys refers to.
func (s *session) leftover(ctx context.Context, t *table, due predicate, keys []foreignKey) (engine.Leftover, error) {
	var a arguments
	j := due.join(t, &a)
	inner := "SELECT " + j.start + " AS start"
	blocks, anyBlocks := make([]string, 0, len(keys)), "false"
	for i, k := range keys {
		inner += fmt.Sprintf(", %s AS blocked%d", k.references("t", &a), i)
		blocks = append(blocks, fmt.Sprintf("coalesce(bool_or(blocked%d), false)", i))
		anyBlocks += fmt.Sprintf(" OR blocked%d", i)
	}
	sql := "SELECT count(*), count(*) FILTER (WHERE " + anyBlocks + "), " + due.rule.readable("min(start)") +
		", ARRAY[" + strings.Join(blocks, ", ") + "]::boolean[] FROM (" + inner + " FROM " + j.from +
		" WHERE " + j.expired + " AND " + j.free + " AND NOT (" + j.held + ")) AS records"
	var left engine.Leftover
	err := s.scan(ctx, func(ctx context.Context, tx pgx.Tx) error {
		left = engine.Leftover{}
		var oldest any
		var by []bool
		if err := tx.QueryRow(ctx, sql, a...).Scan(&left.Remaining, &left.Blocked, &oldest, &by); err != nil {
			return err
		}
		left.Oldest = due.rule.instant(oldest)
		for i, blocked := range by {
			if blocked && !slices.Contains(left.Constraints, keys[i].name) && len(left.Constraints) < maxConstraints {
				left.Constraints = append(left.Constraints, keys[i].name)
			}
		}
		return nil
	})
	return left, err
}
