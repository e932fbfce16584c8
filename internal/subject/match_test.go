// SPDX-License-Identifier: Apache-2.0

package subject

import "testing"

func TestCanonical(t *testing.T) {
	for name, c := range map[string]struct {
		match, value, want string
		ok                 bool
	}{
		"exact":                           {"Exact", " Anna ", " Anna ", true},
		"exact keeps leading zeros":       {"Exact", "007", "007", true},
		"case":                            {"IgnoreCase", "Anna@Example.COM", "anna@example.com", true},
		"case beyond ASCII":               {"IgnoreCase", "JÖRG@EXAMPLE.DE", "jörg@example.de", true},
		"dots and tags are not folded":    {"IgnoreCase", "a.nna+x@gmail.com", "a.nna+x@gmail.com", true},
		"E.164":                           {"E164", "+4930123456", "+4930123456", true},
		"written for people":              {"E164", "+49 (30) 12-34-56", "+4930123456", true},
		"with the zero of the area":       {"E164", "+49 (0)30 123456", "+4930123456", true},
		"international prefix":            {"E164", "0049 30 123456", "+4930123456", true},
		"full-width digits":               {"E164", "＋４９３０１２３４５６", "+4930123456", true},
		"an Italian zero belongs to it":   {"E164", "+39 06 1234567", "+39061234567", true},
		"a URI":                           {"E164", "tel:+1-201-555-0123", "+12015550123", true},
		"an extension is somebody else":   {"E164", "+1 201 555 0123 ext. 7", "+12015550123;ext=7", true},
		"no country code":                 {"E164", "030 123456", "", false},
		"no country code, American style": {"E164", "(201) 555-0123", "", false},
		"too short":                       {"E164", "+49 1", "", false},
		"too long":                        {"E164", "+49301234567890123456", "", false},
		"an e-mail address":               {"E164", "anna@example.com", "", false},
		"empty":                           {"E164", "", "", false},
		"zeros":                           {"E164", "00", "", false},
		"an unknown way":                  {"Soundex", "x", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := Canonical(c.match, c.value); got != c.want || ok != c.ok {
				t.Errorf("got %q, %v, want %q, %v", got, ok, c.want, c.ok)
			}
		})
	}
}

// FuzzCanonical sees that no value of a database brings the process down, and that a canonical form is its own.
func FuzzCanonical(f *testing.F) {
	for _, s := range []string{"+4930123456", "+1 201 555 0123 ext. 7", "tel:+39-06;phone-context=+1", "+800 1234 5678", "\xff+", "+0", "++49"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, match := range []string{"Exact", "IgnoreCase", "E164"} {
			once, ok := Canonical(match, value)
			if !ok {
				continue
			}
			if twice, ok := Canonical(match, once); !ok || twice != once {
				t.Errorf("%s: %q, then %q, %v", match, once, twice, ok)
			}
		}
	})
}
