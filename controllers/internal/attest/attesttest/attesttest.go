// SPDX-License-Identifier: Apache-2.0

// Package attesttest gives tests of controllers a real ledger, with real keys in the test's API server, that can be made to
// fail.
package attesttest

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/controllers/internal/attest"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
	ledgerclient "dataretention.dev/retention-operator/internal/ledger/client"
	"dataretention.dev/retention-operator/internal/schedule"
	"dataretention.dev/retention-operator/internal/testing/apiserver"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// Ledger is a ledger, and an attest.Ledger that states things in it.
type Ledger struct {
	*attest.Client
	// Raw is the ledger itself.
	Raw *ledgertest.Ledger
	// Namespace has the keys: it is the operator's.
	Namespace string
	// Recorder has the events about keys and ledger.
	Recorder *events.FakeRecorder

	srv  *apiserver.Server
	with []func(*ledger.Options)

	mu    sync.Mutex
	fail  bool
	hang  bool
	crash map[evidence.Kind]int
}

var _ attest.Ledger = (*Ledger)(nil)

// Options change what New does.
type Options struct {
	// Namespace is the operator's. By default a new one is made.
	Namespace string
	// Clock is that of manager and ledger. By default it is the system's.
	Clock clock.WithTicker
}

// New returns an empty ledger, which ends with the test. It needs the test's API server.
func New(tb testing.TB, options ...func(*Options)) *Ledger {
	tb.Helper()
	o := Options{Clock: clock.RealClock{}}
	for _, f := range options {
		f(&o)
	}
	l := &Ledger{
		srv: apiserver.Get(tb), Namespace: o.Namespace, Recorder: events.NewFakeRecorder(1000),
		with:  []func(*ledger.Options){ledgertest.With(o.Clock.Now)},
		crash: map[evidence.Kind]int{},
	}
	if l.Namespace == "" {
		l.Namespace = l.srv.Namespace(tb)
	}
	keys := &attest.Keyring{Client: l.srv.Client, Events: l.Recorder, Clock: o.Clock, Namespace: l.Namespace}
	must(tb, keys.Tend(tb.Context()))
	l.with = append(l.with, func(o *ledger.Options) { o.Keys = l.published })
	l.Raw = &ledgertest.Ledger{Dir: tb.TempDir()}
	l.Raw.Keys = l.keys(tb)
	l.Raw.Open(tb, l.with...)
	period, err := schedule.ParsePeriod("P7Y")
	must(tb, err)
	l.Client = attest.New(attest.Options{
		Ledger: ledgerclient.New("http://ledger", ledgerclient.InProcess(l)), Keys: keys, Client: l.srv.Client, Events: l.Recorder,
		Clock: o.Clock, Version: "test", Retention: period,
	})
	return l
}

// Entries returns all that was stated, in the ledger's order. It works while the ledger fails, too.
func (l *Ledger) Entries(tb testing.TB) []evidence.Logged {
	tb.Helper()
	var all []evidence.Logged
	for e, err := range l.Raw.Client.Entries(tb.Context(), 0, time.Time{}, time.Time{}) {
		must(tb, err)
		s, payload, err := evidence.Payload(e.Envelope)
		must(tb, err)
		all = append(all, evidence.Logged{
			Reference: evidence.Reference{Kind: e.Leaf.Kind, Index: e.Index, Digest: evidence.DigestOf(payload)},
			Time:      s.Predicate.Time, Statement: *s,
		})
	}
	return all
}

// Fail has the ledger not answer from now on, or answer again.
func (l *Ledger) Fail(fail bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = fail
}

// Hang has the ledger take requests and not answer them from now on, or answer again. Unlike with Fail, the manager has to find
// out by itself, which takes it seconds.
func (l *Ledger) Hang(hang bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hang = hang
}

// CrashAfter has the next append of that kind be made, and its answer be lost: what a manager leaves that dies between the
// append and its next write.
func (l *Ledger) CrashAfter(kind evidence.Kind) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.crash[kind]++
}

// Append implements attest.Ledger.
func (l *Ledger) Append(ctx context.Context, p evidence.Predicate, subjects ...evidence.Subject) (evidence.Logged, error) {
	if err := l.failing(); err != nil {
		return evidence.Logged{}, err
	}
	logged, err := l.Client.Append(ctx, p, subjects...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil && l.crash[p.Kind] > 0 {
		l.crash[p.Kind]--
		return evidence.Logged{}, fmt.Errorf("%w: the answer was lost", attest.ErrUnavailable)
	}
	return logged, err
}

// Find implements attest.Ledger.
func (l *Ledger) Find(ctx context.Context, kind evidence.Kind, key string) (*evidence.Logged, error) {
	if err := l.failing(); err != nil {
		return nil, err
	}
	return l.Client.Find(ctx, kind, key)
}

func (l *Ledger) failing() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail {
		return fmt.Errorf("%w: it was told not to answer", attest.ErrUnavailable)
	}
	return nil
}

// published reads the statement keys as the ledger's process does, which has the ConfigMap mounted.
func (l *Ledger) published() ([]ed25519.PublicKey, error) {
	cm := &corev1.ConfigMap{}
	if err := l.srv.Client.Get(context.Background(), client.ObjectKey{Namespace: l.Namespace, Name: attest.KeysName}, cm); err != nil {
		return nil, err
	}
	trust, err := evidence.ParseTrust([]byte(cm.Data[attest.TrustKey]))
	if err != nil {
		return nil, err
	}
	return trust.Statement, nil
}

// keys are those of the Secrets, so that a test can have stated what no manager would state.
func (l *Ledger) keys(tb testing.TB) ledgertest.Keys {
	tb.Helper()
	k := ledgertest.Keys{LogKey: strings.Fields(string(l.secret(tb, attest.LedgerSecret).Data["log.key"]))[0]}
	secret := l.secret(tb, attest.KeysName)
	for name, value := range secret.Data {
		if strings.HasSuffix(name, ".key") {
			block, _ := pem.Decode(value)
			private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			must(tb, err)
			k.StatementKey = private.(ed25519.PrivateKey)
		}
	}
	k.KeysPEM = secret.Data[attest.TrustKey]
	trust, err := evidence.ParseTrust(k.KeysPEM)
	must(tb, err)
	k.Trust = trust
	return k
}

func (l *Ledger) secret(tb testing.TB, name string) *corev1.Secret {
	tb.Helper()
	secret := &corev1.Secret{}
	must(tb, l.srv.Client.Get(tb.Context(), client.ObjectKey{Namespace: l.Namespace, Name: name}, secret))
	return secret
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
