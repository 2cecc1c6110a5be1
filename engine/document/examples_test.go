package document

import (
	"bytes"
	"errors"
	"io/fs"
	"iter"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"trine/docs/examples"
)

func reflectDuration(v reflect.Value) time.Duration { return time.Duration(v.Int()) }

// noDocuments is a Lookup into an empty log.
type noDocuments struct{}

func (noDocuments) Document(string) *Document         { return nil }
func (noDocuments) Holder(string) (string, bool)      { return "", false }
func (noDocuments) Referrers(string) iter.Seq[string] { return func(func(string) bool) {} }

func TestQuickstartIsSoundAndComplete(t *testing.T) {
	var all []*Document
	files, err := fs.Glob(examples.Quickstart(), "*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		b, err := fs.ReadFile(examples.Quickstart(), name)
		if err != nil {
			t.Fatal(err)
		}
		docs, err := Parse(name, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, docs...)
	}
	there := map[string]bool{}
	for _, d := range all {
		there[d.Kind+"/"+d.Name] = true
	}
	for _, d := range all {
		for _, brought := range d.Brings() { // as an apply does
			if !there[brought.Kind+"/"+brought.Name] {
				all = append(all, brought)
			}
		}
	}
	if err := ValidateAll(all, nil, noDocuments{}).Err(); err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if w := d.Warnings(); len(w) > 0 {
			t.Error(w)
		}
	}
}

// TestExamplesOfDevicesAreSound holds the documents of docs/examples/devices against each other: each file alone with the identity provider and what it
// refers to, and all of them together.
func TestExamplesOfDevicesAreSound(t *testing.T) {
	const folder = "../../docs/examples/devices/"
	read := func(names ...string) (all []*Document) {
		t.Helper()
		for _, name := range names {
			b, err := os.ReadFile(folder + name)
			if err != nil {
				t.Fatal(err)
			}
			docs, err := Parse(name, bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, docs...)
		}
		return all
	}
	sound := func(t *testing.T, all []*Document) {
		t.Helper()
		for _, d := range all {
			for _, brought := range d.Brings() { // as an apply does
				if !slices.ContainsFunc(all, func(o *Document) bool { return o.Key() == brought.Key() }) {
					all = append(all, brought)
				}
			}
		}
		if err := ValidateAll(all, nil, noDocuments{}).Err(); err != nil {
			t.Fatal(err)
		}
		for _, d := range all {
			if w := d.Warnings(); len(w) > 0 {
				t.Error(w)
			}
			roundTrip(t, d)
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var together []string
	for _, e := range entries {
		switch name := e.Name(); name {
		case "identityprovider.yaml", "radius.yaml": // the others go with it, and it with the others
			together = append(together, name)
		case "two-secrets.yaml": // another version of a document
		default:
			together = append(together, name)
			t.Run(name, func(t *testing.T) { sound(t, read("identityprovider.yaml", name)) })
		}
	}
	t.Run("together", func(t *testing.T) { sound(t, read(together...)) })
	t.Run("two-secrets.yaml", func(t *testing.T) { sound(t, read("identityprovider.yaml", "two-secrets.yaml")) })
}

func TestExamplesOfTheReferenceAreSound(t *testing.T) {
	for _, k := range Kinds() {
		b, err := os.ReadFile("testdata/examples/" + k.Name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		docs, err := Parse(k.Name+".yaml", bytes.NewReader(b))
		if p := Problems(nil); errors.As(err, &p) {
			t.Error(p)
		}
		for _, d := range docs {
			if d.Kind != k.Name {
				t.Errorf("%s.yaml has a %s", k.Name, d.Kind)
			}
			if w := d.Warnings(); len(w) > 0 {
				t.Error(w)
			}
			roundTrip(t, d)
		}
	}
}

// roundTrip holds a document to what export and apply promise: the exported form means the same document.
func roundTrip(t *testing.T, d *Document) {
	t.Helper()
	y, err := d.YAML()
	if err != nil {
		t.Fatal(err)
	}
	j, err := d.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	for form, text := range map[string][]byte{"export.yaml": y, "export.json": j} {
		back, err := Parse(form, bytes.NewReader(text))
		if err != nil || len(back) != 1 {
			t.Fatalf("%v\n%s", err, text)
		}
		if p := back[0].Inherit(d); len(p) > 0 {
			t.Fatalf("%v\n%s", p, text)
		}
		if c := Diff(d, back[0]); len(c) > 0 && d.Kind != KindUser {
			t.Fatalf("%s differs: %v\n%s", form, c, text)
		}
		again, err := back[0].YAML()
		if u, ok := d.Spec.(*User); ok && !u.Password.IsZero() {
			continue
		}
		if err != nil || !bytes.Equal(again, y) {
			t.Fatalf("%s is not canonical: %v\n%s\n%s", form, err, y, again)
		}
	}
}
