// SPDX-License-Identifier: Apache-2.0

package purgejob

import (
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// Phase is where a Job stands.
type Phase string

// The phases of a Job. Only Complete and Failed are final.
const (
	Suspended Phase = "Suspended"
	// Pending has no running Pod (yet, or between two attempts).
	Pending  Phase = "Pending"
	Running  Phase = "Running"
	Complete Phase = "Complete"
	Failed   Phase = "Failed"
)

// JobState is what a Job's status says.
type JobState struct {
	Phase Phase
	// Reason of Failed: PodFailurePolicy, BackoffLimitExceeded, DeadlineExceeded, or another of Kubernetes.
	Reason string
	// Message goes with Reason.
	Message string
	// Busy is true while a Pod may still be running, even of a suspended or finished Job.
	Busy bool
}

// Finished says whether no further attempt will come.
func (s JobState) Finished() bool { return s.Phase == Complete || s.Phase == Failed }

// State reads a Job's status. SuccessCriteriaMet and FailureTarget are not the end: Pods may still be running then.
func State(job *batchv1.Job) JobState {
	s := JobState{Busy: job.Status.Active > 0 || valueOf(job.Status.Terminating) > 0}
	for _, c := range job.Status.Conditions {
		if c.Status != corev1.ConditionTrue {
			continue
		}
		switch c.Type {
		case batchv1.JobComplete:
			s.Phase = Complete
			return s
		case batchv1.JobFailed:
			s.Phase, s.Reason, s.Message = Failed, c.Reason, c.Message
			return s
		}
	}
	switch {
	case job.Spec.Suspend != nil && *job.Spec.Suspend:
		s.Phase = Suspended
	case valueOf(job.Status.Ready) > 0:
		s.Phase = Running
	default:
		s.Phase = Pending
	}
	return s
}

func valueOf(n *int32) int32 {
	if n == nil {
		return 0
	}
	return *n
}
