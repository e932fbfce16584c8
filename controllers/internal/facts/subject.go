// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/purgejob"
)

// Spec returns the subject for the spec of an object: the SHA-256 of its JSON with sorted keys and no space, which is what
// `jq -cjS .spec` prints of the object.
func Spec(name string, spec any) (evidence.Subject, error) {
	typed, err := json.Marshal(spec)
	if err != nil {
		return evidence.Subject{}, fmt.Errorf("encoding the spec of %s: %w", name, err)
	}
	decoder := json.NewDecoder(bytes.NewReader(typed))
	decoder.UseNumber()
	var generic any
	if err := decoder.Decode(&generic); err != nil {
		return evidence.Subject{}, fmt.Errorf("reading the spec of %s: %w", name, err)
	}
	var canonical bytes.Buffer
	encoder := json.NewEncoder(&canonical)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(generic); err != nil { // a map's keys come sorted
		return evidence.Subject{}, fmt.Errorf("encoding the spec of %s: %w", name, err)
	}
	return evidence.SHA256(name, bytes.TrimSuffix(canonical.Bytes(), []byte("\n"))), nil
}

// Plan returns the subject for a plan with this digest ("sha256:…"), which is that of the file plan.json in the ConfigMap of
// the Job.
func Plan(job, digest string) evidence.Subject {
	return evidence.Subject{Name: "plan/" + job, Digest: map[string]string{"sha256": strings.TrimPrefix(digest, "sha256:")}}
}

// Receipts returns a subject for each termination message that the Job's Pods have left, byte for byte.
func Receipts(job *batchv1.Job, pods []corev1.Pod) []evidence.Subject {
	var out []evidence.Subject
	for _, t := range purgejob.Traces(job, pods) {
		if t.Message != "" {
			out = append(out, evidence.SHA256("receipt/"+t.Container, []byte(t.Message)))
		}
	}
	return out
}
