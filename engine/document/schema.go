package document

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"trine/engine/secret"
)

// A field's struct tags say what a document may hold there:
//
//	json      the name
//	default   the value where the document has none; a list is separated by commas
//	enum      the values that are possible, planned those that a later release will have
//	min, max  the bounds of a number or duration
//	required  that it must be given
//	ref       the kind of document that it names
//	later     the capability with which it takes effect; until then it is stored, with a warning
type field struct {
	name     string
	index    []int
	typ      reflect.Type
	def      reflect.Value // the default: the tag's, else the zero value
	tagged   bool          // whether there is a tag for it
	enum     []string
	planned  []string
	min, max string
	required bool
	ref      string
	later    string
}

var (
	typeText      = reflect.TypeFor[secret.Text]()
	typeDuration  = reflect.TypeFor[time.Duration]()
	typeTime      = reflect.TypeFor[time.Time]()
	typeRange     = reflect.TypeFor[AddressRange]()
	typeCondition = reflect.TypeFor[*Condition]()
	typeValues    = reflect.TypeFor[Values]()
)

// schemas holds the fields of every struct type that specs are made of. It never changes.
var schemas = describeAll()

func describeAll() map[reflect.Type][]field {
	all := map[reflect.Type][]field{}
	for _, k := range Kinds() {
		describe(all, reflect.TypeOf(k.blank()).Elem())
	}
	return all
}

func describe(all map[reflect.Type][]field, t reflect.Type) {
	if _, done := all[t]; done {
		return
	}
	all[t] = nil
	all[t] = fieldsOf(t, nil)
	for _, f := range all[t] {
		if s, ok := structUnder(f.typ); ok {
			describe(all, s)
		}
	}
}

// structUnder returns the struct type with fields of its own that a field's type leads to.
func structUnder(t reflect.Type) (reflect.Type, bool) {
	for t != typeCondition && (t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice) {
		t = t.Elem()
	}
	switch t {
	case typeText, typeTime, typeRange, typeCondition:
		return nil, false
	}
	return t, t.Kind() == reflect.Struct
}

func fieldsOf(t reflect.Type, index []int) []field {
	var out []field
	for i := range t.NumField() {
		sf := t.Field(i)
		at := append(slices.Clone(index), i)
		if sf.Anonymous {
			out = append(out, fieldsOf(sf.Type, at)...)
			continue
		}
		out = append(out, newField(t, sf, at))
	}
	return out
}

func newField(t reflect.Type, sf reflect.StructField, index []int) field {
	name := sf.Tag.Get("json")
	if name == "" {
		panic(fmt.Sprintf("document: %s.%s has no json tag", t, sf.Name))
	}
	f := field{
		name: name, index: index, typ: sf.Type,
		enum: list(sf.Tag.Get("enum")), planned: list(sf.Tag.Get("planned")),
		min: sf.Tag.Get("min"), max: sf.Tag.Get("max"),
		required: sf.Tag.Get("required") != "",
		ref:      sf.Tag.Get("ref"), later: sf.Tag.Get("later"),
	}
	f.def = reflect.New(sf.Type).Elem()
	if text, ok := sf.Tag.Lookup("default"); ok {
		f.tagged = true
		setDefault(f.def, text)
	}
	return f
}

func list(tag string) []string {
	if tag == "" {
		return nil
	}
	return strings.Split(tag, ",")
}

// setDefault reads a default tag; a tag that does not fit its field is a mistake in this package.
func setDefault(v reflect.Value, text string) {
	var err error
	switch {
	case v.Type() == typeDuration:
		var d time.Duration
		d, err = time.ParseDuration(text)
		v.SetInt(int64(d))
	case v.Kind() == reflect.Bool:
		var b bool
		b, err = strconv.ParseBool(text)
		v.SetBool(b)
	case v.Kind() == reflect.Int:
		var n int
		n, err = strconv.Atoi(text)
		v.SetInt(int64(n))
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.String:
		for _, e := range list(text) {
			v.Set(reflect.Append(v, reflect.ValueOf(e).Convert(v.Type().Elem())))
		}
	default:
		err = fmt.Errorf("no defaults for %s", v.Type())
	}
	if err != nil {
		panic(fmt.Sprintf("document: default %q: %v", text, err))
	}
}

// applyDefaults sets every field of a new spec to its default.
func applyDefaults(s Spec) { applyDefaultsTo(reflect.ValueOf(s).Elem()) }

func applyDefaultsTo(v reflect.Value) {
	for _, f := range schemas[v.Type()] {
		at := v.FieldByIndex(f.index)
		switch {
		case f.tagged && f.typ.Kind() == reflect.Slice:
			at.Set(reflect.AppendSlice(reflect.MakeSlice(f.typ, 0, f.def.Len()), f.def))
		case f.tagged:
			at.Set(f.def)
		default:
			if _, ok := schemas[f.typ]; ok {
				applyDefaultsTo(at)
			}
		}
	}
}
