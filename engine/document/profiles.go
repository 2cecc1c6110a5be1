package document

import (
	"fmt"
	"time"
)

// Profiles are the protocols that an identity provider speaks.
type Profiles struct {
	// Radius is RADIUS.
	Radius *RadiusProfile `json:"radius"`
	// Tacacs is TACACS+.
	Tacacs *TacacsProfile `json:"tacacs"`
	// OpenID is OpenID Connect.
	OpenID *OpenIDProfile `json:"openid"`
	// SAML2SSO is SAML 2.0 web single sign-on.
	SAML2SSO *SAML2SSOProfile `json:"saml2SSO" later:"SAML"`
	// SAML2ECP is SAML 2.0 for enhanced clients.
	SAML2ECP *SAML2ECPProfile `json:"saml2ECP" later:"SAML"`
	// SAML2ArtifactResolution resolves SAML 2.0 artifacts.
	SAML2ArtifactResolution *SAML2QueryProfile `json:"saml2ArtifactResolution" later:"SAML"`
	// SAML2AttributeQuery answers SAML 2.0 attribute queries.
	SAML2AttributeQuery *SAML2QueryProfile `json:"saml2AttributeQuery" later:"SAML"`
	// SAML1ArtifactResolution resolves SAML 1.1 artifacts.
	SAML1ArtifactResolution *SAML1Profile `json:"saml1ArtifactResolution" later:"SAML"`
	// SAML1AttributeQuery answers SAML 1.1 attribute queries.
	SAML1AttributeQuery *SAML1Profile `json:"saml1AttributeQuery" later:"SAML"`
	// CAS is the CAS protocol.
	CAS *Switch `json:"cas" later:"CAS"`
	// WSFed is WS-Federation.
	WSFed *Switch `json:"wsfed" later:"WS-Federation"`
	// Impersonation lets services act for people.
	Impersonation *Switch `json:"impersonation"`
}

// Switch is a profile without fields of its own.
type Switch struct {
	// Enabled turns it on.
	Enabled bool `json:"enabled"`
}

// RadiusProfile is RADIUS as an identity provider speaks it.
type RadiusProfile struct {
	// Enabled turns it on.
	Enabled bool `json:"enabled"`
	// AuthenticationPort is the UDP port for logins.
	AuthenticationPort int `json:"authenticationPort" default:"1812" min:"1" max:"65535"`
	// AccountingPort is the UDP port for accounting.
	AccountingPort int `json:"accountingPort" default:"1813" min:"1" max:"65535"`
	// PAP accepts clear passwords (RFC 2865 section 5.2).
	PAP bool `json:"pap" default:"true"`
	// CHAP accepts CHAP (RFC 1994); it needs passwords that are kept in clear.
	CHAP bool `json:"chap" default:"true"`
	// MSCHAPv1 accepts MS-CHAP version 1 (RFC 2433); it needs NT hashes.
	MSCHAPv1 bool `json:"mschapv1"`
	// MSCHAPv2 accepts MS-CHAP version 2 (RFC 2759); it needs NT hashes.
	MSCHAPv2 bool `json:"mschapv2" default:"true"`
}

// TacacsProfile is TACACS+ as an identity provider speaks it.
type TacacsProfile struct {
	// Enabled turns it on.
	Enabled bool `json:"enabled"`
	// Port is the TCP port.
	Port int `json:"port" default:"49" min:"1" max:"65535"`
	// TLSPort is the port for TACACS+ over TLS.
	TLSPort int `json:"tlsPort" default:"300" min:"1" max:"65535"`
	// ASCII accepts logins in which the device asks for name and password one after another (RFC 8907 section 5.4.2.1). A second factor is asked for in these alone.
	ASCII bool `json:"ascii" default:"true"`
	// PAP accepts clear passwords (RFC 8907 section 5.4.2.2).
	PAP bool `json:"pap" default:"true"`
	// CHAP accepts CHAP (RFC 8907 section 5.4.2.3); it needs passwords that are kept in clear.
	CHAP bool `json:"chap" default:"true"`
	// MSCHAPv1 accepts MS-CHAP version 1 (RFC 8907 section 5.4.2.4); it needs NT hashes.
	MSCHAPv1 bool `json:"mschapv1"`
	// MSCHAPv2 accepts MS-CHAP version 2 (RFC 8907 section 5.4.2.5); it needs NT hashes.
	MSCHAPv2 bool `json:"mschapv2" default:"true"`
	// Secrets is what the shared secrets must be like of the service providers of type tacacs for which it decides (RFC 8907 section 10.5.1). One that is already in use is warned of, and a new one refused.
	Secrets SecretPolicy `json:"secrets"`
}

