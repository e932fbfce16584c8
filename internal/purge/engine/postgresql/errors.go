// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// verdictOn is what a SQLSTATE means to us.
type verdictOn struct {
	reason    receipt.Reason
	transient bool
}

// bySQLState are the codes that have a meaning of their own, byClass those of the rest of a class.
// https://www.postgresql.org/docs/current/errcodes-appendix.html
var (
	bySQLState = map[string]verdictOn{
		"28P01": {receipt.AuthenticationFails, false}, // invalid_password
		"28000": {receipt.AuthenticationFails, false}, // invalid_authorization_specification
		"3D000": {receipt.DatabaseNotFound, false},    // invalid_catalog_name
		"42P01": {receipt.TableNotFound, false},       // undefined_table
		"3F000": {receipt.TableNotFound, false},       // invalid_schema_name
		"42703": {receipt.FieldNotFound, false},       // undefined_column
		"42501": {receipt.PermissionDenied, false},    // insufficient_privilege
		"25006": {receipt.PermissionDenied, false},    // read_only_sql_transaction: a replica
		"23503": {receipt.ForeignKeyBlocks, true},     // foreign_key_violation: a child came in between; the next try sees it
		"23502": {receipt.ConstraintViolated, false},
		"23505": {receipt.ConstraintViolated, false},
		"23514": {receipt.ConstraintViolated, false},
		"23P01": {receipt.ConstraintViolated, false},
		"40001": {receipt.LockTimeout, true},       // serialization_failure
		"40P01": {receipt.LockTimeout, true},       // deadlock_detected
		"55P03": {receipt.LockTimeout, true},       // lock_not_available
		"57014": {receipt.StatementTimeout, false}, // query_canceled
		"57P01": {receipt.Unreachable, true},       // admin_shutdown
		"57P02": {receipt.Unreachable, true},       // crash_shutdown
		"57P03": {receipt.Unreachable, true},       // cannot_connect_now
		"53300": {receipt.Unreachable, true},       // too_many_connections
		"P0001": {receipt.TriggerBlocks, false},    // raise_exception: a trigger's own objection
	}
	byClass = map[string]verdictOn{
		"08": {receipt.Unreachable, true}, // connection exceptions
		"23": {receipt.ConstraintViolated, false},
		"53": {receipt.Unreachable, true}, // insufficient resources
		"58": {receipt.Unreachable, true}, // system errors
	}
)

// sanitize reduces an error to what may be told: a reason, a SQLSTATE, and the name of a schema object.
func sanitize(err error) *engine.Error {
	var known *engine.Error
	if errors.As(err, &known) {
		return known
	}
	var server *pgconn.PgError
	if errors.As(err, &server) {
		v, ok := bySQLState[server.Code]
		if !ok {
			v, ok = byClass[server.Code[:min(2, len(server.Code))]]
		}
		if !ok {
			v = verdictOn{receipt.InternalError, false}
		}
		e := &engine.Error{Reason: v.reason, Object: objectOf(server), Code: server.Code, Transient: v.transient}
		if server.Code == "42501" && strings.Contains(server.Message, "row-level security") {
			e.Reason = receipt.RowLevelSecurity // the English text; in another language it stays PermissionDenied
		}
		return e
	}
	switch {
	case errors.Is(err, context.Canceled):
		return engine.Fail(receipt.Interrupted, "")
	case pgconn.SafeToRetry(err), pgconn.Timeout(err), isNetwork(err):
		return &engine.Error{Reason: receipt.Unreachable, Transient: true}
	}
	return &engine.Error{Reason: receipt.InternalError, Transient: true} // not the server's: another connection may do better
}

// objectOf is the name of what the server blames. Names are schema, not data.
func objectOf(e *pgconn.PgError) string {
	switch {
	case e.ConstraintName != "":
		return e.ConstraintName
	case e.ColumnName != "":
		return e.ColumnName
	}
	return e.TableName
}

// isServerError says whether the server itself answered with an error, so that the transaction is known to be over.
func isServerError(err error) bool {
	var server *pgconn.PgError
	if !errors.As(err, &server) || server.SeverityUnlocalized != "ERROR" {
		return false // a server that panics in a commit may have written it
	}
	class := server.Code[:min(2, len(server.Code))]
	return class != "57" && class != "08"
}
