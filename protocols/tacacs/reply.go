package tacacs

import (
	"log/slog"
	"time"

	"trine/protocols/stream"
	"trine/protocols/tacacs/wire"
)

const (
	// DefaultMaxBody is the longest body that is accepted where nothing else is configured, as RFC 8907 section 4.1 recommends; requests have up to 66,805 bytes if
	// every field is full.
	DefaultMaxBody = 1 << 16
	// MinBody is the least that the longest body may be set to: there must be room for a login, and for a command with its arguments.
	MinBody = 1 << 10
	// maxReply is the longest packet that is ever sent.
	maxReply = wire.HeaderLen + wire.MaxBody
)

// departures are the answers of a batch. They are obfuscated side by side and then leave.
type departures struct {
	builder wire.Builder
	sealing *wire.Pads
	room    []byte // the packets, one behind the other
	used    int
	list    [wire.MaxBatch]departure
	count   int
	closing []stream.Handle // connections that end once their answers have left
}

type departure struct {
	conn    stream.Handle
	packet  []byte
	latency int // the place among the latencies; -1: it is not counted
	arrived time.Time
}

func (d *departures) init() {
	d.sealing = wire.NewPads()
	d.room = make([]byte, 2*maxReply)
}

// reply begins the answer to a session's latest packet: it returns the header and the room for a method of the builder.
func (h *handler) reply(s *session) (buf []byte, header wire.Header) {
	header = s.header.Answer()
	header.Seq, _ = s.seq.ToClient() // 0, which the builder refuses, would be a second answer
	if s.peer.agree {
		s.peer.agree = false
		header.Flags = wire.SingleConnect
	}
	return h.space(), header
}

// space returns room for one packet.
func (h *handler) space() []byte {
	d := &h.departures
	if d.used > maxReply || d.count == len(d.list) || d.sealing.Full() {
		h.send()
	}
	return d.room[d.used:d.used:len(d.room)]
}

// depart completes the answer that was built and lets it go with the batch. A fault means that it cannot be sent.
func (h *handler) depart(p *peer, latency int, arrived time.Time) wire.Fault {
	d := &h.departures
	var packet []byte
	var f wire.Fault
	if p.secure {
		packet, f = d.builder.Finish(nil)
	} else {
		packet, f = d.builder.FinishIn(d.sealing, p.secret)
	}
	if f != wire.OK {
		return f
	}
	d.used += len(packet)
	d.list[d.count] = departure{p.conn, packet, latency, arrived}
	d.count++
	return wire.OK
}

// send obfuscates what waits and writes it to the connections.
func (h *handler) send() {
	d := &h.departures
	if d.count == 0 {
		return
	}
	d.sealing.Run()
	now := h.loop.Time()
	for i := range d.count {
		x := &d.list[i]
		if c := h.loop.Conn(x.conn); c != nil {
			c.Write(x.packet)
		}
		if x.latency >= 0 {
			h.stats.latencies[x.latency].Observe(now.Sub(x.arrived))
		}
		x.packet = nil
	}
	clear(d.room[:d.used])
	d.count, d.used = 0, 0
}

// dispatch sends what waits, and closes the connections whose last answer it was.
func (h *handler) dispatch() {
	h.send()
	d := &h.departures
	for _, handle := range d.closing {
		if c := h.loop.Conn(handle); c != nil {
			c.Close()
		}
	}
	d.closing = d.closing[:0]
}

// fail answers a packet that is not processed with an error, says so in the log, and ends the session that it belongs to.
func (h *handler) fail(p *peer, header *wire.Header, what cause) {
	h.ignore(p.remote, what, p.client)
	h.sendError(p, header)
}

// sendError answers a packet with an error: the device goes on as if this server could not be reached, RFC 8907 section 4.4. A
// session under way that has its id is over.
func (h *handler) sendError(p *peer, header *wire.Header) {
	answer := header.Answer()
	if answer.Seq%2 == 0 && answer.Seq != 0 {
		if p.agree {
			p.agree = false
			answer.Flags = wire.SingleConnect
		}
		buf := h.space()
		h.departures.builder.ErrorReply(buf, answer)
		if h.depart(p, -1, time.Time{}) == wire.OK {
			h.stats.answers[outcomeError].Add(1)
		}
	}
	if s := p.find(header.Session); s != nil {
		h.end(s)
		return
	}
	h.retire(p)
}

// refuseType answers a packet whose type is unknown by its header alone, RFC 8907 section 3.6.
func (h *handler) refuseType(p *peer, header *wire.Header) {
	h.send() // so that the order of answers is that of packets
	var buf [wire.HeaderLen]byte
	if packet, f := wire.Refusal(buf[:0], header); f == wire.OK {
		if c := h.loop.Conn(p.conn); c != nil {
			c.Write(packet)
		}
		h.stats.answers[outcomeError].Add(1)
	}
	h.retire(p)
}

// unrendered ends a session whose answer cannot be sent, with an error instead.
func (h *handler) unrendered(s *session, f wire.Fault) {
	if suppressed, ok := h.complaints.Due(h.loop.Now(), s.peer.remote.Addr(), int(causeUnrendered)); ok {
		c := h.complaint(s.peer.remote, causeUnrendered, s.client, causeUnrendered.text()+": "+f.Error())
		c.Level = slog.LevelError
		h.complaints.Tell(c, suppressed)
	}
	h.stats.dropped[causeUnrendered].Add(1)
	h.sendError(s.peer, &s.header)
}
