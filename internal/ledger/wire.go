// SPDX-License-Identifier: Apache-2.0

// Package ledger is the append-only transparency log of signed statements, and the process that keeps it.
//
// It knows nothing of Kubernetes. It takes what a statement key has signed, once per kind and key; it has the statements
// beside the tree, so that one can be removed at the end of its own retention while the tree stays whole.
package ledger

import (
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
)

// The paths that a ledger serves. The static ones are those of C2SP tlog-tiles: /checkpoint, /tile/….
const (
	// PathEntries takes a POST of an evidence.Envelope and answers with an evidence.Bundle: 201 if it was appended, 200 if
	// there was an entry of that kind and key. A GET has the query kind and key (evidence.KeyHash), or from, limit (at most
	// 1,000, 100 if it is missing), and optionally since (included) and until (not included; both RFC 3339, of the statements'
	// times), and answers with a Page.
	PathEntries = "/v1/entries"
	// PathEntry with an index appended answers a GET with an evidence.Bundle. The query size asks for the proof in the tree of
	// that size, at most the latest; the checkpoint in it is that of the size.
	PathEntry = "/v1/entries/"
	// PathState answers a GET with a State.
	PathState = "/v1/state"
	// PathConsistency answers a GET with the query from and to (tree sizes; the latest if to is 0 or missing) with a
	// Consistency. A size that the tree does not have is not found.
	PathConsistency = "/v1/consistency"
	// PathPrune takes a POST of an evidence.Envelope of kind Pruned that is in the log, and removes the statements it names,
	// if the time until which they are to be kept is over.
	PathPrune = "/v1/prune"
)

// Page is a part of the log, in its order.
type Page struct {
	Entries []Entry `json:"entries"`
	// Next is the index to go on from; absent at the end.
	Next *int64 `json:"next,omitempty"`
}

// Entry is one entry, without a proof.
type Entry struct {
	Index int64         `json:"index"`
	Leaf  evidence.Leaf `json:"leaf"`
	// Envelope is nil for a statement that was pruned, and where a State leaves it out or cannot read it.
	Envelope *evidence.Envelope `json:"envelope,omitempty"`
}

// State is where the log stands.
type State struct {
	Origin string `json:"origin"`
	Size   int64  `json:"size"`
	// Checkpoint is the latest, signed.
	Checkpoint string `json:"checkpoint"`
	// Dangling are the Intents without a Result, the oldest first: at most 10,000, the first 100 with their envelopes.
	Dangling []Entry `json:"dangling,omitempty"`
	// Expired are the entries whose GoneBy is over, and for which there is no BackupsExpired, unless their statement was pruned.
	// At most 10,000, the first 100 of them with their envelopes.
	Expired []Entry `json:"expired,omitempty"`
	// Prunable are the entries whose RetainUntil is over and whose statement is still there. At most 1,000, without their
	// envelopes.
	Prunable []Entry   `json:"prunable,omitempty"`
	Time     time.Time `json:"time"`
}

// Consistency is a proof that the tree of one size is the beginning of that of another.
type Consistency struct {
	From int64 `json:"from"`
	To   int64 `json:"to"`
	// Proof is the C2SP consistency proof, hashes in standard base64.
	Proof []string `json:"proof"`
}
