package push

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
)

// The first byte of a key's form says what it signs with.
const (
	keyEd25519 = 1 // Ed25519 (RFC 8032): 32 bytes follow, signatures have 64
	keyP256    = 2 // ECDSA with P-256 and SHA-256: an uncompressed point of 65 bytes follows (SEC 1 section 2.3.3), signatures are ASN.1
)

const p256Point = 65

// ErrKey means that bytes are no key that a device can enrol.
var ErrKey = errors.New("not a device's key: 1 and an Ed25519 public key of 32 bytes, or 2 and an uncompressed P-256 point of 65 bytes are expected")

// Key is a device's public key: Ed25519, or ECDSA with P-256, which is what phones keep in hardware. The zero Key verifies nothing.
type Key struct {
	form  string // as ParseKey reads it
	curve *ecdsa.PublicKey
}

// ParseKey reads a key as devices send it and as it is kept. Anything else, a point that is not on the curve too, is refused with
// ErrKey.
func ParseKey(form []byte) (Key, error) {
	switch {
	case len(form) == 1+ed25519.PublicKeySize && form[0] == keyEd25519:
		return Key{form: string(form)}, nil
	case len(form) == 1+p256Point && form[0] == keyP256:
		curve, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), form[1:])
		if err != nil {
			return Key{}, ErrKey
		}
		return Key{form: string(form), curve: curve}, nil
	}
	return Key{}, ErrKey
}

// Ed25519Key returns the Key of a public key of 32 bytes.
func Ed25519Key(public ed25519.PublicKey) Key {
	return Key{form: string(append([]byte{keyEd25519}, public...))}
}

// P256Key returns the Key of a public key of the curve P-256. One of another curve is refused with ErrKey.
func P256Key(public *ecdsa.PublicKey) (Key, error) {
	if public.Curve != elliptic.P256() {
		return Key{}, ErrKey
	}
	point, err := public.Bytes()
	if err != nil {
		return Key{}, ErrKey
	}
	return ParseKey(append([]byte{keyP256}, point...))
}

// Append appends the form that ParseKey reads, 33 or 66 bytes.
func (k Key) Append(dst []byte) []byte { return append(dst, k.form...) }

// verifies reports whether the key's owner signed the message.
func (k Key) verifies(message, signature []byte) bool {
	switch {
	case k.curve != nil:
		digest := sha256.Sum256(message)
		return ecdsa.VerifyASN1(k.curve, digest[:], signature)
	case k.form != "":
		return ed25519.Verify(ed25519.PublicKey(k.form[1:]), message, signature)
	}
	return false
}
