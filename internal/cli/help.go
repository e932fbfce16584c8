// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// helpWidth is how wide help texts are.
const helpWidth = 100

// arguments wants so many arguments, and else says how the command is written.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || len(args) > most {
			return fmt.Errorf("write it as: %s", strings.TrimSuffix(cmd.UseLine(), " [flags]"))
		}
		return nil
	}
}

// readable breaks the lines of the help texts of commands, and of what is below them.
func readable(commands []*cobra.Command) []*cobra.Command {
	for _, cmd := range commands {
		cmd.Long = wrap(cmd.Long, helpWidth)
		cmd.SetUsageTemplate(strings.ReplaceAll(cmd.UsageTemplate(), "Flags.FlagUsages ", fmt.Sprintf("Flags.FlagUsagesWrapped %d ", helpWidth)))
		readable(cmd.Commands())
	}
	return commands
}

// wrap breaks the lines of a text at spaces.
func wrap(text string, width int) string {
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		used := 0
		var b strings.Builder
		for i, word := range strings.Split(line, " ") {
			n := utf8.RuneCountInString(word)
			switch {
			case i == 0:
			case used+1+n > width:
				b.WriteByte('\n')
				used = 0
			default:
				b.WriteByte(' ')
				used++
			}
			b.WriteString(word)
			used += n
		}
		lines = append(lines, b.String())
	}
	return strings.Join(lines, "\n")
}
