package stream

import (
	"context"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/panjf2000/gnet/v2"

	"trine/protocols/internal/timer"
	"trine/protocols/internal/waker"
	"trine/protocols/loop"
)

// BatchSize is how many frames a handler gets in one call at most.
const BatchSize = 64

// Handler is a protocol on one loop. All methods are called on the loop's goroutine, so its state needs no lock.
type Handler interface {
	// Open is told of a connection when its source address is known: after a PROXY header, before TLS. It says for whom the
	// connection counts; a connection of nobody is refused. Nothing can be written yet.
	Open(c *Conn) Admission
	// Frames takes the whole frames that came together on a connection, in their order, one to BatchSize of them. The slice and the
	// frames are the loop's and are gone after the call; the handler may change the frames' bytes in place.
	Frames(c *Conn, frames [][]byte)
	// Closed is called once for each connection that Open admitted and the limits let in, when it is gone. It may come after
	// EndBatch, and never within another call.
	Closed(c *Conn, cause Cause)
	// Wake is called after Loop.Wake, once for any number of calls.
	Wake()
	// Expired is called when a time set by Loop.After has come.
	Expired(token uint64)
	// EndBatch is called after every batch of the other calls, before its last answers leave.
	EndBatch()
	// Drain tells the handler that the loop will stop: it begins nothing new and finishes what it has. Frames still come.
	Drain()
	// Pending returns how many exchanges are under way. After Drain the loop stops once it is 0.
	Pending() int
}

// Admission is a handler's answer to a new connection.
type Admission struct {
	// Client is what the connection counts for; all connections with the same value, on whichever loop, count together.
	Client netip.Prefix
	// Limit is how many connections the client may have; 0 means that the address is no client's.
	Limit int
	// Idle is Timeouts.Idle for this connection; 0 means that of the configuration.
	Idle time.Duration
}

// Handle names a connection of a loop also when it is gone: no other ever gets the same. The zero Handle is no connection's.
type Handle uint64

// Loop is one event loop as its handler sees it.
type Loop struct {
	index   int
	engine  *Engine
	config  *Config
	handler Handler
	stats   Stats

	runner atomic.Pointer[runner]
	woken  atomic.Bool
	due    atomic.Int64 // nanoseconds since start of the earliest timer; never if none
	alarm  *timer.Alarm
	busy   bool // between begin and end

	now         time.Time
	at          int64 // now, nanoseconds since the engine's start
	slots       []slot
	free        []uint32          // slots without a connection
	silent      []Handle          // connections from which no whole frame has come, the oldest first, and some that are past that
	timers      *timer.Wheel      // the handler's
	deadlines   *timer.Wheel      // of connections, by handle
	task        gnet.RunnableFunc // run, made once
	fire        func(uint64)      // handler.Expired, made once
	check       func(uint64)      // a connection's deadline, made once
	frames      [][]byte          // of a batch
	plain       []byte            // decrypted bytes of a batch, made at the first TLS connection
	changed     []*Conn           // connections with something to send or to end, in this batch
	outs, parts pool              // buffers of answers, and of incomplete frames
	held        int               // bytes that incomplete frames hold
	stuck       int               // connections whose clients do not take what waits for them
	news        *loop.Mailbox[news]
	draining    bool // the handler was told

	ending  atomic.Bool // connections are to be closed
	ended   atomic.Bool // they were told
	told    atomic.Bool // the handler was told to drain, and pending is what it had then or later
	pending atomic.Int64
}

// runner is what gnet has of a loop.
type runner struct {
	loop  gnet.EventLoop
	waker *waker.Waker // nil: there is none
}

// slot is a place for a connection. Its generation changes with each connection that it had.
type slot struct {
	conn       *Conn
	generation uint32
}

