// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// detachAttempts is how often a partition's detachment is tried before its records are deleted like any others.
const detachAttempts = 3

// dropPartitions drops what is due as a whole: first the partitions that an earlier attempt had begun with, then those that
// lie wholly before the cutoff. A partition that cannot be dropped, because somebody uses it or something depends on it, is
// left to be emptied.
func (s *session) dropPartitions(ctx context.Context, st *deleteStep, progress engine.Progress) error {
	begun, err := s.begunPartitions(ctx, st.table)
	if err != nil {
		return err
	}
	for _, p := range begun {
		if _, err := s.dropOrEmpty(ctx, st, p, progress); err != nil {
			return err
		}
	}
	candidates, err := s.wholePartitions(ctx, st)
	if err != nil {
		return err
	}
	for _, p := range candidates {
		if progress.Stopping() {
			return engine.ErrStopped
		}
		at, err := s.dropIfDue(ctx, st, p, progress)
		if err != nil {
			return err
		}
		if at == pending { // then PostgreSQL detaches no other partition of the table
			break
		}
	}
	return nil
}

// dropIfDue drops a partition that is still a part of its table, if all that it holds is due.
func (s *session) dropIfDue(ctx context.Context, st *deleteStep, p partition, progress engine.Progress) (state, error) {
	counts, err := s.count(ctx, st.table.only(p), st.due, nil)
	if err != nil || counts.Records == 0 || counts.Records != counts.Matched {
		return attached, grave(err) // an empty one holds no personal data, and somebody may be about to use it
	}
	if err := s.mark(ctx, p); err != nil {
		return attached, grave(err)
	}
	return s.dropOrEmpty(ctx, st, p, progress)
}

// dropOrEmpty takes a partition that is marked as ours from wherever its detachment has come to until it is gone. Where
// that does not work it deletes the records, and the next attempt finds the mark. It returns where the partition is then.
func (s *session) dropOrEmpty(ctx context.Context, st *deleteStep, p partition, progress engine.Progress) (state, error) {
	for attempt := 1; ; attempt++ {
		if progress.Stopping() {
			return attached, engine.ErrStopped
		}
		err := s.advance(ctx, st, p, progress)
		if err != nil && attempt < detachAttempts && (grave(err) == nil || engine.ReasonOf(err) == receipt.Unreachable) {
			if err := pause(ctx, attempt+2); err != nil {
				return attached, sanitize(err)
			}
			continue // on a new connection, if the old one is lost
		}
		if err := grave(err); err != nil {
			return attached, err
		}
		at, err := s.stateOf(ctx, p)
		switch {
		case err != nil || at == gone:
			return at, err
		case at == attached:
			return at, grave(s.comment(ctx, p, p.mark.Comment))
		}
		return at, st.empty(ctx, st.table.only(p), progress)
	}
}

// advance makes the steps that are left.
func (s *session) advance(ctx context.Context, st *deleteStep, p partition, progress engine.Progress) error {
	for {
		state, err := s.stateOf(ctx, p)
		if err != nil {
			return err
		}
		switch state {
		case gone:
			return nil
		case attached:
			err = s.alter(ctx, "ALTER TABLE "+p.parentName+" DETACH PARTITION "+p.name+" CONCURRENTLY")
		case pending:
			err = s.alter(ctx, "ALTER TABLE "+p.parentName+" DETACH PARTITION "+p.name+" FINALIZE")
		case detached:
			return s.dropDetached(ctx, st, p, progress)
		}
		if err != nil {
			return err
		}
	}
}

// alter runs a statement that cannot stand in a transaction.
func (s *session) alter(ctx context.Context, sql string) error {
	if err := s.ensure(ctx); err != nil {
		return err
	}
	if _, err := s.conn.Exec(ctx, sql); err != nil {
		return sanitize(err)
	}
	return nil
}

// errNotDue says that a partition which was taken out of its table holds a record that is not due.
var errNotDue = &engine.Error{Reason: receipt.RecordsRemain}

// dropDetached drops a table that is no partition any more, after it has counted, under a lock that lets nobody else in,
// that all it holds is due. If not, it becomes a partition again.
func (s *session) dropDetached(ctx context.Context, st *deleteStep, p partition, progress engine.Progress) error {
	empty := false
	_, err := s.batch(ctx, whole{progress}, func(ctx context.Context, tx pgx.Tx) (int64, error) {
		n, err := s.lockAndCount(ctx, tx, st, p)
		if empty = err == nil && n == 0; err != nil || empty {
			return 0, err
		}
		s.witness = s.counting("SELECT CASE WHEN to_regclass($1::text) IS NULL THEN 0 ELSE $2::bigint END", arguments{p.name, n})
		_, err = tx.Exec(ctx, "DROP TABLE "+p.name)
		return n, err
	})
	switch {
	case errors.Is(err, errNotDue):
		return s.reattach(ctx, p)
	case err == nil && empty: // nothing to count, and nothing that a batch would commit
		return s.dropEmpty(ctx, st, p)
	}
	return err
}

