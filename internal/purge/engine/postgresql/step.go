// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// Prepare looks at the tables that a step needs. See engine.Session; the reasons are TableNotFound, FieldNotFound,
// TypeNotSupported, KeyNotUnique, PermissionDenied and RowLevelSecurity.
func (s *session) Prepare(ctx context.Context, index int) (engine.Step, error) {
	step := s.in.Plan.Steps[index]
	t, err := s.lookup(ctx, step.Path)
	if err != nil {
		return nil, err
	}
	for _, l := range t.leaves {
		if l.foreign {
			return nil, engine.Fail(receipt.TypeNotSupported, l.name)
		}
	}
	due, err := s.resolveDue(ctx, step, t)
	if err != nil {
		return nil, err
	}
	if err := s.plannable(ctx, step, t, due); err != nil {
		return nil, err
	}
	switch step.Action {
	case plan.Delete:
		return s.prepareDelete(ctx, step, t, due)
	case plan.Anonymize:
		return s.prepareAnonymize(ctx, step, t, due)
	}
	return nil, engine.Fail(receipt.PlanRefused, string(step.Action))
}

// plannable lets the server plan the count: rights are missing, and types cannot be compared, before anything is changed.
func (s *session) plannable(ctx context.Context, step plan.Step, t *table, due predicate) error {
	return s.scan(ctx, func(ctx context.Context, tx pgx.Tx) error {
		sql, a := countSQL(t, due, nil)
		err := explain(ctx, tx, sql, a)
		var server *pgconn.PgError
		if errors.As(err, &server) && server.Code == "42883" { // undefined_function: a reference of one type, a key of another
			return &engine.Error{Reason: receipt.TypeNotSupported, Object: step.Path, Code: server.Code}
		}
		return err
	})
}

// explain asks the server to plan a statement, so that one that cannot be run fails before anything is changed.
func explain(ctx context.Context, tx pgx.Tx, sql string, a arguments) error {
	_, err := tx.Exec(ctx, "EXPLAIN "+sql, a...)
	return err
}

// deleteStep deletes the due records of one table.
type deleteStep struct {
	s     *session
	step  plan.Step
	table *table
	due   predicate
	// keys are the foreign keys whose children keep a record.
	keys   []foreignKey
	counts engine.Counts
}

func (s *session) prepareDelete(ctx context.Context, step plan.Step, t *table, due predicate) (engine.Step, error) {
	st := &deleteStep{s: s, step: step, table: t, due: due}
	protected, err := s.protectedTables(ctx)
	if err != nil {
		return nil, err
	}
	st.keys = t.blocking(protected)
	if s.in.Plan.Mode == plan.Enforce {
		if err := unreadable(st.keys); err != nil {
			return nil, err
		}
	}
	return st, nil
}

// refresh looks at the table again: partitions come and go while a run goes on.
func (st *deleteStep) refresh(ctx context.Context) error {
	t, err := st.s.lookup(ctx, st.step.Path)
	if err != nil {
		return err
	}
	if t.oid != st.table.oid { // somebody put another table in its place
		return engine.Fail(receipt.TableNotFound, st.step.Path)
	}
	if st.due.held, err = st.s.heldIn(ctx, t); err != nil {
		return err
	}
	fresh, err := st.s.prepareDelete(ctx, st.step, t, st.due)
	if err != nil {
		return err
	}
	st.table, st.keys = t, fresh.(*deleteStep).keys
	return nil
}

// Count counts in one scan. Every record is in at most one of Matched, Retained, Held, Undated and Invalid.
func (st *deleteStep) Count(ctx context.Context) (engine.Counts, error) {
	counts, err := st.s.count(ctx, st.table, st.due, nil)
	if err == nil {
		err = st.forBegun(ctx, func(t *table) error {
			more, err := st.s.count(ctx, t, st.due, nil)
			counts = plus(counts, more)
			return err
		})
	}
	st.counts = counts
	return counts, err
}

func (s *session) count(ctx context.Context, t *table, due predicate, transforms []transform) (engine.Counts, error) {
	var counts engine.Counts
	err := s.scan(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		sql, a := countSQL(t, due, transforms)
		counts, err = due.counts(tx.QueryRow(ctx, sql, a...))
		return err
	})
	return counts, err
}

// countSQL counts all, due, retained, held, undated and invalid records, and finds the oldest of those that are due. A record
// that no transform would change is not due.
func countSQL(t *table, due predicate, transforms []transform) (string, arguments) {
	var a arguments
	j := due.join(t, &a)
	changes := "true"
	if transforms != nil {
		changes = changesOf(transforms, &a)
	}
	return `
		SELECT count(*), count(*) FILTER (WHERE expired AND free AND NOT held AND changes),
		       count(*) FILTER (WHERE expired AND free IS NOT TRUE), count(*) FILTER (WHERE expired AND free AND held AND changes),
		       count(*) FILTER (WHERE start IS NULL AND dangling IS NOT TRUE),
		       count(*) FILTER (WHERE dangling OR start IS NOT NULL AND plausible IS NOT TRUE),
		       ` + due.rule.readable("min(start) FILTER (WHERE expired AND free AND NOT held AND changes)") + `
		FROM (SELECT ` + j.start + ` AS start, ` + j.expired + ` AS expired, ` + j.free + ` AS free, ` + j.held + ` AS held, ` + j.dangling + ` AS dangling, ` +
		due.rule.plausible(j.start, &a) + ` AS plausible, ` + changes + ` AS changes FROM ` + j.from + `) AS records`, a
}

// counts reads what countSQL returns.
func (p predicate) counts(row pgx.Row) (engine.Counts, error) {
	var c engine.Counts
	var oldest any
	err := row.Scan(&c.Records, &c.Matched, &c.Retained, &c.Held, &c.Undated, &c.Invalid, &oldest)
	c.Oldest = p.rule.instant(oldest)
	return c, err
}
