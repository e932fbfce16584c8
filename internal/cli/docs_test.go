// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestDocs: every command stands in docs/cli.md, and every command and flag that stands there exists.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "cli.md"))
	must(t, err)
	docs := string(b)
	root := PluginCommand("v1")
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			if sub.Name() == "help" || sub.Name() == "powershell" || sub.Name() == "zsh" || sub.Name() == "fish" {
				continue
			}
			if !strings.Contains(docs, sub.Name()) {
				t.Errorf("%s is not in docs/cli.md", sub.CommandPath())
			}
			walk(sub)
		}
	}
	walk(root)
	for _, line := range regexp.MustCompile(`(?m)^(?:\$ )?kubectl retention (.+)$`).FindAllStringSubmatch(docs, -1) {
		words := strings.Fields(strings.SplitN(line[1], " | ", 2)[0])
		cmd, _, err := root.Find(words)
		if err != nil || cmd == root {
			t.Errorf("%s: %v", line[0], err)
			continue
		}
		for _, word := range words {
			flag, long := strings.CutPrefix(word, "--")
			if long && cmd.Flags().Lookup(flag) == nil && cmd.InheritedFlags().Lookup(flag) == nil {
				t.Errorf("%s: there is no flag --%s", line[0], flag)
			}
		}
	}
	for _, flag := range regexp.MustCompile("`--([a-z-]+)").FindAllStringSubmatch(docs, -1) {
		if !hasFlag(root, flag[1]) {
			t.Errorf("no command has the flag --%s", flag[1])
		}
	}
}

func hasFlag(cmd *cobra.Command, name string) bool {
	if cmd.Flags().Lookup(name) != nil {
		return true
	}
	for _, sub := range cmd.Commands() {
		if hasFlag(sub, name) {
			return true
		}
	}
	return false
}
