// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/subject"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// erases is a Plan of an erasure: each dataset with what becomes of its records, children before parents.
func erases(datasets []plan.Dataset, steps ...plan.ErasureStep) plan.Plan {
	for i := range datasets {
		if datasets[i].Path == "" {
			datasets[i].Path = datasets[i].Name
		}
	}
	for i := range steps {
		if steps[i].Path == "" {
			steps[i].Path = datasets[slices.IndexFunc(datasets, func(d plan.Dataset) bool { return d.Name == steps[i].Dataset })].Path
		}
	}
	return plan.Plan{Datasets: datasets, Erasure: &plan.Erasure{Steps: steps}}
}

func deletes(names ...string) []plan.ErasureStep {
	var out []plan.ErasureStep
	for _, name := range names {
		out = append(out, plan.ErasureStep{Dataset: name, Action: plan.EraseDelete})
	}
	return out
}

// person is who is named by identifiers, each as type=value.
func person(ids ...string) engine.Person {
	parsed, err := subject.Parse([]byte(strings.Join(ids, "\n")))
	if err != nil {
		panic(err)
	}
	return engine.Person{Given: parsed}
}

// tally is an ErasureProgress that counts.
type tally struct {
	total    int64
	persons  map[int]int64
	largest  int64
	flight   int64
	whose    map[int]int64
	onFlight func()
	stop     bool
}

func (r *tally) InFlight(total int64, persons map[int]int64) error {
	r.flight, r.whose = total, persons
	if r.onFlight != nil {
		r.onFlight()
	}
	return nil
}

func (r *tally) Committed() {
	r.total += r.flight
	r.largest = max(r.largest, r.flight)
	for p, n := range r.whose {
		if r.persons == nil {
			r.persons = map[int]int64{}
		}
		r.persons[p] += n
	}
}

func (r *tally) RolledBack()    {}
func (r *tally) Stopping() bool { return r.stop }

// erased is what came of an erasure, by dataset.
type erased struct {
	findings *engine.Findings
	// gone counts what was erased, by person.
	gone map[string]map[int]int64
	left map[string]*engine.ErasureLeftover
	// failed are the reasons of steps that could not be carried out.
	failed map[string]receipt.Reason
	passes int
}

// eraseAll goes over all steps, up to three times, as a runner does.
func eraseAll(tb testing.TB, s *session, persons []engine.Person, between func(pass int)) erased {
	tb.Helper()
	findings, err := s.Find(tb.Context(), persons)
	if err != nil {
		tb.Fatal(err)
	}
	out := erased{findings: findings, gone: map[string]map[int]int64{}, left: map[string]*engine.ErasureLeftover{}, failed: map[string]receipt.Reason{}}
	for remaining, progressed := int64(1), true; remaining > 0 && (out.passes < 3 || progressed); out.passes++ {
		progressed = false
		if between != nil {
			between(out.passes)
		}
		steps := map[int]engine.ErasureStep{}
		for i, step := range s.in.Plan.Erasure.Steps {
			if !step.Acts() {
				continue
			}
			prepared, err := s.PrepareErasure(tb.Context(), i)
			progress := &tally{}
			if err == nil {
				steps[i] = prepared
				err = prepared.Erase(tb.Context(), make([]bool, len(persons)), progress)
			}
			if err != nil {
				out.failed[step.Dataset] = engine.ReasonOf(err)
			}
			if progress.largest > int64(s.in.Plan.Limits.BatchRecords) {
				tb.Errorf("%s: a batch of %d", step.Dataset, progress.largest)
			}
			progressed = progressed || progress.total > 0
			for p, n := range progress.persons {
				if out.gone[step.Dataset] == nil {
					out.gone[step.Dataset] = map[int]int64{}
				}
				out.gone[step.Dataset][p] += n
			}
		}
		remaining = 0
		for i, step := range s.in.Plan.Erasure.Steps {
			if steps[i] == nil {
				continue
			}
			left, err := steps[i].Verify(tb.Context())
			if err != nil {
				out.failed[step.Dataset] = engine.ReasonOf(err)
				continue
			}
			out.left[step.Dataset] = left
			remaining += left.Total
		}
	}
	return out
}

