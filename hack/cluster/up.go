// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// startLimit is how long a cluster may take from its first process to full health.
const startLimit = 3 * time.Minute

// cluster is the cluster of one checkout.
type cluster struct {
	layout
	builder builder
	log     *progress
}

// up starts the cluster unless it runs and is well, and prints the kubeconfig's path.
func (c cluster) up(ctx context.Context) error {
	unlock, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if !c.runs(ctx) {
		if err := c.start(ctx); err != nil {
			return err
		}
	}
	fmt.Println(c.kubeconfig())
	return nil
}

// runs tells if the cluster is there and well. Programs that ended a moment ago are being started again: they get
// a little time.
func (c cluster) runs(ctx context.Context) bool {
	node, spec, err := c.state()
	if err != nil || !node.alive() {
		return false
	}
	if err := waitHealthy(ctx, c.layout, node, spec, 45*time.Second); err != nil {
		c.log.printf("the cluster is there but not well (%v): starting anew", err)
		return false
	}
	c.log.printf("the cluster is up")
	return true
}

// state reads what an earlier `up` wrote.
func (c cluster) state() (node process, spec nodeSpec, err error) {
	err = errors.Join(readJSON(c.path("node.pid"), &node), readJSON(c.path("node.json"), &spec))
	return node, spec, err
}

// start makes a cluster from nothing. If that fails, only the logs stay.
func (c cluster) start(ctx context.Context) error {
	if os.Geteuid() != 0 {
		return errors.New("a node needs root: it mounts file systems and makes network devices")
	}
	if err := installPackages(ctx, c.log); err != nil {
		return err
	}
	spec := nodeSpec{Bin: map[string]string{}, CNIBin: cniFolder()}
	var pauseDir string
	for _, component := range allComponents {
		dir, err := c.builder.ensure(ctx, component)
		if err != nil {
			return err
		}
		spec.Bin[component.name] = filepath.Join(nodeBin, filepath.Base(dir))
		pauseDir = dir
	}
	if err := c.remove(ctx); err != nil {
		return fmt.Errorf("clean up what an earlier cluster left: %w", err)
	}
	c.log.printf("starting the cluster")
	if err := c.launch(ctx, spec, pauseDir); err != nil {
		return errors.Join(err, c.stop(context.WithoutCancel(ctx)))
	}
	c.log.printf("the cluster is up; Pods reach this machine as %s", c.hostAddress())
	return nil
}

