// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// down stops the cluster, whatever state it is in, and removes all it left on the machine.
func (c cluster) down(ctx context.Context) error {
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.remove(ctx); err != nil {
		return err
	}
	c.log.printf("no cluster of this checkout is left")
	return nil
}

// remove stops the cluster and deletes its state folder.
func (c cluster) remove(ctx context.Context) error {
	if err := c.stop(ctx); err != nil {
		return err
	}
	// The node's mounts were never seen on the host. Should somebody have mounted something here, it must not be
	// emptied.
	if mounts, err := mountsBelow(c.dir()); err != nil {
		return err
	} else if len(mounts) > 0 {
		return fmt.Errorf("something is mounted on %s: unmount it first", strings.Join(mounts, ", "))
	}
	return os.RemoveAll(c.dir())
}

// stop ends all processes and takes control groups and network devices away; files stay.
func (c cluster) stop(ctx context.Context) error {
	var node process
	if err := readJSON(c.path("node.pid"), &node); err == nil && node.alive() {
		c.log.printf("stopping the cluster")
		if err := node.kill(ctx); err != nil {
			return err
		}
	}
	// The state folder may be gone or out of date: what belongs to us also has our names.
	if err := removeCgroup(ctx, c.cgroup()); err != nil {
		return fmt.Errorf("control groups: %w", err)
	}
	return c.disconnect()
}

// status prints how each part does. Its error says that not all is well.
func (c cluster) status(ctx context.Context) error {
	node, spec, err := c.state()
	if err != nil || !node.alive() {
		return errors.New("no cluster of this checkout is running")
	}
	bad := 0
	for _, check := range checks(c.layout, node, spec) {
		verdict := "ok"
		if err := check.ask(ctx); err != nil {
			verdict = err.Error()
			bad++
		}
		fmt.Printf("%-24s %s\n", check.name, verdict)
	}
	fmt.Printf("%-24s %s\n%-24s %s\n", "kubeconfig", c.kubeconfig(), "host, seen from Pods", c.hostAddress())
	if bad > 0 {
		return fmt.Errorf("%d parts are not well; logs are in %s", bad, c.path("logs"))
	}
	return nil
}

// load imports an image tarball into the node.
func (c cluster) load(ctx context.Context, tarball string) error {
	node, spec, err := c.state()
	if err != nil || !node.alive() {
		return errors.New("no cluster of this checkout is running: start it first")
	}
	file, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer file.Close()
	ctr := filepath.Join(spec.Bin[containerd.name], "ctr")
	cmd := exec.CommandContext(ctx, "nsenter", "--target", strconv.Itoa(node.PID), "--mount", "--pid", "--net", "--",
		ctr, "--address", nodeCtrd, "--namespace", "k8s.io", "images", "import", "-")
	cmd.Stdin, cmd.Dir = file, "/"
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("import %s: %w\n%s", tarball, err, out)
	}
	return nil
}

// mountsBelow lists what is mounted on the folder or below it.
func mountsBelow(dir string) ([]string, error) {
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var mounts []string
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			place := unescape(fields[4])
			if place == dir || strings.HasPrefix(place, dir+"/") {
				mounts = append(mounts, place)
			}
		}
	}
	return mounts, nil
}

// unescape undoes the octal escapes that the kernel writes for blanks in paths.
func unescape(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(path)
}
