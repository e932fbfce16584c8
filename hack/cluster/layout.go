// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
)

// layout names everything a checkout's cluster has outside its own namespaces. The names follow from the
// checkout's path alone, so that `down` finds what is left even when the state folder is gone.
type layout struct {
	checkout string // absolute path of the checkout
	id       string // 8 hex digits
}

func newLayout(sources string) (layout, error) {
	checkout, err := filepath.Abs(filepath.Join(sources, "..", ".."))
	if err != nil {
		return layout{}, err
	}
	sum := sha256.Sum256([]byte(checkout))
	return layout{checkout: checkout, id: hex.EncodeToString(sum[:4])}, nil
}

// dir is the state folder; path is a file in it.
func (l layout) dir() string { return filepath.Join(l.checkout, ".cluster") }

func (l layout) path(elem ...string) string {
	return filepath.Join(append([]string{l.dir()}, elem...)...)
}

func (l layout) kubeconfig() string { return l.path("kubeconfig") }

// cgroup is the name of the group that holds every process of the cluster, in each hierarchy.
func (l layout) cgroup() string { return "retention-" + l.id }

// link is the host's end of the cable to the node; a name of at most 15 bytes.
func (l layout) link() string { return "ret-" + l.id }

// Inside the node's namespaces these paths are short and the same for every checkout.
const (
	nodeDir   = "/run/cluster" // the state folder
	nodeBin   = "/run/bin"     // the cache of binaries
	nodeName  = "local"
	nodeCtrd  = "/run/containerd/containerd.sock"
	pauseName = "cluster.local/pause:1"
)
