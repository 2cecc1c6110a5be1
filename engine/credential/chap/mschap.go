package chap

import (
	"crypto/sha1"
	"crypto/subtle"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxPassword is the longest password in UTF-16 units, RFC 2759 section 8.
const MaxPassword = 256

// NTHash returns MD4 over the password in UTF-16LE, RFC 2759 section 8.3. The
// password is UTF-8 and taken as it is, without normalization; false means that
// it is not valid UTF-8 or longer than MaxPassword units. The hash is as good
// as the password to whoever has it.
func NTHash(password []byte) (hash [16]byte, ok bool) {
	var fixed [2 * MaxPassword]byte
	text, ok := appendUTF16(fixed[:0], password)
	if !ok {
		return hash, false
	}
	hash = md4(text)
	clear(fixed[:])
	return hash, true
}

// HashOfHash returns MD4 over an NT hash, RFC 2759 section 8.4. It is also the
// NT key that MS-CHAP-MPPE-Keys carries after MS-CHAPv1, RFC 2548 section 2.4.1.
func HashOfHash(hash *[16]byte) [16]byte { return md4(hash[:]) }

// ChallengeResponse returns the NT response to an eight-byte challenge, RFC 2433
// section A.5 and RFC 2759 section 8.5.
func ChallengeResponse(hash *[16]byte, challenge *[8]byte) (response [24]byte) {
	var keys [21]byte
	copy(keys[:], hash[:])
	t := desTables()
	t.encrypt(response[0:8], challenge[:], keys[0:7])
	t.encrypt(response[8:16], challenge[:], keys[7:14])
	t.encrypt(response[16:24], challenge[:], keys[14:21])
	return response
}

// VerifyV1 reports, in constant time, whether response is the NT response of
// MS-CHAPv1 to challenge. Slices of other sizes than 8 and 24 bytes are refused.
func VerifyV1(hash *[16]byte, challenge, response []byte) bool {
	if len(challenge) != 8 || len(response) != 24 {
		return false
	}
	want := ChallengeResponse(hash, (*[8]byte)(challenge))
	return subtle.ConstantTimeCompare(want[:], response) == 1
}

// ChallengeHash returns the challenge that MS-CHAPv2 really answers, RFC 2759
// section 8.2. name is the user name as the peer typed it, without a domain in
// front.
func ChallengeHash(peer, authenticator *[16]byte, name []byte) (challenge [8]byte) {
	var fixed [16 + 16 + 256]byte
	message := append(fixed[:0], peer[:]...)
	message = append(message, authenticator[:]...)
	message = append(message, name...)
	sum := sha1.Sum(message)
	copy(challenge[:], sum[:])
	return challenge
}

// VerifyV2 reports, in constant time, whether response is the NT response of
// MS-CHAPv2, RFC 2759 section 8.1. Challenges of other sizes than 16 bytes and
// responses of another than 24 are refused.
func VerifyV2(hash *[16]byte, authenticator, peer, name, response []byte) bool {
	if len(authenticator) != 16 || len(peer) != 16 || len(response) != 24 {
		return false
	}
	challenge := ChallengeHash((*[16]byte)(peer), (*[16]byte)(authenticator), name)
	want := ChallengeResponse(hash, &challenge)
	return subtle.ConstantTimeCompare(want[:], response) == 1
}

// WithoutDomain returns the part of a user name behind its last backslash: what
// a peer hashes in MS-CHAPv2, RFC 2759 section 4.
func WithoutDomain(name []byte) []byte {
	for i := len(name) - 1; i >= 0; i-- {
		if name[i] == '\\' {
			return name[i+1:]
		}
	}
	return name
}

const (
	magicServer = "Magic server to client signing constant"
	magicPad    = "Pad to make it do more than one iteration"
)

// AuthenticatorResponse returns the text by which the server proves to an
// MS-CHAPv2 peer that it knows the password: "S=" and forty upper-case
// hexadecimal digits, RFC 2759 section 8.7.
func AuthenticatorResponse(hash *[16]byte, ntResponse *[24]byte, challenge *[8]byte) (text [42]byte) {
	hashHash := HashOfHash(hash)
	var first [16 + 24 + len(magicServer)]byte
	copy(first[:], hashHash[:])
	copy(first[16:], ntResponse[:])
	copy(first[40:], magicServer)
	digest := sha1.Sum(first[:])

	var second [20 + 8 + len(magicPad)]byte
	copy(second[:], digest[:])
	copy(second[20:], challenge[:])
	copy(second[28:], magicPad)
	digest = sha1.Sum(second[:])

	const digits = "0123456789ABCDEF"
	text[0], text[1] = 'S', '='
	for i, b := range digest {
		text[2+2*i], text[3+2*i] = digits[b>>4], digits[b&15]
	}
	return text
}

// LMHash returns the LAN Manager hash, whose first eight bytes are the LM key of
// MS-CHAP-MPPE-Keys (RFC 2433 section A.2, RFC 2548 section 2.4.1). It exists
// only for passwords of at most 14 ASCII characters; false for all others.
func LMHash(password []byte) (hash [16]byte, ok bool) {
	var upper [14]byte
	if len(password) > len(upper) {
		return hash, false
	}
	for i, b := range password {
		switch {
		case b >= utf8.RuneSelf:
			return hash, false
		case b >= 'a' && b <= 'z':
			b -= 'a' - 'A'
		}
		upper[i] = b
	}
	const text = "KGS!@#$%"
	block := [8]byte([]byte(text))
	t := desTables()
	t.encrypt(hash[0:8], block[:], upper[0:7])
	t.encrypt(hash[8:16], block[:], upper[7:14])
	return hash, true
}

// appendUTF16 appends text as UTF-16LE; false where it is not valid UTF-8 or
// longer than MaxPassword units.
func appendUTF16(dst, text []byte) ([]byte, bool) {
	start := len(dst)
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size <= 1 {
			return dst[:start], false
		}
		text = text[size:]
		if r1, r2 := utf16.EncodeRune(r); r1 != utf8.RuneError {
			dst = append(dst, byte(r1), byte(r1>>8), byte(r2), byte(r2>>8))
		} else {
			dst = append(dst, byte(r), byte(r>>8))
		}
		if len(dst)-start > 2*MaxPassword {
			clear(dst[start:])
			return dst[:start], false
		}
	}
	return dst, true
}
