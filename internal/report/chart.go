// SPDX-License-Identifier: Apache-2.0

package report

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"
)

// chart is the bars of records deleted over time. Widths are percents, so that texts keep their size at any width; heights
// are pixels.
type chart struct {
	// Height is that of the plot with its axis, PlotHeight with the dates below, which stand at LabelY.
	Height, PlotHeight, LabelY int
	// Label says what it shows.
	Label           string
	Unit, UnitTitle string
	// AtLeast says that some bar is a lower bound.
	AtLeast bool
	Bars    []bar
	Ticks   []tick
	Labels  []axisLabel
	Legend  []legend
	// Table has the same figures as a table: one row per stretch with anything in it.
	Table []chartRow
}

type bar struct {
	X, Width string
	Title    string
	Parts    []barPart
	// Mark is where a sign stands that says that it is at least that high; 0 if it is exact.
	Mark   int
	Center string
}

type barPart struct {
	Y, Height string
	Class     string // of CSS
}

type tick struct {
	Y    int
	Text string
}

// axisLabel is a date below the bars. Minor ones are left out where there is little room.
type axisLabel struct {
	X, Text string
	Minor   bool
}

type legend struct{ Class, Name, Total string }

type chartRow struct {
	When   string
	Values []string
}

const (
	plotHeight = 200
	plotTop    = 16
	maxClasses = 6 // told apart by colours and hatchings; the rest is "other classes"
)

// newChart draws the deletions; nil if there are none.
func newChart(d *Deletions, w words) *chart {
	if len(d.Classes) == 0 || len(d.Stretches) == 0 {
		return nil
	}
	c := &chart{Height: plotTop + plotHeight + 10, PlotHeight: plotTop + plotHeight + 22, LabelY: plotTop + plotHeight + 16,
		Unit: unitWord(d.Unit), UnitTitle: string(d.Unit)}
	groups := min(len(d.Classes), maxClasses)
	highest := int64(0)
	sums := make([][]tally, len(d.Stretches))
	totals := make([]tally, groups)
	for i, s := range d.Stretches {
		sums[i] = make([]tally, groups)
		var all int64
		for j, n := range s.Deleted {
			if n == nil {
				continue
			}
			at := min(j, groups-1)
			sums[i][at].add(&n.Records, n.AtLeast)
			totals[at].add(&n.Records, n.AtLeast)
			all += n.Records
		}
		highest = max(highest, all)
	}
	top := niceTop(highest)
	for _, part := range []float64{0, 0.5, 1} {
		n := int64(math.Round(float64(top) * part))
		c.Ticks = append(c.Ticks, tick{Y: plotTop + plotHeight - int(math.Round(plotHeight*part)), Text: number(n)})
	}
	names := make([]string, groups)
	for j := range groups {
		names[j] = className(d.Classes[j])
		if j == groups-1 && len(d.Classes) > groups {
			names[j] = fmt.Sprintf("%d other classes", len(d.Classes)-groups+1)
		}
		c.Legend = append(c.Legend, legend{Class: fmt.Sprintf("c%d", j+1), Name: names[j], Total: countText(totals[j].count())})
	}
	step := 100 / float64(len(d.Stretches))
	for i, s := range d.Stretches {
		c.add(w, s, sums[i], names, float64(i)*step, step, top)
	}
	c.Labels = axisLabels(d, w, step)
	c.Label = fmt.Sprintf("Records deleted per %s by data class, %s to %s. The highest %s has %s.", c.Unit,
		w.date(d.Stretches[0].From), w.date(d.Stretches[len(d.Stretches)-1].Until.Add(-time.Second)), c.Unit, number(highest))
	return c
}

// add draws one bar, from its foot upwards.
func (c *chart) add(w words, s Stretch, sums []tally, names []string, x, step float64, top int64) {
	when := w.date(s.From)
	if c.Unit != "day" {
		when += " to " + w.date(s.Until.Add(-time.Second))
	}
	var whole tally
	b := bar{X: percent(x + step*0.12), Width: percent(step * 0.76), Center: percent(x + step/2)}
	foot := float64(plotTop + plotHeight)
	row := chartRow{When: when}
	var title []string
	for j, t := range sums {
		whole.merge(t)
		row.Values = append(row.Values, countText(t.count()))
		if t.n == 0 {
			continue
		}
		height := math.Max(float64(t.n)/float64(top)*plotHeight, 1.2) // what there is can be seen
		foot -= height
		b.Parts = append(b.Parts, barPart{Y: pixels(foot), Height: pixels(height), Class: fmt.Sprintf("c%d", j+1)})
		title = append(title, names[j]+": "+countText(t.count()))
	}
	if len(b.Parts) == 0 && !whole.atLeast {
		return
	}
	b.Title = when + ": " + strings.Join(title, "; ")
	if whole.atLeast {
		b.Mark, c.AtLeast = int(foot)-3, true
	}
	c.Bars = append(c.Bars, b)
	c.Table = append(c.Table, row)
}

