package wire

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"trine/protocols/md5"
)

// ErrEmptySecret is returned for a shared secret without a byte, which RFC 2865
// section 3 forbids.
var ErrEmptySecret = errors.New("shared secret is empty")

const redacted = "«redacted»"

// Secret is a shared secret with the work done that depends on nothing else:
// the two half-finished digests of HMAC-MD5. It is immutable and safe for any
// number of loops. It prints as «redacted» under every verb, in JSON and slog;
// where fmt does not ask (an unexported field, the verb p) it meets a function,
// whose address is all that it can print.
type Secret struct{ key func() *key }

type key struct {
	raw          []byte
	inner, outer md5.State // MD5 states after the padded keys of RFC 2104
}

// NewSecret returns the secret made of a copy of raw, or ErrEmptySecret.
func NewSecret(raw []byte) (*Secret, error) {
	if len(raw) == 0 {
		return nil, ErrEmptySecret
	}
	k := &key{raw: append([]byte(nil), raw...)}
	var padded [64]byte
	if len(raw) > len(padded) {
		var d md5.Digest
		d.Reset()
		d.Write(raw)
		sum := d.Sum()
		copy(padded[:], sum[:])
	} else {
		copy(padded[:], raw)
	}
	pad := func(with byte) md5.State {
		var block [64]byte
		for i := range block {
			block[i] = padded[i] ^ with
		}
		return md5.Blocks(md5.Start(), block[:])
	}
	k.inner, k.outer = pad(0x36), pad(0x5c)
	return &Secret{func() *key { return k }}, nil
}

// Equal reports, in constant time, whether two secrets are the same bytes.
func (s *Secret) Equal(other *Secret) bool {
	return subtle.ConstantTimeCompare(s.key().raw, other.key().raw) == 1
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

// Verify checks what a request proves about its sender. The authenticator of an
// Accounting-, CoA- or Disconnect-Request must be the keyed digest of RFC 2866
// section 3. A Message-Authenticator is checked wherever one is present, and
// its absence is SignatureMissing where require is set. RFC 3579 section 3.2
// takes the HMAC with the authenticator as received; where the authenticator is
// itself a digest, RFC 5176 section 3.2 takes it with sixteen zeros.
//
// A packet with an EAP-Message needs require, RFC 3579 section 3.1, and so does
// a Status-Server, RFC 5997 section 3.
func (s *Secret) Verify(v *View, require bool) Fault {
	authenticator := v.Authenticator()
	var zero [AuthenticatorLen]byte
	if v.Code().signsRequest() {
		want := s.digest(v.packet, &zero)
		if subtle.ConstantTimeCompare(want[:], authenticator[:]) != 1 {
			return AuthenticatorMismatch
		}
		authenticator = &zero
	}
	return s.verifySignature(v, authenticator, require)
}

// VerifyReply checks that v answers the request with this identifier and
// request authenticator: its response authenticator (RFC 2865 section 3), and
// its Message-Authenticator, if it has one, over the request's authenticator.
// require makes a missing Message-Authenticator a fault.
func (s *Secret) VerifyReply(v *View, id uint8, requestAuthenticator *[AuthenticatorLen]byte, require bool) Fault {
	if v.ID() != id {
		return ReplyUnexpected
	}
	want := s.digest(v.packet, requestAuthenticator)
	if subtle.ConstantTimeCompare(want[:], v.Authenticator()[:]) != 1 {
		return AuthenticatorMismatch
	}
	return s.verifySignature(v, requestAuthenticator, require)
}

func (s *Secret) verifySignature(v *View, authenticator *[AuthenticatorLen]byte, require bool) Fault {
	at := int(v.first[MessageAuthenticator])
	if v.count == 0 || at == 0 {
		if require {
			return SignatureMissing
		}
		return OK
	}
	if len(v.value(at)) != AuthenticatorLen || v.repeated(MessageAuthenticator) {
		return SignatureMalformed
	}
	want := s.sign(v.packet, authenticator, at+2)
	if subtle.ConstantTimeCompare(want[:], v.value(at)) != 1 {
		return SignatureMismatch
	}
	return OK
}

// sign returns HMAC-MD5 over packet with authenticator in its place and the
// sixteen bytes at offset signature taken as zeros.
func (s *Secret) sign(packet []byte, authenticator *[AuthenticatorLen]byte, signature int) [md5.Size]byte {
	var zero [AuthenticatorLen]byte
	k := s.key()
	var d md5.Digest
	d.Resume(k.inner, 64)
	d.Write(packet[:4])
	d.Write(authenticator[:])
	d.Write(packet[headerLen:signature])
	d.Write(zero[:])
	d.Write(packet[signature+AuthenticatorLen:])
	inside := d.Sum()
	d.Resume(k.outer, 64)
	d.Write(inside[:])
	return d.Sum()
}

// digest returns MD5 over packet with authenticator in its place, followed by
// the secret.
func (s *Secret) digest(packet []byte, authenticator *[AuthenticatorLen]byte) [md5.Size]byte {
	var d md5.Digest
	d.Reset()
	d.Write(packet[:4])
	d.Write(authenticator[:])
	d.Write(packet[headerLen:])
	d.Write(s.key().raw)
	return d.Sum()
}
