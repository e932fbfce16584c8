// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kubelet is a node that the API server asks for the logs of Pods and for their ports, as it asks any other.
type kubelet struct {
	c    client.Client
	node string

	mu sync.Mutex
	// logs are what the containers of Pods write, by the Pod's name.
	logs map[string]func(w io.Writer)
	// ports are the addresses behind the ports of Pods, by name:port.
	ports map[string]string
}

func newKubelet(t *testing.T, c client.Client) *kubelet {
	t.Helper()
	k := &kubelet{c: c, logs: map[string]func(io.Writer){}, ports: map[string]string{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", k.log)
	mux.HandleFunc("/portForward/{namespace}/{pod}", k.forward)
	srv := httptest.NewTLSServer(mux)
	t.Cleanup(srv.Close)
	host, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	must(t, err)
	number, err := strconv.Atoi(port)
	must(t, err)
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{GenerateName: "node-"}}
	must(t, c.Create(t.Context(), node))
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: host}}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(number)
	must(t, c.Status().Update(t.Context(), node))
	k.node = node.Name
	return k
}

// pod makes a Pod that runs on the node.
func (k *kubelet) pod(t *testing.T, namespace, name string, labels map[string]string) {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		Spec:       corev1.PodSpec{NodeName: k.node, Containers: []corev1.Container{{Name: "purge", Image: "x"}}},
	}
	must(t, k.c.Create(t.Context(), pod))
	pod.Status.Phase = corev1.PodRunning
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "purge", Image: "x", ImageID: "x", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}}
	must(t, k.c.Status().Update(t.Context(), pod))
}

func (k *kubelet) writes(pod string, log func(w io.Writer)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.logs[pod] = log
}

func (k *kubelet) log(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	log := k.logs[r.PathValue("pod")]
	k.mu.Unlock()
	if log == nil {
		http.Error(w, "no such container", http.StatusNotFound)
		return
	}
	w.WriteHeader(http.StatusOK)
	log(flushing{w})
}

type flushing struct{ http.ResponseWriter }

func (f flushing) Write(b []byte) (int, error) {
	n, err := f.ResponseWriter.Write(b)
	_ = http.NewResponseController(f.ResponseWriter).Flush() // the connection may be gone
	return n, err
}

// forward connects the streams of a connection with the port of a Pod: a pair of streams for each TCP connection.
func (k *kubelet) forward(w http.ResponseWriter, r *http.Request) {
	if _, err := httpstream.Handshake(r, w, []string{"portforward.k8s.io"}); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	streams := make(chan httpstream.Stream, 10)
	conn := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(s httpstream.Stream, _ <-chan struct{}) error {
		streams <- s
		return nil
	})
	if conn == nil {
		return
	}
	defer conn.Close()
	failures := map[string]httpstream.Stream{}
	for {
		select {
		case <-conn.CloseChan():
			return
		case s := <-streams:
			id := s.Headers().Get(corev1.PortForwardRequestIDHeader)
			if s.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
				failures[id] = s
				continue
			}
			k.mu.Lock()
			address := k.ports[r.PathValue("pod")+":"+s.Headers().Get(corev1.PortHeader)]
			k.mu.Unlock()
			go connect(s, failures[id], address)
		}
	}
}

func connect(data, failure httpstream.Stream, address string) {
	defer func() { _ = failure.Close(); _ = data.Close() }()
	server, err := net.Dial("tcp", address)
	if err != nil {
		fmt.Fprintf(failure, "connection refused: %v", err)
		return
	}
	defer server.Close()
	go func() { _, _ = io.Copy(server, data); _ = server.(*net.TCPConn).CloseWrite() }()
	_, _ = io.Copy(data, server)
}
