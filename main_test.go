// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"io"
	"testing"
)

func TestVersion(t *testing.T) {
	version = "v1.2.3"
	var out bytes.Buffer
	cmd := newCommand()
	cmd.SetArgs([]string{"version"})
	cmd.SetOut(&out)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); got != "v1.2.3\n" {
		t.Errorf("got %q", got)
	}
}

func TestCommands(t *testing.T) {
	cmd := newCommand()
	for _, want := range []string{"manager", "version"} {
		if sub, _, err := cmd.Find([]string{want}); err != nil || sub.Name() != want {
			t.Errorf("there is no command %s: %v", want, err)
		}
	}
	cmd.SetArgs([]string{"mangaer"})
	cmd.SetOut(io.Discard)
	if err := cmd.ExecuteContext(t.Context()); err == nil {
		t.Error("an unknown command is no error")
	}
}
