package document

import (
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"trine/engine/secret"
)

// The types of service providers that speak OpenID Connect: a client, and who may register clients.
const (
	TypeOIDC        = "oidc"
	TypeOIDCDynamic = "oidc-dynamic"
)

// Bounds of what a document says about an OpenID client. A set of keys as long as the others is what a client's address for it may return, too.
const (
	MaxJWKS = 64 << 10 // bytes of a set of public keys

	maxURL  = 2048 // bytes of a URL
	maxURLs = 200  // URLs of one list
)

// OpenIDClient is what a service provider of type oidc has of its own.
type OpenIDClient struct {
	// ClientID is the client's name in the protocol, unique over all identity providers; without it, the document's name.
	ClientID string `json:"clientID"`
	// ClientSecret is what the client proves itself with. A client without one is public: it has tokenEndpointAuth none and uses PKCE.
	ClientSecret secret.Text `json:"clientSecret"`
	// TokenEndpointAuth is how the client proves itself: client_secret_basic, client_secret_post, client_secret_jwt, private_key_jwt or none. Without it: client_secret_basic or client_secret_post where there is a secret, else private_key_jwt where there are keys, else none.
	TokenEndpointAuth string `json:"tokenEndpointAuth" enum:"client_secret_basic,client_secret_post,client_secret_jwt,private_key_jwt,none"`
	// AssertionAlgorithms lists the algorithms with which the client may sign what it proves itself with: HS256, HS384 and HS512 for client_secret_jwt, the others for private_key_jwt.
	AssertionAlgorithms Values `json:"assertionAlgorithms" default:"RS256,PS256,ES256,EdDSA,HS256"`
	// JWKS holds the client's public keys, as a JSON Web Key Set (RFC 7517).
	JWKS string `json:"jwks"`
	// JWKSURL is where the client's public keys are, in the place of jwks; https only.
	JWKSURL string `json:"jwksURL"`
	// Flows are the ways to tokens that are open to the client.
	Flows OpenIDFlows `json:"flows"`
	// ResponseTypes narrows the response types that the flows open; empty: all of them.
	ResponseTypes Values `json:"responseTypes"`
	// ResponseURLs lists the redirect URIs. One is compared byte for byte; only the port of a loopback address (http://127.0.0.1/, http://[::1]/) may be another.
	ResponseURLs []string `json:"responseURLs"`
	// PostLogoutURLs lists where a browser may be sent after a logout that the client asked for.
	PostLogoutURLs []string `json:"postLogoutURLs"`
	// FrontChannelLogoutURL is loaded in a frame of the logout page when the session ends (OpenID Connect Front-Channel Logout 1.0).
	FrontChannelLogoutURL string `json:"frontChannelLogoutURL"`
	// FrontChannelSession adds iss and sid to it.
	FrontChannelSession bool `json:"frontChannelSession" default:"true"`
	// BackChannelLogoutURL is told when the session ends (OpenID Connect Back-Channel Logout 1.0).
	BackChannelLogoutURL string `json:"backChannelLogoutURL"`
	// OAuthTimeout is how long an access token lasts; 0s: as the identity provider says (session.oauthTimeout), or an hour.
	OAuthTimeout time.Duration `json:"oauthTimeout" min:"0s" max:"8760h"`
	// IDTokenTimeout is how long an ID token is good.
	IDTokenTimeout time.Duration `json:"idTokenTimeout" default:"1h" min:"1m" max:"24h"`
	// RefreshTimeout is how long a refresh token lasts that is not used.
	RefreshTimeout time.Duration `json:"refreshTimeout" default:"720h" min:"1m" max:"87600h"`
	// AbsoluteTimeout is how long a grant lasts however often it is refreshed.
	AbsoluteTimeout time.Duration `json:"absoluteTimeout" default:"8760h" min:"1m" max:"87600h"`
	// AllowedScopes lists the scopes that the client may have; `*` stands for every one. A scope that is not listed is left out of what is granted.
	AllowedScopes Values `json:"allowedScopes" default:"openid"`
	// ClaimsByScope releases of what sharing policies allow only the claims of the granted scopes (profile, email, address, phone) and those that the parameter claims asks for. Without it all that the policies allow is released.
	ClaimsByScope bool `json:"claimsByScope"`
	// IDTokenClaims puts the released claims into the ID token too, where there is an access token that gets them at the user information endpoint.
	IDTokenClaims bool `json:"idTokenClaims" default:"true"`
	// SubjectType says whether the client is told the user name (public), or a name that only clients of one sector know (pairwise).
	SubjectType string `json:"subjectType" default:"public" enum:"public,pairwise"`
	// SectorIdentifierURI is a JSON list of the redirect URIs of a sector, whose host is its name; without it, the sector is the one host of the redirect URIs.
	SectorIdentifierURI string `json:"sectorIdentifierURI"`
	// IDTokenAlgorithm signs ID tokens and logout tokens.
	IDTokenAlgorithm string `json:"idTokenAlgorithm" default:"RS256" enum:"RS256,PS256,ES256,EdDSA"`
	// IDTokenEncryption encrypts ID tokens for the client.
	IDTokenEncryption *OpenIDEncryption `json:"idTokenEncryption"`
	// UserInfoAlgorithm signs answers of the user information endpoint; without it they are plain JSON.
	UserInfoAlgorithm string `json:"userinfoAlgorithm" enum:"RS256,PS256,ES256,EdDSA"`
	// UserInfoEncryption encrypts answers of the user information endpoint.
	UserInfoEncryption *OpenIDEncryption `json:"userinfoEncryption"`
	// AccessToken is the form of access tokens: opaque ones, which resource servers ask about at the introspection endpoint, or JWTs (RFC 9068).
	AccessToken string `json:"accessToken" default:"opaque" enum:"opaque,jwt"`
	// AccessTokenAlgorithm signs access tokens that are JWTs.
	AccessTokenAlgorithm string `json:"accessTokenAlgorithm" default:"ES256" enum:"RS256,PS256,ES256,EdDSA"`
	// Audience lists the resource servers that access tokens are for. The parameters resource and audience choose among them; without the list tokens are for the client itself.
	Audience Values `json:"audience"`
	// Introspects lists the client ids, beside its own, of whose tokens the client may ask at the introspection endpoint; `*` stands for all of the identity provider.
	Introspects Values `json:"introspects"`
	// RequestObjectAlgorithms lists the algorithms with which request objects may be signed; none is taken only where it is listed.
	RequestObjectAlgorithms Values `json:"requestObjectAlgorithms" default:"RS256,PS256,ES256,EdDSA"`
	// RequireRequestObject refuses authorization requests that are not signed.
	RequireRequestObject bool `json:"requireRequestObject"`
	// RequirePKCE refuses authorization requests for a code without a code challenge (RFC 7636). Public clients always need one.
	RequirePKCE bool `json:"requirePKCE"`
	// PlainPKCE takes the code challenge method plain, too.
	PlainPKCE bool `json:"plainPKCE"`
	// EchoNonce adds the request's nonce to the redirect, as clients of the handbook expect.
	EchoNonce bool `json:"echoNonce"`
	// DefaultMaxAge is the max_age of requests that have none; 0s: none.
	DefaultMaxAge time.Duration `json:"defaultMaxAge" min:"0s" max:"8760h"`
	// RequireAuthTime puts auth_time into ID tokens also where it was not asked for.
	RequireAuthTime bool `json:"requireAuthTime"`
	// DefaultACRValues are the acr_values of requests that have none.
	DefaultACRValues Values `json:"defaultACRValues"`
	// CORSOrigins lists the origins whose pages may call the token, user information, introspection and revocation endpoints; the origins of redirect URIs are not among them by themselves.
	CORSOrigins []string `json:"corsOrigins"`
	// ClientURL is the home page of the client, for people who are asked for their consent.
	ClientURL string `json:"clientURL"`
	// LogoURL is a picture of the client, for people who are asked for their consent.
	LogoURL string `json:"logoURL"`
	// PolicyURL is where the client says what it does with what it learns.
	PolicyURL string `json:"policyURL"`
	// TermsURL is where the client's terms of service are.
	TermsURL string `json:"termsURL"`
	// ApplicationType says what the client is: web, or native, whose redirect URIs may have schemes of their own.
	ApplicationType string `json:"applicationType" default:"web" enum:"web,native"`
	// Contacts lists whom to ask about the client.
	Contacts []string `json:"contacts"`
	// Registration says how the client was registered, where it registered itself; such documents are made by the registration endpoint.
	Registration *OpenIDRegistration `json:"registration"`
}

