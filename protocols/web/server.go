package web

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"trine/engine/document"
	"trine/engine/policy"
	"trine/protocols/internal/proxy"
)

// Start opens the listeners.
func (f *Front) Start() error {
	tlsConfigs := &tlsConfigs{front: f}
	for _, address := range f.config.Listen {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			f.closeDoors()
			return fmt.Errorf("listen on %s for the web front (--web-listen): %w", address, err)
		}
		d := &door{front: f, address: listener.Addr(), only: len(f.config.Listen) == 1}
		if a, ok := listener.Addr().(*net.TCPAddr); ok {
			d.number = a.Port
		}
		d.listener = newGate(f, d, listener, tlsConfigs)
		l := &f.config.Limits
		d.server = &http.Server{
			Handler: d, ReadHeaderTimeout: l.HeaderTime, ReadTimeout: l.RequestTime, WriteTimeout: l.RequestTime + roundTime + 10*time.Second, IdleTimeout: l.Idle, MaxHeaderBytes: l.Header,
			ErrorLog: log.New(io.Discard, "", 0), TLSConfig: &tls.Config{NextProtos: protocols(), MinVersion: tls.VersionTLS12}, ConnContext: withConn,
			// A client of HTTP/2 has as many requests under way as a browser needs, resets included, and the bodies that wait take little.
			HTTP2: &http.HTTP2Config{
				MaxConcurrentStreams: maxStreams, MaxReceiveBufferPerConnection: 1 << 17, MaxReceiveBufferPerStream: 1 << 16, MaxDecoderHeaderTableSize: 4 << 10, MaxEncoderHeaderTableSize: 4 << 10,
				WriteByteTimeout: l.RequestTime, SendPingTimeout: l.RequestTime, PingTimeout: l.HeaderTime,
			},
		}
		f.doors = append(f.doors, d)
	}
	for _, d := range f.doors {
		go func() {
			if err := d.server.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
				f.fail.Do(func() {
					f.err.Store(&err)
					close(f.failed)
				})
			}
		}()
	}
	return nil
}

// maxStreams is how many requests of one HTTP/2 connection are under way.
const maxStreams = 64

func protocols() []string { return []string{"h2", "http/1.1"} }

// Addrs returns where the front listens, in the order of Config.Listen.
func (f *Front) Addrs() (list []net.Addr) {
	for _, d := range f.doors {
		list = append(list, d.address)
	}
	return list
}

// Done is closed when a listener has failed.
func (f *Front) Done() <-chan struct{} { return f.failed }

// Err returns why a listener has failed; nil if none has.
func (f *Front) Err() error {
	if err := f.err.Load(); err != nil {
		return *err
	}
	return nil
}

// Stop answers what is under way, makes the calls that wait, and closes, all within ctx.
func (f *Front) Stop(ctx context.Context) error {
	var wg sync.WaitGroup
	failed := make([]error, len(f.doors))
	for i, d := range f.doors {
		wg.Go(func() {
			if failed[i] = d.server.Shutdown(ctx); failed[i] != nil {
				_ = d.server.Close()
				failed[i] = fmt.Errorf("stop the web front on %s: %w", d.address, failed[i])
			}
		})
	}
	wg.Wait()
	f.calls.close(ctx)
	return errors.Join(failed...)
}

func (f *Front) closeDoors() {
	for _, d := range f.doors {
		_ = d.listener.Close()
	}
	f.doors = nil
}

// UnusedPorts returns the ports of identity providers whose options no listener of this node has, as "name: port".
func (f *Front) UnusedPorts() (list []string) {
	f.config.Policies.Load().EachIssuer(func(i *policy.Issuer) bool {
		if i.Site == nil || i.Spec.Parent != "" {
			return true
		}
		for _, p := range i.Site.Ports {
			used := slices.ContainsFunc(f.doors, func(d *door) bool { return d.number == p.Port }) || len(f.doors) == 1 && len(i.Site.Ports) == 1
			if !used {
				list = append(list, fmt.Sprintf("%s: %d", i.Name, p.Port))
			}
		}
		return true
	})
	slices.Sort(list)
	return list
}

