// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/receipt"
)

func TestFirstProbe(t *testing.T) {
	w := newWorld(t)
	w.pass()
	w.expect(map[string]string{
		"Ready": "Unknown/NotProbed", "Reachable": "Unknown/NotProbed", "SchemaMatches": "Unknown/NotProbed", "IdentityPinned": "Unknown/NotProbed",
		"ReferencesMapped": "Unknown/NotProbed", "CountsReliable": "Unknown/NotProbed", "Reconciling": "True/Progressing",
	})
	if got := w.datastore().Status.ObservedGeneration; got != -1 {
		t.Errorf("generation %d is observed before any probe has ended", got)
	}
	job := w.job()
	if ds := w.datastore(); ds.Status.ActiveProbe != job.Name || !metav1.IsControlledBy(job, ds) || ptr.Deref(job.Spec.Suspend, false) {
		t.Errorf("the Job %s is not what the status names (%s), not the Datastore's, or suspended", job.Name, ds.Status.ActiveProbe)
	}
	p := w.planOf(job)
	if p.Kind != plan.Probe || p.Run != job.Name || p.Identity != "" || len(p.Datasets) != 2 || p.Datasets[1].References[0].Key != "id" {
		t.Errorf("the plan is %+v", p)
	}

	uid := job.UID
	w.pass()
	if again := w.job(); again.UID != uid {
		t.Error("another pass made another Job")
	}

	w.answer(job, healthy())
	w.pass()
	w.expect(map[string]string{
		"Ready": "True/Ready", "Reachable": "True/Reachable", "SchemaMatches": "True/SchemaMatches", "IdentityPinned": "True/IdentityPinned",
		"ReferencesMapped": "True/ReferencesMapped", "CountsReliable": "True/CountsReliable", "Reconciling": "", "Stalled": "",
	})
	w.expectNothingLeft()
	ds := w.datastore()
	if ds.Status.ActiveProbe != "" || ds.Status.ObservedGeneration != ds.Generation || ptr.Deref(ds.Status.Records, 0) != 40 {
		t.Errorf("the status is %+v", ds.Status)
	}
	if diff := cmp.Diff([]string{"Normal IdentityPinned", "Normal Ready"}, w.told()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if result := w.pass(); result.RequeueAfter != 24*time.Hour {
		t.Errorf("the next pass is in %s", result.RequeueAfter)
	}
	if after := w.datastore(); after.ResourceVersion != ds.ResourceVersion {
		t.Error("a pass with nothing to say has written the status")
	}
	if len(w.jobs()) != 0 || len(w.told()) != 0 {
		t.Error("a Datastore at rest was probed, or told of")
	}
}

// TestEveryReason has each way that a probe can end written to a real API server, and tried again after a minute.
func TestEveryReason(t *testing.T) {
	w := newWorld(t)
	find := func(code receipt.FindingCode) *receipt.Receipt {
		return healthy(receipt.Finding{Code: code, Dataset: 0, Object: "public.customer"})
	}
	for _, tc := range []struct {
		receipt *receipt.Receipt
		want    map[string]string
	}{
		{failed(receipt.SecretIncomplete, ""), map[string]string{"Ready": "False/SecretIncomplete", "Reachable": "False/SecretIncomplete", "SchemaMatches": "Unknown/SecretIncomplete"}},
		{failed(receipt.AuthenticationFails, ""), map[string]string{"Ready": "False/AuthenticationFailed"}},
		{failed(receipt.Unreachable, strings.Repeat("x", 256)), map[string]string{"Ready": "False/Unreachable"}},
		{failed(receipt.DatabaseNotFound, ""), map[string]string{"Ready": "False/DatabaseNotFound"}},
		{failed(receipt.VersionNotSupported, ""), map[string]string{"Ready": "False/VersionNotSupported"}},
		{failed(receipt.InternalError, ""), map[string]string{"Ready": "False/InternalError"}},
		{failed(receipt.Interrupted, ""), map[string]string{"Ready": "False/Interrupted", "IdentityPinned": "Unknown/NotProbed"}},
		{skewedBy(90_000), map[string]string{"Ready": "False/ClockSkewed"}},
		{find(receipt.FindTableMissing), map[string]string{"Ready": "False/TableNotFound", "Reachable": "True/Reachable", "IdentityPinned": "True/IdentityPinned", "SchemaMatches": "False/TableNotFound"}},
		{find(receipt.FindFieldMissing), map[string]string{"Ready": "False/FieldNotFound"}},
		{find(receipt.FindDeleteNotGranted), map[string]string{"Ready": "False/DeleteNotGranted"}},
		{find(receipt.FindRowsHidden), map[string]string{"Ready": "False/RowLevelSecurity"}},
		{find(receipt.FindForeignKeyUnmapped), map[string]string{"Ready": "True/Ready", "ReferencesMapped": "False/ForeignKeysNotMapped", "Reconciling": ""}},
	} {
		w.probe(tc.receipt)
		w.expect(tc.want)
		if tc.want["Ready"] == "True/Ready" {
			continue
		}
		w.expect(map[string]string{"Reconciling": "True/ProgressingWithRetry"})
		result := w.pass()
		if len(w.jobs()) != 0 {
			t.Fatalf("%s: tried again at once", tc.want["Ready"])
		}
		if result.RequeueAfter < time.Minute || result.RequeueAfter > time.Hour {
			t.Fatalf("%s: tried again after %s", tc.want["Ready"], result.RequeueAfter)
		}
		w.clock.SetTime(w.clock.Now().Add(result.RequeueAfter))
	}
}

func TestPausesDoubleUpToAnHour(t *testing.T) {
	w := newWorld(t)
	var pauses []time.Duration
	for range 9 {
		w.probe(failed(receipt.AuthenticationFails, ""))
		pause := w.pass().RequeueAfter
		pauses = append(pauses, pause)
		w.clock.SetTime(w.clock.Now().Add(pause))
	}
	m := time.Minute
	if diff := cmp.Diff([]time.Duration{m, m, 2 * m, 4 * m, 8 * m, 16 * m, 32 * m, time.Hour, time.Hour}, pauses); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestProbesDailyAndOnRequest(t *testing.T) {
	w := newWorld(t)
	w.probe(healthy())

	w.clock.SetTime(w.clock.Now().Add(24 * time.Hour))
	w.pass()
	w.expect(map[string]string{"Ready": "True/Ready", "Reconciling": ""}) // the routine disturbs nobody
	w.answer(w.job(), healthy())
	w.pass()
	if got := w.datastore().Status.LastProbeTime; !got.Time.Equal(w.clock.Now()) {
		t.Errorf("the last probe was at %s", got)
	}

	w.edit(annotate(retentionv1.AnnotationRequestedAt, strings.Repeat("2026-11-24T12:00:00Z", 20)))
	w.pass()
	w.expect(map[string]string{"Ready": "True/Ready", "Reconciling": "True/Progressing"})
	w.answer(w.job(), healthy())
	w.pass()
	w.pass()
	w.expectNothingLeft() // one request is one probe

	w.edit(func(ds *retentionv1.Datastore) { ds.Annotations = nil })
	w.pass()
	w.expectNothingLeft() // to take a request back is none
}

func TestPolicyDecidesWhatIsLookedFor(t *testing.T) {
	w := newWorld(t)
	w.probe(healthy())
	policy := &retentionv1.RetentionPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "closed"},
		Spec: retentionv1.RetentionPolicySpec{
			DatastoreSelector: retentionv1.DatastoreSelector{MatchLabels: map[string]retentionv1.LabelValue{"personal": "true"}},
			Schedule:          "0 3 * * *",
			Rules:             []retentionv1.Rule{{Name: "closed", Datasets: []retentionv1.DatasetName{"customer"}, DeleteAfter: "P30D", StartingFrom: "contract_ended_at"}},
		},
	}
	w.must(w.client.Create(t.Context(), policy))
	w.pass()
	p := w.planOf(w.job())
	if diff := cmp.Diff([]string{"contract_ended_at"}, p.Datasets[0].Fields); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]plan.Action{plan.Delete}, p.Datasets[0].Rights); diff != "" {
		t.Errorf("rights (-want +got):\n%s", diff)
	}
	w.answer(w.job(), healthy(receipt.Finding{Code: receipt.FindFieldMissing, Dataset: 0, Object: "contract_ended_at"}))
	w.pass()
	w.expect(map[string]string{"Ready": "False/FieldNotFound"})

	policy.Spec.Schedule = "0 4 * * *"
	w.must(w.client.Update(t.Context(), policy))
	w.pass()
	w.expectNothingLeft() // when it runs is nothing to look for

	w.must(w.client.Delete(t.Context(), policy))
	w.probe(healthy())
	w.expect(map[string]string{"Ready": "True/Ready"})
}