// OpenIDFlows are the ways to tokens.
type OpenIDFlows struct {
	// AuthorizationCode is the authorization code flow; with implicit also the hybrid flows.
	AuthorizationCode bool `json:"authorizationCode"`
	// Implicit is the implicit flow, in which tokens come by way of the browser.
	Implicit bool `json:"implicit"`
	// Password takes a person's password from the client. Anybody who knows the client id can then try passwords, so leave it off.
	Password bool `json:"password"`
	// PasswordWithClientCredentials takes a person's password from a client that proves itself.
	PasswordWithClientCredentials bool `json:"passwordWithClientCredentials"`
	// ClientCredentials gives the client tokens of its own.
	ClientCredentials bool `json:"clientCredentials"`
	// Refresh gives refresh tokens with access tokens of people.
	Refresh bool `json:"refresh" default:"true"`
}

// OpenIDEncryption says how something is encrypted for a client, with one of its public keys.
type OpenIDEncryption struct {
	// Algorithm encrypts the content key. RSA1_5 is weak, and there for clients that can nothing else.
	Algorithm string `json:"algorithm" required:"true" enum:"RSA-OAEP,RSA-OAEP-256,ECDH-ES,ECDH-ES+A128KW,ECDH-ES+A256KW,RSA1_5"`
	// Content encrypts the content.
	Content string `json:"content" default:"A128CBC-HS256" enum:"A128CBC-HS256,A192CBC-HS384,A256CBC-HS512,A128GCM,A192GCM,A256GCM"`
}

