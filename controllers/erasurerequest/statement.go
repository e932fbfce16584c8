// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/controllers/internal/facts"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/schedule"
	"dataretention.dev/retention-operator/internal/subject"
)

// conclusion is a Conclusion while it is made.
type conclusion struct {
	evidence.Predicate
	subjects []evidence.Subject
	// rest are the levels of what no Datastore in it stands for.
	rest []evidence.Level
	// erased are the Datastores from which something was erased, or may have been; more says that there are others.
	erased []evidence.Datastore
	more   bool
}

// maxStated is how many datasets, and how many Datastores, a Conclusion has room for. Where there are more, it leaves them to
// the Results, and to the Conclusions of other namespaces, that it names.
const maxStated = 1024

// statement is the Conclusion of the request as its status has it now: what became of it in every Datastore that it should
// have reached, here and in other namespaces. No text stands in it that a person wrote and that no rule of the API has
// checked, nor one that comes from a Pod.
func (s *scope) statement(key, outcome string) (evidence.Predicate, []evidence.Subject, error) {
	st := s.st()
	c := &conclusion{Predicate: evidence.Predicate{Kind: evidence.Conclusion, Key: key, Outcome: outcome, Message: s.sum(), Request: s.facts(outcome)}}
	if st.Evidence != nil {
		if refs := erasure.References(evidence.Conclusion, *st.Evidence); len(refs) == 1 {
			c.Closes = &refs[0]
		}
	}
	if err := c.about("request/"+s.request.Name, s.request.Spec); err != nil {
		return c.Predicate, nil, err
	}
	for i := range st.Datastores {
		e := &st.Datastores[i]
		ds := s.store(e.Name)
		d := c.add(s, s.request.Namespace, e, ds)
		c.Datastores, c.NotCovered = append(c.Datastores, d), append(c.NotCovered, gapsOf(&d)...)
		c.Results = append(c.Results, erasure.References(evidence.Result, e.Evidence...)...)
		if ds == nil || string(ds.UID) != e.UID {
			continue
		}
		if err := c.about("datastore/"+ds.Name, ds.Spec); err != nil {
			return c.Predicate, nil, err
		}
	}
	if outcome == outcomeDenied || outcome == outcomeWithdrawn {
		c.untouched(s, outcome)
	}
	for i := range st.Children {
		c.child(s, &st.Children[i])
	}
	for _, r := range st.Recipients {
		c.NotCovered = append(c.NotCovered, evidence.Gap{Kind: evidence.GapRecipient, Name: string(r.Name), Reason: facts.GapNotNotified,
			Message: "datastore " + r.Datastore + " discloses data to it; it has to be told, and nobody has checked that it deletes"})
	}
	c.close()
	return c.Predicate, c.subjects, nil
}

// about adds the spec of an object to what the statement is about.
func (c *conclusion) about(name string, spec any) error {
	subject, err := facts.Spec(name, spec)
	c.subjects = append(c.subjects, subject)
	return err
}

// add is what became of the request in a Datastore. ds may be nil.
func (c *conclusion) add(s *scope, namespace string, e *retentionv1.ErasureDatastore, ds *retentionv1.Datastore) evidence.Datastore {
	d := erasure.Statement(namespace, e, ds)
	if !touched(&d) {
		return d
	}
	if e.CompletionTime != nil {
		d.GoneBy = facts.GoneBy(e.CompletionTime.Time, d.BackupRetention, s.zone)
	}
	c.erased = append(c.erased, d)
	return d
}

func touched(d *evidence.Datastore) bool {
	return slices.ContainsFunc(d.Datasets, func(d evidence.Dataset) bool { return erasure.Touched(&d) })
}

// untouched adds the Datastores that a request would have reached which was not carried out.
func (c *conclusion) untouched(s *scope, why string) {
	c.rest = append(c.rest, evidence.LevelNotDone)
	for _, name := range slices.Sorted(maps.Keys(s.datastores)) {
		if erasure.Entry(s.request, name) == nil {
			d := facts.Datastore(s.datastores[name], nil, "", "")
			d.Outcome, d.Reason, d.Level = erasure.NotRun, why, evidence.LevelNotDone
			c.Datastores = append(c.Datastores, d)
		}
	}
}

