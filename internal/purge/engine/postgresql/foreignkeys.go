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

// onDelete is what a foreign key does to the records that refer to one that is deleted (pg_constraint.confdeltype).
type onDelete byte

const (
	noAction   onDelete = 'a'
	restrict   onDelete = 'r'
	cascade    onDelete = 'c'
	setNull    onDelete = 'n'
	setDefault onDelete = 'd'
)

// foreignKey is a constraint of a child that refers to the table at hand.
type foreignKey struct {
	name string
	// child is the referring table; childTree are its OID and those of the partitioned tables that it is a part of, or that
	// are parts of it.
	child     uint32
	childName string // quoted and qualified
	childPath string // schema.table, for a message
	childTree []uint32
	// from are the child's columns, to the table's, in the same order.
	from, to []column
	onDelete onDelete
	// indexed says that an index of the child starts with the first of its columns.
	indexed bool
	// readable says that we may read the child.
	readable bool
	// self says that the child is the table itself.
	self bool
	// only are the leaves that the key refers to if those are not all leaves of the table.
	only []uint32
	// spared are records of the table itself that do not count as children.
	spared *places
	// going say which children a simulation takes for gone, since an earlier step would have deleted them.
	going []predicate
}

// loadForeignKeys reads the foreign keys that refer to the table or to one of its leaves. Those that PostgreSQL makes by
// itself, for each partition of a parent or a child, have a parent constraint and are left out.
func (t *table) loadForeignKeys(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, treeOf+`
		SELECT k.conname, k.conrelid, n.nspname, c.relname, k.confdeltype::text, k.confrelid,
		       ARRAY(SELECT k.conrelid UNION SELECT p.relid::oid FROM pg_catalog.pg_partition_ancestors(k.conrelid) p(relid)
		             UNION SELECT p.relid::oid FROM pg_catalog.pg_partition_tree(k.conrelid) p(relid)),
		       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(n, i)
		             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.i),
		       ARRAY(SELECT coalesce(pg_catalog.format('"%s"."%s"', replace(ln.nspname, '"', '""'), replace(l.collname, '"', '""')), '')
		             FROM unnest(k.conkey) WITH ORDINALITY u(n, i)
		             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n
		             LEFT JOIN pg_catalog.pg_collation l ON l.oid = a.attcollation
		             LEFT JOIN pg_catalog.pg_namespace ln ON ln.oid = l.collnamespace ORDER BY u.i),
		       ARRAY(SELECT a.attnotnull FROM unnest(k.conkey) WITH ORDINALITY u(n, i)
		             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.i),
		       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(n, i)
		             JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.i),
		       EXISTS (SELECT 1 FROM pg_catalog.pg_index i WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indpred IS NULL
		               AND i.indkey[0] = ANY (k.conkey)),
		       has_schema_privilege(n.oid, 'USAGE') AND (has_table_privilege(c.oid, 'SELECT') OR NOT EXISTS (
		           SELECT 1 FROM unnest(k.conkey) u(n) WHERE NOT has_column_privilege(c.oid, u.n, 'SELECT'))),
		       EXISTS (SELECT 1 FROM tree WHERE tree.oid = k.conrelid)
		FROM tree
		JOIN pg_catalog.pg_constraint k ON k.confrelid = tree.oid AND k.contype = 'f' AND k.conparentid = 0
		JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		ORDER BY k.conname, k.oid`, t.oid)
	if err != nil {
		return err
	}
	var k foreignKey
	var schema, relation, action string
	var parent uint32
	var from, collations, to []string
	var notNull []bool
	parents := map[int]uint32{}
	_, err = pgx.ForEachRow(rows, []any{&k.name, &k.child, &schema, &relation, &action, &parent, &k.childTree, &from, &collations, &notNull, &to,
		&k.indexed, &k.readable, &k.self}, func() error {
		key := k
		key.childName, key.childPath = pgx.Identifier{schema, relation}.Sanitize(), schema+"."+relation
		key.childTree = slices.Clone(k.childTree)
		key.onDelete = onDelete(action[0])
		for i := range from {
			key.from = append(key.from, column{name: from[i], collation: collations[i], notNull: notNull[i]})
			key.to = append(key.to, t.columns[to[i]])
		}
		if parent != t.oid {
			parents[len(t.inbound)] = parent
		}
		t.inbound = append(t.inbound, key)
		return nil
	})
	if err != nil {
		return err
	}
	for i, parent := range parents {
		var below []uint32
		if err := conn.QueryRow(ctx, treeOf+` SELECT ARRAY(SELECT oid FROM tree)`, parent).Scan(&below); err != nil {
			return err
		}
		t.inbound[i].only = below
	}
	return nil
}

