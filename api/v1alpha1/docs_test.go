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

	"sigs.k8s.io/yaml"

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
	datastores, policies := read("docs/spec/v1alpha1/datastores.md"), read("docs/spec/v1alpha1/retentionpolicies.md")

	t.Run("fields", func(t *testing.T) {
		for page, file := range map[string]string{datastores: "datastores", policies: "retentionpolicies"} {
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
			"internal/receipt/receipt.go", "internal/receipt/outcome.go", "internal/plan/reason.go", "controllers/retentionpolicy/advance.go",
			"controllers/retentionpolicy/observe.go", "controllers/datastore/events.go"} {
			found := 0
			for name, value := range constants(t, filepath.Join(root, file)) {
				if !regexp.MustCompile(`^(Condition|Reason|reason|event|Find|Outcome|Step|Annotation|No[A-Z]|Lost|Obligation|Starting|Ambiguous|Invalid|RetainOnly|Slot|PeriodsContradict|RuleMatches|NameMatches)`).MatchString(name) {
					continue
				}
				found++
				value = strings.TrimPrefix(value, "/")
				if !regexp.MustCompile("\\b" + value + "\\b").MatchString(datastores + policies) {
					t.Errorf("no page says what %s (%s in %s) is", value, name, file)
				}
			}
			if found == 0 {
				t.Errorf("no constants in %s", file)
			}
		}
	})
}

// constants returns the string constants of a Go file by name. Of `Group + "/x"` it takes "/x".
func constants(t *testing.T, file string) map[string]string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	ast.Inspect(parsed, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != len(spec.Names) {
			return true
		}
		for i, name := range spec.Names {
			value := spec.Values[i]
			if sum, ok := value.(*ast.BinaryExpr); ok {
				value = sum.Y
			}
			if lit, ok := value.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil {
					out[name.Name] = text
				}
			}
		}
		return true
	})
	return out
}
