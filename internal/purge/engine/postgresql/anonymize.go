// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// anonymizeStep rewrites fields of the due records of one table. Only a record that a transform would still change
// counts as due.
type anonymizeStep struct {
	s          *session
	step       plan.Step
	table      *table
	due        predicate
	transforms []transform
	// direct says that leaves may be written themselves: we have the rights, and no record moves to another leaf.
	direct bool
	counts engine.Counts
	// What the last pass met: constraints and columns that kept records as they were, an objection of a trigger, and
	// values that were not understood.
	violated      []string
	objected      bool
	misunderstood bool
}

func (s *session) prepareAnonymize(ctx context.Context, step plan.Step, t *table, due predicate) (engine.Step, error) {
	st, err := s.newAnonymize(ctx, step, t)
	if err != nil {
		return nil, err
	}
	st.due = due
	return st, s.scan(ctx, func(ctx context.Context, tx pgx.Tx) error {
		sql, a := countSQL(t, due, st.transforms)
		return explain(ctx, tx, sql, a) // what cannot be compared fails before anything is changed
	})
}

// newAnonymize resolves the transforms of a step.
func (s *session) newAnonymize(ctx context.Context, step plan.Step, t *table) (*anonymizeStep, error) {
	st := &anonymizeStep{s: s, step: step, table: t}
	facts, err := s.columnFacts(ctx, t, step.Transforms)
	if err != nil {
		return nil, err
	}
	for _, tr := range step.Transforms {
		c, err := t.column(tr.Field)
		if err != nil {
			return nil, err
		}
		fact := facts[tr.Field]
		switch {
		case c.generated || fact.identity:
			return nil, engine.Fail(receipt.TypeNotSupported, c.name)
		case fact.reference != "": // our change would go on into another table
			return nil, engine.Fail(receipt.ForeignKeyBlocks, fact.reference)
		case !fact.writable && s.in.Plan.Mode == plan.Enforce:
			return nil, engine.Fail(receipt.PermissionDenied, c.name)
		}
		resolved, err := s.resolveTransform(ctx, tr, c, fact.limit)
		if err != nil {
			return nil, err
		}
		st.transforms = append(st.transforms, resolved)
	}
	st.direct = !slices.ContainsFunc(step.Transforms, func(tr plan.Transform) bool {
		return !facts[tr.Field].direct || facts[tr.Field].partitionKey
	})
	return st, nil
}

// columnFact is what matters of a column that is rewritten.
type columnFact struct {
	// identity columns are always generated.
	identity bool
	// writable says that we may update the column, direct that we may in every leaf, where no policy hides records.
	writable, direct bool
	// limit is how many characters it holds, 0 for any number.
	limit int
	// partitionKey says that its value decides which partition a record is in.
	partitionKey bool
	// reference is a foreign key that passes a change of the column on to another table.
	reference string
}

