// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/attest"
	"dataretention.dev/retention-operator/controllers/internal/attest/attesttest"
	"dataretention.dev/retention-operator/controllers/internal/metrics"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/testing/apiserver"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

const day = 24 * time.Hour

// tended is a ledger that is looked after, with a clock of its own and a Datastore.
type tended struct {
	*attesttest.Ledger
	t      *testing.T
	srv    *apiserver.Server
	clock  *clocktesting.FakeClock
	tender *attest.Tender
	ds     *v1alpha1.Datastore
	start  time.Time
}

func newTended(t *testing.T) *tended {
	w := &tended{t: t, srv: apiserver.Get(t), clock: clocktesting.NewFakeClock(time.Now().Truncate(time.Millisecond))}
	w.start = w.clock.Now().UTC()
	w.Ledger = attesttest.New(t, func(o *attesttest.Options) { o.Clock = w.clock })
	w.tender = w.newTender()
	w.ds = &v1alpha1.Datastore{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "shop"},
		Spec: v1alpha1.DatastoreSpec{
			PostgreSQL: &v1alpha1.PostgreSQL{SecretRef: v1alpha1.SecretReference{Name: "shop-app"}},
			Datasets:   []v1alpha1.Dataset{{Name: "customer"}},
			Backups:    &v1alpha1.Backups{Retention: "P30D"},
		},
	}
	must(t, w.srv.Client.Create(t.Context(), w.ds))
	return w
}

func (w *tended) newTender() *attest.Tender {
	return &attest.Tender{Client: w.Client, Cache: w.srv.Client, Ticks: w.clock}
}

// execution states an Intent, and if deleted its Result: that records were deleted whose backups live for 30 days.
func (w *tended) execution(key string, deleted bool) evidence.Logged {
	w.t.Helper()
	object := evidence.Object{Namespace: w.ds.Namespace, Name: w.ds.Name, UID: string(w.ds.UID)}
	intent := predicate(evidence.Intent, key, ledgertest.None)
	intent.Run.Name, intent.Datastores[0].Object = "run-"+key, object
	logged, err := w.Append(w.t.Context(), intent, subject(key))
	must(w.t, err)
	if !deleted {
		return logged
	}
	result := predicate(evidence.Result, key, logged.Reference)
	now := w.clock.Now().UTC()
	result.Run.Name = intent.Run.Name
	result.LogicallyDeletedTime, result.GoneBy = &now, new(now.Add(30*day))
	result.Datastores[0].Object, result.Datastores[0].BackupRetention = object, "P30D"
	logged, err = w.Append(w.t.Context(), result, subject(key))
	must(w.t, err)
	return logged
}

func (w *tended) tend() {
	w.t.Helper()
	must(w.t, w.tender.Tend(w.t.Context()))
}

func (w *tended) kinds() (all []evidence.Kind) {
	w.t.Helper()
	for e, err := range w.Raw.Client.Entries(w.t.Context(), 0, time.Time{}, time.Time{}) {
		must(w.t, err)
		all = append(all, e.Leaf.Kind)
	}
	return all
}

func value(t *testing.T, g prometheus.Gauge) float64 {
	t.Helper()
	t.Helper()
	return testutil.ToFloat64(g)
}

func TestDanglingIntents(t *testing.T) {
	w := newTended(t)
	w.execution("a", false)
	w.execution("b", true)
	w.tend()
	if value(t, metrics.LedgerUp) != 1 || value(t, metrics.EvidenceEntries) != 3 || value(t, metrics.OpenIntents) != 1 || value(t, metrics.DanglingIntents) != 0 {
		t.Errorf("at once: %v entries, %v open, %v dangling", value(t, metrics.EvidenceEntries), value(t, metrics.OpenIntents), value(t, metrics.DanglingIntents))
	}
	if got := value(t, metrics.EvidenceLastEntry); got != float64(w.start.Unix()) {
		t.Errorf("the latest entry is of %v", got)
	}
	w.ds.Status.ActiveRun = &v1alpha1.ActiveRun{Name: "run-a", AcquiredTime: metav1.Now()}
	must(t, w.srv.Client.Status().Update(t.Context(), w.ds))
	w.clock.Step(time.Hour)
	w.tend()
	if value(t, metrics.DanglingIntents) != 0 {
		t.Error("an Intent is dangling whose run has the Datastore")
	}
	w.ds.Status.ActiveRun.Name = "another"
	must(t, w.srv.Client.Status().Update(t.Context(), w.ds))
	w.tend()
	if value(t, metrics.DanglingIntents) != 1 {
		t.Error("nobody is at work on the Intent, and it is not dangling")
	}
	w.Raw.Close(t)
	if err := w.tender.Tend(t.Context()); err == nil || value(t, metrics.LedgerUp) != 0 {
		t.Errorf("got %v", err)
	}
}

