// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/report"
)

// fromFolder reads an exported ledger, and verifies it if there are keys.
func (f *reportFlags) fromFolder(ctx context.Context, in *report.Input) error {
	in.Source = "an export of the ledger"
	var trust *evidence.Trust
	if f.keys != "" {
		var err error
		if trust, err = readTrust(f.keys); err != nil {
			return err
		}
	}
	return f.read(ctx, in, f.from, trust)
}

// fromCluster exports the ledger to a folder that does not stay, and reads that, so that both are verified in the same way. It
// reads the objects of the cluster, too.
func (f *reportFlags) fromCluster(ctx context.Context, in *report.Input) error {
	c, err := f.connect()
	if err != nil {
		return err
	}
	if in.Live, err = c.live(ctx, f.namespace); err != nil {
		return err
	}
	trust, err := f.clusterTrust(ctx, c)
	if err != nil {
		return err
	}
	r, closing, err := c.ledger(ctx, f.operator)
	if err != nil {
		return err
	}
	defer closing()
	kept, err := c.checkpoints(ctx, f.operator)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "retention-report-")
	if err != nil {
		return fmt.Errorf("making a folder for the ledger: %w", err)
	}
	defer os.RemoveAll(dir)
	if _, _, err := export(ctx, r, kept, dir); err != nil {
		return err
	}
	in.Source = "the ledger of the cluster"
	return f.read(ctx, in, dir, trust)
}

// clusterTrust are the keys that were given, or else those that the cluster publishes.
func (f *reportFlags) clusterTrust(ctx context.Context, c *cluster) (*evidence.Trust, error) {
	if f.keys != "" {
		return readTrust(f.keys)
	}
	return c.trust(ctx, f.operator)
}

func readTrust(name string) (*evidence.Trust, error) {
	file, err := readLimited(name, evidence.MaxTrust)
	if err != nil {
		return nil, fmt.Errorf("the keys: %w", err)
	}
	trust, err := evidence.ParseTrust(file)
	if err != nil {
		return nil, fmt.Errorf("the keys in %s: %w", name, err)
	}
	return trust, nil
}

// read verifies an exported ledger with the trust, if there is one, and reads its statements.
func (f *reportFlags) read(ctx context.Context, in *report.Input, dir string, trust *evidence.Trust) error {
	source, err := openExport(dir)
	if err != nil {
		return err
	}
	size := source.size
	in.Verification = report.Verification{Size: &size, Message: "Nothing was verified: no keys were given (--keys)."}
	if trust != nil {
		if err := f.verify(in, dir, trust); err != nil {
			return err
		}
	}
	entries, err := source.Entries(ctx, noTime, noTime)
	if err != nil {
		return err
	}
	for i := range entries {
		e := report.Entry{Index: entries[i].Index, Leaf: entries[i].Leaf}
		if entries[i].Envelope == nil {
			in.Verification.Pruned++
		} else {
			if e.Statement, _, err = evidence.Payload(entries[i].Envelope); err != nil {
				return fmt.Errorf("reading statement %d: %w", e.Index, err)
			}
			in.Verification.Statements++
		}
		in.Entries = append(in.Entries, e)
	}
	return nil
}

// verify checks the ledger from its first entry to its last. Of what does not verify no report is made.
func (f *reportFlags) verify(in *report.Input, dir string, trust *evidence.Trust) error {
	found, err := evidence.VerifyLogWith(os.DirFS(dir), trust, evidence.LogOptions{Now: in.Now})
	if err != nil {
		return refused(err)
	}
	if len(found.Problems) > 0 {
		var all []error
		for i := range found.Problems[:min(len(found.Problems), 5)] {
			p := &found.Problems[i]
			if p.Index != nil {
				all = append(all, fmt.Errorf("entry %d: %w", *p.Index, p))
				continue
			}
			all = append(all, p)
		}
		return refused(errors.Join(all...))
	}
	v := &in.Verification
	v.Signatures, v.Inclusion = true, true
	v.Origin, v.Size = found.Checkpoint.Origin, &found.Size
	v.Root = base64.StdEncoding.EncodeToString(found.Checkpoint.Root[:])
	v.Message = "Every signature was checked, and that the ledger is whole, with the keys given."
	if f.keys == "" {
		v.Message = "Every signature was checked, and that the ledger is whole, with the keys that the cluster publishes. Keys that were kept elsewhere (--keys) show more."
	}
	if found.Checkpoint.Witnessed != nil {
		v.Witnessed = 1
	}
	for _, k := range trust.Keys {
		key := report.Key{Use: k.Use, Name: k.Name, ID: evidence.KeyID(k.Key)}
		if created := k.Created; !created.IsZero() {
			key.Created = &created
		}
		v.Keys = append(v.Keys, key)
	}
	return nil
}

func refused(why error) error {
	return fmt.Errorf("the evidence does not verify, and no report is made of it: %w", why)
}

// live reads the objects that a report is about, of all namespaces or one.
func (c *cluster) live(ctx context.Context, namespace string) (*report.Live, error) {
	policies, datastores := &v1alpha1.RetentionPolicyList{}, &v1alpha1.DatastoreList{}
	requests, holds := &v1alpha1.ErasureRequestList{}, &v1alpha1.LegalHoldList{}
	for _, list := range []client.ObjectList{policies, datastores, requests, holds} {
		if err := c.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return nil, c.explained(err, "reading the objects to report on")
		}
	}
	return &report.Live{Policies: policies.Items, Datastores: datastores.Items, Requests: requests.Items, Holds: holds.Items}, nil
}
