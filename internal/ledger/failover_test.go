// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// TestTakeOver starts a second ledger on the folder of the first, as after a node was given up too early. It waits, and takes
// over once the first is dead, with all that was acknowledged.
func TestTakeOver(t *testing.T) {
	i := install(t)
	first := i.start(t)
	first.ready(t, i)
	c := i.client(t)
	append1 := func(key string) evidence.Reference {
		t.Helper()
		b, err := c.Append(t.Context(), i.Sign(t, ledgertest.Statement(evidence.Intent, key, time.Now(), ledgertest.None)))
		if err != nil {
			t.Fatal(err)
		}
		return i.Reference(t, b)
	}
	one := append1("one")

	j := *i
	j.listen, j.readListen, j.health = freeAddress(t), freeAddress(t), freeAddress(t)
	second := j.start(t)
	waitFor(t, func() bool {
		return strings.Contains(second.out.String(), "another process has the ledger's folder locked")
	})
	if !answers(t, "http://"+j.health+"/healthz") || answers(t, "http://"+j.health+"/readyz") {
		t.Error("a ledger that waits is alive, and not ready")
	}
	for n := range 5 {
		append1(fmt.Sprint(n))
	}
	start := time.Now()
	first.kill()
	second.ready(t, &j)
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("the second one took over after %s", took)
	}
	c = j.client(t)
	if again := append1("one"); again != one {
		t.Errorf("the first one had it in %+v, the second has it in %+v", one, again)
	}
	append1("last")
	if code := second.stop(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, second.out)
	}
	report, err := evidence.VerifyLog(os.DirFS(i.dir), i.Trust)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Problems) > 0 || report.Size != 7 {
		t.Errorf("%+v", report)
	}
}

func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not happen")
		}
	}
}
