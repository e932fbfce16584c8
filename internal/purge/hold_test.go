// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"os"
	"path/filepath"
	"testing"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// TestAHoldKeepsAPersonsRecords in a retention run, and one that cannot be read keeps everything.
func TestAHoldKeepsAPersonsRecords(t *testing.T) {
	f := newFixture(t, 100, 40)
	f.plan.Datasets[0].Identifiers = []plan.Identifier{{Type: "email", Field: "secret"}}
	f.plan.Holds = []plan.Hold{
		{Name: "case", UID: "1", Datasets: []string{"event"}, Subject: true},
		{Name: "old", UID: "2", Datasets: []string{"event"}, Condition: &plan.Condition{Field: "id", Operator: plan.OperatorAtMost, Values: []string{"3"}}},
	}
	dir := t.TempDir()
	run := func() (receipt.ExitCode, *receipt.Receipt) {
		code, receipts := f.run(nil, func(c *Config) { c.HoldsDir = dir })
		return code, receipts.last()
	}
	if code, r := run(); code != receipt.ExitMismatch || r.Reason != receipt.HoldUnreadable || f.left() != 100 {
		t.Fatalf("without its person: code %d, %s, %d left", code, r.Reason, f.left())
	}
	if err := os.Mkdir(filepath.Join(dir, "0"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "0", "email"), []byte("person-7@example.com\nperson-77@example.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, r := run()
	s := r.Steps[0]
	if code != receipt.ExitDone || s.Matched != 36 || s.Held != 4 || s.Deleted != 36 || s.Remaining != 0 || f.left() != 64 {
		t.Errorf("code %d, %+v, %d left", code, s, f.left())
	}
	if kept := postgres.Value[int64](t, f.db, "SELECT count(*) FROM event WHERE id IN (1, 2, 3, 7)"); kept != 4 {
		t.Errorf("%d of 4 records that are held are there", kept)
	}
	_, r = run()
	total := receipt.Merge(&f.plan, []receipt.Attempt{{Receipt: r, ExitCode: new(int32(0))}})
	if total.Steps[0].Outcome != receipt.StepRetainedByHold || total.Outcome != receipt.OutcomeSucceeded {
		t.Errorf("the same again: %s, %s", total.Steps[0].Outcome, total.Outcome)
	}
}
