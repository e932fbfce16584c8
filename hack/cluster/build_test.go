// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func TestKubernetesVersion(t *testing.T) {
	content, err := os.ReadFile("kube/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if want := "k8s.io/kubernetes " + kubernetesVersion + "\n"; !strings.Contains(string(content), want) {
		t.Errorf("kube/go.mod does not require %s: the version stamped into the binaries would lie", want)
	}
}

// TestDigest is about building again when, and only when, an input has changed.
func TestDigest(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, "m", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	c := component{name: "c", module: "m", packages: []string{"./cmd"}}
	digest := func() string {
		t.Helper()
		d, err := builder{sources: dir}.digest(c)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	write("go.mod", "module m")
	write("cmd/main.go", "package main")
	seen := map[string]string{digest(): "the start"}
	for name, change := range map[string]func(){
		"a requirement": func() { write("go.mod", "module m2") },
		"a checksum":    func() { write("go.sum", "x") },
		"the source":    func() { write("cmd/main.go", "package main // x") },
		"a flag":        func() { c.flags = []string{"-x"} },
	} {
		change()
		d := digest()
		if d2 := digest(); d2 != d {
			t.Errorf("after %s the digest is not stable: %s %s", name, d, d2)
		}
		if was, ok := seen[d]; ok {
			t.Errorf("changing %s gives the digest of %s", name, was)
		}
		seen[d] = name
	}
	before := digest()
	write("other/main.go", "package other")
	if digest() != before {
		t.Error("a file that is not part of the build changes the digest")
	}
}

func TestWriteConf(t *testing.T) {
	dir := t.TempDir()
	spec := nodeSpec{Network: networkAt(3), CNIBin: "/usr/lib/cni", Snapshotter: "overlayfs"}
	if err := writeConf(dir, spec); err != nil {
		t.Fatal(err)
	}
	for _, target := range confTargets {
		content, err := os.ReadFile(filepath.Join(dir, target))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte("{{")) || bytes.Contains(content, []byte("<no value>")) || len(content) == 0 {
			t.Errorf("%s is not filled in:\n%s", target, content)
		}
	}
}

func TestImage(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "pause")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", binary, "./pause")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	spec := imageSpec{binary: binary, name: "operator:dev", entrypoint: "/opt/operator", user: "65532"}
	one, two := filepath.Join(dir, "one.tar"), filepath.Join(dir, "two.tar")
	for _, out := range []string{one, two} {
		if _, err := writeImage(spec, out); err != nil {
			t.Fatal(err)
		}
	}
	a, errA := os.ReadFile(one)
	b, errB := os.ReadFile(two)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Errorf("the same inputs gave different tarballs (%v, %v)", errA, errB)
	}

	tag, err := name.NewTag(spec.name)
	if err != nil {
		t.Fatal(err)
	}
	image, err := tarball.ImageFromPath(one, &tag)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" || strings.Join(config.Config.Entrypoint, " ") != spec.entrypoint {
		t.Errorf("runs as %q with entrypoint %q", config.Config.User, config.Config.Entrypoint)
	}
	content := mutate.Extract(image)
	defer content.Close()
	modes := map[string]int64{}
	for r := tar.NewReader(content); ; {
		header, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !header.ModTime.IsZero() && header.ModTime.Unix() != 0 {
			t.Errorf("%s carries the time %s", header.Name, header.ModTime)
		}
		modes[header.Name] = header.Mode
	}
	if modes["opt/operator"] != 0o755 || modes["tmp"] != 0o1777 && modes["tmp/"] != 0o1777 {
		t.Errorf("files are %v", modes)
	}
}

func TestImageRefuses(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	for name, spec := range map[string]imageSpec{
		"a script":            {binary: script, name: "a:b", entrypoint: "/a"},
		"a dynamic binary":    {binary: shell, name: "a:b", entrypoint: "/a"},
		"a relative path":     {binary: shell, name: "a:b", entrypoint: "a"},
		"a name with a blank": {binary: shell, name: "a b", entrypoint: "/a"},
		"a missing file":      {binary: filepath.Join(dir, "none"), name: "a:b", entrypoint: "/a"},
	} {
		out := filepath.Join(dir, "out.tar")
		if _, err := writeImage(spec, out); err == nil {
			t.Errorf("%s was packed", name)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%s left a tarball", name)
		}
	}
}
