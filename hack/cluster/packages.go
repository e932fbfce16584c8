// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Programs that come from the distribution, by the package that holds them on Debian and Ubuntu.
var systemPrograms = map[string]string{
	"runc": "runc",
	"ip":   "iproute2",
	"nft":  "nftables",
}

// Distributions and people put CNI plugins in different places; the node uses the plugins ptp and host-local.
var cniFolders = []string{"/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"}

const cniPackage = "containernetworking-plugins"

// cniFolder returns the folder of the CNI plugins, or "" if there is none.
func cniFolder() string {
	for _, dir := range cniFolders {
		_, err1 := os.Stat(filepath.Join(dir, "ptp"))
		_, err2 := os.Stat(filepath.Join(dir, "host-local"))
		if err := errors.Join(err1, err2); err == nil {
			return dir
		}
	}
	return ""
}

// missingPackages names the distribution's packages that have to be installed.
func missingPackages() []string {
	var missing []string
	for program, pkg := range systemPrograms {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, pkg)
		}
	}
	if cniFolder() == "" {
		missing = append(missing, cniPackage)
	}
	slices.Sort(missing)
	return missing
}

// installPackages installs what is missing, and nothing if nothing is.
func installPackages(ctx context.Context, log *progress) error {
	missing := missingPackages()
	if len(missing) == 0 {
		return nil
	}
	names := strings.Join(missing, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("please install: %s", names)
	}
	log.printf("installing %s", names)
	install := func() error {
		return apt(ctx, append([]string{"install", "-y", "--no-install-recommends"}, missing...)...)
	}
	// Package lists may be absent or out of date; then the first try fails quickly.
	if err := install(); err != nil {
		log.printf("updating the package lists")
		if err := apt(ctx, "update"); err != nil {
			if err = apt(ctx, "update"); err != nil {
				return err
			}
		}
		if err := install(); err != nil {
			return err
		}
	}
	if missing := missingPackages(); len(missing) > 0 {
		return fmt.Errorf("still missing after installation: %s", strings.Join(missing, " "))
	}
	return nil
}

func apt(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-q", "-o", "DPkg::Lock::Timeout=120"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, tail(string(out), 15))
	}
	return nil
}

// tail returns the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
