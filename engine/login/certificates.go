package login

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"trine/engine/credential/certificate"
)

// Certificates verifies client certificates as an identity provider accepts them, and says whom they name. It is immutable.
type Certificates struct {
	verifier *certificate.Verifier
	mapping  *CertificateMapping // nil: a part of the certificate names the user
}

// Revoked is what a node knows of revoked certificates.
type Revoked struct{ known *certificate.Revocations }

// NewRevoked returns what all identity providers of a node share; nil is a node that fetches nothing.
func NewRevoked(known *certificate.Revocations) *Revoked {
	if known == nil {
		known = certificate.NewRevocations(nowhere{}, certificate.Limits{})
	}
	return &Revoked{known}
}

// nowhere is a fetcher of nodes that are given none: it gets nothing.
type nowhere struct{}

// Fetch implements certificate.Fetcher.
func (nowhere) Fetch(context.Context, certificate.FetchRequest) ([]byte, error) {
	return nil, errors.New("this node fetches nothing about revoked certificates")
}

// CertificateRules are what Certificates are made of, as a document has it.
type CertificateRules struct {
	Authorities, Intermediates  string // PEM
	Mapping, Expression, Script string // one of them at most; none: subject.CN
	Revocation                  string
	AcceptUnavailable, LeafOnly bool
	CRLs                        []string
	Responder                   string
	Timeout                     time.Duration
}

// NewCertificates compiles rules. Errors about an expression or script are of type
// *script.SyntaxError.
func NewCertificates(r CertificateRules, revoked *Revoked) (*Certificates, error) {
	var trust certificate.Trust
	var err error
	if trust.Roots, err = readCertificates(r.Authorities); err != nil {
		return nil, fmt.Errorf("authorities: %w", err)
	}
	if r.Intermediates != "" {
		if trust.Intermediates, err = readCertificates(r.Intermediates); err != nil {
			return nil, fmt.Errorf("intermediates: %w", err)
		}
	}
	c := new(Certificates)
	if r.Expression != "" || r.Script != "" {
		if c.mapping, err = NewCertificateMapping(r.Expression, r.Script); err != nil {
			return nil, err
		}
		if mapping, inPlace := c.mapping.Mapping(); inPlace {
			trust.Mapping = mapping
		} else { // the script has the last word; until it has run, any certificate names somebody
			trust.Mapping = certificate.Mapping{Part: certificate.Expression, Expression: func(*certificate.Fields) (string, error) { return "?", nil }}
		}
	} else {
		if r.Mapping == "" {
			r.Mapping = "subject.CN"
		}
		if trust.Mapping, err = certificate.ParseMapping(r.Mapping); err != nil {
			return nil, fmt.Errorf("mapping: %w", err)
		}
	}
	trust.Policy = certificate.Policy{AcceptUnavailable: r.AcceptUnavailable, LeafOnly: r.LeafOnly, CRLs: r.CRLs, Responder: r.Responder, Timeout: r.Timeout}
	if trust.Policy.Method, err = certificate.ParseMethod(r.Revocation); err != nil {
		return nil, fmt.Errorf("revocation: %w", err)
	}
	if c.verifier, err = certificate.NewVerifier(trust, revoked.known); err != nil {
		return nil, err
	}
	return c, nil
}

// readCertificates reads PEM that holds certificates and nothing else.
func readCertificates(text string) (list []*x509.Certificate, err error) {
	rest := []byte(text)
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, fmt.Errorf("PEM of a certificate is expected, and there is a block %q", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("read certificate %d: %w", len(list)+1, err)
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, errors.New("there is no PEM block of a certificate in it")
	}
	return list, nil
}

// Verify verifies a certificate at a time. It may wait for the network: see certificate.Verifier.Verify. Where Scripted, the outcome names nobody yet.
func (c *Certificates) Verify(ctx context.Context, p certificate.Presented, at time.Time) certificate.Outcome {
	o := c.verifier.Verify(ctx, p, at)
	if c.Scripted() != nil {
		o.User = ""
	}
	return o
}

// Scripted returns the mapping whose script names the user of a certificate; nil where no script does.
func (c *Certificates) Scripted() *CertificateMapping {
	if c.mapping == nil || c.mapping.script == nil {
		return nil
	}
	return c.mapping
}
