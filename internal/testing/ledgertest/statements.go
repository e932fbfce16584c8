// SPDX-License-Identifier: Apache-2.0

package ledgertest

import (
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
)

// retention is how long the statements of tests are kept.
const retention = 24 * time.Hour

// Statement returns a valid statement of a kind, with that key, made at a time. What it needs besides is filled in with
// something; closes is left out if its index is negative.
func Statement(kind evidence.Kind, key string, at time.Time, closes evidence.Reference) *evidence.Statement {
	at = at.UTC()
	s := &evidence.Statement{
		Type: evidence.StatementType, PredicateType: evidence.PredicateType,
		Subject: []evidence.Subject{evidence.SHA256("plan", []byte(key))},
		Predicate: evidence.Predicate{
			Kind: kind, Key: key, Time: at, RetainUntil: at.Add(retention), Level: evidence.LevelNone,
			Operator: evidence.Operator{Version: "test"},
		},
	}
	p := &s.Predicate
	if closes.Index >= 0 && closes.Digest != "" {
		p.Closes = &closes
	}
	object := evidence.Object{Namespace: "shop", Name: "customers", UID: "7f0d2f4e-8f39-4c3e-9a44-3a2f5a3f3f01"}
	switch kind {
	case evidence.Intent, evidence.Result:
		p.Policy = &evidence.Policy{Object: object}
		p.Run = &evidence.Run{Name: "20261101t0200z", Mode: evidence.ModeEnforce}
		p.Datastores = []evidence.Datastore{{Object: object}}
		if kind == evidence.Result {
			done(p, at)
		}
	case evidence.Conclusion:
		p.Policy = &evidence.Policy{Object: object}
		p.Datastores = []evidence.Datastore{{Object: object}}
		done(p, at)
	case evidence.BackupsExpired:
		p.Level = evidence.LevelDeleted
	case evidence.HoldEnforced:
		p.Hold = &evidence.Hold{Object: object, EnforcedTime: &at}
	case evidence.HoldReleased:
		p.Hold = &evidence.Hold{Object: object, EnforcedTime: &at, ReleasedTime: &at}
	case evidence.Pruned:
		p.Pruned = &evidence.PrunedEntries{Before: at}
	}
	return s
}

// done says that three records were deleted and none is left.
func done(p *evidence.Predicate, at time.Time) {
	three, none, yes := int64(3), int64(0), true
	d := &p.Datastores[0]
	d.Level, d.Outcome, d.Verified = evidence.LevelDeleted, "Succeeded", &yes
	d.Datasets = []evidence.Dataset{{
		Name: "orders", Method: evidence.MethodDelete, Outcome: "Deleted", Matched: &three, Deleted: &three, Remaining: &none,
		Counting: "Exact", CountingMethod: evidence.CountedRows, Verification: evidence.VerifiedRecount,
	}}
	p.Level, p.Outcome, p.LogicallyDeletedTime = evidence.LevelDeleted, "Succeeded", &at
}

// None is a reference to nothing.
var None = evidence.Reference{Index: -1}
