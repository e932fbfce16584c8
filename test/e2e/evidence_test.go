// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/evidence"
	"dataretention.dev/retention-operator/internal/testing/postgres"
)

const (
	operatorNamespace = "retention-system"
	ledgerName        = "retention-ledger"
	reasonLedgerDown  = "LedgerUnavailable"
)

// ledgerPods selects the ledger.
var ledgerPods = []client.DeleteAllOfOption{client.InNamespace(operatorNamespace), client.MatchingLabels{"control-plane": "ledger"}}

// TestEvidenceOfARun follows the proof of a run from the status to a machine that has no cluster.
func TestEvidenceOfARun(t *testing.T) {
	e := newEnv(t, database)
	e.events(200)
	e.datastoreNamed("db", func(s *retentionv1.DatastoreSpec) { s.Backups = &retentionv1.Backups{Retention: "P30D"} }, eventDataset())
	p := e.policy("p", nil, oldEvents())
	run := e.ended(p, 2*time.Minute)
	d := run.Datastores[0]
	if d.Intent == nil || d.Evidence == nil || run.Evidence == nil || p.Status.History[0].Evidence == nil {
		t.Fatalf("the run refers to intent %v, result %v and conclusion %v", d.Intent, d.Evidence, run.Evidence)
	}
	if d.Evidence.Level != string(evidence.LevelDeleted) || run.Evidence.Level != string(evidence.LevelDeleted) {
		t.Errorf("the levels are %s and %s", d.Evidence.Level, run.Evidence.Level)
	}

	dir := t.TempDir()
	keys := filepath.Join(dir, "keys.pem")
	e.must(os.WriteFile(keys, e.retention("evidence", "keys"), 0o600))
	for name, ref := range map[string]*retentionv1.EvidenceReference{"intent": d.Intent, "result": d.Evidence, "conclusion": run.Evidence} {
		file := filepath.Join(dir, name+".json")
		e.fetch(ref, file)
		if out, code := offline(t, "verify", file, "--keys", keys); code != 0 {
			t.Errorf("the %s is refused: %s", name, out)
		}
		if got := e.digestIn(file); got != ref.Digest {
			t.Errorf("the %s has the digest %s, and the status says %s", name, got, ref.Digest)
		}
	}

	// The figures are the database's.
	s := e.statementIn(filepath.Join(dir, "result.json"))
	ds := s.Predicate.Datastores[0].Datasets[0]
	if ptr.Deref(ds.Deleted, -1) != 110 || ptr.Deref(ds.Remaining, -1) != 0 || e.count("SELECT count(*) FROM event") != 90 {
		t.Errorf("the statement says %+v", ds)
	}
	if s.Predicate.GoneBy == nil || s.Predicate.LogicallyDeletedTime == nil || s.Predicate.GoneBy.Sub(*s.Predicate.LogicallyDeletedTime) < 29*24*time.Hour {
		t.Errorf("deleted at %v, and gone from backups by %v", s.Predicate.LogicallyDeletedTime, s.Predicate.GoneBy)
	}
	intent := e.statementIn(filepath.Join(dir, "intent.json"))
	if start := s.Predicate.Datastores[0].StartTime; start == nil || start.Before(intent.Predicate.Time.Truncate(time.Second)) {
		t.Errorf("the Pod started at %v, and the intent was stated at %v", start, intent.Predicate.Time)
	}

	// One digit more is noticed.
	forged := filepath.Join(dir, "forged.json")
	e.forge(filepath.Join(dir, "result.json"), forged, `"deleted":110`, `"deleted":111`)
	if out, code := offline(t, "verify", forged, "--keys", keys); code != 1 {
		t.Errorf("a changed count: exit code %d: %s", code, out)
	}

	// The proof outlives what it is about.
	e.must(e.c.Delete(t.Context(), p))
	e.waitFor(time.Minute, "the policy to go", func() (bool, string) {
		return apierrors.IsNotFound(e.c.Get(t.Context(), client.ObjectKeyFromObject(p), p)), ""
	})
	e.fetch(d.Evidence, filepath.Join(dir, "later.json"))
	if out, code := offline(t, "verify", filepath.Join(dir, "later.json"), "--keys", keys); code != 0 {
		t.Errorf("after the policy was deleted: %s", out)
	}
	e.verifyLedger()
}

