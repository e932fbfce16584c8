// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/testing/apiserver"
	"dataretention.dev/retention-operator/internal/testing/fixture"
)

func TestKubectlGet(t *testing.T) {
	srv := apiserver.Get(t)
	datastore := create(t, fullDatastore, &v1alpha1.Datastore{})
	ns := datastore.Namespace
	policy := object(t, fullRetentionPolicy)
	policy.SetNamespace(ns)
	if err := srv.Client.Create(t.Context(), policy); err != nil {
		t.Fatal(complaints(err))
	}
	for _, manifest := range []string{fullErasureRequest, fullLegalHold} {
		stored(t, ns, manifest)
	}

	// Before any controller has looked.
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"Datastores": {[]string{"get", "dstore"},
			"NAME|ENGINE|VERSION|DATASETS|RECORDS|OLDEST|ACTIVE RUN|READY|REASON|AGE\n" +
				"shop|-|-|-|-|-|-|-|-|-"},
		"RetentionPolicies": {[]string{"get", "retpol"},
			"NAME|SCHEDULE|MODE|DATASTORES|LAST RUN|OUTCOME|MATCHED|DELETED|ANONYMIZED|REMAINING|COMPLIANT|READY|AGE\n" +
				"shop|0 3 * * *|-|-|-|-|-|-|-|-|-|-|-"},
		"ErasureRequests": {[]string{"get", "erasure"},
			"NAME|REGULATION|STATE|OUTCOME|FOUND|ERASED|VERIFIED|DUE|OVERDUE|AGE\n" +
				"shop|-|-|-|-|-|-|-|-|-"},
		"LegalHolds": {[]string{"get", "hold"},
			"NAME|ENFORCED|REASON|DATASTORES|RECORDS|SINCE|AUTHORITY|AGE\n" +
				"shop|-|-|-|-|-|Landgericht Berlin|-"},
	} {
		t.Run("new "+name, func(t *testing.T) { kubectlGet(t, ns, c.want, c.args...) })
	}

	setStatus(t, ns, "Datastore", `
observedGeneration: 1
engine: postgresql
serverVersion: "17.2"
identity: postgresql/7301234567890123456/shop
datasetCount: 2
records: 1234567
oldestRecordTime: "2000-01-01T00:00:00Z"
activeRun: {name: shop-20260101030000, policy: shop, policyUID: u, acquiredTime: "2026-01-01T03:00:00Z"}
conditions:
- {type: Reachable, status: "True", reason: Reachable, message: The server answers, lastTransitionTime: "2026-01-01T03:00:00Z"}
- {type: Ready, status: "False", reason: TableMissing, message: Table x is missing, lastTransitionTime: "2026-01-01T03:00:00Z"}`)
	setStatus(t, ns, "RetentionPolicy", `
observedGeneration: 1
mode: Enforce
selectedDatastores: 1
nextScheduleTime: "2026-01-02T03:00:00Z"
lastRun:
  name: shop-20260101030000
  trigger: Schedule
  slot: "2000-01-01T03:00:00Z"
  mode: Enforce
  startTime: "2000-01-01T03:00:00Z"
  outcome: Incomplete
  matched: 20
  deleted: 12
  anonymized: 3
  remaining: 5
conditions:
- {type: Ready, status: "False", reason: RunIncomplete, message: 5 records remain, lastTransitionTime: "2026-01-01T03:00:00Z"}
- {type: Compliant, status: "False", reason: OverdueRecords, message: m, lastTransitionTime: "2026-01-01T03:00:00Z"}`)
	setStatus(t, ns, "ErasureRequest", `
observedGeneration: 1
regulation: CCPA
state: RetainedByHold
outcome: RetainedByHold
found: 19
erased: 12
dueTime: "2027-01-04T07:59:59Z"
datastores:
- {name: shop, step: Finished, outcome: RetainedByHold, holds: [lh-2026-0007], datasets: [{name: orders, action: Delete, outcome: RetainedByHold, found: 7, held: 7}]}
conditions:
- {type: Ready, status: "False", reason: RetainedByHold, message: A hold keeps 7 records, lastTransitionTime: "2026-01-01T03:00:00Z"}
- {type: Verified, status: "True", reason: Verified, message: m, lastTransitionTime: "2026-01-01T03:00:00Z"}
- {type: Overdue, status: "False", reason: DueWithinDay, message: m, lastTransitionTime: "2026-01-01T03:00:00Z"}`)
	setStatus(t, ns, "LegalHold", `
observedGeneration: 1
selectedDatastores: 2
records: 31
enforcedTime: "2000-01-01T03:00:00Z"
datastores:
- {name: shop, registeredTime: "2000-01-01T03:00:00Z", waitingFor: shop-20260101030000}
conditions:
- {type: Enforced, status: "True", reason: Enforced, message: Nothing is deleted, lastTransitionTime: "2026-01-01T03:00:00Z"}`)

	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"Datastores": {[]string{"get", "dstore"},
			"NAME|ENGINE|VERSION|DATASETS|RECORDS|OLDEST|ACTIVE RUN|READY|REASON|AGE\n" +
				"shop|postgresql|17.2|2|1234567|-|shop-20260101030000|False|TableMissing|-"},
		"wide Datastores": {[]string{"get", "datastores", "-o", "wide"},
			"NAME|ENGINE|VERSION|DATASETS|RECORDS|OLDEST|ACTIVE RUN|READY|REASON|MESSAGE|IDENTITY|AGE\n" +
				"shop|postgresql|17.2|2|1234567|-|shop-20260101030000|False|TableMissing|Table x is missing|postgresql/7301234567890123456/shop|-"},
		"RetentionPolicies": {[]string{"get", "retpol"},
			"NAME|SCHEDULE|MODE|DATASTORES|LAST RUN|OUTCOME|MATCHED|DELETED|ANONYMIZED|REMAINING|COMPLIANT|READY|AGE\n" +
				"shop|0 3 * * *|Enforce|1|-|Incomplete|20|12|3|5|False|False|-"},
		"wide RetentionPolicies": {[]string{"get", "retentionpolicies", "-o", "wide"},
			"NAME|SCHEDULE|MODE|DATASTORES|LAST RUN|OUTCOME|MATCHED|DELETED|ANONYMIZED|REMAINING|COMPLIANT|READY|REASON|MESSAGE|SUSPEND|NEXT|AGE\n" +
				"shop|0 3 * * *|Enforce|1|-|Incomplete|20|12|3|5|False|False|RunIncomplete|5 records remain|false|2026-01-02T03:00:00Z|-"},
		"ErasureRequests": {[]string{"get", "erasure"},
			"NAME|REGULATION|STATE|OUTCOME|FOUND|ERASED|VERIFIED|DUE|OVERDUE|AGE\n" +
				"shop|CCPA|RetainedByHold|RetainedByHold|19|12|True|2027-01-04T07:59:59Z|False|-"},
		"wide ErasureRequests": {[]string{"get", "erasurerequests", "-o", "wide"},
			"NAME|REGULATION|STATE|OUTCOME|FOUND|ERASED|VERIFIED|DUE|OVERDUE|MESSAGE|AGE\n" +
				"shop|CCPA|RetainedByHold|RetainedByHold|19|12|True|2027-01-04T07:59:59Z|False|A hold keeps 7 records|-"},
		"LegalHolds": {[]string{"get", "hold"},
			"NAME|ENFORCED|REASON|DATASTORES|RECORDS|SINCE|AUTHORITY|AGE\n" +
				"shop|True|Enforced|2|31|-|Landgericht Berlin|-"},
		"wide LegalHolds": {[]string{"get", "legalholds", "-o", "wide"},
			"NAME|ENFORCED|REASON|DATASTORES|RECORDS|SINCE|AUTHORITY|REFERENCE|MESSAGE|AGE\n" +
				"shop|True|Enforced|2|31|-|Landgericht Berlin|2 O 123/26|Nothing is deleted|-"},
	} {
		t.Run(name, func(t *testing.T) { kubectlGet(t, ns, c.want, c.args...) })
	}

	t.Run("kubectl describe shows what matters", func(t *testing.T) {
		for kind, want := range map[string][]string{
			"erasure": {"Due Time:", "Outcome:", "lh-2026-0007", "Held:", "A hold keeps 7 records", "er-2026-0042"},
			"hold":    {"Waiting For:", "shop-20260101030000", "Landgericht Berlin", "settled"},
		} {
			out, err := srv.Kubectl(t, "", "describe", kind, "shop", "-n", ns)
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range want {
				if !strings.Contains(out, w) {
					t.Errorf("%s: %q is not in:\n%s", kind, w, out)
				}
			}
		}
	})
	t.Run("the category lists all kinds", func(t *testing.T) {
		out, err := srv.Kubectl(t, "", "get", "retention", "-o", "name", "-n", ns)
		if err != nil {
			t.Fatal(err)
		}
		want := "datastore.dataretention.dev/shop\nerasurerequest.dataretention.dev/shop\nlegalhold.dataretention.dev/shop\nretentionpolicy.dataretention.dev/shop\n"
		if diff := cmp.Diff(want, out); diff != "" {
			t.Errorf("kubectl get retention (-want +got):\n%s", diff)
		}
	})
}

