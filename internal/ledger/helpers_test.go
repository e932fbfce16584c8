// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"encoding/base64"
	"errors"
	"testing"

	"dataretention.dev/retention-operator/internal/ledger"
)

func hashes(t *testing.T, c *ledger.Consistency) [][]byte {
	t.Helper()
	var all [][]byte
	for _, h := range c.Proof {
		b, err := base64.StdEncoding.DecodeString(h)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// refused fails unless err is a ledger's answer with that code.
func refused(t *testing.T, err error, code string) {
	t.Helper()
	var e *ledger.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("got %v, want the code %s", err, code)
	}
}
