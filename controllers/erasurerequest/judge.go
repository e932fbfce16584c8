// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/controllers/internal/status"
)

// verdict is a condition without its type.
type verdict struct {
	status          metav1.ConditionStatus
	reason, message string
}

// invalidSpec is an error that only another request can cure.
type invalidSpec struct{ error }

func (e invalidSpec) Unwrap() error { return e.error }

func isInvalid(err error) bool {
	var invalid invalidSpec
	return errors.As(err, &invalid)
}

// judge completes the status from what is in it and from the error that ended the pass, if any.
func judge(s *scope, err error) {
	r, st := s.request, s.st()
	st.ObservedGeneration = r.Generation
	ready := verdict{metav1.ConditionFalse, retentionv1.ReasonProgressing, s.progress()}
	switch {
	case isInvalid(err):
		ready = verdict{metav1.ConditionFalse, retentionv1.ReasonInvalidSpec, err.Error()}
		status.Stalled(r, ready.reason, ready.message)
	case err != nil:
		// A condition never shows a raw error: it may be long, and it is for the log.
		ready = verdict{metav1.ConditionFalse, retentionv1.ReasonProgressingWithRetry, "The last pass failed and is tried again; the operator's log has the error"}
		status.Reconciling(r, ready.reason, ready.message)
	case s.problem != nil:
		ready = verdict{metav1.ConditionFalse, s.problem.reason, s.problem.message}
		status.Stalled(r, ready.reason, ready.message)
	case st.State == retentionv1.ErasureDenied:
		ready = verdict{metav1.ConditionTrue, retentionv1.ReasonDenied, denial(r)}
		status.Done(r)
	case st.AnsweredTime != nil:
		ready = verdict{metav1.ConditionTrue, retentionv1.ReasonAnswered, summary(st)}
		if st.Recheck != nil && st.Recheck.NextTime == nil && st.State == retentionv1.ErasureWatching {
			status.Reconciling(r, retentionv1.ReasonProgressing, s.progress())
		} else {
			status.Done(r)
		}
	case st.State == retentionv1.ErasureAwaitingApproval && s.waiting != nil:
		ready = verdict{metav1.ConditionFalse, s.waiting.reason, s.waiting.message}
		status.Done(r)
	case st.State == retentionv1.ErasureRetainedByHold:
		ready = verdict{metav1.ConditionFalse, retentionv1.ReasonRetainedByHold, summary(st) + "; it goes on by itself once the hold is released"}
		status.Done(r)
	default:
		if s.waiting != nil {
			ready.reason, ready.message = s.waiting.reason, s.waiting.message
		}
		status.Reconciling(r, ready.reason, ready.message)
	}
	status.Set(r, retentionv1.ConditionReady, ready.status, ready.reason, "%s", ready.message)
	if st.DueTime != nil {
		overdue := s.overdue()
		status.Set(r, retentionv1.ConditionOverdue, overdue.status, overdue.reason, "%s", overdue.message)
	}
	if st.State == retentionv1.ErasureRetainedByHold || st.AnsweredTime != nil && st.State != retentionv1.ErasureDenied {
		succeeded, verified := judgeSuccess(st), judgeVerified(st)
		status.Set(r, retentionv1.ConditionSucceeded, succeeded.status, succeeded.reason, "%s", succeeded.message)
		status.Set(r, retentionv1.ConditionVerified, verified.status, verified.reason, "%s", verified.message)
	}
}

// judgeSuccess says whether everything that was found is gone. To have found nothing is another answer.
func judgeSuccess(st *retentionv1.ErasureRequestStatus) verdict {
	v := verdict{metav1.ConditionFalse, retentionv1.ReasonIncomplete, summary(st)}
	switch st.Outcome {
	case retentionv1.ErasureDeleted, retentionv1.ErasureAnonymized:
		v.status, v.reason = metav1.ConditionTrue, retentionv1.ReasonErased
	case retentionv1.ErasureNotFound:
		v.reason = retentionv1.ReasonNotFound
	case retentionv1.ErasureHeld:
		v.reason = retentionv1.ReasonRetainedByHold
	case retentionv1.ErasureRetainedByObligation:
		v.reason = retentionv1.ReasonRetainedByObligation
	}
	return v
}

