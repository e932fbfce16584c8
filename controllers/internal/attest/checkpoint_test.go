// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
)

// TestHistory keeps checkpoints for ten years, one a day with a few days off.
func TestHistory(t *testing.T) {
	data := map[string]string{"checkpoint": "x", "size": "1", "replaced-20200101T000000Z": "old"}
	start := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	k := &kept{checkpoint: &evidence.Checkpoint{}}
	var now time.Time
	for n := range 3653 {
		if n%7 == 3 {
			continue // nothing was stated that day
		}
		if at := now; !at.IsZero() {
			k.checkpoint.Witnessed, k.checkpoint.Note = &at, []byte("of "+at.Format(time.DateOnly))
		}
		now = start.AddDate(0, 0, n)
		k.next(data, now)
	}
	if data["checkpoint"] != "x" || data["size"] != "1" || data["replaced-20200101T000000Z"] != "old" {
		t.Errorf("something else was changed: %v", data)
	}
	days, months := 0, map[string]int{}
	recent := now.AddDate(0, 0, -keepDays).Format(time.DateOnly)
	for _, key := range slices.Sorted(maps.Keys(data)) {
		if _, err := time.Parse(time.DateOnly, key); err != nil {
			continue
		}
		if data[key] != "of "+key {
			t.Errorf("under %s stands the one %s", key, data[key])
		}
		if key >= recent {
			days++
		} else {
			months[key[:7]]++
		}
	}
	if days < 25 || days > 31 {
		t.Errorf("%d of the last 31 days are kept", days)
	}
	if len(months) < 118 || len(months) > 121 {
		t.Errorf("%d months are kept", len(months))
	}
	for month, n := range months {
		if n != 1 {
			t.Errorf("%d checkpoints of %s are kept", n, month)
		}
	}
	if got := data["2026-11-30"]; !strings.HasPrefix(got, "of") {
		t.Errorf("the last one of the first month is gone: %v", slices.Sorted(maps.Keys(data))[:5])
	}
}
