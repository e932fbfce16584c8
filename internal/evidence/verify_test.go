// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

// forged signs a statement that Sign would refuse.
func forged(t testing.TB, payload []byte, key ed25519.PrivateKey) *Envelope {
	t.Helper()
	e := &Envelope{PayloadType: PayloadType, Payload: base64.StdEncoding.EncodeToString(payload)}
	sig := ed25519.Sign(key, pae(PayloadType, payload))
	e.Signatures = []Signature{{KeyID: KeyID(public(key)), Sig: base64.StdEncoding.EncodeToString(sig)}}
	return e
}

// payloadOf is the statement that an envelope has, for a test to change.
func payloadOf(t testing.TB, e *Envelope) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(e.Payload)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func replaced(t testing.TB, s, from, to string) string {
	t.Helper()
	if !strings.Contains(s, from) {
		t.Fatalf("%q is not in %s", from, s)
	}
	return strings.Replace(s, from, to, 1)
}

// logged is the bundle of an envelope that got into the ledger by whatever way, after the story.
func logged(t testing.TB, e *Envelope) *Bundle {
	l := story(t)
	var leaf []byte
	if _, encoded, err := LeafOf(e); err == nil {
		leaf = encoded
	}
	i := l.raw(e, leaf)
	return l.bundle(i, i+1, later)
}

// tampering is a genuine bundle of entry aResult that somebody has changed.
type tampering struct {
	edit   func(t *testing.T, l *testLog, b *Bundle) // changes the bundle
	file   func(t *testing.T, file string) string    // or the file
	other  func(t *testing.T) *Bundle                // or makes another
	trust  func(t *testing.T) *Trust                 // testKeys if nil
	accept func(t *testing.T, v *Verified)           // it is still genuine
	code   Code
	says   string
}

func resigned(t *testing.T, from, to string, key ed25519.PrivateKey) *Bundle {
	l := story(t)
	return logged(t, forged(t, []byte(replaced(t, payloadOf(t, l.envelopes[aResult]), from, to)), key))
}

// proofLines are the lines of a proof: header, index, hashes, blank, checkpoint.
func editProof(b *Bundle, edit func(lines []string) []string) {
	b.Proof = strings.Join(edit(strings.Split(b.Proof, "\n")), "\n")
}

func required(t *testing.T) *Trust {
	trust := trustOf(t, testKeys()...)
	trust.RequireWitness = true
	return trust
}

func without(use string) func(t *testing.T) *Trust {
	return func(t *testing.T) *Trust {
		var keys []PublicKey
		for _, k := range testKeys() {
			if k.Use != use {
				keys = append(keys, k)
			}
		}
		return trustOf(t, keys...)
	}
}

