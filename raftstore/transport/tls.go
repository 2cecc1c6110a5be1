package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// ServiceJoin is for those who are no members yet: it asks for no certificate, and what a stream of it says is a stranger's word.
const ServiceJoin Service = "trine-join/1"

// Bounds on what those can take who have not proved yet who they are.
const (
	handshakeWithin = 5 * time.Second
	maxHandshakes   = 128      // under way at a time; above it the oldest gives way
	handshakeBytes  = 64 << 10 // that one may send until his handshake is over
	maxStrangers    = 16       // streams of the join service at a time
)

// The byte with which an end that accepted a stream begins it.
const (
	saidTaken   byte = 0
	saidRemoved byte = 1
	saidRefused byte = 2
)

// keepAlive finds out that the other end is gone where nothing is being said.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 4}

// Config is what a [TLS] mesh needs. All fields but Removed, Clock and Logger must be set.
type Config struct {
	Listen  string // address and port to listen on
	Address string // where others reach it, HOST:PORT; empty: where it listens
	Cluster string // id of the cluster
	// Certificate returns this node's certificate, the authority's behind it. It is asked for each handshake, so that a renewed one is used at once.
	Certificate func() *tls.Certificate
	Authority   *x509.Certificate
	// Removed reports whether a node was removed from the cluster: its streams are refused. nil: none was.
	Removed func(node uint64) bool
	Clock   func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: none
}

// TLS is a mesh over TLS 1.3 on one port. Both ends prove by certificates of the cluster's authority which node they are; ALPN picks
// the service. Its life: Listen, Handle and Dial, Close.
type TLS struct {
	cfg      Config
	listener net.Listener
	address  string
	stats    counts
	running  sync.WaitGroup
	told     chan struct{} // closed when another node said that this one was removed
	telling  sync.Once

	mu        sync.Mutex
	closed    bool
	serve     map[Service]func(from uint64, stream net.Conn)
	pending   []*pending       // whose handshake is not over, the oldest first
	streams   map[*stream]bool // open, of either direction
	strangers int
}

var _ Mesh = (*TLS)(nil)

// counts are what Stats reads.
type counts struct {
	dialled, dialFailed, accepted, served, failed, crowded, removed, refused atomic.Uint64
}

// Stats are counters since the mesh began, and how many streams are open.
type Stats struct {
	Dialled    uint64 // streams that this node opened
	DialFailed uint64 // that it could not open
	Accepted   uint64 // connections that came
	Served     uint64 // of those, streams that a service got
	Failed     uint64 // ended in the handshake: no certificate, a wrong one, no TLS, too late
	Crowded    uint64 // ended in the handshake to make room for newer ones
	Removed    uint64 // refused because the node was removed
	Refused    uint64 // refused because nobody serves that now
	Open       int    // streams, of either direction
}

