// SPDX-License-Identifier: Apache-2.0

package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

// nodeSpec is what the node's processes need to know; `up` leaves it in the state folder.
type nodeSpec struct {
	Network     network           `json:"network"`
	Bin         map[string]string `json:"bin"`         // component -> folder inside the node
	CNIBin      string            `json:"cniBin"`      // folder of the CNI plugins
	Snapshotter string            `json:"snapshotter"` // containerd's way to stack image layers
}

// server is the API server's URL.
func (s nodeSpec) server() string { return fmt.Sprintf("https://%s:6443", s.Network.Node) }

// volumes are the names of the persistent volumes, and of their folders in the state folder.
var volumes = []string{"local-0", "local-1", "local-2", "local-3"}

//go:embed conf
var confFiles embed.FS

// confTargets maps the embedded templates to their place below the state folder.
var confTargets = map[string]string{
	"conf/audit.yaml":        "conf/audit.yaml",
	"conf/containerd.toml":   "conf/containerd.toml",
	"conf/coredns-rbac.yaml": "conf/coredns-rbac.yaml",
	"conf/Corefile":          "conf/Corefile",
	"conf/kubelet.yaml":      "conf/kubelet.yaml",
	"conf/proxy.yaml":        "conf/proxy.yaml",
	"conf/volumes.yaml":      "conf/volumes.yaml",
	"conf/pods.conflist":     "conf/cni/pods.conflist",
}

// writeConf fills in the templates.
func writeConf(dir string, spec nodeSpec) error {
	if err := os.MkdirAll(filepath.Join(dir, "conf/cni"), 0o755); err != nil {
		return err
	}
	values := struct {
		nodeSpec
		Dir, Socket, Pause string
		Volumes            []string
	}{spec, nodeDir, nodeCtrd, pauseName, volumes}
	for source, target := range confTargets {
		t, err := template.ParseFS(confFiles, source)
		if err != nil {
			return err
		}
		file, err := os.Create(filepath.Join(dir, target))
		if err != nil {
			return err
		}
		err = t.Execute(file, values)
		if closeErr := file.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return fmt.Errorf("%s: %w", target, err)
		}
	}
	return nil
}

func writeJSON(path string, value any) error {
	content, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(content, '\n'), 0o644)
}

func readJSON(path string, value any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, value); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
