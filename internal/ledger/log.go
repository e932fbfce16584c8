// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/tessera"
	"golang.org/x/mod/sumdb/note"
)

const (
	// Appends that come within batchAge of each other share the syncs of the disk.
	batchSize = 256
	batchAge  = 5 * time.Millisecond
	// The log signs and hands out a checkpoint as soon as an entry is durable. This is how often Tessera publishes one, which
	// readers of the tiles see. Its drivers have a lower bound.
	defaultCheckpointInterval = time.Second
)

// Options say how a Log is kept.
type Options struct {
	// Driver is DriverPOSIX, the default, or DriverMySQL.
	Driver string
	// Path is the folder of the posix driver.
	Path string
	// DSN is the data source name of the mysql driver, as github.com/go-sql-driver/mysql has it.
	DSN string
	// SignerKeys are the note signer keys of the log, the current one first. Their name is its origin.
	SignerKeys []string
	// Keys reads the public keys for statements. It is called again after a while, and for a signature by another key.
	Keys func() ([]ed25519.PublicKey, error)
	// CheckpointInterval is one second if zero.
	CheckpointInterval time.Duration
	// Clock is time.Now if nil.
	Clock func() time.Time
	// Log is slog.Default if nil.
	Log *slog.Logger
}

// Log is an open ledger. There is one at a time for a folder or database, on all machines. Its methods may be called
// concurrently. Their errors are of type *Error, or those of the context.
type Log struct {
	Options
	keyring *keyring
	trusted *trusted
	back    backend
	metrics *metrics

	appender *tessera.Appender
	shutdown func(context.Context) error
	// ctx ends when the log does, and no sooner: an append goes on when its caller does not wait any more.
	ctx    context.Context
	cancel context.CancelFunc

	growing sync.Mutex // held by extend

	mu    sync.Mutex
	head  *head
	index index
	// pending are the appends whose outcome is not known yet, by kind and key.
	pending map[digest]*pending
	closing bool
	// failure is why nothing more is appended or shown, once that is so; failed is closed then.
	failure error
	failed  chan struct{}

	appends sync.WaitGroup
}

// Open opens the ledger, or begins it. It waits until no other process has it open. It reads every entry, computes the tree
// anew, and refuses to go on with a log in which anything differs: from what it says must have been, no later checkpoint
// would follow.
func Open(ctx context.Context, o Options) (_ *Log, err error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.CheckpointInterval == 0 {
		o.CheckpointInterval = defaultCheckpointInterval
	}
	keys, err := newKeyring(o.SignerKeys)
	if err != nil {
		return nil, err
	}
	l := &Log{Options: o, keyring: keys, trusted: &trusted{read: o.Keys, clock: o.Clock},
		head: emptyHead(), pending: map[digest]*pending{}, failed: make(chan struct{})}
	l.metrics = newMetrics(l)
	switch o.Driver {
	case DriverPOSIX, "":
		l.back, err = openPOSIX(ctx, o.Path, o.Log)
	case DriverMySQL:
		l.back, err = openMySQL(ctx, o.DSN, o.Log)
	default:
		err = fmt.Errorf("there is no driver %q: choose %s or %s", o.Driver, DriverPOSIX, DriverMySQL)
	}
	if err != nil {
		return nil, err
	}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	defer func() {
		if err != nil {
			l.cancel()
			_ = l.back.Close()
		}
	}()
	if err := l.load(ctx); err != nil {
		return nil, fmt.Errorf("the ledger is not opened: %w", err)
	}
	if err := l.startAppender(); err != nil {
		return nil, err
	}
	go l.watch()
	o.Log.Info("the ledger is open", "origin", l.Origin(), "size", l.head.size)
	return l, nil
}

