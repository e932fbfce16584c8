// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

func TestEvidenceGet(t *testing.T) {
	k := newCourt(t)
	file := func(t *testing.T) string { t.Helper(); return filepath.Join(t.TempDir(), "bundle.json") }
	for name, tc := range map[string]struct {
		args []string
		want evidence.Reference
	}{
		"a policy":               {[]string{"telemetry"}, k.conclusion},
		"a run":                  {[]string{"policy/telemetry", "--run", "telemetry-20261120020000"}, k.conclusion},
		"a part of it":           {[]string{"telemetry", "--datastore", "crm"}, k.result},
		"what was to be done":    {[]string{"telemetry", "--datastore", "crm", "--intent"}, k.intent},
		"a request":              {[]string{"case-2026-090"}, k.answer},
		"an index":               {[]string{"--index", fmt.Sprint(k.hold.Index)}, k.hold},
		"the first":              {[]string{"--index", "0"}, k.intent},
		"a digest":               {[]string{"--digest", k.result.Digest}, k.result},
		"of another namespace":   {[]string{"hold/case-9", "-n", "other"}, k.hold},
		"without its kind":       {[]string{"case-9", "-n", "other"}, k.hold},
		"a run of long ago":      {[]string{"telemetry", "--run", "telemetry-20261120020000"}, k.conclusion},
		"a part of one long ago": {[]string{"telemetry", "--run", "telemetry-20261120020000", "--datastore", "crm"}, k.result},
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(name, "long ago") {
				o := &operator{t, k.c, k.ns}
				was := &v1alpha1.RetentionPolicy{}
				o.policy("telemetry", func(p *v1alpha1.RetentionPolicy) { was = p.DeepCopy(); p.Status.LastRun = nil })
				defer o.policy("telemetry", func(p *v1alpha1.RetentionPolicy) { p.Status.LastRun = was.Status.LastRun })
			}
			name := file(t)
			out, _, err := k.call(append([]string{"evidence", "get", "-f", name}, tc.args...)...)
			must(t, err)
			if !strings.Contains(out, "Wrote "+name) || !strings.Contains(out, fmt.Sprintf("entry %d, %s", tc.want.Index, tc.want.Kind)) {
				t.Errorf("got %s", out)
			}
			out, code, err := call(t, "", "verify", name, "--keys", k.keys, "--require-witness", "-o", "json")
			if code != 0 {
				t.Fatalf("it does not verify: %v, %s", err, out)
			}
			var v verdict
			must(t, json.Unmarshal([]byte(out), &v))
			if !v.Genuine || *v.Index != tc.want.Index || v.Digest != tc.want.Digest || v.Witness != witnessName || v.Witnessed == nil {
				t.Errorf("got %s", out)
			}
		})
	}
	t.Run("to the standard output", func(t *testing.T) {
		out, _, err := k.call("evidence", "get", "telemetry", "-f", "-")
		must(t, err)
		if _, err := evidence.DecodeBundle([]byte(out)); err != nil {
			t.Errorf("got %s, %v", out, err)
		}
	})
	t.Run("to a name of its own", func(t *testing.T) {
		t.Chdir(t.TempDir())
		_, _, err := k.call("evidence", "get", "telemetry")
		must(t, err)
		if _, err := os.Stat(fmt.Sprintf("evidence-%d.json", k.conclusion.Index)); err != nil {
			t.Error(err)
		}
	})
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"nothing":            {nil, "say which statement"},
		"two things":         {[]string{"telemetry", "--index", "1"}, "say which statement"},
		"no such object":     {[]string{"missing"}, "neither the cluster nor the ledger has such a statement: missing"},
		"no such run":        {[]string{"telemetry", "--run", "x"}, "neither the cluster nor the ledger"},
		"no evidence yet":    {[]string{"billing"}, "has no signed evidence yet"},
		"never run":          {[]string{"tax"}, "no run of policy"},
		"no such datastore":  {[]string{"telemetry", "--datastore", "x"}, "has no datastore x"},
		"no such entry":      {[]string{"--index", "99"}, "there is no entry 99"},
		"no such digest":     {[]string{"--digest", "sha256:00"}, "sha256:00"},
		"a bad kind":         {[]string{"pod/x"}, "is no kind"},
		"no ledger there":    {[]string{"--index", "0", "--operator-namespace", "default"}, "give --operator-namespace"},
		"without the rights": {[]string{"--index", "0", "--as", "nobody"}, "retention-evidence-viewer"},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"evidence", "get", "-f", file(t), "--operator-namespace", k.ns}, tc.args...)
			if _, code, err := call(t, "", args...); err == nil || code != 1 || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %d, %v", code, err)
			}
		})
	}
}

