package document

import (
	"fmt"
	"hash/fnv"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"trine/engine/secret"
)

// Bounds of one document. They are far above what a document needs, and keep a hostile one from taking the node's memory.
const (
	maxDepth = 64
	maxNodes = 200_000 // nodes of one document, counted again at each use of an alias

	maxDocumentProblems = 100
)

// mark remembers where a field stood, by a hash of its path.
type mark struct {
	path   uint32
	line   int32
	column int32
}

func hashPath(path string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(path))
	return h.Sum32()
}

// At returns where a field stood, named by its path such as spec.radius.secret, or the innermost thing around it that has a place.
func (d *Document) At(path string) Source {
	for {
		if m := d.marked(path); m != nil {
			return Source{d.Source.File, int(m.line), int(m.column)}
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			return d.Source
		}
		path = path[:cut]
	}
}

// Gives reports whether the author wrote the field of that path, be it empty.
func (d *Document) Gives(path string) bool { return d.marked(path) != nil }

func (d *Document) marked(path string) *mark {
	h := hashPath(path)
	for i := range d.marks {
		if d.marks[i].path == h {
			return &d.marks[i]
		}
	}
	return nil
}

// problem returns a problem with a field of the document.
func (d *Document) problem(path, reason, suggestion string) Problem {
	at := d.At(path)
	return Problem{File: at.File, Line: at.Line, Column: at.Column, Kind: d.Kind, Name: d.Name, Field: path, Reason: reason, Suggestion: suggestion}
}

// decoder reads nodes into the fields of one document.
type decoder struct {
	doc      *Document
	problems Problems
	nodes    int
	tooBig   bool
}

func (d *decoder) fail(n *yaml.Node, path, suggestion, format string, args ...any) {
	if len(d.problems) >= maxDocumentProblems {
		d.tooBig = true
		return
	}
	d.problems = append(d.problems, Problem{
		File: d.doc.Source.File, Line: n.Line, Column: n.Column, Kind: d.doc.Kind, Name: d.doc.Name,
		Field: path, Reason: fmt.Sprintf(format, args...), Suggestion: suggestion,
	})
}

// enter follows aliases and counts; it returns nil where the document is too deep or too large.
func (d *decoder) enter(n *yaml.Node, path string, depth int) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	d.nodes++
	if d.tooBig {
		return nil
	}
	if depth > maxDepth {
		d.tooBig = true
		d.fail(n, path, "", "the document is nested more than %d levels deep", maxDepth)
		return nil
	}
	if d.nodes > maxNodes {
		d.tooBig = true
		d.fail(n, path, "", "the document has more than %d values, aliases counted at each use", maxNodes)
		return nil
	}
	return n
}

// pair is a key of a map with its value.
type pair struct{ key, value *yaml.Node }

// pairs returns the entries of a map, without those that are given twice or have no text for a key.
func (d *decoder) pairs(n *yaml.Node, path string) []pair {
	out := make([]pair, 0, len(n.Content)/2)
	seen := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		if k.Kind != yaml.ScalarNode {
			d.fail(k, path, "", "a key must be a text, found %s", found(k))
			continue
		}
		if k.Tag == "!!merge" {
			d.fail(k, path, "write the fields out, or use an alias for a whole value", "merge keys (<<) are not supported")
			continue
		}
		if line, twice := seen[k.Value]; twice {
			d.fail(k, join(path, k.Value), "", "the field is given twice, first on line %d", line)
			continue
		}
		seen[k.Value] = k.Line
		out = append(out, pair{k, n.Content[i+1]})
	}
	return out
}

// structure reads a map into a struct.
func (d *decoder) structure(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n = d.enter(n, path, depth); n == nil {
		return
	}
	d.mark(path, n)
	fields := schemas[v.Type()]
	given := make([]bool, len(fields))
	if n.Kind != yaml.MappingNode {
		if n.Tag != "!!null" || n.Kind != yaml.ScalarNode {
			d.fail(n, path, "", "expected a map of fields, found %s", d.found(n, v.Type()))
			return
		}
	} else {
		for _, p := range d.pairs(n, path) {
			i := slices.IndexFunc(fields, func(f field) bool { return f.name == p.key.Value })
			if i < 0 {
				d.fail(p.key, join(path, p.key.Value), suggestField(p.key.Value, fields), "unknown field")
				continue
			}
			switch {
			case fields[i].required && isEmpty(p.value):
				given[i] = true // it is told of here
				d.fail(p.value, join(path, fields[i].name), "", "the field is required, and it is empty")
			case !isNull(p.value):
				given[i] = true
			}
			if !isNull(p.value) {
				d.value(&fields[i], p.value, v.FieldByIndex(fields[i].index), join(path, fields[i].name), depth+1)
			}
		}
	}
	for i, f := range fields {
		if f.required && !given[i] {
			d.fail(n, join(path, f.name), "", "the field is required")
		}
	}
}

