// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"errors"
	"io/fs"
	"strconv"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
)

// LogOptions are what a verifier may know besides the export and the keys.
type LogOptions struct {
	// Checkpoints are earlier checkpoints of the ledger that were kept elsewhere: signed notes.
	Checkpoints [][]byte
	// DanglingAfter makes an Intent that has no Result a problem once it is that much older than Now. Zero: it is only listed.
	DanglingAfter time.Duration
	Now           time.Time
}

// LogReport is what VerifyLog found.
type LogReport struct {
	Checkpoint Checkpoint
	// Size is how many entries the ledger has.
	Size int64
	// Earlier are the sizes of the earlier checkpoints that the ledger goes on from.
	Earlier []int64
	Kinds   map[Kind]int64
	// Dangling are Intents without a Result, Pruned entries whose statement was removed when its time was over.
	Dangling []int64
	Pruned   []int64
	// First and Last are the times of the first and the last entry.
	First, Last time.Time
	// Remarks are sentences about what is odd, and does not make the ledger any less genuine: that clocks were wrong.
	Remarks []string
	// Problems are all that were found. The ledger is genuine if there is none.
	Problems []Problem
}

// VerifyLog verifies a whole exported ledger (see ExportCheckpoint), offline: every entry, every statement and how they hang
// together, and that they lead to the checkpoint and to each earlier one. It fails with a *Problem only if there is nothing to
// verify; what is wrong otherwise stands in the report.
func VerifyLog(export fs.FS, t *Trust) (*LogReport, error) {
	return VerifyLogWith(export, t, LogOptions{})
}

// VerifyLogWith is VerifyLog with options.
func VerifyLogWith(export fs.FS, t *Trust, o LogOptions) (*LogReport, error) {
	if t == nil || len(t.Statement) == 0 {
		return nil, problem(CodeNoStatementKeys, "the trusted keys have none for statements, so no signature can be checked")
	}
	signed, err := readFile(export, ExportCheckpoint, MaxCheckpoint)
	if err != nil {
		return nil, problem(CodeCheckpoint, "the export's checkpoint cannot be read: %v", err)
	}
	latest, p := openCheckpoint(signed, t)
	if p != nil {
		return nil, p
	}
	v := &logVerifier{
		export: export, trust: t, options: o,
		report: &LogReport{Checkpoint: *latest, Size: latest.Size, Kinds: map[Kind]int64{}},
		tree:   (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0),
		tiles:  map[compact.NodeID][]byte{},
		keys:   map[string]int64{},
		owner:  map[int64]string{},
		pruned: map[int64]int64{},
	}
	v.earlier()
	v.entries()
	v.finish()
	return v.report, nil
}

// logVerifier is one run of VerifyLog.
type logVerifier struct {
	export  fs.FS
	trust   *Trust
	options LogOptions
	report  *LogReport

	tree  *compact.Range
	tiles map[compact.NodeID][]byte // hashes of tiles that are not full yet, by the tile's level and index
	kept  map[int64][]*Checkpoint   // earlier checkpoints by size

	seen   []entry
	keys   map[string]int64 // leaf key → index
	owner  map[int64]string // index → UID of policy or request, of Conclusions
	pruned map[int64]int64  // index → index of the Pruned statement that names it
}

// found notes a problem of entry i, or of the whole if i is negative.
func (v *logVerifier) found(i int64, p *Problem) {
	if i >= 0 {
		p.Index = &i
	}
	v.report.Problems = append(v.report.Problems, *p)
}

// earlier collects the earlier checkpoints, from the export and from the options.
func (v *logVerifier) earlier() {
	v.kept = map[int64][]*Checkpoint{}
	files, err := fs.ReadDir(v.export, ExportCheckpoints)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		v.found(-1, problem(CodeCheckpoint, "the export's earlier checkpoints cannot be listed: %v", err))
	}
	for _, f := range files {
		size, err := strconv.ParseInt(f.Name(), 10, 64)
		if err != nil {
			v.found(-1, problem(CodeCheckpoint, "the export has an earlier checkpoint with the name %q, which is no size", f.Name()))
			continue
		}
		signed, err := readFile(v.export, ExportEarlier(size), MaxCheckpoint)
		if err != nil {
			v.found(-1, problem(CodeCheckpoint, "the earlier checkpoint of %d entries cannot be read: %v", size, err))
			continue
		}
		v.keep(signed, size)
	}
	for _, signed := range v.options.Checkpoints {
		v.keep(signed, -1)
	}
}

// keep notes an earlier checkpoint; named is the size that its file's name says, or negative.
func (v *logVerifier) keep(signed []byte, named int64) {
	t := *v.trust
	t.RequireWitness = false // it was made before anybody could cosign it
	c, p := openCheckpoint(signed, &t)
	switch {
	case p != nil:
		p.Sentence = "an earlier checkpoint: " + p.Sentence
		v.found(-1, p)
	case named >= 0 && c.Size != named:
		v.found(-1, problem(CodeCheckpoint, "the earlier checkpoint of %d entries is in the file for %d", c.Size, named))
	case c.Origin != v.report.Checkpoint.Origin:
		v.found(-1, problem(CodeOrigin, "an earlier checkpoint is of another ledger, %q", c.Origin))
	case c.Size > v.report.Size:
		v.found(-1, problem(CodeTruncated, "the ledger had %d entries once, and has %d now: entries were taken away", c.Size, v.report.Size))
	default:
		v.kept[c.Size] = append(v.kept[c.Size], c)
	}
}

// compare checks the earlier checkpoints of the size that the tree has come to.
func (v *logVerifier) compare() {
	size := int64(v.tree.End())
	for _, c := range v.kept[size] {
		if root := v.root(); string(root) != string(c.Root[:]) {
			v.found(-1, problem(CodeRewritten, "the ledger's first %d entries are not those of an earlier checkpoint: it was rewritten", size))
			continue
		}
		if n := len(v.report.Earlier); n == 0 || v.report.Earlier[n-1] != size {
			v.report.Earlier = append(v.report.Earlier, size)
		}
	}
}

func (v *logVerifier) root() []byte {
	if v.tree.End() == 0 {
		return rfc6962.DefaultHasher.EmptyRoot()
	}
	root, err := v.tree.GetRootHash(nil)
	if err != nil { // a range that begins at 0 has one
		return nil
	}
	return root
}
