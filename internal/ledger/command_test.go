// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"crypto/tls"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
	"dataretention.dev/retention-operator/internal/ledger/client"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// TestCommand runs the command as a Pod does: keys that come later, managers by mutual TLS, readers, probes, and the end.
func TestCommand(t *testing.T) {
	i := install(t)
	logKey := i.read(t, "log.key")
	if err := os.Remove(filepath.Join(i.files, "log.key")); err != nil {
		t.Fatal(err)
	}
	p := i.start(t)
	waitFor(t, func() bool { return strings.Contains(p.out.String(), "waiting for the keys") })
	if !answers(t, "http://"+i.health+"/healthz") || answers(t, "http://"+i.health+"/readyz") {
		t.Error("a ledger that waits for keys is alive, and not ready")
	}
	i.write(t, "log.key", logKey)
	p.ready(t, i)

	e := i.Sign(t, ledgertest.Statement(evidence.Intent, "key", time.Now(), ledgertest.None))
	b, err := i.client(t).Append(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	i.Reference(t, b)
	reader := client.New("http://"+i.readListen, nil)
	if found, err := reader.Find(t.Context(), evidence.Intent, "key"); err != nil || found == nil {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := reader.Append(t.Context(), e); err == nil {
		t.Error("a reader may append")
	}
	strangers(t, i)
	if !answers(t, "http://"+i.health+"/metrics") {
		t.Error("no metrics")
	}

	// A renewed certificate counts from the next connection on.
	cert, key := certificate(t)
	i.write(t, "tls.key", key)
	i.write(t, "tls.crt", cert)
	if _, err := i.client(t).State(t.Context()); err != nil {
		t.Error(err)
	}
	if code := p.stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
	for _, line := range strings.Split(strings.TrimSpace(p.out.String()), "\n") {
		if !strings.HasPrefix(line, "{") {
			t.Errorf("not a line of JSON: %s", line)
		}
	}
	if strings.Contains(p.out.String(), "PRIVATE") {
		t.Error("the log shows a key")
	}
}

// strangers have no certificate, or one of their own.
func strangers(t *testing.T, i *installation) {
	t.Helper()
	cert, key := certificate(t)
	other, err := ledger.MutualTLS(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	trusting := other.Clone()
	trusting.VerifyConnection = nil // accepts the ledger, which does not accept it
	for name, config := range map[string]*tls.Config{
		"one with another certificate": other,
		"one who asks no questions":    trusting,
		"one without a certificate":    {MinVersion: tls.VersionTLS13, InsecureSkipVerify: true},
	} {
		transport := &http.Transport{TLSClientConfig: config}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+i.listen+ledger.PathState, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := transport.RoundTrip(r); err == nil {
			_ = answer.Body.Close()
			t.Errorf("%s was let in", name)
		}
		transport.CloseIdleConnections()
	}
}

// TestCommandRefuses ends with a message, and shows no key in it.
func TestCommandRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*installation)
		args   []string
		says   string
	}{
		"an unknown driver":   {nil, []string{"--driver", "tape"}, "there is no driver \"tape\""},
		"no data source name": {nil, []string{"--driver", "mysql"}, "needs --mysql-dsn-file"},
		"a key that is none":  {func(i *installation) { i.write(t, "log.key", []byte("PRIVATE+KEY+nonsense")) }, nil, "the ledger's key 1 cannot be read"},
		"no key":              {func(i *installation) { i.write(t, "log.key", nil) }, nil, "the ledger has no key"},
		"no certificate":      {func(i *installation) { i.write(t, "tls.crt", nil) }, nil, "reading the ledger's certificate"},
		"an address in use":   {func(i *installation) { i.readListen = i.listen }, nil, "listening for readers"},
	} {
		t.Run(name, func(t *testing.T) {
			i := install(t)
			if c.change != nil {
				c.change(i)
			}
			p := i.start(t, c.args...)
			<-p.done
			if code := p.cmd.ProcessState.ExitCode(); code != 1 || !strings.Contains(p.out.String(), c.says) {
				t.Errorf("exit code %d:\n%s", code, p.out)
			}
			if strings.Contains(p.out.String(), "nonsense") {
				t.Errorf("it shows the key:\n%s", p.out)
			}
		})
	}
}

// TestNewLogKey ends the process when its keys change, to be started again with them.
func TestNewLogKey(t *testing.T) {
	i := install(t)
	p := i.start(t)
	p.ready(t, i)
	i.write(t, "log.key", []byte(ledgertest.NewKeys(t).LogKey+"\n"+i.LogKey+"\n"))
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		t.Fatal("it goes on")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.out)
	}
}

// TestUnprivileged runs it as the image does: another user, and only the volume may be written.
func TestUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("changing the user takes root")
	}
	i := install(t)
	root, err := os.MkdirTemp("", "ledger-") //nolint:usetesting // that folder is for its owner alone
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	const nonroot = 65532
	i.dir = filepath.Join(root, "volume")
	files := filepath.Join(root, "files")
	if err := errors.Join(os.Chmod(root, 0o755), os.Mkdir(i.dir, 0o700), os.Chown(i.dir, nonroot, nonroot), os.CopyFS(files, os.DirFS(i.files))); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"log.key", "tls.crt", "tls.key", "keys.pem"} {
		if err := os.Chown(filepath.Join(files, name), nonroot, nonroot); err != nil {
			t.Fatal(err)
		}
	}
	i.files = files
	binary := filepath.Join(root, "ledger")
	if err := copyFile(os.Args[0], binary); err != nil {
		t.Fatal(err)
	}
	p := i.prepare(t, binary)
	p.cmd.Env = append(p.cmd.Env, "TMPDIR=/nonexistent")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nonroot, Gid: nonroot}}
	p.run(t)
	p.ready(t, i)
	if _, err := i.client(t).Append(t.Context(), i.Sign(t, ledgertest.Statement(evidence.Intent, "key", time.Now(), ledgertest.None))); err != nil {
		t.Error(err)
	}
	if code := p.stop(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, p.out)
	}
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}
