// SPDX-License-Identifier: Apache-2.0

package attest_test

import (
	"context"
	"crypto/ed25519"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/controllers/internal/attest"
	"dataretention.dev/retention-operator/controllers/internal/attest/attesttest"
	"dataretention.dev/retention-operator/controllers/internal/upkeep"
	"dataretention.dev/retention-operator/internal/evidence"
	ledgerclient "dataretention.dev/retention-operator/internal/ledger/client"
	"dataretention.dev/retention-operator/internal/testing/apiserver"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

const year = 365 * 24 * time.Hour

// keyWorld is an operator's namespace with the rights of config/rbac.
type keyWorld struct {
	t      *testing.T
	srv    *apiserver.Server
	ns     string
	client client.Client // the operator's
	clock  *clocktesting.FakeClock
	events *events.FakeRecorder
}

func newKeyWorld(t *testing.T) *keyWorld {
	t.Helper()
	srv := apiserver.Get(t)
	w := &keyWorld{
		t: t, srv: srv, ns: srv.Namespace(t),
		clock: clocktesting.NewFakeClock(time.Now().Truncate(time.Second)), events: events.NewFakeRecorder(100),
	}
	user := "operator-of-" + w.ns
	srv.Grant(t, w.ns, "evidence_role.yaml", apiserver.User(user))
	// The rest is what the markers ask for.
	which := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get"}},
	}}
	must(t, srv.Client.Create(t.Context(), which))
	must(t, srv.Client.Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user}, Subjects: []rbacv1.Subject{apiserver.User(user)},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: which.Name},
	}))
	w.client = srv.As(t, user)
	return w
}

// keyring is what one manager has.
func (w *keyWorld) keyring() *attest.Keyring {
	return &attest.Keyring{Client: w.client, Events: w.events, Clock: w.clock, Namespace: w.ns, Rotation: year}
}

func (w *keyWorld) secret(name string) *corev1.Secret {
	w.t.Helper()
	s := &corev1.Secret{}
	must(w.t, w.srv.Client.Get(w.t.Context(), client.ObjectKey{Namespace: w.ns, Name: name}, s))
	return s
}

func (w *keyWorld) configMap() *corev1.ConfigMap {
	w.t.Helper()
	cm := &corev1.ConfigMap{}
	must(w.t, w.srv.Client.Get(w.t.Context(), client.ObjectKey{Namespace: w.ns, Name: attest.KeysName}, cm))
	return cm
}

// published are the key IDs of the ConfigMap, by use.
func (w *keyWorld) published() map[string][]string {
	w.t.Helper()
	trust, err := evidence.ParseTrust([]byte(w.configMap().Data[attest.TrustKey]))
	must(w.t, err)
	ids := map[string][]string{}
	for _, k := range trust.Keys {
		ids[k.Use] = append(ids[k.Use], evidence.KeyID(k.Key))
	}
	return ids
}

// private is how many statement keys the Secret has.
func (w *keyWorld) private() (n int) {
	w.t.Helper()
	for name := range w.secret(attest.KeysName).Data {
		if strings.HasSuffix(name, ".key") {
			n++
		}
	}
	return n
}

func (w *keyWorld) event(want string) {
	w.t.Helper()
	select {
	case got := <-w.events.Events:
		if !strings.Contains(got, want) {
			w.t.Errorf("event %q, want %s", got, want)
		}
	default:
		w.t.Errorf("no event %s", want)
	}
}

// signer is the key ID that a manager signs with now.
func (w *keyWorld) signer(k *attest.Keyring) string {
	w.t.Helper()
	private, err := attest.StatementKey(w.t.Context(), k)
	must(w.t, err)
	return evidence.KeyID(private.Public().(ed25519.PublicKey))
}

