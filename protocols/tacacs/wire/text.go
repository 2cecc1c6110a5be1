package wire

import "unicode/utf8"

// cutter takes the variable part of a body apart.
type cutter struct{ rest []byte }

// holds reports whether fields of size bytes together are what is left: all of
// it, or with LooseLength no more than it.
func (c *cutter) holds(q Quirks, size int) bool {
	return size == len(c.rest) || size < len(c.rest) && q&LooseLength != 0
}

// cut takes the next n bytes.
func (c *cutter) cut(n int) []byte {
	field := c.rest[:n:n]
	c.rest = c.rest[n:]
	return field
}

// sum adds lengths up.
func sum(lengths []byte) (n int) {
	for _, length := range lengths {
		n += int(length)
	}
	return n
}

// texts checks the three texts that requests have in common, RFC 8907 section
// 3.7: user is UTF-8 without control characters (what else RFC 8265 asks of a
// user name is for whoever looks people up), the others printable US-ASCII.
func texts(user, port, remAddr []byte) Fault {
	if !utf8.Valid(user) || hasControl(user) || !printable(port) || !printable(remAddr) {
		return TextUnprintable
	}
	return OK
}

// printable reports whether text is US-ASCII without control characters.
func printable(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c > '~' {
			return false
		}
	}
	return true
}

// hasControl reports whether text has control characters of US-ASCII.
func hasControl(text []byte) bool {
	for _, c := range text {
		if c < ' ' || c == 0x7f {
			return true
		}
	}
	return false
}
