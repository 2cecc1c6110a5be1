package loop

import (
	"context"
	"net"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"trine/protocols/internal/timer"
	"trine/protocols/internal/waker"
)

// drainRounds is how many full batches a loop takes from one socket before it looks at the others.
const drainRounds = 4

// BatchSize is how many datagrams a batch has at most.
const BatchSize = 64

// Datagram is what came in one piece.
type Datagram struct {
	From netip.AddrPort
	Data []byte // cut to Config.MaxDatagram bytes
}

// Handler is a protocol on one loop. All methods are called on the loop's goroutine, so its state needs no lock.
type Handler interface {
	// Packets takes the datagrams that waited in a socket, in the order in which they came: one to BatchSize of them. Nothing is
	// held back to make a batch larger. The slice and the data are the loop's and are gone after the call.
	Packets(s *Socket, batch []Datagram)
	// Wake is called after Loop.Wake, once for any number of calls.
	Wake()
	// Expired is called when a time set by Loop.After has come.
	Expired(token uint64)
	// EndBatch is called after every batch of the other calls, before the replies leave; drained says that no more datagrams wait.
	EndBatch(drained bool)
	// Drain tells the handler that the loop will stop: it takes nothing new and finishes what it has.
	Drain()
	// Pending returns how many answers are still to come. After Drain the loop stops once it is 0.
	Pending() int
}

// Socket is one loop's socket at one address.
type Socket struct {
	// Listener is the index of its listener in Config.Listeners.
	Listener int
	// Index tells apart the sockets of one loop; small numbers.
	Index int
	// Local is the address that the socket is bound to.
	Local netip.AddrPort

	fd    int
	scope uint32 // of a link-local address
	owner *Loop
}

// Loop is one event loop as its handler sees it.
type Loop struct {
	index   int
	config  *Config
	handler Handler
	stats   Stats
	start   time.Time

	runner atomic.Pointer[runner]
	woken  atomic.Bool
	due    atomic.Int64 // nanoseconds since start of the earliest timer; Never if none
	alarm  *timer.Alarm

	now      time.Time
	batch    [BatchSize]Datagram
	receiver *receiver
	sender   *sender
	wheel    *timer.Wheel
	sockets  int
	fire     func(token uint64) // handler.Expired, made once
	draining atomic.Bool
	told     atomic.Bool // the handler was told to drain, and pending is what it had then or later
	pending  atomic.Int64
}

// runner is what gnet has of a loop.
type runner struct {
	loop  gnet.EventLoop
	waker *waker.Waker // nil: there is none
}

func newLoop(index int, config *Config, start time.Time, alarm *timer.Alarm) *Loop {
	l := &Loop{
		index: index, config: config, start: start, alarm: alarm, now: start,
		receiver: newReceiver(config.MaxDatagram), sender: newSender(config.MaxDatagram), wheel: timer.NewWheel(),
	}
	l.due.Store(timer.Never)
	l.handler = config.NewHandler(l)
	l.fire = l.handler.Expired
	return l
}

// Index returns the loop's number, unique in its engine.
func (l *Loop) Index() int { return l.index }

// Now returns when the present batch began, by the clock of the configuration. Only for the loop's goroutine.
func (l *Loop) Now() time.Time { return l.now }

// Time returns the time now, which in a full batch is later than Now. Any goroutine may call it.
func (l *Loop) Time() time.Time { return l.config.Clock() }

// Send queues a datagram that leaves with the present batch; the data is copied. Only for the loop's goroutine.
func (l *Loop) Send(s *Socket, to netip.AddrPort, data []byte) {
	if len(data) == 0 || len(data) > len(l.sender.data) {
		l.stats.SendFailed.Add(1)
		return
	}
	if !l.sender.fits(len(data)) {
		l.sender.flush(&l.stats)
	}
	l.sender.add(s, to, data)
}

// After makes the loop call Handler.Expired with the token once d has passed, to 10 ms. It cannot be taken back: the token
// should say to whom it belongs. Only for the loop's goroutine.
func (l *Loop) After(d time.Duration, token uint64) {
	l.wheel.Schedule(l.now.Sub(l.start)+d, token)
}

