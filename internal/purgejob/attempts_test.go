// SPDX-License-Identifier: Apache-2.0

package purgejob

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"dataretention.dev/retention-operator/internal/receipt"
)

const digest = "sha256:6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"

func jobWith(status batchv1.JobStatus) *batchv1.Job {
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: "j", UID: "job", Annotations: map[string]string{AnnotationPlanDigest: digest}},
		Status:     status,
	}
}

// pod is a Pod of the Job that was made minute minutes after the slot.
func pod(minute int, phase corev1.PodPhase, statuses ...corev1.ContainerStatus) corev1.Pod {
	for i := range statuses {
		if statuses[i].Name == "" {
			statuses[i].Name = ContainerName
		}
	}
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "j-" + string(rune('a'+minute)), CreationTimestamp: at(minute),
			OwnerReferences: []metav1.OwnerReference{{UID: "job", Controller: new(true)}},
		},
		Status: corev1.PodStatus{Phase: phase, ContainerStatuses: statuses},
	}
}

func at(minute int) metav1.Time { return metav1.NewTime(slot.Add(time.Duration(minute) * time.Minute)) }

func terminated(minute int, code int32, message string) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{ExitCode: code, Message: message, StartedAt: at(minute), FinishedAt: at(minute + 1)}
}

func exited(minute int, code int32, message string) corev1.ContainerStatus {
	return corev1.ContainerStatus{ContainerID: "containerd://1", State: corev1.ContainerState{Terminated: terminated(minute, code, message)}}
}

