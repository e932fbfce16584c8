// SPDX-License-Identifier: Apache-2.0

package retentionpolicy

import (
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/metrics"
)

// TestTwoManagersAtOnce lets two managers, each of which believes to be the leader, work on the same policy at the same
// time. The purge runs once per datastore, and is counted once.
func TestTwoManagersAtOnce(t *testing.T) {
	for range 5 {
		w := newWorld(t)
		w.datastore("shop")
		w.datastore("crm")
		w.create("p", nil)
		for range 25 {
			var both sync.WaitGroup
			for range 2 {
				r := w.reconciler()
				both.Go(func() { // errors are conflicts, and are what keeps them apart
					_, _ = r.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKey{Namespace: w.namespace, Name: "p"}})
				})
			}
			both.Wait()
			w.kubelet()
		}
		p := w.settle("p")
		last := p.Status.LastRun
		if last == nil || last.Outcome != retentionv1.OutcomeSucceeded || ptr.Deref(last.Deleted, -1) != 20 || len(p.Status.History) != 1 {
			t.Fatalf("last run %+v, history %+v", last, p.Status.History)
		}
		for job, purged := range w.purged {
			if purged != 1 {
				t.Errorf("Job %s was carried out %d times", job, purged)
			}
		}
		if len(w.purged) != 2 {
			t.Errorf("purged %v", w.purged)
		}
		w.expectReleased(p)
	}
}

// TestMetrics reads what a run leaves in the metrics, and that nothing is left of a policy that is gone.
func TestMetrics(t *testing.T) {
	w := newWorld(t)
	w.datastore("shop")
	w.create("p", nil)
	p := w.settle("p")
	for name, got := range map[string]float64{
		"runs":           testutil.ToFloat64(metrics.Runs.WithLabelValues(w.namespace, "p", "Succeeded")) - 1,
		"records purged": testutil.ToFloat64(metrics.RecordsPurged.WithLabelValues(w.namespace, "p", "Delete")) - 10,
		"last success":   testutil.ToFloat64(metrics.LastSuccess.WithLabelValues(w.namespace, "p")) - float64(p.Status.LastSuccessfulTime.Unix()),
		"next slot":      testutil.ToFloat64(metrics.NextSchedule.WithLabelValues(w.namespace, "p")) - float64(p.Status.NextScheduleTime.Unix()),
		"overdue":        testutil.ToFloat64(metrics.OverdueRecords.WithLabelValues(w.namespace, "p")),
		"compliant":      testutil.ToFloat64(metrics.Compliant.WithLabelValues(w.namespace, "p")) - 1,
	} {
		if got != 0 {
			t.Errorf("%s is off by %v", name, got)
		}
	}
	before := testutil.CollectAndCount(metrics.LastSuccess)
	w.must(w.c.Delete(t.Context(), p))
	w.must(w.pass(w.reconciler(), "p"))
	if after := testutil.CollectAndCount(metrics.LastSuccess); after != before-1 {
		t.Errorf("%d series before the policy went, %d after", before, after)
	}
}
