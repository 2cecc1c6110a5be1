package stream

import (
	"crypto/tls"
	"errors"
	"io"
	"net/netip"
	"time"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"trine/protocols/internal/timer"
)

// phase is how far a connection has come.
type phase uint8

const (
	phaseProxy     phase = iota // the header of a proxy is awaited
	phaseHello                  // the first record of a TLS client
	phaseHandshake              // a goroutine speaks TLS with the client
	phaseOpen                   // frames
	phaseClosing                // everything is said; what waits is delivered, what comes is passed over
	phaseBroken                 // it is to be closed at once
	phaseGone
)

// Conn is a connection. Its methods are only for the goroutine of its loop. After Handler.Closed they do nothing.
type Conn struct {
	// State is the handler's.
	State any

	loop    *Loop
	gnet    gnet.Conn
	door    *door
	secure  *secure // nil without TLS
	client  *client // what it counts for; nil before it was admitted
	partial []byte  // a frame that is not whole
	out     []byte  // what was written in this batch
	err     error   // what broke it, where more is known than the cause

	remote netip.AddrPort
	handle Handle

	sent     uint64 // bytes handed to gnet
	taken    uint64 // of them, what the client's system had acknowledged when writeBy was set
	deadline int64  // for what is to come, nanoseconds since the engine's start
	writeBy  int64  // for what waits to be sent; never if nothing does
	armed    int64  // when the loop looks at the deadlines next

	idle time.Duration // Timeouts.Idle of its own

	phase   phase
	cause   Cause
	changed bool // it stands in the loop's list
	heard   bool // it sent something
	spoke   bool // it sent a whole frame
	half    bool // our end is closed
}

// Handle returns the connection's handle, with which Loop.Conn finds it as long as it exists.
func (c *Conn) Handle() Handle { return c.handle }

// Remote returns the client's address: that of the PROXY header, where there was one.
func (c *Conn) Remote() netip.AddrPort { return c.remote }

// Listener returns the index of the connection's listener in Config.Listeners.
func (c *Conn) Listener() int { return c.door.listener }

// TLS returns what the handshake agreed on, with the client's certificates; nil without TLS and before Handler.Frames.
func (c *Conn) TLS() *tls.ConnectionState {
	if c.secure == nil {
		return nil
	}
	return c.secure.state
}

// Err returns what ended the connection where more is known than Handler.Closed's cause: why a handshake failed, for example.
func (c *Conn) Err() error { return c.err }

// Write queues bytes that leave with the present batch, in one piece with all others of the connection; they are copied. When
// more than Limits.Outbound waits for a client, the connection is closed.
func (c *Conn) Write(data []byte) {
	if c.phase != phaseOpen || len(data) == 0 {
		return
	}
	waiting := len(c.out)
	if c.writeBy != timer.Never {
		waiting += c.gnet.OutboundBuffered()
	}
	if waiting+len(data) > c.loop.config.Limits.Outbound {
		c.breakOff(OutboundFull, nil)
		return
	}
	if c.out == nil {
		c.out = c.loop.outs.take(len(data))
	}
	c.out = append(c.out, data...)
	c.change()
}

// Close ends the connection once everything that was written has left. What the client still sends is passed over.
func (c *Conn) Close() { c.endWith(ClosedByHandler, nil) }

// endWith lets what was written leave and then closes.
func (c *Conn) endWith(cause Cause, err error) {
	if c.phase >= phaseClosing {
		return
	}
	if c.phase < phaseHandshake { // nothing was said yet
		c.breakOff(cause, err)
		return
	}
	c.phase, c.cause, c.err = phaseClosing, cause, err
	c.change()
}

// breakOff closes without sending anything more.
func (c *Conn) breakOff(cause Cause, err error) {
	if c.phase >= phaseBroken {
		return
	}
	c.phase, c.cause, c.err = phaseBroken, cause, err
	c.change()
}

// change puts the connection on the list of those that end looks at.
func (c *Conn) change() {
	if !c.changed {
		c.changed = true
		c.loop.changed = append(c.loop.changed, c)
	}
}

// admit asks the handler whose connection it is, and begins with it.
func (c *Conn) admit() {
	l := c.loop
	a := l.handler.Open(c)
	if a.Limit <= 0 {
		c.breakOff(RefusedStranger, nil)
		return
	}
	if c.idle = a.Idle; c.idle <= 0 {
		c.idle = l.config.Timeouts.Idle
	}
	if c.client = l.engine.clients.enter(a.Client, a.Limit); c.client == nil {
		c.breakOff(RefusedClient, nil)
		return
	}
	l.stats.Accepted.Add(1)
	c.phase = phaseOpen
	if c.door.tls != nil {
		c.phase = phaseHello
	}
}

// settle sends what was written in the batch and goes on with what was decided.
func (c *Conn) settle() {
	c.changed = false
	if c.phase < phaseBroken {
		c.flush()
	}
	switch c.phase {
	case phaseOpen:
		if len(c.partial) == 0 && c.spoke {
			c.deadline = c.loop.at + int64(c.idle)
		}
	case phaseClosing:
		c.linger()
	case phaseBroken:
		c.drop()
	}
	c.arm()
}

