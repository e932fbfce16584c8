// SPDX-License-Identifier: Apache-2.0

package subject

import (
	"crypto/rand"
	"testing"
)

func TestAgree(t *testing.T) {
	anna, anna2, bea, number := Identifier{"email", "anna@example.com"}, Identifier{"email", "anna@example.org"}, Identifier{"email", "bea@example.com"}, Identifier{"customer_id", "7"}
	filed := Union([]Identifier{anna, anna2, number}, nil)
	commitments, err := CommitAll(rand.Reader, filed)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		ids  []Identifier
		want bool
	}{
		"the same":                     {filed, true},
		"and one of another type":      {Union(filed, []Identifier{{"phone", "+4930123456"}}), true},
		"one more":                     {Union(filed, []Identifier{bea}), false},
		"one in place of another":      {Union([]Identifier{anna, number}, []Identifier{bea}), false},
		"one less":                     {Union([]Identifier{anna, number}, nil), false},
		"a type less":                  {Union([]Identifier{anna, anna2}, nil), false},
		"none":                         {nil, false},
		"the value under another type": {Union(filed[1:], []Identifier{{"device_id", "7"}}), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Agree(commitments, tc.ids); got != tc.want {
				t.Errorf("Agree = %v", got)
			}
		})
	}
	if !Agree(nil, filed) {
		t.Error("without commitments there is nothing to disagree with")
	}
}
