// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/controllers/internal/metrics"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
	ledgerclient "dataretention.dev/retention-operator/internal/ledger/client"
	"dataretention.dev/retention-operator/internal/schedule"
)

// Options are what a Client is made of.
type Options struct {
	// Ledger is the ledger.
	Ledger *ledgerclient.Client
	Keys   *Keyring
	// Client reads and writes the ConfigMap of the checkpoints, without a cache.
	Client client.Client
	Events events.EventRecorder
	Clock  clock.PassiveClock
	// Version is the operator's.
	Version string
	// Retention is for how long statements are kept.
	Retention schedule.Period
}

// Client is the Ledger of a manager. It believes the ledger nothing that it cannot verify.
type Client struct {
	Options
	witness *witness
	breaker *breaker
}

var _ Ledger = (*Client)(nil)

// New returns a client that has not talked to the ledger yet.
func New(o Options) *Client {
	return &Client{Options: o, breaker: &breaker{clock: o.Clock}, witness: &witness{
		client: o.Client, ledger: o.Ledger, keys: o.Keys, events: o.Events, clock: o.Clock, namespace: o.Keys.Namespace,
		busy: make(chan struct{}, 1),
	}}
}

// Append implements Ledger.
func (c *Client) Append(ctx context.Context, p evidence.Predicate, subjects ...evidence.Subject) (evidence.Logged, error) {
	var logged *evidence.Logged
	err := c.breaker.call(ctx, appendTimeout, func(ctx context.Context) (err error) {
		logged, err = c.append(ctx, p, subjects)
		return err
	})
	switch {
	case errors.Is(err, ErrRefused):
		metrics.RefusedStatements.Inc()
		return evidence.Logged{}, fmt.Errorf("stating the %s: %w", p.Kind, err)
	case err != nil:
		return evidence.Logged{}, fmt.Errorf("%w: stating the %s: %w", ErrUnavailable, p.Kind, err)
	}
	return *logged, nil
}

func (c *Client) append(ctx context.Context, p evidence.Predicate, subjects []evidence.Subject) (*evidence.Logged, error) {
	if err := c.witness.ready(ctx); err != nil {
		return nil, err
	}
	if err := c.complete(ctx, &p); err != nil {
		return nil, err
	}
	key, err := c.Keys.statementKey(ctx)
	if err != nil {
		return nil, err
	}
	envelope, err := evidence.Sign(&evidence.Statement{
		Type: evidence.StatementType, Subject: subjects, PredicateType: evidence.PredicateType, Predicate: p,
	}, key)
	if err != nil { // it is not what the ledger would take
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	bundle, err := c.Ledger.Append(ctx, envelope)
	if refusedForGood(err) {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if err != nil {
		return nil, err
	}
	return c.asked(ctx, bundle, p.Kind, p.Key)
}

// refusedForGood says whether the ledger's answer to an append will be the same again. That a key is not known to it, or a time
// not come, passes.
func refusedForGood(err error) bool {
	var answer *ledger.Error
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.Code {
	case ledger.CodeUnavailable, ledger.CodeNotDue, ledger.CodeClock, string(evidence.CodeSignature), string(evidence.CodeNoStatementKeys):
		return false
	}
	switch answer.Status {
	case http.StatusConflict, http.StatusGone, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// complete fills in what the caller need not know.
func (c *Client) complete(ctx context.Context, p *evidence.Predicate) (err error) {
	if p.Operator.Version == "" {
		p.Operator.Version = c.Version
	}
	if p.Operator.Cluster == "" {
		if p.Operator.Cluster, err = c.Keys.Cluster(ctx); err != nil {
			return err
		}
	}
	if p.Time.IsZero() {
		p.Time = c.Clock.Now().UTC().Truncate(time.Millisecond)
	}
	if p.RetainUntil.IsZero() {
		p.RetainUntil = c.Retention.AddTo(p.Time, time.UTC)
		if p.GoneBy != nil && p.GoneBy.After(p.RetainUntil) { // it is still to be said that they have expired
			p.RetainUntil = *p.GoneBy
		}
	}
	return nil
}

// Find implements Ledger.
func (c *Client) Find(ctx context.Context, kind evidence.Kind, key string) (*evidence.Logged, error) {
	var logged *evidence.Logged
	err := c.breaker.call(ctx, findTimeout, func(ctx context.Context) (err error) {
		logged, err = c.find(ctx, kind, key)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%w: looking for the %s: %w", ErrUnavailable, kind, err)
	}
	return logged, nil
}

func (c *Client) find(ctx context.Context, kind evidence.Kind, key string) (*evidence.Logged, error) {
	if err := c.witness.ready(ctx); err != nil {
		return nil, err
	}
	entry, err := c.Ledger.Find(ctx, kind, key)
	if err != nil {
		return nil, err
	}
	if entry == nil { // that is worth something only if the ledger still has all that it had
		_, err = c.witness.check(ctx)
		return nil, err
	}
	bundle, err := c.Ledger.Entry(ctx, entry.Index, 0)
	if err != nil {
		return nil, err
	}
	return c.asked(ctx, bundle, kind, key)
}

// asked is verified, of a statement of that kind and key and no other.
func (c *Client) asked(ctx context.Context, bundle *evidence.Bundle, kind evidence.Kind, key string) (*evidence.Logged, error) {
	logged, err := c.verified(ctx, bundle)
	if err == nil && (logged.Kind != kind || logged.Statement.Predicate.Key != key) {
		err = errors.New("the ledger answers with another statement than was asked for")
	}
	return logged, err
}

// verified returns what a bundle proves: a statement that a key of ours has signed, in the ledger that the witness has watched.
func (c *Client) verified(ctx context.Context, bundle *evidence.Bundle) (*evidence.Logged, error) {
	trust, err := c.Keys.trust(ctx)
	if err != nil {
		return nil, err
	}
	file, err := bundle.Encode()
	if err != nil {
		return nil, err
	}
	v, err := evidence.Verify(file, trust)
	if err != nil {
		return nil, c.witness.judgeProof(ctx, err)
	}
	if err := c.witness.see(ctx, &v.Checkpoint); err != nil {
		return nil, err
	}
	p := &v.Statement.Predicate
	return &evidence.Logged{
		Reference: evidence.Reference{Kind: p.Kind, Index: v.Index, Digest: v.Digest}, Time: p.Time, Statement: v.Statement,
	}, nil
}
