// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// many is how often something random is repeated: few times, or, if RETENTION_E2E_LONG is set, often.
func many(few, often int) int {
	if os.Getenv("RETENTION_E2E_LONG") != "" {
		return often
	}
	return few
}

// subject makes the Secret that names a person, and returns what a request or a hold says to refer to it.
func (e *env) subject(name string, identifiers map[string]string) retentionv1.Subject {
	e.t.Helper()
	e.must(e.c.Create(e.t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: name},
		Type:       retentionv1.SubjectSecretType,
		StringData: identifiers,
	}))
	return retentionv1.Subject{SecretRef: &retentionv1.SecretReference{Name: name}}
}

// subjectIsGone says whether the operator has deleted the Secret that names a person.
func (e *env) subjectIsGone(name string) bool {
	e.t.Helper()
	err := e.c.Get(e.t.Context(), client.ObjectKey{Namespace: e.namespace, Name: name}, &corev1.Secret{})
	e.must(client.IgnoreNotFound(err))
	return err != nil
}

// erasure files an ErasureRequest.
func (e *env) erasure(name string, subject retentionv1.Subject, change func(*retentionv1.ErasureRequest)) *retentionv1.ErasureRequest {
	e.t.Helper()
	r := &retentionv1.ErasureRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: name},
		Spec:       retentionv1.ErasureRequestSpec{Subject: subject},
	}
	if change != nil {
		change(r)
	}
	e.must(e.c.Create(e.t.Context(), r))
	return r
}

// reaches waits until the request is in one of the states.
func (e *env) reaches(r *retentionv1.ErasureRequest, within time.Duration, states ...retentionv1.ErasureState) {
	e.t.Helper()
	e.waitFor(within, fmt.Sprintf("request %s to be %v", r.Name, states), func() (bool, string) {
		e.must(e.c.Get(e.t.Context(), client.ObjectKeyFromObject(r), r))
		return slices.Contains(states, r.Status.State), fmt.Sprintf("%+v", r.Status)
	})
}

// answered waits until the request is answered.
func (e *env) answered(r *retentionv1.ErasureRequest, within time.Duration) {
	e.t.Helper()
	e.reaches(r, within, retentionv1.ErasureAnswered)
}

// expectAnswer compares the answer with what was counted. Whether the request has succeeded follows from its outcome.
func (e *env) expectAnswer(r *retentionv1.ErasureRequest, outcome retentionv1.ErasureOutcome, found, erased int64) {
	e.t.Helper()
	s := r.Status
	if s.Outcome != outcome || ptr.Deref(s.Found, -1) != found || ptr.Deref(s.Erased, -1) != erased || s.Counting != retentionv1.CountingExact {
		e.t.Errorf("%s: %s, found %d, erased %d, %s; want %s, %d, %d: %+v", r.Name, s.Outcome, ptr.Deref(s.Found, -1), ptr.Deref(s.Erased, -1),
			s.Counting, outcome, found, erased, s)
	}
	succeeded := outcome == retentionv1.ErasureDeleted || outcome == retentionv1.ErasureAnonymized
	if meta.IsStatusConditionTrue(s.Conditions, retentionv1.ConditionSucceeded) != succeeded {
		e.t.Errorf("%s: %s, and the conditions say %+v", r.Name, outcome, s.Conditions)
	}
	if succeeded && !meta.IsStatusConditionTrue(s.Conditions, retentionv1.ConditionVerified) {
		e.t.Errorf("%s is not verified: %+v", r.Name, s.Conditions)
	}
}

// became returns what became of the person's records in a dataset.
func (e *env) became(r *retentionv1.ErasureRequest, datastore, dataset string) retentionv1.ErasureDataset {
	e.t.Helper()
	for _, d := range r.Status.Datastores {
		for _, ds := range d.Datasets {
			if d.Name == datastore && string(ds.Name) == dataset {
				return ds
			}
		}
	}
	e.t.Fatalf("the answer says nothing of %s in %s: %+v", dataset, datastore, r.Status)
	return retentionv1.ErasureDataset{}
}

// hold makes a LegalHold.
func (e *env) hold(name string, change func(*retentionv1.LegalHoldSpec)) *retentionv1.LegalHold {
	e.t.Helper()
	h := &retentionv1.LegalHold{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: name},
		Spec:       retentionv1.LegalHoldSpec{Reason: "evidence in a pending case", Authority: "district court", Reference: "3 O 17/26"},
	}
	change(&h.Spec)
	e.must(e.c.Create(e.t.Context(), h))
	return h
}

// enforced waits until the hold is enforced.
func (e *env) enforced(h *retentionv1.LegalHold, within time.Duration) {
	e.t.Helper()
	e.waitFor(within, "hold "+h.Name+" to be enforced", func() (bool, string) {
		e.must(e.c.Get(e.t.Context(), client.ObjectKeyFromObject(h), h))
		return meta.IsStatusConditionTrue(h.Status.Conditions, retentionv1.ConditionEnforced), fmt.Sprintf("%+v", h.Status)
	})
}

// release releases the hold, waits until that has taken effect, and deletes it.
func (e *env) release(h *retentionv1.LegalHold) {
	e.t.Helper()
	e.must(e.c.Get(e.t.Context(), client.ObjectKeyFromObject(h), h))
	base := h.DeepCopy()
	h.Spec.Release = &retentionv1.HoldRelease{Reason: "the case is closed"}
	e.must(e.c.Patch(e.t.Context(), h, client.MergeFrom(base)))
	e.waitFor(time.Minute, "hold "+h.Name+" to be released", func() (bool, string) {
		e.must(e.c.Get(e.t.Context(), client.ObjectKeyFromObject(h), h))
		return meta.IsStatusConditionTrue(h.Status.Conditions, retentionv1.ConditionReleased), fmt.Sprintf("%+v", h.Status)
	})
	e.must(e.c.Delete(e.t.Context(), h))
}

// fingerprint sums up every table of the database, without the records that meet the table's condition in theirs.
func (e *env) fingerprint(theirs map[string]string) map[string]string {
	e.t.Helper()
	tables := postgres.Value[[]string](e.t, e.db, "SELECT array_agg(tablename::text) FROM pg_tables WHERE schemaname = 'public'")
	sums := map[string]string{}
	for _, table := range tables {
		condition := theirs[table]
		if condition == "" {
			condition = "false"
		}
		sums[table] = e.sum(fmt.Sprintf("SELECT count(*), sum(hashtextextended(t::text, 0)) FROM %s t WHERE NOT (%s)", table, condition))
	}
	return sums
}

// expectUntouched compares two fingerprints.
func expectUntouched(t *testing.T, before, after map[string]string) {
	t.Helper()
	if len(before) == 0 || !maps.Equal(before, after) {
		t.Errorf("records of others were touched: before %v, after %v", before, after)
	}
}

// erases returns what a dataset's onErasure says for this action.
func erases(action retentionv1.ErasureAction) *retentionv1.OnErasure {
	on := &retentionv1.OnErasure{Action: action}
	if action == retentionv1.ErasureActionRetain {
		on.LegalBasis = "tax law: invoices are kept for ten years"
	}
	return on
}
