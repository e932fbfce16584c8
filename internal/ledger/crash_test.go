// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
	"dataretention.dev/retention-operator/internal/ledger/client"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// TestCrashes kills the ledger at random points, again and again, while managers that crash too append what their runs state.
func TestCrashes(t *testing.T) {
	i := install(t)
	w := crash(t, i, crashes(1))
	report, err := evidence.VerifyLogWith(os.DirFS(i.dir), i.Trust, evidence.LogOptions{Checkpoints: w.checkpoints()})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range report.Problems {
		t.Errorf("%s: %s", p.Code, p.Sentence)
	}
	w.examine(&ledgertest.Ledger{Keys: i.Keys, Dir: i.dir})
}

// TestCrashesMySQL is the same with a database.
func TestCrashesMySQL(t *testing.T) {
	s := startMySQL(t)
	i := install(t)
	options := s.options(t, "crashes")
	i.write(t, "dsn", []byte(s.dsn("crashes")))
	i.extra = []string{"--driver", ledger.DriverMySQL, "--mysql-dsn-file", i.files + "/dsn"}
	crash(t, i, crashes(4)).examine(&ledgertest.Ledger{Keys: i.Keys}, options)
}

// crashes is how often: RETENTION_LEDGER_CRASHES, or 40 if that is not set, divided by part.
func crashes(part int) int {
	all := 40
	if n, err := strconv.Atoi(os.Getenv("RETENTION_LEDGER_CRASHES")); err == nil {
		all = n
	}
	return all / part
}

func crash(t *testing.T, i *installation, times int) *witness {
	t.Helper()
	w := &witness{t: t, keys: i.Keys, notes: map[string]bool{}, acknowledged: map[int64]string{}}
	ctx, cancel := context.WithCancel(t.Context())
	var managers sync.WaitGroup
	for n := range 8 {
		managers.Go(func() { w.manage(ctx, i.client(t), fmt.Sprintf("manager-%d", n)) })
	}
	for range times {
		p := i.start(t)
		if rand.IntN(5) > 0 { // or it is killed while it opens the ledger
			p.ready(t, i)
		}
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		p.kill()
	}
	last := i.start(t)
	last.ready(t, i)
	cancel()
	managers.Wait()
	if code := last.stop(t); code != 0 {
		t.Errorf("exit code %d:\n%s", code, last.out)
	}
	t.Logf("%d crashes, %d runs, %d checkpoints", times, w.runs, len(w.notes))
	return w
}

// witness keeps all that the ledger has ever said.
type witness struct {
	t    *testing.T
	keys ledgertest.Keys

	mu           sync.Mutex
	runs         int64
	notes        map[string]bool  // checkpoints
	acknowledged map[int64]string // digests by index
}

// manage has one run after another stated, until ctx is over; the last one is finished.
func (w *witness) manage(ctx context.Context, c *client.Client, name string) {
	for n := 0; ctx.Err() == nil; n++ {
		key := evidence.ExecutionKey(name, fmt.Sprintf("run-%d", n), "job")
		intent := w.append(c, evidence.Intent, key, ledgertest.None)
		for rand.IntN(3) == 0 { // a manager that has forgotten states it anew, with another time
			if again := w.append(c, evidence.Intent, key, ledgertest.None); again != intent {
				w.t.Errorf("%s: the Intent was in %+v, then in %+v", key, intent, again)
			}
		}
		result := w.append(c, evidence.Result, key, intent)
		if again := w.append(c, evidence.Result, key, intent); again != result {
			w.t.Errorf("%s: the Result was in %+v, then in %+v", key, result, again)
		}
		w.mu.Lock()
		w.runs++
		w.mu.Unlock()
	}
}

// append asks until it has an answer, as a controller's passes do, and keeps what the answer says.
func (w *witness) append(c *client.Client, kind evidence.Kind, key string, closes evidence.Reference) evidence.Reference {
	for {
		e, err := evidence.Sign(ledgertest.Statement(kind, key, time.Now(), closes), w.keys.StatementKey)
		if err != nil {
			w.t.Error(err)
			return ledgertest.None
		}
		// Sometimes it is the manager that does not wait: long enough for an append, and not for the client's pauses.
		ctx, cancel := context.WithTimeout(w.t.Context(), time.Duration(20+rand.IntN(200))*time.Millisecond)
		b, err := c.Append(ctx, e)
		cancel()
		if err != nil {
			if w.t.Context().Err() != nil {
				return ledgertest.None
			}
			time.Sleep(5 * time.Millisecond)
			continue // it is being killed
		}
		return w.keep(b)
	}
}

func (w *witness) keep(b *evidence.Bundle) evidence.Reference {
	file, err := b.Encode()
	if err != nil {
		w.t.Error(err)
		return ledgertest.None
	}
	v, err := evidence.Verify(file, w.keys.Trust)
	if err != nil {
		w.t.Error(err)
		return ledgertest.None
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes[string(v.Checkpoint.Note)] = true
	if before, ok := w.acknowledged[v.Index]; ok && before != v.Digest {
		w.t.Errorf("entry %d was %s, then %s", v.Index, before, v.Digest)
	}
	w.acknowledged[v.Index] = v.Digest
	return evidence.Reference{Kind: v.Statement.Predicate.Kind, Index: v.Index, Digest: v.Digest}
}

func (w *witness) checkpoints() (notes [][]byte) {
	for note := range w.notes {
		notes = append(notes, []byte(note))
	}
	return notes
}

// examine looks at what is there in the end.
func (w *witness) examine(l *ledgertest.Ledger, with ...func(*ledger.Options)) {
	w.t.Helper()
	l.Open(w.t, with...)
	report := exported(w.t, l, w.checkpoints()...)
	if w.runs == 0 || len(w.notes) == 0 {
		w.t.Error("nothing was appended")
	}
	if report.Kinds[evidence.Intent] != w.runs || report.Kinds[evidence.Result] != w.runs || report.Size != 2*w.runs || len(report.Dangling) > 0 {
		w.t.Errorf("%d runs left %d entries: %v, %d of them dangling", w.runs, report.Size, report.Kinds, len(report.Dangling))
	}
	for e, err := range l.Client.Entries(w.t.Context(), 0, time.Time{}, time.Time{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		if want, ok := w.acknowledged[e.Index]; ok && want != e.Leaf.Statement {
			w.t.Errorf("entry %d was acknowledged as %s and is %s", e.Index, want, e.Leaf.Statement)
		}
		delete(w.acknowledged, e.Index)
	}
	if len(w.acknowledged) > 0 {
		w.t.Errorf("entries were acknowledged that are not there: %v", w.acknowledged)
	}
	w.consistent(l.Client, report.Size)
}

// consistent has the ledger itself prove that each checkpoint is a beginning of what it is now.
func (w *witness) consistent(c *client.Client, size int64) {
	w.t.Helper()
	state, err := c.State(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for note := range w.notes {
		was, err := evidence.OpenCheckpoint([]byte(note), w.keys.Trust)
		if err != nil {
			w.t.Fatal(err)
		}
		proof, err := c.Consistency(w.t.Context(), was.Size, size)
		if err != nil {
			w.t.Fatal(err)
		}
		if err := evidence.VerifyConsistent([]byte(note), []byte(state.Checkpoint), hashes(w.t, proof), w.keys.Trust); err != nil {
			w.t.Error(err)
		}
	}
}
