// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// table is what the catalog says of one table: a plain one, a partitioned one, or one that others inherit from.
type table struct {
	oid uint32
	// name is quoted and qualified with the schema, schema and relation are not.
	name, schema, relation string
	partitioned            bool
	columns                map[string]column
	// unique are the columns that a unique index of one column covers, so that a value names at most one record.
	unique map[string]bool
	// leaves hold the records: the table itself, its partitions, or whatever inherits from it.
	leaves []leaf
	// inbound are the foreign keys of other tables, or of the table itself, that refer to it.
	inbound []foreignKey
	// triggers of deletes and updates of rows, and rewrite rules; of the table and of its leaves.
	deleteTriggers, updateTriggers, deleteRules, updateRules []string
}

// column is one column of a table.
type column struct {
	name string
	// base is the internal name of the type, or of the type beneath a domain: timestamptz, int4. declared is what a
	// person would write: timestamp(3) with time zone.
	base, declared string
	notNull        bool
	// generated columns cannot be written.
	generated bool
	// collation is quoted and qualified; empty for a type that has none.
	collation string
}

// leaf is a relation that holds records.
type leaf struct {
	oid  uint32
	name string
	// foreign is true for a table of another server.
	foreign bool
	// deletable and updatable say that we may do so on the leaf itself, as a right on the table alone does not allow.
	deletable, updatable bool
	// leading are the columns that a usable B-tree index of the leaf starts with.
	leading map[string]bool
	// pages and records are what the planner believes; records is -1 before the first ANALYZE.
	pages   int64
	records float64
}

// splitPath splits a Plan's path, `table` or `schema.table`, in which a part may stand in double quotes. schema is empty
// where the path has none.
func splitPath(path string) (schema, relation string, ok bool) {
	var parts []string
	for rest := path; ; {
		var part string
		if strings.HasPrefix(rest, `"`) {
			closed := false
			var b strings.Builder
			i := 1
			for ; i < len(rest) && !closed; i++ {
				switch {
				case rest[i] != '"':
					b.WriteByte(rest[i])
				case i+1 < len(rest) && rest[i+1] == '"':
					b.WriteByte('"')
					i++
				default:
					closed = true
				}
			}
			if !closed {
				return "", "", false
			}
			part, rest = b.String(), rest[i:]
		} else {
			end := strings.IndexByte(rest, '.')
			if end < 0 {
				end = len(rest)
			}
			part, rest = rest[:end], rest[end:]
		}
		if part == "" {
			return "", "", false
		}
		parts = append(parts, part)
		if rest == "" {
			break
		}
		if rest[0] != '.' {
			return "", "", false
		}
		rest = rest[1:]
	}
	switch len(parts) {
	case 1:
		return "", parts[0], true
	case 2:
		return parts[0], parts[1], true
	}
	return "", "", false
}

// treeOf lists a table's OID and those of everything beneath it. A partition whose detachment is under way no longer
// belongs to it.
const treeOf = `
	WITH RECURSIVE tree AS (
		SELECT $1::oid AS oid
		UNION
		SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_inherits i ON i.inhparent = tree.oid WHERE NOT i.inhdetachpending)`

// find resolves a path to a table's OID, or 0 if there is no such table. A path without a schema is looked up in the
// search_path, as every other client of the database would.
func find(ctx context.Context, conn *pgx.Conn, path string) (oid uint32, kind string, err error) {
	schema, relation, ok := splitPath(path)
	if !ok {
		return 0, "", nil
	}
	err = conn.QueryRow(ctx, `
		SELECT c.oid, c.relkind::text
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relname = $2 AND (n.nspname = $1 OR $1 = '' AND pg_catalog.pg_table_is_visible(c.oid))`,
		schema, relation).Scan(&oid, &kind)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, "", nil
	}
	return oid, kind, err
}

// lookup reads what the catalog says of the table at a Plan's path. An *Error with TableNotFound says that there is none,
// or that it is a view or something else that is no table.
func (s *session) lookup(ctx context.Context, path string) (*table, error) {
	var t *table
	err := s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		oid, kind, err := find(ctx, conn, path)
		if err != nil {
			return err
		}
		if oid == 0 || kind != "r" && kind != "p" {
			return engine.Fail(receipt.TableNotFound, path)
		}
		t = &table{oid: oid, partitioned: kind == "p"}
		for _, load := range []func(context.Context, *pgx.Conn) error{
			t.loadName, t.loadColumns, t.loadLeaves, t.loadUnique, t.loadForeignKeys, t.loadTriggers,
		} {
			if err := load(ctx, conn); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return t, nil
}

func (t *table) loadName(ctx context.Context, conn *pgx.Conn) error {
	err := conn.QueryRow(ctx, `
		SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid = $1`, t.oid).Scan(&t.schema, &t.relation)
	t.name = pgx.Identifier{t.schema, t.relation}.Sanitize()
	return err
}

func (t *table) loadColumns(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `
		SELECT a.attname, b.typname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated <> '',
		       coalesce(n.nspname, ''), coalesce(l.collname, '')
		FROM pg_catalog.pg_attribute a
		CROSS JOIN LATERAL (
			WITH RECURSIVE base AS (
				SELECT ty.oid, ty.typname, ty.typtype, ty.typbasetype FROM pg_catalog.pg_type ty WHERE ty.oid = a.atttypid
				UNION ALL
				SELECT ty.oid, ty.typname, ty.typtype, ty.typbasetype
				FROM base JOIN pg_catalog.pg_type ty ON ty.oid = base.typbasetype WHERE base.typtype = 'd')
			SELECT typname FROM base WHERE typtype <> 'd') b
		LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
		LEFT JOIN pg_catalog.pg_namespace n ON n.oid = l.collnamespace
		WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped`, t.oid)
	if err != nil {
		return err
	}
	t.columns = map[string]column{}
	var c column
	var schema, collation string
	_, err = pgx.ForEachRow(rows, []any{&c.name, &c.base, &c.declared, &c.notNull, &c.generated, &schema, &collation}, func() error {
		if c.collation = ""; collation != "" {
			c.collation = pgx.Identifier{schema, collation}.Sanitize()
		}
		t.columns[c.name] = c
		return nil
	})
	return err
}

