// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// node is a line of a tree, with what belongs to it.
type node struct {
	// mark stands in front of the line, text is the line, and details are lines below it that are no branches.
	mark    health
	text    []cell
	details []cell
	nodes   []*node
}

// cell is a piece of a line, with its colour.
type cell struct {
	text  string
	color color
}

func (n *node) add(child *node) *node {
	n.nodes = append(n.nodes, child)
	return child
}

func (n *node) detail(c color, format string, args ...any) {
	n.details = append(n.details, cell{fmt.Sprintf(format, args...), c})
}

var marks = map[health]cell{
	healthOver: {"·", dim}, healthOK: {"✓", green}, healthBusy: {"●", blue}, healthWarn: {"!", yellow}, healthBad: {"✗", red},
}

// leastWidth is how narrow a detail may become.
const leastWidth = 30

// tree prints nodes below each other. On a terminal, lines that do not fit are cut, and details are broken.
func (t *terminal) tree(roots ...*node) {
	for i, root := range roots {
		if i > 0 {
			fmt.Fprintln(t.out)
		}
		t.line("", root)
		t.below("", root)
	}
}

func (t *terminal) below(indent string, n *node) {
	rail := "   "
	if len(n.nodes) > 0 {
		rail = "│  "
	}
	for _, d := range n.details {
		text := d.text
		if t.width > 0 {
			text = wrap(text, max(t.width-utf8.RuneCountInString(indent+rail), leastWidth))
		}
		for _, line := range strings.Split(text, "\n") {
			fmt.Fprintln(t.out, t.paint(dim, indent+rail)+t.paint(d.color, line))
		}
	}
	for i, child := range n.nodes {
		branch, next := "├─ ", "│  "
		if i == len(n.nodes)-1 {
			branch, next = "└─ ", "   "
		}
		t.line(indent+branch, child)
		t.below(indent+next, child)
	}
}

func (t *terminal) line(indent string, n *node) {
	var b strings.Builder
	used := utf8.RuneCountInString(indent)
	b.WriteString(t.paint(dim, indent))
	if m, ok := marks[n.mark]; ok {
		b.WriteString(t.paint(m.color, m.text) + " ")
		used += 2
	}
	for i, c := range n.text {
		text := c.text
		if i > 0 {
			text = "  " + text
		}
		text = t.fit(text, used)
		used += utf8.RuneCountInString(text)
		if i == len(n.text)-1 {
			text = strings.TrimRight(text, " ")
		}
		b.WriteString(t.paint(c.color, text))
	}
	fmt.Fprintln(t.out, b.String())
}

// align pads the cells of the lines below n so that they stand in columns.
func (n *node) align() {
	var widths []int
	for _, child := range n.nodes {
		for i, c := range child.text {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	for _, child := range n.nodes {
		for i := range child.text[:max(len(child.text)-1, 0)] {
			child.text[i].text = pad(child.text[i].text, widths[i])
		}
	}
}

// list joins names for a sentence.
func list(names []string) string {
	const most = 8
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// words are names of a type of their own as texts.
func words[T ~string](names []T) []string {
	var out []string
	for _, name := range names {
		out = append(out, string(name))
	}
	return out
}

// classes are data classes as a person tells them from datasets.
func classes[T ~string](names []T) []string {
	var out []string
	for _, name := range names {
		out = append(out, "class "+string(name))
	}
	return out
}
