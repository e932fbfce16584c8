// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"crypto/ed25519"
	"errors"
	"sync"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
)

const (
	// The keys are read again when they are older than keysMaxAge, and for a signature that none of them has made, unless they
	// were read less than keysMinAge ago.
	keysMaxAge = time.Minute
	keysMinAge = 2 * time.Second
)

// trusted are the statement keys by which appends are accepted.
type trusted struct {
	read  func() ([]ed25519.PublicKey, error)
	clock func() time.Time

	mu   sync.Mutex
	keys []ed25519.PublicKey
	at   time.Time
	err  error
}

// open returns the statement of an envelope that one of the keys has signed.
func (t *trusted) open(e *evidence.Envelope) (*evidence.Statement, []byte, error) {
	keys, err := t.get(keysMaxAge)
	if err != nil {
		return nil, nil, unavailable("the keys for statements cannot be read: %v", err)
	}
	s, payload, err := evidence.Open(e, keys)
	var p *evidence.Problem
	if errors.As(err, &p) && (p.Code == evidence.CodeSignature || p.Code == evidence.CodeNoStatementKeys) {
		if keys, again := t.get(keysMinAge); again == nil {
			s, payload, err = evidence.Open(e, keys)
		}
	}
	if err != nil {
		return nil, nil, problem(err)
	}
	return s, payload, nil
}

// get returns the keys, none of which was read longer ago than maxAge. A clock that goes back makes no difference.
func (t *trusted) get(maxAge time.Duration) ([]ed25519.PublicKey, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if age := t.clock().Sub(t.at); age < 0 || age >= maxAge || t.err != nil {
		t.keys, t.err = t.read()
		t.at = t.clock()
	}
	return t.keys, t.err
}
