// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// shop has customers, their orders by a key, lines of these, and a tree of categories.
const shop = `
	CREATE TABLE customers (id int PRIMARY KEY, email text, nr text UNIQUE, at date);
	CREATE TABLE orders (id int PRIMARY KEY, customer int, at date);
	CREATE TABLE lines (id int, o int, at date);
	CREATE TABLE notes (id int, nr text, at date);
	CREATE TABLE tree (id int PRIMARY KEY, up int, name text, at date);
	INSERT INTO customers SELECT i, 'c' || i || '@x', 'n' || i, '2019-01-01' FROM generate_series(1, 4) i;
	INSERT INTO orders SELECT i, 1 + i % 4, '2019-01-01' FROM generate_series(1, 12) i;
	INSERT INTO lines SELECT i, 1 + i % 12, '2019-01-01' FROM generate_series(1, 24) i;
	INSERT INTO notes SELECT i, 'n' || (1 + i % 4), '2019-01-01' FROM generate_series(1, 8) i;
	INSERT INTO tree SELECT i, nullif(i / 2, 0), 't' || i, '2019-01-01' FROM generate_series(1, 15) i;`

func shopMap() []plan.Dataset {
	return []plan.Dataset{
		{Name: "lines", References: references("o", "orders", "id")},
		{Name: "orders", References: references("customer", "customers", "id")},
		{Name: "notes", Identifiers: identifiers("nr", "nr", "")},
		{Name: "customers", Identifiers: append(identifiers("email", "email", plan.MatchIgnoreCase), identifiers("nr", "nr", "")...)},
		{Name: "tree", References: references("up", "tree", "id")},
	}
}

