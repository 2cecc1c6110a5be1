package certificate

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"net/url"
	"time"
)

// Method says how it is found out whether a certificate was revoked.
type Method uint8

// The methods. The zero Method asks whoever can be asked.
const (
	Either Method = iota // OCSP, and CRLs where that gives no answer
	CRL                  // certificate revocation lists (RFC 5280)
	OCSP                 // the Online Certificate Status Protocol (RFC 6960)
	Off                  // not at all
)

// ParseMethod reads a method as a document has it: "either", "crl", "ocsp" or "off".
func ParseMethod(text string) (Method, error) {
	for m := Either; m <= Off; m++ {
		if text == m.String() {
			return m, nil
		}
	}
	return 0, fmt.Errorf("%q is no way to learn of revocations: use off, crl, ocsp or either", text)
}

// String returns the method as ParseMethod reads it.
func (m Method) String() string {
	switch m {
	case Either:
		return "either"
	case CRL:
		return "crl"
	case OCSP:
		return "ocsp"
	}
	return "off"
}

// The bounds of Policy.Timeout.
const (
	DefaultTimeout = 5 * time.Second
	MaxTimeout     = 30 * time.Second
)

// Policy says how revocation is checked. The zero Policy checks every certificate of a chain but its root, by what the certificates
// themselves name, and refuses where that gives no answer.
type Policy struct {
	Method Method
	// AcceptUnavailable accepts a certificate of which nothing can be found out; not one that a responder does not know.
	AcceptUnavailable bool
	// LeafOnly checks the client's own certificate alone, not those of the authorities between it and the root.
	LeafOnly bool
	// Timeout is for one login, however many answers it needs; 0: DefaultTimeout; at most MaxTimeout.
	Timeout time.Duration
	// CRLs are http or https URLs, at most 32, asked for instead of those that a certificate names.
	CRLs []string
	// Responder is the http or https URL of an OCSP responder, asked instead of those that a certificate names.
	Responder string
	// Responders are certificates whose OCSP answers count for every authority (RFC 6960 section 2.2: a Trusted Responder). Other answers
	// count if the authority has signed them, or a responder to which it has given a certificate for that.
	Responders []*x509.Certificate
	// Nonce asks for a nonce in OCSP answers and takes none without it. Responders that sign in advance cannot do that.
	Nonce bool
}

// maxCRLs is the number of CRLs that one policy may name.
const maxCRLs = 32

// validate returns the policy with its defaults.
func (p Policy) validate() (Policy, error) {
	if p.Method > Off {
		return p, fmt.Errorf("revocation: %d is no method", p.Method)
	}
	if p.Timeout == 0 {
		p.Timeout = DefaultTimeout
	}
	if p.Timeout < 0 || p.Timeout > MaxTimeout {
		return p, fmt.Errorf("revocation: a timeout of %v; it must be between 0 and %v", p.Timeout, MaxTimeout)
	}
	if len(p.CRLs) > maxCRLs {
		return p, fmt.Errorf("revocation: %d CRLs; at most %d may be configured", len(p.CRLs), maxCRLs)
	}
	for _, u := range p.CRLs {
		if !fetchable(u) {
			return p, fmt.Errorf("revocation: the CRL's address %q is no http or https URL", u)
		}
	}
	if p.Responder != "" && !fetchable(p.Responder) {
		return p, fmt.Errorf("revocation: the OCSP responder's address %q is no http or https URL", p.Responder)
	}
	return p, nil
}

// signers identifies whose OCSP answers the policy takes, and which. Verifiers with different policies share answers only where this is equal.
func (p *Policy) signers() [32]byte {
	h := sha256.New()
	for _, c := range p.Responders {
		sum := sha256.Sum256(c.Raw)
		h.Write(sum[:])
	}
	if p.Nonce {
		h.Write([]byte{1})
	}
	return [32]byte(h.Sum(nil))
}

// fetchable reports whether a URL may be fetched at all: http or https, with a host and without credentials. Who may be connected to is the
// Fetcher's to say.
func fetchable(address string) bool {
	if len(address) > 2048 {
		return false
	}
	u, err := url.Parse(address)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.Opaque == ""
}
