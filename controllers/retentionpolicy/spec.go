// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"errors"
	"fmt"
	"time"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/schedule"
)

// timing is what a policy's spec says about time, parsed.
type timing struct {
	zone     *time.Location
	schedule schedule.Schedule
	deadline *time.Duration
}

// parseTiming reads what CEL cannot know: whether the zone exists and the schedule ever fires. The error names the field.
func parseTiming(spec *retentionv1.RetentionPolicySpec) (timing, error) {
	zone, err := schedule.LoadLocation(spec.GetTimeZone())
	if err != nil {
		return timing{}, err
	}
	cron, err := schedule.Parse(spec.Schedule, zone)
	if err != nil {
		return timing{}, err
	}
	t := timing{zone: zone, schedule: cron}
	if s := spec.StartingDeadlineSeconds; s != nil {
		d := time.Duration(*s) * time.Second
		t.deadline = &d
	}
	for i, r := range spec.Rules {
		if err := checkPeriod(r.DeleteAfter); err != nil {
			return timing{}, fmt.Errorf("spec.rules[%d].deleteAfter: %w", i, err)
		}
		if err := checkPeriod(r.RetainAtLeast); err != nil {
			return timing{}, fmt.Errorf("spec.rules[%d].retainAtLeast: %w", i, err)
		}
	}
	return t, nil
}

func checkPeriod(p retentionv1.Period) error {
	if p == "" {
		return nil
	}
	_, err := schedule.ParsePeriod(string(p))
	return err
}

// invalidSpec is an error that only a change of the spec can cure.
type invalidSpec struct{ error }

func (e invalidSpec) Unwrap() error { return e.error }

func isInvalid(err error) bool {
	var invalid invalidSpec
	return errors.As(err, &invalid)
}
