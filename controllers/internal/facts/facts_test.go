// SPDX-License-Identifier: Apache-2.0

package facts_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/facts"
	"dataretention.dev/retention-operator/controllers/internal/holds"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/receipt"
)

var now = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

func equal(t *testing.T, what string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// The digest is that of what jq -cjS .spec prints: printf '%s' '{"a":…}' | sha256sum.
func TestSpecIsWhatJqPrints(t *testing.T) {
	spec := struct {
		Z int64             `json:"z"`
		A string            `json:"a"`
		M map[string]string `json:"m,omitempty"`
		N *int              `json:"n,omitempty"`
	}{Z: 1 << 60, A: "a < b & c", M: map[string]string{"y": "ü", "x": ""}}
	got, err := facts.Spec("policy/p", spec)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "subject", evidence.SHA256("policy/p", []byte(`{"a":"a < b & c","m":{"x":"","y":"ü"},"z":1152921504606846976}`)), got)
}

func TestPlanIsNamedByItsDigest(t *testing.T) {
	encoded := []byte(`{"version":"1"}`)
	equal(t, "subject", evidence.SHA256("plan/job-1", encoded), facts.Plan("job-1", plan.DigestOf(encoded)))
}

func TestGoneBy(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	// In summer time: the same time of day a month later, in winter time, is an hour later in UTC.
	summer := time.Date(2026, 10, 1, 10, 0, 0, 0, time.UTC)
	equal(t, "in Berlin", ptr.To(time.Date(2026, 11, 1, 11, 0, 0, 0, time.UTC)), facts.GoneBy(summer, "P1M", berlin))
	equal(t, "in UTC", ptr.To(time.Date(2026, 11, 1, 10, 0, 0, 0, time.UTC)), facts.GoneBy(summer, "P1M", nil))
	for name, got := range map[string]*time.Time{
		"nothing deleted":  facts.GoneBy(time.Time{}, "P1M", nil),
		"nothing declared": facts.GoneBy(summer, "", nil),
		"unreadable":       facts.GoneBy(summer, "a month", nil),
	} {
		if got != nil {
			t.Errorf("%s: gone by %v", name, got)
		}
	}
}

func shop() *retentionv1.Datastore {
	return &retentionv1.Datastore{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "shop", UID: "u1", Generation: 4},
		Spec: retentionv1.DatastoreSpec{
			PostgreSQL: &retentionv1.PostgreSQL{}, Purposes: []retentionv1.PlainText{"billing"}, Recipients: []retentionv1.PlainText{"tax office"},
			Backups:  &retentionv1.Backups{Retention: "P35D"},
			Datasets: []retentionv1.Dataset{{Name: "invoices", Categories: []retentionv1.PlainText{"user.financial"}}},
		},
		Status: retentionv1.DatastoreStatus{Identity: "id-1", Conditions: []metav1.Condition{
			{Type: retentionv1.ConditionReferencesMapped, Status: metav1.ConditionFalse, Reason: "ForeignKeysNotMapped", Message: "visit_fk"},
			{Type: retentionv1.ConditionCountsReliable, Status: metav1.ConditionTrue, Reason: "CountsReliable"},
		}},
	}
}

// What the plan was made from goes before what is there now; of another Datastore of the same name nothing is taken.
func TestDatastore(t *testing.T) {
	p := &plan.Plan{Engine: "postgresql", Identity: "id-0", Datastore: plan.Ref{Namespace: "ns", Name: "shop", UID: "u1", Generation: 3}}
	of := func(generation int64, identity string) evidence.Datastore {
		return evidence.Datastore{Object: evidence.Object{Namespace: "ns", Name: "shop", UID: "u1", Generation: generation}, Engine: "postgresql",
			Identity: identity, PlanDigest: "d", Job: "j"}
	}
	declared := func(d evidence.Datastore) evidence.Datastore {
		d.Purposes, d.BackupRetention = []string{"billing"}, "P35D"
		return d
	}
	equal(t, "with a plan", declared(of(3, "id-0")), facts.Datastore(shop(), p, "d", "j"))
	equal(t, "without one", declared(of(4, "id-1")), facts.Datastore(shop(), nil, "d", "j"))
	equal(t, "gone", of(3, "id-0"), facts.Datastore(nil, p, "d", "j"))
	other := shop()
	other.UID = "u2"
	equal(t, "made anew", of(3, "id-0"), facts.Datastore(other, p, "d", "j"))
	equal(t, "nothing", evidence.Datastore{PlanDigest: "d", Job: "j"}, facts.Datastore(nil, nil, "d", "j"))
	equal(t, "categories", []string{"user.financial"}, facts.Categories(shop(), "invoices"))
	equal(t, "no categories", []string(nil), facts.Categories(shop(), "orders"))
}

func TestGaps(t *testing.T) {
	names := func(gaps ...evidence.Gap) (out []string) {
		for _, g := range gaps {
			out = append(out, string(g.Kind)+" "+g.Name+" "+g.Reason)
		}
		return out
	}
	equal(t, "map", []string{"Dataset shop ForeignKeysNotMapped", "Recipient tax office NotNotified"}, names(facts.Map(shop())...))
	equal(t, "no map", []string(nil), names(facts.Map(nil)...))
	d := facts.Datastore(shop(), nil, "", "")
	equal(t, "declared, and nothing deleted", []string(nil), names(facts.Backups(&d)...))
	d.GoneBy = ptr.To(now)
	if gaps := facts.Backups(&d); len(gaps) != 1 || gaps[0].Until == nil || !gaps[0].Until.Equal(now) {
		t.Errorf("declared: %+v", gaps)
	}
	d.GoneBy, d.BackupRetention = nil, ""
	if gaps := facts.Backups(&d); len(gaps) != 1 || gaps[0].Until != nil || gaps[0].Reason != facts.GapNotDeclared {
		t.Errorf("not declared: %+v", gaps)
	}
}