// blocking are the foreign keys whose child records keep a record from being deleted. NO ACTION and RESTRICT forbid it.
// CASCADE would delete, and SET NULL and SET DEFAULT would change, records that no rule of the Plan said anything about:
// the first is never let happen, the others not where the child is protected. SET NULL on a column that must have a value
// is a RESTRICT in disguise.
func (t *table) blocking(protected map[uint32]bool) []foreignKey {
	var keys []foreignKey
	for _, k := range t.inbound {
		guarded := slices.ContainsFunc(k.childTree, func(oid uint32) bool { return protected[oid] })
		impossible := slices.ContainsFunc(k.from, func(c column) bool { return c.notNull })
		switch {
		case k.onDelete == setDefault && !guarded, k.onDelete == setNull && !guarded && !impossible:
		default:
			keys = append(keys, k)
		}
	}
	return keys
}

// references renders the condition that a child record refers to the record of alias t. A record that refers to itself
// does not count.
func (k foreignKey) references(t string, a *arguments) string {
	return fmt.Sprintf("EXISTS (SELECT 1 FROM %s AS child WHERE %s)", k.childName, strings.Join(k.conditions(t, a), " AND "))
}

// conditions render that a record of alias child refers to the record of alias t.
func (k foreignKey) conditions(t string, a *arguments) []string {
	var on []string
	if k.only != nil {
		var oids []string
		for _, oid := range k.only {
			oids = append(oids, fmt.Sprint(oid))
		}
		on = append(on, fmt.Sprintf("%s.tableoid IN (%s)", t, strings.Join(oids, ", ")))
	}
	for i := range k.from {
		on = append(on, equal("child", k.from[i], t, k.to[i]))
	}
	if k.self {
		on = append(on, fmt.Sprintf("(child.tableoid <> %[1]s.tableoid OR child.ctid <> %[1]s.ctid)", t))
	}
	for _, due := range k.going {
		on = append(on, "("+due.due("child", a)+") IS NOT TRUE")
	}
	if k.spared != nil {
		on = append(on, fmt.Sprintf("NOT (child.tableoid = %s AND child.ctid = ANY (%s::tid[]))", a.add(k.spared.leaf.oid, "oid"), a.add(k.spared.tids(), "text[]")))
	}
	return on
}

// unreadable returns an *Error with PermissionDenied if a child cannot be looked at: then nobody can tell what blocks.
func unreadable(keys []foreignKey) error {
	for _, k := range keys {
		if !k.readable {
			return engine.Fail(receipt.PermissionDenied, k.childPath)
		}
	}
	return nil
}

// protectedTables are the OIDs of the tables whose records no foreign key action may change or delete.
func (s *session) protectedTables(ctx context.Context) (map[uint32]bool, error) {
	var paths []string
	keeping := keeping(s.in.Plan)
	for i, d := range s.in.Plan.Datasets {
		if d.Protected || d.Held || keeping[i] {
			paths = append(paths, d.Path)
		}
	}
	for _, step := range s.in.Plan.Steps {
		if step.Protected {
			paths = append(paths, step.Path)
		}
	}
	if e := s.in.Plan.Erasure; e != nil {
		for _, step := range e.Steps {
			if step.Protected || !step.Acts() || len(step.Obligations) > 0 {
				paths = append(paths, step.Path)
			}
		}
	}
	protected := map[uint32]bool{}
	for _, path := range paths {
		tree, err := s.tree(ctx, path)
		if err != nil {
			return nil, err
		}
		for _, oid := range tree {
			protected[oid] = true
		}
	}
	return protected, nil
}

// tree are the OIDs of the table at a path and of all that is a part of it or inherits from it, with the partitions that
// are on their way out of it; none if there is no table.
func (s *session) tree(ctx context.Context, path string) ([]uint32, error) {
	var oid uint32
	var kind string
	var tree []uint32
	err := s.read(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		if oid, kind, err = find(ctx, conn, path); err != nil || oid == 0 {
			return err
		}
		return conn.QueryRow(ctx, treeOf+` SELECT ARRAY(SELECT oid FROM tree)`, oid).Scan(&tree)
	})
	if err != nil {
		return nil, err
	}
	begun, err := s.begunPartitions(ctx, &table{oid: oid, partitioned: kind == "p"})
	for _, p := range begun {
		tree = append(tree, p.oid)
	}
	return tree, err
}