func (s *session) columnFacts(ctx context.Context, t *table, transforms []plan.Transform) (map[string]columnFact, error) {
	var names []string
	for _, tr := range transforms {
		names = append(names, tr.Field)
	}
	facts := map[string]columnFact{}
	err := s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, treeOf+`,
			leaf AS (SELECT c.oid, c.relnamespace FROM tree JOIN pg_catalog.pg_class c USING (oid) WHERE c.relkind = 'r')
			SELECT a.attname, a.attidentity = 'a', has_column_privilege(a.attrelid, a.attnum, 'UPDATE'),
			       NOT EXISTS (SELECT 1 FROM leaf JOIN pg_catalog.pg_attribute l ON l.attrelid = leaf.oid AND l.attname = a.attname
			                   WHERE NOT has_column_privilege(leaf.oid, l.attnum, 'UPDATE') OR NOT has_table_privilege(leaf.oid, 'SELECT')
			                      OR NOT has_schema_privilege(leaf.relnamespace, 'USAGE') OR row_security_active(leaf.oid)),
			       (WITH RECURSIVE base AS (
			            SELECT a.atttypid AS type, a.atttypmod AS mod
			            UNION ALL
			            SELECT y.typbasetype, CASE WHEN base.mod >= 0 THEN base.mod ELSE y.typtypmod END
			            FROM base JOIN pg_catalog.pg_type y ON y.oid = base.type WHERE y.typtype = 'd')
			        SELECT CASE WHEN type IN ('varchar'::regtype, 'bpchar'::regtype) AND mod > 4 THEN mod - 4 ELSE 0 END
			        FROM base WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_type y WHERE y.oid = base.type AND y.typtype = 'd')),
			       EXISTS (SELECT 1 FROM tree JOIN pg_catalog.pg_partitioned_table k ON k.partrelid = tree.oid
			               JOIN pg_catalog.pg_attribute p ON p.attrelid = k.partrelid AND p.attname = a.attname
			               WHERE p.attnum = ANY (k.partattrs) OR k.partexprs IS NOT NULL),
			       coalesce((SELECT min(f.conname) FROM tree JOIN pg_catalog.pg_constraint f ON f.confrelid = tree.oid AND f.contype = 'f'
			                 JOIN pg_catalog.pg_attribute p ON p.attrelid = tree.oid AND p.attname = a.attname
			                 WHERE f.confupdtype IN ('c', 'n', 'd') AND p.attnum = ANY (f.confkey)), '')
			FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1 AND a.attname = ANY ($2) AND NOT a.attisdropped`, t.oid, names)
		if err != nil {
			return err
		}
		var name string
		var f columnFact
		_, err = pgx.ForEachRow(rows, []any{&name, &f.identity, &f.writable, &f.direct, &f.limit, &f.partitionKey, &f.reference}, func() error {
			facts[name] = f
			return nil
		})
		return err
	})
	return facts, err
}

// changesOf renders the condition that one of transforms would change the record of alias t.
func changesOf(transforms []transform, a *arguments) string {
	var one []string
	for _, tr := range transforms {
		one = append(one, tr.changes(quoted("t", tr.column.name), a))
	}
	return "(" + strings.Join(one, " OR ") + ")"
}

// possible are the transforms that the columns can take.
func (st *anonymizeStep) possible() []transform {
	return slices.DeleteFunc(slices.Clone(st.transforms), func(tr transform) bool { return tr.impossible })
}

// Count counts in one scan. Every record is in at most one of Matched, Retained, Held, Undated and Invalid.
func (st *anonymizeStep) Count(ctx context.Context) (engine.Counts, error) {
	counts, err := st.s.count(ctx, st.table, st.due, st.transforms)
	st.counts = counts
	return counts, err
}

// Verify counts what is due and would still change. What keeps it is what the last pass met.
func (st *anonymizeStep) Verify(ctx context.Context) (engine.Leftover, error) {
	if err := st.refresh(ctx); err != nil {
		return engine.Leftover{}, err
	}
	counts, err := st.Count(ctx)
	left := engine.Leftover{Remaining: counts.Matched, Oldest: counts.Oldest}
	switch {
	case err != nil || left.Remaining == 0:
	case len(st.violated) > 0:
		left.Reason, left.Constraints = receipt.ConstraintViolated, st.violated
	case st.misunderstood:
		left.Reason = receipt.ValueNotUnderstood
	case st.objected || len(st.table.updateTriggers)+len(st.table.updateRules) > 0:
		left.Reason = receipt.TriggerBlocks
	}
	return left, err
}

// refresh looks at the table again: partitions come and go while a run goes on.
func (st *anonymizeStep) refresh(ctx context.Context) error {
	t, err := st.s.lookup(ctx, st.step.Path)
	if err != nil {
		return err
	}
	if t.oid != st.table.oid { // somebody put another table in its place
		return engine.Fail(receipt.TableNotFound, st.step.Path)
	}
	st.table = t
	st.due.held, err = st.s.heldIn(ctx, t)
	return err
}
