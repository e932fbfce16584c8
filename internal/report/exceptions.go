// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
)

// exceptionKey is what makes two statements speak of the same exception.
type exceptionKey struct {
	kind                 ExceptionKind
	namespace, datastore string
	what, basis          string
}

type exceptionData struct{ out Exception }

// exception notes that a statement tells of an exception. The latest one says how many records it is about.
func (b *builder) exception(key exceptionKey, ref *Ref, message string, records *int64, until *time.Time) {
	e := b.exceptions[key]
	if e == nil {
		e = &exceptionData{Exception{Kind: key.kind, Namespace: key.namespace, Datastore: key.datastore, What: key.what,
			Basis: key.basis, First: ref.Time}}
		b.exceptions[key] = e
	}
	o := &e.out
	o.Last, o.Evidence = ref.Time, ref
	o.Statements++
	o.Message = cmp.Or(message, o.Message)
	o.Records = countOf(records)
	if until != nil {
		o.Until = utc(until)
	}
}

// datastoreExceptions are those of a Datastore as a whole.
func (b *builder) datastoreExceptions(p *evidence.Predicate, d *evidence.Datastore, ref *Ref) {
	key := exceptionKey{namespace: d.Namespace, datastore: d.Name, basis: cmp.Or(d.Reason, d.Outcome)}
	message := cmp.Or(d.Message, p.Message)
	switch {
	case d.Level == evidence.LevelUnproven || p.Level == evidence.LevelUnproven:
		key.kind = ExceptionUnproven
	case d.Outcome == "Unreachable":
		key.kind = ExceptionUnreachable
	case d.Level == evidence.LevelNotDone && len(d.Datasets) == 0 && p.Run != nil && p.Run.Mode != evidence.ModeSimulate:
		key.kind = ExceptionNotDone
	default:
		key.kind = ""
	}
	if key.kind != "" {
		b.exception(key, ref, message, nil, nil)
	}
	for _, x := range d.Excluded {
		if x.Reason == reasonObligation || stated(p, d, x) {
			continue
		}
		b.exception(exceptionKey{ExceptionRule, d.Namespace, d.Name, ruleName(x.Rule, x.Dataset), x.Reason}, ref, x.Message, nil, nil)
	}
}

// stated says whether the statement says of an exclusion already that it is not covered.
func stated(p *evidence.Predicate, d *evidence.Datastore, x evidence.Exclusion) bool {
	name := strings.TrimSuffix(d.Name+"/"+x.Dataset, "/")
	return slices.ContainsFunc(p.NotCovered, func(g evidence.Gap) bool {
		return g.Kind == evidence.GapDataset && g.Name == name && g.Reason == x.Reason
	})
}

func ruleName(rule, dataset string) string {
	switch {
	case rule == "":
		return dataset
	case dataset == "":
		return "rule " + rule
	}
	return dataset + " (rule " + rule + ")"
}

// datasetExceptions are those of a dataset.
func (b *builder) datasetExceptions(p *evidence.Predicate, ref *Ref, d *evidence.Datastore, ds *evidence.Dataset, g gone) {
	note := func(kind ExceptionKind, basis, message string, records *int64) {
		b.exception(exceptionKey{kind, d.Namespace, d.Name, ds.Name, basis}, ref, message, records, nil)
	}
	if g.contradiction {
		n := value(ds.Deleted) + value(ds.Anonymized)
		note(ExceptionContradiction, cmp.Or(ds.Outcome, string(d.Level)), "The statement has a number of records that its outcome excludes", &n)
	}
	if basis := obligation(d, ds, p.Policy != nil); basis != "" {
		note(ExceptionObligation, basis, "", ds.Retained)
	}
	if positive(ds.Held) {
		var names []string
		for _, h := range d.Holds {
			names = append(names, holdBasis(h))
		}
		note(ExceptionHold, cmp.Or(strings.Join(names, ", "), "not named"), "", ds.Held)
	}
	if positive(ds.Blocked) || ds.Outcome == "Blocked" {
		note(ExceptionBlocked, cmp.Or(strings.Join(ds.Constraints, ", "), ds.Reason), "", ds.Blocked)
	}
	if left := value(ds.Remaining) - value(ds.Blocked); left > 0 {
		note(ExceptionRemaining, cmp.Or(ds.Reason, ds.Outcome), "", &left)
	}
	if p.Run != nil && p.Run.Mode != evidence.ModeSimulate && nothingDone[ds.Outcome] {
		note(ExceptionNotDone, cmp.Or(ds.Reason, ds.Outcome), "", ds.Matched)
	}
	if positive(ds.Undated) || positive(ds.Invalid) {
		n := value(ds.Undated) + value(ds.Invalid)
		note(ExceptionUndated, "no usable date", "Records without a usable date are counted and never deleted", &n)
	}
}

