package kerberos

import (
	"bytes"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxToken is the number of bytes that a token may have.
const MaxToken = 64 << 10

var (
	// ErrMissing means that a header holds no token: the client has not been asked, or has no ticket.
	ErrMissing = errors.New("no Kerberos token came")
	// ErrMalformed means that a token cannot be read.
	ErrMalformed = errors.New("malformed Kerberos token")
	// ErrOther means that a token is of something else than Kerberos, such as NTLM.
	ErrOther = errors.New("the client did not use Kerberos")
)

// FromHeader returns the token of an Authorization header: "Negotiate" and base64 (RFC 4559 section 4.2). It returns ErrMissing for a header that
// is empty or of another scheme, and ErrMalformed for a token that is no base64 or larger than MaxToken.
func FromHeader(value string) ([]byte, error) {
	scheme, text, _ := strings.Cut(strings.TrimSpace(value), " ")
	text = strings.TrimSpace(text)
	if !strings.EqualFold(scheme, "Negotiate") || text == "" {
		return nil, ErrMissing
	}
	if base64.StdEncoding.DecodedLen(len(text)) > MaxToken+2 {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrMalformed, MaxToken)
	}
	token, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: no base64", ErrMalformed)
	}
	return token, nil
}

// ToHeader returns the WWW-Authenticate header that carries a reply, or asks for a token if there is none.
func ToHeader(reply []byte) string {
	if len(reply) == 0 {
		return "Negotiate"
	}
	return "Negotiate " + base64.StdEncoding.EncodeToString(reply)
}

var (
	oidSPNEGO     = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 2}
	oidKerberos   = asn1.ObjectIdentifier{1, 2, 840, 113554, 1, 2, 2}
	oidMSKerberos = asn1.ObjectIdentifier{1, 2, 840, 48018, 1, 2, 2} // the same, as Windows 2000 wrote it
	oidNTLM       = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 2, 10}
	ntlmSignature = []byte("NTLMSSP\x00")
	tokenRequest  = [2]byte{1, 0} // RFC 4121 section 4.1
	tokenReply    = [2]byte{2, 0}
)

const (
	maxMechanisms   = 16 // in one offer
	acceptCompleted = 0  // RFC 4178 section 4.2.2
)

// offer is what a client's first token offers.
type offer struct {
	mechanism asn1.ObjectIdentifier // by which the client calls Kerberos; nil without SPNEGO
	request   []byte                // AP-REQ
}

// parseToken takes AP-REQ out of a client's first token: an InitialContextToken (RFC 2743 section 3.1) of Kerberos, or one of SPNEGO with one of
// Kerberos in it (RFC 4178 section 4.2.1).
func parseToken(token []byte) (offer, error) {
	if len(token) > MaxToken {
		return offer{}, fmt.Errorf("%w: larger than %d bytes", ErrMalformed, MaxToken)
	}
	if bytes.HasPrefix(token, ntlmSignature) {
		return offer{}, fmt.Errorf("%w but NTLM: it has no ticket for this service, or does not trust this site", ErrOther)
	}
	oid, inner, ok := parseContextToken(token)
	if !ok {
		if len(token) > 0 && cbasn1.Tag(token[0]) == explicit(1) {
			return offer{}, fmt.Errorf("%w: a continuation of a negotiation that was not begun", ErrMalformed)
		}
		return offer{}, fmt.Errorf("%w: no token of the GSS-API", ErrMalformed)
	}
	if !oid.Equal(oidSPNEGO) {
		request, err := parseMechanism(oid, inner)
		return offer{request: request}, err
	}
	mechanisms, optimistic, ok := parseNegTokenInit(inner)
	if !ok {
		return offer{}, fmt.Errorf("%w: no token of SPNEGO", ErrMalformed)
	}
	// What came is for the mechanism that the client likes best.
	first := mechanisms[0]
	switch {
	case bytes.HasPrefix(optimistic, ntlmSignature):
		return offer{}, fmt.Errorf("%w but NTLM: it has no ticket for this service, or does not trust this site", ErrOther)
	case !isKerberos(first):
		return offer{}, fmt.Errorf("%w but %s, which is what it likes best", ErrOther, mechanismName(first))
	case len(optimistic) == 0:
		return offer{}, fmt.Errorf("%w: it offers Kerberos and brings no ticket", ErrMalformed)
	}
	oid, inner, ok = parseContextToken(optimistic)
	if !ok {
		return offer{}, fmt.Errorf("%w: no token of the GSS-API within SPNEGO", ErrMalformed)
	}
	request, err := parseMechanism(oid, inner)
	return offer{mechanism: first, request: request}, err
}