func (l *Log) startAppender() error {
	driver, err := l.back.logDriver(l.ctx)
	if err != nil {
		return fmt.Errorf("starting the log's driver: %w", err)
	}
	var signers []note.Signer
	for _, s := range l.keyring.signers {
		signers = append(signers, guarded{s, l.vouch})
	}
	options := tessera.NewAppendOptions().
		WithBatching(batchSize, batchAge).
		WithCheckpointInterval(l.CheckpointInterval).
		WithCheckpointRepublishInterval(0).
		WithCheckpointSigner(signers[0], signers[1:]...)
	l.appender, l.shutdown, _, err = tessera.NewAppender(l.ctx, driver, options)
	if err != nil {
		return fmt.Errorf("starting the log: %w", err)
	}
	return nil
}

// watch ends the log when the backend is not ours alone any more.
func (l *Log) watch() {
	select {
	case err := <-l.back.whenLost():
		l.fail(err)
	case <-l.ctx.Done():
	}
}

// Origin is the log's name, as it stands in every checkpoint.
func (l *Log) Origin() string { return l.keyring.origin() }

// Failed is closed when the log cannot go on. Failure says why. Only opening it anew helps, or a person.
func (l *Log) Failed() <-chan struct{} { return l.failed }

// Failure is why the log cannot go on, or nil.
func (l *Log) Failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// fail ends the log: what it would say from now on might be wrong.
func (l *Log) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure == nil {
		l.Log.Error("the ledger cannot go on", "error", err.Error())
		l.failure = err
		close(l.failed)
	}
}

// usable says whether anything may be said or done. It is called with mu held.
func (l *Log) usable() error {
	if l.failure != nil {
		return unavailable("the ledger has stopped; its own log says why")
	}
	return nil
}

func (l *Log) current() *head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Close ends the log once all appends that have begun are done and under a published checkpoint, or ctx ends.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	done := make(chan struct{})
	go func() {
		l.appends.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
		if l.Failure() == nil {
			err = l.shutdown(ctx)
		}
		err = errors.Join(err, l.back.Close())
	case <-ctx.Done():
		err = ctx.Err() // something may be writing still: the lock goes with the process
	}
	l.cancel()
	if err != nil {
		return fmt.Errorf("closing the ledger: %w", err)
	}
	return nil
}

// extend takes what has become durable since into the index, under a checkpoint that is signed here and now.
func (l *Log) extend(ctx context.Context) error {
	l.growing.Lock()
	defer l.growing.Unlock()
	h := l.current()
	size, root, err := l.back.treeState(ctx)
	switch {
	case err != nil:
		return err
	case size < h.size:
		err := fmt.Errorf("the tree has shrunk from %d to %d entries", h.size, size)
		l.fail(err)
		return err
	case size == h.size:
		return nil
	}
	r, err := h.grow()
	if err != nil {
		return err
	}
	var entries [][]byte
	for entry, err := range (treeOf{l.back, &head{size: size}}).leaves(ctx, h.size) {
		if err != nil {
			return err
		}
		if err := r.Append(hasher.HashLeaf(entry), nil); err != nil {
			return err
		}
		entries = append(entries, entry)
	}
	next, err := l.headOf(r)
	if err != nil {
		return err
	}
	if !bytes.Equal(next.root, root) {
		err := fmt.Errorf("the tree of size %d has the root %x, but its entries lead to %x", size, root, next.root)
		l.fail(err)
		return err
	}
	l.mu.Lock()
	for i, entry := range entries {
		var added *record
		if added, err = l.index.add(entry); err != nil {
			err = fmt.Errorf("entry %d: %w", h.size+uint64(i), err)
			break
		}
		added.present = true // it was stored before
	}
	if err == nil {
		l.head = next
	}
	l.mu.Unlock()
	if err != nil {
		l.fail(err)
	}
	return err
}

// headOf signs a checkpoint for the tree that a range has become.
func (l *Log) headOf(r *compact.Range) (*head, error) {
	root, err := rootOf(r)
	if err != nil {
		return nil, err
	}
	checkpoint, err := l.keyring.sign(r.End(), root)
	if err != nil {
		return nil, err
	}
	return &head{size: r.End(), root: root, frontier: append([][]byte(nil), r.Hashes()...), checkpoint: checkpoint}, nil
}
