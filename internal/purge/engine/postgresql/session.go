// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

const (
	// connectFor is how long the first connection is tried, probeFor that of a probe, reconnectFor how long a lost one is.
	connectFor   = 60 * time.Second
	probeFor     = 10 * time.Second
	reconnectFor = 5 * time.Minute
	// attemptsPerBatch is how often a batch that deadlocks, cannot be serialized or waits too long for a lock is tried.
	attemptsPerBatch = 8
	lockFor          = 30 * time.Second
)

// session is one connection at a time to one database.
type session struct {
	in     engine.Input
	config *pgx.ConnConfig
	conn   *pgx.Conn
	// identity is what the server said first; every later connection must say the same.
	identity string
	// started is when the server of the current connection was started.
	started time.Time
	locked  bool
	// witness counts what a batch has changed and finds unchanged, should its commit be in doubt. Each batch sets its own.
	witness func(context.Context) (int64, error)
	// holds are the Plan's, once they are resolved; erasure is what Find found.
	holds   *holds
	erasure *erasure
}

// batch runs do in a transaction and commits it. It tells progress before and after the commit. What is known to be
// curable by waiting is tried again: deadlocks, serialization failures, lock timeouts, a lost connection. When the
// connection is lost during the commit, the server is asked how the transaction ended, so that the count stays exact.
// do returns the number of records that it changed; with zero, nothing is told.
func (s *session) batch(ctx context.Context, progress engine.Progress, do func(context.Context, pgx.Tx) (int64, error)) (int64, error) {
	for attempt := 1; ; attempt++ {
		n, err := s.try(ctx, progress, do)
		if err == nil {
			return n, nil
		}
		sanitized := sanitize(err)
		if !sanitized.Transient || attempt == attemptsPerBatch || ctx.Err() != nil {
			return 0, sanitized
		}
		if err := pause(ctx, attempt); err != nil {
			return 0, sanitized
		}
	}
}

// try is one attempt at a batch.
func (s *session) try(ctx context.Context, progress engine.Progress, do func(context.Context, pgx.Tx) (int64, error)) (int64, error) {
	if err := s.ensure(ctx); err != nil {
		return 0, err
	}
	tx, err := s.conn.Begin(ctx)
	if err != nil {
		return 0, err
	}
	s.witness = nil
	n, err := do(ctx, tx)
	if err != nil || n == 0 {
		return 0, errors.Join(err, ignoreClosed(tx.Rollback(context.WithoutCancel(ctx))))
	}
	var xid string
	if err := tx.QueryRow(ctx, "SELECT pg_current_xact_id()::text").Scan(&xid); err != nil {
		return 0, errors.Join(err, ignoreClosed(tx.Rollback(context.WithoutCancel(ctx))))
	}
	if err := progress.InFlight(n); err != nil {
		return 0, errors.Join(err, ignoreClosed(tx.Rollback(context.WithoutCancel(ctx))))
	}
	// A stop must not tear a commit apart: it is on its way, and takes no time.
	if err := tx.Commit(context.WithoutCancel(ctx)); err != nil {
		committed, askErr := s.outcome(context.WithoutCancel(ctx), xid, n, err)
		switch {
		case askErr != nil:
			return 0, &engine.Error{Reason: engine.ReasonOf(askErr)} // in doubt: the receipt keeps the batch in flight
		case !committed:
			progress.RolledBack()
			return 0, err
		}
	}
	progress.Committed(n, 0)
	return n, nil
}