// parseContextToken reads [APPLICATION 0] IMPLICIT SEQUENCE { thisMech OBJECT IDENTIFIER, innerToken }.
func parseContextToken(token []byte) (asn1.ObjectIdentifier, []byte, bool) {
	var body cryptobyte.String
	var oid asn1.ObjectIdentifier
	in := cryptobyte.String(token)
	if !in.ReadASN1(&body, application(0)) || !in.Empty() || !body.ReadASN1ObjectIdentifier(&oid) {
		return nil, nil, false
	}
	return oid, body, true
}

// parseMechanism takes AP-REQ out of a token of a mechanism.
func parseMechanism(oid asn1.ObjectIdentifier, inner []byte) ([]byte, error) {
	if !isKerberos(oid) {
		return nil, fmt.Errorf("%w but %s", ErrOther, mechanismName(oid))
	}
	if len(inner) < 2 || [2]byte(inner) != tokenRequest {
		return nil, fmt.Errorf("%w: no AP-REQ", ErrMalformed)
	}
	return inner[2:], nil
}

// parseNegTokenInit reads [0] NegTokenInit ::= SEQUENCE { mechTypes [0] SEQUENCE OF MechType, reqFlags [1] OPTIONAL, mechToken [2] OCTET STRING OPTIONAL,
// mechListMIC [3] OPTIONAL }. The MIC is not asked for where the mechanism is the client's first (RFC 4178 section 5), and not otherwise accepted.
func parseNegTokenInit(inner []byte) (mechanisms []asn1.ObjectIdentifier, optimistic []byte, ok bool) {
	var init, body, list, types cryptobyte.String
	in := cryptobyte.String(inner)
	if !in.ReadASN1(&init, explicit(0)) || !in.Empty() || !init.ReadASN1(&body, cbasn1.SEQUENCE) || !init.Empty() ||
		!body.ReadASN1(&list, explicit(0)) || !list.ReadASN1(&types, cbasn1.SEQUENCE) || !list.Empty() {
		return nil, nil, false
	}
	for !types.Empty() {
		var oid asn1.ObjectIdentifier
		if !types.ReadASN1ObjectIdentifier(&oid) || len(mechanisms) == maxMechanisms {
			return nil, nil, false
		}
		mechanisms = append(mechanisms, oid)
	}
	var field, octets cryptobyte.String
	var present bool
	if len(mechanisms) == 0 || !body.SkipOptionalASN1(explicit(1)) || !body.ReadOptionalASN1(&field, &present, explicit(2)) ||
		present && (!field.ReadASN1(&octets, cbasn1.OCTET_STRING) || !field.Empty()) ||
		!body.SkipOptionalASN1(explicit(3)) || !body.Empty() {
		return nil, nil, false
	}
	return mechanisms, octets, true
}

// answer wraps AP-REP, which may be empty, in the form in which the request came; without SPNEGO there is none around it.
func (o *offer) answer(reply []byte) ([]byte, error) {
	if len(reply) > 0 {
		var b cryptobyte.Builder
		b.AddASN1(application(0), func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidKerberos)
			b.AddBytes(tokenReply[:])
			b.AddBytes(reply)
		})
		var err error
		if reply, err = b.Bytes(); err != nil {
			return nil, err
		}
	}
	if o.mechanism == nil {
		return reply, nil
	}
	// [1] NegTokenResp ::= SEQUENCE { negState [0] ENUMERATED, supportedMech [1] MechType, responseToken [2] OCTET STRING OPTIONAL }
	var b cryptobyte.Builder
	b.AddASN1(explicit(1), func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddASN1Enum(acceptCompleted) })
			b.AddASN1(explicit(1), func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(o.mechanism) })
			if len(reply) > 0 {
				b.AddASN1(explicit(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(reply) })
			}
		})
	})
	return b.Bytes()
}

func isKerberos(oid asn1.ObjectIdentifier) bool {
	return oid.Equal(oidKerberos) || oid.Equal(oidMSKerberos)
}

func mechanismName(oid asn1.ObjectIdentifier) string {
	if oid.Equal(oidNTLM) {
		return "NTLM"
	}
	return "the mechanism " + oid.String()
}
