package otp

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"rsc.io/qr"
)

// maxLabel is the length in bytes of the longest issuer or account: with both, the QR code can still be read off a screen.
const maxLabel = 128

// ErrLabel means that an issuer or an account cannot stand in a Key URI.
var ErrLabel = errors.New("not a name for an authenticator app")

// Base32 returns the key in base32 without padding, for people who type it into their app. It is secret, and shown once.
func (s *Secret) Base32() string { return unpadded.EncodeToString(s.key[:s.size]) }

// URI returns the secret in the Key URI format, which apps read from a QR code. Issuer and account are what the app shows: the
// organisation and the user's name; neither is empty, longer than 128 bytes, or has a colon or control characters (ErrLabel). Counter is
// where an HOTP device begins. The URI is as secret as the key, and shown once.
func (s *Secret) URI(issuer, account string, counter uint64) (string, error) {
	for _, label := range [...]struct{ what, text string }{{"issuer", issuer}, {"account", account}} {
		if label.text == "" || len(label.text) > maxLabel || !utf8.ValidString(label.text) ||
			strings.ContainsFunc(label.text, func(r rune) bool { return r == ':' || unicode.IsControl(r) }) {
			return "", fmt.Errorf("%w: the %s %q; it has 1 to %d bytes, no colon and no control characters", ErrLabel, label.what, label.text, maxLabel)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "otpauth://%s/%s:%s?secret=%s&issuer=%s&algorithm=%s&digits=%d", s.params.Kind,
		escape(issuer), escape(account), s.Base32(), escape(issuer), s.params.Algorithm, s.params.Digits)
	if s.params.Kind == HOTP {
		fmt.Fprintf(&b, "&counter=%d", counter)
	} else {
		fmt.Fprintf(&b, "&period=%d", s.params.Period/time.Second)
	}
	return b.String(), nil
}

// escape percent-encodes all but RFC 3986's unreserved characters: apps do not read a plus sign as a space.
func escape(text string) string { return strings.ReplaceAll(url.QueryEscape(text), "+", "%20") }

// PNG returns the QR code of a URI as a PNG image, black on white with its quiet zone.
func PNG(uri string) ([]byte, error) {
	code, err := encode(uri)
	if err != nil {
		return nil, err
	}
	return code.PNG(), nil
}

// quiet is the width in modules of the light border that readers need (ISO/IEC 18004 section 6.3.8).
const quiet = 4

// Terminal returns the QR code of a URI as lines of text, two modules a character, light on the terminal's dark background where
// inverted is false; readers take either, but a light background needs inverted to look as on paper.
func Terminal(uri string, inverted bool) (string, error) {
	code, err := encode(uri)
	if err != nil {
		return "", err
	}
	drawn := func(x, y int) bool { return code.Black(x, y) == inverted }
	var b strings.Builder
	for y := -quiet; y < code.Size+quiet; y += 2 {
		for x := -quiet; x < code.Size+quiet; x++ {
			upper, lower := drawn(x, y), y+1 < code.Size+quiet && drawn(x, y+1)
			switch {
			case upper && lower:
				b.WriteRune('█')
			case upper:
				b.WriteRune('▀')
			case lower:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// encode makes the QR code with error correction level M, which makes up for 15% that a camera does not see.
func encode(uri string) (*qr.Code, error) {
	code, err := qr.Encode(uri, qr.M)
	if err != nil {
		return nil, fmt.Errorf("encode QR code of %d bytes: %w", len(uri), err)
	}
	return code, nil
}
