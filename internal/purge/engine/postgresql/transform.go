// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// transform is what is done to one field of a record, resolved in the catalog. A field whose value would not change is
// never written: that makes a second run find nothing to do.
type transform struct {
	column column
	// value renders in SQL what becomes of the value x. It is nil where only compute can tell.
	value func(x string, a *arguments) string
	// changes renders the condition that the value x is not yet what it is to become. It is never NULL.
	changes func(x string, a *arguments) string
	// compute tells what becomes of a text, and false if it is not understood.
	compute func(string) (string, bool)
	// impossible says that the column cannot take the value: it is NOT NULL.
	impossible bool
}

// isText says whether a column holds text that Go can compute.
func (c column) isText() bool {
	switch c.base {
	case "text", "varchar", "bpchar", "citext":
		return true
	}
	return false
}

// plain renders a value as text that is compared byte by byte, whatever its type and collation.
func plain(x string) string { return "(" + x + `)::text COLLATE "C"` }

// resolveTransform resolves a Transform for a column. limit is how many characters the column holds, 0 for any number. An
// *Error says that the column cannot take the method (TypeNotSupported) or that the key is not there (SecretIncomplete).
func (s *session) resolveTransform(ctx context.Context, t plan.Transform, c column, limit int) (transform, error) {
	tr := transform{column: c}
	unsupported := engine.Fail(receipt.TypeNotSupported, c.name)
	switch t.With {
	case plan.MethodNull:
		tr.impossible = c.notNull
		tr.value = func(string, *arguments) string { return "NULL" }
		tr.changes = func(x string, _ *arguments) string { return x + " IS NOT NULL" }
	case plan.MethodConstant:
		if err := s.checkConstant(ctx, t.Value, c, limit); err != nil {
			return tr, err
		}
		tr.value = func(_ string, a *arguments) string { return a.add(t.Value, "text") + "::" + c.declared }
		tr.changes = func(x string, a *arguments) string { return plain(x) + " IS DISTINCT FROM " + plain(tr.value(x, a)) }
	case plan.MethodTruncateIP:
		if c.isText() {
			tr.compute, tr.changes = truncateIP, unlike(truncatedIP)
			break
		}
		if tr.value = truncateIPIn(c.base); tr.value == nil {
			return tr, unsupported
		}
		tr.changes = differs(tr.value)
	case plan.MethodTruncateDate:
		if tr.value = s.truncateDateIn(c.base, t.Unit); tr.value == nil {
			return tr, unsupported
		}
		tr.changes = differs(tr.value)
	case plan.MethodHMAC:
		if !c.isText() || limit > 0 && limit < hmacLength {
			return tr, unsupported
		}
		key, err := readKey(s.in.KeysDir, t.Key)
		if err != nil {
			return tr, err
		}
		tr.compute, tr.changes = hmacWith(key), notPseudonym
	default:
		return tr, engine.Fail(receipt.PlanRefused, string(t.With))
	}
	return tr, nil
}

// differs is for a value that SQL computes.
func differs(value func(string, *arguments) string) func(string, *arguments) string {
	return func(x string, a *arguments) string { return x + " IS DISTINCT FROM " + value(x, a) }
}

// notPseudonym renders the condition that the value x has not the form that hmacWith gives it: its prefix and its length. To
// look at the digits would tell no more, since anybody can write digits, and takes ten times as long.
func notPseudonym(x string, a *arguments) string {
	return fmt.Sprintf("coalesce(octet_length(%[1]s) <> %[2]d OR NOT starts_with(%[1]s, %[3]s), false)", plain(x), hmacLength, a.add(hmacPrefix, "text"))
}

// unlike is for a value that Go computes: a text of the final form is what it is to become.
func unlike(form string) func(string, *arguments) string {
	return func(x string, a *arguments) string {
		return "coalesce(" + plain(x) + " !~ " + a.add(form, "text") + ", false)"
	}
}

// checkConstant asks the server whether the column can take the value. A cast would cut a text that is too long.
func (s *session) checkConstant(ctx context.Context, value string, c column, limit int) error {
	err := s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		var length int
		err := conn.QueryRow(ctx, "SELECT char_length($1::text) + 0 * char_length(coalesce(($1::text)::"+c.declared+"::text, ''))", value).Scan(&length)
		var server *pgconn.PgError
		if errors.As(err, &server) || limit > 0 && length > limit {
			return engine.Fail(receipt.TypeNotSupported, c.name)
		}
		return err
	})
	return err
}

// truncateIPIn renders TruncateIP for the types of addresses; nil for any other. An IPv4 address in IPv6's clothes keeps
// what an IPv4 address keeps.
func truncateIPIn(base string) func(string, *arguments) string {
	const bits = `CASE WHEN family(%[1]s) = 4 THEN 24 WHEN %[1]s <<= '::ffff:0:0/96'::inet THEN 120 ELSE 48 END`
	switch base {
	case "inet": // keeps the length of its network's mask
		return func(x string, _ *arguments) string {
			return fmt.Sprintf("set_masklen(host(network(set_masklen(%[1]s::inet, "+bits+")))::inet, masklen(%[1]s))", x)
		}
	case "cidr": // has no bits beyond its mask, so the mask is cut as well
		return func(x string, _ *arguments) string {
			return fmt.Sprintf("network(set_masklen(%[1]s::inet, least(masklen(%[1]s), "+bits+")))", x)
		}
	}
	return nil
}

// truncateDateIn renders TruncateDate for the types of dates; nil for any other. A timestamp with time zone is cut in the
// Plan's zone.
func (s *session) truncateDateIn(base, unit string) func(string, *arguments) string {
	unit = strings.ToLower(unit)
	if unit != "year" && unit != "month" && unit != "day" {
		return nil
	}
	switch base {
	case "timestamptz":
		return func(x string, a *arguments) string {
			return "date_trunc('" + unit + "', " + x + ", " + a.add(s.in.Plan.TimeZone, "text") + ")"
		}
	case "timestamp":
		return func(x string, _ *arguments) string { return "date_trunc('" + unit + "', " + x + ")" }
	case "date":
		return func(x string, _ *arguments) string { return "date_trunc('" + unit + "', " + x + "::timestamp)::date" }
	}
	return nil
}
