// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/status"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/receipt"
)

// standing are the conditions that every Datastore has from the first visit on.
var standing = []string{
	retentionv1.ConditionReady,
	retentionv1.ConditionReachable,
	retentionv1.ConditionSchemaMatches,
	retentionv1.ConditionIdentityPinned,
	retentionv1.ConditionReferencesMapped,
	retentionv1.ConditionCountsReliable,
}

// result is what a probe that has ended tells.
type result struct {
	// plan is what it was asked to look at.
	plan *plan.Plan
	// receipt is the last readable Receipt; nil if there is none.
	receipt *receipt.Receipt
	// failure is why there is none: a reason and a sentence.
	failure verdict
}

// verdict is a condition's status, reason and message.
type verdict struct {
	status  metav1.ConditionStatus
	reason  string
	message string
}

func (v verdict) set(ds *retentionv1.Datastore, condition string) {
	status.Set(ds, condition, v.status, v.reason, "%s", v.message)
}

// declare writes what the spec alone tells, and the conditions that are not there yet.
func declare(ds *retentionv1.Datastore) {
	ds.Status.Engine = ds.Spec.GetEngine()
	ds.Status.DatasetCount = ptr.To(int32(len(ds.Spec.Datasets))) // at most 64
	for _, c := range standing {
		if meta.FindStatusCondition(ds.Status.Conditions, c) == nil {
			status.Set(ds, c, metav1.ConditionUnknown, retentionv1.ReasonNotProbed, "No probe has ended yet")
		}
	}
}

// refuse says that the spec cannot be used as it is.
func refuse(ds *retentionv1.Datastore, why error) {
	status.Set(ds, retentionv1.ConditionReady, metav1.ConditionFalse, retentionv1.ReasonInvalidSpec, "%s", why)
	status.Stalled(ds, retentionv1.ReasonInvalidSpec, why.Error())
	ds.Status.ObservedGeneration = ds.Generation
	ds.Status.ActiveProbe = ""
}

// underWay writes that the probe of this name runs. A routine probe of a Datastore that is at rest, be it Ready or
// stalled because another server answers, leaves it at rest. waiting is why its Pod does not start; zero while there is nothing to tell.
func underWay(ds *retentionv1.Datastore, name string, why trigger, waiting verdict) {
	ds.Status.ActiveProbe = name
	if waiting.reason == "" && (why == triggerInterval || why == triggerRetry && identityChanged(ds)) {
		return
	}
	ready := meta.FindStatusCondition(ds.Status.Conditions, retentionv1.ConditionReady)
	current := ds.Status.ObservedGeneration == ds.Generation
	switch {
	case waiting.reason != "":
		if !current || ready.Status != metav1.ConditionTrue {
			waiting.set(ds, retentionv1.ConditionReady)
		}
		status.Reconciling(ds, waiting.reason, waiting.message)
		return
	case !current && ds.Status.LastProbeTime != nil:
		status.Set(ds, retentionv1.ConditionReady, metav1.ConditionUnknown, retentionv1.ReasonProgressing,
			"Probing generation %d", ds.Generation)
	}
	reason := retentionv1.ReasonProgressing
	if why == triggerRetry {
		reason = retentionv1.ReasonProgressingWithRetry
	}
	status.Reconciling(ds, reason, "Probing, since "+string(why))
}

// conclude writes the result of a probe into the status: the observations, and the conditions that follow from them.
func conclude(ds *retentionv1.Datastore, res result, inputs string, now time.Time) {
	st := &ds.Status
	ended := metav1.NewTime(now.Truncate(time.Second))
	if st.LastProbeTime != nil && !st.LastProbeTime.Before(&ended) && st.LastProbeTime.Time.Before(now.Add(clockTolerance)) {
		ended = metav1.NewTime(st.LastProbeTime.Add(time.Second)) // the next probe's name is made from it
	}
	st.LastProbeTime, st.ActiveProbe, st.ProbeInputs = &ended, "", inputs
	st.LastHandledRequest, st.ObservedGeneration = request(ds), ds.Generation

	reached := judgeReachable(ds, res)
	reached.set(ds, retentionv1.ConditionReachable)
	if r := res.receipt; r != nil && r.Identity != "" {
		observeIdentity(st, r)
	}
	if !looked(res.receipt) {
		for _, c := range []string{retentionv1.ConditionSchemaMatches, retentionv1.ConditionReferencesMapped, retentionv1.ConditionCountsReliable} {
			status.Set(ds, c, metav1.ConditionUnknown, reached.reason, "The last probe could not look: %s", reached.message)
		}
	} else {
		f := sortFindings(res.plan, res.receipt.Probe)
		f.schema().set(ds, retentionv1.ConditionSchemaMatches)
		f.references().set(ds, retentionv1.ConditionReferencesMapped)
		f.counts().set(ds, retentionv1.ConditionCountsReliable)
		observeDatasets(st, res.plan, res.receipt.Probe, f)
	}
	settle(ds)
}