// OpenIDRegistration says how a client was registered.
type OpenIDRegistration struct {
	// By names the ServiceProvider of type oidc-dynamic whose token it was registered with.
	By string `json:"by" required:"true" ref:"ServiceProvider"`
	// Place is the client's place among those that may be registered with the token; no two clients have the same.
	Place int `json:"place" min:"1" max:"1000000"`
	// AccessToken is what the client reads and changes its registration with.
	AccessToken secret.Text `json:"accessToken"`
	// At is when it was registered.
	At time.Time `json:"at"`
}

// OpenIDDynamic is what a service provider of type oidc-dynamic has of its own: who may register clients, and what these may do.
type OpenIDDynamic struct {
	// Flows are the ways to tokens that are open to the clients.
	Flows OpenIDFlows `json:"flows"`
	// SectorIdentifierURI is the sector of the clients that name none.
	SectorIdentifierURI string `json:"sectorIdentifierURI"`
	// AllowedScopes lists the scopes that the clients may have; `*` stands for every one.
	AllowedScopes Values `json:"allowedScopes" default:"openid"`
	// RegistrationToken is what clients register with.
	RegistrationToken OpenIDRegistrationToken `json:"registrationToken"`
	// ClaimsByScope is claimsByScope of the clients.
	ClaimsByScope bool `json:"claimsByScope"`
	// HideSecrets leaves the client's secret and its registration access token out of what a client reads of its registration, as the handbook shows it.
	HideSecrets bool `json:"hideSecrets"`
}

