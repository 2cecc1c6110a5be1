package document

import (
	"crypto/sha256"
	"encoding/hex"
	"reflect"
	"strconv"

	"go.yaml.in/yaml/v3"

	"trine/engine/secret"
)

// Change is one field that differs between two versions of a document. Old is empty for a field that is new, New for one that
// goes away. Of secrets they show only that they change.
type Change struct {
	Path string `json:"path"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
}

// secretChanged is shown for a secret that is set or replaced.
const secretChanged = "(changed)"

// Diff compares two versions of a document field by field, in the order of the fields. Before is nil for a new document, and
// then fields at their defaults are left out; after is nil for a deleted one. Lists are compared by element: what was removed has its
// place in the old list, what was added its place in the new one. A secret that is only the mark counts as unchanged.
func Diff(before, after *Document) []Change {
	switch {
	case before == nil && after == nil:
		return nil
	case before == nil:
		return added(digested(after, false), "spec", nil)
	case after == nil:
		return removed(digested(before, false), "spec", nil)
	}
	return compare(digested(before, true), digested(after, true), "spec", nil)
}

// digested returns the document's nodes, with digests in place of secrets.
func digested(d *Document, defaults bool) *yaml.Node {
	e := &encoder{defaults: defaults, secret: func(t secret.Text) (string, error) {
		if t.IsPlain() {
			text, err := t.Open(nil, nil, nil)
			sum := sha256.Sum256(text)
			return hex.EncodeToString(sum[:]), err
		}
		if t.IsSealed() {
			return t.Stored()
		}
		return t.String(), nil
	}}
	return e.structure(reflect.ValueOf(d.Spec).Elem())
}

// leaf is a value that is shown on a line of its own.
type leaf struct{ path, text string }

// leaves returns what a node holds, a line each. Empty lists and maps are leaves too.
func leaves(n *yaml.Node, path string, out []leaf) []leaf {
	switch {
	case n.Kind == yaml.MappingNode && len(n.Content) > 0:
		for i := 0; i+1 < len(n.Content); i += 2 {
			out = leaves(n.Content[i+1], join(path, n.Content[i].Value), out)
		}
		return out
	case n.Kind == yaml.SequenceNode && len(n.Content) > 0:
		for i, e := range n.Content {
			out = leaves(e, element(path, i), out)
		}
		return out
	}
	return append(out, leaf{path, leafText(n)})
}

func leafText(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "{}"
	case n.Kind == yaml.SequenceNode:
		return "[]"
	case n.Tag == tagSecret:
		return secretChanged
	case n.Value == "":
		return `""`
	}
	return n.Value
}

func added(n *yaml.Node, path string, out []Change) []Change {
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 && path == "spec" {
		return out
	}
	for _, l := range leaves(n, path, nil) {
		out = append(out, Change{Path: l.path, New: l.text})
	}
	return out
}

func removed(n *yaml.Node, path string, out []Change) []Change {
	if n.Kind == yaml.MappingNode && len(n.Content) == 0 && path == "spec" {
		return out
	}
	for _, l := range leaves(n, path, nil) {
		if l.text == secretChanged {
			l.text = secret.Mark
		}
		out = append(out, Change{Path: l.path, Old: l.text})
	}
	return out
}

func compare(a, b *yaml.Node, path string, out []Change) []Change {
	switch {
	case a.Kind != b.Kind:
		return added(b, path, removed(a, path, out))
	case a.Kind == yaml.MappingNode:
		return compareMaps(a, b, path, out)
	case a.Kind == yaml.SequenceNode:
		return compareLists(a, b, path, out)
	case same(a, b):
		return out
	case a.Tag == tagSecret:
		return append(out, Change{path, secret.Mark, secretChanged})
	}
	return append(out, Change{path, leafText(a), leafText(b)})
}

// same reports whether two nodes are equal, a secret's mark being equal to every secret.
func same(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || len(a.Content) != len(b.Content) {
		return false
	}
	if a.Kind == yaml.ScalarNode {
		return a.Value == b.Value && a.Tag == b.Tag || a.Tag == tagSecret && b.Tag == tagSecret && (a.Value == secret.Mark || b.Value == secret.Mark)
	}
	for i := range a.Content {
		if !same(a.Content[i], b.Content[i]) {
			return false
		}
	}
	return true
}

// compareMaps walks two maps whose keys are in one order, that of the fields or of the alphabet.
func compareMaps(a, b *yaml.Node, path string, out []Change) []Change {
	inA, inB := places(a), places(b)
	i := 0
	for j := 0; j+1 < len(b.Content); j += 2 {
		name := b.Content[j].Value
		at, both := inA[name]
		if !both {
			if b.Content[j+1].Tag != tagSecret || b.Content[j+1].Value != secret.Mark {
				out = added(b.Content[j+1], join(path, name), out)
			}
			continue
		}
		for ; i < at; i += 2 { // what stands before it in a only
			if _, kept := inB[a.Content[i].Value]; !kept {
				out = removed(a.Content[i+1], join(path, a.Content[i].Value), out)
			}
		}
		out = compare(a.Content[at+1], b.Content[j+1], join(path, name), out)
	}
	for ; i+1 < len(a.Content); i += 2 {
		if _, kept := inB[a.Content[i].Value]; !kept {
			out = removed(a.Content[i+1], join(path, a.Content[i].Value), out)
		}
	}
	return out
}

func places(n *yaml.Node) map[string]int {
	m := make(map[string]int, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		m[n.Content[i].Value] = i
	}
	return m
}

// maxAligned bounds the elements of two lists that are aligned; the work grows with their product.
const maxAligned = 1000

// compareLists keeps what both lists have in common, in order, and pairs what lies between: maps with maps are compared field
// by field, everything else was removed or added.
func compareLists(a, b *yaml.Node, path string, out []Change) []Change {
	i, j := 0, 0
	for _, m := range common(a.Content, b.Content) {
		out = compareRun(a, b, i, m[0], j, m[1], path, out)
		i, j = m[0]+1, m[1]+1
	}
	return compareRun(a, b, i, len(a.Content), j, len(b.Content), path, out)
}

func compareRun(a, b *yaml.Node, i, iEnd, j, jEnd int, path string, out []Change) []Change {
	for ; i < iEnd && j < jEnd && a.Content[i].Kind != yaml.ScalarNode; i, j = i+1, j+1 {
		out = compare(a.Content[i], b.Content[j], element(path, j), out)
	}
	for ; i < iEnd; i++ {
		out = removed(a.Content[i], element(path, i), out)
	}
	for ; j < jEnd; j++ {
		out = added(b.Content[j], element(path, j), out)
	}
	return out
}

// common returns the places of a longest common subsequence. Of lists that are too long for it, only what begins and ends
// alike counts.
func common(a, b []*yaml.Node) [][2]int {
	var head, tail [][2]int
	start := 0
	for start < len(a) && start < len(b) && same(a[start], b[start]) {
		head = append(head, [2]int{start, start})
		start++
	}
	aEnd, bEnd := len(a), len(b)
	for aEnd > start && bEnd > start && same(a[aEnd-1], b[bEnd-1]) {
		aEnd, bEnd = aEnd-1, bEnd-1
		tail = append([][2]int{{aEnd, bEnd}}, tail...)
	}
	n, m := aEnd-start, bEnd-start
	if n > 0 && m > 0 && n <= maxAligned && m <= maxAligned {
		length := make([]int, (n+1)*(m+1))
		for i := n - 1; i >= 0; i-- {
			for j := m - 1; j >= 0; j-- {
				if same(a[start+i], b[start+j]) {
					length[i*(m+1)+j] = length[(i+1)*(m+1)+j+1] + 1
				} else {
					length[i*(m+1)+j] = max(length[(i+1)*(m+1)+j], length[i*(m+1)+j+1])
				}
			}
		}
		for i, j := 0, 0; i < n && j < m; {
			switch {
			case same(a[start+i], b[start+j]):
				head = append(head, [2]int{start + i, start + j})
				i, j = i+1, j+1
			case length[(i+1)*(m+1)+j] >= length[i*(m+1)+j+1]:
				i++
			default:
				j++
			}
		}
	}
	return append(head, tail...)
}

// String returns the change on one line.
func (c Change) String() string {
	switch {
	case c.Old == "":
		return c.Path + ": + " + strconv.Quote(c.New)
	case c.New == "":
		return c.Path + ": - " + strconv.Quote(c.Old)
	}
	return c.Path + ": " + strconv.Quote(c.Old) + " -> " + strconv.Quote(c.New)
}
