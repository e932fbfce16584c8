// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"net/http"

	"dataretention.dev/retention-operator/internal/evidence"
)

// Prune removes the statements that a Pruned statement names. That has to be in the log already, so that nothing is ever
// missing that the log does not account for, and all of them have to be over by the ledger's own clock, or none is removed.
// Called again, it removes what the call before did not get to.
func (l *Log) Prune(ctx context.Context, e *evidence.Envelope) error {
	a, err := l.admit(e)
	if err != nil {
		return err
	}
	p := &a.statement.Predicate
	if p.Kind != evidence.Pruned {
		return refuse(http.StatusUnprocessableEntity, CodeRefused, "this is a statement of kind %s, not %s", p.Kind, evidence.Pruned)
	}
	remove, err := l.announced(a)
	if err != nil {
		return err
	}
	for n, d := range remove {
		if err := l.back.removeStatement(ctx, d); err != nil {
			l.Log.Error("a statement could not be removed", "index", p.Pruned.Indices[n], "error", err.Error())
			return unavailable("a statement could not be removed; the ledger's own log says why")
		}
		l.mu.Lock()
		l.index.at(p.Pruned.Indices[n]).present = false
		l.mu.Unlock()
	}
	l.Log.Info("statements were removed at the end of their retention", "statements", len(remove))
	return nil
}

// announced returns the digests of the statements that a Pruned statement names, if it is in the log and they may go.
func (l *Log) announced(a *admitted) ([]digest, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.usable(); err != nil {
		return nil, err
	}
	if i, ok := l.index.byKey[a.key]; !ok || l.index.at(i).statement != a.digest {
		return nil, refuse(http.StatusConflict, CodeRefused, "the statement that announces the removal is not in the ledger")
	}
	if err := l.permitsRemoval(&a.statement.Predicate); err != nil {
		return nil, err
	}
	var all []digest
	for _, i := range a.statement.Predicate.Pruned.Indices {
		all = append(all, l.index.at(i).statement)
	}
	return all, nil
}
