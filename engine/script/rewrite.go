package script

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Rewrite is a form of the handbook's language that a script uses and that is read as JavaScript.
type Rewrite struct {
	Line, Column int // where it comes first
	Text         string
}

// The forms that are rewritten.
const (
	indexForm = `x{"k"} is read as x["k"]`
	loopForm  = `for (v : list) is read as for (v of list)`
)

// edit replaces the bytes from start to end of what was written by a text.
type edit struct {
	start, end int
	text       string
}

// apply returns source with the edits, which are in order and do not overlap.
func apply(source string, edits []edit) string {
	var b strings.Builder
	last := 0
	for _, e := range edits {
		b.WriteString(source[last:e.start])
		b.WriteString(e.text)
		last = e.end
	}
	b.WriteString(source[last:])
	return b.String()
}

// original returns the place in what was written that an offset in the edited text comes from.
func original(edits []edit, offset int) int {
	moved := 0
	for _, e := range edits {
		at := e.start + moved
		if offset < at {
			break
		}
		if offset < at+len(e.text) {
			return e.start
		}
		moved += len(e.text) - (e.end - e.start)
	}
	return offset - moved
}

// place returns line and column of an offset, both from 1; the column counts characters.
func place(source string, offset int) (line, column int) {
	before := source[:min(max(offset, 0), len(source))]
	start := strings.LastIndexByte(before, '\n') + 1
	return 1 + strings.Count(before, "\n"), 1 + utf8.RuneCountInString(before[start:])
}

// offsetOf is the reverse of place.
func offsetOf(source string, line, column int) int {
	offset := 0
	for range line - 1 {
		next := strings.IndexByte(source[offset:], '\n')
		if next < 0 {
			return len(source)
		}
		offset += next + 1
	}
	for range column - 1 {
		if offset == len(source) {
			break
		}
		_, size := utf8.DecodeRuneInString(source[offset:])
		offset += size
	}
	return offset
}

// rewriter walks over the tokens of a script that is no JavaScript and notes which of them are to be read otherwise.
//
// x{"k"}: a brace that opens behind a value, on the same line. JavaScript has none there; what looks like one stands behind the
// parenthesis of if, for, function and their like, which is why a bracket remembers what it belongs to.
//
// for (v : list): the colon behind the name, or the declared name, at the beginning of the head of a for.
type rewriter struct {
	scan  scanner
	edits []edit
	found []Rewrite

	open     []bracket
	closed   bracketKind // of the bracket that was closed last
	nested   int         // in the bracket that was closed last
	arrows   int         // so far
	labels   int         // in a row
	function bool        // the next parenthesis has the parameters of a function
	last     token       // the token before
	ahead    token       // the one before that
}

// bracket is a bracket that is open.
type bracket struct {
	kind   bracketKind
	tokens int // since it opened
	nested int // how deep in it functions stand in the parameters of functions
}

type bracketKind uint8

const (
	brace    bracketKind = iota // { } of statements or of an object
	index                       // { } that is read as [ ]
	list                        // [ ]
	group                       // ( ) of a call, or around an expression
	head                        // ( ) of if, while, switch, catch, with or function
	loop                        // ( ) of for
	template                    // ${ } in a template
)

// What the parser takes much longer over than the text is long, and nobody needs: it calls itself for each bracket, reads the parameters
// of (a = ...) => b twice, looks through all functions around a name, and compares each label with those before.
const (
	maxOpen   = 200  // brackets that are open at a time
	maxNested = 4    // functions in the parameters of functions
	maxArrows = 1000 // functions a => b
	maxLabels = 20   // labels in a row
)

// rewrite returns how to read the script as JavaScript, and each form that it uses once. It fails only where brackets are nested too
// deep: what is no JavaScript in other ways is the parser's to say.
func rewrite(source string) (edits []edit, found []Rewrite, err error) {
	r := rewriter{scan: scanner{text: source}}
	for {
		t := r.scan.next(r.valueMayBegin())
		if t.kind == tokenEnd {
			return r.edits, r.found, nil
		}
		if n := len(r.open); n > 0 {
			r.open[n-1].tokens++
		}
		if t.kind == tokenMark {
			r.mark(t)
		}
		if excess := r.excess(t); excess != "" {
			line, column := place(source, t.start)
			return nil, nil, &SyntaxError{Line: line, Column: column, Text: excess}
		}
		r.function = t.is("function") || r.function && !t.is("(")
		r.ahead, r.last = r.last, t
	}
}

