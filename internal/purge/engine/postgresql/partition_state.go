// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// partition is a partition that is, or was, on its way out of a table.
type partition struct {
	oid                    uint32
	name, schema, relation string // name is quoted and qualified
	parent                 uint32
	parentName             string // quoted and qualified
	mark                   mark
}

// mark is what the comment on a partition says from just before its detachment on, so that whoever finds the table later
// knows what it was. From and To are the bounds, nil for MINVALUE; Comment is the comment that was there before.
type mark struct {
	Parent  uint32  `json:"parent"`
	From    *string `json:"from"`
	To      *string `json:"to"`
	Run     string  `json:"run"`
	Comment *string `json:"comment,omitempty"`
}

// markPrefix begins the comment.
const markPrefix = "dataretention.dev/detached "

// state is how far a partition's way out has come.
type state int

const (
	attached state = iota
	pending        // DETACH CONCURRENTLY was interrupted
	detached
	gone
)

func (s *session) stateOf(ctx context.Context, p partition) (state, error) {
	at := gone
	err := s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var under *uint32
		var isPending *bool
		err := conn.QueryRow(ctx, `
			SELECT i.inhparent, i.inhdetachpending FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
			WHERE c.oid = $1`, p.oid).Scan(&under, &isPending)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			at = gone
			return nil
		case err != nil:
			return err
		case under == nil:
			at = detached
		case *under != p.parent: // somebody gave it another place
			at = gone
		case *isPending:
			at = pending
		default:
			at = attached
		}
		return nil
	})
	return at, err
}

// begunPartitions finds the partitions of a table that an earlier attempt marked and did not drop. They still hold records
// of the table, though the table does not show them. One that is still attached, or is again, is an ordinary partition.
//
// A mark is believed only on a table of the owner of the table that it names: nobody else may hand us a table.
func (s *session) begunPartitions(ctx context.Context, t *table) ([]partition, error) {
	if !t.partitioned {
		return nil, nil
	}
	var found []partition
	err := s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		found = nil
		rows, err := conn.Query(ctx, treeOf+`
			SELECT c.oid, n.nspname, c.relname, d.description, p.oid, pn.nspname, p.relname
			FROM pg_catalog.pg_description d
			JOIN pg_catalog.pg_class c ON c.oid = d.objoid AND c.relkind = 'r'
			JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			JOIN tree ON tree.oid::text = substring(d.description FROM '"parent":([0-9]+)')
			JOIN pg_catalog.pg_class p ON p.oid = tree.oid AND p.relkind = 'p' AND p.relowner = c.relowner
			JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
			LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
			WHERE d.classoid = 'pg_catalog.pg_class'::regclass AND d.objsubid = 0 AND starts_with(d.description, $2)
			  AND (i.inhrelid IS NULL OR i.inhparent = p.oid AND i.inhdetachpending)
			ORDER BY c.oid`, t.oid, markPrefix)
		if err != nil {
			return err
		}
		var p partition
		var text, parentSchema, parentRelation string
		_, err = pgx.ForEachRow(rows, []any{&p.oid, &p.schema, &p.relation, &text, &p.parent, &parentSchema, &parentRelation}, func() error {
			p.name = pgx.Identifier{p.schema, p.relation}.Sanitize()
			p.parentName = pgx.Identifier{parentSchema, parentRelation}.Sanitize()
			if m, ok := readMark(text); ok && m.Parent == p.parent {
				p.mark = m
				found = append(found, p)
			}
			return nil
		})
		return err
	})
	return found, err
}

