// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/tessera/api"
	tessera "github.com/transparency-dev/tessera/client"
	"github.com/transparency-dev/tessera/fsck"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// served is a ledger with some entries behind HTTP, read-only.
func served(t *testing.T, entries int) (*ledgertest.Ledger, *httptest.Server) {
	t.Helper()
	l := ledgertest.New(t)
	var all sync.WaitGroup
	for n := range entries {
		all.Go(func() { l.Append(t, ledgertest.Statement(evidence.Intent, fmt.Sprint(n), time.Now(), ledgertest.None)) })
	}
	all.Wait()
	s := httptest.NewServer(l.Log.Handler(true))
	t.Cleanup(s.Close)
	return l, s
}

// reply is what an answer has besides its body.
type reply struct {
	StatusCode int
	Header     http.Header
}

func call(t *testing.T, method, address string, body io.Reader) (reply, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, body)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{answer.StatusCode, answer.Header}, b
}

// TestTilesByAnotherReader has Tessera's own checker read the log as anybody can, and compute every tile anew.
func TestTilesByAnotherReader(t *testing.T) {
	for _, entries := range []int{1, 255, 256, 300, 520} {
		l, s := served(t, entries)
		base, err := url.Parse(s.URL + "/")
		if err != nil {
			t.Fatal(err)
		}
		fetcher, err := tessera.NewHTTPFetcher(base, nil)
		if err != nil {
			t.Fatal(err)
		}
		check := fsck.New(l.Log.Origin(), l.Trust.Log[0], fetcher, func(bundle []byte) (hashes [][]byte, err error) {
			b := api.EntryBundle{}
			if err := b.UnmarshalText(bundle); err != nil {
				return nil, err
			}
			for _, e := range b.Entries {
				hashes = append(hashes, rfc6962.DefaultHasher.HashLeaf(e))
			}
			return hashes, nil
		}, fsck.Opts{})
		if err := check.Check(t.Context()); err != nil {
			t.Errorf("%d entries: %v", entries, err)
		}
	}
}

// TestTiles asks for tiles that are there, that once were, and that never were.
func TestTiles(t *testing.T) {
	_, s := served(t, 300)
	for path, want := range map[string]struct {
		status, size int
	}{
		"/tile/0/000":                          {200, 256 * 32},
		"/tile/0/000.p/7":                      {200, 7 * 32},
		"/tile/0/001.p/44":                     {200, 44 * 32},
		"/tile/0/001.p/43":                     {200, 43 * 32},
		"/tile/0/001.p/45":                     {404, 0},
		"/tile/0/001":                          {404, 0},
		"/tile/1/000.p/1":                      {200, 32},
		"/tile/1/000":                          {404, 0},
		"/tile/0/x001/000":                     {404, 0},
		"/tile/63/000":                         {404, 0},
		"/tile/64/000":                         {400, 0},
		"/tile/0/1":                            {400, 0},
		"/tile/0/000.p/256":                    {400, 0},
		"/tile/0/000.p/0":                      {400, 0},
		"/tile/entries/001":                    {404, 0},
		"/tile/entries/..%2f":                  {400, 0},
		"/tile/-1/000":                         {400, 0},
		"/tile/0/x999/x999/x999/x999/x999/999": {404, 0},
		"/tile/7/000":                          {404, 0},
		"/tile/8/000":                          {404, 0},
		"/.state/treeState":                    {404, 0},
	} {
		answer, b := call(t, http.MethodGet, s.URL+path, nil)
		if answer.StatusCode != want.status || want.status == 200 && len(b) != want.size {
			t.Errorf("%s: status %d, %d bytes", path, answer.StatusCode, len(b))
		}
		if want.status == 200 && (answer.Header.Get("Content-Type") != "application/octet-stream" || !strings.Contains(answer.Header.Get("Cache-Control"), "immutable")) {
			t.Errorf("%s: %v", path, answer.Header)
		}
	}
	for width := 1; width <= 44; width++ {
		_, b := call(t, http.MethodGet, fmt.Sprintf("%s/tile/entries/001.p/%d", s.URL, width), nil)
		bundle := api.EntryBundle{}
		if err := bundle.UnmarshalText(b); err != nil || len(bundle.Entries) != width {
			t.Errorf("%d entries instead of %d: %v", len(bundle.Entries), width, err)
		}
	}
	answer, b := call(t, http.MethodGet, s.URL+"/checkpoint", nil)
	if answer.Header.Get("Content-Type") != "text/plain; charset=utf-8" || !strings.HasPrefix(string(b), ledgertest.Origin+"\n300\n") {
		t.Errorf("%v\n%s", answer.Header, b)
	}
}

