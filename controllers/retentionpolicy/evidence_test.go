// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/receipt"
)

// changeDatastore changes a Datastore and its status.
func (w *world) changeDatastore(name string, change func(*retentionv1.Datastore)) {
	w.t.Helper()
	ds := &retentionv1.Datastore{}
	w.must(w.c.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, ds))
	st := ds.Status.DeepCopy()
	change(ds)
	changed := ds.Status.DeepCopy()
	ds.Status = *st
	w.must(w.c.Update(w.t.Context(), ds))
	ds.Status = *changed
	ds.Status.ObservedGeneration = ds.Generation
	w.must(w.c.Status().Update(w.t.Context(), ds))
}

// TestWhatARunLeavesInTheLedger reads all three statements of a run as an auditor would.
func TestWhatARunLeavesInTheLedger(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.changeDatastore("shop", func(ds *retentionv1.Datastore) {
		ds.Spec.Purposes = []retentionv1.PlainText{"web analytics"}
		ds.Spec.Recipients = []retentionv1.PlainText{"mail provider"}
		ds.Spec.Backups = &retentionv1.Backups{Retention: "P35D"}
		ds.Spec.Datasets[0].Categories = []retentionv1.PlainText{"user.behavior"}
		meta.SetStatusCondition(&ds.Status.Conditions, metav1.Condition{Type: retentionv1.ConditionReferencesMapped, Status: metav1.ConditionFalse,
			Reason: retentionv1.ReasonForeignKeysNotMapped, Message: "dataset events: the foreign key visit_fk is not in the data map"})
	})
	h := w.legalHold("h", func(s *retentionv1.LegalHoldSpec) {
		s.Condition = &retentionv1.HoldCondition{Field: "case", Operator: "Exists"}
	})
	w.pod = func(job *batchv1.Job, _ int) podEnd {
		r := succeeded(10, 10)
		r.Steps[0].Undated = 3
		return ends(job, receipt.ExitDone, r)
	}
	w.create("p", func(p *retentionv1.RetentionPolicy) {
		p.Spec.Rules[0].LegalBasis = "TDDDG § 25"
		p.Spec.Rules = append(p.Spec.Rules, retentionv1.Rule{Name: "tax", Datasets: []retentionv1.DatasetName{"events"}, RetainAtLeast: "P30D", LegalBasis: "AO § 147"})
	})
	p := w.settle("p")
	run, d := p.Status.LastRun, p.Status.LastRun.Datastores[0]

	entries := w.entries()
	if len(entries) != 3 || entries[0].Kind != evidence.Intent || entries[1].Kind != evidence.Result || entries[2].Kind != evidence.Conclusion {
		t.Fatalf("the ledger has %d entries", len(entries))
	}
	intent, result, conclusion := entries[0].Statement.Predicate, entries[1].Statement.Predicate, entries[2].Statement.Predicate
	if intent.Level != evidence.LevelNone || result.Level != evidence.LevelDeleted || conclusion.Level != evidence.LevelDeleted {
		t.Errorf("levels %s, %s, %s", intent.Level, result.Level, conclusion.Level)
	}
	if want := evidence.ExecutionKey(string(p.UID), run.Name, d.Job); intent.Key != want || result.Key != want {
		t.Errorf("keys %s, %s", intent.Key, result.Key)
	}
	if want := string(p.UID) + "/" + run.Name + "/Request"; conclusion.Key != want {
		t.Errorf("key %s, want %s", conclusion.Key, want)
	}
	if *d.Intent.Index != 0 || *d.Evidence.Index != 1 || *run.Evidence.Index != 2 || *p.Status.History[0].Evidence.Index != 2 || d.Evidence.Level != "Deleted" {
		t.Errorf("the status refers to %+v, %+v, %+v, %+v", d.Intent, d.Evidence, run.Evidence, p.Status.History[0].Evidence)
	}
	if intent.Policy.UID != string(p.UID) || intent.Policy.Generation != 1 || intent.Run.Mode != "Enforce" || !intent.Run.Slot.Equal(run.Slot.Time) || intent.Operator.Image != "retention-operator:test" {
		t.Errorf("policy %+v, run %+v, operator %+v", intent.Policy, intent.Run, intent.Operator)
	}

	before, after := intent.Datastores[0], result.Datastores[0]
	ds := before.Datasets[0]
	if before.Identity != "id-1" || before.Engine != "postgresql" || before.PlanDigest != d.PlanDigest || before.BackupRetention != "P35D" || before.Purposes[0] != "web analytics" {
		t.Errorf("datastore %+v", before)
	}
	if ds.Name != "events" || ds.Rule != "old" || ds.RuleReason == "" || ds.Period != "P90D" || ds.LegalBasis != "TDDDG § 25" || ds.Method != evidence.MethodDelete ||
		ds.Reversibility == "" || !ds.Cutoff.Equal(d.Datasets[0].Cutoff.Time) || ds.Categories[0] != "user.behavior" || ds.Deleted != nil {
		t.Errorf("dataset %+v", ds)
	}
	if hold := before.Holds; len(hold) != 1 || hold[0].UID != string(h.UID) || hold[0].Scope != "Condition" || hold[0].Authority != "court" || !hold[0].SeenTime.Equal(w.clock.Now()) {
		t.Errorf("holds %+v", hold)
	}
	if !slices.ContainsFunc(before.Excluded, func(x evidence.Exclusion) bool {
		return x.Reason == reasonObligation && x.Rule == "tax" && strings.Contains(x.Message, "AO § 147")
	}) {
		t.Errorf("the obligation is not told: %+v", before.Excluded)
	}
	ds = after.Datasets[0]
	if ptr.Deref(ds.Deleted, -1) != 10 || ptr.Deref(ds.Remaining, -1) != 0 || ptr.Deref(ds.Undated, -1) != 3 || ds.Counting != "Exact" ||
		ds.CountingMethod != evidence.CountedRows || ds.Verification != evidence.VerifiedRecount || ds.Outcome != "Deleted" || ds.Rule != "old" {
		t.Errorf("dataset %+v", ds)
	}
	if after.Outcome != "Succeeded" || after.ServerVersion != "15.18" || len(after.Attempts) != 1 || *after.Attempts[0].ExitCode != 0 || !ptr.Deref(after.Verified, false) {
		t.Errorf("datastore %+v", after)
	}
	end := w.clock.Now()
	for _, s := range []evidence.Predicate{result, conclusion} {
		if !s.LogicallyDeletedTime.Equal(end) || !s.GoneBy.Equal(end.AddDate(0, 0, 35)) {
			t.Errorf("%s: deleted %v, gone by %v", s.Kind, s.LogicallyDeletedTime, s.GoneBy)
		}
		var gaps []string
		for _, g := range s.NotCovered {
			gaps = append(gaps, fmt.Sprintf("%s %s %s", g.Kind, g.Name, g.Reason))
		}
		slices.Sort(gaps)
		if want := []string{"Backup shop Declared", "Dataset shop ForeignKeysNotMapped", "Dataset shop/events UndatedRecords", "Engine shop NotCleanedUp",
			"Recipient mail provider NotNotified"}; !slices.Equal(gaps, want) {
			t.Errorf("%s: gaps %q", s.Kind, gaps)
		}
	}
	if len(conclusion.Results) != 1 || conclusion.Results[0] != entries[1].Reference || conclusion.Outcome != "Succeeded" || len(conclusion.Datastores) != 1 || conclusion.Run.CompletionTime == nil {
		t.Errorf("conclusion %+v", conclusion)
	}
	w.expectSubjects(p, entries[1].Statement.Subject)
}

