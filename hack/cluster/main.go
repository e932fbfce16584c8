// SPDX-License-Identifier: Apache-2.0

// Command clusterctl builds a Kubernetes from Go modules and runs it on this machine, for tests and demos.
// The script `cluster` in this folder builds and calls it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
)

const usage = `usage: hack/cluster/cluster COMMAND

  up                start the cluster of this checkout; the last line printed is the kubeconfig's path
  down              stop it and remove all it left
  status            tell what runs; exit code 0 if all is well
  load IMAGE.tar    import an image (OCI or docker-archive) into the node
  build             build all binaries into the cache, start nothing
  assets            print a folder with etcd, kube-apiserver and kubectl (for KUBEBUILDER_ASSETS)
  image FLAGS       pack one static binary into an image; see image -help
  test              try all of this with two clusters on this machine (a minute, once built)
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("cluster", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(os.Stderr, usage) }
	sources := flags.String("sources", "hack/cluster", "folder of these sources")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cache, err := cacheFolder()
	if err != nil {
		return err
	}
	log := newProgress(os.Stderr)
	b := builder{sources: *sources, cache: filepath.Join(cache, "bin"), log: log}
	l, err := newLayout(*sources)
	if err != nil {
		return err
	}
	c := cluster{layout: l, builder: b, log: log}

	switch command := flags.Arg(0); command {
	case "up":
		return c.up(ctx)
	case "down":
		return c.down(ctx)
	case "status":
		return c.status(ctx)
	case "load":
		if flags.NArg() != 2 {
			return errors.New("load needs the name of one tarball")
		}
		return c.load(ctx, flags.Arg(1))
	case "image":
		return imageCommand(flags.Args()[1:])
	case "test":
		cmd := exec.CommandContext(ctx, "go", "test", "-tags", "cluster", "-count=1", "-timeout=30m", "-v", ".")
		cmd.Dir, cmd.Stdout, cmd.Stderr = *sources, os.Stdout, os.Stderr
		return cmd.Run()
	case "node": // the first process of the node; `up` starts it
		return runNode(l, b.cache)
	case "supervise": // the second; the first starts it
		return supervise(ctx)
	case "assets":
		dir, err := b.ensure(ctx, kubeAPI)
		if err == nil {
			fmt.Println(dir)
		}
		return err
	case "build":
		for _, c := range allComponents {
			if _, err := b.ensure(ctx, c); err != nil {
				return err
			}
		}
		return nil
	default:
		fmt.Fprint(os.Stderr, usage)
		return fmt.Errorf("unknown command %q", command)
	}
}

// cacheFolder is where finished builds are kept: they outlive clusters and checkouts.
func cacheFolder() (string, error) {
	dir := os.Getenv("RETENTION_CACHE")
	if dir == "" {
		return "", errors.New("set RETENTION_CACHE, a folder for built binaries, or call the script `cluster`")
	}
	return filepath.Abs(dir)
}
