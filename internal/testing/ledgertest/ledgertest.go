// SPDX-License-Identifier: Apache-2.0

// Package ledgertest gives tests a real ledger in a folder of their own.
package ledgertest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"log/slog"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
	"dataretention.dev/retention-operator/internal/ledger/client"
)

// Origin is the name of every ledger for tests.
const Origin = "dataretention.dev/ledger/5b1f2c5e-0000-4000-8000-000000000000"

// Ledger is a ledger with fresh keys.
type Ledger struct {
	Keys
	Log    *ledger.Log
	Client *client.Client // in this process
	// Dir is its folder, which is an export as evidence.VerifyLog reads it, once the log is closed.
	Dir string
}

// Keys are the keys of a ledger and of whoever signs statements for it.
type Keys struct {
	StatementKey ed25519.PrivateKey
	// LogKey is a note signer key.
	LogKey string
	// Trust and KeysPEM are the public keys of both.
	Trust   *evidence.Trust
	KeysPEM []byte
}

// New opens a ledger that closes with the test. The ledger checks the times of statements by its clock: a test that has another
// one than the system's sets it with With.
func New(tb testing.TB, with ...func(*ledger.Options)) *Ledger {
	tb.Helper()
	l := &Ledger{Keys: NewKeys(tb), Dir: tb.TempDir()}
	l.Open(tb, with...)
	return l
}

// With sets the clock.
func With(clock func() time.Time) func(*ledger.Options) {
	return func(o *ledger.Options) { o.Clock = clock }
}

// Open opens the ledger of l.Dir, which has to be closed.
func (l *Ledger) Open(tb testing.TB, with ...func(*ledger.Options)) {
	tb.Helper()
	o := l.Options()
	for _, f := range with {
		f(&o)
	}
	log, err := ledger.Open(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	l.Log, l.Client = log, client.New("http://ledger", client.InProcess(log.Handler(false)))
	tb.Cleanup(func() { l.Close(tb) })
}

// Options are those of a ledger in l.Dir. Its folder looks like an export soon after each append.
func (l *Ledger) Options() ledger.Options {
	return ledger.Options{
		Path: l.Dir, SignerKeys: []string{l.LogKey},
		Keys:               func() ([]ed25519.PublicKey, error) { return l.Trust.Statement, nil },
		CheckpointInterval: 100 * time.Millisecond,
		Log:                slog.New(slog.DiscardHandler),
	}
}

// Close closes the ledger, if it is open.
func (l *Ledger) Close(tb testing.TB) {
	tb.Helper()
	if l.Log == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(tb.Context()), time.Minute)
	defer cancel()
	if err := l.Log.Close(ctx); err != nil {
		tb.Error(err)
	}
	l.Log = nil
}

// NewKeys makes keys.
func NewKeys(tb testing.TB) Keys {
	tb.Helper()
	statementPublic, statementKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	logKey, _, err := note.GenerateKey(rand.Reader, Origin)
	if err != nil {
		tb.Fatal(err)
	}
	_, private, err := evidence.NoteKey(logKey)
	if err != nil {
		tb.Fatal(err)
	}
	public := []evidence.PublicKey{
		{Use: evidence.UseStatement, Key: statementPublic},
		{Use: evidence.UseLog, Name: Origin, Key: private.Public().(ed25519.PublicKey)},
	}
	k := Keys{StatementKey: statementKey, LogKey: logKey, KeysPEM: evidence.FormatTrust(public)}
	if k.Trust, err = evidence.ParseTrust(k.KeysPEM); err != nil {
		tb.Fatal(err)
	}
	return k
}

// Sign signs a statement with the ledger's statement key.
func (k Keys) Sign(tb testing.TB, s *evidence.Statement) *evidence.Envelope {
	tb.Helper()
	e, err := evidence.Sign(s, k.StatementKey)
	if err != nil {
		tb.Fatal(err)
	}
	return e
}

// Append signs and appends a statement, and returns the reference to it.
func (l *Ledger) Append(tb testing.TB, s *evidence.Statement) evidence.Reference {
	tb.Helper()
	b, err := l.Client.Append(tb.Context(), l.Sign(tb, s))
	if err != nil {
		tb.Fatal(err)
	}
	return l.Reference(tb, b)
}

// Reference verifies a bundle, and refers to its statement.
func (k Keys) Reference(tb testing.TB, b *evidence.Bundle) evidence.Reference {
	tb.Helper()
	file, err := b.Encode()
	if err != nil {
		tb.Fatal(err)
	}
	v, err := evidence.Verify(file, k.Trust)
	if err != nil {
		tb.Fatal(err)
	}
	return evidence.Reference{Kind: v.Statement.Predicate.Kind, Index: v.Index, Digest: v.Digest}
}
