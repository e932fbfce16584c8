// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"sigs.k8s.io/yaml"
)

// terminal is how a command prints: what it prints to, and what that can show.
type terminal struct {
	out io.Writer
	// colors and live say that colours may be used, and that lines that were printed may be replaced.
	colors, live bool
	// width is how many columns there are; 0 is any number.
	width int
	zone  *time.Location
	now   time.Time
}

// zoneFlag is --utc.
func zoneFlag(cmd *cobra.Command, utc *bool) {
	cmd.Flags().BoolVar(utc, "utc", false, "show times in UTC (default: in the local time zone)")
}

// terminalOf looks at what the command prints to. Colours are for terminals, and never used with NO_COLOR
// (https://no-color.org).
func terminalOf(cmd *cobra.Command, utc bool) *terminal {
	t := &terminal{out: cmd.OutOrStdout(), zone: time.Local, now: time.Now()}
	if utc {
		t.zone = time.UTC
	}
	file, ok := t.out.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) {
		return t
	}
	dumb := os.Getenv("TERM") == "dumb"
	t.live, t.colors = !dumb, !dumb && os.Getenv("NO_COLOR") == ""
	if width, _, err := term.GetSize(int(file.Fd())); err == nil {
		t.width = width
	}
	return t
}

// color is an SGR code.
type color string

const (
	plain  color = ""
	red    color = "31"
	green  color = "32"
	yellow color = "33"
	blue   color = "34"
	bold   color = "1"
	dim    color = "2"
)

// paint colours a text where colours may be used.
func (t *terminal) paint(c color, s string) string {
	if !t.colors || c == plain || s == "" {
		return s
	}
	return "\x1b[" + string(c) + "m" + s + "\x1b[0m"
}

// fit cuts a text without colours to the columns that are left when used are gone.
func (t *terminal) fit(s string, used int) string {
	if t.width == 0 || used+utf8.RuneCountInString(s) <= t.width {
		return s
	}
	return string([]rune(s)[:max(t.width-used-1, 0)]) + "…"
}

// time is an instant with its zone, as precise as a person needs it.
func (t *terminal) time(at time.Time) string { return at.In(t.zone).Format("2006-01-02 15:04 MST") }

// ago says how long before, or after, now an instant is.
func (t *terminal) ago(at time.Time) string {
	if d := t.now.Sub(at); d >= 0 {
		return roughly(d) + " ago"
	}
	return "in " + roughly(at.Sub(t.now))
}

// roughly is a duration in its largest unit, rounded down.
func roughly(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", d/time.Second)
}

// count is a number with its thousands apart: 1,234,567.
func count(n int64) string {
	digits := fmt.Sprint(n)
	sign := ""
	if n < 0 {
		sign, digits = "-", digits[1:]
	}
	var groups []string
	for len(digits) > 3 {
		groups = append([]string{digits[len(digits)-3:]}, groups...)
		digits = digits[:len(digits)-3]
	}
	return sign + strings.Join(append([]string{digits}, groups...), ",")
}

// records is a number of records in words.
func records(n int64) string {
	if n == 1 {
		return "1 record"
	}
	return count(n) + " records"
}

// pad fills a text up to so many columns.
func pad(s string, columns int) string {
	return s + strings.Repeat(" ", max(columns-utf8.RuneCountInString(s), 0))
}

// output is -o.
type output string

const (
	outputText output = ""
	outputWide output = "wide"
	outputJSON output = "json"
	outputYAML output = "yaml"
)

// flag adds -o with these formats.
func (o *output) flag(cmd *cobra.Command, formats ...output) {
	var names []string
	for _, f := range formats {
		names = append(names, string(f))
	}
	cmd.Flags().VarP(&formatValue{o, names}, "output", "o", "format: "+strings.Join(names, ", ")+" (default: text for people)")
	complete(cmd, "output", completeValues(names...))
}

// formatValue refuses formats that a command does not have.
type formatValue struct {
	to    *output
	names []string
}

func (v *formatValue) String() string {
	if v.to == nil {
		return ""
	}
	return string(*v.to)
}

// Type is what help calls it.
func (*formatValue) Type() string { return "format" }

// Set takes one of the names.
func (v *formatValue) Set(s string) error {
	for _, name := range v.names {
		if s == name {
			*v.to = output(s)
			return nil
		}
	}
	return fmt.Errorf("write one of %s", strings.Join(v.names, ", "))
}

// object prints a value as JSON or YAML.
func (o output) object(w io.Writer, value any) error {
	b, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding the output: %w", err)
	}
	if o == outputYAML {
		if b, err = yaml.JSONToYAML(b); err != nil {
			return fmt.Errorf("encoding the output: %w", err)
		}
		_, err = w.Write(b)
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", b)
	return err
}
