// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

const thousands = "CREATE TABLE t (id int PRIMARY KEY, at timestamptz, n int DEFAULT 0, pad text DEFAULT repeat('x', 200));" +
	"INSERT INTO t (id, at) SELECT i, timestamptz '2019-01-01' + i * interval '1 minute' FROM generate_series(1, 20000) i;"

// Records that are updated, given a new date, and locked in an order that deadlocks with ours, all while a purge goes on:
// nothing goes that is not due, and all goes that is, with a second pass for what moved.
func TestConcurrentWriters(t *testing.T) {
	for _, index := range []string{"", "CREATE INDEX ON t (at); ANALYZE t"} {
		t.Run("index "+index, func(t *testing.T) {
			dsn, conn := database(t, thousands+index)
			limits := plan.DefaultLimits
			limits.BatchRecords = 100
			limits.LockTimeoutMilliseconds = 500
			s := open(t, dsn, plan.Plan{Steps: []plan.Step{deleteStepOf("t", "at", day("2019-01-10"))}, Limits: limits})
			step := prepared(t, s, 0).(*deleteStep)
			if _, err := step.Count(t.Context()); err != nil {
				t.Fatal(err)
			}
			if index != "" {
				step.counts.Records *= 1000
			}
			stop := make(chan struct{})
			var writers sync.WaitGroup
			var saved sync.Map // records that got a new date in time
			for w := range 3 {
				writer := postgres.Connect(t, dsn)
				writers.Go(func() {
					rng := rand.New(rand.NewPCG(uint64(w), 0)) // reproducible
					for {
						select {
						case <-stop:
							return
						default:
						}
						save := rng.IntN(20000) + 1
						var rescued int64
						err := pgx.BeginFunc(t.Context(), writer, func(tx pgx.Tx) error {
							for range 3 {
								if _, err := tx.Exec(t.Context(), "UPDATE t SET n = n + 1 WHERE id = $1", rng.IntN(20000)+1); err != nil {
									return err
								}
							}
							tag, err := tx.Exec(t.Context(), "UPDATE t SET at = '2024-01-01' WHERE id = $1", save)
							rescued = tag.RowsAffected()
							return err
						})
						if err == nil && rescued == 1 {
							saved.Store(save, true)
						}
					}
				})
			}
			progress := &recorder{}
			err := errors.Join(step.Purge(t.Context(), progress), step.Purge(t.Context(), progress))
			close(stop)
			writers.Wait()
			if err != nil {
				t.Error(err)
			}
			if err := step.Purge(t.Context(), progress); err != nil {
				t.Error(err)
			}
			left, err := step.Verify(t.Context())
			if err != nil || left.Remaining != 0 {
				t.Errorf("%+v, %v", left, err)
			}
			total := postgres.Value[int64](t, conn, "SELECT count(*) FROM t")
			if total+progress.committed != 20000 || progress.largest > 100 {
				t.Errorf("%d left, told of %d in batches of up to %d", total, progress.committed, progress.largest)
			}
			if n := postgres.Value[int64](t, conn, "SELECT count(*) FROM t WHERE id > 12960"); n < 20000-12960 {
				t.Errorf("records that were not due are gone: %d", n)
			}
			saved.Range(func(id, _ any) bool {
				if postgres.Value[int](t, conn, "SELECT count(*) FROM t WHERE id = $1", id) != 1 {
					t.Errorf("record %v had a new date and is gone", id)
				}
				return true
			})
		})
	}
}