// judgeVerified says whether a look after the last change found nothing that should be gone, everywhere.
func judgeVerified(st *retentionv1.ErasureRequestStatus) verdict {
	for i := range st.Datastores {
		if e := &st.Datastores[i]; !ptr.Deref(e.Verified, false) {
			return verdict{metav1.ConditionFalse, retentionv1.ReasonNotVerified, "Datastore " + e.Name + " was not looked at after the last change, or something was there"}
		}
	}
	for i := range st.Children {
		c := &st.Children[i]
		if c.UID == "" && c.Outcome == "" {
			continue // out of reach, and not meant
		}
		if !ptr.Deref(c.Verified, false) {
			return verdict{metav1.ConditionFalse, retentionv1.ReasonNotVerified, "The request in namespace " + c.Namespace + " is not verified"}
		}
	}
	return verdict{metav1.ConditionTrue, retentionv1.ReasonVerified, "A look after the last change found nothing that should be gone"}
}

// denial repeats the answer of the person who refused the request.
func denial(r *retentionv1.ErasureRequest) string {
	for _, c := range r.Status.Conditions {
		if c.Type == retentionv1.ConditionDenied {
			return fmt.Sprintf("Denied: %s: %s", c.Reason, c.Message)
		}
	}
	return "Denied"
}

// summary is the answer in a sentence.
func summary(st *retentionv1.ErasureRequestStatus) string {
	atLeast := ""
	if st.Counting == retentionv1.CountingAtLeast {
		atLeast = "at least "
	}
	text := fmt.Sprintf("%s: %s%d records found, %s%d erased", st.Outcome, atLeast, ptr.Deref(st.Found, 0), atLeast, ptr.Deref(st.Erased, 0))
	for i := range st.Datastores {
		e := &st.Datastores[i]
		if e.Outcome != st.Outcome || st.Outcome == retentionv1.ErasureDeleted || st.Outcome == retentionv1.ErasureAnonymized {
			continue
		}
		for _, d := range e.Datasets {
			if d.Outcome == e.Outcome && d.Reason != "" {
				return fmt.Sprintf("%s; %s, dataset %s: %s", text, e.Name, d.Name, d.Reason)
			}
		}
		if e.Message != "" {
			return fmt.Sprintf("%s; %s: %s", text, e.Name, e.Message)
		}
	}
	return text
}

// progress says how far the request has come in its Datastores, and what one of them waits for.
func (s *scope) progress() string {
	st := s.st()
	searched, done, text := 0, 0, ""
	for i := range st.Datastores {
		e := &st.Datastores[i]
		if e.Step == retentionv1.ErasureStepFinished {
			done++
		}
		if slices.Contains([]retentionv1.ErasureStep{retentionv1.ErasureStepFind, retentionv1.ErasureStepFinding}, e.Step) {
			if text == "" {
				text = s.obstacle(e)
			}
			continue
		}
		searched++
		if e.Step == retentionv1.ErasureStepErase && text == "" {
			text = s.obstacle(e)
		}
	}
	if s.waiting != nil {
		return s.waiting.message
	}
	return fmt.Sprintf("%d of %d Datastores searched, %d finished%s", searched, len(st.Datastores), done, text)
}

// obstacle is what an entry waits for, if it is not just its turn.
func (s *scope) obstacle(e *retentionv1.ErasureDatastore) string {
	if e.Message != "" {
		return fmt.Sprintf("; %s: %s: %s", e.Name, e.Reason, e.Message)
	}
	ds := s.datastores[e.Name]
	if ds == nil || erasure.AtWork(e) {
		return ""
	}
	if ok, _, message := erasure.Usable(ds); !ok {
		return fmt.Sprintf("; %s: %s", e.Name, message)
	}
	if run := ds.Status.ActiveRun; run != nil {
		return fmt.Sprintf("; %s: waiting for run %s", e.Name, run.Name)
	}
	return ""
}

// answerOf is the answer as a metric counts it.
func answerOf(r *retentionv1.ErasureRequest) retentionv1.ErasureOutcome {
	if r.Status.State == retentionv1.ErasureDenied {
		return retentionv1.ReasonDenied
	}
	return r.Status.Outcome
}