// dropEmpty drops a table that is no partition any more and has no records. It holds the lock from the look to the drop:
// somebody may write to the table by its own name.
func (s *session) dropEmpty(ctx context.Context, st *deleteStep, p partition) error {
	return s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		if n, err := s.lockAndCount(ctx, tx, st, p); err != nil || n > 0 {
			return err // what has come meanwhile is deleted like any other
		}
		if _, err := tx.Exec(ctx, "DROP TABLE "+p.name); err != nil {
			return err
		}
		return tx.Commit(ctx)
	})
}

// lockAndCount returns how many records a detached partition has, all of them due.
func (s *session) lockAndCount(ctx context.Context, tx pgx.Tx, st *deleteStep, p partition) (int64, error) {
	timeout := milliseconds(s.in.Plan.Limits.ScanTimeoutMilliseconds)
	if _, err := tx.Exec(ctx, "SELECT set_config('statement_timeout', $1, true)", timeout); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, "LOCK TABLE ONLY "+p.name+" IN ACCESS EXCLUSIVE MODE"); err != nil {
		return 0, err
	}
	var same bool
	err := tx.QueryRow(ctx, `
		SELECT $1::text::regclass = $2::oid AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_inherits i WHERE i.inhrelid = $2::oid OR i.inhparent = $2::oid)`,
		p.name, p.oid).Scan(&same)
	if err != nil {
		return 0, err
	}
	if !same {
		return 0, engine.Fail(receipt.TableNotFound, p.name)
	}
	sql, a := countSQL(st.table.only(p), st.due, nil)
	counts, err := st.due.counts(tx.QueryRow(ctx, sql, a...))
	if err != nil {
		return 0, err
	}
	if counts.Records != counts.Matched {
		return 0, errNotDue
	}
	return counts.Records, nil
}

// whole tells progress that what is committed is a partition.
type whole struct{ engine.Progress }

// Committed tells of one partition.
func (w whole) Committed(n int64, _ int32) { w.Progress.Committed(n, 1) }

// empty deletes the due records of one table without asking what else could be done.
func (st *deleteStep) empty(ctx context.Context, t *table, progress engine.Progress) error {
	w := &sweep{s: st.s, progress: progress, rule: st.due.rule, statement: st.statement}
	return w.run(ctx, areasOf(t, func(leaf) bool { return true }))
}

// droppable says whether dropping a partition does to its records what deleting them one by one would do: nothing refers to
// them, nothing is told of a deletion, and no obligation or other table has a say in what is due.
func (st *deleteStep) droppable() bool {
	t := st.table
	return st.step.Action == plan.Delete && t.partitioned && st.due.rule.own() && len(st.due.obligations) == 0 &&
		len(t.inbound) == 0 && len(t.deleteTriggers) == 0 && len(t.deleteRules) == 0
}

// only is the table as if it had but this partition.
func (t *table) only(p partition) *table {
	one := *t
	one.oid, one.name, one.schema, one.relation, one.partitioned = p.oid, p.name, p.schema, p.relation, false
	one.leaves = []leaf{{oid: p.oid, name: p.name, deletable: true, records: -1, leading: map[string]bool{}}}
	return &one
}

// grave returns err if it ends the whole pass, and nil if it only keeps one partition from being dropped: its records can be
// deleted nevertheless.
func grave(err error) error {
	if err == nil || local(err) {
		return nil
	}
	switch engine.ReasonOf(err) {
	case receipt.Unreachable, receipt.Interrupted, receipt.IdentityChanged, receipt.WriterActive:
		return err
	}
	if errors.Is(err, engine.ErrStopped) {
		return err
	}
	return nil
}

// forBegun calls do for each partition that was taken out of the table and not dropped: its records are the table's still.
func (st *deleteStep) forBegun(ctx context.Context, do func(*table) error) error {
	begun, err := st.s.begunPartitions(ctx, st.table)
	for _, p := range begun {
		if err == nil {
			err = do(st.table.only(p))
		}
	}
	return err
}

// plus adds up the counts of two parts of a table.
func plus(a, b engine.Counts) engine.Counts {
	return engine.Counts{
		Records: a.Records + b.Records, Matched: a.Matched + b.Matched, Retained: a.Retained + b.Retained, Held: a.Held + b.Held,
		Undated: a.Undated + b.Undated, Invalid: a.Invalid + b.Invalid, Oldest: older(a.Oldest, b.Oldest),
	}
}

func older(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.Before(*a) {
		return b
	}
	return a
}
