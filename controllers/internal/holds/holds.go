// SPDX-License-Identifier: Apache-2.0

package holds

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/sealing"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/planinput"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/subject"
)

// Set is the holds that are in force on a Datastore, in the order of their UIDs.
type Set []retentionv1.LegalHold

// InForce returns the holds that cover the Datastore, read with live: those that select it and those that stand in its
// status, unless they are released or gone. What cannot be listed is an error, and nothing may be deleted then.
func InForce(ctx context.Context, live client.Reader, ds *retentionv1.Datastore) (Set, error) {
	list := &retentionv1.LegalHoldList{}
	if err := live.List(ctx, list, client.InNamespace(ds.Namespace)); err != nil {
		return nil, fmt.Errorf("listing legal holds: %w", err)
	}
	var set Set
	seen := map[string]bool{}
	for i := range list.Items {
		h := &list.Items[i]
		seen[string(h.UID)] = true
		if !h.IsReleased() && (Selects(h, ds) || Registered(&ds.Status, string(h.UID))) {
			set = append(set, *h)
		}
	}
	for _, r := range ds.Status.Holds {
		if seen[r.UID] {
			continue
		}
		h := &retentionv1.LegalHold{}
		err := live.Get(ctx, client.ObjectKey{Namespace: ds.Namespace, Name: r.Name}, h)
		switch {
		case apierrors.IsNotFound(err) || err == nil && (string(h.UID) != r.UID || h.IsReleased()):
		case err != nil:
			return nil, fmt.Errorf("reading legal hold %s: %w", r.Name, err)
		default:
			set = append(set, *h)
		}
	}
	slices.SortFunc(set, func(a, b retentionv1.LegalHold) int { return cmp.Compare(a.UID, b.UID) })
	return set, nil
}

// Selects says whether the hold selects the Datastore. A selector that cannot be read may mean it.
func Selects(h *retentionv1.LegalHold, ds *retentionv1.Datastore) bool { return planinput.Holds(h, ds) }

// Inputs are what the planner knows of the holds.
func (s Set) Inputs() []plan.HoldInput {
	var out []plan.HoldInput
	for i := range s {
		out = append(out, planinput.Hold(&s[i]))
	}
	return out
}

// UIDs are the holds' UIDs, in their order.
func (s Set) UIDs() []string {
	var out []string
	for i := range s {
		out = append(out, string(s[i].UID))
	}
	return out
}

// Names are the holds' names, sorted.
func (s Set) Names() []string {
	var out []string
	for i := range s {
		out = append(out, s[i].Name)
	}
	slices.Sort(out)
	return out
}

// Without returns the holds whose UIDs are not among uids.
func (s Set) Without(uids []string) Set {
	return slices.DeleteFunc(slices.Clone(s), func(h retentionv1.LegalHold) bool { return slices.Contains(uids, string(h.UID)) })
}

// Touches says whether carrying out the plan may change or delete what one of the holds keeps.
func (s Set) Touches(p *plan.Plan, ds *retentionv1.Datastore) bool {
	now := planinput.Datastore(ds)
	return slices.ContainsFunc(s.Inputs(), func(h plan.HoldInput) bool { return plan.Touches(p, now, h) })
}

// Sources are the Secrets that the Job of a plan which was compiled with the holds mounts for them.
func (s Set) Sources(p *plan.Plan) []purgejob.SubjectSource {
	var out []purgejob.SubjectSource
	for n := range p.Holds {
		if subject := s.subject(p.Holds[n].UID); subject != nil && subject.SecretRef != nil {
			out = append(out, purgejob.SubjectSource{Number: n, Secret: subject.SecretRef.Name})
		}
	}
	return out
}

// Sealed says whether a hold of the plan names a person by a sealed text, so that the Job needs what Carried returns.
func (s Set) Sealed(p *plan.Plan) bool {
	return slices.ContainsFunc(p.Holds, func(h plan.Hold) bool {
		subject := s.subject(h.UID)
		return subject != nil && subject.Sealed != ""
	})
}

// Opener opens what was sealed to the manager's keys.
type Opener = sealing.Opener

// Carried opens what the holds of a plan have sealed, for the short-lived Secret of its Job. What cannot be read there is
// left out: the purge process then says that the hold cannot be read, and changes nothing.
func (s Set) Carried(ctx context.Context, keys Opener, p *plan.Plan) (map[string]string, error) {
	out := map[string]string{}
	for n := range p.Holds {
		hold := s.hold(p.Holds[n].UID)
		if hold == nil || hold.Spec.Subject == nil || hold.Spec.Subject.Sealed == "" {
			continue
		}
		ids, _, err := sealing.OpenFor(ctx, keys, hold.Spec.Subject.Sealed, hold.Namespace)
		switch {
		case errors.Is(err, sealing.ErrUnreadable):
		case err != nil:
			return nil, fmt.Errorf("opening the subject of legal hold %s: %w", p.Holds[n].Name, err)
		default:
			out[purgejob.HoldKey(n)] = subject.Format(ids)
		}
	}
	return out, nil
}

func (s Set) hold(uid string) *retentionv1.LegalHold {
	for i := range s {
		if string(s[i].UID) == uid {
			return &s[i]
		}
	}
	return nil
}

func (s Set) subject(uid string) *retentionv1.Subject {
	if hold := s.hold(uid); hold != nil {
		return hold.Spec.Subject
	}
	return nil
}

// Types are the types of identifiers that a plan's datasets carry, sorted: the keys to look for in the Secrets of Sources.
func Types(p *plan.Plan) []string {
	var out []string
	for i := range p.Datasets {
		for _, id := range p.Datasets[i].Identifiers {
			out = append(out, id.Type)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
