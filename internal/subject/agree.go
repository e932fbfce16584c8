// SPDX-License-Identifier: Apache-2.0

package subject

import "strings"

// CommittedType is the type of the identifier that a commitment is to.
func CommittedType(commitment string) string {
	kind, _, _ := strings.Cut(commitment, ":")
	return kind
}

// Agree says whether ids, sorted as Parse and FromFiles return them, are what the commitments were made to: of each type
// that has a commitment the same identifiers, none more and none less. Beyond MaxCommitments nobody can tell.
func Agree(commitments []string, ids []Identifier) bool {
	left := map[string][]string{}
	for _, c := range commitments {
		left[CommittedType(c)] = append(left[CommittedType(c)], c)
	}
	full := len(commitments) >= MaxCommitments
	for _, id := range ids {
		of, known := left[id.Type]
		switch {
		case !known, len(of) == 0 && full:
		case len(of) == 0 || !Committed(of[0], id):
			return false
		default:
			left[id.Type] = of[1:]
		}
	}
	for _, of := range left {
		if len(of) > 0 {
			return false
		}
	}
	return true
}
