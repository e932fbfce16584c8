// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// retryEvery is the pause between two looks at something that takes seconds to change.
const retryEvery = 200 * time.Millisecond

// progress writes lines for people, each with the time since the start.
type progress struct {
	mu    sync.Mutex
	out   io.Writer
	start time.Time
}

func newProgress(out io.Writer) *progress { return &progress{out: out, start: time.Now()} }

func (p *progress) printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, "[%6s] %s\n", time.Since(p.start).Round(100*time.Millisecond), fmt.Sprintf(format, args...))
}

// compile runs a `go build -v`, tells every ten seconds how far it is, and shows its last lines if it fails.
func (p *progress) compile(cmd *exec.Cmd, name string) error {
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	p.printf("building %s (the first time takes minutes)", name)
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := make(chan string)
	go func() {
		defer close(lines)
		scanner := bufio.NewScanner(stderr)
		for scanner.Scan() {
			lines <- scanner.Text()
		}
	}()
	ticker := time.NewTicker(10 * time.Second)
	defer ticker.Stop()
	var last []string
	packages := 0
	for open := true; open; {
		select {
		case line, ok := <-lines:
			if open = ok; !ok {
				break
			}
			if !strings.HasPrefix(line, "go: ") {
				packages++
			}
			last = append(last[max(0, len(last)-29):], line)
		case <-ticker.C:
			now := "starting"
			if len(last) > 0 {
				now = last[len(last)-1]
			}
			p.printf("building %s: %d packages compiled in %s, now %s", name, packages, time.Since(start).Round(time.Second), now)
		}
	}
	if err := cmd.Wait(); err != nil {
		p.printf("building %s failed:\n%s", name, strings.Join(slices.DeleteFunc(last, isPackagePath), "\n"))
		return err
	}
	p.printf("built %s in %s", name, time.Since(start).Round(time.Second))
	return nil
}

// isPackagePath tells the names that `go build -v` prints from its messages.
func isPackagePath(line string) bool { return !strings.ContainsAny(line, " :#\t") }

// pauseFor sleeps, or returns the context's error when that ends first.
func pauseFor(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
