package oidc

import (
	"crypto/sha512"
	"strconv"
	"unicode/utf8"
)

func sha512Sum(text string) [64]byte { return sha512.Sum512([]byte(text)) }

const hexDigits = "0123456789abcdef"

// appendString appends a text as JSON has it. What is not UTF-8 becomes U+FFFD.
func appendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	begin := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, s[begin:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			begin = i
			continue
		}
		r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, s[begin:i]...)
			dst = append(dst, "\ufffd"...)
			begin = i + size
		}
		i += size
	}
	dst = append(dst, s[begin:]...)
	return append(dst, '"')
}

// object appends the members of a JSON object.
type object struct {
	b     []byte
	begun bool
}

func newObject(room []byte) object { return object{b: append(room, '{')} }

func (o *object) name(name string) {
	if o.begun {
		o.b = append(o.b, ',')
	}
	o.begun = true
	o.b = appendString(o.b, name)
	o.b = append(o.b, ':')
}

func (o *object) text(name, value string) {
	o.name(name)
	o.b = appendString(o.b, value)
}

// given appends a text where there is one.
func (o *object) given(name, value string) {
	if value != "" {
		o.text(name, value)
	}
}

func (o *object) number(name string, value int64) {
	o.name(name)
	o.b = strconv.AppendInt(o.b, value, 10)
}

func (o *object) flag(name string, value bool) {
	o.name(name)
	o.b = strconv.AppendBool(o.b, value)
}

func (o *object) texts(name string, values []string) {
	o.name(name)
	o.b = append(o.b, '[')
	for i, v := range values {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = appendString(o.b, v)
	}
	o.b = append(o.b, ']')
}

// raw appends a member that is JSON already.
func (o *object) raw(name string, value []byte) {
	o.name(name)
	o.b = append(o.b, value...)
}

func (o *object) end() []byte {
	o.b = append(o.b, '}')
	return o.b
}
