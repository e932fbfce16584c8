// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// chinookSteps delete invoice lines by their invoice's date, then invoices.
func chinookSteps() []plan.Step {
	lines := deleteStepOf("invoice_line", "invoice_date", day("2023-01-01"))
	lines.Start.Via = []plan.Hop{{Field: "invoice_id", Dataset: "invoice", Path: "invoice", Key: "invoice_id"}}
	return []plan.Step{lines, deleteStepOf("invoice", "invoice_date", day("2023-01-01"))}
}

func TestChinookGoesChildrenFirst(t *testing.T) {
	dsn := postgres.Chinook(t, postgres.Get(t))
	conn := postgres.Connect(t, dsn)
	dueInvoices := postgres.Value[int64](t, conn, "SELECT count(*) FROM invoice WHERE invoice_date <= '2023-01-01'")
	dueLines := postgres.Value[int64](t, conn,
		"SELECT count(*) FROM invoice_line JOIN invoice USING (invoice_id) WHERE invoice_date <= '2023-01-01'")
	s := open(t, dsn, plan.Plan{Steps: chinookSteps()})
	oldest := day("2021-01-01")

	got, _ := carryOut(t, s, 0)
	want := result{Counts: engine.Counts{Records: 2240, Matched: dueLines, Oldest: &oldest}, Changed: dueLines}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	got, _ = carryOut(t, s, 1)
	want = result{Counts: engine.Counts{Records: 412, Matched: dueInvoices, Oldest: &oldest}, Changed: dueInvoices}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("invoices (-want +got):\n%s", diff)
	}
	if left := postgres.Value[int64](t, conn, "SELECT count(*) FROM invoice"); left != 412-dueInvoices || dueInvoices == 0 {
		t.Errorf("%d invoices left, %d were due", left, dueInvoices)
	}
	if left := postgres.Value[int64](t, conn, "SELECT count(*) FROM invoice_line"); left != 2240-dueLines || dueLines == 0 {
		t.Errorf("%d lines left, %d were due", left, dueLines)
	}
}

func TestForeignKeysBlockAndAreNamed(t *testing.T) {
	dsn := postgres.Chinook(t, postgres.Get(t))
	conn := postgres.Connect(t, dsn)
	due := postgres.Value[int64](t, conn, "SELECT count(*) FROM invoice WHERE invoice_date <= '2023-01-01'")
	postgres.Exec(t, conn, "DELETE FROM invoice_line WHERE invoice_id = 1")
	s := open(t, dsn, plan.Plan{Steps: chinookSteps()[1:]})
	got, _ := carryOut(t, s, 0)
	if got.Changed != 1 || got.Remaining != due-1 || got.Blocked != due-1 {
		t.Errorf("deleted %d, remaining %d, blocked %d of %d due", got.Changed, got.Remaining, got.Blocked, due)
	}
	if diff := cmp.Diff([]string{"invoice_line_invoice_id_fkey"}, got.Constraints); diff != "" {
		t.Errorf("constraints (-want +got):\n%s", diff)
	}
}
