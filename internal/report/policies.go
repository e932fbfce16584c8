// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/schedule"
)

// policyData is what statements tell of a policy.
type policyData struct {
	out      Policy
	versions []policyVersion // ascending in time
	began    *time.Time      // of the object; nil if unknown
	rules    map[string]*Rule
	inside   bool // some statement of the period is about it

	deleted, anonymized tally
}

// policyVersion is the schedule since an instant.
type policyVersion struct {
	since          time.Time
	schedule, zone string
}

func (b *builder) policy(p *evidence.Policy, ref *Ref) *policyData {
	id := identity(p.Object)
	d := b.policies[id]
	if d == nil {
		d = &policyData{out: Policy{Namespace: p.Namespace, Name: p.Name, UID: p.UID}, rules: map[string]*Rule{}}
		b.policies[id] = d
	}
	if p.Schedule != "" && ref.Time.Before(b.in.Until) {
		d.out.Schedule, d.out.TimeZone = p.Schedule, p.TimeZone
		if last := len(d.versions) - 1; last < 0 || d.versions[last].schedule != p.Schedule || d.versions[last].zone != p.TimeZone {
			d.versions = append(d.versions, policyVersion{ref.Time, p.Schedule, p.TimeZone})
		}
	}
	return d
}

// seen takes in what a statement of the period says of the policy's mode and rules.
func (d *policyData) seen(p *evidence.Predicate, ref *Ref) {
	d.inside = true
	d.out.Evidence = ref
	if p.Run != nil {
		d.out.Mode = p.Run.Mode
	}
	for i := range p.Datastores {
		for j := range p.Datastores[i].Datasets {
			ds := &p.Datastores[i].Datasets[j]
			if ds.Rule == "" {
				continue
			}
			r := d.rules[ds.Rule]
			if r == nil {
				r = &Rule{Name: ds.Rule}
				d.rules[ds.Rule] = r
			}
			r.DeleteAfter, r.LegalBasis = ds.Period, cmp.Or(ds.LegalBasis, r.LegalBasis)
			if ds.Method == evidence.MethodAnonymize {
				r.Action = "Anonymize"
			} else if ds.Method != "" {
				r.Action = "Delete"
			}
			if !slices.Contains(r.Covers, ds.Name) {
				r.Covers = append(r.Covers, ds.Name)
			}
		}
	}
}

// runData is one run of a policy.
type runData struct {
	policy              *policyData
	out                 Run
	time                time.Time // of its latest statement
	ends                []ending  // what its Conclusions say, in order of time
	deleted, anonymized tally
}

// ending is what a Conclusion makes of a run.
type ending struct {
	time  time.Time
	state State
}

// run returns the run that a statement is about.
func (b *builder) run(p *evidence.Predicate) *runData {
	name := ""
	if p.Run != nil {
		name = p.Run.Name
	}
	policy := b.policies[identity(p.Policy.Object)]
	key := identity(p.Policy.Object) + "\n" + name
	r := b.runs[key]
	if r == nil {
		r = &runData{policy: policy, out: Run{Namespace: p.Policy.Namespace, Policy: p.Policy.Name, PolicyUID: p.Policy.UID,
			Name: name, State: Unknown, Why: WhyNotConcluded}}
		b.runs[key] = r
	}
	if p.Run != nil {
		r.out.Trigger, r.out.Mode, r.out.Slot, r.out.Completion = p.Run.Trigger, p.Run.Mode, utc(p.Run.Slot), utc(p.Run.CompletionTime)
	}
	r.time = p.Time
	return r
}

// conclusion takes in how a run, or a request, ended.
func (b *builder) conclusion(p *evidence.Predicate, ref *Ref, inside bool) {
	if p.Request != nil {
		b.answer(p, ref)
		return
	}
	if p.Policy == nil {
		return
	}
	policy := b.policy(p.Policy, ref)
	if !inside {
		return
	}
	policy.seen(p, ref)
	run := b.run(p)
	run.out.Outcome, run.out.Message, run.out.Level, run.out.Evidence = p.Outcome, p.Message, p.Level, ref
	datastores := b.whole(p)
	run.out.State, run.out.Why, run.out.Remaining = judge(p, datastores)
	run.ends = append(run.ends, ending{p.Time, run.out.State})
}

// whole is a Conclusion's Datastores with their datasets, which it may leave to the Results that it rests on.
func (b *builder) whole(p *evidence.Predicate) []evidence.Datastore {
	byName := map[string]*evidence.Datastore{}
	for _, ref := range p.Results {
		if r := b.results[ref.Index]; r != nil {
			for i := range r.datastores {
				byName[nameOf(r.datastores[i].Object)] = &r.datastores[i]
			}
		}
	}
	if len(p.Datastores) == 0 {
		var out []evidence.Datastore
		for _, name := range slices.Sorted(maps.Keys(byName)) {
			out = append(out, *byName[name])
		}
		return out
	}
	out := slices.Clone(p.Datastores)
	for i := range out {
		if r := byName[nameOf(out[i].Object)]; r != nil && len(out[i].Datasets) == 0 {
			out[i].Datasets = r.Datasets
		}
	}
	return out
}

