// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/subject"
)

// maxAsked bounds how many texts one statement looks for.
const maxAsked = 200_000

// begin notes whom the search is about.
func (f *search) begin(person int32, p engine.Person) {
	for _, id := range p.Given {
		f.given[person][id.Type] = true
	}
	for _, id := range p.Given {
		f.learn(person, id, isGiven)
		if !f.usable(id) {
			f.problems[person] = receipt.SubjectUnreadable
		}
	}
	for _, id := range p.Derived {
		f.learn(person, id, isCertain)
	}
}

// usable says whether an identifier can be compared with all fields that carry its type: a telephone number without a country
// code may be there, in another way of writing, without matching.
func (f *search) usable(id subject.Identifier) bool {
	for _, set := range f.sets {
		for _, i := range set.identifiers {
			if _, ok := i.canonical(id.Value); i.kind == id.Type && i.match == plan.MatchE164 && !ok {
				return false
			}
		}
	}
	return true
}

// again forgets the records that were found, and looks for all that is known once more.
func (f *search) again(ctx context.Context) error {
	for _, set := range f.sets {
		if set.reason != "" {
			continue
		}
		if err := set.tell(f.lookup(ctx, set)); err != nil {
			return err
		}
		clear(set.records)
		f.suspects = nil
		for _, w := range set.ways {
			w.pending = w.pending[:0]
			for a := range w.seen {
				w.pending = append(w.pending, a)
			}
		}
	}
	return f.look(ctx)
}

// look asks the datasets until nothing is pending: a record that is found has keys and identifiers to look for.
func (f *search) look(ctx context.Context) error {
	for asking := true; asking; {
		asking = false
		for _, i := range f.order {
			set := f.sets[i]
			for n, w := range set.ways {
				for len(w.pending) > 0 && set.reason == "" {
					asking = true
					count := min(len(w.pending), maxAsked)
					some := slices.Clone(w.pending[:count])
					w.pending = w.pending[count:]
					if err := set.tell(f.ask(ctx, set, n, some)); err != nil {
						return err
					}
				}
			}
		}
	}
	for _, one := range f.suspects {
		if one.way.seen[one.asked] == isVague {
			f.problems[one.asked.person] = receipt.IdentifiersDisagree
		}
	}
	return f.compare(ctx)
}

// answer is a record that was found, for one text that was asked for.
type answer struct {
	leaf  uint32
	tid   string
	asked int64
	texts []*string
}

// scanAnswer reads a row of a search.
func scanAnswer(row pgx.CollectableRow) (one answer, err error) {
	return one, row.Scan(&one.leaf, &one.tid, &one.asked, &one.texts)
}

// record is the record that an answer tells of.
func (set *searched) record(one answer, round int32) (*found, error) {
	at, err := locationOf(one.leaf, one.tid)
	if err != nil {
		return nil, err
	}
	rec := set.records[at]
	if rec == nil {
		rec = &found{round: round}
		for _, k := range set.keys {
			var key *string
			if text, ok := set.text(one.texts, k.name); ok {
				key = &text
			}
			rec.keys = append(rec.keys, key)
		}
		set.records[at] = rec
	}
	return rec, nil
}

