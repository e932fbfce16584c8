// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/spf13/cobra"

	"dataretention.dev/retention-operator/internal/evidence"
)

// noTime is no limit.
var noTime time.Time

func evidenceExportCommand() *cobra.Command {
	t := &target{}
	cmd := &cobra.Command{
		Use:   "export DIRECTORY",
		Short: "Export the whole ledger to a folder",
		Long: "Export the whole ledger: the checkpoint, all entries, all statements that were not removed at the end of their retention, and the " +
			"earlier checkpoints that the operator has kept. `verify DIRECTORY` checks all of it, without a cluster. A folder with an " +
			"earlier export is brought up to date, and its checkpoint is kept there as an earlier one. Keys are not in it: get them with " +
			"`evidence keys`, and keep them elsewhere.",
		Example: "  kubectl retention evidence export ./ledger\n  kubectl retention verify ./ledger --keys keys.pem",
		Args:    arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.connect()
			if err != nil {
				return err
			}
			r, closing, err := c.ledger(cmd.Context(), t.operator)
			if err != nil {
				return err
			}
			defer closing()
			kept, err := c.checkpoints(cmd.Context(), t.operator)
			if err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "The export has no witness:", err)
				latest, err := r.file(cmd.Context(), evidence.ExportCheckpoint)
				if err != nil {
					return err
				}
				kept = &witnessed{latest: latest}
			}
			size, statements, err := export(cmd.Context(), r, kept, args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Exported %s to %s, with %s.\nVerify it anywhere: kubectl retention verify %s --keys keys.pem\n",
				plural(size, "entry", "entries"), args[0], plural(statements, "statement", "statements"), args[0])
			return nil
		},
	}
	t.flags(cmd)
	t.operatorFlag(cmd)
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	return cmd
}

func plural(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + many
}

// export writes the ledger to a folder. The checkpoint comes last: a folder without one is no export yet.
func export(ctx context.Context, r *reader, kept *witnessed, dir string) (size, statements int64, err error) {
	if size, err = sizeOf(kept.latest); err != nil {
		return 0, 0, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return 0, 0, fmt.Errorf("making the folder: %w", err)
	}
	root, err := os.OpenRoot(dir) // whatever the ledger calls its statements, nothing is written elsewhere
	if err != nil {
		return 0, 0, fmt.Errorf("opening the folder: %w", err)
	}
	defer root.Close()
	if err := keepEarlier(root, kept.latest, size); err != nil {
		return 0, 0, err
	}
	for _, checkpoint := range kept.earlier {
		if n, err := sizeOf(checkpoint); err == nil && n < size {
			if err := writeFile(root, evidence.ExportEarlier(n), checkpoint); err != nil {
				return 0, 0, err
			}
		}
	}
	for _, name := range evidence.ExportEntries(size) {
		text, err := r.file(ctx, name)
		if err != nil {
			return 0, 0, err
		}
		if err := writeFile(root, name, text); err != nil {
			return 0, 0, err
		}
	}
	for entry, err := range r.Client.Entries(ctx, 0, noTime, noTime) {
		if err != nil {
			return 0, 0, err
		}
		if entry.Index >= size {
			break
		}
		if entry.Envelope == nil {
			continue
		}
		text, err := json.Marshal(entry.Envelope)
		if err != nil {
			return 0, 0, fmt.Errorf("encoding statement %d: %w", entry.Index, err)
		}
		if err := writeFile(root, evidence.ExportStatement(entry.Leaf.Statement), text); err != nil {
			return 0, 0, err
		}
		statements++
	}
	return size, statements, writeFile(root, evidence.ExportCheckpoint, kept.latest)
}

// keepEarlier keeps the checkpoint of an export that the folder has, and refuses a folder that has something else.
func keepEarlier(root *os.Root, latest []byte, size int64) error {
	dir := root.Name()
	was, err := root.ReadFile(evidence.ExportCheckpoint)
	if errors.Is(err, fs.ErrNotExist) {
		files, err := fs.ReadDir(root.FS(), ".")
		if err != nil {
			return fmt.Errorf("reading the folder: %w", err)
		}
		if !unfinished(files) {
			return fmt.Errorf("%s is not empty, and is no export of a ledger: give another folder", dir)
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the earlier export: %w", err)
	}
	before, err := sizeOf(was)
	switch {
	case err != nil:
		return fmt.Errorf("reading the earlier export: %w", err)
	case originOf(was) != originOf(latest):
		return fmt.Errorf("%s is an export of another ledger, %s", dir, originOf(was))
	case before > size:
		return fmt.Errorf("the ledger had %d entries at the earlier export, and has %d now: entries were taken away. Keep %s as it is; it is the evidence of that", before, size, dir)
	case before == size:
		return nil
	}
	return writeFile(root, evidence.ExportEarlier(before), was)
}

// unfinished says whether these are what an export that was interrupted leaves.
func unfinished(files []os.DirEntry) bool {
	for _, f := range files {
		if name := f.Name(); name != "tile" && name != evidence.ExportStatements && name != evidence.ExportCheckpoints && name != evidence.ExportCheckpoint+".new" {
			return false
		}
	}
	return true
}

func originOf(checkpoint []byte) string {
	origin, _, _ := bytes.Cut(checkpoint, []byte("\n"))
	return string(origin)
}

// writeFile writes a file of the export, in one piece or not at all.
func writeFile(root *os.Root, name string, content []byte) error {
	if err := root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return fmt.Errorf("writing the export: %w", err)
	}
	if err := root.WriteFile(name+".new", content, 0o644); err != nil {
		return fmt.Errorf("writing the export: %w", err)
	}
	if err := root.Rename(name+".new", name); err != nil {
		return fmt.Errorf("writing the export: %w", err)
	}
	return nil
}

// leafBytes are the bytes of a bundle's entry.
func leafBytes(b *evidence.Bundle) ([]byte, error) {
	leaf, err := base64.StdEncoding.DecodeString(b.Leaf)
	if err != nil {
		return nil, fmt.Errorf("reading the entry: %w", err)
	}
	return leaf, nil
}
