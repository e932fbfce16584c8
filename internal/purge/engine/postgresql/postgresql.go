// SPDX-License-Identifier: Apache-2.0

// Package postgresql purges PostgreSQL databases of version 14 or later.
//
// A process holds one connection. Work is done in batches of one transaction each; identifiers are quoted and values are
// bound. Errors are reduced to a reason, a SQLSTATE and the names of schema objects, since a message may print a value.
package postgresql

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// minVersion is the first version that reads ranges of ctid without scanning the whole table.
const minVersion = 140000

// advisoryKey is the class of our advisory locks; the object is the database, as advisory locks are per database.
const advisoryKey int64 = 0x72657465_6e74696f // "retentio"

// Engine is the PostgreSQL engine.
type Engine struct{}

// Connect opens a session. A purge tries for a minute, a probe for less: it is made again anyway. Wrong credentials and
// unknown databases fail at once.
func (Engine) Connect(ctx context.Context, in engine.Input) (engine.Session, error) {
	config, err := readConfig(in.ConnectionDir)
	if err != nil {
		return nil, err
	}
	prepareConfig(config, in)
	s := &session{in: in, config: config}
	limit := connectFor
	if in.Plan.Kind == plan.Probe {
		limit = probeFor
	}
	if err := s.connect(ctx, limit); err != nil {
		return nil, err
	}
	return s, nil
}

// ensure makes sure that there is a connection, for as long as a server may take to come back.
func (s *session) ensure(ctx context.Context) error {
	if s.conn != nil && !s.conn.IsClosed() {
		return nil
	}
	s.drop()
	return s.connect(ctx, reconnectFor)
}

// connect tries to connect until limit has passed. On a server that is not the one of before, or is too old, or without
// the lock that we held, no connection is made.
func (s *session) connect(ctx context.Context, limit time.Duration) error {
	deadline := time.Now().Add(limit)
	for attempt := 1; ; attempt++ {
		err := s.dial(ctx)
		if err == nil {
			return nil
		}
		s.drop()
		sanitized := sanitize(err)
		if !sanitized.Transient || time.Now().After(deadline) {
			return sanitized
		}
		if err := pause(ctx, attempt); err != nil {
			return sanitized
		}
	}
}

func (s *session) dial(ctx context.Context) error {
	conn, err := pgx.ConnectConfig(ctx, s.config)
	if err != nil {
		return err
	}
	s.conn = conn
	var version int
	if err := conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int, pg_postmaster_start_time()").Scan(&version, &s.started); err != nil {
		return err
	}
	if version < minVersion {
		return engine.Fail(receipt.VersionNotSupported, "")
	}
	server, err := s.ask(ctx)
	switch {
	case err != nil:
		return err
	case s.identity == "":
		s.identity = server.Identity
	case s.identity != server.Identity:
		return engine.Fail(receipt.IdentityChanged, "")
	}
	if err := s.guard(ctx); err != nil {
		return err
	}
	if s.locked { // the server gave our lock up with the connection
		return s.lockOn(ctx)
	}
	return nil
}

// guard makes sure of two things that a connection's parameters cannot ask for. A role whose session_replication_role is
// replica deletes without foreign keys and triggers having a say. And a server that does not look whether its client is
// still there goes on with a scan, and holds our lock, for long after we are gone.
func (s *session) guard(ctx context.Context) error {
	var role string
	if err := s.conn.QueryRow(ctx, "SELECT current_setting('session_replication_role')").Scan(&role); err != nil {
		return err
	}
	if role != "origin" {
		if _, err := s.conn.Exec(ctx, "SET session_replication_role = origin"); err != nil {
			var server *pgconn.PgError
			if errors.As(err, &server) {
				return engine.Fail(receipt.PermissionDenied, "session_replication_role")
			}
			return err
		}
	}
	// Not every system that a server runs on can do this.
	_, err := s.conn.Exec(ctx, "SET client_connection_check_interval = '10s'")
	var server *pgconn.PgError
	if errors.As(err, &server) && server.SeverityUnlocalized == "ERROR" {
		return nil
	}
	return err
}

// Server asks for the server's version, identity and clock.
func (s *session) Server(ctx context.Context) (engine.Server, error) {
	var server engine.Server
	err := s.read(ctx, func(ctx context.Context, _ *pgx.Conn) (err error) {
		server, err = s.ask(ctx)
		return err
	})
	return server, err
}

// ask reads the identity: the cluster's system identifier, which replicas share and restored copies keep, with the
// database's OID and name. Where a managed service does not let us call pg_control_system, the OID and name have to do,
// with the OID of the oldest role that is not built in, and the identity says so by its first word.
func (s *session) ask(ctx context.Context) (engine.Server, error) {
	var server engine.Server
	var database string
	var oid uint32
	var now time.Time
	var allowed bool
	before := s.in.Clock()
	err := s.conn.QueryRow(ctx, `
		SELECT current_setting('server_version'), d.oid, d.datname, clock_timestamp(),
		       has_function_privilege('pg_control_system()', 'EXECUTE')
		FROM pg_database d WHERE d.datname = current_database()`).Scan(&server.Version, &oid, &database, &now, &allowed)
	if err != nil {
		return server, err
	}
	after := s.in.Clock()
	server.Skew = now.Sub(before.Add(after.Sub(before) / 2))
	who := "SELECT system_identifier::text FROM pg_control_system()"
	if !allowed {
		who = "SELECT 'unknown-' || coalesce(min(oid::bigint), 0) FROM pg_catalog.pg_roles WHERE oid::bigint >= 16384"
	}
	var cluster string
	if err := s.conn.QueryRow(ctx, who).Scan(&cluster); err != nil {
		return server, err
	}
	server.Identity = cluster + "/" + strconv.FormatUint(uint64(oid), 10) + "/" + database
	return server, nil
}

// Lock takes an advisory lock of the session, for half a minute if somebody else has it.
func (s *session) Lock(ctx context.Context) error {
	deadline := time.Now().Add(lockFor)
	for attempt := 1; ; attempt++ {
		err := s.read(ctx, func(ctx context.Context, _ *pgx.Conn) error { return s.lockOn(ctx) })
		if err == nil {
			s.locked = true
			return nil
		}
		if engine.ReasonOf(err) != receipt.WriterActive || time.Now().After(deadline) {
			return err
		}
		if err := pause(ctx, attempt+4); err != nil {
			return engine.Fail(receipt.Interrupted, "")
		}
	}
}

func (s *session) lockOn(ctx context.Context) error {
	var got bool
	if err := s.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", advisoryKey).Scan(&got); err != nil {
		return err
	}
	if !got {
		return &engine.Error{Reason: receipt.WriterActive, Transient: s.locked}
	}
	return nil
}

func milliseconds(n int64) string { return fmt.Sprintf("%d", n) }