// OpenIDRegistrationToken is what clients register with.
type OpenIDRegistrationToken struct {
	// Token is the initial access token (RFC 7591). Without one nobody can register.
	Token secret.Text `json:"token"`
	// ValidUntil is until when it can be used; without it, for ever.
	ValidUntil time.Time `json:"validUntil"`
	// MaxClients is how many clients there may be at a time that were registered with it.
	MaxClients int `json:"maxClients" default:"10" min:"0" max:"1000000"`
}

// OpenID returns the client id and true for a service provider of type oidc.
func (s *ServiceProvider) openID(name string) string {
	if s.OIDC == nil {
		return ""
	}
	if s.OIDC.ClientID != "" {
		return s.OIDC.ClientID
	}
	return name
}

// ClientID returns the name of a service provider of type oidc in OpenID Connect; empty for other types.
func (d *Document) ClientID() string {
	s, ok := d.Spec.(*ServiceProvider)
	if !ok {
		return ""
	}
	return s.openID(d.Name)
}

// Auth returns how the client proves itself; empty stands for client_secret_basic or client_secret_post.
func (o *OpenIDClient) Auth() string {
	switch {
	case o.TokenEndpointAuth != "":
		return o.TokenEndpointAuth
	case !o.ClientSecret.IsZero():
		return ""
	case o.JWKS != "" || o.JWKSURL != "":
		return "private_key_jwt"
	}
	return "none"
}

// Types returns the response types that are open to the client, in the form in which they are compared: their words sorted.
func (o *OpenIDClient) Types() []string {
	var all []string
	f := &o.Flows
	if f.AuthorizationCode {
		all = append(all, "code")
	}
	if f.Implicit {
		all = append(all, "id_token", "id_token token", "token")
	}
	if f.AuthorizationCode && f.Implicit {
		all = append(all, "code id_token", "code token", "code id_token token")
	}
	if len(o.ResponseTypes) == 0 {
		return all
	}
	narrowed := make([]string, 0, len(o.ResponseTypes))
	for _, t := range o.ResponseTypes {
		narrowed = append(narrowed, SortedWords(t))
	}
	return slices.DeleteFunc(all, func(t string) bool { return !slices.Contains(narrowed, t) })
}

// SortedWords returns the words of a text in their order, one blank between them.
func SortedWords(text string) string {
	words := strings.Fields(text)
	slices.Sort(words)
	return strings.Join(words, " ")
}

