// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

// hostAddress is where Pods of the local cluster reach servers of this machine.
var hostAddress string

func TestMain(m *testing.M) {
	config := os.Getenv("KUBECONFIG")
	if config == "" {
		fmt.Fprintln(os.Stderr, "KUBECONFIG is not set: run these tests with `make test-e2e`, which brings up a cluster with the operator in it")
		os.Exit(1)
	}
	b, err := os.ReadFile(filepath.Join(filepath.Dir(config), "host-address"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "the cluster is not the local one, so its Pods cannot reach a database of this machine:", err)
		os.Exit(1)
	}
	hostAddress = strings.TrimSpace(string(b))
	log.SetLogger(logr.Discard())
	postgres.Share(hostAddress, "10.208.0.0/12")
	postgres.Run(m)
}

// env is a namespace of the cluster and a database of the server.
type env struct {
	t         *testing.T
	c         client.Client
	namespace string
	srv       *postgres.Server
	dsn       string
	db        *pgx.Conn
}

func newEnv(t *testing.T, dsn func(testing.TB, *postgres.Server) string) *env {
	t.Helper()
	c := newClient(t, "")
	e := &env{t: t, c: c, srv: postgres.Get(t)}
	e.dsn = dsn(t, e.srv)
	e.db = postgres.Connect(t, e.dsn)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "e2e-",
		Labels:       map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}, // purge Pods must be admitted
	}}
	e.must(c.Create(t.Context(), ns))
	e.namespace = ns.Name
	t.Cleanup(func() {
		if !t.Failed() {
			_ = c.Delete(context.Background(), ns)
		}
	})
	return e
}

// newClient returns a client of the administrator, or of the user.
func newClient(t *testing.T, user string) client.WithWatch {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	config.Impersonate.UserName = user
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, retentionv1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// beside returns an env of the same namespace with another database.
func (e *env) beside(dsn func(testing.TB, *postgres.Server) string) *env {
	e.t.Helper()
	other := *e
	other.dsn = dsn(e.t, e.srv)
	other.db = postgres.Connect(e.t, other.dsn)
	return &other
}

func database(t testing.TB, srv *postgres.Server) string { return srv.Database(t) }

func (e *env) must(err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatal(err)
	}
}

// connection makes the Secret by which Pods reach the database, changed by change.
func (e *env) connection(name string, change func(map[string]string)) {
	e.t.Helper()
	u, err := url.Parse(e.dsn)
	e.must(err)
	password, _ := u.User.Password()
	data := map[string]string{
		"host": hostAddress, "port": strconv.Itoa(e.srv.Port), "database": strings.TrimPrefix(u.Path, "/"),
		"username": u.User.Username(), "password": password, "sslmode": "disable",
	}
	if change != nil {
		change(data)
	}
	e.must(e.c.Create(e.t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: name}, StringData: data}))
}

// datastore makes the Datastore "db", and waits until it is ready.
func (e *env) datastore(datasets ...retentionv1.Dataset) *retentionv1.Datastore {
	e.t.Helper()
	return e.datastoreNamed("db", nil, datasets...)
}

// datastoreNamed makes a Datastore on a Secret of the same name, and waits until it is ready.
func (e *env) datastoreNamed(name string, change func(*retentionv1.DatastoreSpec), datasets ...retentionv1.Dataset) *retentionv1.Datastore {
	e.t.Helper()
	e.connection(name, nil)
	ds := &retentionv1.Datastore{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: name, Labels: map[string]string{"personal": "true"}},
		Spec: retentionv1.DatastoreSpec{
			PostgreSQL: &retentionv1.PostgreSQL{SecretRef: retentionv1.SecretReference{Name: name}},
			Datasets:   datasets,
		},
	}
	if change != nil {
		change(&ds.Spec)
	}
	e.must(e.c.Create(e.t.Context(), ds))
	e.waitFor(2*time.Minute, "the Datastore to be ready", func() (bool, string) {
		e.must(e.c.Get(e.t.Context(), client.ObjectKeyFromObject(ds), ds))
		return meta.IsStatusConditionTrue(ds.Status.Conditions, retentionv1.ConditionReady), fmt.Sprint(ds.Status.Conditions)
	})
	return ds
}