// child adds the part of another namespace. It has a Conclusion of its own, with all that concerns it.
func (c *conclusion) child(s *scope, of *retentionv1.ErasureChild) {
	gap := func(reason string) {
		c.NotCovered = append(c.NotCovered, evidence.Gap{Kind: evidence.GapNamespace, Name: of.Namespace, Reason: reason})
	}
	if of.Reason != "" {
		gap(of.Reason)
	}
	if of.UID == "" && of.Outcome == "" {
		return // out of reach, and not meant
	}
	level := evidence.LevelNotDone
	var refs []evidence.Reference
	if of.Evidence != nil {
		refs = erasure.References(evidence.Conclusion, *of.Evidence)
	}
	switch ended := slices.Contains([]retentionv1.ErasureState{retentionv1.ErasureAnswered, retentionv1.ErasureWatching, retentionv1.ErasureDenied}, of.State); {
	case len(refs) > 0:
		level = evidence.Level(of.Evidence.Level)
		c.Results = append(c.Results, refs...)
	case of.UID != "" && ended: // its answer is a status only
		level = evidence.LevelUnproven
		gap(reasonNoEvidence)
	}
	level = lastWord(of, level)
	if of.Outcome == retentionv1.ErasureSkipped { // by more than its own answer says
		c.rest = append(c.rest, evidence.LevelNotDone)
	}
	child := s.child(of)
	full := child != nil && len(c.Datastores)+len(child.Status.Datastores) > maxStated
	if full {
		c.more = true
		gap(reasonTooMany)
	}
	if child == nil || len(child.Status.Datastores) == 0 || full { // the request stands for its Datastores
		c.Datastores = append(c.Datastores, evidence.Datastore{
			Object:  evidence.Object{Namespace: of.Namespace, Name: of.Name, UID: of.UID},
			Outcome: cmp.Or(string(of.Outcome), erasure.NotRun), Reason: of.Reason, Level: level,
		})
		return
	}
	var parts []evidence.Level
	for i := range child.Status.Datastores {
		e := &child.Status.Datastores[i]
		d := c.add(s, of.Namespace, e, s.foreign[client.ObjectKey{Namespace: of.Namespace, Name: e.Name}])
		if touched(&d) { // GoneBy is about them, too
			for _, g := range facts.Backups(&d) {
				g.Name = of.Namespace + "/" + g.Name
				c.NotCovered = append(c.NotCovered, g)
			}
		}
		if d.Datasets = nil; len(refs) == 0 || level == evidence.LevelUnproven {
			d.Level = atMostUnproven(d.Level)
		}
		c.Datastores, parts = append(c.Datastores, d), append(parts, d.Level)
	}
	if slices.Index(evidence.Levels, level) > slices.Index(evidence.Levels, evidence.Combine(parts...)) {
		c.rest = append(c.rest, level)
	}
}

// lastWord is the level of a child whose last statement has one: what it stated before it failed, or was deleted, does not
// count any more.
func lastWord(of *retentionv1.ErasureChild, level evidence.Level) evidence.Level {
	switch {
	case of.Reason == reasonRequestDeleted:
		return evidence.LevelUnproven
	case of.Outcome == retentionv1.ErasureFailed && level != evidence.LevelIncomplete:
		return atMostUnproven(level)
	}
	return level
}

// atMostUnproven is a level of what no statement bears out.
func atMostUnproven(l evidence.Level) evidence.Level {
	if slices.Index(evidence.Levels, l) < slices.Index(evidence.Levels, evidence.LevelUnproven) {
		return evidence.LevelUnproven
	}
	return l
}

const (
	// reasonNoEvidence says that there is no statement of an answer, only a status.
	reasonNoEvidence = "NoEvidence"
	// reasonTooMany says that a namespace has more Datastores than there is room for. Its own Conclusion has them.
	reasonTooMany = "TooManyDatastores"
	// reasonStatementsLost says that statements on which an answer rests are in a ledger that was lost.
	reasonStatementsLost = "StatementsLost"
)

// gapsOf are what a statement about a Datastore does not prove.
func gapsOf(d *evidence.Datastore) []evidence.Gap {
	var out []evidence.Gap
	if touched(d) {
		out = append(facts.Backups(d), facts.Engine(d))
	}
	if d.Level == evidence.LevelNotDone || d.Reason == erasure.ReasonDatastoreNotFound {
		out = append(out, evidence.Gap{Kind: evidence.GapDatastore, Name: d.Name, Reason: cmp.Or(d.Reason, d.Outcome)})
	}
	for i := range d.Datasets {
		if d.Datasets[i].Reason == string(receipt.Undeclared) {
			out = append(out, evidence.Gap{Kind: evidence.GapDataset, Name: d.Name + "/" + d.Datasets[i].Name, Reason: string(receipt.Undeclared)})
		}
	}
	return out
}

