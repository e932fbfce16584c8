// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/seal"
	"dataretention.dev/retention-operator/internal/subject"
	"dataretention.dev/retention-operator/internal/testing/apiserver"
)

const person = "anna@example.com"

// call runs a command, and returns what it printed and its exit code.
func call(t *testing.T, stdin string, args ...string) (out string, code int, err error) {
	t.Helper()
	root := &cobra.Command{Use: "retention-operator", SilenceUsage: true, SilenceErrors: true}
	root.AddCommand(Commands()...)
	var stdout, stderr bytes.Buffer
	root.SetIn(strings.NewReader(stdin))
	root.SetOut(&stdout)
	root.SetErr(&stderr)
	root.SetArgs(args)
	if err = root.ExecuteContext(t.Context()); err != nil {
		code = 1
		var exit *ExitError
		if errors.As(err, &exit) {
			code = exit.Code
		}
		if strings.Contains(err.Error(), person) {
			t.Errorf("the error quotes the identifier: %v", err)
		}
	}
	if strings.Contains(stdout.String()+stderr.String(), person) {
		t.Errorf("the identifier is printed: %s%s", stdout.String(), stderr.String())
	}
	return stdout.String(), code, err
}

// kubeconfigOf makes the API server that of KUBECONFIG, with a namespace.
func kubeconfigOf(t *testing.T) (client.Client, string) {
	t.Helper()
	srv := apiserver.Get(t)
	ns := srv.Namespace(t)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"test": {Server: srv.Config.Host, CertificateAuthorityData: srv.Config.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"test": {
			ClientCertificateData: srv.Config.CertData, ClientKeyData: srv.Config.KeyData, Token: srv.Config.BearerToken,
		}},
		Contexts:       map[string]*clientcmdapi.Context{"test": {Cluster: "test", AuthInfo: "test", Namespace: ns}},
		CurrentContext: "test",
	}, file))
	t.Setenv("KUBECONFIG", file)
	return srv.Client, ns
}

func TestSeal(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	must(t, err)
	public := key.Recipient().String()
	const lines = "# from the form\nemail=" + person + "\nphone=+49 30 123456\n"
	file := filepath.Join(t.TempDir(), "person")
	must(t, os.WriteFile(file, []byte(lines), 0o600))

	kube, ns := kubeconfigOf(t)
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: seal.ConfigMapName}, Data: map[string]string{seal.PublicKey: public}}
	must(t, kube.Create(t.Context(), cm))
	for name, c := range map[string]struct {
		args  []string
		scope string
	}{
		"a key that is given":                 {[]string{"seal", "--key", public}, ns},
		"from a file":                         {[]string{"seal", "--key", public, "--from-file", file}, ns},
		"the key that the operator publishes": {[]string{"seal", "--operator-namespace", ns}, ns},
		"another namespace":                   {[]string{"seal", "--key", public, "-n", "shop"}, "shop"},
	} {
		t.Run(name, func(t *testing.T) {
			out, _, err := call(t, lines, c.args...)
			must(t, err)
			got, _, err := seal.Ring{key}.Open(out)
			if err != nil || string(got) != "# namespace: "+c.scope+"\nemail="+person+"\nphone=+49 30 123456\n" {
				t.Errorf("sealed is %q, %v", got, err)
			}
			// The API takes it as it is.
			must(t, kube.Create(t.Context(), &v1alpha1.ErasureRequest{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns, GenerateName: "request-"},
				Spec:       v1alpha1.ErasureRequestSpec{Subject: v1alpha1.Subject{Sealed: out}},
			}))
		})
	}
	for name, c := range map[string]struct {
		stdin string
		args  []string
		want  string
	}{
		"an argument":           {"", []string{"seal", "email=" + person}, "standard input"},
		"nothing":               {"", []string{"seal", "--key", public}, "there is no identifier"},
		"no type":               {person, []string{"seal", "--key", public}, "line 1"},
		"no key":                {lines, []string{"seal", "--key", "age1x"}, "X25519"},
		"no operator there":     {lines, []string{"seal", "--operator-namespace", "default"}, "not found"},
		"more than the API has": {strings.Repeat("x", maxInput+1), []string{"seal", "--key", public}, "bytes"},
		"more than fits":        {longLines(60), []string{"seal", "--key", public}, "fewer"},
	} {
		t.Run(name, func(t *testing.T) {
			out, code, err := call(t, c.stdin, c.args...)
			if err == nil || !strings.Contains(err.Error(), c.want) || code != 1 || out != "" {
				t.Errorf("got %q, %d, %v", out, code, err)
			}
		})
	}
}

func TestSealWithoutANamespace(t *testing.T) {
	key, err := age.GenerateX25519Identity()
	must(t, err)
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("HOME", t.TempDir())
	args := []string{"seal", "--key", key.Recipient().String()}
	if out, _, err := call(t, "email="+person, args...); err == nil || !strings.Contains(err.Error(), "--namespace") || out != "" {
		t.Errorf("got %q, %v", out, err)
	}
	_, _, err = call(t, "email="+person, append(args, "-n", "shop")...) // offline
	must(t, err)
}

