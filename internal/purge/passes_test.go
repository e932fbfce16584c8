// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// on makes the fixture's plan delete by the column "at" from these tables, in this order.
func (f *fixture) on(paths ...string) {
	step := f.plan.Steps[0]
	f.plan.Steps = nil
	for _, path := range paths {
		step.Dataset, step.Path = path, path
		f.plan.Steps = append(f.plan.Steps, step)
	}
}

// steps carries out the plan and returns what it says of the steps, but for the oldest records.
func (f *fixture) steps() (receipt.Reason, []receipt.Step) {
	f.t.Helper()
	code, receipts := f.run(nil, nil)
	if code != receipt.ExitDone {
		f.t.Errorf("exit code %d", code)
	}
	last := receipts.last()
	for i := range last.Steps {
		last.Steps[i].OldestRemaining = nil
	}
	return last.Reason, last.Steps
}

// A simulation tells what foreign keys would keep, and does not count what an earlier step would have deleted.
func TestSimulateForeseesWhatIsBlocked(t *testing.T) {
	f := newFixture(t, 100, 40)
	postgres.Exec(t, f.db, `
		ALTER TABLE event ADD PRIMARY KEY (id);
		CREATE TABLE child (event_id int REFERENCES event, at date);
		INSERT INTO child VALUES (1, '2020-01-01'), (2, now()), (3, NULL), (4, '2020-01-01'), (4, now()), (50, now())`)
	f.plan.Mode = plan.Simulate
	for name, tc := range map[string]struct {
		tables  []string
		blocked int64
	}{
		"alone":         {[]string{"event"}, 4},
		"after child":   {[]string{"child", "event"}, 3},
		"child is late": {[]string{"event", "child"}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			f.on(tc.tables...)
			reason, steps := f.steps()
			var got receipt.Step
			for i, s := range f.plan.Steps {
				if s.Path == "event" {
					got = steps[i]
				}
			}
			want := receipt.Step{Index: got.Index, Counted: true, Records: 100, Matched: 40, Verified: true, Remaining: 40,
				Blocked: tc.blocked, Constraints: []string{"child_event_id_fkey"}}
			if diff := cmp.Diff(want, got); diff != "" || reason != receipt.Succeeded {
				t.Errorf("reason %s (-want +got):\n%s", reason, diff)
			}
			if f.left() != 100 {
				t.Fatal("something was deleted")
			}
		})
	}
}

// Records of two tables refer to each other, in rings and in chains. Chains go, whichever way the steps stand.
func TestStepsFreeRecordsOfEachOther(t *testing.T) {
	for _, tables := range [][]string{{"a", "b"}, {"b", "a"}} {
		f := newFixture(t, 0, 0)
		postgres.Exec(t, f.db, `
			CREATE TABLE a (id int PRIMARY KEY, b_id int, at date);
			CREATE TABLE b (id int PRIMARY KEY, a_id int REFERENCES a, at date);
			ALTER TABLE a ADD FOREIGN KEY (b_id) REFERENCES b;
			INSERT INTO a SELECT i, NULL, '2020-01-01' FROM generate_series(1, 10) i;
			INSERT INTO b SELECT i, i + 1, '2020-01-01' FROM generate_series(1, 9) i;
			INSERT INTO b VALUES (10, 10, '2020-01-01');
			UPDATE a SET b_id = id`) // a1 → b1 → a2 → b2 … a10 ⇄ b10
		f.on(tables...)
		reason, got := f.steps()
		if reason != receipt.Incomplete {
			t.Errorf("%v: reason %s", tables, reason)
		}
		want := receipt.Step{Counted: true, Records: 10, Matched: 10, Deleted: 9, Verified: true, Remaining: 1, Blocked: 1, Reason: receipt.ForeignKeyBlocks}
		ignore := cmpopts.IgnoreFields(receipt.Step{}, "Index", "Constraints")
		if diff := cmp.Diff([]receipt.Step{want, want}, got, ignore); diff != "" {
			t.Errorf("%v (-want +got):\n%s", tables, diff)
		}
	}
}