func TestHolds(t *testing.T) {
	set := holds.Set{
		{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "all", UID: "1"}, Spec: retentionv1.LegalHoldSpec{Reason: "litigation", Authority: "court", Reference: "7 O 12/26"}},
		{Spec: retentionv1.LegalHoldSpec{DataClasses: []retentionv1.DataClass{"billing"}}},
		{Spec: retentionv1.LegalHoldSpec{Datasets: []retentionv1.DatasetName{"a"}, Condition: &retentionv1.HoldCondition{}}},
		{Spec: retentionv1.LegalHoldSpec{Datasets: []retentionv1.DatasetName{"a"}, Subject: &retentionv1.Subject{}}},
	}
	var scopes []string
	for _, h := range facts.Holds(set, now) {
		scopes = append(scopes, h.Scope)
	}
	equal(t, "scopes", []string{"Datastores", "Datasets", "Condition", "Subject"}, scopes)
	equal(t, "hold", evidence.Hold{Object: evidence.Object{Namespace: "ns", Name: "all", UID: "1"}, SeenTime: ptr.To(now), Reason: "litigation",
		Authority: "court", Reference: "7 O 12/26", Scope: "Datastores"}, facts.Holds(set, now)[0])
}

func pods(job *batchv1.Job) []corev1.Pod {
	of := func(name string, current, previous *corev1.ContainerStateTerminated, image string) corev1.Pod {
		return corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))}},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{
				{Name: "sidecar", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Message: "other"}}},
				{Name: purgejob.ContainerName, ImageID: image, State: corev1.ContainerState{Terminated: current}, LastTerminationState: corev1.ContainerState{Terminated: previous}},
			}},
		}
	}
	left := func(message string) *corev1.ContainerStateTerminated {
		return &corev1.ContainerStateTerminated{Message: message}
	}
	return []corev1.Pod{
		of("j-a", left("second"), left("first"), "docker.io/library/op@sha256:bb"),
		of("j-b", left(""), nil, "sha256:aa"),
		of("j-c", left("third"), nil, ""),
		{ObjectMeta: metav1.ObjectMeta{Name: "of somebody else"}},
	}
}

func TestWhatPodsLeave(t *testing.T) {
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "j", UID: types.UID("job")}}
	equal(t, "receipts", []evidence.Subject{
		evidence.SHA256("receipt/j-a/previous", []byte("first")), evidence.SHA256("receipt/j-a", []byte("second")), evidence.SHA256("receipt/j-c", []byte("third")),
	}, facts.Receipts(job, pods(job)))
	equal(t, "images", []string{"sha256:aa", "sha256:bb"}, facts.Images(job, pods(job)))
	equal(t, "attempts", []evidence.Attempt{
		{StartTime: ptr.To(now), EndTime: ptr.To(now.Add(time.Minute)), ExitCode: ptr.To(int32(5)), Reason: "Unreachable"},
		{Unreadable: true},
	}, facts.Attempts([]receipt.Attempt{
		{Started: now.In(time.FixedZone("", 3600)), Finished: now.Add(time.Minute), ExitCode: ptr.To(int32(5)), Receipt: &receipt.Receipt{Reason: receipt.Unreachable}},
		{Unreadable: true},
	}))
}

func TestReference(t *testing.T) {
	l := &evidence.Logged{Reference: evidence.Reference{Kind: evidence.Result, Index: 0, Digest: "sha256:aa"}, Time: now}
	l.Statement.Predicate.Level = evidence.LevelRetained
	ref := facts.Reference(l)
	equal(t, "reference", &retentionv1.EvidenceReference{Index: ptr.To(int64(0)), Digest: "sha256:aa", Time: metav1.NewTime(now), Level: "Retained"}, ref)
	other := *l
	other.Digest = "sha256:bb"
	if !facts.Refers(ref, l) || facts.Refers(ref, &other) || facts.Refers(nil, l) {
		t.Error("Refers does not tell statements apart")
	}
}

// Whatever others write, a statement can be made of it.
func TestFit(t *testing.T) {
	p := evidence.Predicate{
		Kind: evidence.Result, Message: "a\x00b\nc\xff" + strings.Repeat("ü", 3000),
		Run: &evidence.Run{Slot: ptr.To(time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC)), StartTime: ptr.To(now)},
		Datastores: []evidence.Datastore{{
			StartTime: ptr.To(time.Unix(0, 0)), CompletionTime: ptr.To(now), Purposes: []string{"x\ty"},
			Attempts: []evidence.Attempt{{StartTime: ptr.To(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC))}},
			Datasets: []evidence.Dataset{{Cutoff: ptr.To(time.Date(1950, 1, 1, 0, 0, 0, 0, time.UTC))}},
		}},
	}
	facts.Fit(&p)
	d := p.Datastores[0]
	if !strings.HasPrefix(p.Message, "a b c üü") || len(p.Message) > 4096 || d.Purposes[0] != "x y" {
		t.Errorf("texts: %.40q, %q", p.Message, d.Purposes)
	}
	if d.StartTime != nil || d.Attempts[0].StartTime != nil {
		t.Errorf("times that cannot be: %v, %v", d.StartTime, d.Attempts[0].StartTime)
	}
	if d.CompletionTime == nil || p.Run.Slot == nil || p.Run.StartTime == nil || d.Datasets[0].Cutoff == nil {
		t.Errorf("times are lost: %+v, %+v", p.Run, d)
	}
}
