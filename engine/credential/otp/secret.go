package otp

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"trine/engine/secret"
)

// Kind is how the moving factor moves. The numbers are stored.
type Kind uint8

// The kinds.
const (
	TOTP Kind = 1 // by time, RFC 6238
	HOTP Kind = 2 // by a counter, RFC 4226
)

// String returns the kind's name as the Key URI format has it.
func (k Kind) String() string {
	switch k {
	case TOTP:
		return "totp"
	case HOTP:
		return "hotp"
	}
	return "unknown"
}

// Algorithm is the hash under the HMAC. The numbers are stored.
type Algorithm uint8

// The algorithms.
const (
	SHA1   Algorithm = 1 // the only one that every device and app computes; as an HMAC it is sound
	SHA256 Algorithm = 2
	SHA512 Algorithm = 3
)

// String returns the algorithm's name as the Key URI format has it.
func (a Algorithm) String() string {
	switch a {
	case SHA1:
		return "SHA1"
	case SHA256:
		return "SHA256"
	case SHA512:
		return "SHA512"
	}
	return "unknown"
}

// The bounds of parameters and keys.
const (
	MinKey    = 16 // bytes: 128 bits, RFC 4226 section 4, R6
	MaxKey    = 64 // bytes: one hash of SHA-512, the longest that RFC 6238 uses
	MinPeriod = 10 * time.Second
	MaxPeriod = 300 * time.Second
)

// Params says how codes are computed. A device must be set to the same.
type Params struct {
	Kind      Kind
	Algorithm Algorithm
	Digits    int           // 6 or 8
	Period    time.Duration // of one code, TOTP only: whole seconds from MinPeriod to MaxPeriod; 0 for HOTP
}

// DefaultParams is what every authenticator app can do: TOTP of 6 digits each 30 seconds with HMAC-SHA-1.
func DefaultParams() Params {
	return Params{Kind: TOTP, Algorithm: SHA1, Digits: 6, Period: 30 * time.Second}
}

var (
	// ErrParams means that parameters are none that a one-time password can have.
	ErrParams = errors.New("parameters of a one-time password are out of bounds")
	// ErrKey means that a key is too short, too long, or not written as it should be.
	ErrKey = errors.New("not a key for one-time passwords")
	// ErrForm means that bytes are not what Append made.
	ErrForm = errors.New("not a stored one-time password secret of this release")
)

// Validate returns ErrParams, wrapped, with what is wrong.
func (p Params) Validate() error {
	switch {
	case p.Kind != TOTP && p.Kind != HOTP:
		return fmt.Errorf("%w: the kind is neither totp nor hotp", ErrParams)
	case p.Algorithm < SHA1 || p.Algorithm > SHA512:
		return fmt.Errorf("%w: the algorithm is none of SHA1, SHA256 and SHA512", ErrParams)
	case p.Digits != 6 && p.Digits != 8:
		return fmt.Errorf("%w: %d digits, not 6 or 8", ErrParams, p.Digits)
	case p.Kind == HOTP && p.Period != 0:
		return fmt.Errorf("%w: a period of %v, which only totp has", ErrParams, p.Period)
	case p.Kind == TOTP && (p.Period < MinPeriod || p.Period > MaxPeriod || p.Period%time.Second != 0):
		return fmt.Errorf("%w: a period of %v, not whole seconds from %v to %v", ErrParams, p.Period, MinPeriod, MaxPeriod)
	}
	return nil
}

// Secret is the key that a device and the server both know, with the parameters. It is a value, prints as the mark, and must be
// sealed wherever it is kept.
type Secret struct {
	params Params
	key    [MaxKey]byte
	size   uint8
}

// New makes a secret with a random key as long as the hash (RFC 4226 section 4, R6: 160 bits recommended; RFC 6238 section 5.1).
func New(p Params) (Secret, error) {
	if err := p.Validate(); err != nil {
		return Secret{}, err
	}
	var key [MaxKey]byte
	defer clear(key[:])
	size := p.Algorithm.size()
	rand.Read(key[:size])
	return FromKey(p, key[:size])
}

