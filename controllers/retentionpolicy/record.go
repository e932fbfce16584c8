// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/status"
	"dataretention.dev/retention-operator/internal/receipt"
)

// record writes what all attempts of a Job that has ended have done into its entry.
func record(d *retentionv1.RunDatastore, total *receipt.Total) {
	d.State = retentionv1.RunFinished
	d.Outcome, d.Reason = retentionv1.Outcome(total.Outcome), string(total.Reason)
	d.Message = status.Truncate(messageOf(d, total), 512)
	d.Attempts = int32(total.Attempts) // bounded by the Job's backoffLimit
	d.ServerVersion = total.ServerVersion
	if total.ServerVersion != "" {
		d.ClockSkewMilliseconds = ptr.To(total.SkewMilliseconds)
	}
	if !total.StartTime.IsZero() {
		d.StartTime = ptr.To(metav1.NewTime(total.StartTime))
	}
	if !total.EndTime.IsZero() {
		d.CompletionTime = ptr.To(metav1.NewTime(total.EndTime))
	}
	for i := range min(len(d.Datasets), len(total.Steps)) { // the same, unless somebody has overwritten the status
		recordStep(d, &d.Datasets[i], &total.Steps[i])
	}
}

// recordStep writes a step's figures. A number that nobody has counted is absent, not zero.
func recordStep(d *retentionv1.RunDatastore, ds *retentionv1.RunDataset, s *receipt.StepTotal) {
	ds.Outcome, ds.Reason = string(s.Outcome), string(s.Reason)
	ds.Counting = retentionv1.CountingExact
	if !s.Exact {
		ds.Counting = retentionv1.CountingAtLeast
	}
	isEvent := ds.NotStarted != nil // set by skeleton
	ds.NotStarted = nil
	if s.Counted {
		ds.Records, ds.Matched, ds.Retained, ds.Invalid = ptr.To(s.Records), ptr.To(s.Matched), ptr.To(s.Retained), ptr.To(s.Invalid)
		if s.Held > 0 || len(d.Holds) > 0 {
			ds.Held = ptr.To(s.Held)
		}
		if isEvent {
			ds.NotStarted = ptr.To(s.Undated)
		} else {
			ds.Undated = ptr.To(s.Undated)
		}
	}
	if ds.Action == retentionv1.ActionAnonymize {
		ds.Anonymized = ptr.To(s.Anonymized)
	} else {
		ds.Deleted = ptr.To(s.Deleted)
	}
	ds.DroppedPartitions = s.Partitions
	if s.Verified {
		ds.Remaining, ds.Blocked = ptr.To(s.Remaining), ptr.To(s.Blocked)
	}
	const most = 16
	ds.Constraints = s.Constraints[:min(len(s.Constraints), most)]
	if s.OldestRemaining != nil {
		ds.OldestRemainingTime = ptr.To(metav1.NewTime(*s.OldestRemaining))
	}
}

// messageOf says in a sentence how it ended, if the receipts do not.
func messageOf(d *retentionv1.RunDatastore, total *receipt.Total) string {
	switch {
	case total.Attempts == 0 && d.Reason == string(receipt.NotStarted):
		return "No purge Pod ever started; see the Job's events"
	case total.Message != "":
		return total.Message
	case total.Unreadable > 0:
		return fmt.Sprintf("%d of %d Pods ended without a readable receipt", total.Unreadable, total.Attempts)
	}
	for i := range min(len(d.Datasets), len(total.Steps)) {
		s := &total.Steps[i]
		switch s.Outcome {
		case receipt.StepBlocked:
			return fmt.Sprintf("%d due records of %s are kept by %v", s.Blocked, d.Datasets[i].Name, s.Constraints)
		case receipt.StepFailed, receipt.StepNotRun:
			return fmt.Sprintf("%s: %s", d.Datasets[i].Name, s.Reason)
		}
	}
	return ""
}
