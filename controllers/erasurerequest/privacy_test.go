// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
)

// TestNoStatementNamesAPerson puts identifiers that nobody else has wherever one may come to stand, by right or by mistake,
// and looks for them in every statement and every entry of the ledger.
func TestNoStatementNamesAPerson(t *testing.T) {
	const (
		mail, number   = "zq7x.improbable@nowhere.invalid", "c-90210077"
		other, another = "wv3k.unlikely@nowhere.invalid", "c-60310088"
		phone          = "+49 1590 7654321"
	)
	w := newWorld(t)
	w.says = "error: duplicate key value (email)=(" + mail + ")"
	w.datastore("shop", customers(), nil)
	w.datastore("desk", tickets(), nil)
	team := w.team(w.namespace)
	w.label(team, retentionv1.LabelErasureApproval, "Required")
	w.records["shop"] = []record{
		{dataset: "customer", ids: map[string]string{"email": mail, "customer_id": number}}, {dataset: "orders", customer: number},
		{dataset: "customer", ids: map[string]string{"email": other, "customer_id": another}}, {dataset: "orders", customer: another},
	}
	w.records["desk"] = []record{{dataset: "ticket", ids: map[string]string{"customer_id": number}}, {dataset: "ticket", ids: map[string]string{"customer_id": another}}}
	for _, name := range []string{"shop", "desk"} {
		ds := w.store(name)
		meta.SetStatusCondition(&ds.Status.Conditions, metav1.Condition{Type: retentionv1.ConditionReachable, Status: metav1.ConditionTrue, Reason: "Reachable", Message: "as " + mail})
		w.must(w.c.Status().Update(t.Context(), ds))
	}
	approval := func(r *retentionv1.ErasureRequest) {
		r.Spec.Approval, r.Spec.RecheckFor = retentionv1.ApprovalRequired, "P1D"
		r.Annotations = map[string]string{retentionv1.AnnotationExtensionReason: "ask " + mail, retentionv1.AnnotationRequestedBy: mail}
	}
	w.create("secret", map[string]string{"email": mail}, func(r *retentionv1.ErasureRequest) { approval(r); w.reaching(r) })
	w.create("sealed", nil, func(r *retentionv1.ErasureRequest) {
		approval(r)
		r.Spec.Subject = retentionv1.Subject{Sealed: w.sealed("email=" + other)}
	})
	w.create("refused", map[string]string{"email": mail, "customer_id": another}, approval) // two persons
	w.settle()
	set(w, "secret", retentionv1.ConditionApproved, "Checked", mail+" has shown who she is, "+phone)
	set(w, "sealed", retentionv1.ConditionApproved, "Checked", "Called "+phone)
	set(w, "refused", retentionv1.ConditionApproved, "Checked", other)
	died := false
	w.before = func(job *batchv1.Job, attempt int) bool { // a batch of one of them has no known end
		if !died && strings.Contains(w.planOf(job), `"mode":"Enforce"`) {
			died, w.dies[job.Labels["dataretention.dev/datastore"]] = true, 1
		}
		return true
	}
	w.settle()
	for _, ds := range w.datastores() {
		if run := ds.Status.ActiveRun; run != nil {
			run.Erasure.Message = "Back-off: " + mail
			w.must(w.c.Status().Update(t.Context(), &ds))
		}
	}
	deny(w, "refused", "TwoPersons", mail+" and "+other)
	for _, r := range w.list() {
		if r.Namespace == team {
			meta.SetStatusCondition(&r.Status.Conditions, metav1.Condition{Type: retentionv1.ConditionDenied, Status: metav1.ConditionTrue, Reason: "Needed", Message: mail, ObservedGeneration: r.Generation})
			w.must(w.c.Status().Update(t.Context(), &r))
		}
	}
	w.settle()
	w.records["shop"] = append(w.records["shop"], record{dataset: "customer", ids: map[string]string{"email": mail, "customer_id": number}})
	for range 3 {
		w.tick(25 * time.Hour)
		w.settle()
	}
	if n := len(w.stated(evidence.Conclusion, "")); n < 4 || !died {
		t.Errorf("only %d Conclusions, so that this test shows little", n)
	}

	forbidden := []string{mail, number, other, another, "zq7x.improbable", "wv3k.unlikely", "nowhere.invalid", "7654321", phone}
	look := func(where, text string) {
		t.Helper()
		for _, id := range forbidden {
			if strings.Contains(text, id) {
				t.Errorf("%s stands in %s: %s", id, where, text)
			}
		}
	}
	seen := 0
	for e, err := range w.ledger.Raw.Client.Entries(context.WithoutCancel(t.Context()), 0, time.Time{}, time.Time{}) {
		w.must(err)
		_, payload, err := evidence.Payload(e.Envelope)
		w.must(err)
		leaf, err := json.Marshal(e.Leaf)
		w.must(err)
		look("a statement", string(payload))
		look("an entry", string(leaf))
		seen++
	}
	w.must(fs.WalkDir(os.DirFS(w.ledger.Raw.Dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(os.DirFS(w.ledger.Raw.Dir), path)
		look("file "+path, string(b))
		return err
	}))
	if seen < 10 {
		t.Errorf("only %d entries", seen)
	}
}
