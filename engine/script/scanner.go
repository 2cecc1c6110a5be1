package script

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// token is a token of JavaScript, as far as rewriting has to tell them apart.
type token struct {
	kind       tokenKind
	text       string
	start, end int
	newline    bool // a line ends between the token before and this one
}

type tokenKind uint8

const (
	tokenNone    tokenKind = iota // before the first
	tokenEnd                      // behind the last
	tokenName                     // a name that is no keyword
	tokenKeyword                  // a word that is no name
	tokenLiteral                  // a number, text, regular expression, or the end of a template
	tokenMark                     // everything else; the beginning of a template, up to ${, is one too
)

// is reports whether the token is a mark or a word with that text.
func (t token) is(text string) bool {
	return t.kind >= tokenName && t.kind != tokenLiteral && t.text == text
}

// keywords are the words that are no names (ECMA-262, ReservedWord).
var keywords = map[string]bool{
	"break": true, "case": true, "catch": true, "class": true, "const": true, "continue": true, "debugger": true, "default": true,
	"delete": true, "do": true, "else": true, "enum": true, "export": true, "extends": true, "false": true, "finally": true, "for": true,
	"function": true, "if": true, "import": true, "in": true, "instanceof": true, "new": true, "null": true, "return": true, "super": true,
	"switch": true, "this": true, "throw": true, "true": true, "try": true, "typeof": true, "var": true, "void": true, "while": true, "with": true,
}

// scanner cuts a script into tokens. It is total: what is malformed becomes a token of some kind, up to the end at the latest.
type scanner struct {
	text   string
	offset int
	resume bool // a ${ } was closed: the template goes on
	dot    bool // the token before is a dot: a word behind it is a name
}

// next returns the next token. Regex says whether a slash begins a regular expression.
func (s *scanner) next(regex bool) token {
	if s.resume {
		s.resume = false
		return s.template(s.offset)
	}
	newline := s.space()
	start := s.offset
	if start == len(s.text) {
		return token{kind: tokenEnd, start: start, end: start, newline: newline}
	}
	t := s.token(regex)
	if t.newline = newline; s.dot && t.kind == tokenKeyword {
		t.kind = tokenName
	}
	s.dot = t.is(".")
	return t
}

func (s *scanner) token(regex bool) token {
	start := s.offset
	switch c := s.text[start]; {
	case c == '"' || c == '\'':
		s.quoted(c)
		return s.end(tokenLiteral, start)
	case c == '`':
		s.offset++
		return s.template(start)
	case c == '/' && regex:
		s.regex()
		return s.end(tokenLiteral, start)
	case '0' <= c && c <= '9' || c == '.' && start+1 < len(s.text) && '0' <= s.text[start+1] && s.text[start+1] <= '9':
		s.number()
		return s.end(tokenLiteral, start)
	}
	if s.name() {
		t := s.end(tokenName, start)
		if keywords[t.text] {
			t.kind = tokenKeyword
		}
		return t
	}
	for _, mark := range [...]string{"=>", "++", "--"} {
		if strings.HasPrefix(s.text[start:], mark) {
			s.offset += len(mark)
			return s.end(tokenMark, start)
		}
	}
	_, size := utf8.DecodeRuneInString(s.text[start:])
	s.offset += size
	return s.end(tokenMark, start)
}

func (s *scanner) end(kind tokenKind, start int) token {
	return token{kind: kind, text: s.text[start:s.offset], start: start, end: s.offset}
}

// space skips blanks and comments, and reports whether a line ended in them.
func (s *scanner) space() (newline bool) {
	for s.offset < len(s.text) {
		rest := s.text[s.offset:]
		switch {
		case strings.HasPrefix(rest, "//"):
			n := strings.IndexAny(rest, "\n\r\u2028\u2029")
			if n < 0 {
				n = len(rest)
			}
			s.offset += n
		case strings.HasPrefix(rest, "/*"):
			n := strings.Index(rest[2:], "*/")
			if n < 0 {
				s.offset = len(s.text)
				return newline
			}
			newline = newline || strings.ContainsAny(rest[:2+n], "\n\r\u2028\u2029")
			s.offset += n + 4
		default:
			r, size := utf8.DecodeRuneInString(rest)
			switch {
			case r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029':
				newline = true
			case !unicode.IsSpace(r) && r != '\ufeff':
				return newline
			}
			s.offset += size
		}
	}
	return newline
}

// quoted skips a text in quotes; one that does not end on its line ends with it.
func (s *scanner) quoted(quote byte) {
	for s.offset++; s.offset < len(s.text); s.offset++ {
		switch s.text[s.offset] {
		case '\\':
			s.offset++
		case quote:
			s.offset++
			return
		case '\n':
			return
		}
	}
	s.offset = min(s.offset, len(s.text))
}

// template skips a piece of a template, up to its end or to the next ${.
func (s *scanner) template(start int) token {
	for s.offset < len(s.text) {
		switch {
		case s.text[s.offset] == '\\':
			s.offset = min(s.offset+2, len(s.text))
		case s.text[s.offset] == '`':
			s.offset++
			return s.end(tokenLiteral, start)
		case strings.HasPrefix(s.text[s.offset:], "${"):
			s.offset += 2
			t := s.end(tokenMark, start)
			t.text = "${"
			return t
		default:
			s.offset++
		}
	}
	return s.end(tokenLiteral, start)
}

// regex skips a regular expression with its flags.
func (s *scanner) regex() {
	class := false
	for s.offset++; s.offset < len(s.text); s.offset++ {
		switch c := s.text[s.offset]; {
		case c == '\\':
			s.offset++
		case c == '[':
			class = true
		case c == ']':
			class = false
		case c == '/' && !class:
			s.offset++
			s.name()
			return
		case c == '\n':
			return
		}
	}
	s.offset = min(s.offset, len(s.text))
}

// number skips a number with its suffix.
func (s *scanner) number() {
	hex := len(s.text) > s.offset+1 && s.text[s.offset+1]|0x20 == 'x'
	for s.offset < len(s.text) {
		c := s.text[s.offset]
		switch {
		case c == '.' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z':
			s.offset++
		case (c == '+' || c == '-') && !hex && s.text[s.offset-1]|0x20 == 'e':
			s.offset++
		default:
			return
		}
	}
}

// name skips a name, if there is one.
func (s *scanner) name() bool {
	start := s.offset
	for s.offset < len(s.text) {
		r, size := utf8.DecodeRuneInString(s.text[s.offset:])
		switch {
		case r == '$' || r == '_' || unicode.IsLetter(r):
		case s.offset > start && (unicode.IsDigit(r) || unicode.IsMark(r) || r == '\u200c' || r == '\u200d'):
		case r == '\\' && strings.HasPrefix(s.text[s.offset:], `\u`): // of a letter
			size = 2
		default:
			return s.offset > start
		}
		s.offset += size
	}
	return s.offset > start
}
