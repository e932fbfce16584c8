// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/testing/apiserver"
	"dataretention.dev/retention-operator/internal/testing/fixture"
)

const operator = "system:serviceaccount:retention-system:retention-controller-manager"

// installer is all that `make deploy` applies.
var installer = sync.OnceValues(func() ([]byte, error) {
	root, err := fixture.Root()
	if err != nil {
		return nil, err
	}
	build := exec.Command("go", "tool", "-modfile=hack/tools/go.mod", "kustomize", "build", "config/default")
	build.Dir, build.Stderr = root, os.Stderr
	return build.Output()
})

// admission deploys the roles and the admission policies for one test, and returns once the policies are in force.
func admission(t *testing.T) *apiserver.Server {
	t.Helper()
	srv := apiserver.Get(t)
	text, err := installer()
	if err != nil {
		t.Fatal(err)
	}
	policies := map[string]bool{}
	for _, obj := range objects(t, text) {
		switch obj.GetKind() {
		case "Namespace", "ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding":
			if err := srv.Client.Create(t.Context(), obj); client.IgnoreAlreadyExists(err) != nil {
				t.Fatal(complaints(err))
			}
		case "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding":
			policies[obj.GetName()] = true
			if err := srv.Client.Create(t.Context(), obj); err != nil {
				t.Fatal(complaints(err))
			}
			t.Cleanup(func() {
				if err := srv.Client.Delete(context.WithoutCancel(t.Context()), obj); err != nil {
					t.Error(err)
				}
			})
		}
	}
	awaitPolicies(t, srv, policies)
	return srv
}

// awaitPolicies does what each policy refuses until it does so, and fails if there is one that is not known here.
func awaitPolicies(t *testing.T, srv *apiserver.Server, policies map[string]bool) {
	t.Helper()
	ns := srv.Namespace(t)
	bind(t, ns, operator, "cluster-admin")
	request, hold := stored(t, ns, leastErasureRequest), stored(t, ns, leastLegalHold)
	probes := map[string]func() error{
		"retention-erasurerequest-decision": func() error {
			return setConditions(t, srv.Client, request, denied("jane@example.com"), client.DryRunAll)
		},
		"retention-metadata": func() error {
			hold := hold.DeepCopy()
			hold.SetAnnotations(map[string]string{"note": "jane@example.com"})
			return srv.Client.Update(t.Context(), hold, client.DryRunAll)
		},
		"retention-legalhold-delete": func() error { return srv.Client.Delete(t.Context(), hold.DeepCopy(), client.DryRunAll) },
		"retention-operator-secrets": func() error {
			return srv.As(t, operator).Create(t.Context(), secret(ns, "x", corev1.SecretTypeOpaque), client.DryRunAll)
		},
	}
	for name := range policies {
		probe := probes[name]
		if probe == nil {
			t.Fatalf("no test knows the policy %s", name)
		}
		eventually(t, "enforcing "+name, func() bool {
			err := probe()
			return err != nil && strings.Contains(err.Error(), "ValidatingAdmissionPolicy '"+name+"' with binding '"+name+"' denied request")
		})
	}
	if len(policies) != len(probes) {
		t.Errorf("policies: %v", policies)
	}
}

