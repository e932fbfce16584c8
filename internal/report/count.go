// SPDX-License-Identifier: Apache-2.0

package report

import (
	"math"

	"dataretention.dev/retention-operator/internal/evidence"
)

// tally adds numbers of records up, and knows what it does not know.
type tally struct {
	n int64
	// known: something was counted. atLeast: a part is a lower bound, or was not counted.
	known, atLeast bool
}

// add adds a number that somebody has counted, or nil.
func (t *tally) add(n *int64, atLeast bool) {
	if n == nil {
		return
	}
	t.known = true
	t.atLeast = t.atLeast || atLeast
	if t.n += max(*n, 0); t.n < 0 {
		t.n, t.atLeast = math.MaxInt64, true
	}
}

// missing notes a part that somebody should have counted.
func (t *tally) missing() { t.atLeast = true }

func (t *tally) merge(o tally) {
	if o.known {
		t.add(&o.n, false)
	}
	t.atLeast = t.atLeast || o.atLeast
}

// count is nil if nobody has counted anything.
func (t tally) count() *Count {
	if !t.known {
		return nil
	}
	return &Count{Records: t.n, AtLeast: t.atLeast}
}

func countOf(n *int64) *Count {
	if n == nil || *n < 0 {
		return nil
	}
	return &Count{Records: *n}
}

func positive(n *int64) bool { return n != nil && *n > 0 }

// gone is what a dataset's part in a Result adds to what was deleted and anonymized. A contradiction is a number that the
// outcome excludes.
type gone struct {
	deleted, anonymized tally
	contradiction       bool
}

// nothingDone are the outcomes of datasets, and of whole Datastores, by which nothing was changed.
var nothingDone = map[string]bool{
	"Simulated": true, "NotRun": true, "AwaitingApproval": true, "Unreachable": true, "Skipped": true,
}

// lookedFor are the outcomes by which somebody looked, and there was nothing to change.
var lookedFor = map[string]bool{"NothingDue": true, "NotFound": true}

// mayHaveGone are the outcomes by which records went, or may have: a number that is missing there is missing in every sum.
var mayHaveGone = map[string]bool{"Deleted": true, "Anonymized": true, "Blocked": true, "Failed": true, "": true}

// goneOf counts what went in a dataset.
func goneOf(p *evidence.Predicate, d *evidence.Datastore, ds *evidence.Dataset) gone {
	var g gone
	simulated := p.Run != nil && p.Run.Mode == evidence.ModeSimulate
	nothing := simulated || nothingDone[ds.Outcome] || lookedFor[ds.Outcome] ||
		d.Level == evidence.LevelNotDone || d.Level == evidence.LevelNothingFound
	if nothing {
		g.contradiction = positive(ds.Deleted) || positive(ds.Anonymized)
		if lookedFor[ds.Outcome] && !simulated && !g.contradiction {
			g.deleted.add(ds.Deleted, false)
			g.anonymized.add(ds.Anonymized, false)
		}
		return g
	}
	atLeast := ds.Counting == "AtLeast" || d.Level == evidence.LevelUnproven || p.Level == evidence.LevelUnproven
	g.deleted.add(ds.Deleted, atLeast)
	g.anonymized.add(ds.Anonymized, atLeast)
	if ds.Deleted == nil && ds.Anonymized == nil && mayHaveGone[ds.Outcome] {
		if ds.Method == evidence.MethodAnonymize {
			g.anonymized.missing()
		} else {
			g.deleted.missing()
		}
	}
	return g
}
