// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// filled is a closed ledger with a full tile and a part of another.
func filled(t *testing.T) *ledgertest.Ledger {
	t.Helper()
	l := ledgertest.New(t)
	var all sync.WaitGroup
	for n := range 300 {
		all.Go(func() { l.Append(t, ledgertest.Statement(evidence.Intent, fmt.Sprint(n), time.Now(), ledgertest.None)) })
	}
	all.Wait()
	l.Close(t)
	return l
}

// TestRefusesDamage damages a ledger in every way that its files allow. It must not open, and above all not sign anything.
func TestRefusesDamage(t *testing.T) {
	l := filled(t)
	edit := func(name string, change func([]byte) []byte) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			path := filepath.Join(dir, name)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, change(b), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(name string) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			t.Helper()
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	flip := func(at int) func([]byte) []byte {
		return func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b }
	}
	state := func(change func(map[string]any)) func([]byte) []byte {
		return func(b []byte) []byte {
			m := map[string]any{}
			if err := json.Unmarshal(b, &m); err != nil {
				t.Fatal(err)
			}
			change(m)
			b, err := json.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	for name, c := range map[string]struct {
		damage func(*testing.T, string)
		says   string
	}{
		"an entry":                       {edit("tile/entries/000", flip(-1)), "entry 255"},
		"the digest in an entry":         {edit("tile/entries/000", func(b []byte) []byte { return bytes.Replace(b, []byte(`"sha256:`), []byte(`"sha256:0`), 1)[:len(b)] }), "entr"},
		"another digest in an entry":     {edit("tile/entries/000", otherDigest), "something was changed"},
		"entries that are cut off":       {edit("tile/entries/001.p/44", func(b []byte) []byte { return b[:len(b)-300] }), "reading the entries"},
		"no entries":                     {remove("tile/entries/000"), "reading the entries"},
		"a hash":                         {edit("tile/0/000", flip(40)), "tile 0 of level 0 does not follow"},
		"a hash at the end":              {edit("tile/0/001.p/44", flip(40)), "tile 1 of level 0 does not follow"},
		"a hash further up":              {edit("tile/1/000.p/1", flip(5)), "tile 0 of level 1 does not follow"},
		"no hashes":                      {remove("tile/0/000"), "reading the tiles"},
		"a state that cannot be read":    {edit(".state/treeState", func([]byte) []byte { return []byte("{") }), "treeState cannot be read"},
		"an empty state":                 {edit(".state/treeState", func([]byte) []byte { return []byte("{}") }), "treeState cannot be read"},
		"no state":                       {remove(".state/treeState"), "part of the ledger is missing"},
		"no folder of states":            {remove(".state"), "part of the ledger is missing"},
		"a smaller tree":                 {edit(".state/treeState", state(func(m map[string]any) { m["size"] = 299 })), "entries are missing"},
		"a larger tree":                  {edit(".state/treeState", state(func(m map[string]any) { m["size"] = 301 })), "reading the entries"},
		"an empty tree":                  {edit(".state/treeState", state(func(m map[string]any) { m["size"] = 0 })), "entries are missing"},
		"another root":                   {edit(".state/treeState", state(func(m map[string]any) { m["root"] = "AAAA" })), "something was changed"},
		"a checkpoint of another size":   {edit("checkpoint", func(b []byte) []byte { return bytes.Replace(b, []byte("\n300\n"), []byte("\n200\n"), 1) }), "none of the ledger's keys has signed"},
		"an empty checkpoint":            {edit("checkpoint", func([]byte) []byte { return nil }), "none of the ledger's keys has signed"},
		"a checkpoint of another ledger": {edit("checkpoint", func([]byte) []byte { return foreignCheckpoint(t) }), "none of the ledger's keys has signed"},
	} {
		t.Run(name, func(t *testing.T) {
			o := l.Options()
			o.Path = filepath.Join(t.TempDir(), "copy")
			if err := os.CopyFS(o.Path, os.DirFS(l.Dir)); err != nil {
				t.Fatal(err)
			}
			c.damage(t, o.Path)
			before := read(t, filepath.Join(o.Path, "checkpoint"))
			log, err := ledger.Open(t.Context(), o)
			if err == nil {
				_ = log.Close(t.Context())
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v does not say: %s", err, c.says)
			}
			if after := read(t, filepath.Join(o.Path, "checkpoint")); after != before {
				t.Errorf("it has signed\n%s", after)
			}
		})
	}
	l.Open(t) // the copies were damaged, and nothing else
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// otherDigest changes one digit of a digest, so that the entry is one that might be.
func otherDigest(b []byte) []byte {
	i := bytes.Index(b, []byte(`"statement":"sha256:`)) + len(`"statement":"sha256:`)
	if b[i] == '0' {
		b[i] = '1'
	} else {
		b[i] = '0'
	}
	return b
}

func foreignCheckpoint(t *testing.T) []byte {
	t.Helper()
	l := ledgertest.New(t)
	l.Append(t, ledgertest.Statement(evidence.Intent, "key", time.Now(), ledgertest.None))
	s, err := l.Client.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return []byte(s.Checkpoint)
}

// TestDamagedStatement shows no statement that is not the one in the tree, and all others.
func TestDamagedStatement(t *testing.T) {
	l := ledgertest.New(t)
	var all []evidence.Reference
	for n := range 3 {
		all = append(all, l.Append(t, ledgertest.Statement(evidence.Intent, fmt.Sprint(n), time.Now(), ledgertest.None)))
	}
	path := func(r evidence.Reference) string { return filepath.Join(l.Dir, evidence.ExportStatement(r.Digest)) }
	if err := os.Remove(path(all[0])); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path(all[1]), []byte(read(t, path(all[2]))), 0o600); err != nil {
		t.Fatal(err)
	}
	for n, r := range all {
		b, err := l.Log.Bundle(t.Context(), r.Index, 0)
		if n < 2 {
			refused(t, err, ledger.CodeDamaged)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		l.Reference(t, b)
	}
}

// TestOlderCopy restores a ledger from a copy. It opens, since nothing in it is wrong; that it does not continue what it said
// before is what whoever has kept a checkpoint can tell.
func TestOlderCopy(t *testing.T) {
	l := ledgertest.New(t)
	l.Append(t, ledgertest.Statement(evidence.Intent, "one", time.Now(), ledgertest.None))
	l.Close(t)
	older := filepath.Join(t.TempDir(), "older")
	if err := os.CopyFS(older, os.DirFS(l.Dir)); err != nil {
		t.Fatal(err)
	}
	l.Open(t)
	l.Append(t, ledgertest.Statement(evidence.Intent, "two", time.Now(), ledgertest.None))
	kept, err := l.Client.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.Close(t)

	l.Dir = older
	l.Open(t)
	_, err = l.Client.Consistency(t.Context(), kept.Size, 0)
	refused(t, err, ledger.CodeNotFound)
	l.Append(t, ledgertest.Statement(evidence.Intent, "another two", time.Now(), ledgertest.None))
	now, err := l.Client.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Client.Consistency(t.Context(), kept.Size, now.Size)
	if err != nil {
		t.Fatal(err)
	}
	if err := evidence.VerifyConsistent([]byte(kept.Checkpoint), []byte(now.Checkpoint), hashes(t, c), l.Trust); err == nil {
		t.Error("a rewritten ledger continues the one before")
	}
}

// TestChangeOfKeys signs with an old and a new key, so that both who know the old and who know the new one can follow.
func TestChangeOfKeys(t *testing.T) {
	l := ledgertest.New(t)
	l.Append(t, ledgertest.Statement(evidence.Intent, "one", time.Now(), ledgertest.None))
	l.Close(t)
	newer := ledgertest.NewKeys(t)
	l.Open(t, func(o *ledger.Options) { o.SignerKeys = []string{newer.LogKey, l.LogKey} })
	l.Append(t, ledgertest.Statement(evidence.Intent, "two", time.Now(), ledgertest.None)) // verified with the old key
	state, err := l.Client.State(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := evidence.OpenCheckpoint([]byte(state.Checkpoint), newer.Trust); err != nil {
		t.Error(err)
	}
	l.Close(t)
	l.Open(t, func(o *ledger.Options) { o.SignerKeys = []string{newer.LogKey} })
	if _, err := l.Client.Append(t.Context(), l.Sign(t, ledgertest.Statement(evidence.Intent, "three", time.Now(), ledgertest.None))); err != nil {
		t.Fatal(err)
	}
	l.Close(t)
	if _, err := ledger.Open(t.Context(), l.Options()); err == nil { // with the old one alone
		t.Error("a ledger was opened without its key")
	}
}

// TestDamageWhileOpen damages the hashes that the tree grows from. What Tessera makes of them must not be signed.
func TestDamageWhileOpen(t *testing.T) {
	l := ledgertest.New(t)
	for n := range 3 {
		l.Append(t, ledgertest.Statement(evidence.Intent, fmt.Sprint(n), time.Now(), ledgertest.None))
	}
	waitFor(t, func() bool { return strings.Contains(read(t, filepath.Join(l.Dir, "checkpoint")), "\n3\n") })
	before := read(t, filepath.Join(l.Dir, "checkpoint"))
	tile := filepath.Join(l.Dir, "tile/0/000.p/3")
	hashes := []byte(read(t, tile))
	hashes[0] ^= 1
	if err := os.WriteFile(tile, hashes, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := l.Log.Append(t.Context(), l.Sign(t, ledgertest.Statement(evidence.Intent, "3", time.Now(), ledgertest.None)))
	refused(t, err, ledger.CodeUnavailable)
	<-l.Log.Failed()
	time.Sleep(300 * time.Millisecond) // long enough to publish
	if after := read(t, filepath.Join(l.Dir, "checkpoint")); after != before {
		t.Errorf("it has signed\n%s", after)
	}
	_, err = l.Log.State(t.Context())
	refused(t, err, ledger.CodeUnavailable)
}
