// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/receipt"
)

// TestAConclusionNamesAllDatastores: of two that were selected one cannot be reached, another was never taken.
func TestAConclusionNamesAllDatastores(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.datastore("web")
	w.changeDatastore("web", func(ds *retentionv1.Datastore) { ds.Spec.Backups = &retentionv1.Backups{Retention: "P35D"} })
	ds := w.datastore("crm")
	ds.Status.Identity, ds.Status.ObservedIdentity = "", ""
	meta.SetStatusCondition(&ds.Status.Conditions, metav1.Condition{Type: retentionv1.ConditionReachable, Status: metav1.ConditionFalse, Reason: "Unreachable", Message: "no connection"})
	w.must(w.c.Status().Update(t.Context(), ds))
	w.create("p", nil)
	p := w.settle("p")
	c := w.conclusion()
	if c.Level != evidence.LevelIncomplete || c.Outcome != "Unreachable" || len(c.Datastores) != 3 || len(c.Results) != 2 {
		t.Fatalf("conclusion %+v", c)
	}
	if d := c.Datastores[0]; d.Name != "crm" || d.Level != evidence.LevelNotDone || d.Outcome != "Unreachable" || d.UID != string(ds.UID) {
		t.Errorf("datastore %+v", d)
	}
	if d := c.Datastores[1]; d.Name != "shop" || d.Level != evidence.LevelDeleted {
		t.Errorf("datastore %+v", d)
	}
	if !slices.ContainsFunc(c.NotCovered, func(g evidence.Gap) bool { return g.Kind == evidence.GapDatastore && g.Name == "crm" }) {
		t.Errorf("gaps %+v", c.NotCovered)
	}
	if c.GoneBy != nil || c.LogicallyDeletedTime == nil || !slices.ContainsFunc(c.NotCovered, func(g evidence.Gap) bool {
		return g.Kind == evidence.GapBackup && g.Name == "shop" && g.Until == nil
	}) {
		t.Errorf("backups that nobody has declared are gone by %v: %+v", c.GoneBy, c.NotCovered)
	}
	if p.Status.LastRun.Evidence.Level != string(evidence.LevelIncomplete) {
		t.Errorf("last run %+v", p.Status.LastRun.Evidence)
	}
}

// TestARunWithoutJobsIsConcluded: there is nothing that the rules are about, or a hold keeps it all.
func TestARunWithoutJobsIsConcluded(t *testing.T) {
	for name, tc := range map[string]struct {
		hold bool
		rule retentionv1.Rule
		want evidence.Level
	}{
		"a hold keeps all":       {true, retentionv1.Rule{Name: "old", Datasets: []retentionv1.DatasetName{"events"}, DeleteAfter: "P90D"}, evidence.LevelRetained},
		"a rule for nothing":     {false, retentionv1.Rule{Name: "old", Datasets: []retentionv1.DatasetName{"nothing"}, DeleteAfter: "P90D"}, evidence.LevelNotDone},
		"a rule that only keeps": {false, retentionv1.Rule{Name: "old", Datasets: []retentionv1.DatasetName{"events"}, RetainAtLeast: "P90D", LegalBasis: "law"}, evidence.LevelNotDone},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.datastore("shop")
			if tc.hold {
				w.legalHold("h", func(*retentionv1.LegalHoldSpec) {})
			}
			w.create("p", func(p *retentionv1.RetentionPolicy) { p.Spec.Rules = []retentionv1.Rule{tc.rule} })
			p := w.settle("p")
			c := w.conclusion()
			if c.Level != tc.want || len(w.entries()) != 1 || p.Status.LastRun.Evidence == nil || c.Datastores[0].Reason != reasonNothingToDo {
				t.Errorf("conclusion %+v", c)
			}
		})
	}
}

