// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"dataretention.dev/retention-operator/api/v1alpha1"
)

const digest = "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

func TestApprovePlan(t *testing.T) {
	c, ns := shop(t)
	approved := func() string {
		p := &v1alpha1.RetentionPolicy{}
		must(t, c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "closed"}, p))
		return p.Annotations[v1alpha1.AnnotationApprovedPlan]
	}
	for name, tc := range map[string]struct {
		stdin string
		args  []string
		want  string
	}{
		"no":                 {"n\n", []string{"closed"}, "nothing was approved"},
		"silence":            {"", []string{"closed"}, "nothing was approved"},
		"another digest":     {"", []string{"closed", "--yes", "--digest", "sha256:00"}, digest},
		"another datastore":  {"", []string{"closed", "--yes", "--datastore", "archive"}, digest},
		"nothing to approve": {"", []string{"billing", "--yes"}, "no plan of policy"},
		"under way":          {"", []string{"telemetry", "--yes"}, "is under way"},
		"no policy":          {"", []string{"missing", "--yes"}, "not found"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, code, err := call(t, tc.stdin, append([]string{"approve-plan"}, tc.args...)...); err == nil || code != 1 || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %d, %v", code, err)
			}
			if got := approved(); got != "" {
				t.Errorf("approved: %s", got)
			}
		})
	}
	out, code, err := call(t, "y\n", "approve-plan", "closed", "--utc")
	if err != nil || code != 0 || approved() != digest {
		t.Fatalf("got %d, %v, approved %s", code, err, approved())
	}
	for _, want := range []string{"2104 of 5000 records of accounts are due, more than 20%", "2,104 records due of 5,000", "records up to 2026-10-15 22:00 UTC", digest} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not show %q:\n%s", want, out)
		}
	}
	// A digest that waits no more is dropped, one that does is kept.
	p := &v1alpha1.RetentionPolicy{}
	must(t, c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "closed"}, p))
	metav1.SetMetaDataAnnotation(&p.ObjectMeta, v1alpha1.AnnotationApprovedPlan, "sha256:old, "+digest)
	must(t, c.Update(t.Context(), p))
	_, _, err = call(t, "", "approve-plan", "closed", "-y", "--digest", digest)
	must(t, err)
	if approved() != digest {
		t.Errorf("approved: %s", approved())
	}
	// Once it was used, or something was changed, it cannot be approved again.
	o := &operator{t, c, ns}
	one := int64(1)
	for _, change := range []func(d *v1alpha1.RunDatastore){
		func(d *v1alpha1.RunDatastore) { d.ApprovedRecords = &one },
		func(d *v1alpha1.RunDatastore) { d.ApprovedRecords, d.Datasets[0].Deleted = nil, &one },
	} {
		o.policy("closed", func(p *v1alpha1.RetentionPolicy) { change(&p.Status.LastRun.Datastores[0]) })
		if _, _, err := call(t, "", "approve-plan", "closed", "-y"); err == nil || !strings.Contains(err.Error(), "cannot be approved any more") {
			t.Errorf("got %v", err)
		}
	}
}

func TestApprovePlanAndWait(t *testing.T) {
	c, ns := shop(t)
	o := &operator{t, c, ns}
	done := make(chan struct{})
	go func() {
		defer close(done)
		waitFor(t, "the plan is approved", func() bool {
			p := &v1alpha1.RetentionPolicy{}
			must(t, c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "closed"}, p))
			return p.Annotations[v1alpha1.AnnotationApprovedPlan] != ""
		})
		time.Sleep(3 * time.Second)
		o.policy("closed", func(p *v1alpha1.RetentionPolicy) {
			p.Status.LastRun.StartTime = metav1.Now()
			p.Status.LastRun.Outcome, p.Status.LastRun.Message = v1alpha1.OutcomeSucceeded, "2104 deleted, 0 anonymized, 0 remaining"
		})
	}()
	out, code, err := call(t, "", "approve-plan", "closed", "--yes", "--wait")
	<-done
	if code != 0 || !strings.Contains(out, "Waiting for the operator to carry the run on.") || !strings.Contains(out, "ended: Succeeded. 2104 deleted") {
		t.Errorf("got %d, %v, %s", code, err, out)
	}
}