// Listen opens the port. Streams are refused until somebody handles them.
func Listen(c Config) (*TLS, error) {
	if c.Cluster == "" || c.Certificate == nil || c.Authority == nil {
		return nil, errors.New("open the cluster's port: a cluster, a certificate and an authority are required")
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Removed == nil {
		c.Removed = func(uint64) bool { return false }
	}
	listening := net.ListenConfig{KeepAliveConfig: keepAlive}
	l, err := listening.Listen(context.Background(), "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("open the cluster's port: %w", err)
	}
	t := &TLS{cfg: c, listener: l, address: c.Address, serve: map[Service]func(uint64, net.Conn){}, streams: map[*stream]bool{}, told: make(chan struct{})}
	if t.address == "" {
		t.address = l.Addr().String()
	}
	t.running.Go(t.accept)
	return t, nil
}

// Address returns where others reach this node.
func (t *TLS) Address() string { return t.address }

// Out returns a channel that is closed when another node has said that this one was removed from the cluster.
func (t *TLS) Out() <-chan struct{} { return t.told }

// Addr returns where it listens, with the port that the system chose.
func (t *TLS) Addr() net.Addr { return t.listener.Addr() }

// Handle sets who serves the streams of a service; serve must return when its stream is closed. Of [ServiceJoin], from is always 0.
func (t *TLS) Handle(service Service, serve func(from uint64, stream net.Conn)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if serve == nil {
		delete(t.serve, service)
		return
	}
	t.serve[service] = serve
}

// Dial opens a stream to a node. Errors wrap ErrIdentity, ErrRemoved or ErrRefused where one of them is the reason.
func (t *TLS) Dial(ctx context.Context, node uint64, address string, service Service) (net.Conn, error) {
	s, err := t.dial(ctx, node, address, service)
	if err != nil {
		t.stats.dialFailed.Add(1)
		if errors.Is(err, ErrRemoved) {
			t.telling.Do(func() { close(t.told) })
		}
		return nil, fmt.Errorf("reach node %016x at %s: %w", node, address, err)
	}
	t.stats.dialled.Add(1)
	return s, nil
}

func (t *TLS) dial(ctx context.Context, node uint64, address string, service Service) (net.Conn, error) {
	if t.cfg.Removed(node) {
		return nil, errors.New("it was removed from the cluster")
	}
	secure, err := connect(ctx, address, &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{string(service)}, SessionTicketsDisabled: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return t.cfg.Certificate(), nil },
		InsecureSkipVerify:   true, // VerifyConnection does it: a node's certificate names a node, and no host
		VerifyConnection: func(s tls.ConnectionState) error {
			at, err := proven(s.PeerCertificates, t.cfg.Authority, t.cfg.Cluster, x509.ExtKeyUsageServerAuth, t.cfg.Clock())
			if err == nil && at != node {
				err = fmt.Errorf("%w: node %016x is at this address", ErrIdentity, at)
			}
			return err
		},
	})
	if err != nil {
		return nil, err
	}
	return t.track(secure, node)
}

// connect dials, shakes hands and hears whether the stream is taken, all within the context and [handshakeWithin].
func connect(ctx context.Context, address string, c *tls.Config) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeWithin)
	defer cancel()
	dialer := net.Dialer{KeepAliveConfig: keepAlive}
	plain, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	secure := tls.Client(plain, c)
	if err := greeted(ctx, secure); err != nil {
		_ = plain.Close() // nothing was sent
		return nil, err
	}
	return secure, nil
}

func greeted(ctx context.Context, secure *tls.Conn) error {
	stop := context.AfterFunc(ctx, func() { _ = secure.NetConn().SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := secure.HandshakeContext(ctx); err != nil {
		return err
	}
	var said [1]byte
	if _, err := io.ReadFull(secure, said[:]); err != nil {
		return fmt.Errorf("hear whether the stream is taken: %w", err)
	}
	switch said[0] {
	case saidTaken:
	case saidRemoved:
		return ErrRemoved
	default:
		return ErrRefused
	}
	if !stop() {
		return context.Cause(ctx)
	}
	return secure.SetDeadline(time.Time{})
}

// DialStranger opens a stream of [ServiceJoin] for one who is no member. Who answers must be a node of the cluster, by an authority whose
// key has the hash that the stranger was told; that authority's certificate is returned.
func DialStranger(ctx context.Context, address, cluster string, key [32]byte, now time.Time) (net.Conn, *x509.Certificate, error) {
	var authority *x509.Certificate
	secure, err := connect(ctx, address, &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{string(ServiceJoin)}, SessionTicketsDisabled: true,
		InsecureSkipVerify: true, // VerifyConnection does it
		VerifyConnection: func(s tls.ConnectionState) error {
			n := len(s.PeerCertificates)
			if n < 2 || KeyHash(s.PeerCertificates[n-1]) != key {
				return fmt.Errorf("%w: its authority is not the one that the token names", ErrIdentity)
			}
			if _, err := proven(s.PeerCertificates, s.PeerCertificates[n-1], cluster, x509.ExtKeyUsageServerAuth, now); err != nil {
				return err
			}
			authority = s.PeerCertificates[n-1]
			return nil
		},
	})
	if err != nil {
		return nil, nil, fmt.Errorf("reach the cluster at %s: %w", address, err)
	}
	return secure, authority, nil
}

// Drop closes all streams from and to a node. Whoever removed it calls this, so that what is open does not outlive its membership.
func (t *TLS) Drop(node uint64) {
	t.mu.Lock()
	var drop []*stream
	for s := range t.streams {
		if s.node == node {
			drop = append(drop, s)
		}
	}
	t.mu.Unlock()
	for _, s := range drop {
		s.abort()
	}
}

// Stats returns the counters.
func (t *TLS) Stats() Stats {
	c := &t.stats
	t.mu.Lock()
	open := len(t.streams)
	t.mu.Unlock()
	return Stats{
		Dialled: c.dialled.Load(), DialFailed: c.dialFailed.Load(), Accepted: c.accepted.Load(), Served: c.served.Load(), Failed: c.failed.Load(),
		Crowded: c.crowded.Load(), Removed: c.removed.Load(), Refused: c.refused.Load(), Open: open,
	}
}

// Close closes the port and all streams, and waits for those who serve them.
func (t *TLS) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil
	}
	t.closed = true
	var open []*stream
	for s := range t.streams {
		open = append(open, s)
	}
	for _, p := range t.pending {
		_ = p.conn.Close() // it is given up
	}
	t.mu.Unlock()
	err := t.listener.Close()
	for _, s := range open {
		s.abort()
	}
	t.running.Wait()
	return err
}

