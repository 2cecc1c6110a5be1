package certificate

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Bounds of what is presented. What exceeds them is malformed.
const (
	MaxHeader      = 64 << 10 // bytes of the values of one header
	MaxCertificate = 16 << 10 // bytes of one certificate as DER
	MaxChain       = 8        // certificates beside the client's own
)

var (
	// ErrMissing means that no certificate was presented.
	ErrMissing = errors.New("no client certificate was presented")
	// ErrMalformed means that what was presented cannot be read as certificates.
	ErrMalformed = errors.New("malformed client certificate")
)

// Presented is a client certificate as it came.
type Presented struct {
	Leaf    *x509.Certificate   // the client's own
	Chain   []*x509.Certificate // what came with it, in any order; nothing in it is trusted
	Stapled []byte              // an OCSP response that came with it, as DER; empty if none
}

// FromTLS returns what the peer of a TLS connection presented. The handshake has proved that the peer has the key; that the certificate may be
// trusted is for [Verifier] to say, so the listener asks with tls.RequestClientCert or tls.RequireAnyClientCert. It returns ErrMissing or
// ErrMalformed (more than MaxChain certificates, or one larger than MaxCertificate).
func FromTLS(state *tls.ConnectionState) (Presented, error) {
	if state == nil || len(state.PeerCertificates) == 0 {
		return Presented{}, ErrMissing
	}
	if n := len(state.PeerCertificates) - 1; n > MaxChain {
		return Presented{}, fmt.Errorf("%w: %d more came with it, and at most %d may", ErrMalformed, n, MaxChain)
	}
	for _, c := range state.PeerCertificates {
		if len(c.Raw) > MaxCertificate {
			return Presented{}, fmt.Errorf("%w: one of %d bytes, and at most %d are taken", ErrMalformed, len(c.Raw), MaxCertificate)
		}
	}
	return Presented{Leaf: state.PeerCertificates[0], Chain: state.PeerCertificates[1:], Stapled: state.OCSPResponse}, nil
}

// FromHeader returns what a proxy passed on: the values of its certificate header, and of its chain header if it has one. It reads each form
// in which proxies send a certificate, and they cannot be mistaken for each other:
//
//	:MIIB...:                       RFC 9440 Client-Cert, and Client-Cert-Chain as a list
//	-----BEGIN%20CERTIFICATE-----   PEM, URL-encoded (nginx $ssl_client_escaped_cert, Apache escape, HAProxy url_enc)
//	-----BEGIN CERTIFICATE----- M   PEM with blanks for its line ends (Apache %{SSL_CLIENT_CERT}s)
//	MIIB...                         DER as base64 (HAProxy ssl_c_der,base64), also URL-encoded (Traefik)
//
// Only PEM may hold more than the client's own certificate, which is then the first. The caller must have made sure that the request is
// the proxy's: whoever may set the header is whoever he likes. It returns ErrMissing for a header that is absent, empty or Apache's "(null)",
// and ErrMalformed for what cannot be read, exceeds a bound, or came twice: of two values, one may be the client's forgery.
func FromHeader(certificate, chain []string) (Presented, error) {
	var value string
	for _, v := range certificate {
		if v = strings.TrimSpace(v); v == "" || v == "(null)" {
			continue
		}
		if value != "" {
			return Presented{}, fmt.Errorf("%w: the header came twice", ErrMalformed)
		}
		value = v
	}
	if value == "" {
		return Presented{}, ErrMissing
	}
	if len(value) > MaxHeader {
		return Presented{}, fmt.Errorf("%w: a header of %d bytes, and at most %d are taken", ErrMalformed, len(value), MaxHeader)
	}
	all, err := parseField(value)
	if err != nil {
		return Presented{}, err
	}
	size := 0
	for _, v := range chain {
		if v = strings.TrimSpace(v); v == "" || v == "(null)" {
			continue
		}
		if size += len(v); size > MaxHeader {
			return Presented{}, fmt.Errorf("%w: a chain header of more than %d bytes", ErrMalformed, MaxHeader)
		}
		for _, item := range chainItems(v) {
			more, err := parseField(item)
			if err != nil {
				return Presented{}, fmt.Errorf("chain: %w", err)
			}
			if all = append(all, more...); len(all) > MaxChain+1 {
				break
			}
		}
	}
	if len(all) > MaxChain+1 {
		return Presented{}, fmt.Errorf("%w: more than %d came with it", ErrMalformed, MaxChain)
	}
	return Presented{Leaf: all[0], Chain: all[1:]}, nil
}

// chainItems splits a list (RFC 9440 section 2.3). A comma is no part of base64; PEM is one item.
func chainItems(value string) []string {
	if strings.Contains(value, "-----BEGIN") {
		return []string{value}
	}
	items := strings.Split(value, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}

// parseField reads one field in any of the forms.
func parseField(value string) ([]*x509.Certificate, error) {
	var err error
	switch {
	case !strings.Contains(value, "%"):
	case strings.HasPrefix(value, pemBeginQuery):
		value, err = url.QueryUnescape(value)
	default:
		value, err = url.PathUnescape(value) // which leaves a plus of the base64 alone
	}
	if err != nil {
		return nil, fmt.Errorf("%w: the URL encoding is broken", ErrMalformed)
	}
	value = strings.TrimSpace(value)
	if strings.HasPrefix(value, pemBegin) {
		return parsePEM(value)
	}
	if body, ok := strings.CutPrefix(value, ":"); ok {
		if body, ok = strings.CutSuffix(body, ":"); !ok {
			return nil, fmt.Errorf("%w: a byte sequence must end with a colon (RFC 8941 section 3.3.5)", ErrMalformed)
		}
		value = body
	}
	c, err := parseBase64(value)
	if err != nil {
		return nil, err
	}
	return []*x509.Certificate{c}, nil
}

const (
	pemBegin      = "-----BEGIN CERTIFICATE-----"
	pemBeginQuery = "-----BEGIN+CERTIFICATE-----"
	pemEnd        = "-----END CERTIFICATE-----"
)

// parsePEM reads certificates whose lines may have been joined, which encoding/pem does not read. It stops at one too many.
func parsePEM(value string) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for value != "" && len(all) <= MaxChain+1 {
		body, ok := strings.CutPrefix(value, pemBegin)
		if !ok {
			return nil, fmt.Errorf("%w: PEM with something else between certificates", ErrMalformed)
		}
		body, rest, ok := strings.Cut(body, pemEnd)
		if !ok {
			return nil, fmt.Errorf("%w: PEM without its last line", ErrMalformed)
		}
		c, err := parseBase64(strings.Join(strings.Fields(body), ""))
		if err != nil {
			return nil, err
		}
		all, value = append(all, c), strings.TrimSpace(rest)
	}
	return all, nil
}

func parseBase64(text string) (*x509.Certificate, error) {
	if base64.StdEncoding.DecodedLen(len(text)) > MaxCertificate+2 {
		return nil, fmt.Errorf("%w: larger than %d bytes", ErrMalformed, MaxCertificate)
	}
	if strings.ContainsAny(text, "\r\n") { // which the decoder would pass over
		return nil, fmt.Errorf("%w: a line end within base64", ErrMalformed)
	}
	der, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, fmt.Errorf("%w: not base64: %v", ErrMalformed, err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMalformed, err)
	}
	return c, nil
}
