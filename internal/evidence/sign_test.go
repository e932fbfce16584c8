// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSignAndOpen(t *testing.T) {
	s := resultOf(at(2), someRef(Intent), 5)
	e, err := Sign(s, testKey("statement"))
	if err != nil {
		t.Fatal(err)
	}
	want, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	keys := []ed25519.PublicKey{public(testKey("older")), public(testKey("statement"))}
	got, payload, err := Open(e, keys)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(payload, want) {
		t.Errorf("the payload is\n%s\nnot\n%s", payload, want)
	}
	if d := cmp.Diff(s, got); d != "" {
		t.Error(d)
	}
	if got, _, err = Payload(e); err != nil || cmp.Diff(s, got) != "" {
		t.Errorf("unverified: %v", err)
	}
	if e.Signatures[0].KeyID != KeyID(keys[1]) || e.PayloadType != PayloadType {
		t.Errorf("%+v", e)
	}
	for name, c := range map[string]struct {
		keys []ed25519.PublicKey
		code Code
	}{
		"no key":           {nil, CodeNoStatementKeys},
		"other keys":       {keys[:1], CodeSignature},
		"a key of no size": {[]ed25519.PublicKey{nil}, CodeSignature},
	} {
		s, payload, err := Open(e, c.keys)
		var p *Problem
		if !errors.As(err, &p) || p.Code != c.code || s != nil || payload != nil {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	if _, err := Sign(s, nil); err == nil {
		t.Error("signed with no key")
	}
	if _, _, err := Open(nil, keys); err == nil {
		t.Error("opened nothing")
	}
	if _, _, err := LeafOf(nil); err == nil {
		t.Error("nothing has a leaf")
	}
	if _, _, err := LeafOf(forged(t, []byte("{}"), testKey("statement"))); err == nil {
		t.Error("what is no statement has a leaf")
	}
	// The same statement with the same key gives the same envelope: Ed25519 needs no random numbers.
	if again, err := Sign(s, testKey("statement")); err != nil || cmp.Diff(e, again) != "" {
		t.Errorf("signed again it differs: %v", err)
	}
}

func TestSignTooLarge(t *testing.T) {
	s := resultOf(at(2), someRef(Intent), 5)
	for range 200 {
		s.Predicate.NotCovered = append(s.Predicate.NotCovered, Gap{Kind: GapEngine, Reason: "x", Message: strings.Repeat("x", MaxText)})
	}
	if _, err := Sign(s, testKey("statement")); err == nil || !strings.Contains(err.Error(), "bytes, more than 4194304") {
		t.Errorf("a statement of 6 MB: %v", err)
	}
}

// An envelope of the largest statement, and its bundle, are within the bounds.
func TestBounds(t *testing.T) {
	payload := bytes.Repeat([]byte("x"), MaxPayload)
	e := forged(t, payload, testKey("statement"))
	b, err := NewBundle(e, make([]byte, MaxLeaf), 1<<62, make63(), bytes.Repeat([]byte("x"), 4096))
	if err != nil {
		t.Fatal(err)
	}
	file, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(toJSON(t, e)); n > MaxEnvelope || len(file) > MaxBundle {
		t.Errorf("the envelope has %d bytes, the bundle %d", n, len(file))
	}
	var p *Problem
	if _, _, err := Payload(e); !errors.As(err, &p) || p.Code != CodeMalformed {
		t.Errorf("%v", err)
	}
}

func make63() (hashes [][]byte) {
	for range maxHashes {
		hashes = append(hashes, make([]byte, 32))
	}
	return hashes
}

func TestNewBundleFails(t *testing.T) {
	l := story(t)
	if _, err := NewBundle(nil, nil, 0, nil, nil); err == nil {
		t.Error("a bundle of nothing")
	}
	if _, err := NewBundle(l.envelopes[0], nil, -1, nil, nil); err == nil {
		t.Error("a bundle of entry -1")
	}
	if _, err := NewBundle(l.envelopes[0], nil, 0, [][]byte{{1}}, nil); err == nil {
		t.Error("a hash of one byte")
	}
}

func TestReadProof(t *testing.T) {
	l := story(t)
	b := l.bundle(3, 9, later)
	r, err := b.ReadProof()
	if err != nil {
		t.Fatal(err)
	}
	if r.Index != 3 || len(r.Hashes) != 4 || !bytes.Equal(r.Checkpoint, l.checkpoint(9, later)) {
		t.Errorf("%+v", r)
	}
	file, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := DecodeBundle(file)
	if err != nil || cmp.Diff(b, again) != "" {
		t.Errorf("%v, %+v", err, again)
	}
	b.Proof = ""
	if _, err := b.ReadProof(); err == nil {
		t.Error("an empty proof")
	}
	if _, err := DecodeBundle([]byte("{}")); err == nil {
		t.Error("an empty bundle")
	}
}

// What stands in the tree for ever says nothing of what it is about.
func TestLeafIsSilent(t *testing.T) {
	l := story(t)
	for i, leaf := range l.leaves {
		for _, word := range []string{"shop", "orders", "request-1", "billing", policyUID, requestUID, holdUID, "jane", "Köln"} {
			if bytes.Contains(leaf, []byte(word)) {
				t.Errorf("entry %d has %q: %s", i, word, leaf)
			}
		}
		if len(leaf) > 600 {
			t.Errorf("entry %d has %d bytes", i, len(leaf))
		}
	}
}
