// SPDX-License-Identifier: Apache-2.0

package purgejob

import (
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// Trace is what one container has left in the status of its Pod, as the node has written it.
type Trace struct {
	// Container is the name of the Pod; of a container that was started again in the same Pod, with "/previous" after it.
	Container string
	// Message is the termination message, byte for byte; empty if there is none.
	Message string
	// ImageID is what the node ran, as its runtime names it: usually with a digest. Empty if the node has not told.
	ImageID string
}

// Traces returns a trace for each container of the Job that has ended, those of the oldest Pod first.
func Traces(job *batchv1.Job, pods []corev1.Pod) []Trace {
	var out []Trace
	for _, pod := range PodsOf(job, pods) {
		at := slices.IndexFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.Name == ContainerName })
		if at < 0 {
			continue
		}
		c := &pod.Status.ContainerStatuses[at]
		if t := c.LastTerminationState.Terminated; t != nil {
			out = append(out, Trace{Container: pod.Name + "/previous", Message: t.Message, ImageID: c.ImageID})
		}
		if t := c.State.Terminated; t != nil {
			out = append(out, Trace{Container: pod.Name, Message: t.Message, ImageID: c.ImageID})
		}
	}
	return out
}
