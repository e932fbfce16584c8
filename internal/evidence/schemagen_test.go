// SPDX-License-Identifier: Apache-2.0

package evidence

import (
	"bytes"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// object is a JSON object whose names are written in alphabetical order.
type object = map[string]any

// source is what the Go source says of the types of a statement: comments of fields, and the values of closed sets.
type source struct {
	types  map[string]string            // type → comment
	fields map[string]map[string]string // type → field → comment
	values map[string][]string          // type → values
}

func readSource(t *testing.T) *source {
	t.Helper()
	src := &source{types: map[string]string{}, fields: map[string]map[string]string{}, values: map[string][]string{}}
	file, err := parser.ParseFile(token.NewFileSet(), "statement.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range file.Decls {
		d, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				src.addType(d, spec)
			case *ast.ValueSpec:
				if typ, ok := spec.Type.(*ast.Ident); ok {
					value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
					if err != nil {
						t.Fatal(err)
					}
					src.values[typ.Name] = append(src.values[typ.Name], value)
				}
			}
		}
	}
	return src
}

func (s *source) addType(d *ast.GenDecl, spec *ast.TypeSpec) {
	s.types[spec.Name.Name] = oneLine(d.Doc.Text())
	st, ok := spec.Type.(*ast.StructType)
	if !ok {
		return
	}
	fields := map[string]string{}
	for _, f := range st.Fields.List {
		for _, n := range f.Names {
			fields[n.Name] = oneLine(f.Doc.Text())
		}
	}
	s.fields[spec.Name.Name] = fields
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// generate returns the JSON schema of the predicate.
func generate(t *testing.T) []byte {
	t.Helper()
	g := &generator{src: readSource(t), defs: object{}}
	root := g.object(reflect.TypeFor[Predicate]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = PredicateType + "/predicate.schema.json"
	root["title"] = "Evidence of retention-operator, version 1"
	root["description"] = "The predicate of an in-toto Statement v1 whose predicateType is " + PredicateType + ". " + root["description"].(string)
	root["allOf"] = perKind()
	root["$defs"] = g.defs
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(root); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type generator struct {
	src  *source
	defs object
}

func (g *generator) object(typ reflect.Type) object {
	properties, required := object{}, []string{}
	g.fields(typ, properties, &required)
	slices.Sort(required)
	o := object{"type": "object", "properties": properties, "additionalProperties": false, "description": g.src.types[typ.Name()]}
	if len(required) > 0 {
		o["required"] = required
	}
	return o
}

func (g *generator) fields(typ reflect.Type, properties object, required *[]string) {
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Anonymous {
			g.fields(f.Type, properties, required)
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if options == "" {
			*required = append(*required, name)
		}
		p := g.schema(f.Type, name, options == "")
		if doc := g.src.fields[typ.Name()][f.Name]; doc != "" {
			if rest, ok := strings.CutPrefix(doc, f.Name+" "); ok {
				doc = name + " " + rest
			}
			p["description"] = doc
		}
		properties[name] = p
	}
}

func (g *generator) schema(typ reflect.Type, name string, required bool) object {
	switch {
	case typ == timeType:
		return object{"type": "string", "format": "date-time", "pattern": "Z$"}
	case typ.Kind() == reflect.Pointer:
		return g.schema(typ.Elem(), name, required)
	case g.src.values[typ.Name()] != nil:
		return object{"type": "string", "enum": g.src.values[typ.Name()]}
	case name == "digest" && typ.Kind() == reflect.String:
		return object{"type": "string", "pattern": reference.String()}
	}
	switch typ.Kind() {
	case reflect.String:
		o := object{"type": "string", "maxLength": MaxString}
		if texts[name] {
			o["maxLength"] = MaxText
		}
		if name == "key" {
			o["maxLength"], o["minLength"] = 1024, 1
		}
		return o
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int32, reflect.Int64:
		o := object{"type": "integer"}
		if !signed[name] {
			o["minimum"] = 0
		}
		return o
	case reflect.Slice:
		return object{"type": "array", "maxItems": MaxItems, "items": g.schema(typ.Elem(), name, required)}
	case reflect.Struct:
		if g.defs[typ.Name()] == nil {
			g.defs[typ.Name()] = object{} // it may refer to itself
			g.defs[typ.Name()] = g.object(typ)
		}
		return object{"$ref": "#/$defs/" + typ.Name()}
	default:
		panic("a statement has a field of kind " + typ.Kind().String())
	}
}

// perKind says what each kind of statement has to have, as rules says it.
func perKind() []any {
	needs := map[Kind][]string{
		Intent: {"run", "datastores"}, Result: {"run", "datastores"}, HoldEnforced: {"hold"}, HoldReleased: {"hold"}, Pruned: {"pruned"},
	}
	var all []any
	for _, kind := range slices.Sorted(maps.Keys(rules)) {
		r := rules[kind]
		then, properties := object{}, object{}
		required := slices.Clone(needs[kind])
		if r.required {
			required = append(required, "closes")
		}
		if len(required) > 0 {
			then["required"] = required
		}
		if len(r.closes) > 0 {
			properties["closes"] = object{"properties": object{"kind": object{"enum": r.closes}}}
		} else {
			properties["closes"] = false
		}
		if r.none {
			properties["level"] = object{"const": LevelNone}
		} else {
			properties["level"] = object{"not": object{"const": LevelNone}}
		}
		if kind == Intent || kind == Result {
			properties["datastores"] = object{"minItems": 1, "maxItems": 1}
		}
		if kind != Conclusion {
			properties["results"] = false
		}
		if kind != Pruned {
			properties["pruned"] = false
		}
		if kind == Conclusion {
			then["oneOf"] = []any{object{"required": []string{"policy"}}, object{"required": []string{"request"}}}
		}
		then["properties"] = properties
		all = append(all, object{
			"if":   object{"properties": object{"kind": object{"const": kind}}, "required": []string{"kind"}},
			"then": then,
		})
	}
	return all
}
