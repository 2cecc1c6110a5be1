package chap

import (
	"crypto/rand"
	"crypto/rc4"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// EncryptedPasswordLen is the size in bytes of a new password on the wire:
// MaxPassword UTF-16 units and a length, RFC 2759 section 8.10.
const EncryptedPasswordLen = 2*MaxPassword + 4

var (
	// ErrEncryptedPassword is returned for an encrypted new password of a wrong
	// size, or one that the old hash does not decrypt to a password.
	ErrEncryptedPassword = errors.New("encrypted new password is not one")
	// ErrPassword is returned for a password that is not valid UTF-8 or longer
	// than MaxPassword UTF-16 units.
	ErrPassword = errors.New("password is not valid UTF-8 or too long")
)

// DecryptNewPassword returns, in UTF-8, the new password that a peer encrypted
// with the old NT hash, RFC 2759 section 8.9. RC4 authenticates nothing: only
// VerifyOldHash and the NT response, which in a change of password is computed
// with the new password, prove that the peer knew both.
func DecryptNewPassword(oldHash *[16]byte, encrypted []byte) ([]byte, error) {
	if len(encrypted) != EncryptedPasswordLen {
		return nil, fmt.Errorf("%w: %d bytes, not %d", ErrEncryptedPassword, len(encrypted), EncryptedPasswordLen)
	}
	var block [EncryptedPasswordLen]byte
	defer clear(block[:])
	if err := applyRC4(oldHash, block[:], encrypted); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(block[2*MaxPassword:])
	if size > 2*MaxPassword || size%2 != 0 {
		return nil, fmt.Errorf("%w: length does not make sense", ErrEncryptedPassword)
	}
	text := block[2*MaxPassword-size : 2*MaxPassword]
	password := make([]byte, 0, 3*MaxPassword)
	for len(text) > 0 {
		r := rune(binary.LittleEndian.Uint16(text))
		text = text[2:]
		if utf16.IsSurrogate(r) {
			low := rune(0)
			if len(text) > 0 {
				low = rune(binary.LittleEndian.Uint16(text))
				text = text[2:]
			}
			if r = utf16.DecodeRune(r, low); r == utf8.RuneError {
				clear(password)
				return nil, fmt.Errorf("%w: text is not UTF-16", ErrEncryptedPassword)
			}
		}
		password = utf8.AppendRune(password, r)
	}
	return password, nil
}

// EncryptNewPassword is the peer's side of DecryptNewPassword.
func EncryptNewPassword(oldHash *[16]byte, password []byte) ([EncryptedPasswordLen]byte, error) {
	var block, encrypted [EncryptedPasswordLen]byte
	var fixed [2 * MaxPassword]byte
	defer clear(block[:])
	defer clear(fixed[:])
	text, ok := appendUTF16(fixed[:0], password)
	if !ok {
		return encrypted, ErrPassword
	}
	at := 2*MaxPassword - len(text)
	// Read never fails: it ends the process instead.
	_, _ = rand.Read(block[:at])
	copy(block[at:], text)
	binary.LittleEndian.PutUint32(block[2*MaxPassword:], uint32(len(text)))
	err := applyRC4(oldHash, encrypted[:], block[:])
	return encrypted, err
}

// EncryptOldHash encrypts the old NT hash with the new one, RFC 2759 section
// 8.12.
func EncryptOldHash(oldHash, newHash *[16]byte) (encrypted [16]byte) {
	t := desTables()
	t.encrypt(encrypted[0:8], oldHash[0:8], newHash[0:7])
	t.encrypt(encrypted[8:16], oldHash[8:16], newHash[7:14])
	return encrypted
}

// VerifyOldHash reports, in constant time, whether encrypted is the old NT hash
// under the new one. Another size than 16 bytes is refused.
func VerifyOldHash(oldHash, newHash *[16]byte, encrypted []byte) bool {
	want := EncryptOldHash(oldHash, newHash)
	return subtle.ConstantTimeCompare(want[:], encrypted) == 1
}

func applyRC4(key *[16]byte, dst, src []byte) error {
	c, err := rc4.NewCipher(key[:])
	if err != nil {
		return fmt.Errorf("prepare RC4: %w", err)
	}
	c.XORKeyStream(dst, src)
	return nil
}
