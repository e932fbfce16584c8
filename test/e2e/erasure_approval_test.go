// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
)

// TestErasureDenied has a person who may approve deny one request and approve another, whose subject an age client has
// sealed to the published key. Who may only file and edit requests can do neither.
func TestErasureDenied(t *testing.T) {
	e := newEnv(t, database)
	e.accounts(5, 20)
	clerk := e.user("clerk", e.everythingButApprove())
	officer := e.user("officer", shipped("erasurerequest-editor-role"), shipped("erasurerequest-approver-role"))
	everyone := e.fingerprint(nil)
	required := func(r *retentionv1.ErasureRequest) { r.Spec.Approval = retentionv1.ApprovalRequired }

	r := e.erasure("denied", e.subject("denied", map[string]string{"email": "user1@shop.example"}), required)
	e.reaches(r, time.Minute, retentionv1.ErasureAwaitingApproval)
	if err := e.decide(clerk, r, retentionv1.ConditionApproved, "IsFine", "approved by a clerk"); !apierrors.IsForbidden(err) {
		t.Errorf("who may not approve has approved: %v", err)
	}
	if err := e.decide(clerk, r, retentionv1.ConditionDenied, "IsNot", "denied by a clerk"); !apierrors.IsForbidden(err) {
		t.Errorf("who may not approve has denied: %v", err)
	}
	e.must(e.decide(officer, r, retentionv1.ConditionDenied, "LegalClaims", "A claim against the person is pending (GDPR Art. 17(3)(e))."))
	e.reaches(r, time.Minute, retentionv1.ErasureDenied)
	if c := meta.FindStatusCondition(r.Status.Conditions, retentionv1.ConditionDenied); c.Reason != "LegalClaims" || !strings.Contains(c.Message, "17(3)(e)") || r.Status.AnsweredTime == nil {
		t.Errorf("the answer is %+v", r.Status)
	}
	expectUntouched(t, everyone, e.fingerprint(nil))
	e.waitFor(time.Minute, "the subject's Secret to be deleted", func() (bool, string) { return e.subjectIsGone("denied"), "" })

	others := e.fingerprint(map[string]string{"account": "id = 2", "message": "account_id = 2"})
	r = e.erasure("approved", retentionv1.Subject{Sealed: e.sealed("email=user2@shop.example\n")}, required)
	e.reaches(r, time.Minute, retentionv1.ErasureAwaitingApproval)
	time.Sleep(3 * time.Second)
	if n := e.count("SELECT count(*) FROM account WHERE id = 2"); n != 1 {
		t.Fatal("erased without approval")
	}
	e.must(e.decide(officer, r, retentionv1.ConditionApproved, "IdentityChecked", "identity checked"))
	e.answered(r, 3*time.Minute)
	e.expectAnswer(r, retentionv1.ErasureDeleted, 21, 21)
	expectUntouched(t, others, e.fingerprint(nil))
	secrets := &corev1.SecretList{}
	e.must(e.c.List(t.Context(), secrets, client.InNamespace(e.namespace)))
	if i := slices.IndexFunc(secrets.Items, func(s corev1.Secret) bool { return s.Type == retentionv1.SubjectSecretType }); i >= 0 {
		t.Errorf("Secret %s with a person's identifiers is left", secrets.Items[i].Name)
	}

	// Two pairs of eyes: who has filed a request, by the name that admission vouches for, does not approve it.
	own := &retentionv1.ErasureRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: "own", Annotations: map[string]string{retentionv1.AnnotationRequestedBy: e.userName("officer")}},
		Spec:       retentionv1.ErasureRequestSpec{Subject: e.subject("own", map[string]string{"email": "user3@shop.example"}), Approval: retentionv1.ApprovalRequired},
	}
	if err := clerk.Create(t.Context(), own.DeepCopy()); err == nil {
		t.Error("a clerk has filed a request in the officer's name")
	}
	e.must(officer.Create(t.Context(), own))
	e.reaches(own, time.Minute, retentionv1.ErasureAwaitingApproval)
	if err := e.decide(officer, own, retentionv1.ConditionApproved, "IsFine", "approved by who has filed it"); !apierrors.IsForbidden(err) {
		t.Error("who has filed a request has approved it")
	}
}

