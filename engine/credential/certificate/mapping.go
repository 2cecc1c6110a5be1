package certificate

import (
	"encoding/asn1"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrUnmapped means that a certificate does not name a user by the mapping that is configured.
var ErrUnmapped = errors.New("the certificate names no user")

// maxUser is the number of bytes that a name out of a certificate may have.
const maxUser = 256

// Part says which part of a certificate names the user.
type Part uint8

// The parts.
const (
	Subject    Part = iota // the whole subject, as RFC 4514 text
	Attribute              // one attribute of the subject
	Email                  // the e-mail address of the subject alternative name
	DNS                    // its DNS name
	UPN                    // its user principal name
	URI                    // its URI
	Expression             // what an administrator's expression returns
)

// Mapping says how a certificate names its user. The zero Mapping takes the whole subject.
type Mapping struct {
	Part       Part
	Attribute  string                        // of the subject, by short name (CN, UID, serialNumber, emailAddress, ...) or dotted OID
	Expression func(*Fields) (string, error) // must not keep the fields
}

// ParseMapping reads a mapping as a document has it: "subject", "subject." and an attribute, "san.email", "san.dns", "san.upn" or "san.uri".
// An expression is no text: it is set by whoever compiled it.
func ParseMapping(text string) (Mapping, error) {
	switch text {
	case "subject":
		return Mapping{Part: Subject}, nil
	case "san.email":
		return Mapping{Part: Email}, nil
	case "san.dns":
		return Mapping{Part: DNS}, nil
	case "san.upn":
		return Mapping{Part: UPN}, nil
	case "san.uri":
		return Mapping{Part: URI}, nil
	}
	attribute, ok := strings.CutPrefix(text, "subject.")
	if !ok || !isAttribute(attribute) {
		return Mapping{}, fmt.Errorf("%q is no part of a certificate: use subject, subject.CN (or another attribute, or an OID), san.email, san.dns, san.upn or san.uri", text)
	}
	return Mapping{Part: Attribute, Attribute: attribute}, nil
}

// isAttribute reports whether text is a short name that shortName gives, or a dotted OID that has none.
func isAttribute(text string) bool {
	switch text {
	case "CN", "SN", "serialNumber", "C", "L", "ST", "STREET", "O", "OU", "title", "postalCode", "givenName", "pseudonym",
		"organizationIdentifier", "UID", "DC", "emailAddress":
		return true
	}
	var oid asn1.ObjectIdentifier
	for arc := range strings.SplitSeq(text, ".") {
		n, err := strconv.ParseInt(arc, 10, 32)
		if err != nil || n < 0 || strconv.FormatInt(n, 10) != arc {
			return false
		}
		oid = append(oid, int(n))
	}
	return len(oid) >= 2 && shortName(oid) == text
}

// String returns the mapping as ParseMapping reads it, or "expression".
func (m Mapping) String() string {
	switch m.Part {
	case Subject:
		return "subject"
	case Attribute:
		return "subject." + m.Attribute
	case Email:
		return "san.email"
	case DNS:
		return "san.dns"
	case UPN:
		return "san.upn"
	case URI:
		return "san.uri"
	}
	return "expression"
}

// User returns the name by which the certificate's user is to be looked up. It returns ErrUnmapped if the part is absent, is there more than
// once (which of two names would be the user's?), or is nothing that a name can be: empty, longer than 256 bytes, or with characters
// that do not print, by which a name could pass for another.
func (m Mapping) User(f *Fields) (string, error) {
	var found []string
	switch m.Part {
	case Subject:
		found = []string{f.Subject.DN}
	case Attribute:
		found = f.Subject.Attributes[m.Attribute]
	case Email:
		found = f.Emails
	case DNS:
		found = f.DNSNames
	case UPN:
		found = f.UPNs
	case URI:
		found = f.URIs
	case Expression:
		if m.Expression == nil {
			return "", fmt.Errorf("%w: there is no expression", ErrUnmapped)
		}
		user, err := m.Expression(f)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrUnmapped, err)
		}
		found = []string{user}
	}
	switch {
	case len(found) == 0:
		return "", fmt.Errorf("%w: it has no %s", ErrUnmapped, m)
	case len(found) > 1:
		return "", fmt.Errorf("%w: it has %d of %s", ErrUnmapped, len(found), m)
	}
	user := found[0]
	switch {
	case user == "":
		return "", fmt.Errorf("%w: its %s is empty", ErrUnmapped, m)
	case len(user) > maxUser:
		return "", fmt.Errorf("%w: its %s is longer than %d bytes", ErrUnmapped, m, maxUser)
	case !utf8.ValidString(user) || strings.ContainsFunc(user, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "", fmt.Errorf("%w: its %s has characters that do not print", ErrUnmapped, m)
	}
	return user, nil
}
