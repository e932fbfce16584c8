// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/testing/fixture"
)

// Whatever a user can write into a spec or read in a status has its place on the page of its kind.
func TestPagesAreComplete(t *testing.T) {
	root, err := fixture.Root()
	if err != nil {
		t.Fatal(err)
	}
	read := func(path string) string {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	pages, all := map[string]string{}, ""
	for _, kind := range []string{"datastores", "retentionpolicies", "erasurerequests", "legalholds"} {
		pages[kind] = read("docs/spec/v1alpha1/" + kind + ".md")
		all += pages[kind]
	}

	t.Run("fields", func(t *testing.T) {
		for file, page := range pages {
			var crd map[string]any
			if err := yaml.Unmarshal([]byte(read("config/crd/bases/dataretention.dev_"+file+".yaml")), &crd); err != nil {
				t.Fatal(err)
			}
			walk(crd["spec"], "", func(path string, _ map[string]any) {
				field := path[strings.LastIndex(path, ".")+1:]
				switch {
				case strings.Contains(path, "matchExpressions."), field == "apiVersion", field == "metadata":
					return // as everywhere in Kubernetes
				case !regexp.MustCompile(`\b` + field + `\b`).MatchString(page):
					t.Errorf("%s.md does not say what %s is", file, path)
				}
			})
		}
	})
	t.Run("reasons", func(t *testing.T) {
		for _, file := range []string{"api/v1alpha1/conditions.go", "api/v1alpha1/annotations.go", "api/v1alpha1/retentionpolicy_status.go",
			"api/v1alpha1/erasurerequest_status.go", "internal/receipt/account.go", "internal/receipt/receipt.go", "internal/receipt/outcome.go", "internal/plan/reason.go", "controllers/retentionpolicy/advance.go",
			"controllers/retentionpolicy/observe.go", "controllers/datastore/events.go", "controllers/erasurerequest/observe.go", "controllers/erasurerequest/children.go",
			"controllers/erasurerequest/clock.go", "controllers/erasurerequest/target.go", "controllers/legalhold/enforce.go", "controllers/legalhold/judge.go", "controllers/legalhold/count.go"} {
			found := 0
			for name, value := range constants(t, filepath.Join(root, file)) {
				if !regexp.MustCompile(`^(Condition|Reason|reason|event|Find|Outcome|Step|Annotation|No[A-Z]|Lost|Obligation|Starting|Ambiguous|Invalid|RetainOnly|Slot|PeriodsContradict|RuleMatches|NameMatches|Erasure|Identifiers|Subject|TooMany|AccountLost|Hold|Undeclared|Referenced|recheck)`).MatchString(name) {
					continue
				}
				found++
				value = strings.TrimPrefix(value, "/")
				if !regexp.MustCompile("\\b" + value + "\\b").MatchString(all) {
					t.Errorf("no page says what %s (%s in %s) is", value, name, file)
				}
			}
			if found == 0 {
				t.Errorf("no constants in %s", file)
			}
		}
	})
}

// The commands that the pages show, as a user with the roles that they name would run them.
func TestDocumentedCommands(t *testing.T) {
	srv := admission(t)
	ns := srv.Namespace(t)
	bind(t, ns, "officer", "retention-erasurerequest-editor-role", "retention-erasurerequest-approver-role", "retention-legalhold-editor-role")
	root, err := fixture.Root()
	if err != nil {
		t.Fatal(err)
	}
	read := func(page string) string {
		text, err := os.ReadFile(filepath.Join(root, "docs/spec/v1alpha1/"+page))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	requests, holds := read("erasurerequests.md"), read("legalholds.md")
	find := func(page, pattern string) string {
		match := regexp.MustCompile(pattern).FindStringSubmatch(page)
		if match == nil {
			t.Fatalf("the page has nothing like %s", pattern)
		}
		return match[1]
	}
	kubectl := func(stdin, command string, args ...string) {
		t.Helper()
		if _, err := srv.Kubectl(t, stdin, append(append(strings.Fields(command), "-n", ns, "--as=officer"), args...)...); err != nil {
			t.Error(err)
		}
	}
	conditions := func() (out []string) {
		t.Helper()
		request := &v1alpha1.ErasureRequest{}
		if err := srv.Client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "er-2026-0042"}, request); err != nil {
			t.Fatal(err)
		}
		for _, c := range request.Status.Conditions {
			out = append(out, c.Type+"="+string(c.Status))
		}
		return out
	}
	ready := condition("Ready", "False", "Waiting")
	for name, decide := range map[string]func(){
		"Denied": func() {
			kubectl(find(requests, `(?s)<<EOF\n(.*?)EOF\n`), find(requests, `\$ kubectl (apply --server-side .*) <<EOF`))
		},
		"Approved": func() {
			kubectl("", find(requests, `\$ kubectl (patch erasure .*) -p '`), "-p", find(requests, `(?s)--type=json -p '(.*?)'\n`))
		},
	} {
		request := object(t, leastErasureRequest)
		request.SetNamespace(ns)
		if err := srv.Client.Create(t.Context(), request); err != nil {
			t.Fatal(complaints(err))
		}
		if err := setConditions(t, srv.Client, request, ready); err != nil {
			t.Fatal(complaints(err))
		}
		decide()
		if diff := cmp.Diff([]string{"Ready=False", name + "=True"}, conditions()); diff != "" {
			t.Errorf("conditions (-want +got):\n%s", diff)
		}
		kubectl("", find(requests, `\$ kubectl (annotate erasure .*extension-reason)=`)+"="+strings.ReplaceAll(find(requests, `extension-reason="(.*)"`), " ", "-"))
		if err := srv.Client.Delete(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	stored(t, ns, leastLegalHold)
	kubectl("", find(holds, `\$ kubectl (patch hold .*) -p '`), "-p", find(holds, `\$ kubectl patch hold .* -p '(.*)'\n`))
	kubectl("", "delete hold lh-2026-0007")
}

// constants returns the string constants of a Go file by name. Of `Group + "/x"` it takes "/x".
func constants(t *testing.T, file string) map[string]string {
	t.Helper()
	out := map[string]string{}
	eachConstant(t, file, func(name, _, value string) { out[name] = value })
	return out
}

// eachConstant visits the string constants of a Go file, with the name of their type if they have one.
func eachConstant(t *testing.T, file string, visit func(name, of, value string)) {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != len(spec.Names) {
			return true
		}
		of := ""
		if kind, ok := spec.Type.(*ast.Ident); ok {
			of = kind.Name
		}
		for i, name := range spec.Names {
			value := spec.Values[i]
			if sum, ok := value.(*ast.BinaryExpr); ok {
				value = sum.Y
			}
			if lit, ok := value.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					visit(name.Name, of, text)
				}
			}
		}
		return true
	})
}
