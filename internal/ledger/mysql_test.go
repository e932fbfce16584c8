// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// TestMySQL keeps a ledger in a real MariaDB: everything that does not depend on the driver works there too.
func TestMySQL(t *testing.T) {
	s := startMySQL(t)
	for name, test := range map[string]func(*testing.T, *mysqlServer){
		"appends": mysqlAppends, "damage": mysqlDamage, "take over": mysqlTakeOver, "lost connection": mysqlLostConnection,
		"configuration": mysqlConfiguration,
	} {
		t.Run(name, func(t *testing.T) { test(t, s) })
	}
	t.Run("server that dies", func(t *testing.T) { mysqlServerDies(t, s) })
}

func mysqlAppends(t *testing.T, s *mysqlServer) {
	t.Helper()
	options := s.options(t, "appends")
	clock := time.Now()
	withClock := ledgertest.With(func() time.Time { return clock })
	l := ledgertest.New(t, options, withClock)
	var all sync.WaitGroup
	for n := range 600 {
		all.Go(func() { l.Append(t, ledgertest.Statement(evidence.Intent, fmt.Sprint(n%300), clock, ledgertest.None)) })
	}
	all.Wait()
	one := l.Append(t, ledgertest.Statement(evidence.Intent, "1", clock, ledgertest.None))
	l.Append(t, ledgertest.Statement(evidence.Result, "1", clock, one))
	state, err := l.Client.State(t.Context())
	if err != nil || state.Size != 301 || len(state.Dangling) != 299 {
		t.Fatalf("size %d, %d dangling, %v", state.Size, len(state.Dangling), err)
	}
	exported(t, l)
	l.Close(t)
	l.Open(t, options, withClock)
	again, err := l.Client.State(t.Context())
	if err != nil || again.Checkpoint != state.Checkpoint {
		t.Errorf("%v: the checkpoint was\n%s\nand is\n%s", err, state.Checkpoint, again.Checkpoint)
	}
	clock = clock.Add(48 * time.Hour)
	removal := ledgertest.Statement(evidence.Pruned, "one", clock, ledgertest.None)
	removal.Predicate.Pruned.Indices = []int64{one.Index}
	envelope := l.Sign(t, removal)
	if _, err := l.Client.Append(t.Context(), envelope); err != nil {
		t.Fatal(err)
	}
	if err := l.Client.Prune(t.Context(), envelope); err != nil {
		t.Fatal(err)
	}
	_, err = l.Client.Entry(t.Context(), one.Index, 0)
	refused(t, err, ledger.CodePruned)
	if report := exported(t, l); len(report.Pruned) != 1 {
		t.Errorf("%+v", report)
	}
}

// mysqlDamage changes what the database has.
func mysqlDamage(t *testing.T, s *mysqlServer) {
	t.Helper()
	for n, c := range []struct{ statement, says string }{
		{"UPDATE TiledLeaves SET data = CONCAT(LEFT(data, 200), 'x', SUBSTRING(data, 202)) WHERE tile_index = 0", "entry 0"},
		{"DELETE FROM TiledLeaves", "reading the entries"},
		{"UPDATE Subtree SET nodes = CONCAT(LEFT(nodes, 20), 'x', SUBSTRING(nodes, 22))", "does not follow from the entries"},
		{"DELETE FROM TreeState", "part of the ledger is missing"},
		{"UPDATE TreeState SET size = 1", "entries are missing"},
		{"UPDATE TreeState SET root = 'x'", "something was changed"},
		{"UPDATE Checkpoint SET note = REPLACE(note, '2', '3')", "none of the ledger's keys"},
	} {
		options := s.options(t, fmt.Sprintf("damage_%d", n))
		l := ledgertest.New(t, options)
		l.Append(t, ledgertest.Statement(evidence.Intent, "1", time.Now(), ledgertest.None))
		l.Append(t, ledgertest.Statement(evidence.Intent, "2", time.Now(), ledgertest.None))
		l.Close(t)
		s.exec(t, fmt.Sprintf("damage_%d", n), c.statement)
		o := l.Options()
		options(&o)
		log, err := ledger.Open(t.Context(), o)
		if err == nil {
			_ = log.Close(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.statement, err)
		}
	}
}

// mysqlTakeOver has two ledgers of one database: one at a time.
func mysqlTakeOver(t *testing.T, s *mysqlServer) {
	t.Helper()
	i := install(t)
	s.exec(t, "", "CREATE DATABASE take_over")
	i.write(t, "dsn", []byte(s.dsn("take_over")+"\n"))
	i.extra = []string{"--driver", "mysql", "--mysql-dsn-file", i.files + "/dsn"}
	first := i.start(t)
	first.ready(t, i)
	envelope := i.Sign(t, ledgertest.Statement(evidence.Intent, "one", time.Now(), ledgertest.None))
	b, err := i.client(t).Append(t.Context(), envelope)
	if err != nil {
		t.Fatal(err)
	}
	one := i.Reference(t, b)
	j := *i
	j.listen, j.readListen, j.health = freeAddress(t), freeAddress(t), freeAddress(t)
	second := j.start(t)
	waitFor(t, func() bool { return strings.Contains(second.out.String(), "database locked; waiting") })
	first.kill()
	second.ready(t, &j)
	if b, err = j.client(t).Append(t.Context(), envelope); err != nil {
		t.Fatal(err)
	}
	if got := i.Reference(t, b); got != one {
		t.Errorf("the first had it in %+v, the second has it in %+v", one, got)
	}
	if code := second.stop(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, second.out)
	}
}

