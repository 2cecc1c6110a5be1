package stream

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"trine/protocols/internal/listen"
)

const (
	asked       = 60 // bytes of a TACACS+ authorization request
	answered    = 20 // and of its reply
	inFlight    = 32
	connections = 10
)

// mirror answers 60 bytes with 20.
type mirror struct{}

func (mirror) Open(c *Conn) Admission {
	p, _ := c.Remote().Addr().Prefix(8)
	return Admission{Client: p, Limit: 1 << 20}
}

func (mirror) Frames(c *Conn, frames [][]byte) {
	for _, f := range frames {
		c.Write(f[:answered])
	}
}
func (mirror) Closed(*Conn, Cause) {}
func (mirror) Wake()               {}
func (mirror) Expired(uint64)      {}
func (mirror) EndBatch()           {}
func (mirror) Drain()              {}
func (mirror) Pending() int        { return 0 }

func startMirror(t testing.TB, l Listener) *Engine {
	t.Helper()
	e, err := Start(Config{
		Listeners: []Listener{l}, Loops: 1, NewHandler: func(*Loop) Handler { return mirror{} },
		Framing: Framing{Header: 12, Max: 1024, Length: func(h []byte) int { return 12 + int(binary.BigEndian.Uint32(h[8:])) }},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = e.Stop(context.Background()) })
	return e
}

// request is a frame of TACACS+ as far as its length goes.
func request() []byte {
	f := make([]byte, asked)
	f[11] = asked - 12
	return f
}

// TestFramesAllocateNothing counts everything that is allocated in the process while frames go back and forth.
func TestFramesAllocateNothing(t *testing.T) {
	a := newAuthority(t)
	for name, tc := range map[string]struct {
		tls  *tls.Config
		most float64 // allocations in all for 32 frames
	}{
		"TCP": {nil, 0},
		"TLS": {a.server(t, "server"), inFlight / 2}, // crypto/tls: 6, on both sides together and for reads, not frames; more where the race detector empties its pools
	} {
		t.Run(name, func(t *testing.T) {
			e := startMirror(t, Listener{Name: "test", Addr: "127.0.0.1:0", TLS: tc.tls})
			var c io.ReadWriter = rawConn(t, e)
			if tc.tls != nil {
				c = tls.Client(dial(t, e), a.client(t))
			}
			var batch []byte
			for range inFlight {
				batch = append(batch, request()...)
			}
			// The cut lies within a frame, so that there is one to be put together too.
			first, second := batch[:10*asked+30], batch[10*asked+30:]
			answers := make([]byte, inFlight*answered)
			exchange := func() {
				_, _ = c.Write(first)
				_, _ = io.ReadFull(c, answers[:10*answered])
				_, _ = c.Write(second)
				_, _ = io.ReadFull(c, answers[10*answered:])
			}
			for range 100 {
				exchange()
			}
			if n := testing.AllocsPerRun(1000, exchange); n > tc.most {
				t.Fatalf("%v allocations for %d frames, want at most %v", n, inFlight, tc.most)
			} else {
				t.Logf("%v allocations for %d frames", n, inFlight)
			}
			if e.Totals().Frames < 1000*inFlight {
				t.Fatal("the frames did not come")
			}
		})
	}
}

// raw is a client that waits in system calls and allocates nothing.
type raw int

func rawConn(t testing.TB, e *Engine) raw {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(e.Addr(0).Port()), Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	return raw(fd)
}

