// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func htmlOf(t testing.TB, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := r.HTML(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestPage: the page is well-formed, loads nothing, runs nothing, and takes no text for markup.
func TestPage(t *testing.T) {
	hostile := rich(t)
	hostileNames(&hostile)
	empty := rich(t)
	empty.Entries, empty.Live = nil, nil
	for name, in := range map[string]Input{"rich": rich(t), "hostile": hostile, "empty": empty} {
		t.Run(name, func(t *testing.T) {
			page := htmlOf(t, build(t, in))
			d := xml.NewDecoder(strings.NewReader(page))
			d.AutoClose, d.Entity = []string{"meta"}, xml.HTMLEntity
			d.Strict = true
			var tables int
			for {
				token, err := d.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatalf("the page is not well-formed: %v", err)
				}
				start, ok := token.(xml.StartElement)
				if !ok {
					continue
				}
				switch start.Name.Local {
				case "script", "img", "iframe", "object", "embed", "link", "base", "form", "b":
					t.Errorf("there is an element %s", start.Name.Local)
				case "table":
					tables++
				}
				for _, a := range start.Attr {
					switch key := a.Name.Local; {
					case strings.HasPrefix(key, "on"), key == "src", key == "style", key == "action":
						t.Errorf("%s has the attribute %s", start.Name.Local, key)
					case key == "href" && !strings.HasPrefix(a.Value, "#"):
						t.Errorf("%s leads to %s", start.Name.Local, a.Value)
					}
				}
			}
			if tables == 0 {
				t.Error("there are no tables")
			}
			css := page[strings.Index(page, "<style>"):strings.Index(page, "</style>")]
			for _, address := range regexp.MustCompile(`url\([^)]*\)|@import|https?:`).FindAllString(css, -1) {
				if !strings.HasPrefix(address, "url(#") {
					t.Errorf("the style sheet loads %s", address)
				}
			}
			if strings.Contains(page, "ZgotmplZ") {
				t.Error("the template has refused a value")
			}
		})
	}
}

// TestPageSaysSo: what must not be overlooked is on the page.
func TestPageSaysSo(t *testing.T) {
	unverified := rich(t)
	unverified.Verification = Verification{}
	for _, tc := range []struct {
		name string
		in   Input
		want []string
	}{
		{"verified", rich(t), []string{"Verified", "1 January to 31 March 2026", "at least", "Landgericht Berlin", "§ 147 AO", "20.67", "№ ", "6\u00a0days\u00a0over", "no statement"}},
		{"not verified", unverified, []string{"Not verified", "Nobody has checked a signature", "signatures of the statements were not checked"}},
	} {
		page := htmlOf(t, build(t, tc.in))
		for _, want := range tc.want {
			if !strings.Contains(page, want) {
				t.Errorf("%s: the page does not say %q", tc.name, want)
			}
		}
	}
}

var atLeast = regexp.MustCompile(`_at_least$`)

// TestCSV: every file can be read back, has its header, and no cell is a formula.
func TestCSV(t *testing.T) {
	in := rich(t)
	hostileNames(&in)
	r := build(t, in)
	files, err := r.CSV()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range r.tables() {
		text := string(files[table.name])
		if !strings.HasPrefix(text, "\ufeff") || !strings.HasSuffix(text, "\r\n") {
			t.Errorf("%s does not begin with a byte order mark, or not end with a line's end", table.name)
		}
		rows, err := csv.NewReader(strings.NewReader(strings.TrimPrefix(text, "\ufeff"))).ReadAll()
		if err != nil {
			t.Fatalf("%s: %v", table.name, err)
		}
		if diff := cmp.Diff(table.rows, rows); diff != "" {
			t.Errorf("%s is read back as something else (-want +got):\n%s", table.name, diff)
		}
		for i, row := range rows {
			for j, cell := range row {
				if _, err := strconv.ParseFloat(cell, 64); err == nil || cell == "" {
					continue
				}
				if strings.ContainsAny(strings.TrimSpace(cell)[:1], "=+-@\t\r") {
					t.Errorf("%s, line %d, column %s begins like a formula: %q", table.name, i, rows[0][j], cell)
				}
			}
		}
		for j, name := range rows[0] {
			if atLeast.MatchString(name) && rows[0][j-1] != strings.TrimSuffix(name, "_at_least") {
				t.Errorf("%s: %s does not stand after its number", table.name, name)
			}
		}
	}
	if _, ok := files["requests.csv"]; !ok || len(files) != len(r.tables()) {
		t.Errorf("there are %d files for %d tables", len(files), len(r.tables()))
	}
}

// TestCSVHeaders pins the headers: programs read them.
func TestCSVHeaders(t *testing.T) {
	var got strings.Builder
	for _, table := range (&Report{}).tables() {
		got.WriteString(table.name + ": " + strings.Join(table.rows[0], ",") + "\n")
	}
	golden(t, "headers.txt", []byte(got.String()))
}

// TestGuard: what a guarded cell has been can be told, and it is never a formula.
func TestGuard(t *testing.T) {
	for text, want := range map[string]string{
		"plain": "plain", "": "", "=1+1": "'=1+1", "\t=1": "' =1", "-2": "'-2", "@x": "'@x", "+x": "'+x", "'x": "''x", "＝1": "'＝1",
		"a\nb": "a b", "a\x00b": "a\ufffdb", "a,\"b": `a,"b`,
	} {
		if got := guard(text); got != want {
			t.Errorf("%q is written %q, want %q", text, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[ =+\-@'a-c"',]{0,6}`).Draw(t, "text")
		back := strings.TrimPrefix(guard(text), "'")
		if !strings.HasPrefix(guard(text), "'") {
			back = guard(text)
		}
		if back != text {
			t.Fatalf("%q comes back as %q", text, back)
		}
	})
}

// TestManyStatements: ten thousand statements make a page of bearable size, which says what it has left out.
func TestManyStatements(t *testing.T) {
	in := many(t, 10000)
	start := time.Now()
	r := build(t, in)
	page := htmlOf(t, r)
	if _, err := r.CSV(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d statements: %s, %d kB", len(in.Entries), time.Since(start), len(page)/1000)
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
	if len(page) > 3_000_000 {
		t.Errorf("the page has %d bytes", len(page))
	}
	for _, want := range []string{"more of 240 rows are not shown", "more statements are not shown", "proofs.csv", "exceptions.csv"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if len(r.Proofs) < 9000 || len(r.Runs) < 3000 {
		t.Errorf("the report has %d proofs and %d runs", len(r.Proofs), len(r.Runs))
	}
}

func BenchmarkReport(b *testing.B) {
	in := many(b, 10000)
	b.ResetTimer()
	for b.Loop() {
		r := build(b, in)
		if err := r.HTML(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
