// SPDX-License-Identifier: Apache-2.0

package evidence

import "time"

// LeafVersion names the format of a leaf.
const LeafVersion = "dataretention.dev/ledger/v1"

// Leaf is what stands in the ledger's tree: as little as identifies a statement. It stays when the statement has been
// removed at the end of its own retention; then nothing can be learned from it, since the signature that it has the digest
// of cannot be guessed.
//
// A leaf follows from the envelope (LeafOf), so whoever has the one can check the other. Its bytes are its JSON encoding.
type Leaf struct {
	Version string `json:"v"`
	Kind    Kind   `json:"kind"`
	// Key is the hexadecimal SHA-256 of kind, a newline and the statement's key (KeyHash).
	Key string `json:"key"`
	// Closes is the index of the entry that this one closes; absent if none.
	Closes *int64 `json:"closes,omitempty"`
	// Statement and Signature are the SHA-256 of the payload and of the signature's bytes ("sha256:…").
	Statement string `json:"statement"`
	Signature string `json:"signature"`
	// Time, RetainUntil and GoneBy are those of the statement.
	Time        time.Time  `json:"time"`
	RetainUntil time.Time  `json:"retainUntil"`
	GoneBy      *time.Time `json:"goneBy,omitempty"`
}

// Envelope is a DSSE envelope (https://github.com/secure-systems-lab/dsse) with one Ed25519 signature. Its JSON may be
// formatted in any way; only payload and signature count.
type Envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     string      `json:"payload"` // standard base64
	Signatures  []Signature `json:"signatures"`
}

// Signature is one signature of an Envelope.
type Signature struct {
	// KeyID is KeyID of the public key: a hint only.
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"` // standard base64
}

// BundleMediaType is the media type of a Bundle.
const BundleMediaType = "application/vnd.dataretention.evidence.bundle.v1+json"

// Bundle is everything that is needed to verify one statement offline, apart from the public keys.
type Bundle struct {
	MediaType string   `json:"mediaType"`
	Envelope  Envelope `json:"envelope"`
	// Leaf is the entry's bytes, standard base64.
	Leaf string `json:"leaf"`
	// Proof is a C2SP tlog-proof@v1: index, inclusion proof and checkpoint, with the signature of the log and, if the operator
	// has seen the checkpoint, its cosignature.
	Proof string `json:"proof"`
}

// Logged is a statement that is in the ledger.
type Logged struct {
	Reference
	// Time is the statement's.
	Time      time.Time
	Statement Statement
}
