// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// JSON writes the report in its JSON form.
func (r *Report) JSON(w io.Writer) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the report: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// table is a CSV file.
type table struct {
	name string
	rows [][]string // the first is the header
}

// CSV returns the files of the report's CSV form by name: RFC 4180 in UTF-8 with a byte order mark, by which spreadsheets know it.
// Headers never change; columns may be added at the end. Times are RFC 3339 in UTC. A number that nobody has counted is
// empty; the column after it, with _at_least, says whether it is a lower bound.
//
// A text that a spreadsheet would take for a formula begins with an apostrophe, and so does one that begins with an
// apostrophe: take one away to have the text.
func (r *Report) CSV() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, t := range r.tables() {
		var b bytes.Buffer
		b.WriteString("\ufeff")
		w := csv.NewWriter(&b)
		w.UseCRLF = true
		if err := w.WriteAll(t.rows); err != nil {
			return nil, fmt.Errorf("writing %s: %w", t.name, err)
		}
		files[t.name] = b.Bytes()
	}
	return files, nil
}

// guard keeps a text from being taken for a formula, and takes out control characters.
func guard(s string) string {
	s = strings.Map(func(c rune) rune {
		switch {
		case c == '\n' || c == '\t':
			return ' '
		case unicode.IsControl(c) || c == '\u2028' || c == '\u2029':
			return '\ufffd'
		}
		return c
	}, s)
	if rest := strings.TrimLeftFunc(s, unicode.IsSpace); rest != "" && strings.ContainsRune("=+-@'＝＋－＠", []rune(rest)[0]) {
		return "'" + s
	}
	return s
}

// fields of a row, of any type that the report has.
func cells(values ...any) []string {
	var out []string
	for _, v := range values {
		switch v := v.(type) {
		case *Count:
			if v == nil {
				out = append(out, "", "")
			} else {
				out = append(out, strconv.FormatInt(v.Records, 10), strconv.FormatBool(v.AtLeast))
			}
		case *Ref:
			if v == nil {
				out = append(out, "", "")
			} else {
				out = append(out, strconv.FormatInt(v.Index, 10), v.Digest)
			}
		case time.Time:
			out = append(out, iso(v))
		case *time.Time:
			out = append(out, optional(v, iso))
		case int:
			out = append(out, strconv.Itoa(v))
		case int64:
			out = append(out, strconv.FormatInt(v, 10))
		case *int:
			out = append(out, optional(v, strconv.Itoa))
		case *float64:
			out = append(out, optional(v, func(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }))
		case bool:
			out = append(out, strconv.FormatBool(v))
		case *bool:
			out = append(out, optional(v, strconv.FormatBool))
		case []string:
			out = append(out, guard(strings.Join(v, "; ")))
		default:
			out = append(out, guard(fmt.Sprint(v)))
		}
	}
	return out
}

func optional[T any](v *T, write func(T) string) string {
	if v == nil {
		return ""
	}
	return write(*v)
}

// header splits the names of a header. A name that ends in # is a number of records, and has two columns; one that ends in @ is a
// statement, and has its index and digest.
func header(names string) []string {
	var out []string
	for _, name := range strings.Fields(names) {
		switch {
		case strings.HasSuffix(name, "#"):
			name = strings.TrimSuffix(name, "#")
			out = append(out, name, name+"_at_least")
		case strings.HasSuffix(name, "@"):
			name = strings.TrimSuffix(name, "@")
			out = append(out, name+"_index", name+"_digest")
		default:
			out = append(out, name)
		}
	}
	return out
}

// tableOf makes a table of a list.
func tableOf[T any](name, names string, of []T, row func(*T) []string) table {
	t := table{name: name, rows: [][]string{header(names)}}
	for i := range of {
		t.rows = append(t.rows, row(&of[i]))
	}
	return t
}
