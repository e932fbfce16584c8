// SPDX-License-Identifier: Apache-2.0

package planinput

import (
	"time"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/plan"
)

// Retention returns what the plan of a policy's run on a Datastore is compiled from. policies are all of the namespace, holds
// those that are in force on the Datastore.
func Retention(run string, p *retentionv1.RetentionPolicy, mode retentionv1.Mode, d *retentionv1.Datastore,
	policies []retentionv1.RetentionPolicy, holds []plan.HoldInput, slot time.Time) plan.Input {
	in := plan.Input{Run: run, Policy: Policy(p), Datastore: Datastore(d), Holds: holds, Slot: slot, Limits: plan.DefaultLimits}
	in.Policy.Mode = plan.Mode(mode)
	for i := range policies {
		if other := &policies[i]; other.UID != p.UID && Selects(other, d.Labels) {
			in.Others = append(in.Others, Policy(other))
		}
	}
	return in
}
