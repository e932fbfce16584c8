// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/planinput"
)

// dueSoon is how long before the end of its time limit a request is pointed at.
const dueSoon = 7 * 24 * time.Hour

func policyOf(p *v1alpha1.RetentionPolicy, stores []v1alpha1.Datastore) policyOverview {
	st := &p.Status
	out := policyOverview{
		Name: p.Name, Mode: string(p.Spec.GetMode()), Suspended: p.Spec.IsSuspended(), Schedule: p.Spec.Schedule, TimeZone: p.Spec.GetTimeZone(),
		Ready: conditionOf(st.Conditions, v1alpha1.ConditionReady), Compliant: conditionOf(st.Conditions, v1alpha1.ConditionCompliant),
		Next: utc(st.NextScheduleTime), ActiveRun: runOf(st.ActiveRun), LastRun: runOf(st.LastRun),
	}
	for i := range stores {
		if d := &stores[i]; d.Namespace == p.Namespace && planinput.Selects(p, d.Labels) {
			out.Datastores = append(out.Datastores, d.Name)
		}
	}
	for _, d := range approvable(p) {
		out.Approvable = append(out.Approvable, d.PlanDigest)
	}
	switch {
	case out.Ready.is(metav1.ConditionFalse) && len(out.Approvable) == 0, out.Compliant.is(metav1.ConditionFalse):
		out.Health = healthBad
	case out.ActiveRun != nil:
		out.Health = healthBusy
	case out.Ready == nil || len(out.Approvable) > 0 || out.Suspended,
		!out.Compliant.is(metav1.ConditionTrue) && out.LastRun != nil && out.Mode == string(v1alpha1.ModeEnforce):
		out.Health = healthWarn
	default:
		out.Health = healthOK
	}
	return out
}

func runOf(r *v1alpha1.Run) *runOverview {
	if r == nil {
		return nil
	}
	out := &runOverview{
		Name: r.Name, Slot: r.Slot.UTC(), StartTime: r.StartTime.UTC(), EndTime: utc(r.CompletionTime), Outcome: string(r.Outcome), Message: r.Message,
		Matched: r.Matched, Deleted: r.Deleted, Anonymized: r.Anonymized, Remaining: r.Remaining, Counting: string(r.Counting), Evidence: r.Evidence,
		Total: len(r.Datastores),
	}
	for i := range r.Datastores {
		if r.Datastores[i].State == v1alpha1.RunFinished {
			out.Finished++
		}
	}
	return out
}

func datastoreOf(d *v1alpha1.Datastore) datastoreOverview {
	st := &d.Status
	out := datastoreOverview{
		Name: d.Name, Engine: d.Spec.GetEngine(), Version: st.ServerVersion, Records: st.Records, Datasets: len(d.Spec.Datasets),
		Reachable: conditionOf(st.Conditions, v1alpha1.ConditionReachable), Ready: conditionOf(st.Conditions, v1alpha1.ConditionReady),
		ProbeTime: utc(st.LastProbeTime), Holds: len(st.Holds),
	}
	if run := st.ActiveRun; run != nil {
		out.ActiveRun, out.RunOf, out.RunTime = run.Name, run.Policy, utc(&run.AcquiredTime)
		if run.Erasure != nil {
			out.RunOf = "Erasure"
		}
	}
	if p := st.PendingErasures; p != nil {
		out.Pending = p.Requests
	}
	for _, kind := range []string{v1alpha1.ConditionReferencesMapped, v1alpha1.ConditionCountsReliable} {
		if c := conditionOf(st.Conditions, kind); c.is(metav1.ConditionFalse) {
			out.Doubts = append(out.Doubts, *c)
		}
	}
	switch {
	case out.Ready.is(metav1.ConditionFalse):
		out.Health = healthBad
	case out.ActiveRun != "":
		out.Health = healthBusy
	case !out.Ready.is(metav1.ConditionTrue), len(out.Doubts) > 0:
		out.Health = healthWarn
	default:
		out.Health = healthOK
	}
	return out
}

