// SPDX-License-Identifier: Apache-2.0

package v1alpha1_test

import (
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"dataretention.dev/retention-operator/internal/testing/apiserver"
)

const sealed = `-----BEGIN AGE ENCRYPTED FILE-----
YWdlLWVuY3J5cHRpb24ub3JnL3YxCi0+IFgyNTUxOSBNWnpuQjlKTWFmdkhNRWZU
3Ok1+c+t4bZ69slXNf0CI46rxTZmN/qBkjK6NlGtTQ==
-----END AGE ENCRYPTED FILE-----
`

// What is said of texts and names that look like an identifier.
const (
	secretly  = `; identifiers of a person belong into the subject's Secret, never into an object that is stored and logged in plain text`
	likeMail  = `this looks like an e-mail address or the name of an account` + secretly
	likePhone = `this looks like the number of a telephone or an account (nine or more digits; a file number may have a year and eight digits, as in ER-2026-00012345)` + secretly
	likeIP    = `this looks like the address or the identifier of a device (IP, MAC, UUID)` + secretly
	oneLine   = `write one line of text, without line breaks and other control characters`
)

// identifiers are texts that may not stand anywhere, and what is said of them.
var identifiers = map[string]string{
	"jane@example.com":                       likeMail,
	"write to Jane <jane@example.com>":       likeMail,
	"jane＠example.com":                       likeMail,
	"jane%40example.com":                     likeMail,
	"jane (at) example.com":                  likeMail,
	"jane[at]example.com":                    likeMail,
	"account @jane":                          likeMail,
	"0301234567":                             likePhone,
	"+49 (30) 1234-567":                      likePhone,
	"+49 30 2026-1234567":                    likePhone,
	"call 030/12 34 56 7":                    likePhone,
	"030–123 45 67":                          likePhone, // an en dash, and a space that does not break
	"ER-2026-0042 of customer 4711, 12345":   "",
	"ER-2026-00012345 and +49 30 1234567":    likePhone,
	"1.234.567-890":                          likePhone,
	"DE89 3704 0044 0532 0130 00":            likePhone,
	"٠٣٠١٢٣٤٥٦٧":                             likePhone,
	"192.0.2.17":                             likeIP,
	"seen at 10.0.0.1.":                      likeIP,
	"2001:db8:0:0:1:2:3:4":                   likeIP,
	"fe80::1":                                likeIP,
	"00:1B:44:11:3A:B7":                      likeIP,
	"00-1b-44-11-3a-b7":                      likeIP,
	"a50e84e0-e29b-41d4-a716-f4665544ffff":   likeIP,
	"":                                       `FIELD in body should be at least 1 chars long`,
	"two\nlines":                             oneLine,
	"ringing\abell":                          oneLine,
	"2 O 123/26 of Landgericht Berlin":       "",
	"ER-2026-00012345":                       "",
	"Az. 12345/2026":                         "",
	"judgment of 2027-02-03":                 "",
	"2026-11-20T09:00:00Z":                   "",
	"2026-11-20 09":                          "",
	"from 2026-01-01 to 2026-12-31":          "",
	"restriction, Art. 18 (1) (a)":           "",
	"§ 147 AO":                               "",
	"case number eight digits long 12345678": "",
	"中華民國個人資料保護法":                            "",
	strings.Repeat("x", 256):                 "",
}

// identifying are cases for one field: all identifiers that it must refuse, and none that it must accept.
func identifying(field, patch string) (refused map[string]malformed, accepted map[string]string) {
	refused, accepted = map[string]malformed{}, map[string]string{}
	for text, want := range identifiers {
		name, with := field+" "+text, strings.ReplaceAll(patch, "TEXT", quoted(text))
		if want == "" {
			accepted[name] = with
			continue
		}
		refused[name] = malformed{with, field + ": Invalid value: " + strconv.Quote(text) + ": " + strings.ReplaceAll(want, "FIELD", field)}
	}
	refused[field+" too long"] = malformed{strings.ReplaceAll(patch, "TEXT", strings.Repeat("x", 257)), field + ": Too long: may not be more than 256 bytes"}
	return refused, accepted
}

