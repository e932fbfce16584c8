// SPDX-License-Identifier: Apache-2.0

// Package planinput turns the objects of the API into the planner's input. It is where the words of Kubernetes end.
package planinput

import (
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/schedule"
)

// Policy returns what the planner knows of a RetentionPolicy. A zone that cannot be loaded becomes nil, which keeps
// everything.
func Policy(p *retentionv1.RetentionPolicy) plan.Policy {
	out := plan.Policy{
		Ref:       plan.Ref{Namespace: p.Namespace, Name: p.Name, UID: string(p.UID), Generation: p.Generation},
		Mode:      plan.Mode(p.Spec.GetMode()),
		Suspended: p.Spec.IsSuspended(),
	}
	if zone, err := schedule.LoadLocation(p.Spec.GetTimeZone()); err == nil {
		out.Zone = zone
	}
	if g := p.Spec.Guardrails; g != nil {
		out.Guardrails = plan.Guardrails{MaxRecords: ptr.Deref(g.MaxRecords, 0), MaxPercent: ptr.Deref(g.MaxPercent, 0)}
	}
	for i := range p.Spec.Rules {
		r := &p.Spec.Rules[i]
		rule := plan.Rule{
			Name:          r.Name,
			DataClasses:   texts(r.DataClasses),
			Datasets:      texts(r.Datasets),
			DeleteAfter:   string(r.DeleteAfter),
			RetainAtLeast: string(r.RetainAtLeast),
			StartingFrom:  r.StartingFrom,
			Action:        plan.Action(r.GetAction()),
			Transforms:    transforms(r.Anonymize),
			LegalBasis:    string(r.LegalBasis),
		}
		out.Rules = append(out.Rules, rule)
	}
	return out
}

func transforms(list []retentionv1.Anonymization) []plan.Transform {
	var out []plan.Transform
	for _, a := range list {
		t := plan.Transform{Field: string(a.Field), With: plan.Method(a.With), Value: ptr.Deref(a.Value, ""), Unit: string(a.Unit)}
		if a.KeyRef != nil {
			t.Key = a.KeyRef.Name + "/" + a.KeyRef.Key
		}
		out = append(out, t)
	}
	return out
}

// Datastore returns what the planner knows of a Datastore.
func Datastore(d *retentionv1.Datastore) plan.Datastore {
	out := plan.Datastore{
		Ref:       plan.Ref{Namespace: d.Namespace, Name: d.Name, UID: string(d.UID), Generation: d.Generation},
		Engine:    d.Spec.GetEngine(),
		Identity:  d.Status.Identity,
		TimeZone:  d.Spec.GetTimeZone(),
		OnErasure: map[string]plan.OnErasure{},
	}
	for i := range d.Spec.Datasets {
		s := &d.Spec.Datasets[i]
		dataset := plan.Dataset{
			Name:            string(s.Name),
			Path:            s.GetPath(),
			DataClass:       string(s.DataClass),
			TimestampField:  string(s.TimestampField),
			TimestampFormat: plan.TimestampFormat(s.TimestampFormat),
		}
		for _, id := range s.Identifiers {
			dataset.Identifiers = append(dataset.Identifiers, identifier(id))
		}
		for _, r := range s.References {
			dataset.References = append(dataset.References, plan.Reference{Field: string(r.Field), Dataset: string(r.Dataset), Key: string(r.Key)})
		}
		if e := s.OnErasure; e != nil {
			out.OnErasure[dataset.Name] = plan.OnErasure{Action: plan.ErasureAction(e.Action), LegalBasis: string(e.LegalBasis),
				Transforms: transforms(e.Anonymize)}
		}
		out.Datasets = append(out.Datasets, dataset)
	}
	return out
}

func identifier(id retentionv1.Identifier) plan.Identifier {
	out := plan.Identifier{Type: id.Type, Field: string(id.Field), Ends: id.Leads == retentionv1.LeadsNever}
	if id.Match != retentionv1.MatchExact {
		out.Match = plan.Match(id.Match)
	}
	return out
}

// Hold returns what the planner knows of a LegalHold.
func Hold(h *retentionv1.LegalHold) plan.HoldInput {
	out := plan.HoldInput{
		Name:        h.Name,
		UID:         string(h.UID),
		Datasets:    texts(h.Spec.Datasets),
		DataClasses: texts(h.Spec.DataClasses),
		Subject:     h.Spec.Subject != nil,
	}
	if c := h.Spec.Condition; c != nil {
		out.Condition = &plan.Condition{Field: string(c.Field), Operator: plan.Operator(c.Operator), Values: texts(c.Values)}
	}
	return out
}

func texts[T ~string](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, string(v))
	}
	return out
}