func (c cluster) launch(ctx context.Context, spec nodeSpec, pauseDir string) error {
	for _, name := range []string{"logs", "var"} {
		if err := os.MkdirAll(c.path(name), 0o755); err != nil {
			return err
		}
	}
	if err := c.makeVolumes(); err != nil {
		return err
	}
	spec.Snapshotter = snapshotter(c.dir())
	image := imageSpec{binary: filepath.Join(pauseDir, "pause"), name: pauseName, entrypoint: "/pause", user: "65535"}
	if _, err := writeImage(image, c.path("pause.tar")); err != nil {
		return err
	}
	nodeLog, err := os.Create(c.path("logs", "node.log"))
	if err != nil {
		return err
	}
	defer nodeLog.Close()

	self, err := os.Executable()
	if err != nil {
		return err
	}
	node := exec.Command(self, "-sources", c.builder.sources, "node")
	node.Stdout, node.Stderr = nodeLog, nodeLog
	node.SysProcAttr = &syscall.SysProcAttr{Cloneflags: nodeFlags, Setsid: true}
	word, err := node.StdinPipe()
	if err != nil {
		return err
	}
	if err := node.Start(); err != nil {
		return fmt.Errorf("start the node: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Wait() }()

	id, err := identify(node.Process.Pid)
	if err != nil {
		return err
	}
	if err := writeJSON(c.path("node.pid"), id); err != nil {
		return err
	}
	if err := enterCgroup(c.cgroup(), id.PID); err != nil {
		return fmt.Errorf("control groups: %w", err)
	}
	if spec.Network, err = c.takeNetwork(ctx, id.PID); err != nil {
		return err
	}
	if err := c.configure(spec); err != nil {
		return err
	}
	if _, err := word.Write([]byte(goAhead)); err != nil {
		return err
	}
	if err := word.Close(); err != nil {
		return err
	}

	healthy := make(chan error, 1)
	go func() { healthy <- waitHealthy(ctx, c.layout, id, spec, startLimit) }()
	select {
	case err = <-healthy:
	case err = <-ended:
		err = fmt.Errorf("the node ended: %w", err)
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, c.lastWords())
	}
	return err
}

// makeVolumes makes the folders of the persistent volumes. The kubelet changes no owner of a hostPath, and a Pod may run as any
// user, so everybody may write there.
func (c cluster) makeVolumes() error {
	for _, name := range volumes {
		dir := c.path("volumes", name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(dir, 0o777); err != nil { // whatever the umask is
			return err
		}
	}
	return nil
}

// configure writes all that the node's programs read.
func (c cluster) configure(spec nodeSpec) error {
	if err := writePKI(c.dir(), spec.Network, spec.server()); err != nil {
		return err
	}
	if err := writeConf(c.dir(), spec); err != nil {
		return err
	}
	kubectl := filepath.Join(c.builder.cache, filepath.Base(spec.Bin[kubeAPI.name]), "kubectl")
	if err := os.Symlink(kubectl, c.path("kubectl")); err != nil {
		return err
	}
	if err := os.WriteFile(c.path("host-address"), []byte(spec.Network.Host.String()+"\n"), 0o644); err != nil {
		return err
	}
	return writeJSON(c.path("node.json"), spec)
}

// takeNetwork picks addresses that are free on this machine and lays the cable. Only one cluster does so at a time.
func (c cluster) takeNetwork(ctx context.Context, pid int) (network, error) {
	turn, err := os.Open("/run")
	if err != nil {
		return network{}, err
	}
	defer turn.Close()
	if err := flock(ctx, turn, c.log, "another cluster to choose its addresses"); err != nil {
		return network{}, err
	}
	used, err := usedPrefixes()
	if err != nil {
		return network{}, err
	}
	n, err := pickNetwork(c.preferredIndex(), used)
	if err != nil {
		return network{}, err
	}
	return n, c.connect(n, pid)
}

// lock keeps a second `up` or `down` of the same checkout waiting. It needs no file of its own.
func (c cluster) lock(ctx context.Context) (func(), error) {
	folder, err := os.Open(c.builder.sources)
	if err != nil {
		return nil, err
	}
	if err := flock(ctx, folder, c.log, "another command on this cluster"); err != nil {
		_ = folder.Close()
		return nil, err
	}
	return func() { _ = folder.Close() }, nil
}

func (c cluster) hostAddress() string {
	address, _ := os.ReadFile(c.path("host-address"))
	return strings.TrimSpace(string(address))
}

// lastWords are the ends of the logs, for a cluster that did not start.
func (c cluster) lastWords() string {
	files, _ := filepath.Glob(c.path("logs", "*.log"))
	var words strings.Builder
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil || len(content) == 0 || filepath.Base(file) == "audit.log" {
			continue
		}
		fmt.Fprintf(&words, "--- %s\n%s\n", file, tail(string(content), 8))
	}
	return words.String()
}

// snapshotter tells how containerd can stack image layers in the folder: some file systems, like that of a
// container, cannot be part of an overlay.
func snapshotter(dir string) string {
	answer := make(chan string)
	go func() {
		// The thread tries in a mount namespace of its own; being locked, it ends with this function.
		runtime.LockOSThread()
		answer <- tryOverlay(dir)
	}()
	return <-answer
}

func tryOverlay(dir string) string {
	const fallback = "native"
	if unix.Unshare(unix.CLONE_NEWNS) != nil || unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, "") != nil {
		return fallback
	}
	try, err := os.MkdirTemp(dir, "overlay-")
	if err != nil {
		return fallback
	}
	defer os.RemoveAll(try)
	var folder [4]string
	for i, name := range []string{"lower", "upper", "work", "merged"} {
		folder[i] = filepath.Join(try, name)
		if os.Mkdir(folder[i], 0o755) != nil {
			return fallback
		}
	}
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", folder[0], folder[1], folder[2])
	if unix.Mount("overlay", folder[3], "overlay", 0, options) != nil {
		return fallback
	}
	if unix.Unmount(folder[3], unix.MNT_DETACH) != nil {
		return fallback
	}
	return "overlayfs"
}
