package oidc

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"trine/engine/attribute"
	"trine/engine/document"
	"trine/engine/policy"
)

// Wire compiles the parts of documents that only OpenID Connect understands. It is immutable.
type Wire struct{}

var _ policy.Wire = Wire{}

// Client compiles a service provider of type oidc or oidc-dynamic. Its secrets must be clear text: whoever compiles opens them.
func (Wire) Client(sp *document.ServiceProvider) (any, error) {
	switch {
	case sp.Type == document.TypeOIDC && sp.OIDC != nil:
		return newClient(sp)
	case sp.Type == document.TypeOIDCDynamic && sp.OIDCDynamic != nil:
		return newRegistrar(sp)
	}
	return nil, fmt.Errorf("type %q is neither %q nor %q", sp.Type, document.TypeOIDC, document.TypeOIDCDynamic)
}

// Reply refuses: clients get claims and no replies.
func (Wire) Reply([]string) (any, error) {
	return nil, errors.New("clients of OpenID Connect get no replies; sharing policies say which claims are released")
}

// Attribute refuses: claims are named by openidName.
func (Wire) Attribute(id string) (any, error) {
	return nil, fmt.Errorf("OpenID Connect does not know %q; the name of a claim stands in openidName", id)
}

// Asked refuses: logins over OpenID Connect have no attributes of the request.
func (Wire) Asked(name, _ string) (any, string, error) {
	return nil, "", fmt.Errorf("logins over OpenID Connect have no attribute %q that a condition could ask for", name)
}

// Client is a service provider of type oidc as the endpoints need it. It is immutable but for the keys that it fetches.
type Client struct {
	auth         authMethod
	secret       []byte            // clear; nil where there is none
	digest       [sha256.Size]byte // of it
	keys         *jose.JSONWebKeySet
	keysURL      string
	types        []string // response types, their words sorted
	redirects    []redirect
	scopes       []string
	anyScope     bool
	spec         *document.OpenIDClient // without clear secrets
	access       accessForm
	sector       string
	assertions   []jose.SignatureAlgorithm
	objects      []jose.SignatureAlgorithm
	unsigned     bool // request objects without a signature are taken
	registration [sha256.Size]byte
	registered   bool
}

type authMethod uint8

// The ways in which a client proves itself (OpenID Connect Core 1.0 section 9).
const (
	authSecret authMethod = iota // basic or post
	authBasic
	authPost
	authSecretJWT
	authKeyJWT
	authNone
)

var authNames = [...]string{"", "client_secret_basic", "client_secret_post", "client_secret_jwt", "private_key_jwt", "none"}

type accessForm uint8

const (
	accessOpaque accessForm = iota
	accessJWT
)

// redirect is a redirect URI as it is compared.
type redirect struct {
	uri string
	// Of a loopback address: what comes before and behind the port.
	before, behind string
	loopback       bool
}

func newClient(sp *document.ServiceProvider) (*Client, error) {
	o := *sp.OIDC
	c := &Client{types: o.Types(), keysURL: o.JWKSURL, sector: o.Sector(), spec: &o}
	c.auth = authMethod(slices.Index(authNames[:], o.Auth()))
	if o.AccessToken == "jwt" {
		c.access = accessJWT
	}
	var problems []error
	if !o.ClientSecret.IsZero() {
		var err error
		if c.secret, err = o.ClientSecret.Open(nil, nil, nil); err != nil {
			problems = append(problems, attribute.InField("oidc.clientSecret", err))
		}
		c.digest = sha256.Sum256(c.secret)
		if c.auth == authSecretJWT && len(c.secret) < 32 {
			problems = append(problems, attribute.InField("oidc.clientSecret", errors.New("a secret that signs (client_secret_jwt) has at least 32 bytes (RFC 7518 section 3.2)")))
		}
	}
	if r := o.Registration; r != nil {
		token, err := r.AccessToken.Open(nil, nil, nil)
		if err != nil {
			problems = append(problems, attribute.InField("oidc.registration.accessToken", err))
		}
		c.registration, c.registered = sha256.Sum256(token), true
	}
	if o.JWKS != "" {
		keys, err := parseKeys([]byte(o.JWKS))
		if err != nil {
			problems = append(problems, attribute.InField("oidc.jwks", err))
		}
		c.keys = keys
	}
	for _, s := range o.AllowedScopes {
		c.anyScope = c.anyScope || s == "*"
		c.scopes = append(c.scopes, s)
	}
	for _, text := range o.ResponseURLs {
		c.redirects = append(c.redirects, newRedirect(text))
	}
	for _, a := range o.AssertionAlgorithms {
		if symmetric := strings.HasPrefix(a, "HS"); symmetric == (c.auth == authSecretJWT) { // never a public key as a shared one
			c.assertions = append(c.assertions, jose.SignatureAlgorithm(a))
		}
	}
	if len(c.assertions) == 0 && (c.auth == authSecretJWT || c.auth == authKeyJWT) {
		problems = append(problems, attribute.InField("oidc.assertionAlgorithms", fmt.Errorf("none of them is one of %s", authNames[c.auth])))
	}
	for _, a := range o.RequestObjectAlgorithms {
		if a == "none" {
			c.unsigned = true
			continue
		}
		c.objects = append(c.objects, jose.SignatureAlgorithm(a))
	}
	if o.SubjectType == "pairwise" && c.sector == "" {
		problems = append(problems, attribute.InField("oidc.sectorIdentifierURI", errors.New("a client with pairwise subjects needs a sector: this field, or redirect URIs of one host")))
	}
	for _, e := range []struct {
		field string
		is    *document.OpenIDEncryption
	}{{"idTokenEncryption", o.IDTokenEncryption}, {"userinfoEncryption", o.UserInfoEncryption}} {
		if e.is == nil || c.keys == nil {
			continue
		}
		if _, err := encryptionKey(c.keys, e.is.Algorithm); err != nil {
			problems = append(problems, attribute.InField("oidc."+e.field, err))
		}
	}
	// What stays in memory beside the compiled forms holds no clear secrets.
	o.ClientSecret, o.Registration = sealedMark(o.ClientSecret.IsZero()), sealedRegistration(o.Registration)
	return c, errors.Join(problems...)
}

