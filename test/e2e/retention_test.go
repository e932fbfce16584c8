// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// TestChinook purges a database that was not made for us: invoices older than three years, and their lines, which have
// no date of their own.
func TestChinook(t *testing.T) {
	e := newEnv(t, postgres.Chinook)
	// The sample ends in 2025: three years before the middle of it, so that some stay and some go, whatever today is.
	cut := e.count("SELECT extract(epoch FROM percentile_disc(0.5) WITHIN GROUP (ORDER BY invoice_date))::bigint FROM invoice")
	days := int64(time.Since(time.Unix(cut, 0)).Hours() / 24)
	period := retentionv1.Period(fmt.Sprintf("P%dD", days))
	lines, invoices := e.count("SELECT count(*) FROM invoice_line"), e.count("SELECT count(*) FROM invoice")
	others := e.count("SELECT (SELECT count(*) FROM customer) * 1000000 + (SELECT count(*) FROM track)")

	e.datastore(
		dataset("invoice", func(d *retentionv1.Dataset) { d.TimestampField = "invoice_date" }),
		dataset("invoice_line", func(d *retentionv1.Dataset) {
			d.References = []retentionv1.Reference{{Field: "invoice_id", Dataset: "invoice", Key: "invoice_id"}}
		}),
	)
	p := e.policy("chinook", nil,
		retentionv1.Rule{Name: "invoices", Datasets: []retentionv1.DatasetName{"invoice"}, DeleteAfter: period},
		retentionv1.Rule{Name: "lines", Datasets: []retentionv1.DatasetName{"invoice_line"}, DeleteAfter: period, StartingFrom: "invoice.invoice_date"},
	)
	run := e.ended(p, 2*time.Minute)

	cutoff := e.step(run, "invoice").Cutoff.Time
	if due := e.count("SELECT count(*) FROM invoice WHERE invoice_date <= $1", cutoff.UTC()); due != 0 {
		t.Errorf("%d invoices that are due are still there", due)
	}
	linesLeft, invoicesLeft := e.count("SELECT count(*) FROM invoice_line"), e.count("SELECT count(*) FROM invoice")
	e.expectNumbers(e.step(run, "invoice_line"), lines-linesLeft, lines-linesLeft, 0)
	e.expectNumbers(e.step(run, "invoice"), invoices-invoicesLeft, invoices-invoicesLeft, 0)
	if invoicesLeft == 0 || invoicesLeft == invoices || linesLeft == 0 {
		t.Errorf("%d of %d invoices are left: nothing was tested", invoicesLeft, invoices)
	}
	if run.Outcome != retentionv1.OutcomeSucceeded || run.Counting != retentionv1.CountingExact {
		t.Errorf("run: %s, %s: %s", run.Outcome, run.Counting, run.Message)
	}
	if names := []retentionv1.DatasetName{run.Datastores[0].Datasets[0].Name, run.Datastores[0].Datasets[1].Name}; names[0] != "invoice_line" {
		t.Errorf("the order was %v, want children first", names)
	}
	if now := e.count("SELECT (SELECT count(*) FROM customer) * 1000000 + (SELECT count(*) FROM track)"); now != others {
		t.Error("other tables were changed")
	}
	if !meta.IsStatusConditionTrue(p.Status.Conditions, retentionv1.ConditionCompliant) {
		t.Errorf("conditions: %+v", p.Status.Conditions)
	}

	// The same again finds nothing to do.
	e.request(p, "again")
	run = e.ended(p, 2*time.Minute)
	e.expectNumbers(e.step(run, "invoice"), 0, 0, 0)
	if run.Outcome != retentionv1.OutcomeSucceeded {
		t.Errorf("second run: %s: %s", run.Outcome, run.Message)
	}
}

