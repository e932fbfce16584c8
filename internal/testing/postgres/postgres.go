// SPDX-License-Identifier: Apache-2.0

// Package postgres gives tests a real PostgreSQL server, one per test binary:
//
//	func TestMain(m *testing.M) { postgres.Run(m) }
//
//	func TestSomething(t *testing.T) {
//		srv := postgres.Get(t)
//		dsn := srv.Database(t)
//		conn := postgres.Connect(t, dsn)
//		dir := srv.Connection(t, dsn) // what a purge Pod mounts
//	}
//
// The server starts with the first Get, listens on 127.0.0.1 alone, and forgets all when it stops. It survives neither
// a crash of the machine (fsync is off) nor the end of the test binary.
package postgres

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/testing/fixture"
)

// password is that of the superuser postgres and of every Role.
const password = "not-a-secret"

// Server is a running PostgreSQL server.
type Server struct {
	// Port is the TCP port of 127.0.0.1. It changes if the server has to be started anew.
	Port int
	// Version is the number that server_version_num has, such as 150018.
	Version int

	dir     string // parent of the data directory, the log and the password file
	bin     string
	process *process
}

var (
	shared fixture.Shared[Server]
	serial atomic.Int64
)

// Run runs the tests of a package, stops the server if one of them started it, and ends the process.
func Run(m *testing.M) { shared.Run(m, (*Server).stop) }

// Get returns the server of this test binary and starts it if need be. The package's TestMain must call Run.
func Get(tb testing.TB) *Server {
	tb.Helper()
	return shared.Get(tb, start)
}

// Database makes an empty database and returns the DSN of its owner, the superuser.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	name := fmt.Sprintf("test_%d", serial.Add(1))
	Exec(tb, Connect(tb, s.DSN("postgres")), "CREATE DATABASE "+name)
	return s.DSN(name)
}

// DSN is how the superuser reaches a database.
func (s *Server) DSN(database string) string {
	u := url.URL{Scheme: "postgres", User: url.UserPassword("postgres", password), Path: "/" + database,
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)), RawQuery: "sslmode=disable"}
	return u.String()
}

// Role makes a role that may log in and has no rights, and returns its name and the DSN with which it reaches the
// database of dsn. The role goes with the server.
func (s *Server) Role(tb testing.TB, dsn string) (name, its string) {
	tb.Helper()
	name = fmt.Sprintf("role_%d", serial.Add(1))
	Exec(tb, Connect(tb, dsn), fmt.Sprintf("CREATE ROLE %s LOGIN PASSWORD '%s'", name, password))
	u, err := url.Parse(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	u.User = url.UserPassword(name, password)
	return name, u.String()
}

// Connection writes the files of a Service Binding for dsn, as a purge Pod mounts them, and returns their folder.
func (s *Server) Connection(tb testing.TB, dsn string) string {
	tb.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		tb.Fatal(err)
	}
	secret, _ := u.User.Password()
	dir := tb.TempDir()
	for key, value := range map[string]string{
		"host": u.Hostname(), "port": u.Port(), "database": strings.TrimPrefix(u.Path, "/"),
		"username": u.User.Username(), "password": secret,
	} {
		if err := os.WriteFile(filepath.Join(dir, key), []byte(value), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

// Connect opens a connection that ends with the test.
func Connect(tb testing.TB, dsn string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(tb.Context(), dsn)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close(tb.Context()) }) // its context is over by then: close at once
	return conn
}

// Exec executes any number of statements without arguments.
func Exec(tb testing.TB, conn *pgx.Conn, sql string) {
	tb.Helper()
	if err := conn.PgConn().Exec(tb.Context(), sql).Close(); err != nil {
		tb.Fatalf("%v: %.200s", err, sql)
	}
}

// Value returns the one value of a query's one row.
func Value[T any](tb testing.TB, conn *pgx.Conn, sql string, args ...any) T {
	tb.Helper()
	var v T
	if err := conn.QueryRow(tb.Context(), sql, args...).Scan(&v); err != nil {
		tb.Fatalf("%v: %.200s", err, sql)
	}
	return v
}

// Kill9 kills the server and all its processes without warning, as a node's end would.
func (s *Server) Kill9(tb testing.TB) {
	tb.Helper()
	if err := s.process.kill(); err != nil {
		tb.Fatal(err)
	}
}

// Restart starts a server that was killed, or stops and starts one that runs, on the same port.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	if err := errors.Join(s.process.stop(), s.launch()); err != nil {
		tb.Fatal(err)
	}
}

// freePort asks the kernel for a port that nobody listens on, which somebody else may take before we do.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}

// startTimeout is generous: other packages may be using the machine, and a crash's recovery takes its time.
const startTimeout = 2 * time.Minute

func (s *Server) stop() error { return errors.Join(s.process.stop(), os.RemoveAll(s.dir)) }