// SecretPolicy is what a shared secret must be like.
type SecretPolicy struct {
	// MinLength is the least number of characters.
	MinLength int `json:"minLength" min:"0" max:"128"`
	// Classes is how many of the four classes (lower case, upper case, digits, others) it must use.
	Classes int `json:"classes" min:"0" max:"4"`
	// MaxAge is how long it may be good for: it must have a `notAfter`, not later than that after its `notBefore`, or after now; 0s: for ever.
	MaxAge time.Duration `json:"maxAge" min:"0s" max:"87600h"`
}

// Check says what a shared secret, in clear, lacks under the policy at the given time; it returns nothing for a good one.
func (p *SecretPolicy) Check(s *SharedSecret, clear []byte, now time.Time) string {
	if reason := complexity("secret", clear, p.MinLength, p.Classes); reason != "" || p.MaxAge == 0 {
		return reason
	}
	from := s.NotBefore
	if from.IsZero() {
		from = now
	}
	if s.NotAfter.IsZero() || s.NotAfter.After(from.Add(p.MaxAge)) {
		return fmt.Sprintf("the secret would be good for more than %s: it needs a notAfter", p.MaxAge)
	}
	return ""
}

// OpenIDProfile is OpenID Connect as an identity provider speaks it.
type OpenIDProfile struct {
	// Enabled turns it on.
	Enabled bool `json:"enabled"`
	// KeyRotation is how old a signing key may become before another one takes its place; 0s: until an administrator rotates it. A new key is published an hour before it signs.
	KeyRotation time.Duration `json:"keyRotation" default:"2160h" min:"0s" max:"87600h"`
	// Discovery is the path of the discovery document.
	Discovery string `json:"discovery" default:"/.well-known/openid-configuration"`
	// Authorization is the path of the authorization endpoint.
	Authorization string `json:"authorization" default:"/authorization"`
	// Token is the path of the token endpoint.
	Token string `json:"token" default:"/token"`
	// Revoke is the path of the revocation endpoint.
	Revoke string `json:"revoke" default:"/revoke"`
	// UserInfo is the path of the user information endpoint.
	UserInfo string `json:"userinfo" default:"/userinfo"`
	// Logout is the path of the logout endpoint.
	Logout string `json:"logout" default:"/logout"`
	// JWKS is the path of the public keys.
	JWKS string `json:"jwks" default:"/.well-known/jwks.json"`
	// TokenInfo is the path of the introspection endpoint.
	TokenInfo string `json:"tokenInfo" default:"/token_info"`
	// Registration is the path of the client registration endpoint.
	Registration string `json:"registration" default:"/register"`
	// SessionCookie is the path at which a client gets a cookie for a browser.
	SessionCookie string `json:"sessionCookie" default:"/session_cookie"`
	// Impersonate is the path at which a client gets the cookies of another service.
	Impersonate string `json:"impersonate" default:"/userinfo/impersonate"`
	// CheckSession is the path of the page with which clients watch the session.
	CheckSession string `json:"checkSession" default:"/check_session"`
}

