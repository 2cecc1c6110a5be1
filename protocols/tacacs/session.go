package tacacs

import (
	"time"

	"trine/engine/policy"
	"trine/protocols/tacacs/wire"
)

// session is one session under way (RFC 8907 section 3.4).
type session struct {
	index    uint32 // in handler.all
	question uint32 // how many people were asked on it, as the mark of timers
	peer     *peer  // nil once nobody waits for its answer
	header   wire.Header
	seq      wire.Sequence
	cache    *policy.Cache // that its latest packet met
	client   *policy.Client
	own      *Client
	packet   []byte // the body that began it
	arrived  time.Time
	busy     bool // the engine has it
	dialogue
}

// newSession begins a session on a connection.
func (h *handler) newSession(p *peer, a *arrival) *session {
	var s *session
	if n := len(h.free); n > 0 {
		s = h.free[n-1]
		h.free = h.free[:n-1]
	} else {
		s = &session{index: uint32(len(h.all))}
		h.all = append(h.all, s)
	}
	s.peer, s.header, s.seq = p, a.header, 0
	s.meet(p, h.loop.Now())
	_ = s.seq.FromClient(a.header.Seq) // 1, which begins every sequence
	p.sessions = append(p.sessions, s)
	h.open++
	return s
}

// meet takes over what the connection's latest packet was met with.
func (s *session) meet(p *peer, now time.Time) {
	s.cache, s.client, s.own, s.arrived = p.cache, p.client, p.own, now
}

// awaits reports whether the session waits for a packet of that kind.
func (s *session) awaits(header *wire.Header) bool {
	return s.asked != askedNothing && !s.busy && header.Kind() == wire.KindAuthenContinue
}

// end takes the session off its connection, which may end with it. What the engine has of it is dropped when it comes back.
func (h *handler) end(s *session) {
	p := s.peer
	for i, other := range p.sessions {
		if other == s {
			last := len(p.sessions) - 1
			p.sessions[i] = p.sessions[last]
			p.sessions[last] = nil
			p.sessions = p.sessions[:last]
			break
		}
	}
	s.peer = nil
	h.open--
	h.retire(p)
	if !s.busy {
		h.release(s)
	}
}

// retire closes a connection that has no purpose any more, once its answers have left.
func (h *handler) retire(p *peer) {
	if p.over() {
		h.departures.closing = append(h.departures.closing, p.conn)
	}
}

// maxKept is how many bytes of a packet a session keeps room for after its end.
const maxKept = 4096

// release keeps a session for the next one, without what it knew.
func (h *handler) release(s *session) {
	s.dialogue.forget()
	s.question++
	if cap(s.packet) > maxKept {
		s.packet = nil
	}
	s.cache, s.client, s.own = nil, nil, nil
	h.free = append(h.free, s)
}