func message(t *testing.T, r receipt.Receipt) string {
	t.Helper()
	b, err := receipt.Encode(&r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestAttempts(t *testing.T) {
	purging := receipt.Receipt{
		Version: 1, PlanDigest: digest, Phase: receipt.PhasePurging, StartTime: slot, Time: slot,
		Steps: []receipt.Step{{Deleted: 5}},
	}
	finished := purging
	finished.Phase, finished.Reason = receipt.PhaseFinished, receipt.Succeeded
	foreign := purging
	foreign.PlanDigest = "sha256:0"
	refused := receipt.Receipt{Version: 1, Phase: receipt.PhaseConnecting, Reason: receipt.PlanRefused, StartTime: slot, Time: slot}

	attempt := func(minute int, code int32, r *receipt.Receipt) receipt.Attempt {
		return receipt.Attempt{
			Receipt: r, ExitCode: &code, Started: at(minute).Time, Finished: at(minute + 1).Time, Unreadable: r == nil,
		}
	}
	unknown := &corev1.ContainerStateTerminated{
		ExitCode: 137, Reason: "ContainerStatusUnknown", Message: "The container could not be located when the pod was terminated",
	}
	tests := map[string]struct {
		status batchv1.JobStatus
		pods   []corev1.Pod
		want   []receipt.Attempt
	}{
		"no pod": {},
		"killed, then well, in the order of their start": {
			status: batchv1.JobStatus{Failed: 1, Succeeded: 1},
			pods: []corev1.Pod{
				pod(2, corev1.PodSucceeded, exited(2, 0, message(t, finished))),
				pod(0, corev1.PodFailed, exited(0, 137, message(t, purging))),
			},
			want: []receipt.Attempt{attempt(0, 137, &purging), attempt(2, 0, &finished)},
		},
		"a pod of another job": {
			pods: func() []corev1.Pod {
				p := pod(0, corev1.PodFailed, exited(0, 137, message(t, purging)))
				p.OwnerReferences[0].UID = "other"
				return []corev1.Pod{p}
			}(),
		},
		"a pod that the job does not control": {
			pods: func() []corev1.Pod {
				p := pod(0, corev1.PodFailed, exited(0, 137, message(t, purging)))
				p.OwnerReferences[0].Controller = nil
				return []corev1.Pod{p}
			}(),
		},
		"another container's message": {
			pods: []corev1.Pod{pod(0, corev1.PodFailed, corev1.ContainerStatus{
				Name: "sidecar", State: corev1.ContainerState{Terminated: terminated(0, 0, message(t, finished))},
			})},
		},
		"still running":    {pods: []corev1.Pod{pod(0, corev1.PodRunning, running(0))}},
		"never started":    {pods: []corev1.Pod{pod(0, corev1.PodPending, waiting("ErrImagePull"))}},
		"no status at all": {status: batchv1.JobStatus{Failed: 1}, pods: []corev1.Pod{pod(0, corev1.PodFailed)}},
		"could not be started": {
			pods: []corev1.Pod{pod(0, corev1.PodFailed, corev1.ContainerStatus{
				ContainerID: "containerd://1",
				State:       corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 128, Reason: "StartError", Message: "exec: not found"}},
			})},
		},
		"deleted before its container was made": {
			pods: []corev1.Pod{pod(0, corev1.PodFailed, corev1.ContainerStatus{State: corev1.ContainerState{Terminated: unknown}})},
		},
		"a container that the kubelet lost": {
			pods: []corev1.Pod{pod(0, corev1.PodFailed, corev1.ContainerStatus{
				ContainerID: "containerd://1", State: corev1.ContainerState{Terminated: unknown},
			})},
			want: []receipt.Attempt{{ExitCode: new(int32(137)), Unreadable: true}},
		},
		"a container that the kubelet lost and started again": {
			pods: []corev1.Pod{pod(0, corev1.PodSucceeded, corev1.ContainerStatus{
				ContainerID: "containerd://2", LastTerminationState: corev1.ContainerState{Terminated: unknown},
				State: corev1.ContainerState{Terminated: terminated(3, 0, message(t, finished))},
			})},
			want: []receipt.Attempt{{ExitCode: new(int32(137)), Unreadable: true}, attempt(3, 0, &finished)},
		},
		"lost with its node": {
			status: batchv1.JobStatus{Failed: 1},
			pods:   []corev1.Pod{pod(0, corev1.PodFailed, running(1))},
			want:   []receipt.Attempt{{Started: at(1).Time, Unreadable: true}},
		},
		"no message":                    {pods: []corev1.Pod{pod(0, corev1.PodFailed, exited(0, 137, ""))}, want: []receipt.Attempt{attempt(0, 137, nil)}},
		"for another plan":              {pods: []corev1.Pod{pod(0, corev1.PodFailed, exited(0, 1, message(t, foreign)))}, want: []receipt.Attempt{attempt(0, 1, nil)}},
		"a plan that could not be read": {pods: []corev1.Pod{pod(0, corev1.PodFailed, exited(0, 2, message(t, refused)))}, want: []receipt.Attempt{attempt(0, 2, &refused)}},
		"a failed pod gone before success": {
			status: batchv1.JobStatus{Failed: 1, Succeeded: 1},
			pods:   []corev1.Pod{pod(2, corev1.PodSucceeded, exited(2, 0, message(t, finished)))},
			want:   []receipt.Attempt{{Unreadable: true}, attempt(2, 0, &finished)},
		},
		"the succeeded pod gone": {
			status: batchv1.JobStatus{Failed: 1, Succeeded: 1},
			pods:   []corev1.Pod{pod(0, corev1.PodFailed, exited(0, 137, message(t, purging)))},
			want:   []receipt.Attempt{attempt(0, 137, &purging), {Started: at(0).Time, Unreadable: true}},
		},
		"counted as failed while it ends": {
			status: batchv1.JobStatus{Failed: 1},
			pods:   []corev1.Pod{pod(0, corev1.PodRunning, running(0))},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, Attempts(jobWith(tt.status), tt.pods)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func running(minute int) corev1.ContainerStatus {
	return corev1.ContainerStatus{ContainerID: "containerd://1", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at(minute)}}}
}

func waiting(reason string) corev1.ContainerStatus {
	return corev1.ContainerStatus{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "because"}}}
}