// TestLedgerDown: no purge begins without its intent on record, and nothing is lost.
func TestLedgerDown(t *testing.T) {
	e := newEnv(t, database)
	e.events(200)
	e.datastore(eventDataset())
	e.scaleLedger(0)
	t.Cleanup(func() { e.scaleLedger(1) })
	p := e.policy("p", nil, oldEvents())
	e.waitFor(2*time.Minute, "the run to say that the ledger is down", func() (bool, string) {
		e.must(e.c.Get(t.Context(), client.ObjectKeyFromObject(p), p))
		run := p.Status.ActiveRun
		return run != nil && run.Datastores[0].Reason == reasonLedgerDown, fmt.Sprintf("%+v", run)
	})
	time.Sleep(12 * time.Second)
	if n := e.count("SELECT count(*) FROM event"); n != 200 {
		t.Fatalf("%d records were deleted while the ledger was down", 200-n)
	}
	e.scaleLedger(1)
	run := e.ended(p, 3*time.Minute)
	e.expectNumbers(e.step(run, "event"), 110, 110, 0)
	if run.Evidence == nil || run.Datastores[0].Evidence == nil {
		t.Error("the run has no evidence")
	}
	e.verifyLedger()
}

// TestLedgerFaults kills the ledger, the managers and the purge Pod at random moments of runs. Every run has exactly one
// intent and one result for each of its Jobs, and the ledger is whole.
func TestLedgerFaults(t *testing.T) {
	e := newEnv(t, database)
	postgres.Exec(t, e.db, `CREATE TABLE event (id int, at timestamptz, filler text)`)
	e.datastore(eventDataset())
	p := e.policy("p", nil, oldEvents())
	e.ended(p, 2*time.Minute)
	kills := []func(){
		func() { e.kill(ledgerPods, "ledger") },
		func() { e.kill(managerPods, "manager") },
		func() {
			e.kill(ledgerPods, "ledger")
			e.kill(managerPods, "manager")
		},
	}
	for round := range many(3, 30) {
		postgres.Exec(t, e.db, "TRUNCATE event; INSERT INTO event SELECT i, now() - interval '100 days', repeat('x', 60) FROM generate_series(1, 100000) i")
		e.request(p, fmt.Sprintf("round %d", round))
		time.Sleep(time.Duration(rand.IntN(6000)) * time.Millisecond)
		kills[round%len(kills)]()
		run := e.ended(p, 4*time.Minute)
		if left := e.count("SELECT count(*) FROM event"); left != 0 || run.Outcome != retentionv1.OutcomeSucceeded || run.Evidence == nil {
			t.Errorf("round %d: %d are left, %s: %s", round, left, run.Outcome, run.Message)
		}
	}
	e.verifyLedger()
}

// TestLedgerRewound puts an older copy of the ledger in its place: the managers notice, and nothing is deleted until it is
// whole again.
func TestLedgerRewound(t *testing.T) {
	e := newEnv(t, database)
	e.events(200)
	e.datastore(eventDataset())
	data := e.ledgerData()
	copies := t.TempDir()
	older, newer := filepath.Join(copies, "older"), filepath.Join(copies, "newer")
	e.scaleLedger(0)
	t.Cleanup(func() { e.scaleLedger(1) })
	shell(t, "cp", "-a", data, older)
	e.scaleLedger(1)
	p := e.policy("p", nil, oldEvents())
	e.ended(p, 3*time.Minute)

	e.scaleLedger(0)
	shell(t, "cp", "-a", data, newer)
	replace := func(with string) {
		shell(t, "bash", "-c", fmt.Sprintf("find %q -mindepth 1 -delete && cp -a %q/. %q/", data, with, data))
	}
	t.Cleanup(func() { // whatever happens: the tests after this one need it whole
		if t.Failed() {
			e.scaleLedger(0)
			replace(newer)
		}
	})
	replace(older)
	e.scaleLedger(1)
	e.events(300)
	e.request(p, "after the rewind")
	e.waitFor(2*time.Minute, "the rewound ledger to be refused", func() (bool, string) {
		e.must(e.c.Get(t.Context(), client.ObjectKeyFromObject(p), p))
		run := p.Status.ActiveRun
		return run != nil && run.Datastores[0].Reason == reasonLedgerDown, fmt.Sprintf("%+v", p.Status)
	})
	time.Sleep(12 * time.Second)
	if n := e.count("SELECT count(*) FROM event"); n != 300 {
		t.Errorf("%d records were deleted with a ledger that had lost entries", 300-n)
	}
	e.scaleLedger(0)
	replace(newer)
	e.scaleLedger(1)
	if run := e.ended(p, 3*time.Minute); run.Outcome != retentionv1.OutcomeSucceeded {
		t.Errorf("the run ended %s: %s", run.Outcome, run.Message)
	}
	e.verifyLedger()
}

