// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/testing/apiserver"
)

func TestOddButValidDatastores(t *testing.T) {
	accepted(t, leastDatastore, map[string]string{
		"nothing but what is required": `metadata: {name: least}`,
		"name of 63 characters":        `metadata: {name: ` + strings.Repeat("x", 63) + `}`,
		"Secret with dots":             `spec: {postgresql: {secretRef: {name: shop.app.v2}}}`,
		"table in capitals":            `spec: {datasets: [{name: Customer}, {name: customer}]}`,
		"table with a dollar sign":     `spec: {datasets: [{name: a, path: v$session}]}`,
		"schema and table":             `spec: {datasets: [{name: a, path: sales.orders}]}`,
		"table with a space":           `spec: {datasets: [{name: order_details, path: 'sales."Order Details"'}]}`,
		"space without quotes":         `spec: {datasets: [{name: order_details, path: sales.Order Details}]}`,
		"dots and quotes in names":     `spec: {datasets: [{name: a, path: '"my.schema"."say ""hi"""'}]}`,
		"table in Chinese":             `spec: {datasets: [{name: customers, path: 客戶, timestampField: 建立時間}]}`,
		"columns in capitals":          `spec: {datasets: [{name: a, timestampField: CreatedAt}]}`,
		"columns with spaces":          `spec: {datasets: [{name: a, timestampField: "Created At (UTC)", identifiers: [{type: email, field: "E-Mail"}]}]}`,
		"column with a quote":          `spec: {datasets: [{name: a, timestampField: "it's \"the\" time; --"}]}`,
		"reference to itself":          `spec: {datasets: [{name: employee, references: [{field: reports_to, dataset: employee, key: employee_id}]}]}`,
		"two references to one table":  `spec: {datasets: [{name: a}, {name: b, references: [{field: from_id, dataset: a, key: id}, {field: to_id, dataset: a, key: id}]}]}`,
		"references in a circle":       `spec: {datasets: [{name: a, references: [{field: b_id, dataset: b, key: id}]}, {name: b, references: [{field: a_id, dataset: a, key: id}]}]}`,
		"one type in two fields":       `spec: {datasets: [{name: a, identifiers: [{type: email, field: mail}, {type: email, field: mail2}]}]}`,
		"one field of two types":       `spec: {datasets: [{name: a, identifiers: [{type: email, field: login}, {type: username, field: login}]}]}`,
		"seconds since 1970":           `spec: {datasets: [{name: a, timestampField: ts, timestampFormat: UnixSeconds}]}`,
		"folded text":                  "spec:\n  datasets:\n  - name: a\n    onErasure:\n      action: Retain\n      legalBasis: >-\n        § 147 AO,\n        ten years",
		"64 datasets":                  `spec: {datasets: [` + fill(64, "{name: t%d}") + `]}`,
		"zone with a sign":             `spec: {timeZone: Etc/GMT+5}`,
		"zone of three parts":          `spec: {timeZone: America/Argentina/Buenos_Aires}`,
	})
}