// TestRefusesRequests answers each with an Error that says what is wrong with it.
func TestRefusesRequests(t *testing.T) {
	l, s := served(t, 3)
	full := httptest.NewServer(l.Log.Handler(false))
	t.Cleanup(full.Close)
	key := evidence.KeyHash(evidence.Intent, "1")
	for _, c := range []struct {
		method, address, body string
		status                int
		code                  string
	}{
		{"POST", s.URL + ledger.PathEntries, "{}", 405, ""},
		{"POST", s.URL + ledger.PathPrune, "{}", 404, ""},
		{"PUT", full.URL + ledger.PathEntries, "{}", 405, ""},
		{"GET", s.URL + "/", "", 404, ""},
		{"GET", s.URL + ledger.PathEntries + "?key=1&kind=Intent", "", 400, ledger.CodeRequest},
		{"GET", s.URL + ledger.PathEntries + "?kind=Result&key=" + key, "", 400, ledger.CodeRequest},
		{"GET", s.URL + ledger.PathEntries + "?from=-1", "", 400, ledger.CodeRequest},
		{"GET", s.URL + ledger.PathEntries + "?limit=x", "", 400, ledger.CodeRequest},
		{"GET", s.URL + ledger.PathEntries + "?since=yesterday", "", 400, ledger.CodeRequest},
		{"GET", s.URL + ledger.PathEntry + "x", "", 400, ledger.CodeRequest},
		{"GET", s.URL + ledger.PathEntry + "3", "", 404, ledger.CodeNotFound},
		{"GET", s.URL + ledger.PathEntry + "-1", "", 404, ledger.CodeNotFound},
		{"GET", s.URL + ledger.PathEntry + "1?size=4", "", 404, ledger.CodeNotFound},
		{"GET", s.URL + ledger.PathConsistency + "?from=2&to=1", "", 404, ledger.CodeNotFound},
		{"POST", full.URL + ledger.PathEntries, "", 400, ledger.CodeRequest},
		{"POST", full.URL + ledger.PathEntries, "[]", 400, ledger.CodeRequest},
		{"POST", full.URL + ledger.PathEntries, "{}", 422, string(evidence.CodePayloadType)},
		{"POST", full.URL + ledger.PathEntries, strings.Repeat(" ", evidence.MaxEnvelope+1), 413, string(evidence.CodeTooLarge)},
		{"POST", full.URL + ledger.PathPrune, intent(t, l), 422, ledger.CodeRefused},
	} {
		answer, b := call(t, c.method, c.address, strings.NewReader(c.body))
		e := ledger.Error{}
		if c.code != "" {
			if err := json.Unmarshal(b, &e); err != nil || e.Message == "" || answer.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s %s: %v: %s", c.method, c.address, err, b)
			}
		}
		if answer.StatusCode != c.status || e.Code != c.code {
			t.Errorf("%s %s: status %d, %s", c.method, c.address, answer.StatusCode, b)
		}
	}
}

func intent(t *testing.T, l *ledgertest.Ledger) string {
	t.Helper()
	b, err := json.Marshal(l.Sign(t, ledgertest.Statement(evidence.Intent, "x", time.Now(), ledgertest.None)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestPages goes through a log page by page, and through the statements of a time.
func TestPages(t *testing.T) {
	start := time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
	clock := start
	l := ledgertest.New(t, ledgertest.With(func() time.Time { return clock }))
	for n := range 30 {
		clock = start.Add(time.Duration(n) * time.Hour)
		l.Append(t, ledgertest.Statement(evidence.Intent, fmt.Sprint(n), clock, ledgertest.None))
	}
	s := httptest.NewServer(l.Log.Handler(true))
	t.Cleanup(s.Close)
	var got []int64
	for next := new(int64); next != nil; {
		_, b := call(t, http.MethodGet, fmt.Sprintf("%s%s?limit=7&from=%d", s.URL, ledger.PathEntries, *next), nil)
		page := ledger.Page{}
		if err := json.NewDecoder(bytes.NewReader(b)).Decode(&page); err != nil || len(page.Entries) > 7 {
			t.Fatalf("%v: %s", err, b)
		}
		for _, e := range page.Entries {
			got = append(got, e.Index)
		}
		next = page.Next
	}
	if len(got) != 30 || got[29] != 29 {
		t.Errorf("got %v", got)
	}
	got = nil
	for e, err := range l.Client.Entries(t.Context(), 0, start.Add(3*time.Hour), start.Add(6*time.Hour)) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Envelope == nil {
			t.Errorf("entry %d has no statement", e.Index)
		}
		got = append(got, e.Index)
	}
	if fmt.Sprint(got) != "[3 4 5]" {
		t.Errorf("got %v", got)
	}
	for e, err := range l.Client.Entries(t.Context(), 31, time.Time{}, time.Time{}) {
		t.Errorf("got %+v, %v", e, err)
	}
}
