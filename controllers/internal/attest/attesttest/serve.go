// SPDX-License-Identifier: Apache-2.0

package attesttest

import (
	"net/http"
	"net/http/httptest"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"dataretention.dev/retention-operator/controllers/internal/attest"
	"dataretention.dev/retention-operator/internal/ledger"
)

// ServeHTTP answers with the ledger as it is now: a test may have closed it, and opened it again.
func (l *Ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	log, hang := l.Raw.Log, l.hang
	l.mu.Unlock()
	if hang {
		<-r.Context().Done()
		return
	}
	if log == nil {
		http.Error(w, "the ledger is closed", http.StatusServiceUnavailable)
		return
	}
	log.Handler(false).ServeHTTP(w, r)
}

// Restart closes the ledger and opens it again.
func (l *Ledger) Restart(tb testing.TB) {
	tb.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Raw.Close(tb)
	l.Raw.Open(tb, l.with...)
}

// URL serves the ledger by mutual TLS until the test ends, as its process would, for managers that are processes of their own.
func (l *Ledger) URL(tb testing.TB) string {
	tb.Helper()
	secret := l.secret(tb, attest.LedgerSecret)
	config, err := ledger.MutualTLS(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	must(tb, err)
	srv := httptest.NewUnstartedServer(l)
	srv.TLS = config
	srv.StartTLS()
	tb.Cleanup(srv.Close)
	return srv.URL
}
