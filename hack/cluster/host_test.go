// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"os/exec"
	"slices"
	"testing"
	"time"
)

func TestParseHierarchies(t *testing.T) {
	for name, test := range map[string]struct {
		mountinfo string
		want      []hierarchy
	}{
		"version 2": {
			"29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
			[]hierarchy{{mount: "/sys/fs/cgroup"}},
		},
		"version 1 with a version 2 tree that carries nothing": {
			"30 23 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n" +
				"31 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n" +
				"32 30 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/lib/x,name=systemd\n" +
				"33 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
			[]hierarchy{{"/sys/fs/cgroup/cpu,cpuacct", "cpu,cpuacct"}, {"/sys/fs/cgroup/systemd", "name=systemd"}},
		},
		"elsewhere":        {"31 30 0:28 / /mnt/cpu rw - cgroup cgroup rw,cpu\n", nil},
		"something else":   {"22 1 8:1 / / rw - ext4 /dev/sda rw\n", nil},
		"a line cut short": {"22 1\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := parseHierarchies(test.mountinfo); !slices.Equal(got, test.want) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestParseStat(t *testing.T) {
	state, start, err := parseStat("17 (a) b (c) S 1 17 17 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 9 9")
	if err != nil || state != 'S' || start != 4711 {
		t.Errorf("got %c %d %v, want S 4711", state, start, err)
	}
	for _, bad := range []string{"", "17 (a", "17 (a) S 1"} {
		if _, _, err := parseStat(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// TestProcessIdentity is about never killing a process that merely has an id we once knew.
func TestProcessIdentity(t *testing.T) {
	sleep := exec.Command("sleep", "60")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = sleep.Wait()
		close(ended)
	}()
	p, err := identify(sleep.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	if !p.alive() {
		t.Fatal("a running process counts as dead")
	}
	for name, other := range map[string]process{
		"started at another time": {p.PID, p.Start + 1, p.Boot},
		"of another boot":         {p.PID, p.Start, "another"},
		"never recorded":          {},
		"the system's first":      {PID: 1},
	} {
		if other.alive() {
			t.Errorf("a process %s counts as ours", name)
		}
		if err := other.kill(t.Context()); err != nil {
			t.Errorf("a process %s: %v", name, err)
		}
	}
	if !p.alive() {
		t.Fatal("the process was killed under a wrong identity")
	}
	if err := p.kill(context.Background()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the process still runs")
	}
	if err := p.kill(context.Background()); err != nil {
		t.Errorf("killing what is gone: %v", err)
	}
}

func TestUnescape(t *testing.T) {
	if got := unescape(`/a\040b\134c`); got != `/a b\c` {
		t.Errorf("got %q", got)
	}
}

func TestMountsBelow(t *testing.T) {
	mounts, err := mountsBelow("/proc")
	if err != nil || !slices.Contains(mounts, "/proc") {
		t.Errorf("got %v, %v, want /proc among them", mounts, err)
	}
	mounts, err = mountsBelow(t.TempDir())
	if err != nil || len(mounts) > 0 {
		t.Errorf("got %v, %v, want none", mounts, err)
	}
}

func TestTail(t *testing.T) {
	for text, want := range map[string]string{"": "", "a\n": "a", "a\nb\nc\n": "b\nc"} {
		if got := tail(text, 2); got != want {
			t.Errorf("tail of %q is %q, want %q", text, got, want)
		}
	}
}
