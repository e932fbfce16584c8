// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// process is a postmaster that this test binary started.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// findServer returns the folder of the newest server's programs.
func findServer() (string, error) {
	best, version := "", -1
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // the pattern is good
	for _, path := range dirs {
		dir := filepath.Dir(path)
		if v, err := strconv.Atoi(filepath.Base(filepath.Dir(dir))); err == nil && v > version {
			best, version = dir, v
		}
	}
	if best != "" {
		return best, nil
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", errors.New("no PostgreSQL server under /usr/lib/postgresql or in PATH: apt-get install postgresql")
}

// serverUser is the user to run the server as, since it refuses to run as root; nil for the current one.
func serverUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("the server cannot run as root, and there is no user postgres: apt-get install postgresql: %w", err)
	}
	uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(uidErr, gidErr)
}

// start makes a database cluster and starts a server.
func start() (_ *Server, err error) {
	bin, err := findServer()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin}
	if s.dir, err = os.MkdirTemp("", "postgres-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(s.dir)
		}
	}()
	pwfile := filepath.Join(s.dir, "pw")
	if err := os.WriteFile(pwfile, []byte(password), 0o600); err != nil {
		return nil, err
	}
	who, err := serverUser()
	if err != nil {
		return nil, err
	}
	if who != nil {
		if err := errors.Join(os.Chown(s.dir, int(who.Uid), int(who.Gid)), os.Chown(pwfile, int(who.Uid), int(who.Gid))); err != nil {
			return nil, err
		}
	}
	cmd := s.command(who, "initdb", "-D", s.data(), "-U", "postgres", "-A", "scram-sha-256", "--pwfile", pwfile,
		"--no-sync", "-E", "UTF8", "--locale=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	if shareWith.network != "" {
		if err := s.admit(shareWith.network); err != nil {
			return nil, err
		}
	}
	return s, s.launch()
}

// shareWith is what Share was told.
var shareWith struct{ address, network string }

// Share makes the server listen on a further address as well, and let the clients of a network in: the Pods of a cluster
// on this machine. It has to be called before the first Get.
func Share(address, network string) { shareWith.address, shareWith.network = address, network }

// admit lets the clients of a network in, with their passwords.
func (s *Server) admit(network string) error {
	f, err := os.OpenFile(filepath.Join(s.data(), "pg_hba.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "host all all %s scram-sha-256\n", network)
	return errors.Join(err, f.Close())
}

// addresses are what the server listens on.
func addresses() string {
	if shareWith.address != "" {
		return "127.0.0.1," + shareWith.address
	}
	return "127.0.0.1"
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }
func (s *Server) log() string  { return filepath.Join(s.dir, "log") }

// command prepares a program of the server. It is told to quit when this process dies: a test that runs into its
// timeout, or is killed, stops nothing itself.
func (s *Server) command(who *syscall.Credential, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir = s.dir
	cmd.Env = []string{"LC_ALL=C", "PATH=" + os.Getenv("PATH")} // no PG* of the person who runs the tests
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who, Pdeathsig: syscall.SIGQUIT}
	return cmd
}

// launch starts the server on the data directory and waits until it answers. The port of a first start may be taken
// by somebody between our look and the server's; then another one is tried.
func (s *Server) launch() error {
	who, err := serverUser()
	if err != nil {
		return err
	}
	fixed := s.Port != 0
	for attempt := 1; ; attempt++ {
		if !fixed {
			if s.Port, err = freePort(); err != nil {
				return err
			}
		}
		err := s.launchOnce(who)
		if err == nil || attempt == 10 {
			return err
		}
		time.Sleep(200 * time.Millisecond) // processes of a killed server may still be on their way out
	}
}

func (s *Server) launchOnce(who *syscall.Credential) error {
	cmd := s.command(who, "postgres", "-D", s.data(), "-c", "listen_addresses="+addresses(), "-c", "port="+strconv.Itoa(s.Port),
		"-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "full_page_writes=off",
		"-c", "max_wal_size=4GB", "-c", "max_connections=50", "-c", "shared_buffers=64MB", "-c", "autovacuum=off")
	log, err := os.Create(s.log())
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the server has its own descriptor
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &process{cmd: cmd, done: make(chan struct{})}
	go func() { _ = cmd.Wait(); close(p.done) }()
	s.process = p
	deadline := time.Now().Add(startTimeout)
	for {
		err := s.ping()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("the server ended: %s", s.tail())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("the server does not answer: %w: %s", err, s.tail()), p.stop())
		}
	}
}

func (s *Server) ping() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		return err
	}
	err = conn.QueryRow(ctx, "SELECT current_setting('server_version_num')::int").Scan(&s.Version)
	return errors.Join(err, conn.Close(ctx))
}

// tail is the end of the server's log.
func (s *Server) tail() string {
	b, _ := os.ReadFile(s.log())
	return string(b[max(0, len(b)-2000):])
}

// stop ends the server at once and in order, if it runs.
func (p *process) stop() error {
	select {
	case <-p.done:
		return nil
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGINT) // fast shutdown; an error means that it has just ended
	select {
	case <-p.done:
		return nil
	case <-time.After(30 * time.Second):
		return p.kill()
	}
}

// kill kills the postmaster, then its children, which would only notice its death when they next wait for something.
func (p *process) kill() error {
	pid := p.cmd.Process.Pid
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return err
	}
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	for _, child := range strings.Fields(string(b)) {
		if id, err := strconv.Atoi(child); err == nil {
			_ = syscall.Kill(id, syscall.SIGKILL) // it may have gone with its parent
		}
	}
	<-p.done
	return nil
}
