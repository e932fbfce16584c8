// SPDX-License-Identifier: Apache-2.0

// Package kstatus checks that a status can be understood by whoever waits for objects by the rules of kstatus: kubectl,
// Flux, Argo CD. Every test of a controller ends with Check.
package kstatus

import (
	"errors"
	"fmt"
	"regexp"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/status"
)

var reasonPattern = regexp.MustCompile(`^[A-Z][A-Za-z0-9]{0,63}$`)

// Check returns every rule that the object's status breaks, joined; nil if none.
func Check(obj status.Object) error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	conditions := obj.GetConditions()
	generation, observed := obj.GetGeneration(), obj.GetObservedGeneration()
	if observed > generation {
		fail("status.observedGeneration is %d, which is ahead of generation %d", observed, generation)
	}
	for _, c := range conditions {
		checkCondition(c, generation, fail)
	}
	ready := meta.FindStatusCondition(conditions, retentionv1.ConditionReady)
	reconciling := meta.FindStatusCondition(conditions, retentionv1.ConditionReconciling)
	stalled := meta.FindStatusCondition(conditions, retentionv1.ConditionStalled)
	for _, abnormal := range []*metav1.Condition{reconciling, stalled} {
		if abnormal == nil {
			continue
		}
		if abnormal.Status != metav1.ConditionTrue {
			fail("%s is %s; it may stand there only while it is True", abnormal.Type, abnormal.Status)
		}
		if abnormal.ObservedGeneration != generation {
			fail("%s is about generation %d, not %d", abnormal.Type, abnormal.ObservedGeneration, generation)
		}
	}
	if reconciling != nil && stalled != nil {
		fail("Reconciling and Stalled stand there together")
	}
	if ready == nil {
		fail("Ready is absent")
		return errors.Join(errs...)
	}
	switch {
	case ready.Status == metav1.ConditionTrue && stalled != nil:
		fail("Ready is True although Stalled is")
	case ready.Status == metav1.ConditionUnknown && reconciling == nil:
		fail("Ready is Unknown although nothing is going on that would make it known")
	case ready.Status == metav1.ConditionTrue && reconciling == nil && (observed != generation || ready.ObservedGeneration != generation):
		fail("Ready is True and at rest, but about generation %d (status: %d), not %d", ready.ObservedGeneration, observed, generation)
	}
	if observed != generation && reconciling == nil {
		fail("generation %d is not observed (status: %d) although nothing is going on", generation, observed)
	}
	return errors.Join(errs...)
}

func checkCondition(c metav1.Condition, generation int64, fail func(string, ...any)) {
	if c.ObservedGeneration > generation || c.ObservedGeneration < 1 {
		fail("%s has observedGeneration %d at generation %d", c.Type, c.ObservedGeneration, generation)
	}
	if !reasonPattern.MatchString(c.Reason) {
		fail("%s has the reason %q, which is not one CamelCase word", c.Type, c.Reason)
	}
	if c.Message == "" || len(c.Message) > status.MaxMessage {
		fail("%s has a message of %d bytes, not of 1 to %d", c.Type, len(c.Message), status.MaxMessage)
	}
	if c.LastTransitionTime.IsZero() {
		fail("%s has no lastTransitionTime", c.Type)
	}
}