func TestOnlyApproversDecide(t *testing.T) {
	srv := admission(t)
	ns := srv.Namespace(t)
	bind(t, ns, "clerk", "retention-erasurerequest-editor-role", "status-writer")
	bind(t, ns, "officer", "retention-erasurerequest-editor-role", "retention-erasurerequest-approver-role")
	bind(t, srv.Namespace(t), "outsider", "retention-erasurerequest-approver-role") // in another namespace
	bind(t, ns, "outsider", "retention-erasurerequest-editor-role", "status-writer")
	bind(t, ns, operator, "cluster-admin")
	const (
		noVerb  = "only a user with the verb approve on erasurerequests.dataretention.dev in namespace NS may approve or deny; have USER bound to the role retention-erasurerequest-approver-role, or ask somebody who is"
		ownOne  = "USER has filed this request; somebody else has to approve or deny it"
		account = "the status of an ErasureRequest is the operator's account; a person sets the conditions Approved and Denied there, and nothing else"
		noName  = "the message looks as if it held an e-mail address, or the number of a telephone or an account (nine or more digits); no identifier of a person may stand in an object that is stored and logged in plain text"
	)
	for name, c := range map[string]struct {
		filed  string // the annotation requested-by
		before string // conditions
		user   string
		after  string // conditions
		want   string
	}{
		"approval":                          {"", "", "officer", approved(""), ""},
		"denial":                            {"", "", "officer", denied("the identity could not be confirmed"), ""},
		"approval of another's request":     {"clerk", "", "officer", approved(""), ""},
		"approval without the verb":         {"", "", "clerk", approved(""), noVerb},
		"denial without the verb":           {"", "", "clerk", denied("no"), noVerb},
		"approval from another namespace":   {"", "", "outsider", approved(""), noVerb},
		"approval of one's own":             {"officer", "", "officer", approved(""), ownOne},
		"denial of one's own":               {"officer", "", "officer", denied("no"), ownOne},
		"the operator approves its own":     {operator, "", operator, approved("nobody has to"), ""},
		"denial without a reason":           {"", "", "officer", denied(" "), "a denial is the answer to a person: give the reason in message"},
		"no denial, and no reason":          {"", "", "officer", strings.Replace(denied(""), `"True"`, `"False"`, 1), ""},
		"denial that names the person":      {"", "", "officer", denied("jane@example.com is no customer"), noName},
		"denial with a telephone number":    {"", "", "officer", denied("called +49 (30) 1234-567"), noName},
		"denial with a file number":         {"", "", "officer", denied("see ER-2026-00012345"), ""},
		"taking an approval back":           {"", approved(""), "clerk", "", noVerb},
		"changing a denial":                 {"", denied("a"), "clerk", denied("b"), noVerb},
		"denial beside an approval":         {"", approved(""), "officer", approved("") + denied("withdrawn"), ""},
		"another order":                     {"", approved("") + denied("a"), "clerk", denied("a") + approved(""), ""},
		"anything else":                     {"", approved(""), "clerk", approved("") + condition("Ready", "True", ""), ""},
		"anything else by an approver":      {"", approved(""), "officer", approved("") + condition("Succeeded", "True", ""), account},
		"removing anything by an approver":  {"", condition("Overdue", "True", ""), "officer", approved(""), account},
		"approval beside something else":    {"", condition("Overdue", "True", ""), "officer", condition("Overdue", "True", "") + approved(""), ""},
		"the operator is told to be silent": {"", "", operator, denied("jane@example.com"), noName},
	} {
		t.Run(name, func(t *testing.T) {
			request := object(t, leastErasureRequest)
			if c.filed != "" {
				request.SetAnnotations(map[string]string{"dataretention.dev/requested-by": c.filed})
			}
			request.SetNamespace(ns)
			request.SetName("")
			request.SetGenerateName("er-")
			filer := srv.Client
			if c.filed != "" {
				filer = srv.As(t, c.filed)
			}
			if err := filer.Create(t.Context(), request); err != nil {
				t.Fatal(complaints(err))
			}
			if err := setConditions(t, srv.As(t, operator), request, c.before); err != nil {
				t.Fatal(complaints(err))
			}
			err := setConditions(t, srv.As(t, c.user), request, c.after)
			denial(t, err, strings.NewReplacer("NS", ns, "USER", c.user).Replace(c.want))
		})
	}
}

