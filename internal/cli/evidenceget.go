// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
)

// wanted is which statement to get.
type wanted struct {
	index       int64
	digest      string
	run, store  string
	intent      bool
	file        string
	given       int // how many ways it is named in
	name        string
	fromCluster *v1alpha1.EvidenceReference
}

func evidenceGetCommand() *cobra.Command {
	t := &target{}
	w := &wanted{}
	cmd := &cobra.Command{
		Use:   "get [POLICY | ERASUREREQUEST | LEGALHOLD | --index N | --digest DIGEST]",
		Short: "Get a signed statement with the proof that it is in the ledger, as a file",
		Long: "Get a signed statement with the proof that it is in the ledger, as a bundle file that `verify` checks without a cluster: the " +
			"latest of a policy's run, of a request's answer, or of a hold. The proof leads to the checkpoint that the operator keeps and has " +
			"cosigned as a witness. What has been deleted from the cluster is looked for in the ledger.",
		Example: "  kubectl retention evidence get telemetry\n" +
			"  kubectl retention evidence get telemetry --run telemetry-20261120030000 --datastore shop\n" +
			"  kubectl retention evidence get --index 17 --file -",
		Args:              arguments(0, 1),
		ValidArgsFunction: completeNames(policies, requests, legalHolds),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				w.name = args[0]
				w.given++
			}
			for _, flag := range []string{"index", "digest"} {
				if cmd.Flags().Changed(flag) {
					w.given++
				}
			}
			if w.given != 1 {
				return errors.New("say which statement: the name of a policy, a request or a hold, or --index, or --digest")
			}
			return w.get(cmd, t)
		},
	}
	t.flags(cmd)
	t.operatorFlag(cmd)
	f := cmd.Flags()
	f.Int64Var(&w.index, "index", 0, "place of the statement in the ledger, from 0")
	f.StringVar(&w.digest, "digest", "", "digest of the statement, sha256:…")
	f.StringVar(&w.run, "run", "", "name of the policy's run (default: the latest that has ended)")
	f.StringVar(&w.store, "datastore", "", "the statement about this datastore's part of the run, not about the whole")
	f.BoolVar(&w.intent, "intent", false, "with --datastore: what was about to be done, not what came of it")
	f.StringVarP(&w.file, "file", "f", "", "file to write, - for the standard output (default: evidence-INDEX.json)")
	complete(cmd, "datastore", completeNames(datastores))
	complete(cmd, "run", completeValues())
	complete(cmd, "digest", completeValues())
	return cmd
}

func (w *wanted) get(cmd *cobra.Command, t *target) error {
	ctx := cmd.Context()
	c, err := t.connect()
	if err != nil {
		return err
	}
	searched := false
	if w.name != "" {
		if searched, err = w.resolve(ctx, c); err != nil {
			return err
		}
	}
	r, closing, err := c.ledger(ctx, t.operator)
	if err != nil {
		return err
	}
	defer closing()
	if searched || w.digest != "" {
		if w.index, err = w.search(ctx, c, r); err != nil {
			return err
		}
	}
	bundle, notes, err := c.bundle(ctx, r, t.operator, w.index)
	if err != nil {
		return err
	}
	return w.write(cmd, bundle, notes)
}

// resolve finds the statement in the status of the object that is named. It says whether the ledger has to be searched, since
// the object, or its run, is gone from the cluster.
func (w *wanted) resolve(ctx context.Context, c *cluster) (search bool, err error) {
	obj, err := c.find(ctx, w.name, &v1alpha1.RetentionPolicy{}, &v1alpha1.ErasureRequest{}, &v1alpha1.LegalHold{})
	var gone *notFound
	if errors.As(err, &gone) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	switch o := obj.(type) {
	case *v1alpha1.RetentionPolicy:
		w.fromCluster, search, err = w.ofPolicy(o)
	case *v1alpha1.ErasureRequest:
		w.fromCluster, err = w.ofRequest(o)
	case *v1alpha1.LegalHold:
		if w.fromCluster = o.Status.Evidence; o.Status.ReleaseEvidence != nil {
			w.fromCluster = o.Status.ReleaseEvidence
		}
	}
	if err != nil || search {
		w.name = kindOf(obj) + "/" + obj.GetName()
		return search, err
	}
	if w.fromCluster == nil || w.fromCluster.Index == nil {
		return false, fmt.Errorf("%s %s/%s has no signed evidence yet", kindOf(obj), obj.GetNamespace(), obj.GetName())
	}
	w.index = *w.fromCluster.Index
	return false, nil
}

func (w *wanted) ofPolicy(p *v1alpha1.RetentionPolicy) (ref *v1alpha1.EvidenceReference, search bool, err error) {
	run := p.Status.LastRun
	if active := p.Status.ActiveRun; active != nil && active.Name == w.run {
		run = active
	}
	if run == nil || w.run != "" && run.Name != w.run {
		if w.run == "" {
			return nil, false, fmt.Errorf("no run of policy %s/%s has ended yet", p.Namespace, p.Name)
		}
		return nil, true, nil
	}
	if w.store == "" {
		return run.Evidence, false, nil
	}
	for i := range run.Datastores {
		if d := &run.Datastores[i]; d.Name == w.store {
			if w.intent {
				return d.Intent, false, nil
			}
			return d.Evidence, false, nil
		}
	}
	return nil, false, fmt.Errorf("run %s has no datastore %s", run.Name, w.store)
}

