// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// logLine is a line of a purge Pod's log, as far as it is for people. Lines of an account are sealed, and are not read.
type logLine struct {
	Time      time.Time `json:"time"`
	Message   string    `json:"msg"`
	Dataset   string    `json:"dataset"`
	Rule      string    `json:"rule"`
	Phase     string    `json:"phase"`
	Reason    string    `json:"reason"`
	Text      string    `json:"message"`
	Version   string    `json:"serverVersion"`
	Skew      *int64    `json:"skewMilliseconds"`
	Records   *int64    `json:"records"`
	Due       *int64    `json:"due"`
	Done      *int64    `json:"done"`
	Remaining *int64    `json:"remaining"`
	Blocked   *int64    `json:"blocked"`
	ExitCode  *int      `json:"exitCode"`
}

// The messages of the purge process that say how far it is.
const (
	logConnected  = "Connected"
	logPhase      = "Phase"
	logCounted    = "Counted"
	logFound      = "Found"
	logProgress   = "Progress"
	logPassed     = "Passed"
	logVerified   = "Verified"
	logStepFailed = "Step failed"
	logFailed     = "Failed"
	logEnded      = "Ended"
)

// readLogLine reads a line; nil if it is none that a person is told of.
func readLogLine(text []byte) *logLine {
	line := &logLine{}
	if json.Unmarshal(text, line) != nil {
		return nil
	}
	switch line.Message {
	case logConnected, logPhase, logCounted, logFound, logProgress, logPassed, logVerified, logStepFailed, logFailed, logEnded:
		return line
	}
	return nil
}

// step is one step in one Datastore, over all Pods that worked on it.
type step struct {
	store, dataset, rule string
	// before is what earlier Pods have done. Each Pod counts from zero.
	before, done, due int64
	counted           bool
	// remaining is what a look afterwards found.
	remaining, blocked *int64
	failed             string
	pod                string
	// first is when the first record was gone, last when the latest line came.
	first, last time.Time
}

// progress is what the logs of all Pods say.
type progress struct {
	steps  []*step
	phases map[string]string // by Datastore
	ended  map[string]string
}

func (p *progress) step(store, pod, dataset, rule string) *step {
	for _, s := range p.steps {
		if s.store == store && s.dataset == dataset && s.rule == rule {
			if s.pod != pod { // another attempt goes on
				s.before, s.done, s.counted, s.failed, s.pod = s.before+s.done, 0, false, "", pod
				s.remaining, s.blocked = nil, nil
			}
			return s
		}
	}
	s := &step{store: store, dataset: dataset, rule: rule, pod: pod}
	p.steps = append(p.steps, s)
	return s
}

// read takes a line in, and returns the sentence that says it; empty if nothing new is said.
func (p *progress) read(store, pod string, line *logLine) string {
	if p.phases == nil {
		p.phases, p.ended = map[string]string{}, map[string]string{}
	}
	switch line.Message {
	case logConnected:
		return "connected to server version " + line.Version
	case logPhase:
		p.phases[store] = line.Phase
		return strings.ToLower(line.Phase)
	case logFailed:
		return strings.TrimSuffix(fmt.Sprintf("failed: %s: %s", line.Reason, line.Text), ": ")
	case logEnded:
		delete(p.phases, store)
		p.ended[store] = fmt.Sprintf("Pod %s has ended: %s", pod, line.Reason)
		return p.ended[store]
	}
	return p.step(store, pod, line.Dataset, line.Rule).read(line)
}

func (s *step) read(line *logLine) string {
	s.last = line.Time
	switch line.Message {
	case logCounted, logFound:
		s.counted = true
		if s.due = value(line.Due); line.Due == nil {
			s.due = value(line.Records)
			return fmt.Sprintf("%s: found %s", s.name(), records(s.due))
		}
		return fmt.Sprintf("%s: due are %s of %s", s.name(), count(s.due), records(value(line.Records)))
	case logProgress, logPassed:
		if s.done == 0 {
			s.first = line.Time
		}
		if s.done == value(line.Done) && line.Message == logPassed {
			return "" // it was said
		}
		s.done = value(line.Done)
		return fmt.Sprintf("%s: %s of %s done (%d%%)", s.name(), count(s.before+s.done), count(s.total()), s.percent())
	case logVerified:
		s.remaining, s.blocked = line.Remaining, line.Blocked
		return fmt.Sprintf("%s: %s", s.name(), s.left())
	case logStepFailed:
		s.failed = line.Reason
		return fmt.Sprintf("%s: failed: %s", s.name(), line.Reason)
	}
	return ""
}

func (s *step) name() string {
	if s.rule == "" {
		return s.dataset
	}
	return s.dataset + " (" + s.rule + ")"
}

// total is how many records the step is about, over all Pods: what earlier ones did is not counted by later ones.
func (s *step) total() int64 { return s.before + max(s.due, s.done) }

func (s *step) percent() int64 {
	if s.total() == 0 {
		return 100
	}
	return (s.before + s.done) * 100 / s.total()
}

// left says what a look afterwards found.
func (s *step) left() string {
	switch remaining := value(s.remaining); {
	case remaining == 0:
		return "verified, none is left"
	case value(s.blocked) > 0:
		return fmt.Sprintf("%s left, %s of them kept by constraints", records(remaining), count(*s.blocked))
	default:
		return records(remaining) + " left"
	}
}

func value(n *int64) int64 {
	if n == nil {
		return 0
	}
	return *n
}

// rate is how many records a second the present Pod does, as far as can be told.
func (s *step) rate() float64 {
	if seconds := s.last.Sub(s.first).Seconds(); seconds >= 1 && s.done > 0 {
		return float64(s.done) / seconds
	}
	return 0
}
