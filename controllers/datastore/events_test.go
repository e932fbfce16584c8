// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/receipt"
)

// TestChanges tells one story and expects each event once, when it is news.
func TestChanges(t *testing.T) {
	ds := accounts()
	story := []struct {
		what string
		do   func()
		want []string
	}{
		{"created", func() { declare(ds) }, nil},
		{"first probe", func() { probeWith(ds, healthy()) }, []string{"Normal IdentityPinned", "Normal Ready"}},
		{"second probe", func() { probeWith(ds, healthy()) }, nil},
		{"a trigger appears", func() { probeWith(ds, healthy(receipt.Finding{Code: receipt.FindTrigger})) }, []string{"Warning CountsDoubtful"}},
		{"it stays", func() { probeWith(ds, healthy(receipt.Finding{Code: receipt.FindTrigger})) }, nil},
		{"the server goes away", func() { probeWith(ds, failed(receipt.Unreachable, "")) }, []string{"Warning Unreachable"}},
		{"and stays away", func() { probeWith(ds, failed(receipt.Unreachable, "")) }, nil},
		{"then the password is wrong", func() { probeWith(ds, failed(receipt.AuthenticationFails, "")) }, []string{"Warning AuthenticationFailed"}},
		{"another server", func() {
			r := healthy(receipt.Finding{Code: receipt.FindForeignKeyUnmapped})
			r.Identity = "server-b"
			probeWith(ds, r)
		}, []string{"Warning IdentityChanged", "Warning ForeignKeysNotMapped"}},
		{"accepted", func() {
			annotate(retentionv1.AnnotationAcceptedIdentity, "server-b")(ds)
			acceptIdentity(ds)
			settle(ds)
		}, []string{"Normal IdentityAccepted", "Normal Ready"}},
	}
	for _, s := range story {
		before := ds.DeepCopy()
		s.do()
		var got []string
		for _, e := range changes(before, ds) {
			got = append(got, e.kind+" "+e.reason)
			if e.message == "" || e.action == "" {
				t.Errorf("%s: event without words: %+v", s.what, e)
			}
		}
		if diff := cmp.Diff(s.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.what, diff)
		}
	}
}

func probeWith(ds *retentionv1.Datastore, r *receipt.Receipt) {
	conclude(ds, result{plan: planOf(), receipt: r}, "inputs", noon)
}
