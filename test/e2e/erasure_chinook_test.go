// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/subject"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// chinookMap is the data map of a music shop whose invoices are treated like this.
func chinookMap(invoices retentionv1.ErasureAction, customers *retentionv1.OnErasure) []retentionv1.Dataset {
	return []retentionv1.Dataset{
		dataset("customer", func(d *retentionv1.Dataset) {
			d.Identifiers = []retentionv1.Identifier{
				{Type: "email", Field: "email", Match: retentionv1.MatchIgnoreCase},
				{Type: "customer_id", Field: "customer_id"},
			}
			d.References = []retentionv1.Reference{{Field: "support_rep_id", Dataset: "employee", Key: "employee_id"}}
			d.OnErasure = customers
		}),
		dataset("invoice", func(d *retentionv1.Dataset) {
			d.References = []retentionv1.Reference{{Field: "customer_id", Dataset: "customer", Key: "customer_id"}}
			d.OnErasure = erases(invoices)
		}),
		dataset("invoice_line", func(d *retentionv1.Dataset) {
			d.References = []retentionv1.Reference{{Field: "invoice_id", Dataset: "invoice", Key: "invoice_id"}}
			d.OnErasure = erases(invoices)
		}),
		dataset("employee", func(d *retentionv1.Dataset) {
			d.Identifiers = []retentionv1.Identifier{{Type: "email", Field: "email", Match: retentionv1.MatchIgnoreCase}}
			d.OnErasure = erases(retentionv1.ErasureActionDelete)
		}),
	}
}

// customer is a customer of the music shop, and how many records are about them.
type customer struct {
	id              int64
	email           string
	lines, invoices int64
	theirs          map[string]string // by table, the condition for their records
}

func (e *env) customer(id int64) customer {
	c := customer{id: id, email: postgres.Value[string](e.t, e.db, "SELECT email FROM customer WHERE customer_id = $1", id)}
	c.theirs = map[string]string{
		"customer":     fmt.Sprintf("customer_id = %d", id),
		"invoice":      fmt.Sprintf("customer_id = %d", id),
		"invoice_line": fmt.Sprintf("invoice_id IN (SELECT invoice_id FROM invoice WHERE customer_id = %d)", id),
	}
	c.lines, c.invoices = e.count("SELECT count(*) FROM invoice_line WHERE "+c.theirs["invoice_line"]), e.count("SELECT count(*) FROM invoice WHERE "+c.theirs["invoice"])
	if c.lines == 0 || c.invoices == 0 {
		e.t.Fatalf("customer %d has bought nothing", id)
	}
	return c
}

// TestErasureChinook erases one customer, by an e-mail address in another spelling than the database's, from a database
// that was not made for us.
func TestErasureChinook(t *testing.T) {
	e := newEnv(t, postgres.Chinook)
	e.datastore(chinookMap(retentionv1.ErasureActionDelete, erases(retentionv1.ErasureActionDelete))...)
	c := e.customer(7)
	lines, invoices, others := c.lines, c.invoices, e.fingerprint(c.theirs)
	given := strings.ToUpper(c.email)

	r := e.erasure("case-7", e.subject("case-7", map[string]string{"email": given}), nil)
	e.answered(r, 3*time.Minute)
	e.expectAnswer(r, retentionv1.ErasureDeleted, 1+lines+invoices, 1+lines+invoices)
	for name, n := range map[string]int64{"customer": 1, "invoice": invoices, "invoice_line": lines} {
		if ds := e.became(r, "db", name); ds.Outcome != retentionv1.ErasureDeleted || ptr.Deref(ds.Found, -1) != n || ptr.Deref(ds.Deleted, -1) != n || ptr.Deref(ds.Remaining, -1) != 0 {
			t.Errorf("%s: %+v, want %d", name, ds, n)
		}
	}
	if ds := e.became(r, "db", "employee"); ds.Outcome != retentionv1.ErasureNotFound {
		t.Errorf("the support representative: %+v", ds)
	}
	order := r.Status.Datastores[0].Datasets
	for i := range order { // leaves before roots
		if name := order[i].Name; name == "customer" && i < 2 {
			t.Errorf("the order was %+v", order)
		}
	}
	if left := e.count("SELECT count(*) FROM customer WHERE customer_id = 7"); left != 0 {
		t.Error("the customer is still there")
	}
	expectUntouched(t, others, e.fingerprint(nil)) // of the customer nothing is left, all else is as it was

	if n := len(r.Status.Commitments); n != 1 || !subject.Committed(r.Status.Commitments[0], subject.Identifier{Type: "email", Value: given}) ||
		subject.Committed(r.Status.Commitments[0], subject.Identifier{Type: "email", Value: "somebody@else.example"}) {
		t.Errorf("the commitments %v do not prove who it was", r.Status.Commitments)
	}
	e.waitFor(time.Minute, "the subject's Secret to be deleted", func() (bool, string) { return e.subjectIsGone("case-7"), "" })

	// The same again finds nobody, and does not call that a success.
	r = e.erasure("case-7-again", e.subject("case-7-again", map[string]string{"email": given}), nil)
	e.answered(r, 3*time.Minute)
	e.expectAnswer(r, retentionv1.ErasureNotFound, 0, 0)
}

