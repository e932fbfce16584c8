// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"context"
	"crypto/ed25519"
)

// StatementKey is the key that a manager signs with now.
func StatementKey(ctx context.Context, k *Keyring) (ed25519.PrivateKey, error) {
	return k.statementKey(ctx)
}

// Ready says why the ledger must not be used.
func (c *Client) Ready(ctx context.Context) error { return c.witness.ready(ctx) }

// Look has somebody look at the ledger until end is called.
func (c *Client) Look(ctx context.Context) (end func(), err error) {
	return c.witness.unlock, c.witness.lock(ctx)
}
