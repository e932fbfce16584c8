// SPDX-License-Identifier: Apache-2.0

package ledger_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/ledger"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// BenchmarkAppend measures appends through the HTTP handler onto a real disk, one operation being one append:
//
//	go test ./internal/ledger -run '^$' -bench Append -benchtime 1000x
func BenchmarkAppend(b *testing.B) {
	posix := func(*testing.B, string) func(*ledger.Options) { return func(*ledger.Options) {} }
	server := startMySQL(b)
	mysql := func(b *testing.B, name string) func(*ledger.Options) { return server.options(b, name) }
	benchmarkAppend(b, ledger.DriverPOSIX, posix)
	benchmarkAppend(b, ledger.DriverMySQL, mysql)
}

func benchmarkAppend(b *testing.B, driver string, options func(*testing.B, string) func(*ledger.Options)) {
	for _, clients := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("driver=%s/clients=%d", driver, clients), func(b *testing.B) {
			l := ledgertest.New(b, options(b, fmt.Sprintf("bench_%d_%d", clients, b.N)))
			var next atomic.Int64
			var mu sync.Mutex
			var took []time.Duration
			b.ResetTimer()
			var all sync.WaitGroup
			for range clients {
				all.Go(func() {
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						e, err := evidence.Sign(ledgertest.Statement(evidence.Intent, fmt.Sprint(n), time.Now(), ledgertest.None), l.StatementKey)
						if err != nil {
							b.Error(err)
							return
						}
						start := time.Now()
						if _, err := l.Client.Append(b.Context(), e); err != nil {
							b.Error(err)
							return
						}
						mu.Lock()
						took = append(took, time.Since(start))
						mu.Unlock()
					}
				})
			}
			all.Wait()
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}
