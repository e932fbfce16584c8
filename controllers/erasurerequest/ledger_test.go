// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"context"
	"os"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/purgejob"
)

// mortalLedger is the ledger of a manager that dies when its writes are used up: before an append, or after it, with the
// answer lost.
type mortalLedger struct{ w *world }

// Append implements attest.Ledger.
func (l *mortalLedger) Append(ctx context.Context, p evidence.Predicate, subjects ...evidence.Subject) (evidence.Logged, error) {
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

// Find implements attest.Ledger.
func (l *mortalLedger) Find(ctx context.Context, kind evidence.Kind, key string) (*evidence.Logged, error) {
	return l.w.ledger.Find(ctx, kind, key)
}

// entries are all that was stated, in the ledger's order.
func (w *world) entries() []evidence.Logged {
	w.t.Helper()
	var out []evidence.Logged
	for e, err := range w.ledger.Raw.Client.Entries(context.WithoutCancel(w.t.Context()), 0, time.Time{}, time.Time{}) {
		w.must(err)
		s, payload, err := evidence.Payload(e.Envelope)
		w.must(err)
		out = append(out, evidence.Logged{
			Reference: evidence.Reference{Kind: e.Leaf.Kind, Index: e.Index, Digest: evidence.DigestOf(payload)},
			Time:      s.Predicate.Time, Statement: *s,
		})
	}
	return out
}

// stated are the statements of a kind whose key has a part; an empty one is in all.
func (w *world) stated(kind evidence.Kind, part string) []evidence.Predicate {
	w.t.Helper()
	var out []evidence.Predicate
	for _, e := range w.entries() {
		if p := &e.Statement.Predicate; e.Kind == kind && strings.Contains(p.Key, part) {
			out = append(out, *p)
		}
	}
	return out
}

// expectStated checks, before a manager writes or deletes an object, that what must be in the ledger by then is there: the
// Intent of a Job before it is released, its Result before a finalizer of the Job or its Pods goes, and the answer to a
// request before it says when it was given, and before its Secret goes.
func (w *world) expectStated(o client.Object, deleting bool) {
	w.t.Helper()
	purge := o.GetLabels()[purgejob.LabelComponent] == purgejob.ComponentPurge && !deleting
	need := func(kind evidence.Kind, part, before string) {
		w.t.Helper()
		if len(w.stated(kind, part)) == 0 {
			w.t.Errorf("there is no %s of %s before %s", kind, part, before)
		}
	}
	letGo := func(job string) {
		if !purge || controllerutil.ContainsFinalizer(o, purgejob.Finalizer) {
			return
		}
		live := o.DeepCopyObject().(client.Object) // a copy of an object is an object
		w.must(client.IgnoreNotFound(w.c.Get(w.t.Context(), client.ObjectKeyFromObject(o), live)))
		if controllerutil.ContainsFinalizer(live, purgejob.Finalizer) && len(w.stated(evidence.Intent, "/"+job)) > 0 {
			need(evidence.Result, "/"+job, "a finalizer goes")
		}
	}
	switch o := o.(type) {
	case *batchv1.Job:
		if purge && !ptr.Deref(o.Spec.Suspend, false) && !purgejob.State(o).Finished() {
			need(evidence.Intent, "/"+o.Name, "it is released")
		}
		letGo(o.Name)
	case *corev1.Pod:
		letGo(o.Labels[batchv1.JobNameLabel])
	case *retentionv1.ErasureRequest:
		if o.Status.AnsweredTime != nil || erasure.Ended(o) {
			need(evidence.Conclusion, string(o.UID), "it is answered")
		}
	case *corev1.Secret:
		if deleting { // those of Jobs have their names
			if r := w.get(client.ObjectKey{Namespace: o.Namespace, Name: o.Name}); r != nil {
				need(evidence.Conclusion, string(r.UID), "its Secret goes")
			}
		}
	}
}

// audit checks what stands in the ledger when all work is done: each Intent has exactly one Result, which says no more than
// was done and no less, the Conclusions of a request are one chain, and nothing contradicts itself.
func (w *world) audit() {
	w.t.Helper()
	results, latest := map[int64]int{}, map[string]int64{}
	entries := w.entries()
	for i := range entries {
		e := &entries[i]
		p := &e.Statement.Predicate
		if p.Message == erasure.MessageUnsound {
			w.t.Errorf("entry %d, a %s, contradicted itself", e.Index, e.Kind)
		}
		switch e.Kind {
		case evidence.Result:
			results[p.Closes.Index]++
			job := p.Datastores[0].Job
			if n := w.erased[job]; p.Level == evidence.LevelDeleted && n == 0 || p.Level == evidence.LevelNotDone && n > 0 || p.Level == evidence.LevelNothingFound && n > 0 {
				w.t.Errorf("Job %s has erased %d records, and its Result is %s", job, n, p.Level)
			}
		case evidence.Conclusion:
			former, superseded := latest[p.Request.UID]
			if superseded != (p.Closes != nil) || superseded && p.Closes.Index != former {
				w.t.Errorf("Conclusion %d closes %+v, and the former one is %d", e.Index, p.Closes, former)
			}
			latest[p.Request.UID] = e.Index
		}
	}
	for i := range entries {
		if e := &entries[i]; e.Kind == evidence.Intent && results[e.Index] != 1 {
			w.t.Errorf("Intent %s has %d Results", e.Statement.Predicate.Key, results[e.Index])
		}
	}
}

// verify closes the ledger at the end of every test, and has it verified as whoever has the public keys would.
func (w *world) verify() {
	w.t.Helper()
	w.audit()
	n := len(w.entries())
	if n == 0 {
		return
	}
	w.ledger.Raw.Close(w.t)
	report, err := evidence.VerifyLog(os.DirFS(w.ledger.Raw.Dir), w.ledger.Raw.Trust)
	w.must(err)
	if report.Size != int64(n) || len(report.Dangling) > 0 {
		w.t.Errorf("%d of %d entries are verified, %v dangle", report.Size, n, report.Dangling)
	}
	for _, p := range report.Problems {
		w.t.Errorf("the ledger does not verify: %+v", p)
	}
}