// kubectlGet compares a table of one object. Cells that differ from run to run, which are ages, and those with nothing
// in them are "-".
func kubectlGet(t *testing.T, namespace, want string, args ...string) {
	t.Helper()
	out, err := apiserver.Get(t).Kubectl(t, "", append(args, "-n", namespace)...)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	// A column begins where its title does; titles are one or two words.
	var starts []int
	for _, at := range regexp.MustCompile(`\S+( \S+)*`).FindAllStringIndex(lines[0], -1) {
		starts = append(starts, at[0])
	}
	var table []string
	for _, line := range lines {
		var cells []string
		for i, from := range starts {
			to := len(line)
			if i+1 < len(starts) {
				to = min(to, starts[i+1])
			}
			cell := "-"
			if from < len(line) {
				cell = strings.TrimSpace(line[from:to])
			}
			if cell == "" || cell == "<none>" || regexp.MustCompile(`^([0-9]+[smhdy])+$`).MatchString(cell) {
				cell = "-"
			}
			cells = append(cells, cell)
		}
		table = append(table, strings.Join(cells, "|"))
	}
	if diff := cmp.Diff(want, strings.Join(table, "\n")); diff != "" {
		t.Errorf("kubectl %s (-want +got):\n%s", strings.Join(args, " "), diff)
	}
}