// One record that somebody keeps locked does not keep the others.
func TestLockedRecord(t *testing.T) {
	t.Parallel() // it waits most of the time
	dsn, conn := database(t, thousands)
	limits := plan.DefaultLimits
	limits.LockTimeoutMilliseconds = 20
	s := open(t, dsn, plan.Plan{Steps: []plan.Step{deleteStepOf("t", "at", day("2024-01-01"))}, Limits: limits})
	step := prepared(t, s, 0)
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT FROM t WHERE id = 777 FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	progress := &recorder{}
	var trouble *engine.Error
	if err := step.Purge(t.Context(), progress); !errors.As(err, &trouble) || trouble.Reason != receipt.LockTimeout || !trouble.Transient {
		t.Errorf("got %v", err)
	}
	left, err := step.Verify(t.Context())
	if err != nil || left.Remaining == 0 || left.Remaining > 40 || left.Remaining+progress.committed != 20000 {
		t.Errorf("%+v, %v, told of %d", left, err, progress.committed)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := step.Purge(t.Context(), progress); err != nil || progress.committed != 20000 {
		t.Errorf("%v, told of %d", err, progress.committed)
	}
}

// A trigger that objects to some records with an error does not keep the others.
func TestTriggerThatObjects(t *testing.T) {
	dsn, _ := database(t, thousands+"CREATE FUNCTION object() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF OLD.id % 7000 = 0 THEN RAISE ''%'', OLD.pad; END IF; RETURN OLD; END';"+
		"CREATE TRIGGER object BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION object()")
	s := open(t, dsn, plan.Plan{Steps: []plan.Step{deleteStepOf("t", "at", day("2024-01-01"))}})
	step := prepared(t, s, 0)
	progress := &recorder{}
	err := step.Purge(t.Context(), progress)
	if engine.ReasonOf(err) != receipt.TriggerBlocks || progress.committed != 19998 {
		t.Errorf("%v, told of %d", err, progress.committed)
	}
}

func TestStopsBetweenTwoBatches(t *testing.T) {
	for _, index := range []string{"", "CREATE INDEX ON t (at)"} {
		dsn, conn := database(t, thousands+index)
		limits := plan.DefaultLimits
		limits.BatchRecords = 300
		s := open(t, dsn, plan.Plan{Steps: []plan.Step{deleteStepOf("t", "at", day("2024-01-01"))}, Limits: limits})
		step := prepared(t, s, 0).(*deleteStep)
		step.counts = engine.Counts{Records: 1_000_000, Matched: 20000}
		progress := &recorder{}
		progress.onBatch = func() { progress.stop = progress.batches == 5 }
		if err := step.Purge(t.Context(), progress); !errors.Is(err, engine.ErrStopped) {
			t.Errorf("got %v", err)
		}
		left := postgres.Value[int64](t, conn, "SELECT count(*) FROM t")
		if progress.batches != 5 || left != 20000-progress.committed {
			t.Errorf("%d batches, %d left, told of %d", progress.batches, left, progress.committed)
		}
	}
}

// Many records of one instant are more than a batch, and still go in batches.
func TestTies(t *testing.T) {
	dsn, _ := database(t, thousands+"CREATE INDEX ON t (at); UPDATE t SET at = '2019-06-01' WHERE id > 5000; ANALYZE t")
	limits := plan.DefaultLimits
	limits.BatchRecords = 700
	s := open(t, dsn, plan.Plan{Steps: []plan.Step{deleteStepOf("t", "at", day("2024-01-01"))}, Limits: limits})
	step := prepared(t, s, 0).(*deleteStep)
	step.counts = engine.Counts{Records: 1_000_000, Matched: 20000}
	progress := &recorder{}
	if err := step.Purge(t.Context(), progress); err != nil || progress.committed != 20000 || progress.largest > 700 {
		t.Errorf("%v, told of %d in batches of up to %d", err, progress.committed, progress.largest)
	}
}

// A table without due records is not read again.
func TestNothingDue(t *testing.T) {
	dsn, _ := database(t, thousands)
	s := open(t, dsn, plan.Plan{Steps: []plan.Step{deleteStepOf("t", "at", day("2018-01-01"))}})
	got, progress := carryOut(t, s, 0)
	if want := (result{Counts: engine.Counts{Records: 20000}}); fmt.Sprint(got) != fmt.Sprint(want) || progress.batches != 0 {
		t.Errorf("got %+v in %d batches", got, progress.batches)
	}
}
