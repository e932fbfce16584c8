// SPDX-License-Identifier: Apache-2.0

// Command pod is what the cluster's own test runs in a Pod: it connects to the address given, says what the
// server there said to the log, into its volume and as its termination message, and ends.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func run(address string) error {
	// A name that does not exist must be refused at once, not time out.
	if _, err := net.LookupHost("no-such-name.example.org"); err == nil {
		return fmt.Errorf("a name outside the cluster was found")
	} else if e, ok := err.(*net.DNSError); !ok || !e.IsNotFound {
		return fmt.Errorf("a name outside the cluster: %w", err)
	}
	conn, err := net.DialTimeout("tcp", address, 10*time.Second)
	for deadline := time.Now().Add(10 * time.Second); err != nil; conn, err = net.DialTimeout("tcp", address, time.Second) {
		if time.Now().After(deadline) { // a Service works a moment after it was made
			return err
		}
		time.Sleep(100 * time.Millisecond)
	}
	defer conn.Close()
	answer, err := io.ReadAll(conn)
	if err != nil {
		return err
	}
	if err := os.WriteFile("/kept/heard", answer, 0o600); err != nil {
		return err
	}
	fmt.Printf("heard: %s\n", answer)
	return os.WriteFile("/dev/termination-log", answer, 0o600)
}
