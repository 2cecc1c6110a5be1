package document

import (
	"time"

	"trine/engine/secret"
)

// TypeLocal is the type of an identity provider that decides by itself.
const TypeLocal = "local"

// IdentityProvider is who decides about logins, and over which protocols. One with a parent is virtual: the same people under
// another name.
type IdentityProvider struct {
	// Type says who verifies people: local means this cluster.
	Type string `json:"type" enum:"local" planned:"saml,oidc,facebook,google,linkedin" required:"true"`
	// Description is free text.
	Description string `json:"description"`
	// PublicID is the unique name under which other parties know it; without one it is the document's name.
	PublicID string `json:"publicID"`
	// DisplayName is the name as people see it.
	DisplayName string `json:"name"`
	// Organization is who runs it.
	Organization string `json:"organization"`
	// Contact is whom to ask about it.
	Contact string `json:"contact"`
	// EntityGroup names the EntityGroup that it belongs to.
	EntityGroup string `json:"entityGroup" ref:"EntityGroup"`
	// Parent names the local IdentityProvider of which this is a virtual one.
	Parent string `json:"parent" ref:"IdentityProvider"`
	// HostName is the name by which the web front finds a virtual identity provider; without one it is that of the one above it. The ports are always that one's.
	HostName string `json:"hostName"`
	// PathPrefix is the path below which the web front finds a virtual identity provider, such as /partners; the longest that matches counts.
	PathPrefix string `json:"pathPrefix"`
	// Access limits who may use it, and the virtual ones below it; without it everybody may.
	Access *Access `json:"access"`
	// UserDomain is the domain in which user names are made.
	UserDomain string `json:"userDomain" later:"domains"`
	// PasswordDomain is the domain in which passwords are verified.
	PasswordDomain string `json:"passwordDomain" later:"domains"`
	// ManualAccountCreation leaves it to people to create their accounts.
	ManualAccountCreation bool `json:"manualAccountCreation" later:"accounts"`
	// Nodes lists the nodes that serve it; empty means all.
	Nodes []string `json:"nodes" later:"clusters"`
	// Metadata is its SAML metadata; empty means generated.
	Metadata string `json:"metadata" later:"SAML"`
	// Network is where the web front finds it. A virtual one has that of the one above it.
	Network *Network `json:"network"`
	// TLS is the key and certificate of the web front for its host name; without it that of the node (--web-certificate), or one that the node signs itself.
	TLS *KeyPair `json:"tls"`
	// SAMLKey is the key that signs SAML.
	SAMLKey *KeyPair `json:"samlKey" later:"SAML"`
	// Session is the single sign-on session.
	Session *SSOSession `json:"session"`
	// Authentication says which factors a login needs.
	Authentication Authentication `json:"authentication"`
	// Advanced holds what people can do for themselves. A virtual one without it has that of the one above it.
	Advanced *Advanced `json:"advanced"`
	// Profiles are the protocols that it speaks. Each is off until enabled.
	Profiles Profiles `json:"profiles"`
	// LookAndFeel dresses the pages. A virtual one without it has that of the one above it.
	LookAndFeel *LookAndFeel `json:"lookAndFeel"`
}

// Access limits who may use an identity provider. Each of its fields that is given must be met.
type Access struct {
	// Groups lists Groups of which a person must belong to one, or to one below it.
	Groups []string `json:"groups" ref:"Group"`
	// UserTypes lists UserTypes of which a person must have one. People without a user type are of the one named default.
	UserTypes []string `json:"userTypes" ref:"UserType"`
	// RoleBased lets only people in who have a role, whichever it is, at the time of the login.
	RoleBased bool `json:"roleBased"`
}

// Network is where the web front of an identity provider listens.
type Network struct {
	// HostName is the fully qualified name, or the address, that browsers ask for.
	HostName string `json:"hostName"`
	// Ports lists what the ports are like on which nodes listen (--web-listen). The first is the one in the identity provider's URL; without any it is 1443.
	Ports []Port `json:"ports"`
}

// Port is one port of the web front.
type Port struct {
	// Port is the number.
	Port int `json:"port" default:"1443" min:"1" max:"65535"`
	// Encryption may be off only behind a proxy, and is then so for connections from its incomingAddresses alone.
	Encryption bool `json:"encryption" default:"true"`
	// ReverseProxy is the proxy in front.
	ReverseProxy *ReverseProxy `json:"reverseProxy"`
	// ProxyProtocolV2 expects a PROXY header, version 2 or 1, on connections from the proxy's incomingAddresses.
	ProxyProtocolV2 bool `json:"proxyProtocolV2"`
	// AcceptClientCertificate asks for a client certificate.
	AcceptClientCertificate bool `json:"acceptClientCertificate"`
	// CertificateHeader is the header in which the proxy passes a client certificate on, as PEM that is percent-encoded or as base64. It counts in requests from the proxy's incomingAddresses alone.
	CertificateHeader string `json:"certificateHeader"`
	// ExcludedProtocols lists TLS versions (TLSv1.2, TLSv1.3) and cipher suites (such as TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA) that are not offered.
	ExcludedProtocols []string `json:"excludedProtocols"`
}

