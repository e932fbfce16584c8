// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/report"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// reportOf runs report with -o json.
func reportOf(t *testing.T, run func(args ...string) (string, int, error), args ...string) *report.Report {
	t.Helper()
	out, code, err := run(append([]string{"report", "-o", "json", "-f", "-"}, args...)...)
	if code != 0 {
		t.Fatalf("report %s: %v", args, err)
	}
	r := &report.Report{}
	must(t, json.Unmarshal([]byte(out), r))
	return r
}

func TestReport(t *testing.T) {
	k := newCourt(t)
	offline := func(args ...string) (string, int, error) { return call(t, "", args...) }

	r := reportOf(t, k.call)
	if r.Schema != report.Schema || !r.Made.Live || !r.Verification.Signatures || !r.Verification.Inclusion || r.Verification.Witnessed != 1 || *r.Verification.Size != 5 {
		t.Errorf("made %+v, verified %+v", r.Made, r.Verification)
	}
	if r.Summary.Deleted == nil || r.Summary.Deleted.Records != 3 || len(r.Verification.Keys) != 3 || !strings.Contains(r.Verification.Message, "that the cluster publishes") {
		t.Errorf("deleted %+v, verified %+v", r.Summary.Deleted, r.Verification)
	}
	var names []string
	for _, p := range r.Policies {
		names = append(names, p.Namespace+"/"+p.Name)
	}
	if !strings.Contains(strings.Join(names, " "), k.ns+"/telemetry") || !strings.Contains(strings.Join(names, " "), k.ns+"/tax") {
		t.Errorf("policies: %s", names)
	}
	if len(r.Proofs) != 5 || r.Proofs[int(k.conclusion.Index)].Digest != k.conclusion.Digest {
		t.Errorf("proofs: %+v", r.Proofs)
	}

	t.Run("with keys that were kept", func(t *testing.T) {
		if r := reportOf(t, k.call, "--keys", k.keys); !strings.Contains(r.Verification.Message, "with the keys given") {
			t.Errorf("got %s", r.Verification.Message)
		}
	})
	t.Run("of a namespace", func(t *testing.T) {
		r := reportOf(t, k.call, "-n", "other")
		if len(r.Policies) != 0 || len(r.Holds) != 1 || len(r.Proofs) != 1 {
			t.Errorf("%d policies, %d holds, %d proofs", len(r.Policies), len(r.Holds), len(r.Proofs))
		}
	})
	t.Run("of another time", func(t *testing.T) {
		r := reportOf(t, k.call, "--since", "2025-01-01", "--until", "2025-01-31", "--zone", "Europe/Berlin")
		if got := r.Period.From.Format(time.RFC3339) + " " + r.Period.Until.Format(time.RFC3339); got != "2024-12-31T23:00:00Z 2025-01-31T23:00:00Z" || r.Summary.Deleted != nil {
			t.Errorf("from and until %s, deleted %+v", got, r.Summary.Deleted)
		}
	})

	dir := filepath.Join(t.TempDir(), "ledger")
	_, _, err := k.call("evidence", "export", dir)
	must(t, err)
	t.Run("of an export", func(t *testing.T) {
		r := reportOf(t, offline, "--from", dir, "--keys", k.keys)
		if r.Made.Live || !r.Verification.Signatures || r.Summary.Deleted.Records != 3 || len(r.Proofs) != 5 {
			t.Errorf("made %+v, verified %+v, deleted %+v", r.Made, r.Verification, r.Summary.Deleted)
		}
	})
	t.Run("of an export without keys", func(t *testing.T) {
		r := reportOf(t, offline, "--from", dir)
		if r.Verification.Signatures || r.Verification.Inclusion || len(r.Verification.Keys) > 0 || !strings.Contains(strings.Join(r.Notes, " "), "were not checked") {
			t.Errorf("verified %+v, notes %q", r.Verification, r.Notes)
		}
	})
	t.Run("of an export that was changed", func(t *testing.T) {
		name := filepath.Join(dir, filepath.FromSlash(evidence.ExportStatement(k.result.Digest)))
		text, err := os.ReadFile(name)
		must(t, err)
		must(t, os.Remove(name))
		defer func() { must(t, os.WriteFile(name, text, 0o600)) }()
		out, code, err := call(t, "", "report", "--from", dir, "--keys", k.keys, "-f", "-")
		if code != 1 || out != "" || err == nil || !strings.Contains(err.Error(), "does not verify, and no report is made") {
			t.Errorf("got %d, %v, %s", code, err, out)
		}
	})
	t.Run("with other keys", func(t *testing.T) {
		other := written(t, "keys.pem", ledgertest.NewKeys(t).KeysPEM)
		if _, code, err := k.call("report", "--keys", other, "-f", "-"); code != 1 || err == nil || !strings.Contains(err.Error(), "does not verify") {
			t.Errorf("got %d, %v", code, err)
		}
	})
}

func TestReportFiles(t *testing.T) {
	k := newCourt(t)
	t.Chdir(t.TempDir())
	out, _, err := k.call("report", "--since", "2026-01-01", "--until", "2026-03-31", "--by", "Data protection <office>")
	must(t, err)
	page, err := os.ReadFile("retention-report-2026-01-01-2026-03-31.html")
	must(t, err)
	if !strings.Contains(out, "Wrote retention-report-2026-01-01-2026-03-31.html: ") || !bytes.Contains(page, []byte("1 January to 31 March 2026")) ||
		!bytes.Contains(page, []byte("Data protection &lt;office&gt;")) || !bytes.Contains(page, []byte("Verified")) {
		t.Errorf("got %s", out)
	}
	_, _, err = k.call("report", "-o", "csv", "--file", "tables")
	must(t, err)
	requests, err := os.ReadFile(filepath.Join("tables", "requests.csv"))
	must(t, err)
	if !bytes.Contains(requests, []byte("case-2026-090")) {
		t.Errorf("got %s", requests)
	}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"csv to the standard output": {[]string{"-o", "csv", "-f", "-"}, "give --file a folder"},
		"no such format":             {[]string{"-o", "pdf"}, "html, json, csv"},
		"no such zone":               {[]string{"--zone", "Mars/Olympus"}, "--zone:"},
		"no such day":                {[]string{"--since", "yesterday"}, "--since:"},
		"the wrong way round":        {[]string{"--since", "2026-02-01", "--until", "2026-01-01"}, "--until is before --since"},
		"the future":                 {[]string{"--since", "2150-01-01", "--until", "2150-02-01"}, "--since is in the future"},
		"no such keys":               {[]string{"--keys", "missing.pem"}, "the keys:"},
		"no such export":             {[]string{"--from", "missing"}, "is no exported ledger"},
		"a namespace and all":        {[]string{"-A", "-n", "x"}, "none of the others can be"},
		"an argument":                {[]string{"x"}, "write it as: retention-operator report"},
		"without the rights":         {[]string{"--as", "nobody"}, "you may not do that here"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, code, err := k.call(append([]string{"report"}, tc.args...)...); code != 1 || err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %d, %v", code, err)
			}
		})
	}
}