func TestNoTextIdentifiesAPerson(t *testing.T) {
	for field, c := range map[string]struct{ least, patch string }{
		"spec.reference":           {leastErasureRequest, `spec: {reference: TEXT}`},
		"spec.reason":              {leastLegalHold, `spec: {reason: TEXT}`},
		"spec.authority":           {leastLegalHold, `spec: {authority: TEXT}`},
		"spec.condition.values[1]": {leastLegalHold, `spec: {datasets: [a], condition: {field: f, operator: In, values: [x, TEXT]}}`},
		"spec.release.reason":      {leastLegalHold, `spec: {release: {reason: TEXT}}`},
	} {
		r, a := identifying(field, c.patch)
		refused(t, c.least, r)
		accepted(t, c.least, a)
	}
}

func TestNoNameIdentifiesAPerson(t *testing.T) {
	for least, what := range map[string]string{leastErasureRequest: "request", leastLegalHold: "hold"} {
		number := "Invalid value: metadata.name looks like the number of a telephone or an account (nine or more digits); name the " + what + " by its file number, such as er-2026-00012345, and put identifiers into the subject's Secret"
		address := "Invalid value: metadata.name looks like an e-mail or IP address; name the " + what + " by its file number, and put identifiers into the subject's Secret"
		cases, fine := map[string]malformed{}, map[string]string{}
		for _, name := range []string{"0301234567", "customer-49301234567", "030-123-45-67", "030.1234567x", "er-2026-0001-23456", "er-20261120-45892", "er-2026-0042-for-49301234567"} {
			cases[what+" "+name] = malformed{"metadata: {name: " + quoted(name) + "}", number}
		}
		for _, name := range []string{"jane-at-example.com", "jane.at.example.com", "er-2026-jane-at-mail.example.org", "10.0.0.1", "host-192.0.2.1-x"} {
			cases[what+" "+name] = malformed{"metadata: {name: " + quoted(name) + "}", address}
		}
		for _, name := range []string{"er-2026-0042", "er-2026-00012345", "er-2026-11-20-0001", "er-20261120", "12345678", "privacy-2026-for-er-2026-00012345", "team1-for-er-2026-0042", "v1.2.3",
			"550e8400-e29b-41d4-a716-446655440000", "look-at-this", strings.Repeat("x", 63)} {
			fine[what+" "+name] = "metadata: {name: " + quoted(name) + "}"
		}
		// A name that is generated ends in five characters, which may be digits.
		cases[what+" generated"] = malformed{"metadata: {name: null, generateName: tel-0301234567-}", number}
		cases[what+" generated from an address"] = malformed{"metadata: {name: null, generateName: jane-at-example.com-}", address}
		cases[what+" beside what generates it"] = malformed{"metadata: {name: tel-0301234567, generateName: er-}", number}
		cases[what+" too long"] = malformed{"metadata: {name: " + strings.Repeat("x", 64) + "}", `Invalid value: metadata.name must have at most 63 characters, since it becomes a label`}
		refused(t, least, cases)
		accepted(t, least, fine)
		for range 20 { // as the suffix falls
			accepted(t, least, map[string]string{what + " generated from a date": "metadata: {name: null, generateName: er-20261120-}"})
		}
	}
}

