package document

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxSize is how many bytes one call of Parse reads at most.
const MaxSize = 256 << 20

// maxProblems is how many problems one call of Parse or ValidateAll reports at most.
const maxProblems = 1000

// Parse reads documents: YAML with any number of documents, or JSON as an object, an array of objects or a stream of them. A
// list stands for its elements. The file's name goes into problems, and tells YAML from JSON where its ending does; otherwise
// what begins with a brace or a bracket is JSON.
//
// It is strict: unknown fields, wrong types, fields given twice, documents given twice and everything that is wrong within one
// document are problems. The error is Problems, all of them at once; the documents that are sound come back with it.
// An error of the reader comes back as it is.
func Parse(file string, r io.Reader) ([]*Document, error) {
	limited := &boundedReader{r: r, left: MaxSize}
	in := bufio.NewReaderSize(limited, 64<<10)
	p := &parser{file: file, seen: map[string]Source{}}
	var err error
	if isJSON(file, in) {
		err = p.json(in)
	} else {
		err = p.yaml(in)
	}
	switch {
	case limited.err != nil:
		return nil, fmt.Errorf("read documents: %w", limited.err)
	case limited.left < 0:
		p.problem(nil, "", "the input is larger than %d MiB", MaxSize>>20)
	case err != nil:
		p.syntax(err)
	}
	return p.documents, bounded(p.problems).Err()
}

// boundedReader reads at most left bytes, and remembers an error that is not the end of the input.
type boundedReader struct {
	r    io.Reader
	left int
	err  error
}

func (b *boundedReader) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := b.r.Read(p[:min(len(p), b.left+1)])
	b.left -= n
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

func isJSON(file string, in *bufio.Reader) bool {
	switch strings.ToLower(filepath.Ext(file)) {
	case ".json", ".jsonl", ".ndjson":
		return true
	case ".yaml", ".yml":
		return false
	}
	for size := 1; size <= 4096; size++ {
		head, err := in.Peek(size)
		if err != nil || len(head) < size {
			return false
		}
		switch head[size-1] {
		case ' ', '\t', '\r', '\n':
		case '{', '[':
			return true
		default:
			return false
		}
	}
	return false
}

// parser gathers documents and problems.
type parser struct {
	file      string
	documents []*Document
	problems  Problems
	seen      map[string]Source // where the document with a key stood
}

func (p *parser) problem(n *yaml.Node, suggestion, format string, args ...any) {
	one := Problem{File: p.file, Reason: fmt.Sprintf(format, args...), Suggestion: suggestion}
	if n != nil {
		one.Line, one.Column = n.Line, n.Column
	}
	p.problems = append(p.problems, one)
}

func (p *parser) full() bool {
	p.problems = bounded(p.problems)
	return len(p.problems) > maxProblems
}

// bounded cuts a list of problems that nobody would read to its end.
func bounded(p Problems) Problems {
	if len(p) <= maxProblems {
		return p
	}
	return append(p[:maxProblems:maxProblems], Problem{File: p[0].File, Reason: "there are more problems, which are not shown"})
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntaxError is text that is not YAML or not JSON.
type syntaxError struct {
	line, column int
	reason       string
}

func (e *syntaxError) Error() string { return e.reason }

// syntax reports what the reader of YAML or JSON says. It may name no anchors and tags: an unquoted secret can look like one.
func (p *parser) syntax(err error) {
	one := Problem{File: p.file, Reason: err.Error()}
	if s := (*syntaxError)(nil); errors.As(err, &s) {
		one.Line, one.Column, one.Reason = s.line, s.column, s.reason
	} else if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		one.Line, _ = strconv.Atoi(m[1])
		one.Reason = "this is not YAML: " + m[2]
		switch {
		case strings.Contains(m[2], "unknown anchor"):
			one.Reason, one.Suggestion = "an alias (*) without its anchor (&)", "put a text that begins with * in quotes"
		case strings.Contains(m[2], "tag"):
			one.Reason, one.Suggestion = "a tag (!) that is not known", "put a text that begins with ! in quotes"
		}
	}
	p.problems = append(p.problems, one)
}

func (p *parser) yaml(in io.Reader) (err error) {
	dec := yaml.NewDecoder(in)
	for !p.full() {
		var root yaml.Node
		if err := dec.Decode(&root); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if root.Kind == yaml.DocumentNode && len(root.Content) == 1 {
			p.top(root.Content[0])
		}
	}
	return nil
}

// top reads what stands at the top: a document, a list of them, or nothing.
func (p *parser) top(n *yaml.Node) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		p.document(n)
		return
	}
	for _, e := range n.Content {
		if p.full() {
			return
		}
		p.document(e)
	}
}

// topFields are the fields of every document.
var topFields = []field{
	{name: "kind", typ: reflect.TypeFor[string]()},
	{name: "name", typ: reflect.TypeFor[string]()},
	{name: "version", typ: reflect.TypeFor[uint64]()},
	{name: "comment", typ: reflect.TypeFor[string]()},
	{name: "spec", typ: reflect.TypeFor[Spec]()},
}

// shownFields say what is known of a document beside what it says. They are shown and cannot be written: a document that has them, as
// one that was shown and edited, means the same without.
var shownFields = []string{"id", "createdAt", "createdBy", "modifiedAt", "modifiedBy"}

