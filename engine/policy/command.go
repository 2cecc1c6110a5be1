package policy

import (
	"bytes"
	"fmt"
	"regexp"
	"unicode/utf8"

	"trine/engine/attribute"
	"trine/engine/document"
)

// Command is one pattern of a list of commands.
type Command struct {
	Permit  bool
	Pattern string // as it was written

	glob   []byte
	regex  *regexp.Regexp // in place of glob
	prefix []byte         // what every line begins with that regex matches: a cheaper look
}

// Commands is an ordered list of patterns.
type Commands []Command

// newCommands compiles the list of patterns in a field of a document. The error names the first that does not compile.
func newCommands(field string, list []document.CommandRule) (Commands, error) {
	if len(list) == 0 {
		return nil, nil
	}
	out := make(Commands, len(list))
	for i := range list {
		from := &list[i]
		c := &out[i]
		*c = Command{Permit: from.Permit != "", Pattern: from.Pattern()}
		if from.Form != "regex" {
			c.glob = []byte(from.Pattern())
			continue
		}
		var err error
		if c.regex, err = from.Regexp(); err != nil {
			return nil, attribute.InField(fmt.Sprintf("%s[%d]", field, i), err)
		}
		// The pattern is anchored at its beginning, so the text with which its matches begin is the beginning of the line.
		if bare, err := regexp.Compile(from.Pattern()); err == nil {
			prefix, _ := bare.LiteralPrefix()
			c.prefix = []byte(prefix)
		}
	}
	return out, nil
}

// Match returns the first pattern that matches a command line; nil if none does. It does not allocate.
func (c Commands) Match(line []byte) *Command {
	for i := range c {
		if c[i].matches(line) {
			return &c[i]
		}
	}
	return nil
}

func (c *Command) matches(line []byte) bool {
	if c.regex != nil {
		return bytes.HasPrefix(line, c.prefix) && c.regex.Match(line)
	}
	return globMatches(c.glob, line)
}

// globMatches reports whether a whole text is what a pattern describes: * is any text, ? one character, and a backslash has the character behind it mean
// itself. It goes back to the last * alone, so that its work is at most the product of both lengths.
func globMatches(pattern, text []byte) bool {
	star, mark := -1, 0 // the place behind the last *, and where its text ends so far
	p, t := 0, 0
	for t < len(text) {
		if p < len(pattern) {
			switch c := pattern[p]; {
			case c == '*':
				p++
				star, mark = p, t
				continue
			case c == '?':
				_, n := utf8.DecodeRune(text[t:])
				p, t = p+1, t+n
				continue
			case c == '\\' && p+1 < len(pattern) && pattern[p+1] == text[t]:
				p, t = p+2, t+1
				continue
			case c != '\\' && c == text[t]:
				p, t = p+1, t+1
				continue
			}
		}
		if star < 0 {
			return false
		}
		mark++
		p, t = star, mark
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