// checksum is that of a table's records for which a condition holds.
func checksum(tb testing.TB, conn *pgx.Conn, table, where string) string {
	tb.Helper()
	return postgres.Value[string](tb, conn, "SELECT count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM "+table+" t WHERE "+where)
}

// chinookMap is the data map of a music shop.
func chinookMap() []plan.Dataset {
	return []plan.Dataset{
		{Name: "invoice_line", References: []plan.Reference{{Field: "invoice_id", Dataset: "invoice", Key: "invoice_id"}}},
		{Name: "invoice", References: []plan.Reference{{Field: "customer_id", Dataset: "customer", Key: "customer_id"}}},
		{Name: "customer", Identifiers: []plan.Identifier{{Type: "email", Field: "email", Match: plan.MatchIgnoreCase}, {Type: "customer_id", Field: "customer_id"}},
			References: []plan.Reference{{Field: "support_rep_id", Dataset: "employee", Key: "employee_id"}}},
		{Name: "employee", Identifiers: []plan.Identifier{{Type: "email", Field: "email", Match: plan.MatchIgnoreCase}},
			References: []plan.Reference{{Field: "reports_to", Dataset: "employee", Key: "employee_id"}}},
	}
}

var chinookTables = map[string]string{
	"invoice_line": "invoice_id NOT IN (SELECT invoice_id FROM invoice WHERE customer_id = 5)", "invoice": "customer_id <> 5", "customer": "customer_id <> 5",
	"employee": "true", "album": "true", "artist": "true", "track": "true", "genre": "true", "media_type": "true", "playlist": "true", "playlist_track": "true",
}

func TestErasesOneCustomerOfChinook(t *testing.T) {
	t.Parallel()
	dsn := postgres.Chinook(t, postgres.Get(t))
	conn := postgres.Connect(t, dsn)
	before := map[string]string{}
	for table, others := range chinookTables {
		before[table] = checksum(t, conn, table, others)
	}
	email := postgres.Value[string](t, conn, "SELECT email FROM customer WHERE customer_id = 5")
	invoices := postgres.Value[int64](t, conn, "SELECT count(*) FROM invoice WHERE customer_id = 5")
	lines := postgres.Value[int64](t, conn, "SELECT count(*) FROM invoice_line JOIN invoice USING (invoice_id) WHERE customer_id = 5")

	s := open(t, dsn, erases(chinookMap(), deletes("invoice_line", "invoice", "customer", "employee")...))
	got := eraseAll(t, s, []engine.Person{person("email=" + strings.ToUpper(email))}, nil)
	want := map[string]map[int]int64{"invoice_line": {0: lines}, "invoice": {0: invoices}, "customer": {0: 1}}
	if diff := cmp.Diff(want, got.gone); diff != "" || got.passes != 1 || len(got.failed) > 0 {
		t.Errorf("erased in %d passes, %v (-want +got):\n%s", got.passes, got.failed, diff)
	}
	if diff := cmp.Diff([][]subject.Identifier{{{Type: "customer_id", Value: "5"}}}, got.findings.Derived); diff != "" {
		t.Errorf("derived (-want +got):\n%s", diff)
	}
	for table := range chinookTables {
		if after := checksum(t, conn, table, "true"); after != before[table] {
			t.Errorf("%s: %s, want %s", table, after, before[table])
		}
	}
}