// TestErasureAcrossNamespaces erases a customer of three shops, each in a namespace of its own, by one request in a
// fourth. One shop deletes, one must keep its invoices, and one has not agreed.
func TestErasureAcrossNamespaces(t *testing.T) {
	privacy := newEnv(t, database)
	deletes, keeps, refuses := newEnv(t, postgres.Chinook), newEnv(t, postgres.Chinook), newEnv(t, postgres.Chinook)
	agreed := func(s *retentionv1.DatastoreSpec) { s.AllowErasureFrom = []string{privacy.namespace} }
	anonymized := &retentionv1.OnErasure{Action: retentionv1.ErasureActionAnonymize, Anonymize: []retentionv1.Anonymization{
		{Field: "first_name", With: "Constant", Value: ptr.To("erased")}, {Field: "last_name", With: "Constant", Value: ptr.To("erased")},
		{Field: "email", With: "Constant", Value: ptr.To("erased")}, {Field: "phone", With: "Null"}, {Field: "fax", With: "Null"}, {Field: "address", With: "Null"},
	}}
	deletes.datastoreNamed("shop", agreed, chinookMap(retentionv1.ErasureActionDelete, erases(retentionv1.ErasureActionDelete))...)
	keeps.datastoreNamed("shop", agreed, chinookMap(retentionv1.ErasureActionRetain, anonymized)...)
	refuses.datastoreNamed("shop", func(s *retentionv1.DatastoreSpec) { s.AllowErasureFrom = []string{"somebody-else"} },
		chinookMap(retentionv1.ErasureActionDelete, erases(retentionv1.ErasureActionDelete))...)
	c := deletes.customer(9)
	deleted, kept, refused := deletes.fingerprint(c.theirs), keeps.fingerprint(map[string]string{"customer": c.theirs["customer"]}), refuses.fingerprint(nil)

	r := privacy.erasure("case-9", privacy.subject("case-9", map[string]string{"email": c.email}), func(r *retentionv1.ErasureRequest) {
		r.Spec.NamespaceSelector = &retentionv1.NamespaceSelector{MatchExpressions: []retentionv1.LabelRequirement{{
			Key: "kubernetes.io/metadata.name", Operator: "In",
			Values: []retentionv1.LabelValue{retentionv1.LabelValue(deletes.namespace), retentionv1.LabelValue(keeps.namespace), retentionv1.LabelValue(refuses.namespace)},
		}}}
	})
	privacy.answered(r, 4*time.Minute)

	all := 1 + c.lines + c.invoices
	privacy.expectAnswer(r, retentionv1.ErasureRetainedByObligation, 2*all, all+1)
	expectUntouched(t, deleted, deletes.fingerprint(nil))
	expectUntouched(t, kept, keeps.fingerprint(map[string]string{"customer": c.theirs["customer"]}))
	expectUntouched(t, refused, refuses.fingerprint(nil))
	if n := keeps.count("SELECT count(*) FROM customer WHERE customer_id = 9 AND first_name = 'erased' AND email = 'erased' AND phone IS NULL"); n != 1 {
		t.Error("the customer whose invoices are kept is not anonymized")
	}

	for _, team := range []struct {
		e       *env
		outcome retentionv1.ErasureOutcome
	}{{deletes, retentionv1.ErasureDeleted}, {keeps, retentionv1.ErasureRetainedByObligation}} {
		// The team that owns the data sees a request of its own.
		list := &retentionv1.ErasureRequestList{}
		team.e.must(team.e.c.List(t.Context(), list, client.InNamespace(team.e.namespace)))
		if len(list.Items) != 1 || list.Items[0].Status.Outcome != team.outcome || list.Items[0].Spec.Subject.Sealed == "" {
			t.Errorf("requests of the team: %+v, want one that ends as %s", list.Items, team.outcome)
		}
		if child := childOf(r, team.e.namespace); child == nil || child.Outcome != team.outcome || ptr.Deref(child.Found, -1) != all {
			t.Errorf("the parent says %+v of the child that ends as %s", child, team.outcome)
		}
	}
	list := &retentionv1.ErasureRequestList{}
	refuses.must(refuses.c.List(t.Context(), list, client.InNamespace(refuses.namespace)))
	if child := childOf(r, refuses.namespace); len(list.Items) != 0 || child == nil || child.Reason != retentionv1.ReasonNotAllowed || child.UID != "" {
		t.Errorf("a namespace that has not agreed was reached, or the answer is silent about it: %+v, %+v", list.Items, child)
	}
}

func childOf(r *retentionv1.ErasureRequest, namespace string) *retentionv1.ErasureChild {
	for i := range r.Status.Children {
		if r.Status.Children[i].Namespace == namespace {
			return &r.Status.Children[i]
		}
	}
	return nil
}
