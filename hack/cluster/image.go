// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// imageSpec describes an image made of one static binary.
type imageSpec struct {
	binary     string // file on this machine
	name       string // repository:tag
	entrypoint string // absolute path of the binary in the image
	user       string // numeric user id; its group has the same number
}

// certificates is where Go programs on Linux look first, here and in the image.
const certificates = "/etc/ssl/certs/ca-certificates.crt"

// imageCommand is the command `image`.
func imageCommand(args []string) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	var spec imageSpec
	flags.StringVar(&spec.binary, "binary", "", "the static binary to pack")
	flags.StringVar(&spec.name, "name", "", "the image's name, as repository:tag")
	flags.StringVar(&spec.entrypoint, "entrypoint", "", "the binary's path in the image (default: / and the binary's name)")
	flags.StringVar(&spec.user, "user", "65532", "the numeric user that the image runs as")
	out := flags.String("out", "", "the tarball to write (docker-archive format)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if spec.binary == "" || spec.name == "" || *out == "" {
		return errors.New("image needs -binary, -name and -out")
	}
	if spec.entrypoint == "" {
		spec.entrypoint = "/" + filepath.Base(spec.binary)
	}
	digest, err := writeImage(spec, *out)
	if err == nil {
		fmt.Println(digest)
	}
	return err
}

// writeImage packs the image into a tarball and returns the digest of its configuration (the image's id). The same
// inputs give the same bytes, whenever and wherever it runs. The tarball appears whole or not at all.
func writeImage(spec imageSpec, out string) (v1.Hash, error) {
	tag, err := name.NewTag(spec.name)
	if err != nil {
		return v1.Hash{}, err
	}
	image, err := buildImage(spec)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("image %s: %w", spec.name, err)
	}
	part := out + ".part"
	if err := tarball.WriteToFile(part, tag, image); err != nil {
		return v1.Hash{}, err
	}
	if err := os.Rename(part, out); err != nil {
		return v1.Hash{}, err
	}
	return image.ConfigName()
}

func buildImage(spec imageSpec) (v1.Image, error) {
	if !path.IsAbs(spec.entrypoint) {
		return nil, fmt.Errorf("the entrypoint %q is not an absolute path", spec.entrypoint)
	}
	architecture, err := platformOf(spec.binary)
	if err != nil {
		return nil, err
	}
	content, err := layerContent(spec)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	})
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", architecture
	config.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	config.Config = v1.Config{
		Entrypoint: []string{spec.entrypoint},
		User:       spec.user + ":" + spec.user,
		WorkingDir: "/",
		Env:        []string{"PATH=/usr/local/bin:/usr/bin:/bin"},
	}
	return mutate.ConfigFile(image, config)
}

// platformOf returns the architecture, in Go's words, that the static binary is for.
func platformOf(binary string) (string, error) {
	file, err := elf.Open(binary)
	if err != nil {
		return "", fmt.Errorf("%s is not a Linux binary: %w", binary, err)
	}
	defer file.Close()
	for _, p := range file.Progs {
		if p.Type == elf.PT_INTERP {
			return "", fmt.Errorf("%s is linked dynamically and would not start in an empty image: build it with CGO_ENABLED=0", binary)
		}
	}
	switch file.Machine {
	case elf.EM_X86_64:
		return "amd64", nil
	case elf.EM_AARCH64:
		return "arm64", nil
	default:
		return "", fmt.Errorf("%s is for a machine we do not know: %s", binary, file.Machine)
	}
}

// layerContent is the image's whole file system as a tar.
func layerContent(spec imageSpec) ([]byte, error) {
	binary, err := os.ReadFile(spec.binary)
	if err != nil {
		return nil, err
	}
	type entry struct {
		name    string
		mode    int64
		content []byte
	}
	entries := []entry{
		{"tmp/", 0o1777, nil},
		{"etc/passwd", 0o644, fmt.Appendf(nil, "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:%[1]s:%[1]s:nonroot:/:/sbin/nologin\n", spec.user)},
		{"etc/group", 0o644, fmt.Appendf(nil, "root:x:0:\nnonroot:x:%s:\n", spec.user)},
		{strings.TrimPrefix(path.Clean(spec.entrypoint), "/"), 0o755, binary},
	}
	if pem, err := os.ReadFile(certificates); err == nil {
		entries = append(entries, entry{strings.TrimPrefix(certificates, "/"), 0o644, pem})
	} else if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}

	var out bytes.Buffer
	w := tar.NewWriter(&out)
	written := map[string]bool{".": true}
	var add func(entry) error
	add = func(e entry) error {
		clean := path.Clean(e.name)
		if written[clean] {
			return nil
		}
		written[clean] = true
		if err := add(entry{name: path.Dir(clean) + "/", mode: 0o755}); err != nil {
			return err
		}
		header := &tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.content)), ModTime: time.Unix(0, 0), Typeflag: tar.TypeReg}
		if strings.HasSuffix(e.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(header); err != nil {
			return err
		}
		_, err := w.Write(e.content)
		return err
	}
	for _, e := range entries {
		if err := add(e); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
