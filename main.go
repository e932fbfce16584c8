// SPDX-License-Identifier: Apache-2.0

// Command retention-operator keeps the promise of how long personal data is stored: its controllers launch purge Jobs,
// and those Jobs run this same binary. A few commands are for people.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"dataretention.dev/retention-operator/controllers"
	"dataretention.dev/retention-operator/internal/cli"
	"dataretention.dev/retention-operator/internal/ledger"
	"dataretention.dev/retention-operator/internal/purge"
)

// version is set at link time.
var version string

func main() {
	os.Exit(run())
}

// run returns the exit code, after everything deferred has been done.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cmd := newCommand()
	if cli.IsPlugin(os.Args[0]) {
		cmd = cli.PluginCommand(versionText())
	}
	if err := cmd.ExecuteContext(ctx); err != nil {
		var exit *purge.ExitError
		if errors.As(err, &exit) {
			return exit.Code
		}
		code := 1
		var answer *cli.ExitError
		if errors.As(err, &answer) {
			if code = answer.Code; answer.Err == nil {
				return code
			}
		}
		fmt.Fprintln(os.Stderr, "Error:", err)
		return code
	}
	return 0
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "retention-operator",
		Short:         "Purge expired personal data, and prove it",
		Version:       versionText(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(controllers.ManagerCommand(versionText()), purge.Command(), ledger.Command(), versionCommand())
	root.AddCommand(cli.Commands()...)
	return root
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), versionText())
		},
	}
}

// versionText is what was set at link time, or else what the build knows of itself.
func versionText() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
