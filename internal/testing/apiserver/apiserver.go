// SPDX-License-Identifier: Apache-2.0

// Package apiserver gives tests a real Kubernetes API server with etcd and the CRDs of this project, one per test binary:
//
//	func TestMain(m *testing.M) { apiserver.Run(m) }
//
//	func TestSomething(t *testing.T) {
//		srv := apiserver.Get(t)
//		ns := srv.Namespace(t)
//		err := srv.Client.Create(t.Context(), …)
//	}
//
// The server starts with the first Get. No controller of Kubernetes runs beside it: Jobs make no Pods, owners leave
// their dependents behind, and a deleted Namespace stays. The binaries are those of KUBEBUILDER_ASSETS, or else those
// that `hack/cluster/cluster assets` builds, which takes minutes on a machine that never did so.
package apiserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"dataretention.dev/retention-operator/api/v1alpha1"
	"dataretention.dev/retention-operator/internal/testing/fixture"
)

// Server is a running API server.
type Server struct {
	// Config connects as an administrator.
	Config *rest.Config
	// Client knows the kinds of Kubernetes and of this project, reads without a cache, and writes with strict field
	// validation.
	Client client.Client
	// Scheme is Client's scheme.
	Scheme *runtime.Scheme
	// Assets is the folder with etcd, kube-apiserver and kubectl.
	Assets string

	dir string // holds kubeconfig
	env *envtest.Environment
}

var shared fixture.Shared[Server]

// Run runs the tests of a package, stops the server if one of them started it, and ends the process.
func Run(m *testing.M) { shared.Run(m, (*Server).stop) }

// Get returns the server of this test binary and starts it if need be. The package's TestMain must call Run.
func Get(tb testing.TB) *Server {
	tb.Helper()
	return shared.Get(tb, start)
}

// Namespace makes a new namespace and returns its name.
func (s *Server) Namespace(tb testing.TB) string {
	tb.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	if err := s.Client.Create(tb.Context(), ns); err != nil {
		tb.Fatal(err)
	}
	return ns.Name
}

// As returns a client that acts as the given user, whose rights are those that RBAC gives.
func (s *Server) As(tb testing.TB, user string) client.Client {
	tb.Helper()
	config := rest.CopyConfig(s.Config)
	config.Impersonate = rest.ImpersonationConfig{UserName: user}
	c, err := client.New(config, client.Options{Scheme: s.Scheme})
	if err != nil {
		tb.Fatal(err)
	}
	return client.WithFieldValidation(c, client.FieldValidation(metav1.FieldValidationStrict))
}

// Kubectl runs kubectl as an administrator and returns what it prints to its standard output; the error holds what it
// prints to its standard error.
func (s *Server) Kubectl(tb testing.TB, stdin string, args ...string) (string, error) {
	tb.Helper()
	return output(tb.Context(), stdin, filepath.Join(s.Assets, "kubectl"),
		append([]string{"--kubeconfig", filepath.Join(s.dir, "kubeconfig")}, args...)...)
}

func start() (_ *Server, err error) {
	root, err := fixture.Root()
	if err != nil {
		return nil, err
	}
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		// The server may be built by this, so no deadline.
		out, err := output(context.Background(), "", filepath.Join(root, "hack/cluster/cluster"), "assets")
		if err != nil {
			return nil, err
		}
		assets = strings.TrimSpace(out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:])
	}
	s := &Server{Assets: assets, Scheme: runtime.NewScheme(), env: &envtest.Environment{
		CRDDirectoryPaths:        []string{filepath.Join(root, "config/crd/bases")},
		ErrorIfCRDPathMissing:    true,
		ControlPlaneStartTimeout: 3 * time.Minute, // other packages may be using the machine
		ControlPlaneStopTimeout:  time.Minute,
	}}
	if s.dir, err = os.MkdirTemp("", "apiserver-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	s.env.ControlPlane.Etcd = &envtest.Etcd{}
	for name, path := range map[string]*string{"etcd": &s.env.ControlPlane.Etcd.Path, "kube-apiserver": &s.env.ControlPlane.GetAPIServer().Path} {
		if *path, err = s.mortal(name); err != nil {
			return nil, err
		}
	}
	if s.Config, err = s.env.Start(); err != nil {
		return nil, fmt.Errorf("starting the API server: %w", err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "kubeconfig"), s.env.KubeConfig, 0o600); err != nil {
		return nil, err
	}
	if err := errors.Join(clientgoscheme.AddToScheme(s.Scheme), v1alpha1.AddToScheme(s.Scheme)); err != nil {
		return nil, err
	}
	if s.Client, err = client.New(s.Config, client.Options{Scheme: s.Scheme}); err != nil {
		return nil, err
	}
	s.Client = client.WithFieldValidation(s.Client, client.FieldValidation(metav1.FieldValidationStrict))
	return s, nil
}

// mortal returns the path of a script that runs a program which the kernel kills when this process dies: a test that
// runs into its timeout, or is killed, stops nothing itself.
func (s *Server) mortal(program string) (string, error) {
	path := filepath.Join(s.dir, program)
	script := fmt.Sprintf("#!/bin/sh\nexec setpriv --pdeathsig KILL '%s' \"$@\"\n", filepath.Join(s.Assets, program))
	return path, os.WriteFile(path, []byte(script), 0o700) // to be executed
}

func (s *Server) stop() error {
	err := s.env.Stop()
	if s.dir != "" {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

func output(ctx context.Context, stdin, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w: %s", filepath.Base(program), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
