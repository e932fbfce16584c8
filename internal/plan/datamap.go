// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"fmt"
	"slices"
	"strings"
)

// dataMap is the datasets of a datastore as a graph: an edge leads from a dataset to one that it references, from
// child to parent. Datasets are known by their place in the map.
type dataMap struct {
	datasets []Dataset
	place    map[string]int
	edges    [][]edge
	// reaches[i][j] tells whether references lead from i to j, over any number of others.
	reaches [][]bool
	// starts remembers what start returned.
	starts map[startOf]resolved
}

type startOf struct {
	place        int
	startingFrom string
}

type resolved struct {
	start   Start
	trouble *trouble
}

type edge struct {
	to  int
	hop Hop
}

// trouble is why a rule cannot be applied to a dataset.
type trouble struct {
	reason ExclusionReason
	why    string
}

func newDataMap(datasets []Dataset) *dataMap {
	n := len(datasets)
	m := &dataMap{datasets: datasets, place: make(map[string]int, n), edges: make([][]edge, n), reaches: make([][]bool, n),
		starts: map[startOf]resolved{}}
	for i, d := range slices.Backward(datasets) {
		m.place[d.Name] = i // of two with one name, the first
	}
	for i, d := range datasets {
		m.reaches[i] = make([]bool, n)
		for _, r := range d.References {
			to, known := m.place[r.Dataset]
			if !known {
				continue
			}
			e := edge{to, Hop{Field: r.Field, Dataset: r.Dataset, Path: datasets[to].Path, Key: r.Key}}
			if !slices.Contains(m.edges[i], e) {
				m.edges[i] = append(m.edges[i], e)
			}
			m.reaches[i][to] = true
		}
	}
	for over := range n {
		for i := range n {
			for j := range n {
				m.reaches[i][j] = m.reaches[i][j] || m.reaches[i][over] && m.reaches[over][j]
			}
		}
	}
	return m
}

// below tells whether i is a child of j, directly or over others, and not also its parent.
func (m *dataMap) below(i, j int) bool {
	return m.reaches[i][j] && !m.reaches[j][i]
}

// order returns all places, children before parents. What no reference orders, or only a circle of them, stands in the
// order of the map.
func (m *dataMap) order() []int {
	var out []int
	done := make([]bool, len(m.datasets))
	for len(out) < len(m.datasets) {
		var level []int
		for j := range m.datasets {
			waits := slices.ContainsFunc(m.children(j), func(i int) bool { return !done[i] })
			if !done[j] && !waits {
				level = append(level, j)
			}
		}
		for _, i := range level { // below is a strict order, so that a level is never empty
			done[i] = true
		}
		out = append(out, level...)
	}
	return out
}

func (m *dataMap) children(j int) []int {
	var out []int
	for i := range m.datasets {
		if m.below(i, j) {
			out = append(out, i)
		}
	}
	return out
}

// circles returns the datasets that reference each other in a circle, one list for each circle. A dataset that
// references itself only is none.
func (m *dataMap) circles() [][]string {
	var out [][]string
	seen := make([]bool, len(m.datasets))
	for i := range m.datasets {
		var names []string
		for j, d := range m.datasets {
			if !seen[j] && (i == j || m.reaches[i][j] && m.reaches[j][i]) {
				names = append(names, d.Name)
				seen[j] = true
			}
		}
		if len(names) > 1 {
			out = append(out, names)
		}
	}
	return out
}

// start resolves a rule's startingFrom for the dataset at place i.
func (m *dataMap) start(i int, startingFrom string) (Start, *trouble) {
	key := startOf{i, startingFrom}
	r, known := m.starts[key]
	if !known {
		r.start, r.trouble = m.resolve(i, startingFrom)
		m.starts[key] = r
	}
	return r.start, r.trouble
}

func (m *dataMap) resolve(i int, startingFrom string) (Start, *trouble) {
	own := m.datasets[i]
	if startingFrom == "" {
		if own.TimestampField == "" {
			return Start{}, &trouble{NoTimestampField,
				fmt.Sprintf("%s has no timestampField; set one in the Datastore, or startingFrom in the rule", own.Name)}
		}
		return startAt(nil, own, own.TimestampField), nil
	}
	name, field, dotted := strings.Cut(startingFrom, ".")
	if !dotted {
		return startAt(nil, own, startingFrom), nil
	}
	if why := startingFromFault(startingFrom); why != "" {
		return Start{}, &trouble{InvalidRule, "startingFrom " + why}
	}
	j, known := m.place[name]
	if !known {
		return Start{}, &trouble{NoReference,
			fmt.Sprintf("startingFrom %s: the datastore has no dataset %s; write field, or dataset.field", startingFrom, name)}
	}
	via, ways := m.shortest(i, j)
	switch ways {
	case 0:
		return Start{}, &trouble{NoReference,
			fmt.Sprintf("startingFrom %s: no references lead from %s to %s; add them to the data map", startingFrom, own.Name, name)}
	case 1:
		return startAt(via, m.datasets[j], field), nil
	}
	return Start{}, &trouble{AmbiguousReference,
		fmt.Sprintf("startingFrom %s: more than one shortest chain of references leads from %s to %s", startingFrom, own.Name, name)}
}

// startAt is the starting point in a field of owner.
func startAt(via []Hop, owner Dataset, field string) Start {
	s := Start{Via: via, Field: field, Format: Native, Event: field != owner.TimestampField}
	if !s.Event {
		s.Format = owner.TimestampFormat
	}
	return s
}

// startingFromFault says what is wrong with the form of a startingFrom.
func startingFromFault(s string) string {
	name, field, dotted := strings.Cut(s, ".")
	if dotted && (name == "" || field == "") {
		return fmt.Sprintf("%q is neither field nor dataset.field", s)
	}
	return ""
}

// shortest returns the shortest chain of references from one place to another, which is empty when they are the same,
// and how many chains are as short: 0, 1, or 2 for more.
func (m *dataMap) shortest(from, to int) ([]Hop, int) {
	type reached struct {
		via  []Hop
		ways int
	}
	front := map[int]reached{from: {ways: 1}}
	seen := map[int]bool{from: true}
	for len(front) > 0 {
		if r, ok := front[to]; ok {
			return r.via, r.ways
		}
		next := map[int]reached{}
		for i, r := range front {
			for _, e := range m.edges[i] {
				if seen[e.to] {
					continue
				}
				ways := min(2, next[e.to].ways+r.ways)
				next[e.to] = reached{append(slices.Clip(r.via), e.hop), ways}
			}
		}
		for i := range next {
			seen[i] = true
		}
		front = next
	}
	return nil, 0
}

// owner is the place of the dataset that holds the field of a starting point of the dataset at place i.
func (m *dataMap) owner(i int, s Start) int {
	if len(s.Via) == 0 {
		return i
	}
	return m.place[s.Via[len(s.Via)-1].Dataset]
}