func TestOddButValidRetentionPolicies(t *testing.T) {
	cases := map[string]string{
		"nothing but what is required": `metadata: {name: least}`,
		"selector by existence":        `spec: {datastoreSelector: {matchLabels: null, matchExpressions: [{key: data.example.com/personal, operator: Exists}]}}`,
		"selector by one of some":      `spec: {datastoreSelector: {matchLabels: null, matchExpressions: [{key: env, operator: In, values: [prod, ""]}, {key: old, operator: DoesNotExist}]}}`,
		"label of an empty value":      `spec: {datastoreSelector: {matchLabels: {personal: ""}}}`,
		"retaining only":               `spec: {rules: [{name: tax, datasets: [invoice], retainAtLeast: P7Y}]}`,
		"both periods":                 `spec: {rules: [{name: tax, datasets: [invoice], retainAtLeast: P7Y, deleteAfter: P8Y}]}`,
		"classes and datasets":         `spec: {rules: [{name: a, datasets: [x], dataClasses: [user.contact.email], deleteAfter: P1D}]}`,
		"field of its own":             `spec: {rules: [{name: a, datasets: [x], deleteAfter: P1D, startingFrom: "Closed At"}]}`,
		"field of a parent":            `spec: {rules: [{name: a, datasets: [x], deleteAfter: P1D, startingFrom: order-header.Closed At}]}`,
		"every way to anonymize": anonymize(`{field: "E-Mail", with: HMAC, keyRef: {name: keys, key: mail.key}}, {field: name, with: "Null"},
			{field: ip, with: TruncateIP}, {field: born, with: TruncateDate, unit: Year}, {field: note, with: Constant, value: ""}`),
		"guardrail on records only": `spec: {guardrails: {maxRecords: 9007199254740993}}`,
		"guardrail of 100 percent":  `spec: {guardrails: {maxPercent: 100}}`,
		"no history":                `spec: {successfulRunsHistoryLimit: 0, failedRunsHistoryLimit: 0}`,
		"64 rules":                  `spec: {rules: [` + fill(64, "{name: r%d, datasets: [a], deleteAfter: P1D}") + `]}`,
	}
	for _, p := range []string{"P1D", "P90D", "P11M", "P7Y", "P2W", "PT12H", "PT90M", "PT1S", "P1Y2M10DT2H30M", "P0Y6M", "P1Y2M3W4DT5H6M7S", "P06M", "P999Y", "P99999D"} {
		cases["period "+p] = rule(p)
	}
	for _, line := range []string{"@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly", "* * * * *", "*/15 * * * *", "0 3 * * MON-FRI",
		"0 3 ? * sun", "5,10-20/2,59 0,12 1,15 jan,JUL *", "  0  3  *  *  0 ", "0 22-23,0-4 * * *", "0 3 29 2 *", "00 03 01 01 *", "0 1/6 * * *"} {
		cases["schedule "+line] = "spec: {schedule: " + quoted(line) + "}"
	}
	for _, zone := range []string{"UTC", "Asia/Taipei", "Europe/Berlin", "GMT", "EST5EDT"} {
		cases["zone "+zone] = "spec: {timeZone: " + zone + "}"
	}
	accepted(t, leastRetentionPolicy, cases)
}

func TestOddButValidErasureRequests(t *testing.T) {
	accepted(t, leastErasureRequest, map[string]string{
		"nothing but what is required": `metadata: {name: least}`,
		"some namespaces":              `spec: {namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [shop, billing]}]}}`,
		"received long ago":            `spec: {receivedTime: "2026-01-31T23:59:59+01:00"}`,
		"holidays of a country":        `spec: {timeZone: Asia/Taipei, holidays: TW}`,
		"recheck by the hour":          `spec: {recheckFor: P35D, recheckEvery: PT6H}`,
		"Californian":                  `spec: {regulation: CCPA, subjectSecretPolicy: Keep, approval: Automatic}`,
	})
}

func TestOddButValidLegalHolds(t *testing.T) {
	condition := func(c string) string { return `spec: {datasets: [a], condition: {` + c + `}}` }
	accepted(t, leastLegalHold, map[string]string{
		"nothing but what is required": `metadata: {name: least}`,
		"a person, everywhere":         `spec: {subject: {secretRef: {name: lh-1}}}`,
		"a person, in a class":         `spec: {dataClasses: [billing], subject: {secretRef: {name: lh-1}}}`,
		"datasets and classes":         `spec: {datasets: [Customer], dataClasses: [user.contact.email]}`,
		"64 values":                    condition(`field: "Order State", operator: In, values: [` + fill(64, `"%d"`) + `]`),
		"none of some":                 condition(`field: f, operator: NotIn, values: [closed]`),
		"since a time":                 condition(`field: f, operator: AtLeast, values: ["2026-11-20T09:00:00.123456Z"]`),
		"up to a number":               condition(`field: f, operator: AtMost, values: ["-12345.67"]`),
		"any":                          condition(`field: f, operator: Exists`),
		"none":                         condition(`field: f, operator: DoesNotExist`),
		"released from the beginning":  `spec: {release: {reason: restored from a backup}}`,
	})
}

