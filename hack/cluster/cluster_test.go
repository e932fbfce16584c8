// SPDX-License-Identifier: Apache-2.0

//go:build cluster

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/template"
	"time"

	"golang.org/x/sys/unix"
)

// checkout is a copy of these sources as somebody else's checkout would hold them.
type checkout struct {
	t *testing.T
	layout
}

// newCheckout copies the sources below a folder. They are the only input: the cluster of the real checkout is not
// touched.
func newCheckout(t *testing.T, root string) checkout {
	t.Helper()
	sources := filepath.Join(root, "hack", "cluster")
	if err := os.CopyFS(sources, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	l, err := newLayout(sources)
	if err != nil {
		t.Fatal(err)
	}
	c := checkout{t: t, layout: l}
	t.Cleanup(func() {
		if out, err := c.try("down"); err != nil {
			t.Errorf("down at the end: %v\n%s", err, out)
		}
	})
	return c
}

// try runs the script of the checkout and returns its standard output.
func (c checkout) try(args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(c.checkout, "hack", "cluster", "cluster"), args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, stderr.String())
	}
	return strings.TrimSpace(string(out)), err
}

func (c checkout) must(args ...string) string {
	c.t.Helper()
	start := time.Now()
	out, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("%s %s: %v", c.id, args, err)
	}
	c.t.Logf("%s %s: %s", c.id, args, time.Since(start).Round(100*time.Millisecond))
	return out
}

func (c checkout) kubectl(args ...string) string {
	c.t.Helper()
	out, err := exec.Command(c.path("kubectl"), append([]string{"--kubeconfig", c.kubeconfig()}, args...)...).CombinedOutput()
	if err != nil {
		c.t.Fatalf("kubectl %s: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// processes lists the cluster's processes as the host sees them.
func (c checkout) processes() map[int]string {
	c.t.Helper()
	trees, err := hierarchies()
	if err != nil {
		c.t.Fatal(err)
	}
	found := map[int]string{}
	_ = filepath.WalkDir(filepath.Join(trees[0].mount, c.cgroup()), func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			for _, pid := range processesIn(path) {
				name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
				found[pid] = strings.TrimSpace(string(name))
			}
		}
		return nil
	})
	return found
}

// kill ends the processes with the name, of this cluster only.
func (c checkout) kill(name string) {
	c.t.Helper()
	killed := 0
	for pid, comm := range c.processes() {
		if comm == name[:min(len(name), 15)] {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				c.t.Fatal(err)
			}
			killed++
		}
	}
	if killed == 0 {
		c.t.Fatalf("no process %s to kill among %v", name, c.processes())
	}
}

// checkNothingLeft looks for everything a cluster could leave behind.
func (c checkout) checkNothingLeft() {
	c.t.Helper()
	if _, err := os.Lstat(c.dir()); !os.IsNotExist(err) {
		c.t.Errorf("the state folder is still there: %v", err)
	}
	if _, err := os.Stat("/sys/class/net/" + c.link()); !os.IsNotExist(err) {
		c.t.Errorf("the network device is still there: %v", err)
	}
	trees, err := hierarchies()
	if err != nil {
		c.t.Fatal(err)
	}
	for _, tree := range trees {
		if _, err := os.Stat(filepath.Join(tree.mount, c.cgroup())); !os.IsNotExist(err) {
			c.t.Errorf("control group in %s is still there: %v", tree.mount, err)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		c.t.Fatal(err)
	}
	if strings.Contains(string(mounts), c.checkout) {
		c.t.Errorf("mounts of the cluster are still there:\n%s", mounts)
	}
	commands, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, file := range commands {
		if line, _ := os.ReadFile(file); strings.Contains(string(line), c.checkout) {
			c.t.Errorf("process %s is still there: %q", file, line)
		}
	}
}

// hostState is what must be the same after all clusters are gone.
func hostState(t *testing.T) string {
	t.Helper()
	var state strings.Builder
	for _, name := range []string{"vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops", "net/ipv4/ip_forward"} {
		value, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&state, "%s=%s", name, value)
	}
	rules, err := exec.Command("nft", "list", "tables").Output()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&state, "nft tables: %s", rules)
	return state.String()
}

// serve answers every connection to the host's address in the cluster with one line, until the test ends.
func serve(t *testing.T, host, line string) (port int) {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, line)
			_ = conn.Close()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

