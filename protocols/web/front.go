package web

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"trine/engine"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/policy"
	"trine/engine/secret"
	"trine/engine/state"
)

// Engine decides.
type Engine interface {
	Converse(ctx context.Context, round *engine.Round) engine.Step
	Session(id string) (state.SSO, bool)
	EndSessions(ctx context.Context, user string, numbers []uint64, by string) error
	EnrolFactor(ctx context.Context, put *event.FactorPut) error
	RemoveFactor(ctx context.Context, user, id, by string) error
	DistrustDevice(ctx context.Context, user, id, by string) error
	Consent(user uint64, client string) (state.Consent, bool)
	Consents(user uint64) []state.Consent
	GiveConsent(ctx context.Context, c *engine.ConsentGiven) error
	RevokeConsent(ctx context.Context, user, client, by string) error
}

// People are rows of the state.
type People interface {
	UserByID(dst *state.User, id uint64) bool
	User(dst *state.User, login []byte) bool
	Factors(dst *state.Factors, user uint64)
	TrustedDevices(user uint64) []state.TrustedDevice
	SSOOf(user string) []state.SSO
	PushAnswer(challenge uint64) (state.PushAnswer, bool)
}

// Config is what a Front is made of.
type Config struct {
	// Listen are the addresses to listen on.
	Listen    []string
	Engine    Engine
	People    People
	Policies  *policy.Holder
	Keyring   *secret.Keyring
	Protocols []Protocol
	// Certificate returns what the node proves itself with where an identity provider has no certificate of its own.
	Certificate func() *tls.Certificate
	Clock       func() time.Time // nil: time.Now
	Logger      *slog.Logger     // nil: nothing is logged
	Limits      Limits
}

// Limits bound what clients can take; 0 stands for the default of each.
type Limits struct {
	Connections int           // at a time; 20,000
	PerSource   int           // at a time of one address (IPv6: /64) that is no proxy; 1,000
	Header      int           // bytes; 64 KiB
	Body        int64         // bytes; 1 MiB
	HeaderTime  time.Duration // for a connection to say what it wants; 10 s
	RequestTime time.Duration // for a request to come whole; 30 s
	Idle        time.Duration // between requests; 90 s
	Calls       int           // to service providers at a time, in the background; 16
	CallTime    time.Duration // of one; 30 s
}

func (l *Limits) fill() {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&l.Connections, 20_000)
	set(&l.PerSource, 1_000)
	set(&l.Header, 64<<10)
	set(&l.Calls, 16)
	if l.Body == 0 {
		l.Body = 1 << 20
	}
	for _, t := range []struct {
		v *time.Duration
		d time.Duration
	}{{&l.HeaderTime, 10 * time.Second}, {&l.RequestTime, 30 * time.Second}, {&l.Idle, 90 * time.Second}, {&l.CallTime, 30 * time.Second}} {
		if *t.v == 0 {
			*t.v = t.d
		}
	}
}

// Front serves browsers. Its life: New, Start, Stop.
type Front struct {
	config    Config
	protocols map[string]Protocol
	order     []Protocol
	portal    portal
	clock     func() time.Time
	logger    *slog.Logger
	pages     *pages
	looks     looks
	calls     *callers
	doors     []*door
	stats     counters
	failed    chan struct{}
	fail      sync.Once
	err       atomic.Pointer[error]
}

// counters count since the start.
type counters struct {
	requests, pages, logins, refused, logouts                    atomic.Uint64
	accepted, rejected, displaced                                atomic.Uint64
	callsDone, callsFailed, callsDropped, unknownHosts, badFlows atomic.Uint64
	open, callsWaiting                                           atomic.Int64
}

// Stats are counts since the start, and the present state.
type Stats struct {
	Requests, Pages, Logins, Refused, Logouts uint64
	Accepted, Rejected, Displaced             uint64 // connections; displaced: made to go for others
	CallsDone, CallsFailed, CallsDropped      uint64
	UnknownHosts, BadFlows                    uint64
	Connections, CallsWaiting                 int
}