// gate accepts the connections of a listener: it bounds them, reads PROXY headers, and begins TLS.
type gate struct {
	net.Listener
	front *Front
	door  *door
	tls   *tls.Config
	ready chan net.Conn
	end   chan struct{}
	once  sync.Once
	fault error
	mu    sync.Mutex
	from  map[netip.Addr]int
	all   map[*conn]struct{}
}

func newGate(f *Front, d *door, l net.Listener, configs *tlsConfigs) *gate {
	g := &gate{Listener: l, front: f, door: d, ready: make(chan net.Conn), end: make(chan struct{}), from: map[netip.Addr]int{}, all: map[*conn]struct{}{}}
	g.tls = &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: protocols()}
	g.tls.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) { return configs.of(d, hello) }
	go g.run()
	return g
}

// Accept implements net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	select {
	case c := <-g.ready:
		return c, nil
	case <-g.end:
		if g.fault != nil {
			return nil, g.fault
		}
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (g *gate) Close() error {
	err := g.Listener.Close()
	g.once.Do(func() { close(g.end) })
	return err
}

func (g *gate) run() {
	for wait := time.Duration(0); ; {
		c, err := g.Listener.Accept()
		switch {
		case err == nil:
			wait = 0
			g.admit(c)
			continue
		case errors.Is(err, net.ErrClosed):
			g.once.Do(func() { close(g.end) })
			return
		}
		// Of too many open files, and the like, there is an end.
		wait = min(max(2*wait, 5*time.Millisecond), time.Second)
		g.front.logger.Warn("the web front could not accept a connection", "error", err, "again_in", wait)
		time.Sleep(wait)
	}
}

// admit lets a connection in. Where there are too many, those make room that have got nothing done for longest; where none has been idle for a moment, it is closed.
func (g *gate) admit(c net.Conn) {
	f := g.front
	by := peer(c.RemoteAddr())
	f.stats.accepted.Add(1)
	behind := g.options(func(p *document.Port) bool {
		return p.ReverseProxy != nil && within(p.ReverseProxy.IncomingAddresses, by)
	})
	source := by
	if source.Is6() {
		if p, err := source.Prefix(64); err == nil {
			source = p.Addr()
		}
	}
	if int(f.stats.open.Load()) >= f.config.Limits.Connections && !f.makeRoom() || !g.count(source, behind) {
		f.stats.rejected.Add(1)
		_ = c.Close()
		return
	}
	f.stats.open.Add(1)
	w := &conn{Conn: c, gate: g, source: source, counted: !behind}
	w.moved()
	g.mu.Lock()
	g.all[w] = struct{}{}
	g.mu.Unlock()
	go g.prepare(w, by, behind)
}

// patience is how long a connection may have got nothing done before it can be made to go for another.
const patience = time.Second

// makeRoom closes the hundredth part of the connections, or one at least, whose last request began or was answered longest ago, and says whether there were any. It looks at all of them, so it is done for
// many at a time.
func (f *Front) makeRoom() bool {
	var all []*conn
	until := time.Now().Add(-patience).UnixNano()
	for _, d := range f.doors {
		g, ok := d.listener.(*gate)
		if !ok {
			continue
		}
		g.mu.Lock()
		for c := range g.all {
			if c.progress.Load() < until {
				all = append(all, c)
			}
		}
		g.mu.Unlock()
	}
	type aged struct {
		c  *conn
		at int64
	}
	byAge := make([]aged, len(all)) // what they do meanwhile must not disturb the order
	for i, c := range all {
		byAge[i] = aged{c, c.progress.Load()}
	}
	slices.SortFunc(byAge, func(a, b aged) int { return cmp.Compare(a.at, b.at) })
	byAge = byAge[:min(len(byAge), max(1, f.config.Limits.Connections/100))]
	for _, a := range byAge {
		f.stats.displaced.Add(1)
		_ = a.c.Close()
	}
	return len(byAge) > 0
}

func peer(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		ip, _ := netip.AddrFromSlice(t.IP)
		return ip.Unmap()
	}
	return netip.Addr{}
}

