// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	"errors"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxCaseText is the most characters of a CaseText.
const maxCaseText = 256

// What a CaseText may not look like, as its rules in the CRD say.
var (
	mailPattern   = regexp.MustCompile(`[@＠﹫]|%40|[(\[{] ?at ?[)\]}]`)
	numberPattern = regexp.MustCompile(`\p{Nd}([ \x{a0}./()–-]{0,3}\p{Nd}){8}`)
	filePattern   = regexp.MustCompile(`^\P{Nd}*((19|20)[0-9]{2}[/-]([0-9][./ -]?){1,8}|([0-9][./ -]?){1,8}[/-](19|20)[0-9]{2})\P{Nd}*$`)
	devicePattern = regexp.MustCompile(`([0-9]{1,3}[.]){3}[0-9]|([0-9A-Fa-f]{1,4}:){4}|::[0-9A-Fa-f]|[0-9A-Fa-f]::|([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}|[0-9A-Fa-f]{8}-([0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}`)
)

// Validate says what the API server says of a CaseText, for texts that come from elsewhere, such as an annotation: one that
// it refuses cannot be stored in a status. The error does not quote the text.
func (t CaseText) Validate() error {
	text := string(t)
	switch n := utf8.RuneCountInString(text); {
	case n == 0 || n > maxCaseText:
		return errors.New("it does not have 1 to 256 characters")
	case strings.ContainsFunc(text, unicode.IsControl):
		return errors.New("it is not one line without control characters")
	case mailPattern.MatchString(text), devicePattern.MatchString(text), numberPattern.MatchString(text) && !filePattern.MatchString(text):
		return errors.New("it looks as if it held an identifier of a person")
	}
	return nil
}
