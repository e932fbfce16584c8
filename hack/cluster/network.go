// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// clusterSpace is cut into 256 blocks of 4096 addresses, one for each cluster on the machine.
var clusterSpace = netip.MustParsePrefix("10.208.0.0/12")

const blockBits = 20

// network is one cluster's block of addresses.
type network struct {
	Host     netip.Addr   `json:"host"`     // the host, as Pods reach it
	Node     netip.Addr   `json:"node"`     // the node: API server, kubelet, name server
	Link     netip.Prefix `json:"link"`     // the cable between the two
	Services netip.Prefix `json:"services"` // the first one is the API server's Service
	Pods     netip.Prefix `json:"pods"`
}

// networkAt gives the addresses of the block with the index, 0 to 255.
func networkAt(index int) network {
	base := binary.BigEndian.Uint32(clusterSpace.Addr().AsSlice()) + uint32(index)<<(32-blockBits)
	at := func(offset uint32) netip.Addr {
		return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, base+offset)))
	}
	return network{
		Host:     at(1),
		Node:     at(2),
		Link:     netip.PrefixFrom(at(0), 24),
		Services: netip.PrefixFrom(at(4<<8), 22),
		Pods:     netip.PrefixFrom(at(8<<8), 21),
	}
}

func (n network) block() netip.Prefix { return netip.PrefixFrom(n.Link.Addr(), blockBits) }

// apiService is the address of the Service `kubernetes`.
func (n network) apiService() netip.Addr { return n.Services.Addr().Next() }

// pickNetwork returns the first block from the preferred index on that overlaps nothing the host uses.
func pickNetwork(preferred int, used []netip.Prefix) (network, error) {
	blocks := 1 << (blockBits - clusterSpace.Bits())
	for i := range blocks {
		candidate := networkAt((preferred + i) % blocks)
		free := true
		for _, u := range used {
			free = free && !u.Overlaps(candidate.block())
		}
		if free {
			return candidate, nil
		}
	}
	return network{}, fmt.Errorf("every block of %s is in use on this machine", clusterSpace)
}

// preferredIndex makes a checkout come back to the same addresses as long as they are free.
func (l layout) preferredIndex() int {
	index, _ := strconv.ParseUint(l.id[:2], 16, 8)
	return int(index)
}

// usedPrefixes lists the host's addresses and routes, apart from the default route.
func usedPrefixes() ([]netip.Prefix, error) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var used []netip.Prefix
	for _, addr := range addrs {
		if p, err := netip.ParsePrefix(addr.String()); err == nil && p.Addr().Is4() {
			used = append(used, p.Masked())
		}
	}
	file, err := os.Open("/proc/net/route")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	routes, err := parseRoutes(file)
	return append(used, routes...), err
}

// parseRoutes reads the format of /proc/net/route: a header, then lines with destination and mask as
// little-endian hex in the second and eighth field.
func parseRoutes(r io.Reader) ([]netip.Prefix, error) {
	var routes []netip.Prefix
	scanner := bufio.NewScanner(r)
	scanner.Scan()
	for scanner.Scan() {
		fields := strings.Fields(scanner.Text())
		if len(fields) < 8 {
			continue
		}
		destination, err1 := strconv.ParseUint(fields[1], 16, 32)
		mask, err2 := strconv.ParseUint(fields[7], 16, 32)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("routing table: %w", err)
		}
		if mask == 0 {
			continue
		}
		var d, m [4]byte
		binary.LittleEndian.PutUint32(d[:], uint32(destination))
		binary.LittleEndian.PutUint32(m[:], uint32(mask))
		ones, _ := net.IPMask(m[:]).Size()
		routes = append(routes, netip.PrefixFrom(netip.AddrFrom4(d), ones))
	}
	return routes, scanner.Err()
}

// connect lays the cable from the host to the node's network namespace, which the process belongs to.
func (l layout) connect(n network, pid int) error {
	link := l.link()
	for _, args := range [][]string{
		{"link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(pid)},
		{"addr", "add", netip.PrefixFrom(n.Host, n.Link.Bits()).String(), "dev", link},
		{"link", "set", link, "up"},
		{"route", "add", n.Services.String(), "via", n.Node.String(), "dev", link},
		{"route", "add", n.Pods.String(), "via", n.Node.String(), "dev", link},
	} {
		if err := ip(args...); err != nil {
			return err
		}
	}
	return nil
}

// disconnect removes the cable, and with it the host's address and routes. It may be gone already.
func (l layout) disconnect() error {
	if _, err := os.Stat("/sys/class/net/" + l.link()); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	err := ip("link", "del", l.link())
	if _, gone := os.Stat("/sys/class/net/" + l.link()); errors.Is(gone, os.ErrNotExist) {
		return nil // the kernel took it away with the node's namespace, while we asked
	}
	return err
}

func ip(args ...string) error {
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}
