package probe

import (
	"crypto/rand"
	"crypto/rc4"
	"encoding/binary"
	"errors"
	"fmt"

	"layeh.com/radius"
	"layeh.com/radius/rfc2759"
	"layeh.com/radius/vendors/microsoft"
)

// errNewPassword means that a new password has no form in which it can be sent.
var errNewPassword = errors.New("the new password is longer than 256 UTF-16 units")

// change asks to change the password as RFC 2548 section 2.3.4 says, and proves that the old and the new one are known (RFC 2759 sections 8.9
// to 8.12). It returns what the server must answer.
func (l *Login) change(p *radius.Packet) (proof string, err error) {
	const (
		units   = 256 // UTF-16 units of a password
		piece   = 240 // bytes of the encrypted password in an attribute
		encoded = 2*units + 4
	)
	oldText, err := rfc2759.ToUTF16([]byte(l.Password))
	if err != nil {
		return "", fmt.Errorf("encode the password: %w", err)
	}
	newText, err := rfc2759.ToUTF16([]byte(l.NewPassword))
	if err != nil {
		return "", fmt.Errorf("encode the new password: %w", err)
	}
	if len(newText) > 2*units {
		return "", errNewPassword
	}
	oldHash, newHash := rfc2759.NTPasswordHash(oldText), rfc2759.NTPasswordHash(newText)
	// The new password stands at the end of random bytes, its length behind it, all encrypted with the old hash.
	block := make([]byte, encoded)
	// Read never fails: it ends the process instead.
	_, _ = rand.Read(block[:2*units-len(newText)])
	copy(block[2*units-len(newText):], newText)
	binary.LittleEndian.PutUint32(block[2*units:], uint32(len(newText)))
	cipher, err := rc4.NewCipher(oldHash)
	if err != nil {
		return "", fmt.Errorf("encrypt the new password: %w", err)
	}
	cipher.XORKeyStream(block, block)

	challenge, peer, response, proof, err := l.respond(l.NewPassword)
	if err != nil {
		return "", err
	}
	ident := p.Identifier
	value := make([]byte, 0, 68)
	value = append(value, 7, ident)
	value = append(value, rfc2759.DESCrypt(newHash[0:7], oldHash[0:8])...)
	value = append(value, rfc2759.DESCrypt(newHash[7:14], oldHash[8:16])...)
	value = append(append(value, peer...), make([]byte, 8)...)
	value = append(append(value, response...), 0, 0)
	steps := []error{microsoft.MSCHAPChallenge_Add(p, challenge), microsoft.MSCHAP2CPW_Add(p, value)}
	for n := 1; len(block) > 0; n++ {
		size := min(piece, len(block))
		steps = append(steps, microsoft.MSCHAPNTEncPW_Add(p, append([]byte{6, ident, 0, byte(n)}, block[:size]...)))
		block = block[size:]
	}
	return proof, errors.Join(steps...)
}
