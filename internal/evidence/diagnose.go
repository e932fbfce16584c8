// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"crypto/ed25519"
	"slices"
	"strings"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// diagnose says why the signature of a bundle is none of a trusted statement key. Nothing rests on it but the sentence: the
// bundle's entry and key ID may be forged as well.
func diagnose(b *Bundle, t *Trust) *Problem {
	payload, signature, p := parts(&b.Envelope)
	if p != nil {
		return p
	}
	pae := dsse.PAE(PayloadType, payload)
	for _, k := range t.Keys {
		if k.Use != UseStatement && ed25519.Verify(k.Key, pae, signature) {
			return problem(CodeKeyUse, "the statement was signed with the key %s of a %s, which may not sign statements", k.Name, k.Use)
		}
	}
	if p := compareLeaf(b, payload, signature); p != nil {
		return p
	}
	id := b.Envelope.Signatures[0].KeyID
	known := slices.ContainsFunc(t.Statement, func(k ed25519.PublicKey) bool { return KeyID(k) == id })
	if !known {
		return problem(CodeUnknownKey, "the statement was signed with the key %.64q, which you do not trust (you trust %s)", id, t.statementKeys())
	}
	return problem(CodeSignature, "the statement's signature is not one of a key that you trust, although it claims to be of %s", id)
}

// compareLeaf tells a changed statement from a changed signature, by what the ledger's entry has of both.
func compareLeaf(b *Bundle, payload, signature []byte) *Problem {
	raw, p := unbase64(b.Leaf, "the entry")
	leaf := &Leaf{}
	if p == nil {
		p = decode(raw, MaxLeaf, leaf, "the entry")
	}
	if p != nil {
		return nil //nolint:nilerr // then the entry tells nothing
	}
	statement, sig := leaf.Statement == DigestOf(payload), leaf.Signature == DigestOf(signature)
	switch {
	case !statement && sig && reencoded(payload, leaf.Statement):
		return problem(CodeReencoded, "the statement was written anew after it was signed: it says the same in other bytes, and only the bytes that were signed can be verified")
	case !statement && sig:
		return problem(CodeStatementChanged, "the statement was changed after it was signed (dated %s)", leaf.Time.Format(time.RFC3339))
	case statement && !sig:
		return problem(CodeSignatureSwapped, "the signature is not the one that the statement has in the ledger: it is of another statement, or made up")
	}
	return nil
}

// reencoded says whether the payload has the content of the statement with that digest, in other bytes.
func reencoded(payload []byte, digest string) bool {
	s, p := decodeStatement(payload)
	if p != nil {
		return false
	}
	again, err := s.Encode()
	return err == nil && DigestOf(again) == digest
}

// statementKeys are the IDs of the trusted statement keys, for a sentence.
func (t *Trust) statementKeys() string {
	var ids []string
	for _, k := range t.Statement {
		ids = append(ids, KeyID(k))
	}
	return strings.Join(ids, ", ")
}
