// SPDX-License-Identifier: Apache-2.0

// Package subject knows the identifiers of a person: how they are written, compared, and committed to. Nothing that it
// returns but a commitment may be logged or stored in plain text, and none of its errors quotes an identifier.
package subject

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Identifier identifies a person: a type as data maps name it, and a value.
type Identifier struct {
	Type, Value string
}

// Bounds of a subject.
const (
	// MaxIdentifiers is the most identifiers that one person may have, those that were found included.
	MaxIdentifiers = 256
	// MaxValue is the most bytes of a value.
	MaxValue = 512
)

// Errors of Parse and FromFiles.
var (
	ErrEmpty   = errors.New("there is no identifier")
	ErrTooMany = fmt.Errorf("there are more than %d identifiers", MaxIdentifiers)
)

var typePattern = regexp.MustCompile(`^[a-z]([a-z0-9_]*[a-z0-9])?$`)

// ValidType says whether t has the form of a type of identifier.
func ValidType(t string) bool { return len(t) <= 63 && typePattern.MatchString(t) }

// Parse reads one `type=value` per line. Empty lines and lines that begin with # do not count. The result is sorted, each
// identifier once. An error names the line, never its content.
func Parse(text []byte) ([]Identifier, error) {
	var out []Identifier
	for n, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		kind, value, found := strings.Cut(line, "=")
		kind = strings.TrimSpace(kind)
		if !found || !ValidType(kind) {
			return nil, fmt.Errorf("line %d: write type=identifier, with a type of lower-case letters, digits and '_'", n+1)
		}
		id, err := clean(kind, value)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n+1, err)
		}
		out = append(out, id)
	}
	return distinct(out)
}

// FromFiles reads identifiers as a Secret holds them: the key is the type, the value has one identifier per line.
func FromFiles(files map[string][]byte) ([]Identifier, error) {
	var out []Identifier
	for kind, content := range files {
		if !ValidType(kind) {
			return nil, errors.New("a key is no type of identifier: write lower-case letters, digits and '_'")
		}
		for line := range strings.SplitSeq(string(content), "\n") {
			if strings.TrimSpace(line) == "" {
				continue
			}
			id, err := clean(kind, line)
			if err != nil {
				return nil, fmt.Errorf("key %s: %w", kind, err)
			}
			out = append(out, id)
		}
	}
	return distinct(out)
}

// Format writes what Parse reads.
func Format(ids []Identifier) string {
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(id.Type + "=" + id.Value + "\n")
	}
	return b.String()
}

// Types are the distinct types of ids, in their order.
func Types(ids []Identifier) []string {
	var out []string
	for _, id := range ids {
		out = append(out, id.Type)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// Union is a and b together, sorted, each identifier once.
func Union(a, b []Identifier) []Identifier {
	out := slices.Concat(a, b)
	slices.SortFunc(out, compare)
	return slices.Compact(out)
}

// clean bounds a value. Space around it is not part of it.
func clean(kind, value string) (Identifier, error) {
	value = strings.TrimSpace(value)
	switch {
	case value == "":
		return Identifier{}, errors.New("the identifier is empty")
	case len(value) > MaxValue:
		return Identifier{}, fmt.Errorf("the identifier has more than %d bytes", MaxValue)
	case !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
		return Identifier{}, errors.New("the identifier holds control characters, or is not UTF-8")
	}
	return Identifier{kind, value}, nil
}

func distinct(ids []Identifier) ([]Identifier, error) {
	ids = Union(ids, nil)
	switch {
	case len(ids) == 0:
		return nil, ErrEmpty
	case len(ids) > MaxIdentifiers:
		return nil, ErrTooMany
	}
	return ids, nil
}

func compare(a, b Identifier) int {
	return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Value, b.Value))
}
