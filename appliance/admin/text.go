package admin

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// isText reports whether text from a wire is text that people can read. Control characters are none, those above ASCII included:
// JSON does not escape them, and terminals obey them.
func isText(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}
