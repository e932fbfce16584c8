// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// TestFullDisk fills the ledger's disk. Appends fail with an error; whatever was acknowledged is there; and when there is space
// again, or the ledger was opened anew, they go on.
func TestFullDisk(t *testing.T) {
	l := &ledgertest.Ledger{Keys: ledgertest.NewKeys(t), Dir: t.TempDir()}
	switch err := syscall.Mount("tmpfs", l.Dir, "tmpfs", 0, "size=2m"); {
	case errors.Is(err, syscall.EPERM):
		t.Skip("mounting a small disk takes root")
	case err != nil:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close(t)
		if err := syscall.Unmount(l.Dir, 0); err != nil {
			t.Error(err)
		}
	})
	l.Open(t)
	var acknowledged []evidence.Reference
	try := func(key string) error {
		b, _, err := l.Log.Append(t.Context(), l.Sign(t, ledgertest.Statement(evidence.Intent, key, time.Now(), ledgertest.None)))
		if err == nil {
			acknowledged = append(acknowledged, l.Reference(t, b))
		}
		return err
	}
	if err := try("first"); err != nil {
		t.Fatal(err)
	}
	// Fill it to different depths, so that the disk is full at different points of an append: the statement, the entries, the
	// hashes, the state.
	filler := filepath.Join(l.Dir, "filler")
	failed := 0
	for left := range 12 {
		fill(t, filler, int64(left)*4096)
		key := fmt.Sprintf("full-%d", left)
		if err := try(key); err != nil {
			refused(t, err, ledger.CodeUnavailable)
			failed++
		}
		if left%4 == 3 { // opened anew with the disk as it is
			if err := os.Truncate(filler, 0); err != nil {
				t.Fatal(err)
			}
			l.Close(t)
			l.Open(t)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		if err := try(key); err != nil {
			t.Errorf("with space again: %v", err)
		}
	}
	if failed < 3 {
		t.Errorf("the disk was full only %d times", failed)
	}
	l.Close(t)
	report, err := evidence.VerifyLog(os.DirFS(l.Dir), l.Trust)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Problems) > 0 || report.Size != 13 {
		t.Errorf("%+v", report)
	}
	l.Open(t)
	for _, r := range acknowledged {
		if got := l.Reference(t, bundle(t, l, r.Index)); got != r {
			t.Errorf("%+v is %+v", r, got)
		}
	}
}

// fill leaves that many bytes of the disk.
func fill(t *testing.T, name string, left int64) {
	t.Helper()
	var stat syscall.Statfs_t
	if err := syscall.Statfs(filepath.Dir(name), &stat); err != nil {
		t.Fatal(err)
	}
	size := int64(stat.Bavail)*stat.Bsize - left
	if err := os.WriteFile(name, make([]byte, max(size, 0)), 0o600); err != nil {
		t.Fatal(err)
	}
}
