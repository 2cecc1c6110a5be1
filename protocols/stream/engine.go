package stream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"trine/protocols/internal/listen"
	"trine/protocols/internal/timer"
)

// Listener is one configured address.
type Listener struct {
	// Name says in logs and errors what listens, for example "tacacs".
	Name string
	// Addr is host:port. The host is an IP address, with its zone if it is link-local, or a wildcard: 0.0.0.0 all of IPv4, [::] all
	// of IPv6, none (":49") both. Port 0 is given by the system.
	Addr string
	// Setting is the name of the setting that moves the listener; an error about a port in use names it.
	Setting string
	// TLS, if it is there, makes every connection begin with a TLS 1.3 handshake in which the client proves a certificate. The
	// configuration must ask for one: ClientAuth is tls.RequireAndVerifyClientCert, or tls.RequireAnyClientCert with VerifyConnection.
	// Its GetConfigForClient may give another one for each connection, so that certificates change at run time; what it gives
	// must ask for a certificate too. Sessions are never resumed: each connection proves its certificate.
	TLS *tls.Config
	// Proxies are the addresses from which each connection must begin with a PROXY header (version 1 or 2), before TLS. From all
	// others such a header is refused.
	Proxies []netip.Prefix
}

// Framing cuts a stream into frames.
type Framing struct {
	// Header is how many bytes of a frame Length needs.
	Header int
	// Length returns how long the frame is that begins with the given header, in bytes, its header included. A length below Header or
	// above Max closes the connection. It is called on any loop and must not keep the header.
	Length func(header []byte) int
	// Max is the longest frame, in bytes.
	Max int
}

// Limits bound what connections cost. Zero means the default.
type Limits struct {
	// Connections is how many may be open in all, 65,536 by default. When the process may open fewer files than that, the last
	// of them are refused to connections, so that logs and databases can still be opened. At either limit a new connection takes the place of
	// the oldest that has not brought a whole frame; it is refused where there is none.
	Connections int
	// Handshakes is how many TLS handshakes may be under way, 256 by default.
	Handshakes int
	// Outbound is how many bytes may wait for one client that does not read, 256 KiB by default.
	Outbound int
	// Partial is how many bytes incomplete frames may hold in all, 64 MiB by default.
	Partial int
}

// Timeouts bound how long a connection may be in a state. Zero means the default.
type Timeouts struct {
	// FirstByte is from the connection's beginning, or that of the TLS inside it, to its first byte: 10 s.
	FirstByte time.Duration
	// Handshake is from the first byte to the end of the PROXY header and the TLS handshake: 10 s.
	Handshake time.Duration
	// Frame is from a frame's first byte to its last: 10 s.
	Frame time.Duration
	// Idle is from the last whole frame or answer to the next frame's first byte: 5 min.
	Idle time.Duration
	// Write is how long a client may take nothing of what waits for it: 10 s.
	Write time.Duration
	// Linger is how long a connection waits for the client to close after Conn.Close: 2 s.
	Linger time.Duration
}

// Config configures an Engine.
type Config struct {
	Listeners []Listener
	// Loops is how many loops run; 0 means GOMAXPROCS.
	Loops int
	// NewHandler makes the handler of a loop. It must not call the loop yet.
	NewHandler func(*Loop) Handler
	Framing    Framing
	Limits     Limits
	Timeouts   Timeouts
	// Clock gives the time; nil means time.Now.
	Clock  func() time.Time
	Logger *slog.Logger

	// files is how many files the process may open; 0 asks the system. Tests set it.
	files int
}

// descriptorReserve is how many file descriptors are left to the rest of the process.
const descriptorReserve = 128

// ErrPortInUse means that another process listens at an address.
var ErrPortInUse = listen.ErrPortInUse

// Engine runs the loops of all TCP listeners of a process.
type Engine struct {
	config      Config
	start       time.Time
	addrs       []netip.AddrPort // of each listener, with the port that the system chose
	group       *group
	clients     clients
	connections atomic.Int64 // open in all
	handshakes  atomic.Int64 // under way
	descriptors int          // connections get file descriptors below this one
	draining    atomic.Bool
	wait        sync.WaitGroup // handshakes

	failed atomic.Pointer[error]
	done   chan struct{}
	once   sync.Once
}