// axisLabels puts a date below some of the bars: where a month begins, or below every one of a few.
func axisLabels(d *Deletions, w words, step float64) []axisLabel {
	var out []axisLabel
	last := ""
	for i, s := range d.Stretches {
		from := s.From.In(w.zone)
		text := from.Format("Jan 2006")
		switch {
		case len(d.Stretches) <= 16 && d.Unit != Month:
			text = from.Format("2 Jan")
		case len(d.Stretches) > 110: // years
			text = from.Format("2006")
		}
		if text == last || i == 0 && d.Unit == Week && len(d.Stretches) > 16 && from.Day() > 7 {
			last = text
			continue
		}
		last = text
		out = append(out, axisLabel{X: percent(float64(i)*step + step*0.12), Text: text})
	}
	every := (len(out) + 11) / 12 // at most a dozen
	kept := out[:0]
	for i, l := range out {
		if i%every == 0 {
			l.Minor = len(kept)%3 != 0
			kept = append(kept, l)
		}
	}
	return kept
}

// niceTop is the least 1, 2, 4, 5, 6 or 8 times a power of ten that is not below n: half of it is a number, too.
func niceTop(n int64) int64 {
	for power := int64(1); power <= math.MaxInt64/100; power *= 10 {
		for _, digit := range []int64{1, 2, 4, 5, 6, 8} {
			if top := digit * power; top >= n && (top%2 == 0) {
				return top
			}
		}
	}
	return n
}

func percent(f float64) string { return fmt.Sprintf("%.3f%%", f) }
func pixels(f float64) string  { return fmt.Sprintf("%.1f", f) }

// stripCell is a cell of a policy's strip, as it is drawn: its state is its height and hatching as well as its colour.
type stripCell struct {
	X, Width  string
	Y, Height int
	Class     string
}

const stripHeight = 24

// heights tell the states apart where colours cannot.
var heights = map[State]int{Compliant: 16, NotCompliant: stripHeight, Unknown: 16, NoRun: 4, NotDue: 0}

// stateKey is a state in the legend of strips.
type stateKey struct {
	Word      string
	Class     string
	Y, Height int
}

func stateKeys() []stateKey {
	var out []stateKey
	for _, s := range []State{Compliant, NotCompliant, Unknown, NoRun, NotDue} {
		word := map[State]string{NoRun: "No run, though one was due", NotDue: "No run was due"}[s]
		out = append(out, stateKey{cmp.Or(word, badgeOf(s).Word), "s-" + string(s), stripHeight - heights[s], heights[s]})
	}
	return out
}

func stripCells(cells []Cell) []stripCell {
	var out []stripCell
	step := 100 / float64(max(len(cells), 1))
	for i, c := range cells {
		h := heights[c.State]
		if h == 0 {
			continue
		}
		out = append(out, stripCell{X: percent(float64(i)*step + step*0.08), Width: percent(step * 0.84), Y: stripHeight - h, Height: h,
			Class: "s-" + string(c.State)})
	}
	return out
}

// stripText says what a strip shows.
func (w words) stripText(p *Policy) string {
	var days = map[State][]string{}
	for _, c := range p.Strip {
		days[c.State] = append(days[c.State], w.date(c.From))
	}
	unit := unitWord(p.StripUnit)
	parts := []string{fmt.Sprintf("Compliance per %s: %s compliant", unit, plural(len(days[Compliant]), unit))}
	for _, s := range []struct {
		state State
		word  string
	}{{NotCompliant, "not compliant"}, {Unknown, "unknown"}, {NoRun, "without the run that was due"}} {
		if n := len(days[s.state]); n > 0 {
			named := first(days[s.state], 5)
			more := ""
			if n > len(named) {
				more = ", …"
			}
			parts = append(parts, fmt.Sprintf("%d %s (%s%s)", n, s.word, strings.Join(named, ", "), more))
		}
	}
	return strings.Join(parts, "; ")
}
