// SPDX-License-Identifier: Apache-2.0

package subject

import "strings"

// Operator is the scope of what the operator has sealed for itself. No namespace has this name.
const Operator = "#operator"

// The comment lines that say where a text may be used. Whoever copies what was sealed cannot change them.
const (
	namespaceLine = "namespace:"
	operatorLine  = "operator"
)

// Scope says in which namespace a text may be used: what its first comment line `# namespace: name` names, Operator if that
// is `# operator`, or "" if no line says.
func Scope(text []byte) string {
	for line := range strings.Lines(string(text)) {
		comment, found := strings.CutPrefix(strings.TrimSpace(line), "#")
		if !found {
			continue
		}
		comment = strings.TrimSpace(comment)
		if comment == operatorLine {
			return Operator
		}
		if namespace, found := strings.CutPrefix(comment, namespaceLine); found {
			return strings.TrimSpace(namespace)
		}
	}
	return ""
}

// FormatFor writes what Parse and Scope read: the scope, and the identifiers.
func FormatFor(scope string, ids []Identifier) string {
	if scope == Operator {
		return "# " + operatorLine + "\n" + Format(ids)
	}
	return "# " + namespaceLine + " " + scope + "\n" + Format(ids)
}