func TestManyManagersMakeOneSetOfKeys(t *testing.T) {
	w := newKeyWorld(t)
	var wg sync.WaitGroup
	got := make([]string, 8)
	for i := range got {
		wg.Go(func() {
			k := w.keyring()
			if i%2 == 0 {
				if err := k.Tend(t.Context()); err != nil && !upkeep.Overtaken(err) {
					t.Error(err)
				}
			}
			got[i] = w.signer(k)
		})
	}
	wg.Wait()
	must(t, w.keyring().Tend(t.Context()))
	ids := w.published()
	if len(ids[evidence.UseStatement]) != 1 || len(ids[evidence.UseLog]) != 1 || len(ids[evidence.UseWitness]) != 1 {
		t.Fatalf("published are %v", ids)
	}
	for _, id := range got {
		if id != ids[evidence.UseStatement][0] {
			t.Errorf("a manager signs with %s", id)
		}
	}
	if len(w.events.Events) > 0 {
		t.Errorf("event %s", <-w.events.Events)
	}
	for _, s := range []*corev1.Secret{w.secret(attest.KeysName), w.secret(attest.LedgerSecret)} {
		for name, value := range s.Data {
			if name != attest.TrustKey && name != corev1.TLSCertKey && strings.Contains(w.configMap().String(), string(value)) {
				t.Errorf("%s of Secret %s is published", name, s.Name)
			}
		}
	}
}

// TestRotation follows a key from its making to its end: it is published before it signs, and what it has signed verifies for
// ever.
func TestRotation(t *testing.T) {
	w := newKeyWorld(t)
	k, other := w.keyring(), w.keyring()
	must(t, k.Tend(t.Context()))
	first := w.signer(k)
	w.clock.Step(year)
	must(t, k.Tend(t.Context()))
	w.event("KeyRotated")
	ids := w.published()[evidence.UseStatement]
	if len(ids) != 2 || ids[0] != first || w.signer(k) != first || w.signer(other) != first {
		t.Fatalf("published are %v, and it signs with %s", ids, w.signer(k))
	}
	w.clock.Step(5*time.Minute - time.Second)
	must(t, k.Tend(t.Context()))
	if w.signer(k) != first {
		t.Error("a key signs that the ledger may not have yet")
	}
	w.clock.Step(time.Second)
	must(t, k.Tend(t.Context()))
	if w.signer(k) != ids[1] || w.signer(other) != ids[1] || w.private() != 2 {
		t.Errorf("it signs with %s; there are %d private keys", w.signer(k), w.private())
	}
	w.clock.Step(10 * time.Minute)
	must(t, k.Tend(t.Context()))
	w.event("KeyDestroyed")
	if w.private() != 1 || w.signer(k) != ids[1] || !slices.Equal(w.published()[evidence.UseStatement], ids) {
		t.Errorf("there are %d private keys; published are %v", w.private(), w.published())
	}
	must(t, k.Tend(t.Context()))
	// Somebody deletes what is published: it comes back with the former key.
	must(t, w.srv.Client.Delete(t.Context(), w.configMap()))
	must(t, k.Tend(t.Context()))
	if !slices.Equal(w.published()[evidence.UseStatement], ids) {
		t.Errorf("published are %v", w.published())
	}
	if len(w.events.Events) > 0 {
		t.Errorf("event %s", <-w.events.Events)
	}
}

func TestRotationThatIsAskedFor(t *testing.T) {
	w := newKeyWorld(t)
	k := w.keyring()
	must(t, k.Tend(t.Context()))
	before, ledgerBefore := w.published(), w.secret(attest.LedgerSecret)
	cm := w.configMap()
	metav1.SetMetaDataAnnotation(&cm.ObjectMeta, upkeep.AnnotationRotate, "2026-11-24")
	must(t, w.srv.Client.Update(t.Context(), cm))
	for range 3 { // one request is one rotation
		must(t, k.Tend(t.Context()))
	}
	w.event("KeyRotated")
	after, ledgerAfter := w.published(), w.secret(attest.LedgerSecret)
	for use, ids := range after {
		if len(ids) != 2 || ids[0] != before[use][0] {
			t.Errorf("%s keys are %v, and were %v", use, ids, before[use])
		}
	}
	lines := strings.Fields(string(ledgerAfter.Data["log.key"]))
	if len(lines) != 2 || lines[1] != strings.TrimSpace(string(ledgerBefore.Data["log.key"])) {
		t.Errorf("the ledger has %d keys", len(lines))
	}
	if string(ledgerAfter.Data[corev1.TLSCertKey]) == string(ledgerBefore.Data[corev1.TLSCertKey]) {
		t.Error("the certificate is the same")
	}
}

