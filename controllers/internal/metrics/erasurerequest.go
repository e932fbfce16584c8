// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
)

// Metrics of ErasureRequests. A request has series only while it is open; its name must not name a person, and admission
// sees to that.
var (
	// ErasureOpen is 1 while a request has not been answered.
	ErasureOpen = erasureGauge("erasure_request_open", "1 while the request has not been answered.")
	// ErasureOverdue is the condition of that name.
	ErasureOverdue = erasureGauge("erasure_request_overdue", "1 while the request has not been answered although its time limit has passed.")
	// ErasureDue is the end of the time limit.
	ErasureDue = erasureGauge("erasure_request_due_timestamp_seconds", "End of the time limit of a request that has not been answered, in Unix time.")
	// ErasureAnswers counts answers, by outcome.
	ErasureAnswers = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "retention_operator_erasure_answers_total",
		Help: "Erasure requests that were answered, by outcome.",
	}, []string{"namespace", "outcome"})
)

var erasureGauges []*prometheus.GaugeVec

func erasureGauge(name, help string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "retention_operator_" + name, Help: help}, []string{"namespace", "name"})
	erasureGauges = append(erasureGauges, g)
	return g
}

func init() {
	metrics.Registry.MustRegister(ErasureAnswers)
	for _, g := range erasureGauges {
		metrics.Registry.MustRegister(g)
	}
}

// ObserveErasure sets the metrics of a request from its status.
func ObserveErasure(r *retentionv1.ErasureRequest) {
	if r.Status.AnsweredTime != nil {
		ForgetErasure(r.Namespace, r.Name)
		return
	}
	set := func(g *prometheus.GaugeVec, value float64) { g.WithLabelValues(r.Namespace, r.Name).Set(value) }
	set(ErasureOpen, 1)
	overdue := 0.0
	if meta.IsStatusConditionTrue(r.Status.Conditions, retentionv1.ConditionOverdue) {
		overdue = 1
	}
	set(ErasureOverdue, overdue)
	if t := r.Status.DueTime; t != nil {
		set(ErasureDue, float64(t.Unix()))
	}
}

// ForgetErasure deletes every series of a request that is gone, or needs none any more.
func ForgetErasure(namespace, name string) {
	for _, g := range erasureGauges {
		g.DeleteLabelValues(namespace, name)
	}
}