// TestUndatedAndSimulate counts what has no usable time, deletes none of it, and changes nothing while simulating.
func TestUndatedAndSimulate(t *testing.T) {
	e := newEnv(t, database)
	postgres.Exec(t, e.db, `CREATE TABLE event (id int PRIMARY KEY, at timestamptz);
		INSERT INTO event SELECT i, now() + interval '12 hours' - interval '1 day' * i FROM generate_series(1, 200) i;
		INSERT INTO event VALUES (1000, NULL), (1001, 'epoch'), (1002, '9999-12-31'), (1003, 'infinity'), (1004, '-infinity'), (1005, '0001-01-01')`)
	e.datastore(dataset("event", func(d *retentionv1.Dataset) { d.TimestampField = "at" }))
	rule := retentionv1.Rule{Name: "old", Datasets: []retentionv1.DatasetName{"event"}, DeleteAfter: "P90D"}

	simulated := e.policy("simulate", func(p *retentionv1.RetentionPolicy) { p.Spec.Mode = retentionv1.ModeSimulate }, rule)
	run := e.ended(simulated, 2*time.Minute)
	if ds := e.step(run, "event"); run.Outcome != retentionv1.OutcomeSimulated || ptr.Deref(ds.Matched, -1) != 110 || e.count("SELECT count(*) FROM event") != 206 {
		t.Errorf("simulation: %s %+v", run.Outcome, ds)
	}

	p := e.policy("enforce", nil, rule)
	run = e.ended(p, 2*time.Minute)
	ds := e.step(run, "event")
	e.expectNumbers(ds, 110, 110, 0)
	if ptr.Deref(ds.Undated, -1) != 1 || ptr.Deref(ds.Invalid, -1) != 5 || e.count("SELECT count(*) FROM event WHERE id >= 1000") != 6 {
		t.Errorf("undated and invalid: %+v", ds)
	}
	if c := meta.FindStatusCondition(p.Status.Conditions, retentionv1.ConditionCompliant); c.Status != metav1.ConditionUnknown || c.Reason != retentionv1.ReasonUndatedRecords {
		t.Errorf("Compliant: %+v", c)
	}
}

// TestGuardrailAndApproval stops before the first change, and goes on when the plan's digest is approved.
func TestGuardrailAndApproval(t *testing.T) {
	e := newEnv(t, database)
	postgres.Exec(t, e.db, `CREATE TABLE event (id int PRIMARY KEY, at timestamptz);
		INSERT INTO event SELECT i, now() + interval '12 hours' - interval '1 day' * i FROM generate_series(1, 200) i`)
	e.datastore(dataset("event", func(d *retentionv1.Dataset) { d.TimestampField = "at" }))
	p := e.policy("p", func(p *retentionv1.RetentionPolicy) {
		p.Spec.Guardrails = &retentionv1.Guardrails{MaxPercent: ptr.To(int32(20))}
	}, retentionv1.Rule{Name: "old", Datasets: []retentionv1.DatasetName{"event"}, DeleteAfter: "P90D"})
	run := e.ended(p, 2*time.Minute)
	if run.Outcome != retentionv1.OutcomeAwaitingApproval || e.count("SELECT count(*) FROM event") != 200 {
		t.Fatalf("run: %s: %s", run.Outcome, run.Message)
	}
	base := p.DeepCopy()
	p.Annotations[retentionv1.AnnotationApprovedPlan] = run.Datastores[0].PlanDigest
	e.must(e.c.Patch(t.Context(), p, client.MergeFrom(base)))
	e.waitFor(2*time.Minute, "the approved run to end", func() (bool, string) {
		e.must(e.c.Get(t.Context(), client.ObjectKeyFromObject(p), p))
		return p.Status.ActiveRun == nil && p.Status.LastRun.Trigger == retentionv1.TriggerApproval, fmt.Sprint(p.Status.Conditions)
	})
	e.expectNumbers(e.step(p.Status.LastRun, "event"), 110, 110, 0)
	if left := e.count("SELECT count(*) FROM event"); left != 90 || p.Status.LastRun.Outcome != retentionv1.OutcomeSucceeded {
		t.Errorf("%d left, run %s: %s", left, p.Status.LastRun.Outcome, p.Status.LastRun.Message)
	}
}

