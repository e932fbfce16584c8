// SPDX-License-Identifier: Apache-2.0

package receipt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// plainly "seals" a line as it is.
func plainly(sealed string) ([]byte, error) { return []byte(sealed), nil }

// logged writes an account into a log, between lines of other kinds, and returns its sum.
func logged(t testing.TB, lines ...Line) (string, AccountSum) {
	t.Helper()
	var log strings.Builder
	var sum AccountSum
	for _, l := range lines {
		plain, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		sum = sum.Next(string(plain))
		quoted, err := json.Marshal(string(plain))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&log, `{"time":"2026-11-24T17:00:00Z","level":"INFO","msg":"Progress","dataset":"msg Account"}`+"\n"+
			`{"time":"2026-11-24T17:00:00Z","level":"INFO","msg":"Account","seq":%d,"sealed":%s}`+"\n", sum.Lines, quoted)
	}
	return log.String(), sum
}

func TestOpenAccount(t *testing.T) {
	lines := []Line{{Kind: LineFound, Numbers: []Numbers{{Request: 1, N: 2}}}, {Kind: LineFlight}, {Kind: LineCommitted}, {Kind: LineFinished}}
	log, sum := logged(t, lines...)
	_, earlier := logged(t, lines[:2]...)
	each := strings.SplitAfter(log, "\n")
	tests := map[string]struct {
		log      string
		sum      *AccountSum
		lines    int
		complete bool
	}{
		"whole": {log, &sum, 4, true},
		"with more lines than the receipt counts": {log, &earlier, 4, true},
		"without a receipt, with an end":          {log, nil, 4, true},
		"without a receipt, cut":                  {strings.Join(each[:6], ""), nil, 3, false},
		"cut at the end":                          {strings.Join(each[:6], ""), &sum, 3, false},
		"cut in the last line":                    {log[:len(log)-9], &sum, 3, false},
		"without the last line's end":             {log[:len(log)-1], &sum, 4, true},
		"cut after what the receipt counts":       {strings.Join(each[:5], "") + `{"msg":"Account","se`, &earlier, 2, true},
		"cut at the beginning":                    {strings.Join(each[2:], ""), &sum, 0, false},
		"with a line missing":                     {strings.Join(each[:2], "") + strings.Join(each[4:], ""), &sum, 1, false},
		"with a line twice":                       {strings.Join(each[:4], "") + strings.Join(each[2:], ""), &sum, 2, false},
		"with a number changed":                   {strings.Replace(log, `\"n\":2`, `\"n\":1`, 1), &sum, 3, false},
		"with a line that is no JSON":             {strings.Replace(log, `"{\"k\":\"Found`, `{\"k\":\"Found`, 1), &sum, 0, false},
		"between lines too long to be of it":      {strings.Repeat("x", 3*maxLogLine) + "\n" + log, &sum, 4, true},
		"between lines that are not ours":         {"panic: Account\n\n{}\n" + log, &sum, 4, true},
		"nothing":                                 {"", &sum, 0, false},
		"nothing, without a receipt":              {"", nil, 0, false},
		"nothing was written":                     {"hello\n", &AccountSum{}, 0, true},
		"another process's, of the same length":   {log, &AccountSum{Lines: 4, Digest: earlier.Digest}, 3, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, complete := OpenAccount(strings.NewReader(tt.log), tt.sum, plainly)
			if len(got) != tt.lines || complete != tt.complete {
				t.Errorf("%d lines, complete %v; want %d, %v", len(got), complete, tt.lines, tt.complete)
			}
			for i := range got {
				if got[i].Kind != lines[i].Kind {
					t.Errorf("line %d is %s", i, got[i].Kind)
				}
			}
		})
	}
	t.Run("a line that cannot be opened", func(t *testing.T) {
		n := 0
		got, complete := OpenAccount(strings.NewReader(log), &sum, func(s string) ([]byte, error) {
			if n++; n == 3 {
				return nil, errors.New("no key")
			}
			return plainly(s)
		})
		if len(got) != 2 || complete {
			t.Errorf("%d lines, complete %v", len(got), complete)
		}
	})
}

// A log without an end is read up to a bound.
func TestOpenAccountIsBounded(t *testing.T) {
	endless := &endless{}
	if lines, complete := OpenAccount(endless, &AccountSum{Lines: 1}, plainly); lines != nil || complete || endless.read > maxLog+maxLogLine {
		t.Errorf("%d lines, complete %v, after %d bytes", len(lines), complete, endless.read)
	}
}

type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, bytes.Repeat([]byte("some line\n"), len(p)/10+1))
	e.read += n
	return n, nil
}
