// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// KeyID returns the hexadecimal SHA-256 of the key's PKIX encoding: that of the bytes in its PEM block.
func KeyID(pub ed25519.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil { // Ed25519 can be encoded always
		return ""
	}
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

// Sign returns the statement in an envelope with one signature. It writes the statement's times in UTC first, and signs none
// that does not validate: nobody could verify it.
func Sign(s *Statement, key ed25519.PrivateKey) (*Envelope, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, errors.New("signing the statement: no Ed25519 key")
	}
	s.Normalize()
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("signing the statement: %w", err)
	}
	payload, err := s.Encode()
	if err != nil {
		return nil, err
	}
	if len(payload) > MaxPayload {
		return nil, fmt.Errorf("signing the statement: it has %d bytes, more than %d", len(payload), MaxPayload)
	}
	signer, err := dsse.NewEnvelopeSigner(signingKey(key))
	if err != nil {
		return nil, fmt.Errorf("signing the statement: %w", err)
	}
	signed, err := signer.SignPayload(context.Background(), PayloadType, payload)
	if err != nil {
		return nil, fmt.Errorf("signing the statement: %w", err)
	}
	e := &Envelope{PayloadType: signed.PayloadType, Payload: signed.Payload}
	for _, sig := range signed.Signatures {
		e.Signatures = append(e.Signatures, Signature{KeyID: sig.KeyID, Sig: sig.Sig})
	}
	return e, nil
}

// Open verifies that one of the keys has signed the envelope, and only then decodes: the very bytes that were signed. It does
// not say whether the statement is valid (Validate). Its errors are of type *Problem.
func Open(e *Envelope, keys []ed25519.PublicKey) (s *Statement, payload []byte, err error) {
	s, payload, _, p := open(e, keys)
	if p != nil {
		return nil, nil, p
	}
	return s, payload, nil
}

// open is Open, and returns the KeyID of the key besides.
func open(e *Envelope, keys []ed25519.PublicKey) (*Statement, []byte, string, *Problem) {
	if _, _, p := parts(e); p != nil {
		return nil, nil, "", p
	}
	if len(keys) == 0 {
		return nil, nil, "", problem(CodeNoStatementKeys, "the trusted keys have none for statements, so no signature can be checked")
	}
	var verifiers []dsse.Verifier
	for _, k := range keys {
		verifiers = append(verifiers, verifyingKey(k))
	}
	verifier, err := dsse.NewEnvelopeVerifier(verifiers...)
	if err != nil {
		return nil, nil, "", problem(CodeKeys, "the statement keys cannot be used: %v", err)
	}
	// The key ID is left out: it is not signed, and the library tries no other key than the one it names.
	accepted, payload, err := verifier.VerifyAndDecode(context.Background(), &dsse.Envelope{
		PayloadType: e.PayloadType, Payload: e.Payload, Signatures: []dsse.Signature{{Sig: e.Signatures[0].Sig}},
	})
	if err != nil || len(accepted) != 1 {
		return nil, nil, "", problem(CodeSignature, "no statement key that you trust has signed this statement: it was changed, or somebody else has signed it")
	}
	s, p := decodeStatement(payload)
	if p != nil {
		return nil, nil, "", p
	}
	return s, payload, accepted[0].KeyID, nil
}

// Payload decodes the statement without verifying the signature: for whoever has just signed it, or has verified it before.
// Its errors are of type *Problem.
func Payload(e *Envelope) (s *Statement, payload []byte, err error) {
	payload, _, p := parts(e)
	if p == nil {
		s, p = decodeStatement(payload)
	}
	if p != nil {
		return nil, nil, p
	}
	return s, payload, nil
}

// parts returns the payload and the signature of an envelope that has one of each.
func parts(e *Envelope) (payload, signature []byte, p *Problem) {
	switch {
	case e == nil:
		return nil, nil, problem(CodeMalformed, "there is no envelope")
	case e.PayloadType != PayloadType:
		return nil, nil, problem(CodePayloadType, "the envelope's payload type is %q, not %q", e.PayloadType, PayloadType)
	case len(e.Signatures) != 1:
		return nil, nil, problem(CodeSignatures, "the envelope has %d signatures instead of one", len(e.Signatures))
	case len(e.Payload) > MaxEnvelope:
		return nil, nil, problem(CodeTooLarge, "the statement has more than %d bytes", MaxPayload)
	}
	if payload, p = unbase64(e.Payload, "the envelope's payload"); p != nil {
		return nil, nil, p
	}
	if signature, p = unbase64(e.Signatures[0].Sig, "the envelope's signature"); p != nil {
		return nil, nil, p
	}
	if len(signature) != ed25519.SignatureSize {
		return nil, nil, problem(CodeSignature, "the statement's signature has %d bytes, not the %d of an Ed25519 signature", len(signature), ed25519.SignatureSize)
	}
	return payload, signature, nil
}

func decodeStatement(payload []byte) (*Statement, *Problem) {
	s := &Statement{}
	if p := decode(payload, MaxPayload, s, "the statement"); p != nil {
		return nil, p
	}
	return s, nil
}

// signingKey is a dsse.Signer.
type signingKey ed25519.PrivateKey

// Sign returns the signature of data.
func (k signingKey) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(ed25519.PrivateKey(k), data), nil
}

// KeyID is that of the public key.
func (k signingKey) KeyID() (string, error) {
	return KeyID(ed25519.PrivateKey(k).Public().(ed25519.PublicKey)), nil
}

// verifyingKey is a dsse.Verifier.
type verifyingKey ed25519.PublicKey

// Verify fails if the key has not signed data.
func (k verifyingKey) Verify(_ context.Context, data, sig []byte) error {
	if len(k) != ed25519.PublicKeySize || !ed25519.Verify(ed25519.PublicKey(k), data, sig) {
		return errors.New("another key has signed it, or something else was signed")
	}
	return nil
}

// KeyID is the function of the same name.
func (k verifyingKey) KeyID() (string, error) { return KeyID(ed25519.PublicKey(k)), nil }

// Public returns the key.
func (k verifyingKey) Public() crypto.PublicKey { return ed25519.PublicKey(k) }