func (o *OpenIDClient) check(c *checker) {
	const at = "spec.oidc"
	if o.ClientID != "" {
		c.visible(at+".clientID", o.ClientID)
	}
	c.openIDFlows(at+".flows", &o.Flows)
	secretKnown := !o.ClientSecret.IsZero()
	switch o.Auth() {
	case "client_secret_basic", "client_secret_post", "client_secret_jwt":
		if !secretKnown {
			c.fail(at+".clientSecret", "", "the field is required for tokenEndpointAuth %s", o.TokenEndpointAuth)
		}
	case "private_key_jwt":
		if o.JWKS == "" && o.JWKSURL == "" {
			c.fail(at+".jwks", "", "the client needs public keys here, or jwksURL, for tokenEndpointAuth private_key_jwt")
		}
	case "none":
		if o.Flows.ClientCredentials {
			c.fail(at+".flows.clientCredentials", "give the client a secret or keys", "a client that cannot prove itself gets no tokens of its own")
		}
		if o.Flows.PasswordWithClientCredentials {
			c.fail(at+".flows.passwordWithClientCredentials", "give the client a secret or keys", "the client cannot prove itself")
		}
	}
	for i, a := range o.AssertionAlgorithms {
		c.algorithm(element(at+".assertionAlgorithms", i), a, "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512")
	}
	for i, a := range o.RequestObjectAlgorithms {
		c.algorithm(element(at+".requestObjectAlgorithms", i), a, "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "none")
	}
	c.either(at, "jwks", o.JWKS, "jwksURL", o.JWKSURL)
	if o.JWKS != "" {
		if reason := jwksProblem([]byte(o.JWKS)); reason != "" {
			c.fail(at+".jwks", "", "%s", reason)
		}
	}
	c.url(at+".jwksURL", o.JWKSURL, "https")
	c.url(at+".sectorIdentifierURI", o.SectorIdentifierURI, "https")
	for _, e := range []struct {
		field string
		is    *OpenIDEncryption
	}{{"idTokenEncryption", o.IDTokenEncryption}, {"userinfoEncryption", o.UserInfoEncryption}} {
		if e.is != nil && o.JWKS == "" && o.JWKSURL == "" {
			c.fail(join(at, e.field), "give jwks or jwksURL", "nothing can be encrypted for a client without a public key")
		}
	}
	types := o.Types()
	for i, t := range o.ResponseTypes {
		if !slices.Contains(types, SortedWords(t)) {
			c.fail(element(at+".responseTypes", i), "", "the flows do not open the response type %q", shorten(t))
		}
	}
	c.unique(at+".responseURLs", o.ResponseURLs, false)
	if len(o.ResponseURLs) == 0 && (o.Flows.AuthorizationCode || o.Flows.Implicit) {
		c.fail(at+".responseURLs", "", "the field is required for the authorization code flow and the implicit flow")
	}
	if len(o.ResponseURLs) > maxURLs || len(o.PostLogoutURLs) > maxURLs || len(o.CORSOrigins) > maxURLs {
		c.fail(at+".responseURLs", "", "there are more than %d URLs in a list", maxURLs)
	}
	for i, u := range o.ResponseURLs {
		if reason := ResponseURLProblem(u, o.ApplicationType); reason != "" {
			c.fail(element(at+".responseURLs", i), "", "%s", reason)
		}
	}
	c.unique(at+".postLogoutURLs", o.PostLogoutURLs, false)
	for i, u := range o.PostLogoutURLs {
		if reason := ResponseURLProblem(u, o.ApplicationType); reason != "" {
			c.fail(element(at+".postLogoutURLs", i), "", "%s", reason)
		}
	}
	c.url(at+".frontChannelLogoutURL", o.FrontChannelLogoutURL, "https", "http")
	c.url(at+".backChannelLogoutURL", o.BackChannelLogoutURL, "https", "http")
	for field, u := range map[string]string{"clientURL": o.ClientURL, "logoURL": o.LogoURL, "policyURL": o.PolicyURL, "termsURL": o.TermsURL} {
		c.url(join(at, field), u, "https", "http")
	}
	for i, s := range o.AllowedScopes {
		if s != "*" && !ScopeToken(s) {
			c.fail(element(at+".allowedScopes", i), "", "%q is no scope: it has a blank, a quotation mark, a backslash or a character that is not printable US-ASCII in it", shorten(s))
		}
	}
	c.unique(at+".corsOrigins", o.CORSOrigins, false)
	for i, origin := range o.CORSOrigins {
		if u, err := url.Parse(origin); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Scheme+"://"+u.Host != origin || strings.ToLower(origin) != origin {
			c.fail(element(at+".corsOrigins", i), "", "expected an origin such as https://app.example.com, in lower case, found %q", shorten(origin))
		}
	}
	if o.SubjectType == "pairwise" && o.SectorIdentifierURI == "" {
		if hosts := sectorHosts(o.ResponseURLs); len(hosts) > 1 {
			c.fail(at+".sectorIdentifierURI", "", "the field is required for subjectType pairwise, as the redirect URIs have different hosts (%s)", strings.Join(hosts, ", "))
		}
	}
	if o.AbsoluteTimeout < o.RefreshTimeout {
		c.fail(at+".refreshTimeout", "", "a refresh token would outlast absoluteTimeout")
	}
	if r := o.Registration; r != nil && r.AccessToken.IsZero() {
		c.fail(at+".registration.accessToken", "", "the field is required")
	}
}

// Sector returns the name of the sector of pairwise subjects: the host of the sector identifier, or the one host of the redirect URIs. It is empty where they
// have none.
func (o *OpenIDClient) Sector() string {
	if u, err := url.Parse(o.SectorIdentifierURI); err == nil && u.Host != "" {
		return strings.ToLower(u.Hostname())
	}
	if hosts := sectorHosts(o.ResponseURLs); len(hosts) == 1 {
		return hosts[0]
	}
	return ""
}

// sectorHosts returns the different hosts of URLs.
func sectorHosts(urls []string) (hosts []string) {
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil {
			continue
		}
		if host := strings.ToLower(u.Hostname()); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

func (o *OpenIDDynamic) check(c *checker) {
	const at = "spec.oidc-dynamic"
	c.openIDFlows(at+".flows", &o.Flows)
	c.url(at+".sectorIdentifierURI", o.SectorIdentifierURI, "https")
	for i, s := range o.AllowedScopes {
		if s != "*" && !ScopeToken(s) {
			c.fail(element(at+".allowedScopes", i), "", "%q is no scope", shorten(s))
		}
	}
}

// openIDFlows refuses a client to which nothing is open.
func (c *checker) openIDFlows(path string, f *OpenIDFlows) {
	if !f.AuthorizationCode && !f.Implicit && !f.Password && !f.PasswordWithClientCredentials && !f.ClientCredentials {
		c.fail(path, "switch one on, such as authorizationCode", "no flow is switched on")
	}
}

func (c *checker) algorithm(path, alg string, known ...string) {
	if !slices.Contains(known, alg) {
		c.fail(path, "", "%q is none of the algorithms %s", shorten(alg), strings.Join(known, ", "))
	}
}

// visible checks a client id (RFC 6749 appendix A.1).
func (c *checker) visible(path, text string) {
	if len(text) > maxName || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) {
		c.fail(path, "", "the text is longer than %d bytes, or has a character in it that is not printable US-ASCII", maxName)
	}
}

// url checks an absolute URL of one of the schemes; an empty one is none.
func (c *checker) url(path, text string, schemes ...string) {
	if text == "" {
		return
	}
	if u, err := url.Parse(text); err != nil || !slices.Contains(schemes, u.Scheme) || u.Host == "" || u.User != nil || u.Fragment != "" || len(text) > maxURL {
		c.fail(path, "", "expected a URL that begins with %s://, without a user or a fragment, found %q", strings.Join(schemes, ":// or "), shorten(text))
	}
}

// ResponseURLProblem says what is wrong with a redirect URI of a client of an application type; empty for a good one. Plain http is taken, as not every
// network has TLS everywhere, but schemes that a browser runs are not.
func ResponseURLProblem(text, applicationType string) string {
	u, err := url.Parse(text)
	switch {
	case len(text) > maxURL:
		return fmt.Sprintf("the URL is longer than %d bytes", maxURL)
	case err != nil || u.Scheme == "":
		return fmt.Sprintf("%q is no absolute URL", shorten(text))
	case strings.Contains(text, "#"):
		return "a redirect URI has no fragment"
	case strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "the URL has a blank or a character in it that is not printable US-ASCII"
	case strings.Contains(text, "*") && strings.Contains(u.Host, "*"):
		return "a redirect URI is compared byte for byte, so it has no wildcards"
	}
	switch scheme := strings.ToLower(u.Scheme); scheme {
	case "https", "http":
		if u.Host == "" {
			return fmt.Sprintf("%q has no host", shorten(text))
		}
		return ""
	case "javascript", "data", "vbscript", "file", "about", "blob", "filesystem", "ftp", "ws", "wss", "view-source":
		return fmt.Sprintf("a redirect URI does not have the scheme %s", scheme)
	}
	if applicationType != "native" {
		return fmt.Sprintf("the scheme %s is for clients of applicationType native", shorten(u.Scheme))
	}
	return ""
}

// Loopback reports whether a redirect URI is one of a loopback address over http, whose port the client chooses when it runs (RFC 8252 section 7.3).
func Loopback(u *url.URL) bool {
	if u.Scheme != "http" {
		return false
	}
	host := u.Hostname()
	if strings.Contains(u.Host, "%") || net.ParseIP(host) == nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

// ScopeToken reports whether a text is a scope (RFC 6749 appendix A.4).
func ScopeToken(s string) bool {
	return s != "" && len(s) <= maxName && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
}

// jwksProblem says what is wrong with the form of a set of keys; what each key is, is for the protocol to say.
func jwksProblem(text []byte) string {
	if len(text) > MaxJWKS {
		return fmt.Sprintf("the set of keys is longer than %d bytes", MaxJWKS)
	}
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return `expected a JSON Web Key Set: {"keys": [...]}`
	}
	if len(set.Keys) == 0 {
		return "the set has no keys"
	}
	for _, k := range set.Keys {
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
			if _, has := k[private]; has {
				return "the set has a private or symmetric key in it; give the public ones alone"
			}
		}
	}
	return ""
}

