package webauthn

import (
	"encoding/binary"
	"slices"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
	"github.com/google/uuid"
)

// The longest id that an authenticator may give (WebAuthn section 4), and the longest key: of 4,096 bits with RSA.
const (
	maxID  = 1023
	maxKey = 1024
)

// Credential is what is kept of one that a person registered. Nothing of it is secret.
type Credential struct {
	ID         []byte    // by which the authenticator finds it, 1 to 1,023 bytes
	Key        []byte    // the public key, as COSE (RFC 9052 section 7)
	AAGUID     uuid.UUID // the authenticator's model; proved only where the attestation has roots
	Counter    uint32    // of signatures; 0 for authenticators that do not count, such as passkeys that are synchronised
	Flags      uint8     // of the latest authenticator data (WebAuthn section 6.1)
	Transports uint8     // a bit for each of transports: how browsers reach the authenticator
}

// Synchronised reports whether the credential is backed up, and so may be on several devices.
func (c *Credential) Synchronised() bool {
	return protocol.AuthenticatorFlags(c.Flags).HasBackupState()
}

// transports holds each transport at its bit. What browsers tell beyond them is not kept.
var transports = [...]protocol.AuthenticatorTransport{protocol.USB, protocol.NFC, protocol.BLE, protocol.SmartCard, protocol.Hybrid, protocol.Internal}

const credentialHead = 1 + 1 + 1 + 16 + 4 + 2

// Append appends the credential's form: 1, flags, transports, AAGUID, counter, the id after its length in two bytes, the key. Numbers
// are big endian. With the usual id and key it has some 120 bytes.
func (c *Credential) Append(dst []byte) []byte {
	dst = append(dst, form, c.Flags, c.Transports)
	dst = append(dst, c.AAGUID[:]...)
	dst = binary.BigEndian.AppendUint32(dst, c.Counter)
	dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(c.ID))), c.ID...)
	return append(dst, c.Key...)
}

// ParseCredential reads what Append made; anything else is refused with ErrForm.
func ParseCredential(b []byte) (Credential, error) {
	if len(b) < credentialHead || b[0] != form || b[2] >= 1<<len(transports) {
		return Credential{}, ErrForm
	}
	c := Credential{Flags: b[1], Transports: b[2], Counter: binary.BigEndian.Uint32(b[19:])}
	copy(c.AAGUID[:], b[3:])
	n := int(binary.BigEndian.Uint16(b[23:]))
	if b = b[credentialHead:]; n == 0 || n > maxID || len(b) <= n || len(b)-n > maxKey {
		return Credential{}, ErrForm
	}
	c.ID, c.Key = slices.Clone(b[:n]), slices.Clone(b[n:])
	return c, nil
}

// fromLibrary takes over what the library verified.
func fromLibrary(l *webauthn.Credential) Credential {
	c := Credential{ID: l.ID, Key: l.PublicKey, Counter: l.Authenticator.SignCount, Flags: uint8(l.Flags.ProtocolValue())}
	copy(c.AAGUID[:], l.Authenticator.AAGUID)
	for i, t := range transports {
		if slices.Contains(l.Transport, t) {
			c.Transports |= 1 << i
		}
	}
	return c
}

// library returns the credential as the library sees it.
func (c *Credential) library() webauthn.Credential {
	l := webauthn.Credential{
		ID: c.ID, PublicKey: c.Key, Flags: webauthn.NewCredentialFlags(protocol.AuthenticatorFlags(c.Flags)),
		Authenticator: webauthn.Authenticator{AAGUID: c.AAGUID[:], SignCount: c.Counter},
	}
	for i, t := range transports {
		if c.Transports&(1<<i) != 0 {
			l.Transport = append(l.Transport, t)
		}
	}
	return l
}
