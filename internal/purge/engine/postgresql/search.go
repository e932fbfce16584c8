// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"fmt"
	"slices"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/purge/engine"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/subject"
)

// search looks for the records of many persons at a time: each dataset is asked once for all persons, for what is newly
// known, until nothing new comes up.
type search struct {
	s *session
	// sets has one entry for each dataset of the Plan; order are their places, parents before children where possible.
	sets  []*searched
	order []int
	// known are the identifiers of each person, and where they come from.
	known []map[subject.Identifier]origin
	// given are the types of the identifiers that each person was named by; nil for one who is not led on to by identifiers.
	given []map[string]bool
	// problems are why nothing may be done about a person.
	problems []receipt.Reason
	// suspects are matches that tell of two persons, if what was matched stays vague.
	suspects []suspect
	// also is whom else a person's record of a dataset belongs to.
	also func(set int, person int32) (int32, bool)
	// takes says that records of a dataset go with all that refers to them, also those that are about another person.
	takes func(set int) bool
	// round counts the questions asked.
	round int32
}

// origin says how an identifier came to be known. The least counts.
type origin int8

const (
	// isGiven is by the request.
	isGiven origin = iota
	// isCertain is from a record whose field is unique, or from another datastore; isVague from any other: several persons
	// may share it.
	isCertain
	isVague
	// isShared is a key of a record that may be about another person: it leads to what refers to it, and to nothing else.
	isShared
)

// searched is a dataset, and what was found there.
type searched struct {
	index int
	plan  *plan.Dataset
	table *table
	// names are the tables that hold the dataset's records: its own, and partitions on their way out of it.
	names []string
	// leaves are those of all names.
	leaves map[uint32]leaf
	// reason is why it cannot be searched.
	reason      receipt.Reason
	identifiers []identified
	ways        []*way
	// keys are the columns by which records of other datasets find theirs.
	keys []column
	// texts are the columns that are read of each record found.
	texts   []column
	records map[location]*found
}

// location is where a record lies.
type location struct {
	leaf        uint32
	block, slot uint32
}

func (p location) tid() string { return fmt.Sprintf("(%d,%d)", p.block, p.slot) }

// way is how a record is found: by a field that carries an identifier, or by one that holds a key of a record that was found.
type way struct {
	column column
	// own says that the field is the dataset's own identifier, identified what it carries, if it carries any. A field that refers to a field with an identifier carries
	// that identifier as well, also where the record that it refers to is gone.
	own        bool
	identified *identified
	// parent and key are the dataset and the field that column refers to.
	parent int
	key    string
	seen   map[asked]origin
	// pending are those of seen that nobody has asked for yet.
	pending []asked
}

// asked is a text to look for, and whose it is.
type asked struct {
	person int32
	value  string
}

// is renders the condition that x is the text v.
func (w *way) is(x, v string) string {
	if w.identified != nil {
		return w.identified.is(x, v)
	}
	return w.column.is(x, v, false)
}

// oneOf renders the condition that x may be one of the texts of the array v.
func (w *way) oneOf(x, v string) string {
	if w.identified != nil {
		return w.identified.oneOf(x, v)
	}
	return w.column.oneOf(x, v)
}

// folds says whether the server folds the texts first.
func (w *way) folds() bool { return w.identified != nil && w.identified.match == plan.MatchIgnoreCase }

// found is a record that was found.
type found struct {
	claims []claim
	// direct are the persons of whom it carries an identifier that they were named by.
	direct []int32
	// keys are the texts of the dataset's keys.
	keys []*string
	// round is when it was found: those further from the identifiers come later.
	round int32
	fate  fate
	// blockers are the records that keep it, by foreign keys.
	blockers []blocker
	bound    bool
}

// suspect is a record that was found by a vague identifier of a person and carries another one that is not the person's.
type suspect struct {
	way   *way
	asked asked
}

// claim is why a record belongs to a person.
type claim struct {
	person int32
	way    int32
	value  string
	// shared says that the record may be about another person.
	shared bool
}

// newSearch resolves the datasets of the Plan in the catalog. A dataset that cannot be resolved has a reason.
func (s *session) newSearch(ctx context.Context, persons int) (*search, error) {
	f := &search{
		s: s, known: make([]map[subject.Identifier]origin, persons), given: make([]map[string]bool, persons),
		problems: make([]receipt.Reason, persons), also: func(int, int32) (int32, bool) { return 0, false },
		takes: func(int) bool { return true },
	}
	for i := range f.known {
		f.known[i], f.given[i] = map[subject.Identifier]origin{}, map[string]bool{}
	}
	for i := range s.in.Plan.Datasets {
		set := &searched{index: i, plan: &s.in.Plan.Datasets[i], records: map[location]*found{}}
		f.sets = append(f.sets, set)
		if err := set.tell(f.lookup(ctx, set)); err != nil {
			return nil, err
		}
	}
	for _, set := range f.sets {
		set.resolveIdentifiers()
	}
	for _, set := range f.sets {
		f.resolveReferences(set)
	}
	f.arrange()
	return f, nil
}

// tell notes an error that is a matter of one dataset, and returns any other.
func (set *searched) tell(err error) error {
	if err == nil {
		return nil
	}
	switch reason := engine.ReasonOf(err); reason {
	case receipt.TableNotFound, receipt.FieldNotFound, receipt.PermissionDenied, receipt.RowLevelSecurity, receipt.TypeNotSupported,
		receipt.KeyNotUnique, receipt.StatementTimeout, receipt.LockTimeout, receipt.ValueNotUnderstood:
		set.reason = reason
		return nil
	}
	return err
}

