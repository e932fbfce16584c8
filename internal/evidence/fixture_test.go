// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	testOrigin  = "dataretention.dev/ledger/00000000-0000-4000-8000-000000000001"
	testWitness = "retention-operator/00000000-0000-4000-8000-000000000001"
)

var start = time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)

// testKey is a key that is the same in every run, so that golden files can be made again.
func testKey(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte("a test key, of no use: " + name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func public(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

func trustOf(t testing.TB, keys ...PublicKey) *Trust {
	t.Helper()
	trust, err := NewTrust(keys)
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

func testKeys() []PublicKey {
	return []PublicKey{
		{Use: UseStatement, Key: public(testKey("statement")), Created: start},
		{Use: UseLog, Name: testOrigin, Key: public(testKey("log")), Created: start},
		{Use: UseWitness, Name: testWitness, Key: public(testKey("witness")), Created: start},
	}
}

// testLog is a ledger in memory. Its tree and its proofs are made by golang.org/x/mod/sumdb/tlog, so that what this package
// verifies was made by another implementation.
type testLog struct {
	t         testing.TB
	origin    string
	statement ed25519.PrivateKey
	log       ed25519.PrivateKey
	envelopes []*Envelope
	leaves    [][]byte
	hashes    []tlog.Hash
}

func newLog(t testing.TB) *testLog {
	return &testLog{t: t, origin: testOrigin, statement: testKey("statement"), log: testKey("log")}
}

func (l *testLog) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	var all []tlog.Hash
	for _, i := range indexes {
		all = append(all, l.hashes[i])
	}
	return all, nil
}

// add signs and appends a statement, and returns the reference to it.
func (l *testLog) add(s *Statement) Reference {
	l.t.Helper()
	e, err := Sign(s, l.statement)
	if err != nil {
		l.t.Fatalf("sign the %s: %v", s.Predicate.Kind, err)
	}
	return l.append(e)
}

func (l *testLog) append(e *Envelope) Reference {
	l.t.Helper()
	leaf, encoded, err := LeafOf(e)
	if err != nil {
		l.t.Fatal(err)
	}
	i := l.raw(e, encoded)
	return Reference{Kind: leaf.Kind, Index: i, Digest: leaf.Statement}
}

// raw appends any bytes.
func (l *testLog) raw(e *Envelope, leaf []byte) int64 {
	l.t.Helper()
	i := int64(len(l.leaves))
	hashes, err := tlog.StoredHashes(i, leaf, l)
	if err != nil {
		l.t.Fatal(err)
	}
	l.hashes = append(l.hashes, hashes...)
	l.leaves = append(l.leaves, leaf)
	l.envelopes = append(l.envelopes, e)
	return i
}

func (l *testLog) root(size int64) tlog.Hash {
	l.t.Helper()
	root, err := tlog.TreeHash(size, l)
	if err != nil {
		l.t.Fatal(err)
	}
	return root
}

func (l *testLog) text(size int64) string {
	return fmt.Sprintf("%s\n%d\n%s\n", l.origin, size, l.root(size))
}

// checkpoint is signed by the log, and cosigned at that time unless it is zero.
func (l *testLog) checkpoint(size int64, witnessed time.Time) []byte {
	l.t.Helper()
	text := l.text(size)
	signed := text + "\n" + sigLine(l.origin, 1, l.log, []byte(text), nil)
	if !witnessed.IsZero() {
		signed += cosign(testWitness, testKey("witness"), text, witnessed)
	}
	return []byte(signed)
}

// sigLine is a signature line of a C2SP signed note, written by hand: the key's hash is of name, newline, algorithm and key.
func sigLine(name string, algorithm byte, key ed25519.PrivateKey, msg, prefix []byte) string {
	sum := sha256.Sum256(append([]byte(name+"\n"+string(algorithm)), public(key)...))
	sig := append(append(sum[:4:4], prefix...), ed25519.Sign(key, msg)...)
	return "— " + name + " " + base64.StdEncoding.EncodeToString(sig) + "\n"
}

// cosign writes a cosignature of C2SP cosignature/v1 by hand.
func cosign(name string, key ed25519.PrivateKey, text string, at time.Time) string {
	msg := fmt.Sprintf("cosignature/v1\ntime %d\n%s", at.Unix(), text)
	return sigLine(name, 4, key, []byte(msg), binary.BigEndian.AppendUint64(nil, uint64(at.Unix())))
}

func (l *testLog) proof(i, size int64) [][]byte {
	l.t.Helper()
	p, err := tlog.ProveRecord(size, i, l)
	if err != nil {
		l.t.Fatal(err)
	}
	var hashes [][]byte
	for _, h := range p {
		hashes = append(hashes, append([]byte(nil), h[:]...))
	}
	return hashes
}

func (l *testLog) consistency(older, newer int64) [][]byte {
	l.t.Helper()
	p, err := tlog.ProveTree(newer, older, l)
	if err != nil {
		l.t.Fatal(err)
	}
	var hashes [][]byte
	for _, h := range p {
		hashes = append(hashes, append([]byte(nil), h[:]...))
	}
	return hashes
}

func (l *testLog) bundle(i, size int64, witnessed time.Time) *Bundle {
	l.t.Helper()
	b, err := NewBundle(l.envelopes[i], l.leaves[i], i, l.proof(i, size), l.checkpoint(size, witnessed))
	if err != nil {
		l.t.Fatal(err)
	}
	return b
}

// export writes the whole log, as the layout of ExportCheckpoint has it.
func (l *testLog) export(witnessed time.Time, earlier ...int64) fstest.MapFS {
	l.t.Helper()
	size := int64(len(l.leaves))
	files := fstest.MapFS{ExportCheckpoint: {Data: l.checkpoint(size, witnessed)}}
	for _, n := range earlier {
		files[ExportEarlier(n)] = &fstest.MapFile{Data: l.checkpoint(n, time.Time{})}
	}
	for n, name := range ExportEntries(size) {
		var data []byte
		for _, leaf := range l.leaves[n*256 : min(int64(n+1)*256, size)] {
			data = append(binary.BigEndian.AppendUint16(data, uint16(len(leaf))), leaf...)
		}
		files[name] = &fstest.MapFile{Data: data}
	}
	tiles := tlog.NewTiles(8, 0, size)
	for _, tile := range tiles {
		data, err := tlog.ReadTileData(tile, l)
		if err != nil {
			l.t.Fatal(err)
		}
		name := path.Join("tile", strings.TrimPrefix(tile.Path(), "tile/8/"))
		files[name] = &fstest.MapFile{Data: data}
	}
	for _, e := range l.envelopes {
		if e == nil {
			continue
		}
		_, payload, err := Payload(e)
		if err != nil {
			l.t.Fatal(err)
		}
		files[ExportStatement(DigestOf(payload))] = &fstest.MapFile{Data: toJSON(l.t, e)}
	}
	return files
}

func toJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// pae is the pre-authentication encoding of DSSE, written by hand.
func pae(payloadType string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}
