// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// exported reads a whole ledger by HTTP, as an auditor would, and verifies it. Nothing may be wrong with it.
func exported(t *testing.T, l *ledgertest.Ledger, checkpoints ...[]byte) *evidence.LogReport {
	t.Helper()
	s := httptest.NewServer(l.Log.Handler(true))
	t.Cleanup(s.Close)
	files := fstest.MapFS{}
	fetch := func(path string) {
		t.Helper()
		answer, b := call(t, http.MethodGet, s.URL+"/"+path, nil)
		if answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d: %s", path, answer.StatusCode, b)
		}
		files[path] = &fstest.MapFile{Data: b}
	}
	fetch(evidence.ExportCheckpoint)
	checkpoint, err := evidence.OpenCheckpoint(files[evidence.ExportCheckpoint].Data, l.Trust)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range evidence.ExportEntries(checkpoint.Size) {
		fetch(path)
	}
	for e, err := range l.Client.Entries(t.Context(), 0, time.Time{}, time.Time{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Envelope == nil {
			continue
		}
		b, err := json.Marshal(e.Envelope)
		if err != nil {
			t.Fatal(err)
		}
		files[evidence.ExportStatement(e.Leaf.Statement)] = &fstest.MapFile{Data: b}
	}
	report, err := evidence.VerifyLogWith(files, l.Trust, evidence.LogOptions{Checkpoints: checkpoints})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		t.Errorf("%s: %s", p.Code, p.Sentence)
	}
	return report
}
