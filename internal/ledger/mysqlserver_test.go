// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/ledger"
)

// mysqlServer is a MariaDB of one test, on 127.0.0.1 alone.
type mysqlServer struct {
	dir, address string
	who          *syscall.Credential
	cmd          *exec.Cmd
	done         chan struct{}
}

func startMySQL(t testing.TB) *mysqlServer {
	t.Helper()
	dir, err := os.MkdirTemp("", "mariadb-") //nolint:usetesting // that folder is for its owner alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &mysqlServer{dir: dir, address: freeAddress(t), done: make(chan struct{})}
	if os.Geteuid() == 0 { // the server refuses to run as root
		u, err := user.Lookup("mysql")
		if err != nil {
			t.Fatalf("there is no user mysql; hack/tools/mysql.sh installs MariaDB: %v", err)
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr, os.Chown(dir, int(uid), int(gid))); err != nil {
			t.Fatal(err)
		}
		s.who = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	install := s.command(t, "mariadb-install-db", "--no-defaults", "--datadir="+s.data(), "--auth-root-authentication-method=normal", "--skip-test-db")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v; hack/tools/mysql.sh installs MariaDB: %s", err, out)
	}
	t.Cleanup(s.kill)
	s.start(t)
	return s
}

func (s *mysqlServer) data() string { return filepath.Join(s.dir, "data") }

// command prepares a program of the server, which dies with this process.
func (s *mysqlServer) command(t testing.TB, program string, args ...string) *exec.Cmd {
	t.Helper()
	if path, err := exec.LookPath(program); err == nil {
		program = path
	} else {
		program = filepath.Join("/usr/sbin", program)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, args...)
	cmd.Dir, cmd.Env = s.dir, []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin", "HOME=" + s.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.who, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (s *mysqlServer) start(t testing.TB) {
	t.Helper()
	_, port, err := net.SplitHostPort(s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.cmd, s.done = s.command(t, "mariadbd", "--no-defaults", "--datadir="+s.data(), "--bind-address=127.0.0.1", "--port="+port,
		"--socket="+filepath.Join(s.dir, "socket"), "--skip-log-bin", "--skip-name-resolve", "--innodb-buffer-pool-size=32M"), make(chan struct{})
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := s.done
	go func() { _ = s.cmd.Wait(); close(done) }()
	db := s.open(t, "")
	waitFor(t, func() bool { return db.PingContext(t.Context()) == nil })
}

// kill is kill -9.
func (s *mysqlServer) kill() {
	if s.cmd != nil && s.cmd.Process != nil {
		_ = s.cmd.Process.Kill()
		<-s.done
	}
}

func (s *mysqlServer) dsn(database string) string {
	return fmt.Sprintf("root@tcp(%s)/%s", s.address, database)
}

func (s *mysqlServer) open(t testing.TB, database string) *sql.DB {
	t.Helper()
	db, err := sql.Open("mysql", s.dsn(database))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func (s *mysqlServer) exec(t testing.TB, database, statement string) {
	t.Helper()
	if _, err := s.open(t, database).ExecContext(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// options makes a database, and returns what a ledger needs to be kept there.
func (s *mysqlServer) options(t testing.TB, database string) func(*ledger.Options) {
	t.Helper()
	s.exec(t, "", "CREATE DATABASE "+database)
	return func(o *ledger.Options) {
		o.Driver, o.DSN, o.CheckpointInterval = ledger.DriverMySQL, s.dsn(database), time.Second
	}
}