func TestMalformedSubjectsAreRefused(t *testing.T) {
	const (
		oneWay  = `Invalid value: name the person in exactly one way: secretRef, a Secret of type dataretention.dev/subject, or sealed, what an age client made of the same lines with the operator's public key`
		armored = "write what `age --armor` prints, from -----BEGIN AGE ENCRYPTED FILE----- to -----END AGE ENCRYPTED FILE-----"
		named   = `Invalid value: the Secret's name looks like an identifier of a person; name it by the file number of the request or of the matter, for example er-2026-0042`
	)
	for least, kind := range map[string]string{leastErasureRequest: "ErasureRequest", leastLegalHold: "LegalHold"} {
		cases := map[string]malformed{
			"neither":                      {`spec: {subject: {secretRef: null}}`, `spec.subject: ` + oneWay},
			"both":                         {`spec: {subject: {secretRef: {name: a}, sealed: ` + quoted(sealed) + `}}`, `spec.subject: ` + oneWay},
			"in plain text":                {`spec: {subject: {email: jane@example.com}}`, kind + ` in version "v1alpha1" cannot be handled as a ` + kind + `: strict decoding error: unknown field "spec.subject.email"`},
			"in plain text, called sealed": {`spec: {subject: {secretRef: null, sealed: email=jane@example.com}}`, `spec.subject.sealed: Invalid value: "email=jane@example.com": ` + armored},
			"plain text inside the armor": {`spec: {subject: {secretRef: null, sealed: "-----BEGIN AGE ENCRYPTED FILE-----\njane@example.com\n-----END AGE ENCRYPTED FILE-----"}}`,
				`spec.subject.sealed: Invalid value: "-----BEGIN AGE ENCRYPTED FILE-----\njane@example.com\n-----END AGE ENCRYPTED FILE-----": ` + armored},
			"cut":                      {`spec: {subject: {secretRef: null, sealed: "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl"}}`, `spec.subject.sealed: Invalid value: "-----BEGIN AGE ENCRYPTED FILE-----\nYWdl": ` + armored},
			"empty":                    {`spec: {subject: {secretRef: null, sealed: ""}}`, `spec.subject.sealed: Invalid value: "": spec.subject.sealed in body should be at least 1 chars long` + "\n" + `spec.subject.sealed: Invalid value: "": ` + armored},
			"too long":                 {`spec: {subject: {secretRef: null, sealed: ` + strings.Repeat("x", 16385) + `}}`, `spec.subject.sealed: Too long: may not be more than 16384 bytes`},
			"Secret without name":      {`spec: {subject: {secretRef: {name: null}}}`, `spec.subject.secretRef.name: Required value`},
			"Secret elsewhere":         {`spec: {subject: {secretRef: {name: a, namespace: prod}}}`, kind + ` in version "v1alpha1" cannot be handled as a ` + kind + `: strict decoding error: unknown field "spec.subject.secretRef.namespace"`},
			"Secret named by e-mail":   {`spec: {subject: {secretRef: {name: jane-at-example.com}}}`, `spec.subject.secretRef: ` + named},
			"Secret named by a number": {`spec: {subject: {secretRef: {name: customer-0301234567}}}`, `spec.subject.secretRef: ` + named},
		}
		if least == leastLegalHold { // it has no subject that could be left out or replaced
			delete(cases, "Secret without name")
			cases["neither"] = malformed{`spec: {subject: {}}`, `spec.subject: ` + oneWay}
		}
		refused(t, least, cases)
		accepted(t, least, map[string]string{
			"sealed":               `spec: {subject: {secretRef: null, sealed: ` + quoted(sealed) + `}}`,
			"sealed without break": `spec: {subject: {secretRef: null, sealed: ` + quoted(strings.TrimSpace(sealed)) + `}}`,
			"sealed on Windows":    `spec: {subject: {secretRef: null, sealed: ` + quoted(strings.ReplaceAll(sealed, "\n", "\r\n")) + `}}`,
			"Secret of a UUID":     `spec: {subject: {secretRef: {name: 550e8400-e29b-41d4-a716-446655440000}}}`,
		})
	}
}

func TestMalformedErasureRequestsAreRefused(t *testing.T) {
	const emptySelector = `name at least one label that a namespace must have (matchLabels, or a matchExpression with In or Exists); an empty selector, or one of exclusions only, would reach namespaces that nobody meant`
	cases := map[string]malformed{
		"no spec":                       {`spec: null`, `spec: Required value`},
		"no subject":                    {`spec: {subject: null}`, `spec.subject: Required value`},
		"unknown policy for the Secret": {`spec: {subjectSecretPolicy: Retain}`, `spec.subjectSecretPolicy: Unsupported value: "Retain": supported values: "Delete", "Keep"`},
		"empty selector":                {`spec: {datastoreSelector: {}}`, `spec.datastoreSelector: Invalid value: name at least one label that a Datastore must have (matchLabels, or a matchExpression with In or Exists); an empty selector, or one of exclusions only, would reach datastores that nobody meant`},
		"empty namespace selector":      {`spec: {namespaceSelector: {}}`, `spec.namespaceSelector: Invalid value: ` + emptySelector},
		"namespaces but for some":       {`spec: {namespaceSelector: {matchExpressions: [{key: env, operator: NotIn, values: [dev]}]}}`, `spec.namespaceSelector: Invalid value: ` + emptySelector},
		"namespace key with a space":    {`spec: {namespaceSelector: {matchLabels: {"my app": shop}}}`, `spec.namespaceSelector.matchLabels: Invalid value: write keys of labels, for example app or data.example.com/personal`},
		"unknown regulation":            {`spec: {regulation: LGPD}`, `spec.regulation: Unsupported value: "LGPD": supported values: "GDPR", "CCPA"`},
		"unknown ground":                {`spec: {ground: Art17}`, `spec.ground: Unsupported value: "Art17": supported values: "NoLongerNecessary", "ConsentWithdrawn", "Objection", "UnlawfulProcessing", "LegalObligation", "ChildConsent"`},
		"date without a time":           {`spec: {receivedTime: "2026-11-20"}`, `spec.receivedTime: Invalid value: "2026-11-20": spec.receivedTime in body must be of type date-time: "2026-11-20"`},
		"unknown time zone":             {`spec: {timeZone: Europe/Berln}`, `spec.timeZone: Invalid value: "string": unknown time zone Europe/Berln evaluating rule: write the IANA name of a time zone, for example UTC, Europe/Berlin or Asia/Taipei`},
		"country in lower case":         {`spec: {holidays: de}`, `spec.holidays: Invalid value: "de": write the two letters of a country's ISO 3166 code, for example DE`},
		"country of three letters":      {`spec: {holidays: DEU}`, `spec.holidays: Too long: may not be more than 2 bytes`},
		"unknown approval":              {`spec: {approval: Manual}`, `spec.approval: Unsupported value: "Manual": supported values: "Automatic", "Required"`},
		"recheck of a Go duration":      {`spec: {recheckFor: 840h}`, `spec.recheckFor: Invalid value: "840h": ` + badPeriod},
		"recheck without an end":        {`spec: {recheckEvery: P1D}`, `spec: Invalid value: recheckEvery says how often the erasure is repeated; set recheckFor, for how long, too`},
		"identifier in the spec":        {`spec: {email: jane@example.com}`, `ErasureRequest in version "v1alpha1" cannot be handled as a ErasureRequest: strict decoding error: unknown field "spec.email"`},
	}
	refused(t, leastErasureRequest, cases)
}

