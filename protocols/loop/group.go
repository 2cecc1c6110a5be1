package loop

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"

	"trine/protocols/internal/listen"
	"trine/protocols/internal/timer"
	"trine/protocols/internal/waker"
)

// group is one gnet engine with its loops: the one that an Engine starts with, or a later one for addresses that came.
type group struct {
	gnet.BuiltinEventEngine

	engine    *Engine
	bindings  []binding
	listeners map[netip.AddrPort]int
	loops     []*Loop
	alarm     *timer.Alarm
	sequence  int
	permanent bool

	gnet   gnet.Engine
	ready  chan struct{} // closed at the first tick: gnet ticks after all its sockets are open
	once   sync.Once
	probes []*probe
	ended  chan error
	wait   sync.WaitGroup

	mu      sync.Mutex
	sockets atomic.Pointer[[]*Socket] // by file descriptor
	runners map[gnet.EventLoop]*Loop
	retired bool
}

func newGroup(e *Engine, bindings []binding) *group {
	g := &group{
		engine: e, bindings: bindings, listeners: make(map[netip.AddrPort]int), alarm: timer.NewAlarm(e.start, e.config.Clock),
		ready: make(chan struct{}), ended: make(chan error, 1), runners: make(map[gnet.EventLoop]*Loop),
	}
	for _, b := range bindings {
		g.listeners[b.addr] = b.listener
	}
	for range e.config.Loops {
		g.loops = append(g.loops, newLoop(e.loops, &e.config, e.start, g.alarm))
		e.loops++
	}
	return g
}

// run starts gnet and returns when all its sockets are open. It takes over the probes.
func (g *group) run(probes []*probe) error {
	g.probes = probes
	addrs := make([]string, len(g.bindings))
	for i, b := range g.bindings {
		addrs[i] = "udp4://" + b.addr.String()
		if b.addr.Addr().Is6() {
			addrs[i] = "udp6://" + b.addr.String()
		}
	}
	c := &g.engine.config
	go func() {
		g.ended <- gnet.Rotate(g, addrs, gnet.WithNumEventLoop(len(g.loops)), gnet.WithTicker(true),
			gnet.WithSocketRecvBuffer(c.ReceiveBuffer), gnet.WithSocketSendBuffer(c.SendBuffer), gnet.WithLogger(listen.Logger{To: c.Logger}))
	}()
	select {
	case err := <-g.ended:
		closeProbes(g.probes)
		return fmt.Errorf("open packet listeners: %w", err)
	case <-g.ready:
	}
	sleepers := make([]timer.Loop, len(g.loops))
	for i, l := range g.loops {
		sleepers[i] = l
	}
	g.wait.Go(func() { g.alarm.Run(sleepers) })
	g.wait.Go(func() {
		err := <-g.ended
		g.mu.Lock()
		retired := g.retired
		g.mu.Unlock()
		if retired {
			return
		}
		if err == nil {
			err = fmt.Errorf("the packet loops ended by themselves")
		}
		c.Logger.Error("packet loops failed", slog.Any("error", err))
		g.engine.finish(err)
	})
	return nil
}

// stop ends the loops without draining them; a second call does nothing.
func (g *group) stop() {
	g.mu.Lock()
	stopped := g.retired
	g.retired = true
	g.mu.Unlock()
	if stopped {
		return
	}
	g.alarm.Stop()
	// Stop polls every half second for the end, which the goroutine that runs gnet sees at once; its only error is a second Stop.
	over, cancel := context.WithCancel(context.Background())
	cancel()
	_ = g.gnet.Stop(over)
	g.wait.Wait()
	for _, l := range g.loops {
		if r := l.runner.Load(); r != nil {
			r.waker.Close()
		}
	}
}

// OnBoot is called when the sockets of the first loop are open: from then on nobody else can take the ports.
func (g *group) OnBoot(eng gnet.Engine) gnet.Action {
	g.gnet = eng
	closeProbes(g.probes)
	return gnet.None
}

// OnTick is called once, when all sockets are open.
func (g *group) OnTick() (delay time.Duration, action gnet.Action) {
	g.once.Do(func() { close(g.ready) })
	return 24 * time.Hour, gnet.None
}

// OnOpen is called for the loop's end of its waker: sockets of datagrams are not opened.
func (g *group) OnOpen(c gnet.Conn) (out []byte, action gnet.Action) {
	if w, ok := c.Context().(*waker.Waker); ok {
		w.Open()
	}
	return nil, gnet.None
}

// OnTraffic is called for every datagram that gnet reads.
func (g *group) OnTraffic(c gnet.Conn) gnet.Action {
	fd := c.Fd()
	if known := g.sockets.Load(); known != nil && fd < len(*known) {
		if s := (*known)[fd]; s != nil {
			s.owner.traffic(s, c)
			return gnet.None
		}
	}
	if w, ok := c.Context().(*waker.Waker); ok {
		w.Run(c)
		return gnet.None
	}
	if s := g.meet(fd, c); s != nil {
		s.owner.traffic(s, c)
	}
	return gnet.None
}

// meet learns which loop and listener a socket belongs to, at its first datagram.
func (g *group) meet(fd int, c gnet.Conn) *Socket {
	udp, ok := c.LocalAddr().(*net.UDPAddr)
	if !ok {
		return nil
	}
	local := udp.AddrPort()
	local = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.runners[c.EventLoop()]
	if l == nil {
		l = g.loops[len(g.runners)]
		g.runners[c.EventLoop()] = l
		r := &runner{loop: c.EventLoop()}
		var err error
		if r.waker, err = waker.New(r.loop, func() { _ = l.run(context.Background()) }); err != nil {
			g.engine.config.Logger.Warn("a loop is woken the slow way", slog.Any("error", err))
		}
		l.runner.Store(r)
	}
	s := l.attach(fd, g.listeners[local], local)
	var known []*Socket
	if old := g.sockets.Load(); old != nil {
		known = append(known, *old...)
	}
	for len(known) <= fd {
		known = append(known, nil)
	}
	known[fd] = s
	g.sockets.Store(&known)
	return s
}

// kernel returns how many sockets had traffic and what the kernel dropped at them.
func (g *group) kernel() (sockets int, drops uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	known := g.sockets.Load()
	if known == nil || g.retired {
		return 0, 0
	}
	for _, s := range *known {
		if s != nil {
			sockets++
			drops += kernelDrops(s.fd)
		}
	}
	return sockets, drops
}
