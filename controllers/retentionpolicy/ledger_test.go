// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"context"
	"os"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/facts"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/purgejob"
)

// mortalLedger is the ledger as a manager sees it that may die before it has appended, or before it hears that it has.
type mortalLedger struct{ w *world }

func (l mortalLedger) Append(ctx context.Context, p evidence.Predicate, subjects ...evidence.Subject) (evidence.Logged, error) {
	var logged evidence.Logged
	err := l.w.write(func() (err error) {
		logged, err = l.w.ledger.Append(ctx, p, subjects...)
		return err
	})
	if err == nil {
		err = l.w.write(func() error { return nil })
	}
	return logged, err
}

func (l mortalLedger) Find(ctx context.Context, kind evidence.Kind, key string) (*evidence.Logged, error) {
	return l.w.ledger.Find(ctx, kind, key)
}

// entries returns all that was stated, in the ledger's order, also once the test is over or while the ledger does not answer.
func (w *world) entries() (all []evidence.Logged) {
	w.t.Helper()
	for e, err := range w.ledger.Raw.Client.Entries(context.WithoutCancel(w.t.Context()), 0, time.Time{}, time.Time{}) {
		w.must(err)
		s, payload, err := evidence.Payload(e.Envelope)
		w.must(err)
		all = append(all, evidence.Logged{
			Reference: evidence.Reference{Kind: e.Leaf.Kind, Index: e.Index, Digest: evidence.DigestOf(payload)},
			Time:      s.Predicate.Time, Statement: *s,
		})
	}
	return all
}

// stated returns the statements of a kind.
func (w *world) stated(kind evidence.Kind) []evidence.Logged {
	w.t.Helper()
	return slices.DeleteFunc(w.entries(), func(l evidence.Logged) bool { return l.Kind != kind })
}

// conclusion returns the only Conclusion.
func (w *world) conclusion() *evidence.Predicate {
	w.t.Helper()
	all := w.stated(evidence.Conclusion)
	if len(all) != 1 {
		w.t.Fatalf("%d Conclusions", len(all))
	}
	return &all[0].Statement.Predicate
}

// expectIntent checks, as a Job is about to be released, that the ledger says what it will do.
func (w *world) expectIntent(job *batchv1.Job) {
	w.t.Helper()
	owner := metav1.GetControllerOf(job)
	key := evidence.ExecutionKey(string(owner.UID), job.Labels[purgejob.LabelRun], job.Name)
	of := func(l evidence.Logged) bool { return l.Statement.Predicate.Key == key }
	i := slices.IndexFunc(w.stated(evidence.Intent), of)
	if i < 0 {
		w.t.Errorf("Job %s is released, and the ledger does not know of it", job.Name)
		return
	}
	intent := w.stated(evidence.Intent)[i]
	policy := &retentionv1.RetentionPolicy{}
	w.must(w.c.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: owner.Name}, policy))
	if run := policy.Status.ActiveRun; run == nil || !slices.ContainsFunc(run.Datastores, func(d retentionv1.RunDatastore) bool {
		return d.Job == job.Name && facts.Refers(d.Intent, &intent)
	}) {
		w.t.Errorf("Job %s is released, and the status does not refer to its Intent: %+v", job.Name, run)
	}
	if got := intent.Statement.Predicate.Datastores[0]; got.PlanDigest != job.Annotations[purgejob.AnnotationPlanDigest] {
		w.t.Errorf("Job %s is released, and its Intent is about another plan: %+v", job.Name, got)
	}
	if slices.ContainsFunc(w.stated(evidence.Result), of) {
		w.t.Errorf("Job %s is released, and the ledger has its Result already", job.Name)
	}
}

