// SPDX-License-Identifier: Apache-2.0

package erasure

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/facts"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/receipt"
)

// MessageLedgerUnavailable is what a status says while the ledger keeps something waiting.
const MessageLedgerUnavailable = "The evidence ledger cannot be used now: nothing is released or answered, and nothing that was done is let go of, until it can"

// NotRun is the outcome of what nobody has begun.
const NotRun = string(receipt.StepNotRun)

var referenceDigest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// References are the statements of a kind that a status refers to, as a statement refers to them. What somebody has written
// there that is no reference is left out.
func References(kind evidence.Kind, refs ...retentionv1.EvidenceReference) []evidence.Reference {
	var out []evidence.Reference
	for _, r := range refs {
		if r.Index != nil && *r.Index >= 0 && referenceDigest.MatchString(r.Digest) {
			out = append(out, evidence.Reference{Kind: kind, Index: *r.Index, Digest: r.Digest})
		}
	}
	return out
}

// MessageUnsound is what a statement says whose parts did not fit together.
const MessageUnsound = "The parts of this statement contradicted each other and were left out; the operator's log says how"

// Sound returns the predicate as one that can be signed. What contradicts itself, or is larger than a statement may be, would
// never be stated, and would keep its run or its request waiting for ever: it claims nothing, and the error says why.
func Sound(p evidence.Predicate, subjects []evidence.Subject) (evidence.Predicate, error) {
	facts.Fit(&p)
	err := valid(p, subjects)
	if err == nil {
		return p, nil
	}
	claims := p.Kind == evidence.Result || p.Kind == evidence.Conclusion
	if p.Message, p.LogicallyDeletedTime, p.GoneBy, p.NotCovered = MessageUnsound, nil, nil, nil; claims {
		p.Level = evidence.LevelUnproven
	}
	p.Datastores = slices.Clone(p.Datastores)
	for i := range p.Datastores {
		d := &p.Datastores[i]
		if d.Datasets, d.Excluded, d.Holds, d.Attempts, d.GoneBy = nil, nil, nil, nil, nil; claims {
			d.Level = evidence.LevelUnproven
		}
	}
	return p, fmt.Errorf("a %s with the key %s cannot be stated as it is: %w", p.Kind, p.Key, err)
}

// valid says what is wrong with a predicate, apart from what is filled in when it is stated.
func valid(p evidence.Predicate, subjects []evidence.Subject) error {
	p.Time, p.Operator.Version = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), "any"
	p.RetainUntil = p.Time.AddDate(1, 0, 0)
	s := evidence.Statement{Type: evidence.StatementType, PredicateType: evidence.PredicateType, Subject: subjects, Predicate: p}
	s.Normalize()
	if err := s.Validate(); err != nil {
		return err
	}
	b, err := s.Encode()
	if err == nil && len(b) > evidence.MaxPayload {
		err = fmt.Errorf("it has %d bytes", len(b))
	}
	return err
}

// maxEvidence is how many references an entry has room for.
const maxEvidence = 16

// Refer adds a reference to those of an entry. Of too many, the oldest go.
func Refer(e *retentionv1.ErasureDatastore, ref *retentionv1.EvidenceReference) {
	if ref == nil || slices.ContainsFunc(e.Evidence, func(r retentionv1.EvidenceReference) bool { return ptr.Deref(r.Index, -1) == ptr.Deref(ref.Index, -2) }) {
		return
	}
	e.Evidence = append(e.Evidence, *ref)
	e.Evidence = e.Evidence[max(len(e.Evidence)-maxEvidence, 0):]
}

// Statement says what became of a request in a Datastore, as its entry has it. What a message says stays out: it may come
// from elsewhere. ds is nil if the Datastore is gone.
func Statement(namespace string, e *retentionv1.ErasureDatastore, ds *retentionv1.Datastore) evidence.Datastore {
	d := evidence.Datastore{Object: evidence.Object{Namespace: namespace, Name: e.Name, UID: e.UID}, Identity: e.Identity}
	if ds != nil && string(ds.UID) == e.UID {
		d = facts.Datastore(ds, nil, "", "")
		d.Identity = e.Identity
	}
	d.Outcome, d.Reason, d.Verified = string(e.Outcome), e.Reason, e.Verified
	if d.Outcome == "" {
		d.Outcome = NotRun
	}
	d.StartTime, d.CompletionTime = facts.Time(e.StartTime), facts.Time(e.CompletionTime)
	for _, name := range e.Holds {
		d.Holds = append(d.Holds, evidence.Hold{Object: evidence.Object{Namespace: namespace, Name: name}})
	}
	for i := range e.Datasets {
		d.Datasets = append(d.Datasets, Dataset(&e.Datasets[i], ds))
	}
	d.Level = level(e, d.Datasets)
	return d
}

