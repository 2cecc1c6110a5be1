package stream

import (
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// recordHeader is the length of a TLS record's header, maxRecord the longest record that a client may begin with (RFC 8446
	// section 5.1: 16,384 bytes of plaintext).
	recordHeader = 5
	maxRecord    = recordHeader + 1<<14
	// maxFlight is how many bytes a client may send before the handshake has read them. A client may send frames before it knows
	// that it is let in.
	maxFlight = 256 << 10
	// plainSize is how many decrypted bytes a batch has at most.
	plainSize = 32 << 10
)

var (
	errNotTLS = errors.New("the first bytes are no TLS handshake")
	errFlood  = errors.New("the client sends more than a handshake needs")
)

// again says that no more bytes have come. crypto/tls goes on after errors that are temporary.
type again struct{}

func (again) Error() string   { return "no more bytes have come" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

// hardened gives a listener's TLS configuration, with what every one must have.
type hardened struct {
	base *tls.Config
	last atomic.Pointer[hardening]
}

// hardening remembers what became of the configuration that GetConfigForClient gave last.
type hardening struct{ from, to *tls.Config }

// harden returns a listener's configuration, or says what is wrong with it.
func harden(config *tls.Config) (*hardened, error) {
	h := new(hardened)
	base, err := mutual(config)
	if err != nil {
		return nil, err
	}
	if choose := config.GetConfigForClient; choose != nil {
		base.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			chosen, err := choose(hello)
			if chosen == nil || err != nil {
				return nil, err
			}
			if last := h.last.Load(); last != nil && last.from == chosen {
				return last.to, nil
			}
			to, err := mutual(chosen)
			if err != nil {
				return nil, err
			}
			h.last.Store(&hardening{chosen, to})
			return to, nil
		}
	}
	h.base = base
	return h, nil
}

// mutual returns the configuration with TLS 1.3 alone and without resumption, if it asks for a client certificate.
func mutual(config *tls.Config) (*tls.Config, error) {
	switch {
	case config.ClientAuth == tls.RequireAndVerifyClientCert:
	case config.ClientAuth == tls.RequireAnyClientCert && (config.VerifyConnection != nil || config.VerifyPeerCertificate != nil):
	default:
		return nil, errors.New("TLS configuration: it must require and verify a client certificate")
	}
	c := config.Clone()
	c.MinVersion, c.MaxVersion = tls.VersionTLS13, tls.VersionTLS13
	c.SessionTicketsDisabled = true
	return c, nil
}

// secure is TLS on a connection.
type secure struct {
	wire  wire
	conn  *tls.Conn
	state *tls.ConnectionState // after the handshake
}

// hello waits for the first record of a client, so that nobody gets a goroutine before he said something, and then begins the
// handshake.
func (c *Conn) hello(data []byte) {
	if len(data) == 0 {
		return
	}
	first := data[:min(len(data), maxRecord-len(c.partial))]
	if !c.keep(first, maxRecord) {
		return
	}
	switch length := firstRecord(c.partial); {
	case length < 0:
		c.breakOff(HandshakeFailed, errNotTLS)
		return
	case length == 0 || len(c.partial) < length:
		return
	}
	l := c.loop
	if l.engine.handshakes.Add(1) > int64(l.config.Limits.Handshakes) {
		l.engine.handshakes.Add(-1)
		c.breakOff(RefusedHandshakes, nil)
		return
	}
	c.secure = &secure{wire: wire{loop: l, handle: c.handle, local: c.gnet.LocalAddr(), remote: net.TCPAddrFromAddrPort(c.remote)}}
	w := &c.secure.wire
	w.came.L = &w.mu
	w.in = append(w.in, c.partial...)
	w.in = append(w.in, data[len(first):]...)
	c.release()
	c.secure.conn = tls.Server(w, c.door.tls.base)
	c.phase = phaseHandshake
	l.engine.wait.Go(c.secure.handshake)
}

// firstRecord returns the length of the record with which a client begins, 0 if more bytes are needed to tell, or less if it is
// no handshake of TLS.
func firstRecord(data []byte) int {
	const handshake, major = 22, 3
	if data[0] != handshake || len(data) > 1 && data[1] != major {
		return -1
	}
	if len(data) < recordHeader {
		return 0
	}
	length := recordHeader + int(binary.BigEndian.Uint16(data[3:]))
	if length > maxRecord {
		return -1
	}
	return length
}

// handshake speaks with the client until both sides know each other. It runs in a goroutine of its own: a signature takes longer
// than a loop may stand still, and crypto/tls waits for bytes.
func (s *secure) handshake() {
	err := s.conn.Handshake()
	w := &s.wire
	w.loop.engine.handshakes.Add(-1)
	w.tell(news{over: true, err: err})
}

