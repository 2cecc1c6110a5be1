package event

import (
	"errors"
	"strings"
)

// idAlphabet is Crockford's base 32: no I, L, O, U, so that an id can be read out over a telephone.
const idAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// ErrID means that a text is not a decision, session or stage id.
var ErrID = errors.New("not an id: 13 characters of 0-9 and A-Z without I, L, O, U")

// FormatID prints a 64-bit id as 13 characters of Crockford base 32, as `trine explain` takes it.
func FormatID(id uint64) string {
	var b [13]byte
	return string(AppendID(b[:0], id))
}

// AppendID appends what FormatID prints.
func AppendID(dst []byte, id uint64) []byte {
	for shift := 60; shift >= 0; shift -= 5 {
		dst = append(dst, idAlphabet[id>>uint(shift)&31])
	}
	return dst
}

// ParseID reads what FormatID prints, in either case, with Crockford's substitutions for O, I and L. It returns ErrID for
// anything else.
func ParseID(text string) (uint64, error) {
	if len(text) != 13 {
		return 0, ErrID
	}
	var id uint64
	for i, c := range strings.ToUpper(text) {
		switch c {
		case 'O':
			c = '0'
		case 'I', 'L':
			c = '1'
		}
		v := strings.IndexRune(idAlphabet, c)
		if v < 0 || i == 0 && v > 15 {
			return 0, ErrID
		}
		id = id<<5 | uint64(v)
	}
	return id, nil
}
