// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/subject"
)

// TestACopiedTextIsNotOpened files sealed texts that were not made for the namespace.
func TestACopiedTextIsNotOpened(t *testing.T) {
	w := newWorld(t)
	w.shop()
	file := func(name, text string, labels, annotations map[string]string) {
		w.must(w.c.Create(t.Context(), &retentionv1.ErasureRequest{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: name, Labels: labels, Annotations: annotations},
			Spec:       retentionv1.ErasureRequestSpec{Subject: retentionv1.Subject{Sealed: text}},
		}))
	}
	elsewhere := w.sealed("# namespace: elsewhere\nemail=" + ada)
	file("git", elsewhere, nil, nil)
	file("status", w.sealed("# operator\nemail="+ada), nil, nil)
	file("log", w.sealed(`{"k":"Persons","p":[{"d":"email=`+ada+`\n"}]}`), nil, nil)
	file("forged", elsewhere, map[string]string{erasure.LabelParentNamespace: "elsewhere", erasure.LabelParentName: "r1"},
		map[string]string{erasure.AnnotationParentUID: "u1"})
	opened := false
	w.before = func(*batchv1.Job, int) bool { opened = true; return true }
	w.settle()
	for _, name := range []string{"git", "status", "log"} {
		expectCondition(t, w.request(name), retentionv1.ConditionStalled, metav1.ConditionTrue, retentionv1.ReasonSubjectUnreadable)
	}
	expectCondition(t, w.request("forged"), retentionv1.ConditionReady, metav1.ConditionFalse, retentionv1.ReasonSubjectUnreadable)
	if opened || len(w.jobs()) != 0 || len(w.secrets()) != 0 || w.left(ada, adaID) != 4 {
		t.Errorf("Jobs %v, Secrets %v, records %+v", w.jobs(), w.secrets(), w.records)
	}
	w.before = nil
	file("own", w.sealed("# namespace: "+w.namespace+"\nemail="+ada), nil, nil)
	w.settle()
	w.expectErased("own")
	if d := entry(w.request("own"), "shop").Derived; d != "" {
		t.Errorf("derived %q", d)
	}
}

// TestWhatTheOperatorSealsIsForItself looks at the scope of what stands in the status of a request.
func TestWhatTheOperatorSealsIsForItself(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop", customers(), nil)
	w.fill()
	w.team(w.namespace)
	w.create("r1", map[string]string{"email": ada}, func(r *retentionv1.ErasureRequest) { w.reaching(r); r.Spec.RecheckFor = "P3D" })
	w.settle()
	r := w.request("r1")
	for text, want := range map[string]string{entry(r, "shop").Derived: subject.Operator, r.Status.SealedSubject: w.namespace} {
		plaintext, _, err := w.keys.Ring.Open(text)
		if got := subject.Scope(plaintext); err != nil || got != want {
			t.Errorf("scope %q, %v, want %q", got, err, want)
		}
	}
	if !slices.Equal(r.Status.SealedTypes, []string{"customer_id", "email"}) {
		t.Errorf("types %v", r.Status.SealedTypes)
	}
}

// TestAnotherTypeIsTakenIn has a Datastore in another namespace know a type of identifiers when the answer was given there.
func TestAnotherTypeIsTakenIn(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop", customers(), nil)
	w.fill()
	first, second := w.team(w.namespace), w.team(w.namespace)
	phones := tickets()
	phones[0].Identifiers[0].Type = "phone"
	know := func(namespace, name string) {
		ds := &retentionv1.Datastore{}
		w.must(w.c.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, ds))
		ds.Spec.Datasets = append(ds.Spec.Datasets, phones...)
		ds.Spec.Datasets[1].Name = "calls"
		w.must(w.c.Update(t.Context(), ds))
	}
	know(second, "desk-3")
	w.create("r1", map[string]string{"email": ada, "phone": "123"}, func(r *retentionv1.ErasureRequest) { w.reaching(r); r.Spec.RecheckFor = "P3D" })
	w.settle()
	r := w.request("r1")
	for _, c := range r.Status.Children { // the first namespace has not lost what only the second asks for
		child := w.get(client.ObjectKey{Namespace: c.Namespace, Name: c.Name})
		ids, err := subject.Parse(w.open(child.Spec.Subject.Sealed))
		if err != nil || !slices.Equal(subject.Types(ids), []string{"email", "phone"}) {
			t.Errorf("types %v, %v", subject.Types(ids), err)
		}
	}
	expectCondition(t, r, retentionv1.ConditionSucceeded, metav1.ConditionTrue, retentionv1.ReasonErased)

	w.create("r2", map[string]string{"email": bob, "iban": "DE1"}, func(r *retentionv1.ErasureRequest) { w.reaching(r); r.Spec.RecheckFor = "P3D" })
	w.settle()
	expectCondition(t, w.request("r2"), retentionv1.ConditionSucceeded, metav1.ConditionTrue, retentionv1.ReasonErased)
	phones[0].Identifiers[0].Type = "iban"
	know(first, "desk-2")
	w.settle()
	w.tick(25 * time.Hour)
	w.settle()
	r = w.request("r2")
	if !slices.Contains(r.Status.SealedTypes, "iban") {
		t.Errorf("types %v", r.Status.SealedTypes)
	}
	expectCondition(t, r, retentionv1.ConditionSucceeded, metav1.ConditionFalse, retentionv1.ReasonIncomplete)
	expectCondition(t, r, retentionv1.ConditionVerified, metav1.ConditionFalse, retentionv1.ReasonNotVerified)
	for _, c := range r.Status.Children {
		if lacks := c.Namespace == first; lacks != (c.Reason == reasonTypesAdded) || lacks == ptr.Deref(c.Verified, false) {
			t.Errorf("child %+v", c)
		}
	}
	expectCondition(t, w.request("r1"), retentionv1.ConditionSucceeded, metav1.ConditionTrue, retentionv1.ReasonErased) // she has no such account
}