// news is what a handshake tells its loop: bytes to send, and that it is over. A refusal comes in one piece with its alert, or the
// client could be gone before the loop knows why.
type news struct {
	handle Handle
	data   []byte
	over   bool
	err    error
}

// tell takes the news on the loop.
func (n news) tell(l *Loop) {
	c := l.Conn(n.handle)
	if c == nil || c.phase != phaseHandshake {
		return
	}
	c.out = append(c.out, n.data...)
	c.change()
	if !n.over {
		return
	}
	if n.err != nil {
		c.endWith(HandshakeFailed, n.err)
		return
	}
	if c.flush(); c.phase == phaseGone {
		return
	}
	l.stats.Handshakes.Add(1)
	state := c.secure.conn.ConnectionState()
	c.secure.state, c.secure.wire.live = &state, true
	c.phase = phaseOpen
	c.deadline = l.at + int64(l.config.Timeouts.FirstByte)
	c.decrypt()
	c.arm()
}

// decrypt takes what crypto/tls makes of the bytes in the wire.
func (c *Conn) decrypt() {
	l := c.loop
	if l.plain == nil {
		l.plain = make([]byte, plainSize)
	}
	s := c.secure
	var err error
	for err == nil && c.phase == phaseOpen {
		n, k := 0, 0
		for err == nil && n < plainSize {
			k, err = s.conn.Read(l.plain[n:])
			n += k
		}
		if n > 0 {
			c.feed(l.plain[:n])
		}
	}
	s.wire.in = nil
	switch {
	case err == nil || errors.Is(err, again{}):
	case errors.Is(err, io.EOF):
		c.endWith(ClosedByPeer, nil)
	default:
		c.endWith(TLSBroken, err)
	}
	if len(s.wire.out) > 0 {
		c.change()
	}
}

// seal returns what is to be sent for the given bytes, with the end of TLS where that is to follow. Before the handshake is over
// the bytes are its own.
func (s *secure) seal(data []byte, last bool) []byte {
	w := &s.wire
	if !w.live {
		return append([]byte(nil), data...)
	}
	if w.out == nil {
		w.out = w.loop.outs.take(len(data))
	}
	if len(data) > 0 {
		_, _ = s.conn.Write(data) // the wire takes everything; a broken connection is closed by who broke it
	}
	if last {
		_ = s.conn.CloseWrite()
	}
	sealed := w.out
	w.out = nil
	return sealed
}

// wire is what crypto/tls takes for the network. During the handshake the loop pushes what comes and a goroutine waits for it; after
// it the wire is live and everything happens on the loop, where reading never waits.
type wire struct {
	loop          *Loop
	handle        Handle
	local, remote net.Addr
	live          bool
	out           []byte // bytes for the client: of this batch, or of this flight of the handshake

	mu     sync.Mutex // until live
	came   sync.Cond
	in     []byte
	closed bool
}

var _ net.Conn = (*wire)(nil)

// push adds what came during the handshake; false means that it is too much.
func (w *wire) push(data []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.in)+len(data) > maxFlight {
		return false
	}
	w.in = append(w.in, data...)
	w.came.Signal()
	return true
}

// close ends a handshake under way.
func (w *wire) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	w.came.Signal()
}

// Read returns bytes of the client.
func (w *wire) Read(p []byte) (int, error) {
	if !w.live {
		if len(w.out) > 0 {
			w.tell(news{})
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for len(w.in) == 0 && !w.closed {
			w.came.Wait()
		}
		if w.closed {
			return 0, net.ErrClosed
		}
	}
	if len(w.in) == 0 {
		return 0, again{}
	}
	n := copy(p, w.in)
	w.in = w.in[n:]
	return n, nil
}

// Write adds bytes for the client. During the handshake they leave when it waits for the answer.
func (w *wire) Write(p []byte) (int, error) {
	w.out = append(w.out, p...)
	return len(p), nil
}

// tell hands what was written to the loop, during the handshake.
func (w *wire) tell(n news) {
	n.handle, n.data = w.handle, w.out
	w.out = nil
	w.loop.news.Put(n)
}

// Close does nothing: the loop closes.
func (w *wire) Close() error { return nil }

// LocalAddr returns the listener's address.
func (w *wire) LocalAddr() net.Addr { return w.local }

// RemoteAddr returns the client's address, that of the PROXY header where there was one.
func (w *wire) RemoteAddr() net.Addr { return w.remote }

// SetDeadline does nothing: the loop keeps the time.
func (w *wire) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing: the loop keeps the time.
func (w *wire) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing: a write never waits.
func (w *wire) SetWriteDeadline(time.Time) error { return nil }