func TestSimulate(t *testing.T) {
	c, ns := shop(t)
	count := func() int {
		list := &v1alpha1.RetentionPolicyList{}
		must(t, c.List(t.Context(), list, client.InNamespace(ns)))
		return len(list.Items)
	}
	before := count()
	out, code, err := call(t, "", "simulate", "closed")
	if err != nil || code != 0 {
		t.Fatal(code, err)
	}
	for _, want := range []string{"Nothing was counted or changed", "Datastore crm", "accounts  Delete after P30D", "records whose contract_ended_at is up to", "set mode: Simulate",
		"hold case-3-o-17-26"} {
		if !strings.Contains(out, want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	p := &v1alpha1.RetentionPolicy{}
	must(t, c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "closed"}, p))
	if count() != before || len(p.Annotations) > 0 {
		t.Error("a simulation of a policy that enforces has changed something")
	}
	// One that simulates is run.
	out, code, _ = call(t, "", "simulate", "billing", "--timeout", "1100ms")
	must(t, c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: "billing"}, p))
	if code != exitTimeout || p.Annotations[v1alpha1.AnnotationRequestedAt] == "" || !strings.Contains(out, "(Simulate)") {
		t.Errorf("got %d, %s", code, out)
	}
}

func TestHoldCreate(t *testing.T) {
	c, ns := kubeconfigOf(t)
	sealed := filepath.Join(t.TempDir(), "sealed")
	const text = "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl\n-----END AGE ENCRYPTED FILE-----\n"
	must(t, os.WriteFile(sealed, []byte(text), 0o600))
	why := []string{"--reason", "a lawsuit", "--authority", "a court"}
	for name, tc := range map[string]struct {
		args []string
		is   func(s *v1alpha1.LegalHoldSpec) bool
	}{
		"everything": {nil, func(s *v1alpha1.LegalHoldSpec) bool {
			return s.Datasets == nil && s.Subject == nil && s.Condition == nil
		}},
		"datasets": {[]string{"--dataset", "a,b", "--datasets", "c", "--data-class", "ip", "--reference", "3 O 17/26"}, func(s *v1alpha1.LegalHoldSpec) bool {
			return slices.Equal(s.Datasets, []v1alpha1.DatasetName{"a", "b", "c"}) && s.DataClasses[0] == "ip" && s.Reference == "3 O 17/26"
		}},
		"selector": {[]string{"-l", "a=b,c in (d,e),!f"}, func(s *v1alpha1.LegalHoldSpec) bool {
			return s.DatastoreSelector.MatchLabels["a"] == "b" && len(s.DatastoreSelector.MatchExpressions) == 2
		}},
		"a person":  {[]string{"--secret", "person"}, func(s *v1alpha1.LegalHoldSpec) bool { return s.Subject.SecretRef.Name == "person" }},
		"sealed":    {[]string{"--sealed", sealed}, func(s *v1alpha1.LegalHoldSpec) bool { return s.Subject.Sealed == text }},
		"condition": {[]string{"--dataset", "a", "--field", "n", "--operator", "In", "--value", "1", "--value", "2"}, func(s *v1alpha1.LegalHoldSpec) bool { return len(s.Condition.Values) == 2 }},
	} {
		t.Run(name, func(t *testing.T) {
			hold := "case-" + strings.ReplaceAll(name, " ", "-")
			out, _, err := call(t, "", append(append([]string{"hold", "create", hold}, why...), tc.args...)...)
			must(t, err)
			h := &v1alpha1.LegalHold{}
			must(t, c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: hold}, h))
			if !tc.is(&h.Spec) || h.Spec.Reason != "a lawsuit" || !strings.Contains(out, "is created") {
				t.Errorf("got %+v, %s", h.Spec, out)
			}
		})
	}
	for name, tc := range map[string]struct {
		args []string
		want string
	}{
		"no reason":    {[]string{"x", "--authority", "a court"}, "--reason is missing"},
		"no authority": {[]string{"x", "--reason", "y"}, "--authority is missing"},
		"two persons":  {append([]string{"x", "--secret", "a", "--sealed", sealed}, why...), "not both"},
		"no file":      {append([]string{"x", "--sealed", "/none"}, why...), "--sealed"},
		"no field":     {append([]string{"x", "--value", "a"}, why...), "--field"},
		"a person's":   {append([]string{"anna-at-example.com"}, why...), "looks like an e-mail"},
		"no dataset":   {append([]string{"x", "--field", "a", "--value", "b"}, why...), "name the datasets"},
		"bad selector": {append([]string{"x", "-l", "a in"}, why...), "--selector"},
		"twice":        {append([]string{"case-everything"}, why...), "already exists"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, code, err := call(t, "", append([]string{"hold", "create"}, tc.args...)...); err == nil || code != 1 || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %d, %v", code, err)
			}
		})
	}
	t.Run("dry run", func(t *testing.T) {
		out, _, err := call(t, "", append([]string{"hold", "create", "dry", "--dataset", "a", "--dry-run"}, why...)...)
		must(t, err)
		h := &v1alpha1.LegalHold{}
		must(t, yaml.UnmarshalStrict([]byte(out), h))
		if h.Name != "dry" || h.Kind != "LegalHold" || h.Spec.Datasets[0] != "a" || c.Get(t.Context(), client.ObjectKeyFromObject(h), h) == nil {
			t.Errorf("got %s", out)
		}
		must(t, c.Create(t.Context(), h)) // it can be applied
	})
	t.Run("wait", func(t *testing.T) {
		for reason, code := range map[string]int{v1alpha1.ReasonEnforced: 0, v1alpha1.ReasonMatchesNothing: exitNotAll, v1alpha1.ReasonRegistering: exitTimeout} {
			name := "wait-" + strings.ToLower(reason)
			go func() {
				h := &v1alpha1.LegalHold{}
				waitFor(t, "the hold is created", func() bool { return c.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, h) == nil })
				status := metav1.ConditionFalse
				if code == 0 {
					status = metav1.ConditionTrue
				}
				h.Status.ObservedGeneration = h.Generation
				h.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionEnforced, Status: status, Reason: reason, Message: "Why.", LastTransitionTime: metav1.Now()}}
				must(t, c.Status().Update(t.Context(), h))
			}()
			timeout := "30s"
			if code == exitTimeout {
				timeout = "5s"
			}
			out, got, err := call(t, "", append([]string{"hold", "create", name, "--wait", "--timeout", timeout}, why...)...)
			if got != code || !strings.Contains(out, "Why.") {
				t.Errorf("%s: got %d, %v, %s", reason, got, err, out)
			}
		}
	})
	t.Run("release", func(t *testing.T) {
		_, _, err := call(t, "", "release", "case-everything", "--reason", "it has ended")
		must(t, err)
	})
}