// paths returns the endpoints of the profile, by the names of their fields.
func (p *OpenIDProfile) paths() [][2]string {
	return [][2]string{
		{"discovery", p.Discovery},
		{"authorization", p.Authorization},
		{"token", p.Token},
		{"revoke", p.Revoke},
		{"userinfo", p.UserInfo},
		{"logout", p.Logout},
		{"jwks", p.JWKS},
		{"tokenInfo", p.TokenInfo},
		{"registration", p.Registration},
		{"sessionCookie", p.SessionCookie},
		{"impersonate", p.Impersonate},
		{"checkSession", p.CheckSession},
	}
}

func (p *OpenIDProfile) check(c *checker) {
	const at = "spec.profiles.openid"
	taken := map[string]string{}
	for _, e := range p.paths() {
		field, path := e[0], e[1]
		u, err := url.Parse(path)
		switch {
		case err != nil || !strings.HasPrefix(path, "/") || path == "/" || strings.HasSuffix(path, "/") || u.Path != path || u.Host != "" || strings.Contains(path, "//"):
			c.fail(join(at, field), "", "expected a path such as /token, found %q", shorten(path))
		case taken[path] != "":
			c.fail(join(at, field), "", "%s has this path", taken[path])
		}
		taken[path] = field
	}
}

// NewOpenIDClient returns the fields of a client with their defaults.
func NewOpenIDClient() *OpenIDClient {
	o := new(OpenIDClient)
	applyDefaultsTo(reflect.ValueOf(o).Elem())
	return o
}

