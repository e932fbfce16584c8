// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"fmt"
	"strings"
	"time"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/schedule"
)

// predicate says which records of a table are due: plan.Step.Due, in SQL.
type predicate struct {
	rule        moment
	obligations []moment
	// held says which records a hold keeps.
	held holding
}

// moment is a starting point in the database, and until when it has to lie for its period to be over.
type moment struct {
	// hops lead from the table to the one that holds the column; none if it is the table's own.
	hops   []hop
	column column
	format plan.TimestampFormat
	zone   *time.Location
	// first and last bound the column's values of plausible starting points whose period is over, both inclusive; below
	// is the first value that is too late to be plausible. cast is the SQL type of all three.
	first, last, below any
	cast               string
}

// hop leads from a record to the one of table whose key equals from.
type hop struct {
	table string // quoted and qualified
	from  column
	key   column
}

// arguments collects the arguments of a statement.
type arguments []any

// add returns the placeholder of a new argument, with a cast so that the server takes it for nothing else.
func (a *arguments) add(value any, cast string) string {
	*a = append(*a, value)
	return fmt.Sprintf("$%d::%s", len(*a), cast)
}

// resolveDue resolves a step's starting points in the catalog. An *Error says what is missing: TableNotFound,
// FieldNotFound, TypeNotSupported, KeyNotUnique.
func (s *session) resolveDue(ctx context.Context, step plan.Step, t *table) (predicate, error) {
	rule, err := s.resolveMoment(ctx, t, step.Start, step.Cutoff)
	if err != nil {
		return predicate{}, err
	}
	p := predicate{rule: rule}
	for _, o := range step.Obligations {
		m, err := s.resolveMoment(ctx, t, o.Start, o.Cutoff)
		if err != nil {
			return predicate{}, err
		}
		p.obligations = append(p.obligations, m)
	}
	p.held, err = s.heldIn(ctx, t)
	return p, err
}

func (s *session) resolveMoment(ctx context.Context, t *table, start plan.Start, cutoff time.Time) (moment, error) {
	var m moment
	for _, via := range start.Via {
		from, err := t.column(via.Field)
		if err != nil {
			return m, err
		}
		if t, err = s.lookup(ctx, via.Path); err != nil {
			return m, err
		}
		key, err := t.column(via.Key)
		if err != nil {
			return m, err
		}
		if !t.unique[via.Key] {
			return m, engine.Fail(receipt.KeyNotUnique, t.relation+"."+via.Key)
		}
		m.hops = append(m.hops, hop{table: t.name, from: from, key: key})
	}
	c, err := t.column(start.Field)
	if err != nil {
		return m, err
	}
	zone, err := schedule.LoadLocation(s.in.Plan.TimeZone)
	if err != nil {
		return m, engine.Fail(receipt.PlanRefused, "timeZone")
	}
	m.column, m.format, m.zone = c, start.Format, zone
	if !m.bound(cutoff) {
		return m, engine.Fail(receipt.TypeNotSupported, t.relation+"."+c.name)
	}
	return m, nil
}

// bound computes the bounds in the column's own type, so that an index on the bare column can be used. It returns false
// for a type that holds no instants, or not in the format that the Plan says.
func (m *moment) bound(cutoff time.Time) bool {
	// No cutoff makes an implausible value due.
	if latest := plan.LatestPlausible.Add(-time.Microsecond); cutoff.After(latest) {
		cutoff = latest
	}
	if cutoff.Before(plan.EarliestPlausible) {
		cutoff = plan.EarliestPlausible.Add(-time.Microsecond)
	}
	cutoff = cutoff.UTC().Truncate(time.Microsecond)
	first, below := plan.EarliestPlausible, plan.LatestPlausible
	native := m.format == plan.Native || m.format == ""
	switch m.column.base {
	case "timestamptz":
		m.cast, m.first, m.last, m.below = "timestamptz", first, cutoff, below
		return native
	case "timestamp":
		m.cast, m.first, m.last, m.below = "timestamp", wallOf(first, m.zone), lastWall(cutoff, m.zone), wallOf(below, m.zone)
		return native
	case "date":
		// A record of day D may be from D's last second: its period runs from the day's end. Whether D is a sentinel is
		// a matter of the date that is written there.
		m.cast, m.first, m.last, m.below = "date", first, lastWall(cutoff, m.zone).Truncate(24*time.Hour).AddDate(0, 0, -1), below
		return native
	case "int2", "int4", "int8":
		m.cast = "bigint"
	case "numeric":
		m.cast = "numeric"
	default:
		return false
	}
	switch m.format {
	case plan.UnixSeconds:
		m.first, m.last, m.below = first.Unix(), cutoff.Unix(), below.Unix()
		if m.cast == "numeric" {
			m.last = fmt.Sprintf("%d.%06d", cutoff.Unix(), cutoff.Nanosecond()/1000)
		}
	case plan.UnixMilliseconds:
		m.first, m.last, m.below = first.UnixMilli(), cutoff.UnixMilli(), below.UnixMilli()
		if m.cast == "numeric" {
			m.last = fmt.Sprintf("%d.%03d", cutoff.UnixMilli(), cutoff.Nanosecond()/1000%1000)
		}
	default:
		return false
	}
	if m.cast == "numeric" {
		m.first, m.below = fmt.Sprint(m.first), fmt.Sprint(m.below)
	}
	return true
}

