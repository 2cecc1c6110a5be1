package kerberos

import (
	"fmt"

	"github.com/jcmturner/gokrb5/v8/crypto"
)

// Encryption types (RFC 3962, RFC 8009, RFC 4757).
const (
	aes128SHA1   int32 = 17
	aes256SHA1   int32 = 18
	aes128SHA256 int32 = 19
	aes256SHA384 int32 = 20
	rc4HMAC      int32 = 23
)

// Key usages (RFC 4120 section 7.5.1).
const (
	usageTicket        = 2
	usageAuthenticator = 11
	usageReply         = 12
)

// keySize returns the bytes of a key; false for an encryption type that this package does not know.
func keySize(enctype int32) (int, bool) {
	switch enctype {
	case aes128SHA1, aes128SHA256, rc4HMAC:
		return 16, true
	case aes256SHA1, aes256SHA384:
		return 32, true
	}
	return 0, false
}

func enctypeName(enctype int32) string {
	switch enctype {
	case aes128SHA1:
		return "aes128-cts-hmac-sha1-96"
	case aes256SHA1:
		return "aes256-cts-hmac-sha1-96"
	case aes128SHA256:
		return "aes128-cts-hmac-sha256-128"
	case aes256SHA384:
		return "aes256-cts-hmac-sha384-192"
	case rc4HMAC:
		return "arcfour-hmac"
	}
	return fmt.Sprintf("encryption type %d", enctype)
}

// decrypt decrypts and verifies what is encrypted under a key, which must have the type's size. gokrb5 slices a confounder and a checksum off
// without looking whether they are there, so that is looked at here.
func decrypt(enctype int32, key []byte, usage uint32, cipher []byte) ([]byte, error) {
	e, err := crypto.GetEtype(enctype)
	if err != nil {
		return nil, err
	}
	if size, known := keySize(enctype); !known || len(key) != size {
		return nil, fmt.Errorf("a key of %d bytes is none of %s", len(key), enctypeName(enctype))
	}
	if least := e.GetConfounderByteSize() + e.GetHMACBitLength()/8; len(cipher) < least {
		return nil, fmt.Errorf("%d bytes, fewer than the %d that %s needs", len(cipher), least, enctypeName(enctype))
	}
	return e.DecryptMessage(key, cipher, usage)
}

// encrypt encrypts under a key that decrypt has used.
func encrypt(enctype int32, key []byte, usage uint32, plain []byte) ([]byte, error) {
	e, err := crypto.GetEtype(enctype)
	if err != nil {
		return nil, err
	}
	_, cipher, err := e.EncryptMessage(key, plain, usage)
	return cipher, err
}