var tamperings = map[string]tampering{
	// The statement and its signature.
	"a count changed": {
		edit: func(t *testing.T, _ *testLog, b *Bundle) {
			s := replaced(t, payloadOf(t, &b.Envelope), `"deleted":1200`, `"deleted":1300`)
			b.Envelope.Payload = base64.StdEncoding.EncodeToString([]byte(s))
		},
		code: CodeStatementChanged, says: "the statement was changed after it was signed",
	},
	"the statement written anew with other spaces": {
		edit: func(t *testing.T, _ *testLog, b *Bundle) {
			var s bytes.Buffer
			if err := json.Indent(&s, []byte(payloadOf(t, &b.Envelope)), "", " "); err != nil {
				t.Fatal(err)
			}
			b.Envelope.Payload = base64.StdEncoding.EncodeToString(s.Bytes())
		},
		code: CodeReencoded, says: "it says the same in other bytes",
	},
	"the signature of another statement": {
		edit: func(_ *testing.T, l *testLog, b *Bundle) {
			b.Envelope.Signatures = l.envelopes[aConclusion].Signatures
		},
		code: CodeSignatureSwapped, says: "the signature is not the one that the statement has in the ledger",
	},
	"the whole envelope of another statement": {
		edit: func(_ *testing.T, l *testLog, b *Bundle) { b.Envelope = *l.envelopes[anIntent] },
		code: CodeOtherLeaf, says: "the entry is that of another statement",
	},
	"signed by an unknown key": {
		other: func(t *testing.T) *Bundle { return resigned(t, `"deleted":1200`, `"deleted":1300`, testKey("mallory")) },
		code:  CodeUnknownKey, says: "which you do not trust",
	},
	"signed by an unknown key that poses as a known one": {
		other: func(t *testing.T) *Bundle {
			e := forged(t, []byte(payloadOf(t, story(t).envelopes[aResult])), testKey("mallory"))
			e.Signatures[0].KeyID = KeyID(public(testKey("statement")))
			return logged(t, e)
		},
		code: CodeSignature, says: "although it claims to be of",
	},
	"signed with the ledger's key": {
		other: func(t *testing.T) *Bundle { return resigned(t, `"deleted":1200`, `"deleted":1300`, testKey("log")) },
		code:  CodeKeyUse, says: "of a log, which may not sign statements",
	},
	"signed with the witness's key": {
		other: func(t *testing.T) *Bundle { return resigned(t, `"deleted":1200`, `"deleted":1300`, testKey("witness")) },
		code:  CodeKeyUse, says: "of a witness, which may not sign statements",
	},
	"the key ID changed, which is only a hint": {
		edit:   func(_ *testing.T, _ *testLog, b *Bundle) { b.Envelope.Signatures[0].KeyID = "somebody's" },
		accept: func(*testing.T, *Verified) {},
	},
	"no key ID": {
		edit:   func(_ *testing.T, _ *testLog, b *Bundle) { b.Envelope.Signatures[0].KeyID = "" },
		accept: func(*testing.T, *Verified) {},
	},
	"the payload type changed": {
		edit: func(_ *testing.T, _ *testLog, b *Bundle) { b.Envelope.PayloadType = "application/json" },
		code: CodePayloadType, says: `the envelope's payload type is "application/json"`,
	},
	"a second signature added": {
		edit: func(_ *testing.T, l *testLog, b *Bundle) {
			b.Envelope.Signatures = append(b.Envelope.Signatures, l.envelopes[anIntent].Signatures...)
		},
		code: CodeSignatures, says: "has 2 signatures instead of one",
	},
	"no signature": {
		edit: func(_ *testing.T, _ *testLog, b *Bundle) { b.Envelope.Signatures = []Signature{} },
		code: CodeSignatures, says: "has 0 signatures instead of one",
	},
	"half a signature": {
		edit: func(_ *testing.T, _ *testLog, b *Bundle) {
			b.Envelope.Signatures[0].Sig = base64.StdEncoding.EncodeToString(make([]byte, 32))
		},
		code: CodeSignature, says: "has 32 bytes, not the 64",
	},
	"the signature in another base64": {
		edit: func(_ *testing.T, _ *testLog, b *Bundle) {
			b.Envelope.Signatures[0].Sig = strings.TrimRight(b.Envelope.Signatures[0].Sig, "=")
		},
		code: CodeEncoding, says: "the envelope's signature is not standard base64",
	},
	"the statement in another base64": {
		edit: func(_ *testing.T, _ *testLog, b *Bundle) {
			b.Envelope.Payload = b.Envelope.Payload[:80] + "\n" + b.Envelope.Payload[80:]
		},
		code: CodeEncoding, says: "the envelope's payload is not standard base64",
	},
	"the statement type changed, signed with the right key": {
		other: func(t *testing.T) *Bundle {
			return resigned(t, StatementType, "https://in-toto.io/Statement/v0.1", testKey("statement"))
		},
		code: CodeStatementType, says: `the statement's type is "https://in-toto.io/Statement/v0.1"`,
	},
	"the predicate type changed, signed with the right key": {
		other: func(t *testing.T) *Bundle {
			return resigned(t, PredicateType, "https://slsa.dev/provenance/v1", testKey("statement"))
		},
		code: CodeStatementType, says: `the predicate's type is "https://slsa.dev/provenance/v1"`,
	},
	"a level raised, signed with the right key": {
		other: func(t *testing.T) *Bundle {
			s := payloadOf(t, story(t).envelopes[aConclusion])
			return logged(t, forged(t, []byte(replaced(t, s, `"level":"Incomplete"`, `"level":"Deleted"`)), testKey("statement")))
		},
		code: CodeLevel, says: "the statement claims Deleted, and its Datastores bear out Incomplete at best",
	},
	"a Datastore's level raised, signed with the right key": {
		other: func(t *testing.T) *Bundle { return resigned(t, `"remaining":0`, `"remaining":7`, testKey("statement")) },
		code:  CodeLevel, says: "Datastore orders claims Deleted, and its datasets bear out Incomplete at best",
	},
	"not run sold as deleted, signed with the right key": {
		other: func(t *testing.T) *Bundle {
			return resigned(t, `"outcome":"Deleted"`, `"outcome":"NotRun"`, testKey("statement"))
		},
		code: CodeLevel, says: "bear out Incomplete at best",
	},
	"an unknown field, signed with the right key": {
		other: func(t *testing.T) *Bundle {
			return resigned(t, `"kind":"Result"`, `"certified":true,"kind":"Result"`, testKey("statement"))
		},
		code: CodeUnknown, says: `the statement has something that this version does not know`,
	},
	"a field in capitals, signed with the right key": {
		other: func(t *testing.T) *Bundle {
			return resigned(t, `"kind":"Result"`, `"KIND":"Result"`, testKey("statement"))
		},
		code: CodeUnknown, says: "the statement is written in a way that another reader might understand differently",
	},
	"a count twice, signed with the right key": {
		other: func(t *testing.T) *Bundle {
			return resigned(t, `"deleted":1200`, `"deleted":1200,"Deleted":9`, testKey("statement"))
		},
		code: CodeDuplicate, says: `the statement has the field "Deleted" twice`,
	},
	"a null, signed with the right key": {
		other: func(t *testing.T) *Bundle {
			return resigned(t, `"deleted":1200`, `"deleted":null`, testKey("statement"))
		},
		code: CodeUnknown, says: "another reader might understand differently",
	},
	"no UTF-8, signed with the right key": {
		other: func(t *testing.T) *Bundle {
			return resigned(t, `"reason":"Vacuum"`, "\"reason\":\"Vacuum\xff\"", testKey("statement"))
		},
		code: CodeMalformed, says: "the statement is not UTF-8",
	},
	"a count as a string, signed with the right key": {
		other: func(t *testing.T) *Bundle {
			return resigned(t, `"deleted":1200`, `"deleted":"1200"`, testKey("statement"))
		},
		code: CodeMalformed, says: "the statement does not have the form it should have",
	},
	"an hour of another zone, signed with the right key": {
		other: func(t *testing.T) *Bundle {
			return resigned(t, `"time":"2026-03-01T02:02:00Z"`, `"time":"2026-03-01T03:02:00+01:00"`, testKey("statement"))
		},
		code: CodeStatement, says: "time is not in UTC",
	},

	// The ledger's entry.
	"the entry of another statement": {
		edit: func(_ *testing.T, l *testLog, b *Bundle) {
			b.Leaf = base64.StdEncoding.EncodeToString(l.leaves[anIntent])
		},
		code: CodeOtherLeaf, says: "the entry is that of another statement",
	},
	"the entry in no base64": {
		edit: func(_ *testing.T, _ *testLog, b *Bundle) { b.Leaf += "." },
		code: CodeEncoding, says: "the entry is not standard base64",
	},
	"the entry changed": {
		edit: func(t *testing.T, l *testLog, b *Bundle) {
			b.Leaf = base64.StdEncoding.EncodeToString([]byte(replaced(t, string(l.leaves[aResult]), `"retainUntil":"2033`, `"retainUntil":"2027`)))
		},
		code: CodeLeaf, says: "the entry does not say what follows from this statement",
	},
	"the entry written anew": {
		edit: func(_ *testing.T, l *testLog, b *Bundle) {
			b.Leaf = base64.StdEncoding.EncodeToString(append(l.leaves[aResult], '\n'))
		},
		code: CodeLeaf, says: "the entry does not say what follows",
	},
	"closes an entry that came later": {
		other: func(t *testing.T) *Bundle {
			l := story(t)
			e, err := Sign(resultOf(later, Reference{Kind: Intent, Index: 40, Digest: DigestOf(nil)}, 1), testKey("statement"))
			if err != nil {
				t.Fatal(err)
			}
			i := l.append(e).Index
			return l.bundle(i, i+1, later)
		},
		code: CodeCloses, says: "closes entry 40, which came later",
	},

	// The proof.
	"the index changed": {
		edit: func(_ *testing.T, _ *testLog, b *Bundle) {
			editProof(b, func(l []string) []string { l[1] = "index 2"; return l })
		},
		code: CodeIndex, says: "says that the statement is entry 2 of the ledger, and it is entry 1",
	},
	"the index beyond the end": {
		edit: func(_ *testing.T, _ *testLog, b *Bundle) {
			editProof(b, func(l []string) []string { l[1] = "index 12"; return l })
		},
		code: CodeIndex, says: "the proof is about entry 12, and the ledger has 12 entries",
	},
	"the index written otherwise": {
		edit: func(_ *testing.T, _ *testLog, b *Bundle) {
			editProof(b, func(l []string) []string { l[1] = "index 01"; return l })
		},
		code: CodeProof, says: "something that does not belong there",
	},
	"an index that no ledger has": {
		edit: func(_ *testing.T, _ *testLog, b *Bundle) {
			editProof(b, func(l []string) []string { l[1] = "index 18446744073709551615"; return l })
		},
		code: CodeProof, says: "the proof's index 18446744073709551615 cannot be",
	},
	"more hashes than any tree has": {
		edit: func(_ *testing.T, _ *testLog, b *Bundle) {
			editProof(b, func(l []string) []string {
				for range maxHashes {
					l = append(l[:3:3], l[2:]...)
				}
				return l
			})
		},
		code: CodeProof, says: "the proof has 67 hashes, more than any tree",
	},
	"a hash changed": {
		edit: func(_ *testing.T, _ *testLog, b *Bundle) {
			editProof(b, func(l []string) []string { l[3] = base64.StdEncoding.EncodeToString(make([]byte, 32)); return l })
		},
		code: CodeInclusion, says: "the proof does not lead from the statement to the ledger's root",
	},
	"a hash removed": {
		edit: func(_ *testing.T, _ *testLog, b *Bundle) {
			editProof(b, func(l []string) []string { return append(l[:3:3], l[4:]...) })
		},
		code: CodeProofLength, says: "wrong proof size 3, want 4",
	},
	"a hash added": {
		edit: func(_ *testing.T, _ *testLog, b *Bundle) {
			editProof(b, func(l []string) []string { return append(l[:3:3], l[2:]...) })
		},
		code: CodeProofLength, says: "wrong proof size 5, want 4",
	},
	"the proof of another entry": {
		edit: func(_ *testing.T, l *testLog, b *Bundle) { b.Proof = l.bundle(anEraseResult, storySize, later).Proof },
		code: CodeInclusion, says: "this statement is not entry 7 of this ledger",
	},
	"a remark in the proof": {
		edit: func(_ *testing.T, _ *testLog, b *Bundle) {
			editProof(b, func(l []string) []string { return append([]string{l[0], "extra AAAA"}, l[1:]...) })
		},
		code: CodeProof, says: "something that does not belong there",
	},
	"a proof of another form": {
		edit: func(_ *testing.T, _ *testLog, b *Bundle) {
			editProof(b, func(l []string) []string { l[0] = "c2sp.org/tlog-proof@v2"; return l })
		},
		code: CodeProof, says: "missing expected header",
	},

	// The checkpoint.
	"the checkpoint's size changed": {
		edit: func(t *testing.T, _ *testLog, b *Bundle) { b.Proof = replaced(t, b.Proof, "\n12\n", "\n13\n") },
		code: CodeLogSignature, says: "does not fit the checkpoint",
	},
	"the checkpoint's root changed": {
		edit: func(t *testing.T, l *testLog, b *Bundle) {
			b.Proof = replaced(t, b.Proof, l.root(storySize).String(), base64.StdEncoding.EncodeToString(make([]byte, 32)))
		},
		code: CodeLogSignature, says: "does not fit the checkpoint",
	},
	"a checkpoint of another ledger": {
		other: func(t *testing.T) *Bundle {
			l := story(t)
			l.origin = "dataretention.dev/ledger/other"
			return l.bundle(aResult, storySize, later)
		},
		code: CodeOrigin, says: `the checkpoint is of the ledger "dataretention.dev/ledger/other", of which you trust no key`,
	},
	"a checkpoint of another ledger with the same name": {
		other: func(t *testing.T) *Bundle {
			l := story(t)
			l.log = testKey("mallory's log")
			return l.bundle(aResult, storySize, time.Time{})
		},
		code: CodeLogSignature, says: "no key that you trust of the ledger",
	},
	"a checkpoint that only the witness has signed": {
		other: func(t *testing.T) *Bundle {
			l := story(t)
			l.log = testKey("mallory's log")
			return l.bundle(aResult, storySize, later)
		},
		code: CodeLogSignature, says: "no key that you trust of the ledger",
	},
	"a checkpoint without a root": {
		edit: func(t *testing.T, l *testLog, b *Bundle) {
			b.Proof = replaced(t, b.Proof, l.root(storySize).String(), "AAAA")
		},
		code: CodeCheckpoint, says: "no SHA-256 root",
	},
	"the checkpoint's origin in other words": {
		edit: func(t *testing.T, _ *testLog, b *Bundle) {
			b.Proof = replaced(t, b.Proof, "\n"+testOrigin+"\n", "\nother\n")
		},
		code: CodeOrigin, says: `the checkpoint is of the ledger "other"`,
	},
	"something after the checkpoint": {
		edit: func(_ *testing.T, _ *testLog, b *Bundle) { b.Proof += "and more\n" },
		code: CodeCheckpoint, says: "not a signed note",
	},

	// The witness.
	"the cosignature removed": {
		edit: func(_ *testing.T, l *testLog, b *Bundle) { b.Proof = l.bundle(aResult, storySize, time.Time{}).Proof },
		accept: func(t *testing.T, v *Verified) {
			if v.Witnessed() != nil || v.Checkpoint.Witness != "" {
				t.Errorf("witnessed at %v by %q, and nobody has", v.Witnessed(), v.Checkpoint.Witness)
			}
		},
	},
	"the cosignature removed where one is required": {
		edit:  func(_ *testing.T, l *testLog, b *Bundle) { b.Proof = l.bundle(aResult, storySize, time.Time{}).Proof },
		trust: required,
		code:  CodeWitnessMissing, says: "no witness that you trust has cosigned the checkpoint",
	},
	"the cosignature forged": {
		edit: func(_ *testing.T, l *testLog, b *Bundle) {
			text := l.text(storySize)
			genuine := cosign(testWitness, testKey("witness"), text, later)
			other := cosign(testWitness, testKey("witness"), text, later.Add(time.Hour))
			// The key's hash, and a time that was not signed.
			raw, _ := base64.StdEncoding.DecodeString(strings.Fields(genuine)[2])
			sig, _ := base64.StdEncoding.DecodeString(strings.Fields(other)[2])
			mixed := append(raw[:12:12], sig[12:]...)
			b.Proof = strings.Replace(b.Proof, strings.Fields(genuine)[2], base64.StdEncoding.EncodeToString(mixed), 1)
		},
		code: CodeWitness, says: "the cosignature of the witness \"" + testWitness + "\" does not fit",
	},
	"the cosignature of an unknown witness with the same name": {
		edit: func(_ *testing.T, l *testLog, b *Bundle) {
			b.Proof = l.bundle(aResult, storySize, time.Time{}).Proof + cosign(testWitness, testKey("mallory"), l.text(storySize), later)
		},
		trust: required,
		code:  CodeWitnessMissing, says: "no witness that you trust",
	},
	"the cosignature of another checkpoint": {
		edit: func(_ *testing.T, l *testLog, b *Bundle) {
			b.Proof = l.bundle(aResult, storySize, time.Time{}).Proof + cosign(testWitness, testKey("witness"), l.text(5), later)
		},
		code: CodeWitness, says: "does not fit the checkpoint",
	},
	"dated after the witness saw it": {
		edit: func(_ *testing.T, l *testLog, b *Bundle) {
			b.Proof = l.bundle(aResult, storySize, at(2).Add(-time.Hour)).Proof
		},
		code: CodeTime, says: "the statement is dated 2026-03-01T02:02:00Z, but a witness saw it in the ledger at 2026-03-01T01:02:00Z already",
	},
	"a witness whose clock was never set": {
		edit: func(_ *testing.T, l *testLog, b *Bundle) {
			b.Proof = l.bundle(aResult, storySize, time.Unix(0, 0)).Proof
		},
		code: CodeWitness, says: "cosigned in the year 1970",
	},

	// The file.
	"cut off": {
		file: func(_ *testing.T, f string) string { return f[:len(f)/2] },
		code: CodeMalformed, says: "the bundle is not complete JSON",
	},
	"something after the end": {
		file: func(_ *testing.T, f string) string { return f + f },
		code: CodeMalformed, says: "the bundle has something after its end",
	},
	"a field twice": {
		file: func(t *testing.T, f string) string { return replaced(t, f, `"mediaType"`, `"leaf": "", "mediaType"`) },
		code: CodeDuplicate, says: `the bundle has the field "leaf" twice`,
	},
	"an unknown field": {
		file: func(t *testing.T, f string) string {
			return replaced(t, f, `"mediaType"`, `"verified": true, "mediaType"`)
		},
		code: CodeUnknown, says: `the bundle has something that this version does not know`,
	},
	"another media type": {
		edit: func(_ *testing.T, _ *testLog, b *Bundle) {
			b.MediaType = "application/vnd.dev.sigstore.bundle.v0.3+json"
		},
		code: CodeMediaType, says: "not a bundle",
	},
	"no JSON": {
		file: func(*testing.T, string) string { return "-----BEGIN" },
		code: CodeMalformed, says: "the bundle is not complete JSON",
	},
	"empty": {
		file: func(*testing.T, string) string { return "" },
		code: CodeMalformed, says: "the bundle is not complete JSON",
	},
	"too large": {
		file: func(_ *testing.T, f string) string { return f + strings.Repeat(" ", MaxBundle) },
		code: CodeTooLarge, says: "the bundle has more than",
	},
	"nested too deeply": {
		file: func(*testing.T, string) string { return strings.Repeat("[", 1e6) },
		code: CodeMalformed, says: "nested too deeply",
	},

	// The keys.
	"no keys at all":   {trust: func(*testing.T) *Trust { return nil }, code: CodeNoStatementKeys, says: "have none for statements"},
	"no statement key": {trust: without(UseStatement), code: CodeNoStatementKeys, says: "have none for statements"},
	"no log key":       {trust: without(UseLog), code: CodeNoLogKeys, says: "have none of a ledger"},
	"no witness key": {
		trust: without(UseWitness),
		accept: func(t *testing.T, v *Verified) {
			if v.Witnessed() != nil {
				t.Errorf("witnessed at %v, and no witness is trusted", v.Witnessed())
			}
		},
	},
	"no witness key where one is required": {
		trust: func(t *testing.T) *Trust {
			trust := without(UseWitness)(t)
			trust.RequireWitness = true
			return trust
		},
		code: CodeNoWitnessKeys, says: "the trusted keys have none of a witness",
	},
	"another statement key is trusted": {
		trust: func(t *testing.T) *Trust {
			keys := testKeys()
			keys[0].Key = public(testKey("another"))
			return trustOf(t, keys...)
		},
		code: CodeUnknownKey, says: "which you do not trust",
	},
	"a newer statement key is trusted as well": {
		trust: func(t *testing.T) *Trust {
			return trustOf(t, append([]PublicKey{{Use: UseStatement, Key: public(testKey("newer"))}}, testKeys()...)...)
		},
		accept: func(*testing.T, *Verified) {},
	},
}

func TestTampering(t *testing.T) {
	sentences := map[string]bool{}
	for name, c := range tamperings {
		t.Run(name, func(t *testing.T) {
			l := story(t)
			b := l.bundle(aResult, storySize, later)
			if c.other != nil {
				b = c.other(t)
			}
			if c.edit != nil {
				c.edit(t, l, b)
			}
			file, err := b.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if c.file != nil {
				file = []byte(c.file(t, string(file)))
			}
			trust := trustOf(t, testKeys()...)
			if c.trust != nil { // which may return nil
				trust = c.trust(t)
			}
			v, err := Verify(file, trust)
			if c.accept != nil {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				c.accept(t, v)
				return
			}
			var p *Problem
			if !errors.As(err, &p) {
				t.Fatalf("%v, %v: want a Problem", v, err)
			}
			if p.Code != c.code || !strings.Contains(p.Sentence, c.says) {
				t.Errorf("%s: %s\nwant %s: …%s…", p.Code, p.Sentence, c.code, c.says)
			}
			if v != nil {
				t.Error("there is a Verified besides the error")
			}
			sentences[p.Sentence] = true
		})
	}
	if len(sentences) < 40 {
		t.Errorf("all these ways to tamper have %d messages, want at least 40", len(sentences))
	}
}
