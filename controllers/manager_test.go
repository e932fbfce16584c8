// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	retentionv1 "dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/controllers/internal/attest"
	"dataretention.dev/retention-operator/controllers/internal/attest/attesttest"
	"dataretention.dev/retention-operator/controllers/internal/kstatus"
	"dataretention.dev/retention-operator/internal/purgejob"
	"dataretention.dev/retention-operator/internal/receipt"
	"dataretention.dev/retention-operator/internal/seal"
	"dataretention.dev/retention-operator/internal/testing/apiserver"
)

// runManager, in the environment, has the test binary be the manager.
const runManager = "TEST_RUN_MANAGER"

func TestMain(m *testing.M) {
	if os.Getenv(runManager) == "" {
		apiserver.Run(m)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	err := ManagerCommand("test").ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// TestManager runs two managers as processes of their own, with no more rights than their ClusterRole gives. The one that
// leads is killed in the middle of a probe; the other ends it.
func TestManager(t *testing.T) {
	srv := apiserver.Get(t)
	ns := srv.Namespace(t)
	kubeconfig := writeKubeconfig(t, srv, ns)

	ledger := attesttest.New(t, func(o *attesttest.Options) { o.Namespace = ns }).URL(t)
	first := startManager(t, kubeconfig, ns, "--ledger="+ledger)
	ds := &retentionv1.Datastore{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "accounts", Labels: map[string]string{"personal": "true"}},
		Spec: retentionv1.DatastoreSpec{
			PostgreSQL: &retentionv1.PostgreSQL{SecretRef: retentionv1.SecretReference{Name: "accounts-app"}},
			Datasets:   []retentionv1.Dataset{{Name: "customer", TimestampField: "created_at"}},
		},
	}
	must(t, srv.Client.Create(t.Context(), ds))
	job := eventually(t, first, func() (*batchv1.Job, error) { return onlyJob(t, srv, ns) })

	second := startManager(t, kubeconfig, ns, "--ledger="+ledger)
	must(t, first.cmd.Process.Kill())
	if err := first.wait(t); err == nil {
		t.Error("the manager that was killed ended well")
	}
	answer(t, srv, job)
	eventually(t, second, func() (bool, error) { return true, isReady(t, srv, ds) })
	eventually(t, second, func() (bool, error) { // it tidies up as well
		if job, err := onlyJob(t, srv, ns); err == nil {
			return false, fmt.Errorf("Job %s is left", job.Name)
		}
		return true, nil
	})

	// A policy changes what is to be looked for.
	policy := &retentionv1.RetentionPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "closed"},
		Spec: retentionv1.RetentionPolicySpec{
			DatastoreSelector: retentionv1.DatastoreSelector{MatchLabels: map[string]retentionv1.LabelValue{"personal": "true"}},
			Schedule:          "0 3 1 1 *",
			Rules:             []retentionv1.Rule{{Name: "closed", Datasets: []retentionv1.DatasetName{"customer"}, DeleteAfter: "P30D"}},
		},
	}
	must(t, srv.Client.Create(t.Context(), policy))
	answer(t, srv, eventually(t, second, func() (*batchv1.Job, error) { return onlyJob(t, srv, ns) }))
	eventually(t, second, func() (bool, error) {
		must(t, srv.Client.Get(t.Context(), client.ObjectKeyFromObject(policy), policy))
		if policy.Status.ObservedGeneration != policy.Generation {
			return false, errors.New("nobody has looked at the policy")
		}
		return true, kstatus.Check(policy)
	})

	metrics := get(t, "http://"+second.metrics+"/metrics")
	for _, want := range []string{
		fmt.Sprintf(`retention_operator_datastore_ready{name="accounts",namespace=%q} 1`, ns),
		fmt.Sprintf(`retention_operator_datastore_records{name="accounts",namespace=%q} 40`, ns),
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("/metrics does not have %s", want)
		}
	}
	eventually(t, second, func() (bool, error) { // it talks to the ledger, and keeps what that says
		cm := &corev1.ConfigMap{}
		if err := srv.Client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: attest.CheckpointName}, cm); err != nil {
			return false, err
		}
		if !strings.Contains(get(t, "http://"+second.metrics+"/metrics"), "retention_operator_evidence_ledger_up 1") {
			return false, errors.New("the ledger is not up")
		}
		return true, nil
	})
	if got := get(t, "http://"+second.probes+"/readyz"); got != "ok" {
		t.Errorf("/readyz says %q", got)
	}
	eventually(t, second, func() (bool, error) { // anybody can seal to it
		cm := &corev1.ConfigMap{}
		err := srv.Client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: seal.ConfigMapName}, cm)
		if err == nil && !strings.HasPrefix(cm.Data[seal.PublicKey], "age1") {
			err = fmt.Errorf("published is %v", cm.Data)
		}
		return true, err
	})
	eventually(t, second, func() (bool, error) {
		list := &eventsv1.EventList{}
		must(t, srv.Client.List(t.Context(), list, client.InNamespace(ns)))
		for _, e := range list.Items {
			if e.Reason == retentionv1.ReasonIdentityPinned && e.ReportingController == name && e.Regarding.Name == ds.Name {
				return true, nil
			}
		}
		return false, fmt.Errorf("%d events, and none of them says IdentityPinned", len(list.Items))
	})

	must(t, srv.Client.Delete(t.Context(), ds))
	eventually(t, second, func() (bool, error) {
		if strings.Contains(get(t, "http://"+second.metrics+"/metrics"), "retention_operator_datastore_ready{") {
			return false, errors.New("the metrics of a Datastore that is gone are still there")
		}
		return true, nil
	})

	must(t, second.cmd.Process.Signal(syscall.SIGTERM))
	if err := second.wait(t); err != nil {
		t.Errorf("the manager does not end well: %v\n%s", err, second.log.String())
	}
	lease := &coordinationv1.Lease{}
	must(t, srv.Client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: leaderElectionID}, lease))
	if holder := ptr.Deref(lease.Spec.HolderIdentity, ""); holder != "" {
		t.Errorf("the lease is still held by %s", holder)
	}
	for _, line := range strings.Split(strings.TrimSpace(second.log.String()), "\n") {
		if !strings.HasPrefix(line, "{") {
			t.Errorf("a line of the log is no JSON object: %s", line)
		}
		if strings.Contains(line, "forbidden") {
			t.Errorf("the ClusterRole lacks a right: %s", line)
		}
	}
}