// mysqlLostConnection ends the session that holds the lock. The ledger must not write another entry.
func mysqlLostConnection(t *testing.T, s *mysqlServer) {
	t.Helper()
	options := s.options(t, "lost")
	l := ledgertest.New(t, options)
	one := l.Append(t, ledgertest.Statement(evidence.Intent, "one", time.Now(), ledgertest.None))
	db := s.open(t, "lost")
	var holder int64
	if err := db.QueryRowContext(t.Context(), "SELECT IS_USED_LOCK(CONCAT('retention-ledger/', LEFT(SHA2('lost', 256), 40)))").Scan(&holder); err != nil {
		t.Fatal(err)
	}
	s.exec(t, "", fmt.Sprintf("KILL %d", holder))
	other := &ledgertest.Ledger{Keys: l.Keys}
	other.Open(t, options) // has the lock now
	two := other.Append(t, ledgertest.Statement(evidence.Intent, "two", time.Now(), ledgertest.None))
	_, _, err := l.Log.Append(t.Context(), l.Sign(t, ledgertest.Statement(evidence.Intent, "two", time.Now(), ledgertest.None)))
	refused(t, err, ledger.CodeUnavailable)
	select {
	case <-l.Log.Failed():
	case <-time.After(10 * time.Second):
		t.Error("it goes on without its lock")
	}
	_, _, err = l.Log.Append(t.Context(), l.Sign(t, ledgertest.Statement(evidence.Intent, "one", time.Now(), ledgertest.None)))
	refused(t, err, ledger.CodeUnavailable)
	three := other.Append(t, ledgertest.Statement(evidence.Intent, "three", time.Now(), ledgertest.None))
	if one.Index != 0 || two.Index != 1 || three.Index != 2 {
		t.Errorf("%+v, %+v, %+v", one, two, three)
	}
	exported(t, other)
}

// mysqlServerDies kills the server under load. What was acknowledged is there, once.
func mysqlServerDies(t *testing.T, s *mysqlServer) {
	t.Helper()
	options := s.options(t, "dies")
	l := ledgertest.New(t, options)
	var all sync.WaitGroup
	var mu sync.Mutex
	acknowledged := map[string]evidence.Reference{}
	appendAll := func() {
		for n := range 50 {
			all.Go(func() {
				b, _, err := l.Log.Append(t.Context(), l.Sign(t, ledgertest.Statement(evidence.Intent, fmt.Sprint(n), time.Now(), ledgertest.None)))
				if err != nil {
					return
				}
				r := l.Reference(t, b)
				mu.Lock()
				defer mu.Unlock()
				if before, ok := acknowledged[fmt.Sprint(n)]; ok && before != r {
					t.Errorf("%d was in %+v, and is in %+v", n, before, r)
				}
				acknowledged[fmt.Sprint(n)] = r
			})
		}
	}
	for range 5 {
		appendAll()
		time.Sleep(20 * time.Millisecond)
		s.kill()
		all.Wait()
		s.start(t)
		<-l.Log.Failed() // it has noticed
		l.Close(t)
		l.Open(t, options)
	}
	appendAll()
	all.Wait()
	if len(acknowledged) != 50 {
		t.Errorf("%d were acknowledged", len(acknowledged))
	}
	if report := exported(t, l); report.Size != 50 {
		t.Errorf("the size is %d", report.Size)
	}
}

func mysqlConfiguration(t *testing.T, s *mysqlServer) {
	t.Helper()
	s.exec(t, "", "SET GLOBAL innodb_flush_log_at_trx_commit = 2")
	defer s.exec(t, "", "SET GLOBAL innodb_flush_log_at_trx_commit = 1")
	s.exec(t, "", "CREATE DATABASE configuration")
	keys := ledgertest.NewKeys(t)
	for dsn, says := range map[string]string{
		"":                     "needs a data source name",
		"root:secret@nowhere":  "cannot be read",
		s.dsn(""):              "has no database",
		s.dsn("configuration"): "may lose entries",
	} {
		o := (&ledgertest.Ledger{Keys: keys}).Options()
		o.Driver, o.DSN, o.Log = ledger.DriverMySQL, dsn, slog.New(slog.DiscardHandler)
		_, err := ledger.Open(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v", dsn, err)
		}
	}
}