// checkJob runs a Job whose Pod finds a server on the host by a Service's name, and reads back what it heard.
func (c checkout) checkJob(image, line string) {
	c.t.Helper()
	host, err := os.ReadFile(c.path("host-address"))
	if err != nil {
		c.t.Fatal(err)
	}
	address := strings.TrimSpace(string(host))
	manifest := filepath.Join(c.t.TempDir(), "job.yaml")
	file, err := os.Create(manifest)
	if err != nil {
		c.t.Fatal(err)
	}
	values := struct {
		Host string
		Port int
	}{address, serve(c.t, address, line)}
	if err := template.Must(template.ParseFiles("testdata/job.yaml")).Execute(file, values); err != nil {
		c.t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		c.t.Fatal(err)
	}
	c.must("load", image)
	c.kubectl("apply", "-f", manifest)
	c.kubectl("-n", "selftest", "wait", "--for=condition=complete", "--timeout=60s", "job/hello")
	c.kubectl("-n", "selftest", "wait", "--for=condition=ready", "--timeout=60s", "pod/stays")
	message := c.kubectl("-n", "selftest", "get", "pod", "-l", "job-name=hello", "-o",
		"jsonpath={.items[0].status.containerStatuses[0].state.terminated.message}")
	if message != line {
		c.t.Errorf("termination message is %q, want %q", message, line)
	}
	kept, err := filepath.Glob(c.path("volumes", "*", "heard"))
	if err != nil || len(kept) != 1 {
		c.t.Errorf("the volumes hold %q, %v", kept, err)
	} else if text, err := os.ReadFile(kept[0]); err != nil || string(text) != line {
		c.t.Errorf("the volume holds %q, %v, want %q", text, err, line)
	}
	if logs, want := c.kubectl("-n", "selftest", "logs", "job/hello"), "heard: "+line; logs != want {
		c.t.Errorf("logs are %q, want %q", logs, want)
	}
}

// checkRepaired asks for the cluster again after something was killed, and uses it.
func (c checkout) checkRepaired() {
	c.t.Helper()
	c.must("up")
	if got := c.kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"); got != nodeName {
		c.t.Errorf("nodes are %q, want %q", got, nodeName)
	}
}

func testImage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.Command("go", "build", "-buildvcs=false", "-trimpath", "-o", filepath.Join(dir, "pod"), "./testdata/pod")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	image := filepath.Join(dir, "image.tar")
	if _, err := writeImage(imageSpec{binary: filepath.Join(dir, "pod"), name: "selftest:dev", entrypoint: "/pod", user: "65532"}, image); err != nil {
		t.Fatal(err)
	}
	return image
}

// TestTwoClusters drives two checkouts through their whole life on one machine, one of them in a folder whose path
// is longer than a socket's may be.
func TestTwoClusters(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("this test starts real nodes: run it as root")
	}
	before := hostState(t)
	image := testImage(t)
	one := newCheckout(t, t.TempDir())
	two := newCheckout(t, filepath.Join(t.TempDir(), strings.Repeat("a-deep-folder/", 8), "with a blank"))

	one.must("down") // nothing there yet: still fine
	if got, want := one.must("up"), one.kubeconfig(); !strings.HasSuffix(got, want) {
		t.Errorf("up printed %q, want %q as its last line", got, want)
	}
	one.must("status")
	one.checkJob(image, "one")

	two.must("up")
	two.checkJob(image, "two")
	if a, b := one.kubectl("get", "ns", "kube-system", "-o", "jsonpath={.metadata.uid}"),
		two.kubectl("get", "ns", "kube-system", "-o", "jsonpath={.metadata.uid}"); a == b {
		t.Error("both checkouts talk to the same cluster")
	}

	start := time.Now()
	one.must("up")
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("up of a running cluster took %s", took)
	}
	for _, name := range []string{"kubelet", "kube-apiserver", "etcd", "containerd", "coredns"} {
		one.kill(name)
		one.checkRepaired()
	}
	one.kubectl("-n", "selftest", "get", "job", "hello") // programs were restarted, the cluster is still the same

	// The whole node dies at once, with its Pods; the folder of the state is all that is left.
	node, _, err := (cluster{layout: one.layout}).state()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.kill(context.Background()); err != nil {
		t.Fatal(err)
	}
	one.checkRepaired()
	two.must("status")

	// An `up` that is killed in the middle.
	one.must("down")
	one.checkNothingLeft()
	half := exec.Command(filepath.Join(one.checkout, "hack", "cluster", "cluster"), "up")
	if err := half.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second)
	if err := half.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = half.Wait()
	one.checkRepaired()

	// The state folder goes away under a running cluster, as with `git clean`.
	if err := os.Rename(one.dir(), filepath.Join(t.TempDir(), "away")); err != nil {
		t.Fatal(err)
	}
	one.must("down")
	one.checkNothingLeft()

	two.must("status")
	two.must("down")
	two.checkNothingLeft()
	two.must("down")
	if after := hostState(t); after != before {
		t.Errorf("the host was %s\nand is now %s", before, after)
	}
}
