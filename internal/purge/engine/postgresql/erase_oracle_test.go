// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"fmt"
	"math/rand/v2"
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

// town is some datasets at random, with records that carry identifiers and refer to each other at random.
type town struct {
	rng    *rand.Rand
	sets   []quarter
	people []engine.Person
	// kept is who a hold keeps, if there is one, in the datasets of covers.
	kept   *engine.Person
	covers []bool
}

// quarter is a dataset: each record has an id, an email, a device, and a reference in r1 and r2.
type quarter struct {
	ids      []plan.Identifier
	to       [2]int // datasets that r1 and r2 refer to; -1 for none
	enforced [2]bool
	unique   bool // device is unique
	action   plan.ErasureAction
	rows     []inhabitant
}

type inhabitant struct {
	id            int
	email, device string // empty for NULL
	ref           [2]int // 0 for NULL
}

type at struct{ set, row int }

func newTown(seed uint64) *town {
	w := &town{rng: rand.New(rand.NewPCG(seed, 7))} // reproducible
	n := 2 + w.rng.IntN(4)
	for i := range n {
		q := quarter{to: [2]int{-1, -1}, unique: w.rng.IntN(3) == 0, action: plan.EraseDelete}
		if w.rng.IntN(2) == 0 || i == n-1 {
			q.ids = append(q.ids, plan.Identifier{Type: "email", Field: "email", Ends: w.rng.IntN(5) == 0})
		}
		if w.rng.IntN(3) == 0 {
			q.ids = append(q.ids, plan.Identifier{Type: "device", Field: "device", Ends: w.rng.IntN(5) == 0})
		}
		for k := range q.to {
			if w.rng.IntN(3) > 0 {
				q.to[k] = min(n-1, i+w.rng.IntN(n-i+1)) // mostly upwards
				if w.rng.IntN(8) == 0 {
					q.to[k] = w.rng.IntN(n)
				}
				q.enforced[k] = w.rng.IntN(2) == 0
			}
		}
		if w.rng.IntN(5) == 0 {
			q.action = plan.EraseRetain
		}
		w.sets = append(w.sets, q)
	}
	for i := range w.sets {
		for id := range 5 + w.rng.IntN(25) {
			row := inhabitant{id: id + 1}
			if w.rng.IntN(3) == 0 {
				row.email = fmt.Sprintf("e%d@x", w.rng.IntN(8))
			}
			if w.rng.IntN(3) == 0 {
				row.device = fmt.Sprintf("d%d", w.rng.IntN(8))
				if w.sets[i].unique {
					row.device = fmt.Sprintf("d%d", id)
				}
			}
			w.sets[i].rows = append(w.sets[i].rows, row)
		}
	}
	for i := range w.sets {
		for r := range w.sets[i].rows {
			for k, to := range w.sets[i].to {
				if to >= 0 && w.rng.IntN(3) > 0 {
					w.sets[i].rows[r].ref[k] = 1 + w.rng.IntN(len(w.sets[to].rows))
				}
			}
		}
	}
	for range 1 + w.rng.IntN(3) {
		w.people = append(w.people, w.somebody())
	}
	if w.rng.IntN(2) == 0 {
		p := w.somebody()
		w.kept = &p
		for range w.sets {
			w.covers = append(w.covers, w.rng.IntN(2) == 0)
		}
	}
	return w
}

func (w *town) somebody() engine.Person {
	given := []string{fmt.Sprintf("email=e%d@x", w.rng.IntN(8))}
	if w.rng.IntN(3) == 0 {
		given = append(given, fmt.Sprintf("device=d%d", w.rng.IntN(8)))
	}
	return person(given...)
}

func (r inhabitant) of(kind string) string {
	if kind == "email" {
		return r.email
	}
	return r.device
}

func name(i int) string { return fmt.Sprintf("q%d", i) }

func (w *town) create(tb testing.TB, conn *pgx.Conn) {
	tb.Helper()
	var sql strings.Builder
	text := func(s string) string {
		if s == "" {
			return "NULL"
		}
		return "'" + s + "'"
	}
	for i, q := range w.sets {
		fmt.Fprintf(&sql, "CREATE TABLE %s (id int PRIMARY KEY, email text, device text, r0 int, r1 int);", name(i))
		if q.unique {
			fmt.Fprintf(&sql, "CREATE UNIQUE INDEX ON %s (device);", name(i))
		}
		for _, r := range q.rows {
			fmt.Fprintf(&sql, "INSERT INTO %s VALUES (%d, %s, %s, nullif(%d, 0), nullif(%d, 0));", name(i), r.id, text(r.email), text(r.device), r.ref[0], r.ref[1])
		}
	}
	for i, q := range w.sets {
		for k, to := range q.to {
			if to >= 0 && q.enforced[k] {
				fmt.Fprintf(&sql, "ALTER TABLE %s ADD FOREIGN KEY (r%d) REFERENCES %s;", name(i), k, name(to))
			}
		}
	}
	postgres.Exec(tb, conn, sql.String())
}

// belonging is what the definition says of one person: whose records they are, one by one, and whether nothing may be done.
type belonging struct {
	rows    map[at]bool
	problem receipt.Reason
}