// wholePartitions finds the partitions that lie wholly before the cutoff and that we may drop: ranges of the rule's own
// field, of a table without a default partition (which forbids DETACH CONCURRENTLY), both ours, with no view or function
// that needs them. A trigger that is told of deletions, and a subscriber of a publication, would not hear of a drop.
func (s *session) wholePartitions(ctx context.Context, st *deleteStep) ([]partition, error) {
	if !st.droppable() {
		return nil, nil
	}
	var found []partition
	err := s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		found = nil
		rows, err := conn.Query(ctx, treeOf+`
			SELECT c.oid, n.nspname, c.relname, p.oid, pn.nspname, p.relname, pg_catalog.pg_get_expr(c.relpartbound, c.oid),
			       pg_catalog.obj_description(c.oid, 'pg_class')
			FROM tree
			JOIN pg_catalog.pg_partitioned_table k ON k.partrelid = tree.oid AND k.partstrat = 'r' AND k.partnatts = 1 AND k.partdefid = 0
			JOIN pg_catalog.pg_attribute a ON a.attrelid = tree.oid AND a.attnum = k.partattrs[0] AND a.attname = $2
			JOIN pg_catalog.pg_class p ON p.oid = tree.oid
			JOIN pg_catalog.pg_namespace pn ON pn.oid = p.relnamespace
			JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid AND NOT i.inhdetachpending
			JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid AND c.relkind = 'r' AND c.relowner = p.relowner
			JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			WHERE pg_has_role(p.relowner, 'USAGE') AND has_schema_privilege(n.oid, 'USAGE') AND NOT EXISTS (
				SELECT 1 FROM pg_catalog.pg_depend d
				WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid AND d.deptype = 'n'
				  AND d.classid IN ('pg_catalog.pg_rewrite'::regclass, 'pg_catalog.pg_proc'::regclass))
			  AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & 8 <> 0)
			  AND NOT EXISTS (
				SELECT 1 FROM pg_catalog.pg_publication_tables pt JOIN pg_catalog.pg_publication pb ON pb.pubname = pt.pubname AND pb.pubdelete
				WHERE pt.schemaname || '.' || pt.tablename IN (
					SELECT an.nspname || '.' || ac.relname FROM pg_catalog.pg_partition_ancestors(c.oid) u(relid)
					JOIN pg_catalog.pg_class ac ON ac.oid = u.relid JOIN pg_catalog.pg_namespace an ON an.oid = ac.relnamespace))
			ORDER BY c.oid`, st.table.oid, st.due.rule.column.name)
		if err != nil {
			return err
		}
		var p partition
		var bound, parentSchema, parentRelation string
		var comment *string
		_, err = pgx.ForEachRow(rows, []any{&p.oid, &p.schema, &p.relation, &p.parent, &parentSchema, &parentRelation, &bound, &comment}, func() error {
			p.name = pgx.Identifier{p.schema, p.relation}.Sanitize()
			p.parentName = pgx.Identifier{parentSchema, parentRelation}.Sanitize()
			p.mark = mark{Parent: p.parent, Run: s.in.Plan.Run, Comment: previousComment(comment)}
			var ok bool
			if p.mark.From, p.mark.To, ok = rangeOf(bound); ok && p.mark.To != nil {
				found = append(found, p)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return s.keepExpired(ctx, conn, st, &found)
	})
	return found, err
}

// keepExpired keeps those whose upper bound, which is exclusive, is not beyond the last value that is due.
func (s *session) keepExpired(ctx context.Context, conn *pgx.Conn, st *deleteStep, found *[]partition) error {
	rule := st.due.rule
	step := map[string]string{"timestamptz": "interval '1 microsecond'", "timestamp": "interval '1 microsecond'"}[rule.cast]
	if step == "" {
		step = "1"
	}
	if rule.cast == "numeric" {
		step = "0"
	}
	var kept []partition
	for _, p := range *found {
		var a arguments
		sql := "SELECT " + a.add(*p.mark.To, "text") + "::" + rule.cast + " <= " + a.add(rule.last, rule.cast) + " + " + step
		var expired bool
		if err := conn.QueryRow(ctx, sql, a...).Scan(&expired); err != nil {
			return err
		}
		if expired {
			kept = append(kept, p)
		}
	}
	*found = kept
	return nil
}

var rangeBound = regexp.MustCompile(`^FOR VALUES FROM \((.*)\) TO \((.*)\)$`)

// rangeOf reads the bounds of a range over one column, as PostgreSQL renders them: quoted or a bare number; nil for
// MINVALUE and MAXVALUE. ok is false for anything else, such as the default partition.
func rangeOf(bound string) (from, to *string, ok bool) {
	match := rangeBound.FindStringSubmatch(bound)
	if match == nil {
		return nil, nil, false
	}
	value := func(text string) *string {
		if text == "MINVALUE" || text == "MAXVALUE" {
			return nil
		}
		if strings.HasPrefix(text, "'") {
			text = strings.ReplaceAll(strings.Trim(text, "'"), "''", "'")
		}
		return &text
	}
	return value(match[1]), value(match[2]), true
}

// previousComment is the comment that a person wrote.
func previousComment(comment *string) *string {
	if comment == nil || !strings.HasPrefix(*comment, markPrefix) {
		return comment
	}
	m, _ := readMark(*comment)
	return m.Comment
}

// readMark reads a comment. ok is false for one that we did not write.
func readMark(comment string) (m mark, ok bool) {
	text, ok := strings.CutPrefix(comment, markPrefix)
	return m, ok && json.Unmarshal([]byte(text), &m) == nil
}

// mark writes the mark, before anything else is done to the partition.
func (s *session) mark(ctx context.Context, p partition) error {
	b, err := json.Marshal(p.mark)
	if err != nil {
		return engine.Fail(receipt.InternalError, p.relation)
	}
	text := markPrefix + string(b)
	return s.comment(ctx, p, &text)
}

func (s *session) comment(ctx context.Context, p partition, text *string) error {
	return s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error { return comment(ctx, conn, p, text) })
}

// comment writes or removes the comment of a table. The statement knows no parameters, so the server quotes the text.
func comment(ctx context.Context, conn querier, p partition, text *string) error {
	var sql string
	if err := conn.QueryRow(ctx, "SELECT pg_catalog.format('COMMENT ON TABLE "+strings.ReplaceAll(strings.ReplaceAll(p.name, "'", "''"), "%", "%%")+
		" IS %s', pg_catalog.quote_nullable($1::text))", text).Scan(&sql); err != nil {
		return err
	}
	_, err := conn.Exec(ctx, sql)
	return err
}

// querier is a connection or a transaction on it.
type querier interface {
	QueryRow(context.Context, string, ...any) pgx.Row
	Exec(context.Context, string, ...any) (pgconn.CommandTag, error)
}

// reattach makes a table the partition again that its mark says it was.
func (s *session) reattach(ctx context.Context, p partition) error {
	return s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		var from, to string
		if err := tx.QueryRow(ctx, "SELECT coalesce(pg_catalog.quote_literal($1::text), 'MINVALUE'), coalesce(pg_catalog.quote_literal($2::text), 'MAXVALUE')",
			p.mark.From, p.mark.To).Scan(&from, &to); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "ALTER TABLE "+p.parentName+" ATTACH PARTITION "+p.name+" FOR VALUES FROM ("+from+") TO ("+to+")"); err != nil {
			return err
		}
		if err := comment(ctx, tx, p, p.mark.Comment); err != nil {
			return err
		}
		return tx.Commit(ctx)
	})
}
