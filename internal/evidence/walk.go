// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of what a statement says. Statuses, which statements are made from, have narrower ones.
const (
	MaxText   = 32768 // bytes of a message
	MaxString = 4096  // bytes of any other string
	MaxItems  = 10000 // of any list
	// FirstYear is when there was no operator yet: an earlier time is a clock that was never set. Cutoffs, slots and the times
	// of a request are not the operator's own, and may be earlier.
	FirstYear = 2020
	// LastYear is far off, and near enough that nanoseconds since 1970 fit into 64 bits.
	LastYear = 2199
)

var (
	timeType = reflect.TypeFor[time.Time]()
	// ofOthers are the times that are not the operator's own, and may be of any year.
	ofOthers = map[string]bool{"cutoff": true, "receivedTime": true, "extendedFrom": true, "slot": true}
	// texts are the fields with sentences.
	texts = map[string]bool{"message": true, "extensionBasis": true, "release": true, "ruleReason": true}
	// signed are the numbers that may be negative.
	signed = map[string]bool{"clockSkewMilliseconds": true, "exitCode": true}
)

// Normalize writes all times of the statement in UTC. It changes no value that the statement only points to.
func (s *Statement) Normalize() { toUTC(reflect.ValueOf(s).Elem()) }

func toUTC(v reflect.Value) {
	switch {
	case v.Type() == timeType:
		v.Set(reflect.ValueOf(v.Interface().(time.Time).Round(0).UTC()))
	case v.Kind() == reflect.Pointer && !v.IsNil() && v.Type().Elem() == timeType:
		t := v.Elem().Interface().(time.Time).Round(0).UTC()
		v.Set(reflect.ValueOf(&t))
	case v.Kind() == reflect.Pointer && !v.IsNil():
		toUTC(v.Elem())
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			toUTC(v.Field(i))
		}
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() != reflect.String:
		for i := range v.Len() {
			toUTC(v.Index(i))
		}
	}
}

// bounded says what exceeds the bounds that hold everywhere: path is that of the field in JSON, name its last part.
func bounded(v reflect.Value, path, name string) error {
	switch {
	case v.Type() == timeType:
		return boundedTime(v.Interface().(time.Time), path, name)
	case v.Kind() == reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return bounded(v.Elem(), path, name)
	}
	switch v.Kind() {
	case reflect.String:
		return boundedString(v.String(), path, name)
	case reflect.Int32, reflect.Int64:
		if v.Int() < 0 && !signed[name] {
			return fmt.Errorf("%s is %d: nothing is counted below zero", path, v.Int())
		}
	case reflect.Struct:
		return boundedFields(v, path)
	case reflect.Slice:
		if v.Len() > MaxItems {
			return fmt.Errorf("%s has %d items, more than %d", path, v.Len(), MaxItems)
		}
		for i := range v.Len() {
			if err := bounded(v.Index(i), fmt.Sprintf("%s[%d]", path, i), name); err != nil {
				return err
			}
		}
	}
	return nil
}

func boundedFields(v reflect.Value, path string) error {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		at := strings.TrimPrefix(path+"."+name, ".")
		if f.Anonymous {
			at = path
		}
		if err := bounded(v.Field(i), at, name); err != nil {
			return err
		}
	}
	return nil
}

func boundedString(s, path, name string) error {
	limit := MaxString
	if texts[name] {
		limit = MaxText
	}
	if len(s) > limit {
		return fmt.Errorf("%s has %d bytes, more than %d", path, len(s), limit)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%s is not UTF-8", path)
	}
	if i := strings.IndexFunc(s, func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }); i >= 0 {
		return fmt.Errorf("%s has a control character at byte %d", path, i)
	}
	return nil
}

func boundedTime(t time.Time, path, name string) error {
	_, offset := t.Zone()
	switch {
	case t.IsZero():
		return fmt.Errorf("%s is missing", path)
	case offset != 0 || t.Location().String() != "UTC":
		return fmt.Errorf("%s is not in UTC", path)
	case t.Year() > LastYear || t.Year() < 1 || t.Year() < FirstYear && !ofOthers[name]:
		return fmt.Errorf("%s is %s, which cannot be", path, t.Format(time.RFC3339))
	}
	return nil
}