// TestManagerKeepsALedger runs one manager with a ledger in its own process, which makes all keys, and another that goes on
// with them.
func TestManagerKeepsALedger(t *testing.T) {
	srv := apiserver.Get(t)
	ns := srv.Namespace(t)
	kubeconfig, dir := writeKubeconfig(t, srv, ns), t.TempDir()
	var kept string
	for range 2 {
		p := startManager(t, kubeconfig, ns, "--ledger-dir="+dir)
		checkpoint := eventually(t, p, func() (string, error) {
			cm := &corev1.ConfigMap{}
			if err := srv.Client.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: attest.CheckpointName}, cm); err != nil {
				return "", err
			}
			if !strings.Contains(p.log.String(), "Starting workers") || !strings.Contains(get(t, "http://"+p.metrics+"/metrics"), "retention_operator_evidence_ledger_up 1") {
				return "", errors.New("the ledger is not up")
			}
			return cm.Data["checkpoint"], nil
		})
		if kept != "" && checkpoint != kept {
			t.Errorf("the checkpoint was\n%sand is\n%s", kept, checkpoint)
		}
		kept = checkpoint
		must(t, p.cmd.Process.Signal(syscall.SIGTERM))
		if err := p.wait(t); err != nil {
			t.Errorf("the manager does not end well: %v\n%s", err, p.log.String())
		}
		if strings.Contains(p.log.String(), "forbidden") {
			t.Errorf("a right is missing\n%s", p.log.String())
		}
	}
}

func TestManagerFlags(t *testing.T) {
	t.Setenv(namespaceVariable, "")
	for flag, want := range map[string]string{
		"--namespace=": namespaceVariable, "--sealing-key-rotation=1h": "--sealing-key-rotation",
		"--ledger=": "https://retention-ledger:8443", "--ledger=http://ledger:8443": "write https://", "--ledger=ledger": "write https://",
		"--ledger-dir=x": "leave one out", "--evidence-retention=P23M": "at least P24M", "--evidence-retention=P729D": "at least P24M",
		"--evidence-retention=7 years": "P7Y", "--evidence-key-rotation=1h": "--evidence-key-rotation",
	} {
		cmd := ManagerCommand("test")
		cmd.SetArgs([]string{"--purge-image=i", "--namespace=x", "--ledger=https://ledger:8443", flag})
		cmd.SetOut(io.Discard)
		cmd.SetErr(io.Discard)
		if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", flag, err)
		}
	}
}

func TestManagerNeedsAnImage(t *testing.T) {
	t.Setenv(purgeImageVariable, "")
	cmd := ManagerCommand("test")
	cmd.SetArgs(nil)
	cmd.SetOut(io.Discard)
	cmd.SetErr(io.Discard)
	if err := cmd.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), purgeImageVariable) {
		t.Errorf("got %v", err)
	}
}

// process is a manager that runs.
type process struct {
	cmd             *exec.Cmd
	metrics, probes string
	log             *lockedBuffer
	ended           chan error
}

