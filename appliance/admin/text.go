package admin

import "unicode/utf8"

// isText reports whether text from a wire is text that people can read.
func isText(text string) bool {
	if !utf8.ValidString(text) {
		return false
	}
	for _, r := range text {
		if r < ' ' || r == 0x7f {
			return false
		}
	}
	return true
}
