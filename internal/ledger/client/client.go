// SPDX-License-Identifier: Apache-2.0

// Package client talks to a ledger. It believes what it is told: whoever relies on it verifies it (package evidence).
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
)

const (
	// A call is tried this often, with growing pauses between, if the ledger does not answer or says that it cannot now. All
	// calls may be repeated: an append is made once per kind and key, however often it is asked for.
	attempts   = 4
	firstPause = 100 * time.Millisecond
	// attemptTimeout is a little more than the ledger gives itself.
	attemptTimeout = 35 * time.Second
	// maxAnswer bounds what is read of an answer.
	maxAnswer = 64 << 20
)

// Client talks to one ledger. It may be used concurrently.
type Client struct {
	base string
	http *http.Client
}

// New returns a client of the ledger at a URL such as https://retention-ledger:8443. hc is http.DefaultClient if nil.
func New(baseURL string, hc *http.Client) *Client {
	if hc == nil {
		hc = http.DefaultClient
	}
	return &Client{base: strings.TrimSuffix(baseURL, "/"), http: hc}
}

// Append adds a signed statement, or returns the entry of the same kind and key that is there. An error may come although it
// is added; calling again finds out. What the ledger refuses is an error of type *ledger.Error.
func (c *Client) Append(ctx context.Context, e *evidence.Envelope) (*evidence.Bundle, error) {
	return post[evidence.Bundle](ctx, c, ledger.PathEntries, e)
}

// Prune has the statements removed that a logged statement of kind Pruned names.
func (c *Client) Prune(ctx context.Context, e *evidence.Envelope) error {
	_, err := post[struct{}](ctx, c, ledger.PathPrune, e)
	return err
}

// Find returns the entry of a kind and key (the statement's, not its hash), or nil if there is none.
func (c *Client) Find(ctx context.Context, kind evidence.Kind, key string) (*ledger.Entry, error) {
	page, err := get[ledger.Page](ctx, c, ledger.PathEntries, url.Values{"kind": {string(kind)}, "key": {evidence.KeyHash(kind, key)}})
	if err != nil || len(page.Entries) == 0 {
		return nil, err
	}
	return &page.Entries[0], nil
}

// Entry returns an entry with the proof that it is in the tree of the given size, or the latest if that is 0.
func (c *Client) Entry(ctx context.Context, index, size int64) (*evidence.Bundle, error) {
	q := url.Values{}
	if size > 0 {
		q.Set("size", strconv.FormatInt(size, 10))
	}
	return get[evidence.Bundle](ctx, c, ledger.PathEntry+strconv.FormatInt(index, 10), q)
}

// Entries yields the entries from an index on, of statements that were made from since on and before until, if those are not
// zero. It ends after the last one, or with an error.
func (c *Client) Entries(ctx context.Context, from int64, since, until time.Time) iter.Seq2[ledger.Entry, error] {
	return func(yield func(ledger.Entry, error) bool) {
		for {
			q := url.Values{"from": {strconv.FormatInt(from, 10)}}
			for name, t := range map[string]time.Time{"since": since, "until": until} {
				if !t.IsZero() {
					q.Set(name, t.UTC().Format(time.RFC3339Nano))
				}
			}
			page, err := get[ledger.Page](ctx, c, ledger.PathEntries, q)
			if err != nil {
				yield(ledger.Entry{}, err)
				return
			}
			for _, e := range page.Entries {
				if !yield(e, nil) {
					return
				}
			}
			switch {
			case page.Next == nil:
				return
			case *page.Next <= from:
				yield(ledger.Entry{}, fmt.Errorf("the ledger's page from %d goes on at %d", from, *page.Next))
				return
			}
			from = *page.Next
		}
	}
}

// State says where the log stands.
func (c *Client) State(ctx context.Context) (*ledger.State, error) {
	return get[ledger.State](ctx, c, ledger.PathState, nil)
}

// Consistency returns the proof that the tree of one size is the beginning of that of another; to is the latest if it is 0.
func (c *Client) Consistency(ctx context.Context, from, to int64) (*ledger.Consistency, error) {
	q := url.Values{"from": {strconv.FormatInt(from, 10)}, "to": {strconv.FormatInt(to, 10)}}
	return get[ledger.Consistency](ctx, c, ledger.PathConsistency, q)
}

func get[T any](ctx context.Context, c *Client, path string, q url.Values) (*T, error) {
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	return call[T](ctx, c, http.MethodGet, path, nil)
}

func post[T any](ctx context.Context, c *Client, path string, e *evidence.Envelope) (*T, error) {
	body, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("asking the ledger: %w", err)
	}
	return call[T](ctx, c, http.MethodPost, path, body)
}

func call[T any](ctx context.Context, c *Client, method, path string, body []byte) (*T, error) {
	pause := firstPause
	for n := 1; ; n++ {
		var answer T
		again, err := c.once(ctx, method, path, body, &answer)
		if err == nil {
			return &answer, nil
		}
		err = fmt.Errorf("asking the ledger: %w", err)
		if !again || n == attempts {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause):
		}
		pause *= 3
	}
}

// once makes one attempt, and says whether another one might do better.
func (c *Client) once(ctx context.Context, method, path string, body []byte, into any) (again bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return true, err
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return true, err
	case len(b) > maxAnswer:
		return false, errors.New("its answer is too long")
	case answer.StatusCode/100 != 2:
		return answer.StatusCode/100 == 5, refusal(answer.StatusCode, b)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return false, fmt.Errorf("its answer cannot be read: %w", err)
	}
	return false, nil
}

func refusal(status int, body []byte) error {
	e := &ledger.Error{}
	if err := json.Unmarshal(body, e); err != nil || e.Code == "" {
		e = &ledger.Error{Code: ledger.CodeUnavailable, Message: fmt.Sprintf("it answers with the HTTP status %d", status)}
	}
	e.Status = status
	return e
}
