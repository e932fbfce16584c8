// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
	"dataretention.dev/retention-operator/internal/ledger/client"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// faulty passes requests on to a ledger, apart from the first ones, which it answers itself; after, it forgets the answer.
type faulty struct {
	ledger http.Handler
	status int
	times  int
	after  bool
	calls  int
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.calls++
	if f.calls > f.times {
		f.ledger.ServeHTTP(w, r)
		return
	}
	if f.after { // the connection breaks when the ledger has done its work
		answer, err := client.InProcess(f.ledger).Transport.RoundTrip(r)
		if err == nil {
			_ = answer.Body.Close()
		}
	}
	w.WriteHeader(f.status)
	fmt.Fprint(w, "bad gateway")
}

// TestRepeats asks again when the ledger cannot answer, and for an append too: it is made once.
func TestRepeats(t *testing.T) {
	l := ledgertest.New(t)
	f := &faulty{ledger: l.Log.Handler(false), status: http.StatusBadGateway, times: 2, after: true}
	c := client.New("http://ledger", client.InProcess(f))
	b, err := c.Append(t.Context(), l.Sign(t, ledgertest.Statement(evidence.Intent, "key", time.Now(), ledgertest.None)))
	if err != nil {
		t.Fatal(err)
	}
	l.Reference(t, b)
	if s, err := l.Client.State(t.Context()); err != nil || s.Size != 1 || f.calls != 3 {
		t.Errorf("%d calls, %+v, %v", f.calls, s, err)
	}
}

// TestGivesUp says why, and does not ask again what will be refused again.
func TestGivesUp(t *testing.T) {
	l := ledgertest.New(t)
	for status, calls := range map[int]int{http.StatusBadGateway: 4, http.StatusForbidden: 1} {
		f := &faulty{ledger: l.Log.Handler(false), status: status, times: 100}
		_, err := client.New("http://ledger", client.InProcess(f)).State(t.Context())
		var e *ledger.Error
		if !errors.As(err, &e) || e.Status != status || f.calls != calls {
			t.Errorf("status %d: %d calls, %v", status, f.calls, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	f := &faulty{ledger: l.Log.Handler(false), status: http.StatusBadGateway, times: 100}
	if _, err := client.New("http://ledger", client.InProcess(f)).State(ctx); err == nil || f.calls != 1 {
		t.Errorf("%d calls, %v", f.calls, err)
	}
}
