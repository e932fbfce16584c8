// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/testing/apiserver"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// runPlugin makes this test binary the plugin.
const runPlugin = "RUN_PLUGIN"

func TestMain(m *testing.M) {
	if os.Getenv(runPlugin) != "" {
		os.Exit(plugin())
	}
	apiserver.Run(m)
}

// plugin does what main does.
func plugin() int {
	err := PluginCommand("v1").Execute()
	var exit *ExitError
	switch {
	case errors.As(err, &exit):
		if exit.Err != nil {
			fmt.Fprintln(os.Stderr, "Error:", exit.Err)
		}
		return exit.Code
	case err != nil:
		fmt.Fprintln(os.Stderr, "Error:", err)
		return 1
	}
	return 0
}

// alone runs the plugin in an environment without anything: no HOME, no KUBECONFIG, no PATH.
func alone(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = []string{runPlugin + "=1"}
	cmd.Dir = "/"
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // its exit code says what came of it
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// written writes a file of a test.
func written(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(path, content, 0o600))
	return path
}

func TestVerifyOffline(t *testing.T) {
	k := newCourt(t)
	name := filepath.Join(t.TempDir(), "bundle.json")
	_, _, err := k.call("evidence", "get", "telemetry", "-f", name)
	must(t, err)
	out, errs, code := alone(t, "verify", name, "--keys", k.keys, "--utc")
	if code != 0 || errs != "" {
		t.Fatalf("got %d, %s, %s", code, out, errs)
	}
	for _, want := range []string{
		fmt.Sprintf("GENUINE: entry %d, Conclusion (how it ended: %s policy/telemetry, run telemetry-20261120020000), level Deleted.", k.conclusion.Index, k.ns),
		"It says: Deleted: all that was due or found is deleted, and a look afterwards found nothing left.",
		"3 deleted, 0 remaining", "orders: 3 due, 3 deleted, 0 left", "What this proves:", "of the ledger " + ledgertest.Origin, "the witness " + witnessName + " has seen it",
		"What this does not prove:", "nobody has declared for how long backups are kept",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("there are colours in a pipe")
	}
	out, _, code = alone(t, "verify", name, "--keys", k.keys, "-o", "yaml")
	if code != 0 || !strings.Contains(out, "genuine: true") {
		t.Errorf("got %d, %s", code, out)
	}
	dir := filepath.Join(t.TempDir(), "ledger")
	_, _, err = k.call("evidence", "export", dir)
	must(t, err)
	if out, errs, code = alone(t, "verify", dir, "--keys", k.keys, "--require-witness"); code != 0 || errs != "" || !strings.Contains(out, "GENUINE: the ledger") {
		t.Errorf("got %d, %s, %s", code, out, errs)
	}
}

// TestVerifyRefuses: each kind of tampering has its own message, and the exit code 1.
func TestVerifyRefuses(t *testing.T) {
	k := newCourt(t)
	name := filepath.Join(t.TempDir(), "bundle.json")
	_, _, err := k.call("evidence", "get", "telemetry", "-f", name)
	must(t, err)
	genuine, err := os.ReadFile(name)
	must(t, err)
	other := filepath.Join(t.TempDir(), "other.json")
	_, _, err = k.call("evidence", "get", "--index", fmt.Sprint(k.result.Index), "-f", other)
	must(t, err)
	text, err := os.ReadFile(other)
	must(t, err)
	second, err := evidence.DecodeBundle(text)
	must(t, err)
	stranger := ledgertest.NewKeys(t)

	// Those that cannot be told from each other.
	like := map[string]string{"an entry of another": "a statement of another", "the checkpoint's size": "the ledger's signature"}
	seen := map[string]string{}
	for tamper, change := range map[string]func(b *evidence.Bundle) []byte{
		"a count changed": func(b *evidence.Bundle) []byte {
			payload, err := base64.StdEncoding.DecodeString(b.Envelope.Payload)
			must(t, err)
			changed := bytes.Replace(payload, []byte(`"deleted":3`), []byte(`"deleted":9`), 1)
			b.Envelope.Payload = base64.StdEncoding.EncodeToString(changed)
			return nil
		},
		"a statement of another": func(b *evidence.Bundle) []byte { b.Envelope = second.Envelope; return nil },
		"a proof of another":     func(b *evidence.Bundle) []byte { b.Proof = second.Proof; return nil },
		"an entry of another":    func(b *evidence.Bundle) []byte { b.Leaf = second.Leaf; return nil },
		"the checkpoint's size":  func(b *evidence.Bundle) []byte { b.Proof = strings.Replace(b.Proof, "\n5\n", "\n6\n", 1); return nil },
		"the payload's type":     func(b *evidence.Bundle) []byte { b.Envelope.PayloadType = "text/plain"; return nil },
		"the media type":         func(b *evidence.Bundle) []byte { b.MediaType = "application/json"; return nil },
		"a second signature": func(b *evidence.Bundle) []byte {
			b.Envelope.Signatures = append(b.Envelope.Signatures, second.Envelope.Signatures...)
			return nil
		},
		"no signature":            func(b *evidence.Bundle) []byte { b.Envelope.Signatures = nil; return nil },
		"something after the end": func(*evidence.Bundle) []byte { return append(bytes.Clone(genuine), '{') },
		"a field more": func(*evidence.Bundle) []byte {
			return bytes.Replace(genuine, []byte(`"leaf"`), []byte(`"note": 1, "leaf"`), 1)
		},
		"no evidence at all": func(*evidence.Bundle) []byte { return []byte("%PDF-1.7") },
		"signed by somebody else": func(b *evidence.Bundle) []byte {
			s, _, err := evidence.Payload(&b.Envelope)
			must(t, err)
			b.Envelope = *stranger.Sign(t, s)
			return nil
		},
		"the witness's signature": func(b *evidence.Bundle) []byte { b.Proof = breakLine(b.Proof, "— "+witnessName); return nil },
		"the ledger's signature":  func(b *evidence.Bundle) []byte { b.Proof = breakLine(b.Proof, "— "+ledgertest.Origin); return nil },
		"the name of the ledger": func(b *evidence.Bundle) []byte {
			b.Proof = strings.Replace(b.Proof, ledgertest.Origin+"\n", "example.com/log\n", 1)
			return nil
		},
		"an index beyond its size": func(b *evidence.Bundle) []byte {
			b.Proof = strings.Replace(b.Proof, "index 2\n", "index 7\n", 1)
			return nil
		},
	} {
		t.Run(tamper, func(t *testing.T) {
			b, err := evidence.DecodeBundle(genuine)
			must(t, err)
			file := change(b)
			if file == nil {
				file, err = b.Encode()
				must(t, err)
			}
			if bytes.Equal(file, genuine) {
				t.Fatal("nothing was changed")
			}
			path := written(t, "bundle.json", file)
			out, code, err := call(t, "", "verify", path, "--keys", k.keys)
			if code != 1 || !strings.HasPrefix(out, "REFUSED: ") {
				t.Fatalf("got %d, %s, %v", code, out, err)
			}
			kind := cmp.Or(like[tamper], tamper)
			if before, same := seen[out]; same && before != kind {
				t.Errorf("it says the same as for %q: %s", before, out)
			}
			seen[out] = kind
			out, code, _ = call(t, "", "verify", path, "--keys", k.keys, "-o", "json")
			var v verdict
			must(t, json.Unmarshal([]byte(out), &v))
			if code != 1 || v.Genuine || len(v.Problems) != 1 || v.Problems[0].Code == "" || v.Statement != nil {
				t.Errorf("got %d, %s", code, out)
			}
		})
	}
}

