// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"time"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
)

// A person's request goes before a policy, but not for ever: a run that has given way for maxDeferral takes its turn, as
// soon as the Datastore is free, and keeps it for turn.
const (
	maxDeferral = 24 * time.Hour
	turn        = 24 * time.Hour
	// yieldAfter is how long requests have waited before a run that is at work gives way to them.
	yieldAfter = time.Minute
)

// defers says whether a run that has not taken the Datastore yet gives way to the requests that wait for it.
func defers(ds *retentionv1.Datastore, run *retentionv1.Run, now time.Time) bool {
	return ds.Status.PendingErasures != nil && now.Sub(run.StartTime.Time) < maxDeferral
}

// yields says whether the run that holds the Datastore gives way to the requests that wait for it.
func yields(ds *retentionv1.Datastore, run *retentionv1.Run, now time.Time) bool {
	pending, held := ds.Status.PendingErasures, ds.Status.ActiveRun
	if pending == nil || pending.Since == nil || held == nil || now.Sub(pending.Since.Time) < yieldAfter {
		return false
	}
	deferred := held.AcquiredTime.Sub(run.StartTime.Time) >= maxDeferral
	return !deferred || now.Sub(held.AcquiredTime.Time) >= turn
}