// settle derives what follows from the observations in the status: IdentityPinned, Ready, and what is to be expected
// next. It is also what a person's acceptance of another identity changes.
func settle(ds *retentionv1.Datastore) {
	judgeIdentity(ds).set(ds, retentionv1.ConditionIdentityPinned)
	ready := judgeReady(ds)
	ready.set(ds, retentionv1.ConditionReady)
	switch {
	case identityChanged(ds):
		status.Stalled(ds, ready.reason, ready.message)
	case ready.status == metav1.ConditionTrue:
		status.Done(ds)
	default:
		status.Reconciling(ds, retentionv1.ReasonProgressingWithRetry, "Probing again soon, since the last probe found trouble: "+ready.message)
	}
}

// judgeReachable says whether the last probe reached the database with the credentials given.
func judgeReachable(ds *retentionv1.Datastore, res result) verdict {
	r := res.receipt
	secret := ds.Spec.GetConnectionSecret()
	switch {
	case r == nil:
		return res.failure
	case looked(r) && skewed(res):
		return verdict{metav1.ConditionFalse, string(receipt.ClockSkewed), fmt.Sprintf(
			"The clocks of the server and of the node differ by %s, and at most %s is allowed: cutoffs could not be trusted",
			milliseconds(r.SkewMilliseconds).Abs(), milliseconds(res.plan.Limits.MaxClockSkewMilliseconds))}
	case looked(r):
		return verdict{metav1.ConditionTrue, retentionv1.ReasonReachable, join(fmt.Sprintf("The server answers (%s)", r.ServerVersion), r.Message)}
	}
	switch r.Reason {
	case receipt.SecretIncomplete:
		return broken(r, join(fmt.Sprintf("Secret %s is missing or incomplete: it needs the keys host, database (or dbname), username (or user) and password, or uri",
			secret), r.Message))
	case receipt.Unreachable:
		return broken(r, fmt.Sprintf("The server that Secret %s names does not answer", secret))
	case receipt.AuthenticationFails:
		return broken(r, fmt.Sprintf("The server refuses the user or the password of Secret %s", secret))
	case receipt.DatabaseNotFound:
		return broken(r, fmt.Sprintf("The server has no database of the name in Secret %s", secret))
	case receipt.VersionNotSupported:
		return broken(r, join("The server's version is not supported", r.ServerVersion))
	case receipt.PlanRefused:
		return broken(r, join("The purge image refuses the plan; it must be of the same version as the manager", r.Message))
	case receipt.Interrupted:
		return broken(r, "The probe was interrupted")
	case receipt.InternalError:
		return broken(r, join("The probe failed; its Pod's log says more", r.Message))
	}
	// It ended before it could say why, or it says what a probe cannot mean.
	return verdict{metav1.ConditionFalse, retentionv1.ReasonProbeFailed, join("The probe ended without a result", r.Message)}
}

func broken(r *receipt.Receipt, message string) verdict {
	return verdict{metav1.ConditionFalse, string(r.Reason), message}
}

// looked says whether the probe came to an end and tells what it saw.
func looked(r *receipt.Receipt) bool {
	return r != nil && r.Probe != nil && (r.Reason == receipt.Succeeded || r.Reason == receipt.Incomplete)
}

// skewed says whether a purge would be refused for the server's clock. A probe only reports it.
func skewed(res result) bool {
	limit := res.plan.Limits.MaxClockSkewMilliseconds
	return limit > 0 && milliseconds(res.receipt.SkewMilliseconds).Abs() > milliseconds(limit)
}

