// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// view shows what is under way: as lines that are replaced on a terminal, else as lines that are added.
type view struct {
	*terminal
	progress
	// title are the lines above the bars, drawn is how many lines are to be replaced.
	title []string
	drawn int
	shown []string // the lines that were drawn last
	told  map[string]bool
}

func newView(t *terminal) *view {
	own := *t
	return &view{terminal: &own, told: map[string]bool{}}
}

// finish leaves what was drawn last where it is; from now on lines are added.
func (v *view) finish() { v.live, v.drawn = false, 0 }

// say adds a line that stays.
func (v *view) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	v.clear()
	fmt.Fprintln(v.out, v.fit(text, 0))
	v.draw()
}

// once says something one time only.
func (v *view) once(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !v.told[text] {
		v.told[text] = true
		v.say("%s", text)
	}
}

// line takes in a line of a Pod's log.
func (v *view) line(store, pod string, line *logLine) {
	text := v.read(store, pod, line)
	switch {
	case v.live && (line.Message == logFailed || line.Message == logStepFailed):
		v.say("%s: %s", store, text)
	case v.live:
		v.redraw()
	case text != "":
		fmt.Fprintf(v.out, "%s %s: %s\n", line.Time.In(v.zone).Format("15:04:05 MST"), store, text)
	}
}

// state replaces the lines above the bars; where lines cannot be replaced, those that are new are added.
func (v *view) state(lines []string) {
	if v.live {
		v.title = lines
		v.redraw()
		return
	}
	for _, line := range lines {
		v.once("%s", line)
	}
}

// clear takes away what is to be replaced.
func (v *view) clear() {
	if v.live && v.drawn > 0 {
		fmt.Fprintf(v.out, "\x1b[%dA\x1b[J", v.drawn)
		v.drawn = 0
	}
}

func (v *view) redraw() {
	if v.drawn > 0 && slices.Equal(v.shown, v.frame()) {
		return
	}
	v.clear()
	v.draw()
}

func (v *view) draw() {
	if !v.live {
		return
	}
	v.shown = v.frame()
	for _, line := range v.shown {
		fmt.Fprintln(v.out, line)
		v.drawn++
	}
}

// frame are the lines that are replaced.
func (v *view) frame() []string {
	var out []string
	for _, line := range v.title {
		out = append(out, v.paint(bold, v.fit(line, 0)))
	}
	names := 0
	for _, s := range v.steps {
		names = max(names, utf8.RuneCountInString(s.store+"  "+s.name()))
	}
	for _, s := range v.steps {
		out = append(out, v.bar(s, names))
	}
	return out
}

// barWidth is how many columns a bar has.
const barWidth = 24

// bar is the line of a step.
func (v *view) bar(s *step, names int) string {
	line := pad(s.store+"  "+s.name(), names) + "  "
	var tail string
	c := plain
	switch {
	case s.failed != "":
		tail, c = "failed: "+s.failed, red
	case s.remaining != nil:
		tail, c = s.left(), green
		if *s.remaining > 0 {
			c = yellow
		}
		tail = count(s.before+s.done) + " done, " + tail
	case !s.counted:
		tail = "counting"
	default:
		tail = fmt.Sprintf("%s of %s", count(s.before+s.done), count(s.total()))
		if rate := s.rate(); rate > 0 {
			tail += fmt.Sprintf("  %s/s", count(int64(rate)))
		}
	}
	line += fmt.Sprintf("%s %3d%%  ", gauge(s.percent()), s.percent())
	return v.fit(line, 0) + v.paint(c, v.fit(tail, utf8.RuneCountInString(line)))
}

// gauge is a bar of so many percent.
func gauge(percent int64) string {
	full := int(percent * barWidth / 100)
	return strings.Repeat("█", full) + strings.Repeat("░", barWidth-full)
}