func TestMetadataNamesNobody(t *testing.T) {
	srv := admission(t)
	ns := srv.Namespace(t)
	bind(t, ns, "clerk", "retention-erasurerequest-editor-role", "retention-legalhold-editor-role")
	bind(t, ns, "jane@example.com", "retention-erasurerequest-editor-role")
	bind(t, ns, operator, "cluster-admin")
	const (
		filed    = "the annotation dataretention.dev/requested-by must name the user who files the request: USER"
		fixed    = "the annotation dataretention.dev/requested-by is set when a request is filed, and cannot be changed"
		oneLine  = "the annotation dataretention.dev/extension-reason must be one line of at most 256 characters"
		nobody   = "the annotation dataretention.dev/extension-reason looks as if it held an identifier of a person; none may stand in an object that is stored and logged in plain text"
		inLabel  = "a label looks as if it held an e-mail address; identifiers of a person belong into the subject's Secret, never into an object that is stored and logged in plain text"
		inAnnot  = "an annotation looks as if it held an e-mail address (note); identifiers of a person belong into the subject's Secret, never into an object that is stored and logged in plain text"
		extended = "metadata: {annotations: {dataretention.dev/extension-reason: "
	)
	for name, c := range map[string]struct {
		least, before, after string // merge patches; nothing before means that the object is created with after
		user, want           string
	}{
		"filed by the user":              {leastErasureRequest, "", requestedBy("clerk"), "clerk", ""},
		"filed by a user with an e-mail": {leastErasureRequest, "", requestedBy("jane@example.com"), "jane@example.com", ""},
		"filed by somebody else":         {leastErasureRequest, "", requestedBy("officer"), "clerk", filed},
		"filed for another namespace":    {leastErasureRequest, "", requestedBy("officer"), operator, ""},
		"filer named later":              {leastErasureRequest, "{}", requestedBy("clerk"), "clerk", fixed},
		"filer changed":                  {leastErasureRequest, requestedBy("clerk"), requestedBy("officer"), "clerk", fixed},
		"filer removed":                  {leastErasureRequest, requestedBy("clerk"), requestedBy(""), "clerk", fixed},
		"extension":                      {leastErasureRequest, "{}", extended + "four archives on tape}}", "clerk", ""},
		"extension of two lines":         {leastErasureRequest, "{}", extended + `"a\nb"}}`, "clerk", oneLine},
		"extension of 257 characters":    {leastErasureRequest, "{}", extended + strings.Repeat("x", 257) + "}}", "clerk", oneLine},
		"extension with an e-mail":       {leastErasureRequest, "", extended + "jane@example.com has moved}}", "clerk", nobody},
		"extension with a number":        {leastErasureRequest, "", extended + "account 12 3456 7890}}", "clerk", nobody},
		"extension with an address":      {leastErasureRequest, "", extended + "seen at 192.0.2.17}}", "clerk", nobody},
		"e-mail in an annotation":        {leastErasureRequest, "", "metadata: {annotations: {note: write to jane@example.com}}", "clerk", inAnnot},
		"e-mail in a hold's annotation":  {leastLegalHold, "{}", "metadata: {annotations: {note: jane@example.com}}", "clerk", inAnnot},
		"image in an annotation":         {leastLegalHold, "", "metadata: {annotations: {tool: 'example.com/tool@sha256:4bf0f5ec'}}", "clerk", ""},
		"e-mail in a label":              {leastLegalHold, "", "metadata: {labels: {who: jane-at-example.com}}", "clerk", inLabel},
		"label":                          {leastLegalHold, "", "metadata: {labels: {team: team-at-work}}", "clerk", ""},
	} {
		t.Run(name, func(t *testing.T) {
			user, patch := srv.As(t, c.user), c.after
			if c.before != "" {
				patch = c.before
			}
			obj := object(t, c.least, patch)
			obj.SetNamespace(ns)
			obj.SetName("")
			obj.SetGenerateName("er-")
			err := user.Create(t.Context(), obj)
			if c.before != "" {
				if err != nil {
					t.Fatal(complaints(err))
				}
				var change map[string]any
				if err := yaml.Unmarshal([]byte(c.after), &change); err != nil {
					t.Fatal(err)
				}
				merge(obj.Object, change)
				err = user.Update(t.Context(), obj)
			}
			denial(t, err, strings.ReplaceAll(c.want, "USER", c.user))
		})
	}
}

// What was let in before the policies were there does not keep an object from changing.
func TestOldMetadataStays(t *testing.T) {
	srv := apiserver.Get(t)
	hold := object(t, leastLegalHold, "metadata: {annotations: {note: jane@example.com}, labels: {who: jane-at-example.com}}")
	hold.SetNamespace(srv.Namespace(t))
	// The policies of the test before may be in force for a moment.
	eventually(t, "created", func() bool { return srv.Client.Create(t.Context(), hold) == nil })
	admission(t)
	hold.SetFinalizers([]string{"dataretention.dev/test"})
	if err := srv.Client.Update(t.Context(), hold); err != nil {
		t.Error(complaints(err))
	}
}

