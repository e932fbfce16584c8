// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"dataretention.dev/retention-operator/internal/report"
	"dataretention.dev/retention-operator/internal/schedule"
)

// The formats of reports.
const (
	outputHTML output = "html"
	outputCSV  output = "csv"
)

// reportDays is how many days a report is about if nobody says since when.
const reportDays = 30

// reportFlags are what a report is to be about, and how it is made.
type reportFlags struct {
	target
	since, until, zone string
	from, keys         string
	by                 string
	format             output
	file               string
}

func reportCommand() *cobra.Command {
	f := &reportFlags{format: outputHTML}
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Make the compliance report of a period: a page to read and to print, CSV or JSON",
		Long: "Make the report of a period for people who answer for compliance: policies and their compliance over time, what was deleted by class, " +
			"requests with the days that their answers took (as CCPA regulations § 7102 wants them), holds, exceptions with their basis, and backups, " +
			"each with the signed statement that proves it. The page is one file that loads nothing.\n\n" +
			"The whole ledger is read and verified first, with the keys of --keys, or else with those that the cluster publishes; of what does not " +
			"verify no report is made. A folder of `evidence export` is read with --from, without a cluster: open requests are not known then, and " +
			"without --keys the report says that nothing was verified.\n\n" +
			"Exit codes: 0 made; 1 not made, as when the evidence does not verify.",
		Example: "  kubectl retention report --since 2026-01-01 --until 2026-03-31 --zone Europe/Berlin\n" +
			"  kubectl retention report --since 2026-01-01 -n shop -o csv --file ./q1\n" +
			"  kubectl retention report --from ./ledger --keys keys.pem --since 2026-01-01 -o json --file -",
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := f.report(cmd)
			if err != nil {
				return err
			}
			return f.write(cmd, r)
		},
	}
	f.flags(cmd)
	f.operatorFlag(cmd)
	fromFlag(cmd, &f.from)
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "", fmt.Sprintf("first day, such as 2026-01-01, or time (default: %d days before the end)", reportDays))
	flags.StringVar(&f.until, "until", "", "last day, such as 2026-03-31, or time that is no longer in it (default: now)")
	flags.StringVar(&f.zone, "zone", "UTC", "time zone in which days are reckoned, such as Europe/Berlin")
	flags.StringVar(&f.keys, "keys", "", "file with the public keys that you trust (default: those that the cluster publishes)")
	flags.StringVar(&f.by, "by", "", "who makes the report, as it is to stand there")
	flags.StringVarP(&f.file, "file", "f", "", "file to write, - for the standard output; with -o csv a folder (default: retention-report-FIRST-LAST)")
	flags.BoolP("all-namespaces", "A", false, "of all namespaces, which is the default")
	flags.Lookup("namespace").Usage = "only of this namespace (default: all)"
	cmd.MarkFlagsMutuallyExclusive("namespace", "all-namespaces")
	names := []string{string(outputHTML), string(outputJSON), string(outputCSV)}
	flags.VarP(&formatValue{&f.format, names}, "output", "o", "format: html, json or csv (one file per table)")
	complete(cmd, "output", completeValues(names...))
	for _, name := range []string{"since", "until", "by"} {
		complete(cmd, name, completeValues())
	}
	return cmd
}

// period reads which time the report is about. A date is the whole day, also as the last one.
func (f *reportFlags) period(now time.Time) (from, until time.Time, zone *time.Location, err error) {
	if zone, err = schedule.LoadLocation(f.zone); err != nil {
		return from, until, nil, fmt.Errorf("--zone: %q is no time zone: write an IANA name, such as Europe/Berlin or UTC", f.zone)
	}
	if until, err = limit("--until", f.until, zone); err != nil {
		return from, until, nil, err
	}
	if _, err := time.Parse(time.DateOnly, f.until); err == nil {
		until = until.AddDate(0, 0, 1)
	}
	if until.IsZero() {
		until = now
	}
	if from, err = limit("--since", f.since, zone); err != nil {
		return from, until, nil, err
	}
	if from.IsZero() {
		y, m, d := until.In(zone).Date()
		from = time.Date(y, m, d-reportDays, 0, 0, 0, 0, zone)
	}
	switch {
	case !from.Before(until):
		return from, until, nil, errors.New("--until is before --since")
	case !from.Before(now):
		return from, until, nil, errors.New("--since is in the future")
	}
	return from, until, zone, nil
}

// report reads, verifies and adds up.
func (f *reportFlags) report(cmd *cobra.Command) (*report.Report, error) {
	now := time.Now().Truncate(time.Second).Add(time.Second) // what was stated in this second is in it
	from, until, zone, err := f.period(now)
	if err != nil {
		return nil, err
	}
	in := report.Input{
		From: from, Until: until, Zone: zone, Now: now, By: f.by, Version: programVersion(cmd), Namespace: f.namespace,
	}
	if f.from != "" {
		err = f.fromFolder(cmd.Context(), &in)
	} else {
		err = f.fromCluster(cmd.Context(), &in)
	}
	if err != nil {
		return nil, err
	}
	return report.Build(in)
}

// programVersion is that of the program, as far as it is known.
func programVersion(cmd *cobra.Command) string {
	if v := cmd.Root().Version; v != "" {
		return v
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}

// write writes the report where the flags say.
func (f *reportFlags) write(cmd *cobra.Command, r *report.Report) error {
	name := f.file
	if name == "" {
		name = fileOf(r)
	}
	if f.format == outputCSV {
		return f.writeCSV(cmd, r, name)
	}
	if f.file == "" {
		name += "." + string(f.format)
	}
	var b bytes.Buffer
	var err error
	if f.format == outputJSON {
		err = r.JSON(&b)
	} else {
		err = r.HTML(&b)
	}
	if err != nil {
		return err
	}
	if name == "-" {
		_, err := cmd.OutOrStdout().Write(b.Bytes())
		return err
	}
	if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil { // to be read by others; it names no data subject
		return fmt.Errorf("writing the report: %w", err)
	}
	tell(cmd, r, name)
	return nil
}

func (*reportFlags) writeCSV(cmd *cobra.Command, r *report.Report, dir string) error {
	if dir == "-" {
		return errors.New("-o csv writes several files: give --file a folder")
	}
	files, err := r.CSV()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the folder: %w", err)
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
	}
	tell(cmd, r, dir)
	return nil
}

// fileOf names the report by its first and its last day.
func fileOf(r *report.Report) string {
	zone, err := time.LoadLocation(r.Period.Zone)
	if err != nil {
		zone = time.UTC
	}
	last := r.Period.Until.Add(-time.Second)
	return fmt.Sprintf("retention-report-%s-%s", r.Period.From.In(zone).Format(time.DateOnly), last.In(zone).Format(time.DateOnly))
}

// tell says what was written, and what it rests on.
func tell(cmd *cobra.Command, r *report.Report, name string) {
	s := &r.Summary
	fmt.Fprintf(cmd.OutOrStdout(), "Wrote %s: %s, %s, %s\n", name, plural(int64(s.Policies), "policy", "policies"),
		plural(int64(len(r.Requests)), "request", "requests"), plural(int64(s.Statements), "statement", "statements"))
	fmt.Fprintln(cmd.OutOrStdout(), r.Verification.Message)
}
