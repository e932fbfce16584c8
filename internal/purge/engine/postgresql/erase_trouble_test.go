// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// What we may not read is told, never taken for empty.
func TestErasureWithoutRights(t *testing.T) {
	t.Parallel()
	dsn, conn := database(t, `
		CREATE TABLE users (id int PRIMARY KEY, email text); INSERT INTO users VALUES (1, 'a@x');
		CREATE TABLE hidden (id int, email text); INSERT INTO hidden VALUES (1, 'a@x');
		CREATE TABLE policed (id int, email text); INSERT INTO policed VALUES (1, 'a@x'); ALTER TABLE policed ENABLE ROW LEVEL SECURITY;
		CREATE TABLE readable (id int, email text); INSERT INTO readable VALUES (1, 'a@x');
		CREATE TABLE c (id int, u int); INSERT INTO c VALUES (1, 1)`)
	role, its := postgres.Get(t).Role(t, dsn)
	postgres.Exec(t, conn, fmt.Sprintf("GRANT SELECT, DELETE ON users, policed TO %[1]s; GRANT SELECT ON readable TO %[1]s", role))
	email := identifiers("email", "email", "")
	maps := []plan.Dataset{{Name: "c", References: references("u", "users", "id")}, {Name: "hidden", Identifiers: email}, {Name: "policed", Identifiers: email},
		{Name: "missing", Identifiers: email}, {Name: "readable", Identifiers: email}, {Name: "users", Identifiers: email}}
	s := open(t, its, erases(maps, deletes("c", "hidden", "policed", "missing", "readable", "users")...))
	got := eraseAll(t, s, []engine.Person{person("email=a@x")}, nil)
	reasons := map[string]receipt.Reason{}
	for i, step := range s.in.Plan.Erasure.Steps {
		if r := got.findings.Steps[i].Reason; r != "" {
			reasons[step.Dataset] = r
		}
	}
	want := map[string]receipt.Reason{"c": receipt.PermissionDenied, "hidden": receipt.PermissionDenied, "policed": receipt.RowLevelSecurity, "missing": receipt.TableNotFound}
	if diff := cmp.Diff(want, reasons); diff != "" {
		t.Errorf("searched (-want +got):\n%s", diff)
	}
	want["readable"], want["users"] = receipt.PermissionDenied, receipt.PermissionDenied // c would not be found again
	if diff := cmp.Diff(want, got.failed); diff != "" {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
	if n := postgres.Value[int](t, conn, "SELECT (SELECT count(*) FROM users) + (SELECT count(*) FROM readable)"); n != 2 {
		t.Errorf("%d records are left", n)
	}
}

func TestUnsearched(t *testing.T) {
	t.Parallel()
	dsn, _ := database(t, "CREATE TABLE users (id int, email text); CREATE TABLE c (id int, u int); CREATE TABLE d (id int, device text)")
	maps := []plan.Dataset{{Name: "c", References: references("u", "users", "id")}, {Name: "d", Identifiers: identifiers("device", "device", "")},
		{Name: "users", Identifiers: identifiers("email", "email", "")}}
	p := erases(maps, deletes("c", "d", "users")...)
	p.Mode = plan.Simulate
	findings, err := open(t, dsn, p).Find(t.Context(), []engine.Person{person("email=a@x"), person("device=1"), person("phone=+1")})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]bool{{false, true, true}, {true, false, true}, {false, true, true}} {
		if got := findings.Steps[i].Unsearched; !slices.Equal(want, got) {
			t.Errorf("%s: unsearched %v, want %v", p.Erasure.Steps[i].Dataset, got, want)
		}
	}
}

