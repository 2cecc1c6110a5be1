package wire

import (
	"crypto/subtle"

	"trine/protocols/md5"
)

// Hiding is how the value of an attribute is encrypted between client and
// server. All three ways are MD5 key streams over the shared secret and the
// request authenticator, also in replies. The numbers are those of the
// dictionary flag encrypt=.
type Hiding uint8

const (
	// Clear values are not encrypted.
	Clear Hiding = 0
	// HideUserPassword is RFC 2865 section 5.2: padded with zeros to a multiple
	// of 16, at most 128 bytes.
	HideUserPassword Hiding = 1
	// HideSalted is RFC 2868 section 3.5 and RFC 2548 section 2.4.2: a two-byte
	// salt, then length byte and value padded to a multiple of 16.
	HideSalted Hiding = 2
	// HideAscend is the Ascend-Send-Secret way: at most 16 bytes under one
	// digest of authenticator and secret.
	HideAscend Hiding = 3
)

const (
	maxUserPassword = 128
	saltLen         = 2
	saltHighBit     = 0x8000
)

// HiddenLen returns how many bytes n bytes of clear text take once hidden, salt
// included.
func (h Hiding) HiddenLen(n int) int {
	switch h {
	case HideUserPassword:
		return max(16, (n+15)&^15)
	case HideSalted:
		return saltLen + (1+n+15)&^15
	case HideAscend:
		return 16
	}
	return n
}

// fits reports whether n bytes of clear text can be hidden at all.
func (h Hiding) fits(n int) bool {
	switch h {
	case HideUserPassword:
		return n <= maxUserPassword
	case HideAscend:
		return n <= 16
	}
	return n <= MaxValue
}

// Reveal appends to dst the clear text of value, which is hidden under the
// packet's or, in a reply, its request's authenticator. A salted value begins
// with its salt: cut a tag off first. Padding is removed: zeros from the end,
// except that a salted value carries its length, so that zeros inside or at the
// end of it survive. HiddenLength and HiddenContent leave dst as it was.
func (s *Secret) Reveal(h Hiding, dst, value []byte, authenticator *[AuthenticatorLen]byte) ([]byte, Fault) {
	n := len(value)
	switch h {
	case HideUserPassword:
		return s.RevealPassword(dst, value, authenticator, nil)
	case HideSalted:
		if n < saltLen+16 || (n-saltLen)%16 != 0 {
			return dst, HiddenLength
		}
		if value[0]&0x80 == 0 {
			return dst, HiddenContent
		}
		start := len(dst)
		dst = append(dst, value[saltLen:]...)
		s.stream(dst[start:], value[:saltLen], authenticator, true)
		size := int(dst[start])
		if size > n-saltLen-1 {
			clear(dst[start:])
			return dst[:start], HiddenContent
		}
		copy(dst[start:], dst[start+1:start+1+size])
		clear(dst[start+size:])
		return dst[:start+size], OK
	case HideAscend:
		if n == 0 || n > 16 {
			return dst, HiddenLength
		}
		start := len(dst)
		dst = append(dst, value...)
		s.ascend(dst[start:], authenticator)
		return trimZeros(dst, start), OK
	}
	return append(dst, value...), OK
}

// RevealPassword is Reveal of HideUserPassword for a caller that may have the
// key of the first sixteen bytes from Checks; nil means that it has not.
func (s *Secret) RevealPassword(dst, value []byte, authenticator, first *[AuthenticatorLen]byte) ([]byte, Fault) {
	if !revealable(len(value)) {
		return dst, HiddenLength
	}
	start := len(dst)
	dst = append(dst, value...)
	text := dst[start:]
	if first != nil {
		subtle.XORBytes(text, text[:16], first[:])
		text, authenticator = text[16:], (*[AuthenticatorLen]byte)(value)
	}
	if len(text) > 0 {
		s.stream(text, nil, authenticator, true)
	}
	return trimZeros(dst, start), OK
}

// revealable reports whether n bytes can be a User-Password.
func revealable(n int) bool { return n > 0 && n%16 == 0 && n <= maxUserPassword }

// Hide appends to dst the hidden form of value. salt is used by HideSalted
// alone; its high bit is set whatever it is. A value that the method cannot
// carry is ValueTooLong and leaves dst as it was.
func (s *Secret) Hide(h Hiding, dst, value []byte, authenticator *[AuthenticatorLen]byte, salt uint16) ([]byte, Fault) {
	if !h.fits(len(value)) {
		return dst, ValueTooLong
	}
	start := len(dst)
	dst = h.appendClear(dst, value, salt)
	s.encrypt(h, dst[start:], authenticator)
	return dst, OK
}

// appendClear appends what encrypt is to encrypt: value with its length and
// padding, and in front of it the salt, of the methods that have them.
func (h Hiding) appendClear(dst, value []byte, salt uint16) []byte {
	start := len(dst)
	if h == HideSalted {
		salt |= saltHighBit
		dst = append(dst, byte(salt>>8), byte(salt), byte(len(value)))
	}
	dst = append(dst, value...)
	var zero [16]byte
	return append(dst, zero[:h.HiddenLen(len(value))-(len(dst)-start)]...)
}

// encrypt encrypts in place what appendClear made.
func (s *Secret) encrypt(h Hiding, text []byte, authenticator *[AuthenticatorLen]byte) {
	switch h {
	case HideUserPassword:
		s.stream(text, nil, authenticator, false)
	case HideSalted:
		s.stream(text[saltLen:], text[:saltLen], authenticator, false)
	case HideAscend:
		s.ascend(text, authenticator)
	}
}

// stream runs the chained key stream over text in place, 16 bytes at a time:
// the key of a block is MD5(secret, previous cipher block), the first one's
// previous block being authenticator and salt.
func (s *Secret) stream(text, salt []byte, authenticator *[AuthenticatorLen]byte, decrypt bool) {
	var d md5.Digest
	var previous [16]byte
	for i := 0; i < len(text); i += 16 {
		d.Reset()
		d.Write(s.key().raw)
		if i == 0 {
			d.Write(authenticator[:])
			d.Write(salt)
		} else {
			d.Write(previous[:])
		}
		key := d.Sum()
		block := text[i : i+16]
		if decrypt {
			copy(previous[:], block)
		}
		for j := range block {
			block[j] ^= key[j]
		}
		if !decrypt {
			copy(previous[:], block)
		}
	}
}

func (s *Secret) ascend(text []byte, authenticator *[AuthenticatorLen]byte) {
	var d md5.Digest
	d.Reset()
	d.Write(authenticator[:])
	d.Write(s.key().raw)
	key := d.Sum()
	for i := range text {
		text[i] ^= key[i]
	}
}

func trimZeros(b []byte, from int) []byte {
	for len(b) > from && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return b
}
