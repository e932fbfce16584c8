// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/schedule"
)

// probe is a look at the datasets of a Plan.
type probe struct {
	*session
	datasets []plan.Dataset
	// tables are those of the datasets, nil where there is none.
	tables []*table
	out    receipt.Probe
}

// Probe looks at what the Plan's datasets describe, and changes nothing. What keeps one dataset from being looked at is a
// finding, and hides no other; only an error of the server as a whole is returned, as an *Error.
func (s *session) Probe(ctx context.Context) (*receipt.Probe, error) {
	p := &probe{session: s, datasets: s.in.Plan.Datasets, tables: make([]*table, len(s.in.Plan.Datasets))}
	for i := range p.datasets {
		if err := p.find(ctx, i); err != nil {
			return nil, err
		}
	}
	for i, t := range p.tables {
		if t == nil {
			p.out.Datasets = append(p.out.Datasets, receipt.DatasetProbe{Index: i, Records: -1})
			continue
		}
		if err := p.look(ctx, i, t); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(p.out.Findings, func(a, b receipt.Finding) int {
		switch {
		case a.Code.Unusable() == b.Code.Unusable():
			return 0
		case a.Code.Unusable():
			return -1
		}
		return 1
	})
	return &p.out, nil
}

// found notes a finding, once.
func (p *probe) found(dataset int, code receipt.FindingCode, object string) {
	f := receipt.Finding{Code: code, Dataset: dataset, Object: object}
	if !slices.Contains(p.out.Findings, f) {
		p.out.Findings = append(p.out.Findings, f)
	}
}

// find looks a dataset's table up.
func (p *probe) find(ctx context.Context, i int) error {
	path := p.datasets[i].Path
	t, err := p.lookup(ctx, path)
	if err == nil {
		p.tables[i] = t
		return nil
	}
	if engine.ReasonOf(err) != receipt.TableNotFound {
		return err
	}
	var oid uint32
	err = p.read(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
		oid, _, err = find(ctx, conn, path)
		return err
	})
	code := receipt.FindTableMissing
	if oid != 0 {
		code = receipt.FindNotATable
	}
	p.found(i, code, path)
	return err
}

// look looks at one dataset that has a table.
func (p *probe) look(ctx context.Context, i int, t *table) error {
	d := p.datasets[i]
	for _, l := range t.leaves {
		if l.foreign {
			p.found(i, receipt.FindNotATable, l.name)
		}
	}
	p.fields(i, t)
	p.keys(i)
	readable, err := p.rights(ctx, i, t)
	if err != nil {
		return err
	}
	p.softDeletes(i, t)
	p.foreignKeys(i, t)
	if err := p.hazards(ctx, i, t); err != nil {
		return err
	}
	out := receipt.DatasetProbe{Index: i, Indexed: d.TimestampField != "" && t.indexed(d.TimestampField)}
	if out.Records, err = p.estimate(ctx, t, readable); err != nil {
		return err
	}
	if m, ok := p.timestamp(i, t); ok && readable {
		if out.Oldest, err = p.oldest(ctx, t, m, out.Indexed); err != nil {
			return err
		}
	}
	p.out.Datasets = append(p.out.Datasets, out)
	return nil
}

// fields looks for the fields that the data map and the policies name.
func (p *probe) fields(i int, t *table) {
	d := p.datasets[i]
	names := slices.Clone(d.Fields)
	for _, id := range d.Identifiers {
		names = append(names, id.Field)
	}
	for _, r := range d.References {
		names = append(names, r.Field)
	}
	if d.TimestampField != "" {
		names = append(names, d.TimestampField)
	}
	for _, name := range names {
		if _, ok := t.columns[name]; !ok {
			p.found(i, receipt.FindFieldMissing, name)
		}
	}
}

// keys looks at the keys that the dataset's references lead to.
func (p *probe) keys(i int) {
	for _, r := range p.datasets[i].References {
		for j, parent := range p.tables {
			if parent == nil || p.datasets[j].Name != r.Dataset {
				continue
			}
			name := p.datasets[j].Path + "." + r.Key
			if _, ok := parent.columns[r.Key]; !ok {
				p.found(i, receipt.FindFieldMissing, name)
			} else if !parent.unique[r.Key] {
				p.found(i, receipt.FindKeyNotUnique, name)
			}
		}
	}
}

// timestamp returns the dataset's timestampField, and false if there is none that can be read.
func (p *probe) timestamp(i int, t *table) (moment, bool) {
	d := p.datasets[i]
	c, ok := t.columns[d.TimestampField]
	if !ok {
		return moment{}, false
	}
	zone, err := schedule.LoadLocation(p.in.Plan.TimeZone)
	if err != nil {
		return moment{}, false // the planner has refused it before
	}
	m := moment{column: c, format: d.TimestampFormat, zone: zone}
	if !m.bound(plan.LatestPlausible) {
		p.found(i, receipt.FindTypeNotSupported, c.name)
		return moment{}, false
	}
	return m, true
}

