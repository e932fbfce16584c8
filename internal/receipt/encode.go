// SPDX-License-Identifier: Apache-2.0

package receipt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
)

// ErrTooLarge is returned by Encode when the counts alone exceed MaxBytes. 64 steps with numbers below 10^9 always fit.
var ErrTooLarge = errors.New("the receipt's counts do not fit into a termination message")

// Encode returns r in at most MaxBytes: as JSON that a person can read if that fits, else packed (see packed.go). What
// still does not fit goes in this order, with Truncated set: findings (Probe.Omitted counts them), names of constraints,
// the message, the server's version, the oldest remaining records, the identity, the run's name (which the plan's digest
// covers). Counts, reasons and the datasets of a probe never go. Times become UTC with microseconds, texts are bounded.
//
// It fails on a Receipt that Decode would refuse, and with ErrTooLarge.
func Encode(r *Receipt) ([]byte, error) {
	c := normalise(r)
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("encoding the receipt: %w", err)
	}
	for _, drop := range []func(*Receipt){
		func(*Receipt) {},
		dropFindings,
		func(r *Receipt) { dropConstraints(r, 1) },
		func(r *Receipt) { dropConstraints(r, 0) },
		func(r *Receipt) { r.Message = "" },
		func(r *Receipt) { r.ServerVersion = "" },
		dropOldest,
		func(r *Receipt) { r.Identity = "" },
		func(r *Receipt) { r.Run = "" },
	} {
		before := c.details()
		drop(&c)
		c.Truncated = c.Truncated || c.details() != before
		b, err := encodeWhole(&c)
		if err == nil || !errors.Is(err, ErrTooLarge) {
			return b, err
		}
	}
	return nil, ErrTooLarge
}

// encodeWhole encodes c with all that it holds, or returns ErrTooLarge.
func encodeWhole(c *Receipt) ([]byte, error) {
	b, err := marshal(c)
	if err != nil {
		return nil, err
	}
	if len(b) <= MaxBytes {
		return b, nil
	}
	if b, err = pack(c); err != nil {
		return nil, err
	}
	if len(b) > MaxBytes {
		return nil, ErrTooLarge
	}
	return b, nil
}

// marshal is json.Marshal without the escapes for HTML, which would cost bytes.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encoding the receipt: %w", err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// details counts what may be dropped.
func (r *Receipt) details() int {
	n := len(r.Message) + len(r.ServerVersion) + len(r.Identity) + len(r.Run)
	for i := range r.Steps {
		n += len(r.Steps[i].Constraints)
		if r.Steps[i].OldestRemaining != nil {
			n++
		}
	}
	if r.Probe != nil {
		n += len(r.Probe.Findings)
	}
	return n
}

// dropFindings keeps as many findings as fit, those that make a dataset unusable before the others, in their order.
func dropFindings(r *Receipt) {
	if r.Probe == nil || len(r.Probe.Findings) == 0 {
		return
	}
	all, omitted := r.Probe.Findings, r.Probe.Omitted
	rank := make([]int, len(all))
	for i := range rank {
		rank[i] = i
	}
	sort.SliceStable(rank, func(a, b int) bool { return all[rank[a]].Code.Unusable() && !all[rank[b]].Code.Unusable() })
	keep := func(n int) {
		kept := slices.Sorted(slices.Values(rank[:n]))
		r.Probe.Findings = nil
		for _, i := range kept {
			r.Probe.Findings = append(r.Probe.Findings, all[i])
		}
		r.Probe.Omitted = omitted + len(all) - n
	}
	r.Truncated = true
	tooMany := sort.Search(len(all)+1, func(n int) bool {
		keep(n)
		_, err := encodeWhole(r)
		return err != nil
	})
	keep(max(tooMany-1, 0))
}

func dropConstraints(r *Receipt, keep int) {
	for i := range r.Steps {
		if s := &r.Steps[i]; len(s.Constraints) > keep {
			s.Constraints = s.Constraints[:keep:keep]
			if keep == 0 {
				s.Constraints = nil
			}
		}
	}
}

func dropOldest(r *Receipt) {
	for i := range r.Steps {
		r.Steps[i].OldestRemaining = nil
	}
}