// TestErasureIdentifiersDisagree gives one request the identifiers of two persons: neither of them is erased.
func TestErasureIdentifiersDisagree(t *testing.T) {
	e := newEnv(t, database)
	e.accounts(5, 20)
	everyone := e.fingerprint(nil)
	ds := &retentionv1.Datastore{}
	e.must(e.c.Get(t.Context(), client.ObjectKey{Namespace: e.namespace, Name: "db"}, ds))
	base := ds.DeepCopy()
	ds.Spec.Datasets[0].Identifiers = append(ds.Spec.Datasets[0].Identifiers, retentionv1.Identifier{Type: "customer_id", Field: "id"})
	e.must(e.c.Patch(t.Context(), ds, client.MergeFrom(base)))

	r := e.erasure("two-persons", e.subject("two-persons", map[string]string{"email": "user1@shop.example", "customer_id": "2"}), nil)
	e.waitFor(3*time.Minute, "the request to be stopped", func() (bool, string) {
		e.must(e.c.Get(t.Context(), client.ObjectKeyFromObject(r), r))
		c := meta.FindStatusCondition(r.Status.Conditions, retentionv1.ConditionStalled)
		return c != nil && c.Reason == retentionv1.ReasonIdentifiersDisagree, fmt.Sprintf("%+v", r.Status)
	})
	time.Sleep(3 * time.Second)
	expectUntouched(t, everyone, e.fingerprint(nil))
	if meta.IsStatusConditionTrue(r.Status.Conditions, retentionv1.ConditionSucceeded) {
		t.Errorf("it is called a success: %+v", r.Status)
	}
}

// userName is a name that no other test has given rights to.
func (e *env) userName(name string) string { return name + "@" + e.namespace }

// user returns a client of a user to whom the roles are bound in the namespace.
func (e *env) user(name string, roles ...rbacv1.RoleRef) client.Client {
	e.t.Helper()
	for _, role := range roles {
		e.must(e.c.Create(e.t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: name + "-" + role.Name},
			RoleRef:    role,
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: e.userName(name)}},
		}))
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: e.userName(name), ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: e.namespace, Verb: "patch", Group: retentionv1.Group, Resource: "erasurerequests", Subresource: "status",
		},
	}}
	e.waitFor(30*time.Second, "the API server to know the rights of "+name, func() (bool, string) {
		e.must(e.c.Create(e.t.Context(), review))
		return review.Status.Allowed, review.Status.Reason
	})
	return newClient(e.t, e.userName(name))
}

// shipped is a role that comes with the operator.
func shipped(name string) rbacv1.RoleRef {
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "retention-" + name}
}

// everythingButApprove is a role that may do all to requests, and not approve them.
func (e *env) everythingButApprove() rbacv1.RoleRef {
	e.t.Helper()
	role := &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: "everything-but-approve"},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{retentionv1.Group}, Resources: []string{"erasurerequests", "erasurerequests/status"},
			Verbs: []string{"get", "list", "create", "update", "patch", "delete"},
		}},
	}
	e.must(e.c.Create(e.t.Context(), role))
	return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name}
}

// decide adds the condition Approved or Denied to a request as a user would.
func (e *env) decide(as client.Client, r *retentionv1.ErasureRequest, condition, reason, message string) error {
	e.t.Helper()
	patch, err := json.Marshal([]map[string]any{{"op": "add", "path": "/status/conditions/-", "value": metav1.Condition{
		Type: condition, Status: metav1.ConditionTrue, Reason: reason, Message: message, LastTransitionTime: metav1.Now(),
	}}})
	e.must(err)
	return as.Status().Patch(e.t.Context(), r.DeepCopy(), client.RawPatch(types.JSONPatchType, patch))
}

// sealed is the text, sealed for the namespace to the operator's published key with nothing but an age client.
func (e *env) sealed(text string) string {
	e.t.Helper()
	published := &corev1.ConfigMap{}
	e.must(e.c.Get(e.t.Context(), client.ObjectKey{Namespace: "retention-system", Name: "retention-sealing-key"}, published))
	var key string
	for _, value := range published.Data {
		if strings.HasPrefix(value, "age1") {
			key = strings.TrimSpace(value)
		}
	}
	recipient, err := age.ParseX25519Recipient(key)
	e.must(err)
	var out bytes.Buffer
	armored := armor.NewWriter(&out)
	w, err := age.Encrypt(armored, recipient)
	e.must(err)
	_, err = fmt.Fprintf(w, "# namespace: %s\n%s", e.namespace, text)
	e.must(err)
	e.must(w.Close())
	e.must(armored.Close())
	return out.String()
}