// TestBlockedByAForeignKeyGoesOn names the constraint that keeps records, deletes the rest, and the other dataset too.
func TestBlockedByAForeignKeyGoesOn(t *testing.T) {
	e := newEnv(t, database)
	postgres.Exec(t, e.db, `CREATE TABLE account (id int PRIMARY KEY, closed timestamptz);
		CREATE TABLE contract (id int PRIMARY KEY, account_id int CONSTRAINT contract_account REFERENCES account);
		CREATE INDEX ON contract (account_id);
		CREATE TABLE log (id int PRIMARY KEY, at timestamptz);
		INSERT INTO account SELECT i, CASE WHEN i % 2 = 0 THEN now() - interval '100 days' END FROM generate_series(1, 100) i;
		INSERT INTO contract SELECT i, i FROM generate_series(1, 10) i;
		INSERT INTO log SELECT i, now() - interval '100 days' FROM generate_series(1, 10) i`)
	ds := e.datastore(
		dataset("account", nil),
		dataset("log", func(d *retentionv1.Dataset) { d.TimestampField = "at" }),
	)
	if c := meta.FindStatusCondition(ds.Status.Conditions, retentionv1.ConditionReferencesMapped); c == nil || c.Status != metav1.ConditionFalse || !strings.Contains(c.Message, "contract_account") {
		t.Errorf("ReferencesMapped: %+v", c)
	}
	p := e.policy("p", func(p *retentionv1.RetentionPolicy) { p.Spec.Schedule = "0 3 * * *" },
		retentionv1.Rule{Name: "closed", Datasets: []retentionv1.DatasetName{"account"}, DeleteAfter: "P30D", StartingFrom: "closed"},
		retentionv1.Rule{Name: "log", Datasets: []retentionv1.DatasetName{"log"}, DeleteAfter: "P30D"})
	run := e.ended(p, 2*time.Minute)
	account := e.step(run, "account")
	e.expectNumbers(account, 50, 45, 5)
	e.expectNumbers(e.step(run, "log"), 10, 10, 0)
	if run.Outcome != retentionv1.OutcomeIncomplete || account.Outcome != "Blocked" || ptr.Deref(account.Blocked, -1) != 5 ||
		len(account.Constraints) != 1 || account.Constraints[0] != "contract_account" || ptr.Deref(account.NotStarted, -1) != 50 {
		t.Errorf("run %s, account %+v", run.Outcome, account)
	}
	if !meta.IsStatusConditionFalse(p.Status.Conditions, retentionv1.ConditionCompliant) {
		t.Errorf("conditions: %+v", p.Status.Conditions)
	}
}

// TestAnonymize rewrites fields with every method, the key of HMAC from a Secret, and finds nothing to do the second time.
func TestAnonymize(t *testing.T) {
	e := newEnv(t, database)
	postgres.Exec(t, e.db, `CREATE TABLE access_log (id int PRIMARY KEY, at timestamptz, ip inet, agent text, visitor text, born date, note text);
		INSERT INTO access_log SELECT i, now() + interval '12 hours' - interval '1 day' * i, ('10.1.2.' || i)::inet, 'agent', 'visitor ' || i, '1990-05-17', 'note' FROM generate_series(1, 60) i`)
	e.must(e.c.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: "pseudonyms"},
		StringData: map[string]string{"key": "0123456789abcdef0123456789abcdef"}}))
	e.datastore(dataset("access_log", func(d *retentionv1.Dataset) { d.TimestampField = "at" }))
	p := e.policy("p", nil, retentionv1.Rule{
		Name: "addresses", Datasets: []retentionv1.DatasetName{"access_log"}, DeleteAfter: "P30D", Action: retentionv1.ActionAnonymize,
		Anonymize: []retentionv1.Anonymization{
			{Field: "ip", With: "TruncateIP"}, {Field: "agent", With: "Null"}, {Field: "note", With: "Constant", Value: ptr.To("removed")},
			{Field: "born", With: "TruncateDate", Unit: "Year"},
			{Field: "visitor", With: "HMAC", KeyRef: &retentionv1.SecretKeyReference{Name: "pseudonyms", Key: "key"}},
		},
	})
	run := e.ended(p, 2*time.Minute)
	if ds := e.step(run, "access_log"); ptr.Deref(ds.Anonymized, -1) != 30 || ds.Outcome != "Anonymized" || run.Outcome != retentionv1.OutcomeSucceeded {
		t.Errorf("run %s (%s): %+v", run.Outcome, run.Message, ds)
	}
	if n := e.count(`SELECT count(*) FROM access_log WHERE ip = '10.1.2.0' AND agent IS NULL AND note = 'removed' AND born = '1990-01-01' AND visitor NOT LIKE 'visitor%'`); n != 30 {
		t.Errorf("%d records are anonymized, want 30", n)
	}
	if n := e.count(`SELECT count(*) FROM access_log WHERE agent = 'agent' AND note = 'note' AND visitor LIKE 'visitor%' AND born = '1990-05-17'`); n != 30 {
		t.Errorf("%d records are untouched, want 30", n)
	}
	e.request(p, "again")
	if ds := e.step(e.ended(p, 2*time.Minute), "access_log"); ptr.Deref(ds.Matched, -1) != 0 || ptr.Deref(ds.Anonymized, -1) != 0 {
		t.Errorf("the second run: %+v", ds)
	}
}

