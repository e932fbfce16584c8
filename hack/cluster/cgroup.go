// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// hierarchy is one mounted tree of control groups: one for each set of controllers in version 1, one in all in
// version 2.
type hierarchy struct {
	mount   string // where it is mounted
	options string // version 1: the controllers, as the mount option; empty in version 2
}

// hierarchies lists the trees that carry controllers. A version 2 tree next to version 1 trees carries none.
func hierarchies() ([]hierarchy, error) {
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	found := parseHierarchies(string(content))
	if len(found) == 0 {
		return nil, errors.New("no control groups are mounted under /sys/fs/cgroup")
	}
	return found, nil
}

// parseHierarchies reads the format of /proc/self/mountinfo: the mount point is the fifth field; after a lone
// dash come the type, the source and the options of the file system.
func parseHierarchies(mountinfo string) []hierarchy {
	var v1, v2 []hierarchy
	for line := range strings.Lines(mountinfo) {
		left, right, ok := strings.Cut(strings.TrimSpace(line), " - ")
		place, system := strings.Fields(left), strings.Fields(right)
		if !ok || len(place) < 5 || len(system) < 3 || !strings.HasPrefix(place[4], "/sys/fs/cgroup") {
			continue
		}
		switch system[0] {
		case "cgroup":
			options := slices.DeleteFunc(strings.Split(system[2], ","), func(option string) bool {
				return option == "rw" || option == "ro" || option == "xattr" || option == "clone_children" ||
					strings.HasPrefix(option, "release_agent=")
			})
			v1 = append(v1, hierarchy{mount: place[4], options: strings.Join(options, ",")})
		case "cgroup2":
			v2 = append(v2, hierarchy{mount: place[4]})
		}
	}
	if len(v1) > 0 {
		return v1
	}
	return v2
}

// enterCgroup makes the group in every hierarchy and puts the process into it.
func enterCgroup(name string, pid int) error {
	trees, err := hierarchies()
	if err != nil {
		return err
	}
	for _, tree := range trees {
		group := filepath.Join(tree.mount, name)
		if tree.options == "" {
			if err := delegate(tree.mount); err != nil {
				return err
			}
		}
		if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if slices.Contains(strings.Split(tree.options, ","), "cpuset") {
			// A new group of this controller takes no process until it has processors and memory.
			for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
				if err := copyFile(filepath.Join(tree.mount, file), filepath.Join(group, file)); err != nil {
					return err
				}
			}
		}
		if err := writeFile(filepath.Join(group, "cgroup.procs"), strconv.Itoa(pid)); err != nil {
			return err
		}
	}
	return nil
}

// delegate lets the groups below a version 2 group use its controllers.
func delegate(group string) error {
	content, err := os.ReadFile(filepath.Join(group, "cgroup.controllers"))
	if err != nil {
		return err
	}
	for controller := range strings.FieldsSeq(string(content)) {
		file := filepath.Join(group, "cgroup.subtree_control")
		err := writeFile(file, "+"+controller)
		if errors.Is(err, unix.EBUSY) {
			// We are in a container ourselves: its group hands on nothing while it has processes of its own.
			if err = moveProcesses(group, filepath.Join(group, "init")); err == nil {
				err = writeFile(file, "+"+controller)
			}
		}
		if err != nil && slices.Contains([]string{"cpu", "memory", "pids"}, controller) {
			return fmt.Errorf("hand on the controller %s: %w", controller, err)
		}
	}
	return nil
}

func moveProcesses(from, to string) error {
	if err := os.Mkdir(to, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, pid := range processesIn(from) {
		err := writeFile(filepath.Join(to, "cgroup.procs"), strconv.Itoa(pid))
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}

// mountCgroups gives the node its own view: what was its group becomes the root. The caller has left the
// host's cgroup namespace and mount namespace.
func mountCgroups(trees []hierarchy) error {
	const root = "/sys/fs/cgroup"
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	if trees[0].options == "" {
		if err := unix.Mount("cgroup2", root, "cgroup2", flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", root, err)
		}
		// Only a group without processes of its own can hand on its controllers.
		own := filepath.Join(root, "init")
		if err := os.Mkdir(own, 0o755); err != nil {
			return err
		}
		if err := writeFile(filepath.Join(own, "cgroup.procs"), "0"); err != nil {
			return err
		}
		return delegate(root)
	}
	if err := unix.Mount("tmpfs", root, "tmpfs", flags, "mode=755"); err != nil {
		return fmt.Errorf("mount %s: %w", root, err)
	}
	for _, tree := range trees {
		target := filepath.Join(root, filepath.Base(tree.mount))
		if err := os.Mkdir(target, 0o755); err != nil {
			return err
		}
		options := tree.options
		if strings.HasPrefix(options, "name=") {
			options = "none," + options
		}
		if err := unix.Mount("cgroup", target, "cgroup", flags, options); err != nil {
			return fmt.Errorf("mount %s (%s): %w", target, options, err)
		}
	}
	return nil
}

// removeCgroup kills every process in the group and the groups below, and removes them all. None may be there.
func removeCgroup(ctx context.Context, name string) error {
	trees, err := hierarchies()
	if err != nil {
		return err
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		var left []error
		for _, tree := range trees {
			left = append(left, emptyGroup(filepath.Join(tree.mount, name)))
		}
		err := errors.Join(left...)
		if err == nil || time.Now().After(deadline) {
			return err
		}
		if err := pauseFor(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// emptyGroup tries once, from the leaves up. Its error says what is left.
func emptyGroup(group string) error {
	var groups []string
	err := filepath.WalkDir(group, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && entry.IsDir() {
			groups = append(groups, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	slices.Reverse(groups)
	var left []error
	for _, g := range groups {
		for _, pid := range processesIn(g) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
		if err := os.Remove(g); err != nil && !errors.Is(err, fs.ErrNotExist) {
			left = append(left, err)
		}
	}
	return errors.Join(left...)
}

// processesIn lists the processes of one group, not of those below it.
func processesIn(group string) []int {
	content, _ := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	var pids []int
	for field := range strings.FieldsSeq(string(content)) {
		// 0 stands for a process of another pid namespace, and must never reach kill(2).
		if pid, err := strconv.Atoi(field); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return writeFile(to, strings.TrimSpace(string(content)))
}

// writeFile writes to a file that the kernel made: in one write, without creating or truncating.
func writeFile(path, content string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = io.WriteString(file, content)
	return errors.Join(err, file.Close())
}