func accepted(t *testing.T, least string, cases map[string]string) {
	for name, patch := range cases {
		t.Run(name, func(t *testing.T) {
			if err := tryCreate(t, object(t, least, patch)); err != nil {
				t.Error(complaints(err))
			}
		})
	}
}

const (
	fullDatastore = `
apiVersion: dataretention.dev/v1alpha1
kind: Datastore
metadata: {name: shop, labels: {app: shop}}
spec:
  postgresql: {secretRef: {name: shop-app}}
  timeZone: Europe/Berlin
  datasets:
  - name: customer
    path: public.customer
    dataClass: contact
    categories: [user.contact.email, user.name]
    timestampField: created_at
    timestampFormat: Native
    identifiers: [{type: email, field: email, match: IgnoreCase}, {type: customer_id, field: customer_id, leads: Always}]
    onErasure: {action: Anonymize, anonymize: [{field: email, with: "Null"}]}
  - name: invoice
    timestampField: issued_on
    references: [{field: customer_id, dataset: customer, key: customer_id}]
    onErasure: {action: Retain, legalBasis: "tax law, 7 years"}
  purposes: [performance of contract]
  recipients: [payment provider]
  backups: {retention: P35D}
  allowErasureFrom: [privacy]
  erasureApproval: Required`
	fullRetentionPolicy = `
apiVersion: dataretention.dev/v1alpha1
kind: RetentionPolicy
metadata: {name: shop}
spec:
  datastoreSelector:
    matchLabels: {app: shop}
    matchExpressions: [{key: env, operator: NotIn, values: [dev]}]
  schedule: "0 3 * * *"
  timeZone: Asia/Taipei
  startingDeadlineSeconds: 3600
  suspend: false
  mode: Enforce
  rules:
  - {name: closed, datasets: [customer], deleteAfter: P30D, startingFrom: contract_ended_at}
  - name: addresses
    dataClasses: [ip]
    deleteAfter: P90D
    action: Anonymize
    anonymize:
    - {field: ip, with: TruncateIP}
    - {field: name, with: Constant, value: "-"}
    - {field: born, with: TruncateDate, unit: Year}
    - {field: email, with: HMAC, keyRef: {name: keys, key: email}}
  - {name: tax, datasets: [invoice], retainAtLeast: P7Y, legalBasis: tax law}
  guardrails: {maxRecords: 1000000, maxPercent: 20}
  activeDeadlineSeconds: 3600
  successfulRunsHistoryLimit: 5
  failedRunsHistoryLimit: 5`
	fullErasureRequest = `
apiVersion: dataretention.dev/v1alpha1
kind: ErasureRequest
metadata: {name: shop}
spec:
  subject: {secretRef: {name: er-2026-0042}}
  subjectSecretPolicy: Keep
  datastoreSelector: {matchLabels: {app: shop}}
  namespaceSelector: {matchLabels: {app: shop}, matchExpressions: [{key: env, operator: NotIn, values: [dev]}]}
  regulation: CCPA
  ground: Objection
  receivedTime: "2026-11-20T09:00:00Z"
  timeZone: America/Los_Angeles
  holidays: US
  approval: Required
  recheckFor: P35D
  recheckEvery: PT12H
  reference: ER-2026-0042`
	fullLegalHold = `
apiVersion: dataretention.dev/v1alpha1
kind: LegalHold
metadata: {name: shop}
spec:
  datastoreSelector: {matchLabels: {app: shop}}
  datasets: [orders]
  dataClasses: [billing]
  condition: {field: ordered_at, operator: AtLeast, values: ["2026-03-01"]}
  reason: lawsuit about deliveries
  authority: Landgericht Berlin
  reference: 2 O 123/26
  release: {reason: settled}`
)

