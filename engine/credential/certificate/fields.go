package certificate

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// Fields are what a certificate says, in the form in which mappings and expressions use it.
type Fields struct {
	Subject     Name
	Issuer      Name
	Serial      string   // upper-case hexadecimal, two digits a byte, as OpenSSL and nginx print it
	Emails      []string // of the subject alternative name, as are the next four
	DNSNames    []string
	URIs        []string
	UPNs        []string // user principal names (otherName 1.3.6.1.4.1.311.20.2.3)
	IPs         []string
	NotBefore   time.Time
	NotAfter    time.Time
	Fingerprint string // SHA-256 of the certificate, lower-case hexadecimal
}

// Name is a distinguished name.
type Name struct {
	DN         string              // RFC 4514, the last component first
	Attributes map[string][]string // values by short name (CN, UID, serialNumber, ...) or else by dotted OID, in the order of the certificate
}

// FieldsOf returns the fields of a certificate. It returns an error if a part that x509 does not read is malformed.
func FieldsOf(c *x509.Certificate) (Fields, error) {
	subject, err := nameOf(c.RawSubject)
	if err != nil {
		return Fields{}, fmt.Errorf("subject: %w", err)
	}
	issuer, err := nameOf(c.RawIssuer)
	if err != nil {
		return Fields{}, fmt.Errorf("issuer: %w", err)
	}
	upns, err := upnsOf(c)
	if err != nil {
		return Fields{}, fmt.Errorf("subject alternative name: %w", err)
	}
	sum := sha256.Sum256(c.Raw)
	f := Fields{
		Subject: subject, Issuer: issuer, Serial: serial(c),
		Emails: c.EmailAddresses, DNSNames: c.DNSNames, UPNs: upns,
		NotBefore: c.NotBefore, NotAfter: c.NotAfter,
		Fingerprint: hex.EncodeToString(sum[:]),
	}
	for _, u := range c.URIs {
		f.URIs = append(f.URIs, u.String())
	}
	for _, ip := range c.IPAddresses {
		f.IPs = append(f.IPs, ip.String())
	}
	return f, nil
}

// serial returns the serial number as OpenSSL prints it.
func serial(c *x509.Certificate) string {
	if c.SerialNumber == nil {
		return ""
	}
	text := fmt.Sprintf("%X", c.SerialNumber)
	if len(text)%2 == 1 {
		text = "0" + text
	}
	return text
}

// shortName returns the name under which an attribute is known: those of RFC 4514 section 3, and others that certificates of people hold.
func shortName(oid asn1.ObjectIdentifier) string {
	switch dotted := oid.String(); dotted {
	case "2.5.4.3":
		return "CN"
	case "2.5.4.4":
		return "SN"
	case "2.5.4.5":
		return "serialNumber"
	case "2.5.4.6":
		return "C"
	case "2.5.4.7":
		return "L"
	case "2.5.4.8":
		return "ST"
	case "2.5.4.9":
		return "STREET"
	case "2.5.4.10":
		return "O"
	case "2.5.4.11":
		return "OU"
	case "2.5.4.12":
		return "title"
	case "2.5.4.17":
		return "postalCode"
	case "2.5.4.42":
		return "givenName"
	case "2.5.4.65":
		return "pseudonym"
	case "2.5.4.97":
		return "organizationIdentifier"
	case "0.9.2342.19200300.100.1.1":
		return "UID"
	case "0.9.2342.19200300.100.1.25":
		return "DC"
	case "1.2.840.113549.1.9.1":
		return "emailAddress"
	default:
		return dotted
	}
}

// nameOf reads a Name as DER. pkix.Name would lose the order of its components, and the types that it has no field for.
func nameOf(der []byte) (Name, error) {
	var sequence pkix.RDNSequence
	if rest, err := asn1.Unmarshal(der, &sequence); err != nil || len(rest) != 0 {
		return Name{}, fmt.Errorf("%w: a distinguished name that cannot be read", ErrMalformed)
	}
	n := Name{Attributes: map[string][]string{}}
	var dn strings.Builder
	for i := len(sequence) - 1; i >= 0; i-- {
		for j, attribute := range sequence[i] {
			switch {
			case j > 0:
				dn.WriteByte('+')
			case dn.Len() > 0:
				dn.WriteByte(',')
			}
			short := shortName(attribute.Type)
			dn.WriteString(short)
			dn.WriteByte('=')
			if text, ok := attribute.Value.(string); ok && short[0] > '9' {
				writeEscaped(&dn, text)
			} else if der, err := asn1.Marshal(attribute.Value); err == nil {
				dn.WriteByte('#')
				dn.WriteString(hex.EncodeToString(der))
			}
		}
	}
	for _, set := range sequence {
		for _, attribute := range set {
			if text, ok := attribute.Value.(string); ok {
				short := shortName(attribute.Type)
				n.Attributes[short] = append(n.Attributes[short], text)
			}
		}
	}
	n.DN = dn.String()
	return n, nil
}

// writeEscaped writes a value as RFC 4514 section 2.4 asks for.
func writeEscaped(b *strings.Builder, text string) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == 0:
			b.WriteString(`\00`)
			continue
		case strings.IndexByte(`"+,;<>\`, c) >= 0,
			i == 0 && (c == ' ' || c == '#'),
			i == len(text)-1 && c == ' ':
			b.WriteByte('\\')
		}
		b.WriteByte(text[i])
	}
}

var (
	oidSubjectAltName = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidUPN            = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}
)

// upnsOf reads the user principal names of the subject alternative name: OtherName ::= SEQUENCE { type-id OBJECT IDENTIFIER,
// value [0] EXPLICIT UTF8String } (RFC 5280 section 4.2.1.6). crypto/x509 has no field for them.
func upnsOf(c *x509.Certificate) ([]string, error) {
	var upns []string
	for _, extension := range c.Extensions {
		if !extension.Id.Equal(oidSubjectAltName) {
			continue
		}
		var names cryptobyte.String
		if input := cryptobyte.String(extension.Value); !input.ReadASN1(&names, cbasn1.SEQUENCE) || !input.Empty() {
			return nil, fmt.Errorf("%w: not a sequence of names", ErrMalformed)
		}
		for !names.Empty() {
			var name cryptobyte.String
			var tag cbasn1.Tag
			if !names.ReadAnyASN1(&name, &tag) {
				return nil, fmt.Errorf("%w: a name that cannot be read", ErrMalformed)
			}
			if tag != cbasn1.Tag(0).ContextSpecific().Constructed() {
				continue
			}
			var oid asn1.ObjectIdentifier
			if !name.ReadASN1ObjectIdentifier(&oid) {
				return nil, fmt.Errorf("%w: an otherName without a type", ErrMalformed)
			}
			if !oid.Equal(oidUPN) {
				continue
			}
			var value, text cryptobyte.String
			if !name.ReadASN1(&value, cbasn1.Tag(0).ContextSpecific().Constructed()) || !name.Empty() ||
				!value.ReadASN1(&text, cbasn1.UTF8String) || !value.Empty() || !utf8.Valid(text) {
				return nil, fmt.Errorf("%w: a user principal name that is no text", ErrMalformed)
			}
			upns = append(upns, string(text))
		}
	}
	return upns, nil
}
