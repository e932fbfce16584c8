// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
)

// holds are the Plan's holds on single records. What they keep is said by a condition on each record, in terms of
// identifiers and of the records that it refers to, so that a record which is written later is kept as well. Only where
// references run in a circle, the keys stand there that were found when the holds were resolved.
//
// In the search, each hold is two persons: one whose records are looked for in all datasets, and one to whom those belong
// that the hold keeps.
type holds struct {
	*search
	// covers says which datasets each hold covers, leads in which the person's records lead to what it covers: without these,
	// nobody could tell the next time what is held.
	covers, leads [][]bool
	// circle says whether references lead from one dataset to another and back.
	circle func(i, j int) bool
	// texts are those that each way looks for, by the person.
	texts map[*way]map[int32][]string
	// conditions renders the condition of a hold for a dataset that it covers.
	conditions map[[2]int]func(alias string, a *arguments) string
}

// holding renders conditions under which a record of an alias is kept.
type holding []func(alias string, a *arguments) string

func (h holding) of(alias string, a *arguments) string {
	some := make([]string, 0, len(h))
	for _, render := range h {
		some = append(some, render(alias, a))
	}
	return anyOf(some)
}

// anyOf renders that one of conditions holds.
func anyOf(conditions []string) string {
	conditions = slices.DeleteFunc(conditions, func(c string) bool { return c == "false" })
	if len(conditions) == 0 {
		return "false"
	}
	return "(" + strings.Join(conditions, ") OR (") + ")"
}

// keeping says of which datasets a hold may keep single records: it covers the dataset, or one that references lead to.
func keeping(p *plan.Plan) []bool {
	out := make([]bool, len(p.Datasets))
	if len(p.Holds) == 0 {
		return out
	}
	for n := range p.Holds {
		for i, leads := range leading(p, n) {
			out[i] = out[i] || leads
		}
	}
	reaches := reachesIn(p)
	for j, d := range p.Datasets {
		if slices.ContainsFunc(p.Holds, func(h plan.Hold) bool { return slices.Contains(h.Datasets, d.Name) }) {
			for i := range out {
				out[i] = out[i] || i == j || reaches[i][j]
			}
		}
	}
	return out
}

// leading says in which datasets a person's records lead to those that hold n covers: references lead there, or they may tell
// of further identifiers.
func leading(p *plan.Plan, n int) []bool {
	out := make([]bool, len(p.Datasets))
	if !p.Holds[n].Subject {
		return out
	}
	reaches := reachesIn(p)
	for i, d := range p.Datasets {
		out[i] = slices.ContainsFunc(d.Identifiers, func(id plan.Identifier) bool { return id.Type != d.Identifiers[0].Type })
		for j, o := range p.Datasets {
			out[i] = out[i] || reaches[j][i] && slices.Contains(p.Holds[n].Datasets, o.Name)
		}
	}
	return out
}

// reachesIn says whether references lead from one dataset to another, over any number of others.
func reachesIn(p *plan.Plan) [][]bool {
	n := len(p.Datasets)
	out := make([][]bool, n)
	for i, d := range p.Datasets {
		out[i] = make([]bool, n)
		for _, r := range d.References {
			if j := slices.IndexFunc(p.Datasets, func(o plan.Dataset) bool { return o.Name == r.Dataset }); j >= 0 {
				out[i][j] = true
			}
		}
	}
	for k := range n {
		for i := range n {
			for j := range n {
				out[i][j] = out[i][j] || out[i][k] && out[k][j]
			}
		}
	}
	return out
}

// unreadableHold is err, unless that is a matter of the server as a whole, as a reason why a hold cannot be resolved.
func unreadableHold(err error, object string) error {
	switch engine.ReasonOf(err) {
	case receipt.Unreachable, receipt.Interrupted, receipt.IdentityChanged, receipt.WriterActive, receipt.AuthenticationFails,
		receipt.DatabaseNotFound, receipt.VersionNotSupported:
		return err
	}
	return engine.Fail(receipt.HoldUnreadable, object)
}

// Hold resolves the Plan's holds. See engine.Eraser.
func (s *session) Hold(ctx context.Context, persons []engine.Person) ([]int64, error) {
	if len(persons) != len(s.in.Plan.Holds) {
		return nil, engine.Fail(receipt.HoldUnreadable, "")
	}
	f, err := s.newSearch(ctx, 2*len(persons))
	if err != nil {
		return nil, err
	}
	reaches := reachesIn(s.in.Plan)
	h := &holds{search: f, conditions: map[[2]int]func(string, *arguments) string{}}
	h.circle = func(i, j int) bool { return i == j || reaches[i][j] && reaches[j][i] }
	f.also = func(set int, person int32) (int32, bool) { return person + 1, person%2 == 0 && h.covers[person/2][set] }
	for n, p := range persons {
		if err := h.begin(ctx, n, p); err != nil {
			return nil, err
		}
	}
	if err := h.resolve(ctx, reaches); err != nil {
		return nil, err
	}
	counts := make([]int64, len(persons))
	for n := range persons {
		for i, set := range f.sets {
			if h.covers[n][i] {
				m, err := h.count(ctx, n, set)
				if err != nil {
					return nil, err
				}
				counts[n] += m
			}
		}
	}
	s.holds = h
	return counts, nil
}

