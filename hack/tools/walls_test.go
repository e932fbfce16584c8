// SPDX-License-Identifier: Apache-2.0

package tools

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "dataretention.dev/retention-operator"

// libraries are the modules of which the cases import packages. Empty stand-ins are enough: walls look at names.
var libraries = []string{
	"filippo.io/age", "github.com/google/uuid", "github.com/jackc/pgx/v5", "github.com/rickar/cal/v2", "github.com/robfig/cron/v3",
	"github.com/secure-systems-lab/go-securesystemslib", "github.com/transparency-dev/tessera",
	"k8s.io/api", "k8s.io/apimachinery", "k8s.io/client-go", "sigs.k8s.io/controller-runtime", "sigs.k8s.io/yaml",
}

const stub = "// SPDX-License-Identifier: Apache-2.0\n\n// Package stub is empty.\npackage stub\n"

// TestWalls runs the linter with the project's configuration on files that break the design's walls, and on files that
// come close to a wall without breaking it. One linter run looks at all of them.
func TestWalls(t *testing.T) {
	imports := map[string]struct {
		dir, file string // file is the name of the Go file, "code.go" if empty
		path      string // what the file imports
		refused   bool
	}{
		"controllers import the data plane":             {"controllers/retentionpolicy", "", module + "/internal/purge", true},
		"controllers import an engine":                  {"controllers/datastore", "", module + "/internal/purge/engine/postgresql", true},
		"a controller's test imports the data plane":    {"controllers/retentionpolicy", "code_test.go", module + "/internal/purge", true},
		"controllers import a driver":                   {"controllers", "", "github.com/jackc/pgx/v5", true},
		"controllers import database/sql":               {"controllers/datastore", "", "database/sql", true},
		"controllers import purgejob":                   {"controllers/retentionpolicy", "", module + "/internal/purgejob", false},
		"controllers import controller-runtime":         {"controllers", "", "sigs.k8s.io/controller-runtime", false},
		"plan imports the data plane":                   {"internal/plan", "", module + "/internal/purge", true},
		"plan imports the API types":                    {"internal/plan", "", module + "/api/v1alpha1", true},
		"plan imports apimachinery":                     {"internal/plan", "", "k8s.io/apimachinery/pkg/apis/meta/v1", true},
		"plan imports os":                               {"internal/plan", "", "os", true},
		"plan imports os/exec":                          {"internal/plan", "", "os/exec", true},
		"plan imports net/http":                         {"internal/plan", "", "net/http", true},
		"plan imports math/rand/v2":                     {"internal/plan", "", "math/rand/v2", true},
		"plan's test imports os":                        {"internal/plan", "code_test.go", "os", false},
		"plan imports schedule":                         {"internal/plan", "", module + "/internal/schedule", false},
		"plan imports encoding/json":                    {"internal/plan", "", "encoding/json", false},
		"schedule imports client-go":                    {"internal/schedule", "", "k8s.io/client-go/kubernetes", true},
		"schedule imports controller-runtime":           {"internal/schedule", "", "sigs.k8s.io/controller-runtime/pkg/client", true},
		"schedule imports net":                          {"internal/schedule", "", "net", true},
		"schedule imports database/sql":                 {"internal/schedule", "", "database/sql", true},
		"schedule imports cron":                         {"internal/schedule", "", "github.com/robfig/cron/v3", false},
		"schedule imports calendars":                    {"internal/schedule", "", "github.com/rickar/cal/v2/de", false},
		"seal imports age":                              {"internal/seal", "", "filippo.io/age/armor", false},
		"seal imports os":                               {"internal/seal", "", "os", true},
		"seal imports a client":                         {"internal/seal", "", "k8s.io/client-go/kubernetes", true},
		"subject imports the data plane":                {"internal/subject", "", module + "/internal/purge", true},
		"subject imports crypto/rand":                   {"internal/subject", "", "crypto/rand", true},
		"the command line imports an engine":            {"internal/cli", "", module + "/internal/purge/engine", true},
		"the command line imports a client":             {"internal/cli", "", "sigs.k8s.io/controller-runtime/pkg/client", false},
		"controllers import seal":                       {"controllers/erasurerequest", "", module + "/internal/seal", false},
		"the data plane imports subject":                {"internal/purge", "", module + "/internal/subject", false},
		"receipt imports os":                            {"internal/receipt", "", "os", true},
		"receipt imports a library":                     {"internal/receipt", "", "github.com/google/uuid", true},
		"purgejob imports the data plane":               {"internal/purgejob", "", module + "/internal/purge", true},
		"purgejob imports a client":                     {"internal/purgejob", "", "k8s.io/client-go/kubernetes", true},
		"purgejob imports controller-runtime":           {"internal/purgejob", "", "sigs.k8s.io/controller-runtime", true},
		"purgejob imports os":                           {"internal/purgejob", "", "os", true},
		"purgejob imports the types of Jobs":            {"internal/purgejob", "", "k8s.io/api/batch/v1", false},
		"purgejob imports apply configurations":         {"internal/purgejob", "", "k8s.io/client-go/applyconfigurations/batch/v1", false},
		"purgejob imports the API types":                {"internal/purgejob", "", module + "/api/v1alpha1", false},
		"evidence imports a driver":                     {"internal/evidence", "", "github.com/jackc/pgx/v5/pgxpool", true},
		"evidence imports an engine":                    {"internal/evidence/ledger", "", module + "/internal/purge/engine", true},
		"evidence imports controllers":                  {"internal/evidence", "", module + "/controllers", true},
		"evidence imports the ledger":                   {"internal/evidence", "", module + "/internal/ledger", true},
		"evidence imports the API types":                {"internal/evidence", "", module + "/api/v1alpha1", true},
		"evidence imports apimachinery":                 {"internal/evidence", "", "k8s.io/apimachinery/pkg/apis/meta/v1", true},
		"evidence imports os":                           {"internal/evidence", "", "os", true},
		"evidence imports net/http":                     {"internal/evidence", "", "net/http", true},
		"evidence imports crypto/rand":                  {"internal/evidence", "", "crypto/rand", true},
		"evidence imports a log's storage":              {"internal/evidence", "", "github.com/transparency-dev/tessera/storage/posix", true},
		"evidence imports the form of tiles":            {"internal/evidence", "", "github.com/transparency-dev/tessera/api/layout", false},
		"evidence imports DSSE":                         {"internal/evidence", "", "github.com/secure-systems-lab/go-securesystemslib/dsse", false},
		"evidence imports io/fs":                        {"internal/evidence", "", "io/fs", false},
		"evidence's test imports os":                    {"internal/evidence", "code_test.go", "os", false},
		"the ledger imports a client":                   {"internal/ledger", "", "k8s.io/client-go/kubernetes", true},
		"the ledger's client imports the API types":     {"internal/ledger/client", "", module + "/api/v1alpha1", true},
		"the ledger imports controllers":                {"internal/ledger", "", module + "/controllers", true},
		"the ledger imports the data plane":             {"internal/ledger", "", module + "/internal/purge", true},
		"the ledger's test imports controller-runtime":  {"internal/ledger", "code_test.go", "sigs.k8s.io/controller-runtime", true},
		"the ledger imports evidence":                   {"internal/ledger", "", module + "/internal/evidence", false},
		"the ledger's client imports the ledger":        {"internal/ledger/client", "", module + "/internal/ledger", false},
		"the data plane imports apimachinery":           {"internal/purge", "", "k8s.io/apimachinery/pkg/types", true},
		"the data plane imports sigs.k8s.io":            {"internal/purge", "", "sigs.k8s.io/yaml", true},
		"an engine imports the API types":               {"internal/purge/engine/postgresql", "", module + "/api/v1alpha1", true},
		"an engine's test imports controllers":          {"internal/purge/engine/postgresql", "code_test.go", module + "/controllers/datastore", true},
		"the data plane imports purgejob":               {"internal/purge", "", module + "/internal/purgejob", true},
		"the data plane imports evidence":               {"internal/purge", "", module + "/internal/evidence", true},
		"the data plane imports plan":                   {"internal/purge", "", module + "/internal/plan", false},
		"the data plane imports its engine":             {"internal/purge", "", module + "/internal/purge/engine", false},
		"an engine imports the runner":                  {"internal/purge/engine/postgresql", "", module + "/internal/purge", false},
		"an engine imports its driver":                  {"internal/purge/engine/postgresql", "", "github.com/jackc/pgx/v5", false},
		"api imports client-go":                         {"api/v1alpha1", "", "k8s.io/client-go/kubernetes/scheme", true},
		"api imports k8s.io/api":                        {"api/v1alpha1", "", "k8s.io/api/core/v1", true},
		"api imports controller-runtime":                {"api/v1alpha1", "", "sigs.k8s.io/controller-runtime/pkg/scheme", true},
		"api imports internal":                          {"api/v1alpha1", "", module + "/internal/schedule", true},
		"api imports apimachinery":                      {"api/v1alpha1", "", "k8s.io/apimachinery/pkg/runtime", false},
		"api's test imports a client":                   {"api/v1alpha1", "code_test.go", "sigs.k8s.io/controller-runtime/pkg/client", false},
		"a new internal package imports controllers":    {"internal/other", "", module + "/controllers", true},
		"a new internal package imports io/ioutil":      {"internal/other", "", "io/ioutil", true},
		"the root imports both planes":                  {"cmd", "", module + "/internal/purge", false},
		"a package of the same name elsewhere is free":  {"hack/internal/plan", "", "os", false},
		"a package that begins like controllers is not": {"controllersx", "", "database/sql", false},
	}
	clocks := map[string]struct {
		dir, file string
		expr      string
		refused   bool
	}{
		"controllers read the clock":       {"controllers/retentionpolicy", "", "time.Now()", true},
		"controllers keep the clock":       {"controllers/retentionpolicy", "", "time.Now", true},
		"controllers measure":              {"controllers/datastore", "", "time.Since(time.Time{})", true},
		"controllers sleep":                {"controllers", "", "func() { time.Sleep(1) }", true},
		"plan reads the clock":             {"internal/plan", "", "time.Now()", true},
		"schedule measures":                {"internal/schedule", "", "time.Until(time.Time{})", true},
		"purgejob reads the clock":         {"internal/purgejob", "", "time.Now()", true},
		"evidence reads the clock":         {"internal/evidence/ledger", "", "time.Now()", true},
		"subject reads the clock":          {"internal/subject", "", "time.Now()", true},
		"schedule computes":                {"internal/schedule", "", "time.Unix(0, 0)", false},
		"the data plane reads the clock":   {"internal/purge", "", "time.Now()", false},
		"a controller's test reads it":     {"controllers/retentionpolicy", "code_test.go", "time.Now()", false},
		"the command line reads the clock": {"cmd", "", "time.Now()", false},
	}

	root := t.TempDir()
	copyFile(t, "../../.golangci.yml", filepath.Join(root, ".golangci.yml"))
	gomod := "module " + module + "\n\ngo 1.26\n"
	for _, lib := range libraries {
		gomod += fmt.Sprintf("\nrequire %s v%s.0.0\nreplace %s => ./libraries/%s\n", lib, major(lib), lib, lib)
		write(t, filepath.Join(root, "libraries", lib, "go.mod"), "module "+lib+"\n")
	}
	write(t, filepath.Join(root, "go.mod"), gomod)

	// One folder per case, or two cases in one package would be told apart by luck. Every wall covers subfolders.
	want := map[string]bool{} // folder of the case → refused
	names := map[string]string{}
	add := func(name, dir, file, code string, refused bool) {
		dir = filepath.Join(dir, fmt.Sprintf("case%d", len(want)))
		if file == "" {
			file = "code.go"
		}
		write(t, filepath.Join(root, dir, file), "// SPDX-License-Identifier: Apache-2.0\n\npackage probe\n\n"+code)
		want[dir], names[dir] = refused, name
	}
	for name, c := range imports {
		if rest, ok := strings.CutPrefix(c.path, module+"/"); ok {
			write(t, filepath.Join(root, rest, "stub.go"), stub)
		} else if strings.Contains(c.path, ".") {
			write(t, filepath.Join(root, "libraries", c.path, "stub.go"), stub)
		}
		add(name, c.dir, c.file, fmt.Sprintf("import _ %q\n", c.path), c.refused)
	}
	for name, c := range clocks {
		add(name, c.dir, c.file, fmt.Sprintf("import \"time\"\n\nvar probe = %s\n", c.expr), c.refused)
	}

	got := lint(t, root)
	for dir, refused := range want {
		t.Run(names[dir], func(t *testing.T) {
			if (len(got[dir]) > 0) != refused {
				t.Errorf("%s: refused is %v, want %v; complaints: %q", dir, !refused, refused, got[dir])
			}
		})
	}
	for dir, texts := range got {
		if _, ok := want[dir]; !ok {
			t.Errorf("complaints on %s, which is no case: %q", dir, texts)
		}
	}
}

