// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"

	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/subject"
)

// Person is whom a request, or a hold, is about.
type Person struct {
	// Given are the identifiers that the request names, Derived those that records of other datastores led to.
	Given, Derived []subject.Identifier
}

// Eraser is a Session that can find and erase the records of persons. The order of calls is: Hold if the Plan has holds,
// Find, then for each step that acts PrepareErasure, Erase and Verify, as often as need be.
type Eraser interface {
	// Hold resolves the Plan's holds on single records, whose persons stand in the same order; a hold on a condition has an
	// empty Person. From then on no step, of retention or of an erasure, touches a record that they keep. It returns how many
	// records each of them keeps in the datasets that it covers. An *Error with HoldUnreadable says that one cannot be resolved.
	Hold(ctx context.Context, persons []Person) ([]int64, error)
	// Find looks for the records of the Plan's requests: those that carry an identifier, those that refer to one that was
	// found, and so on. It changes nothing. What it found is remembered by the session.
	Find(ctx context.Context, persons []Person) (*Findings, error)
	// PrepareErasure returns what an ErasureStep of the Plan does to the records found.
	PrepareErasure(ctx context.Context, index int) (ErasureStep, error)
}

// Findings is what Find found out.
type Findings struct {
	// Problems has a reason for each person about whom nothing may be done: IdentifiersDisagree, TooManyIdentifiers.
	Problems []receipt.Reason
	// Derived are the further identifiers that records led to, for each person.
	Derived [][]subject.Identifier
	// Steps has one entry for each ErasureStep of the Plan.
	Steps []Found
}

// Found is what was found in one dataset.
type Found struct {
	// Records is how many records belong to each person; Unsearched says of whom nobody could tell, since no identifier leads to the dataset.
	Records    []int64
	Unsearched []bool
	// Reason is why the dataset could not be searched; empty if it was.
	Reason receipt.Reason
}

// ErasureStep is one dataset of an erasure, looked at and ready.
type ErasureStep interface {
	// Erase makes one pass over the records that the last look found, in batches, and leaves out the persons in skip. It
	// returns between two batches with ErrStopped once progress says so.
	Erase(ctx context.Context, skip []bool, progress ErasureProgress) error
	// Verify tells what a look finds that was made after the last change: records of every person, those that were written
	// meanwhile included. It remembers them for another pass. One look goes over all datasets, so a pass first erases in all
	// steps, then verifies them all, in the order of the Plan.
	Verify(ctx context.Context) (*ErasureLeftover, error)
}

// ErasureProgress is told of every batch, as Progress is. Batches name the records of each person: a record that belongs to
// several counts for each of them. total counts it once.
type ErasureProgress interface {
	InFlight(total int64, persons map[int]int64) error
	Committed()
	RolledBack()
	Stopping() bool
}

// ErasureLeftover is what a look after the last change found.
type ErasureLeftover struct {
	// Persons has one entry for each person.
	Persons []Left
	// Constraints keep records that should go.
	Constraints []string
	// Reason is why records that no constraint keeps remain, where the engine knows.
	Reason receipt.Reason
	// Total counts each record once that should be gone and is there.
	Total int64
}

// Left are numbers of records of one person. See receipt.Numbers.
type Left struct {
	Remaining, Retained, Held, Blocked, Bound int64
}