// begin notes what hold n covers, and whom or what it is about.
func (h *holds) begin(ctx context.Context, n int, p engine.Person) error {
	hold := h.s.in.Plan.Holds[n]
	covers := make([]bool, len(h.sets))
	for i, set := range h.sets {
		covers[i] = slices.Contains(hold.Datasets, set.plan.Name)
	}
	h.covers, h.leads = append(h.covers, covers), append(h.leads, leading(h.s.in.Plan, n))
	if hold.Subject && len(p.Given)+len(p.Derived) == 0 || hold.Subject == (hold.Condition != nil) {
		return engine.Fail(receipt.HoldUnreadable, hold.Name)
	}
	for i, set := range h.sets {
		if covers[i] && hold.Condition != nil {
			if err := h.resolveCondition(ctx, n, set, hold.Condition); err != nil {
				return err
			}
		}
	}
	h.given[2*n+1] = nil
	h.search.begin(int32(2*n), p) // a few
	if h.problems[2*n] != "" {
		return engine.Fail(receipt.HoldUnreadable, hold.Name)
	}
	return nil
}

// resolve looks for what identifies the persons, and for keys that only a search can tell.
func (h *holds) resolve(ctx context.Context, reaches [][]bool) error {
	if err := h.seed(ctx, reaches); err != nil {
		return err
	}
	for asking := true; asking; {
		if err := h.look(ctx); err != nil {
			return err
		}
		asking = h.pass()
	}
	for n, hold := range h.s.in.Plan.Holds {
		for i, set := range h.sets {
			// A dataset that cannot be read may lead to records that must be kept.
			leads := h.covers[n][i] || hold.Subject && slices.ContainsFunc(h.sets, func(o *searched) bool { return h.covers[n][o.index] && reaches[o.index][i] })
			if leads && set.reason != "" {
				return engine.Fail(receipt.HoldUnreadable, set.plan.Path)
			}
		}
		if h.problems[2*n] == receipt.TooManyIdentifiers {
			return engine.Fail(receipt.HoldUnreadable, hold.Name)
		}
	}
	for _, set := range h.sets {
		clear(set.records)
	}
	return h.gather(ctx)
}

// pass hands identifiers that references may carry to those to whom the records belong that a hold keeps.
func (h *holds) pass() bool {
	some := false
	for _, set := range h.sets {
		for _, w := range set.ways {
			if w.own || w.identified == nil {
				continue
			}
			for a, from := range w.seen {
				if a.person%2 == 0 && h.covers[a.person/2][w.parent] {
					w.ask(asked{a.person + 1, a.value}, from)
				}
			}
			some = some || len(w.pending) > 0
		}
	}
	return some
}

// seed looks for the records that meet a condition, if references run in a circle anywhere.
func (h *holds) seed(ctx context.Context, reaches [][]bool) error {
	if !slices.ContainsFunc(h.sets, func(set *searched) bool { return reaches[set.index][set.index] }) {
		return nil
	}
	for at, condition := range h.conditions {
		set := h.sets[at[1]]
		texts := make([]string, len(set.texts))
		for i, c := range set.texts {
			texts[i] = "(" + quoted("t", c.name) + ")::text"
		}
		var answers []answer
		err := h.s.scan(ctx, func(ctx context.Context, tx pgx.Tx) error {
			var a arguments
			answers = nil
			rows, err := tx.Query(ctx, "SELECT t.tableoid, t.ctid::text, 0, ARRAY["+strings.Join(texts, ", ")+"]::text[] FROM "+set.table.name+
				" AS t WHERE "+condition("t", &a), a...)
			if err == nil {
				answers, err = pgx.CollectRows(rows, scanAnswer)
			}
			return err
		})
		if err != nil {
			return unreadableHold(err, set.plan.Path)
		}
		for _, one := range answers {
			rec, err := set.record(one, 0)
			if err != nil {
				return err
			}
			h.claim(set, rec, claim{person: int32(2*at[0] + 1), way: -1}, one.texts)
		}
	}
	return nil
}

// count counts the records of a dataset that a hold keeps.
func (h *holds) count(ctx context.Context, n int, set *searched) (int64, error) {
	var count int64
	err := h.s.scan(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var a arguments
		condition := h.keep(n, set, "t", true, 0, &a)
		return tx.QueryRow(ctx, "SELECT count(*) FROM "+set.table.name+" AS t WHERE "+condition, a...).Scan(&count)
	})
	if err != nil {
		return 0, unreadableHold(err, set.plan.Path)
	}
	return count, nil
}