// own says whether the starting point is a column of the table itself.
func (m moment) own() bool { return len(m.hops) == 0 }

// over renders the condition that the starting point x is plausible and its period over.
func (m moment) over(x string, a *arguments) string {
	return fmt.Sprintf("%[1]s >= %[2]s AND %[1]s <= %[3]s", x, a.add(m.first, m.cast), a.add(m.last, m.cast))
}

// plausible renders the condition that the starting point x is a time and no sentinel.
func (m moment) plausible(x string, a *arguments) string {
	return fmt.Sprintf("%[1]s >= %[2]s AND %[1]s < %[3]s", x, a.add(m.first, m.cast), a.add(m.below, m.cast))
}

// due renders the condition that the record of alias is due. It is never NULL in a way that matters: it stands in a WHERE.
func (p predicate) due(alias string, a *arguments) string {
	due := p.rule.overFor(alias, "r", a) + " AND " + p.free(alias, a)
	if p.held != nil {
		due += " AND (" + p.held.of(alias, a) + ") IS NOT TRUE"
	}
	return due
}

// free renders the condition that no obligation keeps the record of alias.
func (p predicate) free(alias string, a *arguments) string {
	conditions := []string{"true"}
	for i, o := range p.obligations {
		conditions = append(conditions, o.overFor(alias, fmt.Sprintf("o%d_", i+1), a))
	}
	return strings.Join(conditions, " AND ")
}

// overFor renders over for the record of alias; prefix tells the aliases of this moment from those of others.
func (m moment) overFor(alias, prefix string, a *arguments) string {
	if m.own() {
		return m.over(quoted(alias, m.column.name), a)
	}
	var from string
	last := prefix + "1"
	for i, h := range m.hops {
		if i == 0 {
			from = h.table + " AS " + last
			continue
		}
		next := fmt.Sprintf("%s%d", prefix, i+1)
		from += fmt.Sprintf(" JOIN %s AS %s ON %s", h.table, next, equal(next, h.key, last, h.from))
		last = next
	}
	first := m.hops[0]
	return fmt.Sprintf("EXISTS (SELECT 1 FROM %s WHERE %s AND %s)", from, equal(prefix+"1", first.key, alias, first.from),
		m.over(quoted(last, m.column.name), a))
}

// joined is a FROM clause that brings together a record, of alias t, and all starting points that matter to it. Keys are
// unique, so that every record of the table appears once.
type joined struct {
	from  string
	start string // the rule's starting point
	// expired says whether the rule's period is over, free whether every obligation is; both may be NULL, for no.
	expired, free string
	// dangling says that a reference on the way to the starting point leads nowhere.
	dangling string
	// held says that a hold keeps the record.
	held string
}

func (p predicate) join(t *table, a *arguments) joined {
	from, start, dangling := p.rule.join("t", "r")
	j := joined{from: t.name + " AS t" + from, start: start, dangling: dangling, expired: p.rule.over(start, a),
		free: "true", held: "(" + p.held.of("t", a) + ") IS TRUE"}
	for i, o := range p.obligations {
		from, start, _ := o.join("t", fmt.Sprintf("o%d_", i+1))
		j.from += from
		j.free += " AND " + o.over(start, a)
	}
	return j
}

func (m moment) join(alias, prefix string) (from, start, dangling string) {
	dangling = "false"
	for i, h := range m.hops {
		next := fmt.Sprintf("%s%d", prefix, i+1)
		from += fmt.Sprintf(" LEFT JOIN %s AS %s ON %s", h.table, next, equal(next, h.key, alias, h.from))
		dangling += fmt.Sprintf(" OR %s IS NOT NULL AND %s IS NULL", quoted(alias, h.from.name), quoted(next, h.key.name))
		alias = next
	}
	return from, quoted(alias, m.column.name), dangling
}

// instant is the instant that a value of the column stands for, as read by pgx into an any.
func (m moment) instant(value any) *time.Time {
	var t time.Time
	switch v := value.(type) {
	case time.Time:
		switch m.column.base {
		case "timestamp":
			t = latestInstant(v, m.zone)
		case "date":
			t = latestInstant(v.AddDate(0, 0, 1), m.zone)
		default:
			t = v
		}
	case string: // a number
		var seconds, micros int64
		whole, fraction, _ := strings.Cut(v, ".")
		if _, err := fmt.Sscan(whole, &seconds); err != nil {
			return nil
		}
		fraction = (fraction + "000000")[:6]
		if _, err := fmt.Sscanf(fraction, "%d", &micros); err != nil {
			return nil
		}
		t = time.Unix(seconds, micros*1000)
		if m.format == plan.UnixMilliseconds {
			t = time.UnixMilli(seconds).Add(time.Duration(micros) * time.Nanosecond)
		}
	default:
		return nil
	}
	t = t.UTC().Truncate(time.Microsecond)
	return &t
}

// readable renders a value of the column so that instant understands it.
func (m moment) readable(x string) string {
	if m.cast == "numeric" || m.cast == "bigint" {
		return "(" + x + ")::numeric::text"
	}
	return x
}
