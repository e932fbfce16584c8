// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
)

// Metrics of LegalHolds. A hold has series until it is gone.
var (
	// HoldEnforced is the condition of that name.
	HoldEnforced = holdGauge("hold_enforced", "1 while the condition Enforced is True, 0 while it is False, -1 while it is Unknown.")
	// HoldReleased is the condition of that name.
	HoldReleased = holdGauge("hold_released", "1 once the hold keeps nothing any more.")
	// HoldRecords is how many records a hold keeps.
	HoldRecords = holdGauge("hold_records", "Records that a hold on a person, or with a condition, keeps, as last counted.")
	// HoldEnforcement observes how long it takes until a hold is enforced in a Datastore.
	HoldEnforcement = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "retention_operator_hold_enforcement_seconds",
		Help:    "Time from writing a LegalHold into a Datastore until it was enforced there.",
		Buckets: prometheus.ExponentialBuckets(0.25, 2, 12),
	})
)

var holdGauges []*prometheus.GaugeVec

func holdGauge(name, help string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "retention_operator_" + name, Help: help}, []string{"namespace", "name"})
	holdGauges = append(holdGauges, g)
	return g
}

func init() {
	metrics.Registry.MustRegister(HoldEnforcement)
	for _, g := range holdGauges {
		metrics.Registry.MustRegister(g)
	}
}

// ObserveHold sets the metrics of a hold from its status.
func ObserveHold(before, after *retentionv1.LegalHold) {
	set := func(g *prometheus.GaugeVec, value float64) { g.WithLabelValues(after.Namespace, after.Name).Set(value) }
	set(HoldEnforced, OfCondition(after.Status.Conditions, retentionv1.ConditionEnforced))
	set(HoldReleased, max(OfCondition(after.Status.Conditions, retentionv1.ConditionReleased), 0))
	if n := after.Status.Records; n != nil {
		set(HoldRecords, float64(*n))
	}
	for i := range after.Status.Datastores {
		e := &after.Status.Datastores[i]
		if e.EnforcedTime == nil || e.RegisteredTime == nil || slices.ContainsFunc(before.Status.Datastores, func(was retentionv1.HoldDatastore) bool {
			return was.UID == e.UID && was.EnforcedTime != nil
		}) {
			continue
		}
		HoldEnforcement.Observe(e.EnforcedTime.Sub(e.RegisteredTime.Time).Seconds())
	}
}

// ForgetHold deletes every series of a hold that is gone.
func ForgetHold(namespace, name string) {
	for _, g := range holdGauges {
		g.DeleteLabelValues(namespace, name)
	}
}
