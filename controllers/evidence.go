// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/controllers/internal/attest"
	"dataretention.dev/retention-operator/internal/ledger"
	ledgerclient "dataretention.dev/retention-operator/internal/ledger/client"
	"dataretention.dev/retention-operator/internal/schedule"
)

const (
	// defaultStatementRotation is how old a statement key gets.
	defaultStatementRotation = 365 * 24 * time.Hour
	// defaultRetention is for how long statements are kept; leastRetention is what CCPA regulations § 7101(a) want for requests
	// and answers.
	defaultRetention = "P7Y"
	leastRetention   = "P24M"
	// closeTimeout is how long a ledger in this process may take to end.
	closeTimeout = 20 * time.Second
)

// evidenceFlags are those about statements and their ledger.
type evidenceFlags struct {
	ledger      string
	ledgerDir   string
	retention   string
	keyRotation time.Duration
	version     string
}

// check says what is wrong with the flags, and what to write instead.
func (f *evidenceFlags) check() error {
	switch {
	case f.ledger == "" && f.ledgerDir == "":
		return errors.New("--ledger is required: the address of the evidence ledger, such as https://retention-ledger:8443; for development, --ledger-dir=DIR keeps one in this process")
	case f.ledger != "" && f.ledgerDir != "":
		return errors.New("--ledger and --ledger-dir are two ledgers: leave one out")
	case f.keyRotation != 0 && f.keyRotation < minKeyRotation:
		return fmt.Errorf("--evidence-key-rotation is %s: write at least %s, or 0 for keys that stay", f.keyRotation, minKeyRotation)
	}
	if u, err := url.Parse(f.ledger); f.ledger != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		return fmt.Errorf("--ledger is %q: write https://, a host and a port, such as https://retention-ledger:8443", f.ledger)
	}
	_, err := f.period()
	return err
}

// period is for how long statements are kept.
func (f *evidenceFlags) period() (schedule.Period, error) {
	p, err := schedule.ParsePeriod(f.retention)
	if err != nil {
		return p, fmt.Errorf("--evidence-retention: %w", err)
	}
	least, err := schedule.ParsePeriod(leastRetention)
	if err != nil {
		return p, err
	}
	// A leap year makes the one longer or shorter, so it is looked from several days.
	for _, from := range []time.Time{time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)} {
		if p.AddTo(from, time.UTC).Before(least.AddTo(from, time.UTC)) {
			return p, fmt.Errorf("--evidence-retention is %s: write at least %s, for which CCPA regulations § 7101 have evidence kept", f.retention, leastRetention)
		}
	}
	return p, nil
}

// addEvidence adds to the manager what looks after the keys and the ledger. It returns what takes statements, and what ends it.
func addEvidence(mgr ctrl.Manager, live client.Client, f managerFlags) (attest.Ledger, func(), error) {
	retention, err := f.evidence.period()
	if err != nil {
		return nil, nil, err
	}
	keys := &attest.Keyring{
		Client: live, Events: mgr.GetEventRecorder(name), Clock: clock.RealClock{}, Namespace: f.namespace, Rotation: f.evidence.keyRotation,
	}
	to, end := ledgerclient.New(f.evidence.ledger, keys.HTTPClient()), func() {}
	if dir := f.evidence.ledgerDir; dir != "" {
		local := &localLedger{dir: dir, keys: keys}
		to, end = ledgerclient.New("http://ledger", ledgerclient.InProcess(local)), local.close
	}
	c := attest.New(attest.Options{
		Ledger: to, Keys: keys, Client: live, Events: mgr.GetEventRecorder(name), Clock: clock.RealClock{},
		Version: f.evidence.version, Retention: retention,
	})
	tender := &attest.Tender{Client: c, Cache: mgr.GetClient(), Ticks: clock.RealClock{}}
	if err := errors.Join(mgr.Add(keys), mgr.Add(tender)); err != nil {
		return nil, nil, fmt.Errorf("adding the evidence: %w", err)
	}
	return c, end, nil
}

// localLedger is a ledger in this process, for development. It is opened when it is needed for the first time.
type localLedger struct {
	dir  string
	keys *attest.Keyring

	mu      sync.Mutex
	log     *ledger.Log
	handler http.Handler
}

// ServeHTTP answers with the ledger.
func (l *localLedger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, err := l.open(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	h.ServeHTTP(w, r)
}

func (l *localLedger) open(ctx context.Context) (http.Handler, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.handler != nil {
		return l.handler, nil
	}
	signers, err := l.keys.LogKeys(ctx)
	if err != nil {
		return nil, err
	}
	log, err := ledger.Open(ctx, ledger.Options{
		Path: l.dir, SignerKeys: signers, Keys: func() ([]ed25519.PublicKey, error) { return l.keys.StatementKeys(context.WithoutCancel(ctx)) },
	})
	if err != nil {
		return nil, fmt.Errorf("opening the ledger in %s: %w", l.dir, err)
	}
	l.log, l.handler = log, log.Handler(false)
	return l.handler, nil
}

// close ends the ledger, if it was opened.
func (l *localLedger) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.log == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	if err := l.log.Close(ctx); err != nil {
		ctrl.Log.Error(err, "closing the ledger")
	}
	l.log, l.handler = nil, nil
}
