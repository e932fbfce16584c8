// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"

	"dataretention.dev/retention-operator/internal/receipt"
)

// upward leads from a dataset over references to the nearest one that carries a type of identifier which the dataset itself
// does not carry.
type upward struct {
	hops []upHop
	to   identified
}

// maxHops bounds how far up is looked.
const maxHops = 8

// upHop is one reference.
type upHop struct {
	table    string
	from, to column
}

// compare looks at the records that carry an identifier which a person was named by: whether what they refer to carries
// another identifier of the person's, or of somebody else. Of two different persons, none is erased.
func (f *search) compare(ctx context.Context) error {
	for _, set := range f.sets {
		if set.reason != "" {
			continue
		}
		for kind, ups := range f.upward(set) {
			at := f.direct(set, kind)
			for _, up := range ups {
				if err := set.tell(f.compareBy(ctx, set, up, at)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// direct are the records of a dataset that carry an identifier which a person was named by, if the person was named by
// one of the kind as well.
func (f *search) direct(set *searched, kind string) map[location][]int32 {
	out := map[location][]int32{}
	for at, rec := range set.records {
		for _, person := range rec.direct {
			if f.given[person][kind] && f.problems[person] == "" {
				out[at] = append(out[at], person)
			}
		}
	}
	return out
}

// upward finds the ways up from a dataset, by the kind of identifier that they lead to.
func (f *search) upward(set *searched) map[string][]upward {
	out := map[string][]upward{}
	var climb func(at *searched, hops []upHop, carried []string, visited []int)
	climb = func(at *searched, hops []upHop, carried []string, visited []int) {
		for _, w := range at.ways {
			p := f.sets[w.parent]
			// Over a dataset that was left before, such as from an answer to what it answers, one comes to other persons.
			if w.own || p.reason != "" || slices.Contains(visited, w.parent) || len(hops) == maxHops {
				continue
			}
			next := append(slices.Clone(hops), upHop{p.table.name, w.column, p.table.columns[w.key]})
			kinds := slices.Clone(carried)
			for _, i := range p.identifiers {
				if i.leads && !slices.Contains(carried, i.kind) {
					if !slices.ContainsFunc(out[i.kind], func(u upward) bool { return slices.Equal(u.hops, next) }) {
						out[i.kind] = append(out[i.kind], upward{next, i})
					}
				}
				kinds = append(kinds, i.kind)
			}
			climb(p, next, kinds, append(slices.Clone(visited), w.parent))
		}
	}
	var own []string
	for _, i := range set.identifiers {
		own = append(own, i.kind)
	}
	if len(own) > 0 {
		climb(set, nil, own, []int{set.index})
	}
	return out
}

// compareBy reads what records lead up to, and notes persons to whom that does not belong.
func (f *search) compareBy(ctx context.Context, set *searched, up upward, at map[location][]int32) error {
	for _, some := range set.parts(slices.Collect(maps.Keys(at)), maxRead) {
		var a arguments
		last, join := "t", ""
		for i, h := range up.hops {
			next := fmt.Sprintf("p%d", i)
			join += " JOIN " + h.table + " AS " + next + " ON " + alike(next, h.to, last, h.from)
			last = next
		}
		sql := "SELECT t.ctid::text, (" + quoted(last, up.to.column.name) + ")::text FROM " + some.target + " AS t" + join + " WHERE " + some.where(&a) +
			" AND " + quoted(last, up.to.column.name) + " IS NOT NULL"
		var tid, text string
		err := f.s.scan(ctx, func(ctx context.Context, tx pgx.Tx) error {
			rows, err := tx.Query(ctx, sql, a...)
			if err != nil {
				return err
			}
			_, err = pgx.ForEachRow(rows, []any{&tid, &text}, func() error {
				where, err := locationOf(some.leaf.oid, tid)
				for _, person := range at[where] {
					if f.foreign(person, up.to, text) {
						f.problems[person] = receipt.IdentifiersDisagree
					}
				}
				return err
			})
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// alike is equal, for columns of types that need not be comparable.
func alike(aliasA string, a column, aliasB string, b column) string {
	if a.family() == b.family() {
		return equal(aliasA, a, aliasB, b)
	}
	return plain(quoted(aliasA, a.name)) + " = " + plain(quoted(aliasB, b.name))
}

// sides are two columns as they can be compared, by the collation of b where theirs differ.
func sides(aliasA string, a column, aliasB string, b column) (string, string) {
	x, y := quoted(aliasA, a.name), quoted(aliasB, b.name)
	switch {
	case a.family() != b.family():
		return plain(x), plain(y)
	case a.collation != "" && b.collation != "" && a.collation != b.collation:
		return x, y + " COLLATE " + b.collation
	}
	return x, y
}

// family tells types that can be compared with each other, by an index too, from others.
func (c column) family() string {
	switch c.base {
	case "int2", "int4", "int8", "numeric":
		return "number"
	case "text", "varchar", "bpchar":
		return "text"
	}
	return c.base
}
