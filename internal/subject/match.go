// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"strings"

	"github.com/nyaruka/phonenumbers"
)

// The ways of comparing, with the names of a Plan's Match.
const (
	matchExact      = "Exact"
	matchIgnoreCase = "IgnoreCase"
	matchE164       = "E164"
)

// unknownRegion has phonenumbers take only numbers that name their country.
const unknownRegion = "ZZ"

// Canonical returns the form in which two values are equal if they are to match. It says false if the value has no such
// form and so matches nothing: for E164 what is no telephone number, or one that does not begin with a country code (+49 or
// 0049), since nobody knows whose it is.
//
// IgnoreCase folds as Go does. A database folds by the rules of its locale, so compare there what it has folded itself.
func Canonical(match, value string) (string, bool) {
	switch match {
	case matchExact:
		return value, true
	case matchIgnoreCase:
		return strings.ToLower(value), true
	case matchE164:
		return e164(value)
	default:
		return "", false
	}
}

// e164 is a telephone number as +, country code and subscriber. An extension is part of it: behind one number of a company
// there are many persons.
func e164(value string) (string, bool) {
	value = strings.TrimSpace(value)
	if rest, found := strings.CutPrefix(value, "00"); found {
		value = "+" + rest
	}
	number, err := phonenumbers.Parse(value, unknownRegion)
	if err != nil || !phonenumbers.IsPossibleNumber(number) {
		return "", false
	}
	out := phonenumbers.Format(number, phonenumbers.E164)
	if ext := number.GetExtension(); ext != "" {
		out += ";ext=" + ext
	}
	return out, true
}
