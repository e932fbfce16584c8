// SPDX-License-Identifier: Apache-2.0

package purgejob

import (
	"bytes"
	"errors"
	"flag"
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

func build(t *testing.T, in Input) *Objects {
	t.Helper()
	o, err := Build(in)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestBuildGolden(t *testing.T) {
	for name, in := range map[string]Input{"purge": purgeInput(), "probe": probeInput()} {
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
	for name, in := range map[string]Input{"purge": purgeInput(), "probe": probeInput()} {
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
	for name, in := range map[string]Input{"purge": purgeInput(), "probe": probeInput()} {
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
