// SPDX-License-Identifier: Apache-2.0

// Package cli has the commands for people: to seal a person's identifiers, to check what a request was about, to approve or
// deny one, and to release a hold. They act with the rights of whoever calls them, by the cluster of KUBECONFIG.
package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/api/v1alpha1"
)

// fieldManager is what a change by these commands is noted as.
const fieldManager = "retention-operator-user"

// Commands are the commands for people.
func Commands() []*cobra.Command {
	return []*cobra.Command{sealCommand(), verifyCommand(), approveCommand(), denyCommand(), holdCommand()}
}

// ExitError carries an exit code to main, and an error if one has to be told of.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err != nil {
		return e.Err.Error()
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

func (e *ExitError) Unwrap() error { return e.Err }

// cluster is the API server of KUBECONFIG.
type cluster struct {
	client.Client
	namespace string
}

func kubeconfig() clientcmd.ClientConfig {
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(clientcmd.NewDefaultClientConfigLoadingRules(), nil)
}

// connect returns the cluster. An empty namespace is the kubeconfig's.
func connect(namespace string) (*cluster, error) {
	config := kubeconfig()
	rest, err := config.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the Kubernetes API server: %w", err)
	}
	if namespace == "" {
		if namespace, _, err = config.Namespace(); err != nil {
			return nil, fmt.Errorf("finding the namespace: %w", err)
		}
	}
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		return nil, err
	}
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	c, err := client.New(rest, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the Kubernetes API server: %w", err)
	}
	return &cluster{client.WithFieldOwner(c, fieldManager), namespace}, nil
}

// get reads an object of the cluster's namespace.
func (c *cluster) get(cmd *cobra.Command, name string, obj client.Object) error {
	if err := c.Get(cmd.Context(), client.ObjectKey{Namespace: c.namespace, Name: name}, obj); err != nil {
		return fmt.Errorf("reading %s/%s: %w", c.namespace, name, err)
	}
	return nil
}

func namespaceFlag(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVarP(to, "namespace", "n", "", "namespace (default: the kubeconfig's)")
}
