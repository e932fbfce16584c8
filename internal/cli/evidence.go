// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"dataretention.dev/retention-operator/internal/ledger"
)

// evidenceSource is where signed statements are read from: the cluster's ledger, or a folder that `evidence export` wrote.
type evidenceSource interface {
	// Entries returns the entries whose statements were made in [since, until), in the ledger's order. The zero time is no
	// limit. The envelope of a statement that was removed at the end of its own retention is nil. No signature was verified.
	Entries(ctx context.Context, since, until time.Time) ([]ledger.Entry, error)
}

// openEvidence opens the source that the flags name: the folder from, if there is one, or else the cluster's ledger. Close it
// afterwards.
func openEvidence(ctx context.Context, t *target, from string) (source evidenceSource, closing func(), err error) {
	if from != "" {
		source, err := openExport(from)
		return source, func() {}, err
	}
	c, err := t.connect()
	if err != nil {
		return nil, nil, err
	}
	r, closing, err := c.ledger(ctx, t.operator)
	if err != nil {
		return nil, nil, err
	}
	return r, closing, nil
}

// fromFlag is --from.
func fromFlag(cmd *cobra.Command, from *string) {
	cmd.Flags().StringVar(from, "from", "", "folder that evidence export wrote, to read instead of the cluster's ledger")
	if err := cmd.MarkFlagDirname("from"); err != nil {
		panic(err) // the flag was just made
	}
}

// Entries reads the cluster's ledger.
func (r *reader) Entries(ctx context.Context, since, until time.Time) ([]ledger.Entry, error) {
	var out []ledger.Entry
	for entry, err := range r.Client.Entries(ctx, 0, since, until) {
		if err != nil {
			return nil, err
		}
		out = append(out, entry)
	}
	return out, nil
}

func evidenceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "evidence",
		Short: "Get, list and export the signed evidence of what was done",
		Long: "The operator signs a statement of what every run is about to do and of what came of it, of the answer to every request, and of every " +
			"hold, and has it in an append-only ledger. It is reached like `kubectl port-forward` does, with the rights of the Role " +
			"retention-evidence-viewer of the operator's namespace.",
		Args: cobra.NoArgs,
	}
	cmd.AddCommand(evidenceGetCommand(), evidenceListCommand(), evidenceExportCommand(), evidenceKeysCommand())
	return cmd
}

func evidenceKeysCommand() *cobra.Command {
	t := &target{}
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Print the public keys that evidence is verified with",
		Long: "Print the public keys of the operator, its ledger and its witness, former ones included. Keep them away from the evidence: whoever " +
			"can change both can forge both. Get them once, soon after the installation, and compare them when they change.",
		Example: "  kubectl retention evidence keys > keys.pem",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := t.connect()
			if err != nil {
				return err
			}
			file, err := c.publishedKeys(cmd.Context(), t.operator)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(file)
			return err
		},
	}
	t.flags(cmd)
	t.operatorFlag(cmd)
	return cmd
}

// period reads --since and --until.
func period(since, until string, zone *time.Location) (from, to time.Time, err error) {
	if from, err = limit("--since", since, zone); err != nil {
		return from, to, err
	}
	if to, err = limit("--until", until, zone); err != nil {
		return from, to, err
	}
	if !to.IsZero() && !from.Before(to) {
		return from, to, errors.New("--until is not after --since")
	}
	return from, to, nil
}

// limit reads a time that evidence may be of; zero if there is none.
func limit(flag, text string, zone *time.Location) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := parseTime(text, zone)
	if err != nil {
		return time.Time{}, fmt.Errorf("%s: %w", flag, err)
	}
	if t.Year() < 2000 || t.Year() > 2199 {
		return time.Time{}, fmt.Errorf("%s: %s is not in the years 2000 to 2199", flag, text)
	}
	return t, nil
}
