// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"dataretention.dev/retention-operator/api/v1alpha1"
)

var update = flag.Bool("update", false, "write what the tests get into testdata/*.golden")

// shopNow is when testdata/shop.yaml was looked at.
var shopNow = time.Date(2026, time.November, 20, 9, 0, 0, 0, time.UTC)

// shop makes the objects of testdata/shop.yaml in a namespace of the API server of KUBECONFIG.
func shop(t *testing.T) (client.Client, string) {
	t.Helper()
	c, ns := kubeconfigOf(t)
	file, err := os.ReadFile(filepath.Join("testdata", "shop.yaml"))
	must(t, err)
	for _, doc := range bytes.Split(file, []byte("\n---\n")) {
		var kind struct{ Kind string }
		must(t, yaml.Unmarshal(doc, &kind))
		obj := map[string]client.Object{
			"Datastore": &v1alpha1.Datastore{}, "RetentionPolicy": &v1alpha1.RetentionPolicy{},
			"ErasureRequest": &v1alpha1.ErasureRequest{}, "LegalHold": &v1alpha1.LegalHold{},
		}[kind.Kind]
		must(t, yaml.UnmarshalStrict(doc, obj))
		obj.SetNamespace(ns)
		made := obj.DeepCopyObject().(client.Object)
		must(t, c.Create(t.Context(), made))
		obj.SetResourceVersion(made.GetResourceVersion())
		obj.SetUID(made.GetUID())
		must(t, c.Status().Update(t.Context(), obj))
	}
	return c, ns
}

// golden compares what a command prints with a file of testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		must(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// plainTerminal is a terminal of the shop's day without colours.
func plainTerminal(t *testing.T, out *bytes.Buffer) *terminal {
	t.Helper()
	berlin, err := time.LoadLocation("Europe/Berlin")
	must(t, err)
	return &terminal{out: out, zone: berlin, now: shopNow}
}
