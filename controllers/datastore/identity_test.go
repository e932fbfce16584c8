// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"testing"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/kstatus"
	"dataretention.dev/retention-operator/internal/receipt"
)

func TestIdentity(t *testing.T) {
	other := healthy()
	other.Identity = "server-b"
	ds := accounts()
	declare(ds)
	step := func(r *receipt.Receipt, want map[string]string, pinned string) {
		t.Helper()
		if r != nil {
			conclude(ds, result{plan: planOf(), receipt: r}, "inputs", noon)
		}
		got := brief(ds)
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s is %q, want %q", k, got[k], v)
			}
		}
		if ds.Status.Identity != pinned {
			t.Errorf("%q is pinned, want %q", ds.Status.Identity, pinned)
		}
		if err := kstatus.Check(ds); err != nil {
			t.Error(err)
		}
	}
	changed := map[string]string{"Ready": "False/IdentityChanged", "IdentityPinned": "False/IdentityChanged", "Stalled": "True/IdentityChanged", "Reconciling": ""}
	fine := map[string]string{"Ready": "True/Ready", "IdentityPinned": "True/IdentityPinned", "Stalled": "", "Reconciling": ""}

	step(healthy(), fine, "server-a")
	step(other, changed, "server-a")
	step(failed(receipt.Unreachable, ""), changed, "server-a") // what was seen is not forgotten
	for _, wrong := range []string{"", "server-a", "server-c", "server-b "} {
		annotate(retentionv1.AnnotationAcceptedIdentity, wrong)(ds)
		if acceptIdentity(ds) {
			t.Errorf("%q was taken for an acceptance of server-b", wrong)
		}
	}
	step(other, changed, "server-a")
	annotate(retentionv1.AnnotationAcceptedIdentity, "server-b")(ds)
	if !acceptIdentity(ds) {
		t.Error("the acceptance was not taken")
	}
	settle(ds)
	step(nil, fine, "server-b")
	step(healthy(), changed, "server-b") // the acceptance of b is none of a
	step(other, fine, "server-b")
}

func TestFirstIdentityIsPinnedByASuccessOnly(t *testing.T) {
	ds := accounts()
	declare(ds)
	half := failed(receipt.VersionNotSupported, "")
	half.Identity = "server-x"
	conclude(ds, result{plan: planOf(), receipt: half}, "inputs", noon)
	if ds.Status.Identity != "" || ds.Status.ObservedIdentity != "server-x" {
		t.Errorf("pinned %q, observed %q", ds.Status.Identity, ds.Status.ObservedIdentity)
	}
	if err := kstatus.Check(ds); err != nil {
		t.Error(err)
	}
}