// TestEvidenceThatDoesNotFit: what the ledger says is held against the status, the operator's checkpoint and the published keys.
func TestEvidenceThatDoesNotFit(t *testing.T) {
	k := newCourt(t)
	name := filepath.Join(t.TempDir(), "bundle.json")
	o := &operator{t, k.c, k.ns}
	o.policy("telemetry", func(p *v1alpha1.RetentionPolicy) { p.Status.LastRun.Evidence.Index = ptr.To(k.result.Index) })
	if _, code, err := k.call("evidence", "get", "telemetry", "-f", name); code != 1 || err == nil || !strings.Contains(err.Error(), "the status was edited") {
		t.Errorf("a status that was edited: %d, %v", code, err)
	}
	if _, err := os.Stat(name); err == nil {
		t.Error("it was written nevertheless")
	}

	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: k.ns, Name: checkpointName}}
	must(t, k.c.Get(t.Context(), client.ObjectKeyFromObject(cm), cm))
	was := cm.Data[checkpointKey]
	cm.Data[checkpointKey] = strings.Replace(was, "\n5\n", "\n4\n", 1) // the root is another's
	must(t, k.c.Update(t.Context(), cm))
	if _, code, err := k.call("evidence", "get", "--index", "0", "-f", name); code != 1 || err == nil || !strings.Contains(err.Error(), "is not genuine") {
		t.Errorf("another checkpoint: %d, %v", code, err)
	}
	must(t, k.c.Delete(t.Context(), cm))
	out, code, err := k.call("evidence", "get", "--index", "0", "-f", name)
	if code != 0 || !strings.Contains(out, "The proof has no witness") {
		t.Errorf("without a checkpoint: %d, %v, %s", code, err, out)
	}
	out, code, _ = call(t, "", "verify", name, "--keys", k.keys)
	if code != 0 || !strings.Contains(out, "no witness of your keys has cosigned") {
		t.Errorf("got %d, %s", code, out)
	}
	out, code, _ = call(t, "", "verify", name, "--keys", k.keys, "--require-witness")
	if code != 1 || !strings.Contains(out, "REFUSED: no witness that you trust has cosigned the checkpoint ("+witnessName+")") {
		t.Errorf("got %d, %s", code, out)
	}
}

func TestEvidenceList(t *testing.T) {
	k := newCourt(t)
	out, _, err := k.call("evidence", "list", "--utc")
	must(t, err)
	for _, want := range []string{"INDEX", "Intent", "Result", "Conclusion", "HoldEnforced", "policy/telemetry", "request/case-2026-090", "hold/case-9", "UTC"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %s:\n%s", want, out)
		}
	}
	for name, tc := range map[string]struct {
		args []string
		want []int64
	}{
		"all":            {nil, []int64{0, 1, 2, 3, 4}},
		"a kind":         {[]string{"--kind", "conclusion"}, []int64{2, 3}},
		"a namespace":    {[]string{"-n", "other"}, []int64{4}},
		"of today":       {[]string{"--since", time.Now().Add(-time.Hour).Format(time.RFC3339)}, []int64{0, 1, 2, 3, 4}},
		"of the past":    {[]string{"--until", "2026-01-01"}, nil},
		"of an interval": {[]string{"--since", "2026-01-01", "--until", "2199-01-01"}, []int64{0, 1, 2, 3, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, format := range []string{"json", "yaml"} {
				out, _, err := k.call(append([]string{"evidence", "list", "-o", format}, tc.args...)...)
				must(t, err)
				var lines []listed
				must(t, yaml.Unmarshal([]byte(out), &lines))
				var got []int64
				for _, l := range lines {
					got = append(got, l.Index)
				}
				if !slices.Equal(got, tc.want) {
					t.Errorf("got %v: %s", got, out)
				}
			}
		})
	}
	for _, args := range [][]string{{"--since", "yesterday"}, {"--until", "2999-01-01"}, {"--since", "2026-02-01", "--until", "2026-01-01"}, {"--from", "/none"}} {
		if _, code, err := k.call(append([]string{"evidence", "list"}, args...)...); err == nil || code != 1 {
			t.Errorf("%v: %d, %v", args, code, err)
		}
	}
}

func TestEvidenceKeys(t *testing.T) {
	k := newCourt(t)
	out, _, err := k.call("evidence", "keys")
	must(t, err)
	if trust, err := evidence.ParseTrust([]byte(out)); err != nil || len(trust.Statement) != 1 || len(trust.Log) != 1 || len(trust.Witness) != 1 {
		t.Errorf("got %s, %v", out, err)
	}
	if _, _, err := call(t, "", "evidence", "keys", "--operator-namespace", "default"); err == nil || !strings.Contains(err.Error(), trustName) {
		t.Errorf("got %v", err)
	}
}

