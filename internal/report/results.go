// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
)

// intent is an Intent that no Result has closed yet.
type intent struct {
	ref    *Ref
	about  string
	in     evidence.Datastore
	modify bool // it was to change something
}

func (b *builder) intent(p *evidence.Predicate, ref *Ref) {
	i := &intent{ref: ref, about: about(p), modify: p.Run != nil && p.Run.Mode != evidence.ModeSimulate}
	if len(p.Datastores) > 0 {
		i.in = p.Datastores[0]
	}
	b.intents[ref.Index] = i
}

// result is what is kept of a Result for the Conclusions that rest on it.
type result struct {
	ref        *Ref
	datastores []evidence.Datastore
}

// result counts what a Result says.
func (b *builder) result(p *evidence.Predicate, ref *Ref, inside bool) {
	b.results[ref.Index] = &result{ref: ref, datastores: p.Datastores}
	var run *runData
	var policy *policyData
	if p.Policy != nil {
		policy = b.policy(p.Policy, ref)
		if inside {
			run = b.run(p)
			policy.seen(p, ref)
		}
	}
	for i := range p.Datastores {
		d := &p.Datastores[i]
		total := gone{}
		for j := range d.Datasets {
			ds := &d.Datasets[j]
			g := goneOf(p, d, ds)
			total.deleted.merge(g.deleted)
			total.anonymized.merge(g.anonymized)
			if inside {
				b.dataset(p, ref, d, ds, g)
			}
		}
		if lost := d.Level == evidence.LevelUnproven && len(d.Datasets) == 0; lost && p.Run.Mode != evidence.ModeSimulate {
			total.deleted.missing()
		}
		b.backup(p, d, ref, total, inside)
		if !inside {
			continue
		}
		b.addGone(total, p.Policy == nil)
		if run != nil {
			run.deleted.merge(total.deleted)
			run.anonymized.merge(total.anonymized)
			policy.deleted.merge(total.deleted)
			policy.anonymized.merge(total.anonymized)
		}
		b.datastoreExceptions(p, d, ref)
		for _, h := range d.Holds {
			b.respected(h)
		}
	}
}

func (b *builder) addGone(g gone, onRequest bool) {
	b.deleted.merge(g.deleted)
	b.anonymized.merge(g.anonymized)
	if onRequest {
		b.onRequest.merge(g.deleted)
	}
}

// classKey is a data class in a Datastore.
type classKey struct{ class, namespace, datastore string }

type classData struct {
	deleted, anonymized, onRequest tally
	datasets                       map[string]bool
}

// stockKey is a dataset of a Datastore.
type stockKey struct {
	classKey
	dataset string
}

// stock is what the latest run of a policy has found in a dataset.
type stock struct {
	retained, held, remaining *int64
	bases                     []string
}

// dataset adds what was done in one dataset to its class and its week.
func (b *builder) dataset(p *evidence.Predicate, ref *Ref, d *evidence.Datastore, ds *evidence.Dataset, g gone) {
	key := classKey{ds.DataClass, d.Namespace, d.Name}
	c := b.classes[key]
	if c == nil {
		c = &classData{datasets: map[string]bool{}}
		b.classes[key] = c
	}
	c.datasets[ds.Name] = true
	c.deleted.merge(g.deleted)
	c.anonymized.merge(g.anonymized)
	if p.Policy == nil {
		c.onRequest.merge(g.deleted)
		c.onRequest.merge(g.anonymized)
	} else {
		b.stock(stockKey{key, ds.Name}, identity(p.Policy.Object), d, ds)
	}
	if at := find(b.calendar, p.Time); at >= 0 {
		if b.stretches[ds.DataClass] == nil {
			b.stretches[ds.DataClass] = make([]tally, len(b.calendar))
		}
		b.stretches[ds.DataClass][at].merge(g.deleted)
	}
	b.datasetExceptions(p, ref, d, ds, g)
}

// stock replaces what the policy has found in the dataset before. A dataset that a run had no look at keeps its numbers.
func (b *builder) stock(key stockKey, policy string, d *evidence.Datastore, ds *evidence.Dataset) {
	if ds.Retained == nil && ds.Held == nil && ds.Remaining == nil && ds.Matched == nil {
		return
	}
	if b.stocks[key] == nil {
		b.stocks[key] = map[string]*stock{}
	}
	s := &stock{retained: ds.Retained, held: ds.Held, remaining: ds.Remaining}
	if s.remaining == nil && leftByNotDoing[ds.Outcome] {
		s.remaining = ds.Matched
	}
	if basis := obligation(d, ds, true); basis != "" {
		s.bases = []string{basis}
	}
	b.stocks[key][policy] = s
}

