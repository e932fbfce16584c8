// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParse(t *testing.T) {
	got, err := Parse([]byte("# a comment\n\nphone = +49 30 123456 \r\nemail=anna@example.com\nemail=anna@example.com\nemail=a=b@example.com\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Identifier{{"email", "a=b@example.com"}, {"email", "anna@example.com"}, {"phone", "+49 30 123456"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{"email", "phone"}, Types(got)); diff != "" {
		t.Errorf("types (-want +got):\n%s", diff)
	}
}

func TestFromFiles(t *testing.T) {
	got, err := FromFiles(map[string][]byte{"email": []byte("b@example.com\n\n a@example.com\n"), "customer_id": []byte("0042")})
	if err != nil {
		t.Fatal(err)
	}
	want := []Identifier{{"customer_id", "0042"}, {"email", "a@example.com"}, {"email", "b@example.com"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	// What stands after # in a Secret is an identifier: a value may begin with it.
	if got, err := FromFiles(map[string][]byte{"handle": []byte("#anna")}); err != nil || got[0].Value != "#anna" {
		t.Errorf("got %v, %v", got, err)
	}
}

const secretValue = "anna.schmidt"

func TestRefusals(t *testing.T) {
	long := strings.Repeat(secretValue, 50)
	var many strings.Builder
	for i := range MaxIdentifiers + 1 {
		fmt.Fprintf(&many, "email=%s%d\n", secretValue, i)
	}
	for name, c := range map[string]struct {
		text string
		want string
	}{
		"nothing":            {"\n# only a comment\n", ErrEmpty.Error()},
		"no type":            {"email=x\n" + secretValue, "line 2: write type=identifier"},
		"value as type":      {secretValue + "@example.com=x", "line 1: write type=identifier"},
		"empty":              {"email= ", "line 1: the identifier is empty"},
		"too long":           {"email=" + long, "line 1: the identifier has more than 512 bytes"},
		"control characters": {"email=" + secretValue + "\x00", "line 1: the identifier holds control characters"},
		"no UTF-8":           {"email=" + secretValue + "\xff", "line 1: the identifier holds control characters, or is not UTF-8"},
		"too many":           {many.String(), ErrTooMany.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse([]byte(c.text))
			if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Fatalf("got %v, want %s…", err, c.want)
			}
			if strings.Contains(err.Error(), secretValue) {
				t.Errorf("the error quotes an identifier: %v", err)
			}
		})
	}
	if _, err := FromFiles(map[string][]byte{secretValue: []byte("x")}); err == nil || strings.Contains(err.Error(), secretValue) {
		t.Errorf("the error quotes a key that may be an identifier: %v", err)
	}
	if _, err := FromFiles(map[string][]byte{"email": []byte("\n")}); !errors.Is(err, ErrEmpty) {
		t.Errorf("got %v", err)
	}
}

// messages are all errors there are, without their numbers.
var messages = []string{
	"there is no identifier",
	"there are more than # identifiers",
	"line #: write type=identifier, with a type of lower-case letters, digits and '_'",
	"line #: the identifier is empty",
	"line #: the identifier has more than # bytes",
	"line #: the identifier holds control characters, or is not UTF-8",
	"a key is no type of identifier: write lower-case letters, digits and '_'",
	"key email: the identifier has more than # bytes",
	"key email: the identifier holds control characters, or is not UTF-8",
}

// FuzzErrors looks for an error that says anything of what was read.
func FuzzErrors(f *testing.F) {
	for _, s := range []string{"email=anna@example.com", "anna", "=", "email=", "e\xffmail=x", "Email=anna", "email=a\tb", "# x", strings.Repeat("x", 600)} {
		f.Add(s)
	}
	number := regexp.MustCompile(" [0-9]+")
	f.Fuzz(func(t *testing.T, value string) {
		_, parse := Parse([]byte(value))
		_, valued := Parse([]byte("email=" + value))
		_, filed := FromFiles(map[string][]byte{"email": []byte(value)})
		errs := []error{parse, valued, filed}
		if !ValidType(value) {
			_, keyed := FromFiles(map[string][]byte{value: []byte("v")})
			errs = append(errs, keyed)
		}
		for _, err := range errs {
			if err != nil && !slices.Contains(messages, number.ReplaceAllString(err.Error(), " #")) {
				t.Errorf("an unknown error: %v", err)
			}
		}
	})
}

func TestFormatIsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ids := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Identifier {
			return Identifier{
				rapid.StringMatching(`[a-z]([a-z0-9_]{0,8}[a-z0-9])?`).Draw(t, "type"),
				rapid.StringMatching(`[^\s\pC]([^\pC]{0,20}[^\s\pC])?`).Filter(func(s string) bool { return strings.TrimSpace(s) == s }).Draw(t, "value"),
			}
		}), 1, 20).Draw(t, "ids")
		ids = Union(ids, nil)
		got, err := Parse([]byte(Format(ids)))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(ids, got); diff != "" {
			t.Fatalf("-want +got:\n%s", diff)
		}
	})
}

func TestUnion(t *testing.T) {
	a, b := Identifier{"email", "a"}, Identifier{"email", "b"}
	in := []Identifier{b}
	got := Union(in, []Identifier{a, b})
	if diff := cmp.Diff([]Identifier{a, b}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if in[0] != b {
		t.Error("the argument was changed")
	}
}