// TestFailover: another manager leads within a minute after the one that led is gone, wherever the ledger's volume is.
func TestFailover(t *testing.T) {
	e := newEnv(t, database)
	holder := func() string {
		lease := &coordinationv1.Lease{}
		e.must(e.c.Get(t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: "retention-operator.dataretention.dev"}, lease))
		return ptr.Deref(lease.Spec.HolderIdentity, "")
	}
	was := holder()
	name, _, _ := strings.Cut(was, "_")
	e.kill(managerPods, "manager") // none can give the lease back
	e.must(client.IgnoreNotFound(e.c.Delete(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: operatorNamespace, Name: name}}, client.GracePeriodSeconds(0))))
	begin := time.Now()
	e.waitFor(time.Minute, "another manager to lead", func() (bool, string) { return holder() != was, was })
	t.Logf("another manager leads after %s", time.Since(begin).Round(time.Second))
}

// events fills the table event with n records, a day apart.
func (e *env) events(n int) {
	e.t.Helper()
	postgres.Exec(e.t, e.db, fmt.Sprintf(`CREATE TABLE IF NOT EXISTS event (id int PRIMARY KEY, at timestamptz); TRUNCATE event;
		INSERT INTO event SELECT i, now() + interval '12 hours' - interval '1 day' * i FROM generate_series(1, %d) i`, n))
}

func eventDataset() retentionv1.Dataset {
	return dataset("event", func(d *retentionv1.Dataset) { d.TimestampField = "at" })
}

func oldEvents() retentionv1.Rule {
	return retentionv1.Rule{Name: "old", Datasets: []retentionv1.DatasetName{"event"}, DeleteAfter: "P90D"}
}

// binary is the program that was built for the operator's image.
func binary(t testing.TB) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/retention-operator")
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatal("bin/retention-operator is missing: make build")
	}
	return path
}

// retention runs a command of the user's, as the administrator.
func (e *env) retention(args ...string) []byte {
	e.t.Helper()
	cmd := exec.CommandContext(e.t.Context(), binary(e.t), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		e.t.Fatalf("%v: %v: %s%s", args, err, stderr.String(), out)
	}
	return out
}

// offline runs a command where there is no cluster, nor anything else.
func offline(t testing.TB, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary(t), args...)
	cmd.Env, cmd.Dir = []string{}, t.TempDir()
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// fetch gets the bundle of an entry.
func (e *env) fetch(ref *retentionv1.EvidenceReference, file string) {
	e.t.Helper()
	e.retention("evidence", "get", "--index", strconv.FormatInt(*ref.Index, 10), "--file", file)
}

func (e *env) bundleIn(file string) evidence.Bundle {
	e.t.Helper()
	b, err := os.ReadFile(file)
	e.must(err)
	var bundle evidence.Bundle
	e.must(json.Unmarshal(b, &bundle))
	return bundle
}

func (e *env) statementIn(file string) *evidence.Statement {
	e.t.Helper()
	bundle := e.bundleIn(file)
	s, _, err := evidence.Payload(&bundle.Envelope)
	e.must(err)
	return s
}

func (e *env) digestIn(file string) string {
	e.t.Helper()
	bundle := e.bundleIn(file)
	_, payload, err := evidence.Payload(&bundle.Envelope)
	e.must(err)
	return evidence.DigestOf(payload)
}