// Stats returns the counts.
func (f *Front) Stats() Stats {
	c := &f.stats
	return Stats{
		Requests: c.requests.Load(), Pages: c.pages.Load(), Logins: c.logins.Load(), Refused: c.refused.Load(), Logouts: c.logouts.Load(),
		Accepted: c.accepted.Load(), Rejected: c.rejected.Load(), Displaced: c.displaced.Load(),
		CallsDone: c.callsDone.Load(), CallsFailed: c.callsFailed.Load(), CallsDropped: c.callsDropped.Load(),
		UnknownHosts: c.unknownHosts.Load(), BadFlows: c.badFlows.Load(), Connections: int(c.open.Load()), CallsWaiting: int(c.callsWaiting.Load()),
	}
}

// New returns a front that does not listen yet; it is a handler of requests all the same (Handler).
func New(c Config) (*Front, error) {
	if c.Engine == nil || c.Policies == nil || c.Keyring == nil || c.People == nil {
		return nil, errors.New("make the web front: it needs an engine, people, policies and a keyring")
	}
	c.Limits.fill()
	f := &Front{config: c, clock: c.Clock, logger: c.Logger, protocols: map[string]Protocol{}, failed: make(chan struct{})}
	if f.clock == nil {
		f.clock = time.Now
	}
	if f.logger == nil {
		f.logger = slog.New(slog.DiscardHandler)
	}
	f.portal.front = f
	f.order = append(f.order, c.Protocols...)
	for _, p := range append([]Protocol{&f.portal}, c.Protocols...) {
		if f.protocols[p.Name()] != nil {
			return nil, errors.New("make the web front: two protocols are called " + p.Name())
		}
		f.protocols[p.Name()] = p
	}
	var err error
	if f.pages, err = newPages(); err != nil {
		return nil, err
	}
	f.calls = newCallers(f, c.Limits.Calls, c.Limits.CallTime)
	return f, nil
}

// Handler returns what answers requests that came by a port.
func (f *Front) Handler(port int) http.Handler { return &door{front: f, number: port} }

// door answers the requests of one listener.
type door struct {
	front    *Front
	number   int  // of the port
	only     bool // there is no other
	address  net.Addr
	listener net.Listener
	server   *http.Server
}

// The values of headers that every response has; they are never changed.
var (
	hsts    = []string{"max-age=31536000"}
	nosniff = []string{"nosniff"}
)

// ServeHTTP implements http.Handler. On the way to a protocol's endpoint nothing is locked.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f := d.front
	f.stats.requests.Add(1)
	if c, ok := r.Context().Value(connKey{}).(*conn); ok {
		c.moved()
		defer c.moved()
	}
	h := w.Header()
	h["Strict-Transport-Security"], h["X-Content-Type-Options"] = hsts, nosniff
	cache := f.config.Policies.Load()
	issuer, path, ok := cache.IssuerAt(hostOf(r.Host), r.URL.Path)
	if raw := r.URL.RawPath; raw != "" && strings.Contains(strings.ToLower(raw), "%2f") { // a proxy in front may take it for something else
		ok = false
	}
	if !ok {
		f.stats.unknownHosts.Add(1)
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte("There is no identity provider at this address.\n"))
		return
	}
	x := &Exchange{W: w, R: r, Cache: cache, Issuer: issuer, Path: path, port: d.port(issuer)}
	x.Source, x.proxied = source(r, x.port)
	if r.TLS == nil && !x.proxied { // what came without TLS came by a proxy that is trusted, or not at all
		h.Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte("This port is served with TLS only.\n"))
		return
	}
	if r.ContentLength != 0 {
		r.Body = http.MaxBytesReader(w, r.Body, f.config.Limits.Body)
	}
	if strings.HasPrefix(path, loginPath) || strings.HasPrefix(path, protectedPath) {
		if own := f.endpoint(path); own != nil {
			own(x)
			return
		}
	}
	for _, p := range f.order {
		if e := p.Endpoint(issuer, path); e != nil {
			e(x)
			return
		}
	}
	if path == "/" {
		f.redirect(x, protectedPath)
		return
	}
	f.lost(x)
}

