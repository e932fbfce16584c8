// SPDX-License-Identifier: Apache-2.0

package postgresql

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dataretention.dev/retention-operator/internal/plan"
	"dataretention.dev/retention-operator/internal/subject"
)

var (
	hexadecimal = regexp.MustCompile(`^[0-9a-f]{32}$`)
	decimal     = regexp.MustCompile(`^[+-]?[0-9]{1,1000}(\.[0-9]{1,1000})?$`)
)

// admit returns the text as the column's type may write it, and false if no value of the type is written like this: such a
// text equals nothing, and the server is not asked to cast it.
func (c column) admit(text string) (string, bool) {
	switch c.base {
	case "int2", "int4", "int8":
		n, err := strconv.ParseInt(text, 10, 64)
		return strconv.FormatInt(n, 10), err == nil
	case "numeric":
		return text, decimal.MatchString(text)
	case "uuid":
		digits := strings.ToLower(strings.NewReplacer("-", "", "{", "", "}", "").Replace(text))
		if !hexadecimal.MatchString(digits) {
			return "", false
		}
		return digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:], true
	case "inet", "cidr":
		if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
			return addr.String(), true
		}
		prefix, err := netip.ParsePrefix(text)
		if err != nil || c.base == "cidr" && prefix != prefix.Masked() {
			return "", false
		}
		if prefix.IsSingleIP() {
			return prefix.Addr().String(), true
		}
		return prefix.String(), true
	case "bpchar":
		return strings.TrimRight(text, " "), true
	}
	return text, !strings.ContainsRune(text, 0)
}

// is renders the condition that x, a value of the column, equals the text v, which the column admits. An index on the bare
// column can be used for the common types. exactly says that equal text is meant also where the type, or its collation,
// takes different texts for equal.
func (c column) is(x, v string, exactly bool) string {
	collate := ""
	if c.collation != "" {
		collate = " COLLATE " + c.collation
	}
	same := plain(x) + " = " + plain(v)
	var equal string
	switch c.base {
	case "int2", "int4", "int8":
		return x + " = (" + v + ")::bigint"
	case "numeric", "uuid", "inet", "cidr":
		return x + " = (" + v + ")::" + c.base
	case "text", "varchar":
		equal = x + " = (" + v + ")::text" + collate
	case "bpchar":
		equal = x + " = (" + v + ")::bpchar" + collate
	case "citext":
		equal = x + " = (" + v + ")::" + c.declared
	default:
		return same
	}
	if exactly {
		return equal + " AND " + same
	}
	return equal
}

// oneOf renders the condition that x, a value of the column, may equal one of the texts of the array v. It is what a server
// can look up in an index, or in a hash table, while it reads the table once; is has the last word.
func (c column) oneOf(x, v string) string {
	switch c.base {
	case "int2", "int4", "int8":
		return x + " = ANY (" + v + "::bigint[])"
	case "numeric", "uuid", "inet", "bpchar":
		return x + " = ANY (" + v + "::" + c.base + "[])"
	case "cidr":
		return x + " = ANY (" + v + "::inet[])"
	case "text", "varchar":
		return x + " = ANY (" + v + ")"
	case "citext":
		return x + " = ANY (" + v + "::" + c.declared + "[])"
	}
	return plain(x) + " = ANY (" + v + ")"
}

// identified is a field that carries a type of identifier.
type identified struct {
	kind   string
	column column
	match  plan.Match
	// ends says that the record may be about another person. leads says that a record which was found leads on by it: it
	// does not end, and is the only field of its kind.
	ends, leads bool
}

// is renders the condition that x matches a form of an identifier.
func (i identified) is(x, v string) string {
	switch i.match {
	case plan.MatchIgnoreCase:
		return i.bare(x) + " = lower(" + v + ")"
	case plan.MatchE164:
		return i.bare(x) + " = " + v
	}
	return i.column.is(x, v, true)
}

// oneOf is column.oneOf for forms that the server has folded.
func (i identified) oneOf(x, v string) string {
	if i.match == plan.MatchIgnoreCase || i.match == plan.MatchE164 {
		return i.bare(x) + " = ANY (" + v + ")"
	}
	return i.column.oneOf(x, v)
}

// bare renders what is compared of x.
func (i identified) bare(x string) string {
	if i.match == plan.MatchE164 {
		return "regexp_replace(regexp_replace((" + x + `)::text, '[^0-9+]', '', 'g'), '^(\+|00)', '+')`
	}
	return "lower((" + x + ")::text)"
}

// forms are the texts to look for where a value is meant. The server folds by the rules of its locale, which may know
// fewer letters than we do. A telephone number may be written with the zero that is dialled inside a country.
func (i identified) forms(value string) []string {
	switch i.match {
	case plan.MatchIgnoreCase:
		forms := []string{value, strings.ToLower(value), strings.ToUpper(value)}
		slices.Sort(forms)
		return slices.Compact(forms)
	case plan.MatchE164:
		number, ok := subject.Canonical(string(plan.MatchE164), value)
		if !ok {
			return nil
		}
		number = strings.Replace(number, ";ext=", "", 1)
		forms := []string{number}
		for at := 2; at <= 4 && at < len(number); at++ { // after +, and a country code of one to three digits
			forms = append(forms, number[:at]+"0"+number[at:])
		}
		return forms
	}
	if form, ok := i.column.admit(value); ok {
		return []string{form}
	}
	return nil
}

// canonical is the form in which two texts are equal if they match, false for a text that matches nothing.
func (i identified) canonical(text string) (string, bool) {
	switch i.match {
	case plan.MatchIgnoreCase, plan.MatchE164:
		return subject.Canonical(string(i.match), text)
	}
	return i.column.admit(text)
}
