// SPDX-License-Identifier: Apache-2.0

package erasure

import (
	"strings"
	"testing"
	"time"

	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
)

func TestLevelOfAnEntry(t *testing.T) {
	gone := func(outcome retentionv1.ErasureOutcome, reason string, remaining int64) retentionv1.ErasureDataset {
		return retentionv1.ErasureDataset{Name: "customer", Action: retentionv1.ErasureActionDelete, Outcome: outcome, Reason: reason, Deleted: ptr.To[int64](2),
			Remaining: &remaining, Counting: retentionv1.CountingExact}
	}
	none := retentionv1.ErasureDataset{Name: "orders", Outcome: retentionv1.ErasureNotFound, Remaining: ptr.To[int64](0)}
	for name, tc := range map[string]struct {
		entry retentionv1.ErasureDatastore
		want  evidence.Level
	}{
		"deleted":                                 {entry("Deleted", "", gone("Deleted", "", 0), none), evidence.LevelDeleted},
		"nobody has looked":                       {entry("Deleted", "", retentionv1.ErasureDataset{Outcome: "Deleted", Deleted: ptr.To[int64](2)}), evidence.LevelIncomplete},
		"some are left":                           {entry("Deleted", "", gone("Deleted", "", 1)), evidence.LevelIncomplete},
		"nothing found":                           {entry("NotFound", "", none), evidence.LevelNothingFound},
		"nobody could look":                       {entry("Skipped", "NoIdentifier"), evidence.LevelNotDone},
		"out of reach":                            {entry("Unreachable", "NotRepeated", gone("Deleted", "", 0)), evidence.LevelIncomplete},
		"an account is lost":                      {entry("Deleted", "", gone("Deleted", ReasonAccountLost, 0)), evidence.LevelUnproven},
		"a hold keeps some":                       {entry("RetainedByHold", "", gone("RetainedByHold", "", 0), none), evidence.LevelRetained},
		"kept by what must be kept":               {entry("RetainedByObligation", "", gone("RetainedByObligation", "ReferencedByRetained", 3), none), evidence.LevelRetained},
		"a dataset failed":                        {entry("Failed", "", gone("Failed", "LockTimeout", 3), none), evidence.LevelIncomplete},
		"nobody could look, and then it was gone": {entry("Failed", ReasonDatastoreNotFound, retentionv1.ErasureDataset{Name: "notes", Outcome: "Skipped"}), evidence.LevelNotDone},
		"not begun":                               {retentionv1.ErasureDatastore{Step: retentionv1.ErasureStepFind}, evidence.LevelNotDone},
		"opened again":                            {retentionv1.ErasureDatastore{Step: retentionv1.ErasureStepFind, Outcome: "Deleted", Datasets: []retentionv1.ErasureDataset{gone("Deleted", "", 0)}}, evidence.LevelIncomplete},
		"the Datastore is gone, and nothing had begun": {entry("Failed", ReasonDatastoreNotFound), evidence.LevelIncomplete},
		"the Datastore is gone under a run": {retentionv1.ErasureDatastore{Step: retentionv1.ErasureStepFinished, Run: "run", Outcome: "Failed", Reason: ReasonDatastoreNotFound},
			evidence.LevelUnproven},
	} {
		t.Run(name, func(t *testing.T) {
			d := Statement("team", &tc.entry, nil)
			if d.Level != tc.want {
				t.Errorf("%s, want %s: %+v", d.Level, tc.want, d)
			}
			p := conclusion(d)
			if _, err := Sound(p, subjects); err != nil {
				t.Error(err)
			}
		})
	}
}

func entry(outcome retentionv1.ErasureOutcome, reason string, datasets ...retentionv1.ErasureDataset) retentionv1.ErasureDatastore {
	return retentionv1.ErasureDatastore{Name: "shop", Step: retentionv1.ErasureStepFinished, Outcome: outcome, Reason: reason, Datasets: datasets}
}

var subjects = []evidence.Subject{evidence.SHA256("request/r1", nil)}

func conclusion(d evidence.Datastore) evidence.Predicate {
	return evidence.Predicate{Kind: evidence.Conclusion, Key: "uid/digest", Level: d.Level, Request: &evidence.Request{Object: evidence.Object{Name: "r1"}}, Datastores: []evidence.Datastore{d}}
}

// TestWhatContradictsItselfClaimsNothing has a statement that claims more than its parts, and one that is too large.
func TestWhatContradictsItselfClaimsNothing(t *testing.T) {
	lie := conclusion(evidence.Datastore{Object: evidence.Object{Name: "shop"}, Level: evidence.LevelDeleted, Datasets: []evidence.Dataset{{Name: "customer", Outcome: "Failed"}}})
	large := conclusion(evidence.Datastore{Object: evidence.Object{Name: "shop"}, Level: evidence.LevelNothingFound})
	for range 5000 {
		large.Datastores[0].Datasets = append(large.Datastores[0].Datasets, evidence.Dataset{Name: strings.Repeat("n", 1000), Outcome: "NotFound", Remaining: ptr.To[int64](0)})
	}
	for _, p := range []evidence.Predicate{lie, large} {
		got, err := Sound(p, subjects)
		if err == nil || got.Level != evidence.LevelUnproven || got.Message != MessageUnsound || len(got.Datastores) != 1 || got.Datastores[0].Level != evidence.LevelUnproven {
			t.Errorf("%v: %+v", err, got)
		}
		if _, err := Sound(got, subjects); err != nil {
			t.Error(err)
		}
		if len(p.Datastores[0].Datasets) == 0 {
			t.Error("it was changed")
		}
	}
	zoned := conclusion(evidence.Datastore{Object: evidence.Object{Name: "a\x00b"}, Level: evidence.LevelNotDone})
	zoned.Request.AnsweredTime = ptr.To(time.Date(2026, 11, 24, 9, 0, 0, 0, time.FixedZone("", 3600)))
	if got, err := Sound(zoned, subjects); err != nil || got.Datastores[0].Name != "a b" {
		t.Errorf("%v: %+v", err, got)
	}
}

func TestReferencesOfAStatus(t *testing.T) {
	good := retentionv1.EvidenceReference{Index: ptr.To[int64](3), Digest: evidence.DigestOf(nil)}
	got := References(evidence.Result, good, retentionv1.EvidenceReference{Index: ptr.To[int64](4), Digest: "sha256:none"}, retentionv1.EvidenceReference{Digest: good.Digest})
	if len(got) != 1 || got[0] != (evidence.Reference{Kind: evidence.Result, Index: 3, Digest: good.Digest}) {
		t.Errorf("%+v", got)
	}
	e := &retentionv1.ErasureDatastore{}
	for i := range int64(20) {
		ref := good
		ref.Index = ptr.To(i)
		Refer(e, &ref)
		Refer(e, &ref)
	}
	if Refer(e, nil); len(e.Evidence) != maxEvidence || *e.Evidence[0].Index != 4 || *e.Evidence[maxEvidence-1].Index != 19 {
		t.Errorf("%+v", e.Evidence)
	}
}