// outcome asks the server how a transaction ended that changed n records and whose commit returned an error.
//
// A server that crashed may not remember the transaction: if nothing of it had reached the disk, its number is still to come,
// or was given to another transaction since. So a number that is said to be committed is believed only if the records are
// indeed no longer there.
func (s *session) outcome(ctx context.Context, xid string, n int64, commitErr error) (committed bool, err error) {
	if isServerError(commitErr) {
		return false, nil // the server itself refused the commit
	}
	started := s.started
	s.drop()
	deadline := time.Now().Add(reconnectFor)
	for attempt := 1; ; attempt++ {
		status, err := s.status(ctx, xid)
		if err == nil && status == "committed" {
			var done bool
			if done, err = s.believe(ctx, started, n); err == nil {
				return done, nil
			}
		}
		switch {
		case err == nil && status == "aborted":
			return false, nil
		case err == nil && status == "": // too old to be known: it cannot be, but then it is not known
			return false, engine.Fail(receipt.Unreachable, "")
		case err != nil && !sanitize(err).Transient, time.Now().After(deadline):
			return false, sanitize(err)
		}
		if err := pause(ctx, attempt); err != nil {
			return false, sanitize(err)
		}
	}
}

// believe says whether a transaction that is said to be committed, and changed n records, can be ours.
func (s *session) believe(ctx context.Context, started time.Time, n int64) (bool, error) {
	if s.witness == nil {
		if !s.started.Equal(started) {
			return false, engine.Fail(receipt.Unreachable, "") // nobody can tell
		}
		return true, nil
	}
	still, err := s.witness(ctx)
	return 2*still < n, err // one or the other might have come or gone meanwhile
}

// status is the server's word on a transaction: committed, aborted, in progress; empty if it is too old to be known.
func (s *session) status(ctx context.Context, xid string) (string, error) {
	if err := s.ensure(ctx); err != nil {
		return "", err
	}
	var status *string
	err := s.conn.QueryRow(ctx, "SELECT pg_xact_status($1::text::xid8)", xid).Scan(&status)
	var server *pgconn.PgError
	switch {
	case errors.As(err, &server) && server.Code == "22023": // "transaction ID is in the future": forgotten in a crash
		return "aborted", nil
	case err != nil || status == nil:
		return "", err
	}
	return *status, nil
}

// counting is a witness: it counts by a query.
func (s *session) counting(sql string, a arguments) func(context.Context) (int64, error) {
	return func(ctx context.Context) (n int64, err error) {
		if err := s.ensure(ctx); err != nil {
			return 0, err
		}
		err = s.conn.QueryRow(ctx, sql, a...).Scan(&n)
		return n, err
	}
}

// read runs do on the connection outside a transaction, and again on a new one if it is lost. do must change nothing.
func (s *session) read(ctx context.Context, do func(context.Context, *pgx.Conn) error) error {
	for attempt := 1; ; attempt++ {
		err := s.ensure(ctx)
		if err == nil {
			err = do(ctx, s.conn)
		}
		if err == nil {
			return nil
		}
		sanitized := sanitize(err)
		if !sanitized.Transient || attempt == attemptsPerBatch || ctx.Err() != nil {
			return sanitized
		}
		if err := pause(ctx, attempt); err != nil {
			return sanitized
		}
	}
}

// scan is read with the scan timeout in place of the statement timeout: for statements that read a whole table.
func (s *session) scan(ctx context.Context, do func(context.Context, pgx.Tx) error) error {
	return s.read(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		tx, err := conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		timeout := milliseconds(s.in.Plan.Limits.ScanTimeoutMilliseconds)
		if _, err := tx.Exec(ctx, "SELECT set_config('statement_timeout', $1, true)", timeout); err != nil {
			return err
		}
		return do(ctx, tx)
	})
}

// drop gives up a connection that no longer works.
func (s *session) drop() {
	if s.conn != nil {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = s.conn.Close(ctx)
		s.conn = nil
	}
}

// Close gives the lock back with the connection.
func (s *session) Close() { s.drop() }

// pause waits before another attempt: longer each time, never the same for two processes that got in each other's way.
func pause(ctx context.Context, attempt int) error {
	wait := min(50*time.Millisecond<<min(attempt, 10), 5*time.Second)
	wait = wait/2 + rand.N(wait) // jitter needs no secrecy
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(wait):
		return nil
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, pgx.ErrTxClosed) {
		return nil
	}
	return err
}
