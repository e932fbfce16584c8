// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/internal/testing/apiserver"
	"dataretention.dev/retention-operator/internal/testing/fixture"
)

// Whatever a reader may copy is accepted, to the last field: the samples, the demo, and each block of YAML in the
// documentation. A block that shows only a part of an object is to be marked as text and not as YAML.
func TestExamplesAreAccepted(t *testing.T) {
	root, err := fixture.Root()
	if err != nil {
		t.Fatal(err)
	}
	for pattern, least := range map[string]int{
		"config/samples/*.yaml": 12, "hack/demo/manifests/*.yaml": 1, "README.md": 0, "docs/*.md": 1, "docs/spec/*/*.md": 4,
	} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) < least {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			name, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for place, block := range blocks(name, text) {
				t.Run(place, func(t *testing.T) {
					for _, obj := range objects(t, block) {
						acceptExample(t, obj)
					}
				})
			}
		}
	}
}

// blocks returns the blocks of YAML in a file, by their place.
func blocks(name string, text []byte) map[string][]byte {
	if filepath.Ext(name) != ".md" {
		return map[string][]byte{name: text}
	}
	out := map[string][]byte{}
	for _, at := range regexp.MustCompile("(?ms)^```ya?ml *\n(.*?)^```").FindAllSubmatchIndex(text, -1) {
		out[fmt.Sprintf("%s:%d", name, 2+bytes.Count(text[:at[0]], []byte("\n")))] = text[at[2]:at[3]]
	}
	return out
}

func objects(t *testing.T, text []byte) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), len(text)+1)
	for {
		obj := &unstructured.Unstructured{}
		err := decoder.Decode(&obj.Object)
		switch {
		case errors.Is(err, io.EOF):
			return out
		case err != nil:
			t.Fatal(err)
		case obj.Object == nil: // only comments
			continue
		case obj.GetKind() == "" && obj.Object["resources"] != nil: // kustomize's own file
			continue
		case obj.GetKind() == "":
			t.Fatalf("this is no whole object:\n%s", text)
		}
		out = append(out, obj)
	}
}

func acceptExample(t *testing.T, obj *unstructured.Unstructured) {
	t.Helper()
	srv := apiserver.Get(t)
	namespaced, err := srv.Client.IsObjectNamespaced(obj)
	if err != nil {
		t.Fatal(err)
	}
	if !namespaced {
		if err := srv.Client.Create(t.Context(), obj, client.DryRunAll); err != nil {
			t.Errorf("%s: %s", obj.GetKind(), complaints(err))
		}
		return
	}
	obj.SetNamespace(srv.Namespace(t))
	obj.SetResourceVersion("")
	status := obj.Object["status"]
	if err := srv.Client.Create(t.Context(), obj); err != nil {
		t.Errorf("%s %s: %s", obj.GetKind(), obj.GetName(), complaints(err))
		return
	}
	if status == nil || !strings.HasPrefix(obj.GetAPIVersion(), "dataretention.dev/") {
		return
	}
	obj.Object["status"] = status // a status that is shown is one that a controller could write
	if err := srv.Client.Status().Update(t.Context(), obj); err != nil {
		t.Errorf("status of %s %s: %s", obj.GetKind(), obj.GetName(), complaints(err))
	}
}
