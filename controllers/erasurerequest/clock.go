// SPDX-License-Identifier: Apache-2.0

package erasurerequest

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/schedule"
)

// maxAhead is how far spec.receivedTime may lie ahead of our clock: clocks differ.
const maxAhead = 10 * time.Minute

// reckon reads what CEL cannot check, and reckons the time limits. The error names the field.
func (s *scope) reckon() error {
	spec, st := &s.request.Spec, s.st()
	zone, err := schedule.LoadLocation(spec.GetTimeZone())
	if err != nil {
		return err
	}
	s.zone = zone
	for field, period := range map[string]retentionv1.Period{"recheckFor": spec.RecheckFor, "recheckEvery": spec.RecheckEvery} {
		if period == "" {
			continue
		}
		if _, err := schedule.ParsePeriod(string(period)); err != nil {
			return fmt.Errorf("spec.%s: %w", field, err)
		}
	}
	received := s.request.GetReceivedTime()
	if received.After(s.now.Add(maxAhead)) {
		return fmt.Errorf("spec.receivedTime is %s, which is still to come", received.UTC().Format(time.RFC3339))
	}
	limits, err := schedule.Deadline(schedule.DeadlineInput{
		Regulation: schedule.Regulation(spec.GetRegulation()), Received: received.Time, Zone: zone, Holidays: spec.Holidays,
		Extended: st.Extension != nil,
	})
	if err != nil {
		return err
	}
	if st.Extension == nil && s.extend(limits.Due) {
		limits.Due = limits.ExtendedDue
	}
	st.Regulation, st.ReceivedTime = spec.GetRegulation(), &received
	st.DueTime, st.ConfirmByTime = ptr.To(metav1.NewTime(limits.Due)), nil
	if t := limits.ConfirmBy; t != nil {
		st.ConfirmByTime = ptr.To(metav1.NewTime(*t))
	}
	if st.State == "" {
		st.State = retentionv1.ErasureReceived
	}
	return nil
}

// extend puts an extension of the time limit on record if a reason was given in time.
func (s *scope) extend(due time.Time) bool {
	reason := retentionv1.CaseText(strings.TrimSpace(s.request.Annotations[retentionv1.AnnotationExtensionReason]))
	if s.now.After(due) || reason.Validate() != nil {
		return false
	}
	s.st().Extension = &retentionv1.ErasureExtension{
		Reason: reason, Time: metav1.NewTime(s.now), OriginalDueTime: metav1.NewTime(due),
	}
	return true
}

// Reasons of Overdue ahead of the time.
const (
	reasonDueWithinWeek = "DueWithinWeek"
	reasonDueWithinDay  = "DueWithinDay"
)

// alerts are how long ahead of the end of the time limit a person is told.
var alerts = []struct {
	ahead  time.Duration
	reason string
}{
	{7 * 24 * time.Hour, reasonDueWithinWeek},
	{24 * time.Hour, reasonDueWithinDay},
	{0, retentionv1.ReasonTimeLimitPassed},
}

// overdue judges the time limit, and asks for a pass when the judgement will be another one.
func (s *scope) overdue() verdict {
	st := s.st()
	due := st.DueTime.Time
	text := due.UTC().Format(time.RFC3339)
	if t := st.AnsweredTime; t != nil {
		if t.After(due) {
			return verdict{metav1.ConditionTrue, retentionv1.ReasonTimeLimitPassed, fmt.Sprintf("Answered at %s, after the time limit of %s", t.UTC().Format(time.RFC3339), text)}
		}
		return verdict{metav1.ConditionFalse, retentionv1.ReasonWithinTimeLimit, "Answered within the time limit of " + text}
	}
	if st.State == retentionv1.ErasureDenied {
		return verdict{metav1.ConditionFalse, retentionv1.ReasonWithinTimeLimit, "Denied; the time limit was " + text}
	}
	reason := retentionv1.ReasonWithinTimeLimit
	for _, a := range alerts {
		if at := due.Add(-a.ahead); s.now.Before(at) {
			s.again(at.Sub(s.now) + time.Second)
			break
		}
		reason = a.reason
	}
	if reason == retentionv1.ReasonTimeLimitPassed {
		return verdict{metav1.ConditionTrue, reason, "The answer was due at " + text}
	}
	return verdict{metav1.ConditionFalse, reason, "The answer is due at " + text}
}