// The API server adds nothing to a spec, or a tool that compares it with a file would see a difference for ever.
func TestNothingIsWrittenIntoASpec(t *testing.T) {
	srv := apiserver.Get(t)
	for name, manifest := range map[string]string{
		"least Datastore": leastDatastore, "full Datastore": fullDatastore,
		"least RetentionPolicy": leastRetentionPolicy, "full RetentionPolicy": fullRetentionPolicy,
		"least ErasureRequest": leastErasureRequest, "full ErasureRequest": fullErasureRequest,
		"least LegalHold": leastLegalHold, "full LegalHold": fullLegalHold,
	} {
		t.Run(name, func(t *testing.T) {
			sent := object(t, manifest)
			sent.SetNamespace(srv.Namespace(t))
			got := sent.DeepCopy()
			if err := srv.Client.Create(t.Context(), got); err != nil {
				t.Fatal(complaints(err))
			}
			if diff := cmp.Diff(sent.Object["spec"], got.Object["spec"]); diff != "" {
				t.Errorf("spec (-sent +stored):\n%s", diff)
			}
			// kstatus waits for it to reach metadata.generation.
			if diff := cmp.Diff(map[string]any{"observedGeneration": int64(-1)}, got.Object["status"]); diff != "" {
				t.Errorf("status of a new object (-want +got):\n%s", diff)
			}
		})
	}
}

// What clients in Go write is what they read, and no empty field of theirs becomes one that is set.
func TestGoTypesKeepASpec(t *testing.T) {
	srv := apiserver.Get(t)
	for name, c := range map[string]struct {
		manifest string
		typed    client.Object
	}{
		"least Datastore":       {leastDatastore, &v1alpha1.Datastore{}},
		"full Datastore":        {fullDatastore, &v1alpha1.Datastore{}},
		"least RetentionPolicy": {leastRetentionPolicy, &v1alpha1.RetentionPolicy{}},
		"full RetentionPolicy":  {fullRetentionPolicy, &v1alpha1.RetentionPolicy{}},
		"least ErasureRequest":  {leastErasureRequest, &v1alpha1.ErasureRequest{}},
		"full ErasureRequest":   {fullErasureRequest, &v1alpha1.ErasureRequest{}},
		"least LegalHold":       {leastLegalHold, &v1alpha1.LegalHold{}},
		"full LegalHold":        {fullLegalHold, &v1alpha1.LegalHold{}},
	} {
		t.Run(name, func(t *testing.T) {
			obj := object(t, c.manifest)
			obj.SetNamespace(srv.Namespace(t))
			want := obj.DeepCopy().Object["spec"]
			if err := srv.Client.Create(t.Context(), obj); err != nil {
				t.Fatal(complaints(err))
			}
			if err := srv.Client.Get(t.Context(), client.ObjectKeyFromObject(obj), c.typed); err != nil {
				t.Fatal(err)
			}
			c.typed.SetLabels(map[string]string{"touched": "yes"})
			if err := srv.Client.Update(t.Context(), c.typed); err != nil {
				t.Fatal(complaints(err))
			}
			if err := srv.Client.Get(t.Context(), client.ObjectKeyFromObject(obj), obj); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, obj.Object["spec"]); diff != "" {
				t.Errorf("spec (-before +after a write in Go):\n%s", diff)
			}
			if obj.GetGeneration() != 1 {
				t.Errorf("generation %d after a change of labels", obj.GetGeneration())
			}
		})
	}
}

