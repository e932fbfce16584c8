// SPDX-License-Identifier: Apache-2.0

package sealing

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/upkeep"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/seal"
	"dataretention.dev/retention-operator/internal/testing/apiserver"
)

func TestMain(m *testing.M) { apiserver.Run(m) }

// world is an operator's namespace with the rights of config/rbac.
type world struct {
	t      *testing.T
	srv    *apiserver.Server
	ns     string
	client client.Client // the operator's
	clock  *clocktesting.FakeClock
	events *events.FakeRecorder
}

func newWorld(t *testing.T) *world {
	t.Helper()
	srv := apiserver.Get(t)
	w := &world{
		t: t, srv: srv, ns: srv.Namespace(t),
		clock: clocktesting.NewFakeClock(time.Now().Truncate(time.Second)), events: events.NewFakeRecorder(100),
	}
	user := "operator-of-" + w.ns
	srv.Grant(t, w.ns, "sealing_key_role.yaml", apiserver.User(user), apiserver.User("blind-"+user))
	srv.Grant(t, w.ns, "sealing_key_reader_role.yaml", rbacv1.Subject{Kind: rbacv1.GroupKind, APIGroup: rbacv1.GroupName, Name: "system:authenticated"})
	// The rest is what the markers ask for.
	lists := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: user}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{v1alpha1.Group}, Resources: []string{"erasurerequests", "legalholds"}, Verbs: []string{"list"}},
		{APIGroups: []string{"batch"}, Resources: []string{"jobs"}, Verbs: []string{"list"}},
	}}
	must(t, srv.Client.Create(t.Context(), lists))
	must(t, srv.Client.Create(t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: user}, Subjects: []rbacv1.Subject{apiserver.User(user)},
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: lists.Name},
	}))
	w.client = w.as(user)
	return w
}

func (w *world) as(user string) client.Client {
	w.t.Helper()
	cfg := rest.CopyConfig(w.srv.Config)
	cfg.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: []string{"system:authenticated"}}
	c, err := client.New(cfg, client.Options{Scheme: w.srv.Scheme})
	must(w.t, err)
	return c
}

// keyring is what one manager has.
func (w *world) keyring() *Keyring {
	return &Keyring{Client: w.client, Events: w.events, Clock: w.clock, Namespace: w.ns, Rotation: 90 * 24 * time.Hour}
}

func (w *world) configMap() *corev1.ConfigMap {
	w.t.Helper()
	cm := &corev1.ConfigMap{}
	must(w.t, w.srv.Client.Get(w.t.Context(), client.ObjectKey{Namespace: w.ns, Name: seal.ConfigMapName}, cm))
	return cm
}

func (w *world) keys() []key {
	w.t.Helper()
	secret := &corev1.Secret{}
	must(w.t, w.srv.Client.Get(w.t.Context(), client.ObjectKey{Namespace: w.ns, Name: SecretName}, secret))
	keys, err := parse(secret)
	must(w.t, err)
	return keys
}

func (w *world) event(want string) {
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

// sealed is an age file that the key opens.
func (w *world) sealed(public string) string {
	w.t.Helper()
	text, err := seal.Seal(public, []byte("email=anna@example.com"))
	must(w.t, err)
	return text
}

func TestManyManagersMakeOneKey(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	got := make([]string, 8)
	for i := range got {
		wg.Go(func() {
			k := w.keyring()
			if i%2 == 0 {
				if err := k.Tend(t.Context()); err != nil && !apierrors.IsConflict(errors.Unwrap(err)) {
					t.Error(err)
				}
			}
			var err error
			if got[i], err = k.Recipient(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	keys := w.keys()
	if len(keys) != 1 {
		t.Fatalf("there are %d keys", len(keys))
	}
	for _, public := range got {
		if public != publicOf(keys[0]) {
			t.Errorf("a manager seals to %s", public)
		}
	}
	must(t, w.keyring().Tend(t.Context()))
	if got := w.configMap().Data[seal.PublicKey]; got != publicOf(keys[0]) {
		t.Errorf("published is %s", got)
	}
}

func TestRights(t *testing.T) {
	w := newWorld(t)
	k := w.keyring()
	must(t, k.Tend(t.Context()))
	// Everybody may read the public key, and nothing else.
	anybody := w.as("anybody")
	cm := &corev1.ConfigMap{}
	must(t, anybody.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: seal.ConfigMapName}, cm))
	err := anybody.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: SecretName}, &corev1.Secret{})
	if !apierrors.IsForbidden(err) {
		t.Errorf("anybody reads the private keys: %v", err)
	}
	// The operator may read no other Secret.
	other := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "other"}}
	must(t, w.srv.Client.Create(t.Context(), other))
	if err := w.client.Get(t.Context(), client.ObjectKeyFromObject(other), &corev1.Secret{}); !apierrors.IsForbidden(err) {
		t.Errorf("the operator reads another Secret: %v", err)
	}
	if err := w.client.List(t.Context(), &corev1.SecretList{}, client.InNamespace(w.ns)); !apierrors.IsForbidden(err) {
		t.Errorf("the operator lists Secrets: %v", err)
	}
	if strings.Contains(cm.String(), "AGE-SECRET-KEY") {
		t.Error("a private key is published")
	}
}

