// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"dataretention.dev/retention-operator/internal/evidence"
)

// verifyFlags are how to verify.
type verifyFlags struct {
	keys     string
	witness  bool
	earlier  []string
	dangling time.Duration
	format   output
	utc      bool
}

// verdict is what `verify -o json` prints.
type verdict struct {
	Genuine bool `json:"genuine"`
	// Problems are why not.
	Problems []evidence.Problem `json:"problems,omitempty"`
	// Of a bundle.
	Index     *int64              `json:"index,omitempty"`
	Digest    string              `json:"digest,omitempty"`
	KeyID     string              `json:"keyID,omitempty"`
	Level     string              `json:"level,omitempty"`
	Ledger    string              `json:"ledger,omitempty"`
	Size      int64               `json:"size,omitempty"`
	Witness   string              `json:"witness,omitempty"`
	Witnessed *time.Time          `json:"witnessedTime,omitempty"`
	Statement *evidence.Statement `json:"statement,omitempty"`
	// Of an exported ledger.
	Kinds    map[evidence.Kind]int64 `json:"kinds,omitempty"`
	First    *time.Time              `json:"first,omitempty"`
	Last     *time.Time              `json:"last,omitempty"`
	Earlier  []int64                 `json:"earlierCheckpoints,omitempty"`
	Dangling []int64                 `json:"dangling,omitempty"`
	Removed  []int64                 `json:"removed,omitempty"`
	// Remarks are what is odd about a ledger that may be genuine all the same.
	Remarks []string `json:"remarks,omitempty"`
}

func verifyCommand() *cobra.Command {
	f := &verifyFlags{}
	cmd := &cobra.Command{
		Use:   "verify BUNDLE | DIRECTORY --keys FILE",
		Short: "Verify evidence offline: a bundle, or a whole exported ledger",
		Long: "Verify a bundle that `evidence get` wrote, or a folder that `evidence export` wrote. It needs no cluster and no network, only the " +
			"public keys, which have to come to you by another way than the evidence (`evidence keys`).\n\n" +
			"Exit codes: 0 genuine, and what that proves is said; 1 refused, and why is said; 2 it could not be checked: a file is missing, or " +
			"the keys cannot be used.",
		Example: "  kubectl retention verify evidence-17.json --keys keys.pem\n" +
			"  kubectl retention verify ./ledger --keys keys.pem --require-witness",
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			t := terminalOf(cmd, f.utc)
			v, err := f.verify(args[0])
			if err != nil {
				return &ExitError{Code: exitUnknown, Err: fmt.Errorf("this could not be checked: %w", err)}
			}
			if f.format != outputText {
				err = f.format.object(t.out, v)
			} else {
				t.verdict(v)
			}
			if err == nil && !v.Genuine {
				return &ExitError{Code: exitFailed}
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.keys, "keys", "", "file with the public keys that you trust (required)")
	flags.BoolVar(&f.witness, "require-witness", false, "refuse what no witness of the keys has cosigned")
	flags.StringArrayVar(&f.earlier, "checkpoint", nil, "file with a checkpoint that you have kept: the exported ledger has to go on from it; may be repeated")
	flags.DurationVar(&f.dangling, "dangling-after", 0, "refuse an exported ledger with an intent that has had no result for so long, such as 24h (default: they are only told)")
	zoneFlag(cmd, &f.utc)
	f.format.flag(cmd, outputJSON, outputYAML)
	return cannotTell(cmd)
}

// verify returns what was found. An error means that nothing can be said.
func (f *verifyFlags) verify(name string) (*verdict, error) {
	if f.keys == "" {
		return nil, errors.New("--keys is missing: the file with the public keys that you trust (`kubectl retention evidence keys`)")
	}
	file, err := readLimited(f.keys, evidence.MaxTrust)
	if err != nil {
		return nil, fmt.Errorf("the keys: %w", err)
	}
	trust, err := evidence.ParseTrust(file)
	if err != nil {
		return nil, fmt.Errorf("the keys in %s: %w", f.keys, err)
	}
	trust.RequireWitness = f.witness
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	var v *verdict
	if info.IsDir() {
		v, err = f.directory(name, trust)
	} else {
		v, err = f.bundle(name, trust)
	}
	var problem *evidence.Problem
	switch {
	case !errors.As(err, &problem):
		return v, err
	case problem.Code == evidence.CodeNoStatementKeys, problem.Code == evidence.CodeNoLogKeys, problem.Code == evidence.CodeNoWitnessKeys:
		return nil, problem
	}
	return &verdict{Problems: []evidence.Problem{*problem}}, nil
}

func (f *verifyFlags) bundle(name string, trust *evidence.Trust) (*verdict, error) {
	if len(f.earlier) > 0 {
		return nil, errors.New("--checkpoint is for an exported ledger: a bundle says nothing of the rest of the ledger")
	}
	b, err := readBundle(name)
	if err != nil {
		return nil, err
	}
	v, err := evidence.Verify(b, trust)
	if err != nil {
		return nil, err
	}
	return &verdict{
		Genuine: true, Index: &v.Index, Digest: v.Digest, KeyID: v.KeyID, Level: string(v.Statement.Predicate.Level), Ledger: v.Checkpoint.Origin,
		Size: v.Checkpoint.Size, Witness: v.Checkpoint.Witness, Witnessed: v.Witnessed(), Statement: &v.Statement,
	}, nil
}

// readBundle reads a file. One that is too long is cut a byte after what may be: the verifier then says what is wrong with it.
func readBundle(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, evidence.MaxBundle+1))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", name, err)
	}
	return b, nil
}

func (f *verifyFlags) directory(name string, trust *evidence.Trust) (*verdict, error) {
	options := evidence.LogOptions{DanglingAfter: f.dangling, Now: time.Now()}
	for _, file := range f.earlier {
		checkpoint, err := readLimited(file, evidence.MaxCheckpoint)
		if err != nil {
			return nil, fmt.Errorf("the checkpoint: %w", err)
		}
		options.Checkpoints = append(options.Checkpoints, checkpoint)
	}
	files := os.DirFS(name)
	if _, err := fs.Stat(files, evidence.ExportCheckpoint); err != nil {
		return nil, fmt.Errorf("%s is no exported ledger: %w", name, err)
	}
	r, err := evidence.VerifyLogWith(files, trust, options)
	if err != nil {
		return nil, err
	}
	v := &verdict{
		Genuine: len(r.Problems) == 0, Problems: r.Problems, Ledger: r.Checkpoint.Origin, Size: r.Size, Witness: r.Checkpoint.Witness,
		Witnessed: r.Checkpoint.Witnessed, Kinds: r.Kinds, Earlier: r.Earlier, Dangling: r.Dangling, Removed: r.Pruned, Remarks: r.Remarks,
	}
	if !r.First.IsZero() {
		v.First, v.Last = &r.First, &r.Last
	}
	return v, nil
}