func (w *world) open(text string) []byte {
	w.t.Helper()
	plaintext, _, err := w.keys.Ring.Open(text)
	w.must(err)
	return plaintext
}

// TestAChildThatHasEnded has the first request, which is repeated, find another identifier when the child has ended.
func TestAChildThatHasEnded(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop", customers(), nil)
	w.fill()
	w.team(w.namespace)
	w.create("r1", map[string]string{"email": ada}, func(r *retentionv1.ErasureRequest) {
		w.reaching(r)
		r.Spec.RecheckFor, r.Spec.RecheckEvery = "P3D", "P1D"
	})
	w.settle()
	r := w.request("r1")
	expectCondition(t, r, retentionv1.ConditionSucceeded, metav1.ConditionTrue, retentionv1.ReasonErased)
	child := w.get(client.ObjectKey{Namespace: r.Status.Children[0].Namespace, Name: r.Status.Children[0].Name})
	child.Status.State = retentionv1.ErasureAnswered
	w.must(w.c.Status().Update(t.Context(), child))
	w.records["shop"] = []record{{dataset: "customer", ids: map[string]string{"email": ada, "customer_id": "c-9999"}}}
	w.tick(25 * time.Hour)
	w.settle()
	r = w.request("r1")
	if c := r.Status.Children[0]; c.Reason != reasonIdentifiersAdded || ptr.Deref(c.Verified, true) || w.left(ada, "c-9999") != 0 {
		t.Errorf("child %+v, records %+v", c, w.records)
	}
	expectCondition(t, r, retentionv1.ConditionSucceeded, metav1.ConditionFalse, retentionv1.ReasonIncomplete)
	expectCondition(t, r, retentionv1.ConditionVerified, metav1.ConditionFalse, retentionv1.ReasonNotVerified)
}

// TestTooManyIdentifiersStopOneRequestOnly has records of one person lead to more identifiers than a person has.
func TestTooManyIdentifiersStopOneRequestOnly(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"shop", "crm"} {
		w.datastore(name, customers(), nil)
		for i := range 150 {
			w.records[name] = append(w.records[name], record{dataset: "customer", ids: map[string]string{"email": ada, "customer_id": fmt.Sprintf("%s-%d", name, i)}})
		}
		w.records[name] = append(w.records[name], record{dataset: "customer", ids: map[string]string{"email": bob, "customer_id": bobID}})
	}
	w.create("r1", map[string]string{"email": ada}, nil)
	w.create("r2", map[string]string{"email": bob}, nil)
	w.settle()
	r := w.request("r1")
	expectCondition(t, r, retentionv1.ConditionStalled, metav1.ConditionTrue, "TooManyIdentifiers")
	if len(w.records["shop"]) != 150 || len(w.records["crm"]) != 150 {
		t.Errorf("%d and %d records are left", len(w.records["shop"]), len(w.records["crm"]))
	}
	expectCondition(t, w.request("r2"), retentionv1.ConditionSucceeded, metav1.ConditionTrue, retentionv1.ReasonErased)
	w.expectReleased()
}

