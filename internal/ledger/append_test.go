// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// TestOneEntryPerKindAndKey has a hundred managers at once append the same and different statements.
func TestOneEntryPerKindAndKey(t *testing.T) {
	l := ledgertest.New(t)
	const managers, keys = 100, 10
	var all sync.WaitGroup
	var appended atomic.Int64
	var mu sync.Mutex
	byKey := map[string]evidence.Reference{}
	for n := range managers {
		all.Go(func() {
			key := fmt.Sprint(n % keys)
			// Each has its own time, so each statement differs from all others of its key.
			s := ledgertest.Statement(evidence.Intent, key, time.Now().Add(time.Duration(n)*time.Millisecond), ledgertest.None)
			b, first, err := l.Log.Append(t.Context(), l.Sign(t, s))
			if err != nil {
				t.Error(err)
				return
			}
			if first {
				appended.Add(1)
			}
			got := l.Reference(t, b)
			mu.Lock()
			defer mu.Unlock()
			if before, ok := byKey[key]; ok && before != got {
				t.Errorf("%s is in %+v and in %+v", key, before, got)
			}
			byKey[key] = got
		})
	}
	all.Wait()
	state, err := l.Client.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if appended.Load() != keys || state.Size != keys || len(byKey) != keys || len(state.Dangling) != keys {
		t.Errorf("%d were appended, the size is %d, there are %d keys, %d of them dangling", appended.Load(), state.Size, len(byKey), len(state.Dangling))
	}
}

// TestRestart finds everything again in a ledger that is opened anew, over more than one full tile.
func TestRestart(t *testing.T) {
	l := ledgertest.New(t)
	const entries = 600
	var all sync.WaitGroup
	for n := range entries {
		all.Go(func() { l.Append(t, ledgertest.Statement(evidence.Intent, fmt.Sprint(n), time.Now(), ledgertest.None)) })
	}
	all.Wait()
	before := map[string]evidence.Reference{}
	for n := range entries {
		before[fmt.Sprint(n)] = l.Append(t, ledgertest.Statement(evidence.Intent, fmt.Sprint(n), time.Now(), ledgertest.None))
	}
	first, err := l.Client.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.Close(t)
	l.Open(t)
	second, err := l.Client.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if first.Checkpoint != second.Checkpoint || second.Size != entries {
		t.Errorf("the checkpoint was\n%s\nand is\n%s", first.Checkpoint, second.Checkpoint)
	}
	for key, want := range before {
		e, err := l.Client.Find(t.Context(), evidence.Intent, key)
		if err != nil {
			t.Fatal(err)
		}
		if e == nil || e.Index != want.Index || e.Leaf.Statement != want.Digest || e.Envelope == nil {
			t.Errorf("%s was in %+v, and is in %+v", key, want, e)
		}
	}
	if e, err := l.Client.Find(t.Context(), evidence.Result, "1"); e != nil || err != nil {
		t.Errorf("got %+v, %v", e, err)
	}
	if got := l.Append(t, ledgertest.Statement(evidence.Intent, "1", time.Now(), ledgertest.None)); got != before["1"] {
		t.Errorf("appended again as %+v", got)
	}
}

