package wire

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"trine/protocols/md5"
)

// ErrEmptySecret is returned for a shared secret without a byte.
var ErrEmptySecret = errors.New("shared secret is empty")

const redacted = "«redacted»"

// Secret is the secret key that a client and the server share. It is immutable
// and safe for any number of loops. It prints as «redacted» under every verb, in
// JSON and slog; where fmt does not ask (an unexported field, the verb p) it
// meets a function, whose address is all that it can print.
type Secret struct{ key func() []byte }

// NewSecret returns the secret made of a copy of raw, or ErrEmptySecret.
func NewSecret(raw []byte) (*Secret, error) {
	if len(raw) == 0 {
		return nil, ErrEmptySecret
	}
	key := append([]byte(nil), raw...)
	return &Secret{func() []byte { return key }}, nil
}

// Equal reports, in constant time, whether two secrets are the same bytes.
func (s *Secret) Equal(other *Secret) bool {
	return subtle.ConstantTimeCompare(s.key(), other.key()) == 1
}

// Obfuscate turns the body of a packet in clear into its obfuscated form, and
// back, where it lies: RFC 8907 section 4.5. packet is the whole packet and
// begins with its header, whose session, version and number the pad depends on.
func (s *Secret) Obfuscate(packet []byte) {
	var begun md5.Digest // what all blocks of the pad begin with
	begun.Reset()
	begun.Write(packet[4:8])
	begun.Write(s.key())
	begun.Write([]byte{packet[0], packet[2]})
	var block [md5.Size]byte
	for body, first := packet[HeaderLen:], true; len(body) > 0; first = false {
		d := begun
		if !first {
			d.Write(block[:])
		}
		block = d.Sum()
		body = body[subtle.XORBytes(body, body, block[:]):]
	}
}

// String returns «redacted».
func (Secret) String() string { return redacted }

// GoString returns «redacted».
func (Secret) GoString() string { return redacted }

// Format writes «redacted» under every verb.
func (Secret) Format(f fmt.State, _ rune) {
	// A formatter has no way to report that its writer failed; fmt's own
	// state never does.
	_, _ = io.WriteString(f, redacted)
}

// MarshalJSON returns "«redacted»".
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText returns «redacted».
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns «redacted».
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }
