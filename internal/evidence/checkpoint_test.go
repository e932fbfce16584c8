// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestVerifyConsistent(t *testing.T) {
	l := story(t)
	// A ledger that was rewritten from entry 8 on.
	fork := rebuilt(t, func(e []*Envelope) []*Envelope { return e[:8] })
	for _, minute := range []int{70, 71, 72, 73} {
		fork.add(holdOf(HoldReleased, at(minute)).key(at(minute).String()))
	}
	elsewhere := story(t)
	elsewhere.origin = "dataretention.dev/ledger/other"
	trust := trustOf(t, append(testKeys(), PublicKey{Use: UseLog, Name: elsewhere.origin, Key: public(elsewhere.log)})...)
	sign := func(l *testLog, size int64) []byte { return l.checkpoint(size, time.Time{}) }

	for older := int64(1); older <= storySize; older++ {
		for newer := older; newer <= storySize; newer++ {
			if err := VerifyConsistent(sign(l, older), sign(l, newer), l.consistency(older, newer), trust); err != nil {
				t.Errorf("%d, %d: %v", older, newer, err)
			}
		}
	}
	if err := VerifyConsistent(sign(l, 0), sign(l, 5), nil, trust); err != nil {
		t.Errorf("from the empty ledger: %v", err)
	}
	cases := map[string]struct {
		older, newer []byte
		proof        [][]byte
		code         Code
		says         string
	}{
		"rewritten, longer":     {sign(l, 9), sign(fork, 12), fork.consistency(9, 12), CodeConsistency, "does not show that the ledger of 12 entries goes on from that of 9"},
		"rewritten, same size":  {sign(l, 12), sign(fork, 12), nil, CodeRewritten, "two different states with 12 entries"},
		"cut off":               {sign(l, 12), sign(l, 9), nil, CodeTruncated, "had 12 entries, and has 9 now"},
		"no proof":              {sign(l, 5), sign(l, 9), nil, CodeConsistency, "cannot show that"},
		"a hash too many":       {sign(l, 5), sign(l, 9), append(l.consistency(5, 9), make([]byte, 32)), CodeConsistency, "cannot show that"},
		"a hash changed":        {sign(l, 5), sign(l, 9), append([][]byte{make([]byte, 32)}, l.consistency(5, 9)[1:]...), CodeConsistency, "does not show that"},
		"another ledger":        {sign(l, 5), sign(elsewhere, 9), l.consistency(5, 9), CodeOrigin, "of two ledgers"},
		"the older one forged":  {slices.Concat([]byte("x"), sign(l, 5)), sign(l, 9), l.consistency(5, 9), CodeOrigin, "of which you trust no key"},
		"the newer one forged":  {sign(l, 5), []byte(strings.Replace(string(sign(l, 9)), "\n9\n", "\n10\n", 1)), l.consistency(5, 9), CodeLogSignature, "does not fit"},
		"the newer one is none": {sign(l, 5), []byte("9"), l.consistency(5, 9), CodeCheckpoint, "is not one"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			err := VerifyConsistent(c.older, c.newer, c.proof, trust)
			var p *Problem
			if !errors.As(err, &p) || p.Code != c.code || !strings.Contains(p.Sentence, c.says) {
				t.Errorf("%v, want %s: %s", err, c.code, c.says)
			}
		})
	}
	if err := VerifyConsistent(sign(l, 5), sign(l, 9), l.consistency(5, 9), nil); err == nil {
		t.Error("consistent, and nobody is trusted")
	}
}

// Of several witnesses the first one counts, and keys of a log that were rotated go on to count.
func TestWitnessesAndRotation(t *testing.T) {
	l := story(t)
	text := l.text(7)
	second := PublicKey{Use: UseWitness, Name: "auditor.example", Key: public(testKey("auditor"))}
	trust := trustOf(t, append(testKeys(), second, PublicKey{Use: UseLog, Name: testOrigin, Key: public(testKey("log 2"))})...)
	signed := append(l.checkpoint(7, later), cosign(second.Name, testKey("auditor"), text, later.Add(-time.Hour))...)
	c, err := OpenCheckpoint(signed, trust)
	if err != nil {
		t.Fatal(err)
	}
	if c.Witness != second.Name || !c.Witnessed.Equal(later.Add(-time.Hour)) {
		t.Errorf("%q at %v", c.Witness, c.Witnessed)
	}
	l.log = testKey("log 2")
	if _, err := OpenCheckpoint(l.checkpoint(7, later), trust); err != nil {
		t.Errorf("by the new key: %v", err)
	}
	l.log = testKey("log 3")
	if _, err := OpenCheckpoint(l.checkpoint(7, later), trust); err == nil {
		t.Error("by a key that nobody trusts")
	}
}

func TestOpenCheckpointFails(t *testing.T) {
	l, trust := story(t), trustOf(t, testKeys()...)
	unknown := strings.Repeat("— nobody AAAAAAAA\n", 5000)
	var p *Problem
	if _, err := OpenCheckpoint(append(l.checkpoint(5, later), unknown...), trust); !errors.As(err, &p) || p.Code != CodeTooLarge {
		t.Errorf("of %d bytes: %v", len(unknown), err)
	}
	if _, err := OpenCheckpoint(nil, trust); !errors.As(err, &p) || p.Code != CodeCheckpoint {
		t.Errorf("empty: %v", err)
	}
	if _, err := OpenCheckpoint(l.checkpoint(5, later), &Trust{}); !errors.As(err, &p) || p.Code != CodeNoLogKeys {
		t.Errorf("without keys: %v", err)
	}
	if _, err := LogVerifier("x", nil); err == nil {
		t.Error("a log verifier without a key")
	}
	if _, err := WitnessVerifier("", public(testKey("witness"))); err == nil {
		t.Error("a witness without a name")
	}
}
