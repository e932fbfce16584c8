// SPDX-License-Identifier: Apache-2.0

package purge

import (
	"bufio"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/plan"
)

// TestLogSaysHowFarItIs: what a person who watches a run reads from the log of its Pod (internal/cli).
func TestLogSaysHowFarItIs(t *testing.T) {
	f := newFixture(t, 1000, 400)
	f.logs.Reset()
	now := time.Now()
	f.run(nil, func(c *Config) {
		c.Clock = func() time.Time { now = now.Add(time.Second); return now } // each look at the clock takes a second
	})
	got := said(t, &f.logs)
	for _, want := range []string{
		"Connected serverVersion skewMilliseconds", "Phase phase", "Counted dataset due records rule", "Progress dataset done due rule",
		"Passed dataset done due rule", "Verified blocked dataset remaining rule", "Ended exitCode phase reason",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("the log does not say: %s\n%s", want, strings.Join(got, "\n"))
		}
	}
	simulated := f.plan
	simulated.Mode = plan.Simulate
	f.logs.Reset()
	f.run(&simulated, nil)
	if got := said(t, &f.logs); !slices.Contains(got, "Counted dataset due records rule") || slices.Contains(got, "Passed dataset done due rule") {
		t.Errorf("a simulation's log says %s", strings.Join(got, "\n"))
	}
}

func TestLogOfAnErasureSaysHowFarItIs(t *testing.T) {
	p := newProcess(t, &world{sets: [][]*record{of(4, 0), of(1, 1)}}, 2)
	p.run()
	got := said(t, &p.log)
	for _, want := range []string{"Found dataset records", "Passed dataset done due rule", "Verified blocked dataset remaining rule", "Ended exitCode phase reason"} {
		if !slices.Contains(got, want) {
			t.Errorf("the log does not say: %s\n%s", want, strings.Join(got, "\n"))
		}
	}
}

// said are the messages of a log, each with the names of what it has besides.
func said(t *testing.T, log io.Reader) []string {
	t.Helper()
	var out []string
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		fields := map[string]any{}
		if err := json.Unmarshal(lines.Bytes(), &fields); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		message, _ := fields["msg"].(string)
		for _, name := range []string{"time", "level", "msg"} {
			delete(fields, name)
		}
		out = append(out, strings.Join(append([]string{message}, slices.Sorted(maps.Keys(fields))...), " "))
	}
	return out
}
