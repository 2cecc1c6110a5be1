package oidc

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"trine/engine/policy"
	"trine/engine/secret"
	"trine/engine/trace"
	"trine/protocols/web"
)

// Front is what the provider asks of the web front.
type Front interface {
	Login(x *web.Exchange, l *web.Login)
	Logout(x *web.Exchange, l *web.Logout)
	Error(x *web.Exchange, status int, reason trace.Reason, id uint64)
}

// Config is what a provider needs.
type Config struct {
	Engine    Engine
	Documents Documents
	Keyring   *secret.Keyring
	Clock     func() time.Time
	Logger    *slog.Logger
	// Private lists networks of their own in which clients may have their keys and other endpoints.
	Private []netip.Prefix
	// Roots are the authorities of the servers of clients; nil: those of the system.
	Roots *x509.CertPool
}

// Provider answers the endpoints of OpenID Connect for every identity provider of a node.
type Provider struct {
	engine    Engine
	front     Front
	documents Documents
	keyring   *secret.Keyring
	clock     func() time.Time
	logger    *slog.Logger
	out       *outgoing
	keys      *fetchedKeys
	origins   origins
	verified  verified
	signing   sync.Map // name of an identity provider -> *issuerKeys
	described sync.Map // name of an identity provider -> *description
	pairKey   atomic.Pointer[[]byte]
	endpoints endpoints
}

// endpoints are the handlers, kept so that finding one makes none.
type endpoints struct {
	discovery, jwks, authorize, token, revoke, introspect, userinfo, logout, register, sessionCookie, impersonate, checkSession func(*web.Exchange)
}

var (
	_ web.Protocol = (*Provider)(nil)
	_ web.Watcher  = (*Provider)(nil)
)

// New returns a provider. Serve it with Attach.
func New(c Config) (*Provider, error) {
	if c.Engine == nil || c.Keyring == nil {
		return nil, errors.New("make an OpenID provider: it needs an engine and a keyring")
	}
	p := &Provider{engine: c.Engine, documents: c.Documents, keyring: c.Keyring, clock: c.Clock, logger: c.Logger}
	if p.clock == nil {
		p.clock = time.Now
	}
	if p.logger == nil {
		p.logger = slog.New(slog.DiscardHandler)
	}
	p.out = newOutgoing(c.Private, c.Roots)
	p.keys = newFetchedKeys(p.out, p.clock)
	p.endpoints = endpoints{
		p.discovery, p.jwks, p.authorize, p.token, p.revoke, p.introspect, p.userinfo, p.logout, p.register, p.sessionCookie, p.impersonate, p.checkSession,
	}
	return p, nil
}

// Attach gives the provider the front that it asks for logins. It is called once, before the first request.
func (p *Provider) Attach(f Front) { p.front = f }

func (p *Provider) now() time.Time { return p.clock() }

// Endpoint implements web.Protocol.
func (p *Provider) Endpoint(i *policy.Issuer, path string) func(*web.Exchange) {
	o := i.Spec.Profiles.OpenID
	if o == nil || !o.Enabled {
		return nil
	}
	switch path {
	case o.Token:
		return p.endpoints.token
	case o.UserInfo:
		return p.endpoints.userinfo
	case o.TokenInfo:
		return p.endpoints.introspect
	case o.Authorization:
		return p.endpoints.authorize
	case o.JWKS:
		return p.endpoints.jwks
	case o.Discovery, wellKnownOAuth:
		return p.endpoints.discovery
	case o.Revoke:
		return p.endpoints.revoke
	case o.Logout:
		return p.endpoints.logout
	case o.Registration:
		return p.endpoints.register
	case o.SessionCookie:
		return p.endpoints.sessionCookie
	case o.Impersonate:
		return p.endpoints.impersonate
	case o.CheckSession:
		return p.endpoints.checkSession
	}
	return nil
}

// wellKnownOAuth is where RFC 8414 has the metadata.
const wellKnownOAuth = "/.well-known/oauth-authorization-server"

// description is the metadata of an identity provider as bytes, made once for each change of it.
type description struct {
	issuer *policy.Issuer
	body   []byte
}