func (r raw) Write(p []byte) (int, error) { return unix.Write(int(r), p) }
func (r raw) Read(p []byte) (int, error) {
	n, err := unix.Read(int(r), p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}

// BenchmarkEcho sends 60 bytes and gets 20, on 10 connections with 32 frames in flight on each: a bare gnet echo, this
// package, and this package with TLS, in one run. An operation is one frame; the generator's share is in it.
func BenchmarkEcho(b *testing.B) {
	a := newAuthority(b)
	b.Run("bare gnet", func(b *testing.B) {
		addr := startBare(b)
		drive(b, func() net.Conn { return dialAddr(b, addr) })
	})
	b.Run("stream", func(b *testing.B) {
		e := startMirror(b, Listener{Name: "test", Addr: "127.0.0.1:0"})
		drive(b, func() net.Conn { return dialAddr(b, e.Addr(0).String()) })
		t := e.Totals()
		b.ReportMetric(float64(t.Frames)/float64(max(t.Batches, 1)), "frames/batch")
	})
	b.Run("stream TLS", func(b *testing.B) {
		e := startMirror(b, Listener{Name: "test", Addr: "127.0.0.1:0", TLS: a.server(b, "server")})
		config := a.client(b)
		drive(b, func() net.Conn { return tls.Client(dialAddr(b, e.Addr(0).String()), config) })
	})
}

// BenchmarkConnection opens a connection for each frame, one after another. The TLS handshakes differ in how the key is agreed on:
// as crypto/tls likes best (with ML-KEM, against what a quantum computer could do to recordings), and by P-256 alone.
func BenchmarkConnection(b *testing.B) {
	a := newAuthority(b)
	for _, tc := range []struct {
		name   string
		secure bool
		curves []tls.CurveID
	}{{"TCP", false, nil}, {"TLS", true, nil}, {"TLS P-256", true, []tls.CurveID{tls.CurveP256}}} {
		b.Run(tc.name, func(b *testing.B) {
			l := Listener{Name: "test", Addr: "127.0.0.1:0"}
			if tc.secure {
				l.TLS = a.server(b, "server")
			}
			e := startMirror(b, l)
			config := a.client(b)
			config.CurvePreferences = tc.curves
			buf := make([]byte, answered)
			b.ReportAllocs()
			for b.Loop() {
				c, err := net.Dial("tcp4", e.Addr(0).String())
				if err != nil {
					b.Fatal(err)
				}
				if tc.secure {
					c = tls.Client(c, config)
				}
				if _, err := c.Write(request()); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(c, buf); err != nil {
					b.Fatal(err)
				}
				_ = c.Close()
			}
		})
	}
}

func dialAddr(t testing.TB, addr string) net.Conn {
	c, err := net.Dial("tcp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// drive spreads b.N frames over the connections.
func drive(b *testing.B, dial func() net.Conn) {
	b.Helper()
	var batch []byte
	for range inFlight {
		batch = append(batch, request()...)
	}
	clients := make([]net.Conn, connections)
	for i := range clients {
		clients[i] = dial()
		if _, err := clients[i].Write(batch); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(clients[i], make([]byte, inFlight*answered)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	var wait sync.WaitGroup
	for _, c := range clients {
		wait.Go(func() {
			answers := make([]byte, inFlight*answered)
			for left := b.N / connections; left > 0; left -= inFlight {
				if _, err := c.Write(batch); err != nil {
					b.Error(err)
					return
				}
				if _, err := io.ReadFull(c, answers); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
}

// bare is a gnet echo without any of what this package does.
type bare struct {
	gnet.BuiltinEventEngine
	engine gnet.Engine
	out    []byte
	booted chan struct{}
}

func (m *bare) OnBoot(e gnet.Engine) gnet.Action {
	m.engine = e
	return gnet.None
}

func (m *bare) OnTick() (time.Duration, gnet.Action) {
	select {
	case <-m.booted:
	default:
		close(m.booted)
	}
	return time.Hour, gnet.None
}

func (m *bare) OnTraffic(c gnet.Conn) gnet.Action {
	n := c.InboundBuffered() / asked * asked
	if n == 0 {
		return gnet.None
	}
	data, _ := c.Peek(n)
	m.out = m.out[:0]
	for ; len(data) > 0; data = data[asked:] {
		m.out = append(m.out, data[:answered]...)
	}
	_, _ = c.Discard(n)
	_, _ = c.Write(m.out)
	return gnet.None
}

func startBare(b *testing.B) string {
	b.Helper()
	fd, port, err := listen.Bind(listen.TCP, netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = unix.Close(fd) }()
	addr := "127.0.0.1:" + strconv.Itoa(int(port))
	m := &bare{booted: make(chan struct{})}
	ended := make(chan error, 1)
	go func() {
		ended <- gnet.Run(m, "tcp4://"+addr, gnet.WithNumEventLoop(1), gnet.WithTicker(true), gnet.WithReusePort(true), gnet.WithReuseAddr(true))
	}()
	<-m.booted
	b.Cleanup(func() {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		_ = m.engine.Stop(over)
		<-ended
	})
	return addr
}