// keep renders the condition that hold n keeps the record of an alias, a record of the dataset set; if direct is false, that
// the record is the person's, whether the hold covers the dataset or not.
func (h *holds) keep(n int, set *searched, alias string, direct bool, depth int, a *arguments) string {
	subject := h.s.in.Plan.Holds[n].Subject
	covered := h.covers[n][set.index]
	var some []string
	if condition := h.conditions[[2]int{n, set.index}]; condition != nil {
		some = append(some, condition(alias, a))
	}
	// What the hold keeps of a covered dataset is all that is the person's; of any other, what refers to what it keeps.
	theirs := subject && (!direct || covered || depth == 0 && h.leads[n][set.index])
	for _, w := range set.ways {
		x := quoted(alias, w.column.name)
		switch {
		case w.own && !theirs, !w.own && w.identified != nil && !theirs && !(subject && h.covers[n][w.parent]):
		case w.identified != nil:
			some = append(some, h.among(w, 2*n, x, a))
		case h.circle(set.index, w.parent):
			person := 2*n + 1
			if theirs {
				person = 2 * n
			}
			some = append(some, h.among(w, person, x, a))
		default:
			p := h.sets[w.parent]
			next := fmt.Sprintf("held%d", depth)
			if up := h.keep(n, p, next, !theirs, depth+1, a); up != "false" {
				some = append(some, p.refersTo(w, alias, next, up))
			}
		}
	}
	return anyOf(some)
}

// refersTo renders the condition that the record of alias refers, by w, to one of the dataset's for which a condition holds.
// Without an index on the key, the keys of all these are listed once; with one, the server may do either.
func (set *searched) refersTo(w *way, alias, next, condition string) string {
	key := set.table.columns[w.key]
	if set.table.indexed(w.key) {
		return "EXISTS (SELECT 1 FROM " + set.table.name + " AS " + next + " WHERE " + alike(next, key, alias, w.column) + " AND (" + condition + "))"
	}
	of, to := sides(alias, w.column, next, key)
	return of + " IN (SELECT " + to + " FROM " + set.table.name + " AS " + next + " WHERE " + to + " IS NOT NULL AND (" + condition + "))"
}

// among renders the condition that x is one of the texts that a way looks for.
func (h *holds) among(w *way, person int, x string, a *arguments) string {
	values := h.texts[w][int32(person)]
	if len(values) == 0 {
		return "false"
	}
	return w.oneOf(x, a.add(values, "text[]"))
}

// gather lists the texts that ways look for, as the server compares them.
func (h *holds) gather(ctx context.Context) error {
	h.texts = map[*way]map[int32][]string{}
	for _, set := range h.sets {
		for _, w := range set.ways {
			h.texts[w] = map[int32][]string{}
			for one := range w.seen {
				h.texts[w][one.person] = append(h.texts[w][one.person], one.value)
			}
			for person, values := range h.texts[w] {
				slices.Sort(values)
				if !w.folds() {
					continue
				}
				err := h.s.read(ctx, func(ctx context.Context, conn *pgx.Conn) (err error) {
					h.texts[w][person], err = fold(ctx, conn, values)
					return err
				})
				if err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// heldIn says which records of a table must not change, under whatever name the Plan's datasets reach it. An *Error with
// HoldUnreadable says that nobody has resolved the holds.
func (s *session) heldIn(ctx context.Context, t *table) (holding, error) {
	var out holding
	if len(s.in.Plan.Holds) > 0 && s.holds == nil {
		return nil, engine.Fail(receipt.HoldUnreadable, t.relation)
	}
	begun, err := s.begunPartitions(ctx, t)
	if err != nil {
		return nil, err
	}
	keeping := keeping(s.in.Plan)
	for i, d := range s.in.Plan.Datasets {
		if !d.Held && !keeping[i] {
			continue
		}
		tree, err := s.tree(ctx, d.Path)
		if err != nil {
			return nil, err
		}
		within := within(tree, t, begun)
		if within == nil {
			continue
		}
		if d.Held {
			out = append(out, func(alias string, _ *arguments) string { return within(alias) })
			continue
		}
		set := s.holds.sets[i]
		if set.reason != "" {
			return nil, engine.Fail(receipt.HoldUnreadable, d.Path)
		}
		for n := range s.in.Plan.Holds {
			out = append(out, func(alias string, a *arguments) string {
				up := s.holds.keep(n, set, alias, true, 0, a)
				if up == "false" {
					return up
				}
				return within(alias) + " AND (" + up + ")"
			})
		}
	}
	return out, nil
}

// within renders the condition that a record of a table, or of a partition on its way out of it, is one of a tree of tables
// as well; nil if none is.
func within(tree []uint32, t *table, begun []partition) func(alias string) string {
	if slices.Contains(tree, t.oid) {
		return func(string) string { return "true" }
	}
	var shared []string
	for _, l := range t.leaves {
		if slices.Contains(tree, l.oid) {
			shared = append(shared, fmt.Sprint(l.oid))
		}
	}
	for _, p := range begun {
		if slices.Contains(tree, p.oid) {
			shared = append(shared, fmt.Sprint(p.oid))
		}
	}
	if shared == nil {
		return nil
	}
	return func(alias string) string { return alias + ".tableoid IN (" + strings.Join(shared, ", ") + ")" }
}