// value reads a node into a field or an element of its list.
func (d *decoder) value(f *field, n *yaml.Node, v reflect.Value, path string, depth int) {
	if v.Kind() == reflect.Struct {
		if _, ok := schemas[v.Type()]; ok {
			d.structure(n, v, path, depth)
			return
		}
	}
	if v.Kind() == reflect.Pointer && v.Type() != typeCondition {
		fresh := reflect.New(v.Type().Elem())
		applyDefaultsTo(fresh.Elem())
		v.Set(fresh)
		d.structure(n, fresh.Elem(), path, depth)
		return
	}
	if n = d.enter(n, path, depth); n == nil {
		return
	}
	d.mark(path, n)
	switch {
	case v.Type() == typeText:
		d.secret(n, v, path)
	case v.Type() == typeCondition:
		v.Set(reflect.ValueOf(d.condition(n, path, depth)))
	case v.Type() == typeValues:
		d.values(n, v, path, depth)
	case v.Type() == typeRange:
		d.addressRange(n, v, path)
	case v.Type() == typeTime:
		d.time(n, v, path)
	case v.Type() == typeDuration:
		d.duration(f, n, v, path)
	case v.Kind() == reflect.Bool:
		d.bool(n, v, path)
	case v.Kind() == reflect.Int:
		d.int(f, n, v, path)
	case v.Kind() == reflect.String:
		d.string(f, n, v, path)
	case v.Kind() == reflect.Slice:
		d.slice(f, n, v, path, depth)
	case v.Kind() == reflect.Map:
		d.valueMap(n, v, path, depth)
	default:
		panic(fmt.Sprintf("document: no decoder for %s at %s", v.Type(), path))
	}
}

func (d *decoder) slice(f *field, n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.SequenceNode {
		suggestion := ""
		if _, blocks := structUnder(v.Type()); n.Kind == yaml.ScalarNode && !blocks {
			suggestion = fmt.Sprintf("write [%s]", shorten(n.Value))
		}
		d.fail(n, path, suggestion, "expected a list, found %s", d.found(n, v.Type().Elem()))
		return
	}
	out := reflect.MakeSlice(v.Type(), 0, len(n.Content))
	for i, e := range n.Content {
		item := reflect.New(v.Type().Elem()).Elem()
		if _, ok := schemas[item.Type()]; ok {
			applyDefaultsTo(item)
		}
		d.value(f, e, item, element(path, i), depth+1)
		out = reflect.Append(out, item)
	}
	v.Set(out)
}

func (d *decoder) valueMap(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.MappingNode {
		d.fail(n, path, "", "expected a map of names to values, found %s", found(n))
		return
	}
	out := reflect.MakeMapWithSize(v.Type(), len(n.Content)/2)
	for _, p := range d.pairs(n, path) {
		item := reflect.New(v.Type().Elem()).Elem()
		if isNull(p.value) {
			continue
		}
		d.value(nil, p.value, item, join(path, p.key.Value), depth+1)
		out.SetMapIndex(reflect.ValueOf(p.key.Value), item)
	}
	v.Set(out)
}

func (d *decoder) values(n *yaml.Node, v reflect.Value, path string, depth int) {
	var out Values
	if n.Kind == yaml.ScalarNode {
		if s, ok := d.text(n, path); ok {
			out = Values{s}
		}
	} else if n.Kind == yaml.SequenceNode {
		for i, e := range n.Content {
			at := element(path, i)
			if e = d.enter(e, at, depth+1); e == nil {
				return
			}
			if s, ok := d.text(e, at); ok {
				out = append(out, s)
			}
		}
	} else {
		d.fail(n, path, "", "expected a text or a list of texts, found %s", found(n))
	}
	v.Set(reflect.ValueOf(out))
}

// text returns the text of a scalar. Numbers and truth values are not texts: unquoted, they would lose or change their form
// in the next program that touches the file.
func (d *decoder) text(n *yaml.Node, path string) (string, bool) {
	if n.Kind == yaml.ScalarNode {
		switch n.Tag {
		case "!!str", "!!timestamp":
			return n.Value, true
		case "!!int", "!!float", "!!bool":
			d.fail(n, path, fmt.Sprintf("write %q", n.Value), "expected a text, found %s", found(n))
			return "", false
		}
	}
	d.fail(n, path, "", "expected a text, found %s", found(n))
	return "", false
}

func (d *decoder) string(f *field, n *yaml.Node, v reflect.Value, path string) {
	s, ok := d.text(n, path)
	if !ok {
		return
	}
	if f != nil && len(f.enum) > 0 && !slices.Contains(f.enum, s) {
		if slices.Contains(f.planned, s) {
			d.fail(n, path, "", "this release does not have %q yet; it has %s", s, or(f.enum))
			return
		}
		d.fail(n, path, suggest(s, f.enum), "expected %s, found %q", or(f.enum), s)
		return
	}
	v.SetString(s)
}