// Whatever a retention policy deletes, what a hold keeps stays, with all that refers to it.
func TestHoldsInRetention(t *testing.T) {
	t.Parallel()
	all := []string{"lines", "orders", "notes", "customers", "tree"}
	held := []engine.Person{person("email=C2@x")}
	condition := func(field string, operator plan.Operator, values ...string) *plan.Condition {
		return &plan.Condition{Field: field, Operator: operator, Values: values}
	}
	for name, c := range map[string]struct {
		hold    plan.Hold
		persons []engine.Person
		count   int64
		rest    map[string]string // ids that are left, by table
		reason  receipt.Reason
	}{
		"a person, everywhere": {
			hold: plan.Hold{Subject: true, Datasets: all}, persons: held, count: 1 + 3 + 6 + 2,
			rest: map[string]string{"customers": "2", "orders": "1,5,9", "lines": "4,8,12,16,20,24", "notes": "1,5", "tree": ""},
		},
		"a person, in one dataset, with what refers to it and what leads there": {
			hold: plan.Hold{Subject: true, Datasets: []string{"orders"}}, persons: held, count: 3,
			rest: map[string]string{"customers": "2", "orders": "1,5,9", "lines": "4,8,12,16,20,24", "notes": ""},
		},
		"a person, where only another identifier is known": {
			hold: plan.Hold{Subject: true, Datasets: []string{"notes"}}, persons: held, count: 2,
			rest: map[string]string{"customers": "2", "orders": "", "lines": "", "notes": "1,5"},
		},
		"a person whom nobody knows": {
			hold: plan.Hold{Subject: true, Datasets: all}, persons: []engine.Person{person("email=x@x")},
			rest: map[string]string{"customers": "", "lines": ""},
		},
		"a condition": {
			hold: plan.Hold{Condition: condition("email", plan.OperatorIn, "c3@x", "c9@x"), Datasets: []string{"customers"}}, persons: make([]engine.Person, 1), count: 1,
			rest: map[string]string{"customers": "3", "orders": "2,6,10", "lines": "1,5,9,13,17,21", "notes": ""},
		},
		"a condition that is not met": {
			hold: plan.Hold{Condition: condition("id", plan.OperatorNotIn, "1", "2", "3"), Datasets: []string{"customers", "orders"}}, persons: make([]engine.Person, 1), count: 1 + 10,
			rest: map[string]string{"customers": "4", "orders": "3,4,5,6,7,8,9,10,11,12", "notes": ""},
		},
		"a tree": {
			hold: plan.Hold{Condition: condition("name", plan.OperatorIn, "t3"), Datasets: []string{"tree"}}, persons: make([]engine.Person, 1), count: 1 + 2 + 4,
			rest: map[string]string{"tree": "3,6,7,12,13,14,15", "customers": ""},
		},
		"from a day on": {
			hold: plan.Hold{Condition: condition("at", plan.OperatorAtLeast, "2019-01-01"), Datasets: []string{"notes"}}, persons: make([]engine.Person, 1), count: 8,
			rest: map[string]string{"notes": "1,2,3,4,5,6,7,8", "customers": ""},
		},
		"a field that is not there": {
			hold: plan.Hold{Condition: condition("email", plan.OperatorExists), Datasets: []string{"customers", "orders"}}, persons: make([]engine.Person, 1), reason: receipt.HoldUnreadable,
		},
		"a value that is no date": {
			hold: plan.Hold{Condition: condition("at", plan.OperatorAtMost, "yesterday"), Datasets: []string{"notes"}}, persons: make([]engine.Person, 1), reason: receipt.HoldUnreadable,
		},
		"nobody": {
			hold: plan.Hold{Subject: true, Datasets: all}, persons: make([]engine.Person, 1), reason: receipt.HoldUnreadable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dsn, conn := database(t, shop)
			p := plan.Plan{Datasets: shopMap(), Holds: []plan.Hold{c.hold}}
			for i := range p.Datasets {
				p.Datasets[i].Path = p.Datasets[i].Name
			}
			for _, table := range []string{"lines", "orders", "notes", "customers", "tree"} {
				p.Steps = append(p.Steps, deleteStepOf(table, "at", day("2020-01-01")))
			}
			s := open(t, dsn, p)
			if _, err := s.Prepare(t.Context(), 0); engine.ReasonOf(err) != receipt.HoldUnreadable {
				t.Errorf("a step without the holds: %v", err)
			}
			counts, err := s.Hold(t.Context(), c.persons)
			if c.reason != "" {
				if engine.ReasonOf(err) != c.reason {
					t.Errorf("hold: %v, want %v", err, c.reason)
				}
				if _, err := s.Prepare(t.Context(), 0); engine.ReasonOf(err) != receipt.HoldUnreadable {
					t.Errorf("a step after that: %v", err)
				}
				return
			}
			if diff := cmp.Diff([]int64{c.count}, counts); diff != "" || err != nil {
				t.Errorf("kept: %v (-want +got):\n%s", err, diff)
			}
			for i, step := range p.Steps {
				before := postgres.Value[int64](t, conn, "SELECT count(*) FROM "+step.Path)
				got, _ := carryOut(t, s, i)
				rest := postgres.Value[string](t, conn, ids(step.Path))
				if want, ok := c.rest[step.Path]; ok && rest != want {
					t.Errorf("%s: %s, want %s", step.Path, rest, want)
				}
				if got.Matched+got.Held != before || got.Changed != got.Matched || got.Remaining != 0 {
					t.Errorf("%s: %d records, %+v", step.Path, before, got)
				}
			}
		})
	}
}

