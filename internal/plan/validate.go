// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"

	"dataretention.dev/retention-operator/internal/schedule"
)

// Problem is something in a policy's specification that a person has to change.
type Problem struct {
	// Field is its path, such as spec.rules[2].deleteAfter.
	Field   string
	Message string
	// Contradiction is true when the policy can be carried out nevertheless: retainAtLeast wins.
	Contradiction bool
}

func (p Problem) String() string { return p.Field + ": " + p.Message }

// ValidatePolicy finds what the API server's own validation cannot know, in the order of the specification. It looks at
// the policy alone, not at a datastore.
func ValidatePolicy(p Policy) []Problem {
	var out []Problem
	if p.Zone == nil {
		out = append(out, Problem{Field: "spec.timeZone",
			Message: "is unknown: write an IANA name, for example Asia/Taipei or UTC"})
	}
	for i, r := range p.Rules {
		at := fmt.Sprintf("spec.rules[%d].", i)
		deletion, bad := validPeriod(at+"deleteAfter", r.DeleteAfter)
		out = append(out, bad...)
		retention, bad := validPeriod(at+"retainAtLeast", r.RetainAtLeast)
		out = append(out, bad...)
		if !deletion.IsZero() && retention.Approx() > deletion.Approx() {
			out = append(out, Problem{Field: at + "retainAtLeast", Contradiction: true, Message: fmt.Sprintf(
				"%s is longer than deleteAfter %s, so that nothing can be deleted in time; records are kept until retainAtLeast is over",
				retention, deletion)})
		}
		if why := startingFromFault(r.StartingFrom); why != "" {
			out = append(out, Problem{Field: at + "startingFrom", Message: why})
		}
	}
	return out
}

// validPeriod returns the zero Period for an absent one and for one that cannot be read.
func validPeriod(field, text string) (schedule.Period, []Problem) {
	if text == "" {
		return schedule.Period{}, nil
	}
	period, err := schedule.ParsePeriod(text)
	if err != nil {
		return schedule.Period{}, []Problem{{Field: field, Message: err.Error()}}
	}
	return period, nil
}