// A record that somebody has locked stays for now, and keeps no other; it is found again when it is free.
func TestErasureLeavesWhatIsLocked(t *testing.T) {
	t.Parallel()
	dsn, conn := database(t, "CREATE TABLE users (id int PRIMARY KEY, email text); INSERT INTO users SELECT i, 'a@x' FROM generate_series(1, 100) i")
	p := erases([]plan.Dataset{{Name: "users", Identifiers: identifiers("email", "email", "")}}, deletes("users")...)
	p.Limits = plan.DefaultLimits
	p.Limits.LockTimeoutMilliseconds = 20
	s := open(t, dsn, p)
	if _, err := s.Find(t.Context(), []engine.Person{person("email=a@x")}); err != nil {
		t.Fatal(err)
	}
	step, err := s.PrepareErasure(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	postgres.Exec(t, conn, "BEGIN; UPDATE users SET email = 'A@x' WHERE id = 42")
	progress := &tally{}
	if err := step.Erase(t.Context(), nil, progress); engine.ReasonOf(err) != receipt.LockTimeout || progress.total != 99 {
		t.Errorf("%v, %d erased", err, progress.total)
	}
	postgres.Exec(t, conn, "ROLLBACK")
	left, err := step.Verify(t.Context())
	if err != nil || left.Total != 1 {
		t.Fatalf("%v, left %+v", err, left)
	}
	if err := step.Erase(t.Context(), nil, progress); err != nil || progress.total != 100 {
		t.Errorf("%v, %d erased", err, progress.total)
	}
}

// Records that are changed and written while they are erased: nobody else's goes, and the counts are exact.
func TestErasureWhileOthersWrite(t *testing.T) {
	t.Parallel()
	const persons, records = 20, 4000
	dsn, conn := database(t, fmt.Sprintf(`
		CREATE TABLE users (id int PRIMARY KEY, email text); INSERT INTO users SELECT i, 'u' || i || '@x' FROM generate_series(0, %d) i;
		CREATE TABLE c (id int PRIMARY KEY, u int, n int DEFAULT 0) WITH (fillfactor = 60); INSERT INTO c SELECT i, i %% %d FROM generate_series(1, %d) i;
		CREATE TABLE gone (id int); CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO gone VALUES (OLD.id); RETURN OLD; END $$;
		CREATE TRIGGER note AFTER DELETE ON c FOR EACH ROW EXECUTE FUNCTION note()`, 2*persons-1, 2*persons, records))
	p := erases([]plan.Dataset{{Name: "c", References: references("u", "users", "id")}, {Name: "users", Identifiers: identifiers("email", "email", "")}}, deletes("c", "users")...)
	p.Limits = plan.DefaultLimits
	p.Limits.BatchRecords = 50
	s := open(t, dsn, p)
	var whose []engine.Person
	for i := range persons {
		whose = append(whose, person(fmt.Sprintf("email=u%d@x", i)))
	}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 2 {
		other := postgres.Connect(t, dsn)
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				// A record moves on, or goes over to somebody who stays.
				_, _ = other.Exec(t.Context(), "UPDATE c SET n = n + 1 WHERE id = $1", rand.IntN(records))
				_, _ = other.Exec(t.Context(), "UPDATE c SET u = $2 WHERE id = $1 AND u >= $3", rand.IntN(records), persons+rand.IntN(persons), persons)
				if w == 0 {
					_, _ = other.Exec(t.Context(), "VACUUM c")
				}
			}
		})
	}
	var got int64
	all := eraseAll(t, s, whose, func(int) { time.Sleep(50 * time.Millisecond) })
	close(stop)
	writers.Wait()
	for _, n := range all.gone["c"] {
		got += n
	}
	if left := all.left["c"]; left == nil || left.Total != 0 {
		t.Logf("left %+v after %d passes", left, all.passes) // they may move before our eyes
	}
	if n := postgres.Value[int64](t, conn, "SELECT count(*) FROM gone"); n != got || n == 0 {
		t.Errorf("told of %d, %d are gone", got, n)
	}
	if n := postgres.Value[int64](t, conn, fmt.Sprintf("SELECT count(*) FROM gone WHERE id %% %d >= %d", 2*persons, persons)); n != 0 {
		t.Errorf("%d records of others are gone", n)
	}
	if n := postgres.Value[int64](t, conn, fmt.Sprintf("SELECT count(*) FROM c WHERE u >= %d", persons)); n != records/2 {
		t.Errorf("%d records of others, want %d", n, records/2)
	}
}

// The server dies again and again while it erases. In the end all is gone that is the persons', nothing else, and each
// count is exact.
func TestTheServerDiesWhileItErases(t *testing.T) {
	const persons, records = 5, 30000
	dsn, _ := database(t, fmt.Sprintf(`
		CREATE TABLE users (id int PRIMARY KEY, email text); INSERT INTO users SELECT i, 'u' || i || '@x' FROM generate_series(0, 9) i;
		CREATE TABLE c (id int, u int); INSERT INTO c SELECT i, i %% 10 FROM generate_series(1, %d) i`, records))
	srv := postgres.Get(t)
	p := erases([]plan.Dataset{{Name: "c", References: references("u", "users", "id")}, {Name: "users", Identifiers: identifiers("email", "email", "")}}, deletes("c", "users")...)
	p.Limits = plan.DefaultLimits
	p.Limits.BatchRecords = 100
	var whose []engine.Person
	for i := range persons {
		whose = append(whose, person(fmt.Sprintf("email=u%d@x", i)))
	}
	s := open(t, dsn, p)
	if _, err := s.Find(t.Context(), whose); err != nil {
		t.Fatal(err)
	}
	progress := &tally{}
	batches := 0
	progress.onFlight = func() {
		if batches++; batches%40 == 0 { // its commit is on its way
			go func() {
				srv.Kill9(t)
				srv.Restart(t)
			}()
		}
	}
	for i := range 2 {
		step, err := s.PrepareErasure(t.Context(), i)
		if err == nil {
			err = step.Erase(t.Context(), nil, progress)
		}
		if err != nil {
			t.Fatal(err)
		}
		if left, err := step.Verify(t.Context()); err != nil || left.Total != 0 {
			t.Fatalf("%v, left %+v", err, left)
		}
	}
	want := map[int]int64{}
	for i := range persons {
		want[i] = records/10 + 1
	}
	if diff := cmp.Diff(want, progress.persons); diff != "" || progress.total != persons*(records/10+1) {
		t.Errorf("told of %d (-want +got):\n%s", progress.total, diff)
	}
	conn := postgres.Connect(t, dsn)
	if n := postgres.Value[int](t, conn, "SELECT count(*) FROM c WHERE u >= 5"); n != records/2 {
		t.Errorf("%d records of others are left", n)
	}
	if n := postgres.Value[int](t, conn, "SELECT count(*) FROM c WHERE u < 5"); n != 0 {
		t.Errorf("%d records are left", n)
	}
}