// close gives the statement its level, and says when what was erased is gone from the databases, and from backups if all
// that may hold it are declared.
func (c *conclusion) close() {
	levels, datasets := c.rest, 0
	for i := range c.Datastores {
		levels = append(levels, c.Datastores[i].Level)
		datasets += len(c.Datastores[i].Datasets)
	}
	c.Level = evidence.Combine(levels...)
	for i := range c.Datastores {
		if datasets > maxStated {
			c.Datastores[i].Datasets = nil
		}
	}
	seen := map[int64]bool{}
	c.Results = slices.DeleteFunc(c.Results, func(r evidence.Reference) bool {
		twice := seen[r.Index]
		seen[r.Index] = true
		return twice
	})
	if c.Level == evidence.LevelNothingFound || c.Level == evidence.LevelNotDone {
		return
	}
	declared := !c.more
	for i := range c.erased {
		d := &c.erased[i]
		c.LogicallyDeletedTime, c.GoneBy = latest(c.LogicallyDeletedTime, d.CompletionTime), latest(c.GoneBy, d.GoneBy)
		declared = declared && d.GoneBy != nil
	}
	if !declared {
		c.GoneBy = nil
	}
}

func latest(a, b *time.Time) *time.Time {
	if a == nil || b != nil && a.Before(*b) {
		return b
	}
	return a
}

// sum is the answer in figures.
func (s *scope) sum() string {
	st, atLeast := s.st(), ""
	if st.Counting == retentionv1.CountingAtLeast {
		atLeast = "at least "
	}
	return fmt.Sprintf("Records found: %s%d, erased: %s%d", atLeast, ptr.Deref(st.Found, 0), atLeast, ptr.Deref(st.Erased, 0))
}

// store is the Datastore of that name in the request's namespace, or nil.
func (s *scope) store(name string) *retentionv1.Datastore {
	if ds := s.datastores[name]; ds != nil {
		return ds
	}
	return s.others[name]
}

// facts are those of the request itself.
func (s *scope) facts(outcome string) *evidence.Request {
	r, st := s.request, s.st()
	out := &evidence.Request{
		Object: facts.Object(r), Regulation: string(st.Regulation), Ground: string(r.Spec.Ground), Channel: "Object",
		ReceivedTime: facts.Time(st.ReceivedTime), DueTime: facts.Time(st.DueTime), ApprovedTime: facts.Time(st.ApprovedTime),
		IdentifierTypes: slices.DeleteFunc(slices.Clone(st.IdentifierTypes), func(t string) bool { return !subject.ValidType(t) }),
		Commitments:     slices.Clone(st.Commitments), Approval: decision(st.Conditions, outcome),
	}
	if _, _, child := erasure.ParentOf(r); child {
		out.Channel = "Parent"
	}
	if e := st.Extension; e != nil {
		out.ExtendedFrom, out.ExtensionBasis = facts.Time(&e.OriginalDueTime), string(e.Reason)
	}
	for _, to := range st.Recipients {
		out.Recipients = append(out.Recipients, evidence.Recipient{Name: string(to.Name), Datastore: to.Datastore})
	}
	if c := st.Recheck; c != nil {
		out.Rechecks, out.RecheckUntil = c.Times, facts.Time(&c.Until)
	} else if period, err := schedule.ParsePeriod(string(r.Spec.RecheckFor)); err == nil && outcome == string(st.Outcome) {
		out.RecheckUntil = facts.At(period.AddTo(s.now, s.zone))
	}
	if outcome == outcomeWithdrawn {
		return out
	}
	if out.AnsweredTime = facts.Time(st.AnsweredTime); out.AnsweredTime == nil {
		out.AnsweredTime = facts.At(s.now.Truncate(time.Second)) // as a status keeps it
	}
	if out.ReceivedTime != nil {
		out.DaysTaken = daysTaken(*out.ReceivedTime, *out.AnsweredTime, s.zone)
	}
	if outcome != outcomeDenied {
		out.Verified = ptr.To(judgeVerified(st).status == metav1.ConditionTrue)
	}
	return out
}

const withheld = "Withheld"

// decision is what a person, or nobody, has decided before the outcome. Who it was does not stand in a condition. A message is
// left out unless it is such as the API lets people write about a case, and so is a reason. What was answered before somebody
// denied it had been approved.
func decision(conditions []metav1.Condition, outcome string) *evidence.Decision {
	for _, kind := range []string{retentionv1.ConditionDenied, retentionv1.ConditionApproved} {
		c := meta.FindStatusCondition(conditions, kind)
		if c == nil || c.Status != metav1.ConditionTrue || kind == retentionv1.ConditionDenied && outcome != outcomeDenied && outcome != outcomeWithdrawn {
			continue
		}
		d := &evidence.Decision{Decision: kind, Reason: c.Reason, Message: c.Message, Time: facts.Time(&c.LastTransitionTime)}
		if retentionv1.CaseText(d.Reason).Validate() != nil {
			d.Reason = withheld
		}
		if retentionv1.CaseText(d.Message).Validate() != nil {
			d.Message = ""
		}
		return d
	}
	return nil
}