func TestMalformedLegalHoldsAreRefused(t *testing.T) {
	const values = `spec.condition: Invalid value: give values with In and NotIn, exactly one value with AtLeast and AtMost, and none with Exists and DoesNotExist`
	condition := func(c string) string { return `spec: {datasets: [a], condition: {` + c + `}}` }
	refused(t, leastLegalHold, map[string]malformed{
		"no spec":                 {`spec: null`, `spec: Required value`},
		"no reason":               {`spec: {reason: null}`, `spec.reason: Required value`},
		"no authority":            {`spec: {authority: null}`, `spec.authority: Required value`},
		"empty selector":          {`spec: {datastoreSelector: {}}`, `spec.datastoreSelector: Invalid value: name at least one label that a Datastore must have (matchLabels, or a matchExpression with In or Exists); an empty selector, or one of exclusions only, would reach datastores that nobody meant`},
		"empty datasets":          {`spec: {datasets: []}`, `spec.datasets: Invalid value: 0: spec.datasets in body should have at least 1 items`},
		"dataset twice":           {`spec: {datasets: [a, a]}`, `spec.datasets[1]: Duplicate value: "a"`},
		"dataset with a dot":      {`spec: {datasets: [public.a]}`, `spec.datasets[0]: Invalid value: "public.a": write a name of letters, digits, '_' and '-'; if the table is called otherwise, put its name into path`},
		"too many datasets":       {`spec: {datasets: [` + fill(65, "d%d") + `]}`, `spec.datasets: Too many: 65: must have at most 64 items`},
		"empty classes":           {`spec: {dataClasses: []}`, `spec.dataClasses: Invalid value: 0: spec.dataClasses in body should have at least 1 items`},
		"too many classes":        {`spec: {dataClasses: [` + fill(33, "c%d") + `]}`, `spec.dataClasses: Too many: 33: must have at most 32 items`},
		"subject and condition":   {`spec: {subject: {secretRef: {name: a}}, datasets: [a], condition: {field: f, operator: Exists}}`, `spec: Invalid value: set subject or condition, not both; make two LegalHolds to keep both`},
		"condition on a class":    {`spec: {dataClasses: [a], condition: {field: f, operator: Exists}}`, `spec: Invalid value: condition is about a field; name the datasets that have it in datasets`},
		"condition on no field":   {condition(`operator: Exists`), `spec.condition.field: Required value`},
		"no operator":             {condition(`field: f, values: [a]`), `spec.condition.operator: Required value`},
		"unknown operator":        {condition(`field: f, operator: Equals, values: [a]`), `spec.condition.operator: Unsupported value: "Equals": supported values: "In", "NotIn", "AtLeast", "AtMost", "Exists", "DoesNotExist"`},
		"In without values":       {condition(`field: f, operator: In`), values},
		"NotIn without values":    {condition(`field: f, operator: NotIn`), values},
		"AtLeast without a value": {condition(`field: f, operator: AtLeast`), values},
		"AtMost of two values":    {condition(`field: f, operator: AtMost, values: [a, b]`), values},
		"Exists with a value":     {condition(`field: f, operator: Exists, values: [a]`), values},
		"DoesNotExist with one":   {condition(`field: f, operator: DoesNotExist, values: [a]`), values},
		"In of none":              {condition(`field: f, operator: In, values: []`), `spec.condition.values: Invalid value: 0: spec.condition.values in body should have at least 1 items`},
		"too many values":         {condition(`field: f, operator: In, values: [` + fill(65, "v%d") + `]`), `spec.condition.values: Too many: 65: must have at most 64 items`},
		"value not in quotes":     {condition(`field: f, operator: In, values: [4711]`), `spec.condition.values[0]: Invalid value: "integer": spec.condition.values[0] in body must be of type string: "integer"`},
		"SQL":                     {`spec: {datasets: [a], where: "1 = 1"}`, `LegalHold in version "v1alpha1" cannot be handled as a LegalHold: strict decoding error: unknown field "spec.where"`},
		"release without reason":  {`spec: {release: {}}`, `spec.release.reason: Required value`},
		"an end":                  {`spec: {until: "2027-01-01T00:00:00Z"}`, `LegalHold in version "v1alpha1" cannot be handled as a LegalHold: strict decoding error: unknown field "spec.until"`},
	})
}