func (t *table) loadLeaves(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, treeOf+`
		SELECT c.oid, n.nspname, c.relname, c.relkind = 'f',
		       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'DELETE') AND NOT row_security_active(c.oid),
		       has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'UPDATE') AND NOT row_security_active(c.oid),
		       c.relpages::bigint, c.reltuples::float8, ARRAY(
			SELECT DISTINCT a.attname::text
			FROM pg_catalog.pg_index i
			JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
			JOIN pg_catalog.pg_am m ON m.oid = x.relam AND m.amname = 'btree'
			JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
			WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL)
		FROM tree JOIN pg_catalog.pg_class c USING (oid) JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'f')
		ORDER BY c.oid`, t.oid)
	if err != nil {
		return err
	}
	t.leaves = nil
	var l leaf
	var schema, relation string
	var leading []string
	into := []any{&l.oid, &schema, &relation, &l.foreign, &l.deletable, &l.updatable, &l.pages, &l.records, &leading}
	_, err = pgx.ForEachRow(rows, into, func() error {
		l.name = pgx.Identifier{schema, relation}.Sanitize()
		l.leading = map[string]bool{}
		for _, c := range leading {
			l.leading[c] = true
		}
		t.leaves = append(t.leaves, l)
		return nil
	})
	return err
}

// loadUnique reads the columns that are unique over all leaves: not those of a table that others inherit from.
func (t *table) loadUnique(ctx context.Context, conn *pgx.Conn) error {
	var names []string
	err := conn.QueryRow(ctx, `
		SELECT ARRAY(
			SELECT a.attname::text
			FROM pg_catalog.pg_index i
			JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
			WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indnkeyatts = 1 AND i.indpred IS NULL)`,
		t.oid).Scan(&names)
	t.unique = map[string]bool{}
	if t.partitioned || len(t.leaves) == 1 {
		for _, name := range names {
			t.unique[name] = true
		}
	}
	return err
}

func (t *table) loadTriggers(ctx context.Context, conn *pgx.Conn) error {
	return conn.QueryRow(ctx, treeOf+`,
		triggers AS (
			SELECT g.tgname::text AS name, g.tgtype::int AS type FROM tree JOIN pg_catalog.pg_trigger g ON g.tgrelid = tree.oid
			WHERE NOT g.tgisinternal AND g.tgenabled <> 'D'),
		rules AS (
			SELECT r.rulename::text AS name, r.ev_type::text AS event FROM tree JOIN pg_catalog.pg_rewrite r ON r.ev_class = tree.oid
			WHERE r.ev_enabled <> 'D')
		SELECT ARRAY(SELECT DISTINCT name FROM triggers WHERE type & 1 <> 0 AND type & 8 <> 0 ORDER BY name),
		       ARRAY(SELECT DISTINCT name FROM triggers WHERE type & 1 <> 0 AND type & 16 <> 0 ORDER BY name),
		       ARRAY(SELECT DISTINCT name FROM rules WHERE event = '4' ORDER BY name),
		       ARRAY(SELECT DISTINCT name FROM rules WHERE event = '2' ORDER BY name)`,
		t.oid).Scan(&t.deleteTriggers, &t.updateTriggers, &t.deleteRules, &t.updateRules)
}

// column returns the column with the name, or an *Error with FieldNotFound.
func (t *table) column(name string) (column, error) {
	c, ok := t.columns[name]
	if !ok {
		return column{}, engine.Fail(receipt.FieldNotFound, t.relation+"."+name)
	}
	return c, nil
}

// indexed says whether every leaf has an index that starts with the column.
func (t *table) indexed(name string) bool {
	return !slices.ContainsFunc(t.leaves, func(l leaf) bool { return !l.leading[name] })
}

// equal renders the comparison of two columns for equality. Where their collations differ, that of a decides, so that an
// index on a can be used.
func equal(aliasA string, a column, aliasB string, b column) string {
	text := quoted(aliasA, a.name) + " = " + quoted(aliasB, b.name)
	if a.collation != "" && b.collation != "" && a.collation != b.collation {
		text += " COLLATE " + a.collation
	}
	return text
}

// quoted renders a column of an alias.
func quoted(alias, name string) string { return alias + "." + pgx.Identifier{name}.Sanitize() }