// level is that of an entry: that of its datasets, and of its own outcome where it is worse, as when no run has come to an
// end there.
func level(e *retentionv1.ErasureDatastore, datasets []evidence.Dataset) evidence.Level {
	var parts []evidence.Level
	var worst retentionv1.ErasureOutcome
	for i := range datasets {
		parts = append(parts, evidence.OfErasure(datasets[i].Outcome, datasets[i]))
		worst = Worse(worst, e.Datasets[i].Outcome)
	}
	if e.Outcome != worst || len(datasets) == 0 {
		parts = append(parts, evidence.OfErasure(string(e.Outcome), evidence.Dataset{Reason: e.Reason}))
	}
	if evidence.Combine(parts...) == evidence.LevelIncomplete && nothingDone(datasets) {
		return evidence.LevelNotDone // whatever else failed there
	}
	if e.Step != retentionv1.ErasureStepFinished {
		parts = append(parts, evidence.LevelNotDone)
	}
	if e.Reason == ReasonDatastoreNotFound && e.Run != "" {
		parts = append(parts, evidence.LevelUnproven) // a run had it in hand, and nobody can ask what it did
	}
	return evidence.Combine(parts...)
}

func nothingDone(datasets []evidence.Dataset) bool {
	return len(datasets) > 0 && !slices.ContainsFunc(datasets, func(d evidence.Dataset) bool {
		return evidence.OfErasure(d.Outcome, d) != evidence.LevelNotDone
	})
}

// Dataset says what became of a request in a dataset. ds may be nil.
func Dataset(d *retentionv1.ErasureDataset, ds *retentionv1.Datastore) evidence.Dataset {
	out := evidence.Dataset{
		Name: string(d.Name), Categories: facts.Categories(ds, string(d.Name)), LegalBasis: string(d.LegalBasis),
		Method:  evidence.Method(d.Action), // the names are the same
		Outcome: string(d.Outcome), Reason: d.Reason, Found: clone(d.Found), Deleted: clone(d.Deleted), Anonymized: clone(d.Anonymized),
		Retained: clone(d.Retained), Held: clone(d.Held), Remaining: clone(d.Remaining), Constraints: slices.Clone(d.Constraints),
	}
	if i := DatasetIn(ds, string(d.Name)); i != nil {
		out.DataClass = string(i.DataClass)
	}
	Bound(&out)
	Counted(&out, d.Counting != retentionv1.CountingAtLeast, ds)
	return out
}

// Bound counts records that stay only because of others that must be kept among those: nobody means them to go.
func Bound(d *evidence.Dataset) {
	n := ptr.Deref(d.Remaining, 0)
	if n == 0 || d.Reason != string(receipt.ReferencedByRetained) {
		return
	}
	switch d.Outcome {
	case string(retentionv1.ErasureHeld):
		d.Held = ptr.To(ptr.Deref(d.Held, 0) + n)
	case string(retentionv1.ErasureRetainedByObligation):
		d.Retained = ptr.To(ptr.Deref(d.Retained, 0) + n)
	default:
		return
	}
	d.Remaining = ptr.To[int64](0)
}

// Counted says how a dataset's records were counted, looked for afterwards, and can be brought back.
func Counted(d *evidence.Dataset, exact bool, ds *retentionv1.Datastore) {
	if d.Deleted != nil || d.Anonymized != nil {
		d.CountingMethod, d.Counting = evidence.CountedRows, string(retentionv1.CountingExact)
	}
	if !exact {
		d.Counting = string(retentionv1.CountingAtLeast)
	}
	if d.Remaining != nil {
		d.Verification = evidence.VerifiedRecount
	}
	if ds != nil && Touched(d) {
		d.Reversibility = evidence.ReversibilityOf(d.Method, ds.Spec.GetEngine())
	}
}

// Touched says whether records of a dataset were changed, or may have been.
func Touched(d *evidence.Dataset) bool {
	return ptr.Deref(d.Deleted, 0)+ptr.Deref(d.Anonymized, 0) > 0 || d.Counting == string(retentionv1.CountingAtLeast)
}

// DatasetIn returns the dataset of that name in the data map, or nil.
func DatasetIn(ds *retentionv1.Datastore, name string) *retentionv1.Dataset {
	if ds == nil {
		return nil
	}
	for i := range ds.Spec.Datasets {
		if string(ds.Spec.Datasets[i].Name) == name {
			return &ds.Spec.Datasets[i]
		}
	}
	return nil
}

func clone(n *int64) *int64 {
	if n == nil {
		return nil
	}
	return ptr.To(*n)
}