// Start opens all listeners and starts the loops. The listeners are open when it returns. An error wraps ErrPortInUse where
// another process has the port.
func Start(config Config) (*Engine, error) {
	if config.Loops <= 0 {
		config.Loops = runtime.GOMAXPROCS(0)
	}
	if config.Clock == nil {
		config.Clock = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	config.Limits.complete()
	config.Timeouts.complete()
	if len(config.Listeners) == 0 {
		return nil, errors.New("start connection loops: no listener is configured")
	}
	if f := config.Framing; f.Header <= 0 || f.Max < f.Header || f.Length == nil {
		return nil, errors.New("start connection loops: the protocol does not say how long its frames are")
	}
	e := &Engine{
		config: config, start: config.Clock(), addrs: make([]netip.AddrPort, len(config.Listeners)),
		clients: clients{open: make(map[netip.Prefix]*client)}, done: make(chan struct{}),
	}
	if err := e.limitDescriptors(); err != nil {
		return nil, err
	}
	g, err := newGroup(e)
	if err != nil {
		return nil, err
	}
	if err := g.run(); err != nil {
		return nil, err
	}
	e.group = g
	return e, nil
}

// Addr returns the address of a listener, with the port that the system chose. For a wildcard it is the wildcard.
func (e *Engine) Addr(listener int) netip.AddrPort { return e.addrs[listener] }

// Done is closed when the loops have ended, by Stop or because they failed.
func (e *Engine) Done() <-chan struct{} { return e.done }

// Err returns why the loops ended by themselves, or nil.
func (e *Engine) Err() error {
	if err := e.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Totals are the engine's counters over all its loops.
type Totals struct {
	Loops, Open, HandshakesUnderWay int
	// Accepted counts connections that a handler took, Handshakes those whose TLS handshake succeeded.
	Accepted, Handshakes uint64
	// Frames counts whole frames and Batches the calls of Handler.Frames that brought them. BytesIn and BytesOut are those of the
	// connections, TLS included.
	Frames, Batches, BytesIn, BytesOut uint64
	// Ended counts connections that were refused or closed, by cause.
	Ended [Causes]uint64
}

// Totals adds up the counters of all loops. Any goroutine may call it.
func (e *Engine) Totals() Totals {
	t := Totals{Loops: len(e.group.loops), Open: int(e.connections.Load()), HandshakesUnderWay: int(e.handshakes.Load())}
	for _, l := range e.group.loops {
		s := &l.stats
		t.Accepted += s.Accepted.Load()
		t.Handshakes += s.Handshakes.Load()
		t.Frames += s.Frames.Load()
		t.Batches += s.Batches.Load()
		t.BytesIn += s.BytesIn.Load()
		t.BytesOut += s.BytesOut.Load()
		for cause := range t.Ended {
			t.Ended[cause] += s.Ended[cause].Load()
		}
	}
	return t
}

// Stop refuses new connections, lets the handlers finish what they have (Handler.Drain) until ctx ends, then closes all
// connections and stops the loops. It returns ctx's error if something was left unfinished. It is called once.
func (e *Engine) Stop(ctx context.Context) error {
	e.draining.Store(true)
	loops := e.group.loops
	left := int64(0)
	err := e.await(ctx, func() bool {
		left = 0
		for _, l := range loops {
			if l.runner.Load() != nil && !l.told.Load() { // asked first: pending is what it was then or later
				left++
			}
			left += l.pending.Load()
		}
		return left == 0
	})
	if err != nil {
		err = fmt.Errorf("drain connection loops, %d answers left: %w", left, err)
	}
	for _, l := range loops {
		l.ending.Store(true)
	}
	// A loop that hangs in its handler must not keep the process from ending.
	bounded, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = e.await(bounded, func() bool {
		for _, l := range loops {
			if l.runner.Load() != nil && !l.ended.Load() {
				return false
			}
		}
		return true
	})
	e.group.stop()
	e.wait.Wait()
	e.finish(nil)
	return err
}

// await wakes the loops until they have done something.
func (e *Engine) await(ctx context.Context, done func() bool) error {
	for {
		for _, l := range e.group.loops {
			l.Wake()
		}
		if done() {
			return nil
		}
		select {
		case <-e.done: // they failed
			return nil
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(timer.Tick):
		}
	}
}

func (e *Engine) finish(err error) {
	e.once.Do(func() {
		if err != nil {
			e.failed.Store(&err)
		}
		close(e.done)
	})
}

// limitDescriptors learns how many files the process may open.
func (e *Engine) limitDescriptors() error {
	most := e.config.files
	if most == 0 {
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return fmt.Errorf("start connection loops: read how many files may be open: %w", err)
		}
		most = int(min(limit.Cur, 1<<30))
	}
	e.descriptors = most - min(descriptorReserve, most/4)
	if e.descriptors < e.config.Limits.Connections {
		e.config.Logger.Warn("fewer files may be open than connections are allowed: raise the limit on open files (LimitNOFILE, ulimit -n)",
			slog.Int("files", most), slog.Int("connections", e.config.Limits.Connections))
	}
	return nil
}

func (l *Limits) complete() {
	for _, d := range []struct {
		value *int
		or    int
	}{{&l.Connections, 65536}, {&l.Handshakes, 256}, {&l.Outbound, 256 << 10}, {&l.Partial, 64 << 20}} {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
}

func (t *Timeouts) complete() {
	for _, d := range []struct {
		value *time.Duration
		or    time.Duration
	}{
		{&t.FirstByte, 10 * time.Second},
		{&t.Handshake, 10 * time.Second},
		{&t.Frame, 10 * time.Second},
		{&t.Idle, 5 * time.Minute},
		{&t.Write, 10 * time.Second},
		{&t.Linger, 2 * time.Second},
	} {
		if *d.value <= 0 {
			*d.value = d.or
		}
	}
}
