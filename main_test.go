// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"crypto/rand"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"dataretention.dev/retention-operator/internal/subject"
)

// runMain makes this test binary the program.
const runMain = "RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		os.Exit(run())
	}
	os.Exit(m.Run())
}

func TestVersion(t *testing.T) {
	version = "v1.2.3"
	var out bytes.Buffer
	cmd := newCommand()
	cmd.SetArgs([]string{"version"})
	cmd.SetOut(&out)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "v1.2.3\n" {
		t.Errorf("got %q", got)
	}
}

// TestExitCodes has the binary's own main answer: a script that asks whether a request was about somebody relies on it.
func TestExitCodes(t *testing.T) {
	commitment, err := subject.Commit(rand.Reader, subject.Identifier{Type: "email", Value: "anna@example.com"})
	if err != nil {
		t.Fatal(err)
	}
	for stdin, want := range map[string]struct {
		code           int
		stdout, stderr string
	}{
		"email=anna@example.com": {0, "Yes: ", ""},
		"email=b@example.com":    {1, "No: ", ""},
		"anna@example.com":       {2, "", "Error: reading the identifiers: line 1"},
	} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "verify-subject", "--commitment", commitment)
		cmd.Env = append(os.Environ(), runMain+"=1")
		var stdout, stderr bytes.Buffer
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
		_ = cmd.Run() // its exit code says what came of it
		if got := cmd.ProcessState.ExitCode(); got != want.code {
			t.Errorf("%s: exit code %d, want %d", stdin, got, want.code)
		}
		if !strings.HasPrefix(stdout.String(), want.stdout) || !strings.HasPrefix(stderr.String(), want.stderr) || (want.stderr == "") != (stderr.Len() == 0) {
			t.Errorf("%s: it prints %q and %q", stdin, stdout.String(), stderr.String())
		}
	}
}

func TestCommands(t *testing.T) {
	cmd := newCommand()
	for _, want := range []string{"manager", "purge", "version", "seal", "verify-subject", "approve", "deny", "hold"} {
		if sub, _, err := cmd.Find([]string{want}); err != nil || sub.Name() != want {
			t.Errorf("there is no command %s: %v", want, err)
		}
	}
	cmd.SetArgs([]string{"mangaer"})
	cmd.SetOut(io.Discard)
	if err := cmd.ExecuteContext(t.Context()); err == nil {
		t.Error("an unknown command is no error")
	}
}