// rights looks at what this user may do with the table, and whether its records are hidden. Rights on the table will do:
// partitions can be reached through it. It returns whether the records can be read.
func (p *probe) rights(ctx context.Context, i int, t *table) (readable bool, err error) {
	var deletes, updates, hidden bool
	err = p.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `
			SELECT has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'),
			       has_table_privilege(c.oid, 'DELETE'), has_any_column_privilege(c.oid, 'UPDATE'), row_security_active(c.oid)
			FROM pg_catalog.pg_class c WHERE c.oid = $1`, t.oid).Scan(&readable, &deletes, &updates, &hidden)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil // it went while we looked
	}
	if err != nil {
		return false, err
	}
	d := p.datasets[i]
	for _, missing := range []struct {
		is   bool
		code receipt.FindingCode
	}{
		{!readable, receipt.FindSelectNotGranted},
		{!deletes && slices.Contains(d.Rights, plan.Delete), receipt.FindDeleteNotGranted},
		{!updates && slices.Contains(d.Rights, plan.Anonymize), receipt.FindUpdateNotGranted},
		{hidden, receipt.FindRowsHidden},
	} {
		if missing.is {
			p.found(i, missing.code, d.Path)
		}
	}
	return readable && !hidden, nil // with row_security off, to read what is hidden is an error
}

// softDeleted are names of columns that say that a record is thought of as deleted, in lower case, without underscores.
var softDeleted = []string{
	"deleted", "isdeleted", "wasdeleted", "softdeleted", "issoftdeleted", "deletedat", "deletedon", "deleteddate", "deletedtime",
	"deletedtimestamp", "deletedts", "datedeleted", "softdeletedat", "deletiontimestamp", "deletiondate", "deletionflag",
	"deletedflag", "removed", "isremoved", "removedat", "discardedat", "trashed", "trashedat", "tombstone", "tombstonedat",
}

// softDeletes looks for columns that mark records as deleted without deleting them: such a record still holds its data.
// A column that the data map or a policy names is no surprise.
func (p *probe) softDeletes(i int, t *table) {
	d := p.datasets[i]
	var names []string
	for name := range t.columns {
		plain := strings.ToLower(strings.ReplaceAll(name, "_", ""))
		if slices.Contains(softDeleted, plain) && name != d.TimestampField && !slices.Contains(d.Fields, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		p.found(i, receipt.FindSoftDelete, name)
	}
}

// foreignKeys looks at the foreign keys that refer to the table.
func (p *probe) foreignKeys(i int, t *table) {
	for _, k := range t.inbound {
		object := k.name + " of " + k.childPath
		if !p.mapped(t, k) {
			p.found(i, receipt.FindForeignKeyUnmapped, object)
		}
		if !k.indexed {
			p.found(i, receipt.FindForeignKeyUnindexed, object)
		}
		if k.onDelete == cascade || k.onDelete == setNull || k.onDelete == setDefault {
			p.found(i, receipt.FindCascade, object)
		}
	}
}

// mapped says whether a dataset for the child has a reference along the key. Of a key of several columns, a reference
// can be only one.
func (p *probe) mapped(t *table, k foreignKey) bool {
	for j, child := range p.tables {
		if child == nil || !slices.Contains(k.childTree, child.oid) {
			continue
		}
		for _, r := range p.datasets[j].References {
			for c := range k.from {
				if k.from[c].name == r.Field && k.to[c].name == r.Key && p.isTable(r.Dataset, t) {
					return true
				}
			}
		}
	}
	return false
}

// isTable says whether the dataset with the name is the table.
func (p *probe) isTable(name string, t *table) bool {
	for j, d := range p.datasets {
		if d.Name == name && p.tables[j] != nil && p.tables[j].oid == t.oid {
			return true
		}
	}
	return false
}

// hazards looks at what makes a statement do something else than it says: triggers, rewrite rules, inheritance.
func (p *probe) hazards(ctx context.Context, i int, t *table) error {
	const onDelete, onUpdate = 8, 16 // bits of pg_trigger.tgtype
	events, commands := 0, ""
	rights := p.datasets[i].Rights
	if len(rights) == 0 { // no policy yet
		rights = []plan.Action{plan.Delete, plan.Anonymize}
	}
	for _, r := range rights {
		switch r {
		case plan.Delete:
			events, commands = events|onDelete, commands+"4"
		case plan.Anonymize:
			events, commands = events|onUpdate, commands+"2"
		}
	}
	var triggers, rules []string
	var inherits bool
	err := p.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, treeOf+`
			SELECT ARRAY(SELECT DISTINCT g.tgname::text FROM tree JOIN pg_catalog.pg_trigger g ON g.tgrelid = tree.oid
			             WHERE NOT g.tgisinternal AND g.tgenabled <> 'D' AND g.tgtype & $2::int <> 0 ORDER BY 1),
			       ARRAY(SELECT DISTINCT r.rulename::text FROM tree JOIN pg_catalog.pg_rewrite r ON r.ev_class = tree.oid
			             WHERE r.ev_enabled <> 'D' AND strpos($3, r.ev_type::text) > 0 ORDER BY 1),
			       EXISTS (SELECT 1 FROM pg_catalog.pg_inherits h JOIN pg_catalog.pg_class c ON c.oid = h.inhrelid
			               WHERE (h.inhparent = $1 OR h.inhrelid = $1) AND NOT c.relispartition AND NOT h.inhdetachpending)`,
			t.oid, events, commands).Scan(&triggers, &rules, &inherits)
	})
	for _, name := range triggers {
		p.found(i, receipt.FindTrigger, name)
	}
	for _, name := range rules {
		p.found(i, receipt.FindRule, name)
	}
	if inherits {
		p.found(i, receipt.FindInheritance, p.datasets[i].Path)
	}
	return err
}