func newLoop(index int, e *Engine, alarm *timer.Alarm) *Loop {
	l := &Loop{
		index: index, engine: e, config: &e.config, alarm: alarm, now: e.start,
		timers: timer.NewWheel(), deadlines: timer.NewWheel(), frames: make([][]byte, 0, BatchSize),
		outs: pool{most: 64, longest: 64 << 10}, parts: pool{most: 256, longest: 1 << 10},
	}
	l.due.Store(timer.Never)
	l.news = loop.NewMailbox[news](l)
	l.handler = e.config.NewHandler(l)
	l.fire = l.handler.Expired
	l.task = gnet.RunnableFunc(l.run)
	l.check = func(token uint64) {
		if c := l.Conn(Handle(token)); c != nil {
			c.checkDeadline()
		}
	}
	return l
}

// Index returns the loop's number, unique in its engine.
func (l *Loop) Index() int { return l.index }

// Now returns when the present batch began, by the clock of the configuration. Only for the loop's goroutine.
func (l *Loop) Now() time.Time { return l.now }

// Time returns the time now, which in a full batch is later than Now. Any goroutine may call it.
func (l *Loop) Time() time.Time { return l.config.Clock() }

// Conn returns the connection of a handle, or nil if it is gone. Only for the loop's goroutine.
func (l *Loop) Conn(h Handle) *Conn {
	if i := int(uint32(h)); i < len(l.slots) && l.slots[i].generation == uint32(h>>32) {
		return l.slots[i].conn
	}
	return nil
}

// After makes the loop call Handler.Expired with the token once d has passed, to 10 ms. It cannot be taken back: the token
// should say to whom it belongs. Only for the loop's goroutine.
func (l *Loop) After(d time.Duration, token uint64) {
	l.timers.Schedule(time.Duration(l.at)+d, token)
}

// Wake makes the loop call Handler.Wake soon, once for any number of calls before it does. Any goroutine may call it; it does
// nothing before the loop's first connection and after its end.
func (l *Loop) Wake() {
	r := l.runner.Load()
	if r == nil || !l.woken.CompareAndSwap(false, true) {
		return
	}
	if r.waker.Wake() {
		return
	}
	// The only error is that the engine has stopped; then nobody waits for what the loop would have sent.
	if err := r.loop.Execute(context.Background(), l.task); err != nil {
		l.woken.Store(false)
	}
}

// Due returns when the loop's earliest timer is due, for the alarm.
func (l *Loop) Due() int64 { return l.due.Load() }

// run is a batch without traffic: handshakes that ended, late answers, timers, the end.
func (l *Loop) run(context.Context) error {
	l.woken.Store(false)
	l.begin()
	told := l.engine.draining.Load()
	if told && !l.draining {
		l.draining = true
		l.handler.Drain()
	}
	for _, n := range l.news.Take() {
		n.tell(l)
	}
	l.handler.Wake()
	ending := l.ending.Load() && !l.ended.Load()
	if ending {
		for _, s := range l.slots {
			if s.conn != nil {
				s.conn.endWith(ClosedByStop, nil)
			}
		}
	}
	l.end()
	if told {
		l.told.Store(true)
	}
	if ending {
		l.ended.Store(true)
	}
	return nil
}

func (l *Loop) begin() {
	l.now = l.config.Clock()
	l.at = int64(l.now.Sub(l.engine.start))
	l.busy = true
}

// end fires what is due, ends the batch and sends it.
func (l *Loop) end() {
	l.timers.Expire(time.Duration(l.at), l.fire)
	l.deadlines.Expire(time.Duration(l.at), l.check)
	l.handler.EndBatch()
	for i := 0; i < len(l.changed); i++ { // a connection that ends may make its handler write to others
		c := l.changed[i]
		l.changed[i] = nil
		c.settle()
	}
	l.changed = l.changed[:0]
	l.busy = false
	l.pending.Store(int64(l.handler.Pending() + l.stuck))
	due := timer.Never
	for _, w := range []*timer.Wheel{l.timers, l.deadlines} {
		if at, ok := w.Due(); ok {
			due = min(due, int64(at))
		}
	}
	if old := l.due.Swap(due); due < old {
		l.alarm.Set(due)
	}
}