func TestAStatusUpdateChangesNoSpec(t *testing.T) {
	srv := apiserver.Get(t)
	policy := create(t, leastRetentionPolicy, &v1alpha1.RetentionPolicy{})
	policy.Spec.Schedule = "@hourly"
	policy.Status.ObservedGeneration = policy.Generation
	policy.Status.SelectedDatastores = ptr.To[int32](3)
	if err := srv.Client.Status().Update(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	if policy.Spec.Schedule != "0 3 * * *" || policy.Generation != 1 || *policy.Status.SelectedDatastores != 3 {
		t.Errorf("schedule %q, generation %d, status %+v", policy.Spec.Schedule, policy.Generation, policy.Status)
	}
	policy.Status.SelectedDatastores = ptr.To[int32](99)
	policy.Spec.Schedule = "@hourly"
	if err := srv.Client.Update(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	if policy.Spec.Schedule != "@hourly" || policy.Generation != 2 || *policy.Status.SelectedDatastores != 3 {
		t.Errorf("schedule %q, generation %d, status %+v", policy.Spec.Schedule, policy.Generation, policy.Status)
	}
}

func TestTheEngineStays(t *testing.T) {
	srv := apiserver.Get(t)
	datastore := create(t, leastDatastore, &v1alpha1.Datastore{})
	rotated := datastore.DeepCopy()
	rotated.Spec.PostgreSQL.SecretRef.Name = "shop-app-2"
	if err := srv.Client.Update(t.Context(), rotated); err != nil {
		t.Errorf("another Secret: %s", complaints(err))
	}
	err := srv.Client.Patch(t.Context(), datastore, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"postgresql":null}}`)))
	if err == nil || !strings.Contains(complaints(err), "spec: Invalid value: the engine of a Datastore cannot change; make a new Datastore for the other database") {
		t.Errorf("without its engine: %s", complaints(err))
	}
}

// An object that an earlier version of the CRD let in can still be changed elsewhere, or its controller could not even
// write a finalizer. The version here is made up: the CRD without rules. (The rule for time zones is no such rule, since
// it fails with an error: an API server that forgets a zone refuses objects that have it.)
func TestStoredObjectsOutliveNewRules(t *testing.T) {
	srv := apiserver.Get(t)
	ns := srv.Namespace(t)
	obj := object(t, leastRetentionPolicy, `metadata: {name: old}`, rule("90d"))
	obj.SetNamespace(ns)

	crd := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}}
	crd.SetName("retentionpolicies.dataretention.dev")
	withRules := setRules(t, crd, nil)
	// The schema that is served follows the one that is stored.
	eventually(t, "created", func() bool { return srv.Client.Create(t.Context(), obj.DeepCopy()) == nil })
	setRules(t, crd, withRules)
	eventually(t, "refused", func() bool { return tryCreate(t, obj) != nil })

	patch := func(body string) error {
		return srv.Client.Patch(t.Context(), obj.DeepCopy(), client.RawPatch("application/merge-patch+json", []byte(body)))
	}
	if err := patch(`{"metadata":{"finalizers":["dataretention.dev/test"]},"spec":{"suspend":true}}`); err != nil {
		t.Errorf("a change elsewhere: %s", complaints(err))
	}
	if err := patch(`{"spec":{"rules":[{"name":"a","datasets":["x"],"deleteAfter":"91d"}]}}`); err == nil {
		t.Error("a new value that the rules forbid was accepted")
	}
}

// setRules replaces the schema of the CRD's spec, nil meaning one that accepts everything, and returns the one before.
func setRules(t *testing.T, crd *unstructured.Unstructured, schema map[string]any) map[string]any {
	t.Helper()
	srv := apiserver.Get(t)
	if err := srv.Client.Get(t.Context(), client.ObjectKeyFromObject(crd), crd); err != nil {
		t.Fatal(err)
	}
	if schema == nil {
		schema = map[string]any{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
	}
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if err != nil {
		t.Fatal(err)
	}
	path := []string{"schema", "openAPIV3Schema", "properties", "spec"}
	before, _, err := unstructured.NestedMap(versions[0].(map[string]any), path...)
	if err != nil {
		t.Fatal(err)
	}
	if err := unstructured.SetNestedMap(versions[0].(map[string]any), schema, path...); err != nil {
		t.Fatal(err)
	}
	if err := unstructured.SetNestedSlice(crd.Object, versions, "spec", "versions"); err != nil {
		t.Fatal(err)
	}
	if err := srv.Client.Update(t.Context(), crd); err != nil {
		t.Fatal(err)
	}
	return before
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 1000 {
		if done() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("not %s within 20 seconds", what)
}

// create stores the manifest in a new namespace and reads it into typed.
func create[T client.Object](t *testing.T, manifest string, typed T) T {
	t.Helper()
	srv := apiserver.Get(t)
	obj := object(t, manifest)
	obj.SetNamespace(srv.Namespace(t))
	if err := srv.Client.Create(t.Context(), obj); err != nil {
		t.Fatal(complaints(err))
	}
	if err := srv.Client.Get(t.Context(), client.ObjectKeyFromObject(obj), typed); err != nil {
		t.Fatal(err)
	}
	return typed
}