func (w *wanted) ofRequest(r *v1alpha1.ErasureRequest) (*v1alpha1.EvidenceReference, error) {
	if w.store == "" {
		return r.Status.Evidence, nil
	}
	for i := range r.Status.Datastores {
		if d := &r.Status.Datastores[i]; d.Name == w.store {
			if len(d.Evidence) == 0 {
				return nil, nil
			}
			return &d.Evidence[len(d.Evidence)-1], nil
		}
	}
	return nil, fmt.Errorf("request %s/%s has no datastore %s", r.Namespace, r.Name, w.store)
}

// search looks in the ledger for the latest statement that is meant.
func (w *wanted) search(ctx context.Context, c *cluster, r *reader) (int64, error) {
	kind, name, err := splitKind(w.name)
	if err != nil {
		return 0, err
	}
	found := int64(-1)
	what := w.digest
	if what == "" {
		what = strings.TrimSpace(w.name + " " + w.run)
	}
	for entry, err := range r.Client.Entries(ctx, 0, noTime, noTime) {
		if err != nil {
			return 0, err
		}
		switch {
		case w.digest != "" && entry.Leaf.Statement == w.digest:
			found = entry.Index
		case w.digest == "" && w.matches(&entry, c.namespace, kind, name):
			found = entry.Index
		}
	}
	if found < 0 {
		return 0, fmt.Errorf("neither the cluster nor the ledger has such a statement: %s", what)
	}
	return found, nil
}

// matches says whether an entry is about the object that is named, and the run and datastore if those are.
func (w *wanted) matches(e *ledger.Entry, namespace, kind, name string) bool {
	line := lineOf(e)
	if line.Namespace != namespace || line.About != kind+"/"+name && (kind != "" || !strings.HasSuffix(line.About, "/"+name)) {
		return false
	}
	part := evidence.Kind(line.Kind) == evidence.Result && !w.intent || evidence.Kind(line.Kind) == evidence.Intent && w.intent
	switch {
	case w.run != "" && line.Run != w.run:
		return false
	case w.store != "":
		return part && len(line.Datastores) == 1 && line.Datastores[0] == w.store
	}
	return !part && evidence.Kind(line.Kind) != evidence.Intent
}

// bundle gets a statement with a proof that leads to the checkpoint which the operator has cosigned, and verifies it with the
// keys that the cluster publishes. Notes are what could not be had.
func (c *cluster) bundle(ctx context.Context, r *reader, operator string, index int64) (b *evidence.Bundle, notes []string, err error) {
	kept, err := c.checkpoints(ctx, operator)
	size := int64(0)
	switch {
	case err != nil:
		notes = append(notes, "The proof has no witness: "+err.Error())
	default:
		if size, err = sizeOf(kept.latest); err != nil {
			return nil, nil, err
		}
		if size <= index {
			notes = append(notes, fmt.Sprintf("The proof has no witness: the operator has seen %d entries of the ledger, and this is entry %d.", size, index))
			size, kept = 0, nil
		}
	}
	if b, err = r.Entry(ctx, index, size); err != nil {
		return nil, nil, fmt.Errorf("getting entry %d: %w", index, err)
	}
	if kept != nil {
		if b, err = withCheckpoint(b, kept.latest); err != nil {
			return nil, nil, err
		}
	}
	trust, err := c.trust(ctx, operator)
	if err != nil {
		return b, append(notes, "It was not verified: "+err.Error()), nil //nolint:nilerr // the person is told, and can verify it elsewhere
	}
	file, err := b.Encode()
	if err != nil {
		return nil, nil, err
	}
	if _, err := evidence.Verify(file, trust); err != nil {
		return nil, nil, fmt.Errorf("what the ledger has as entry %d is not genuine: %w", index, err)
	}
	return b, notes, nil
}

// withCheckpoint puts another checkpoint, of the same size, into a bundle's proof.
func withCheckpoint(b *evidence.Bundle, checkpoint []byte) (*evidence.Bundle, error) {
	p, err := b.ReadProof()
	if err != nil {
		return nil, err
	}
	leaf, err := leafBytes(b)
	if err != nil {
		return nil, err
	}
	return evidence.NewBundle(&b.Envelope, leaf, p.Index, p.Hashes, checkpoint)
}

// write writes the bundle, and says what it is.
func (w *wanted) write(cmd *cobra.Command, b *evidence.Bundle, notes []string) error {
	s, payload, err := evidence.Payload(&b.Envelope)
	if err != nil {
		return fmt.Errorf("reading the statement: %w", err)
	}
	digest := evidence.DigestOf(payload)
	if ref := w.fromCluster; ref != nil && ref.Digest != digest {
		return fmt.Errorf("the status names the statement %s as entry %d, and the ledger has %s there: the status was edited, or is of another cluster", ref.Digest, w.index, digest)
	}
	file, err := b.Encode()
	if err != nil {
		return err
	}
	name := w.file
	switch name {
	case "-":
		_, err := cmd.OutOrStdout().Write(file)
		for _, note := range notes {
			fmt.Fprintln(cmd.ErrOrStderr(), note)
		}
		return err
	case "":
		name = fmt.Sprintf("evidence-%d.json", w.index)
	}
	if err := os.WriteFile(name, file, 0o644); err != nil { //nolint:gosec // evidence is to be read by others, and has no personal data
		return fmt.Errorf("writing the bundle: %w", err)
	}
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "Wrote %s: %s\n", name, printable(sentenceOf(s, w.index)))
	for _, note := range notes {
		fmt.Fprintln(out, note)
	}
	fmt.Fprintf(out, "Verify it anywhere: kubectl retention verify %s --keys keys.pem\n", name)
	return nil
}
