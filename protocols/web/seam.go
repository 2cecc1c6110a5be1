package web

import (
	"context"
	"net/http"
	"net/netip"

	"trine/engine"
	"trine/engine/document"
	"trine/engine/login"
	"trine/engine/policy"
	"trine/engine/state"
)

// Exchange is one request at an identity provider.
type Exchange struct {
	W      http.ResponseWriter
	R      *http.Request
	Cache  *policy.Cache
	Issuer *policy.Issuer
	// Path is the path below the identity provider's own; it begins with a slash.
	Path string
	// Source is where the browser is, behind trusted proxies too.
	Source netip.AddrPort

	port    *document.Port // that it came by; nil: the identity provider says nothing about it
	proxied bool           // it came by the port's proxy
	browser string         // what the browser is known by, once that was asked for
}

// Protocol is what a browser protocol brings.
type Protocol interface {
	// Name is the protocol's name in decisions, such as "oidc".
	Name() string
	// Endpoint returns what answers a path of the identity provider, nil where the protocol has nothing there. It is called for each request, and must be fast.
	Endpoint(i *policy.Issuer, path string) func(*Exchange)
	// Continue goes on once the login that the protocol asked for is done, or was refused in a way that it tells its client. Request is Login.Request.
	Continue(x *Exchange, request []byte, o *Outcome)
	// LoggedOut says what to do for a service provider whose session has ended: a URL for a frame of the logout page, a call in the background, or neither.
	LoggedOut(c *policy.Cache, s *state.SSO, v *state.SSOVisit) (frame string, call func(context.Context) error)
}

// Watcher is a Protocol that keeps in the browser by what service providers see that the session there is another.
type Watcher interface {
	// SessionGone has the browser show that it has no session any more.
	SessionGone(x *Exchange)
}

// Returner is a Protocol that knows the URLs of its service providers.
type Returner interface {
	// Returns reports whether a URL is one that a service provider of the identity provider has registered, to which a person may be sent back.
	Returns(c *policy.Cache, i *policy.Issuer, url string) bool
}

// Login is what a protocol asks the front for.
type Login struct {
	Client *policy.Client
	Demand login.Demand
	// Hint is the login name that the person may have; it is filled in.
	Hint string
	// Locales are the languages that the person reads, the best first, where the request says so.
	Locales []string
	// Reference is what the protocol needs in LoggedOut; it is kept with the session.
	Reference []byte
	// Request comes back in Continue. Meanwhile it is sealed in the page. MaxRequest bounds it.
	Request []byte
	// Consent is what the person is asked for beside what his document asks; nil: nothing.
	Consent *Consent
	// SelectAccount has a person who is logged in say whether he goes on as himself.
	SelectAccount bool
}

// Consent is what a person is asked to let a service provider have.
type Consent struct {
	// Force asks also a person who has consented before.
	Force          bool
	Scopes, Claims []string
	// Offline says that the service provider can go on when the person has logged out.
	Offline bool
}

// Refusal says why a protocol has to refuse a request at whose end there was no login.
type Refusal uint8

// The refusals.
const (
	RefusedNot          Refusal = iota // there was a login
	LoginRequired                      // the person would have to log in, and must not be asked
	InteractionRequired                // he would have to prove more
	ConsentRequired                    // he would have to be asked for consent
	AccessDenied                       // he may not, or does not want to
	Unavailable                        // it cannot be decided now
)

// Outcome is what became of a login.
type Outcome struct {
	Step    engine.Step // of the last round
	Refused Refusal
}

// Logout is what a protocol asks the front for when a person is to be logged out.
type Logout struct {
	// Client is who asks for it; nil: nobody in particular.
	Client *policy.Client
	// Confirm asks the person first.
	Confirm bool
	Locales []string
	// Of reports whether a session is the one that is meant; nil: whichever the browser has. The person is asked where it is another.
	Of func(*state.SSO) bool
	// Redirect is where the browser goes then; empty: it stays.
	Redirect string
}

// MaxRequest bounds Login.Request in bytes.
const MaxRequest = 16 << 10
