// SPDX-License-Identifier: Apache-2.0

package report

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"reflect"
	"slices"
	"strings"
)

//go:embed report.css
var styles string

//go:embed report.html.tmpl
var pageText string

// How many rows a table has on the page. The rest is in the CSV files and in the JSON, and the page says so.
const (
	maxRows    = 200
	maxRuns    = 60
	maxBackups = 60
	maxProofs  = 300
	maxText    = 400 // characters of one text
)

// HTML writes the report as one page that loads nothing and runs nothing.
func (r *Report) HTML(w io.Writer) error {
	v := newView(r)
	t, err := template.New("page").Funcs(v.functions()).Parse(pageText)
	if err != nil {
		return fmt.Errorf("reading the page's template: %w", err)
	}
	if err := t.Execute(w, v); err != nil {
		return fmt.Errorf("writing the page: %w", err)
	}
	return nil
}

// view is what the template shows.
type view struct {
	Report
	// CSS is the style sheet, and Policy the Content-Security-Policy that allows this one and nothing else.
	CSS    template.CSS
	Policy string
	Chart  *chart
	Lede   []string
	Tiles  []tile
	Rules  []ruleRow
	// Attention are the runs that were not compliant, or of which that is unknown.
	Attention []attentionRow
	// ShownProofs are the statements that stand in the table of proofs.
	ShownProofs []Proof
	shown       map[int64]bool
	// Example is the entry that the page shows how to verify.
	Example int64

	words words
}

func newView(r *Report) *view {
	v := &view{Report: *r, words: newWords(r)}
	// The margins of a printed page can only be written by the style sheet.
	css := styles + fmt.Sprintf("\n@page { @bottom-left { content: %s } }\n", cssString("Data retention report, "+v.words.span(r.Period.From, r.Period.Until)))
	sum := sha256.Sum256([]byte(css))
	v.CSS = template.CSS(css) // our own text: the style sheet, and two dates
	v.Policy = "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
	v.Chart = newChart(&r.Deletions, v.words)
	v.Lede = lede(r)
	v.Tiles = tiles(r)
	v.Rules = rulesOf(r)
	v.Attention = attention(r)
	if len(v.Policies) > maxRows { // those that are not compliant are not among the rows left out
		v.Policies = slices.Clone(v.Policies)
		slices.SortStableFunc(v.Policies, func(x, y Policy) int { return worse[y.Latest] - worse[x.Latest] })
	}
	v.choose()
	if n := len(v.ShownProofs); n > 0 {
		v.Example = v.ShownProofs[n-1].Index
	}
	return v
}

// cssString writes a text as a string of CSS.
func cssString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		if c == ' ' || c == ',' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			b.WriteRune(c)
			continue
		}
		fmt.Fprintf(&b, `\%06x`, c)
	}
	b.WriteByte('"')
	return b.String()
}

// ruleRow is a rule with its policy.
type ruleRow struct {
	Namespace, Policy string
	Rule
}

func rulesOf(r *Report) []ruleRow {
	var out []ruleRow
	for i := range r.Policies {
		for _, rule := range r.Policies[i].Rules {
			out = append(out, ruleRow{r.Policies[i].Namespace, r.Policies[i].Name, rule})
		}
	}
	return out
}

// choose picks the statements that the table of proofs shows: all, or else those that other rows on the page lead to.
func (v *view) choose() {
	v.shown = map[int64]bool{}
	if len(v.Proofs) <= maxProofs {
		v.ShownProofs = v.Proofs
		for i := range v.Proofs {
			v.shown[v.Proofs[i].Index] = true
		}
		return
	}
	for _, ref := range v.referred() {
		if ref != nil {
			v.shown[ref.Index] = true
		}
	}
	for i := range v.Proofs {
		if v.shown[v.Proofs[i].Index] {
			v.ShownProofs = append(v.ShownProofs, v.Proofs[i])
		}
	}
}

// referred are the statements that rows on the page lead to.
func (v *view) referred() []*Ref {
	var out []*Ref
	for _, p := range first(v.Policies, maxRows) {
		out = append(out, p.Evidence)
	}
	for _, r := range first(v.Attention, maxRuns) {
		out = append(out, r.Evidence)
	}
	for _, q := range first(v.Requests, maxRows) {
		out = append(out, q.Evidence)
	}
	for _, h := range first(v.Holds, maxRows) {
		out = append(out, h.EnforcedEvidence, h.ReleasedEvidence)
	}
	for _, e := range first(v.Exceptions, maxRows) {
		out = append(out, e.Evidence)
	}
	for _, b := range first(v.Backups, maxBackups) {
		out = append(out, b.Evidence, b.Expired)
	}
	return out
}

func first[T any](s []T, n int) []T { return s[:min(n, len(s))] }

// limited is the part of a table that the page shows.
type limited struct {
	Rows  any
	Total int
	Left  int
	// File is the CSV file that has all.
	File string
}

func limit(rows any, n int, file string) limited {
	v := reflect.ValueOf(rows)
	shown := min(n, v.Len())
	return limited{v.Slice(0, shown).Interface(), v.Len(), v.Len() - shown, file}
}

// functions are what the template calls.
func (v *view) functions() template.FuncMap {
	w := v.words
	return template.FuncMap{
		"count": countText, "num": number[int], "num64": number[int64], "num64p": func(n *int64) string { return number(*n) }, "date": w.date, "moment": w.moment, "opt": w.optional, "iso": iso,
		"badge": badgeOf, "limit": limit, "short": short, "join": join, "hex": hexOf, "taken": daysText, "left": daysLeftText,
		"stripText": w.stripText, "stripCells": stripCells, "isShown": func(i int64) bool { return v.shown[i] },
		"states": stateKeys, "why": whyText, "kindWords": kindWords, "isWord": isWord, "answerWord": answerWord, "span": w.span, "metricRows": metricRows,
		"deref": func(b *bool) bool { return *b },
		"yes":   func(s string) badge { return badge{toneGood, s} }, "no": func(s string) badge { return badge{toneBad, s} }, "metricName": metricName,
		"maxRows": func() int { return maxRows }, "maxRuns": func() int { return maxRuns }, "maxBackups": func() int { return maxBackups },
		"stateLine": w.policyNow, "className": className, "sub": func(a, b int) int { return a - b },
	}
}