// excess says what is too deep at a token; empty if nothing is.
func (r *rewriter) excess(t token) string {
	n := len(r.open)
	switch {
	case t.is(":") && r.last.kind == tokenName:
		r.labels++
	case t.kind != tokenName:
		r.labels = 0
	}
	if t.is("=>") {
		r.arrows++
		if r.last.is(")") && n > 0 {
			r.open[n-1].nested = max(r.open[n-1].nested, r.nested+1)
		}
	}
	switch {
	case n > maxOpen:
		return fmt.Sprintf("more than %d brackets are open", maxOpen)
	case n > 0 && r.open[n-1].nested > maxNested:
		return fmt.Sprintf("functions stand more than %d deep in the parameters of functions", maxNested)
	case r.arrows > maxArrows:
		return fmt.Sprintf("there are more than %d functions", maxArrows)
	case r.labels > maxLabels:
		return fmt.Sprintf("there are more than %d labels in a row", maxLabels)
	}
	return ""
}

// mark looks at a token that is neither a word nor a literal.
func (r *rewriter) mark(t token) {
	switch t.text {
	case "(":
		r.push(r.parenthesis())
	case "[":
		r.push(list)
	case "${":
		r.push(template)
	case "{":
		if t.newline || !r.valueEnded() {
			r.push(brace)
			return
		}
		r.push(index)
		r.edit(t, "[", indexForm)
	case ")", "]", "}":
		r.close(t)
	case ":":
		r.colon(t)
	}
}

func (r *rewriter) push(k bracketKind) { r.open = append(r.open, bracket{kind: k}) }

// close ends the innermost bracket. What does not match is left to the parser.
func (r *rewriter) close(t token) {
	n := len(r.open)
	if n == 0 {
		return
	}
	r.closed, r.nested = r.open[n-1].kind, r.open[n-1].nested
	if r.open = r.open[:n-1]; n > 1 {
		r.open[n-2].nested = max(r.open[n-2].nested, r.nested)
	}
	switch {
	case r.closed == index && t.text == "}":
		r.edits = append(r.edits, edit{t.start, t.end, "]"})
	case r.closed == template && t.text == "}":
		r.scan.resume = true
	}
}

// parenthesis says what one that opens belongs to.
func (r *rewriter) parenthesis() bracketKind {
	switch {
	case r.function:
		return head
	case r.last.kind != tokenKeyword:
		return group
	}
	switch r.last.text {
	case "for":
		return loop
	case "if", "while", "switch", "catch", "with":
		return head
	}
	return group
}

// valueEnded reports whether the token before ends a value, behind which a brace is an index.
func (r *rewriter) valueEnded() bool {
	switch r.last.kind {
	case tokenName:
		return !r.ahead.is("class") && !r.ahead.is("extends")
	case tokenKeyword:
		return r.last.text == "this"
	case tokenMark:
		switch r.last.text {
		case ")":
			return r.closed == group
		case "]":
			return true
		case "}":
			return r.closed == index
		}
	}
	return false
}

// valueMayBegin reports whether a value may begin here, so that a slash begins a regular expression and is no division.
func (r *rewriter) valueMayBegin() bool {
	switch r.last.kind {
	case tokenName, tokenLiteral:
		return false
	case tokenKeyword:
		switch r.last.text {
		case "this", "super", "null", "true", "false":
			return false
		}
	case tokenMark:
		switch r.last.text {
		case ")":
			return r.closed != group
		case "}":
			return r.closed == brace
		case "]", "++", "--":
			return false
		}
	}
	return true
}

// colon looks for the loop over values.
func (r *rewriter) colon(t token) {
	n := len(r.open)
	if n == 0 || r.open[n-1].kind != loop || r.last.kind != tokenName {
		return
	}
	want := 2
	if r.ahead.is("var") || r.ahead.is("let") || r.ahead.is("const") {
		want = 3
	}
	if r.open[n-1].tokens == want {
		r.edit(t, " of ", loopForm)
	}
}

// edit notes how a token is read, and the form where it comes first.
func (r *rewriter) edit(t token, text, form string) {
	r.edits = append(r.edits, edit{t.start, t.end, text})
	if !slices.ContainsFunc(r.found, func(f Rewrite) bool { return f.Text == form }) {
		line, column := place(r.scan.text, t.start)
		r.found = append(r.found, Rewrite{line, column, form})
	}
}