// TestAnotherManagersRotation has a second manager open at once what was sealed to a key that it has not heard of.
func TestAnotherManagersRotation(t *testing.T) {
	w := newWorld(t)
	first, second := w.keyring(), w.keyring()
	before, err := second.Recipient(t.Context())
	must(t, err)
	must(t, first.Tend(t.Context()))
	cm := w.configMap()
	metav1.SetMetaDataAnnotation(&cm.ObjectMeta, upkeep.AnnotationRotate, "2026-11-24")
	must(t, w.srv.Client.Update(t.Context(), cm))
	for range 3 { // one request is one rotation
		must(t, first.Tend(t.Context()))
	}
	w.event("KeyRotated")
	after, err := first.Recipient(t.Context())
	must(t, err)
	if keys := w.keys(); len(keys) != 2 || publicOf(keys[0]) != after || publicOf(keys[1]) != before {
		t.Fatalf("there are %d keys", len(keys))
	}
	if cm := w.configMap(); cm.Data[seal.PublicKey] != after || cm.Data[FormerKeys] != before+"\n" || cm.Annotations[upkeep.AnnotationRotate] == "" {
		t.Errorf("published is %v", cm.Data)
	}
	for _, public := range []string{after, before} {
		plaintext, opened, err := second.Open(t.Context(), w.sealed(public))
		if err != nil || string(plaintext) != "email=anna@example.com" || opened != public {
			t.Errorf("got %q, %s, %v", plaintext, opened, err)
		}
	}
	strange, err := seal.Seal("age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p", nil)
	must(t, err)
	if _, _, err := second.Open(t.Context(), strange); !errors.Is(err, seal.ErrOtherKey) {
		t.Errorf("got %v", err)
	}
}

func TestPublishedAgain(t *testing.T) {
	w := newWorld(t)
	k := w.keyring()
	must(t, k.Tend(t.Context()))
	cm := w.configMap()
	cm.Data[seal.PublicKey] = "age1somebodyelse"
	must(t, w.srv.Client.Update(t.Context(), cm))
	must(t, k.Tend(t.Context()))
	public, err := k.Recipient(t.Context())
	must(t, err)
	if got := w.configMap().Data[seal.PublicKey]; got != public {
		t.Errorf("published is %s", got)
	}
	must(t, w.srv.Client.Delete(t.Context(), w.configMap()))
	must(t, k.Tend(t.Context()))
	if got := w.configMap().Data[seal.PublicKey]; got != public {
		t.Errorf("published is %s", got)
	}
}

// TestDamagedSecret sees that keys which cannot be read are not replaced: whatever was sealed to them would be lost.
func TestDamagedSecret(t *testing.T) {
	w := newWorld(t)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: SecretName}, Data: map[string][]byte{"1.key": []byte("damaged")}}
	must(t, w.srv.Client.Create(t.Context(), secret))
	k := w.keyring()
	_, err := k.Recipient(t.Context())
	if err == nil || k.Tend(t.Context()) == nil {
		t.Fatal("nobody notices")
	}
	must(t, w.srv.Client.Get(t.Context(), client.ObjectKeyFromObject(secret), secret))
	if len(secret.Data) != 1 || string(secret.Data["1.key"]) != "damaged" {
		t.Errorf("the Secret was changed: %d keys", len(secret.Data))
	}
}