// accept takes a connection that gnet accepted, or says that it is to be closed at once.
func (l *Loop) accept(gc gnet.Conn, d *door, remote netip.AddrPort) bool {
	e := l.engine
	if e.draining.Load() {
		return l.refuse(RefusedStopping)
	}
	l.begin()
	switch {
	case gc.Fd() >= e.descriptors && l.evict(2) < 2: // the kernel gives the lowest free one, so all below it are in use; the next connection gets one of those
		l.end()
		return l.refuse(RefusedDescriptors)
	case e.connections.Add(1) > int64(l.config.Limits.Connections) && l.evict(1) < 1:
		e.connections.Add(-1)
		l.end()
		return l.refuse(RefusedFull)
	}
	c := l.insert(gc, d, remote)
	if !listed(d.proxies, remote.Addr()) { // from those that are, a header comes first
		c.admit()
	}
	c.arm()
	l.end()
	return true
}

// evict closes so many of the oldest connections of the loop that have not brought a whole frame yet, so that whoever only opens connections keeps nobody
// out who has something to say. It returns how many there were.
func (l *Loop) evict(n int) (evicted int) {
	for evicted < n && len(l.silent) > 0 {
		c := l.Conn(l.silent[0])
		l.silent = l.silent[1:]
		if c != nil && !c.spoke && c.phase < phaseClosing {
			c.breakOff(Evicted, nil)
			evicted++
		}
	}
	return evicted
}

// remember notes that a connection was silent so far. Those at the front that are so no more are forgotten.
func (l *Loop) remember(c *Conn) {
	for len(l.silent) > 0 {
		first := l.Conn(l.silent[0])
		if first != nil && !first.spoke {
			break
		}
		l.silent = l.silent[1:]
	}
	l.silent = append(l.silent, c.handle)
}

func (l *Loop) refuse(cause Cause) bool {
	l.stats.Ended[cause].Add(1)
	return false
}

func listed(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// insert gives a connection its slot.
func (l *Loop) insert(gc gnet.Conn, d *door, remote netip.AddrPort) *Conn {
	if len(l.free) == 0 {
		l.free = append(l.free, uint32(len(l.slots)))
		l.slots = append(l.slots, slot{generation: 1})
	}
	i := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	c := &Conn{
		loop: l, gnet: gc, door: d, remote: remote, handle: Handle(l.slots[i].generation)<<32 | Handle(i),
		deadline: l.at + int64(l.config.Timeouts.FirstByte), writeBy: timer.Never, armed: timer.Never,
	}
	l.slots[i].conn = c
	gc.SetContext(c)
	l.remember(c)
	return c
}

// traffic takes the bytes that came.
func (l *Loop) traffic(c *Conn, data []byte) {
	l.begin()
	l.stats.BytesIn.Add(uint64(len(data)))
	c.receive(data)
	c.arm()
	l.end()
}

// closed forgets a connection that gnet closes.
func (l *Loop) closed(c *Conn, err error) {
	nested := l.busy
	if !nested {
		l.begin()
	}
	c.forget(err)
	if !nested {
		l.end()
	}
}

// pool keeps buffers that are not in use, those of answers apart from those of incomplete frames: else a few bytes of a frame would
// hold a buffer of many answers.
type pool struct {
	free          [][]byte
	most, longest int // buffers kept, and bytes of each
}

// take returns an empty buffer with room for n bytes.
func (p *pool) take(n int) []byte {
	if k := len(p.free); k > 0 {
		b := p.free[k-1]
		p.free[k-1] = nil
		p.free = p.free[:k-1]
		if cap(b) >= n {
			return b
		}
	}
	return make([]byte, 0, n)
}

// give takes a buffer back.
func (p *pool) give(b []byte) {
	if cap(b) > 0 && cap(b) <= p.longest && len(p.free) < p.most {
		p.free = append(p.free, b[:0])
	}
}

// Stats are a loop's counters; see Totals. They only grow, and any goroutine may read them.
type Stats struct {
	_                                  [64]byte
	Accepted, Handshakes               atomic.Uint64
	Frames, Batches, BytesIn, BytesOut atomic.Uint64
	Ended                              [Causes]atomic.Uint64
	_                                  [64]byte
}