// pending is a connection whose handshake is not over.
type pending struct {
	conn    net.Conn
	crowded bool // closed to make room; under the mesh's lock
}

func (t *TLS) accept() {
	for pause := time.Millisecond; ; {
		conn, err := t.listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			t.cfg.Logger.Warn("the cluster's port could not accept a connection", "error", err) // no files left, for example
			time.Sleep(pause)
			pause = min(2*pause, time.Second)
			continue
		}
		pause = time.Millisecond
		t.stats.accepted.Add(1)
		p := &pending{conn: conn}
		if !t.enter(p) {
			_ = conn.Close() // the mesh is closing
			continue
		}
		t.running.Go(func() { t.receive(p) })
	}
}

// enter takes a connection among those whose handshake is under way. Where there are too many, the oldest makes room: who has something to say
// says it at once.
func (t *TLS) enter(p *pending) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	if len(t.pending) >= maxHandshakes {
		oldest := t.pending[0]
		t.pending = t.pending[1:]
		oldest.crowded = true
		_ = oldest.conn.Close() // it is given up
	}
	t.pending = append(t.pending, p)
	return true
}

// leave ends a handshake, and reports whether it was given up to make room.
func (t *TLS) leave(p *pending) (crowded bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, other := range t.pending {
		if other == p {
			t.pending = append(t.pending[:i], t.pending[i+1:]...)
			break
		}
	}
	return p.crowded
}

// receive shakes hands with whoever connected and hands his stream to its service.
func (t *TLS) receive(p *pending) {
	bounded := &bounded{Conn: p.conn, left: handshakeBytes}
	_ = bounded.SetDeadline(time.Now().Add(handshakeWithin)) // fails only where reading does
	secure, from, err := t.shake(bounded)
	crowded := t.leave(p)
	if err != nil {
		if crowded {
			t.stats.crowded.Add(1)
		} else {
			t.stats.failed.Add(1)
		}
		t.cfg.Logger.Debug("a connection to the cluster's port was refused", "from", p.conn.RemoteAddr(), "error", err)
		_ = p.conn.Close() // it is given up
		return
	}
	service := Service(secure.ConnectionState().NegotiatedProtocol)
	serve, said := t.service(service, from)
	if said == saidRemoved {
		t.cfg.Logger.Warn("a node that was removed from the cluster tried to reach it", "node", fmt.Sprintf("%016x", from), "from", p.conn.RemoteAddr())
	}
	if _, err := secure.Write([]byte{said}); err != nil || said != saidTaken {
		if said == saidTaken && service == ServiceJoin {
			t.strangerLeft()
		}
		_ = secure.Close() // it is given up
		return
	}
	if service == ServiceJoin {
		defer t.strangerLeft()
	}
	bounded.left = unbounded
	s, err := t.track(secure, from)
	if err != nil {
		return
	}
	if err := s.SetDeadline(time.Time{}); err != nil {
		_ = s.Close() // it is gone
		return
	}
	t.stats.served.Add(1)
	serve(from, s)
}

