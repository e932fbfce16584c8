// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"slices"
	"time"

	"dataretention.dev/retention-operator/internal/plan"
)

// conclude says it in one sentence, with times as format writes them.
func (e *explanation) conclude(format func(time.Time) string) {
	e.Record = e.record.describe(format)
	whole := slices.IndexFunc(e.Holds, func(h holdExplanation) bool { return h.Whole })
	if e.Record == "" {
		e.Summary = e.general(whole)
		return
	}
	e.Verdict = verdictStays
	switch p, s, action := e.acting(); {
	case whole >= 0:
		e.Summary = fmt.Sprintf("stays: legal hold %s keeps every record of %s until it is released", e.Holds[whole].Name, e.Dataset)
	case p != nil:
		e.Verdict = action
		verb := map[string]string{verdictDeleted: "is deleted", verdictAnonymized: "is anonymized and stays"}[action]
		e.Summary = fmt.Sprintf("%s by rule %s of policy %s", verb, s.Rule, p.Name)
		if p.NextRun != nil {
			e.Summary += ", with its next run at " + format(*p.NextRun)
		}
		if p.Guarded {
			e.Summary += ", unless a guardrail stops that"
		}
		if len(e.Holds) > 0 {
			e.Summary += ", unless a legal hold on single records keeps it"
		}
	default:
		e.Summary = "stays: " + e.why(format)
	}
}

// general says what the rules are when no record was asked about.
func (e *explanation) general(whole int) string {
	switch {
	case whole >= 0:
		return fmt.Sprintf("Nothing of %s is deleted or changed: legal hold %s keeps every record until it is released", e.Dataset, e.Holds[whole].Name)
	case len(e.Policies) == 0:
		return "Nothing is deleted or changed: no policy selects the Datastore"
	case !slices.ContainsFunc(e.Policies, func(p policyExplanation) bool { return len(p.Steps) > 0 }):
		return fmt.Sprintf("Nothing of %s is deleted or changed: no rule can be applied", e.Dataset)
	}
	return fmt.Sprintf("This is what the rules make of %s. Give --age or --starting-point to ask about a record", e.Dataset)
}

// acting is a policy that acts on the record now, with the step by which it does. A deletion goes before an anonymization.
func (e *explanation) acting() (*policyExplanation, *stepExplanation, string) {
	for _, action := range []plan.Action{plan.Delete, plan.Anonymize} {
		for i := range e.Policies {
			p := &e.Policies[i]
			for j := range p.Steps {
				if s := &p.Steps[j]; p.Acts && s.Action == string(action) && s.Due != nil && *s.Due {
					return p, s, map[plan.Action]string{plan.Delete: verdictDeleted, plan.Anonymize: verdictAnonymized}[action]
				}
			}
		}
	}
	return nil, nil, ""
}

// reasons are why nothing acts on a record, from the one that says most.
type reasons struct {
	soonest, later              *stepExplanation // of policies that act, and of those that do not
	by, idle                    *policyExplanation
	due, never, problem, noRule string
}

func (e *explanation) why(format func(time.Time) string) string {
	r := reasons{noRule: fmt.Sprintf("no rule says when records of %s go", e.Dataset)}
	if len(e.Policies) == 0 {
		r.noRule = "no policy selects the Datastore"
	}
	for i := range e.Policies {
		r.consider(&e.Policies[i])
	}
	switch {
	case r.soonest != nil:
		return fmt.Sprintf("%s; it is due from %s by rule %s of policy %s", r.soonest.keeps(), format(*r.soonest.DueTime), r.soonest.Rule, r.by.Name)
	case r.due != "":
		return r.due
	case r.never != "":
		return r.never
	case r.problem != "":
		return r.problem
	case r.later != nil:
		return fmt.Sprintf("%s; it is due from %s by rule %s of policy %s, but that policy %s", r.later.keeps(), format(*r.later.DueTime), r.later.Rule, r.idle.Name, idleness(r.idle))
	}
	return r.noRule
}

func (r *reasons) consider(p *policyExplanation) {
	for i := range p.Steps {
		s := &p.Steps[i]
		switch {
		case s.Never != "":
			r.never = s.Never
		case *s.Due:
			r.due = fmt.Sprintf("it is due by rule %s of policy %s, but that policy %s", s.Rule, p.Name, idleness(p))
		case p.Acts && (r.soonest == nil || s.DueTime.Before(*r.soonest.DueTime)):
			r.soonest, r.by = s, p
		case !p.Acts && (r.later == nil || s.DueTime.Before(*r.later.DueTime)):
			r.later, r.idle = s, p
		}
	}
	for _, x := range p.Exclusions {
		if x.Problem() {
			r.problem = fmt.Sprintf("rule %s of policy %s cannot be applied: %s", x.Rule, p.Name, x.Message)
		}
	}
}

// keeps is which period keeps the record longest.
func (s *stepExplanation) keeps() string {
	longest := s.Period
	text := "its period %s (rule %s) is not over"
	for _, o := range s.Obligations {
		if o.OverTime != nil && o.OverTime.After(*longest.OverTime) {
			longest, text = o, "it must be kept for %s (rule %s"
			if o.Policy != s.Period.Policy {
				text += " of policy " + o.Policy
			}
			if o.LegalBasis != "" {
				text += ", " + o.LegalBasis
			}
			text += ")"
		}
	}
	return fmt.Sprintf(text, longest.Period, longest.Rule)
}

func idleness(p *policyExplanation) string {
	switch {
	case p.Stalled:
		return "is stalled"
	case p.Suspended:
		return "is suspended"
	}
	return "only simulates"
}
