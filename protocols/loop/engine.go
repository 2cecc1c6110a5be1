package loop

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"trine/protocols/internal/listen"
	"trine/protocols/internal/timer"
)

// Listener is one configured address.
type Listener struct {
	// Name says in logs and errors what listens, for example "radius authentication".
	Name string
	// Addr is host:port. The host is an IP address, with its zone if it is link-local, or a wildcard, which means one socket for
	// each address that this machine has: 0.0.0.0 all of IPv4, [::] all of IPv6, none (":1812") both. Port 0 is given by the system.
	Addr string
	// Setting is the name of the setting that moves the listener; an error about a port in use names it.
	Setting string
}

// Config configures an Engine.
type Config struct {
	Listeners []Listener
	// Loops is how many loops run; 0 means GOMAXPROCS.
	Loops int
	// NewHandler makes the handler of a loop. It must not call the loop yet.
	NewHandler func(*Loop) Handler
	// MaxDatagram is the longest datagram that the protocol knows, in bytes; longer ones arrive cut. 0 means 4,096.
	MaxDatagram int
	// ReceiveBuffer and SendBuffer are what is asked of the kernel for each socket, in bytes; 0 means 4 MiB and 1 MiB.
	ReceiveBuffer, SendBuffer int
	// AddressPoll is how often a wildcard looks for new addresses; 0 means 3 s.
	AddressPoll time.Duration
	// Clock gives the time; nil means time.Now.
	Clock  func() time.Time
	Logger *slog.Logger

	// addresses lists this machine's addresses; tests replace it.
	addresses func() ([]netip.Addr, error)
}

// ErrPortInUse means that another process listens at an address.
var ErrPortInUse = listen.ErrPortInUse

// Engine runs the loops of all UDP listeners of a process.
type Engine struct {
	config Config
	start  time.Time
	ports  []atomic.Uint32 // of each listener, after the system chose
	ctx    context.Context
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu     sync.Mutex
	groups []*group
	loops  int             // numbers given out
	bound  map[binding]int // group that holds it, by its sequence
	seq    int
	failed atomic.Pointer[error]
	done   chan struct{}
	once   sync.Once
}

// binding is one address of one listener.
type binding struct {
	listener int
	addr     netip.AddrPort
	wildcard bool // it was found, not asked for
}

// Start opens all listeners and starts the loops. The listeners are open when it returns. An error wraps ErrPortInUse where
// another process has the port.
func Start(config Config) (*Engine, error) {
	if config.Loops <= 0 {
		config.Loops = runtime.GOMAXPROCS(0)
	}
	if config.MaxDatagram <= 0 {
		config.MaxDatagram = 4096
	}
	if config.ReceiveBuffer <= 0 {
		config.ReceiveBuffer = 4 << 20
	}
	if config.SendBuffer <= 0 {
		config.SendBuffer = 1 << 20
	}
	if config.AddressPoll <= 0 {
		config.AddressPoll = 3 * time.Second
	}
	if config.Clock == nil {
		config.Clock = time.Now
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	if config.addresses == nil {
		config.addresses = localAddresses
	}
	if len(config.Listeners) == 0 {
		return nil, errors.New("start packet loops: no listener is configured")
	}
	e := &Engine{
		config: config, start: config.Clock(), ports: make([]atomic.Uint32, len(config.Listeners)),
		bound: make(map[binding]int), done: make(chan struct{}),
	}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	wanted, wildcard, err := e.wanted()
	if err != nil {
		e.cancel()
		return nil, err
	}
	g, err := e.open(wanted)
	if err != nil {
		e.cancel()
		return nil, err
	}
	g.permanent = true
	if wildcard {
		e.wait.Go(e.follow)
	}
	return e, nil
}

// Addr returns the address of a listener, with the port that the system chose. For a wildcard it is the wildcard.
func (e *Engine) Addr(listener int) netip.AddrPort {
	host, _, err := listen.Parse(e.config.Listeners[listener].Addr)
	if err != nil || !host.IsValid() {
		host = netip.IPv6Unspecified()
	}
	return netip.AddrPortFrom(host, e.port(listener))
}

func (e *Engine) port(listener int) uint16 { return uint16(e.ports[listener].Load()) }

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
	Loops, Sockets                                                int
	Received, ReceiveCalls, Sent, SendCalls, SendFull, SendFailed uint64
	// KernelDropped counts datagrams that the kernel dropped because a socket's receive buffer was full.
	KernelDropped uint64
}

// Totals adds up the counters of all loops that run. Any goroutine may call it.
func (e *Engine) Totals() Totals {
	e.mu.Lock()
	defer e.mu.Unlock()
	var t Totals
	for _, g := range e.groups {
		t.Loops += len(g.loops)
		for _, l := range g.loops {
			t.Received += l.stats.Received.Load()
			t.ReceiveCalls += l.stats.ReceiveCalls.Load()
			t.Sent += l.stats.Sent.Load()
			t.SendCalls += l.stats.SendCalls.Load()
			t.SendFull += l.stats.SendFull.Load()
			t.SendFailed += l.stats.SendFailed.Load()
		}
		sockets, drops := g.kernel()
		t.Sockets += sockets
		t.KernelDropped += drops
	}
	return t
}

// Stop lets the handlers finish what they have (Handler.Drain), until ctx ends, and stops the loops. It returns ctx's error if
// something was left unfinished.
func (e *Engine) Stop(ctx context.Context) error {
	e.cancel()
	e.wait.Wait()
	e.mu.Lock()
	groups := e.groups
	e.mu.Unlock()
	err := drain(ctx, groups)
	for _, g := range groups {
		g.stop()
	}
	e.finish(nil)
	return err
}

// drain waits until no loop has an answer to give.
func drain(ctx context.Context, groups []*group) error {
	for _, g := range groups {
		for _, l := range g.loops {
			l.draining.Store(true)
			l.Wake()
		}
	}
	for {
		pending := int64(0)
		for _, g := range groups {
			for _, l := range g.loops {
				if l.runner.Load() != nil && !l.told.Load() {
					pending++ // it has not heard yet; asked first, because what is pending is of then or later
				}
				pending += l.pending.Load()
			}
		}
		if pending == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("drain packet loops, %d answers left: %w", pending, ctx.Err())
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

// open starts a group of loops for the given bindings.
func (e *Engine) open(wanted []binding) (*group, error) {
	probes, bindings, err := e.probe(wanted)
	if err != nil {
		return nil, err
	}
	g := newGroup(e, bindings)
	if err := g.run(probes); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	g.sequence = e.seq
	e.seq++
	e.groups = append(e.groups, g)
	for _, b := range bindings {
		e.bound[b] = g.sequence
	}
	return g, nil
}