// ValidateValues reports what is wrong within a document that a program made: what Validate reports, and values that no document can have.
func ValidateValues(d *Document) Problems {
	var out Problems
	d.eachValue(reflect.ValueOf(d.Spec).Elem(), "spec", &out)
	return append(out, Validate(d)...)
}

func (d *Document) eachValue(v reflect.Value, path string, out *Problems) {
	for _, f := range schemas[v.Type()] {
		at, where := v.FieldByIndex(f.index), join(path, f.name)
		switch {
		case len(f.enum) > 0 && at.Kind() == reflect.String:
			if s := at.String(); !slices.Contains(f.enum, s) && (s != "" || f.required) {
				*out = append(*out, d.problem(where, fmt.Sprintf("expected %s, found %q", or(f.enum), shorten(s)), ""))
			}
		case at.Type() == typeDuration && f.min != "":
			low, _ := time.ParseDuration(f.min)
			high, _ := time.ParseDuration(f.max)
			if n := time.Duration(at.Int()); n < low || n > high {
				*out = append(*out, d.problem(where, fmt.Sprintf("expected a duration from %s to %s, found %s", low, high, n), ""))
			}
		default:
			eachStruct(at, where, func(v reflect.Value, path string) { d.eachValue(v, path, out) })
		}
	}
}
