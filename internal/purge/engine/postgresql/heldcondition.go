// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/schedule"
)

// resolveCondition resolves the condition of hold n for a dataset. A value that the field's type does not know is an error:
// nobody can tell what was meant.
func (h *holds) resolveCondition(ctx context.Context, n int, set *searched, c *plan.Condition) error {
	if set.reason != "" {
		return engine.Fail(receipt.HoldUnreadable, set.plan.Path)
	}
	field, ok := set.table.columns[c.Field]
	if !ok {
		return engine.Fail(receipt.HoldUnreadable, set.plan.Path+"."+c.Field)
	}
	zone, err := schedule.LoadLocation(h.s.in.Plan.TimeZone)
	if err != nil {
		return engine.Fail(receipt.PlanRefused, "timeZone")
	}
	var values []string
	for _, v := range c.Values {
		if v, ok = field.instantText(v, zone, c.Operator); !ok {
			return engine.Fail(receipt.HoldUnreadable, set.plan.Path+"."+c.Field)
		}
		values = append(values, v)
	}
	render := field.condition(c.Operator, values)
	if render == nil {
		return engine.Fail(receipt.HoldUnreadable, string(c.Operator))
	}
	var a arguments
	sql := "SELECT 1 FROM " + set.table.name + " AS t WHERE (" + render("t", &a) + ") AND false"
	err = h.s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		for _, v := range values { // the plan of the condition may never look at a value
			var text *string
			if err := conn.QueryRow(ctx, "SELECT ("+field.literal("$1::text")+")::text", v).Scan(&text); err != nil {
				return err
			}
		}
		_, err := conn.Exec(ctx, sql, a...)
		return err
	})
	if err != nil {
		return unreadableHold(err, set.plan.Path+"."+c.Field)
	}
	h.conditions[[2]int{n, set.index}] = render
	return nil
}

// bareTypes are types whose length or precision would cut a value.
var bareTypes = []string{"text", "varchar", "bpchar", "numeric", "timestamp", "timestamptz", "time", "timetz", "date", "int2", "int4", "int8", "float4", "float8", "bool", "uuid", "inet", "cidr"}

// literal renders a text as a value of the column's type.
func (c column) literal(x string) string {
	switch {
	case c.base == "varchar":
		return "(" + x + ")::text"
	case c.base == "int2", c.base == "int4":
		return "(" + x + ")::bigint"
	case slices.Contains(bareTypes, c.base):
		return "(" + x + ")::" + c.base
	}
	return "(" + x + ")::" + c.declared
}

// condition renders an operator on the column; nil for one that is not known, or has not the values that it needs.
func (c column) condition(operator plan.Operator, values []string) func(alias string, a *arguments) string {
	among := func(alias string, a *arguments) string {
		var some []string
		for _, v := range values {
			some = append(some, quoted(alias, c.name)+" = "+c.literal(a.add(v, "text")))
		}
		return anyOf(some)
	}
	compare := func(by string) func(string, *arguments) string {
		return func(alias string, a *arguments) string {
			return quoted(alias, c.name) + by + c.literal(a.add(values[0], "text"))
		}
	}
	switch {
	case operator == plan.OperatorIn && len(values) > 0:
		return among
	case operator == plan.OperatorNotIn && len(values) > 0:
		return func(alias string, a *arguments) string {
			return quoted(alias, c.name) + " IS NULL OR NOT (" + among(alias, a) + ")"
		}
	case operator == plan.OperatorAtLeast && len(values) == 1:
		return compare(" >= ")
	case operator == plan.OperatorAtMost && len(values) == 1:
		return compare(" <= ")
	case operator == plan.OperatorExists && len(values) == 0:
		return func(alias string, _ *arguments) string { return quoted(alias, c.name) + " IS NOT NULL" }
	case operator == plan.OperatorDoesNotExist && len(values) == 0:
		return func(alias string, _ *arguments) string { return quoted(alias, c.name) + " IS NULL" }
	}
	return nil
}

// instantText is a value for a column of instants: one with a zone is shown by the clock of a column without, and a day is
// that of the Plan's zone, up to its end for AtMost. It says false for what is no time, such as "today".
func (c column) instantText(value string, zone *time.Location, operator plan.Operator) (string, bool) {
	const layout = "2006-01-02T15:04:05.999999"
	if c.base != "timestamp" && c.base != "timestamptz" && c.base != "date" {
		return value, true
	}
	at, err := time.Parse(time.RFC3339Nano, value)
	wall := wallOf(at, zone)
	if err != nil {
		if wall, err = time.Parse(time.DateOnly, value); err != nil {
			return "", false
		}
		if operator == plan.OperatorAtMost {
			wall = wall.AddDate(0, 0, 1).Add(-time.Microsecond)
		}
		at = time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), wall.Nanosecond(), zone)
	}
	switch c.base {
	case "date":
		return wall.Format(time.DateOnly), true
	case "timestamp":
		return wall.Format(layout), true
	}
	return at.UTC().Format(layout) + "Z", true
}
