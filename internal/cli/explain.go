// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/planinput"
	"dataretention.dev/retention-operator/internal/schedule"
)

// explanation is what `explain -o json` prints. Times are UTC.
type explanation struct {
	Namespace string `json:"namespace"`
	Datastore string `json:"datastore"`
	Dataset   string `json:"dataset"`
	DataClass string `json:"dataClass,omitempty"`
	// Time is the moment that the question is about: what a run of that slot would do.
	Time time.Time `json:"time"`
	// Record says which record was asked about; empty for none in particular.
	Record string `json:"record,omitempty"`
	// Verdict is Deleted, Anonymized or Stays; empty if no record was asked about.
	Verdict string `json:"verdict,omitempty"`
	Summary string `json:"summary"`
	// Warnings are why runs may do nothing here whatever the rules say.
	Warnings []string            `json:"warnings,omitempty"`
	Policies []policyExplanation `json:"policies,omitempty"`
	Holds    []holdExplanation   `json:"holds,omitempty"`
	// OnErasure is what becomes of the records when a person asks for it: Delete, Anonymize or Retain; empty if the map is silent.
	OnErasure string `json:"onErasure,omitempty"`
	record    record
}

type policyExplanation struct {
	Name      string `json:"name"`
	Mode      string `json:"mode"`
	Suspended bool   `json:"suspended,omitempty"`
	Stalled   bool   `json:"stalled,omitempty"`
	// Acts says that its runs change data: it enforces, and is neither suspended nor stalled.
	Acts bool `json:"acts"`
	// Guarded says that guardrails may stop a run before its first change.
	Guarded    bool              `json:"guarded,omitempty"`
	NextRun    *time.Time        `json:"nextRunTime,omitempty"`
	Steps      []stepExplanation `json:"steps,omitempty"`
	Exclusions []plan.Exclusion  `json:"exclusions,omitempty"`
	Notes      []plan.Note       `json:"notes,omitempty"`
}

// stepExplanation is what a rule does in the dataset.
type stepExplanation struct {
	Rule        string              `json:"rule"`
	Action      string              `json:"action"`
	Reason      string              `json:"reason"`
	LegalBasis  string              `json:"legalBasis,omitempty"`
	Period      periodExplanation   `json:"period"`
	Obligations []periodExplanation `json:"obligations,omitempty"`
	Due         *bool               `json:"due,omitempty"`
	// DueTime is from when a run finds the record due, RunTime the first slot of the schedule that does.
	DueTime *time.Time `json:"dueTime,omitempty"`
	RunTime *time.Time `json:"runTime,omitempty"`
	// Never says why it is never due.
	Never string `json:"never,omitempty"`
}

// periodExplanation is a deleteAfter, or a retainAtLeast, and what it means for the record.
type periodExplanation struct {
	Policy     string `json:"policy"`
	Rule       string `json:"rule"`
	Period     string `json:"period"`
	LegalBasis string `json:"legalBasis,omitempty"`
	// From is the field that it runs from, with its dataset if that is another one.
	From string `json:"from"`
	// Cutoff is the latest starting point whose period is over.
	Cutoff time.Time `json:"cutoff"`
	// Start is the record's.
	Start *time.Time `json:"start,omitempty"`
	Over  *bool      `json:"over,omitempty"`
	// OverTime is from when it is.
	OverTime *time.Time `json:"overTime,omitempty"`
	// Empty says what it means that the field has no usable time.
	Empty string `json:"empty,omitempty"`
}

type holdExplanation struct {
	Name string `json:"name"`
	// Whole says that it keeps all of the dataset's records; else those of one person, or those that meet a condition.
	Whole    bool   `json:"whole"`
	Scope    string `json:"scope"`
	Enforced bool   `json:"enforced"`
}

// The verdicts.
const (
	verdictDeleted    = "Deleted"
	verdictAnonymized = "Anonymized"
	verdictStays      = "Stays"
)