// breakLine changes the end of the line that begins so.
func breakLine(text, begin string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, begin) {
			raw := []byte(line)
			raw[len(raw)-8] ^= 1
			lines[i] = string(raw)
		}
	}
	return strings.Join(lines, "\n")
}

// TestVerifyCannotTell: what could not be checked is no refusal.
func TestVerifyCannotTell(t *testing.T) {
	keys := ledgertest.NewKeys(t)
	onlyStatement := evidence.FormatTrust(keys.Trust.Keys[:1])
	bundle := written(t, "bundle.json", []byte("{}"))
	trust := written(t, "keys.pem", keys.KeysPEM)
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no argument":        {nil, "write it as"},
		"no keys":            {[]string{bundle}, "--keys is missing"},
		"no bundle":          {[]string{"/none", "--keys", trust}, "no such file"},
		"no key file":        {[]string{bundle, "--keys", "/none"}, "no such file"},
		"a bad key file":     {[]string{bundle, "--keys", bundle}, "the keys in"},
		"no log key":         {[]string{bundle, "--keys", written(t, "k", onlyStatement)}, "none of a ledger"},
		"an unknown flag":    {[]string{bundle, "--key", trust}, "unknown flag"},
		"a folder":           {[]string{t.TempDir(), "--keys", trust}, "is no exported ledger"},
		"no such checkpoint": {[]string{t.TempDir(), "--keys", trust, "--checkpoint", "/none"}, "the checkpoint"},
		"of a bundle":        {[]string{bundle, "--keys", trust, "--checkpoint", trust}, "a bundle says nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			out, code, err := call(t, "", append([]string{"verify"}, tc.args...)...)
			if code != 2 || err == nil || !strings.Contains(err.Error(), tc.want) || out != "" {
				t.Errorf("got %d, %v, %s", code, err, out)
			}
		})
	}
}

func TestPlugin(t *testing.T) {
	for program, want := range map[string]bool{"kubectl-retention": true, "/usr/local/bin/kubectl-retention": true, "kubectl-retention.exe": true,
		"/retention-operator": false, "kubectl": false} {
		if IsPlugin(program) != want {
			t.Errorf("%s: %v", program, !want)
		}
	}
	out, _, code := alone(t, "--help")
	if code != 0 || !strings.Contains(out, "kubectl retention [command]") || strings.Contains(out, "manager") || !strings.Contains(out, "Exit codes: 0") {
		t.Errorf("got %d, %s", code, out)
	}
	if out, _, code = alone(t, "completion", "kubectl"); code != 0 || !strings.HasPrefix(out, "#!/bin/sh\nexec kubectl-retention __complete") {
		t.Errorf("got %d, %s", code, out)
	}
	if out, _, code = alone(t, "completion", "bash"); code != 0 || !strings.Contains(out, "kubectl-retention") {
		t.Errorf("got %d, %s", code, out)
	}
	if _, errs, code := alone(t, "status"); code != 1 || !strings.Contains(errs, "there is no kubeconfig") {
		t.Errorf("got %d, %s", code, errs)
	}
	if _, errs, code := alone(t, "stauts"); code != 1 || !strings.Contains(errs, "Did you mean this?") {
		t.Errorf("got %d, %s", code, errs)
	}
	for _, cmd := range PluginCommand("v1").Commands() {
		if cmd.Short == "" || cmd.Name() != "help" && cmd.Name() != "completion" && cmd.Long == "" && len(cmd.Commands()) == 0 {
			t.Errorf("%s has no help", cmd.Name())
		}
	}
}
