// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// daemon is one long-running program of the node.
type daemon struct {
	name  string
	path  string
	args  []string
	after []gate // what has to hold before it starts
}

// gate is something that becomes true while the node starts.
type gate struct {
	name string
	open func(context.Context) error
}

// daemons lists the node's programs. Nothing here depends on the machine but the spec.
func daemons(s nodeSpec) []daemon {
	bin := func(c component, name string) string { return filepath.Join(s.Bin[c.name], name) }
	conf := func(name string) string { return filepath.Join(nodeDir, "conf", name) }
	pki := func(name string) string { return filepath.Join(nodeDir, "pki", name) }
	node, server := s.Network.Node.String(), s.server()
	const etcd = "http://127.0.0.1:2379"

	api := gate{"the API server", func(ctx context.Context) error { return get(ctx, server+"/readyz") }}
	runtimeUp := gate{"containerd", func(ctx context.Context) error { return dial(ctx, nodeCtrd) }}
	pauseImage := gate{"the pause image", once(func(ctx context.Context) error {
		return command(ctx, bin(containerd, "ctr"), "--address", nodeCtrd, "--namespace", "k8s.io", "images", "import", filepath.Join(nodeDir, "pause.tar"))
	})}
	apply := func(what, file string) gate {
		return gate{what, once(func(ctx context.Context) error {
			return command(ctx, bin(kubeAPI, "kubectl"), "--kubeconfig", filepath.Join(nodeDir, "kubeconfig"), "apply", "-f", conf(file))
		})}
	}
	dnsRights, storage := apply("the name server's rights", "coredns-rbac.yaml"), apply("the volumes", "volumes.yaml")

	return []daemon{
		{name: "etcd", path: bin(kubeAPI, "etcd"), args: []string{
			"--data-dir=" + nodeDir + "/etcd", "--listen-client-urls=" + etcd, "--advertise-client-urls=" + etcd,
			"--listen-peer-urls=http://127.0.0.1:2380", "--unsafe-no-fsync", "--log-level=warn",
			"--quota-backend-bytes=8589934592", "--auto-compaction-retention=5m",
		}},
		{name: "containerd", path: bin(containerd, "containerd"), args: []string{"--config=" + conf("containerd.toml"), "--log-level=warn"}},
		{name: "kube-apiserver", path: bin(kubeAPI, "kube-apiserver"), args: []string{
			"--etcd-servers=" + etcd, "--bind-address=" + node, "--advertise-address=" + node, "--secure-port=6443",
			"--tls-cert-file=" + pki("apiserver.crt"), "--tls-private-key-file=" + pki("apiserver.key"), "--client-ca-file=" + pki("ca.crt"),
			"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
			"--service-cluster-ip-range=" + s.Network.Services.String(),
			"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
			"--service-account-key-file=" + pki("accounts.key"), "--service-account-signing-key-file=" + pki("accounts.key"),
			"--kubelet-certificate-authority=" + pki("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
			"--kubelet-client-certificate=" + pki("kubelet-client.crt"), "--kubelet-client-key=" + pki("kubelet-client.key"),
			"--audit-policy-file=" + conf("audit.yaml"), "--audit-log-path=" + nodeDir + "/logs/audit.log",
			"--audit-log-maxsize=500", "--audit-log-maxbackup=2", "--profiling=false",
		}},
		{name: "kube-controller-manager", after: []gate{api}, path: bin(kubeNode, "kube-controller-manager"), args: []string{
			"--kubeconfig=" + pki("controller-manager.conf"), "--authentication-kubeconfig=" + pki("controller-manager.conf"),
			"--authorization-kubeconfig=" + pki("controller-manager.conf"), "--bind-address=" + node, "--leader-elect=false",
			"--service-account-private-key-file=" + pki("accounts.key"), "--root-ca-file=" + pki("ca.crt"),
			"--cluster-signing-cert-file=" + pki("ca.crt"), "--cluster-signing-key-file=" + pki("ca.key"),
			"--use-service-account-credentials=true", "--profiling=false",
		}},
		{name: "kube-scheduler", after: []gate{api}, path: bin(kubeNode, "kube-scheduler"), args: []string{
			"--kubeconfig=" + pki("scheduler.conf"), "--authentication-kubeconfig=" + pki("scheduler.conf"),
			"--authorization-kubeconfig=" + pki("scheduler.conf"), "--bind-address=" + node, "--leader-elect=false", "--profiling=false",
		}},
		{name: "kube-proxy", after: []gate{api}, path: bin(kubeNode, "kube-proxy"), args: []string{"--config=" + conf("proxy.yaml")}},
		{name: "coredns", after: []gate{api, dnsRights}, path: bin(coredns, "coredns"), args: []string{"-conf", conf("Corefile")}},
		{name: "kubelet", after: []gate{runtimeUp, pauseImage, api, storage}, path: bin(kubeNode, "kubelet"), args: []string{
			"--config=" + conf("kubelet.yaml"), "--kubeconfig=" + pki("kubelet.conf"), "--root-dir=" + nodeDir + "/kubelet",
			"--hostname-override=" + nodeName, "--node-ip=" + node,
		}},
	}
}

// supervise starts the node's programs and starts each again when it ends. It returns only on an error of its own.
func supervise(ctx context.Context) error {
	var spec nodeSpec
	if err := readJSON(filepath.Join(nodeDir, "node.json"), &spec); err != nil {
		return err
	}
	var all sync.WaitGroup
	for _, d := range daemons(spec) {
		all.Go(func() { d.keepRunning(ctx, spec) })
	}
	all.Wait()
	return context.Cause(ctx)
}

// keepRunning starts the program again and again, each time a second after it ended.
func (d daemon) keepRunning(ctx context.Context, s nodeSpec) {
	for ctx.Err() == nil {
		if err := d.run(ctx, s); err != nil {
			fmt.Fprintf(os.Stderr, "%s %s: %v\n", time.Now().UTC().Format(time.RFC3339), d.name, err)
		}
		_ = pauseFor(ctx, time.Second)
	}
}

func (d daemon) run(ctx context.Context, s nodeSpec) error {
	for _, g := range d.after {
		if err := waitFor(ctx, time.Minute, g.open); err != nil {
			return fmt.Errorf("waiting for %s: %w", g.name, err)
		}
	}
	logs, err := os.OpenFile(filepath.Join(nodeDir, "logs", d.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer logs.Close()
	cmd := exec.CommandContext(ctx, d.path, d.args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = logs, logs, nodeDir
	// containerd looks for its shim in the PATH.
	cmd.Env = append(os.Environ(), "PATH="+s.Bin[containerd.name]+":"+os.Getenv("PATH"))
	if err := cmd.Run(); err != nil {
		return err
	}
	return errors.New("it ended")
}

// waitFor tries until it works, and returns the last error when the time is over.
func waitFor(ctx context.Context, limit time.Duration, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return nil
		}
		if pauseFor(ctx, retryEvery) != nil {
			return err
		}
	}
}

// once makes a step of the start idempotent: after it worked it is not done again.
func once(step func(context.Context) error) func(context.Context) error {
	var mu sync.Mutex
	done := false
	return func(ctx context.Context) error {
		mu.Lock()
		defer mu.Unlock()
		if done {
			return nil
		}
		err := step(ctx)
		done = err == nil
		return err
	}
}

func command(ctx context.Context, path string, args ...string) error {
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(path), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// insecure asks our own programs how they are: nothing is sent, and some of them sign their certificate themselves.
var insecure = &http.Client{
	Timeout:   3 * time.Second,
	Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, // no proxy, either
}

func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := insecure.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}