func startManager(t *testing.T, kubeconfig, ns string, args ...string) *process {
	t.Helper()
	p := &process{metrics: freeAddress(t), probes: freeAddress(t), log: &lockedBuffer{}, ended: make(chan error, 1)}
	p.cmd = exec.Command(os.Args[0], append([]string{
		"--leader-elect", "--leader-election-namespace=" + ns, "--watch-namespace=" + ns,
		"--namespace=" + ns, "--metrics-bind-address=" + p.metrics, "--health-probe-bind-address=" + p.probes,
	}, args...)...)
	p.cmd.Env = append(os.Environ(), runManager+"=1", "KUBECONFIG="+kubeconfig, purgeImageVariable+"=registry.example/purge:1")
	p.cmd.Stderr = p.log
	must(t, p.cmd.Start())
	go func() { p.ended <- p.cmd.Wait() }()
	t.Cleanup(func() { _ = p.cmd.Process.Kill() }) // if the test has not ended it
	return p
}

func (p *process) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.ended:
		return err
	case <-time.After(time.Minute):
		t.Fatalf("the manager does not end\n%s", p.log.String())
		return nil
	}
}

// lockedBuffer is a log that is read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { must(t, l.Close()) }()
	return l.Addr().String()
}

// writeKubeconfig gives a user the rights of config/rbac, and no others, and returns a kubeconfig for it.
func writeKubeconfig(t *testing.T, srv *apiserver.Server, ns string) string {
	t.Helper()
	user := "manager-of-" + ns
	for _, file := range []string{"role.yaml", "leader_election_role.yaml", "sealing_key_role.yaml", "evidence_role.yaml"} {
		srv.Grant(t, ns, file, apiserver.User(user))
	}
	cfg := srv.Config
	file := filepath.Join(t.TempDir(), "kubeconfig")
	must(t, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"test": {Server: cfg.Host, CertificateAuthorityData: cfg.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"test": {
			ClientCertificateData: cfg.CertData, ClientKeyData: cfg.KeyData, Token: cfg.BearerToken, Impersonate: user,
		}},
		Contexts:       map[string]*clientcmdapi.Context{"test": {Cluster: "test", AuthInfo: "test"}},
		CurrentContext: "test",
	}, file))
	return file
}

// answer takes the parts of the Job controller and the kubelet: the Job's Pod runs, and finds a healthy database.
func answer(t *testing.T, srv *apiserver.Server, job *batchv1.Job) {
	t.Helper()
	now := time.Now()
	message, err := receipt.Encode(&receipt.Receipt{
		Version: receipt.Version, Run: job.Name, PlanDigest: job.Annotations[purgejob.AnnotationPlanDigest],
		Phase: receipt.PhaseFinished, Reason: receipt.Succeeded, StartTime: now, Time: now, Identity: "server-a", ServerVersion: "16.4",
		Probe: &receipt.Probe{Datasets: []receipt.DatasetProbe{{Index: 0, Records: 40}}},
	})
	must(t, err)
	pod := &corev1.Pod{ObjectMeta: *job.Spec.Template.ObjectMeta.DeepCopy(), Spec: *job.Spec.Template.Spec.DeepCopy()}
	pod.Namespace, pod.GenerateName = job.Namespace, job.Name+"-"
	pod.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(job, batchv1.SchemeGroupVersion.WithKind("Job"))}
	must(t, srv.Client.Create(t.Context(), pod))
	pod.Status.Phase = corev1.PodSucceeded
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
		Name: purgejob.ContainerName, Image: "i", ImageID: "i", ContainerID: "containerd://1",
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			Message: string(message), StartedAt: metav1.NewTime(now), FinishedAt: metav1.NewTime(now), ContainerID: "containerd://1",
		}},
	}}
	must(t, srv.Client.Status().Update(t.Context(), pod))
}

func onlyJob(t *testing.T, srv *apiserver.Server, ns string) (*batchv1.Job, error) {
	t.Helper()
	list := &batchv1.JobList{}
	must(t, srv.Client.List(t.Context(), list, client.InNamespace(ns)))
	if len(list.Items) != 1 {
		return nil, fmt.Errorf("there are %d Jobs", len(list.Items))
	}
	return &list.Items[0], nil
}

func isReady(t *testing.T, srv *apiserver.Server, ds *retentionv1.Datastore) error {
	t.Helper()
	must(t, srv.Client.Get(t.Context(), client.ObjectKeyFromObject(ds), ds))
	if !meta.IsStatusConditionTrue(ds.Status.Conditions, retentionv1.ConditionReady) {
		return fmt.Errorf("the Datastore is not ready: %+v", ds.Status.Conditions)
	}
	return kstatus.Check(ds)
}

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	defer func() { must(t, resp.Body.Close()) }()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(body)
}

// eventually tries until there is no error, for a minute: a lease that was not released lasts 15 seconds.
func eventually[T any](t *testing.T, p *process, try func() (T, error)) T {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		v, err := try()
		if err == nil {
			return v
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v\n%s", err, p.log.String())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
