// SPDX-License-Identifier: Apache-2.0

package erasurerun

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/receipt"
)

func TestMerge(t *testing.T) {
	d := func(outcome retentionv1.ErasureOutcome, reason string, found, deleted int64, counting retentionv1.Counting) retentionv1.ErasureDataset {
		return retentionv1.ErasureDataset{Name: "customer", Outcome: outcome, Reason: reason, Found: ptr.To(found), Deleted: ptr.To(deleted), Counting: counting}
	}
	exact, atLeast := retentionv1.CountingExact, retentionv1.CountingAtLeast
	for name, tc := range map[string]struct {
		old, later, want retentionv1.ErasureDataset
	}{
		"nothing is left of what was deleted": {
			d(retentionv1.ErasureDeleted, "", 3, 3, exact), d(retentionv1.ErasureNotFound, "", 0, 0, exact), d(retentionv1.ErasureDeleted, "", 3, 3, exact)},
		"some came back": {
			d(retentionv1.ErasureDeleted, "", 3, 3, exact), d(retentionv1.ErasureDeleted, "", 2, 2, exact), d(retentionv1.ErasureDeleted, "", 5, 5, exact)},
		"what was held is released": {
			d(retentionv1.ErasureHeld, "", 2, 0, exact), d(retentionv1.ErasureDeleted, "", 2, 2, exact), d(retentionv1.ErasureDeleted, "", 2, 2, exact)},
		"what was held is gone by itself": {
			d(retentionv1.ErasureHeld, "", 2, 0, exact), d(retentionv1.ErasureNotFound, "", 0, 0, exact), d(retentionv1.ErasureNotFound, "", 2, 0, exact)},
		"an interrupted run, and the rest": {
			d(retentionv1.ErasureFailed, "Interrupted", 10, 4, exact), d(retentionv1.ErasureDeleted, "", 6, 6, exact), d(retentionv1.ErasureDeleted, "", 10, 10, exact)},
		"a failure later": {
			d(retentionv1.ErasureDeleted, "", 3, 3, exact), d(retentionv1.ErasureFailed, "LockTimeout", 1, 0, exact), d(retentionv1.ErasureFailed, "LockTimeout", 4, 3, exact)},
		"a lost account, and nothing found": {
			d(retentionv1.ErasureFailed, erasure.ReasonAccountLost, 0, 0, atLeast), d(retentionv1.ErasureNotFound, "", 0, 0, exact), d(retentionv1.ErasureFailed, erasure.ReasonAccountLost, 0, 0, atLeast)},
		"a lost account, and something found": {
			d(retentionv1.ErasureFailed, erasure.ReasonAccountLost, 0, 0, atLeast), d(retentionv1.ErasureDeleted, "", 2, 2, exact), d(retentionv1.ErasureDeleted, erasure.ReasonAccountLost, 2, 2, atLeast)},
		"a lost account, and others that keep what is left": {
			d(retentionv1.ErasureFailed, erasure.ReasonAccountLost, 0, 0, atLeast), d(retentionv1.ErasureDeleted, "AlreadyDone", 2, 2, exact), d(retentionv1.ErasureDeleted, erasure.ReasonAccountLost, 2, 2, atLeast)},
		"a lost account, and what is held now": {
			d(retentionv1.ErasureFailed, erasure.ReasonAccountLost, 0, 0, atLeast), d(retentionv1.ErasureHeld, "ReferencedByRetained", 2, 0, exact), d(retentionv1.ErasureHeld, erasure.ReasonAccountLost, 2, 0, atLeast)},
		"a batch without a known end, and nothing found": {
			d(retentionv1.ErasureFailed, "Interrupted", 0, 0, atLeast), d(retentionv1.ErasureNotFound, "", 0, 0, exact), d(retentionv1.ErasureFailed, erasure.ReasonAccountLost, 0, 0, atLeast)},
		"nobody can look any more": {
			d(retentionv1.ErasureDeleted, "", 3, 3, exact), d(retentionv1.ErasureSkipped, "NoIdentifier", 0, 0, exact), d(retentionv1.ErasureSkipped, "NoIdentifier", 3, 3, exact)},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, merge(tc.old, tc.later, *tc.later.Found)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestWhatComesAfterARun(t *testing.T) {
	steps := []plan.ErasureStep{{Dataset: "customer", Action: plan.EraseDelete}}
	clean := receipt.RequestTotal{Told: true, Outcome: receipt.ErasureNotFound, Verified: true,
		Steps: []receipt.RequestStep{{Outcome: receipt.ErasureNotFound, Searched: true, Verified: true, Exact: true}}}
	untold, disagree := clean, clean
	untold.Told = false
	disagree.Problem = receipt.IdentifiersDisagree
	find, erase := retentionv1.ErasureRunFind, retentionv1.ErasureRunErase
	for name, tc := range map[string]struct {
		mode     retentionv1.ErasureRunMode
		total    receipt.ErasureTotal
		own      receipt.RequestTotal
		stopped  bool
		want     retentionv1.ErasureStep
		failures int32
		reason   string
	}{
		"searched":                      {find, receipt.ErasureTotal{Finished: true}, clean, false, retentionv1.ErasureStepFound, 0, ""},
		"searched, and nobody tells":    {find, receipt.ErasureTotal{Finished: true}, untold, false, retentionv1.ErasureStepFind, 1, "AccountLost"},
		"searched, and two persons":     {find, receipt.ErasureTotal{Finished: true}, disagree, false, retentionv1.ErasureStepFound, 0, "IdentifiersDisagree"},
		"not searched":                  {find, receipt.ErasureTotal{Reason: receipt.Unreachable}, untold, false, retentionv1.ErasureStepFind, 1, "Unreachable"},
		"stopped while searching":       {find, receipt.ErasureTotal{Reason: receipt.Interrupted}, untold, true, retentionv1.ErasureStepFind, 0, ""},
		"erased":                        {erase, receipt.ErasureTotal{Finished: true}, clean, false, retentionv1.ErasureStepFinished, 0, ""},
		"not erased":                    {erase, receipt.ErasureTotal{Reason: receipt.WriterActive}, clean, false, retentionv1.ErasureStepErase, 1, "WriterActive"},
		"stopped while erasing":         {erase, receipt.ErasureTotal{Reason: receipt.Interrupted}, clean, true, retentionv1.ErasureStepErase, 0, ""},
		"to be erased, and two persons": {erase, receipt.ErasureTotal{Finished: true}, disagree, false, retentionv1.ErasureStepFound, 0, "IdentifiersDisagree"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.total.Requests = []receipt.RequestTotal{tc.own}
			e := &retentionv1.ErasureDatastore{}
			settleEntry(&retentionv1.ErasureRequestStatus{}, e, &ending{
				run: &retentionv1.ActiveRun{Erasure: &retentionv1.ErasureRun{Mode: tc.mode}}, total: tc.total, stopped: tc.stopped,
				plan: &plan.Plan{Erasure: &plan.Erasure{Steps: steps}},
			}, 0)
			if e.Step != tc.want || e.Failures != tc.failures || e.Reason != tc.reason || (e.RetryTime != nil) != (tc.failures > 0) {
				t.Errorf("entry %+v", e)
			}
		})
	}
}
