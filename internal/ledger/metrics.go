// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of one Log.
type metrics struct {
	registry         *prometheus.Registry
	appends          prometheus.Histogram
	refused, damaged prometheus.Counter
}

func newMetrics(l *Log) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		appends: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "retention_ledger_append_seconds",
			Help:    "How long it took to append a statement durably.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
		refused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "retention_ledger_append_failures_total",
			Help: "Appends that were refused or failed.",
		}),
		damaged: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "retention_ledger_damaged_reads_total",
			Help: "Entries that could not be shown because a statement or a tile was missing, damaged or unreadable.",
		}),
	}
	gauge := func(name, help string, value func() int64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(value()) })
	}
	count := func(fits func(*record) bool) func() int64 {
		return func() int64 {
			l.mu.Lock()
			defer l.mu.Unlock()
			_, total := l.index.find(0, fits)
			return total
		}
	}
	m.registry.MustRegister(m.appends, m.refused, m.damaged,
		gauge("retention_ledger_entries", "Entries in the ledger.", count(func(*record) bool { return true })),
		gauge("retention_ledger_dangling_intents", "Intents without a Result.", count(isDangling)),
		gauge("retention_ledger_missing_statements", "Statements that are still to be kept and are not there.",
			count(func(r *record) bool { return !r.present && !due(r.retainUntil, l.Clock()) })))
	return m
}