// TestDestruction follows a key from its rotation to its end. Each thing that needs it keeps it in turn.
func TestDestruction(t *testing.T) {
	w := newWorld(t)
	k := w.keyring()
	must(t, k.Tend(t.Context()))
	old := publicOf(w.keys()[0])

	request := func(name string, subject v1alpha1.Subject) *v1alpha1.ErasureRequest {
		r := &v1alpha1.ErasureRequest{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name}, Spec: v1alpha1.ErasureRequestSpec{Subject: subject}}
		must(t, w.srv.Client.Create(t.Context(), r))
		return r
	}
	byValue := v1alpha1.Subject{Sealed: w.sealed(old)}
	bySecret := v1alpha1.Subject{SecretRef: &v1alpha1.SecretReference{Name: "person"}}
	sealed, derived := request("sealed", byValue), request("derived", bySecret)
	stated := request("stated", v1alpha1.Subject{Sealed: "-----BEGIN AGE ENCRYPTED FILE-----\ndamaged\n-----END AGE ENCRYPTED FILE-----"})
	hold := &v1alpha1.LegalHold{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "hold"}, Spec: v1alpha1.LegalHoldSpec{
		Subject: &byValue, Reason: "a lawsuit", Authority: "a court",
	}}
	must(t, w.srv.Client.Create(t.Context(), hold))
	job := &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: w.ns, Name: "run", Finalizers: []string{purgejob.Finalizer}, Labels: map[string]string{purgejob.LabelManagedBy: purgejob.ManagedBy},
		},
		Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
			RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "purge", Image: "i"}},
		}}},
	}
	must(t, w.srv.Client.Create(t.Context(), job))
	derived.Status.Datastores = []v1alpha1.ErasureDatastore{{Name: "accounts", Step: v1alpha1.ErasureStepFound, Derived: w.sealed(old)}}
	derived.Status.State = v1alpha1.ErasureWatching
	must(t, w.srv.Client.Status().Update(t.Context(), derived))
	stated.Status.SealingKey = old
	must(t, w.srv.Client.Status().Update(t.Context(), stated))

	w.clock.Step(90 * 24 * time.Hour)
	must(t, k.Tend(t.Context()))
	w.event("KeyRotated")
	current := publicOf(w.keys()[0])
	if current == old {
		t.Fatal("the key was not replaced")
	}
	kept := func(why string) {
		t.Helper()
		w.clock.Step(2 * time.Hour)
		must(t, k.Tend(t.Context()))
		if keys := w.keys(); len(keys) != 2 || publicOf(keys[1]) != old {
			t.Fatalf("the key is gone, although %s", why)
		}
	}
	kept("it is young")
	w.clock.Step(keepFormer)
	kept("all of them need it")
	ended := func(r *v1alpha1.ErasureRequest, state v1alpha1.ErasureState) {
		t.Helper()
		r.Status.State = state
		must(t, w.srv.Client.Status().Update(t.Context(), r))
	}
	ended(sealed, v1alpha1.ErasureAnswered)
	kept("a derived identifier is sealed to it")
	ended(derived, v1alpha1.ErasureAnswered)
	kept("a status states it")
	ended(stated, v1alpha1.ErasureDenied)
	kept("a hold is sealed to it")
	hold.Status.ReleasedTime = &metav1.Time{Time: w.clock.Now()}
	must(t, w.srv.Client.Status().Update(t.Context(), hold))
	kept("a run is not accounted for")
	job.Finalizers = nil
	must(t, w.srv.Client.Update(t.Context(), job))

	w.clock.Step(2 * time.Hour)
	must(t, k.Tend(t.Context()))
	w.event("KeyDestroyed")
	if keys := w.keys(); len(keys) != 1 || publicOf(keys[0]) != current {
		t.Fatalf("there are %d keys", len(keys))
	}
	if cm := w.configMap(); cm.Data[FormerKeys] != "" || cm.Data[seal.PublicKey] != current {
		t.Errorf("published is %v", cm.Data)
	}
	if _, _, err := k.Open(t.Context(), byValue.Sealed); !errors.Is(err, seal.ErrOtherKey) {
		t.Errorf("it still opens: %v", err)
	}
}

// TestNothingIsDestroyedUnseen has no right to see what the key is needed for.
func TestNothingIsDestroyedUnseen(t *testing.T) {
	w := newWorld(t)
	k := w.keyring()
	k.Client = w.as("blind-operator-of-" + w.ns)
	must(t, k.Tend(t.Context()))
	w.clock.Step(90 * 24 * time.Hour)
	must(t, k.Tend(t.Context()))
	w.clock.Step(2 * keepFormer)
	if err := k.Tend(t.Context()); err == nil || !strings.Contains(err.Error(), "forbidden") {
		t.Errorf("got %v", err)
	}
	if got := len(w.keys()); got != 2 {
		t.Errorf("there are %d keys", got)
	}
}

func TestStart(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.keyring().Start(ctx) }()
	deadline := time.Now().Add(30 * time.Second)
	for w.srv.Client.Get(t.Context(), client.ObjectKey{Namespace: w.ns, Name: seal.ConfigMapName}, &corev1.ConfigMap{}) != nil {
		if time.Now().After(deadline) {
			t.Fatal("no key is published")
		}
		time.Sleep(10 * time.Millisecond)
	}
	first := w.configMap().Data[seal.PublicKey]
	for w.configMap().Data[seal.PublicKey] == first {
		if time.Now().After(deadline) {
			t.Fatal("the key is not replaced")
		}
		w.clock.Step(90 * 24 * time.Hour)
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