// question is what is asked.
type question struct {
	store    *v1alpha1.Datastore
	dataset  *v1alpha1.Dataset
	policies []v1alpha1.RetentionPolicy
	holds    []v1alpha1.LegalHold
	at       time.Time
	record   record
}

// explain answers it with the plans that runs at that moment would carry out.
func (q *question) explain() *explanation {
	out := &explanation{
		Namespace: q.store.Namespace, Datastore: q.store.Name, Dataset: string(q.dataset.Name), DataClass: string(q.dataset.DataClass),
		Time: q.at.UTC(), record: q.record, Warnings: warnings(q.store),
	}
	if e := q.dataset.OnErasure; e != nil {
		out.OnErasure = string(e.Action)
	}
	for _, h := range q.keeping() {
		if out.Holds = append(out.Holds, h); !h.Enforced {
			out.Warnings = append(out.Warnings, fmt.Sprintf("Legal hold %s is not enforced yet: a run that began before it may still be at work", h.Name))
		}
	}
	for i := range q.policies {
		if p := &q.policies[i]; planinput.Selects(p, q.store.Labels) {
			out.Policies = append(out.Policies, q.policy(p))
			if c := conditionOf(p.Status.Conditions, v1alpha1.ConditionStalled); c.is(metav1.ConditionTrue) {
				out.Warnings = append(out.Warnings, fmt.Sprintf("Policy %s is stalled and starts no run: %s", p.Name, c.Message))
			}
		}
	}
	// Those that have a rule for it come first.
	slices.SortStableFunc(out.Policies, func(a, b policyExplanation) int { return min(len(b.Steps), 1) - min(len(a.Steps), 1) })
	out.conclude(func(t time.Time) string { return t.UTC().Format(time.RFC3339) })
	return out
}

// keeping are the holds that may keep records of the dataset: those that cover it, and those on single records of a dataset
// that it refers to, directly or over others.
func (q *question) keeping() []holdExplanation {
	var out []holdExplanation
	above := q.ancestors()
	for _, h := range q.inForce() {
		covered := planinput.Hold(&h).Covered(planinput.Datastore(q.store).Datasets)
		whole := h.Spec.Subject == nil && h.Spec.Condition == nil
		covers := slices.Contains(covered, string(q.dataset.Name))
		if !covers && (whole || !slices.ContainsFunc(covered, func(name string) bool { return above[name] })) {
			continue
		}
		out = append(out, holdExplanation{Name: h.Name, Scope: scopeOf(&h), Whole: whole,
			Enforced: meta.IsStatusConditionTrue(h.Status.Conditions, v1alpha1.ConditionEnforced)})
	}
	return out
}

// ancestors are the datasets that references of the dataset lead to.
func (q *question) ancestors() map[string]bool {
	out := map[string]bool{}
	var follow func(d *v1alpha1.Dataset)
	follow = func(d *v1alpha1.Dataset) {
		for _, r := range d.References {
			if name := string(r.Dataset); !out[name] {
				out[name] = true
				if parent := datasetOf(q.store, name); parent != nil {
					follow(parent)
				}
			}
		}
	}
	follow(q.dataset)
	return out
}

func datasetOf(d *v1alpha1.Datastore, name string) *v1alpha1.Dataset {
	for i := range d.Spec.Datasets {
		if string(d.Spec.Datasets[i].Name) == name {
			return &d.Spec.Datasets[i]
		}
	}
	return nil
}

// inForce are the holds that the planner is told of, as the controllers see it: those that select the Datastore or stand in
// its status, unless they are released.
func (q *question) inForce() []v1alpha1.LegalHold { return holdsInForce(q.holds, q.store) }