// reasonObligation is why a retainAtLeast stands among the exclusions of a Result.
const reasonObligation = "RetainAtLeast"

// obligation is what demands that records of a dataset are kept; empty if none are. In a policy's run the obligations stand
// among the exclusions, since the legal basis of the dataset is that of its deletion.
func obligation(d *evidence.Datastore, ds *evidence.Dataset, byPolicy bool) string {
	if !positive(ds.Retained) && ds.Outcome != "RetainedByObligation" {
		return ""
	}
	if !byPolicy {
		return cmp.Or(ds.LegalBasis, ds.RuleReason, "not named")
	}
	var found []string
	for _, x := range d.Excluded {
		if x.Reason == reasonObligation && x.Dataset == ds.Name {
			found = append(found, cmp.Or(x.Message, "rule "+x.Rule))
		}
	}
	return cmp.Or(strings.Join(found, "; "), "not named")
}

// finishClasses adds the stocks to the classes.
func (b *builder) finishClasses() {
	type held struct {
		retained, held, remaining tally
		bases                     []string
	}
	byClass := map[classKey]*held{}
	for key, byPolicy := range b.stocks {
		h := byClass[key.classKey]
		if h == nil {
			h = &held{}
			byClass[key.classKey] = h
		}
		var retained, kept, remaining *int64
		for _, s := range byPolicy { // the largest: policies look at the same records
			retained, kept, remaining = larger(retained, s.retained), larger(kept, s.held), larger(remaining, s.remaining)
			h.bases = append(h.bases, s.bases...)
		}
		h.retained.add(retained, false)
		h.held.add(kept, false)
		h.remaining.add(remaining, false)
	}
	for key, c := range b.classes {
		out := Class{
			DataClass: key.class, Namespace: key.namespace, Datastore: key.datastore, Datasets: len(c.datasets),
			Deleted: c.deleted.count(), Anonymized: c.anonymized.count(), OnRequest: c.onRequest.count(), Bases: []string{},
		}
		if h := byClass[key]; h != nil {
			out.Retained, out.Held, out.Remaining = h.retained.count(), h.held.count(), h.remaining.count()
			slices.Sort(h.bases)
			out.Bases = list(slices.Compact(h.bases))
		}
		b.r.Classes = append(b.r.Classes, out)
	}
	slices.SortFunc(b.r.Classes, func(x, y Class) int {
		return compareStrings(x.DataClass, y.DataClass, x.Namespace, y.Namespace, x.Datastore, y.Datastore)
	})
	b.r.Classes = list(b.r.Classes)
}

func larger(a, b *int64) *int64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}

// compareStrings compares pairs, the first that differs decides.
func compareStrings(pairs ...string) int {
	for i := 0; i+1 < len(pairs); i += 2 {
		switch {
		case pairs[i] < pairs[i+1]:
			return -1
		case pairs[i] > pairs[i+1]:
			return 1
		}
	}
	return 0
}

// finishDeletions puts the weeks together, the classes with most records first.
func (b *builder) finishDeletions() {
	d := &b.r.Deletions
	sums := map[string]int64{}
	for class, row := range b.stretches {
		for _, t := range row {
			sums[class] += t.n
		}
		if sums[class] > 0 {
			d.Classes = append(d.Classes, class)
		}
	}
	slices.SortFunc(d.Classes, func(x, y string) int {
		if sums[x] != sums[y] {
			if sums[x] > sums[y] {
				return -1
			}
			return 1
		}
		return compareStrings(x, y)
	})
	for i, s := range b.calendar {
		out := Stretch{From: s.from, Until: s.until, Deleted: make([]*Count, len(d.Classes))}
		for j, class := range d.Classes {
			out.Deleted[j] = b.stretches[class][i].count()
		}
		d.Stretches = append(d.Stretches, out)
	}
	d.Classes = list(d.Classes)
	d.Stretches = list(d.Stretches)
}

// workTime is how long a Job may be at work before it is missed.
const workTime = 24 * time.Hour

// dangling lists the Intents that nothing has closed.
func (b *builder) dangling() {
	for _, index := range sortedKeys(b.intents) {
		i := b.intents[index]
		if !i.ref.Time.Before(b.in.Until) {
			continue
		}
		message := "No statement says what came of it"
		if b.in.Now.Sub(i.ref.Time) < workTime {
			message = "No statement says yet what came of it; the Job may still be at work"
		}
		if i.modify {
			b.deleted.missing()
		}
		b.exception(exceptionKey{ExceptionDangling, i.in.Namespace, i.in.Name, i.about, ""}, i.ref, message, nil, nil)
	}
}
