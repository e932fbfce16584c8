// SPDX-License-Identifier: Apache-2.0

package sealing

import (
	"time"

	"dataretention.dev/retention-operator/controllers/internal/upkeep"
)

const (
	// keepFormer is for how long a former key is kept in any case: somebody may have sealed to it, and not filed it yet.
	keepFormer = 24 * time.Hour
	// lateStart is how long after a rotation a run may still start that seals to the key before it.
	lateStart = time.Hour
)

// situation is what decide decides on.
type situation struct {
	now time.Time
	// keys are those of the Secret, the current one first; there is one at least.
	keys   []key
	rotate upkeep.Rotate
	// uses are what the keys are needed for. It is nil while nobody has looked, and then no key is destroyed.
	uses *uses
}

// uses are what keys are needed for.
type uses struct {
	// sealed has, by public key, an object that has not ended and holds what was sealed to it.
	sealed map[string]string
	// firstRun is when the earliest of the runs began that are under way, zero if there is none.
	firstRun time.Time
}

// decision is what to do, and why.
type decision struct {
	rotate  bool
	destroy []string // public keys
	reason  string
}

// decide says whether another key has to take the place of the current one, and if not, which former keys nothing needs.
func decide(s situation) decision {
	if why := s.rotate.Due(); why != "" {
		return decision{rotate: true, reason: why}
	}
	d := decision{reason: "every key is current or needed"}
	for i, k := range s.keys {
		if i > 0 && unneeded(s, k, s.keys[i-1].Created) {
			d.destroy = append(d.destroy, publicOf(k))
			d.reason = "all that was sealed to it has ended"
		}
	}
	return d
}

// unneeded says whether nothing needs a key that has been a former one since then.
func unneeded(s situation, k key, since time.Time) bool {
	if s.uses == nil || s.now.Sub(since) <= keepFormer {
		return false
	}
	if s.uses.sealed[publicOf(k)] != "" {
		return false
	}
	return s.uses.firstRun.IsZero() || s.uses.firstRun.After(since.Add(lateStart))
}

// expired says whether any former key is old enough that it is worth looking what needs it.
func expired(keys []key, now time.Time) bool {
	for i := range keys {
		if i > 0 && now.Sub(keys[i-1].Created) > keepFormer {
			return true
		}
	}
	return false
}