// lookup looks the dataset's tables up, or again: partitions come and go.
func (f *search) lookup(ctx context.Context, set *searched) error {
	t, err := f.s.lookup(ctx, set.plan.Path)
	if err != nil {
		return err
	}
	if set.table != nil && set.table.oid != t.oid { // somebody put another table in its place
		return engine.Fail(receipt.TableNotFound, set.plan.Path)
	}
	begun, err := f.s.begunPartitions(ctx, t)
	if err != nil {
		return err
	}
	set.table, set.names, set.leaves = t, []string{t.name}, map[uint32]leaf{}
	for _, l := range t.leaves {
		if l.foreign {
			return engine.Fail(receipt.TypeNotSupported, l.name)
		}
		set.leaves[l.oid] = l
	}
	for _, p := range begun {
		set.names = append(set.names, "ONLY "+p.name)
		set.leaves[p.oid] = leaf{oid: p.oid, name: p.name, deletable: true, updatable: true}
	}
	return nil
}

// resolveIdentifiers finds the fields that carry identifiers.
func (set *searched) resolveIdentifiers() {
	if set.table == nil || set.reason != "" {
		return
	}
	for _, id := range set.plan.Identifiers {
		c, ok := set.table.columns[id.Field]
		if !ok {
			set.reason = receipt.FieldNotFound
			return
		}
		others := slices.ContainsFunc(set.plan.Identifiers, func(o plan.Identifier) bool { return o.Type == id.Type && o.Field != id.Field })
		i := identified{kind: id.Type, column: c, match: id.Match, ends: id.Ends, leads: !id.Ends && !others}
		set.identifiers = append(set.identifiers, i)
		set.ways = append(set.ways, &way{column: c, own: true, identified: &i, seen: map[asked]origin{}})
		set.read(c)
	}
}

// read has a column read of each record found.
func (set *searched) read(c column) {
	if !slices.ContainsFunc(set.texts, func(o column) bool { return o.name == c.name }) {
		set.texts = append(set.texts, c)
	}
}

// resolveReferences finds the fields that refer to others.
func (f *search) resolveReferences(set *searched) {
	for _, r := range set.plan.References {
		parent := slices.IndexFunc(f.sets, func(p *searched) bool { return p.plan.Name == r.Dataset })
		if set.table == nil || set.reason != "" || parent < 0 || f.sets[parent].table == nil {
			continue
		}
		p := f.sets[parent]
		c, ok := set.table.columns[r.Field]
		key, has := p.table.columns[r.Key]
		if !ok || !has {
			set.reason = receipt.FieldNotFound
			return
		}
		for _, id := range p.identifiers {
			if id.column.name == r.Key {
				id.column = c
				set.ways = append(set.ways, &way{column: c, identified: &id, parent: parent, key: r.Key, seen: map[asked]origin{}})
				set.read(c)
			}
		}
		if p.flows(r.Key) {
			set.ways = append(set.ways, &way{column: c, parent: parent, key: r.Key, seen: map[asked]origin{}})
			if !slices.ContainsFunc(p.keys, func(k column) bool { return k.name == r.Key }) {
				p.keys = append(p.keys, key)
				p.read(key)
			}
		}
	}
}

// flows says whether the key of a record that was found leads to the records that refer to it. A field that may hold the
// identifier of another person does not.
func (set *searched) flows(key string) bool {
	for _, id := range set.plan.Identifiers {
		alone := !slices.ContainsFunc(set.plan.Identifiers, func(o plan.Identifier) bool { return o.Type == id.Type && o.Field != id.Field })
		if id.Field == key && (id.Ends || !alone && !set.table.unique[key]) {
			return false
		}
	}
	return true
}

// carries says whether a field carries an identifier.
func (set *searched) carries(field string) bool {
	return slices.ContainsFunc(set.identifiers, func(i identified) bool { return i.column.name == field })
}

// carried says whether the key is an identifier that outlives the record: whoever searches again knows it still.
func (set *searched) carried(key string) bool {
	return slices.ContainsFunc(set.identifiers, func(i identified) bool { return i.column.name == key && i.leads })
}

// arrange puts parents before children. Of a circle, the order is that of the Plan.
func (f *search) arrange() {
	done := make([]bool, len(f.sets))
	var visit func(i int)
	visit = func(i int) {
		if done[i] {
			return
		}
		done[i] = true
		for _, w := range f.sets[i].ways {
			if !w.own {
				visit(w.parent)
			}
		}
		f.order = append(f.order, i)
	}
	for i := range f.sets {
		visit(i)
	}
}

// learn notes an identifier of a person.
func (f *search) learn(person int32, id subject.Identifier, from origin) {
	before, known := f.known[person][id]
	if known && !(before == isVague && from == isCertain) {
		return
	}
	if !known && len(f.known[person]) >= subject.MaxIdentifiers {
		if f.problems[person] == "" {
			f.problems[person] = receipt.TooManyIdentifiers
		}
		return
	}
	f.known[person][id] = from
	for _, set := range f.sets {
		for _, w := range set.ways {
			if w.identified == nil || w.identified.kind != id.Type {
				continue
			}
			for _, form := range w.identified.forms(id.Value) {
				w.ask(asked{person, form}, from)
			}
		}
	}
}

// follow notes the key of a record that belongs to a person.
func (f *search) follow(parent int, key column, person int32, value string, from origin) {
	for _, set := range f.sets {
		for _, w := range set.ways {
			if w.identified == nil && w.parent == parent && w.key == key.name {
				if text, ok := w.column.admit(value); ok {
					w.ask(asked{person, text}, from)
				}
			}
		}
	}
}

func (w *way) ask(a asked, from origin) {
	before, ok := w.seen[a]
	if !ok || before == isShared && from != isShared {
		w.pending = append(w.pending, a)
	}
	if !ok || before > from {
		w.seen[a] = from
	}
}
