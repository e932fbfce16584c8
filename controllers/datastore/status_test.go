// SPDX-License-Identifier: Apache-2.0

package datastore

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/kstatus"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/receipt"
)

// accounts is a Datastore with two datasets; only the first has a timestamp.
func accounts() *retentionv1.Datastore {
	return &retentionv1.Datastore{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "accounts", UID: "u1", Generation: 2},
		Spec: retentionv1.DatastoreSpec{
			PostgreSQL: &retentionv1.PostgreSQL{SecretRef: retentionv1.SecretReference{Name: "accounts-app"}},
			Datasets: []retentionv1.Dataset{
				{Name: "customer", TimestampField: "created_at"},
				{Name: "invoice", References: []retentionv1.Reference{{Field: "customer_id", Dataset: "customer", Key: "id"}}},
			},
		},
		Status: retentionv1.DatastoreStatus{ObservedGeneration: -1},
	}
}

func planOf() *plan.Plan {
	return &plan.Plan{Limits: plan.DefaultLimits, Datasets: []plan.Dataset{{Name: "customer", TimestampField: "created_at"}, {Name: "invoice"}}}
}

func healthy(findings ...receipt.Finding) *receipt.Receipt {
	oldest := time.Date(2020, 2, 29, 1, 2, 3, 0, time.UTC)
	return &receipt.Receipt{
		Version: 1, Phase: receipt.PhaseFinished, Reason: receipt.Succeeded, Identity: "server-a", ServerVersion: "PostgreSQL 16.4",
		Probe: &receipt.Probe{
			Datasets: []receipt.DatasetProbe{{Index: 0, Records: 40, Oldest: &oldest, Indexed: true}, {Index: 1, Records: -1}},
			Findings: findings,
		},
	}
}

func skewedBy(ms int64) *receipt.Receipt {
	r := healthy()
	r.SkewMilliseconds = ms
	return r
}

func failed(reason receipt.Reason, message string) *receipt.Receipt {
	return &receipt.Receipt{Version: 1, Phase: receipt.PhaseConnecting, Reason: reason, Message: message, ServerVersion: "9.6"}
}

// brief renders conditions as Type: Status/Reason.
func brief(ds *retentionv1.Datastore) map[string]string {
	out := map[string]string{}
	for _, c := range ds.Status.Conditions {
		out[c.Type] = string(c.Status) + "/" + c.Reason
	}
	return out
}