func TestKeepsACustomerWhoseInvoicesAreRetained(t *testing.T) {
	t.Parallel()
	dsn := postgres.Chinook(t, postgres.Get(t))
	conn := postgres.Connect(t, dsn)
	before := map[string]string{}
	for table := range chinookTables {
		before[table] = checksum(t, conn, table, "true")
	}
	steps := deletes("invoice_line", "invoice", "customer", "employee")
	steps[0].Action, steps[1].Action = plan.EraseRetain, plan.EraseRetain
	s := open(t, dsn, erases(chinookMap(), steps...))
	email := postgres.Value[string](t, conn, "SELECT email FROM customer WHERE customer_id = 5")
	got := eraseAll(t, s, []engine.Person{person("email=" + email), person("email=nobody@example.com")}, nil)
	want := &engine.ErasureLeftover{Persons: []engine.Left{{Remaining: 1, Blocked: 1, Bound: 1}, {}}, Constraints: []string{"invoice_customer_id_fkey"}, Total: 1}
	if diff := cmp.Diff(want, got.left["customer"]); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	for table := range chinookTables {
		if after := checksum(t, conn, table, "true"); after != before[table] {
			t.Errorf("%s: %s, want %s", table, after, before[table])
		}
	}
}

// scenario is an erasure in a schema of its own.
type scenario struct {
	schema  string
	maps    []plan.Dataset
	steps   []plan.ErasureStep
	persons []engine.Person
	holds   []plan.Hold
	held    []engine.Person
	// between is done before the pass of its place.
	between []string
	// rest is what tables hold afterwards: a query and what it returns.
	rest map[string]string
	// found, gone and left are of the persons, by dataset; left is compared only where it stands.
	found    map[string][]int64
	gone     map[string]map[int]int64
	left     map[string]engine.ErasureLeftover
	failed   map[string]receipt.Reason
	problems []receipt.Reason
	kept     []int64
}

func (c scenario) run(t *testing.T) {
	t.Parallel()
	dsn, conn := database(t, c.schema)
	p := erases(c.maps, c.steps...)
	p.Holds = c.holds
	s := open(t, dsn, p)
	if len(c.holds) > 0 {
		kept, err := s.Hold(t.Context(), c.held)
		if diff := cmp.Diff(c.kept, kept); diff != "" || err != nil {
			t.Fatalf("held: %v (-want +got):\n%s", err, diff)
		}
	}
	got := eraseAll(t, s, c.persons, func(pass int) {
		if pass < len(c.between) {
			for sql := range strings.SplitSeq(c.between[pass], ";;") { // VACUUM wants to be alone
				postgres.Exec(t, conn, sql)
			}
		}
	})
	for i, step := range p.Erasure.Steps {
		if want, ok := c.found[step.Dataset]; ok && !slices.Equal(want, got.findings.Steps[i].Records) {
			t.Errorf("%s: found %v, want %v", step.Dataset, got.findings.Steps[i].Records, want)
		}
	}
	if c.problems != nil && !slices.Equal(c.problems, got.findings.Problems) {
		t.Errorf("problems %v, want %v", got.findings.Problems, c.problems)
	}
	if diff := cmp.Diff(c.gone, got.gone); diff != "" && len(c.gone)+len(got.gone) > 0 {
		t.Errorf("erased (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(c.failed, got.failed); diff != "" && len(c.failed)+len(got.failed) > 0 {
		t.Errorf("failed (-want +got):\n%s", diff)
	}
	for name, want := range c.left {
		if diff := cmp.Diff(&want, got.left[name]); diff != "" {
			t.Errorf("%s: left (-want +got):\n%s", name, diff)
		}
	}
	for name, left := range got.left {
		if _, ok := c.left[name]; !ok && left.Total > 0 {
			t.Errorf("%s: left %+v", name, left)
		}
	}
	for query, want := range c.rest {
		if after := postgres.Value[string](t, conn, query); after != want {
			t.Errorf("%s: %q, want %q", query, after, want)
		}
	}
}

// ids is the query for the ids that are left in a table.
func ids(table string) string {
	return fmt.Sprintf("SELECT coalesce(string_agg(id::text, ',' ORDER BY id), '') FROM %s", table)
}
