// SPDX-License-Identifier: Apache-2.0

// Package engine is the small interface between the runner, which knows Plans and Receipts, and the engines, which each
// know one kind of datastore. Neither knows Kubernetes.
package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/receipt"
)

// Engine knows one kind of datastore.
type Engine interface {
	// Connect opens a session. Its error is an *Error with the reason: SecretIncomplete, Unreachable, AuthenticationFailed,
	// DatabaseNotFound, VersionNotSupported.
	Connect(ctx context.Context, in Input) (Session, error)
}

// Input is what a session is opened with.
type Input struct {
	// ConnectionDir holds the files of the connection's Secret, KeysDir those of MethodHMAC's keys.
	ConnectionDir, KeysDir string
	Plan                   *plan.Plan
	// Clock tells the Pod's time.
	Clock func() time.Time
}

// Session is a connection to one datastore that survives the loss of its network connection: calls reconnect by
// themselves for some minutes, and check that the server at the other end is still the same.
type Session interface {
	// Server asks for the server's version, identity and clock.
	Server(ctx context.Context) (Server, error)
	// Lock makes this process the only one that purges the datastore, until Close. An *Error with WriterActive says that
	// another one is at work.
	Lock(ctx context.Context) error
	// Probe looks at what the Plan's datasets describe, and changes nothing.
	Probe(ctx context.Context) (*receipt.Probe, error)
	// Prepare looks at what a step of the Plan needs. An *Error says why the step cannot be carried out.
	Prepare(ctx context.Context, index int) (Step, error)
	Close()
}

// Server is what a datastore says of itself.
type Server struct {
	Version  string
	Identity string
	// Skew is the server's clock minus the Pod's.
	Skew time.Duration
}

// Step is one step of the Plan, looked at and ready.
type Step interface {
	// Count counts before the first change.
	Count(ctx context.Context) (Counts, error)
	// Purge makes one pass over the dataset and does to every due record what the step says. It works in batches, tells
	// progress of each, and returns between two batches with ErrStopped once progress says so. It is not an error if
	// constraints or triggers keep records: Verify finds them.
	Purge(ctx context.Context, progress Progress) error
	// Verify counts what is due and still there, after the last change.
	Verify(ctx context.Context) (Leftover, error)
}

// Counts are numbers of records before the first change. See receipt.Step.
type Counts struct {
	Records, Matched, Retained, Undated, Invalid int64
	// Held are those whose time is over, and which a hold keeps. They are not in Matched.
	Held int64
	// Oldest is the earliest starting point among Matched.
	Oldest *time.Time
}

// Leftover is what is due and still there.
type Leftover struct {
	Remaining int64
	// Blocked are those of Remaining that Constraints keep.
	Blocked     int64
	Constraints []string
	Oldest      *time.Time
	// Reason says why the others remain, where the engine knows: TriggerBlocks, ValueNotUnderstood, ConstraintViolated.
	Reason receipt.Reason
}

// Progress is told of every batch.
type Progress interface {
	// InFlight is called when n records have been changed and the commit is about to be sent. An error forbids the commit.
	// If neither Committed nor RolledBack follows, nobody knows how the batch ended.
	InFlight(n int64) error
	// Committed is called when the commit of n records is known to have happened; dropped of the partitions went whole.
	Committed(n int64, dropped int32)
	// RolledBack is called when it is known not to have happened.
	RolledBack()
	// Stopping says whether to return before the next batch.
	Stopping() bool
}

// ErrStopped is returned by Purge when Progress asked it to stop.
var ErrStopped = errors.New("stopped between two batches")

// Error is a failure with a reason of the closed set. It holds no text of a driver or a server: that may print a value.
type Error struct {
	Reason receipt.Reason
	// Object is the name of a table, field or constraint, if one is to blame.
	Object string
	// Code is the engine's own code, such as a SQLSTATE.
	Code string
	// Transient says that another attempt may succeed.
	Transient bool
}

// Error returns the reason, the object and the code.
func (e *Error) Error() string {
	text := string(e.Reason)
	if e.Object != "" {
		text += fmt.Sprintf(" (%s)", e.Object)
	}
	if e.Code != "" {
		text += " [" + e.Code + "]"
	}
	return text
}

// Fail returns an *Error that another attempt will not cure.
func Fail(reason receipt.Reason, object string) *Error { return &Error{Reason: reason, Object: object} }

// ReasonOf returns the reason that err carries, or InternalError.
func ReasonOf(err error) receipt.Reason {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return receipt.InternalError
}