func TestConclude(t *testing.T) {
	const table, omitted = "public.customer", 7
	full := healthy()
	full.Probe.Omitted = omitted
	crowded := healthy(receipt.Finding{Code: receipt.FindTrigger, Dataset: 0, Object: "t1"})
	crowded.Probe.Omitted = omitted
	for name, tc := range map[string]struct {
		receipt *receipt.Receipt
		failure verdict
		want    map[string]string // conditions that are not as after a healthy probe; "" for none
		message string            // part of Ready's, or if Ready is True, of that of the condition that differs
	}{
		"healthy": {receipt: healthy()},
		"secret incomplete": {
			receipt: failed(receipt.SecretIncomplete, "key password is missing"),
			want:    unreachable("SecretIncomplete"), message: "Secret accounts-app is missing or incomplete: it needs the keys host",
		},
		"says what the data plane said": {
			receipt: failed(receipt.SecretIncomplete, "key password is missing"),
			want:    unreachable("SecretIncomplete"), message: ": key password is missing",
		},
		"authentication":     {receipt: failed(receipt.AuthenticationFails, ""), want: unreachable("AuthenticationFailed"), message: "accounts-app"},
		"unreachable":        {receipt: failed(receipt.Unreachable, ""), want: unreachable("Unreachable"), message: "Secret accounts-app names"},
		"database not found": {receipt: failed(receipt.DatabaseNotFound, ""), want: unreachable("DatabaseNotFound"), message: "no database"},
		"clock skewed": {
			receipt: skewedBy(-31_000),
			want:    map[string]string{"Ready": "False/ClockSkewed", "Reachable": "False/ClockSkewed", "Reconciling": "True/ProgressingWithRetry"},
			message: "differ by 31s, and at most 30s",
		},
		"clock a little off":  {receipt: skewedBy(30_000)},
		"version":             {receipt: failed(receipt.VersionNotSupported, ""), want: unreachable("VersionNotSupported"), message: "9.6"},
		"plan refused":        {receipt: failed(receipt.PlanRefused, ""), want: unreachable("PlanRefused"), message: "same version"},
		"interrupted":         {receipt: failed(receipt.Interrupted, ""), want: unreachable("Interrupted"), message: "interrupted"},
		"internal":            {receipt: failed(receipt.InternalError, ""), want: unreachable("InternalError"), message: "log"},
		"killed while it ran": {receipt: failed("", ""), want: unreachable("ProbeFailed"), message: "without a result"},
		"success, but no result": {
			receipt: failed(receipt.Succeeded, ""), want: unreachable("ProbeFailed"), message: "without a result",
		},
		"a reason that no probe has": {receipt: failed("HoldPlaced", ""), want: unreachable("ProbeFailed"), message: "without a result"},
		"no receipt": {
			failure: verdict{metav1.ConditionFalse, "ProbeFailed", "exit code 137"},
			want:    unreachable("ProbeFailed"), message: "exit code 137",
		},
		"Pod cannot start": {
			failure: verdict{metav1.ConditionFalse, "ProbeCannotStart", "ErrImagePull"},
			want:    unreachable("ProbeCannotStart"), message: "ErrImagePull",
		},
		"table missing": {
			receipt: healthy(receipt.Finding{Code: receipt.FindTableMissing, Dataset: 0, Object: table}),
			want:    mismatch("TableNotFound"), message: "dataset customer: there is no table public.customer",
		},
		"not a table":   {receipt: healthy(receipt.Finding{Code: receipt.FindNotATable, Dataset: 0, Object: table}), want: mismatch("NotATable"), message: table},
		"field missing": {receipt: healthy(receipt.Finding{Code: receipt.FindFieldMissing, Dataset: 1, Object: "paid_at"}), want: mismatch("FieldNotFound"), message: "dataset invoice: there is no field paid_at"},
		"type":          {receipt: healthy(receipt.Finding{Code: receipt.FindTypeNotSupported, Dataset: 0, Object: "created_at"}), want: mismatch("TypeNotSupported"), message: "created_at"},
		"key":           {receipt: healthy(receipt.Finding{Code: receipt.FindKeyNotUnique, Dataset: 0, Object: "id"}), want: mismatch("KeyNotUnique"), message: "key id"},
		"no SELECT":     {receipt: healthy(receipt.Finding{Code: receipt.FindSelectNotGranted, Dataset: 0, Object: table}), want: mismatch("SelectNotGranted"), message: "SELECT on public.customer"},
		"no DELETE":     {receipt: healthy(receipt.Finding{Code: receipt.FindDeleteNotGranted, Dataset: 0, Object: table}), want: mismatch("DeleteNotGranted"), message: "DELETE on public.customer"},
		"no UPDATE":     {receipt: healthy(receipt.Finding{Code: receipt.FindUpdateNotGranted, Dataset: 0, Object: table}), want: mismatch("UpdateNotGranted"), message: "UPDATE on public.customer"},
		"rows hidden":   {receipt: healthy(receipt.Finding{Code: receipt.FindRowsHidden, Dataset: 0, Object: "p1"}), want: mismatch("RowLevelSecurity"), message: "hides records"},
		"all are named, the first gives the reason": {
			receipt: healthy(
				receipt.Finding{Code: receipt.FindFieldMissing, Dataset: 0, Object: "a"},
				receipt.Finding{Code: receipt.FindTableMissing, Dataset: 1, Object: "b"}),
			want: mismatch("FieldNotFound"), message: "no field a; dataset invoice: there is no table b",
		},
		"unmapped foreign key": {
			receipt: healthy(receipt.Finding{Code: receipt.FindForeignKeyUnmapped, Dataset: 0, Object: "orders.fk_customer"}),
			want:    map[string]string{"ReferencesMapped": "False/ForeignKeysNotMapped"}, message: "orders.fk_customer",
		},
		"trigger":                         doubtful(receipt.FindTrigger, "the trigger thing"),
		"rule":                            doubtful(receipt.FindRule, "the rule thing"),
		"cascade":                         doubtful(receipt.FindCascade, "thing deletes"),
		"soft delete":                     doubtful(receipt.FindSoftDelete, "soft deletion"),
		"unindexed":                       doubtful(receipt.FindForeignKeyUnindexed, "no index"),
		"inheritance":                     doubtful(receipt.FindInheritance, "inheritance"),
		"a finding of a newer data plane": doubtful("PhaseOfTheMoon", "PhaseOfTheMoon thing"),
		"of no dataset that we know": {
			receipt: healthy(receipt.Finding{Code: receipt.FindTrigger, Dataset: 500, Object: "t"}),
			want:    map[string]string{"CountsReliable": "False/CountsDoubtful"}, message: "the trigger t",
		},
		"nothing fitted": {
			receipt: full,
			want: map[string]string{
				"Ready": "False/ProbeFailed", "SchemaMatches": "Unknown/ProbeFailed", "ReferencesMapped": "Unknown/ProbeFailed",
				"CountsReliable": "Unknown/ProbeFailed", "Reconciling": "True/ProgressingWithRetry",
			}, message: "7 findings",
		},
		"some did not fit": {
			receipt: crowded,
			want:    map[string]string{"ReferencesMapped": "Unknown/ProbeFailed", "CountsReliable": "False/CountsDoubtful"}, message: "7",
		},
	} {
		t.Run(name, func(t *testing.T) {
			ds := accounts()
			declare(ds)
			conclude(ds, result{plan: planOf(), receipt: tc.receipt, failure: tc.failure}, "inputs", noon)
			want := map[string]string{
				"Ready": "True/Ready", "Reachable": "True/Reachable", "SchemaMatches": "True/SchemaMatches",
				"IdentityPinned": "True/IdentityPinned", "ReferencesMapped": "True/ReferencesMapped", "CountsReliable": "True/CountsReliable",
			}
			about := retentionv1.ConditionReady
			for k, v := range tc.want {
				want[k] = v
				if tc.want["Ready"] == "" {
					about = k
				}
			}
			if diff := cmp.Diff(want, brief(ds)); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
			if got := meta.FindStatusCondition(ds.Status.Conditions, about).Message; !strings.Contains(got, tc.message) {
				t.Errorf("the message of %s is %q, which says nothing of %q", about, got, tc.message)
			}
			if err := kstatus.Check(ds); err != nil {
				t.Error(err)
			}
			if ds.Status.ObservedGeneration != 2 || ds.Status.ProbeInputs != "inputs" || !ds.Status.LastProbeTime.Time.Equal(noon) {
				t.Errorf("the probe is not on record: %+v", ds.Status)
			}
		})
	}
}