func value(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// gaps are what a statement says that it does not prove. A backup whose end is known is no exception, but in Backups; records
// without a usable date are one of their own.
func (b *builder) gaps(p *evidence.Predicate, ref *Ref) {
	if p.Kind != evidence.Result && p.Kind != evidence.Conclusion {
		return
	}
	for i := range p.NotCovered {
		g := &p.NotCovered[i]
		key := exceptionKey{kind: ExceptionNotCovered, namespace: namespaceOf(p), what: strings.TrimSpace(string(g.Kind) + " " + g.Name), basis: g.Reason}
		switch {
		case g.Kind == evidence.GapBackup && g.Until != nil, g.Reason == v1alpha1.ReasonUndatedRecords:
			continue
		case g.Kind == evidence.GapDatastore:
			key.kind, key.datastore, key.what = ExceptionNotDone, g.Name, ""
			if outcomeIn(p, g.Name) == "Unreachable" {
				key.kind = ExceptionUnreachable
			}
		}
		b.exception(key, ref, g.Message, nil, g.Until)
	}
}

func outcomeIn(p *evidence.Predicate, datastore string) string {
	for i := range p.Datastores {
		if p.Datastores[i].Name == datastore {
			return p.Datastores[i].Outcome
		}
	}
	return ""
}

// exceptionRank is the order in which exceptions are listed.
var exceptionRank = map[ExceptionKind]int{
	ExceptionDangling: 0, ExceptionUnproven: 1, ExceptionContradiction: 2, ExceptionBlocked: 3, ExceptionRemaining: 4,
	ExceptionUnreachable: 5, ExceptionNotDone: 6, ExceptionUndated: 7, ExceptionObligation: 8, ExceptionHold: 9,
	ExceptionNotCovered: 10, ExceptionRule: 11,
}

func (b *builder) finishExceptions() {
	for _, e := range b.exceptions {
		b.r.Exceptions = append(b.r.Exceptions, e.out)
	}
	slices.SortFunc(b.r.Exceptions, func(x, y Exception) int {
		return cmp.Or(exceptionRank[x.Kind]-exceptionRank[y.Kind],
			compareStrings(x.Namespace, y.Namespace, x.Datastore, y.Datastore, x.What, y.What, x.Basis, y.Basis))
	})
	b.r.Exceptions = list(b.r.Exceptions)
}

// notes says what the report does not know.
func (b *builder) notes() {
	r := b.r
	note := func(format string, args ...any) { r.Notes = append(r.Notes, fmt.Sprintf(format, args...)) }
	if !r.Verification.Signatures {
		note("The signatures of the statements were not checked. Whoever could write to the source of this report could have made them up.")
	}
	if !r.Verification.Inclusion {
		note("It was not checked that the statements are in the ledger, and that none is missing.")
	}
	if b.in.Live == nil {
		note("The objects of the cluster were not read: open requests, and holds that are not enforced yet, are not in this report.")
	}
	if b.pruned > 0 {
		note("%s removed at the end of the time for which evidence is kept. The entries are in the ledger; "+
			"what was stated is not in the numbers here.", plural2(b.pruned, "statement of the period was", "statements of the period were"))
		b.deleted.missing()
		b.anonymized.missing()
	}
	if b.repeated > 0 {
		note("%s an earlier one of the same kind and key, which a ledger never does. What is repeated is not counted.", plural2(b.repeated, "entry repeats", "entries repeat"))
	}
	if b.in.Until.After(b.in.Now) {
		note("The period is not over yet.")
	}
	if unsigned := b.unsigned(); unsigned > 0 {
		note("%s as the object says, and no signed statement says so: it counts as denied, or as not done.", plural2(unsigned, "request is answered", "requests are answered"))
	}
	r.Notes = list(r.Notes)
}

// unsigned is how many requests were answered without a statement.
func (b *builder) unsigned() int {
	n := 0
	for i := range b.r.Requests {
		if q := &b.r.Requests[i]; q.Answered != nil && q.Evidence == nil {
			n++
		}
	}
	return n
}

// summary adds up the figures at the top.
func (b *builder) summary() {
	r := b.r
	s := &r.Summary
	s.Policies, s.Runs, s.Statements = len(r.Policies), len(r.Runs), len(r.Proofs)
	for i := range r.Policies {
		switch r.Policies[i].Latest {
		case Compliant:
			s.PoliciesCompliant++
		case NotCompliant:
			s.PoliciesNotCompliant++
		case Unknown:
			s.PoliciesUnknown++
		case NoRun, NotDue:
			s.PoliciesNotRun++
		}
	}
	s.Deleted, s.Anonymized, s.DeletedOnRequest = b.deleted.count(), b.anonymized.count(), b.onRequest.count()
	all := &r.Metrics[0]
	s.RequestsReceived, s.RequestsAnswered, s.RequestsOpen, s.RequestsOverdue = all.Received, all.Answered, all.Open, all.Overdue
	s.RequestsInTime, s.RequestsLate, s.MedianDays = all.InTime, all.Late, all.Days.Median
	for i := range r.Holds {
		if r.Holds[i].State == HoldInForce {
			s.HoldsInForce++
		}
	}
	s.Exceptions = len(r.Exceptions)
	for i := range r.Exceptions {
		if r.Exceptions[i].Kind == ExceptionDangling {
			s.Dangling++
		}
	}
	for i := range r.BackupTotals {
		s.BackupsPending += r.BackupTotals[i].Pending
		s.BackupsOverdue += r.BackupTotals[i].Overdue
	}
}
