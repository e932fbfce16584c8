// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/status"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/receipt"
)

const (
	maxFindings    = 32  // of one dataset, in the status
	maxFindingText = 256 // of one of them
)

// wording says each finding in words; %s is the object.
var wording = map[receipt.FindingCode]string{
	receipt.FindTableMissing:        "there is no table %s, or its schema may not be used",
	receipt.FindNotATable:           "%s is not a table",
	receipt.FindFieldMissing:        "there is no field %s",
	receipt.FindTypeNotSupported:    "the type of %s is not supported",
	receipt.FindKeyNotUnique:        "the key %s is not unique",
	receipt.FindSelectNotGranted:    "SELECT on %s is not granted",
	receipt.FindDeleteNotGranted:    "DELETE on %s is not granted",
	receipt.FindUpdateNotGranted:    "UPDATE on %s is not granted",
	receipt.FindRowsHidden:          "row-level security (%s) hides records from the user",
	receipt.FindForeignKeyUnmapped:  "the foreign key %s is not in the data map",
	receipt.FindForeignKeyUnindexed: "the foreign key %s has no index, so that each delete reads the whole table",
	receipt.FindCascade:             "the foreign key %s deletes or changes further records",
	receipt.FindSoftDelete:          "%s looks like a mark of soft deletion",
	receipt.FindTrigger:             "the trigger %s acts on changes",
	receipt.FindRule:                "the rule %s rewrites statements",
	receipt.FindInheritance:         "%s takes part in table inheritance",
}

// findings are what a probe found, by what they are about.
type findings struct {
	plan     *plan.Plan
	all      []receipt.Finding
	unusable []receipt.Finding
	unmapped []receipt.Finding
	doubtful []receipt.Finding
	// omitted is how many found no room in the receipt. Those that make a dataset unusable are the last to go.
	omitted int
}

func sortFindings(p *plan.Plan, probe *receipt.Probe) findings {
	f := findings{plan: p, all: probe.Findings, omitted: probe.Omitted}
	for _, one := range probe.Findings {
		switch {
		case one.Code.Unusable():
			f.unusable = append(f.unusable, one)
		case one.Code == receipt.FindForeignKeyUnmapped:
			f.unmapped = append(f.unmapped, one)
		default:
			f.doubtful = append(f.doubtful, one)
		}
	}
	return f
}

// schema is False if something the data map or a policy needs is not there.
func (f findings) schema() verdict {
	switch {
	case len(f.unusable) > 0:
		return verdict{metav1.ConditionFalse, string(f.unusable[0].Code), f.list(f.unusable)}
	case f.omitted > 0 && len(f.all) == 0:
		return f.unknown()
	}
	return verdict{metav1.ConditionTrue, retentionv1.ReasonSchemaMatches, "Every table, field and right is there"}
}

// references is False if a foreign key of the database is not in the data map.
func (f findings) references() verdict {
	switch {
	case len(f.unmapped) > 0:
		return verdict{metav1.ConditionFalse, retentionv1.ReasonForeignKeysNotMapped, f.list(f.unmapped)}
	case f.omitted > 0:
		return f.unknown()
	}
	return verdict{metav1.ConditionTrue, retentionv1.ReasonReferencesMapped, "The data map knows every foreign key"}
}

// counts is False if something may make numbers of deleted records say less, or more, than what happens.
func (f findings) counts() verdict {
	switch {
	case len(f.doubtful) > 0:
		return verdict{metav1.ConditionFalse, retentionv1.ReasonCountsDoubtful, f.list(f.doubtful)}
	case f.omitted > 0:
		return f.unknown()
	}
	return verdict{metav1.ConditionTrue, retentionv1.ReasonCountsReliable, "Nothing was found that makes counts doubtful"}
}

// unknown is the verdict where the findings in question may be among those that found no room.
func (f findings) unknown() verdict {
	return verdict{metav1.ConditionUnknown, retentionv1.ReasonProbeFailed,
		fmt.Sprintf("The receipt had no room for %d findings; solve the others first", f.omitted)}
}

// list says findings in words, in their order, within the length of a message. It always says how many there are.
func (f findings) list(some []receipt.Finding) string {
	const room = status.MaxMessage - 64
	var b strings.Builder
	for i, one := range some {
		text := f.sentence(one)
		if i > 0 {
			text = "; " + text
		}
		if b.Len()+len(text) > room {
			fmt.Fprintf(&b, "; and %d more", len(some)-i+f.omitted)
			return b.String()
		}
		b.WriteString(text)
	}
	if f.omitted > 0 {
		fmt.Fprintf(&b, "; and up to %d more", f.omitted)
	}
	return b.String()
}

func (f findings) sentence(one receipt.Finding) string {
	words, known := wording[one.Code]
	if !known { // of a newer data plane
		words = string(one.Code) + " %s"
	}
	text := fmt.Sprintf(words, one.Object)
	if one.Dataset >= 0 && one.Dataset < len(f.plan.Datasets) {
		return fmt.Sprintf("dataset %s: %s", f.plan.Datasets[one.Dataset].Name, text)
	}
	return text
}

// of returns the findings of one dataset, each as `Code` or `Code: object`.
func (f findings) of(dataset int) []string {
	var out []string
	for _, one := range f.all {
		if one.Dataset != dataset {
			continue
		}
		text := string(one.Code)
		if one.Object != "" {
			text += ": " + one.Object
		}
		out = append(out, status.Truncate(text, maxFindingText))
	}
	if n := len(out); n > maxFindings {
		out = append(out[:maxFindings-1], fmt.Sprintf("More: %d", n-maxFindings+1))
	}
	return out
}