func TestBackupsExpire(t *testing.T) {
	w := newTended(t)
	result := w.execution("a", true)
	w.clock.Step(30*day - time.Second)
	w.tend()
	if n := len(w.Entries(t)); n != 2 {
		t.Fatalf("there are %d entries a second before", n)
	}
	w.clock.Step(time.Second)
	for range 2 {
		w.tend()
		w.tender = w.newTender() // another manager
	}
	entries := w.Entries(t)
	if len(entries) != 3 {
		t.Fatalf("there are %d entries", len(entries))
	}
	got := entries[2].Statement
	p := got.Predicate
	if p.Kind != evidence.BackupsExpired || p.Key != result.Digest || *p.Closes != result.Reference || p.Level != evidence.LevelDeleted ||
		!p.GoneBy.Equal(w.start.Add(30*day)) || !strings.Contains(p.Message, "Nobody has looked") || len(p.Datastores) != 1 ||
		p.Datastores[0].BackupRetention != "P30D" || p.Run.Name != "run-a" || "sha256:"+got.Subject[0].Digest["sha256"] != result.Digest {
		t.Errorf("it states %+v", p)
	}
}

// TestBackupsThatLiveLonger changes the declaration after the deletion.
func TestBackupsThatLiveLonger(t *testing.T) {
	for name, c := range map[string]struct {
		change func(w *tended)
		days   int // until it is stated
	}{
		"longer":              {func(w *tended) { w.declare("P90D") }, 90},
		"shorter":             {func(w *tended) { w.declare("P10D") }, 30},
		"longer, taken back":  {func(w *tended) { w.declare("P90D"); w.later(40, func() { w.declare("P30D") }) }, 40},
		"withdrawn":           {func(w *tended) { w.declare("") }, 30},
		"the Datastore gone":  {func(w *tended) { must(w.t, w.srv.Client.Delete(w.t.Context(), w.ds)) }, 30},
		"another of its name": {func(w *tended) { w.replace("P90D") }, 30},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTended(t)
			w.execution("a", true)
			c.change(w)
			for w.clock.Now().Before(w.start.Add(time.Duration(c.days) * day)) {
				if n := len(w.kinds()); n != 2 {
					t.Fatalf("there are %d entries after %s", n, w.clock.Now().Sub(w.start))
				}
				w.clock.Step(5 * day)
				w.tend()
			}
			if kinds := w.kinds(); len(kinds) != 3 || kinds[2] != evidence.BackupsExpired {
				t.Errorf("after %d days there are %v", c.days, kinds)
			}
		})
	}
}

func (w *tended) declare(period v1alpha1.Period) {
	w.t.Helper()
	must(w.t, w.srv.Client.Get(w.t.Context(), client.ObjectKeyFromObject(w.ds), w.ds))
	w.ds.Spec.Backups = nil
	if period != "" {
		w.ds.Spec.Backups = &v1alpha1.Backups{Retention: period}
	}
	must(w.t, w.srv.Client.Update(w.t.Context(), w.ds))
}

// later does something once that many days have passed.
func (w *tended) later(days int, do func()) {
	for range days/5 - 1 {
		w.clock.Step(5 * day)
		w.tend()
	}
	do()
}

func (w *tended) replace(period v1alpha1.Period) {
	w.t.Helper()
	must(w.t, w.srv.Client.Delete(w.t.Context(), w.ds))
	w.ds.ResourceVersion, w.ds.UID = "", ""
	w.ds.Spec.Backups = &v1alpha1.Backups{Retention: period}
	must(w.t, w.srv.Client.Create(w.t.Context(), w.ds))
}

