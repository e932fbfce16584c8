// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/status"
	"dataretention.dev/retention-operator/internal/purgejob"
)

const (
	// probeInterval is how old the last look may get.
	probeInterval = 24 * time.Hour
	// After a failure we wait as long as the trouble has lasted, which doubles the pause from try to try, within these.
	shortestPause = time.Minute
	longestPause  = time.Hour
	// clockTolerance is how far ahead of this clock a stored time may be; beyond it, it is not believed.
	clockTolerance = time.Minute
	// maxRequest is the length of status.lastHandledRequest.
	maxRequest = 256
)

// trigger is why a probe is due.
type trigger string

const (
	notDue          trigger = ""
	triggerFirst    trigger = "no probe has ended yet"
	triggerInputs   trigger = "what is to be looked at has changed"
	triggerRequest  trigger = "a probe was asked for"
	triggerRetry    trigger = "the last probe found trouble"
	triggerInterval trigger = "the last probe was a day ago"
)

// decideProbe says whether a probe is due now and why, or else when the next one is. Once due, a probe stays due until
// its result is in the status: nothing but the stored status, the inputs and the clock decide.
func decideProbe(ds *retentionv1.Datastore, inputs string, now time.Time) (why trigger, next time.Time) {
	last := ds.Status.LastProbeTime
	reachable := meta.FindStatusCondition(ds.Status.Conditions, retentionv1.ConditionReachable)
	switch {
	case last == nil, reachable == nil, reachable.Reason == retentionv1.ReasonNotProbed, last.After(now.Add(clockTolerance)):
		return triggerFirst, time.Time{}
	case ds.Status.ProbeInputs != inputs:
		return triggerInputs, time.Time{}
	case request(ds) != "" && request(ds) != ds.Status.LastHandledRequest:
		return triggerRequest, time.Time{}
	}
	why, next = triggerInterval, last.Add(probeInterval)
	ready := meta.FindStatusCondition(ds.Status.Conditions, retentionv1.ConditionReady)
	if ready != nil && ready.Status != metav1.ConditionTrue {
		lasted := last.Sub(ready.LastTransitionTime.Time)
		why, next = triggerRetry, last.Add(min(max(lasted, shortestPause), longestPause))
	}
	if next.After(now) {
		return notDue, next
	}
	return why, time.Time{}
}

// request is the value of the annotation that asks for a probe, as the status can hold it.
func request(ds *retentionv1.Datastore) string {
	return status.Truncate(ds.Annotations[retentionv1.AnnotationRequestedAt], maxRequest)
}

// probeName names the Job of the probe that the stored status makes due, so that two managers, or one that has died in
// between, mean the same Job, and a probe about something else never takes its place. The time in it is the last probe's.
func probeName(ds *retentionv1.Datastore, inputs string) string {
	since := ds.CreationTimestamp.Time
	if t := ds.Status.LastProbeTime; t != nil {
		since = t.Time
	}
	return purgejob.JobName("", ds.Name, since, strings.Join([]string{string(ds.UID), inputs, request(ds)}, "\n"))
}