func newRedirect(text string) redirect {
	r := redirect{uri: text}
	u, err := url.Parse(text)
	if err != nil || !document.Loopback(u) {
		return r
	}
	r.loopback = true
	r.before, r.behind = splitPort(text)
	return r
}

// splitPort splits a URL at its port, which is left out. The host of what it is used for is an address, so the port begins at the last colon before the path
// that stands behind a bracket or has none before it.
func splitPort(text string) (before, behind string) {
	begin := strings.Index(text, "://")
	if begin < 0 {
		return text, ""
	}
	begin += len("://")
	end := begin
	for end < len(text) && text[end] != '/' && text[end] != '?' {
		end++
	}
	authority := text[begin:end]
	colon := strings.LastIndexByte(authority, ':')
	if colon < 0 || colon < strings.LastIndexByte(authority, ']') {
		return text[:end], text[end:]
	}
	for _, r := range authority[colon+1:] {
		if r < '0' || r > '9' {
			return text, ""
		}
	}
	return text[:begin+colon], text[end:]
}

// allows reports whether a redirect URI is one of the client's: byte for byte, but for the port of a loopback address (RFC 8252 section 7.3).
func (c *Client) allows(uri string) bool {
	for i := range c.redirects {
		r := &c.redirects[i]
		if r.uri == uri {
			return true
		}
		if r.loopback {
			if before, behind := splitPort(uri); before == r.before && behind == r.behind {
				return true
			}
		}
	}
	return false
}

// grant returns the scopes of a request that the client may have.
func (c *Client) grant(asked []string) []string {
	var granted []string
	for _, s := range asked {
		if document.ScopeToken(s) && (c.anyScope || slices.Contains(c.scopes, s)) && !slices.Contains(granted, s) {
			granted = append(granted, s)
		}
	}
	return granted
}

// public reports whether the client cannot prove itself.
func (c *Client) public() bool { return c.auth == authNone }

// accessLife returns how long access tokens last.
func (c *Client) accessLife(issuer *policy.Issuer) time.Duration {
	switch {
	case c.spec.OAuthTimeout > 0:
		return c.spec.OAuthTimeout
	case issuer.SSO != nil && issuer.SSO.OAuth > 0:
		return issuer.SSO.OAuth
	}
	return time.Hour
}

// wireOf returns what a client was compiled to; nil where it could not be.
func wireOf(c *policy.Client) *Client {
	w, _ := c.Wire.(*Client)
	return w
}

// Registrar is a service provider of type oidc-dynamic as the registration endpoint needs it.
type Registrar struct {
	digest [sha256.Size]byte // of the token
	open   bool              // there is one
	spec   *document.OpenIDDynamic
}

func newRegistrar(sp *document.ServiceProvider) (*Registrar, error) {
	o := *sp.OIDCDynamic
	r := &Registrar{spec: &o}
	if !o.RegistrationToken.Token.IsZero() {
		token, err := o.RegistrationToken.Token.Open(nil, nil, nil)
		if err != nil {
			return nil, attribute.InField("oidc-dynamic.registrationToken.token", err)
		}
		r.digest, r.open = sha256.Sum256(token), true
		clear(token)
	}
	o.RegistrationToken.Token = sealedMark(!r.open)
	return r, nil
}

// parseKeys reads a set of public keys. Keys of kinds that are not known here are passed over (RFC 7517 section 5); private and symmetric ones are refused.
func parseKeys(text []byte) (*jose.JSONWebKeySet, error) {
	var raw struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, fmt.Errorf("read a set of keys: %w", err)
	}
	if len(raw.Keys) > maxKeys {
		return nil, fmt.Errorf("read a set of keys: it has more than %d", maxKeys)
	}
	set := new(jose.JSONWebKeySet)
	for _, r := range raw.Keys {
		var k jose.JSONWebKey
		if err := k.UnmarshalJSON(r); err != nil {
			continue
		}
		if !k.IsPublic() {
			return nil, errors.New("read a set of keys: one of them is not public")
		}
		if k.Valid() {
			set.Keys = append(set.Keys, k)
		}
	}
	if len(set.Keys) == 0 {
		return nil, errors.New("read a set of keys: none of them is of a kind that is known here")
	}
	return set, nil
}

const maxKeys = 50

// encryptionKey returns the key of a set with which something is encrypted for the client.
func encryptionKey(set *jose.JSONWebKeySet, algorithm string) (*jose.JSONWebKey, error) {
	for i := range set.Keys {
		k := &set.Keys[i]
		if (k.Use == "" || k.Use == "enc") && (k.Algorithm == "" || k.Algorithm == algorithm) && suits(k, algorithm) {
			return k, nil
		}
	}
	return nil, fmt.Errorf("the client has no key for %s", algorithm)
}