// TestPodHasNothingToSteal looks at a purge Pod as the API server has it.
func TestPodHasNothingToSteal(t *testing.T) {
	e := newEnv(t, database)
	postgres.Exec(t, e.db, `CREATE TABLE event (id int PRIMARY KEY, at timestamptz)`)
	e.datastore(dataset("event", func(d *retentionv1.Dataset) { d.TimestampField = "at" }))
	p := e.policy("p", nil, retentionv1.Rule{Name: "old", Datasets: []retentionv1.DatasetName{"event"}, DeleteAfter: "P90D"})
	e.ended(p, 2*time.Minute)
	pods := &corev1.PodList{}
	e.must(e.c.List(t.Context(), pods, client.InNamespace(e.namespace), client.MatchingLabels{purgejob.LabelComponent: purgejob.ComponentPurge}))
	if len(pods.Items) != 1 {
		t.Fatalf("%d purge Pods", len(pods.Items))
	}
	spec := pods.Items[0].Spec
	for _, v := range spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.ServiceAccountToken != nil {
				t.Errorf("volume %s has a token", v.Name)
			}
		}
	}
	for _, c := range spec.Containers {
		if len(c.Env)+len(c.EnvFrom) > 0 {
			t.Errorf("the container has an environment: %+v", c.Env)
		}
	}
	if len(pods.Items[0].Finalizers) > 0 {
		t.Errorf("the Pod keeps its finalizers %v after its receipt was stored", pods.Items[0].Finalizers)
	}
	roles := &rbacv1.ClusterRoleList{}
	e.must(e.c.List(t.Context(), roles, client.MatchingLabels{"app.kubernetes.io/part-of": "retention-operator"}))
	manager := &rbacv1.ClusterRole{}
	e.must(e.c.Get(t.Context(), client.ObjectKey{Name: "retention-manager-role"}, manager))
	for _, role := range append(roles.Items, *manager) {
		for _, rule := range role.Rules {
			// Secrets of persons are made for one Job and deleted in the end; none is ever read.
			if got := fmt.Sprint(rule.Resources); strings.Contains(got, "*") || (strings.Contains(got, "secrets") && fmt.Sprint(rule.Verbs) != "[create delete]") {
				t.Errorf("role %s has a rule on %s: %v", role.Name, got, rule.Verbs)
			}
		}
	}
}

// TestAPolicyDeletedMidRunStopsThePurge deletes a policy while its Pod works: the Pod stops at a batch's end, and neither
// Job, Pod nor Datastore is left held.
func TestAPolicyDeletedMidRunStopsThePurge(t *testing.T) {
	e := newEnv(t, database)
	postgres.Exec(t, e.db, `CREATE TABLE event (id int, at timestamptz, filler text);
		INSERT INTO event SELECT i, now() - interval '100 days', repeat('x', 100) FROM generate_series(1, 300000) i;
		CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.00005); RETURN OLD; END';
		CREATE TRIGGER slow BEFORE DELETE ON event FOR EACH ROW EXECUTE FUNCTION slow()`)
	ds := e.datastore(dataset("event", func(d *retentionv1.Dataset) { d.TimestampField = "at" }))
	p := e.policy("p", nil, retentionv1.Rule{Name: "old", Datasets: []retentionv1.DatasetName{"event"}, DeleteAfter: "P90D"})
	e.waitFor(2*time.Minute, "the purge to begin", func() (bool, string) {
		return e.count("SELECT count(*) FROM event") < 300000, ""
	})
	e.must(e.c.Delete(t.Context(), p))
	e.waitFor(2*time.Minute, "the policy to go", func() (bool, string) {
		err := e.c.Get(t.Context(), client.ObjectKeyFromObject(p), p)
		return client.IgnoreNotFound(err) == nil && err != nil, fmt.Sprintf("%v %+v", p.Finalizers, p.Status.ActiveRun)
	})
	left := e.count("SELECT count(*) FROM event")
	time.Sleep(3 * time.Second)
	if now := e.count("SELECT count(*) FROM event"); now != left || left == 0 {
		t.Errorf("%d records were left when the policy was gone, and %d three seconds later", left, now)
	}
	e.must(e.c.Get(t.Context(), client.ObjectKeyFromObject(ds), ds))
	if ds.Status.ActiveRun != nil {
		t.Errorf("the Datastore is held by %+v", ds.Status.ActiveRun)
	}
	e.waitFor(time.Minute, "Jobs and Pods to go", func() (bool, string) {
		jobs := &batchv1.JobList{}
		e.must(e.c.List(t.Context(), jobs, client.InNamespace(e.namespace), client.MatchingLabels{purgejob.LabelComponent: purgejob.ComponentPurge}))
		return len(jobs.Items) == 0, fmt.Sprint(len(jobs.Items))
	})
}