// TestWhatWasLostIsUnproven: a Job is gone with its receipt, and a receipt cannot be read.
func TestWhatWasLostIsUnproven(t *testing.T) {
	t.Run("the Job", func(t *testing.T) {
		w := newWorld(t)
		w.datastore("shop")
		w.create("p", nil)
		job := w.gated()
		w.must(w.pass(w.reconciler(), "p"))
		w.must(w.c.Get(t.Context(), client.ObjectKeyFromObject(job), job))
		job.Finalizers = nil
		w.must(w.c.Update(t.Context(), job))
		w.must(client.IgnoreNotFound(w.c.Delete(t.Context(), job, client.PropagationPolicy(metav1.DeletePropagationBackground))))
		w.settle("p")
		r := w.stated(evidence.Result)[0].Statement.Predicate
		if ds := r.Datastores[0].Datasets[0]; r.Level != evidence.LevelUnproven || ds.Reason != reasonReceiptLost || ds.Deleted != nil || ds.Counting != "AtLeast" {
			t.Errorf("Result %+v", r)
		}
		if c := w.conclusion(); c.Level != evidence.LevelUnproven {
			t.Errorf("Conclusion %+v", c)
		}
	})
	t.Run("a batch", func(t *testing.T) { // it was in flight, and what was due is gone: nobody can say by whom
		w := newWorld(t)
		w.datastore("shop")
		w.pod = func(job *batchv1.Job, attempt int) podEnd {
			if attempt == 0 {
				r := succeeded(10, 0)
				r.Phase, r.Reason, r.Steps[0].Verified, r.Steps[0].Reason, r.Steps[0].InFlight = receipt.PhasePurging, "", false, "", 10
				end := ends(job, receipt.ExitDone, r)
				end.code = 137
				return end
			}
			return ends(job, receipt.ExitDone, succeeded(0, 0))
		}
		w.create("p", nil)
		p := w.settle("p")
		r := w.stated(evidence.Result)[0].Statement.Predicate
		if ds := r.Datastores[0].Datasets[0]; p.Status.LastRun.Outcome != retentionv1.OutcomeSucceeded || r.Level != evidence.LevelUnproven || ds.Counting != "AtLeast" || r.LogicallyDeletedTime == nil {
			t.Errorf("Result %+v", r)
		}
	})
	t.Run("a receipt", func(t *testing.T) {
		w := newWorld(t)
		w.datastore("shop")
		w.pod = func(job *batchv1.Job, attempt int) podEnd {
			if attempt == 0 {
				return podEnd{code: 137, message: []byte("no receipt at all")}
			}
			return ends(job, receipt.ExitDone, succeeded(6, 6))
		}
		w.create("p", nil)
		p := w.settle("p")
		r := w.stated(evidence.Result)[0].Statement.Predicate
		if p.Status.LastRun.Outcome != retentionv1.OutcomeSucceeded || r.Level != evidence.LevelUnproven || !r.Datastores[0].Attempts[0].Unreadable || len(r.Datastores[0].Attempts) != 2 {
			t.Errorf("Result %+v", r)
		}
	})
}

// TestAnApprovalHasItsOwnConclusion, which takes the place of the former; a second approval of the same run has another.
func TestAnApprovalHasItsOwnConclusion(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.datastore("crm")
	w.pod = func(job *batchv1.Job, _ int) podEnd {
		if slices.Contains(job.Spec.Template.Spec.Containers[0].Args, "--approved-records=50") {
			return ends(job, receipt.ExitDone, succeeded(50, 50))
		}
		r := succeeded(50, 0)
		r.Reason, r.Steps[0].Verified, r.Steps[0].Reason = receipt.GuardrailExceeded, false, receipt.NotStarted
		return ends(job, receipt.ExitGuardrail, r)
	}
	w.create("p", func(p *retentionv1.RetentionPolicy) {
		p.Spec.Guardrails = &retentionv1.Guardrails{MaxPercent: ptr.To(int32(20))}
	})
	var digests []string
	for i, want := range []evidence.Level{evidence.LevelNotDone, evidence.LevelIncomplete, evidence.LevelDeleted} {
		p := w.settle("p")
		all := w.stated(evidence.Conclusion)
		if len(all) != i+1 {
			t.Fatalf("%d Conclusions", len(all))
		}
		c := all[i].Statement.Predicate
		if c.Level != want || len(c.Results) != 2 || *p.Status.LastRun.Evidence.Index != all[i].Index {
			t.Errorf("Conclusion %d: %+v", i, c)
		}
		if i > 0 && (c.Closes == nil || *c.Closes != all[i-1].Reference) {
			t.Errorf("Conclusion %d closes %+v", i, c.Closes)
		}
		if i < 2 {
			digests = append(digests, p.Status.LastRun.Datastores[i].PlanDigest)
			w.change(func(p *retentionv1.RetentionPolicy) {
				p.Annotations[retentionv1.AnnotationApprovedPlan] = strings.Join(digests, ",")
			})
		}
	}
	approved := w.stated(evidence.Intent)[2].Statement.Predicate.Run
	if approved.ApprovedPlan != digests[0] || ptr.Deref(approved.ApprovedRecords, -1) != 50 || approved.Trigger != "Approval" {
		t.Errorf("what was approved: %+v", approved)
	}
}