// ReverseProxy is a proxy in front of a port.
type ReverseProxy struct {
	// Port is the port that the outside sees; 0: that of this node.
	Port int `json:"port" min:"0" max:"65535"`
	// IncomingAddresses lists from where the proxy connects. Of requests from there, X-Forwarded-For says where they come from, unless a PROXY header does.
	IncomingAddresses []AddressRange `json:"incomingAddresses" required:"true"`
}

// KeyPair is a private key with its certificates.
type KeyPair struct {
	// Chain is the certificate and those above it, as PEM.
	Chain string `json:"chain"`
	// PrivateKey is the key, as PEM.
	PrivateKey secret.Text `json:"privateKey"`
	// PKCS12 is key and certificates in one, as base64.
	PKCS12 secret.Text `json:"pkcs12"`
	// PIN opens pkcs12.
	PIN secret.Text `json:"pin"`
}

// SSOSession is the single sign-on session.
type SSOSession struct {
	// Timeout is how long a session lasts without use; 0s: for as long as absoluteTimeout says.
	Timeout time.Duration `json:"timeout" default:"30m" min:"0s" max:"8760h"`
	// AbsoluteTimeout is how long a session lasts however much it is used. A login with every factor anew makes it last as long again.
	AbsoluteTimeout time.Duration `json:"absoluteTimeout" default:"12h" min:"1m" max:"8760h"`
	// OAuthTimeout is how long an access token lasts.
	OAuthTimeout time.Duration `json:"oauthTimeout" min:"0s" max:"8760h"`
	// SSOCookieName is the name of the cookie. Identity providers that have its name and its domain alike share their sessions; without one, an identity provider shares them with the virtual ones below it.
	SSOCookieName string `json:"ssoCookieName"`
	// SSOCookieDomain is the domain of the cookie.
	SSOCookieDomain string `json:"ssoCookieDomain"`
}

// Authentication says which factors a login needs.
type Authentication struct {
	// Matrix lists the accepted ways: a first factor, and a second one or none. Without it a password suffices.
	Matrix []Way `json:"matrix"`
	// AdaptiveRules lists conditions under which another matrix holds. The first that is true decides.
	AdaptiveRules []AdaptiveRule `json:"adaptiveRules"`
	// TrustedDevices lets people have their devices remembered, which then stand for a second factor where the matrix says so. Without it nobody can.
	TrustedDevices *TrustedDevices `json:"trustedDevices"`
	// Certificate says which client certificates are accepted and whom they name. Without it none is.
	Certificate *Certificates `json:"certificate"`
	// KerberosDomain is the Kerberos realm whose principals are the users of their names, such as EXAMPLE.COM.
	KerberosDomain string `json:"kerberosDomain"`
	// Kerberos is what tickets of browsers are accepted with (SPNEGO). Without it none is.
	Kerberos *Kerberos `json:"kerberos"`
}

// Way is one cell of the matrix.
type Way struct {
	// First is the first factor.
	First string `json:"first" required:"true" enum:"Password,Kerberos,ExternalIdP,OTP,Email,SMS,PIN,Certificate,FIDO,Push"`
	// Second is the second factor; empty means none.
	Second string `json:"second" enum:"Password,Kerberos,ExternalIdP,OTP,Email,SMS,PIN,Certificate,FIDO,Push"`
	// TrustedDevice lets a device that the person has made a trusted one stand for the second factor. Network devices bring none.
	TrustedDevice bool `json:"trustedDevice"`
}

// TrustedDevices says which devices can stand for a second factor, and how long.
type TrustedDevices struct {
	// Lifetime is how long a device is trusted after the login with a second factor at which the person asked for it.
	Lifetime time.Duration `json:"lifetime" default:"720h" min:"1h" max:"8760h"`
	// Limit is how many devices a person may have; the one that was used least recently makes room.
	Limit int `json:"limit" default:"10" min:"1" max:"50"`
}

