// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/transparency-dev/tessera"

	"dataretention.dev/retention-operator/internal/evidence"
)

// admitted is an envelope that a statement key has signed, and what follows from it.
type admitted struct {
	statement *evidence.Statement
	key       digest // of kind and key
	digest    digest // of the payload
	leaf      []byte
	envelope  []byte
}

// pending is an append whose outcome is not known yet.
type pending struct {
	// done is closed when it is. If err is nil then, the entry is in the index.
	done chan struct{}
	err  error
}

// Append adds the statement to the log, and returns once that is durable. If there is an entry of the same kind and key, it
// returns that one, and false. An error may come although the entry is added in the end, for example if ctx is over before;
// the next call finds out.
func (l *Log) Append(ctx context.Context, e *evidence.Envelope) (*evidence.Bundle, bool, error) {
	start := l.Clock()
	a, err := l.admit(e)
	if err != nil {
		l.metrics.refused.Inc()
		return nil, false, err
	}
	i, appended, err := l.once(ctx, a)
	if err != nil {
		l.metrics.refused.Inc()
		return nil, false, err
	}
	if appended {
		l.metrics.appends.Observe(l.Clock().Sub(start).Seconds())
	}
	b, err := l.Bundle(ctx, i, 0)
	return b, appended, err
}

// admit checks what can be told from the envelope alone.
func (l *Log) admit(e *evidence.Envelope) (*admitted, error) {
	s, payload, err := l.trusted.open(e)
	if err != nil {
		return nil, err
	}
	if err := s.Validate(); err != nil {
		return nil, problem(err)
	}
	leaf, encoded, err := evidence.LeafOf(e)
	if err != nil {
		return nil, problem(err)
	}
	a := &admitted{statement: s, leaf: encoded}
	if len(encoded) > evidence.MaxLeaf {
		return nil, refuse(http.StatusUnprocessableEntity, string(evidence.CodeTooLarge), "the entry has more than %d bytes", evidence.MaxLeaf)
	}
	if a.key, err = parseDigest(leaf.Key); err != nil {
		return nil, problem(err)
	}
	if a.digest, err = parseDigest(evidence.DigestOf(payload)); err != nil {
		return nil, problem(err)
	}
	if a.envelope, err = json.Marshal(e); err != nil {
		return nil, problem(err)
	}
	return a, nil
}

// once appends, unless there is an entry of that kind and key or somebody else is just making it.
func (l *Log) once(ctx context.Context, a *admitted) (i int64, appended bool, err error) {
	for {
		i, p, ours, err := l.reserve(a)
		if p == nil {
			return i, appended, err
		}
		if ours {
			appended = true
			go l.commit(a, p)
		}
		select {
		case <-p.done:
		case <-l.failed:
			return 0, false, unavailable("the statement may be appended or not: the ledger has stopped")
		case <-ctx.Done():
			return 0, false, unavailable("the statement may be appended or not: it took too long to wait for")
		}
		if p.err != nil && ours {
			return 0, false, p.err
		}
	}
}

// reserve returns the entry of that kind and key (p is nil), or who makes it: we, or somebody else.
func (l *Log) reserve(a *admitted) (i int64, p *pending, ours bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return 0, nil, false, err
	}
	if i, ok := l.index.byKey[a.key]; ok {
		return i, nil, false, nil
	}
	if p := l.pending[a.key]; p != nil {
		return 0, p, false, nil
	}
	if l.closing {
		return 0, nil, false, unavailable("the ledger is being closed")
	}
	if err := l.permits(&a.statement.Predicate); err != nil {
		return 0, nil, false, err
	}
	p = &pending{done: make(chan struct{})}
	l.pending[a.key] = p
	l.appends.Add(1)
	return 0, p, true, nil
}

// commit stores the statement, then adds its entry to the tree. It ends only when it is certain whether that was done: if it
// never is, the log fails with the key still reserved.
func (l *Log) commit(a *admitted, p *pending) {
	defer l.appends.Done()
	err := l.back.putStatement(l.ctx, a.digest, a.envelope)
	if err == nil {
		_, err = l.appender.Add(l.ctx, tessera.NewEntry(a.leaf))()
		if !l.settle() {
			return
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, added := l.index.byKey[a.key]; added {
		err = nil // even if the driver has not noticed
	} else if err == nil {
		err = errors.New("the driver says that the entry was added, and it is not there")
	}
	if err != nil {
		l.Log.Error("a statement could not be appended", "kind", a.statement.Predicate.Kind, "statement", a.digest.String(), "error", err.Error())
		p.err = unavailable("the ledger could not store the statement; its own log says why")
	}
	delete(l.pending, a.key)
	close(p.done)
}

// settle brings the index up to what is durable. False means that this cannot be found out, and the log has failed.
func (l *Log) settle() bool {
	var err error
	for _, wait := range []time.Duration{0, 100 * time.Millisecond, time.Second} {
		time.Sleep(wait)
		if err = l.extend(l.ctx); err == nil {
			return true
		}
	}
	l.fail(err)
	return false
}
