// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"time"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/internal/evidence"
)

// Hold says what a LegalHold is. When it was enforced and released is the caller's to fill in.
func Hold(h *retentionv1.LegalHold) evidence.Hold {
	return evidence.Hold{
		Object: Object(h), Reason: string(h.Spec.Reason), Authority: string(h.Spec.Authority),
		Reference: string(h.Spec.Reference), Scope: scope(&h.Spec),
	}
}

func scope(s *retentionv1.LegalHoldSpec) string {
	switch {
	case s.Subject != nil:
		return "Subject"
	case s.Condition != nil:
		return "Condition"
	case len(s.Datasets)+len(s.DataClasses) > 0:
		return "Datasets"
	}
	return "Datastores"
}

// Holds are those that a run has seen in force on a Datastore, and when.
func Holds(set holds.Set, seen time.Time) []evidence.Hold {
	var out []evidence.Hold
	for i := range set {
		h := Hold(&set[i])
		h.SeenTime = At(seen)
		out = append(out, h)
	}
	return out
}