// expectAccounts checks what has to hold of the ledger at all times: every Intent has one Result, save those of Jobs that a
// run still has in hand; nothing is there twice; and what the statuses refer to is there.
func (w *world) expectAccounts() {
	w.t.Helper()
	ctx := context.WithoutCancel(w.t.Context())
	list := &retentionv1.RetentionPolicyList{}
	w.must(w.c.List(ctx, list, client.InNamespace(w.namespace)))
	open := map[string]bool{}
	var refs []*retentionv1.EvidenceReference
	for i := range list.Items {
		st := &list.Items[i].Status
		for _, run := range []*retentionv1.Run{st.ActiveRun, st.LastRun} {
			if run == nil {
				continue
			}
			refs = append(refs, run.Evidence)
			for _, d := range run.Datastores {
				refs = append(refs, d.Intent, d.Evidence)
				if d.State == retentionv1.RunReleased {
					open[evidence.ExecutionKey(string(list.Items[i].UID), run.Name, d.Job)] = true
				}
			}
		}
	}
	entries := w.entries()
	seen, results := map[string]bool{}, map[int64]bool{}
	for _, l := range entries {
		s := &l.Statement
		key := string(l.Kind) + " " + s.Predicate.Key
		if seen[key] {
			w.t.Errorf("%s is there twice", key)
		}
		seen[key] = true
		if l.Kind == evidence.Result {
			results[s.Predicate.Closes.Index] = true
			if of := entries[s.Predicate.Closes.Index]; of.Kind != evidence.Intent || of.Statement.Predicate.Key != s.Predicate.Key || of.Digest != s.Predicate.Closes.Digest {
				w.t.Errorf("entry %d closes entry %d, which is %s %s", l.Index, of.Index, of.Kind, of.Statement.Predicate.Key)
			}
			w.expectModest(&s.Predicate)
			if d := s.Predicate.Datastores[0]; (d.Level == evidence.LevelDeleted) && w.purged[d.Job] == 0 || d.Level == evidence.LevelNotDone && w.deleted[d.Job] > 0 {
				w.t.Errorf("Job %s was carried out %d times and deleted %d records; its Result: %+v", d.Job, w.purged[d.Job], w.deleted[d.Job], d)
			}
		}
	}
	for _, l := range entries {
		if key := l.Statement.Predicate.Key; l.Kind == evidence.Intent && !results[l.Index] && !open[key] {
			w.t.Errorf("Intent %s has no Result", key)
		}
	}
	if len(entries) > 0 { // and whoever has the public keys comes to the same view
		w.ledger.Raw.Close(w.t)
		report, err := evidence.VerifyLog(os.DirFS(w.ledger.Raw.Dir), w.ledger.Raw.Trust)
		w.must(err)
		if report.Size != int64(len(entries)) {
			w.t.Errorf("%d of %d entries are verified", report.Size, len(entries))
		}
		for _, p := range report.Problems {
			w.t.Errorf("the ledger does not verify: %+v", p)
		}
	}
	for _, ref := range refs {
		if ref == nil {
			continue
		}
		if i := ptr.Deref(ref.Index, -1); i < 0 || i >= int64(len(entries)) || entries[i].Digest != ref.Digest ||
			string(entries[i].Statement.Predicate.Level) != ref.Level {
			w.t.Errorf("a status refers to %+v, which is not in the ledger", ref)
		}
	}
}

// expectModest checks that a Result claims no more than its outcome says.
func (w *world) expectModest(p *evidence.Predicate) {
	w.t.Helper()
	best := map[string][]evidence.Level{
		"Succeeded":        evidence.Levels,
		"Simulated":        {evidence.LevelNotDone, evidence.LevelUnproven},
		"AwaitingApproval": {evidence.LevelNotDone, evidence.LevelUnproven, evidence.LevelIncomplete},
	}[p.Outcome]
	if best == nil {
		best = []evidence.Level{evidence.LevelIncomplete, evidence.LevelUnproven, evidence.LevelNotDone}
	}
	if !slices.Contains(best, p.Level) {
		w.t.Errorf("%s has the outcome %s and the level %s", p.Key, p.Outcome, p.Level)
	}
}