// TestLostSecrets has Secrets vanish: there are new keys, somebody is told, and the former public keys stay.
func TestLostSecrets(t *testing.T) {
	w := newKeyWorld(t)
	must(t, w.keyring().Tend(t.Context()))
	before := w.published()
	must(t, w.srv.Client.Delete(t.Context(), w.secret(attest.KeysName)))
	must(t, w.srv.Client.Delete(t.Context(), w.secret(attest.LedgerSecret)))
	k := w.keyring()
	must(t, k.Tend(t.Context()))
	w.event("Warning KeysLost")
	after := w.published()
	for use, ids := range after {
		if len(ids) != 2 || ids[0] != before[use][0] {
			t.Errorf("%s keys are %v, and were %v", use, ids, before[use])
		}
	}
	if got := w.signer(k); got != after[evidence.UseStatement][1] {
		t.Errorf("it signs with %s", got)
	}
	if trust, err := evidence.ParseTrust(w.secret(attest.KeysName).Data[attest.TrustKey]); err != nil || len(trust.Keys) != 6 {
		t.Errorf("the Secret knows %v, %v", trust, err)
	}
}

// TestDamage sees that nothing is replaced which cannot be read.
func TestDamage(t *testing.T) {
	for name, harm := range map[string]func(w *keyWorld){
		"a statement key": func(w *keyWorld) { w.damage(attest.KeysName, "1.key") },
		"the witness key": func(w *keyWorld) { w.damage(attest.KeysName, "witness") },
		"what is known":   func(w *keyWorld) { w.damage(attest.KeysName, attest.TrustKey) },
		"the log key":     func(w *keyWorld) { w.damage(attest.LedgerSecret, "log.key") },
		"the certificate": func(w *keyWorld) { w.damage(attest.LedgerSecret, corev1.TLSCertKey) },
		"what is published": func(w *keyWorld) {
			cm := w.configMap()
			cm.Data[attest.TrustKey] = "-----BEGIN PUBLIC KEY-----\nSECRET\n"
			must(w.t, w.srv.Client.Update(w.t.Context(), cm))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newKeyWorld(t)
			must(t, w.keyring().Tend(t.Context()))
			harm(w)
			before := []string{w.secret(attest.KeysName).ResourceVersion, w.secret(attest.LedgerSecret).ResourceVersion, w.configMap().ResourceVersion}
			err := w.keyring().Tend(t.Context())
			if err == nil || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("got %v", err)
			}
			if after := []string{w.secret(attest.KeysName).ResourceVersion, w.secret(attest.LedgerSecret).ResourceVersion, w.configMap().ResourceVersion}; !slices.Equal(before, after) {
				t.Error("something was changed")
			}
		})
	}
}

func (w *keyWorld) damage(name, key string) {
	w.t.Helper()
	s := w.secret(name)
	s.Data[key] = []byte("SECRET")
	must(w.t, w.srv.Client.Update(w.t.Context(), s))
}

func TestTheOperatorReadsNoOtherSecret(t *testing.T) {
	w := newKeyWorld(t)
	must(t, w.keyring().Tend(t.Context()))
	other := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "other"}}
	must(t, w.srv.Client.Create(t.Context(), other))
	if err := w.client.Get(t.Context(), client.ObjectKeyFromObject(other), &corev1.Secret{}); !apierrors.IsForbidden(err) {
		t.Errorf("the operator reads another Secret: %v", err)
	}
	if err := w.client.Delete(t.Context(), w.configMap()); !apierrors.IsForbidden(err) {
		t.Errorf("the operator deletes the published keys: %v", err)
	}
}

// TestTheChannel talks to the ledger as its process does, and is refused with another certificate.
func TestTheChannel(t *testing.T) {
	l := attesttest.New(t)
	url := l.URL(t)
	keys := func(ns string) *attest.Keyring {
		return &attest.Keyring{Client: apiserver.Get(t).Client, Events: events.NewFakeRecorder(10), Clock: clocktesting.NewFakeClock(time.Now()), Namespace: ns}
	}
	must(t, attest.New(l.Client.Options).Ready(t.Context()))
	o := l.Client.Options
	o.Keys = keys(l.Namespace)
	o.Ledger = ledgerclient.New(url, o.Keys.HTTPClient())
	if _, err := attest.New(o).Append(t.Context(), predicate(evidence.Intent, "k", ledgertest.None), subject("x")); err != nil {
		t.Error(err)
	}
	stranger := ledgerclient.New(url, keys(apiserver.Get(t).Namespace(t)).HTTPClient())
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := stranger.State(ctx); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
	if len(l.Entries(t)) != 1 {
		t.Error("there is not one entry")
	}
}
