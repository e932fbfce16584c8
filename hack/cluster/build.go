// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// kubernetesVersion is what kube/go.mod requires; a unit test keeps the two equal.
const kubernetesVersion = "v1.37.2"

// component is one `go build` of a module in the sources, kept in the cache under a digest of its inputs.
type component struct {
	name     string
	module   string   // folder of the module, relative to the sources
	packages []string // what to build, as `go build` takes it
	links    []string // further names for the one binary built, which acts by its name
	flags    []string
}

var (
	kubeFlags = []string{"-ldflags", "-s -w" +
		" -X k8s.io/component-base/version.gitVersion=" + kubernetesVersion +
		" -X k8s.io/component-base/version.gitMajor=1" +
		" -X k8s.io/component-base/version.gitMinor=" + strings.Split(kubernetesVersion, ".")[1] +
		" -X k8s.io/component-base/version.gitTreeState=clean"}

	kubeAPI = component{name: "kube-api", module: "kube", packages: []string{"./api"},
		links: []string{"etcd", "kube-apiserver", "kubectl"}, flags: kubeFlags}
	kubeNode = component{name: "kube-node", module: "kube", packages: []string{"./node"},
		links: []string{"kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"}, flags: kubeFlags}
	containerd = component{name: "containerd", module: "containerd", packages: []string{
		"github.com/containerd/containerd/v2/cmd/containerd",
		"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
		"github.com/containerd/containerd/v2/cmd/ctr",
	}, flags: []string{"-tags", "no_btrfs,no_devmapper,no_zfs", "-ldflags", "-s -w"}}
	coredns = component{name: "coredns", module: "coredns", packages: []string{"."}, flags: []string{"-ldflags", "-s -w"}}
	pause   = component{name: "pause", module: ".", packages: []string{"./pause"}, flags: []string{"-trimpath", "-ldflags", "-s -w"}}

	allComponents = []component{kubeAPI, kubeNode, containerd, coredns, pause}
)

// builder finds components in the cache and builds those that are missing. Checkouts share the cache.
type builder struct {
	sources string // folder of these sources
	cache   string // folder of finished builds
	log     *progress
}

// ensure returns the folder that holds the component's binaries, building them if need be. Only a finished
// build has that folder: it is filled under another name and then renamed.
func (b builder) ensure(ctx context.Context, c component) (string, error) {
	digest, err := b.digest(c)
	if err != nil {
		return "", fmt.Errorf("digest of %s: %w", c.name, err)
	}
	dir := filepath.Join(b.cache, c.name+"-"+digest)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(b.cache, 0o755); err != nil {
		return "", err
	}
	turn, err := b.lock(ctx, c)
	if err != nil {
		return "", err
	}
	defer turn.Close()
	if _, err := os.Stat(dir); err == nil { // another checkout built it while we waited
		return dir, nil
	}
	part := dir + ".part"
	if err := os.RemoveAll(part); err != nil {
		return "", err
	}
	if err := b.compile(ctx, c, part, turn); err != nil {
		return "", fmt.Errorf("build of %s: %w", c.name, err)
	}
	for _, link := range c.links {
		if err := os.Symlink(filepath.Base(c.packages[0]), filepath.Join(part, link)); err != nil {
			return "", err
		}
	}
	return dir, os.Rename(part, dir)
}

func (b builder) compile(ctx context.Context, c component, out string, turn *os.File) error {
	args := slices.Concat([]string{"build", "-v", "-buildvcs=false", "-o", out + "/"}, c.flags, c.packages)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(b.sources, c.module)
	// GOWORK and GOFLAGS of the caller are for other modules than these.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off", "GOFLAGS=-mod=readonly")
	// Should we be killed, our turn lasts until the compiler we leave behind is done, too.
	cmd.ExtraFiles = []*os.File{turn}
	return b.log.compile(cmd, c.name)
}

// lock waits for other builds of the component on this machine. Closing the file ends our turn.
func (b builder) lock(ctx context.Context, c component) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(b.cache, "."+c.name+".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := flock(ctx, file, b.log, "another build of "+c.name); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

// digest covers all that decides the build's outcome: sources, requirements, flags, compiler and platform.
func (b builder) digest(c component) (string, error) {
	sum := sha256.New()
	fmt.Fprintln(sum, runtime.Version(), runtime.GOOS, runtime.GOARCH, c.packages, c.links, c.flags)
	module := filepath.Join(b.sources, c.module)
	files := []string{filepath.Join(module, "go.mod"), filepath.Join(module, "go.sum")}
	for _, pkg := range c.packages {
		if strings.HasPrefix(pkg, ".") {
			found, err := filepath.Glob(filepath.Join(module, pkg, "*.go"))
			if err != nil {
				return "", err
			}
			files = append(files, found...)
		}
	}
	for _, name := range files {
		file, err := os.Open(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", err
		}
		fmt.Fprintln(sum, filepath.Base(name))
		_, err = io.Copy(sum, file)
		if err = errors.Join(err, file.Close()); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil))[:12], nil
}

// flock takes an exclusive lock on the open file, saying so when it has to wait. Closing the file releases it.
func flock(ctx context.Context, file *os.File, log *progress, holder string) error {
	waiting := false
	for {
		err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return err
		}
		if !waiting {
			log.printf("waiting for %s", holder)
			waiting = true
		}
		if err := pauseFor(ctx, retryEvery); err != nil {
			return err
		}
	}
}
