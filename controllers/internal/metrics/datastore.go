// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
)

// Metrics of Datastores, from what the last probe saw.
var (
	// DatastoreReady is the condition of that name.
	DatastoreReady = datastoreGauge("datastore_ready", "1 while the condition Ready is True, 0 while it is False, -1 while it is Unknown.")
	// DatastoreLastProbe is when the last probe ended.
	DatastoreLastProbe = datastoreGauge("datastore_last_probe_timestamp_seconds", "End of the latest probe, in Unix time; 0 before the first.")
	// DatastoreRecords is the database's own estimate.
	DatastoreRecords = datastoreGauge("datastore_records", "Estimated records of all datasets at the latest probe that could look.")
)

var datastoreGauges []*prometheus.GaugeVec

func datastoreGauge(name, help string) *prometheus.GaugeVec {
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "retention_operator_" + name, Help: help}, []string{"namespace", "name"})
	datastoreGauges = append(datastoreGauges, g)
	return g
}

func init() {
	for _, g := range datastoreGauges {
		metrics.Registry.MustRegister(g)
	}
}

// OfCondition is 1 while a condition is True, 0 while it is False, and -1 while it is Unknown or absent.
func OfCondition(conditions []metav1.Condition, conditionType string) float64 {
	switch {
	case meta.IsStatusConditionTrue(conditions, conditionType):
		return 1
	case meta.IsStatusConditionFalse(conditions, conditionType):
		return 0
	}
	return -1
}

// ObserveDatastore sets the metrics of a Datastore from its status.
func ObserveDatastore(ds *retentionv1.Datastore) {
	set := func(g *prometheus.GaugeVec, value float64) { g.WithLabelValues(ds.Namespace, ds.Name).Set(value) }
	set(DatastoreReady, OfCondition(ds.Status.Conditions, retentionv1.ConditionReady))
	last := 0.0
	if t := ds.Status.LastProbeTime; t != nil {
		last = float64(t.Unix())
	}
	set(DatastoreLastProbe, last)
	if n := ds.Status.Records; n != nil {
		set(DatastoreRecords, float64(*n))
	}
}

// ForgetDatastore deletes every series of a Datastore that is gone.
func ForgetDatastore(namespace, name string) {
	for _, g := range datastoreGauges {
		g.DeleteLabelValues(namespace, name)
	}
}
