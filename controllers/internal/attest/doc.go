// SPDX-License-Identifier: Apache-2.0

// Package attest signs what the controllers state, and has it logged in the ledger before anything rests on it.
//
// The signing keys are in a Secret of the operator's namespace. The manager is also the ledger's witness: it keeps the
// latest checkpoint in a ConfigMap, and takes no other that does not continue it, so that a ledger which lost entries or
// was rewritten is noticed before the next purge.
package attest

import (
	"context"
	"errors"

	"dataretention.dev/retention-operator/internal/evidence"
)

// ErrUnavailable says that the ledger cannot be used now: it does not answer, or what it answers does not continue what it
// said before. Nothing may be released, and nothing that was done may be let go of; it is tried again.
var ErrUnavailable = errors.New("the evidence ledger is not available")

// ErrRefused says that the ledger does answer, and will not take this statement, however often it is asked: the statement is
// not what it has to be, contradicts an entry that is there, or was removed at the end of its retention. The error's text has
// the ledger's own sentence. It is an ErrUnavailable too, so that whoever does not tell them apart lets nothing go.
var ErrRefused error = refused{}

type refused struct{}

func (refused) Error() string { return "the evidence ledger refuses the statement for good" }

func (refused) Unwrap() error { return ErrUnavailable }

// Ledger is what the controllers need of it. Both methods fail with ErrUnavailable, whatever the matter is.
type Ledger interface {
	// Append signs the predicate with the subjects and returns once it is in the ledger, under a checkpoint that has been
	// verified. If there is an entry of the same kind and key already, that one is returned as it is, and nothing is appended:
	// a manager that died between this and its status write finds its own statement again. Append fills in the predicate's
	// Operator.Version, Operator.Cluster, Time and RetainUntil where they are zero.
	Append(ctx context.Context, predicate evidence.Predicate, subjects ...evidence.Subject) (evidence.Logged, error)
	// Find returns the entry of that kind and key, or nil.
	Find(ctx context.Context, kind evidence.Kind, key string) (*evidence.Logged, error)
}
