// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"dataretention.dev/retention-operator/controllers/internal/erasure"
	"dataretention.dev/retention-operator/internal/purgejob"
)

// podLogs returns what reads the log of a purge Pod. The client of the manager cannot do that.
func podLogs(cfg *rest.Config) (erasure.Logs, error) {
	clients, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("building the client for logs: %w", err)
	}
	return func(ctx context.Context, namespace, pod string) (io.ReadCloser, error) {
		return clients.CoreV1().Pods(namespace).GetLogs(pod, &corev1.PodLogOptions{Container: purgejob.ContainerName}).Stream(ctx)
	}, nil
}
