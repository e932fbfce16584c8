// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"testing"

	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/internal/evidence"
)

// TestWhatContradictsItselfIsStatedAsUnproven: no run waits for ever for a statement that cannot be made.
func TestWhatContradictsItselfIsStatedAsUnproven(t *testing.T) {
	w := newWorld(t)
	lie := evidence.Predicate{
		Kind: evidence.Conclusion, Key: "policy/run/Schedule", Level: evidence.LevelDeleted, Outcome: "Deleted",
		Policy: &evidence.Policy{Object: evidence.Object{Name: "p", UID: "policy"}}, Run: &evidence.Run{Name: "run", Mode: evidence.ModeEnforce},
		Datastores: []evidence.Datastore{{Object: evidence.Object{Name: "shop"}, Level: evidence.LevelDeleted, Outcome: "Deleted",
			Datasets: []evidence.Dataset{{Name: "customer", Outcome: "Failed"}}}},
	}
	logged, err := w.reconciler().state(t.Context(), lie, []evidence.Subject{evidence.SHA256("policy/p", nil)})
	if err != nil {
		t.Fatal(err)
	}
	if p := logged.Statement.Predicate; p.Level != evidence.LevelUnproven || p.Message != erasure.MessageUnsound || len(p.Datastores) != 1 {
		t.Errorf("%+v", p)
	}
}
