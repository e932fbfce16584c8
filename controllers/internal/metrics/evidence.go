// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// Metrics of the evidence and its ledger, as the manager that leads sees them.
var (
	// LedgerUp is whether the ledger answers.
	LedgerUp = evidenceGauge("ledger_up", "1 while the ledger answers, and goes on from what it said before; 0 while it does not, and nothing is deleted.")
	// LedgerInconsistent is whether the ledger contradicts what it said before.
	LedgerInconsistent = evidenceGauge("ledger_inconsistent", "1 while the ledger does not go on from what it said before: it was rewritten, cut off or lost.")
	// EvidenceEntries is the size of the ledger.
	EvidenceEntries = evidenceGauge("entries", "Entries of the ledger.")
	// EvidenceLastEntry is when the latest statement was made.
	EvidenceLastEntry = evidenceGauge("last_entry_timestamp_seconds", "When the latest statement in the ledger was made, in Unix time; 0 before the first.")
	// OpenIntents are Intents without a Result.
	OpenIntents = evidenceGauge("open_intents", "Intents without a Result: what is being done now, and what is dangling.")
	// DanglingIntents are those of them that nobody is working on.
	DanglingIntents = evidenceGauge("dangling_intents", "Intents without a Result that no Datastore's run accounts for.")
	// ExpiredBackups are statements whose goneBy is over, without a BackupsExpired.
	ExpiredBackups = evidenceGauge("backups_expired_overdue", "Statements whose backups should have expired, and about which that has not been stated yet.")
	// RefusedStatements counts what the ledger does not take, however often it is asked.
	RefusedStatements = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "retention_operator_evidence_refused_statements_total",
		Help: "Statements that the ledger has refused for good. What they are about goes no further until somebody looks.",
	})
)

func init() { metrics.Registry.MustRegister(RefusedStatements) }

func evidenceGauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "retention_operator_evidence_" + name, Help: help})
	metrics.Registry.MustRegister(g)
	return g
}
