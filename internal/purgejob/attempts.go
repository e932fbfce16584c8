// SPDX-License-Identifier: Apache-2.0

package purgejob

import (
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"dataretention.dev/retention-operator/internal/receipt"
)

// PodsOf returns those of pods whose controller is job, the oldest first.
func PodsOf(job *batchv1.Job, pods []corev1.Pod) []corev1.Pod {
	var own []corev1.Pod
	for i := range pods {
		if c := metav1.GetControllerOfNoCopy(&pods[i]); c != nil && c.UID == job.UID && job.UID != "" {
			own = append(own, pods[i])
		}
	}
	slices.SortFunc(own, func(a, b corev1.Pod) int {
		if n := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); n != 0 {
			return n
		}
		return strings.Compare(a.Name, b.Name)
	})
	return own
}

// Settled says whether no container of the Job is running: only then are its Receipts the last ones. Pods that the Job
// has counted and that are gone do not matter here; Attempts reports them.
func Settled(job *batchv1.Job, pods []corev1.Pod) bool {
	for _, pod := range PodsOf(job, pods) {
		if !ended(&pod) {
			return false
		}
	}
	return !State(job).Busy
}

func ended(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
}

// Attempts returns the containers of the Job that have started and ended, in the order of their start, and one unreadable
// attempt for each Pod that the Job has counted and that nobody kept. A Pod whose container never started is no attempt.
// A Receipt for another Plan than the Job's is unreadable, unless it says that the Plan was refused.
func Attempts(job *batchv1.Job, pods []corev1.Pod) []receipt.Attempt {
	digest := job.Annotations[AnnotationPlanDigest]
	var attempts []receipt.Attempt
	var succeeded, others int32
	for _, pod := range PodsOf(job, pods) {
		if pod.Status.Phase == corev1.PodSucceeded {
			succeeded++
		} else {
			others++ // a finished Job counts what is still ending as failed
		}
		attempts = append(attempts, ofPod(&pod, digest)...)
	}
	slices.SortStableFunc(attempts, func(a, b receipt.Attempt) int { return a.Started.Compare(b.Started) })

	// A failed Pod came before the one that succeeded. Of any other that is gone, assume that it was the last.
	lostBefore, lostAfter := max(job.Status.Failed-others, 0), max(job.Status.Succeeded-succeeded, 0)
	if succeeded == 0 {
		lostBefore, lostAfter = 0, lostBefore+lostAfter
	}
	return slices.Concat(lost(lostBefore, time.Time{}), attempts, lost(lostAfter, lastStart(attempts)))
}

func lost(n int32, started time.Time) []receipt.Attempt {
	return slices.Repeat([]receipt.Attempt{{Started: started, Unreadable: true}}, int(n))
}

// lastStart is the zero time if there is no attempt. Merge keeps the order of attempts that started together.
func lastStart(attempts []receipt.Attempt) time.Time {
	if len(attempts) == 0 {
		return time.Time{}
	}
	return attempts[len(attempts)-1].Started
}

// ofPod returns the attempts of one Pod: one, or two if the kubelet lost a container and started it again.
func ofPod(pod *corev1.Pod, digest string) []receipt.Attempt {
	for _, c := range pod.Status.ContainerStatuses {
		if c.Name != ContainerName {
			continue
		}
		var attempts []receipt.Attempt
		if t := c.LastTerminationState.Terminated; t != nil && started(t, c.ContainerID) {
			attempts = append(attempts, ofTerminated(pod, t, digest))
		}
		switch {
		case c.State.Terminated != nil && started(c.State.Terminated, c.ContainerID):
			attempts = append(attempts, ofTerminated(pod, c.State.Terminated, digest))
		case c.State.Running != nil && ended(pod):
			// The node is lost: nobody saw the end, if there was one.
			attempts = append(attempts, receipt.Attempt{Started: c.State.Running.StartedAt.UTC(), Unreadable: true})
		}
		return attempts
	}
	return nil
}

// started says whether a terminated container had run. The kubelet reports containers that could not be started, or that
// a deleted Pod never came to create, as terminated too: without a time of start, and without an ID.
func started(t *corev1.ContainerStateTerminated, containerID string) bool {
	switch t.Reason {
	case "StartError", "ContainerCannotRun":
		return false
	}
	return known(t.StartedAt) || t.ContainerID != "" || containerID != "" || t.Message != "" && t.Reason != "ContainerStatusUnknown"
}

// known says whether t is a time; runtimes write 1970 for none.
func known(t metav1.Time) bool { return !t.IsZero() && t.Unix() > 0 }

func ofTerminated(pod *corev1.Pod, t *corev1.ContainerStateTerminated, digest string) receipt.Attempt {
	a := receipt.Attempt{ExitCode: new(t.ExitCode)}
	if known(t.StartedAt) {
		a.Started = t.StartedAt.UTC()
	} else if pod.Status.StartTime != nil {
		a.Started = pod.Status.StartTime.UTC()
	}
	if known(t.FinishedAt) {
		a.Finished = t.FinishedAt.UTC()
	}
	r, err := receipt.Decode([]byte(t.Message))
	if err != nil || !about(r, digest) {
		a.Unreadable = true
		return a
	}
	a.Receipt = r
	return a
}

// about says whether r is a Receipt for the Plan with this digest. A process that refuses a damaged Plan cannot name it.
func about(r *receipt.Receipt, digest string) bool {
	return digest != "" && r.PlanDigest == digest || r.Reason == receipt.PlanRefused && len(r.Steps) == 0
}

// maxMessage bounds what Waiting passes on from a kubelet or scheduler, in bytes.
const maxMessage = 256

// Waiting says why the newest of pods has not started, such as ErrImagePull, CreateContainerConfigError or Unschedulable.
// Both results are empty when nothing is known to be wrong.
func Waiting(pods []corev1.Pod) (reason, message string) {
	var newest *corev1.Pod
	for i := range pods {
		if newest == nil || newest.CreationTimestamp.Before(&pods[i].CreationTimestamp) {
			newest = &pods[i]
		}
	}
	if newest == nil || ended(newest) {
		return "", ""
	}
	for _, c := range newest.Status.ContainerStatuses {
		if w := c.State.Waiting; w != nil && w.Reason != "ContainerCreating" && w.Reason != "PodInitializing" && w.Reason != "" {
			return w.Reason, bounded(w.Message)
		}
	}
	for _, c := range newest.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return c.Reason, bounded(c.Message)
		}
	}
	return "", ""
}

func bounded(s string) string { return strings.ToValidUTF8(s[:min(len(s), maxMessage)], "") }
