package stream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"trine/protocols/internal/listen"
	"trine/protocols/internal/timer"
	"trine/protocols/internal/waker"
)

// group is the gnet engine with its loops.
type group struct {
	gnet.BuiltinEventEngine

	engine *Engine
	doors  map[netip.AddrPort]*door
	loops  []*Loop
	alarm  *timer.Alarm

	gnet   gnet.Engine
	ready  chan struct{} // closed at the first tick: gnet ticks after all its sockets are open
	once   sync.Once
	probes []int // plainly bound sockets, which hold the addresses until gnet's are open
	ended  chan error
	wait   sync.WaitGroup

	mu      sync.Mutex
	runners map[gnet.EventLoop]*Loop
	retired bool
}

// door is what is known of a listener at one address.
type door struct {
	listener int
	proxies  []netip.Prefix
	tls      *hardened // nil without TLS
}

// newGroup binds the addresses.
func newGroup(e *Engine) (*group, error) {
	g := &group{
		engine: e, doors: make(map[netip.AddrPort]*door), alarm: timer.NewAlarm(e.start, e.config.Clock),
		ready: make(chan struct{}), ended: make(chan error, 1), runners: make(map[gnet.EventLoop]*Loop),
	}
	for i := range e.config.Listeners {
		if err := g.bind(i); err != nil {
			g.closeProbes()
			return nil, err
		}
	}
	for i := range e.config.Loops {
		g.loops = append(g.loops, newLoop(i, e, g.alarm))
	}
	return g, nil
}

// bind holds the addresses of a listener: of IPv4 and of IPv6 where its host is empty.
func (g *group) bind(i int) error {
	l := &g.engine.config.Listeners[i]
	host, port, err := listen.Parse(l.Addr)
	if err != nil {
		return fmt.Errorf("%s: %w", l.Name, err)
	}
	d := &door{listener: i, proxies: l.Proxies}
	if l.TLS != nil {
		if d.tls, err = harden(l.TLS); err != nil {
			return fmt.Errorf("%s: %w", l.Name, err)
		}
	}
	hosts := []netip.Addr{host}
	if !host.IsValid() {
		hosts = []netip.Addr{netip.IPv6Unspecified(), netip.IPv4Unspecified()}
	}
	addrs, fds, err := hold(l, hosts, port)
	if err != nil {
		return err
	}
	g.probes = append(g.probes, fds...)
	for _, addr := range addrs {
		g.doors[addr] = d
	}
	g.engine.addrs[i] = addrs[0]
	return nil
}

// hold binds one port at each of the hosts; where IPv6 is not compiled in or switched off, the first may be lacking.
func hold(l *Listener, hosts []netip.Addr, port uint16) (addrs []netip.AddrPort, fds []int, err error) {
	for attempt := 1; ; attempt++ {
		addrs, fds, err = nil, nil, nil
		given := port
		for i, host := range hosts {
			addr := netip.AddrPortFrom(host, given)
			fd, bound, failed := listen.Bind(listen.TCP, addr)
			if i < len(hosts)-1 && (errors.Is(failed, unix.EAFNOSUPPORT) || errors.Is(failed, unix.EADDRNOTAVAIL)) {
				continue
			}
			if err = failed; err != nil {
				err = listen.Explain(listen.TCP, l.Name, addr, l.Setting, err)
				break
			}
			given = bound
			addrs, fds = append(addrs, netip.AddrPortFrom(host, bound)), append(fds, fd)
		}
		if err == nil {
			return addrs, fds, nil
		}
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
		// A port that the system gave for IPv6 may be in use for IPv4.
		if len(fds) == 0 || port != 0 || !errors.Is(err, ErrPortInUse) || attempt == 10 {
			return nil, nil, err
		}
	}
}

func (g *group) closeProbes() {
	for _, fd := range g.probes {
		_ = unix.Close(fd)
	}
	g.probes = nil
}

// run starts gnet and returns when all its sockets are open. It takes over the probes.
func (g *group) run() error {
	var addrs []string
	for addr := range g.doors {
		network := "tcp4://"
		if addr.Addr().Is6() {
			network = "tcp6://"
		}
		addrs = append(addrs, network+addr.String())
	}
	c := &g.engine.config
	go func() {
		g.ended <- gnet.Rotate(g, addrs, gnet.WithNumEventLoop(len(g.loops)), gnet.WithTicker(true),
			gnet.WithReusePort(true), gnet.WithReuseAddr(true), gnet.WithLogger(listen.Logger{To: c.Logger}))
	}()
	select {
	case err := <-g.ended:
		g.closeProbes()
		return fmt.Errorf("open connection listeners: %w", err)
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
			err = errors.New("the connection loops ended by themselves: no connection could be accepted")
		}
		c.Logger.Error("connection loops failed", slog.Any("error", err))
		g.engine.finish(err)
	})
	return nil
}

// stop ends the loops.
func (g *group) stop() {
	g.mu.Lock()
	g.retired = true
	g.mu.Unlock()
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
	g.closeProbes()
	return gnet.None
}

// OnTick is called once, when all sockets are open.
func (g *group) OnTick() (delay time.Duration, action gnet.Action) {
	g.once.Do(func() { close(g.ready) })
	return 24 * time.Hour, gnet.None
}

// OnOpen is called for every connection that gnet accepted.
func (g *group) OnOpen(c gnet.Conn) (out []byte, action gnet.Action) {
	if w, ok := c.Context().(*waker.Waker); ok {
		w.Open()
		return nil, gnet.None
	}
	l := g.loop(c.EventLoop())
	remote, ok1 := addrPort(c.RemoteAddr())
	local, ok2 := c.LocalAddr().(*net.TCPAddr)
	if !ok1 || !ok2 {
		return nil, gnet.Close
	}
	at := local.AddrPort()
	if d := g.doors[netip.AddrPortFrom(at.Addr().Unmap(), at.Port())]; d == nil || !l.accept(c, d, remote) {
		return nil, gnet.Close
	}
	return nil, gnet.None
}

// OnTraffic is called when a connection has bytes.
func (g *group) OnTraffic(c gnet.Conn) gnet.Action {
	conn, ok := c.Context().(*Conn)
	if !ok {
		if w, ok := c.Context().(*waker.Waker); ok {
			w.Run(c)
			return gnet.None
		}
		return gnet.Close
	}
	if data, err := c.Next(-1); err == nil {
		conn.loop.traffic(conn, data)
	}
	return gnet.None
}

// OnClose is called when gnet is about to close a connection, whoever wanted it.
func (g *group) OnClose(c gnet.Conn, err error) gnet.Action {
	if conn, ok := c.Context().(*Conn); ok {
		conn.loop.closed(conn, err)
	}
	return gnet.None
}

// loop returns which of our loops runs on one of gnet's.
func (g *group) loop(runs gnet.EventLoop) *Loop {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.runners[runs]
	if l == nil {
		l = g.loops[len(g.runners)]
		g.runners[runs] = l
		r := &runner{loop: runs}
		var err error
		if r.waker, err = waker.New(runs, func() { _ = l.run(context.Background()) }); err != nil {
			g.engine.config.Logger.Warn("a loop is woken the slow way", slog.Any("error", err))
		}
		l.runner.Store(r)
	}
	return l
}

// addrPort returns an address without what two readings of it could differ in.
func addrPort(a net.Addr) (netip.AddrPort, bool) {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, false
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port()), true
}
