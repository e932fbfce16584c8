// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"cmp"
	"slices"
	"time"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/receipt"
)

// part is what a Conclusion says of one Datastore.
type part struct {
	datastore evidence.Datastore
	deleted   *time.Time
	gaps      []evidence.Gap
}

// executed is the part of a Datastore with a Result. What was done in each dataset stands there.
func executed(result *evidence.Logged) part {
	of := &result.Statement.Predicate
	out := part{deleted: of.LogicallyDeletedTime, gaps: slices.Clone(of.NotCovered)}
	if len(of.Datastores) > 0 {
		out.datastore = of.Datastores[0]
	}
	out.datastore.Datasets, out.datastore.Excluded, out.datastore.Attempts = nil, nil, nil
	out.datastore.Level = of.Level
	if d := &out.datastore; d.Level == evidence.LevelNotDone && !looked[retentionv1.Outcome(d.Outcome)] {
		out.gaps = append(out.gaps, untouched(d))
	}
	return out
}

// looked are the outcomes with which nothing was changed, though somebody has looked and counted.
var looked = map[retentionv1.Outcome]bool{retentionv1.OutcomeSimulated: true, retentionv1.OutcomeAwaitingApproval: true}

func untouched(d *evidence.Datastore) evidence.Gap {
	return evidence.Gap{Kind: evidence.GapDatastore, Name: d.Name, Reason: cmp.Or(d.Reason, d.Outcome), Message: d.Message}
}

// unexecuted is the part of a Datastore that no Job was released for.
func unexecuted(namespace string, d *retentionv1.RunDatastore) part {
	out := part{datastore: evidence.Datastore{
		Object:     evidence.Object{Namespace: namespace, Name: d.Name, UID: d.UID, Generation: d.Generation},
		PlanDigest: d.PlanDigest, Outcome: string(d.Outcome), Reason: d.Reason, Message: d.Message, Excluded: excluded(d, nil),
	}}
	ds := &out.datastore
	for _, name := range d.Holds {
		ds.Holds = append(ds.Holds, evidence.Hold{Object: evidence.Object{Namespace: namespace, Name: name}})
	}
	switch {
	case d.Evidence != nil:
		ds.Level, ds.Reason = evidence.LevelUnproven, reasonReceiptLost
		ds.Message = "the ledger does not have the Result that the status refers to"
	case d.Reason != reasonNothingToDo || d.Outcome != retentionv1.OutcomeSucceeded:
		ds.Level = evidence.LevelNotDone
	case keptBack(d):
		ds.Level, ds.Datasets = evidence.LevelRetained, held(d)
		return out
	default: // there is nothing here that the policy is about
		ds.Level = evidence.LevelNothingFound
		out.gaps = append(out.gaps, evidence.Gap{Kind: evidence.GapDataset, Name: d.Name, Reason: d.Reason, Message: d.Message})
		return out
	}
	out.gaps = append(out.gaps, untouched(ds))
	return out
}

// held are the datasets that holds keep as a whole.
func held(d *retentionv1.RunDatastore) []evidence.Dataset {
	var out []evidence.Dataset
	for _, x := range d.Excluded {
		if x.Reason == string(plan.Held) {
			out = append(out, evidence.Dataset{Name: string(x.Name), Rule: x.Rule, Method: evidence.MethodRetain,
				Outcome: string(receipt.StepRetainedByHold), Reason: x.Reason})
		}
	}
	return out
}

// sum adds up the parts of a Conclusion. problem says that some rule finds nothing anywhere, or cannot be applied: then not
// all has gone that the policy means.
func sum(p *evidence.Predicate, parts []part, problem bool) {
	var levels []evidence.Level
	declared := true
	for i := range parts {
		one := &parts[i]
		if l := &one.datastore.Level; *l == evidence.LevelNothingFound && len(p.Results) == 0 {
			*l = evidence.LevelNotDone // nobody has looked anywhere
		}
		p.Datastores = append(p.Datastores, one.datastore)
		levels = append(levels, one.datastore.Level)
		for _, g := range one.gaps {
			if !slices.ContainsFunc(p.NotCovered, func(have evidence.Gap) bool { return sameGap(have, g) }) {
				p.NotCovered = append(p.NotCovered, g)
			}
		}
		if one.deleted != nil {
			p.LogicallyDeletedTime = latestOf(p.LogicallyDeletedTime, one.deleted)
			p.GoneBy = latestOf(p.GoneBy, one.datastore.GoneBy)
			declared = declared && one.datastore.GoneBy != nil
		}
	}
	if !declared {
		p.GoneBy = nil
	}
	p.Level = evidence.Combine(levels...)
	if problem && p.Level != evidence.LevelUnproven && p.Level != evidence.LevelNotDone {
		p.Level = evidence.LevelIncomplete
	}
}

func sameGap(a, b evidence.Gap) bool {
	return a.Kind == b.Kind && a.Name == b.Name && a.Reason == b.Reason && a.Message == b.Message
}

func latestOf(a, b *time.Time) *time.Time {
	if a == nil || b != nil && b.After(*a) {
		return b
	}
	return a
}
