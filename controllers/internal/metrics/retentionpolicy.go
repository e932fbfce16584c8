// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// Metrics of RetentionPolicies. Labels are bounded by the number of policies; no run, dataset or error text is a label.
var (
	// Runs counts the runs that ended, by outcome.
	Runs = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "retention_operator_runs_total",
		Help: "Runs that ended, by outcome.",
	}, []string{"namespace", "policy", "outcome"})

	// RecordsPurged counts records, by what was done with them.
	RecordsPurged = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "retention_operator_records_purged_total",
		Help: "Records deleted or anonymized, by action.",
	}, []string{"namespace", "policy", "action"})

	// RunDuration observes how long runs take from their start to the last receipt.
	RunDuration = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "retention_operator_run_duration_seconds",
		Help:    "Time from the start of a run to its last receipt.",
		Buckets: prometheus.ExponentialBuckets(1, 4, 9),
	}, []string{"namespace", "policy"})

	// LastSuccess is the slot of the latest run that succeeded.
	LastSuccess = policyGauge("last_success_timestamp_seconds", "Slot of the latest run that succeeded, in Unix time.")
	// NextSchedule is the next slot.
	NextSchedule = policyGauge("next_schedule_timestamp_seconds", "Next slot of the schedule, in Unix time; 0 while suspended.")
	// OverdueRecords is what the latest run left behind.
	OverdueRecords = policyGauge("overdue_records", "Records past their deadline that the latest run found and left, for whatever reason.")
	// UndatedRecords are records whose deadline cannot be known.
	UndatedRecords = policyGauge("undated_records", "Records without a usable timestamp, which are never deleted.")
	// ScheduleSkew is how late the latest scheduled run started.
	ScheduleSkew = policyGauge("schedule_skew_seconds", "How long after its slot the latest scheduled run started.")
	// ClockSkew is the largest distance between a Pod's clock and its datastore's in the latest run.
	ClockSkew = policyGauge("clock_skew_seconds", "Largest distance between the clocks of a purge Pod and its datastore in the latest run.")
	// Compliant is the condition of that name.
	Compliant = policyGauge("policy_compliant", "1 while the condition Compliant is True, 0 while it is False, -1 while it is Unknown.")
)

var policyGauges []*prometheus.GaugeVec

func policyGauge(name, help string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "retention_operator_" + name, Help: help}, []string{"namespace", "policy"})
	policyGauges = append(policyGauges, g)
	return g
}

func init() {
	metrics.Registry.MustRegister(Runs, RecordsPurged, RunDuration)
	for _, g := range policyGauges {
		metrics.Registry.MustRegister(g)
	}
}

// ForgetPolicy deletes every series of a policy that is gone.
func ForgetPolicy(namespace, name string) {
	labels := prometheus.Labels{"namespace": namespace, "policy": name}
	Runs.DeletePartialMatch(labels)
	RecordsPurged.DeletePartialMatch(labels)
	RunDuration.DeletePartialMatch(labels)
	for _, g := range policyGauges {
		g.DeletePartialMatch(labels)
	}
}