func TestHoldsAreReleasedBeforeTheyGo(t *testing.T) {
	srv := admission(t)
	hold := stored(t, srv.Namespace(t), leastLegalHold)
	want := fmt.Sprintf(`a LegalHold that was not released cannot be deleted; release it first: kubectl patch hold %s -n %s --type=merge -p '{"spec":{"release":{"reason":"…"}}}'`,
		hold.GetName(), hold.GetNamespace())
	denial(t, srv.Client.Delete(t.Context(), hold.DeepCopy()), want)
	denial(t, srv.Client.DeleteAllOf(t.Context(), hold.DeepCopy(), client.InNamespace(hold.GetNamespace())), want)

	if _, err := srv.Kubectl(t, "", "patch", "hold", hold.GetName(), "-n", hold.GetNamespace(), "--type=merge", "-p", `{"spec":{"release":{"reason":"settled"}}}`); err != nil {
		t.Fatal(err)
	}
	denial(t, srv.Client.Delete(t.Context(), hold), "")
}

func TestTheOperatorTouchesNoOtherSecrets(t *testing.T) {
	srv := admission(t)
	ns := srv.Namespace(t)
	bind(t, ns, operator, "cluster-admin")
	bind(t, "retention-system", operator, "cluster-admin")
	const others = "the operator may create, change and delete Secrets of the type dataretention.dev/subject only, and its own keys"
	for name, c := range map[string]struct {
		secret *corev1.Secret
		want   string
	}{
		"a person":                       {secret(ns, "er-2026-0042", v1alpha1.SubjectSecretType), ""},
		"a connection":                   {secret(ns, "shop-db", corev1.SecretTypeOpaque), others},
		"its own keys":                   {secret("retention-system", "retention-sealing-keys", corev1.SecretTypeOpaque), ""},
		"its keys for evidence":          {secret("retention-system", "retention-evidence-keys", corev1.SecretTypeOpaque), ""},
		"the ledger's keys":              {secret("retention-system", "retention-ledger", corev1.SecretTypeOpaque), ""},
		"such keys in another namespace": {secret(ns, "retention-ledger", corev1.SecretTypeOpaque), others},
		"keys in another namespace":      {secret(ns, "retention-sealing-keys", corev1.SecretTypeOpaque), others},
		"another Secret of its own home": {secret("retention-system", "token", corev1.SecretTypeOpaque), others},
	} {
		t.Run(name, func(t *testing.T) {
			by := srv.As(t, operator)
			denial(t, by.Create(t.Context(), c.secret.DeepCopy()), c.want)
			if c.want != "" { // somebody else may make it
				if err := srv.Client.Create(t.Context(), c.secret); err != nil {
					t.Fatal(err)
				}
			}
			denial(t, by.Patch(t.Context(), c.secret.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(`{"stringData":{"k":"v"}}`))), c.want)
			denial(t, by.Delete(t.Context(), c.secret), c.want)
			if c.want != "" {
				denial(t, srv.Client.Delete(t.Context(), c.secret), "")
			}
		})
	}
}

// denial compares what a policy says, "" meaning that nothing was refused.
func denial(t *testing.T, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		_, message, found := strings.Cut(err.Error(), " denied request: ")
		got = message
		if !found {
			got = err.Error()
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("refused with (-want +got):\n%s", diff)
	}
}

// bind gives a user roles in a namespace. The role status-writer writes the whole status of ErasureRequests.
func bind(t *testing.T, namespace, user string, roles ...string) {
	t.Helper()
	srv := apiserver.Get(t)
	for _, role := range roles {
		ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role}
		if role == "status-writer" {
			ref.Kind = "Role"
			if err := srv.Client.Create(t.Context(), &rbacv1.Role{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: role},
				Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"dataretention.dev"}, Resources: []string{"erasurerequests/status"}, Verbs: []string{"update", "patch"}}},
			}); client.IgnoreAlreadyExists(err) != nil {
				t.Fatal(err)
			}
		}
		if err := srv.Client.Create(t.Context(), &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, GenerateName: "test-"},
			RoleRef:    ref,
			Subjects:   []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: user}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "authorized", func() bool { // the authorizer works from a cache
		var list unstructured.UnstructuredList
		list.SetAPIVersion("dataretention.dev/v1alpha1")
		list.SetKind("ErasureRequestList")
		return srv.As(t, user).List(t.Context(), &list, client.InNamespace(namespace)) == nil
	})
}