// TestPrune follows statements to the end of their retention. A manager dies on the way.
func TestPrune(t *testing.T) {
	w := newTended(t)
	w.execution("open", false)
	w.execution("a", true)
	hold := &v1alpha1.LegalHold{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "lawsuit"},
		Spec:       v1alpha1.LegalHoldSpec{Reason: "lawsuit", Authority: "a court", DatastoreSelector: &v1alpha1.DatastoreSelector{MatchLabels: map[string]v1alpha1.LabelValue{"a": "b"}}},
	}
	must(t, w.srv.Client.Create(t.Context(), hold))
	held := predicate(evidence.HoldEnforced, string(hold.UID), ledgertest.None)
	held.Hold.Object = evidence.Object{Namespace: hold.Namespace, Name: hold.Name, UID: string(hold.UID)}
	_, err := w.Append(t.Context(), held, subject("hold"))
	must(t, err)
	w.clock.Step(30 * day)
	w.tend() // BackupsExpired is entry 4

	w.clock.SetTime(w.start.AddDate(7, 0, 0).Add(-time.Second))
	w.tend()
	if kinds := w.kinds(); len(kinds) != 5 {
		t.Fatalf("there are %v", kinds)
	}
	w.clock.Step(day + time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	w.tender.Cache = dying{w.srv.Client, cancel} // it dies before it has stated anything
	if err := w.tender.Tend(ctx); err == nil {
		t.Error("it did not die")
	}
	w.tender = w.newTender()
	w.CrashAfter(evidence.Pruned)
	w.tend()
	w.tender = w.newTender()
	w.tend()
	kinds := w.kinds()
	if len(kinds) != 6 || kinds[5] != evidence.Pruned {
		t.Fatalf("there are %v", kinds)
	}
	var left []int64
	for e, err := range w.Raw.Client.Entries(t.Context(), 0, time.Time{}, time.Time{}) {
		must(t, err)
		if e.Envelope != nil {
			left = append(left, e.Index)
		}
		if e.Leaf.Kind == evidence.Pruned {
			s, _, err := evidence.Payload(e.Envelope)
			must(t, err)
			if got := s.Predicate.Pruned.Indices; !slices.Equal(got, []int64{1, 2}) {
				t.Errorf("it states that %v were removed", got)
			}
		}
	}
	// The Intent that is open and the hold that is there stay; what says that backups have expired is younger.
	if !slices.Equal(left, []int64{0, 3, 4, 5}) {
		t.Errorf("left are %v", left)
	}
	must(t, w.srv.Client.Delete(t.Context(), hold, client.GracePeriodSeconds(0)))
	w.clock.Step(day)
	w.tend()
	if kinds := w.kinds(); len(kinds) != 7 || kinds[6] != evidence.Pruned {
		t.Errorf("the hold is gone, and there are %v", kinds)
	}
	w.clock.Step(30 * day)
	w.tend()
	if kinds := w.kinds(); len(kinds) != 8 {
		t.Errorf("at last there are %v", kinds)
	}
}

// dying ends a manager when it lists Datastores.
type dying struct {
	client.Reader
	die func()
}

func (d dying) List(context.Context, client.ObjectList, ...client.ListOption) error {
	d.die()
	return errors.New("it dies")
}

// TestPruneKeepsAnswers keeps what a request was answered for as long as the request is there.
func TestPruneKeepsAnswers(t *testing.T) {
	w := newTended(t)
	request := &v1alpha1.ErasureRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: "r1"},
		Spec:       v1alpha1.ErasureRequestSpec{Subject: v1alpha1.Subject{Sealed: "x"}},
	}
	cache := requests{w.srv.Client, request}
	request.UID = "0e0d2f4e-8f39-4c3e-9a44-3a2f5a3f3f01"
	for _, uid := range []string{string(request.UID), "1e0d2f4e-8f39-4c3e-9a44-3a2f5a3f3f01"} {
		p := predicate(evidence.Conclusion, uid, ledgertest.None)
		p.Policy, p.Request = nil, &evidence.Request{Object: evidence.Object{Namespace: w.Namespace, Name: "r1", UID: uid}}
		_, err := w.Append(t.Context(), p, subject(uid))
		must(t, err)
	}
	w.tender.Cache = cache
	w.clock.SetTime(w.start.AddDate(7, 0, 1))
	w.tend()
	var left []int64
	for e, err := range w.Raw.Client.Entries(t.Context(), 0, time.Time{}, time.Time{}) {
		must(t, err)
		if e.Envelope != nil {
			left = append(left, e.Index)
		}
	}
	if !slices.Equal(left, []int64{0, 2}) { // that of another request of the name is gone
		t.Errorf("left are %v", left)
	}
}

// requests has one ErasureRequest besides, so that it need not be sealed.
type requests struct {
	client.Reader
	one *v1alpha1.ErasureRequest
}

func (r requests) Get(ctx context.Context, key client.ObjectKey, into client.Object, o ...client.GetOption) error {
	if request, ok := into.(*v1alpha1.ErasureRequest); ok && key == client.ObjectKeyFromObject(r.one) {
		r.one.DeepCopyInto(request)
		return nil
	}
	return r.Reader.Get(ctx, key, into, o...)
}
