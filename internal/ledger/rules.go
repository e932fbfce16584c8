// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"net/http"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
)

// permits says whether a statement may follow those that are there. What is in the log stays in it, so nothing may get there
// that a verifier of the whole log would object to, as far as the index can tell, or that the ledger's own clock does not bear
// out. It is called with mu held.
func (l *Log) permits(p *evidence.Predicate) error {
	if err := l.permitsTime(p.Time); err != nil {
		return err
	}
	var closed *record
	if p.Closes != nil {
		var err error
		if closed, err = l.refers(*p.Closes); err != nil {
			return err
		}
	}
	for _, r := range p.Results {
		if _, err := l.refers(r); err != nil {
			return err
		}
	}
	switch p.Kind {
	case evidence.Result:
		return l.sameKey(evidence.Intent, p)
	case evidence.HoldReleased:
		if p.Closes != nil {
			return l.sameKey(evidence.HoldEnforced, p)
		}
	case evidence.BackupsExpired:
		return l.permitsExpiry(closed, p)
	case evidence.Pruned:
		return l.permitsRemoval(p)
	}
	return nil
}

// permitsTime refuses a statement whose time is not that of the ledger's own clock. What is there already does not matter: a
// clock that once ran ahead would else keep all out until then.
func (l *Log) permitsTime(t time.Time) error {
	now := l.Clock()
	if apart := t.Sub(now).Abs(); apart > evidence.ClockTolerance {
		return refuse(http.StatusConflict, CodeClock, "the statement is dated %s, and here it is %s: one of the clocks is wrong",
			t.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// refers returns the entry that is referred to, by index, kind and digest.
func (l *Log) refers(to evidence.Reference) (*record, error) {
	r := l.index.at(to.Index)
	if r == nil {
		return nil, refuse(http.StatusConflict, CodeRefused, "it refers to entry %d, and there is none", to.Index)
	}
	if !r.is(to.Kind) || r.statement.String() != to.Digest {
		return nil, refuse(http.StatusConflict, CodeRefused, "it refers to entry %d, which has another kind or digest", to.Index)
	}
	return r, nil
}

// sameKey requires that what is closed has the kind and the statement's own key. So there is one of each only: a second one
// would have the same kind and key as the first.
func (l *Log) sameKey(kind evidence.Kind, p *evidence.Predicate) error {
	key, err := parseDigest(evidence.KeyHash(kind, p.Key))
	if err != nil {
		return problem(err)
	}
	if i, ok := l.index.byKey[key]; !ok || i != p.Closes.Index {
		return refuse(http.StatusConflict, CodeRefused, "it closes entry %d, which has another key", p.Closes.Index)
	}
	return nil
}

// permitsExpiry requires that the time is over by both clocks. That its key is the digest of what it closes, so that there is
// one only, Validate has seen to.
func (l *Log) permitsExpiry(closed *record, p *evidence.Predicate) error {
	switch now := l.Clock(); {
	case closed.goneBy == 0:
		return refuse(http.StatusConflict, CodeRefused, "entry %d does not say when backups expire", p.Closes.Index)
	case !due(closed.goneBy, now) || !due(closed.goneBy, p.Time):
		return refuse(http.StatusConflict, CodeNotDue, "the backups of entry %d expire at %s only", p.Closes.Index,
			time.Unix(0, closed.goneBy).UTC().Format(time.RFC3339))
	}
	return nil
}

// permitsRemoval says whether all statements that a Pruned statement names may be removed.
func (l *Log) permitsRemoval(p *evidence.Predicate) error {
	now := l.Clock()
	for _, i := range p.Pruned.Indices {
		r := l.index.at(i)
		switch {
		case r == nil:
			return refuse(http.StatusConflict, CodeRefused, "it removes the statement of entry %d, and there is none", i)
		case r.is(evidence.Pruned):
			return refuse(http.StatusConflict, CodeRefused, "it removes the statement of entry %d, which itself says what was removed", i)
		case !due(r.retainUntil, now) || !due(r.retainUntil, p.Pruned.Before):
			return refuse(http.StatusConflict, CodeNotDue, "the statement of entry %d is to be kept until %s", i,
				time.Unix(0, r.retainUntil).UTC().Format(time.RFC3339))
		}
	}
	return nil
}
