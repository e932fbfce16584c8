// SPDX-License-Identifier: Apache-2.0

package legalhold

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/status"
)

// maxDatastores is how many Datastores a status lists. All are judged.
const maxDatastores = 128

// judge completes the status from what the pass has found, or from the error that ended it.
func judge(s *scope, err error) {
	h := s.hold
	h.Status.ObservedGeneration = h.Generation
	if err != nil {
		// A condition never shows a raw error. What was enforced stays so: it stands in the Datastores.
		message := "The last pass failed and is tried again; the operator's log has the error"
		status.Set(h, retentionv1.ConditionReady, metav1.ConditionFalse, retentionv1.ReasonProgressingWithRetry, "%s", message)
		status.Reconciling(h, retentionv1.ReasonProgressingWithRetry, message)
		s.declare()
		return
	}
	s.summarize()
	if h.IsReleased() {
		message := fmt.Sprintf("Released: %s. What the hold kept goes when its time has come", h.Spec.Release.Reason)
		status.Set(h, retentionv1.ConditionEnforced, metav1.ConditionFalse, retentionv1.ReasonReleased, "%s", message)
		status.Set(h, retentionv1.ConditionReleased, metav1.ConditionTrue, retentionv1.ReasonReleased, "%s", message)
		status.Set(h, retentionv1.ConditionReady, metav1.ConditionTrue, retentionv1.ReasonReleased, "%s", message)
		status.Done(h)
		return
	}
	v := s.verdict()
	h.Status.EnforcedTime = since(h.Status.EnforcedTime, v, s)
	status.Set(h, retentionv1.ConditionEnforced, v.status, v.reason, "%s", v.message)
	status.Set(h, retentionv1.ConditionReady, v.status, v.reason, "%s", v.message)
	s.declare()
	if v.status == metav1.ConditionTrue {
		status.Done(h)
		return
	}
	status.Reconciling(h, v.reason, v.message)
}

// declare sets the conditions that no pass has set yet.
func (s *scope) declare() {
	message := "The hold has no end; set spec.release to end it"
	switch {
	case s.hold.IsReleased():
		message = "The release is being carried out"
	case !s.hold.DeletionTimestamp.IsZero():
		message = "The hold is to be deleted, which has to wait until spec.release says why"
	}
	status.Set(s.hold, retentionv1.ConditionReleased, metav1.ConditionFalse, reasonInForce, "%s", message)
	if !slices.ContainsFunc(s.hold.Status.Conditions, func(c metav1.Condition) bool { return c.Type == retentionv1.ConditionEnforced }) {
		status.Set(s.hold, retentionv1.ConditionEnforced, metav1.ConditionFalse, retentionv1.ReasonRegistering, "The hold is being written into the Datastores")
	}
}

// reasonInForce says that a hold has not been released.
const reasonInForce = "InForce"

func since(was *metav1.Time, v verdict, s *scope) *metav1.Time {
	switch {
	case v.status != metav1.ConditionTrue:
		return nil
	case was != nil:
		return was
	}
	return ptr.To(metav1.NewTime(s.now))
}

// summarize writes the Datastores and the sums into the status.
func (s *scope) summarize() {
	st := &s.hold.Status
	selected := int32(0)
	st.Records = nil
	for i := range s.entries {
		if s.entries[i].UID != "" {
			selected++
		}
		if n := s.entries[i].Records; n != nil {
			st.Records = ptr.To(ptr.Deref(st.Records, 0) + *n)
		}
	}
	st.SelectedDatastores = ptr.To(selected)
	st.Datastores = slices.Clone(s.entries)
	if len(st.Datastores) > maxDatastores { // what is enforced can be left out first
		slices.SortStableFunc(st.Datastores, func(a, b retentionv1.HoldDatastore) int {
			return cmp.Compare(rank(&a), rank(&b))
		})
		st.Datastores = st.Datastores[:maxDatastores]
	}
}

func rank(e *retentionv1.HoldDatastore) int {
	if e.EnforcedTime == nil {
		return 0
	}
	return 1
}

// verdict is a condition's status, reason and message.
type verdict struct {
	status  metav1.ConditionStatus
	reason  string
	message string
}

func no(reason, format string, args ...any) verdict {
	return verdict{metav1.ConditionFalse, reason, fmt.Sprintf(format, args...)}
}

// verdict says whether the hold is enforced everywhere, and why not.
func (s *scope) verdict() verdict {
	covered, registered := 0, 0
	for i := range s.entries {
		e := &s.entries[i]
		if len(e.Datasets) > 0 {
			covered++
		}
		if e.RegisteredTime != nil {
			registered++
		}
	}
	first := func(which func(e *retentionv1.HoldDatastore) bool) *retentionv1.HoldDatastore {
		if i := slices.IndexFunc(s.entries, func(e retentionv1.HoldDatastore) bool { return which(&e) }); i >= 0 {
			return &s.entries[i]
		}
		return nil
	}
	if e := first(func(e *retentionv1.HoldDatastore) bool { return e.Reason == retentionv1.ReasonHoldUnreadable }); e != nil {
		return no(e.Reason, "Datastore %s: %s. Nothing is deleted from what the hold covers there", e.Name, e.Message)
	}
	if e := first(func(e *retentionv1.HoldDatastore) bool { return e.WaitingFor != "" }); e != nil {
		return no(retentionv1.ReasonWaitingForRuns, "Datastore %s: run %s began before the hold and has to stop first, at the end of a batch", e.Name, e.WaitingFor)
	}
	if e := first(func(e *retentionv1.HoldDatastore) bool { return !s.enforced(e) }); e != nil {
		return no(retentionv1.ReasonRegistering, "%d of %d Datastores have the hold on record; %s: %s",
			registered, len(s.entries), e.Name, cmp.Or(e.Message, "the records that it keeps are being counted"))
	}
	switch {
	case len(s.entries) == 0:
		return no(retentionv1.ReasonMatchesNothing, "spec.datastoreSelector matches no Datastore of this namespace")
	case covered == 0:
		return no(retentionv1.ReasonMatchesNothing, "None of the %d Datastores has a dataset that spec.datasets or spec.dataClasses names", len(s.entries))
	}
	return verdict{metav1.ConditionTrue, retentionv1.ReasonEnforced, s.keeps(covered)}
}

// keeps says what an enforced hold keeps, and which of its names match nothing.
func (s *scope) keeps(covered int) string {
	what := "whole datasets"
	if records := s.hold.Status.Records; records != nil {
		what = fmt.Sprintf("%d records", *records)
		if *records == 0 {
			what = matchesNoRecord
		}
	}
	message := fmt.Sprintf("Nothing that the hold keeps is deleted or changed from now on: %s, in %d Datastores", what, covered)
	if missing := s.missing(); len(missing) > 0 {
		message += "; no Datastore has " + strings.Join(missing, ", ")
	}
	return message
}

const matchesNoRecord = "0 records match it"

// missing are the names of datasets that no Datastore has. A class may well be empty.
func (s *scope) missing() []string {
	var out []string
	for _, name := range s.hold.Spec.Datasets {
		if !slices.ContainsFunc(s.entries, func(e retentionv1.HoldDatastore) bool { return slices.Contains(e.Datasets, name) }) {
			out = append(out, string(name))
		}
	}
	return out
}
