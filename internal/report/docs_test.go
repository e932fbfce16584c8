// SPDX-License-Identifier: Apache-2.0

package report

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestDocs: every field of the JSON form, every CSV file and every word of a closed set stands in docs/report.md.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "report.md"))
	if err != nil {
		t.Fatal(err)
	}
	docs := string(b)
	need := func(what, word string) {
		if !strings.Contains(docs, "`"+word+"`") {
			t.Errorf("%s %s is not in docs/report.md", what, word)
		}
	}
	seen := map[reflect.Type]bool{}
	var walk func(reflect.Type)
	walk = func(of reflect.Type) {
		switch of.Kind() {
		case reflect.Pointer, reflect.Slice:
			walk(of.Elem())
		case reflect.Struct:
			if seen[of] || of == reflect.TypeFor[time.Time]() {
				return
			}
			seen[of] = true
			for i := range of.NumField() {
				f := of.Field(i)
				if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "records" && name != "atLeast" {
					need("field", name)
				}
				walk(f.Type)
			}
		}
	}
	walk(reflect.TypeFor[Report]())
	for _, table := range (&Report{}).tables() {
		need("file", table.name)
	}
	for kind := range exceptionRank {
		need("kind", string(kind))
	}
	for state := range worse {
		need("state", string(state))
	}
}
