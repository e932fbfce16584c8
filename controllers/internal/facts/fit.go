// SPDX-License-Identifier: Apache-2.0

package facts

import (
	"reflect"
	"strings"
	"time"
	"unicode"

	"dataretention.dev/retention-operator/controllers/internal/status"
	"dataretention.dev/retention-operator/internal/evidence"
)

// Bounds within which every text fits, in bytes, and from when on times are plausible (evidence.Validate).
const (
	maxText   = 4096
	firstYear = 2020
	lastYear  = 2199
)

// timeType is that of the fields that Fit looks at as a whole.
var timeType = reflect.TypeFor[time.Time]()

// Fit makes a predicate one that can be signed, whatever a node's clock or a text says: otherwise the statement would never be
// made, and its run would wait for ever. Control characters become spaces, texts are cut, and what cannot be a time of the
// operator's own is absent. Slots and cutoffs, of which others make what they want, stay.
func Fit(p *evidence.Predicate) { fit(reflect.ValueOf(p).Elem(), "") }

func fit(v reflect.Value, name string) {
	switch v.Kind() {
	case reflect.String:
		if s := v.String(); printable(s) != s { // what is shared is not written without need
			v.SetString(printable(s))
		}
	case reflect.Pointer:
		switch {
		case v.IsNil():
		case v.Type().Elem() == timeType && name != "Slot" && name != "Cutoff" && name != "ReceivedTime" && name != "ExtendedFrom":
			if t := v.Elem().Interface().(time.Time).UTC(); t.Year() < firstYear || t.Year() > lastYear {
				v.SetZero()
			}
		default:
			fit(v.Elem(), name)
		}
	case reflect.Struct:
		if v.Type() == timeType {
			return
		}
		for i := range v.NumField() {
			fit(v.Field(i), v.Type().Field(i).Name)
		}
	case reflect.Slice:
		for i := range v.Len() {
			fit(v.Index(i), name)
		}
	}
}

func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, " "))
	return status.Truncate(s, maxText)
}