func TestEvidenceExport(t *testing.T) {
	k := newCourt(t)
	dir := filepath.Join(t.TempDir(), "ledger")
	out, _, err := k.call("evidence", "export", dir)
	must(t, err)
	if !strings.Contains(out, "Exported 5 entries") || !strings.Contains(out, "with 5 statements") {
		t.Errorf("got %s", out)
	}
	verify := func(want int, args ...string) string {
		t.Helper()
		out, code, err := call(t, "", append([]string{"verify", dir, "--keys", k.keys}, args...)...)
		if code != want {
			t.Errorf("exit code %d, want %d: %s, %v", code, want, out, err)
		}
		return out
	}
	if out := verify(0, "--require-witness"); !strings.Contains(out, "GENUINE: the ledger "+ledgertest.Origin+", 5 entries") || !strings.Contains(out, witnessName) {
		t.Errorf("got %s", out)
	}

	// The export is a source as the ledger is.
	fromCluster, _, err := k.call("evidence", "list", "-o", "json")
	must(t, err)
	fromDir, _, err := call(t, "", "evidence", "list", "-o", "json", "--from", dir)
	must(t, err)
	if fromCluster != fromDir {
		t.Errorf("the cluster says %s, the export %s", fromCluster, fromDir)
	}
	withTime, _, err := call(t, "", "evidence", "list", "-o", "json", "--from", dir, "--until", "2026-01-01")
	must(t, err)
	if strings.TrimSpace(withTime) != "[]" {
		t.Errorf("got %s", withTime)
	}

	// A second export goes on from the first, whose checkpoint is kept.
	k.ledger.Append(t, ledgertest.Statement(evidence.HoldEnforced, "another", time.Now(), ledgertest.None))
	k.witnesses()
	_, _, err = k.call("evidence", "export", dir)
	must(t, err)
	if out := verify(0); !strings.Contains(out, "6 entries") || !strings.Contains(out, "since the ledger had 5 entries") {
		t.Errorf("got %s", out)
	}
	if v := verify(0, "-o", "json"); !strings.Contains(v, `"earlierCheckpoints"`) {
		t.Errorf("got %s", v)
	}
	kept := filepath.Join(t.TempDir(), "checkpoint")
	latest, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	must(t, err)
	must(t, os.WriteFile(kept, latest, 0o600))
	verify(0, "--checkpoint", kept)

	// What was taken away, or changed, is noticed.
	first, err := os.ReadFile(filepath.Join(dir, "checkpoints", "5"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "checkpoint"), first, 0o644))
	must(t, os.RemoveAll(filepath.Join(dir, "checkpoints")))
	if out := verify(1, "--checkpoint", kept); !strings.Contains(out, "entries were taken away") {
		t.Errorf("got %s", out)
	}
	must(t, os.WriteFile(filepath.Join(dir, "checkpoint"), latest, 0o644))
	verify(0)
	statement := filepath.Join(dir, filepath.FromSlash(evidence.ExportStatement(k.result.Digest)))
	text, err := os.ReadFile(statement)
	must(t, err)
	must(t, os.Remove(statement))
	if out := verify(1); !strings.Contains(out, fmt.Sprintf("entry %d: ", k.result.Index)) {
		t.Errorf("got %s", out)
	}
	must(t, os.WriteFile(statement, bytes.Replace(text, []byte(`"sig":"`), []byte(`"sig":"AAAA`), 1), 0o644))
	if out := verify(1); !strings.Contains(out, fmt.Sprintf("entry %d: ", k.result.Index)) {
		t.Errorf("got %s", out)
	}
	if _, _, err := call(t, "", "evidence", "list", "--from", dir); err == nil || !strings.Contains(err.Error(), "entry 1") {
		t.Errorf("got %v", err)
	}

	t.Run("a folder with something else", func(t *testing.T) {
		other := t.TempDir()
		must(t, os.WriteFile(filepath.Join(other, "thesis.tex"), nil, 0o600))
		if _, _, err := k.call("evidence", "export", other); err == nil || !strings.Contains(err.Error(), "is not empty") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a ledger that has fewer entries than the export", func(t *testing.T) {
		must(t, os.WriteFile(filepath.Join(dir, "checkpoint"), bytes.Replace(latest, []byte("\n6\n"), []byte("\n9\n"), 1), 0o644))
		if _, _, err := k.call("evidence", "export", dir); err == nil || !strings.Contains(err.Error(), "entries were taken away") {
			t.Errorf("got %v", err)
		}
	})
}

// TestLedgerThatDoesNotAnswer: the Pod is there, and nothing listens.
func TestLedgerThatDoesNotAnswer(t *testing.T) {
	c, ns := kubeconfigOf(t)
	k := newKubelet(t, c)
	k.pod(t, ns, ledgerPod, nil)
	k.ports[ledgerPod+":8082"] = "127.0.0.1:1"
	if _, code, err := call(t, "", "evidence", "list", "--operator-namespace", ns); code != 1 || err == nil || !strings.Contains(err.Error(), "does not answer; is it ready?") {
		t.Errorf("got %d, %v", code, err)
	}
	pod := &corev1.Pod{}
	must(t, c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: ledgerPod}, pod))
	pod.Status.Phase = corev1.PodPending
	must(t, c.Status().Update(t.Context(), pod))
	if _, code, err := call(t, "", "evidence", "list", "--operator-namespace", ns); code != 1 || err == nil || !strings.Contains(err.Error(), "is Pending") {
		t.Errorf("got %d, %v", code, err)
	}
}