func (p *Provider) discovery(x *web.Exchange) {
	if !shown(x) {
		return
	}
	kept, _ := p.described.Load(x.Issuer.Name)
	d, _ := kept.(*description)
	if d == nil || d.issuer != x.Issuer {
		d = &description{issuer: x.Issuer, body: discovery(x.Issuer)}
		p.described.Store(x.Issuer.Name, d)
	}
	answerPublic(x.W, d.body)
}

func (p *Provider) jwks(x *web.Exchange) {
	if !shown(x) {
		return
	}
	keys, err := p.issuerKeys(x.R.Context(), x.Issuer)
	if err != nil {
		answerError(x.W, p.broken(x, "get its keys", err), 0, false)
		return
	}
	answerPublic(x.W, keys.document)
}

// shown reports whether a request reads what is shown to everybody, and answers those that do not.
func shown(x *web.Exchange) bool {
	h := x.W.Header()
	everybody(h)
	switch x.R.Method {
	case http.MethodGet, http.MethodHead:
		return true
	case http.MethodOptions:
		h.Set("Access-Control-Allow-Methods", "GET")
		h.Set("Allow", "GET, HEAD, OPTIONS")
		x.W.WriteHeader(http.StatusNoContent)
		return false
	}
	h.Set("Allow", "GET, HEAD, OPTIONS")
	x.W.WriteHeader(http.StatusMethodNotAllowed)
	return false
}

var cachePublic = []string{"public, max-age=300"}

func answerPublic(w http.ResponseWriter, body []byte) {
	h := w.Header()
	h["Content-Type"], h["Cache-Control"], h["X-Content-Type-Options"] = contentJSON, cachePublic, nosniff
	h["Content-Length"] = []string{itoa(int64(len(body)))}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(body)
}

// pairwiseKey returns the key of pairwise subjects and of names of sessions.
func (p *Provider) pairwiseKey() []byte {
	if kept := p.pairKey.Load(); kept != nil {
		return *kept
	}
	key, err := p.keyring.Derive("trine/pairwise/1")
	if err != nil {
		p.logger.Error("OpenID Connect: derive the key of pairwise subjects", "error", err)
		return make([]byte, 0)
	}
	p.pairKey.Store(&key)
	return key
}

// origins are the origins that clients list, by identity provider, of the cache that was looked at last.
type origins struct{ current atomic.Pointer[originTable] }

type originTable struct {
	cache *policy.Cache
	all   map[[2]string]bool // name of an identity provider, origin
}

func (o *origins) listed(c *policy.Cache, i *policy.Issuer, origin string) bool {
	t := o.current.Load()
	if t == nil || t.cache != c {
		t = &originTable{cache: c, all: map[[2]string]bool{}}
		for client := range c.OpenIDClients() {
			if w := wireOf(client); w != nil && client.Issuer != nil {
				for _, origin := range w.spec.CORSOrigins {
					t.all[[2]string{client.Issuer.Name, origin}] = true
				}
			}
		}
		o.current.Store(t)
	}
	return t.all[[2]string{i.Name, origin}]
}

// verified remembers access tokens that are JWTs whose signature was verified, so that it is verified once for as long as the keys are the same. It is bounded by being forgotten.
type verified struct {
	mu  sync.RWMutex
	all map[string]verifiedToken
}

type verifiedToken struct {
	keys *issuerKeys // by one of which it is signed
	says access
}

const maxVerified = 8192

func (v *verified) get(token string, keys *issuerKeys) (access, bool) {
	v.mu.RLock()
	t := v.all[token]
	v.mu.RUnlock()
	return t.says, t.keys == keys
}

func (v *verified) put(token string, keys *issuerKeys, a access) {
	v.mu.Lock()
	if v.all == nil || len(v.all) >= maxVerified {
		v.all = make(map[string]verifiedToken, 64)
	}
	v.all[token] = verifiedToken{keys, a}
	v.mu.Unlock()
}

func unmarshalAccess(payload []byte, c *accessClaims) error { return json.Unmarshal(payload, c) }
