package document

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"
)

// FuzzParse holds Parse to: no panic, Problems or documents, and what it read is sound, can be written, and reads back.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/problems/*.txtar", "testdata/examples/*.yaml"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			if a := txtar.Parse(b); len(a.Files) > 0 {
				b = a.Files[0].Data
			}
			f.Add(b)
		}
	}
	f.Add([]byte(`[{"kind":"User","name":"a","spec":{"attributes":{"a":["b"]}}}]`))
	f.Fuzz(func(t *testing.T, in []byte) {
		docs, err := Parse("", bytes.NewReader(in))
		var p Problems
		if err != nil && !errors.As(err, &p) {
			t.Fatal(err)
		}
		for _, one := range p {
			if one.Reason == "" || one.String() == "" {
				t.Fatalf("%#v", one)
			}
		}
		for _, d := range docs {
			if v := Validate(d); len(v) > 0 {
				t.Fatal(v)
			}
			d.Refs()
			d.Claims()
			d.Warnings()
			if d.Inherit(d); len(Diff(d, d)) > 0 {
				t.Fatal("a document differs from itself")
			}
			roundTrip(t, d)
		}
	})
}

// FuzzFromStored holds FromStored to: no panic, and what it reads can be stored again, in one form.
func FuzzFromStored(f *testing.F) {
	for _, k := range Kinds() {
		docs, err := filepath.Glob("testdata/examples/" + k.Name + ".yaml")
		if err != nil || len(docs) != 1 {
			f.Fatal(docs, err)
		}
		b, err := os.ReadFile(docs[0])
		if err != nil {
			f.Fatal(err)
		}
		for _, d := range parse(f, string(b)) {
			stored, err := seal(f, d).Stored()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(d.Kind, stored)
		}
	}
	f.Fuzz(func(t *testing.T, kind string, spec []byte) {
		d, err := FromStored(kind, "x", spec)
		if err != nil {
			return
		}
		once, err := d.Stored()
		if err != nil {
			return // a secret that is not sealed
		}
		back, err := FromStored(kind, "x", once)
		if err != nil {
			t.Fatalf("%v\n%q", err, once)
		}
		twice, err := back.Stored()
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%v\n%q\n%q", err, once, twice)
		}
	})
}

func FuzzCSV(f *testing.F) {
	f.Add(KindUser, []byte("userName,groups,attributes.a,active\nalice,a;b,x\\;y,true\n\"b\",,,\n"))
	f.Add(KindAttributeDefinition, []byte("name,oid,scoped,action\na,1.2,yes,update\nb,,,skip\n"))
	f.Add(KindAttributePolicy, []byte("name,condition,attribute,allow,attributeCondition\na,any,x,,{not: any}\na,,y,no,\n"))
	f.Fuzz(func(t *testing.T, kind string, in []byte) {
		seq, err := ReadCSV(kind, bytes.NewReader(in), CSVOptions{})
		if err != nil {
			return
		}
		for row := range seq {
			if row.Choice == ChoiceSkip {
				continue
			}
			if (row.Document == nil) == (len(row.Problems) == 0) {
				t.Fatalf("%+v", row)
			}
			if row.Document != nil && len(Validate(row.Document)) > 0 {
				t.Fatal(Validate(row.Document))
			}
		}
	})
}

// drawGrant draws grants of roles whose names are drawn.
func drawGrant(name *rapid.Generator[string]) *rapid.Generator[Grant] {
	return rapid.Custom(func(t *rapid.T) Grant {
		g := Grant{Role: name.Draw(t, "role")}
		from := rapid.Int64Range(1, 1<<33).Draw(t, "from")
		if rapid.Bool().Draw(t, "begins") {
			g.NotBefore = ofUnix(from)
		}
		if rapid.Bool().Draw(t, "ends") {
			g.NotAfter = ofUnix(from + rapid.Int64Range(1, 1<<33).Draw(t, "for"))
		}
		return g
	})
}

func TestGrantReadsBackAsItWasWrittenInCSV(t *testing.T) {
	name := rapid.StringMatching(`[a-z]([a-z0-9 ._@-]{0,10}[a-z0-9])?`)
	rapid.Check(t, func(t *rapid.T) {
		g := drawGrant(name).Draw(t, "grant")
		if back, reason := parseGrant(g.String()); reason != "" || back != g {
			t.Fatalf("%q is read as %+v, %s", g, back, reason)
		}
	})
}

func TestUserReadsBackAsItWasWritten(t *testing.T) {
	text := rapid.StringMatching(`[a-zA-Z0-9äöü #:'"{}\[\],&*!|>%@` + "`" + `?.-]{0,12}[a-z]`)
	name := rapid.StringMatching(`[a-z]([a-z0-9._@-]{0,10}[a-z0-9])?`)
	rapid.Check(t, func(t *rapid.T) {
		d := New(KindUser, "u:"+name.Draw(t, "name"))
		u := d.Spec.(*User)
		for _, f := range schemas[reflect.TypeFor[User]()] {
			v := reflect.ValueOf(u).Elem().FieldByIndex(f.index)
			switch {
			case f.name == "passwordMustChange" || f.typ == typeText || rapid.IntRange(0, 2).Draw(t, f.name+" given") == 0:
			case f.typ.Kind() == reflect.String && f.name != "mail" && f.name != "mailDomain":
				v.SetString(text.Draw(t, f.name))
			case f.typ.Kind() == reflect.Bool:
				v.SetBool(rapid.Bool().Draw(t, f.name))
			case f.name == "roles":
				u.Roles = rapid.SliceOfNDistinct(drawGrant(name), 1, 4, rapid.ID[Grant]).Draw(t, f.name)
			case f.typ.Kind() == reflect.Slice:
				v.Set(reflect.ValueOf(rapid.SliceOfNDistinct(name, 1, 4, rapid.ID[string]).Draw(t, f.name)))
			}
		}
		if n := rapid.IntRange(0, 3).Draw(t, "attributes"); n > 0 {
			u.Attributes = map[string]Values{}
			for range n {
				u.Attributes[name.Draw(t, "attribute")] = rapid.SliceOfN(text, 1, 3).Draw(t, "values")
			}
		}
		stored, err := d.Stored()
		if err != nil {
			t.Fatal(err)
		}
		back, err := FromStored(KindUser, d.Name, stored)
		if err != nil || !reflect.DeepEqual(back.Spec, d.Spec) {
			t.Fatalf("%v\n%+v\n%+v", err, back.Spec, d.Spec)
		}
		y, err := d.YAML()
		if err != nil {
			t.Fatal(err)
		}
		j, err := d.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		for file, b := range map[string][]byte{"u.yaml": y, "u.json": j} {
			docs, err := Parse(file, bytes.NewReader(b))
			if err != nil || len(docs) != 1 || !reflect.DeepEqual(docs[0].Spec, d.Spec) || docs[0].Name != d.Name {
				t.Fatalf("%v\n%s", err, b)
			}
			if !slices.Equal(docs[0].Claims(), d.Claims()) {
				t.Fatal("claims differ")
			}
		}
	})
}