// A partition with a record that a hold keeps is not dropped, and what is written after the hold was resolved is kept.
func TestHoldsInPartitions(t *testing.T) {
	t.Parallel()
	dsn, conn := database(t, `
		CREATE TABLE events (id int, email text, at date) PARTITION BY RANGE (at);
		CREATE TABLE e1 PARTITION OF events FOR VALUES FROM ('2018-01-01') TO ('2018-02-01');
		CREATE TABLE e2 PARTITION OF events FOR VALUES FROM ('2018-02-01') TO ('2018-03-01');
		CREATE TABLE e3 PARTITION OF events FOR VALUES FROM ('2018-03-01') TO ('2018-04-01');
		INSERT INTO events SELECT i, 'u' || i || '@x', date '2018-01-01' + i FROM generate_series(0, 88) i`)
	hold := plan.Hold{Subject: true, Datasets: []string{"events"}}
	s := open(t, dsn, plan.Plan{Run: "r", Holds: []plan.Hold{hold}, Steps: []plan.Step{deleteStepOf("events", "at", day("2020-01-01"))},
		Datasets: []plan.Dataset{{Name: "events", Path: "public.events", Identifiers: identifiers("email", "email", "")}}})
	if _, err := s.Hold(t.Context(), []engine.Person{person("email=u40@x")}); err != nil {
		t.Fatal(err)
	}
	postgres.Exec(t, conn, "INSERT INTO events VALUES (100, 'u40@x', '2018-03-05')")
	got, progress := carryOut(t, s, 0)
	if rest := postgres.Value[string](t, conn, ids("events")); rest != "40,100" || progress.dropped != 1 || got.Held != 2 || got.Matched != 88 || got.Remaining != 0 {
		t.Errorf("left %s, %d dropped, %+v", rest, progress.dropped, got)
	}
}

// A hold keeps records from being anonymized, and from what a foreign key does when another record goes.
func TestHoldsAgainstOtherChanges(t *testing.T) {
	t.Parallel()
	dsn, conn := database(t, `
		CREATE TABLE p (id int PRIMARY KEY, at date); CREATE TABLE c (id int, p int CONSTRAINT forgets REFERENCES p ON DELETE SET NULL, email text, at date);
		INSERT INTO p SELECT i, '2019-01-01' FROM generate_series(1, 3) i; INSERT INTO c SELECT i, i, 'u' || i || '@x', '2019-01-01' FROM generate_series(1, 3) i`)
	anonymize := deleteStepOf("c", "at", day("2020-01-01"))
	anonymize.Action, anonymize.Transforms = plan.Anonymize, []plan.Transform{{Field: "email", With: plan.MethodNull}}
	s := open(t, dsn, plan.Plan{Holds: []plan.Hold{{Subject: true, Datasets: []string{"c"}}}, Steps: []plan.Step{anonymize, deleteStepOf("p", "at", day("2020-01-01"))},
		Datasets: []plan.Dataset{{Name: "c", Path: "c", Identifiers: identifiers("email", "email", "")}}})
	if _, err := s.Hold(t.Context(), []engine.Person{person("email=u2@x")}); err != nil {
		t.Fatal(err)
	}
	if got, _ := carryOut(t, s, 0); got.Matched != 2 || got.Held != 1 || got.Changed != 2 || got.Remaining != 0 {
		t.Errorf("anonymized: %+v", got)
	}
	if got, _ := carryOut(t, s, 1); got.Remaining != got.Blocked || got.Constraints[0] != "forgets" {
		t.Errorf("parents: %+v", got)
	}
	if rest := postgres.Value[string](t, conn, "SELECT id || ' ' || p || ' ' || email FROM c WHERE email IS NOT NULL"); rest != "2 2 u2@x" {
		t.Errorf("held: %s", rest)
	}
}