// policy makes a RetentionPolicy with these rules that runs on request only, and asks for its first run.
func (e *env) policy(name string, change func(*retentionv1.RetentionPolicy), rules ...retentionv1.Rule) *retentionv1.RetentionPolicy {
	e.t.Helper()
	p := &retentionv1.RetentionPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: e.namespace, Name: name, Annotations: map[string]string{retentionv1.AnnotationRequestedAt: "first"}},
		Spec: retentionv1.RetentionPolicySpec{
			DatastoreSelector: retentionv1.DatastoreSelector{MatchLabels: map[string]retentionv1.LabelValue{"personal": "true"}},
			Schedule:          "0 3 1 1 *",
			Rules:             rules,
		},
	}
	if change != nil {
		change(p)
	}
	e.must(e.c.Create(e.t.Context(), p))
	return p
}

// ended waits until the run that was asked for by the latest request has ended, and returns it.
func (e *env) ended(p *retentionv1.RetentionPolicy, within time.Duration) *retentionv1.Run {
	e.t.Helper()
	e.waitFor(within, "the run to end", func() (bool, string) {
		e.must(e.c.Get(e.t.Context(), client.ObjectKeyFromObject(p), p))
		done := p.Status.ActiveRun == nil && p.Status.LastRun != nil && p.Status.LastHandledRequest == p.Annotations[retentionv1.AnnotationRequestedAt]
		return done, fmt.Sprintf("%v, active %+v", p.Status.Conditions, p.Status.ActiveRun)
	})
	return p.Status.LastRun
}

// request asks for another run.
func (e *env) request(p *retentionv1.RetentionPolicy, token string) {
	e.t.Helper()
	e.must(e.c.Get(e.t.Context(), client.ObjectKeyFromObject(p), p))
	base := p.DeepCopy()
	p.Annotations[retentionv1.AnnotationRequestedAt] = token
	e.must(e.c.Patch(e.t.Context(), p, client.MergeFrom(base)))
}

func (e *env) waitFor(within time.Duration, what string, ok func() (bool, string)) {
	e.t.Helper()
	deadline := time.Now().Add(within)
	for {
		done, state := ok()
		if done {
			return
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("waited %s for %s in namespace %s: %s", within, what, e.namespace, state)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// count returns the one number of a query.
func (e *env) count(sql string, args ...any) int64 {
	e.t.Helper()
	return postgres.Value[int64](e.t, e.db, sql, args...)
}

// step returns what a run did in a dataset.
func (e *env) step(run *retentionv1.Run, dataset string) retentionv1.RunDataset {
	e.t.Helper()
	for _, d := range run.Datastores {
		for _, ds := range d.Datasets {
			if string(ds.Name) == dataset {
				return ds
			}
		}
	}
	e.t.Fatalf("the run says nothing of %s: %+v", dataset, run)
	return retentionv1.RunDataset{}
}

// expectNumbers compares a step's figures with what was counted.
func (e *env) expectNumbers(ds retentionv1.RunDataset, matched, deleted, remaining int64) {
	e.t.Helper()
	if m, d, r := ptr.Deref(ds.Matched, -1), ptr.Deref(ds.Deleted, -1), ptr.Deref(ds.Remaining, -1); m != matched || d != deleted || r != remaining {
		e.t.Errorf("%s: the status says matched %d, deleted %d, remaining %d; the database says %d, %d, %d", ds.Name, m, d, r, matched, deleted, remaining)
	}
}

func dataset(name string, change func(*retentionv1.Dataset)) retentionv1.Dataset {
	d := retentionv1.Dataset{Name: retentionv1.DatasetName(name)}
	if change != nil {
		change(&d)
	}
	return d
}
