// SPDX-License-Identifier: Apache-2.0

package purgejob

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"dataretention.dev/retention-operator/internal/plan"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var slot = time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)

func purgeInput() Input {
	return Input{
		Kind:      plan.Retention,
		Namespace: "shop",
		Name:      JobName("telemetry", "accounts", slot, ""),
		Run:       RunName("telemetry", slot),
		Policy:    "telemetry",
		Datastore: "accounts",
		Owner: metav1.OwnerReference{
			APIVersion: "dataretention.dev/v1alpha1", Kind: "RetentionPolicy", Name: "telemetry",
			UID: "6b0c9c5e-7a0f-4f0e-9d1b-0d3b8a3c2f11",
		},
		Plan:             []byte(`{"version":"dataretention.dev/plan/v1"}`),
		Image:            "example.com/retention-operator:v0.1.0",
		ConnectionSecret: "accounts-app",
		Keys: []KeyRef{
			{Secret: "pseudonyms", Key: "ip"}, {Secret: "mail", Key: "key"}, {Secret: "pseudonyms", Key: "email"},
			{Secret: "pseudonyms", Key: "ip"},
		},
		ApprovedRecords:       new(int64(1_250_000)),
		ActiveDeadlineSeconds: 21_600,
		Labels:                map[string]string{"team": "privacy", LabelManagedBy: "somebody else"},
		Suspend:               true,
	}
}

func probeInput() Input {
	in := purgeInput()
	in.Kind = plan.Probe
	in.Name = JobName("", "accounts", slot, "")
	in.Run = RunName("probe-accounts", slot)
	in.Policy = ""
	in.Owner.Kind, in.Owner.Name = "Datastore", "accounts"
	in.Keys, in.ApprovedRecords, in.Labels = nil, nil, nil
	in.ActiveDeadlineSeconds = 1800
	in.Suspend = false
	return in
}

func erasureInput() Input {
	in := probeInput()
	in.Kind = plan.ErasureKind
	in.Name, in.Run = ErasureJobName("accounts", slot, "erase"), ErasureRunName("accounts", slot)
	in.Subjects = []SubjectSource{{0, "er-2026-0001"}, {2, "er-2026-0003"}}
	in.Holds = []SubjectSource{{1, "case-77"}}
	in.Types = []string{"customer_id", "email"}
	in.Carried = in.Name
	in.Suspend = true
	return in
}

func lookInput() Input {
	in := probeInput()
	in.Kind = plan.CountHeld
	in.Name, in.Run = LookJobName("case-77", slot, "accounts"), ErasureRunName("accounts", slot)
	in.Holds, in.Types = []SubjectSource{{0, "case-77"}}, []string{"email"}
	return in
}

func intakeInput() Input {
	in := probeInput()
	in.Kind, in.ConnectionSecret, in.Datastore = plan.Intake, "", ""
	in.Name, in.Run = LookJobName("er-2026-0001", slot, ""), ErasureRunName("er-2026-0001", slot)
	in.Subjects, in.Types = []SubjectSource{{0, "er-2026-0001"}}, []string{"customer_id", "email"}
	return in
}

func inputs() map[string]Input {
	return map[string]Input{
		"purge": purgeInput(), "probe": probeInput(), "erasure": erasureInput(), "look": lookInput(), "intake": intakeInput(),
	}
}

func build(t *testing.T, in Input) *Objects {
	t.Helper()
	o, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestBuildGolden(t *testing.T) {
	for name, in := range inputs() {
		t.Run(name, func(t *testing.T) {
			o := build(t, in)
			var got bytes.Buffer
			for _, object := range []any{o.ConfigMap, o.Job} {
				b, err := yaml.Marshal(object)
				if err != nil {
					t.Fatal(err)
				}
				got.WriteString("---\n")
				got.Write(b)
			}
			file := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("%s (-want +got); go test -update rewrites it:\n%s", file, diff)
			}
		})
	}
}

func TestBuildPassesTheRestrictedStandard(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := psa.LevelVersion{Level: psa.LevelRestricted, Version: psa.LatestVersion()}
	evaluate := func(pod *corev1.PodTemplateSpec) policy.AggregateCheckResult {
		return policy.AggregateCheckResults(evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec))
	}
	for name, in := range inputs() {
		t.Run(name, func(t *testing.T) {
			pod := &build(t, in).Job.Spec.Template
			if r := evaluate(pod); !r.Allowed {
				t.Errorf("refused: %s", r.ForbiddenDetail())
			}
			pod.Spec.Containers[0].SecurityContext.Capabilities = nil
			if evaluate(pod).Allowed {
				t.Error("the evaluator allows a container that keeps its capabilities: it checks nothing")
			}
		})
	}
}