func TestVerifySubject(t *testing.T) {
	c, ns := kubeconfigOf(t)
	commitments, err := subject.CommitAll(rand.Reader, []subject.Identifier{{Type: "phone", Value: "1"}, {Type: "email", Value: person}})
	must(t, err)
	request := newRequest(t, c, ns, "request")
	request.Status.Commitments = commitments
	must(t, c.Status().Update(t.Context(), request))
	newRequest(t, c, ns, "young")

	for name, c := range map[string]struct {
		stdin string
		args  []string
		code  int
		want  string
	}{
		"of a request":               {"email=" + person, []string{"request"}, 0, "Yes: "},
		"in another namespace":       {"email=" + person, []string{"request", "-n", "default"}, 2, ""},
		"somebody else":              {"email=b@example.com", []string{"request"}, 1, "No: "},
		"written in another way":     {"email=ANNA@example.com", []string{"request"}, 1, "No: "},
		"by a commitment":            {"email=" + person, []string{"--commitment", commitments[0], "--commitment", commitments[1]}, 0, "Yes: "},
		"by another commitment":      {"email=" + person, []string{"--commitment", commitments[0]}, 1, "No: "},
		"no commitments yet":         {"email=" + person, []string{"young"}, 2, ""},
		"nothing to compare with":    {"email=" + person, nil, 2, ""},
		"two things to compare with": {"email=" + person, []string{"request", "--commitment", commitments[0]}, 2, ""},
		"two identifiers":            {"email=" + person + "\nphone=1", []string{"request"}, 2, ""},
		"no identifier":              {"", []string{"request"}, 2, ""},
	} {
		t.Run(name, func(t *testing.T) {
			out, code, err := call(t, c.stdin, append([]string{"verify-subject"}, c.args...)...)
			if code != c.code || !strings.HasPrefix(out, c.want) || (c.want == "" && out != "") {
				t.Errorf("got %q, exit code %d, %v", out, code, err)
			}
		})
	}
}

func TestApproveAndDeny(t *testing.T) {
	c, ns := kubeconfigOf(t)
	request := newRequest(t, c, ns, "request")
	request.Status.State = v1alpha1.ErasureAwaitingApproval
	request.Status.Conditions = []metav1.Condition{{
		Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonAwaitingApproval, LastTransitionTime: metav1.Now(),
	}}
	must(t, c.Status().Update(t.Context(), request))

	_, _, err := call(t, "", "approve", "request")
	must(t, err)
	must(t, c.Get(t.Context(), client.ObjectKeyFromObject(request), request))
	if !meta.IsStatusConditionTrue(request.Status.Conditions, v1alpha1.ConditionApproved) || len(request.Status.Conditions) != 2 ||
		request.Status.State != v1alpha1.ErasureAwaitingApproval {
		t.Fatalf("the status is %+v", request.Status)
	}
	if _, _, err := call(t, "", "approve", "request"); err == nil || !strings.Contains(err.Error(), "approved before") {
		t.Errorf("again: %v", err)
	}

	if _, _, err := call(t, "", "deny", "request", "--reason", "LegalClaims"); err == nil || !strings.Contains(err.Error(), "--message") {
		t.Errorf("without an answer: %v", err)
	}
	_, _, err = call(t, "", "deny", "request", "--reason", "LegalClaims", "--message", "The data is needed in a lawsuit", "-n", ns)
	must(t, err)
	must(t, c.Get(t.Context(), client.ObjectKeyFromObject(request), request))
	denied := meta.FindStatusCondition(request.Status.Conditions, v1alpha1.ConditionDenied)
	if denied == nil || denied.Status != metav1.ConditionTrue || denied.Reason != "LegalClaims" || denied.Message != "The data is needed in a lawsuit" ||
		denied.ObservedGeneration != request.Generation {
		t.Errorf("denied is %+v", denied)
	}
	if !meta.IsStatusConditionTrue(request.Status.Conditions, v1alpha1.ConditionApproved) {
		t.Error("that it was approved before is forgotten")
	}
	for _, command := range [][]string{{"approve", "request"}, {"deny", "request", "--message", "x"}} {
		if _, _, err := call(t, "", command...); err == nil || !strings.Contains(err.Error(), "was denied") {
			t.Errorf("%s after it was denied: %v", command[0], err)
		}
	}
	if _, _, err := call(t, "", "approve", "missing"); err == nil {
		t.Error("a request that is not there is approved")
	}
}

func TestHoldRelease(t *testing.T) {
	c, ns := kubeconfigOf(t)
	hold := &v1alpha1.LegalHold{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "hold"},
		Spec:       v1alpha1.LegalHoldSpec{Reason: "a lawsuit", Authority: "a court"},
	}
	must(t, c.Create(t.Context(), hold))
	if _, _, err := call(t, "", "hold", "release", "hold"); err == nil || !strings.Contains(err.Error(), "--reason") {
		t.Errorf("without a reason: %v", err)
	}
	_, _, err := call(t, "", "hold", "release", "hold", "--reason", "The lawsuit has ended")
	must(t, err)
	must(t, c.Get(t.Context(), client.ObjectKeyFromObject(hold), hold))
	if !hold.IsReleased() || hold.Spec.Release.Reason != "The lawsuit has ended" {
		t.Errorf("the spec is %+v", hold.Spec)
	}
	if _, _, err := call(t, "", "hold", "release", "hold", "--reason", "x"); err == nil || !strings.Contains(err.Error(), "released before: The lawsuit has ended") {
		t.Errorf("again: %v", err)
	}
}

// longLines are n identifiers, each as long as one may be.
func longLines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "email=%0*d\n", subject.MaxValue, i)
	}
	return b.String()
}

func newRequest(t *testing.T, c client.Client, ns, name string) *v1alpha1.ErasureRequest {
	t.Helper()
	r := &v1alpha1.ErasureRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec:       v1alpha1.ErasureRequestSpec{Subject: v1alpha1.Subject{SecretRef: &v1alpha1.SecretReference{Name: "person"}}},
	}
	must(t, c.Create(t.Context(), r))
	return r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
