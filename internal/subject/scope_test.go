// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestScope(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "",
		"email=a@example.com":                   "",
		"# from the form\nemail=a@example.com":  "",
		"# namespace: shop\nemail=a":            "shop",
		"\ufeff# namespace: shop\nemail=a":      "", // no comment, and no identifier either: Parse refuses it
		"\r\n#namespace:shop\r\nemail=a\r\n":    "shop",
		"email=a\n# namespace: shop":            "shop",
		"# namespace: a\n# namespace: b\n":      "a",
		"# operator\nemail=a":                   Operator,
		"# namespace: operator\nemail=a":        "operator",
		"handle=# namespace: shop":              "",
		"# operators know her\nemail=a":         "",
		"# namespace: shop and desk\nemail=a\n": "shop and desk",
	} {
		if got := Scope([]byte(text)); got != want {
			t.Errorf("Scope(%q) = %q, want %q", text, got, want)
		}
	}
	ids := []Identifier{{"email", "a@example.com"}, {"phone", "1"}}
	for _, scope := range []string{"shop", Operator} {
		text := []byte(FormatFor(scope, ids))
		got, err := Parse(text)
		if diff := cmp.Diff(ids, got); diff != "" || err != nil || Scope(text) != scope {
			t.Errorf("%s: scope %q, %v, -want +got:\n%s", scope, Scope(text), err, diff)
		}
	}
	if _, err := Parse([]byte("\ufeff# namespace: shop\nemail=a")); err == nil {
		t.Error("a text whose scope is hidden is read")
	}
}
