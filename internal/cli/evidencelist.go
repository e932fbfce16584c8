// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
)

// listed is a line of `evidence list`.
type listed struct {
	Index     int64     `json:"index"`
	Time      time.Time `json:"time"`
	Kind      string    `json:"kind"`
	Level     string    `json:"level,omitempty"`
	Outcome   string    `json:"outcome,omitempty"`
	Namespace string    `json:"namespace,omitempty"`
	// About is what the statement is about: policy/NAME, request/NAME, hold/NAME or datastore/NAME.
	About      string   `json:"about,omitempty"`
	Run        string   `json:"run,omitempty"`
	Datastores []string `json:"datastores,omitempty"`
	Closes     *int64   `json:"closes,omitempty"`
	Digest     string   `json:"digest"`
	Message    string   `json:"message,omitempty"`
	// Removed says that the statement was removed at the end of its own retention.
	Removed bool `json:"removed,omitempty"`
}

func evidenceListCommand() *cobra.Command {
	t := &target{}
	var since, until, kind, from string
	var utc bool
	var format output
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List signed statements",
		Long: "List the signed statements of the ledger, in its order: of all namespaces, or with -n of one. Times are those of the statements. " +
			"Nothing is verified; get a statement, or export the ledger, and verify that.",
		Example: "  kubectl retention evidence list --since 2026-11-01 --kind Conclusion\n" +
			"  kubectl retention evidence list --from ./ledger -o json",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			term := terminalOf(cmd, utc)
			after, before, err := period(since, until, term.zone)
			if err != nil {
				return err
			}
			source, closing, err := openEvidence(cmd.Context(), t, from)
			if err != nil {
				return err
			}
			defer closing()
			entries, err := source.Entries(cmd.Context(), after, before)
			if err != nil {
				return err
			}
			lines := []listed{}
			for i := range entries {
				line := lineOf(&entries[i])
				if (kind == "" || strings.EqualFold(line.Kind, kind)) && (t.namespace == "" || line.Namespace == t.namespace) {
					lines = append(lines, line)
				}
			}
			if format == outputJSON || format == outputYAML {
				return format.object(term.out, lines)
			}
			return term.list(lines, format == outputWide)
		},
	}
	t.flags(cmd)
	t.operatorFlag(cmd)
	zoneFlag(cmd, &utc)
	fromFlag(cmd, &from)
	format.flag(cmd, outputWide, outputJSON, outputYAML)
	f := cmd.Flags()
	f.StringVar(&since, "since", "", "only statements made at this time or later, such as 2026-11-01 or 2026-11-01T09:00:00Z")
	f.StringVar(&until, "until", "", "only statements made before this time")
	f.StringVar(&kind, "kind", "", "only statements of this kind")
	f.Lookup("namespace").Usage = "only statements about this namespace (default: all)"
	complete(cmd, "kind", completeValues(string(evidence.Intent), string(evidence.Result), string(evidence.Conclusion), string(evidence.BackupsExpired),
		string(evidence.HoldEnforced), string(evidence.HoldReleased), string(evidence.Pruned)))
	complete(cmd, "since", completeValues())
	complete(cmd, "until", completeValues())
	return cmd
}

// lineOf is what a list says of an entry.
func lineOf(e *ledger.Entry) listed {
	line := listed{Index: e.Index, Time: e.Leaf.Time.UTC(), Kind: string(e.Leaf.Kind), Closes: e.Leaf.Closes, Digest: e.Leaf.Statement}
	if e.Envelope == nil {
		line.Removed = true
		return line
	}
	s, _, err := evidence.Payload(e.Envelope)
	if err != nil {
		line.Message = "it cannot be read: " + err.Error()
		return line
	}
	p := &s.Predicate
	line.Level, line.Outcome, line.Message = string(p.Level), p.Outcome, p.Message
	line.Namespace, line.About = about(p)
	if p.Run != nil {
		line.Run = p.Run.Name
	}
	for i := range p.Datastores {
		line.Datastores = append(line.Datastores, p.Datastores[i].Name)
	}
	return line
}

// about is what a statement is about.
func about(p *evidence.Predicate) (namespace, name string) {
	switch {
	case p.Policy != nil:
		return p.Policy.Namespace, "policy/" + p.Policy.Name
	case p.Request != nil:
		return p.Request.Namespace, "request/" + p.Request.Name
	case p.Hold != nil:
		return p.Hold.Namespace, "hold/" + p.Hold.Name
	case len(p.Datastores) > 0:
		return p.Datastores[0].Namespace, "datastore/" + p.Datastores[0].Name
	}
	return "", ""
}

// list prints a table.
func (t *terminal) list(lines []listed, wide bool) error {
	if len(lines) == 0 {
		fmt.Fprintln(t.out, "No such statement is in the ledger.")
		return nil
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 3, ' ', 0)
	header := "INDEX\tTIME\tKIND\tLEVEL\tNAMESPACE\tABOUT\tOUTCOME\tRUN"
	if wide {
		header += "\tCLOSES\tDIGEST"
	}
	fmt.Fprintln(w, header)
	for i := range lines {
		l := &lines[i]
		level := l.Level
		if l.Removed {
			level = "removed"
		}
		cells := []string{fmt.Sprint(l.Index), t.time(l.Time), l.Kind, level, l.Namespace, l.About, l.Outcome, l.Run}
		if wide {
			closes := ""
			if l.Closes != nil {
				closes = fmt.Sprint(*l.Closes)
			}
			cells = append(cells, closes, l.Digest)
		}
		for i := range cells {
			cells[i] = printable(cells[i])
			if cells[i] == "" {
				cells[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, "\t"), " "))
	}
	return w.Flush()
}

// printable takes out what a terminal would obey: nobody has verified the text.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}