// lint returns what depguard and forbidigo say, by folder below root.
func lint(t *testing.T, root string) map[string][]string {
	t.Helper()
	linter, err := exec.CommandContext(t.Context(), "go", "tool", "-n", "golangci-lint-kube-api-linter").Output()
	if err != nil {
		t.Fatalf("build the linter: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), strings.TrimSpace(string(linter)), "run", "--allow-parallel-runners",
		"--enable-only", "depguard,forbidigo", "--issues-exit-code", "0", "--show-stats=false",
		"--output.json.path", "stdout", "./...")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOPROXY=off", "GOWORK=off")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("run the linter: %v\n%s", err, out)
	}

	var report struct {
		Issues []struct {
			FromLinter, Text string
			Pos              struct{ Filename string }
		}
	}
	if err := json.NewDecoder(strings.NewReader(string(out))).Decode(&report); err != nil {
		t.Fatalf("read the linter's report: %v\n%s", err, out)
	}
	found := map[string][]string{}
	for _, issue := range report.Issues {
		if issue.FromLinter != "depguard" && issue.FromLinter != "forbidigo" {
			t.Fatalf("%s cannot look at %s: %s", issue.FromLinter, issue.Pos.Filename, issue.Text)
		}
		dir := filepath.Dir(issue.Pos.Filename)
		found[dir] = append(found[dir], issue.FromLinter+": "+issue.Text)
	}
	return found
}

// major is the major version that the module path names.
func major(path string) string {
	if v, ok := strings.CutPrefix(filepath.Base(path), "v"); ok {
		return v
	}
	return "0"
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	write(t, to, string(text))
}
