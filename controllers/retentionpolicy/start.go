// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/status"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/schedule"
)

// start is the decision whether a run starts now.
type start struct {
	// run is the run to start, nil if none.
	run *retentionv1.Run
	// due is what the schedule says; its TooLate slot is on record as missed.
	due schedule.Decision
	// request is the value of the annotation that was handled.
	request string
	// resumes says that the last run is to be followed by another one.
	resumes bool
}

// decideStart says whether a run starts now, and which: an approval resumes the run that it was given for, the schedule
// starts one for its latest slot, a request one for this second, and so does the end of what had stopped the last run. held
// are the names of the holds that are not released. No run starts while one is active, or without a Datastore to work on; a
// slot is then not used up.
func decideStart(policy *retentionv1.RetentionPolicy, t timing, datastores []retentionv1.Datastore, held []string, now time.Time) start {
	st := &policy.Status
	s := start{request: st.LastHandledRequest}
	s.due = schedule.Due(schedule.Input{
		Schedule:         t.schedule,
		Now:              now,
		Created:          policy.CreationTimestamp.Time,
		LastScheduleTime: believable(latest(st.LastScheduleTime, st.LastMissedTime), now),
		StartingDeadline: t.deadline,
		Suspend:          policy.Spec.IsSuspended(),
	})
	if st.ActiveRun != nil || len(datastores) == 0 {
		return s
	}
	if run := approvedRun(policy, now); run != nil {
		s.run = run
		return s
	}
	if s.due.Slot != nil {
		s.run = newRun(policy, retentionv1.TriggerSchedule, *s.due.Slot, now, datastores)
		return s
	}
	trigger, why := retentionv1.TriggerResume, resumable(st.LastRun, held)
	s.resumes = why != "" && !policy.Spec.IsSuspended()
	request := requestOf(policy)
	if request != "" && request != st.LastHandledRequest {
		trigger, why = retentionv1.TriggerRequest, ""
	} else if !s.resumes {
		return s
	}
	slot := now.UTC().Truncate(time.Second)
	if st.LastRun != nil && !slot.After(st.LastRun.Slot.Time) && believable(&st.LastRun.Slot.Time, now) != nil {
		return s // one run per second: its name is made from it
	}
	s.run = newRun(policy, trigger, slot, now, datastores)
	s.run.Message = why
	if trigger == retentionv1.TriggerRequest {
		s.request = request
	}
	return s
}

// requestOf returns the value of the annotation that asks for a run, cut to what the status can hold.
func requestOf(policy *retentionv1.RetentionPolicy) string {
	return status.Truncate(policy.Annotations[retentionv1.AnnotationRequestedAt], 256)
}

func newRun(policy *retentionv1.RetentionPolicy, trigger retentionv1.Trigger, slot, now time.Time, datastores []retentionv1.Datastore) *retentionv1.Run {
	run := &retentionv1.Run{
		Name:             purgejob.RunName(policy.Name, slot),
		Trigger:          trigger,
		Slot:             metav1.NewTime(slot),
		Mode:             policy.Spec.GetMode(),
		PolicyGeneration: policy.Generation,
		StartTime:        metav1.NewTime(now),
	}
	for i := range datastores {
		run.Datastores = append(run.Datastores, retentionv1.RunDatastore{
			Name: datastores[i].Name, UID: string(datastores[i].UID), State: retentionv1.RunWaiting,
		})
	}
	return run
}

// approvedRun returns the last run, set back to where its approved plans can be carried out, or nil if nothing that a
// guardrail stopped has been approved. It is the same run: same name, same slot, same cutoffs, same plans.
func approvedRun(policy *retentionv1.RetentionPolicy, now time.Time) *retentionv1.Run {
	last := policy.Status.LastRun
	if last == nil || last.Outcome != retentionv1.OutcomeAwaitingApproval {
		return nil
	}
	approved := strings.FieldsFunc(policy.Annotations[retentionv1.AnnotationApprovedPlan], func(r rune) bool { return r == ',' || r == ' ' })
	run := last.DeepCopy()
	resumed := false
	for i := range run.Datastores {
		d := &run.Datastores[i]
		if !approvable(d) || !slices.Contains(approved, d.PlanDigest) {
			continue
		}
		var due int64
		for _, ds := range d.Datasets {
			due += ptr.Deref(ds.Matched, 0)
		}
		*d = retentionv1.RunDatastore{
			Name: d.Name, UID: d.UID, State: retentionv1.RunWaiting, PlanDigest: d.PlanDigest, ApprovedRecords: ptr.To(due),
		}
		resumed = true
	}
	if !resumed {
		return nil
	}
	run.Trigger = retentionv1.TriggerApproval
	run.StartTime = metav1.NewTime(now)
	run.CompletionTime, run.Outcome, run.Message, run.RunTotals, run.Evidence = nil, "", "", retentionv1.RunTotals{}, nil
	return run
}

// maxAhead is how far a slot that was taken may lie ahead of our clock.
const maxAhead = 24 * time.Hour

// believable is t, or nil if a clock that was far wrong has written it: nothing would ever run again until then.
func believable(t *time.Time, now time.Time) *time.Time {
	if t == nil || t.Sub(now) > maxAhead {
		return nil
	}
	return t
}

// approvable says whether an approval carries an entry on. It is good for one attempt: ApprovedRecords tells that it was
// used. Where an attempt had changed something before a guardrail stopped the next, going on from here would drop what it
// did from the record.
func approvable(d *retentionv1.RunDatastore) bool {
	return d.Outcome == retentionv1.OutcomeAwaitingApproval && d.ApprovedRecords == nil &&
		!slices.ContainsFunc(d.Datasets, func(ds retentionv1.RunDataset) bool {
			return ptr.Deref(ds.Deleted, 0)+ptr.Deref(ds.Anonymized, 0) > 0 || ds.Counting == retentionv1.CountingAtLeast
		})
}

func latest(a, b *metav1.Time) *time.Time {
	switch {
	case a == nil && b == nil:
		return nil
	case a == nil || (b != nil && b.After(a.Time)):
		return &b.Time
	default:
		return &a.Time
	}
}