func unreachable(reason string) map[string]string {
	return map[string]string{
		"Ready": "False/" + reason, "Reachable": "False/" + reason, "SchemaMatches": "Unknown/" + reason, "IdentityPinned": "Unknown/NotProbed",
		"ReferencesMapped": "Unknown/" + reason, "CountsReliable": "Unknown/" + reason, "Reconciling": "True/ProgressingWithRetry",
	}
}

func mismatch(reason string) map[string]string {
	return map[string]string{"Ready": "False/" + reason, "SchemaMatches": "False/" + reason, "Reconciling": "True/ProgressingWithRetry"}
}

func doubtful(code receipt.FindingCode, message string) struct {
	receipt *receipt.Receipt
	failure verdict
	want    map[string]string
	message string
} {
	return struct {
		receipt *receipt.Receipt
		failure verdict
		want    map[string]string
		message string
	}{
		receipt: healthy(receipt.Finding{Code: code, Dataset: 0, Object: "thing"}),
		want:    map[string]string{"CountsReliable": "False/CountsDoubtful"}, message: message,
	}
}

func TestConcludeObserves(t *testing.T) {
	ds := accounts()
	declare(ds)
	conclude(ds, result{plan: planOf(), receipt: healthy(
		receipt.Finding{Code: receipt.FindTrigger, Dataset: 0, Object: "audit"},
		receipt.Finding{Code: receipt.FindSoftDelete, Dataset: 0},
		receipt.Finding{Code: receipt.FindTrigger, Dataset: -1, Object: "elsewhere"},
	)}, "inputs", noon)
	oldest := metav1.NewTime(time.Date(2020, 2, 29, 1, 2, 3, 0, time.UTC))
	want := retentionv1.DatastoreStatus{
		ObservedGeneration: 2, Engine: "postgresql", ServerVersion: "PostgreSQL 16.4", Identity: "server-a", ObservedIdentity: "server-a",
		LastProbeTime: &metav1.Time{Time: noon}, ProbeInputs: "inputs", DatasetCount: ptr.To(int32(2)), Records: ptr.To(int64(40)),
		OldestRecordTime: &oldest,
		Datasets: []retentionv1.DatasetStatus{
			{Name: "customer", Records: ptr.To(int64(40)), OldestRecordTime: &oldest, TimestampIndexed: ptr.To(true), Findings: []string{"Trigger: audit", "SoftDeleteField"}},
			{Name: "invoice"},
		},
		Conditions: ds.Status.Conditions,
	}
	if diff := cmp.Diff(want, ds.Status); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	seen := ds.Status.DeepCopy()
	conclude(ds, result{plan: planOf(), receipt: failed(receipt.Unreachable, "")}, "inputs", noon.Add(time.Hour))
	if diff := cmp.Diff(seen.Datasets, ds.Status.Datasets); diff != "" || ds.Status.ObservedIdentity != "server-a" {
		t.Errorf("a probe that saw nothing changed what was seen before (-want +got):\n%s", diff)
	}
	if got := brief(ds)["IdentityPinned"]; got != "True/IdentityPinned" {
		t.Errorf("IdentityPinned is %s after a probe that reached nothing", got)
	}
}

