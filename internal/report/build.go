// SPDX-License-Identifier: Apache-2.0

package report

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
)

// Input is everything that a report is made from.
type Input struct {
	// From and Until are the period; Until is not in it. Zone reckons days.
	From, Until time.Time
	Zone        *time.Location
	// Now is when the report is made.
	Now time.Time
	// By, Version and Source are as in Made. Namespace is the only one that the report is about; empty for all.
	By, Version, Source, Namespace string
	Verification                   Verification
	// Entries are those of the ledger from its beginning, in its order: what was enforced, promised or begun before the period
	// matters in it, and so does what came after it.
	Entries []Entry
	// Live are the objects of the cluster; nil if nobody has read them.
	Live *Live
}

// Entry is an entry of the ledger. The statement is nil if it was removed at the end of its own retention.
type Entry struct {
	Index     int64
	Leaf      evidence.Leaf
	Statement *evidence.Statement
}

// Live are the objects of the cluster that the report is about.
type Live struct {
	Policies   []v1alpha1.RetentionPolicy
	Datastores []v1alpha1.Datastore
	Requests   []v1alpha1.ErasureRequest
	Holds      []v1alpha1.LegalHold
}

// Build makes the report. It fails if the input is not what it should be, as when entries are not in the ledger's order.
func Build(in Input) (*Report, error) {
	switch {
	case in.Zone == nil:
		return nil, errors.New("the report has no time zone")
	case !in.From.Before(in.Until):
		return nil, errors.New("the period ends before it begins")
	case !in.From.Before(in.Now):
		return nil, errors.New("the period has not begun yet")
	}
	b := newBuilder(in)
	last := int64(-1)
	for i := range in.Entries {
		e := &in.Entries[i]
		if e.Index <= last {
			return nil, fmt.Errorf("entry %d comes after entry %d: the entries are not in the ledger's order", e.Index, last)
		}
		last = e.Index
		b.entry(e)
	}
	if in.Live != nil {
		b.live(in.Live)
	}
	return b.report(), nil
}

// builder has what the entries have told so far.
type builder struct {
	in     Input
	period Period
	r      *Report

	seen       map[string]int64 // kind and key → index
	intents    map[int64]*intent
	results    map[int64]*result
	answers    map[int64]*requestAnswer // Conclusions of requests
	policies   map[string]*policyData
	runs       map[string]*runData
	requests   map[string]*requestData
	holds      map[string]*holdData
	classes    map[classKey]*classData
	stocks     map[stockKey]map[string]*stock // by policy
	stretches  map[string][]tally             // by data class
	exceptions map[exceptionKey]*exceptionData
	backups    []*backupData
	expired    map[int64]*Ref // the entry whose backups have expired → the statement that says so

	deleted, anonymized, onRequest tally
	repeated, pruned               int
	calendar                       []span // of Deletions
}

func newBuilder(in Input) *builder {
	b := &builder{
		in:     in,
		period: Period{From: in.From.UTC(), Until: in.Until.UTC(), Zone: in.Zone.String()},

		seen: map[string]int64{}, intents: map[int64]*intent{}, results: map[int64]*result{},
		answers: map[int64]*requestAnswer{}, policies: map[string]*policyData{}, runs: map[string]*runData{},
		requests: map[string]*requestData{}, holds: map[string]*holdData{}, classes: map[classKey]*classData{},
		stocks: map[stockKey]map[string]*stock{}, stretches: map[string][]tally{},
		exceptions: map[exceptionKey]*exceptionData{}, expired: map[int64]*Ref{},
	}
	b.r = &Report{
		Schema: Schema,
		Made: Made{Time: in.Now.UTC(), By: in.By, Version: in.Version, Source: in.Source, Live: in.Live != nil,
			Namespace: in.Namespace},
		Period: b.period, Verification: in.Verification,
	}
	unit := chartUnit(in.From, in.Until)
	b.calendar = spans(unit, in.From, in.Until, in.Zone)
	b.r.Deletions.Unit = unit
	return b
}

// entry takes one entry in.
func (b *builder) entry(e *Entry) {
	id := string(e.Leaf.Kind) + "\n" + e.Leaf.Key
	if _, again := b.seen[id]; again && e.Leaf.Key != "" {
		b.repeated++ // the ledger has one entry per kind and key; what stands there twice is counted once
		return
	}
	b.seen[id] = e.Index
	if e.Statement == nil {
		b.prunedEntry(e)
		return
	}
	p := &e.Statement.Predicate
	ref := &Ref{Index: e.Index, Digest: e.Leaf.Statement, Kind: p.Kind, Level: p.Level, Time: p.Time.UTC()}
	if p.Level == evidence.LevelNone {
		ref.Level = ""
	}
	b.closing(p.Kind, p.Closes, ref)
	if !b.inScope(p) {
		return
	}
	inside := b.period.contains(p.Time)
	if inside {
		b.r.Proofs = append(b.r.Proofs, Proof{Ref: *ref, About: about(p)})
		b.gaps(p, ref)
	}
	switch p.Kind {
	case evidence.Intent:
		b.intent(p, ref)
	case evidence.Result:
		b.result(p, ref, inside)
	case evidence.Conclusion:
		b.conclusion(p, ref, inside)
	case evidence.HoldEnforced, evidence.HoldReleased:
		b.hold(p, ref)
	case evidence.BackupsExpired, evidence.Pruned:
	}
}

