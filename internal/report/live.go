// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
)

// live adds what only the cluster knows: how policies stand now, open requests, and holds that are not enforced yet. Where
// a statement tells of the same, the statement counts.
func (b *builder) live(l *Live) {
	known := map[string]bool{}
	for i := range l.Policies {
		p := &l.Policies[i]
		if b.elsewhere(p.Namespace) {
			continue
		}
		known[identity(object(p))] = true
		b.livePolicy(p)
	}
	for id, d := range b.policies {
		d.out.Gone = !known[id]
	}
	children := map[string]bool{}
	for i := range l.Requests {
		for _, c := range l.Requests[i].Status.Children {
			children[c.Namespace+"/"+c.Name] = true
		}
	}
	for i := range l.Requests {
		if r := &l.Requests[i]; !b.elsewhere(r.Namespace) {
			b.liveRequest(r, children[r.Namespace+"/"+r.Name])
		}
	}
	held := map[string]bool{}
	for i := range l.Holds {
		h := &l.Holds[i]
		if b.elsewhere(h.Namespace) {
			continue
		}
		held[identity(object(h))] = true
		b.liveHold(h)
	}
	for id, d := range b.holds {
		// One that was enforced just now may have come after the objects were read.
		if d.out.State == HoldInForce && !held[id] && d.out.EnforcedEvidence.Time.Before(b.in.Now.Add(-time.Minute)) {
			d.out.State = HoldGone
		}
	}
	for i := range l.Datastores {
		if d := &l.Datastores[i]; d.Spec.Backups != nil && !b.elsewhere(d.Namespace) {
			b.declared(d.Namespace, d.Name, string(d.Spec.Backups.Retention))
		}
	}
}

// elsewhere says that the report is not about the namespace.
func (b *builder) elsewhere(namespace string) bool {
	return b.in.Namespace != "" && namespace != b.in.Namespace
}

func object(o metav1.Object) evidence.Object {
	return evidence.Object{Namespace: o.GetNamespace(), Name: o.GetName(), UID: string(o.GetUID()), Generation: o.GetGeneration()}
}

func (b *builder) livePolicy(p *v1alpha1.RetentionPolicy) {
	if !p.CreationTimestamp.IsZero() && !p.CreationTimestamp.Time.Before(b.in.Until) {
		return // there was no such policy in the period
	}
	o := object(p)
	d := b.policies[identity(o)]
	if d == nil {
		d = &policyData{out: Policy{Namespace: o.Namespace, Name: o.Name, UID: o.UID}, rules: map[string]*Rule{}}
		b.policies[identity(o)] = d
	}
	if !p.CreationTimestamp.IsZero() {
		d.began = &p.CreationTimestamp.Time
	}
	d.out.Schedule, d.out.TimeZone = p.Spec.Schedule, string(p.Spec.TimeZone)
	d.out.Mode = cmp.Or(string(p.Spec.Mode), "Enforce")
	if len(d.versions) == 0 {
		d.versions = []policyVersion{{p.CreationTimestamp.Time, p.Spec.Schedule, string(p.Spec.TimeZone)}}
	}
	now := &PolicyNow{Compliant: "Unknown", Suspended: p.Spec.Suspend != nil && *p.Spec.Suspend}
	if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionCompliant); c != nil {
		now.Compliant, now.Reason, now.Message = string(c.Status), c.Reason, c.Message
	}
	if t := p.Status.NextScheduleTime; t != nil {
		now.NextRun = utc(&t.Time)
	}
	d.out.Now = now
	d.out.Rules = []Rule{}
	for i := range p.Spec.Rules {
		r := &p.Spec.Rules[i]
		out := Rule{Name: r.Name, DeleteAfter: string(r.DeleteAfter), RetainAtLeast: string(r.RetainAtLeast),
			LegalBasis: string(r.LegalBasis), Covers: []string{}}
		for _, class := range r.DataClasses {
			out.Covers = append(out.Covers, "class "+string(class))
		}
		for _, name := range r.Datasets {
			out.Covers = append(out.Covers, string(name))
		}
		if r.DeleteAfter != "" {
			out.Action = cmp.Or(string(r.Action), "Delete")
		}
		d.out.Rules = append(d.out.Rules, out)
	}
}

// liveRequest adds a request that no statement has answered.
func (b *builder) liveRequest(r *v1alpha1.ErasureRequest, part bool) {
	o := object(r)
	if b.requests[identity(o)] != nil {
		return
	}
	st := &r.Status
	d := &requestData{out: Request{Namespace: o.Namespace, Name: o.Name, UID: o.UID, Part: part,
		Regulation: cmp.Or(string(st.Regulation), string(r.Spec.Regulation)), Ground: string(r.Spec.Ground)}}
	b.requests[identity(o)] = d
	out := &d.out
	received := r.GetReceivedTime().Time
	if st.ReceivedTime != nil {
		received = st.ReceivedTime.Time
	}
	if !received.IsZero() {
		out.Received = utc(&received)
	}
	if st.DueTime != nil {
		out.Due = utc(&st.DueTime.Time)
	}
	if e := st.Extension; e != nil {
		out.ExtendedFrom, out.ExtensionBasis = utc(&e.OriginalDueTime.Time), string(e.Reason)
	}
	denial := meta.FindStatusCondition(st.Conditions, v1alpha1.ConditionDenied)
	switch {
	case st.State == v1alpha1.ErasureDenied && denial != nil:
		out.State, out.Answer, out.Outcome = RequestDenied, AnsweredDenied, "Denied"
		out.Answered, d.ended = utc(&denial.LastTransitionTime.Time), utc(&denial.LastTransitionTime.Time)
		out.Bases = []string{cmp.Or(denial.Message, denial.Reason)}
		d.denial = denial.Reason
	case st.AnsweredTime != nil: // as the object says: nobody has signed it, so that it proves nothing
		out.State, out.Answer, out.Outcome = RequestAnswered, AnsweredNotDone, string(st.Outcome)
		out.Answered, d.ended = utc(&st.AnsweredTime.Time), utc(&st.AnsweredTime.Time)
	}
}

func (b *builder) liveHold(h *v1alpha1.LegalHold) {
	o := object(h)
	d := b.holds[identity(o)]
	if d == nil {
		d = &holdData{out: Hold{Namespace: o.Namespace, Name: o.Name, UID: o.UID, State: HoldPending}}
		b.holds[identity(o)] = d
	}
	out := &d.out
	out.Reason, out.Authority, out.Reference = string(h.Spec.Reason), string(h.Spec.Authority), string(h.Spec.Reference)
	out.Scope = cmp.Or(out.Scope, holdScope(&h.Spec))
	if out.Records == nil {
		out.Records = countOf(h.Status.Records)
	}
	if out.State == HoldSeen {
		out.State = HoldPending
		if out.Enforced == nil && h.Status.EnforcedTime != nil { // as the object says; nobody has signed it
			out.Enforced, out.State = utc(&h.Status.EnforcedTime.Time), HoldInForce
		}
	}
}

func holdScope(s *v1alpha1.LegalHoldSpec) string {
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

// declared notes how long backups of a Datastore are kept.
func (b *builder) declared(namespace, name, retention string) {
	for _, d := range slices.Backward(b.backups) {
		if d.out.Namespace == namespace && d.out.Datastore == name {
			d.retention = cmp.Or(d.retention, retention)
		}
	}
}