func TestConcludeNeverGivesTwoProbesOneTime(t *testing.T) {
	ds := accounts()
	declare(ds)
	var last time.Time
	for range 3 {
		conclude(ds, result{plan: planOf(), receipt: healthy()}, "inputs", noon)
		if !ds.Status.LastProbeTime.After(last) {
			t.Fatalf("%s is not after %s", ds.Status.LastProbeTime, last)
		}
		last = ds.Status.LastProbeTime.Time
	}
}

func TestFindingsAreBounded(t *testing.T) {
	var many []receipt.Finding
	for i := range 100 {
		many = append(many, receipt.Finding{Code: receipt.FindTrigger, Dataset: 0, Object: strings.Repeat("ö", 200) + string(rune('a'+i%26))})
	}
	ds := accounts()
	declare(ds)
	conclude(ds, result{plan: planOf(), receipt: healthy(many...)}, "inputs", noon)
	found := ds.Status.Datasets[0].Findings
	if len(found) != maxFindings || found[maxFindings-1] != "More: 69" {
		t.Errorf("%d findings, the last is %q", len(found), found[len(found)-1])
	}
	for _, f := range found {
		if len(f) > maxFindingText {
			t.Errorf("a finding has %d bytes", len(f))
		}
	}
	if got := meta.FindStatusCondition(ds.Status.Conditions, "CountsReliable").Message; !strings.HasSuffix(got, "; and 98 more") {
		t.Errorf("the message does not say how many there are: …%s", got[len(got)-40:])
	}
	if err := kstatus.Check(ds); err != nil {
		t.Error(err)
	}
}