func (ns *namespaceOverview) addRequest(r *v1alpha1.ErasureRequest, all bool, now time.Time) {
	st := &r.Status
	out := requestOverview{
		Name: r.Name, Regulation: string(st.Regulation), State: string(st.State), Outcome: string(st.Outcome), Received: utc(st.ReceivedTime),
		Due: utc(st.DueTime), Answered: utc(st.AnsweredTime), Found: st.Found, Erased: st.Erased,
		Ready: conditionOf(st.Conditions, v1alpha1.ConditionReady), Evidence: st.Evidence,
	}
	if out.State == "" {
		out.State = string(v1alpha1.ErasureReceived)
	}
	switch st.State {
	case v1alpha1.ErasureAnswered, v1alpha1.ErasureWatching:
		out.Health = healthOver
		ns.Answered++
	case v1alpha1.ErasureDenied:
		out.Health = healthOver
		ns.Denied++
	default:
		out.Health = urgency(&out, now)
	}
	if all || out.Health != healthOver {
		ns.Requests = append(ns.Requests, out)
	}
}

// urgency says how an open request stands, by its time limit first.
func urgency(r *requestOverview, now time.Time) health {
	if r.Due != nil && r.Answered == nil {
		left := r.Due.Sub(now)
		r.DaysLeft = ptr.To(int(left / (24 * time.Hour)))
		if r.Overdue = left < 0; r.Overdue {
			return healthBad
		}
	}
	waits := []string{string(v1alpha1.ErasureAwaitingApproval), string(v1alpha1.ErasureHeld)}
	switch {
	case slices.Contains([]string{string(v1alpha1.ErasureFailed), string(v1alpha1.ErasureUnreachable)}, r.Outcome):
		return healthBad
	case slices.Contains(waits, r.State), r.Due != nil && r.Due.Sub(now) < dueSoon:
		return healthWarn
	}
	return healthBusy
}

func (ns *namespaceOverview) addHold(h *v1alpha1.LegalHold, all bool) {
	st := &h.Status
	out := holdOverview{
		Name: h.Name, Scope: scopeOf(h), Authority: string(h.Spec.Authority), Reference: string(h.Spec.Reference), Released: h.IsReleased(),
		Enforced: conditionOf(st.Conditions, v1alpha1.ConditionEnforced), Since: utc(st.EnforcedTime),
		Datastores: st.SelectedDatastores, Records: st.Records, Evidence: st.Evidence,
	}
	stalled := conditionOf(st.Conditions, v1alpha1.ConditionStalled)
	switch {
	case out.Released:
		out.Health = healthOver
		out.Evidence = st.ReleaseEvidence
		ns.Released++
	case stalled.is(metav1.ConditionTrue), out.Enforced != nil && out.Enforced.Reason == v1alpha1.ReasonHoldUnreadable:
		out.Health = healthBad
	case out.Enforced.is(metav1.ConditionTrue):
		out.Health = healthOK
	case out.Enforced != nil && out.Enforced.Reason == v1alpha1.ReasonMatchesNothing:
		out.Health = healthWarn
	default:
		out.Health = healthBusy
	}
	if all || !out.Released {
		ns.Holds = append(ns.Holds, out)
	}
}

// scopeOf says what a hold keeps, in words.
func scopeOf(h *v1alpha1.LegalHold) string {
	what := "everything"
	if names := append(words(h.Spec.Datasets), classes(h.Spec.DataClasses)...); len(names) > 0 {
		what = list(names)
	}
	switch {
	case h.Spec.Subject != nil:
		return "one person's records in " + what
	case h.Spec.Condition != nil:
		return "records by " + string(h.Spec.Condition.Field) + " in " + what
	}
	return what
}

// approvable are the parts of a policy's last run that an approval would carry on, by the rule of the controller: a guardrail
// has stopped them before their first change, and nobody has approved them before.
func approvable(p *v1alpha1.RetentionPolicy) []*v1alpha1.RunDatastore {
	run := p.Status.LastRun
	if run == nil || p.Status.ActiveRun != nil || run.Outcome != v1alpha1.OutcomeAwaitingApproval {
		return nil
	}
	var out []*v1alpha1.RunDatastore
	for i := range run.Datastores {
		d := &run.Datastores[i]
		changed := slices.ContainsFunc(d.Datasets, func(ds v1alpha1.RunDataset) bool {
			return ptr.Deref(ds.Deleted, 0)+ptr.Deref(ds.Anonymized, 0) > 0 || ds.Counting == v1alpha1.CountingAtLeast
		})
		if d.Outcome == v1alpha1.OutcomeAwaitingApproval && d.ApprovedRecords == nil && !changed {
			out = append(out, d)
		}
	}
	return out
}