// TestProofsOfEarlierSizes has each entry proved in each tree that it was ever in.
func TestProofsOfEarlierSizes(t *testing.T) {
	l := ledgertest.New(t)
	const entries = 20
	var notes []string
	for n := range entries {
		l.Append(t, ledgertest.Statement(evidence.Intent, fmt.Sprint(n), time.Now(), ledgertest.None))
		s, err := l.Client.State(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		notes = append(notes, s.Checkpoint)
	}
	for size := int64(1); size <= entries; size++ {
		for i := range size {
			b, err := l.Client.Entry(t.Context(), i, size)
			if err != nil {
				t.Fatal(err)
			}
			if got := l.Reference(t, b); got.Index != i {
				t.Errorf("entry %d is %d", i, got.Index)
			}
			if p, err := b.ReadProof(); err != nil || string(p.Checkpoint) != notes[size-1] {
				t.Errorf("the checkpoint of size %d is not what it was: %v", size, err)
			}
		}
		for from := int64(1); from <= size; from++ {
			c, err := l.Client.Consistency(t.Context(), from, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := evidence.VerifyConsistent([]byte(notes[from-1]), []byte(notes[size-1]), hashes(t, c), l.Trust); err != nil {
				t.Error(err)
			}
		}
	}
	for _, size := range []int64{entries + 1, 3} {
		_, err := l.Client.Entry(t.Context(), 5, size)
		refused(t, err, map[int64]string{entries + 1: ledger.CodeNotFound, 3: ledger.CodeNotFound}[size])
	}
	_, err := l.Client.Consistency(t.Context(), entries+1, entries+2)
	refused(t, err, ledger.CodeNotFound)
}

// TestOnlyStatementKeys accepts what a statement key has signed, and a new key as soon as it is published.
func TestOnlyStatementKeys(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var published atomic.Bool
	now := time.Now()
	var clock atomic.Pointer[time.Time]
	clock.Store(&now)
	l := ledgertest.New(t, func(o *ledger.Options) {
		read := o.Keys
		o.Clock = func() time.Time { return *clock.Load() }
		o.Keys = func() ([]ed25519.PublicKey, error) {
			keys, err := read()
			if published.Load() {
				keys = append([]ed25519.PublicKey{public}, keys...)
			}
			return keys, err
		}
	})
	e, err := evidence.Sign(ledgertest.Statement(evidence.Intent, "key", now, ledgertest.None), private)
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.Client.Append(t.Context(), e)
	refused(t, err, string(evidence.CodeSignature))
	published.Store(true)
	_, err = l.Client.Append(t.Context(), e) // not read again so soon
	refused(t, err, string(evidence.CodeSignature))
	later := now.Add(5 * time.Second)
	clock.Store(&later)
	if _, err := l.Client.Append(t.Context(), e); err != nil {
		t.Error(err)
	}
	e.Payload = l.Sign(t, ledgertest.Statement(evidence.Intent, "other", now, ledgertest.None)).Payload
	_, err = l.Client.Append(t.Context(), e)
	refused(t, err, string(evidence.CodeSignature))
	if s, err := l.Client.State(t.Context()); err != nil || s.Size != 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestClose finishes what has begun, and takes nothing more.
func TestClose(t *testing.T) {
	l := ledgertest.New(t)
	const managers = 20
	var all sync.WaitGroup
	var acknowledged atomic.Int64
	begun := make(chan struct{}, managers)
	for n := range managers {
		all.Go(func() {
			e := l.Sign(t, ledgertest.Statement(evidence.Intent, fmt.Sprint(n), time.Now(), ledgertest.None))
			begun <- struct{}{}
			_, _, err := l.Log.Append(t.Context(), e)
			var unavailable *ledger.Error
			switch {
			case err == nil:
				acknowledged.Add(1)
			case !errors.As(err, &unavailable) || unavailable.Code != ledger.CodeUnavailable:
				t.Error(err)
			}
		})
	}
	<-begun
	log := l.Log
	l.Close(t)
	all.Wait()
	e := l.Sign(t, ledgertest.Statement(evidence.Intent, "late", time.Now(), ledgertest.None))
	_, _, err := log.Append(t.Context(), e)
	refused(t, err, ledger.CodeUnavailable)
	report, err := evidence.VerifyLog(os.DirFS(l.Dir), l.Trust)
	if err != nil {
		t.Fatal(err)
	}
	if report.Size < acknowledged.Load() || len(report.Problems) > 0 {
		t.Errorf("%d were acknowledged: %+v", acknowledged.Load(), report)
	}
}

// TestCallerGivesUp appends what nobody waits for any more, and finds it for the next who asks.
func TestCallerGivesUp(t *testing.T) {
	l := ledgertest.New(t)
	e := l.Sign(t, ledgertest.Statement(evidence.Intent, "key", time.Now(), ledgertest.None))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := l.Log.Append(ctx, e)
	refused(t, err, ledger.CodeUnavailable)
	again := ledgertest.Statement(evidence.Intent, "key", time.Now(), ledgertest.None)
	b, appended, err := l.Log.Append(t.Context(), l.Sign(t, again))
	if err != nil || appended {
		t.Fatalf("appended: %t, %v", appended, err)
	}
	if b.Envelope.Payload != e.Payload {
		t.Error("another statement was appended")
	}
}
