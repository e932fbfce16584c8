// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/receipt"
)

// end writes how a run ended, all of whose datastores are finished.
func end(run *retentionv1.Run, now time.Time) {
	run.CompletionTime = ptr.To(metav1.NewTime(now))
	run.Outcome, run.RunTotals = summarize(run.Datastores)
	run.Message = runMessage(run)
}

// completeRun makes the active run, as it has ended, the last run, with a line in the history.
func completeRun(policy *retentionv1.RetentionPolicy, run *retentionv1.Run) {
	status := &policy.Status
	status.LastRun, status.ActiveRun = run, nil
	if run.Outcome == retentionv1.OutcomeSucceeded && (status.LastSuccessfulTime == nil || status.LastSuccessfulTime.Before(&run.Slot)) {
		status.LastSuccessfulTime = &run.Slot
	}
	status.History = addToHistory(status.History, retentionv1.RunSummary{
		Name: run.Name, Trigger: run.Trigger, Slot: run.Slot, Mode: run.Mode,
		CompletionTime: run.CompletionTime, Outcome: run.Outcome, Evidence: run.Evidence, RunTotals: run.RunTotals,
	}, policy.Spec.GetSuccessfulRunsHistoryLimit(), policy.Spec.GetFailedRunsHistoryLimit())
}

// summarize adds up a run's datastores. A number is there only if some dataset has it; sums are exact only if every
// summand is.
func summarize(datastores []retentionv1.RunDatastore) (retentionv1.Outcome, retentionv1.RunTotals) {
	worst := retentionv1.OutcomeSucceeded
	totals := retentionv1.RunTotals{Counting: retentionv1.CountingExact}
	if len(datastores) == 0 {
		worst = retentionv1.OutcomeFailed // zero datastores is not the same as all of them
	}
	for i := range datastores {
		d := &datastores[i]
		if receipt.Outcome(d.Outcome).WorseThan(receipt.Outcome(worst)) {
			worst = d.Outcome
		}
		if d.Reason == reasonReceiptLost {
			totals.Counting = retentionv1.CountingAtLeast
		}
		for _, ds := range d.Datasets {
			totals.Matched = add(totals.Matched, ds.Matched)
			totals.Deleted = add(totals.Deleted, ds.Deleted)
			totals.Anonymized = add(totals.Anonymized, ds.Anonymized)
			totals.Remaining = add(totals.Remaining, ds.Remaining)
			if ds.Counting == retentionv1.CountingAtLeast {
				totals.Counting = retentionv1.CountingAtLeast
			}
		}
	}
	return worst, totals
}

func add(sum, n *int64) *int64 {
	if n == nil {
		return sum
	}
	return ptr.To(ptr.Deref(sum, 0) + *n)
}

func runMessage(run *retentionv1.Run) string {
	atLeast := ""
	if run.Counting == retentionv1.CountingAtLeast {
		atLeast = "at least "
	}
	deleted, anonymized := ptr.Deref(run.Deleted, 0), ptr.Deref(run.Anonymized, 0)
	text := fmt.Sprintf("%s%d deleted, %s%d anonymized, %d remaining", atLeast, deleted, atLeast, anonymized, ptr.Deref(run.Remaining, 0))
	switch run.Outcome {
	case retentionv1.OutcomeSimulated:
		text = fmt.Sprintf("%d records would go; nothing was changed", ptr.Deref(run.Matched, 0))
	case retentionv1.OutcomeAwaitingApproval:
		text = fmt.Sprintf("%d records are due, which is more than the guardrails allow; %s", ptr.Deref(run.Matched, 0), text)
	}
	for i := range run.Datastores {
		d := &run.Datastores[i]
		if d.Outcome == run.Outcome && d.Message != "" && !d.Outcome.Succeeded() {
			return fmt.Sprintf("%s; %s: %s", text, d.Name, d.Message)
		}
	}
	return text
}

// addToHistory puts line in front, in place of an earlier line of the same run, and keeps as many runs that succeeded,
// and as many that did not, as the limits say. Lines stay in the order of their completion, newest first.
func addToHistory(history []retentionv1.RunSummary, line retentionv1.RunSummary, successful, failed int32) []retentionv1.RunSummary {
	lines := slices.DeleteFunc(slices.Clone(history), func(l retentionv1.RunSummary) bool { return l.Name == line.Name })
	lines = slices.Insert(lines, 0, line)
	slices.SortStableFunc(lines, func(a, b retentionv1.RunSummary) int {
		return cmp.Compare(completion(b), completion(a))
	})
	left := map[bool]int32{true: successful, false: failed}
	return slices.DeleteFunc(lines, func(l retentionv1.RunSummary) bool {
		ok := l.Outcome.Succeeded()
		left[ok]--
		return left[ok] < 0
	})
}

func completion(l retentionv1.RunSummary) int64 {
	if l.CompletionTime == nil {
		return 0
	}
	return l.CompletionTime.Unix()
}

// judgeReady says whether the policy does what its spec says, from its latest run.
func judgeReady(policy *retentionv1.RetentionPolicy) verdict {
	last := policy.Status.LastRun
	switch {
	case last == nil && policy.Spec.IsSuspended():
		return verdict{metav1.ConditionTrue, retentionv1.ReasonSuspended, "No run starts while spec.suspend is true"}
	case last == nil:
		return verdict{metav1.ConditionTrue, retentionv1.ReasonReady, "Waiting for the first run"}
	}
	if problem, found := problemOf(last); found {
		return verdict{metav1.ConditionFalse, retentionv1.ReasonRulesNotApplicable, problem}
	}
	if v, found := unreadable(last); found {
		return v
	}
	switch last.Outcome {
	case retentionv1.OutcomeSucceeded, retentionv1.OutcomeSimulated:
		return verdict{metav1.ConditionTrue, retentionv1.ReasonRunSucceeded, last.Message}
	case retentionv1.OutcomeAwaitingApproval:
		return verdict{metav1.ConditionFalse, retentionv1.ReasonGuardrailExceeded, approvalMessage(last)}
	case retentionv1.OutcomeIncomplete:
		return verdict{metav1.ConditionFalse, retentionv1.ReasonRunIncomplete, last.Message}
	default:
		return verdict{metav1.ConditionFalse, retentionv1.ReasonRunFailed, fmt.Sprintf("%s: %s", last.Outcome, last.Message)}
	}
}

// approvalMessage tells a person what to write to approve what a guardrail stopped.
func approvalMessage(run *retentionv1.Run) string {
	for i := range run.Datastores {
		d := &run.Datastores[i]
		switch {
		case d.Outcome != retentionv1.OutcomeAwaitingApproval:
		case !approvable(d):
			return fmt.Sprintf("Datastore %s: %s. This plan cannot be approved any more; ask for a new run with the annotation %s",
				d.Name, d.Message, retentionv1.AnnotationRequestedAt)
		default:
			return fmt.Sprintf("Datastore %s: %s. To carry the plan out, annotate the policy with %s=%s",
				d.Name, d.Message, retentionv1.AnnotationApprovedPlan, d.PlanDigest)
		}
	}
	return run.Message
}

func awaitsApproval(policy *retentionv1.RetentionPolicy) bool {
	last := policy.Status.LastRun
	if last == nil || policy.Status.ActiveRun != nil {
		return false
	}
	return slices.ContainsFunc(last.Datastores, func(d retentionv1.RunDatastore) bool {
		return d.Outcome == retentionv1.OutcomeAwaitingApproval
	})
}