// closing notes what a statement closes. It does so for any namespace: the one closed may be in scope.
func (b *builder) closing(kind evidence.Kind, closes *evidence.Reference, ref *Ref) {
	if closes == nil {
		return
	}
	switch kind {
	case evidence.Result:
		delete(b.intents, closes.Index)
	case evidence.BackupsExpired:
		b.expired[closes.Index] = ref
	}
}

// prunedEntry takes in an entry without a statement: its leaf still says what it closed, and when it was made.
func (b *builder) prunedEntry(e *Entry) {
	ref := &Ref{Index: e.Index, Digest: e.Leaf.Statement, Kind: e.Leaf.Kind, Time: e.Leaf.Time.UTC()}
	if e.Leaf.Closes != nil {
		b.closing(e.Leaf.Kind, &evidence.Reference{Index: *e.Leaf.Closes}, ref)
	}
	if b.period.contains(e.Leaf.Time) {
		b.pruned++
		b.r.Proofs = append(b.r.Proofs, Proof{Ref: *ref, Pruned: true})
	}
}

// inScope says whether a statement is about the namespace of the report.
func (b *builder) inScope(p *evidence.Predicate) bool {
	return b.in.Namespace == "" || namespaceOf(p) == b.in.Namespace
}

func namespaceOf(p *evidence.Predicate) string {
	switch {
	case p.Policy != nil:
		return p.Policy.Namespace
	case p.Request != nil:
		return p.Request.Namespace
	case p.Hold != nil:
		return p.Hold.Namespace
	case len(p.Datastores) > 0:
		return p.Datastores[0].Namespace
	}
	return ""
}

// about says in a few words what a statement is about.
func about(p *evidence.Predicate) string {
	switch {
	case p.Request != nil:
		return "request " + nameOf(p.Request.Object)
	case p.Hold != nil:
		return "hold " + nameOf(p.Hold.Object)
	case p.Kind == evidence.Pruned && p.Pruned != nil:
		return fmt.Sprintf("%d statements removed", len(p.Pruned.Indices))
	case p.Run == nil:
		return ""
	case p.Kind == evidence.Conclusion || len(p.Datastores) == 0:
		return "run " + p.Run.Name
	}
	return "run " + p.Run.Name + " on " + nameOf(p.Datastores[0].Object)
}

func nameOf(o evidence.Object) string { return o.Namespace + "/" + o.Name }

// identity is what an object is known by: its UID, so that one made anew under the same name is another one.
func identity(o evidence.Object) string {
	if o.UID != "" {
		return o.UID
	}
	return nameOf(o)
}

// report adds everything up.
func (b *builder) report() *Report {
	r := b.r
	b.finishRuns() // policies need the runs
	b.finishPolicies()
	b.finishDeletions()
	b.finishRequests()
	b.finishHolds()
	b.finishClasses()
	b.finishBackups()
	b.dangling()
	b.finishExceptions()
	b.finishProofs()
	b.notes()
	b.summary()
	r.Verification.Keys = list(r.Verification.Keys)
	return r
}

// list is a list that is never null in JSON.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

// finishProofs adds the statements from outside the period that the report rests on, and puts all in the log's order.
func (b *builder) finishProofs() {
	r := b.r
	have := map[int64]bool{}
	for i := range r.Proofs {
		have[r.Proofs[i].Index] = true
	}
	add := func(ref *Ref, about string) {
		if ref != nil && !have[ref.Index] {
			have[ref.Index] = true
			r.Proofs = append(r.Proofs, Proof{Ref: *ref, About: about})
		}
	}
	for i := range r.Requests {
		add(r.Requests[i].Evidence, "request "+r.Requests[i].Namespace+"/"+r.Requests[i].Name)
	}
	for i := range r.Holds {
		h := &r.Holds[i]
		add(h.EnforcedEvidence, "hold "+h.Namespace+"/"+h.Name)
		add(h.ReleasedEvidence, "hold "+h.Namespace+"/"+h.Name)
	}
	for i := range r.Backups {
		add(r.Backups[i].Evidence, r.Backups[i].Of)
		add(r.Backups[i].Expired, r.Backups[i].Of)
	}
	for i := range r.Exceptions {
		add(r.Exceptions[i].Evidence, r.Exceptions[i].What)
	}
	slices.SortFunc(r.Proofs, func(x, y Proof) int { return int(x.Index - y.Index) })
	r.Proofs = list(r.Proofs)
}