// flush hands what was written to gnet, which keeps what the kernel does not take.
func (c *Conn) flush() {
	l := c.loop
	data := c.out
	c.out = nil
	if c.secure != nil {
		sealed := c.secure.seal(data, c.phase == phaseClosing && !c.half)
		l.outs.give(data)
		data = sealed
	}
	if len(data) == 0 {
		l.outs.give(data)
		return
	}
	if c.writeBy != timer.Never && c.gnet.OutboundBuffered()+len(data) > l.config.Limits.Outbound {
		l.outs.give(data) // TLS made more of it, or answers by itself
		c.breakOff(OutboundFull, nil)
		return
	}
	c.sent += uint64(len(data))
	l.stats.BytesOut.Add(uint64(len(data)))
	_, err := c.gnet.Write(data)
	l.outs.give(data)
	if err != nil {
		return // gnet has closed it, and we have heard
	}
	c.lookAtOutbound()
}

// lookAtOutbound learns how much gnet keeps for a client, and begins or ends waiting for the client to take it.
func (c *Conn) lookAtOutbound() (waiting int) {
	waiting = c.gnet.OutboundBuffered()
	switch {
	case waiting == 0 && c.writeBy != timer.Never:
		c.writeBy = timer.Never
		c.loop.stuck--
	case waiting > 0 && c.writeBy == timer.Never:
		c.loop.stuck++
		c.waitForClient(waiting)
	}
	return waiting
}

func (c *Conn) waitForClient(waiting int) {
	c.taken = c.acknowledged(waiting)
	c.writeBy = c.loop.at + int64(c.loop.config.Timeouts.Write)
}

// acknowledged returns how many of the bytes handed to gnet have reached the client's system. The kernel alone knows: it
// takes more from gnet only when a good part of its own buffer has become free.
func (c *Conn) acknowledged(waiting int) uint64 {
	queued, err := unix.IoctlGetInt(c.gnet.Fd(), unix.SIOCOUTQ)
	if err != nil {
		queued = 0 // as good as gnet knows
	}
	return c.sent - uint64(waiting) - uint64(queued)
}

// linger closes our end once everything has left, and then waits for the client to close his: a connection that is closed with
// bytes unread is reset, and a reset may take back what the client has not read yet.
func (c *Conn) linger() {
	if c.half {
		return
	}
	if c.lookAtOutbound() > 0 {
		c.deadline = c.loop.at + int64(timer.Tick) // gnet does not tell when its buffer is empty
		return
	}
	c.half = true
	_ = unix.Shutdown(c.gnet.Fd(), unix.SHUT_WR) // it may be gone already, which the next event tells
	c.deadline = c.loop.at + int64(c.loop.config.Timeouts.Linger)
}

// drop closes at once.
func (c *Conn) drop() {
	if c.cause == OutboundFull || c.cause == WriteSlow {
		_ = c.gnet.SetLinger(0) // so that the kernel does not keep what the client will not take
	}
	if r := c.loop.runner.Load(); r != nil {
		_ = r.loop.Close(c.gnet) // its errors are about a descriptor that is gone
	}
}

// forget ends what the loop knows of a connection that gnet closes, and tells the handler.
func (c *Conn) forget(err error) {
	if c.phase == phaseGone {
		return
	}
	l := c.loop
	if c.cause == open {
		switch {
		case errors.Is(err, io.EOF):
			c.cause = ClosedByPeer
		case err != nil:
			c.cause, c.err = ClosedByNetwork, err
		default:
			c.cause = ClosedByStop
		}
	}
	c.phase = phaseGone
	i := uint32(c.handle)
	if l.slots[i].generation++; l.slots[i].generation == 0 {
		l.slots[i].generation = 1
	}
	l.slots[i].conn = nil
	l.free = append(l.free, i)
	if c.writeBy != timer.Never {
		l.stuck--
	}
	l.held -= cap(c.partial)
	l.parts.give(c.partial)
	l.outs.give(c.out)
	c.partial, c.out = nil, nil
	if c.secure != nil {
		c.secure.wire.close()
	}
	l.engine.connections.Add(-1)
	if c.client != nil {
		l.engine.clients.leave(c.client)
		l.handler.Closed(c, c.cause)
	}
	l.stats.Ended[c.cause].Add(1) // last: whoever sees it counted finds nothing of the connection
}

// arm makes the loop look at the connection when its next deadline comes. An entry that was made for a later time stays in the
// wheel and does nothing.
func (c *Conn) arm() {
	if c.phase >= phaseBroken {
		return
	}
	if due := min(c.deadline, c.writeBy); due < c.armed {
		c.armed = due
		c.loop.deadlines.Schedule(time.Duration(due), uint64(c.handle))
	}
}

// checkDeadline is called at c.armed and, for entries left over, at other times.
func (c *Conn) checkDeadline() {
	l := c.loop
	if l.at < c.armed {
		return
	}
	c.armed = timer.Never
	if l.at >= c.writeBy {
		if waiting := c.lookAtOutbound(); waiting > 0 {
			if c.acknowledged(waiting) == c.taken {
				c.breakOff(WriteSlow, nil)
				return
			}
			c.waitForClient(waiting)
		}
	}
	if l.at >= c.deadline {
		c.expire()
	}
	c.arm()
}

// expire ends a connection whose deadline for what was to come is over.
func (c *Conn) expire() {
	cause := Idle
	switch {
	case c.phase == phaseClosing:
		if c.half {
			c.breakOff(c.cause, c.err)
		} else {
			c.change() // see whether everything has left
		}
		return
	case !c.heard:
		cause = SilentAtFirst
	case c.phase < phaseOpen:
		cause = HandshakeSlow
	case len(c.partial) > 0:
		cause = FrameSlow
	case !c.spoke:
		cause = SilentAtFirst
	}
	c.breakOff(cause, nil)
}