// SAML2SSOProfile is SAML 2.0 web single sign-on.
type SAML2SSOProfile struct {
	// Enabled turns it on.
	Enabled bool `json:"enabled"`
	// SignResponses says when responses are signed.
	SignResponses string `json:"signResponses" default:"never" enum:"never,conditional,always"`
	// SignAssertions says when assertions are signed.
	SignAssertions string `json:"signAssertions" default:"always" enum:"never,conditional,always"`
	// SignRequests says when requests are signed. Logout is always signed.
	SignRequests string `json:"signRequests" default:"conditional" enum:"never,conditional,always"`
	// OutboundArtifactType is the type of artifacts; SAML 2.0 knows 4 only.
	OutboundArtifactType int `json:"outboundArtifactType" default:"4" min:"4" max:"4"`
	// EncryptAssertions says when assertions are encrypted; optional means when a key is known.
	EncryptAssertions string `json:"encryptAssertions" default:"never" enum:"never,optional,always"`
	// EncryptNameIDs says when name identifiers are encrypted.
	EncryptNameIDs string `json:"encryptNameIDs" default:"never" enum:"never,optional,always"`
	// AssertionLifetime is how long an assertion is good.
	AssertionLifetime time.Duration `json:"assertionLifetime" default:"5m" min:"1s" max:"24h"`
	// AssertionProxyCount is how often an assertion may be passed on; 0 means no limit.
	AssertionProxyCount int `json:"assertionProxyCount" min:"0" max:"100"`
	// IncludeAttributeStatement puts the attributes into the assertion.
	IncludeAttributeStatement bool `json:"includeAttributeStatement" default:"true"`
}

// SAML2ECPProfile is SAML 2.0 for enhanced clients.
type SAML2ECPProfile struct {
	SAML2SSOProfile
	// LocalityAddress is the address in the subject locality.
	LocalityAddress string `json:"localityAddress"`
	// LocalityDNSName is the name in the subject locality.
	LocalityDNSName string `json:"localityDNSName"`
}

// SAML2QueryProfile is one of the SAML 2.0 profiles without a browser.
type SAML2QueryProfile struct {
	// Enabled turns it on.
	Enabled bool `json:"enabled"`
	// SignResponses says when responses are signed.
	SignResponses string `json:"signResponses" default:"never" enum:"never,conditional,always"`
	// SignAssertions says when assertions are signed.
	SignAssertions string `json:"signAssertions" default:"always" enum:"never,conditional,always"`
	// SignRequests says when requests are signed.
	SignRequests string `json:"signRequests" default:"conditional" enum:"never,conditional,always"`
	// EncryptAssertions says when assertions are encrypted.
	EncryptAssertions string `json:"encryptAssertions" default:"never" enum:"never,optional,conditional,always"`
	// EncryptNameIDs says when name identifiers are encrypted.
	EncryptNameIDs string `json:"encryptNameIDs" default:"never" enum:"never,optional,always"`
	// AssertionLifetime is how long an assertion is good.
	AssertionLifetime time.Duration `json:"assertionLifetime" default:"5m" min:"1s" max:"24h"`
	// AssertionProxyCount is how often an assertion may be passed on; 0 means no limit.
	AssertionProxyCount int `json:"assertionProxyCount" min:"0" max:"100"`
}

// SAML1Profile is one of the SAML 1.1 profiles.
type SAML1Profile struct {
	// Enabled turns it on.
	Enabled bool `json:"enabled"`
	// SignResponses says when responses are signed.
	SignResponses string `json:"signResponses" default:"never" enum:"never,conditional,always"`
	// SignAssertions says when assertions are signed.
	SignAssertions string `json:"signAssertions" default:"always" enum:"never,conditional,always"`
	// SignRequests says when requests are signed.
	SignRequests string `json:"signRequests" default:"conditional" enum:"never,conditional,always"`
	// ArtifactType is the type of artifacts.
	ArtifactType int `json:"artifactType" default:"4" min:"1" max:"4"`
	// AssertionLifetime is how long an assertion is good.
	AssertionLifetime time.Duration `json:"assertionLifetime" default:"5m" min:"1s" max:"24h"`
}
