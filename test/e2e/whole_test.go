// SPDX-License-Identifier: Apache-2.0

package e2e

import "testing"

// TestWholeLedger comes last: the ledger of all that the tests before it did verifies from its first entry to its last.
func TestWholeLedger(t *testing.T) {
	newEnv(t, database).verifyLedger()
}