func milliseconds(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// observeIdentity pins the identity that the first successful probe sees, and remembers what each later one sees.
func observeIdentity(st *retentionv1.DatastoreStatus, r *receipt.Receipt) {
	st.ObservedIdentity = r.Identity
	if r.ServerVersion != "" {
		st.ServerVersion = status.Truncate(r.ServerVersion, 128)
	}
	if st.Identity == "" && looked(r) {
		st.Identity = r.Identity
	}
}

// acceptIdentity pins the identity that a person has accepted, if it is the one that answers.
func acceptIdentity(ds *retentionv1.Datastore) (accepted bool) {
	if !identityChanged(ds) || ds.Annotations[retentionv1.AnnotationAcceptedIdentity] != ds.Status.ObservedIdentity {
		return false
	}
	ds.Status.Identity = ds.Status.ObservedIdentity
	return true
}

// identityChanged says whether the server that answered last is not the one that was pinned.
func identityChanged(ds *retentionv1.Datastore) bool {
	return ds.Status.Identity != "" && ds.Status.ObservedIdentity != "" && ds.Status.ObservedIdentity != ds.Status.Identity
}

func judgeIdentity(ds *retentionv1.Datastore) verdict {
	st := &ds.Status
	switch {
	case st.Identity == "":
		return verdict{metav1.ConditionUnknown, retentionv1.ReasonNotProbed, "No probe has seen the server yet"}
	case identityChanged(ds):
		return verdict{metav1.ConditionFalse, retentionv1.ReasonIdentityChanged, fmt.Sprintf(
			"Another server answers: %s, and not %s, which was pinned. Nothing is purged until somebody makes sure that it is the right one and accepts it with: kubectl annotate --overwrite datastore %s %s=%s",
			st.ObservedIdentity, st.Identity, ds.Name, retentionv1.AnnotationAcceptedIdentity, st.ObservedIdentity)}
	}
	return verdict{metav1.ConditionTrue, retentionv1.ReasonIdentityPinned, "The server is " + st.Identity}
}

// judgeReady is as good as the worst of what Ready is made of.
func judgeReady(ds *retentionv1.Datastore) verdict {
	for _, c := range []string{retentionv1.ConditionReachable, retentionv1.ConditionIdentityPinned, retentionv1.ConditionSchemaMatches} {
		if on := meta.FindStatusCondition(ds.Status.Conditions, c); on.Status != metav1.ConditionTrue && (c == retentionv1.ConditionIdentityPinned || !identityChanged(ds)) {
			return verdict{metav1.ConditionFalse, on.Reason, on.Message}
		}
	}
	text := fmt.Sprintf("%d datasets", len(ds.Spec.Datasets))
	if n := ds.Status.Records; n != nil {
		text += fmt.Sprintf(", about %d records", *n)
	}
	return verdict{metav1.ConditionTrue, retentionv1.ReasonReady, text}
}

// join puts what the data plane said behind our own sentence.
func join(sentence, said string) string {
	if said = strings.TrimSpace(said); said == "" || said == sentence {
		return sentence
	}
	return sentence + ": " + said
}

// observeDatasets replaces what is known of the datasets by what the probe saw.
func observeDatasets(st *retentionv1.DatastoreStatus, p *plan.Plan, probe *receipt.Probe, f findings) {
	st.Datasets, st.Records, st.OldestRecordTime = nil, nil, nil
	for i, d := range p.Datasets {
		ds := retentionv1.DatasetStatus{Name: retentionv1.DatasetName(d.Name), Findings: f.of(i)}
		at := slices.IndexFunc(probe.Datasets, func(seen receipt.DatasetProbe) bool { return seen.Index == i })
		if at >= 0 {
			seen := probe.Datasets[at]
			if seen.Records >= 0 {
				ds.Records = ptr.To(seen.Records)
				st.Records = ptr.To(ptr.Deref(st.Records, 0) + seen.Records)
			}
			if seen.Oldest != nil {
				ds.OldestRecordTime = ptr.To(metav1.NewTime(*seen.Oldest))
				if st.OldestRecordTime == nil || ds.OldestRecordTime.Before(st.OldestRecordTime) {
					st.OldestRecordTime = ds.OldestRecordTime
				}
			}
			if d.TimestampField != "" {
				ds.TimestampIndexed = ptr.To(seen.Indexed)
			}
		}
		st.Datasets = append(st.Datasets, ds)
	}
}