// What a Datastore says of erasures.
func TestMalformedErasuresOfDatastoresAreRefused(t *testing.T) {
	onErasure := func(fields string) string { return `spec: {datasets: [{name: a, onErasure: {` + fields + `}}]}` }
	const together = `spec.datasets[0].onErasure: Invalid value: action: Anonymize and the list anonymize go together; set both, or neither`
	refused(t, leastDatastore, map[string]malformed{
		"Anonymize without list": {onErasure(`action: Anonymize`), together},
		"list without Anonymize": {onErasure(`action: Delete, anonymize: [{field: f, with: "Null"}]`), together},
		"empty list":             {onErasure(`action: Anonymize, anonymize: []`), `spec.datasets[0].onErasure.anonymize: Invalid value: 0: spec.datasets[0].onErasure.anonymize in body should have at least 1 items`},
		"field twice":            {onErasure(`action: Anonymize, anonymize: [{field: f, with: "Null"}, {field: f, with: "Null"}]`), `spec.datasets[0].onErasure.anonymize[1]: Duplicate value: {"field":"f"}`},
		"unknown method":         {onErasure(`action: Anonymize, anonymize: [{field: f, with: Mask}]`), `spec.datasets[0].onErasure.anonymize[0].with: Unsupported value: "Mask": supported values: "Null", "Constant", "TruncateIP", "TruncateDate", "HMAC"`},
		"unknown match":          {`spec: {datasets: [{name: a, identifiers: [{type: email, field: f, match: Fuzzy}]}]}`, `spec.datasets[0].identifiers[0].match: Unsupported value: "Fuzzy": supported values: "Exact", "IgnoreCase", "E164"`},
		"unknown leads":          {`spec: {datasets: [{name: a, identifiers: [{type: email, field: f, leads: "No"}]}]}`, `spec.datasets[0].identifiers[0].leads: Unsupported value: "No": supported values: "Always", "Never"`},
		"all namespaces":         {`spec: {allowErasureFrom: ["*"]}`, `spec.allowErasureFrom: Invalid value: write names of namespaces: lower-case letters, digits and '-'`},
		"no namespace":           {`spec: {allowErasureFrom: []}`, `spec.allowErasureFrom: Invalid value: 0: spec.allowErasureFrom in body should have at least 1 items`},
		"namespace twice":        {`spec: {allowErasureFrom: [privacy, privacy]}`, `spec.allowErasureFrom[1]: Duplicate value: "privacy"`},
		"too many namespaces":    {`spec: {allowErasureFrom: [` + fill(65, "n%d") + `]}`, `spec.allowErasureFrom: Too many: 65: must have at most 64 items`},
		"unknown approval":       {`spec: {erasureApproval: "Yes"}`, `spec.erasureApproval: Unsupported value: "Yes": supported values: "Automatic", "Required"`},
	})
	accepted(t, leastDatastore, map[string]string{
		"every match":    `spec: {datasets: [{name: a, identifiers: [{type: email, field: e, match: IgnoreCase}, {type: phone, field: p, match: E164}, {type: id, field: i, match: Exact, leads: Never}]}]}`,
		"reference gone": onErasure(`action: Anonymize, anonymize: [{field: customer_id, with: "Null"}]`),
		"opted in":       `spec: {allowErasureFrom: [privacy, dpo-2], erasureApproval: Required}`,
	})
}

