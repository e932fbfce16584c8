// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// check asks one part of the cluster whether it works, from the host.
type check struct {
	name string
	ask  func(context.Context) error
}

// checks lists all that has to work before a cluster counts as up.
func checks(l layout, node process, s nodeSpec) []check {
	url := func(scheme string, port int, path string) func(context.Context) error {
		return func(ctx context.Context) error {
			return get(ctx, fmt.Sprintf("%s://%s:%d%s", scheme, s.Network.Node, port, path))
		}
	}
	return []check{
		{"containerd", func(ctx context.Context) error { return dial(ctx, inNode(node, nodeCtrd)) }},
		{"kube-apiserver", url("https", 6443, "/readyz")},
		{"kube-controller-manager", url("https", 10257, "/healthz")},
		{"kube-scheduler", url("https", 10259, "/healthz")},
		{"kubelet", url("http", 10248, "/healthz")},
		{"kube-proxy", url("http", 10256, "/healthz")},
		{"coredns", url("http", 8181, "/ready")},
		{"node", func(ctx context.Context) error { return nodeReady(ctx, l, s) }},
		{"service accounts", func(ctx context.Context) error {
			return getObject(ctx, l, s, "/api/v1/namespaces/default/serviceaccounts/default", &struct{}{})
		}},
	}
}

// waitHealthy returns nil once every check has passed, or which one has not, and why.
func waitHealthy(ctx context.Context, l layout, node process, s nodeSpec, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, c := range checks(l, node, s) {
		if err := waitFor(ctx, limit, c.ask); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

// inNode is the path by which the host finds a file of the node. It is short enough for a socket.
func inNode(node process, path string) string {
	return fmt.Sprintf("/proc/%d/root%s", node.PID, path)
}

// dial asks whether a server listens on the Unix socket.
func dial(ctx context.Context, socket string) error {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	return conn.Close()
}

// nodeReady asks whether Pods can be scheduled.
func nodeReady(ctx context.Context, l layout, s nodeSpec) error {
	var node struct {
		Spec struct {
			Taints []struct{ Key string }
		}
		Status struct {
			Conditions []struct{ Type, Status, Message string }
		}
	}
	if err := getObject(ctx, l, s, "/api/v1/nodes/"+nodeName, &node); err != nil {
		return err
	}
	for _, c := range node.Status.Conditions {
		if c.Type == "Ready" && c.Status != "True" {
			return errors.New(c.Message)
		}
	}
	if len(node.Status.Conditions) == 0 {
		return errors.New("it has not reported yet")
	}
	if len(node.Spec.Taints) > 0 {
		return fmt.Errorf("it has the taint %s", node.Spec.Taints[0].Key)
	}
	return nil
}

// getObject reads an object of the API as the administrator.
func getObject(ctx context.Context, l layout, s nodeSpec, path string, into any) error {
	authority, err := os.ReadFile(l.path("pki", "ca.crt"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	admin, err := tls.LoadX509KeyPair(l.path("pki", "admin.crt"), l.path("pki", "admin.key"))
	if err != nil {
		return err
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{admin}}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.server()+path, nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport, Timeout: 5 * time.Second}).Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, response.Status)
	}
	return json.NewDecoder(response.Body).Decode(into)
}