// setStatus writes the status of the object named shop.
func setStatus(t *testing.T, namespace, kind, status string) {
	t.Helper()
	obj := object(t, "apiVersion: dataretention.dev/v1alpha1\nkind: "+kind)
	obj.SetNamespace(namespace)
	obj.SetName("shop")
	body, err := yaml.YAMLToJSON([]byte("status:\n  " + strings.ReplaceAll(strings.TrimSpace(status), "\n", "\n  ")))
	if err != nil {
		t.Fatal(err)
	}
	if err := apiserver.Get(t).Client.Status().Patch(t.Context(), obj, client.RawPatch("application/merge-patch+json", body)); err != nil {
		t.Fatal(complaints(err))
	}
}

// What a person sees who applies a file with mistakes: all of them at once, except that an unknown field comes first.
func TestKubectlApplyOfMistakes(t *testing.T) {
	srv := apiserver.Get(t)
	for name, c := range map[string]struct {
		patch string
		want  []string
	}{
		"unknown field": {`spec: {rules: [{name: a, startFrom: closed_at}]}`, []string{`unknown field "spec.rules[0].startFrom"`}},
		"several mistakes": {`spec: {schedule: "61 3 * * 7", timeZone: Europe/Berln, rules: [{name: a, deleteAfter: 90d}]}`, []string{
			"* spec.schedule: Invalid value: \"61 3 * * 7\": the first field of schedule is the minute: 0 to 59, or *",
			"* spec.schedule: Invalid value: \"61 3 * * 7\": the fifth field of schedule is the day of the week: 0 (Sunday) to 6, SUN to SAT, or *",
			"unknown time zone Europe/Berln",
			"* spec.rules[0]: Invalid value: say what the rule covers: set datasets, or dataClasses",
			"* spec.rules[0].deleteAfter: Invalid value: \"90d\": " + badPeriod,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := object(t, leastRetentionPolicy, c.patch).MarshalJSON()
			if err != nil {
				t.Fatal(err)
			}
			_, err = srv.Kubectl(t, string(body), "apply", "-n", srv.Namespace(t), "-f", "-")
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}

func TestKubectlExplain(t *testing.T) {
	srv := apiserver.Get(t)
	for path, want := range map[string]string{
		"retpol":                          "start with mode: Simulate",
		"retpol.spec.rules":               "deleteAfter\t<string>\n    deleteAfter is the period",
		"retpol.spec.rules.anonymize":     "enum: Null, Constant, TruncateIP, TruncateDate",
		"retpol.status.lastRun":           "slot is the time that the run is for",
		"dstore.spec.postgresql":          "secretRef\t<Object> -required-",
		"dstore.spec.datasets":            "timestampField is the field that a record's age runs from",
		"dstore.status.datasets":          "timestampIndexed says whether",
		"dstore.spec.datasets.references": "key\t<string> -required-",
		"erasure.spec.subject":            "the operator itself never reads it",
		"erasure.status.datastores":       "enum: Find, Finding, Found, Erase, ....",
		"hold":                            "Condition Enforced is a guarantee",
		"hold.spec.condition":             "operator\t<string> -required-",
	} {
		t.Run(path, func(t *testing.T) {
			var out string
			eventually(t, "explained", func() (done bool) { // the server publishes its schemas after a while
				var err error
				out, err = srv.Kubectl(t, "", "explain", path)
				return err == nil
			})
			if !strings.Contains(out, want) {
				t.Errorf("%q is not in:\n%s", want, out)
			}
		})
	}
}

// kubectl explain wraps lines of more than 76 characters, and keeps the ends of lines that are there: a longer line would
// leave a few words on a line of their own.
func TestDescriptionsFitATerminal(t *testing.T) {
	root, err := fixture.Root()
	if err != nil {
		t.Fatal(err)
	}
	crds, err := filepath.Glob(filepath.Join(root, "config/crd/bases/*.yaml"))
	if err != nil || len(crds) == 0 {
		t.Fatal(crds, err)
	}
	for _, file := range crds {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var crd map[string]any
		if err := yaml.Unmarshal(text, &crd); err != nil {
			t.Fatal(err)
		}
		properties := 0
		walk(crd["spec"], "", func(path string, schema map[string]any) {
			properties++
			description, _ := schema["description"].(string)
			if description == "" {
				t.Errorf("%s says nothing", path)
			}
			for line := range strings.Lines(description) {
				// Those of apiVersion, kind and conditions are written elsewhere.
				if len(strings.TrimSuffix(line, "\n")) > 76 && !regexp.MustCompile(`(^|\.)(apiVersion|kind)$|\.conditions\.`).MatchString(path) {
					t.Errorf("%s: %q has %d characters", path, line, len(line))
				}
			}
		})
		if properties < 40 {
			t.Errorf("%s: only %d fields were found", file, properties)
		}
	}
}

// walk calls visit for each field of a schema.
func walk(node any, path string, visit func(path string, schema map[string]any)) {
	switch node := node.(type) {
	case []any:
		for _, n := range node {
			walk(n, path, visit)
		}
	case map[string]any:
		for key, below := range node {
			properties, ok := below.(map[string]any)
			if key != "properties" || !ok {
				walk(below, path, visit)
				continue
			}
			for name, schema := range properties {
				schema, ok := schema.(map[string]any)
				if !ok {
					continue
				}
				at := strings.TrimPrefix(path+"."+name, ".")
				if at != "metadata" {
					visit(at, schema)
				}
				walk(schema, at, visit)
			}
		}
	}
}