// forge changes a text of a statement and leaves everything else.
func (e *env) forge(from, to, old, text string) {
	e.t.Helper()
	bundle := e.bundleIn(from)
	payload, err := base64.StdEncoding.DecodeString(bundle.Envelope.Payload)
	e.must(err)
	if !bytes.Contains(payload, []byte(old)) {
		e.t.Fatalf("the statement does not have %s: %s", old, payload)
	}
	bundle.Envelope.Payload = base64.StdEncoding.EncodeToString(bytes.Replace(payload, []byte(old), []byte(text), 1))
	b, err := json.Marshal(bundle)
	e.must(err)
	e.must(os.WriteFile(to, b, 0o600))
}

// verifyLedger exports the ledger and verifies it, from its first entry to its last, where there is no cluster.
func (e *env) verifyLedger() {
	e.t.Helper()
	dir := e.t.TempDir()
	keys := filepath.Join(dir, "keys.pem")
	e.must(os.WriteFile(keys, e.retention("evidence", "keys"), 0o600))
	export := filepath.Join(dir, "export")
	e.retention("evidence", "export", export)
	out, code := offline(e.t, "verify", export, "--keys", keys)
	if code != 0 {
		e.t.Errorf("the ledger does not verify: %s", out)
	}
	e.t.Logf("%s", strings.TrimSpace(out))
}

// scaleLedger stops or starts the ledger, and waits until it has.
func (e *env) scaleLedger(replicas int32) {
	e.t.Helper()
	ctx := e.t.Context()
	if ctx.Err() != nil { // in a clean-up
		e.kubectlFree("-n", operatorNamespace, "scale", "statefulset", ledgerName, "--replicas", strconv.Itoa(int(replicas)))
		return
	}
	set := &appsv1.StatefulSet{}
	e.must(e.c.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: ledgerName}, set))
	base := set.DeepCopy()
	set.Spec.Replicas = &replicas
	e.must(e.c.Patch(ctx, set, client.MergeFrom(base)))
	e.waitFor(2*time.Minute, fmt.Sprintf("%d ledgers", replicas), func() (bool, string) {
		e.must(e.c.Get(ctx, client.ObjectKeyFromObject(set), set))
		return set.Status.Replicas == replicas && set.Status.ReadyReplicas == replicas, fmt.Sprintf("%+v", set.Status)
	})
}

// kubectlFree runs kubectl after the test's context has ended.
func (e *env) kubectlFree(args ...string) {
	if out, err := exec.Command(os.Getenv("KUBECTL"), args...).CombinedOutput(); err != nil {
		e.t.Errorf("kubectl %v: %v: %s", args, err, out)
	}
}

// ledgerContents is every file of the ledger's volume, and every statement in plain text.
func (e *env) ledgerContents() io.Reader {
	e.t.Helper()
	var all bytes.Buffer
	statements := 0
	e.must(filepath.WalkDir(e.ledgerData(), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		all.Write(append(b, '\n'))
		var envelope evidence.Envelope
		if json.Unmarshal(b, &envelope) == nil && envelope.Payload != "" {
			payload, err := base64.StdEncoding.DecodeString(envelope.Payload)
			if err != nil {
				return err
			}
			statements++
			all.Write(append(payload, '\n'))
		}
		return nil
	}))
	if statements == 0 {
		e.t.Error("the ledger has no statement")
	}
	return &all
}

// ledgerData is the folder on this machine that is the ledger's volume.
func (e *env) ledgerData() string {
	e.t.Helper()
	claim := &corev1.PersistentVolumeClaim{}
	e.must(e.c.Get(e.t.Context(), client.ObjectKey{Namespace: operatorNamespace, Name: "ledger-" + ledgerName + "-0"}, claim))
	volume := &corev1.PersistentVolume{}
	e.must(e.c.Get(e.t.Context(), client.ObjectKey{Name: claim.Spec.VolumeName}, volume))
	if volume.Spec.HostPath == nil {
		e.t.Fatalf("the ledger's volume is not a folder of this machine: %+v", volume.Spec)
	}
	return filepath.Join(filepath.Dir(os.Getenv("KUBECONFIG")), "volumes", filepath.Base(volume.Spec.HostPath.Path)) // the node has another path for it
}

func shell(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
}