// expectSubjects reckons the digests anew, from what the cluster has.
func (w *world) expectSubjects(p *retentionv1.RetentionPolicy, subjects []evidence.Subject) {
	w.t.Helper()
	canonical := func(kind, name string) []byte { // as jq -cjS .spec
		u := &unstructured.Unstructured{}
		u.SetAPIVersion(retentionv1.GroupVersion.String())
		u.SetKind(kind)
		w.must(w.c.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: name}, u))
		b, err := json.Marshal(u.Object["spec"])
		w.must(err)
		return b
	}
	d := p.Status.LastRun.Datastores[0]
	configMap := &corev1.ConfigMap{}
	w.must(w.c.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: d.Job}, configMap))
	pod := &corev1.Pod{}
	w.must(w.c.Get(w.t.Context(), client.ObjectKey{Namespace: w.namespace, Name: d.Job + "-0"}, pod))
	want := map[string][]byte{
		"plan/" + d.Job:           []byte(configMap.Data["plan.json"]),
		"policy/p":                canonical("RetentionPolicy", "p"),
		"datastore/shop":          canonical("Datastore", "shop"),
		"receipt/" + d.Job + "-0": []byte(pod.Status.ContainerStatuses[0].State.Terminated.Message),
	}
	for _, s := range subjects {
		sum := sha256.Sum256(want[s.Name])
		if want[s.Name] == nil || s.Digest["sha256"] != hex.EncodeToString(sum[:]) {
			w.t.Errorf("subject %s has the digest %s, want %x", s.Name, s.Digest, sum)
		}
		delete(want, s.Name)
	}
	if len(want) > 0 {
		w.t.Errorf("no subjects for %d of them", len(want))
	}
}

