// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"golang.org/x/mod/sumdb/note"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/controllers/internal/metrics"
	"dataretention.dev/retention-operator/controllers/internal/upkeep"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
	ledgerclient "dataretention.dev/retention-operator/internal/ledger/client"
)

// rounds bounds how often the kept checkpoint is read again because another manager has written one.
const rounds = 5

// witness sees to it that the ledger only ever grows: it keeps the latest checkpoint, cosigned, in a ConfigMap, and accepts
// none that does not go on from it. Any number of managers may do so at once.
type witness struct {
	client    client.Client // without a cache
	ledger    *ledgerclient.Client
	keys      *Keyring
	events    events.EventRecorder
	clock     clock.PassiveClock
	namespace string

	// newest is the largest checkpoint that somebody waits for: one round serves all of them.
	newestMu sync.Mutex
	newest   *evidence.Checkpoint

	// busy has a value while somebody has the rest: whoever looks asks the ledger, so nobody waits for longer than he has time.
	busy chan struct{}
	kept *kept
	// high is the largest checkpoint that this process has seen kept: what is kept never goes back.
	high *highWater
	// seen says that the ledger was compared with what is kept since this process began; problem is what was wrong the last
	// time, nil if nothing was.
	seen    bool
	problem error
}

// Inconsistent is what is wrong with the ledger: it is not the one that it was. It stays so until a person has looked.
type Inconsistent struct {
	// Reason is one of evidence's codes.
	Reason evidence.Code
	// Size and Root are the ledger's now.
	Size int64
	Root string
	err  error
}

func (e *Inconsistent) Error() string {
	if e.Root == "" {
		return fmt.Sprintf("%v; nothing is deleted until the ledger signs with a key of Secret %s", e.err, LedgerSecret)
	}
	return fmt.Sprintf("%v; nothing is deleted until a person has found out why and, if the ledger is to be used as it is now, has set the annotation %s=%s on ConfigMap %s",
		e.err, AnnotationAccept, e.Root, CheckpointName)
}

func (e *Inconsistent) Unwrap() error { return e.err }

// lock waits for whoever looks, at most as long as ctx.
func (w *witness) lock(ctx context.Context) error {
	select {
	case w.busy <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for another look at the ledger: %w", ctx.Err())
	}
}

func (w *witness) unlock() { <-w.busy }

// ready says why the ledger must not be used. A ledger that was fine is not looked at again.
func (w *witness) ready(ctx context.Context) error {
	if err := w.lock(ctx); err != nil {
		return err
	}
	fine := w.seen && w.problem == nil
	w.unlock()
	if fine {
		return nil
	}
	_, err := w.check(ctx)
	return err
}

// check compares the ledger as it is now with what is kept.
func (w *witness) check(ctx context.Context) (*ledger.State, error) {
	trust, err := w.keys.trust(ctx)
	if err != nil {
		return nil, err
	}
	least, err := w.keptSize(ctx) // before the ledger is asked: it may grow while it answers
	if err != nil {
		return nil, err
	}
	state, err := w.ledger.State(ctx)
	if err != nil {
		return nil, err
	}
	cp, err := evidence.OpenCheckpoint([]byte(state.Checkpoint), trust)
	if err != nil {
		return nil, w.judgeProof(ctx, err)
	}
	return state, w.seeSince(ctx, cp, least)
}

// keptSize is how many entries the ledger has at least.
func (w *witness) keptSize(ctx context.Context) (size int64, err error) {
	if err := w.lock(ctx); err != nil {
		return 0, err
	}
	defer w.unlock()
	if w.kept == nil {
		if w.kept, err = w.load(ctx); err != nil {
			return 0, err
		}
	}
	if w.kept.checkpoint == nil {
		return 0, nil
	}
	return w.kept.checkpoint.Size, nil
}

// see accepts a checkpoint that the ledger's key has signed: if it is newer than the one that is kept and goes on from it, it
// is kept from now on; if it is older, the kept one has to go on from it.
func (w *witness) see(ctx context.Context, cp *evidence.Checkpoint) error {
	return w.seeSince(ctx, cp, 0)
}

// seeSince is see, of a checkpoint that the ledger gave when it must have had at least so many entries.
func (w *witness) seeSince(ctx context.Context, cp *evidence.Checkpoint, least int64) error {
	w.offer(cp)
	err := w.lock(ctx)
	if err != nil {
		return err
	}
	defer w.unlock()
	newest := w.take()
	if newest != nil && newest.Size > cp.Size {
		err = w.look(ctx, newest, 0)
	}
	if err == nil {
		err = w.look(ctx, cp, least)
	}
	return w.judged(err)
}

// offer has a round take the checkpoint, too.
func (w *witness) offer(cp *evidence.Checkpoint) {
	w.newestMu.Lock()
	defer w.newestMu.Unlock()
	if w.newest == nil || cp.Size > w.newest.Size {
		w.newest = cp
	}
}

func (w *witness) take() *evidence.Checkpoint {
	w.newestMu.Lock()
	defer w.newestMu.Unlock()
	newest := w.newest
	w.newest = nil
	return newest
}

