// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"testing"
	"time"
)

func BenchmarkVerify(b *testing.B) {
	file, err := story(b).bundle(aResult, storySize, later).Encode()
	if err != nil {
		b.Fatal(err)
	}
	trust := trustOf(b, testKeys()...)
	for b.Loop() {
		if _, err := Verify(file, trust); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerifyLog is per entry.
func BenchmarkVerifyLog(b *testing.B) {
	l := newLog(b)
	var intent Reference
	for i := range 1000 {
		key := time.Duration(i / 2).String()
		if i%2 == 0 {
			intent = l.add(intentOf(at(1)).key(key))
		} else {
			l.add(resultOf(at(2), intent, 7).key(key))
		}
	}
	export, trust := l.export(later), trustOf(b, testKeys()...)
	for b.Loop() {
		if r, err := VerifyLog(export, trust); err != nil || len(r.Problems) > 0 {
			b.Fatal(err, r)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/1000, "µs/entry")
}

func BenchmarkSign(b *testing.B) {
	s := resultOf(at(2), someRef(Intent), 5)
	for b.Loop() {
		if _, err := Sign(s, testKey("statement")); err != nil {
			b.Fatal(err)
		}
	}
}
