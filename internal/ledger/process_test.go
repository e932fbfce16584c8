// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/ledger"
	"dataretention.dev/retention-operator/internal/ledger/client"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// runLedger makes this test binary the ledger.
const runLedger = "RUN_LEDGER"

func TestMain(m *testing.M) {
	if os.Getenv(runLedger) == "" {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	cmd := ledger.Command()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true // as main's root command has it
	cmd.SetArgs(os.Args[1:])
	err := cmd.ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// installation is what a Pod of the ledger has: keys, a volume, and addresses.
type installation struct {
	ledgertest.Keys
	dir, files                 string // the volume; keys and trust
	listen, readListen, health string
	extra                      []string
}

func install(t *testing.T) *installation {
	t.Helper()
	i := &installation{Keys: ledgertest.NewKeys(t), dir: t.TempDir(), files: t.TempDir(),
		listen: freeAddress(t), readListen: freeAddress(t), health: freeAddress(t)}
	cert, key := certificate(t)
	i.write(t, "log.key", []byte(i.LogKey+"\n"))
	i.write(t, "tls.crt", cert)
	i.write(t, "tls.key", key)
	i.write(t, "keys.pem", i.KeysPEM)
	return i
}

func (i *installation) write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(i.files, name), content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func (i *installation) read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(i.files, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// client is one as a manager has.
func (i *installation) client(t *testing.T) *client.Client {
	t.Helper()
	config, err := ledger.MutualTLS(i.read(t, "tls.crt"), i.read(t, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}
	hc := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	t.Cleanup(hc.CloseIdleConnections)
	return client.New("https://"+i.listen, hc)
}

// process is a ledger that runs.
type process struct {
	cmd  *exec.Cmd
	out  *buffer
	done chan struct{}
}

func (i *installation) start(t *testing.T, args ...string) *process {
	t.Helper()
	p := i.prepare(t, os.Args[0], args...)
	p.run(t)
	return p
}

func (i *installation) prepare(t *testing.T, binary string, args ...string) *process {
	t.Helper()
	args = append([]string{"--path", i.dir, "--keys", i.files, "--trust", i.files, "--listen", i.listen,
		"--read-listen", i.readListen, "--health-listen", i.health}, append(i.extra, args...)...)
	p := &process{cmd: exec.CommandContext(t.Context(), binary, args...), out: &buffer{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), runLedger+"=1")
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	return p
}

func (p *process) run(t *testing.T) {
	t.Helper()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // its state says what came of it
		close(p.done)
	}()
	t.Cleanup(p.kill)
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// stop ends it as the kubelet does, and returns its exit code.
func (p *process) stop(t *testing.T) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		t.Fatal("it does not end")
	}
	return p.cmd.ProcessState.ExitCode()
}

// ready waits until the ledger is, or the process has ended.
func (p *process) ready(t *testing.T, i *installation) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !answers(t, "http://"+i.health+"/readyz") {
		select {
		case <-p.done:
			t.Fatalf("it has ended:\n%s", p.out)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("it does not get ready:\n%s", p.out)
		}
	}
}

func answers(t *testing.T, url string) bool {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	_ = answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

// buffer is what a process writes.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// certificate makes one as the manager does, as PEM.
func certificate(t *testing.T) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "retention-ledger"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}
