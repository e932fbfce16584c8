// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/status"
)

// judge completes the status from what is in it and from the error that ended the pass, if any.
func judge(s *scope, err error) {
	p := s.policy
	p.Status.ObservedGeneration = p.Generation
	p.Status.Mode = p.Spec.GetMode()

	ready, compliant := judgeReady(p), verdict{}
	switch {
	case isInvalid(err):
		ready = verdict{metav1.ConditionFalse, retentionv1.ReasonInvalidSpec, err.Error()}
		compliant = unknown(retentionv1.ReasonInvalidSpec, "%s", err)
		p.Status.NextScheduleTime = nil
		status.Stalled(p, retentionv1.ReasonInvalidSpec, err.Error())
	case err != nil:
		// A condition never shows a raw error: it may be long, and it is for the log.
		ready = verdict{metav1.ConditionFalse, retentionv1.ReasonProgressingWithRetry, "The last pass failed and is tried again; the operator's log has the error"}
		status.Reconciling(p, retentionv1.ReasonProgressingWithRetry, ready.message)
	case s.unattested:
		ready = verdict{metav1.ConditionFalse, retentionv1.ReasonLedgerUnavailable, ledgerMessage}
		status.Reconciling(p, retentionv1.ReasonLedgerUnavailable, ready.message)
	case p.Status.ActiveRun != nil:
		status.Reconciling(p, retentionv1.ReasonProgressing, progress(p.Status.ActiveRun))
	case len(s.datastores) == 0:
		ready = verdict{metav1.ConditionFalse, retentionv1.ReasonNoDatastores, "spec.datastoreSelector matches no Datastore of this namespace"}
		compliant = unknown(retentionv1.ReasonNoDatastores, "%s", ready.message)
		status.Reconciling(p, retentionv1.ReasonNoDatastores, "Waiting for a Datastore")
	default:
		status.Done(p)
	}
	if compliant.status == "" {
		compliant = s.judgeCompliance(err)
	}
	status.Set(p, retentionv1.ConditionReady, ready.status, ready.reason, "%s", ready.message)
	status.Set(p, retentionv1.ConditionCompliant, compliant.status, compliant.reason, "%s", compliant.message)
	if awaitsApproval(p) {
		status.Set(p, retentionv1.ConditionAwaitingApproval, metav1.ConditionTrue, retentionv1.ReasonGuardrailExceeded, "%s", approvalMessage(p.Status.LastRun))
	} else {
		status.Remove(p, retentionv1.ConditionAwaitingApproval)
	}
}

// judgeCompliance judges anew. After a pass that failed before all was gathered the standing verdict stays, but no longer
// than the look that it is based on counts.
func (s *scope) judgeCompliance(err error) verdict {
	last := s.policy.Status.LastRun
	if last != nil {
		if limit := observationLimit(s.timing, last.Slot.Time); limit.After(s.now) {
			s.again(limit.Sub(s.now) + time.Second)
		}
	}
	standing := meta.FindStatusCondition(s.policy.Status.Conditions, retentionv1.ConditionCompliant)
	if err == nil || standing == nil || last == nil || s.now.After(observationLimit(s.timing, last.Slot.Time)) {
		return judgeCompliance(complianceInput{lastRun: last, generation: s.policy.Generation, datastores: s.datastores, timing: s.timing, now: s.now})
	}
	return verdict{standing.Status, standing.Reason, standing.Message}
}

func progress(run *retentionv1.Run) string {
	done, note := 0, ""
	for i := range run.Datastores {
		d := &run.Datastores[i]
		if d.State == retentionv1.RunFinished {
			done++
		} else if d.Message != "" && note == "" {
			note = fmt.Sprintf("; %s: %s", d.Name, d.Message)
		}
	}
	return fmt.Sprintf("Run %s: %d of %d datastores done%s", run.Name, done, len(run.Datastores), note)
}

func findCondition(ds *retentionv1.Datastore, condition string) *metav1.Condition {
	return meta.FindStatusCondition(ds.Status.Conditions, condition)
}
