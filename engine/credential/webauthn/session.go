package webauthn

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

// ceremony is what a session is for. The numbers are stored.
type ceremony uint8

const (
	registration ceremony = 1
	login        ceremony = 2 // as a second factor, by a person who is known
	passkey      ceremony = 3 // by whoever has the passkey
)

const challengeSize = 32

// ErrForm means that bytes are not what Append made.
var ErrForm = errors.New("not a WebAuthn session or credential of this release")

// Session is what is kept between the beginning and the end of a ceremony. Its form is no secret; but whoever could change it could
// answer a challenge of his own, so it is kept on the server, or sealed.
type Session struct {
	ceremony  ceremony
	verify    bool // the authenticator must verify its user
	challenge [challengeSize]byte
	notAfter  time.Time // whole seconds
	handle    []byte    // the person's; none for a passkey
	allowed   [][]byte  // ids of credentials, for a second factor
}

// NotAfter returns when the session ends, a whole second.
func (s *Session) NotAfter() time.Time { return s.notAfter }

// Handle returns the handle of the person whom the session is for; none if a passkey will say it.
func (s *Session) Handle() []byte { return s.handle }

// The form: 1, ceremony, 1 if the user must be verified, challenge, not-after in seconds since 1970, handle after its length in a byte,
// how many ids in a byte, each after its length in two bytes. Numbers are big endian.
const form = 1

// Append appends the session's form.
func (s *Session) Append(dst []byte) []byte {
	verify := byte(0)
	if s.verify {
		verify = 1
	}
	dst = append(dst, form, byte(s.ceremony), verify)
	dst = append(dst, s.challenge[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(s.notAfter.Unix()))
	dst = append(append(dst, byte(len(s.handle))), s.handle...)
	dst = append(dst, byte(len(s.allowed)))
	for _, id := range s.allowed {
		dst = append(binary.BigEndian.AppendUint16(dst, uint16(len(id))), id...)
	}
	return dst
}

// ParseSession reads what Append made; anything else is refused with ErrForm.
func ParseSession(b []byte) (Session, error) {
	const head = 3 + challengeSize + 8 + 1
	if len(b) < head || b[0] != form || b[2] > 1 {
		return Session{}, ErrForm
	}
	s := Session{ceremony: ceremony(b[1]), verify: b[2] == 1}
	b = b[3:]
	b = b[copy(s.challenge[:], b):]
	seconds := binary.BigEndian.Uint64(b)
	s.notAfter = time.Unix(int64(seconds), 0)
	handle := int(b[8])
	if b = b[9:]; len(b) < handle+1 || seconds >= 1<<40 {
		return Session{}, ErrForm
	}
	s.handle = slices.Clone(b[:handle:handle])
	count := int(b[handle])
	b = b[handle+1:]
	known := handle >= MinHandle && handle <= MaxHandle
	switch {
	case s.ceremony == registration && known && count == 0:
	case s.ceremony == login && known && count > 0 && count <= MaxCredentials:
	case s.ceremony == passkey && handle == 0 && count == 0:
	default:
		return Session{}, ErrForm
	}
	for range count {
		if len(b) < 2 {
			return Session{}, ErrForm
		}
		n := int(binary.BigEndian.Uint16(b))
		if b = b[2:]; n == 0 || n > maxID || len(b) < n {
			return Session{}, ErrForm
		}
		s.allowed = append(s.allowed, slices.Clone(b[:n]))
		b = b[n:]
	}
	if len(b) != 0 {
		return Session{}, ErrForm
	}
	return s, nil
}

func (s *Session) setChallenge(encoded string) error {
	challenge, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || len(challenge) != challengeSize {
		return fmt.Errorf("a WebAuthn challenge has %d bytes, not %d", len(challenge), challengeSize)
	}
	copy(s.challenge[:], challenge)
	return nil
}

// encoded returns the challenge as client data has it.
func (s *Session) encoded() string { return base64.RawURLEncoding.EncodeToString(s.challenge[:]) }

// library returns the session as the library sees it. What is allowed is checked before.
func (s *Session) library(rp *RelyingParty) webauthn.SessionData {
	l := webauthn.SessionData{Challenge: s.encoded(), RelyingPartyID: rp.config.ID, UserID: s.handle, UserVerification: protocol.VerificationPreferred}
	if s.verify {
		l.UserVerification = protocol.VerificationRequired
	}
	if s.ceremony == registration {
		l.CredParams = rp.credentials
	}
	return l
}