// records works out the records of a person without the code under test: it goes over all records again and again.
func (w *town) records(p engine.Person) belonging {
	b := belonging{rows: map[at]bool{}}
	given := map[string]bool{}
	known := map[subject.Identifier]origin{}
	for _, id := range p.Given {
		given[id.Type], known[id] = true, isGiven
	}
	foreign := func(kind, value string) bool {
		_, ok := known[subject.Identifier{Type: kind, Value: value}]
		return given[kind] && value != "" && !ok
	}
	own := map[at]bool{} // found otherwise than as another person's
	for changed := true; changed; {
		changed = false
		for i, q := range w.sets {
			for n, r := range q.rows {
				mine, shared := false, false
				for _, id := range q.ids {
					if _, ok := known[subject.Identifier{Type: id.Type, Value: r.of(id.Type)}]; ok {
						mine, shared = mine || !id.Ends, shared || id.Ends
					}
				}
				for k, to := range q.to {
					if up := (at{to, r.ref[k] - 1}); to >= 0 && r.ref[k] > 0 && b.rows[up] {
						// What an identifier that ends leads to takes along what refers to it only where it goes itself.
						if own[up] {
							mine = true
						} else if w.sets[to].action == plan.EraseDelete || !w.byEnds(up, known) {
							shared = true
						}
					}
				}
				here := at{i, n}
				if (mine || shared) && !b.rows[here] {
					b.rows[here], changed = true, true
				}
				if mine && !own[here] {
					own[here], changed = true, true
				}
				if !own[here] {
					continue
				}
				for _, id := range q.ids {
					derived := subject.Identifier{Type: id.Type, Value: r.of(id.Type)}
					from := isVague
					if id.Type == "device" && q.unique {
						from = isCertain
					}
					before, ok := known[derived]
					if (!ok || before > from) && !given[id.Type] && !id.Ends && derived.Value != "" {
						known[derived], changed = from, true
					}
				}
			}
		}
	}
	for i, q := range w.sets {
		for n, r := range q.rows {
			for _, id := range q.ids {
				from, ok := known[subject.Identifier{Type: id.Type, Value: r.of(id.Type)}]
				if !ok || id.Ends {
					continue
				}
				for _, other := range q.ids {
					if other.Type != id.Type && !other.Ends && foreign(other.Type, r.of(other.Type)) && (from != isCertain || q.unique && id.Type == "device") {
						b.problem = receipt.IdentifiersDisagree
					}
				}
				if from == isGiven {
					w.up(at{i, n}, []string{}, []int{i}, func(kind, value string) {
						if foreign(kind, value) {
							b.problem = receipt.IdentifiersDisagree
						}
					})
				}
			}
		}
	}
	return b
}

// byEnds says whether nothing but an identifier that ends leads to a record.
func (w *town) byEnds(here at, known map[subject.Identifier]origin) bool {
	q := w.sets[here.set]
	for _, id := range q.ids {
		if _, ok := known[subject.Identifier{Type: id.Type, Value: q.rows[here.row].of(id.Type)}]; ok && id.Ends {
			return true
		}
	}
	return false
}

// up visits the identifiers of kinds that the datasets on the way do not carry themselves.
func (w *town) up(here at, carried []string, visited []int, visit func(kind, value string)) {
	q := w.sets[here.set]
	for _, id := range q.ids {
		carried = append(slices.Clone(carried), id.Type)
	}
	for k, to := range q.to {
		next := at{to, q.rows[here.row].ref[k] - 1}
		if to < 0 || next.row < 0 || slices.Contains(visited, to) {
			continue
		}
		for _, id := range w.sets[to].ids {
			if !id.Ends && !slices.Contains(carried, id.Type) {
				visit(id.Type, w.sets[to].rows[next.row].of(id.Type))
			}
		}
		w.up(next, carried, append(slices.Clone(visited), to), visit)
	}
}

// held works out what the hold keeps.
func (w *town) held() map[at]bool {
	kept := map[at]bool{}
	if w.kept == nil {
		return kept
	}
	theirs := w.records(*w.kept).rows
	for here := range theirs {
		if w.covers[here.set] {
			kept[here] = true
		}
	}
	defer func() { // what leads to it as well
		for here := range theirs {
			if len(w.sets[here.set].ids) > 1 || w.ancestor(here.set, map[int]bool{}) {
				kept[here] = true
			}
		}
	}()
	for changed := true; changed; {
		changed = false
		for i, q := range w.sets {
			for n, r := range q.rows {
				for k, to := range q.to {
					if to >= 0 && r.ref[k] > 0 && kept[at{to, r.ref[k] - 1}] && !kept[at{i, n}] {
						kept[at{i, n}], changed = true, true
					}
				}
			}
		}
	}
	return kept
}

// ancestor says whether references lead from a dataset that the hold covers to one.
func (w *town) ancestor(set int, visited map[int]bool) bool {
	visited[set] = true
	for i, q := range w.sets {
		if slices.Contains(q.to[:], set) && (w.covers[i] || !visited[i] && w.ancestor(i, visited)) {
			return true
		}
	}
	return false
}