// port returns what the identity provider says about the port of the listener; nil if nothing.
func (d *door) port(i *policy.Issuer) *document.Port {
	ports := i.Site.Ports
	for n := range ports {
		if ports[n].Port == d.number {
			return &ports[n]
		}
	}
	if d.only && len(ports) == 1 {
		return &ports[0]
	}
	return nil
}

// The paths that the front itself answers, below each identity provider.
const (
	loginPath     = "/login"
	protectedPath = "/protected"
	staticPath    = "/login/static/"
)

// endpoint returns what answers a path of the front's own.
func (f *Front) endpoint(path string) func(*Exchange) {
	switch path {
	case loginPath:
		return f.answerLogin
	case loginPath + "/negotiate":
		return f.answerNegotiate
	case loginPath + "/push":
		return f.answerPush
	case loginPath + "/logout":
		return f.answerLogout
	case protectedPath:
		return f.overview
	case protectedPath + "/logout":
		return f.portalLogout
	case protectedPath + "/sessions":
		return f.changeSessions
	case protectedPath + "/factors":
		return f.changeFactors
	case protectedPath + "/devices":
		return f.changeDevices
	case protectedPath + "/consents":
		return f.changeConsents
	case protectedPath + "/changePassword":
		return f.changePassword
	}
	if strings.HasPrefix(path, staticPath) {
		return f.static
	}
	return nil
}

// hostOf returns the host of a Host header in lower case, without a port. It allocates only for capitals.
func hostOf(host string) string {
	if n := strings.LastIndexByte(host, ':'); n >= 0 && strings.IndexByte(host[n:], ']') < 0 {
		host = host[:n]
	}
	if len(host) > 1 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// source returns where a request comes from, and whether it came by the port's proxy.
func source(r *http.Request, port *document.Port) (netip.AddrPort, bool) {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.AddrPort{}, false
	}
	from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	if port == nil || port.ReverseProxy == nil {
		return from, false
	}
	by := from.Addr()
	if c, ok := r.Context().Value(http.LocalAddrContextKey).(*arrived); ok {
		by = c.by
	}
	if !within(port.ReverseProxy.IncomingAddresses, by) {
		return from, false
	}
	if !within(port.ReverseProxy.IncomingAddresses, from.Addr()) { // a PROXY header has said who it is, and the header of the request is his
		return from, true
	}
	for _, line := range reversed(r.Header["X-Forwarded-For"]) {
		for _, text := range reversed(strings.Split(line, ",")) {
			a, ok := parseForwarded(strings.TrimSpace(text))
			if !ok {
				return from, true
			}
			from = a
			if !within(port.ReverseProxy.IncomingAddresses, a.Addr()) {
				return from, true
			}
		}
	}
	return from, true
}

func parseForwarded(text string) (netip.AddrPort, bool) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.AddrPortFrom(a.Unmap(), 0), true
	}
	a, err := netip.ParseAddrPort(text)
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()), err == nil
}

func reversed(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[len(list)-1-i] = s
	}
	return out
}

func within(ranges []document.AddressRange, a netip.Addr) bool {
	for _, r := range ranges {
		if r.Contains(a) {
			return true
		}
	}
	return false
}

// broken reports whether the identity provider cannot decide, and tells the browser so.
func (f *Front) broken(x *Exchange) bool {
	if _, err := x.Cache.Issuer(x.Issuer.Name); err != nil || x.Issuer.SSO == nil {
		f.logger.Warn("a login was asked for at an identity provider that cannot be used", "identity_provider", x.Issuer.Name, "error", err)
		f.message(x, http.StatusServiceUnavailable, "error.unavailable", 0)
		return true
	}
	return false
}

// redirect sends the browser to a path of the identity provider.
func (f *Front) redirect(x *Exchange, path string) {
	noStore(x.W.Header())
	x.W.Header().Set("Location", x.Issuer.Site.Prefix+path)
	x.W.WriteHeader(http.StatusSeeOther)
}

func noStore(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "same-origin")
}
