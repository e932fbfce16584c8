// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"dataretention.dev/retention-operator/api/v1alpha1"
)

// target is which cluster and namespace a command is about, as its flags say.
type target struct {
	kubeconfig, context, as string
	namespace               string
	operator                string
}

// flags adds the flags that kubectl has for the same.
func (t *target) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&t.namespace, "namespace", "n", "", "namespace (default: the kubeconfig's)")
	f.StringVar(&t.kubeconfig, "kubeconfig", "", "kubeconfig file (default: KUBECONFIG, or ~/.kube/config)")
	f.StringVar(&t.context, "context", "", "context of the kubeconfig (default: its current one)")
	f.StringVar(&t.as, "as", "", "user to impersonate")
	complete(cmd, "namespace", completeNamespaces)
	complete(cmd, "context", completeContexts)
}

// operatorFlag adds the flag that says where the operator and its ledger are.
func (t *target) operatorFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.operator, "operator-namespace", operatorNamespace, "namespace of the operator, where its ledger and its public keys are")
	complete(cmd, "operator-namespace", completeNamespaces)
}

func (t *target) config() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = t.kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: t.context}
	overrides.AuthInfo.Impersonate = t.as
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
}

// cluster is an API server, and the namespace that a command is about.
type cluster struct {
	client.Client
	config    *rest.Config
	core      kubernetes.Interface
	namespace string
}

// connect returns the cluster. It does not talk to it yet.
func (t *target) connect() (*cluster, error) {
	loading := t.config()
	config, err := loading.ClientConfig()
	if err != nil {
		if clientcmd.IsEmptyConfig(err) {
			return nil, errors.New("there is no kubeconfig: set KUBECONFIG, or give --kubeconfig")
		}
		return nil, fmt.Errorf("finding the Kubernetes API server: %w", err)
	}
	config.UserAgent = filepath.Base(os.Args[0])
	// What the libraries would log is no answer to a person; what fails is told by an error.
	log.SetLogger(logr.Discard())
	klog.SetLogger(logr.Discard())
	namespace := t.namespace
	if namespace == "" {
		if namespace, _, err = loading.Namespace(); err != nil {
			return nil, fmt.Errorf("finding the namespace: %w", err)
		}
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to the Kubernetes API server: %w", err)
	}
	core, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the Kubernetes API server: %w", err)
	}
	return &cluster{Client: client.WithFieldOwner(c, fieldManager), config: config, core: core, namespace: namespace}, nil
}

// get reads an object of the cluster's namespace.
func (c *cluster) get(ctx context.Context, name string, obj client.Object) error {
	if err := c.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: name}, obj); err != nil {
		return c.explained(err, "reading %s/%s", c.namespace, name)
	}
	return nil
}

// explained wraps an error of the API server, and says what to do where that is known.
func (*cluster) explained(err error, format string, args ...any) error {
	what := fmt.Sprintf(format, args...)
	switch {
	case meta.IsNoMatchError(err):
		return fmt.Errorf("%s: this cluster does not know the kind; is the operator installed there? %w", what, err)
	case apierrors.IsConflict(err):
		return fmt.Errorf("%s: it has changed meanwhile; look again, and repeat it: %w", what, err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%s: you may not do that here; ask for the right, or give another --namespace, --context or --as: %w", what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}