// TestARequestThatCannotBeReadIsSkipped destroys the key of one request between its filing and its run.
func TestARequestThatCannotBeReadIsSkipped(t *testing.T) {
	w := newWorld(t)
	w.shop()
	lost := newRing(t)
	keys := w.keys.Ring
	w.keys.Ring = lost.Ring
	text := w.sealed("email=" + ada)
	w.keys.Ring = append(slices.Clone(keys), lost.Ring...)
	w.create("r1", nil, func(r *retentionv1.ErasureRequest) { r.Spec.Subject = retentionv1.Subject{Sealed: text} })
	for range 4 { // until it waits for a run
		requests, _ := w.managers()
		_, err := requests.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(w.request("r1"))})
		w.tolerate(err)
	}
	w.keys.Ring = keys
	w.create("r2", map[string]string{"email": bob}, nil)
	w.settle()
	if e := entry(w.request("r1"), "shop"); e.Step != retentionv1.ErasureStepFind || e.Reason != "SubjectUnreadable" || e.RetryTime == nil {
		t.Errorf("entry %+v", e)
	}
	expectCondition(t, w.request("r2"), retentionv1.ConditionSucceeded, metav1.ConditionTrue, retentionv1.ReasonErased)
	if w.left(ada, adaID) != 4 {
		t.Errorf("records %+v", w.records)
	}
	w.expectReleased()
}

// TestAnotherPersonInTheSameSecret changes the Secret after the person was searched for.
func TestAnotherPersonInTheSameSecret(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.commits = true
	w.broken["desk"] = true
	w.create("r1", map[string]string{"email": ada}, nil)
	w.settle()
	filed := w.request("r1").Status.Commitments
	if len(filed) != 1 || !subject.Committed(filed[0], subject.Identifier{Type: "email", Value: ada}) {
		t.Fatalf("commitments %v", filed)
	}
	secret := &corev1.Secret{}
	w.must(w.c.Get(t.Context(), client.ObjectKey{Namespace: w.namespace, Name: "r1"}, secret))
	secret.Data = map[string][]byte{"email": []byte(bob), "customer_id": []byte(bobID)}
	w.must(w.c.Update(t.Context(), secret))
	w.broken["desk"] = false
	w.tick(2 * time.Hour)
	w.settle()
	r := w.request("r1")
	if w.left(bob, bobID) != 3 || r.Status.Outcome == retentionv1.ErasureDeleted || !slices.Equal(r.Status.Commitments, filed) {
		t.Errorf("status %+v, records %+v", r.Status, w.records)
	}
	w.expectReleased()
}

// TestAForeignSecretOfTheJobsName stands in the way of what is handed over: admission lets nobody delete it.
func TestAForeignSecretOfTheJobsName(t *testing.T) {
	w := newWorld(t)
	w.shop()
	w.before = func(job *batchv1.Job, _ int) bool { return job.Labels[purgejob.LabelDatastore] != "shop" }
	var foreign *corev1.Secret
	w.create("r1", nil, func(r *retentionv1.ErasureRequest) {
		r.Spec.Subject = retentionv1.Subject{Sealed: w.sealed("email=" + ada)}
	})
	for range 40 {
		w.pass()
		w.tick(time.Second)
		if i := slices.IndexFunc(w.jobs(), func(j batchv1.Job) bool { return j.Labels[purgejob.LabelDatastore] == "shop" }); i >= 0 {
			job := w.jobs()[i]
			foreign = &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: job.Name}}
			if err := w.c.Create(t.Context(), foreign); apierrors.IsAlreadyExists(err) {
				t.Fatal("the Job was released in the same pass")
			}
			break
		}
	}
	if foreign == nil {
		t.Fatal("no Job")
	}
	w.protect(foreign)
	for range 10 {
		w.pass()
		w.tick(time.Second)
	}
	e := entry(w.request("r1"), "shop")
	if e.Reason != "NameCollision" || e.Step != retentionv1.ErasureStepFind || e.RetryTime == nil {
		t.Errorf("entry %+v", e)
	}
	w.must(w.c.Get(t.Context(), client.ObjectKeyFromObject(foreign), foreign))
	if strings.Contains(fmt.Sprint(foreign.Data), ada) {
		t.Error("the foreign Secret was written")
	}
	w.before = nil
	w.tick(time.Hour)
	w.settle()
	w.expectErased("r1")
	w.expectReleased()
}

// protect has the API server refuse to delete Secrets in the namespace that name no person, as config/admission does.
func (w *world) protect(secret *corev1.Secret) {
	w.t.Helper()
	meta := metav1.ObjectMeta{Name: "protect-" + w.namespace}
	w.must(w.c.Create(w.t.Context(), &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: w.namespace}},
			ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Delete},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"secrets"}},
			}}},
		},
		Validations: []admissionv1.Validation{{Expression: "oldObject.type == 'dataretention.dev/subject'", Reason: ptr.To(metav1.StatusReasonForbidden)}},
	}}))
	w.must(w.c.Create(w.t.Context(), &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: meta, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: meta.Name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
	}}))
	for range 100 {
		if err := w.c.Delete(w.t.Context(), secret, client.DryRunAll); apierrors.IsForbidden(err) {
			return
		}
		time.Sleep(200 * time.Millisecond) // until the API server has read the policy
	}
	w.t.Fatal("the policy is not in force")
}
