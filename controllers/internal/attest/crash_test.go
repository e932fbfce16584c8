// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/controllers/internal/attest"
	"dataretention.dev/retention-operator/controllers/internal/attest/attesttest"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/testing/apiserver"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// TestTwoManagersThatCrash has two managers state the same things at once. Both are killed again and again, between an append
// and its answer or anywhere else, and so is the ledger. There is one entry of each kind and key in the end, every manager
// was told of the same one, and what is kept of the ledger never went back.
func TestTwoManagersThatCrash(t *testing.T) {
	const executions, crashes = 40, 30
	l := attesttest.New(t)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()

	told := make([]map[string]evidence.Reference, 2)
	var managers, others sync.WaitGroup
	for i := range told {
		told[i] = map[string]evidence.Reference{}
		managers.Go(func() { told[i] = lead(ctx, t, l, executions) })
	}
	end := make(chan struct{})
	others.Go(func() {
		for range crashes {
			select {
			case <-end:
				return
			case <-time.After(time.Duration(50+rand.IntN(300)) * time.Millisecond):
				l.Restart(t)
			}
		}
	})
	var seen []string
	others.Go(func() { seen = watch(ctx, t, l, end) })
	managers.Wait()
	close(end)
	others.Wait()

	entries := l.Entries(t)
	if len(entries) != 2*executions {
		t.Errorf("there are %d entries, want %d", len(entries), 2*executions)
	}
	for _, e := range entries {
		key := string(e.Kind) + " " + e.Statement.Predicate.Key
		for i := range told {
			if told[i][key] != e.Reference {
				t.Errorf("manager %d was told of %+v as %s, and it is %+v", i, told[i][key], key, e.Reference)
			}
		}
	}
	if len(seen) < 2 {
		t.Errorf("the checkpoint was seen in %d versions", len(seen))
	}
	consistent(t, l, seen)
}

// lead states an Intent and a Result of each execution, and begins anew after each crash, as another process would.
func lead(ctx context.Context, t *testing.T, l *attesttest.Ledger, executions int) map[string]evidence.Reference {
	told := map[string]evidence.Reference{}
	c := attest.New(l.Client.Options)
	for n := range executions {
		key := fmt.Sprintf("policy/run/%d", n)
		closes := ledgertest.None
		for _, kind := range []evidence.Kind{evidence.Intent, evidence.Result} {
			for {
				if ctx.Err() != nil {
					t.Error("it takes too long")
					return told
				}
				logged, err := append1(ctx, c, kind, key, closes)
				if err == nil {
					told[string(kind)+" "+key], closes = logged.Reference, logged.Reference
					break
				}
				if !errors.Is(err, attest.ErrUnavailable) {
					t.Error(err)
				}
				var wrong *attest.Inconsistent
				if errors.As(err, &wrong) {
					t.Error(err)
					return told
				}
				o := l.Client.Options
				o.Keys = &attest.Keyring{Client: o.Client, Events: o.Events, Clock: o.Keys.Clock, Namespace: o.Keys.Namespace}
				c = attest.New(o)
			}
		}
	}
	return told
}

// append1 appends, and dies on the way in two of three cases: its context ends, or the answer gets lost.
func append1(ctx context.Context, c *attest.Client, kind evidence.Kind, key string, closes evidence.Reference) (evidence.Logged, error) {
	if rand.IntN(3) == 0 {
		short, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(30))*time.Millisecond)
		defer cancel()
		ctx = short
	}
	logged, err := c.Append(ctx, predicate(kind, key, closes), subject(key))
	if err == nil && rand.IntN(3) == 0 {
		err = fmt.Errorf("%w: the answer was lost", attest.ErrUnavailable)
	}
	return logged, err
}

// watch collects the kept checkpoints until end.
func watch(ctx context.Context, t *testing.T, l *attesttest.Ledger, end <-chan struct{}) (seen []string) {
	for {
		cm := &corev1.ConfigMap{}
		err := apiserver.Get(t).Client.Get(ctx, client.ObjectKey{Namespace: l.Namespace, Name: attest.CheckpointName}, cm)
		if err == nil && (len(seen) == 0 || seen[len(seen)-1] != cm.Data["checkpoint"]) {
			seen = append(seen, cm.Data["checkpoint"])
		}
		select {
		case <-end:
			return seen
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// consistent checks that each of the checkpoints goes on from the one before.
func consistent(t *testing.T, l *attesttest.Ledger, seen []string) {
	t.Helper()
	trust := *l.Raw.Trust
	trust.RequireWitness = true
	for i := range seen[:len(seen)-1] {
		a, err := evidence.OpenCheckpoint([]byte(seen[i]), &trust)
		must(t, err)
		b, err := evidence.OpenCheckpoint([]byte(seen[i+1]), &trust)
		must(t, err)
		if b.Size <= a.Size {
			t.Fatalf("what is kept went from %d entries to %d", a.Size, b.Size)
		}
		proof, err := l.Raw.Log.Consistency(t.Context(), a.Size, b.Size)
		must(t, err)
		must(t, evidence.VerifyConsistent(a.Note, b.Note, decoded(t, proof.Proof), &trust))
	}
}

func decoded(t *testing.T, texts []string) (all [][]byte) {
	t.Helper()
	for _, text := range texts {
		b, err := base64.StdEncoding.DecodeString(text)
		must(t, err)
		all = append(all, b)
	}
	return all
}
