// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/internal/evidence"
	ledgerclient "dataretention.dev/retention-operator/internal/ledger/client"
)

// Where the operator's namespace has what is read here.
const (
	ledgerPod      = "retention-ledger-0"
	ledgerPort     = 8082 // the port that only reads; it listens inside the Pod only
	trustName      = "retention-evidence-keys"
	trustKey       = "keys.pem"
	checkpointName = "retention-ledger-checkpoint"
	checkpointKey  = "checkpoint"
)

// forwardTimeout is how long the way to the ledger may take to open.
const forwardTimeout = 30 * time.Second

// reader is a ledger that is read over a port of its Pod, by the right to forward it.
type reader struct {
	*ledgerclient.Client
	base string
	http *http.Client
}

// ledger opens the way to the ledger; close it afterwards.
func (c *cluster) ledger(ctx context.Context, namespace string) (r *reader, closing func(), err error) {
	pod := &corev1.Pod{}
	switch err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: ledgerPod}, pod); {
	case apierrors.IsNotFound(err):
		return nil, nil, fmt.Errorf("there is no ledger in namespace %s (Pod %s): give --operator-namespace", namespace, ledgerPod)
	case err == nil && pod.Status.Phase != corev1.PodRunning:
		return nil, nil, fmt.Errorf("the ledger's Pod %s/%s is %s: look at `kubectl -n %s describe pod %s`", namespace, ledgerPod, pod.Status.Phase, namespace, ledgerPod)
	case err != nil && !apierrors.IsForbidden(err):
		return nil, nil, c.explained(err, "looking for the ledger's Pod %s/%s", namespace, ledgerPod)
	}
	address, closing, err := c.forward(ctx, namespace, ledgerPod, ledgerPort)
	if err != nil {
		return nil, nil, err
	}
	hc := &http.Client{Transport: throughPod{http.DefaultTransport}}
	return &reader{Client: ledgerclient.New("http://"+address, hc), base: "http://" + address, http: hc}, closing, nil
}

// forward makes a port of a Pod one of this machine's loopback address, until ctx ends or it is closed. Where websockets do not
// get through, SPDY may, as with kubectl.
func (c *cluster) forward(ctx context.Context, namespace, pod string, port int) (address string, closing func(), err error) {
	url := c.core.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(c.config)
	if err != nil {
		return "", nil, fmt.Errorf("reaching the ledger: %w", err)
	}
	overSPDY := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
	overWebsocket, err := portforward.NewSPDYOverWebsocketDialerForStreaming(url, c.config)
	if err != nil {
		return "", nil, fmt.Errorf("reaching the ledger: %w", err)
	}
	dialer := portforward.NewFallbackDialerForStreaming(overWebsocket, overSPDY, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	})
	ctx, cancel := context.WithCancel(ctx)
	ready, failed := make(chan struct{}), make(chan error, 1)
	forwarder, err := portforward.NewOnAddressesForStreamingWithContext(ctx, dialer, []string{"127.0.0.1"},
		[]string{fmt.Sprintf("0:%d", port)}, ready, io.Discard, io.Discard)
	if err != nil {
		cancel()
		return "", nil, fmt.Errorf("reaching the ledger: %w", err)
	}
	go func() { failed <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-failed:
		cancel()
		return "", nil, unreachable(err, namespace)
	case <-time.After(forwardTimeout):
		cancel()
		return "", nil, fmt.Errorf("reaching the ledger: no answer within %s", forwardTimeout)
	}
	ports, err := forwarder.GetPorts()
	if err != nil || len(ports) != 1 {
		cancel()
		return "", nil, errors.Join(errors.New("reaching the ledger: no port was forwarded"), err)
	}
	return fmt.Sprintf("127.0.0.1:%d", ports[0].Local), cancel, nil
}

// unreachable says what a person needs to reach the ledger.
func unreachable(err error, namespace string) error {
	if apierrors.IsForbidden(err) || strings.Contains(fmt.Sprint(err), "orbidden") {
		return fmt.Errorf("reaching the ledger: you need the right to create pods/portforward in namespace %s (Role retention-evidence-viewer), or an export that somebody else made (--from): %w", namespace, err)
	}
	return fmt.Errorf("reaching the ledger: %w", err)
}

// throughPod says what it means if the port of the Pod does not answer.
type throughPod struct{ http.RoundTripper }

// RoundTrip says whose port it is that does not answer.
func (t throughPod) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.RoundTripper.RoundTrip(r)
	if err != nil && r.Context().Err() == nil {
		return nil, fmt.Errorf("port %d of the Pod %s does not answer; is it ready? %w", ledgerPort, ledgerPod, err)
	}
	return answer, err
}

// file gets one of the ledger's static files.
func (r *reader) file(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+"/"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := r.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking the ledger for %s: %w", path, err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("asking the ledger for %s: %w", path, err)
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking the ledger for %s: it answers %s: %s", path, answer.Status, strings.TrimSpace(string(b)))
	}
	return b, nil
}

// publishedKeys are the public keys that the cluster publishes, as a trust file.
func (c *cluster) publishedKeys(ctx context.Context, namespace string) ([]byte, error) {
	cm := &corev1.ConfigMap{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: trustName}, cm); err != nil {
		return nil, c.explained(err, "reading the public keys (ConfigMap %s/%s)", namespace, trustName)
	}
	if cm.Data[trustKey] == "" {
		return nil, fmt.Errorf("ConfigMap %s/%s has no %s yet", namespace, trustName, trustKey)
	}
	return []byte(cm.Data[trustKey]), nil
}

// witnessed are the checkpoints that the operator has kept: the latest, and the earlier ones.
type witnessed struct {
	latest  []byte
	earlier [][]byte
}

// checkpoints reads what the operator has kept of the ledger, in a place of its own.
func (c *cluster) checkpoints(ctx context.Context, namespace string) (*witnessed, error) {
	cm := &corev1.ConfigMap{}
	if err := c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: checkpointName}, cm); err != nil {
		return nil, c.explained(err, "reading the operator's checkpoint of the ledger (ConfigMap %s/%s)", namespace, checkpointName)
	}
	w := &witnessed{latest: []byte(cm.Data[checkpointKey])}
	for key, value := range cm.Data {
		if _, err := time.Parse(time.DateOnly, key); err == nil {
			w.earlier = append(w.earlier, []byte(value))
		}
	}
	if len(w.latest) == 0 {
		return nil, fmt.Errorf("ConfigMap %s/%s has no checkpoint yet", namespace, checkpointName)
	}
	return w, nil
}

// trust are the published keys, ready for use.
func (c *cluster) trust(ctx context.Context, namespace string) (*evidence.Trust, error) {
	file, err := c.publishedKeys(ctx, namespace)
	if err != nil {
		return nil, err
	}
	trust, err := evidence.ParseTrust(file)
	if err != nil {
		return nil, fmt.Errorf("the published keys cannot be used: %w", err)
	}
	return trust, nil
}