// Stopping ends between two batches, and leaves what leads to the rest.
func TestErasureStops(t *testing.T) {
	t.Parallel()
	dsn, conn := database(t, `CREATE TABLE users (id int PRIMARY KEY, email text, up int); INSERT INTO users SELECT i, CASE WHEN i = 1 THEN 'a@x' END, i - 1 FROM generate_series(1, 50) i`)
	p := erases([]plan.Dataset{{Name: "users", Identifiers: identifiers("email", "email", ""), References: references("up", "users", "id")}}, deletes("users")...)
	p.Limits = plan.DefaultLimits
	p.Limits.BatchRecords = 10
	for want := int64(50); want > 0; want -= 10 {
		s := open(t, dsn, p)
		findings, err := s.Find(t.Context(), []engine.Person{person("email=a@x")})
		if err != nil || findings.Steps[0].Records[0] != want {
			t.Fatalf("%v, found %v, want %d", err, findings, want)
		}
		step, err := s.PrepareErasure(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		progress := &tally{}
		progress.onFlight = func() { progress.stop = true }
		if err := step.Erase(t.Context(), nil, progress); err != nil && !errors.Is(err, engine.ErrStopped) {
			t.Fatal(err)
		}
		s.Close()
	}
	if n := postgres.Value[int](t, conn, "SELECT count(*) FROM users"); n != 0 {
		t.Errorf("%d are left", n)
	}
}

// Many persons cost about as much as one, also without an index.
func TestManyPersonsCostOnePass(t *testing.T) {
	const records = 1_000_000
	dsn, conn := database(t, fmt.Sprintf(`
		CREATE TABLE events (id int, email text, pad text DEFAULT repeat('x', 50));
		INSERT INTO events SELECT i, 'u' || i %% 200000 || '@x' FROM generate_series(1, %d) i; ANALYZE events`, records))
	cost := func(first, n int) (time.Duration, int64) {
		postgres.Exec(t, conn, "VACUUM events")
		postgres.Exec(t, conn, "SELECT pg_stat_reset()")
		var persons []engine.Person
		for i := range n {
			persons = append(persons, person(fmt.Sprintf("email=u%d@x", 7*(first+i))))
		}
		s := open(t, dsn, erases([]plan.Dataset{{Name: "events", Identifiers: identifiers("email", "email", "")}}, deletes("events")...))
		start := time.Now()
		got := eraseAll(t, s, persons, nil)
		took := time.Since(start)
		if len(got.gone["events"]) != n || got.gone["events"][n-1] != 5 || got.left["events"].Total != 0 {
			t.Errorf("%d persons: %v, left %+v", n, got.gone, got.left["events"])
		}
		s.Close()
		var blocks int64
		for range 50 { // the server tells some time after the session's end
			blocks = postgres.Value[int64](t, conn, "SELECT coalesce(sum(heap_blks_read + heap_blks_hit), 0)::bigint FROM pg_statio_user_tables WHERE relname = 'events'")
			if blocks > 0 {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		return took, blocks
	}
	oneTook, oneBlocks := cost(0, 1)
	manyTook, manyBlocks := cost(1, 1000)
	for i := range 4 { // others use the processors as well: the least counts
		took, _ := cost(2000+i, 1)
		oneTook = min(oneTook, took)
		took, _ = cost(3000+1000*i, 1000)
		manyTook = min(manyTook, took)
	}
	t.Logf("1 person: %v, %d blocks; 1,000 persons: %v, %d blocks", oneTook, oneBlocks, manyTook, manyBlocks)
	if manyBlocks > 3*oneBlocks || oneBlocks == 0 {
		t.Error("the server read more than three times as much for 1,000 persons as for one")
	}
	if manyTook > 10*oneTook { // beside other tests, time says little
		t.Error("1,000 persons took more than ten times as long as one")
	}
}