// count counts a connection of a source; false where it has as many as it may. Proxies may have any number.
func (g *gate) count(source netip.Addr, behind bool) bool {
	if behind {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.from[source] >= g.front.config.Limits.PerSource {
		return false
	}
	g.from[source]++
	return true
}

// options reports whether an identity provider has a port like that of the listener of which a condition holds.
func (g *gate) options(holds func(p *document.Port) bool) bool {
	found := false
	g.front.config.Policies.Load().EachIssuer(func(i *policy.Issuer) bool {
		if i.Site != nil && i.Spec.Parent == "" {
			if p := g.door.port(i); p != nil && holds(p) {
				found = true
			}
		}
		return !found
	})
	return found
}

// prepare reads what comes before HTTP, and hands the connection over.
func (g *gate) prepare(w *conn, by netip.Addr, behind bool) {
	_ = w.SetDeadline(time.Now().Add(g.front.config.Limits.HeaderTime))
	w.reader = bufio.NewReaderSize(w.Conn, 4<<10)
	if behind && g.options(func(p *document.Port) bool {
		return p.ProxyProtocolV2 && p.ReverseProxy != nil && within(p.ReverseProxy.IncomingAddresses, by)
	}) {
		source, err := readProxy(w.reader)
		if err != nil {
			g.front.logger.Debug("a connection of a proxy without a good PROXY header was closed", "proxy", by, "error", err)
			g.front.stats.rejected.Add(1)
			_ = w.Close()
			return
		}
		w.local = &arrived{Addr: w.Conn.LocalAddr(), by: by}
		if source.IsValid() {
			w.remote = net.TCPAddrFromAddrPort(source)
		}
	}
	first, err := w.reader.Peek(1)
	if err != nil {
		_ = w.Close()
		return
	}
	var out net.Conn = w
	switch {
	case first[0] == 22: // a handshake of TLS
		out = tls.Server(w, g.tls)
	case !behind || !g.options(func(p *document.Port) bool {
		return !p.Encryption && p.ReverseProxy != nil && within(p.ReverseProxy.IncomingAddresses, by)
	}):
		_, _ = io.WriteString(w.Conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nThis port is served with TLS only: use https.\n")
		g.front.stats.rejected.Add(1)
		_ = w.Close()
		return
	}
	_ = w.SetDeadline(time.Time{}) // the server has its own
	select {
	case g.ready <- out:
	case <-g.end:
		_ = w.Close()
	}
}

// conn is a connection of which the first bytes were looked at.
type conn struct {
	net.Conn
	gate    *gate
	reader  *bufio.Reader // nil once it is empty
	source  netip.Addr
	counted bool
	local   net.Addr
	remote  net.Addr
	once    sync.Once
	// progress is when it last got something done: when it came, when a request's header had come whole, or when one was answered.
	progress atomic.Int64
}

func (c *conn) moved() { c.progress.Store(time.Now().UnixNano()) }

// connKey is the key of the context under which a request has its connection.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	return context.WithValue(ctx, connKey{}, c)
}

// Read implements net.Conn.
func (c *conn) Read(b []byte) (int, error) {
	if c.reader != nil {
		if c.reader.Buffered() > 0 {
			return c.reader.Read(b)
		}
		c.reader = nil
	}
	return c.Conn.Read(b)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.once.Do(func() {
		c.gate.front.stats.open.Add(-1)
		c.gate.mu.Lock()
		defer c.gate.mu.Unlock()
		delete(c.gate.all, c)
		if c.counted {
			if c.gate.from[c.source]--; c.gate.from[c.source] <= 0 {
				delete(c.gate.from, c.source)
			}
		}
	})
	return c.Conn.Close()
}

// LocalAddr implements net.Conn; behind a proxy that speaks PROXY it tells which.
func (c *conn) LocalAddr() net.Addr {
	if c.local != nil {
		return c.local
	}
	return c.Conn.LocalAddr()
}

// RemoteAddr implements net.Conn; behind a proxy that speaks PROXY it is the browser's.
func (c *conn) RemoteAddr() net.Addr {
	if c.remote != nil {
		return c.remote
	}
	return c.Conn.RemoteAddr()
}

// arrived is a listener's address with the proxy that a connection came by.
type arrived struct {
	net.Addr
	by netip.Addr
}

// readProxy reads a PROXY header; the source is invalid where the proxy speaks for itself.
func readProxy(r *bufio.Reader) (netip.AddrPort, error) {
	for have := 0; have < proxy.MaxHeader; {
		if _, err := r.Peek(have + 1); err != nil {
			return netip.AddrPort{}, err
		}
		data, err := r.Peek(min(r.Buffered(), proxy.MaxHeader))
		if err != nil {
			return netip.AddrPort{}, err
		}
		source, length, err := proxy.Parse(data)
		if err != nil {
			return netip.AddrPort{}, err
		}
		if length > 0 {
			_, err = r.Discard(length)
			return source, err
		}
		have = len(data)
	}
	return netip.AddrPort{}, proxy.ErrHeader
}

// tlsConfigs are the TLS settings of hosts, made once for each change of the identity provider.
type tlsConfigs struct {
	front *Front
	kept  sync.Map // tlsKey -> *tlsConfig
}

type tlsKey struct {
	door *door
	host string
}

type tlsConfig struct {
	issuer      *policy.Issuer
	certificate *tls.Certificate
	config      *tls.Config
}

var errNoCertificate = errors.New("the web front has no certificate")

// of returns the settings for a connection, by the host that the client asks for, and else those of the node.
func (t *tlsConfigs) of(d *door, hello *tls.ClientHelloInfo) (*tls.Config, error) {
	host := hostOf(hello.ServerName)
	if host == "" { // a client that asks for an address names none
		host = peer(hello.Conn.LocalAddr()).String()
		if a, ok := hello.Conn.LocalAddr().(*arrived); ok {
			host = peer(a.Addr).String()
		}
	}
	issuer, _ := t.front.config.Policies.Load().OnWeb(host)
	if issuer == nil {
		host = ""
	}
	certificate := t.front.certificateOf(issuer)
	if certificate == nil {
		return nil, errNoCertificate
	}
	key := tlsKey{d, host}
	if kept, ok := t.kept.Load(key); ok && kept.(*tlsConfig).issuer == issuer && kept.(*tlsConfig).certificate == certificate {
		return kept.(*tlsConfig).config, nil
	}
	c := &tls.Config{Certificates: []tls.Certificate{*certificate}, MinVersion: tls.VersionTLS12, NextProtos: protocols()}
	c.CurvePreferences = []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384}
	if issuer != nil {
		if p := d.port(issuer); p != nil {
			portTLS(c, p)
		}
	}
	t.kept.Store(key, &tlsConfig{issuer: issuer, certificate: certificate, config: c})
	return c, nil
}

