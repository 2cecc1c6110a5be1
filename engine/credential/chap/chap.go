package chap

import (
	"crypto/md5"
	"crypto/subtle"
)

// Response returns the CHAP response to a challenge: MD5 over identifier,
// password and challenge, RFC 1994 section 4.1.
func Response(identifier byte, password, challenge []byte) [16]byte {
	// Passwords and challenges on the wire fit; what is longer pays for a copy.
	var fixed [1 + 256 + 256]byte
	message := append(fixed[:0], identifier)
	message = append(message, password...)
	message = append(message, challenge...)
	return md5.Sum(message)
}

// Verify reports, in constant time, whether response answers challenge with
// password. A response of another size than 16 bytes does not.
func Verify(identifier byte, password, challenge, response []byte) bool {
	want := Response(identifier, password, challenge)
	return subtle.ConstantTimeCompare(want[:], response) == 1
}