// FromKey makes a secret of an existing key, which it copies. A key outside MinKey and MaxKey bytes is refused with ErrKey.
func FromKey(p Params, key []byte) (Secret, error) {
	if err := p.Validate(); err != nil {
		return Secret{}, err
	}
	if len(key) < MinKey || len(key) > MaxKey {
		return Secret{}, fmt.Errorf("%w: it has %d bits, and %d to %d are expected (RFC 4226 section 4), "+
			"which are %d to %d characters of base32 or %d to %d hexadecimal digits", ErrKey, 8*len(key), 8*MinKey, 8*MaxKey,
			unpadded.EncodedLen(MinKey), unpadded.EncodedLen(MaxKey), 2*MinKey, 2*MaxKey)
	}
	s := Secret{params: p, size: uint8(len(key))}
	copy(s.key[:], key)
	return s, nil
}

// unpadded is RFC 4648 section 6 as apps and the Key URI format use it.
var unpadded = base32.StdEncoding.WithPadding(base32.NoPadding)

// maxImport bounds what is decoded: any key that fits, with a space after each character.
const maxImport = 4*MaxKey + 16

// ImportBase32 reads a key in base32 (RFC 4648 section 6) as apps and vendors print it: in either case, with or without padding,
// spaces, hyphens and line ends anywhere. Bits that do not fill a byte are dropped, as apps do. Errors are ErrKey and ErrParams; they do not
// hold the key.
func ImportBase32(p Params, text string) (Secret, error) {
	text, err := plain(text, " -\r\n")
	if err != nil {
		return Secret{}, err
	}
	text = strings.TrimRight(strings.ToUpper(text), "=")
	key, err := unpadded.DecodeString(text)
	defer clear(key)
	if err != nil || unpadded.EncodedLen(len(key)) != len(text) { // the decoder leaves out a character too many
		return Secret{}, fmt.Errorf("%w: base32 has the letters A to Z and the digits 2 to 7, and a number of them that fills bytes", ErrKey)
	}
	return FromKey(p, key)
}

// ImportHex reads a key in hexadecimal digits as vendors' seed files have it: in either case, spaces, hyphens, colons and line
// ends anywhere.
// Errors are ErrKey and ErrParams; they do not hold the key.
func ImportHex(p Params, text string) (Secret, error) {
	text, err := plain(text, " -:\r\n")
	if err != nil {
		return Secret{}, err
	}
	key, err := hex.DecodeString(text)
	defer clear(key)
	if err != nil {
		return Secret{}, fmt.Errorf("%w: a key in hexadecimal digits is an even number of 0 to 9 and A to F", ErrKey)
	}
	return FromKey(p, key)
}

// plain takes off what a key is only printed with.
func plain(text, ornaments string) (string, error) {
	if len(text) > maxImport {
		return "", fmt.Errorf("%w: %d characters are more than any key of %d bits has", ErrKey, len(text), 8*MaxKey)
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(ornaments, r) {
			return -1
		}
		return r
	}, text), nil
}

// Params returns how the secret's codes are computed.
func (s *Secret) Params() Params { return s.params }

// The stored form: format, kind, algorithm, digits, period in seconds (big endian), key.
const (
	form     = 1
	formHead = 6
)

// Append appends the secret's stored form, 22 to 70 bytes, which is as secret as the key: it is there to be sealed. The zero Secret
// has none; appending it is a mistake of the program.
func (s *Secret) Append(dst []byte) []byte {
	if s.size == 0 {
		panic("otp: the zero Secret has no stored form")
	}
	dst = append(dst, form, byte(s.params.Kind), byte(s.params.Algorithm), byte(s.params.Digits))
	dst = binary.BigEndian.AppendUint16(dst, uint16(s.params.Period/time.Second))
	return append(dst, s.key[:s.size]...)
}

// Parse reads what Append made. Anything else is refused with ErrForm. It does not allocate for a good form and keeps nothing of b.
func Parse(b []byte) (Secret, error) {
	if len(b) < formHead+MinKey || len(b) > formHead+MaxKey || b[0] != form {
		return Secret{}, ErrForm
	}
	p := Params{
		Kind: Kind(b[1]), Algorithm: Algorithm(b[2]), Digits: int(b[3]),
		Period: time.Duration(binary.BigEndian.Uint16(b[4:])) * time.Second,
	}
	if p.Validate() != nil {
		return Secret{}, ErrForm
	}
	return FromKey(p, b[formHead:])
}

// Format shows the mark under every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, secret.Mark) }

// LogValue shows the mark in logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(secret.Mark) }

// MarshalText encodes the mark.
func (s Secret) MarshalText() ([]byte, error) { return []byte(secret.Mark), nil }