// TestNoPersonInTheLedger has identifiers in all that passes the manager: in a message that is no receipt, in what a kubelet
// says, and in annotations.
func TestNoPersonInTheLedger(t *testing.T) {
	const person = "zenobia.quillfeather@xn--nowhere.example"
	w := newWorld(t)
	w.datastore("shop")
	w.pod = func(job *batchv1.Job, attempt int) podEnd {
		if attempt == 0 {
			return podEnd{code: 2, message: []byte("panic: duplicate key value (email)=(" + person + ")")}
		}
		return ends(job, receipt.ExitDone, succeeded(6, 6))
	}
	w.create("p", func(p *retentionv1.RetentionPolicy) {
		p.Annotations[retentionv1.AnnotationRequestedAt] = person
		p.Annotations["example.com/note"] = person
	})
	job := w.gated()
	w.must(w.pass(w.reconciler(), "p"))
	w.must(w.c.Get(t.Context(), client.ObjectKeyFromObject(job), job))
	base := job.DeepCopy()
	metav1.SetMetaDataAnnotation(&job.ObjectMeta, "example.com/note", person)
	w.must(w.c.Patch(t.Context(), job, client.MergeFrom(base)))
	w.kubelet()
	pods := &corev1.PodList{}
	w.must(w.c.List(t.Context(), pods, client.InNamespace(w.namespace)))
	for i := range pods.Items {
		pod := &pods.Items[i]
		pod.Status.Message, pod.Status.Reason = person, person
		pod.Status.ContainerStatuses[0].State.Terminated.Reason = person
		w.must(w.c.Status().Update(t.Context(), pod))
	}
	w.settle("p")
	for _, l := range w.entries() {
		b, err := l.Statement.Encode()
		w.must(err)
		if bytes.Contains(b, []byte("quillfeather")) {
			t.Errorf("entry %d (%s): %s", l.Index, l.Kind, b)
		}
	}
	if r := w.stated(evidence.Result)[0].Statement; r.Predicate.Level != evidence.LevelUnproven || !slices.ContainsFunc(r.Subject, func(s evidence.Subject) bool {
		return strings.HasPrefix(s.Name, "receipt/")
	}) {
		t.Errorf("what was left has no digest: %+v", r)
	}
}
