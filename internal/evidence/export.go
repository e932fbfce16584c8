// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"github.com/transparency-dev/tessera/api"
	"github.com/transparency-dev/tessera/api/layout"
)

// The layout of an exported ledger: a directory that VerifyLog reads, and that a web server can serve as a log of the C2SP
// tlog-tiles form.
//
//	checkpoint             the latest checkpoint, a signed note, with the cosignature of the witness if there is one
//	checkpoints/SIZE       earlier checkpoints that somebody kept: optional; each is checked against the entries
//	tile/entries/…         the entries: the bytes of leaves (C2SP tlog-tiles)
//	tile/L/…               the hashes: optional, since they follow from the entries; what is there is checked
//	statements/DIGEST.json the envelope of the statement with that hexadecimal SHA-256; missing if it was pruned
//
// Keys are not a part of it: whoever could change the export could change them too.
const (
	ExportCheckpoint  = "checkpoint"
	ExportCheckpoints = "checkpoints"
	ExportStatements  = "statements"
)

// ExportStatement is the path of the envelope of the statement with that digest ("sha256:…").
func ExportStatement(digest string) string {
	return path.Join(ExportStatements, strings.TrimPrefix(digest, "sha256:")+".json")
}

// ExportEarlier is the path of an earlier checkpoint, of a ledger with size entries.
func ExportEarlier(size int64) string {
	return path.Join(ExportCheckpoints, strconv.FormatInt(size, 10))
}

// ExportEntries are the paths of the entries of a ledger of that size, in their order: full bundles of 256, and the rest.
func ExportEntries(size int64) []string {
	var all []string
	for from := int64(0); from < size; from += layout.EntryBundleWidth {
		all = append(all, layout.EntriesPathForLogIndex(uint64(from), uint64(size)))
	}
	return all
}

// maxBundleOfEntries is the size of 256 entries of 65,535 bytes, with their lengths.
const maxBundleOfEntries = layout.EntryBundleWidth * (1 << 16) * 2

// readEntries returns the entries of the bundle number n of a ledger of size entries.
func readEntries(export fs.FS, n, size uint64) ([][]byte, error) {
	partial := layout.PartialTileSize(0, n, size)
	want := layout.EntryBundleWidth
	if partial > 0 {
		want = int(partial)
	}
	b, err := readFile(export, layout.EntriesPath(n, partial), maxBundleOfEntries)
	if errors.Is(err, fs.ErrNotExist) && partial > 0 {
		b, err = readFile(export, layout.EntriesPath(n, 0), maxBundleOfEntries) // of a ledger that has grown since
	}
	if err != nil {
		return nil, err
	}
	var bundle api.EntryBundle
	if err := bundle.UnmarshalText(b); err != nil {
		return nil, fmt.Errorf("they are cut off: %w", err)
	}
	if len(bundle.Entries) < want {
		return nil, fmt.Errorf("there are %d of them instead of %d", len(bundle.Entries), want)
	}
	return bundle.Entries[:want], nil
}

// readFile reads a file of at most limit bytes.
func readFile(export fs.FS, name string, limit int64) ([]byte, error) {
	f, err := export.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s has more than %d bytes", name, limit)
	}
	return b, nil
}
