// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// The node is a container that we make ourselves: its first process, this one, has namespaces of its own for
// processes, mounts, network, host name and control groups. So nothing of two clusters can clash, and when the
// first process ends, the kernel ends all others and takes every mount and network device away.

// nodeFlags are the namespaces the node is born with; it makes the one for control groups itself, once it is in
// its group.
const nodeFlags = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC

// goAhead is what `up` writes to the node's standard input once group and cable are in place.
const goAhead = "go\n"

// runNode is the life of the node's first process.
func runNode(l layout, cache string) error {
	// Namespaces belong to a thread: all that follows, and the start of the supervisor, stay on this one.
	runtime.LockOSThread()
	if word, err := io.ReadAll(os.Stdin); err != nil || string(word) != goAhead {
		return errors.New("`up` ended before the node was ready to start")
	}
	var spec nodeSpec
	if err := readJSON(l.path("node.json"), &spec); err != nil {
		return err
	}
	if err := isolate(l, cache); err != nil {
		return err
	}
	if err := unix.Sethostname([]byte(nodeName)); err != nil {
		return err
	}
	if err := attach(spec.Network); err != nil {
		return err
	}
	supervisor := exec.Command("/proc/self/exe", "supervise")
	supervisor.Stdout, supervisor.Stderr = os.Stdout, os.Stderr
	supervisor.Dir = nodeDir
	supervisor.Env = []string{"RETENTION_CACHE=" + nodeBin, "HOME=" + nodeDir, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if err := supervisor.Start(); err != nil {
		return err
	}
	for { // the first process inherits every orphan of the node
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("wait: %w", err)
		}
		if pid == supervisor.Process.Pid {
			return fmt.Errorf("the supervisor ended: exit code %d, signal %d", status.ExitStatus(), status.Signal())
		}
	}
}

// isolate gives the node its own control groups and its own view of the file system: the host's, but with /run,
// /var, /proc and /sys of its own. State and binaries appear under short paths, whatever the checkout's path is.
func isolate(l layout, cache string) error {
	trees, err := hierarchies()
	if err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return fmt.Errorf("unshare control groups: %w", err)
	}
	// Mounts of the host still come and go here; ours do not reach the host, but they do reach Pods.
	for _, propagation := range []uintptr{unix.MS_SLAVE, unix.MS_SHARED} {
		if err := unix.Mount("", "/", "", unix.MS_REC|propagation, ""); err != nil {
			return fmt.Errorf("mount propagation: %w", err)
		}
	}
	// The folders are opened before anything hides them: a checkout may live under /var or /run.
	state, err := os.Open(l.dir())
	if err != nil {
		return err
	}
	defer state.Close()
	binaries, err := os.Open(cache)
	if err != nil {
		return err
	}
	defer binaries.Close()

	const safe = unix.MS_NOSUID | unix.MS_NODEV
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
		options              string
	}{
		{"proc", "/proc", "proc", safe | unix.MS_NOEXEC, ""},
		{"sysfs", "/sys", "sysfs", safe | unix.MS_NOEXEC, ""},
		{"tmpfs", "/run", "tmpfs", safe, "mode=755"},
		{fdPath(state), nodeDir, "", unix.MS_BIND, ""},
		{fdPath(binaries), nodeBin, "", unix.MS_BIND, ""},
		{nodeDir + "/var", "/var", "", unix.MS_BIND, ""},
	} {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.options); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	for _, name := range []string{"lib", "log", "tmp", "cache"} {
		if err := os.MkdirAll(filepath.Join("/var", name), 0o755); err != nil {
			return err
		}
	}
	if err := os.Symlink("/run", "/var/run"); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := mountCgroups(trees); err != nil {
		return err
	}
	return freezeSysctls()
}

func fdPath(file *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", file.Fd()) }

// freezeSysctls shows the kubelet the settings it wants, so that it does not change them for the whole host.
func freezeSysctls() error {
	for name, value := range map[string]string{
		"vm/overcommit_memory":      "1",
		"vm/panic_on_oom":           "0",
		"kernel/panic":              "10",
		"kernel/panic_on_oops":      "1",
		"kernel/keys/root_maxkeys":  "1000000",
		"kernel/keys/root_maxbytes": "25000000",
	} {
		fake := filepath.Join("/run/sysctl", name)
		if err := os.MkdirAll(filepath.Dir(fake), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(fake, []byte(value+"\n"), 0o644); err != nil {
			return err
		}
		if err := unix.Mount(fake, filepath.Join("/proc/sys", name), "", unix.MS_BIND, ""); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("mount over %s: %w", name, err)
		}
	}
	return nil
}

// attach configures the node's end of the cable and lets it forward between Pods and host.
func attach(n network) error {
	for _, args := range [][]string{
		{"link", "set", "lo", "up"},
		{"addr", "add", netip.PrefixFrom(n.Node, n.Link.Bits()).String(), "dev", "eth0"},
		{"link", "set", "eth0", "up"},
		{"route", "add", "default", "via", n.Host.String()},
	} {
		if err := ip(args...); err != nil {
			return err
		}
	}
	return writeFile("/proc/sys/net/ipv4/ip_forward", "1")
}