func TestHoldsInErasures(t *testing.T) {
	t.Parallel()
	steps := deletes("lines", "orders", "notes", "customers")
	c1 := []engine.Person{person("email=c2@x"), person("email=c3@x")}
	for name, c := range map[string]scenario{
		"of the same person": {
			schema: shop, maps: shopMap(), steps: steps, persons: c1,
			holds: []plan.Hold{{Subject: true, Datasets: []string{"customers", "notes"}}}, held: []engine.Person{person("nr=n2")}, kept: []int64{1 + 2},
			gone: map[string]map[int]int64{"lines": {1: 6}, "orders": {1: 3}, "notes": {1: 2}, "customers": {1: 1}},
			left: map[string]engine.ErasureLeftover{"lines": {Persons: []engine.Left{{Held: 6}, {}}}, "orders": {Persons: []engine.Left{{Held: 3}, {}}},
				"notes": {Persons: []engine.Left{{Held: 2}, {}}}, "customers": {Persons: []engine.Left{{Held: 1}, {}}}},
			rest: map[string]string{ids("customers"): "1,2,4"},
		},
		"of lines that would not be found again": {
			schema: shop, maps: shopMap(), steps: steps, persons: c1[:1],
			holds: []plan.Hold{{Condition: &plan.Condition{Field: "id", Operator: plan.OperatorAtMost, Values: []string{"4"}}, Datasets: []string{"lines"}}}, held: make([]engine.Person, 1), kept: []int64{4},
			gone: map[string]map[int]int64{"lines": {0: 5}, "orders": {0: 2}, "notes": {0: 2}},
			left: map[string]engine.ErasureLeftover{"lines": {Persons: []engine.Left{{Held: 1}}},
				"orders":    {Persons: []engine.Left{{Remaining: 1, Blocked: 1, Bound: 1}}, Total: 1, Constraints: []string{"lines.o"}},
				"customers": {Persons: []engine.Left{{Remaining: 1, Blocked: 1, Bound: 1}}, Total: 1, Constraints: []string{"orders.customer"}}},
			rest: map[string]string{ids("lines"): "1,2,3,4,5,6,7,9,10,11,13,14,15,17,18,19,21,22,23"},
		},
		"on what is written meanwhile": {
			schema: shop, maps: shopMap(), steps: steps, persons: c1[:1],
			holds: []plan.Hold{{Condition: &plan.Condition{Field: "at", Operator: plan.OperatorAtLeast, Values: []string{"2024-01-01T00:00:00Z"}}, Datasets: []string{"orders"}}}, held: make([]engine.Person, 1), kept: []int64{0},
			between: []string{"INSERT INTO orders VALUES (50, 2, '2024-05-05'); INSERT INTO lines VALUES (60, 50, '2019-01-01')"},
			gone:    map[string]map[int]int64{"lines": {0: 6}, "orders": {0: 3}, "notes": {0: 2}, "customers": {0: 1}},
			left:    map[string]engine.ErasureLeftover{"lines": {Persons: []engine.Left{{Held: 1}}}, "orders": {Persons: []engine.Left{{Held: 1}}}},
			rest:    map[string]string{ids("orders") + " WHERE id = 50": "50", ids("lines") + " WHERE id = 60": "60"},
		},
	} {
		t.Run(name, c.run)
	}
}

// Without an index on the key that leads to what is held, each statement lists the keys once.
func TestHoldsWithoutAnIndex(t *testing.T) {
	t.Parallel()
	dsn, conn := database(t, `
		CREATE TABLE customers (id int, email text); CREATE TABLE orders (id int, customer int, at date);
		INSERT INTO customers SELECT i, 'c' || i || '@x' FROM generate_series(1, 20000) i;
		INSERT INTO orders SELECT i, i % 20000, '2019-01-01' FROM generate_series(1, 100000) i; ANALYZE`)
	limits := plan.DefaultLimits
	limits.ScanTimeoutMilliseconds = 20_000
	s := open(t, dsn, plan.Plan{
		Limits: limits, Holds: []plan.Hold{{Subject: true, Datasets: []string{"orders"}}}, Steps: []plan.Step{deleteStepOf("orders", "at", day("2020-01-01"))},
		Datasets: []plan.Dataset{{Name: "orders", Path: "orders", References: references("customer", "customers", "id")},
			{Name: "customers", Path: "customers", Identifiers: identifiers("email", "email", plan.MatchIgnoreCase)}},
	})
	if counts, err := s.Hold(t.Context(), []engine.Person{person("email=C7@x")}); err != nil || counts[0] != 5 {
		t.Fatal(err, counts)
	}
	got, _ := carryOut(t, s, 0)
	if n := postgres.Value[int](t, conn, "SELECT count(*) FROM orders"); n != 5 || got.Held != 5 || got.Changed != 99995 {
		t.Errorf("%d are left, %+v", n, got)
	}
}
