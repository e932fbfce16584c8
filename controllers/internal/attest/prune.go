// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
)

// pruneEvery is how often statements are removed that have been kept as long as evidence is.
const pruneEvery = 24 * time.Hour

// prune has statements removed at the end of their retention: it states which, then has the ledger do so. A manager that dies
// in between does the same again.
func (t *Tender) prune(ctx context.Context, state *ledger.State) error {
	now := t.Clock.Now().UTC().Truncate(time.Millisecond)
	if now.Sub(t.pruneTime) < pruneEvery {
		return nil
	}
	indices, err := t.prunable(ctx, state, now)
	if err != nil {
		return err
	}
	if len(indices) > 0 {
		if err := t.remove(ctx, state, indices, now); err != nil {
			return fmt.Errorf("removing statements at the end of their retention: %w", err)
		}
	}
	t.pruneTime = now
	return nil
}

func (t *Tender) remove(ctx context.Context, state *ledger.State, indices []int64, now time.Time) error {
	names, err := json.Marshal(indices)
	if err != nil {
		return err
	}
	logged, err := t.Append(ctx, evidence.Predicate{
		Kind: evidence.Pruned, Key: evidence.DigestOf(names), Level: evidence.LevelNone, Time: now,
		Message: "These statements have been kept until the end of their retention. Their entries stay.",
		Pruned:  &evidence.PrunedEntries{Before: now, Indices: indices},
	}, evidence.SHA256("checkpoint", []byte(state.Checkpoint)))
	if err != nil {
		return err
	}
	bundle, err := t.Ledger.Entry(ctx, logged.Index, 0)
	if err != nil {
		return err
	}
	return t.Ledger.Prune(ctx, &bundle.Envelope)
}

// prunable are the entries whose statements nothing needs any more, in ascending order.
func (t *Tender) prunable(ctx context.Context, state *ledger.State, now time.Time) ([]int64, error) {
	needed := map[int64]bool{}
	for _, list := range [][]ledger.Entry{state.Dangling, state.Expired} { // of both, something is still to be said
		for i := range list {
			needed[list[i].Index] = true
		}
	}
	var indices []int64
	for i := range state.Prunable {
		e := &state.Prunable[i]
		if needed[e.Index] || e.Leaf.RetainUntil.After(now) || e.Leaf.GoneBy != nil && e.Leaf.GoneBy.After(now) {
			continue
		}
		stays, err := t.stays(ctx, e)
		if err != nil {
			return nil, err
		}
		if stays {
			continue
		}
		indices = append(indices, e.Index)
	}
	slices.Sort(indices)
	return indices, nil
}

// stays says whether the LegalHold or the ErasureRequest that an entry is about is still there: that a hold was enforced, and
// what the answer was, is asked for as long as it is.
func (t *Tender) stays(ctx context.Context, e *ledger.Entry) (bool, error) {
	if e.Leaf.Kind != evidence.HoldEnforced && e.Leaf.Kind != evidence.Conclusion {
		return false, nil
	}
	logged, err := t.entry(ctx, e.Index)
	if err != nil {
		return false, err
	}
	switch p := &logged.Statement.Predicate; {
	case p.Hold != nil:
		return t.exists(ctx, &v1alpha1.LegalHold{}, &p.Hold.Object)
	case p.Request != nil:
		return t.exists(ctx, &v1alpha1.ErasureRequest{}, &p.Request.Object)
	}
	return false, nil
}

func (t *Tender) exists(ctx context.Context, now client.Object, was *evidence.Object) (bool, error) {
	err := t.Cache.Get(ctx, client.ObjectKey{Namespace: was.Namespace, Name: was.Name}, now)
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading %s/%s, which a statement is about: %w", was.Namespace, was.Name, err)
	}
	return string(now.GetUID()) == was.UID, nil
}

// digestOf is a reference's digest as a subject has it.
func digestOf(reference string) map[string]string {
	return map[string]string{"sha256": strings.TrimPrefix(reference, "sha256:")}
}