// shake does the handshake as the end that was dialled. From is 0 for a stranger who wants to join.
func (t *TLS) shake(conn net.Conn) (secure *tls.Conn, from uint64, err error) {
	secure = tls.Server(conn, &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			if len(hello.SupportedProtos) != 1 {
				return nil, fmt.Errorf("one service must be asked for, not %d", len(hello.SupportedProtos))
			}
			c := &tls.Config{
				MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true, Certificates: []tls.Certificate{*t.cfg.Certificate()},
				NextProtos: []string{string(ServiceRaft), string(ServiceLog), string(ServiceJoin)},
			}
			if hello.SupportedProtos[0] == string(ServiceJoin) {
				return c, nil
			}
			c.ClientAuth = tls.RequireAnyClientCert
			c.VerifyConnection = func(s tls.ConnectionState) (err error) {
				from, err = proven(s.PeerCertificates, t.cfg.Authority, t.cfg.Cluster, x509.ExtKeyUsageClientAuth, t.cfg.Clock())
				return err
			}
			return c, nil
		},
	})
	return secure, from, secure.Handshake()
}

// service returns who serves a stream, or how it is refused.
func (t *TLS) service(service Service, from uint64) (func(uint64, net.Conn), byte) {
	if service != ServiceJoin && t.cfg.Removed(from) {
		t.stats.removed.Add(1)
		return nil, saidRemoved
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	serve := t.serve[service]
	if serve == nil || service == ServiceJoin && t.strangers >= maxStrangers {
		t.stats.refused.Add(1)
		return nil, saidRefused
	}
	if service == ServiceJoin {
		t.strangers++
	}
	return serve, saidTaken
}

func (t *TLS) strangerLeft() {
	t.mu.Lock()
	t.strangers--
	t.mu.Unlock()
}

// track makes a stream one that Close and Drop close.
func (t *TLS) track(c *tls.Conn, node uint64) (*stream, error) {
	s := &stream{Conn: c, mesh: t, node: node}
	t.mu.Lock()
	closed := t.closed
	if !closed {
		t.streams[s] = true
	}
	t.mu.Unlock()
	if closed {
		_ = c.NetConn().Close() // nobody will use it
		return nil, net.ErrClosed
	}
	return s, nil
}

// stream is an open stream.
type stream struct {
	*tls.Conn
	mesh *TLS
	node uint64 // at the other end; 0: a stranger
}

// Close tells the other end that nothing more comes, and closes the stream.
func (s *stream) Close() error {
	s.forget()
	return s.Conn.Close()
}

// abort closes the stream without a word to the other end, which may not be listening.
func (s *stream) abort() {
	s.forget()
	_ = s.NetConn().Close() // it is given up
}

func (s *stream) forget() {
	s.mesh.mu.Lock()
	delete(s.mesh.streams, s)
	s.mesh.mu.Unlock()
}

// unbounded lifts the bound of a connection.
const unbounded = -1

// bounded is a connection that brings no more than so many bytes. Its bound is lifted by the goroutine that reads.
type bounded struct {
	net.Conn
	left int
}

// Read reads what the bound leaves.
func (b *bounded) Read(p []byte) (int, error) {
	switch {
	case b.left == unbounded:
		return b.Conn.Read(p)
	case b.left == 0:
		return 0, errors.New("too much was sent before the handshake was over")
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}
