// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/metrics"
	"dataretention.dev/retention-operator/controllers/internal/upkeep"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
)

// danglingAfter is how old an Intent is before it may count as dangling: between the append and the status that tells of it a
// manager may change.
const danglingAfter = 5 * time.Minute

// Tender looks after the ledger: it says when backups have expired, has statements removed at the end of their own retention,
// and tells of what is wrong.
type Tender struct {
	*Client
	// Cache reads Datastores and LegalHolds.
	Cache client.Reader
	Ticks clock.WithTicker

	pruneTime time.Time
	// waits has, by index, until when it need not be looked whether backups have expired.
	waits map[int64]time.Time
}

// NeedLeaderElection says that only the manager that leads looks after the ledger.
func (t *Tender) NeedLeaderElection() bool { return true }

// Start looks after the ledger until ctx ends.
func (t *Tender) Start(ctx context.Context) error {
	return upkeep.Every(ctx, t.Ticks, tendEvery, "looking after the evidence ledger", t.Tend)
}

// Tend looks once.
func (t *Tender) Tend(ctx context.Context) error {
	within, cancel := context.WithTimeout(ctx, appendTimeout) // others wait for the witness meanwhile
	defer cancel()
	state, err := t.witness.check(within)
	if err != nil {
		metrics.LedgerUp.Set(0)
		return fmt.Errorf("looking at the ledger: %w", err)
	}
	metrics.LedgerUp.Set(1)
	metrics.EvidenceEntries.Set(float64(state.Size))
	return errors.Join(t.latest(ctx, state), t.dangling(ctx, state), t.expire(ctx, state), t.prune(ctx, state))
}

// latest tells when the latest statement was made.
func (t *Tender) latest(ctx context.Context, state *ledger.State) error {
	if state.Size == 0 {
		metrics.EvidenceLastEntry.Set(0)
		return nil
	}
	for e, err := range t.Ledger.Entries(ctx, state.Size-1, time.Time{}, time.Time{}) {
		if err != nil {
			return fmt.Errorf("reading the latest entry: %w", err)
		}
		metrics.EvidenceLastEntry.Set(float64(e.Leaf.Time.Unix()))
	}
	return nil
}

// dangling tells how many Intents have no Result although no Datastore is at work on them.
func (t *Tender) dangling(ctx context.Context, state *ledger.State) error {
	list := &v1alpha1.DatastoreList{}
	if err := t.Cache.List(ctx, list); err != nil {
		return fmt.Errorf("listing Datastores: %w", err)
	}
	active := map[types.UID]string{}
	for i := range list.Items {
		if run := list.Items[i].Status.ActiveRun; run != nil {
			active[list.Items[i].UID] = run.Name
		}
	}
	dangling := 0
	for i := range state.Dangling {
		e := &state.Dangling[i]
		if t.Clock.Now().Sub(e.Leaf.Time) > danglingAfter && !atWork(e.Envelope, active) {
			dangling++
		}
	}
	metrics.OpenIntents.Set(float64(len(state.Dangling)))
	metrics.DanglingIntents.Set(float64(dangling))
	return nil
}

// atWork says whether the run of an Intent has its Datastore. An Intent that cannot be read is nobody's.
func atWork(e *evidence.Envelope, active map[types.UID]string) bool {
	if e == nil {
		return false
	}
	s, _, err := evidence.Payload(e)
	if err != nil || s.Predicate.Run == nil || len(s.Predicate.Datastores) != 1 {
		return false
	}
	run, found := active[types.UID(s.Predicate.Datastores[0].UID)]
	return found && run == s.Predicate.Run.Name
}

// entry returns the verified statement of an entry.
func (t *Tender) entry(ctx context.Context, index int64) (*evidence.Logged, error) {
	var logged *evidence.Logged
	err := t.breaker.call(ctx, appendTimeout, func(ctx context.Context) error {
		bundle, err := t.Ledger.Entry(ctx, index, 0)
		if err == nil {
			logged, err = t.verified(ctx, bundle)
		}
		return err
	})
	if err == nil && logged.Index != index {
		err = errors.New("the ledger answers with another entry than was asked for")
	}
	return logged, err
}