func TestAnotherServer(t *testing.T) {
	w := newWorld(t)
	w.probe(healthy())
	other := healthy()
	other.Identity = "server-b"
	w.edit(annotate(retentionv1.AnnotationRequestedAt, "1"))
	w.probe(other)
	w.expect(map[string]string{"Ready": "False/IdentityChanged", "IdentityPinned": "False/IdentityChanged", "Stalled": "True/IdentityChanged", "Reconciling": ""})
	ds := w.datastore()
	if ds.Status.Identity != "server-a" || ds.Status.ObservedIdentity != "server-b" {
		t.Errorf("pinned %q, observed %q", ds.Status.Identity, ds.Status.ObservedIdentity)
	}
	w.edit(annotate(retentionv1.AnnotationAcceptedIdentity, "server-c"))
	w.pass()
	w.expect(map[string]string{"Ready": "False/IdentityChanged"})
	w.told()

	w.edit(annotate(retentionv1.AnnotationAcceptedIdentity, "server-b"))
	w.pass()
	w.expect(map[string]string{"Ready": "True/Ready", "IdentityPinned": "True/IdentityPinned", "Stalled": ""})
	if got := w.datastore().Status.Identity; got != "server-b" {
		t.Errorf("%q is pinned", got)
	}
	if diff := cmp.Diff([]string{"Normal IdentityAccepted", "Normal Ready"}, w.told()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

// TestInvalidSpecStalls: the CRD refuses a zone that the API server does not know; this manager may know fewer.
func TestInvalidSpecStalls(t *testing.T) {
	w := newWorld(t)
	direct := w.client
	w.client = &reading{Client: direct, change: func(ds *retentionv1.Datastore) { ds.Spec.TimeZone = "Mars/Olympus" }}
	w.pass()
	w.expect(map[string]string{"Ready": "False/InvalidSpec", "Stalled": "True/InvalidSpec", "Reachable": "Unknown/NotProbed"})
	if len(w.jobs()) != 0 {
		t.Error("it was probed nevertheless")
	}
	if diff := cmp.Diff([]string{"Warning InvalidSpec"}, w.told()); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	w.client = direct
	w.probe(healthy())
	w.expect(map[string]string{"Ready": "True/Ready", "Stalled": ""})
}

// reading changes a Datastore as it is read.
type reading struct {
	client.Client

	change func(*retentionv1.Datastore)
}

func (r *reading) Get(ctx context.Context, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
	err := r.Client.Get(ctx, key, obj, opts...)
	if ds, ok := obj.(*retentionv1.Datastore); ok && err == nil {
		r.change(ds)
	}
	return err
}

func TestDeletedDatastoreLeavesNothing(t *testing.T) {
	w := newWorld(t)
	w.pass()
	w.startPod(w.job())
	w.must(w.client.Delete(t.Context(), w.datastore()))
	for range 2 {
		if _, err := w.reconciler().Reconcile(t.Context(), w.request()); err != nil {
			t.Fatal(err)
		}
	}
	w.expectNothingLeft()
}