func TestWaiting(t *testing.T) {
	unschedulable := pod(1, corev1.PodPending)
	unschedulable.Status.Conditions = []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "Unschedulable", Message: strings.Repeat("0/3 nodes. ", 99),
	}}
	tests := map[string]struct {
		pods            []corev1.Pod
		reason, message string
	}{
		"no pod":             {nil, "", ""},
		"just made":          {[]corev1.Pod{pod(0, corev1.PodPending)}, "", ""},
		"being made":         {[]corev1.Pod{pod(0, corev1.PodPending, waiting("ContainerCreating"))}, "", ""},
		"no image":           {[]corev1.Pod{pod(0, corev1.PodPending, waiting("ErrImagePull"))}, "ErrImagePull", "because"},
		"bad config":         {[]corev1.Pod{pod(0, corev1.PodPending, waiting("CreateContainerConfigError"))}, "CreateContainerConfigError", "because"},
		"no node":            {[]corev1.Pod{unschedulable}, "Unschedulable", strings.Repeat("0/3 nodes. ", 99)[:256]},
		"the newest is fine": {[]corev1.Pod{pod(1, corev1.PodRunning, running(1)), pod(0, corev1.PodPending, waiting("ErrImagePull"))}, "", ""},
		"over":               {[]corev1.Pod{pod(0, corev1.PodFailed, waiting("ErrImagePull"))}, "", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if reason, message := Waiting(tt.pods); reason != tt.reason || message != tt.message {
				t.Errorf("got %q, %q", reason, message)
			}
		})
	}
}

func TestState(t *testing.T) {
	condition := func(kind batchv1.JobConditionType, status corev1.ConditionStatus, reason string) batchv1.JobStatus {
		return batchv1.JobStatus{Conditions: []batchv1.JobCondition{{Type: kind, Status: status, Reason: reason}}}
	}
	failed := func(reason string) JobState { return JobState{Phase: Failed, Reason: reason} }
	tests := map[string]struct {
		suspend bool
		status  batchv1.JobStatus
		want    JobState
	}{
		"new":                    {false, batchv1.JobStatus{}, JobState{Phase: Pending}},
		"held":                   {true, batchv1.JobStatus{}, JobState{Phase: Suspended}},
		"held, its pod ending":   {true, batchv1.JobStatus{Terminating: new(int32(1))}, JobState{Phase: Suspended, Busy: true}},
		"its pod is on the way":  {false, batchv1.JobStatus{Active: 1}, JobState{Phase: Pending, Busy: true}},
		"running":                {false, batchv1.JobStatus{Active: 1, Ready: new(int32(1))}, JobState{Phase: Running, Busy: true}},
		"complete":               {false, condition(batchv1.JobComplete, corev1.ConditionTrue, "CompletionsReached"), JobState{Phase: Complete}},
		"about to be complete":   {false, condition(batchv1.JobSuccessCriteriaMet, corev1.ConditionTrue, ""), JobState{Phase: Pending}},
		"about to have failed":   {false, condition(batchv1.JobFailureTarget, corev1.ConditionTrue, "DeadlineExceeded"), JobState{Phase: Pending}},
		"not failed":             {false, condition(batchv1.JobFailed, corev1.ConditionFalse, ""), JobState{Phase: Pending}},
		"failed by exit code":    {false, condition(batchv1.JobFailed, corev1.ConditionTrue, "PodFailurePolicy"), failed("PodFailurePolicy")},
		"failed too often":       {false, condition(batchv1.JobFailed, corev1.ConditionTrue, "BackoffLimitExceeded"), failed("BackoffLimitExceeded")},
		"failed while suspended": {true, condition(batchv1.JobFailed, corev1.ConditionTrue, "DeadlineExceeded"), failed("DeadlineExceeded")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			job := jobWith(tt.status)
			job.Spec.Suspend = &tt.suspend
			got := State(job)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if want := got.Phase == Complete || got.Phase == Failed; got.Finished() != want {
				t.Errorf("finished %v", got.Finished())
			}
		})
	}
}

func TestSettled(t *testing.T) {
	terminating := batchv1.JobStatus{Terminating: new(int32(1))}
	other := pod(0, corev1.PodRunning, running(0))
	other.OwnerReferences[0].UID = types.UID("other")
	tests := map[string]struct {
		status batchv1.JobStatus
		pods   []corev1.Pod
		want   bool
	}{
		"no pod":             {batchv1.JobStatus{}, nil, true},
		"all ended":          {batchv1.JobStatus{}, []corev1.Pod{pod(0, corev1.PodFailed), pod(1, corev1.PodSucceeded)}, true},
		"one runs":           {batchv1.JobStatus{}, []corev1.Pod{pod(0, corev1.PodFailed), pod(1, corev1.PodRunning)}, false},
		"one that we miss":   {terminating, nil, false},
		"another job's runs": {batchv1.JobStatus{}, []corev1.Pod{other}, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Settled(jobWith(tt.status), tt.pods); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