func (d *decoder) bool(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!bool" {
		switch strings.ToLower(n.Value) {
		case "true":
			v.SetBool(true)
			return
		case "false":
			v.SetBool(false)
			return
		}
	}
	d.fail(n, path, "", "expected true or false, found %s", found(n))
}

func (d *decoder) int(f *field, n *yaml.Node, v reflect.Value, path string) {
	number, err := strconv.Atoi(n.Value)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil {
		d.fail(n, path, "", "expected a whole number, found %s", found(n))
		return
	}
	low, high := -1<<31, 1<<31-1
	if f.min != "" {
		low, _ = strconv.Atoi(f.min)
	}
	if f.max != "" {
		high, _ = strconv.Atoi(f.max)
	}
	if number < low || number > high {
		d.fail(n, path, "", "expected a number from %d to %d, found %d", low, high, number)
		return
	}
	v.SetInt(int64(number))
}

func (d *decoder) duration(f *field, n *yaml.Node, v reflect.Value, path string) {
	var (
		length time.Duration
		err    error
	)
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!int":
		var seconds int32
		var wide int64
		wide, err = strconv.ParseInt(n.Value, 10, 32)
		seconds = int32(wide)
		length = time.Duration(seconds) * time.Second
	case n.Kind == yaml.ScalarNode && n.Tag == "!!str":
		length, err = time.ParseDuration(n.Value)
	default:
		err = strconv.ErrSyntax
	}
	if err != nil {
		d.fail(n, path, "", "expected a duration such as 30s, 10m or 1h30m, or a number of seconds, found %s", found(n))
		return
	}
	low, _ := time.ParseDuration(f.min)
	high, _ := time.ParseDuration(f.max)
	if length < low || length > high {
		d.fail(n, path, "", "expected a duration from %s to %s, found %s", formatDuration(low), formatDuration(high), formatDuration(length))
		return
	}
	v.SetInt(int64(length))
}

func (d *decoder) time(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind == yaml.ScalarNode {
		if t, ok := parseTime(n.Value); ok {
			v.Set(reflect.ValueOf(t))
			return
		}
	}
	d.fail(n, path, "", "expected a time such as 2027-01-31T12:00:00Z, or a day such as 2027-01-31 (UTC), found %s", found(n))
}

func parseTime(text string) (time.Time, bool) {
	for _, layout := range []string{time.RFC3339Nano, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

func (d *decoder) addressRange(n *yaml.Node, v reflect.Value, path string) {
	s, ok := d.text(n, path)
	if !ok {
		return
	}
	r, err := ParseAddressRange(strings.TrimSpace(s))
	if err != nil {
		d.fail(n, path, "", "%v", err)
		return
	}
	v.Set(reflect.ValueOf(r))
}

// secret reads a secret. Its text is in no problem.
func (d *decoder) secret(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode || !slices.Contains([]string{"!!str", "!!int", "!!float", "!!bool", "!!timestamp"}, n.Tag) {
		d.fail(n, path, "put the secret in quotes", "expected the text of a secret, found something else")
		return
	}
	t, err := secret.Parse(n.Value)
	if err != nil {
		d.fail(n, path, "", "%v", err)
		return
	}
	v.Set(reflect.ValueOf(t))
}

func (d *decoder) mark(path string, n *yaml.Node) {
	d.doc.marks = append(d.doc.marks, mark{hashPath(path), int32(n.Line), int32(n.Column)})
}

func isNull(n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null"
}

// found describes a node that stands where a value of the type belongs. Where that has a secret in it, a text may be the secret.
func (d *decoder) found(n *yaml.Node, t reflect.Type) string {
	if n.Kind == yaml.ScalarNode && slices.ContainsFunc(schemas[t], func(f field) bool { return f.typ == typeText }) {
		return "a single value"
	}
	return found(n)
}

// found describes a node in words.
func found(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a map"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		switch n.Tag {
		case "!!null":
			return "nothing"
		case "!!int", "!!float":
			return "the number " + shorten(n.Value)
		case "!!bool":
			return n.Value
		case "!!str", "!!timestamp":
			return "the text " + strconv.Quote(shorten(n.Value))
		}
		return "a value with a tag (!)"
	}
	return "something else"
}

func shorten(s string) string {
	if len(s) > 60 {
		return s[:57] + "..."
	}
	return s
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// formatDuration prints a duration without the units that are zero: 10m, 1h30m, 0s.
func formatDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

func element(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

// isEmpty reports whether a value says nothing: an empty text or an empty list. Where a field is required, that is not enough.
func isEmpty(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Value == "" || n.Kind == yaml.SequenceNode && len(n.Content) == 0
}
