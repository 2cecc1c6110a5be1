package document

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Problem is one thing that is wrong with a document, said to its author.
type Problem struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`   // from 1; 0 if unknown
	Column int    `json:"column,omitempty"` // from 1; 0 if unknown
	Kind   string `json:"kind,omitempty"`
	Name   string `json:"name,omitempty"`
	// Field is the path of the field, such as spec.radius.secrets[0].value.
	Field  string `json:"field,omitempty"`
	Reason string `json:"reason"`
	// Suggestion says what to write instead, where that is known.
	Suggestion string `json:"suggestion,omitempty"`
}

// String returns the problem on one line: where, which document, which field, what, and what instead.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		b.WriteByte(':')
	}
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:", p.Line)
		if p.Column > 0 {
			fmt.Fprintf(&b, "%d:", p.Column)
		}
	}
	if b.Len() > 0 {
		b.WriteByte(' ')
	}
	if p.Kind != "" {
		b.WriteString(p.Kind)
		if p.Name != "" {
			b.WriteByte(' ')
			b.WriteString(visible(p.Name))
		}
		b.WriteString(": ")
	}
	if p.Field != "" {
		b.WriteString(visible(p.Field))
		b.WriteString(": ")
	}
	b.WriteString(p.Reason)
	if p.Suggestion != "" {
		b.WriteString("; ")
		b.WriteString(p.Suggestion)
	}
	return b.String()
}

// Problems are all that is wrong; as an error, a line each.
type Problems []Problem

// Error returns every problem on a line of its own.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, one := range p {
		lines[i] = one.String()
	}
	return strings.Join(lines, "\n")
}

// Err returns the problems as an error, or nil if there are none.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// visible quotes a name that has something in it that cannot be seen, or that a terminal would obey.
func visible(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) || r == utf8.RuneError }) >= 0 || strings.TrimSpace(s) != s {
		return strconv.QuoteToGraphic(s)
	}
	return s
}