func TestRefuse(t *testing.T) {
	ds := accounts()
	ds.Spec.TimeZone = "Mars/Olympus"
	declare(ds)
	refuse(ds, check(&ds.Spec))
	if got := brief(ds); got["Ready"] != "False/InvalidSpec" || got["Stalled"] != "True/InvalidSpec" {
		t.Error(got)
	}
	if err := kstatus.Check(ds); err != nil {
		t.Error(err)
	}
}

func TestUnderWay(t *testing.T) {
	ready := func() *retentionv1.Datastore {
		ds := accounts()
		declare(ds)
		conclude(ds, result{plan: planOf(), receipt: healthy()}, "inputs", noon)
		return ds
	}
	trouble := func() *retentionv1.Datastore {
		ds := ready()
		conclude(ds, result{plan: planOf(), receipt: failed(receipt.Unreachable, "")}, "inputs", noon)
		return ds
	}
	first := accounts()
	declare(first)
	edited, stalled := ready(), ready()
	edited.Generation = 3
	other := healthy()
	other.Identity = "server-b"
	conclude(stalled, result{plan: planOf(), receipt: other}, "inputs", noon)
	stuck := cannot("The probe's Pod does not start: ErrImagePull")

	for name, tc := range map[string]struct {
		ds      *retentionv1.Datastore
		why     trigger
		waiting verdict
		want    map[string]string
	}{
		"the first":                         {first.DeepCopy(), triggerFirst, verdict{}, map[string]string{"Ready": "Unknown/NotProbed", "Reconciling": "True/Progressing"}},
		"the first, which cannot start":     {first.DeepCopy(), triggerFirst, stuck, map[string]string{"Ready": "False/ProbeCannotStart", "Reconciling": "True/ProbeCannotStart"}},
		"after an edit":                     {edited.DeepCopy(), triggerInputs, verdict{}, map[string]string{"Ready": "Unknown/Progressing", "Reconciling": "True/Progressing"}},
		"after an edit, cannot start":       {edited.DeepCopy(), triggerInputs, stuck, map[string]string{"Ready": "False/ProbeCannotStart", "Reconciling": "True/ProbeCannotStart"}},
		"another policy":                    {ready(), triggerInputs, verdict{}, map[string]string{"Ready": "True/Ready", "Reconciling": "True/Progressing"}},
		"asked for":                         {ready(), triggerRequest, verdict{}, map[string]string{"Ready": "True/Ready", "Reconciling": "True/Progressing"}},
		"daily":                             {ready(), triggerInterval, verdict{}, map[string]string{"Ready": "True/Ready", "Reconciling": ""}},
		"daily, cannot start":               {ready(), triggerInterval, stuck, map[string]string{"Ready": "True/Ready", "Reconciling": "True/ProbeCannotStart"}},
		"again":                             {trouble(), triggerRetry, verdict{}, map[string]string{"Ready": "False/Unreachable", "Reconciling": "True/ProgressingWithRetry"}},
		"again, while another server is up": {stalled.DeepCopy(), triggerRetry, verdict{}, map[string]string{"Ready": "False/IdentityChanged", "Stalled": "True/IdentityChanged"}},
		"asked for while another server is": {stalled.DeepCopy(), triggerRequest, verdict{}, map[string]string{"Ready": "False/IdentityChanged", "Stalled": "", "Reconciling": "True/Progressing"}},
	} {
		t.Run(name, func(t *testing.T) {
			underWay(tc.ds, "job", tc.why, tc.waiting)
			got := brief(tc.ds)
			for k, v := range tc.want {
				if got[k] != v {
					t.Errorf("%s is %q, want %q", k, got[k], v)
				}
			}
			if tc.ds.Status.ActiveProbe != "job" {
				t.Error("the Job is not named")
			}
			if err := kstatus.Check(tc.ds); err != nil {
				t.Error(err)
			}
		})
	}
}