func holdsInForce(holds []v1alpha1.LegalHold, store *v1alpha1.Datastore) []v1alpha1.LegalHold {
	var out []v1alpha1.LegalHold
	for i := range holds {
		h := &holds[i]
		registered := slices.ContainsFunc(store.Status.Holds, func(r v1alpha1.RegisteredHold) bool { return r.UID == string(h.UID) })
		if !h.IsReleased() && (planinput.Holds(h, store) || registered) {
			out = append(out, *h)
		}
	}
	slices.SortFunc(out, func(a, b v1alpha1.LegalHold) int { return cmp.Compare(a.UID, b.UID) })
	return out
}

// compile makes the plan of a policy's run of that slot, as its controller does.
func (q *question) compile(p *v1alpha1.RetentionPolicy, slot time.Time) plan.Plan {
	var holds []plan.HoldInput
	for _, h := range q.inForce() {
		holds = append(holds, planinput.Hold(&h))
	}
	return plan.Compile(planinput.Retention("explain", p, p.Spec.GetMode(), q.store, q.policies, holds, slot))
}

// policy says what one policy does with the dataset.
func (q *question) policy(p *v1alpha1.RetentionPolicy) policyExplanation {
	zone, err := schedule.LoadLocation(p.Spec.GetTimeZone())
	if err != nil {
		zone = time.UTC // the planner reckons nothing then
	}
	out := policyExplanation{Name: p.Name, Mode: string(p.Spec.GetMode()), Suspended: p.Spec.IsSuspended(), Guarded: p.Spec.Guardrails != nil,
		Stalled: meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionStalled)}
	out.Acts = p.Spec.GetMode() == v1alpha1.ModeEnforce && !out.Suspended && !out.Stalled
	slots, scheduleErr := schedule.Parse(p.Spec.Schedule, zone)
	if scheduleErr == nil && !out.Suspended && !out.Stalled {
		out.NextRun = ptr.To(slots.Next(q.at))
	}
	compiled := q.compile(p, q.at)
	for i := range compiled.Steps {
		step := &compiled.Steps[i]
		if step.Dataset != string(q.dataset.Name) {
			continue
		}
		s := q.step(p.Name, step, zone)
		if s.DueTime != nil && out.NextRun != nil {
			s.RunTime = q.runTime(p, slots, step, zone, *s.DueTime)
		}
		out.Steps = append(out.Steps, s)
	}
	for _, x := range compiled.Excluded {
		if x.Dataset == string(q.dataset.Name) {
			out.Exclusions = append(out.Exclusions, x)
		}
	}
	for _, n := range compiled.Notes {
		if n.Dataset == string(q.dataset.Name) {
			out.Notes = append(out.Notes, n)
		}
	}
	return out
}

// step says what a step means for the record.
func (q *question) step(policy string, step *plan.Step, zone *time.Location) stepExplanation {
	out := stepExplanation{Rule: step.Rule, Action: string(step.Action), Reason: step.Reason, LegalBasis: step.LegalBasis,
		Period: q.period(periodExplanation{Policy: policy, Rule: step.Rule, Period: step.Period, LegalBasis: step.LegalBasis, Cutoff: step.Cutoff}, step.Start, zone)}
	all := []periodExplanation{out.Period}
	for _, o := range step.Obligations {
		e := q.period(periodExplanation{Policy: o.Policy, Rule: o.Rule, Period: o.Period, LegalBasis: o.LegalBasis, Cutoff: o.Cutoff}, o.Start, q.zoneOf(o.Policy))
		out.Obligations = append(out.Obligations, e)
		all = append(all, e)
	}
	if !q.record.asked() {
		return out
	}
	out.Due = ptr.To(q.due(step, zone))
	latest := time.Time{}
	for _, e := range all {
		switch {
		case e.OverTime == nil:
			out.Never = cmp.Or(e.Empty, "its period cannot be reckoned")
			return out
		case e.OverTime.After(latest):
			latest = *e.OverTime
		}
	}
	out.DueTime = &latest
	return out
}

