package document

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sort"

	"go.yaml.in/yaml/v3"
)

// jsonReader turns JSON into the nodes that YAML is read into, so that both take one way from there. It keeps the places of
// line ends for the problems.
type jsonReader struct {
	dec   *json.Decoder
	lines *lineCounter
	nodes int
}

// lineCounter remembers where lines begin in what passes through it.
type lineCounter struct {
	r      io.Reader
	offset int64
	starts []int64 // offsets of the first bytes of lines 2, 3, ...
}

func (l *lineCounter) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for i, c := range p[:n] {
		if c == '\n' {
			l.starts = append(l.starts, l.offset+int64(i)+1)
		}
	}
	l.offset += int64(n)
	return n, err
}

func (l *lineCounter) place(offset int64) (line, column int) {
	i := sort.Search(len(l.starts), func(i int) bool { return l.starts[i] > offset })
	start := int64(0)
	if i > 0 {
		start = l.starts[i-1]
	}
	return i + 1, int(offset-start) + 1
}

func newJSONReader(r io.Reader) *jsonReader {
	lines := &lineCounter{r: r}
	dec := json.NewDecoder(lines)
	dec.UseNumber()
	return &jsonReader{dec: dec, lines: lines}
}

func (p *parser) json(in io.Reader) error {
	r := newJSONReader(in)
	for !p.full() {
		if !r.dec.More() {
			if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
				return r.fail(err)
			}
			return nil
		}
		// A list is read an element at a time, so that a large one does not stand in memory as a whole.
		if r.peekList() {
			if _, err := r.dec.Token(); err != nil {
				return r.fail(err)
			}
			for r.dec.More() && !p.full() {
				r.nodes = 0
				n, err := r.value()
				if err != nil {
					return err
				}
				p.document(n)
			}
			if _, err := r.dec.Token(); err != nil {
				return r.fail(err)
			}
			continue
		}
		r.nodes = 0
		n, err := r.value()
		if err != nil {
			return err
		}
		p.top(n)
	}
	return nil
}

// peekList reports whether a list comes next. More has read past the blanks before it.
func (r *jsonReader) peekList() bool {
	var b [1]byte
	buffered := r.dec.Buffered()
	for {
		if n, _ := buffered.Read(b[:]); n == 0 {
			return false
		}
		switch b[0] {
		case ' ', '\t', '\r', '\n':
		default:
			return b[0] == '['
		}
	}
}

func (r *jsonReader) fail(err error) error {
	offset := r.dec.InputOffset()
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		offset = max(0, syntax.Offset-1)
	}
	line, column := r.lines.place(offset)
	reason := "this is not JSON: " + err.Error()
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		reason = "the JSON ends too early"
	}
	return &syntaxError{line, column, reason}
}

// value reads the next value.
func (r *jsonReader) value() (*yaml.Node, error) { return r.valueAt(0) }

func (r *jsonReader) valueAt(depth int) (*yaml.Node, error) {
	t, err := r.dec.Token()
	if err != nil {
		return nil, r.fail(err)
	}
	if r.nodes++; depth > maxDepth || r.nodes > 2*maxNodes {
		line, column := r.lines.place(r.dec.InputOffset())
		return nil, &syntaxError{line, column, fmt.Sprintf("the document is nested more than %d levels deep, or has more than %d values", maxDepth, maxNodes)}
	}
	n := &yaml.Node{Kind: yaml.ScalarNode}
	n.Line, n.Column = r.lines.place(max(0, r.dec.InputOffset()-1))
	switch t := t.(type) {
	case string:
		n.Tag, n.Value = "!!str", t
	case json.Number:
		n.Tag, n.Value = "!!float", t.String()
		if _, err := t.Int64(); err == nil {
			n.Tag = "!!int"
		}
	case bool:
		n.Tag, n.Value = "!!bool", fmt.Sprint(t)
	case nil:
		n.Tag, n.Value = "!!null", "null"
	case json.Delim:
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		if t == '{' {
			n.Kind, n.Tag = yaml.MappingNode, "!!map"
		}
		for r.dec.More() {
			e, err := r.valueAt(depth + 1)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, e)
		}
		if _, err := r.dec.Token(); err != nil {
			return nil, r.fail(err)
		}
	}
	return n, nil
}
