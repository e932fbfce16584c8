// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/netip"
	"strings"
	"testing"
)

func TestNetworkAt(t *testing.T) {
	for index, want := range map[int]string{0: "10.208.0.0/20", 1: "10.208.16.0/20", 255: "10.223.240.0/20"} {
		n := networkAt(index)
		if got := n.block().String(); got != want {
			t.Errorf("block %d is %s, want %s", index, got, want)
		}
		parts := []netip.Prefix{n.Link, n.Services, n.Pods}
		for i, a := range parts {
			if a.Masked() != a || !n.block().Contains(a.Addr()) || a.Bits() < n.block().Bits() {
				t.Errorf("%s is not a proper part of %s", a, n.block())
			}
			for _, b := range parts[i+1:] {
				if a.Overlaps(b) {
					t.Errorf("%s overlaps %s", a, b)
				}
			}
		}
		if !n.Link.Contains(n.Host) || !n.Link.Contains(n.Node) || n.Host == n.Node {
			t.Errorf("host %s and node %s are not two addresses of %s", n.Host, n.Node, n.Link)
		}
		if !n.Services.Contains(n.apiService()) {
			t.Errorf("the API's Service %s is not in %s", n.apiService(), n.Services)
		}
	}
}

func TestPickNetwork(t *testing.T) {
	prefixes := func(list ...string) []netip.Prefix {
		var all []netip.Prefix
		for _, p := range list {
			all = append(all, netip.MustParsePrefix(p))
		}
		return all
	}
	for name, test := range map[string]struct {
		preferred int
		used      []netip.Prefix
		want      string // "" stands for an error
	}{
		"nothing is used":                 {7, nil, "10.208.112.0/20"},
		"others are used":                 {0, prefixes("192.168.0.0/16", "172.17.0.0/16"), "10.208.0.0/20"},
		"another cluster has it":          {0, prefixes("10.208.0.0/24"), "10.208.16.0/20"},
		"a single address in it is taken": {0, prefixes("10.208.15.255/32"), "10.208.16.0/20"},
		"the last is followed by a first": {255, prefixes("10.223.240.0/20"), "10.208.0.0/20"},
		"a company has half the space":    {0, prefixes("10.208.0.0/13"), "10.216.0.0/20"},
		"a company has all of it":         {0, prefixes("10.0.0.0/8"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := pickNetwork(test.preferred, test.used)
			if (err != nil) != (test.want == "") {
				t.Fatalf("error %v, want network %q", err, test.want)
			}
			if err == nil && got.block().String() != test.want {
				t.Errorf("got %s, want %s", got.block(), test.want)
			}
		})
	}
}

func TestParseRoutes(t *testing.T) {
	const table = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010200C0	0003	0	0	0	00000000	0	0	0
ret-f2af6c09	0020DF0A	00000000	0001	0	0	0	00FFFFFF	0	0	0
ret-f2af6c09	0028DF0A	0220DF0A	0003	0	0	0	00F8FFFF	0	0	0
`
	got, err := parseRoutes(strings.NewReader(table))
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Prefix{netip.MustParsePrefix("10.223.32.0/24"), netip.MustParsePrefix("10.223.40.0/21")}
	if len(got) != len(want) || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := parseRoutes(strings.NewReader("header\neth0 zz 0 0 0 0 0 0\n")); err == nil {
		t.Error("nonsense was accepted")
	}
}

func TestNames(t *testing.T) {
	a, err := newLayout("/somewhere/hack/cluster")
	if err != nil {
		t.Fatal(err)
	}
	b, err := newLayout("/elsewhere/hack/cluster")
	if err != nil {
		t.Fatal(err)
	}
	if a.id == b.id || a.link() == b.link() || a.cgroup() == b.cgroup() {
		t.Errorf("two checkouts share names: %+v %+v", a, b)
	}
	if a.dir() != "/somewhere/.cluster" {
		t.Errorf("the state folder is %s", a.dir())
	}
	if len(a.link()) > 15 {
		t.Errorf("the kernel takes no device name as long as %s", a.link())
	}
}
