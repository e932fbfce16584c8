// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"time"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/seal"
)

// maxRequests is the most requests that one plan may have.
const maxRequests = 1000

// accept refuses a Plan that this image cannot carry out as it was meant.
func accept(p *plan.Plan, engines map[string]engine.Engine) error {
	if p.Version != plan.Version {
		return refuse("the plan has a version that this image does not know")
	}
	switch p.Kind {
	case plan.Retention, plan.ErasureKind:
		if p.Mode != plan.Enforce && p.Mode != plan.Simulate {
			return refuse("the plan has a mode that this image does not know")
		}
		if p.Identity == "" || p.Kind == plan.Retention && len(p.Steps) == 0 {
			return refuse("the plan names no server, or no step")
		}
	case plan.Probe, plan.CountHeld:
	case plan.Intake:
		return acceptErasure(p)
	default:
		return refuse("the plan is of a kind that this image does not know")
	}
	if engines[p.Engine] == nil {
		return refuse("the plan is for an engine that this image does not know")
	}
	switch limits := p.Limits; {
	case limits.BatchRecords <= 0, limits.LockTimeoutMilliseconds <= 0, limits.StatementTimeoutMilliseconds <= 0,
		limits.ScanTimeoutMilliseconds <= 0, limits.MaxClockSkewMilliseconds <= 0:
		return refuse("the plan has no limits")
	}
	for _, h := range p.Holds {
		if h.Subject == (h.Condition != nil) {
			return refuse("a hold is on neither a person nor a condition, or on both")
		}
	}
	if p.Kind == plan.ErasureKind {
		return acceptErasure(p)
	}
	return acceptSteps(p)
}

func acceptSteps(p *plan.Plan) error {
	for _, s := range p.Steps {
		if !s.Cutoff.After(plan.EarliestPlausible) || !s.Cutoff.Before(p.Slot.Add(time.Microsecond)) {
			return refuse("a step's cutoff is not a time before the slot")
		}
		if s.Action != plan.Delete && s.Action != plan.Anonymize {
			return refuse("a step has an action that this image does not know")
		}
	}
	return nil
}

func acceptErasure(p *plan.Plan) error {
	e := p.Erasure
	switch {
	case e == nil || len(e.Requests) == 0 || len(e.Requests) > maxRequests || len(p.Steps) > 0:
		return refuse("the plan has no requests, or too many, or is of two kinds at once")
	case p.Kind == plan.Intake && len(e.Steps) > 0:
		return refuse("the plan has steps and no datastore")
	}
	if _, err := seal.Seal(e.SealTo, nil); err != nil {
		return refuse("the plan names no key that can be sealed to")
	}
	for _, s := range e.Steps {
		switch s.Action {
		case plan.EraseDelete, plan.EraseAnonymize, plan.EraseRetain, plan.EraseUndeclared:
		default:
			return refuse("a step has an action that this image does not know")
		}
		for _, o := range s.Obligations {
			if !o.Cutoff.Before(p.Slot.Add(time.Microsecond)) {
				return refuse("an obligation's cutoff is not a time before the slot")
			}
		}
	}
	return nil
}
