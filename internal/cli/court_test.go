// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"crypto/ed25519"
	"crypto/rand"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/testing/ledgertest"
)

// witnessName is the witness's.
const witnessName = "dataretention.dev/witness/test"

// court is a cluster with a real ledger, reached through the API server and a node, and all that it takes to verify it.
type court struct {
	t       *testing.T
	c       client.Client
	ns      string // of the policies, and of the operator
	ledger  *ledgertest.Ledger
	witness *cosignature.Signer
	keys    string // file
	// intent, result, conclusion, answer and hold are entries of it.
	intent, result, conclusion, answer, hold evidence.Reference
}

func newCourt(t *testing.T) *court {
	t.Helper()
	k := &court{t: t, ledger: ledgertest.New(t)}
	k.c, k.ns = shop(t)
	skey, vkey, err := note.GenerateKey(rand.Reader, witnessName)
	must(t, err)
	_ = vkey
	k.witness, err = cosignature.NewSignerForCosignatureV1(skey)
	must(t, err)
	_, private, err := evidence.NoteKey(skey)
	must(t, err)
	public := append(slices.Clone(k.ledger.Trust.Keys), evidence.PublicKey{Use: evidence.UseWitness, Name: witnessName, Key: private.Public().(ed25519.PublicKey)})
	pem := evidence.FormatTrust(public)
	k.keys = filepath.Join(t.TempDir(), "keys.pem")
	must(t, os.WriteFile(k.keys, pem, 0o600))
	must(t, k.c.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: k.ns, Name: trustName}, Data: map[string]string{trustKey: string(pem)}}))

	node := newKubelet(t, k.c)
	srv := httptest.NewServer(k.ledger.Log.Handler(true))
	t.Cleanup(srv.Close)
	node.pod(t, k.ns, ledgerPod, nil)
	node.ports[ledgerPod+":"+strconv.Itoa(ledgerPort)] = strings.TrimPrefix(srv.URL, "http://")

	k.states()
	k.witnesses()
	return k
}

// states has the ledger say what happened in the shop.
func (k *court) states() {
	k.t.Helper()
	now := time.Now().UTC().Truncate(time.Second)
	of := func(kind evidence.Kind, key string, closes evidence.Reference, change func(p *evidence.Predicate)) evidence.Reference {
		s := ledgertest.Statement(kind, key, now, closes)
		change(&s.Predicate)
		return k.ledger.Append(k.t, s)
	}
	policy := func(p *evidence.Predicate) {
		p.Policy = &evidence.Policy{Object: evidence.Object{Namespace: k.ns, Name: "telemetry", UID: "u"}}
		p.Run = &evidence.Run{Name: "telemetry-20261120020000", Mode: "Enforce"}
		p.Datastores[0].Object = evidence.Object{Namespace: k.ns, Name: "crm", UID: "d"}
	}
	k.intent = of(evidence.Intent, "u/run/job", ledgertest.None, policy)
	k.result = of(evidence.Result, "u/run/job", k.intent, policy)
	k.conclusion = of(evidence.Conclusion, "u/run/Schedule", ledgertest.None, func(p *evidence.Predicate) {
		policy(p)
		p.Results = []evidence.Reference{k.result}
		p.Message = "3 deleted, 0 remaining"
		p.NotCovered = []evidence.Gap{{Kind: evidence.GapBackup, Name: "crm", Reason: "NotDeclared", Message: "nobody has declared for how long backups are kept"}}
	})
	k.answer = of(evidence.Conclusion, "r/digest", ledgertest.None, func(p *evidence.Predicate) {
		p.Policy = nil
		p.Request = &evidence.Request{Object: evidence.Object{Namespace: k.ns, Name: "case-2026-090", UID: "r"}}
	})
	k.hold = of(evidence.HoldEnforced, "h", ledgertest.None, func(p *evidence.Predicate) {
		p.Hold.Object = evidence.Object{Namespace: "other", Name: "case-9", UID: "h"}
	})
	o := &operator{k.t, k.c, k.ns}
	o.policy("telemetry", func(p *v1alpha1.RetentionPolicy) {
		p.Status.LastRun.Evidence = k.reference(k.conclusion)
		p.Status.LastRun.Datastores[0].Evidence, p.Status.LastRun.Datastores[0].Intent = k.reference(k.result), k.reference(k.intent)
	})
	r := &v1alpha1.ErasureRequest{}
	must(k.t, k.c.Get(k.t.Context(), client.ObjectKey{Namespace: k.ns, Name: "case-2026-090"}, r))
	r.Status.Evidence = k.reference(k.answer)
	must(k.t, k.c.Status().Update(k.t.Context(), r))
}

func (*court) reference(r evidence.Reference) *v1alpha1.EvidenceReference {
	return &v1alpha1.EvidenceReference{Index: ptr.To(r.Index), Digest: r.Digest, Time: metav1.Now(), Level: "Deleted"}
}

// witnesses has the operator keep the ledger's latest checkpoint, cosigned; the one of before becomes that of a day.
func (k *court) witnesses() {
	k.t.Helper()
	state, err := k.ledger.Client.State(k.t.Context())
	must(k.t, err)
	verifiers := note.VerifierList(k.ledger.Trust.Log...)
	opened, err := note.Open([]byte(state.Checkpoint), verifiers)
	must(k.t, err)
	signed, err := note.Sign(opened, k.witness)
	must(k.t, err)
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: k.ns, Name: checkpointName}}
	err = k.c.Get(k.t.Context(), client.ObjectKeyFromObject(cm), cm)
	if err != nil {
		cm.Data = map[string]string{checkpointKey: string(signed), "size": strconv.FormatInt(state.Size, 10)}
		must(k.t, k.c.Create(k.t.Context(), cm))
		return
	}
	cm.Data["2026-11-01"] = cm.Data[checkpointKey]
	cm.Data[checkpointKey] = string(signed)
	must(k.t, k.c.Update(k.t.Context(), cm))
}

// call runs a command about this operator.
func (k *court) call(args ...string) (out string, code int, err error) {
	k.t.Helper()
	return call(k.t, "", append(args, "--operator-namespace", k.ns)...)
}