// period fills in what a period means for the record.
func (q *question) period(e periodExplanation, start plan.Start, zone *time.Location) periodExplanation {
	e.From = fieldOf(start)
	if !q.record.asked() {
		return e
	}
	at := q.record.start(e.From, q.at, zone)
	if at.IsZero() || at.Before(plan.EarliestPlausible) || !at.Before(plan.LatestPlausible) {
		e.Over = ptr.To(false)
		switch {
		case !at.IsZero():
			e.Empty = e.From + " is a placeholder and no time: such a record is counted as invalid and never deleted"
		case start.Event:
			e.Empty = e.From + " is empty: the event has not happened, and the period has not begun"
		default:
			e.Empty = e.From + " is empty: such a record is counted as undated and never deleted"
		}
		return e
	}
	e.Start = ptr.To(at.UTC())
	e.Over = ptr.To(!at.After(e.Cutoff))
	if period, err := schedule.ParsePeriod(e.Period); err == nil {
		e.OverTime = ptr.To(overFrom(period, at, zone))
	}
	return e
}

// due says whether the record is due under the step: what the purge process would find.
func (q *question) due(step *plan.Step, zone *time.Location) bool {
	var starts []time.Time
	for _, o := range step.Obligations {
		starts = append(starts, q.record.start(fieldOf(o.Start), q.at, q.zoneOf(o.Policy)))
	}
	return step.Due(q.record.start(fieldOf(step.Start), q.at, zone), starts)
}

// maxSlots is how many slots are tried for one that does the step: the end of a period is known, but another rule may have
// come before it by then.
const maxSlots = 100

// runTime is the first slot, from now and from when the record is due, whose plan has the record go. Nil if there is none
// among the next ones.
func (q *question) runTime(p *v1alpha1.RetentionPolicy, slots schedule.Schedule, step *plan.Step, zone *time.Location, due time.Time) *time.Time {
	slot := due.Add(-time.Second)
	if slot.Before(q.at) {
		slot = q.at
	}
	for range maxSlots {
		slot = slots.Next(slot)
		compiled := q.compile(p, slot)
		for i := range compiled.Steps {
			if s := &compiled.Steps[i]; s.Dataset == step.Dataset && s.Action == step.Action && q.due(s, zone) {
				return &slot
			}
		}
	}
	return nil
}

// zoneOf is the zone in which a policy reckons.
func (q *question) zoneOf(policy string) *time.Location {
	for i := range q.policies {
		if q.policies[i].Name == policy {
			if zone, err := schedule.LoadLocation(q.policies[i].Spec.GetTimeZone()); err == nil {
				return zone
			}
		}
	}
	return time.UTC
}

// overFrom is the first whole second at which a run finds the period of a record over. It is up to a day or two after the
// end of the record's own period: see schedule.Period.Cutoff.
func overFrom(period schedule.Period, start time.Time, zone *time.Location) time.Time {
	const days = 5
	first := period.AddTo(start, zone).Add(time.Second - 1).Truncate(time.Second)
	more := sort.Search(days*24*60*60, func(seconds int) bool {
		return !start.After(period.Cutoff(first.Add(time.Duration(seconds)*time.Second), zone))
	})
	return first.Add(time.Duration(more) * time.Second)
}

// fieldOf names the field that a period runs from, with its dataset if that is another one.
func fieldOf(s plan.Start) string {
	if len(s.Via) == 0 {
		return s.Field
	}
	return s.Via[len(s.Via)-1].Dataset + "." + s.Field
}

// warnings are why nothing may be done in a Datastore whatever the rules say.
func warnings(d *v1alpha1.Datastore) []string {
	var out []string
	if c := meta.FindStatusCondition(d.Status.Conditions, v1alpha1.ConditionReady); c == nil || c.Status != metav1.ConditionTrue {
		why := "it has not been probed yet"
		if c != nil {
			why = strings.TrimSuffix(c.Reason+": "+c.Message, ": ")
		}
		out = append(out, "The Datastore is not ready, so that runs may do nothing here: "+why)
	}
	if d.Status.Identity == "" {
		out = append(out, "No server identity is pinned yet, and before that nothing is deleted here")
	}
	return out
}