// portTLS applies what a port says of TLS.
func portTLS(c *tls.Config, p *document.Port) {
	if p.AcceptClientCertificate {
		c.ClientAuth = tls.RequestClientCert
	}
	var without []uint16
	for _, name := range p.ExcludedProtocols {
		switch v, ok := document.TLSVersion(name); {
		case ok && v == tls.VersionTLS12:
			c.MinVersion = tls.VersionTLS13
		case ok && v == tls.VersionTLS13:
			c.MaxVersion = tls.VersionTLS12
		default:
			if id, ok := document.CipherSuite(name); ok {
				without = append(without, id)
			}
		}
	}
	if len(without) > 0 {
		for _, s := range tls.CipherSuites() {
			if !slices.Contains(without, s.ID) {
				c.CipherSuites = append(c.CipherSuites, s.ID)
			}
		}
	}
}

// certificateOf returns what is shown to clients of an identity provider.
func (f *Front) certificateOf(i *policy.Issuer) *tls.Certificate {
	if i != nil && i.Site != nil && i.Site.Certificate != nil {
		return i.Site.Certificate
	}
	if f.config.Certificate != nil {
		return f.config.Certificate()
	}
	return nil
}

// shown returns the certificate that the node has proved itself with on the connection of a request, to which a Kerberos ticket may be bound; nil where a proxy ended TLS.
func (f *Front) shown(x *Exchange) *x509.Certificate {
	if x.R.TLS == nil || x.proxied {
		return nil
	}
	issuer := x.Issuer
	if root, ok := x.Cache.OnWeb(hostOf(x.R.TLS.ServerName)); ok {
		issuer = root
	}
	c := f.certificateOf(issuer)
	if c == nil {
		return nil
	}
	if c.Leaf != nil {
		return c.Leaf
	}
	leaf, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		return nil
	}
	return leaf
}