// setConditions replaces the conditions, which are items of a list in YAML.
func setConditions(t *testing.T, by client.Client, request *unstructured.Unstructured, conditions string, opts ...client.SubResourcePatchOption) error {
	t.Helper()
	if conditions == "" {
		conditions = "[]"
	}
	body, err := yaml.YAMLToJSON([]byte("status:\n  conditions:\n    " + strings.ReplaceAll(strings.TrimSpace(conditions), "\n", "\n    ")))
	if err != nil {
		t.Fatal(err)
	}
	return by.Status().Patch(t.Context(), request.DeepCopy(), client.RawPatch("application/merge-patch+json", body), opts...)
}

func approved(message string) string { return condition("Approved", "True", message) }

func denied(message string) string { return condition("Denied", "True", message) }

func condition(kind, status, message string) string {
	return fmt.Sprintf("- {type: %s, status: %q, reason: Test, message: %s, lastTransitionTime: \"2026-11-24T09:00:00Z\"}\n", kind, status, quoted(message))
}

func requestedBy(user string) string {
	return "metadata: {annotations: {dataretention.dev/requested-by: " + quoted(user) + "}}"
}

func secret(namespace, name string, kind corev1.SecretType) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Type: kind}
}

// stored makes the object of a manifest.
func stored(t *testing.T, namespace, manifest string) *unstructured.Unstructured {
	t.Helper()
	obj := object(t, manifest)
	obj.SetNamespace(namespace)
	if err := apiserver.Get(t).Client.Create(t.Context(), obj); err != nil {
		t.Fatal(complaints(err))
	}
	return obj
}

// The largest status that the operator may have to write: neither the rules of the CRD nor a policy runs out of budget.
func TestTheLargestStatusIsWritten(t *testing.T) {
	srv := admission(t)
	ns := srv.Namespace(t)
	bind(t, ns, operator, "cluster-admin")
	request := &v1alpha1.ErasureRequest{}
	if err := srv.Client.Get(t.Context(), client.ObjectKeyFromObject(stored(t, ns, leastErasureRequest)), request); err != nil {
		t.Fatal(err)
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	name := func(n, i int) string { return fmt.Sprintf("%s%03d", long(n-3), i) }
	st := &request.Status
	for i := range 64 {
		d := v1alpha1.ErasureDatastore{
			Name: name(63, i), Step: v1alpha1.ErasureStepFinished, Outcome: v1alpha1.ErasureHeld, Message: long(512), Derived: long(1024), Holds: []string{name(63, i)},
		}
		for j := range 64 {
			d.Datasets = append(d.Datasets, v1alpha1.ErasureDataset{
				Name: v1alpha1.DatasetName(name(63, j)), Action: v1alpha1.ErasureActionDelete, Outcome: v1alpha1.ErasureHeld, LegalBasis: v1alpha1.PlainText(long(32)),
				Found: ptr.To[int64](1), Deleted: ptr.To[int64](1), Held: ptr.To[int64](1), Counting: v1alpha1.CountingExact,
			})
		}
		st.Datastores = append(st.Datastores, d)
		st.Children = append(st.Children, v1alpha1.ErasureChild{Namespace: name(63, i), Name: name(63, i), State: v1alpha1.ErasureAnswered, Derived: long(1024)})
		st.Commitments = append(st.Commitments, name(256, i))
	}
	for i := range 128 {
		st.Recipients = append(st.Recipients, v1alpha1.ErasureRecipient{Name: v1alpha1.PlainText(name(256, i)), Datastore: name(63, i)})
	}
	for i := range 2 { // the second one has as much before it
		st.Found = ptr.To(int64(i))
		if err := srv.As(t, operator).Status().Update(t.Context(), request); err != nil {
			t.Fatal(complaints(err))
		}
	}
	bind(t, ns, "officer", "retention-erasurerequest-approver-role")
	denial(t, setConditions(t, srv.As(t, "officer"), object(t, leastErasureRequest, "metadata: {namespace: "+ns+"}"), approved("")), "")
}
