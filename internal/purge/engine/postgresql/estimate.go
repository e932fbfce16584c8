// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// A probe reads no more than it can in these times: by an index, and without one.
const (
	glanceIndexed = 10 * time.Second
	glance        = 3 * time.Second
)

// glanceAt runs a reading transaction whose statements may take no longer than limit. ok is false if they did, or if the
// table could not be read for a reason that a finding tells, or that passes.
func (s *session) glanceAt(ctx context.Context, limit time.Duration, do func(context.Context, pgx.Tx) error) (ok bool, err error) {
	err = s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		tx, err := conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		if _, err := tx.Exec(ctx, "SELECT set_config('statement_timeout', $1, true)", milliseconds(limit.Milliseconds())); err != nil {
			return err
		}
		if err := do(ctx, tx); err != nil {
			if sanitized := sanitize(err); sanitized.Reason == receipt.LockTimeout {
				return engine.Fail(receipt.LockTimeout, sanitized.Object) // not worth waiting for again
			}
			return err
		}
		return nil
	})
	if err == nil {
		return true, nil
	}
	switch engine.ReasonOf(err) {
	case receipt.StatementTimeout, receipt.LockTimeout, receipt.PermissionDenied, receipt.RowLevelSecurity,
		receipt.TableNotFound, receipt.FieldNotFound:
		return false, nil
	}
	return false, err
}

// estimate is how many records the table has, as the planner would reckon: the density that it knows times the size
// of now. What it knows nothing of is counted, if that takes no time; else the estimate is -1.
func (s *session) estimate(ctx context.Context, t *table, readable bool) (int64, error) {
	var records int64
	ok, err := s.glanceAt(ctx, glance, func(ctx context.Context, tx pgx.Tx) error {
		records = 0
		deadline := time.Now().Add(glance)
		for _, l := range t.leaves {
			var pages *int64
			err := tx.QueryRow(ctx, "SELECT pg_relation_size($1::oid) / current_setting('block_size')::bigint", l.oid).Scan(&pages)
			switch {
			case err != nil:
				return err
			case pages == nil || l.foreign: // it has just gone
			case *pages == 0:
			case l.records >= 0 && l.pages > 0:
				records += int64(math.Round(l.records / float64(l.pages) * float64(*pages)))
			case !readable || time.Now().After(deadline):
				return engine.Fail(receipt.StatementTimeout, "")
			default:
				var n int64
				if err := tx.QueryRow(ctx, "SELECT count(*) FROM ONLY "+l.name).Scan(&n); err != nil {
					return err
				}
				records += n
			}
		}
		return nil
	})
	if !ok {
		return -1, err
	}
	return records, nil
}

// oldest is the earliest plausible starting point, nil if there is none or if it takes long to find.
func (s *session) oldest(ctx context.Context, t *table, m moment, indexed bool) (*time.Time, error) {
	limit := glance
	if indexed {
		limit = glanceIndexed
	}
	var a arguments
	x := quoted("t", m.column.name)
	sql := "SELECT " + m.readable("min("+x+")") + " FROM " + t.name + " AS t WHERE " + m.plausible(x, &a)
	var value any
	ok, err := s.glanceAt(ctx, limit, func(ctx context.Context, tx pgx.Tx) error {
		return tx.QueryRow(ctx, sql, a...).Scan(&value)
	})
	if !ok || value == nil {
		return nil, err
	}
	return m.instant(value), nil
}
