// SPDX-License-Identifier: Apache-2.0

package receipt

import (
	"errors"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

const (
	maxText  = 256  // bytes of a Receipt's message
	maxName  = 128  // bytes of any other text
	maxSteps = 1024 // steps, or datasets of a probe
)

// errInvalid never quotes what it complains about.
var errInvalid = errors.New("a field is out of its range")

// normalise returns a copy of r that shares nothing with it, with UTC times in microseconds and bounded printable texts.
func normalise(r *Receipt) Receipt {
	c := *r
	c.StartTime, c.Time = instant(r.StartTime), instant(r.Time)
	c.Message = printable(r.Message, maxText)
	for _, s := range []*string{&c.Run, &c.PlanDigest, &c.ServerVersion, &c.Identity} {
		*s = printable(*s, maxName)
	}
	c.Steps = slices.Clone(r.Steps)
	for i := range c.Steps {
		s := &c.Steps[i]
		s.OldestRemaining = instantPointer(s.OldestRemaining)
		s.Constraints = slices.Clone(s.Constraints)
		for j := range s.Constraints {
			s.Constraints[j] = printable(s.Constraints[j], maxName)
		}
	}
	if r.Probe != nil {
		p := *r.Probe
		p.Datasets, p.Findings = slices.Clone(p.Datasets), slices.Clone(p.Findings)
		for i := range p.Datasets {
			p.Datasets[i].Oldest = instantPointer(p.Datasets[i].Oldest)
		}
		for i := range p.Findings {
			p.Findings[i].Object = printable(p.Findings[i].Object, maxName)
		}
		c.Probe = &p
	}
	if r.Account != nil {
		c.Account = &AccountSum{Lines: r.Account.Lines, Digest: printable(r.Account.Digest, maxName)}
	}
	return c
}

func instant(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func instantPointer(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := instant(*t)
	return &u
}

// printable replaces what is not printable by spaces and cuts s to limit bytes at a character's end.
func printable(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// validate refuses what no writer of this package can mean. Reasons become reasons of conditions, so they must have the
// form of one.
func (r *Receipt) validate() error {
	ok := r.Version >= 1 && r.Version <= Version && word(string(r.Phase)) && wordOrNone(string(r.Reason)) &&
		inYear(r.StartTime) && inYear(r.Time) && validSteps(r.Steps) && (r.Probe == nil || r.Probe.valid()) &&
		(r.Account == nil || r.Account.Lines >= 0)
	if !ok {
		return errInvalid
	}
	return nil
}

func validSteps(steps []Step) bool {
	ok := len(steps) <= maxSteps
	seen := make(map[int]bool, len(steps))
	for i := range steps {
		s := &steps[i]
		ok = ok && index(s.Index) && !seen[s.Index] && wordOrNone(string(s.Reason)) && inYearPointer(s.OldestRemaining) &&
			slices.Min(s.counts()) >= 0
		seen[s.Index] = true
	}
	return ok
}

func (p *Probe) valid() bool {
	ok := len(p.Datasets) <= maxSteps && p.Omitted >= 0
	for _, d := range p.Datasets {
		ok = ok && index(d.Index) && d.Records >= -1 && inYearPointer(d.Oldest)
	}
	for _, f := range p.Findings {
		ok = ok && word(string(f.Code)) && (f.Dataset == -1 || index(f.Dataset))
	}
	return ok
}

func (s *Step) counts() []int64 {
	return []int64{
		s.Records, s.Matched, s.Retained, s.Undated, s.Invalid, s.Deleted, s.Anonymized, int64(s.Partitions),
		s.InFlight, s.Remaining, s.Blocked, s.Held,
	}
}

func index(i int) bool { return i >= 0 && i < maxSteps }

// inYear says whether JSON can carry t.
func inYear(t time.Time) bool { return t.Year() >= 1 && t.Year() <= 9999 }

func inYearPointer(t *time.Time) bool { return t == nil || inYear(*t) }

func wordOrNone(s string) bool { return s == "" || word(s) }

// word says whether s is one CamelCase word.
func word(s string) bool {
	for i, c := range []byte(s) {
		letter := c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}
