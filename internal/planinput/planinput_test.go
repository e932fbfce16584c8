// SPDX-License-Identifier: Apache-2.0

package planinput

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/plan"
)

func TestDatastore(t *testing.T) {
	d := &retentionv1.Datastore{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "accounts", UID: "u", Generation: 3},
		Spec: retentionv1.DatastoreSpec{PostgreSQL: &retentionv1.PostgreSQL{}, Datasets: []retentionv1.Dataset{
			{Name: "customer", DataClass: "master", TimestampField: "created_at",
				Identifiers: []retentionv1.Identifier{{Type: "email", Field: "email", Match: retentionv1.MatchIgnoreCase},
					{Type: "customer_id", Field: "referrer", Match: retentionv1.MatchExact, Leads: retentionv1.LeadsNever},
					{Type: "phone", Field: "phone", Match: retentionv1.MatchE164, Leads: retentionv1.LeadsAlways}},
				OnErasure: &retentionv1.OnErasure{Action: retentionv1.ErasureActionAnonymize, Anonymize: []retentionv1.Anonymization{
					{Field: "email", With: "HMAC", KeyRef: &retentionv1.SecretKeyReference{Name: "hmac", Key: "customers"}},
					{Field: "name", With: "Constant", Value: ptr.To("gone")}}}},
			{Name: "invoice", Path: "billing.invoice", References: []retentionv1.Reference{{Field: "customer", Dataset: "customer", Key: "id"}},
				OnErasure: &retentionv1.OnErasure{Action: retentionv1.ErasureActionRetain, LegalBasis: "tax law"}},
			{Name: "cart"},
		}},
		Status: retentionv1.DatastoreStatus{Identity: "7"},
	}
	want := plan.Datastore{Ref: plan.Ref{Namespace: "shop", Name: "accounts", UID: "u", Generation: 3}, Engine: "postgresql",
		Identity: "7", TimeZone: "UTC", Datasets: []plan.Dataset{
			{Name: "customer", Path: "customer", DataClass: "master", TimestampField: "created_at", Identifiers: []plan.Identifier{
				{Type: "email", Field: "email", Match: plan.MatchIgnoreCase}, {Type: "customer_id", Field: "referrer", Ends: true},
				{Type: "phone", Field: "phone", Match: plan.MatchE164}}},
			{Name: "invoice", Path: "billing.invoice", References: []plan.Reference{{Field: "customer", Dataset: "customer", Key: "id"}}},
			{Name: "cart", Path: "cart"},
		}, OnErasure: map[string]plan.OnErasure{
			"customer": {Action: plan.EraseAnonymize, Transforms: []plan.Transform{
				{Field: "email", With: plan.MethodHMAC, Key: "hmac/customers"}, {Field: "name", With: plan.MethodConstant, Value: "gone"}}},
			"invoice": {Action: plan.EraseRetain, LegalBasis: "tax law"},
		}}
	if diff := cmp.Diff(want, Datastore(d)); diff != "" {
		t.Errorf("datastore (-want +got):\n%s", diff)
	}
}

func TestHold(t *testing.T) {
	tests := map[string]struct {
		spec retentionv1.LegalHoldSpec
		want plan.HoldInput
	}{
		"everything": {retentionv1.LegalHoldSpec{}, plan.HoldInput{}},
		"a person": {retentionv1.LegalHoldSpec{DataClasses: []retentionv1.DataClass{"billing"}, Subject: &retentionv1.Subject{Sealed: "age"}},
			plan.HoldInput{DataClasses: []string{"billing"}, Subject: true}},
		"a condition": {retentionv1.LegalHoldSpec{Datasets: []retentionv1.DatasetName{"invoice"},
			Condition: &retentionv1.HoldCondition{Field: "number", Operator: "In", Values: []retentionv1.CaseText{"7", "8"}}},
			plan.HoldInput{Datasets: []string{"invoice"}, Condition: &plan.Condition{Field: "number", Operator: plan.OperatorIn, Values: []string{"7", "8"}}}},
		"a condition without values": {retentionv1.LegalHoldSpec{Datasets: []retentionv1.DatasetName{"invoice"},
			Condition: &retentionv1.HoldCondition{Field: "paid_at", Operator: "DoesNotExist"}},
			plan.HoldInput{Datasets: []string{"invoice"}, Condition: &plan.Condition{Field: "paid_at", Operator: plan.OperatorDoesNotExist}}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			tc.want.Name, tc.want.UID = "case", "u"
			h := &retentionv1.LegalHold{ObjectMeta: metav1.ObjectMeta{Name: "case", UID: "u"}, Spec: tc.spec}
			if diff := cmp.Diff(tc.want, Hold(h)); diff != "" {
				t.Errorf("hold (-want +got):\n%s", diff)
			}
		})
	}
}
