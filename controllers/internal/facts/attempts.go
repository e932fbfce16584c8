// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/receipt"
)

// Attempts are the attempts of an execution, in their order.
func Attempts(attempts []receipt.Attempt) []evidence.Attempt {
	var out []evidence.Attempt
	for i := range attempts {
		a := &attempts[i]
		e := evidence.Attempt{StartTime: At(a.Started), EndTime: At(a.Finished), Unreadable: a.Unreadable}
		if a.ExitCode != nil {
			e.ExitCode = ptr.To(*a.ExitCode)
		}
		if a.Receipt != nil {
			e.Reason = string(a.Receipt.Reason)
		}
		out = append(out, e)
	}
	return out
}

// Images are the digests of the images that the Job's Pods ran, as far as their nodes have told, sorted.
func Images(job *batchv1.Job, pods []corev1.Pod) []string {
	var out []string
	for _, t := range purgejob.Traces(job, pods) {
		if at := strings.LastIndex(t.ImageID, "sha256:"); at >= 0 {
			out = append(out, t.ImageID[at:])
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