// plan is the erasure plan of the town, children before parents as far as that goes.
func (w *town) plan() plan.Plan {
	var maps []plan.Dataset
	var steps []plan.ErasureStep
	for i, q := range w.sets {
		d := plan.Dataset{Name: name(i), Identifiers: q.ids}
		for k, to := range q.to {
			if to >= 0 {
				d.References = append(d.References, plan.Reference{Field: fmt.Sprintf("r%d", k), Dataset: name(to), Key: "id"})
			}
		}
		maps = append(maps, d)
		steps = append(steps, plan.ErasureStep{Dataset: name(i), Action: q.action, LegalBasis: "law"})
	}
	p := erases(maps, steps...)
	if w.kept != nil {
		h := plan.Hold{Name: "h", Subject: true}
		for i, covered := range w.covers {
			if covered {
				h.Datasets = append(h.Datasets, name(i))
			}
		}
		p.Holds = []plan.Hold{h}
	}
	p.Limits = plan.DefaultLimits
	p.Limits.BatchRecords = int32(1 + w.rng.IntN(20))
	return p
}

// Whatever the schema and the records: what is found, erased and left is what the definition says, record by record.
func TestErasesWhatTheDefinitionSays(t *testing.T) {
	t.Parallel()
	dsn, conn := database(t, "")
	for seed := range uint64(100) {
		w := newTown(seed)
		postgres.Exec(t, conn, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
		w.create(t, conn)
		s := open(t, dsn, w.plan())
		held := w.held()
		if w.kept != nil {
			counts, err := s.Hold(t.Context(), []engine.Person{*w.kept})
			var want int64
			for here := range held {
				if w.covers[here.set] {
					want++
				}
			}
			if err != nil || counts[0] != want {
				t.Errorf("seed %d: %v, %v are held, want %d", seed, err, counts, want)
			}
		}
		whose := map[at][]int{}
		problems := make([]receipt.Reason, len(w.people))
		for p, who := range w.people {
			b := w.records(who)
			problems[p] = b.problem
			for here := range b.rows {
				whose[here] = append(whose[here], p)
			}
		}
		got := eraseAll(t, s, w.people, nil)
		if diff := cmp.Diff(problems, got.findings.Problems); diff != "" {
			t.Errorf("seed %d: problems (-want +got):\n%s", seed, diff)
		}
		for i := range w.sets {
			found := make([]int64, len(w.people))
			for here, persons := range whose {
				for _, p := range persons {
					if here.set == i {
						found[p]++
					}
				}
			}
			if diff := cmp.Diff(found, got.findings.Steps[i].Records); diff != "" {
				t.Errorf("seed %d: %s: found (-want +got):\n%s", seed, name(i), diff)
			}
		}
		w.compare(t, fmt.Sprintf("seed %d", seed), conn, whose, problems, held, got)
		s.Close()
	}
}

// compare compares what is there with what may be gone, and what has to.
func (w *town) compare(t *testing.T, about string, conn *pgx.Conn, whose map[at][]int, problems []receipt.Reason, held map[at]bool, got erased) {
	t.Helper()
	there := map[at]bool{}
	for i := range w.sets {
		rows, err := conn.Query(t.Context(), "SELECT id FROM "+name(i))
		if err != nil {
			t.Fatal(err)
		}
		left, err := pgx.CollectRows(rows, pgx.RowTo[int])
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range left {
			there[at{i, id - 1}] = true
		}
	}
	needed := func(here at) bool { // by a record that is there still
		for i, q := range w.sets {
			for n, r := range q.rows {
				for k, to := range q.to {
					if to == here.set && r.ref[k] == here.row+1 && there[at{i, n}] && (at{i, n}) != here {
						return true
					}
				}
			}
		}
		return false
	}
	for i, q := range w.sets {
		gone := map[int]int64{}
		var remaining, isHeld int64
		for n := range q.rows {
			here := at{i, n}
			wanted := slices.ContainsFunc(whose[here], func(p int) bool { return problems[p] == "" })
			may := wanted && q.action == plan.EraseDelete && !held[here]
			switch {
			case !there[here] && !may:
				t.Errorf("%s: %s %d is gone, of %v, held %v", about, name(i), n+1, whose[here], held[here])
			case !there[here]:
				for _, p := range whose[here] {
					if problems[p] == "" {
						gone[p]++
					}
				}
			case may && !needed(here):
				t.Errorf("%s: %s %d is left, and nothing needs it", about, name(i), n+1)
			}
			if there[here] && len(whose[here]) > 0 {
				if held[here] {
					isHeld++
				} else {
					remaining++
				}
			}
		}
		if diff := cmp.Diff(gone, got.gone[name(i)]); diff != "" && len(gone)+len(got.gone[name(i)]) > 0 {
			t.Errorf("%s: %s: told of (-want +got):\n%s", about, name(i), diff)
		}
		if left := got.left[name(i)]; q.action == plan.EraseDelete && left != nil && left.Total != remaining {
			t.Errorf("%s: %s: %d left, want %d", about, name(i), left.Total, remaining)
		}
	}
}