// Certificates says which client certificates are accepted, and whom they name.
type Certificates struct {
	// Authorities are the certificates of the authorities that are trusted, as PEM.
	Authorities string `json:"authorities" required:"true"`
	// Intermediates are certificates of authorities below those, as PEM, for clients that leave them out.
	Intermediates string `json:"intermediates"`
	// Mapping is the part of a certificate that names the user: `subject`, `subject.CN` or another attribute of it, `san.email`, `san.dns`, `san.upn` or `san.uri`. Without it, or an expression or script in its stead, it is `subject.CN`.
	Mapping string `json:"mapping"`
	// Expression yields the name of the user, in CEL; the guide to factors lists what it can ask.
	Expression string `json:"expression"`
	// Script yields the name of the user, where there is no expression.
	Script string `json:"script"`
	// Revocation says how it is found out whether a certificate was revoked.
	Revocation string `json:"revocation" default:"either" enum:"either,crl,ocsp,off"`
	// AcceptUnavailable accepts a certificate of which nothing can be found out.
	AcceptUnavailable bool `json:"acceptUnavailable"`
	// LeafOnly checks the client's own certificate alone, not those of the authorities above it.
	LeafOnly bool `json:"leafOnly"`
	// CRLs lists http or https URLs of revocation lists, asked for instead of those that certificates name.
	CRLs []string `json:"crls"`
	// Responder is the http or https URL of an OCSP responder, asked instead of those that certificates name.
	Responder string `json:"responder"`
	// Timeout bounds how long a login waits to learn of revocations.
	Timeout time.Duration `json:"timeout" default:"5s" min:"1s" max:"30s"`
}

// Kerberos is what tickets are accepted with.
type Kerberos struct {
	// Keytab holds the keys of the service HTTP/hostName, as base64 of the file.
	Keytab secret.Text `json:"keytab" required:"true"`
	// Realms lists realms whose principals are users, beside kerberosDomain.
	Realms []KerberosRealm `json:"realms"`
	// RequireBinding refuses tickets that are not bound to the TLS connection on which they come. Browsers on Windows bind them; no binding passes a proxy that ends TLS.
	RequireBinding bool `json:"requireBinding"`
	// RC4 accepts tickets under arcfour-hmac, which is weak (RFC 8429).
	RC4 bool `json:"rc4"`
}

// KerberosRealm says which users the principals of a realm are.
type KerberosRealm struct {
	// Name is the realm, such as EXAMPLE.COM.
	Name string `json:"name" required:"true"`
	// Keep leaves the realm in the name: the user is alice@EXAMPLE.COM.
	Keep bool `json:"keep"`
	// As takes the place of the realm: with corp.example the user is alice@corp.example.
	As string `json:"as"`
}

// AdaptiveRule chooses another matrix where its condition is true.
type AdaptiveRule struct {
	// Description is free text; traces name the rule by it.
	Description string `json:"description"`
	// Expression is the condition, in CEL; the guide to factors lists what it can ask.
	Expression string `json:"expression"`
	// Script is the condition, where there is no expression: JavaScript, or a script of the handbook as it is written. It yields true or false.
	Script string `json:"script"`
	// Matrix lists the ways that are accepted where the condition is true; none refuses the login.
	Matrix []Way `json:"matrix"`
}

// Advanced holds what people can do for themselves at the login pages.
type Advanced struct {
	// RecoverPassword offers to recover a forgotten password.
	RecoverPassword bool `json:"recoverPassword" later:"recovery of passwords"`
	// SelfRegister offers registration.
	SelfRegister *SelfRegister `json:"selfRegister" later:"registration"`
	// RegisterExternalIdentities lets people tie external identities to theirs.
	RegisterExternalIdentities bool `json:"registerExternalIdentities" later:"the broker"`
	// IdentityBroker offers external identity providers.
	IdentityBroker bool `json:"identityBroker" later:"the broker"`
	// RememberLastUser fills in the last user name that logged in with the browser.
	RememberLastUser bool `json:"rememberLastUser"`
	// Captcha keeps robots out.
	Captcha *Captcha `json:"captcha" later:"registration"`
}

// SelfRegister is registration by people themselves.
type SelfRegister struct {
	// Workflow names the registration process.
	Workflow string `json:"workflow"`
	// UserType names the UserType of who registers.
	UserType string `json:"userType" ref:"UserType"`
	// PrimaryGroup names the Group of who registers.
	PrimaryGroup string `json:"primaryGroup" ref:"Group"`
	// MailVerification asks for a proof of the mail address.
	MailVerification bool `json:"mailVerification"`
}

// Captcha is a test that keeps robots out.
type Captcha struct {
	// SiteKey is the public key.
	SiteKey string `json:"siteKey"`
	// Secret is the secret key.
	Secret secret.Text `json:"secret"`
	// Threshold is the least score, in hundredths.
	Threshold int `json:"threshold" min:"0" max:"100"`
}

// LookAndFeel dresses the login pages.
type LookAndFeel struct {
	// CSS is a style sheet that is added to that of the pages. What it would load from elsewhere is left out.
	CSS string `json:"css"`
	// Header is HTML above the page: text, links, pictures as data: URLs. Scripts, forms and styles are left out.
	Header string `json:"header"`
	// Footer is HTML below the page, likewise.
	Footer string `json:"footer"`
}

func (*IdentityProvider) kind() string { return KindIdentityProvider }

func (p *IdentityProvider) normalise() {}