// What the Pod Security Standards do not ask for.
func TestBuildGivesThePodNothingElse(t *testing.T) {
	for name, in := range inputs() {
		t.Run(name, func(t *testing.T) {
			pod := build(t, in).Job.Spec.Template.Spec
			c := pod.Containers[0]
			if len(c.Env) != 0 || len(c.EnvFrom) != 0 {
				t.Error("environment variables")
			}
			if *pod.AutomountServiceAccountToken || *pod.EnableServiceLinks || pod.ServiceAccountName != "" {
				t.Error("a service account, its token or service links")
			}
			if !*c.SecurityContext.ReadOnlyRootFilesystem || len(pod.Tolerations) != 0 || pod.PriorityClassName != "" {
				t.Error("a writable root, tolerations or a priority")
			}
			for _, v := range pod.Volumes {
				if v.Secret != nil || v.EmptyDir != nil || v.HostPath != nil {
					t.Errorf("volume %s", v.Name)
				}
				if p := v.Projected; p != nil && *p.DefaultMode != 0o440 {
					t.Errorf("volume %s has mode %o", v.Name, *p.DefaultMode)
				}
			}
		})
	}
}

func TestBuild(t *testing.T) {
	t.Run("our labels are not replaced", func(t *testing.T) {
		in := probeInput()
		in.Labels = map[string]string{LabelPolicy: "forged", LabelRun: "forged", "team": "privacy"}
		job := build(t, in).Job
		for _, l := range []map[string]string{job.Labels, job.Spec.Template.Labels} {
			if l[LabelRun] != in.Run || l[LabelPolicy] != "" || l["team"] != "privacy" {
				t.Errorf("labels %v", l)
			}
		}
		if in.Labels[LabelPolicy] != "forged" {
			t.Error("the input was changed")
		}
	})
	t.Run("resources", func(t *testing.T) {
		in := purgeInput()
		in.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("1Gi")}
		got := build(t, in).Job.Spec.Template.Spec.Containers[0].Resources
		if diff := cmp.Diff(in.Resources, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
	t.Run("a plan that no ConfigMap can hold", func(t *testing.T) {
		in := purgeInput()
		in.Plan = bytes.Repeat([]byte("x"), 1<<20)
		if _, err := Build(in); !errors.Is(err, ErrPlanTooLarge) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("subjects that no Job can hold", func(t *testing.T) {
		in := erasureInput()
		in.Types = nil
		for c := 'a'; c < 'i'; c++ {
			in.Types = append(in.Types, strings.Repeat(string(c), 63))
		}
		in.Subjects = slices.Repeat([]SubjectSource{{999, strings.Repeat("s", 253)}}, MaxRequests)
		if _, err := Build(in); !errors.Is(err, ErrJobTooLarge) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no deadline", func(t *testing.T) {
		in := purgeInput()
		in.ActiveDeadlineSeconds = 0
		if _, err := Build(in); !errors.Is(err, ErrNoDeadline) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("long names stay legal", func(t *testing.T) {
		in := purgeInput()
		in.Policy = strings.Repeat("very-long.", 25) + "end"
		in.Datastore = strings.Repeat("d", 253)
		in.Name, in.Run = JobName(in.Policy, in.Datastore, slot, "approved"), RunName(in.Policy, slot)
		o := build(t, in)
		for k, v := range o.Job.Labels {
			if e := validation.IsValidLabelValue(v); len(e) > 0 {
				t.Errorf("label %s: %v", k, e)
			}
		}
		if e := validation.IsDNS1123Label(o.Job.Name); len(e) > 0 || o.ConfigMap.Name != o.Job.Name {
			t.Errorf("name %s: %v", o.Job.Name, e)
		}
	})
}

func TestOurs(t *testing.T) {
	tests := map[string]struct {
		change func(*batchv1.Job)
		ours   bool
	}{
		"as built": {func(*batchv1.Job) {}, true},
		"released": {func(j *batchv1.Job) { j.Spec.Suspend = new(false) }, true},
		"with marks of the API server": {func(j *batchv1.Job) {
			j.UID, j.Labels["batch.kubernetes.io/job-name"] = "1", j.Name
			j.Spec.Template.Labels["batch.kubernetes.io/job-name"] = j.Name
		}, true},
		"of an older manager":                  {func(j *batchv1.Job) { j.Spec.Template.Spec.Containers[0].Image = "old" }, true},
		"no controller":                        {func(j *batchv1.Job) { j.OwnerReferences = nil }, false},
		"not its controller":                   {func(j *batchv1.Job) { j.OwnerReferences[0].Controller = nil }, false},
		"an owner of the same name, made anew": {func(j *batchv1.Job) { j.OwnerReferences[0].UID = "2" }, false},
		"another run":                          {func(j *batchv1.Job) { j.Labels[LabelRun] = "other" }, false},
		"another plan":                         {func(j *batchv1.Job) { j.Annotations[AnnotationPlanDigest] = "sha256:0" }, false},
		"another name":                         {func(j *batchv1.Job) { j.Name = "other" }, false},
		"another namespace":                    {func(j *batchv1.Job) { j.Namespace = "other" }, false},
		"more records approved": {func(j *batchv1.Job) {
			a := j.Spec.Template.Spec.Containers[0].Args
			a[len(a)-1] = "--approved-records=9"
		}, false},
		"another command": {func(j *batchv1.Job) { j.Spec.Template.Spec.Containers[0].Command = []string{"sh"} }, false},
		"a second container": {func(j *batchv1.Job) {
			j.Spec.Template.Spec.Containers = append(j.Spec.Template.Spec.Containers, corev1.Container{Name: "x"})
		}, false},
		"a container before it": {func(j *batchv1.Job) {
			j.Spec.Template.Spec.InitContainers = []corev1.Container{{Name: "x"}}
		}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in := purgeInput()
			job := build(t, in).Job
			tt.change(job)
			err := Ours(job, in)
			if (err == nil) != tt.ours || err != nil && !errors.Is(err, ErrForeign) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A Job that is told the same, and given the identifiers of other persons, is not ours.
func TestOursKnowsThePersons(t *testing.T) {
	for name, change := range map[string]func(*Input){
		"another person":            func(in *Input) { in.Subjects[1].Secret = "er-2026-0004" },
		"persons in another order":  func(in *Input) { in.Subjects[0].Number = 1 },
		"fewer types":               func(in *Input) { in.Types = in.Types[:1] },
		"another hold":              func(in *Input) { in.Holds[0].Secret = "case-78" },
		"no hold":                   func(in *Input) { in.Holds = nil },
		"other opened identifiers":  func(in *Input) { in.Carried = "other" },
		"nothing that was opened":   func(in *Input) { in.Carried = "" },
		"a person more than before": func(in *Input) { in.Subjects = append(in.Subjects, SubjectSource{3, "er-2026-0005"}) },
	} {
		t.Run(name, func(t *testing.T) {
			other := erasureInput()
			change(&other)
			if err := Ours(build(t, other).Job, erasureInput()); !errors.Is(err, ErrForeign) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// The largest batch fits into a Job.
func TestAThousandRequestsFit(t *testing.T) {
	in := erasureInput()
	in.Types = []string{"customer_id", "device_id", "email", "loyalty_number", "phone", "username"}
	in.Subjects = nil
	for i := range MaxRequests {
		in.Subjects = append(in.Subjects, SubjectSource{i, fmt.Sprintf("erasure-request-of-2026-11-%06d", i)})
	}
	encoded, err := json.Marshal(build(t, in).Job)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes, of %d", len(encoded), maxJobBytes)
	for i := range in.Subjects {
		in.Subjects[i].Secret += strings.Repeat("x", 253-len(in.Subjects[i].Secret))
	}
	if _, err := Build(in); err != nil {
		t.Errorf("with the longest names that Secrets can have: %v", err)
	}
}

func TestHandoff(t *testing.T) {
	in := erasureInput()
	s := Handoff(in, map[string]string{GivenKey(1): "email=jane@example.com\n", DerivedKey(0): "customer_id=7\n", HoldKey(1): "email=a@b\n"})
	if s.Type != SubjectSecretType || s.Immutable == nil || !*s.Immutable || s.Name != in.Name || string(s.Data["0.derived"]) != "customer_id=7\n" {
		t.Errorf("got %v", s)
	}
	for key := range s.Data {
		if e := validation.IsConfigMapKey(key); len(e) > 0 {
			t.Errorf("key %s: %v", key, e)
		}
	}
	if err := ours(&s.ObjectMeta, in); err != nil {
		t.Error(err)
	}
}

func TestOursPlan(t *testing.T) {
	tests := map[string]struct {
		change func(*corev1.ConfigMap)
		ours   bool
	}{
		"as built":       {func(*corev1.ConfigMap) {}, true},
		"another plan":   {func(c *corev1.ConfigMap) { c.Data["plan.json"] = "{}" }, false},
		"changeable":     {func(c *corev1.ConfigMap) { c.Immutable = nil }, false},
		"no controller":  {func(c *corev1.ConfigMap) { c.OwnerReferences = nil }, false},
		"of another run": {func(c *corev1.ConfigMap) { c.Labels[LabelRun] = "other" }, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			in := purgeInput()
			c := build(t, in).ConfigMap
			tt.change(c)
			if err := OursPlan(c, in); (err == nil) != tt.ours {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestArgs(t *testing.T) {
	in := purgeInput()
	want := []string{
		"purge", "--plan=/etc/retention/plan/plan.json", "--plan-digest=" + plan.DigestOf(in.Plan),
		"--connection-dir=/etc/retention/connection", "--keys-dir=/etc/retention/keys", "--receipt=/dev/termination-log",
		"--approved-records=1250000",
	}
	if got := build(t, in).Job.Spec.Template.Spec.Containers[0].Args; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
