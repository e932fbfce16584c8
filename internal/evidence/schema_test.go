// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"google.golang.org/protobuf/encoding/protojson"
)

const schemaFile = "../../docs/evidence/predicate.schema.json"

// The schema in the documentation is what follows from the Go types. To write it: go test -run TestSchemaFile -update
func TestSchemaFile(t *testing.T) {
	want := generate(t)
	if *update {
		if err := os.WriteFile(schemaFile, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s does not follow from the Go types: run go test -run TestSchemaFile -update", schemaFile)
	}
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	f, err := os.Open(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource("predicate.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile("predicate.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func predicateOf(t *testing.T, statement []byte) any {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(statement))
	if err != nil {
		t.Fatal(err)
	}
	return doc.(map[string]any)["predicate"]
}

// Another implementation of JSON schema takes every statement of the story, and refuses what Validate refuses for its shape.
func TestSchema(t *testing.T) {
	schema := compiled(t)
	l := story(t)
	l.add(prunedOf(start.AddDate(7, 1, 0), 0))
	for i, e := range l.envelopes {
		if err := schema.Validate(predicateOf(t, []byte(payloadOf(t, e)))); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
	}
	result, conclusion, hold := payloadOf(t, l.envelopes[aResult]), payloadOf(t, l.envelopes[aConclusion]), payloadOf(t, l.envelopes[aHold])
	for name, bad := range map[string]string{
		"an unknown field":      replaced(t, result, `"kind":"Result"`, `"certified":true,"kind":"Result"`),
		"an unknown kind":       replaced(t, result, `"kind":"Result"`, `"kind":"Certificate"`),
		"an unknown level":      replaced(t, result, `"level":"Deleted"`, `"level":"Certified"`),
		"no level":              replaced(t, result, `"level":"Deleted",`, ``),
		"no key":                replaced(t, hold, `"key":"`+holdUID+`",`, ``),
		"an empty key":          replaced(t, hold, `"key":"`+holdUID+`"`, `"key":""`),
		"a negative count":      replaced(t, result, `"deleted":1200`, `"deleted":-1`),
		"half a record":         replaced(t, result, `"deleted":1200`, `"deleted":1.5`),
		"a count as a string":   replaced(t, result, `"deleted":1200`, `"deleted":"1200"`),
		"another zone":          replaced(t, result, `"time":"2026-03-01T02:02:00Z"`, `"time":"2026-03-01T03:02:00+01:00"`),
		"no time":               replaced(t, result, `"time":"2026-03-01T02:02:00Z"`, `"time":"yesterday Z"`),
		"an Intent is closed":   replaced(t, result, `"kind":"Result"`, `"kind":"Intent"`),
		"a Result of a Result":  replaced(t, result, `"closes":{"kind":"Intent"`, `"closes":{"kind":"Result"`),
		"no digest":             replaced(t, result, `"digest":"sha256:`, `"digest":"sha1:`),
		"a hold with a level":   replaced(t, hold, `"level":"None"`, `"level":"Deleted"`),
		"a hold without a hold": replaced(t, hold, `"hold":{`, `"policy":{`),
		"of no owner":           replaced(t, conclusion, `"policy":{`, `"hold":{`),
		"two Datastores":        replaced(t, conclusion, `"kind":"Conclusion"`, `"kind":"Intent"`),
	} {
		if err := schema.Validate(predicateOf(t, []byte(bad))); err == nil {
			t.Errorf("%s: the schema takes it", name)
		}
	}
}

// Every field of a statement has an explanation, in the schema or in what explains the field before it.
func TestSchemaHasEveryField(t *testing.T) {
	var doc struct {
		Properties map[string]any
		Defs       map[string]struct{ Properties map[string]any } `json:"$defs"`
	}
	if err := json.Unmarshal(generate(t), &doc); err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../docs/evidence/README.md")
	if err != nil {
		t.Fatal(err)
	}
	check := func(of string, properties map[string]any) {
		for name := range properties {
			if !strings.Contains(string(readme), "`"+name+"`") {
				t.Errorf("docs/evidence/README.md does not mention `%s` of %s", name, of)
			}
		}
	}
	check("the predicate", doc.Properties)
	for of, def := range doc.Defs {
		check(of, def.Properties)
	}
	for _, level := range Levels {
		if !strings.Contains(string(readme), "`"+string(level)+"`") {
			t.Errorf("docs/evidence/README.md does not mention the level %s", level)
		}
	}
	for kind := range rules {
		if !strings.Contains(string(readme), "`"+string(kind)+"`") {
			t.Errorf("docs/evidence/README.md does not mention the kind %s", kind)
		}
	}
}

// in-toto's own library takes our statements as Statements of version 1.
func TestInToto(t *testing.T) {
	for i, e := range story(t).envelopes {
		var s intoto.Statement
		if err := protojson.Unmarshal([]byte(payloadOf(t, e)), &s); err != nil {
			t.Fatalf("entry %d: %v", i, err)
		}
		if err := s.Validate(); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
	}
}
