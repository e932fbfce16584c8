// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"dataretention.dev/retention-operator/api/v1alpha1"
)

func TestStatus(t *testing.T) {
	_, ns := shop(t)
	c, err := (&target{}).connect()
	must(t, err)
	for name, tc := range map[string]struct{ wide, all bool }{"status": {}, "status-wide-all": {true, true}} {
		t.Run(name, func(t *testing.T) {
			o, err := c.overview(t.Context(), ns, tc.all, shopNow)
			must(t, err)
			var out bytes.Buffer
			plainTerminal(t, &out).overview(o, tc.wide, tc.all)
			golden(t, name, strings.ReplaceAll(out.String(), ns, "shop"))
		})
	}
	t.Run("a terminal", func(t *testing.T) {
		o, err := c.overview(t.Context(), ns, false, shopNow)
		must(t, err)
		var out bytes.Buffer
		term := plainTerminal(t, &out)
		term.colors, term.width = true, 60
		term.overview(o, false, false)
		if !strings.Contains(out.String(), "\x1b[31m✗\x1b[0m") {
			t.Error("there is no colour")
		}
		for _, line := range strings.Split(sgr.ReplaceAllString(out.String(), ""), "\n") {
			if n := utf8.RuneCountInString(line); n > 60 {
				t.Errorf("a line of %d columns on a terminal of 60: %s", n, line)
			}
		}
	})
	t.Run("json", func(t *testing.T) {
		out, _, err := call(t, "", "status", "-o", "json")
		must(t, err)
		var o overview
		must(t, json.Unmarshal([]byte(out), &o))
		if len(o.Namespaces) != 1 || len(o.Namespaces[0].Requests) != 5 || len(o.Namespaces[0].Holds) != 3 || o.Namespaces[0].Answered != 1 {
			t.Errorf("got %s", out)
		}
		yamlOut, _, err := call(t, "", "status", "-o", "yaml")
		must(t, err)
		var again overview
		must(t, yaml.UnmarshalStrict([]byte(yamlOut), &again))
		if len(again.Namespaces[0].Policies) != 4 {
			t.Errorf("got %s", yamlOut)
		}
	})
	t.Run("piped", func(t *testing.T) {
		t.Setenv("TERM", "xterm-256color")
		out, _, err := call(t, "", "status", "-A")
		must(t, err)
		if strings.Contains(out, "\x1b") || !strings.Contains(out, ns) {
			t.Errorf("got %q", out)
		}
	})
	t.Run("another format", func(t *testing.T) {
		if _, code, err := call(t, "", "status", "-o", "xml"); err == nil || code != 1 || !strings.Contains(err.Error(), "wide, json, yaml") {
			t.Errorf("got %d, %v", code, err)
		}
	})
}

func TestStatusOfManyRequests(t *testing.T) {
	now := time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)
	ns := &namespaceOverview{Name: "shop"}
	for i := range 30 {
		r := &v1alpha1.ErasureRequest{}
		r.Name = fmt.Sprintf("case-%d", i)
		r.Status.State = v1alpha1.ErasureFinding
		r.Status.DueTime = ptr.To(metav1.NewTime(now.Add(time.Duration(i) * 24 * time.Hour)))
		ns.addRequest(r, false, now)
	}
	var out bytes.Buffer
	plainTerminal(t, &out).overview(&overview{Namespaces: []*namespaceOverview{ns}}, false, false)
	if !strings.Contains(out.String(), "the first 20 of 30 open ones") || strings.Count(out.String(), "case-") != 20 {
		t.Errorf("got %s", out.String())
	}
}

// TestStatusOfWhoMayNotSeeAll: what a person may not list is said, and the rest is shown.
func TestStatusOfWhoMayNotSeeAll(t *testing.T) {
	c, ns := shop(t)
	must(t, c.Create(t.Context(), &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "policies"},
		Rules:      []rbacv1.PolicyRule{{APIGroups: []string{v1alpha1.Group}, Resources: []string{"retentionpolicies"}, Verbs: []string{"list"}}},
	}))
	must(t, c.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "policies"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "policies"},
		Subjects: []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: "viewer"}},
	}))
	out, _, err := call(t, "", "status", "--as", "viewer")
	must(t, err)
	if !strings.Contains(out, "telemetry") || strings.Contains(out, "archive") || !strings.Contains(out, "Not shown: LegalHolds: you may not list them here") {
		t.Errorf("got %s", out)
	}
	_, code, err := call(t, "", "status", "--as", "nobody")
	if err == nil || code != 1 || !strings.Contains(err.Error(), "--context or --as") {
		t.Errorf("got %d, %v", code, err)
	}
}
