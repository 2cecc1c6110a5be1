package policy

import (
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"trine/engine/attribute"
	"trine/engine/document"
	"trine/engine/login"
	"trine/engine/script"
)

// SSO is what the sessions of single sign-on of an identity provider are like.
type SSO struct {
	// Scope says which identity providers share the sessions: those with the same. It is recorded.
	Scope string
	// CookieName and CookieDomain are as the document has them; empty where it does not say.
	CookieName, CookieDomain string
	// Idle is how long a session lasts without use, in whole seconds; 0: for as long as Absolute.
	Idle time.Duration
	// Absolute is how long a session lasts however much it is used.
	Absolute time.Duration
	// OAuth is how long access tokens last whose clients say nothing else; 0: the document does not say.
	OAuth time.Duration
}

// own is what an identity provider has by its own document, and a virtual one else has of the one above it.
type own struct {
	session      *SSO
	certificates *login.Certificates
	trusted      *document.TrustedDevices
	tickets      *login.Tickets
	certificate  *tls.Certificate
}

// newOwn compiles what a document says of its own about sessions, certificates and trusted devices.
func newOwn(name string, spec *document.IdentityProvider, revoked *login.Revoked) (o own, err error) {
	o.trusted = spec.Authentication.TrustedDevices
	if s := spec.Session; s != nil || spec.Parent == "" {
		if s == nil {
			s = &document.SSOSession{Timeout: 30 * time.Minute, AbsoluteTimeout: 12 * time.Hour}
		}
		root := name
		if spec.Parent != "" {
			root = spec.Parent
		}
		o.session = &SSO{
			Scope: "issuer/" + root, CookieName: s.SSOCookieName, CookieDomain: s.SSOCookieDomain, Idle: s.Timeout.Truncate(time.Second), Absolute: s.AbsoluteTimeout.Truncate(time.Second),
			OAuth: s.OAuthTimeout,
		}
		if s.SSOCookieName != "" {
			o.session.Scope = "cookie/" + s.SSOCookieName + "@" + s.SSOCookieDomain
		}
	}
	c := spec.Authentication.Certificate
	if c == nil {
		return o, nil
	}
	o.certificates, err = login.NewCertificates(login.CertificateRules{
		Authorities: c.Authorities, Intermediates: c.Intermediates, Mapping: c.Mapping, Expression: c.Expression, Script: c.Script, Revocation: c.Revocation,
		AcceptUnavailable: c.AcceptUnavailable, LeafOnly: c.LeafOnly, CRLs: c.CRLs, Responder: c.Responder, Timeout: c.Timeout,
	}, revoked)
	if err != nil {
		field := "authentication.certificate"
		if syntax := new(script.SyntaxError); errors.As(err, &syntax) {
			if field += ".expression"; c.Expression == "" {
				field = "authentication.certificate.script"
			}
		}
		err = attribute.InField(field, err)
	}
	return o, err
}

// inherit gives an identity provider what it has of its own, and else what the one above it has; nil where there is none.
func (i *Issuer) inherit(above *Issuer) {
	o := i.own
	if above != nil {
		if o.session == nil {
			o.session = above.own.session
		}
		if o.certificates == nil {
			o.certificates = above.own.certificates
		}
		if o.trusted == nil {
			o.trusted = above.own.trusted
		}
		if o.tickets == nil {
			o.tickets = above.own.tickets
		}
		if o.certificate == nil {
			o.certificate = above.own.certificate
		}
	}
	i.SSO, i.Certificates, i.TrustedDevices, i.Tickets = o.session, o.certificates, o.trusted, o.tickets
	i.settle(above, o.certificate)
}

// Issuer returns the identity provider with that name, or why it cannot be used.
func (c *Cache) Issuer(name string) (*Issuer, error) {
	o := c.tables.issuers[name]
	switch {
	case o == nil:
		return nil, fmt.Errorf("there is no IdentityProvider %q", name)
	case o.err != nil:
		return o.issuer, fmt.Errorf("the IdentityProvider %q is broken: %w", name, o.err)
	case o.above != nil:
		return o.issuer, fmt.Errorf("the IdentityProvider %q cannot be used: %w", name, o.above)
	}
	return o.issuer, nil
}

// Portal returns an identity provider's own pages as a service provider: whoever logs in there is told nothing of himself and needs no role.
func (i *Issuer) Portal() *Client {
	return &Client{Name: i.Name, PublicID: i.PublicID, Spec: &document.ServiceProvider{DisplayName: i.Spec.DisplayName}, Issuer: i, party: i.party}
}
