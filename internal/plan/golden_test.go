// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the tests get into testdata/*.golden")

// TestGolden compiles each scenario and compares the text that a person reads with testdata/<scenario>.golden.
func TestGolden(t *testing.T) {
	for name, p := range scenarios() {
		t.Run(name, func(t *testing.T) {
			golden(t, name+".golden", []byte(render(p)))
		})
	}
}

// TestGoldenLeftovers finds golden files that no test looks at any more.
func TestGoldenLeftovers(t *testing.T) {
	files, err := filepath.Glob("testdata/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	all := scenarios()
	for _, f := range files {
		name := filepath.Base(f)
		if _, ok := all[name[:len(name)-len(".golden")]]; !ok {
			t.Errorf("%s belongs to no scenario", f)
		}
	}
}

// TestWireFormat pins the encoding that a manager and a purge Pod of different versions both have to understand.
func TestWireFormat(t *testing.T) {
	all := scenarios()
	for name, scenario := range map[string]string{"wire": "several-obligations-and-zones", "wire-erasure": "erasure", "wire-intake": "intake"} {
		got, err := json.MarshalIndent(all[scenario], "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name+".json", append(got, '\n'))
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs (-want +got); run with -update if the new text is right:\n%s", path, diff)
	}
}
