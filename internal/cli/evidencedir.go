// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/tessera/api"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
)

// exported is a folder that `evidence export` wrote. What is read of it is what it says: `verify` tells whether that is genuine.
type exported struct {
	files fs.FS
	size  int64
}

func openExport(dir string) (*exported, error) {
	e := &exported{files: os.DirFS(dir)}
	checkpoint, err := fs.ReadFile(e.files, evidence.ExportCheckpoint)
	if err != nil {
		return nil, fmt.Errorf("%s is no exported ledger: %w", dir, err)
	}
	if e.size, err = sizeOf(checkpoint); err != nil {
		return nil, fmt.Errorf("%s is no exported ledger: %w", dir, err)
	}
	return e, nil
}

// sizeOf reads the size of a ledger from a checkpoint, and verifies nothing.
func sizeOf(checkpoint []byte) (int64, error) {
	var c log.Checkpoint
	if _, err := c.Unmarshal(checkpoint); err != nil {
		return 0, fmt.Errorf("the checkpoint cannot be read: %w", err)
	}
	if c.Size > 1<<40 {
		return 0, fmt.Errorf("the checkpoint has %d entries, which cannot be", c.Size)
	}
	return int64(c.Size), nil
}

// Entries reads the folder.
func (e *exported) Entries(ctx context.Context, since, until time.Time) ([]ledger.Entry, error) {
	var out []ledger.Entry
	index := int64(0)
	for _, path := range evidence.ExportEntries(e.size) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		text, err := fs.ReadFile(e.files, path)
		if err != nil {
			return nil, fmt.Errorf("reading the export: %w", err)
		}
		var bundle api.EntryBundle
		if err := bundle.UnmarshalText(text); err != nil {
			return nil, fmt.Errorf("reading the export: %s: %w", path, err)
		}
		for _, raw := range bundle.Entries {
			entry, err := e.entry(index, raw)
			if err != nil {
				return nil, fmt.Errorf("reading the export: entry %d: %w", index, err)
			}
			index++
			if t := entry.Leaf.Time; (since.IsZero() || !t.Before(since)) && (until.IsZero() || t.Before(until)) {
				out = append(out, *entry)
			}
		}
	}
	return out, nil
}

// entry reads an entry and its statement.
func (e *exported) entry(index int64, raw []byte) (*ledger.Entry, error) {
	leaf, err := evidence.DecodeLeaf(raw)
	if err != nil {
		return nil, err
	}
	entry := &ledger.Entry{Index: index, Leaf: *leaf}
	text, err := fs.ReadFile(e.files, evidence.ExportStatement(leaf.Statement))
	if errors.Is(err, fs.ErrNotExist) {
		return entry, nil // it was removed at the end of its retention, or taken away, which `verify` tells
	}
	if err != nil {
		return nil, err
	}
	entry.Envelope = &evidence.Envelope{}
	if err := json.Unmarshal(text, entry.Envelope); err != nil {
		return nil, fmt.Errorf("its statement cannot be read: %w", err)
	}
	if _, again, err := evidence.LeafOf(entry.Envelope); err != nil || !bytes.Equal(again, raw) {
		return nil, errors.Join(errors.New("its statement is not the one that the ledger has the digest of"), err)
	}
	return entry, nil
}
