package radius

import (
	"net/netip"
	"time"

	"trine/protocols/loop"
	"trine/protocols/radius/wire"
)

// departure is a reply that waits for its signature: replies are signed side by side, when the batch ends or no more of them
// fit, and only then leave and are kept for retransmissions.
type departure struct {
	socket  *loop.Socket
	to      netip.AddrPort
	ref     ref // its request's; 0 of a Status-Server, which nothing is kept for
	outcome outcome
	latency int           // the histogram that it counts in
	arrived time.Time     // its request
	wait    time.Duration // how long it is held back from now on
}

// begin begins a reply. What waits is sent first where there is no room.
func (h *handler) begin(code wire.Code, id uint8, authenticator *[wire.AuthenticatorLen]byte, key *wire.Secret) {
	if h.replies.Full() {
		h.dispatch()
	}
	h.replies.Begin(&h.builder, code, id, authenticator, key)
}

// depart puts the reply that was built among those that wait, unless it has a fault.
func (h *handler) depart(d departure) wire.Fault {
	n := h.replies.Len()
	if fault := h.replies.Add(&h.builder); fault != wire.OK {
		return fault
	}
	h.departures[n] = d
	if e := h.duplicates.get(d.ref); e != nil {
		e.state = entryUnsigned
	}
	return wire.OK
}

// dispatch signs the replies that wait, and sends them.
func (h *handler) dispatch() {
	n := h.replies.Len()
	if n == 0 {
		return
	}
	h.replies.Complete()
	now := h.loop.Time()
	var answers [outcomes]uint64
	for i := range n {
		d := &h.departures[i]
		reply := h.replies.At(i)
		if d.ref == 0 {
			h.loop.Send(d.socket, d.to, reply)
			answers[d.outcome]++
			continue
		}
		h.stats.latencies[d.latency].Observe(now.Sub(d.arrived))
		e := h.duplicates.get(d.ref)
		h.duplicates.keep(e, reply)
		if d.wait > 0 {
			e.state = entryDelayed
			h.delayed++
			h.loop.After(d.wait, uint64(d.ref))
			continue
		}
		h.loop.Send(d.socket, d.to, reply)
		h.duplicates.answered(d.ref, h.loop.Now().UnixNano())
		answers[d.outcome]++
	}
	for i, n := range answers {
		if n > 0 {
			h.stats.answers[i].Add(n)
		}
	}
	h.replies.Reset()
}