// judgeProof takes what is wrong with a bundle: if it is about who signs for the ledger, it is not the one that it was.
func (w *witness) judgeProof(ctx context.Context, err error) error {
	var p *evidence.Problem
	if errors.As(err, &p) && (p.Code == evidence.CodeOrigin || p.Code == evidence.CodeLogSignature) {
		err = inconsistent(err, nil)
	}
	if busy := w.lock(ctx); busy != nil {
		return err // the next one finds out the same
	}
	defer w.unlock()
	return w.judged(err)
}

// judged remembers what came of a look, and tells people of what is wrong, once. What only says that nobody could look changes
// nothing.
func (w *witness) judged(err error) error {
	var wrong *Inconsistent
	switch {
	case err == nil:
		w.seen, w.problem = true, nil
		metrics.LedgerInconsistent.Set(0)
	case errors.As(err, &wrong):
		if w.problem == nil || w.problem.Error() != err.Error() {
			w.events.Eventf(w.regarding(), nil, corev1.EventTypeWarning, "LedgerInconsistent", "CompareLedger", "%s", clip(err.Error()))
		}
		w.problem = err
		metrics.LedgerInconsistent.Set(1)
	}
	return err
}

// look compares a checkpoint with the kept one, and keeps it if it is newer. Before anything counts as wrong, what is kept is
// read again: another manager may have gone on, or a person have decided. It needs the lock.
func (w *witness) look(ctx context.Context, cp *evidence.Checkpoint, least int64) error {
	var err error
	for range rounds {
		fresh := w.kept == nil
		if fresh {
			if w.kept, err = w.load(ctx); err != nil {
				return err
			}
		}
		err = w.compare(ctx, cp, least)
		var wrong *Inconsistent
		switch {
		case err == nil:
			return nil
		case errors.As(err, &wrong) && fresh:
			return w.accepted(ctx, cp, wrong)
		case !errors.As(err, &wrong) && !upkeep.Overtaken(err):
			return err
		}
		w.kept = nil
	}
	return err
}

func (w *witness) compare(ctx context.Context, cp *evidence.Checkpoint, least int64) error {
	switch {
	case w.kept.problem != nil:
		return inconsistent(w.kept.problem, cp)
	case w.kept.checkpoint == nil:
		return w.first(ctx, cp)
	case cp.Size < least && least <= w.kept.checkpoint.Size:
		return inconsistent(fewer(least), cp)
	case cp.Size > w.kept.checkpoint.Size:
		if err := w.consistent(ctx, w.kept.checkpoint, cp, cp); err != nil {
			return err
		}
		return w.keep(ctx, cp, w.kept.next)
	}
	return w.consistent(ctx, cp, w.kept.checkpoint, cp)
}

// consistent has the ledger prove that it goes on from a to b; the later one of a look is now.
func (w *witness) consistent(ctx context.Context, a, b, now *evidence.Checkpoint) error {
	trust, err := w.keys.trust(ctx)
	if err != nil {
		return err
	}
	var hashes [][]byte
	if a.Size > 0 && a.Size < b.Size {
		hashes, err = w.hashes(ctx, a.Size, b.Size)
		var refused *ledger.Error
		if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
			return inconsistent(fewer(b.Size), now)
		}
		if err != nil {
			return err
		}
	}
	if err := evidence.VerifyConsistent(a.Note, b.Note, hashes, trust); err != nil {
		return inconsistent(err, now)
	}
	return nil
}

func (w *witness) hashes(ctx context.Context, from, to int64) ([][]byte, error) {
	proof, err := w.ledger.Consistency(ctx, from, to)
	if err != nil {
		return nil, err
	}
	hashes := make([][]byte, len(proof.Proof))
	for i, text := range proof.Proof {
		if hashes[i], err = base64.StdEncoding.DecodeString(text); err != nil {
			return nil, fmt.Errorf("the ledger's proof of consistency is no base64: %w", err)
		}
	}
	return hashes, nil
}

// cosigned returns the checkpoint's note with the witness's signature besides.
func (w *witness) cosigned(ctx context.Context, cp *evidence.Checkpoint) (*evidence.Checkpoint, error) {
	keys, err := w.keys.cached(ctx)
	if err != nil {
		return nil, err
	}
	n, err := note.Open(cp.Note, note.VerifierList(keys.trust.Log...))
	if err != nil {
		return nil, fmt.Errorf("cosigning the checkpoint: %w", err)
	}
	signed, err := note.Sign(n, keys.witness)
	if err != nil {
		return nil, fmt.Errorf("cosigning the checkpoint: %w", err)
	}
	return evidence.OpenCheckpoint(signed, keys.trust)
}

func fewer(size int64) error {
	return &evidence.Problem{Code: evidence.CodeTruncated, Sentence: fmt.Sprintf("the ledger had %d entries, and has fewer now: entries were taken away", size)}
}

func inconsistent(err error, cp *evidence.Checkpoint) error {
	out := &Inconsistent{err: err}
	var p *evidence.Problem
	if errors.As(err, &p) {
		out.Reason = p.Code
	}
	if cp != nil {
		out.Size, out.Root = cp.Size, hex.EncodeToString(cp.Root[:])
	}
	return out
}

// clip fits a text into the note of an event.
func clip(s string) string {
	const most = 1000
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