// Wake makes the loop call Handler.Wake soon, once for any number of calls before it does. Any goroutine may call it; it does
// nothing before the loop's first datagram and after its end.
func (l *Loop) Wake() {
	if l.woken.CompareAndSwap(false, true) {
		l.execute()
	}
}

// Due returns when the loop's earliest timer is due, for the alarm.
func (l *Loop) Due() int64 { return l.due.Load() }

func (l *Loop) execute() {
	r := l.runner.Load()
	if r == nil {
		l.woken.Store(false)
		return
	}
	if r.waker.Wake() {
		return
	}
	// The only error is that the engine has stopped; then nobody waits for what the loop would have sent.
	if err := r.loop.Execute(context.Background(), gnet.RunnableFunc(l.run)); err != nil {
		l.woken.Store(false)
	}
}

// run is a batch without datagrams: late answers and timers.
func (l *Loop) run(context.Context) error {
	l.woken.Store(false)
	l.begin()
	told := l.draining.Load()
	if told && !l.told.Load() {
		l.handler.Drain()
	}
	l.handler.Wake()
	l.end(true)
	if told {
		l.told.Store(true)
	}
	return nil
}

func (l *Loop) begin() { l.now = l.config.Clock() }

// end fires what is due, ends the batch and sends it.
func (l *Loop) end(drained bool) {
	l.wheel.Expire(l.now.Sub(l.start), l.fire)
	l.handler.EndBatch(drained)
	l.sender.flush(&l.stats)
	l.pending.Store(int64(l.handler.Pending()))
	due := timer.Never
	if at, ok := l.wheel.Due(); ok {
		due = int64(at)
	}
	if old := l.due.Swap(due); due < old {
		l.alarm.Set(due)
	}
}

// traffic handles the datagram that gnet read, and what else waits in the socket.
func (l *Loop) traffic(s *Socket, c gnet.Conn) {
	batch := l.batch[:0]
	data, err := c.Next(-1)
	if from, ok := c.RemoteAddr().(*net.UDPAddr); err == nil && ok {
		batch = append(batch, Datagram{plain(from.AddrPort()), data[:min(len(data), l.config.MaxDatagram)]})
	}
	for round := 1; ; round++ {
		l.begin()
		room := BatchSize - len(batch)
		n, errno := l.receiver.receive(s.fd, room)
		if errno == 0 {
			l.stats.ReceiveCalls.Add(1)
		}
		for i := range n {
			batch = append(batch, l.receiver.datagram(i))
		}
		if len(batch) > 0 {
			l.stats.Received.Add(uint64(len(batch)))
			l.handler.Packets(s, batch)
		}
		drained := n < room
		l.end(drained)
		if drained || round == drainRounds {
			return
		}
		batch = l.batch[:0]
	}
}

// plain drops what two readings of one address could differ in.
func plain(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap().WithZone(""), a.Port())
}

// attach makes the socket of a file descriptor that the loop met for the first time.
func (l *Loop) attach(fd, listener int, local netip.AddrPort) *Socket {
	s := &Socket{Listener: listener, Index: l.sockets, Local: local, fd: fd, owner: l}
	l.sockets++
	if zone := local.Addr().Zone(); zone != "" {
		if i, err := net.InterfaceByName(zone); err == nil {
			s.scope = uint32(i.Index)
		}
	}
	// A privileged process may pass the system's limit on buffers; anyone else keeps what gnet got within it.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, l.config.ReceiveBuffer)
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, l.config.SendBuffer)
	return s
}

// Stats are a loop's counters. They only grow, and any goroutine may read them.
type Stats struct {
	_            [64]byte
	Received     atomic.Uint64 // datagrams
	ReceiveCalls atomic.Uint64 // recvmmsg calls that brought some
	Sent         atomic.Uint64 // datagrams
	SendCalls    atomic.Uint64 // sendmmsg calls
	SendFull     atomic.Uint64 // replies dropped at a full socket buffer
	SendFailed   atomic.Uint64 // replies that could not be sent for another reason
	_            [64]byte
}