func (p *parser) document(n *yaml.Node) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	doc := &Document{Source: Source{p.file, n.Line, n.Column}}
	d := &decoder{doc: doc}
	if n.Kind != yaml.MappingNode {
		p.problem(n, "", "expected a document with kind, name and spec, found %s", found(n))
		return
	}
	entries := d.pairs(n, "")
	kind, known := d.head(n, entries)
	if !known {
		p.problems = append(p.problems, d.problems...)
		return
	}
	doc.Spec = kind.New()
	var spec *yaml.Node
	for _, e := range entries {
		d.topField(kind, e, &spec)
	}
	if spec == nil {
		spec = &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: n.Line, Column: n.Column}
	}
	d.structure(spec, reflect.ValueOf(doc.Spec).Elem(), "spec", 1)
	if doc.Name != "" {
		if first, twice := p.seen[doc.Key()]; twice {
			where := fmt.Sprintf("line %d", first.Line)
			if first.File != "" {
				where = fmt.Sprintf("%s:%d", first.File, first.Line)
			}
			d.fail(n, "", "", "the document is given twice, first at %s", where)
		} else {
			p.seen[doc.Key()] = doc.Source
		}
	}
	doc.Spec.normalise()
	if len(d.problems) == 0 {
		d.problems = Validate(doc)
	}
	if len(d.problems) > 0 {
		slices.SortStableFunc(d.problems, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		p.problems = append(p.problems, d.problems...)
		return
	}
	p.documents = append(p.documents, doc)
}

// head reads kind and name first, so that every problem can name its document.
func (d *decoder) head(n *yaml.Node, entries []pair) (Kind, bool) {
	var (
		kind  Kind
		known bool
		given bool
		named bool
	)
	for _, e := range entries {
		switch e.key.Value {
		case "name":
			if e.value.Kind == yaml.ScalarNode && !isNull(e.value) {
				d.doc.Name, named = e.value.Value, true
			}
		case "kind":
			given = true
			if e.value.Kind != yaml.ScalarNode || e.value.Tag != "!!str" {
				d.fail(e.value, "kind", "", "expected the name of a kind, found %s", found(e.value))
				continue
			}
			if kind, known = kindExactly(e.value.Value); !known {
				names := make([]string, 0, 8)
				for _, k := range Kinds() {
					names = append(names, k.Name)
				}
				suggestion := suggest(e.value.Value, names)
				if near, ok := KindNamed(e.value.Value); ok {
					suggestion = "did you mean " + near.Name + "?"
				}
				d.fail(e.value, "kind", suggestion, "unknown kind %q; there are %s", shorten(e.value.Value), strings.Join(names, ", "))
			}
		}
	}
	d.doc.Kind = kind.Name
	if !given {
		d.fail(n, "kind", "", "the field is required")
	}
	if !named {
		d.fail(n, "name", "", "the field is required")
	}
	return kind, known
}

func (d *decoder) topField(kind Kind, e pair, spec **yaml.Node) {
	value := e.value
	if value.Kind == yaml.AliasNode {
		value = value.Alias
	}
	switch e.key.Value {
	case "kind":
	case "name":
		d.mark("name", value)
		if s, ok := d.text(value, "name"); ok {
			d.doc.Name = s
			d.doc.nameCanonically()
		}
	case "version":
		v, err := strconv.ParseUint(value.Value, 10, 64)
		if !isNull(value) && (value.Kind != yaml.ScalarNode || value.Tag != "!!int" || err != nil) {
			d.fail(value, "version", "", "expected the number of a version, found %s", found(value))
		}
		d.doc.Version = v
	case "comment":
		if !isNull(value) {
			d.doc.Comment, _ = d.text(value, "comment")
		}
	case "spec":
		if !isNull(value) {
			*spec = value
		}
	default:
		if slices.Contains(shownFields, e.key.Value) {
			return
		}
		suggestion := suggestField(e.key.Value, topFields)
		for _, f := range schemas[reflect.TypeOf(kind.blank()).Elem()] {
			if suggestion == "" && strings.EqualFold(f.name, e.key.Value) {
				suggestion = "did you mean spec." + f.name + "?"
			}
		}
		d.fail(e.key, e.key.Value, suggestion, "unknown field")
	}
}

// FromStored reads a document as the log holds it, that is, as Stored wrote it in this or an earlier release.
func FromStored(kind, name string, spec []byte) (*Document, error) {
	doc := New(kind, name)
	if doc == nil {
		return nil, fmt.Errorf("read stored document %s: unknown kind", kind+"/"+name)
	}
	if p, ok := doc.Spec.(packed); ok {
		if err := p.fromStored(spec); err != nil {
			return nil, fmt.Errorf("read stored document %s: %w", doc.Key(), err)
		}
		return doc, nil
	}
	d := &decoder{doc: doc}
	root, err := newJSONReader(bytes.NewReader(spec)).value()
	if err != nil {
		return nil, fmt.Errorf("read stored document %s: %w", doc.Key(), err)
	}
	d.structure(root, reflect.ValueOf(doc.Spec).Elem(), "spec", 1)
	doc.marks = nil
	doc.Spec.normalise()
	if err := d.problems.Err(); err != nil {
		return nil, fmt.Errorf("read stored document %s: %w", doc.Key(), err)
	}
	return doc, nil
}