// worse orders states.
var worse = map[State]int{NotDue: 0, NoRun: 1, Compliant: 2, Unknown: 3, NotCompliant: 4}

func (b *builder) finishRuns() {
	for _, key := range slices.Sorted(maps.Keys(b.runs)) {
		r := b.runs[key]
		r.out.Deleted, r.out.Anonymized = r.deleted.count(), r.anonymized.count()
		b.r.Runs = append(b.r.Runs, r.out)
	}
	slices.SortFunc(b.r.Runs, func(x, y Run) int {
		return compareStrings(x.Namespace, y.Namespace, x.Policy, y.Policy, x.PolicyUID, y.PolicyUID, x.Name, y.Name)
	})
	b.r.Runs = list(b.r.Runs)
}

// finishPolicies counts each policy's runs and draws its strip.
func (b *builder) finishPolicies() {
	byPolicy := map[*policyData][]*runData{}
	for _, r := range b.runs {
		byPolicy[r.policy] = append(byPolicy[r.policy], r)
	}
	unit := stripUnit(b.in.From, b.in.Until)
	cells := spans(unit, b.in.From, b.in.Until, b.in.Zone)
	for _, d := range b.policies {
		if !d.inside && d.out.Now == nil {
			continue
		}
		runs := byPolicy[d]
		slices.SortFunc(runs, func(x, y *runData) int { return x.time.Compare(y.time) })
		p := &d.out
		p.Deleted, p.Anonymized, p.Latest = d.deleted.count(), d.anonymized.count(), NoRun
		outcomes, levels := map[string]int{}, map[string]int{}
		for _, r := range runs {
			p.Runs++
			outcomes[cmp.Or(r.out.Outcome, "NotConcluded")]++
			levels[cmp.Or(string(r.out.Level), "NotConcluded")]++
			switch r.out.State {
			case Compliant:
				p.Compliant++
			case NotCompliant:
				p.NotCompliant++
			default:
				p.Unknown++
			}
			p.Latest, p.Remaining = r.out.State, r.out.Remaining
		}
		p.Outcomes, p.Levels = tallies(outcomes), tallies(levels)
		if p.Rules == nil {
			p.Rules = d.seenRules()
		}
		p.StripUnit, p.Strip = unit, d.strip(cells, runs, b.in.Now)
		b.r.Policies = append(b.r.Policies, *p)
	}
	slices.SortFunc(b.r.Policies, func(x, y Policy) int {
		return compareStrings(x.Namespace, y.Namespace, x.Name, y.Name, x.UID, y.UID)
	})
	b.r.Policies = list(b.r.Policies)
}

func (d *policyData) seenRules() []Rule {
	out := []Rule{}
	for _, name := range slices.Sorted(maps.Keys(d.rules)) {
		slices.Sort(d.rules[name].Covers)
		out = append(out, *d.rules[name])
	}
	return out
}

// strip colours the cells by the runs that ended in them. runs are in order of time.
func (d *policyData) strip(cells []span, runs []*runData, now time.Time) []Cell {
	out := make([]Cell, len(cells))
	for i, c := range cells {
		out[i] = Cell{From: c.from, Until: c.until, State: NoRun}
		if !d.due(c, now) {
			out[i].State = NotDue
		}
	}
	for _, r := range runs {
		in := map[int]State{} // by cell, as the run stood at its end
		if len(r.ends) == 0 {
			in[find(cells, r.time)] = r.out.State
		}
		for _, end := range r.ends {
			in[find(cells, end.time)] = end.state
		}
		delete(in, -1)
		for at, state := range in {
			out[at].Runs++
			if worse[state] > worse[out[at].State] {
				out[at].State = state
			}
		}
	}
	return out
}

// due says whether the schedule had a slot in the cell, as far as it is known. Before anything is known of the policy, it may
// have had one.
func (d *policyData) due(c span, now time.Time) bool {
	if !c.from.Before(now) || d.began != nil && !c.until.After(*d.began) {
		return false
	}
	var v policyVersion
	for _, version := range d.versions {
		if v.schedule == "" || version.since.Before(c.until) {
			v = version
		}
	}
	zone, err := schedule.LoadLocation(v.zone)
	if err != nil {
		return true
	}
	s, err := schedule.Parse(v.schedule, zone)
	if err != nil {
		return true
	}
	next := s.Next(c.from.Add(-time.Second))
	return next.Before(c.until) && next.Before(now)
}

func tallies(m map[string]int) []Tally {
	out := []Tally{}
	for name, times := range m {
		out = append(out, Tally{name, times})
	}
	slices.SortFunc(out, func(x, y Tally) int {
		return cmp.Or(cmp.Compare(y.Times, x.Times), cmp.Compare(x.Name, y.Name))
	})
	return out
}

func sortedKeys[V any](m map[int64]V) []int64 { return slices.Sorted(maps.Keys(m)) }