// ask asks a dataset once for some texts, for all persons together.
func (f *search) ask(ctx context.Context, set *searched, n int, some []asked) error {
	w := set.ways[n]
	f.round++
	values := make([]string, len(some))
	for i, a := range some {
		values[i] = a.value
	}
	texts := make([]string, len(set.texts))
	for i, c := range set.texts {
		texts[i] = "(" + quoted("t", c.name) + ")::text"
	}
	var answers []answer
	err := f.s.scan(ctx, func(ctx context.Context, tx pgx.Tx) error {
		answers = answers[:0]
		if w.folds() {
			var err error
			if values, err = fold(ctx, tx, values); err != nil {
				return err
			}
		}
		for _, name := range set.names {
			var a arguments
			all, x := a.add(values, "text[]"), quoted("t", w.column.name)
			sql := "SELECT t.tableoid, t.ctid::text, v.n, ARRAY[" + strings.Join(texts, ", ") + "]::text[] FROM " + name + " AS t JOIN unnest(" +
				all + ") WITH ORDINALITY AS v(value, n) ON " + w.is(x, "v.value") + " WHERE " + w.oneOf(x, all)
			rows, err := tx.Query(ctx, sql, a...)
			if err != nil {
				return err
			}
			some, err := pgx.CollectRows(rows, scanAnswer)
			if err != nil {
				return err
			}
			answers = append(answers, some...)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, one := range answers {
		if err := f.absorb(set, n, one, some[one.asked-1]); err != nil {
			return err
		}
	}
	return nil
}

// fold has the server fold texts, by the rules that it folds records by.
func fold(ctx context.Context, conn querier, texts []string) (folded []string, err error) {
	err = conn.QueryRow(ctx, "SELECT array_agg(lower(text) ORDER BY n) FROM unnest($1::text[]) WITH ORDINALITY AS v(text, n)", texts).Scan(&folded)
	return folded, err
}

// text is what was read of a column, false for NULL and for blanks.
func (set *searched) text(texts []*string, name string) (string, bool) {
	for i, c := range set.texts {
		if c.name == name && i < len(texts) && texts[i] != nil {
			return *texts[i], strings.TrimSpace(*texts[i]) != ""
		}
	}
	return "", false
}

// absorb takes in a record that was found.
func (f *search) absorb(set *searched, n int, one answer, a asked) error {
	w := set.ways[n]
	if w.identified != nil {
		text, ok := set.text(one.texts, w.column.name)
		if !ok || !w.identified.meant(text, a.value) {
			return nil
		}
	}
	ends := w.own && w.identified.ends
	if w.own && !ends && f.contradicts(set, w, a.person, one.texts) {
		switch {
		case w.seen[a] == isGiven || set.table.unique[w.column.name]:
			f.problems[a.person] = receipt.IdentifiersDisagree
		case w.seen[a] == isVague:
			f.suspects = append(f.suspects, suspect{w, a})
		}
	}
	rec, err := set.record(one, f.round)
	if err != nil {
		return err
	}
	if w.own && !ends && w.seen[a] == isGiven && !slices.Contains(rec.direct, a.person) {
		rec.direct = append(rec.direct, a.person)
	}
	c := claim{a.person, int32(n), a.value, ends || w.seen[a] == isShared} // there are few ways
	f.claim(set, rec, c, one.texts)
	if other, ok := f.also(set.index, a.person); ok {
		c.person = other
		f.claim(set, rec, c, one.texts)
	}
	return nil
}

// meant says whether a text that the server found to have a form of an identifier is that identifier. Of telephone numbers,
// the server's forms are too coarse.
func (i identified) meant(text, form string) bool {
	if i.match != plan.MatchE164 {
		return true
	}
	number, ok := i.canonical(text)
	if !ok {
		return false
	}
	return slices.Contains(i.forms(number), form)
}

// claim gives a record to a person, and leads on from it.
func (f *search) claim(set *searched, rec *found, c claim, texts []*string) {
	i := slices.IndexFunc(rec.claims, func(o claim) bool { return o.person == c.person })
	switch {
	case i < 0:
		rec.claims = append(rec.claims, c)
	case rec.claims[i].shared && !c.shared:
		rec.claims[i] = c
	default:
		return
	}
	f.lead(set, rec, c)
	if c.shared || f.given[c.person] == nil {
		return
	}
	for _, i := range set.identifiers {
		if text, ok := set.text(texts, i.column.name); ok && i.leads && !f.given[c.person][i.kind] {
			f.derive(set, i, c.person, strings.TrimSpace(text))
		}
	}
}

// lead leads from a record to those that refer to it.
func (f *search) lead(set *searched, rec *found, c claim) {
	ends := c.way >= 0 && set.ways[c.way].own && set.ways[c.way].identified.ends
	from := isCertain
	if c.shared {
		from = isShared
	}
	for i, k := range set.keys {
		if rec.keys[i] != nil && !(ends && (set.carries(k.name) || !f.takes(set.index))) {
			f.follow(set.index, k, c.person, *rec.keys[i], from)
		}
	}
}

// derive takes an identifier of a record for the person's. What could not be handed on to another datastore is none.
func (f *search) derive(set *searched, i identified, person int32, text string) {
	if len(text) > subject.MaxValue || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return
	}
	if form, ok := i.column.admit(text); ok {
		text = form
	}
	from := isVague
	if set.table.unique[i.column.name] {
		from = isCertain
	}
	f.learn(person, subject.Identifier{Type: i.kind, Value: text}, from)
}

// contradicts says whether a record that carries one identifier of a person carries another one that is not the person's, of
// a type that the person was named by: then the two are different persons', and nobody can tell whose the record is.
func (f *search) contradicts(set *searched, w *way, person int32, texts []*string) bool {
	return slices.ContainsFunc(set.identifiers, func(i identified) bool {
		text, ok := set.text(texts, i.column.name)
		return ok && i.kind != w.identified.kind && i.leads && f.foreign(person, i, text)
	})
}

// foreign says whether a text is an identifier of a type that the person was named by, and none of the person's.
func (f *search) foreign(person int32, i identified, text string) bool {
	if !f.given[person][i.kind] {
		return false
	}
	theirs, ok := i.canonical(strings.TrimSpace(text))
	if !ok {
		return false
	}
	for id := range f.known[person] {
		if known, ok := i.canonical(id.Value); ok && id.Type == i.kind && known == theirs {
			return false
		}
	}
	return true
}

// locationOf reads a ctid.
func locationOf(leaf uint32, tid string) (location, error) {
	at := location{leaf: leaf}
	if _, err := fmt.Sscanf(tid, "(%d,%d)", &at.block, &at.slot); err != nil {
		return at, engine.Fail(receipt.InternalError, "ctid")
	}
	return at, nil
}

// Find looks for the records of the Plan's requests. See engine.Eraser.
func (s *session) Find(ctx context.Context, persons []engine.Person) (*engine.Findings, error) {
	e, err := s.newErasure(ctx, persons)
	if err != nil {
		return nil, err
	}
	s.erasure = e
	out := &engine.Findings{Problems: slices.Clone(e.problems), Derived: make([][]subject.Identifier, len(persons))}
	for p := range persons {
		for id, from := range e.known[p] {
			if from != isGiven && !slices.Contains(persons[p].Derived, id) {
				out.Derived[p] = append(out.Derived[p], id)
			}
		}
		out.Derived[p] = subject.Union(out.Derived[p], nil)
	}
	leads := e.reached()
	for i := range s.in.Plan.Erasure.Steps {
		set := e.sets[e.place[i]]
		one := engine.Found{Records: set.numbers(len(persons)), Unsearched: make([]bool, len(persons)), Reason: set.reason}
		for p := range persons {
			one.Unsearched[p] = !leads[set.index][p]
		}
		out.Steps = append(out.Steps, one)
	}
	return out, nil
}

// numbers are how many records each of n persons has.
func (set *searched) numbers(n int) []int64 {
	out := make([]int64, n)
	for _, rec := range set.records {
		for _, c := range rec.claims {
			out[c.person]++
		}
	}
	return out
}

// reached says of each dataset and person whether an identifier leads there: by a field of its own, or by a reference to a
// dataset that is reached.
func (f *search) reached() [][]bool {
	out := make([][]bool, len(f.sets))
	for i := range out {
		out[i] = make([]bool, len(f.known))
	}
	for changed := true; changed; {
		changed = false
		for _, set := range f.sets {
			for _, w := range set.ways {
				for p := range f.known {
					if !out[set.index][p] && f.reaches(w, p, out) {
						out[set.index][p], changed = true, true
					}
				}
			}
		}
	}
	return out
}

func (f *search) reaches(w *way, person int, reached [][]bool) bool {
	if w.identified == nil {
		return reached[w.parent][person] && f.sets[w.parent].reason == ""
	}
	for id := range f.known[person] {
		if id.Type == w.identified.kind {
			return true
		}
	}
	return false
}
