// SPDX-License-Identifier: Apache-2.0

// Package cli has the commands for people: to see how things stand and why, to run, approve and hold, and to get evidence
// and verify it. They act with the rights of whoever calls them, by the cluster of KUBECONFIG. As kubectl-retention on the
// PATH the program has no other commands, and is a plugin of kubectl.
package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// fieldManager is what a change by these commands is noted as.
const fieldManager = "retention-operator-user"

// operatorNamespace is where config/default installs the operator.
const operatorNamespace = "retention-system"

// exitCodes is told by every help text that needs it.
const exitCodes = "Exit codes: 0 done, or yes; 1 failed, or no; 2 it cannot be told (verify, verify-subject); 3 waits for approval (run, " +
	"simulate, approve-plan, watch); 4 the run did not do all it should, or the hold is not enforced; 5 still under way when --timeout was " +
	"over; 130 interrupted."

// Exit codes.
const (
	exitFailed      = 1
	exitUnknown     = 2
	exitApproval    = 3
	exitNotAll      = 4
	exitTimeout     = 5
	exitInterrupted = 130
)

// Commands are the commands for people.
func Commands() []*cobra.Command {
	return readable([]*cobra.Command{
		statusCommand(), explainCommand(), watchCommand(),
		runCommand(), simulateCommand(), approvePlanCommand(),
		approveCommand(), denyCommand(), sealCommand(), verifySubjectCommand(),
		holdCommand(), releaseCommand(),
		evidenceCommand(), verifyCommand(), reportCommand(),
	})
}

// pluginName is the name by which kubectl finds the program on the PATH.
const pluginName = "kubectl-retention"

// IsPlugin says whether the program was called, as args[0], by the name that makes it a plugin of kubectl.
func IsPlugin(program string) bool {
	return strings.TrimSuffix(filepath.Base(program), ".exe") == pluginName
}

// PluginCommand is the root of `kubectl retention`. It has the commands for people only.
func PluginCommand(version string) *cobra.Command {
	root := &cobra.Command{
		Use:   pluginName,
		Short: "Keep, delete and prove what was promised about personal data",
		Long: wrap("See how retention policies, erasure requests and legal holds stand, why a record is or is not deleted, run and approve, "+
			"and get the signed evidence and verify it.\n\n"+exitCodes, helpWidth),
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl retention"},
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(Commands()...)
	root.InitDefaultCompletionCmd()
	if completion, _, err := root.Find([]string{"completion"}); err == nil && completion != root {
		completion.AddCommand(pluginCompletionCommand())
	}
	return root
}

// pluginCompletionCommand prints what kubectl runs to complete the words of a plugin.
func pluginCompletionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "kubectl",
		Short: "Print the script by which kubectl completes `kubectl retention`",
		Long: "Print the script by which kubectl completes `kubectl retention`, in every shell that kubectl completes. Save it as " +
			"kubectl_complete-retention on the PATH, and make it executable.",
		Example: "  kubectl retention completion kubectl | sudo tee /usr/local/bin/kubectl_complete-retention\n" +
			"  sudo chmod +x /usr/local/bin/kubectl_complete-retention",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "#!/bin/sh\nexec %s __complete \"$@\"\n", pluginName)
			return err
		},
	}
}

// ExitError carries an exit code to main, and an error if one has to be told of.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err != nil {
		return e.Err.Error()
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

func (e *ExitError) Unwrap() error { return e.Err }

// cannotTell makes errors in how a command is called end with exitUnknown, where 1 is an answer.
func cannotTell(cmd *cobra.Command) *cobra.Command {
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &ExitError{Code: exitUnknown, Err: err} })
	args := cmd.Args
	cmd.Args = func(cmd *cobra.Command, list []string) error {
		if err := args(cmd, list); err != nil {
			return &ExitError{Code: exitUnknown, Err: err}
		}
		return nil
	}
	return cmd
}
