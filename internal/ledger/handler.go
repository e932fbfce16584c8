// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
)

// requestTimeout is how long a request may take. An append that takes longer goes on; the next one of its key finds out.
const requestTimeout = 30 * time.Second

// Handler serves the ledger (see the paths in this package). Read-only, it takes no POST.
func (l *Log) Handler(readOnly bool) http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, do func(r *http.Request) (int, any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
			defer cancel()
			status, body, err := do(r.WithContext(ctx))
			l.answer(w, status, body, err)
		})
	}
	handle("GET "+PathEntries, l.getEntries)
	handle("GET "+PathEntry+"{index}", l.getEntry)
	handle("GET "+PathState, func(r *http.Request) (int, any, error) {
		s, err := l.State(r.Context())
		return http.StatusOK, s, err
	})
	handle("GET "+PathConsistency, l.getConsistency)
	if !readOnly {
		handle("POST "+PathEntries, l.postEntry)
		handle("POST "+PathPrune, l.postPrune)
	}
	l.handleTiles(mux)
	return mux
}

// answer writes a body, or an Error.
func (l *Log) answer(w http.ResponseWriter, status int, body any, err error) {
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			l.Log.Error("a request failed", "error", err.Error())
			e = unavailable("the ledger could not do it; its own log says why")
		}
		status, body = e.Status, e
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // whoever has gone does not read it
}

func (l *Log) postEntry(r *http.Request) (int, any, error) {
	e, err := readEnvelope(r)
	if err != nil {
		return 0, nil, err
	}
	b, appended, err := l.Append(r.Context(), e)
	if appended {
		return http.StatusCreated, b, err
	}
	return http.StatusOK, b, err
}

func (l *Log) postPrune(r *http.Request) (int, any, error) {
	e, err := readEnvelope(r)
	if err != nil {
		return 0, nil, err
	}
	return http.StatusOK, struct{}{}, l.Prune(r.Context(), e)
}

func readEnvelope(r *http.Request) (*evidence.Envelope, error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, evidence.MaxEnvelope))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, refuse(http.StatusRequestEntityTooLarge, string(evidence.CodeTooLarge), "the envelope has more than %d bytes", evidence.MaxEnvelope)
	case err != nil:
		return nil, refuse(http.StatusBadRequest, CodeRequest, "the request could not be read")
	}
	e := &evidence.Envelope{}
	if err := json.Unmarshal(body, e); err != nil {
		return nil, refuse(http.StatusBadRequest, CodeRequest, "the request is no envelope: %v", err)
	}
	return e, nil
}

func (l *Log) getEntries(r *http.Request) (int, any, error) {
	q := query{Values: r.URL.Query()}
	if q.Has("kind") || q.Has("key") {
		return l.find(r.Context(), evidence.Kind(q.Get("kind")), q.Get("key"))
	}
	from, limit := q.number("from"), q.number("limit")
	since, until := q.time("since"), q.time("until")
	if q.err != nil {
		return 0, nil, q.err
	}
	page, err := l.Page(r.Context(), from, int(min(limit, maxPage)), since, until)
	return http.StatusOK, page, err
}

// find answers with a Page of one entry or none.
func (l *Log) find(ctx context.Context, kind evidence.Kind, keyHash string) (int, any, error) {
	page := &Page{Entries: []Entry{}}
	entry, err := l.Find(ctx, keyHash)
	switch {
	case err != nil:
		return 0, nil, err
	case entry == nil:
	case entry.Leaf.Kind != kind:
		return 0, nil, refuse(http.StatusBadRequest, CodeRequest, "the key is not of that kind")
	default:
		page.Entries = append(page.Entries, *entry)
	}
	return http.StatusOK, page, nil
}

func (l *Log) getEntry(r *http.Request) (int, any, error) {
	i, err := strconv.ParseInt(r.PathValue("index"), 10, 64)
	if err != nil {
		return 0, nil, refuse(http.StatusBadRequest, CodeRequest, "the index is no number")
	}
	q := query{Values: r.URL.Query()}
	size := q.number("size")
	if q.err != nil {
		return 0, nil, q.err
	}
	b, err := l.Bundle(r.Context(), i, size)
	return http.StatusOK, b, err
}

func (l *Log) getConsistency(r *http.Request) (int, any, error) {
	q := query{Values: r.URL.Query()}
	from, to := q.number("from"), q.number("to")
	if q.err != nil {
		return 0, nil, q.err
	}
	c, err := l.Consistency(r.Context(), from, to)
	return http.StatusOK, c, err
}

// query reads parameters, and keeps the first error.
type query struct {
	url.Values
	err error
}

// number returns a number that is not negative, or 0 if it is not given.
func (q *query) number(name string) int64 {
	if !q.Has(name) {
		return 0
	}
	n, err := strconv.ParseInt(q.Get(name), 10, 64)
	if (err != nil || n < 0) && q.err == nil {
		q.err = refuse(http.StatusBadRequest, CodeRequest, "%s is no number from 0 on", name)
	}
	return n
}

func (q *query) time(name string) time.Time {
	if !q.Has(name) {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, q.Get(name))
	if err != nil && q.err == nil {
		q.err = refuse(http.StatusBadRequest, CodeRequest, "%s is no time of the form 2006-01-02T15:04:05Z", name)
	}
	return t
}
