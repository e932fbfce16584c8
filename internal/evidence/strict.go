// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"
)

// Bounds of what is read, in bytes.
const (
	// MaxPayload is how large a statement may be.
	MaxPayload = 4 << 20
	// MaxEnvelope and MaxBundle have room for the base64 of it.
	MaxEnvelope = 6 << 20
	MaxBundle   = 7 << 20
	// MaxCheckpoint is far more than a checkpoint with a hundred signatures has.
	MaxCheckpoint = 64 << 10
	// MaxLeaf is what C2SP tlog-tiles lets an entry be.
	MaxLeaf = 1<<16 - 1

	maxDepth = 16
)

// decode reads JSON as anybody would, or not at all: what two readers might understand in two ways is refused. So are names
// that come twice or that differ in case only, fields that v does not have, and values that v would not write in the same
// way (a null, a time with another zone, a number such as 1e2). what names it in the sentence.
func decode(b []byte, limit int, v any, what string) *Problem {
	if len(b) > limit {
		return problem(CodeTooLarge, "%s has more than %d bytes", what, limit)
	}
	if !utf8.Valid(b) {
		return problem(CodeMalformed, "%s is not UTF-8", what)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	err := d.Decode(v)
	var again []byte
	if err == nil {
		again, err = json.Marshal(v)
	}
	if err == nil && bytes.Equal(b, again) {
		return nil // our own encoding, which has none of these faults
	}
	if p := walkJSON(b, what); p != nil {
		return p
	}
	switch {
	case err != nil && strings.Contains(err.Error(), "unknown field"):
		return problem(CodeUnknown, "%s has something that this version does not know (%v)", what, err)
	case err != nil:
		return problem(CodeMalformed, "%s does not have the form it should have (%v)", what, err)
	case !sameJSON(b, again):
		return problem(CodeUnknown, "%s is written in a way that another reader might understand differently", what)
	}
	return nil
}

// walkJSON refuses names that come twice, too many levels, and anything after the first value.
func walkJSON(b []byte, what string) *Problem {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if p := walkValue(d, 0, what); p != nil {
		return p
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return problem(CodeMalformed, "%s has something after its end", what)
	}
	return nil
}

func walkValue(d *json.Decoder, depth int, what string) *Problem {
	t, err := d.Token()
	if err != nil {
		return problem(CodeMalformed, "%s is not complete JSON (%v)", what, err)
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	if depth == maxDepth {
		return problem(CodeMalformed, "%s is nested too deeply", what)
	}
	names := map[string]bool{}
	for d.More() {
		if delim == '{' {
			t, err := d.Token()
			if err != nil {
				return problem(CodeMalformed, "%s is not complete JSON (%v)", what, err)
			}
			name, _ := t.(string)
			folded := strings.ToLower(name)
			if names[folded] {
				return problem(CodeDuplicate, "%s has the field %q twice, so that two readers may see different values", what, name)
			}
			names[folded] = true
		}
		if p := walkValue(d, depth+1, what); p != nil {
			return p
		}
	}
	if _, err := d.Token(); err != nil { // the closing one
		return problem(CodeMalformed, "%s is not complete JSON (%v)", what, err)
	}
	return nil
}

// sameJSON says whether two texts have the same names and values, whatever the space and the escapes between.
func sameJSON(a, b []byte) bool {
	return reflect.DeepEqual(generic(a), generic(b))
}

func generic(b []byte) (v any) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return err
	}
	return v
}

// unbase64 decodes standard base64 that is written as everybody writes it.
func unbase64(s, what string) ([]byte, *Problem) {
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") {
		return nil, problem(CodeEncoding, "%s is not standard base64", what)
	}
	return b, nil
}