func TestWhatCannotChange(t *testing.T) {
	srv := apiserver.Get(t)
	const (
		request = `spec: Invalid value: the spec of an ErasureRequest cannot be changed; delete the request and file another`
		hold    = `spec: Invalid value: what a LegalHold keeps, and why, cannot be changed; make another LegalHold, and release this one once that is Enforced`
		release = `spec: Invalid value: a release cannot be taken back or changed; make another LegalHold`
	)
	full := `spec: {datastoreSelector: {matchLabels: {app: shop}}, datasets: [a], dataClasses: [b], subject: {secretRef: {name: s}}, reference: "1"}`
	released := `spec: {release: {reason: settled}}`
	for name, c := range map[string]struct{ least, with, patch, want string }{
		"another person":           {leastErasureRequest, `{}`, `{"spec":{"subject":{"secretRef":{"name":"other"}}}}`, request},
		"more Datastores":          {leastErasureRequest, `{}`, `{"spec":{"datastoreSelector":{"matchLabels":{"a":"b"}}}}`, request},
		"no approval":              {leastErasureRequest, `spec: {approval: Required}`, `{"spec":{"approval":null}}`, request},
		"the same":                 {leastErasureRequest, `spec: {approval: Required}`, `{"spec":{"approval":"Required"},"metadata":{"labels":{"a":"b"}}}`, ""},
		"other Datastores":         {leastLegalHold, full, `{"spec":{"datastoreSelector":{"matchLabels":{"app":"x"}}}}`, hold},
		"all Datastores":           {leastLegalHold, full, `{"spec":{"datastoreSelector":null}}`, hold},
		"some Datastores":          {leastLegalHold, `{}`, `{"spec":{"datastoreSelector":{"matchLabels":{"app":"x"}}}}`, hold},
		"fewer datasets":           {leastLegalHold, `spec: {datasets: [a, b]}`, `{"spec":{"datasets":["a"]}}`, hold},
		"no datasets":              {leastLegalHold, full, `{"spec":{"datasets":null}}`, hold},
		"other classes":            {leastLegalHold, full, `{"spec":{"dataClasses":["c"]}}`, hold},
		"no classes":               {leastLegalHold, full, `{"spec":{"dataClasses":null}}`, hold},
		"other person":             {leastLegalHold, full, `{"spec":{"subject":{"secretRef":{"name":"t"}}}}`, hold},
		"everybody":                {leastLegalHold, full, `{"spec":{"subject":null}}`, hold},
		"a condition":              {leastLegalHold, `spec: {datasets: [a]}`, `{"spec":{"condition":{"field":"f","operator":"Exists"}}}`, hold},
		"another condition":        {leastLegalHold, `spec: {datasets: [a], condition: {field: f, operator: Exists}}`, `{"spec":{"condition":{"field":"g"}}}`, hold},
		"another reason":           {leastLegalHold, full, `{"spec":{"reason":"other"}}`, hold},
		"another authority":        {leastLegalHold, full, `{"spec":{"authority":"other"}}`, hold},
		"another reference":        {leastLegalHold, full, `{"spec":{"reference":"other"}}`, hold},
		"no reference":             {leastLegalHold, full, `{"spec":{"reference":null}}`, hold},
		"release":                  {leastLegalHold, full, `{"spec":{"release":{"reason":"settled"}}}`, ""},
		"release, and another":     {leastLegalHold, full, `{"spec":{"release":{"reason":"settled"},"reason":"other"}}`, hold},
		"release taken back":       {leastLegalHold, released, `{"spec":{"release":null}}`, release},
		"release told differently": {leastLegalHold, released, `{"spec":{"release":{"reason":"lost"}}}`, release},
		"labels of a released one": {leastLegalHold, released, `{"metadata":{"labels":{"a":"b"}}}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			obj := object(t, c.least, c.with)
			obj.SetNamespace(srv.Namespace(t))
			if err := srv.Client.Create(t.Context(), obj); err != nil {
				t.Fatal(complaints(err))
			}
			err := srv.Client.Patch(t.Context(), obj, client.RawPatch("application/merge-patch+json", []byte(c.patch)))
			if got := complaints(err); (err != nil || c.want != "") && got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}
