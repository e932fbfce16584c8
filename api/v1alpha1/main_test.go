// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"dataretention.dev/retention-operator/internal/testing/apiserver"
)

func TestMain(m *testing.M) { apiserver.Run(m) }

// The least that is accepted. Tests change it by merge patches in YAML, so that what they send is not bent into shape by
// the Go types.
const (
	leastDatastore = `
apiVersion: dataretention.dev/v1alpha1
kind: Datastore
metadata: {name: shop}
spec:
  postgresql: {secretRef: {name: shop-app}}
  datasets: [{name: customer}]`
	leastRetentionPolicy = `
apiVersion: dataretention.dev/v1alpha1
kind: RetentionPolicy
metadata: {name: cookies}
spec:
  datastoreSelector: {matchLabels: {app: shop}}
  schedule: "0 3 * * *"
  rules: [{name: cookies, datasets: [cookie_consent], deleteAfter: P11M}]`
	leastErasureRequest = `
apiVersion: dataretention.dev/v1alpha1
kind: ErasureRequest
metadata: {name: er-2026-0042}
spec:
  subject: {secretRef: {name: er-2026-0042}}`
	leastLegalHold = `
apiVersion: dataretention.dev/v1alpha1
kind: LegalHold
metadata: {name: lh-2026-0007}
spec:
  reason: lawsuit about deliveries
  authority: Landgericht Berlin`
)

// object reads a manifest and changes it by merge patches (RFC 7386), all in YAML.
func object(tb testing.TB, manifest string, patches ...string) *unstructured.Unstructured {
	tb.Helper()
	read := func(text string) map[string]any {
		var out map[string]any
		if err := yaml.UnmarshalStrict([]byte(text), &out); err != nil {
			tb.Fatalf("%v in:\n%s", err, text)
		}
		return out
	}
	out := read(manifest)
	for _, p := range patches {
		merge(out, read(p))
	}
	body, err := json.Marshal(out)
	if err != nil {
		tb.Fatal(err)
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(body); err != nil { // reads whole numbers as such
		tb.Fatal(err)
	}
	return obj
}

func merge(target, patch map[string]any) {
	for k, v := range patch {
		below, isMap := v.(map[string]any)
		was, wasMap := target[k].(map[string]any)
		switch {
		case v == nil:
			delete(target, k)
		case isMap && wasMap && len(below) > 0:
			merge(was, below)
		default: // an empty map replaces, or nothing could be emptied
			target[k] = v
		}
	}
}

// tryCreate sends the object to the API server, which validates it and stores nothing.
func tryCreate(tb testing.TB, obj *unstructured.Unstructured) error {
	tb.Helper()
	obj = obj.DeepCopy()
	obj.SetNamespace("default")
	return apiserver.Get(tb).Client.Create(tb.Context(), obj, client.DryRunAll)
}

// complaints is what the API server says, one line for each thing that is wrong.
func complaints(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return fmt.Sprint(err)
	}
	s := status.Status()
	if s.Details == nil || len(s.Details.Causes) == 0 {
		return s.Message
	}
	var lines []string
	for _, c := range s.Details.Causes {
		if strings.HasPrefix(c.Message, "Invalid value: null: some validation rules were not checked") {
			continue // says nothing about the object
		}
		lines = append(lines, strings.TrimPrefix(c.Field+": "+c.Message, "<nil>: "))
	}
	return strings.Join(lines, "\n")
}

func fill(n int, format string) string {
	var items []string
	for i := range n {
		items = append(items, fmt.Sprintf(format, i))
	}
	return strings.Join(items, ", ")
}

// quoted is a string of YAML, which is one of JSON too.
func quoted(s string) string {
	out, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// rule is a patch with one rule of this period.
func rule(period string) string {
	return "spec: {rules: [{name: a, datasets: [x], deleteAfter: " + quoted(period) + "}]}"
}

// anonymize is a patch with one rule that rewrites these fields.
func anonymize(fields string) string {
	return "spec: {rules: [{name: a, datasets: [x], deleteAfter: P1D, action: Anonymize, anonymize: [" + fields + "]}]}"
}