func TestCompletion(t *testing.T) {
	_, ns := shop(t)
	for line, want := range map[string]string{
		"run ":                     "billing\nclosed\ntax\ntelemetry\n",
		"explain ":                 "archive\ncrm\n",
		"explain crm ":             "accounts\ndevice_events\ninvoices\naccess_log\nnotes\n",
		"approve ":                 "case-2026-090\n",
		"hold release ":            "audit-2026\n",
		"watch ":                   "archive\n",
		"evidence get ":            "case-3-o-17-26\n",
		"status -n ":               ns + "\n",
		"status -o ":               "wide\njson\nyaml\n",
		"status --context ":        "test\n",
		"evidence list --kind ":    "Conclusion\n",
		"approve-plan --digest x ": "closed\n",
	} {
		t.Run(line, func(t *testing.T) {
			args := strings.Split(line, " ")
			out, _, err := call(t, "", append([]string{"__complete"}, args...)...)
			must(t, err)
			if !strings.Contains(out, want) || !strings.Contains(out, "\n:4") {
				t.Errorf("got %s", out)
			}
		})
	}
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
	t.Setenv("HOME", t.TempDir())
	if out, _, err := call(t, "", "__complete", "run", ""); err != nil || !strings.HasPrefix(out, ":4") {
		t.Errorf("without a cluster: %q, %v", out, err)
	}
}

func TestErrorsOfTheCluster(t *testing.T) {
	c, ns := kubeconfigOf(t)
	must(t, c.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "x"}}))
	t.Run("forbidden", func(t *testing.T) {
		if _, _, err := call(t, "", "run", "x", "--as", "nobody"); err == nil || !strings.Contains(err.Error(), "you may not do that here") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no such context", func(t *testing.T) {
		if _, _, err := call(t, "", "status", "--context", "nowhere"); err == nil || !strings.Contains(err.Error(), "nowhere") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("no kubeconfig", func(t *testing.T) {
		t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "none"))
		t.Setenv("HOME", t.TempDir())
		if _, _, err := call(t, "", "status"); err == nil || !strings.Contains(err.Error(), "set KUBECONFIG, or give --kubeconfig") {
			t.Errorf("got %v", err)
		}
	})
}
