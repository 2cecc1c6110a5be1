package tacacs

import (
	"log/slog"
	"net/netip"
	"time"

	"trine/engine"
	"trine/engine/document"
	"trine/engine/policy"
	"trine/engine/trace"
	"trine/protocols/internal/complaint"
	"trine/protocols/loop"
	"trine/protocols/stream"
	"trine/protocols/tacacs/wire"
)

// protocol is what requests and their records say they came by.
const protocol = document.TypeTacacs

// Lane is what a loop needs of the engine. *engine.Lane is one.
type Lane interface {
	Expect(logins [][]byte)
	Authenticate(r *engine.Request) (decided bool)
	Refuse(r *engine.Request, reason trace.Reason) (decided bool)
	Authorize(a *engine.Authorization) (decided bool)
	Account(a *engine.Accounting)
	Flush()
}

var _ Lane = (*engine.Lane)(nil)

// port is what a handler needs of its loop. *stream.Loop is one.
type port interface {
	Now() time.Time  // when the present batch began
	Time() time.Time // now
	Conn(h stream.Handle) *stream.Conn
	After(d time.Duration, token uint64)
	Wake()
}

var _ port = (*stream.Loop)(nil)

// common is what the handlers of all loops share; nothing in it changes.
type common struct {
	lookup   func(netip.Addr) (*policy.Cache, *policy.Client)
	logger   *slog.Logger
	deadline time.Duration // of a decision
	patience time.Duration // with a person who is asked something
	body     uint32        // the longest that is accepted
	clients  int           // connections from one address
	sessions int           // of one connection
	most     int           // sessions of one loop
	logins   int           // of one loop, that are being decided
	records  int           // of one loop, that wait for their commit
}

// handler is the TACACS+ server on one loop.
type handler struct {
	*common
	loop  port
	lane  Lane
	stats *counters

	arrivals   [stream.BatchSize]arrival
	expected   [stream.BatchSize][]byte // whom a batch is about
	opening    *wire.Pads               // takes the obfuscation off what came
	start      wire.AuthenStart
	proceed    wire.AuthenContinue
	author     wire.AuthorRequest
	acct       wire.AcctRequest
	secrets    []*wire.Secret // scratch
	departures departures
	complaints *complaint.Box

	all        []*session // every session that was ever made, by its index
	free       []*session
	freeLogins []*login
	freeAuthor []*authorization
	freeRecord []*record
	open       int // sessions under way
	decisions  int // of them, logins and authorizations that the engine has
	recording  int // of them, accounting records that the engine has
	freePeers  []*peer
	decided    *loop.Mailbox[*login]
	authorized *loop.Mailbox[*authorization]
	stored     *loop.Mailbox[*record]
	unflushed  bool // the lane's journal may hold something
	timed      bool // a timer will flush it
	flushed    time.Time
	draining   bool
}

var _ stream.Handler = (*handler)(nil)

func newHandler(c *common, l port, lane Lane, stats *counters) *handler {
	h := &handler{common: c, loop: l, lane: lane, stats: stats, opening: wire.NewPads(), complaints: complaint.NewBox(c.logger)}
	h.departures.init()
	h.decided = loop.NewMailbox[*login](l)
	h.authorized = loop.NewMailbox[*authorization](l)
	h.stored = loop.NewMailbox[*record](l)
	return h
}

// peer is a connection: whose it is, and its sessions.
type peer struct {
	conn     stream.Handle
	remote   netip.AddrPort
	secure   bool // within TLS
	known    bool // its certificate was looked at, within TLS
	cache    *policy.Cache
	client   *policy.Client
	own      *Client
	secret   *wire.Secret // under which the last packet made sense
	sessions []*session
	begun    bool // it brought a packet
	carried  bool // it carried a session
	single   bool // it carries many sessions, RFC 8907 section 4.3
	agree    bool // the next answer, which is the first, says so
	doomed   bool // it takes no new sessions, RFC 8907 section 4.4
}

// find returns the session under way that has an id, or nil.
func (p *peer) find(id uint32) *session {
	for _, s := range p.sessions {
		if s.header.Session == id {
			return s
		}
	}
	return nil
}

// over reports whether the connection has no purpose any more.
func (p *peer) over() bool {
	return len(p.sessions) == 0 && (p.doomed || p.begun && !p.single)
}

// Open implements stream.Handler. Connections count by address, those of one IPv6 network together: a service provider may be any number of devices.
func (h *handler) Open(c *stream.Conn) stream.Admission {
	addr := c.Remote().Addr().Unmap()
	_, client := h.lookup(addr)
	if client == nil {
		h.ignore(c.Remote(), causeClient, nil)
		return stream.Admission{}
	}
	own, _ := client.Wire.(*Client)
	a := stream.Admission{Limit: h.clients}
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	a.Client, _ = addr.Prefix(bits) // it fails for no address
	if own != nil {
		a.Idle = own.idle
	}
	p := h.newPeer()
	p.conn, p.remote = c.Handle(), c.Remote()
	c.State = p
	return a
}

func (h *handler) newPeer() *peer {
	if n := len(h.freePeers); n > 0 {
		p := h.freePeers[n-1]
		h.freePeers = h.freePeers[:n-1]
		return p
	}
	return new(peer)
}

// maxFreePeers is how many connections' worth of memory is kept for the next ones.
const maxFreePeers = 4096

// Closed implements stream.Handler: what was under way on the connection is forgotten, or dropped when the engine has done with it.
func (h *handler) Closed(c *stream.Conn, _ stream.Cause) {
	p, ok := c.State.(*peer)
	if !ok {
		return
	}
	for len(p.sessions) > 0 {
		h.stats.dropped[causeGone].Add(1)
		h.end(p.sessions[len(p.sessions)-1])
	}
	c.State = nil
	*p = peer{sessions: p.sessions[:0]}
	if len(h.freePeers) < maxFreePeers && cap(p.sessions) <= 64 {
		h.freePeers = append(h.freePeers, p)
	}
}

// arrival is a packet of a batch.
type arrival struct {
	header wire.Header
	fault  wire.Fault   // of the header, or of how it came
	secret *wire.Secret // under which it was read first; nil within TLS
}

// Frames takes the packets that came together on a connection. Their obfuscation is taken off side by side; then each goes its way in
// the order of arrival.
func (h *handler) Frames(c *stream.Conn, frames [][]byte) {
	p, ok := c.State.(*peer)
	if !ok || !h.meet(p, c) {
		return
	}
	for i, packet := range frames {
		a := &h.arrivals[i]
		a.secret = p.secret
		if a.header, a.fault = wire.ParseHeader(packet, h.body, p.own.quirks); a.fault == wire.OK {
			a.fault = a.header.Check(p.secure)
		}
		if a.fault == wire.OK && !p.secure {
			h.opening.Add(p.secret, packet)
		}
	}
	h.opening.Run()
	h.expect(frames)
	for i, packet := range frames {
		a := &h.arrivals[i]
		if a.fault != wire.OK {
			if !h.spoiled(p, a) {
				return
			}
			continue
		}
		h.take(p, a, packet)
	}
}

// worthExpecting is how many requests have to come together for it to pay to look ahead.
const worthExpecting = 4

// expect tells the engine whom the packets that came together are about.
func (h *handler) expect(frames [][]byte) {
	if len(frames) < worthExpecting {
		return
	}
	names := h.expected[:0]
	for i, packet := range frames {
		a := &h.arrivals[i]
		if a.fault == wire.OK {
			if name := wire.User(&a.header, packet[wire.HeaderLen:]); len(name) > 0 {
				names = append(names, name)
			}
		}
	}
	h.lane.Expect(names)
}

// meet finds out whose connection it is by the configuration in force. Without one, or without a way to read what comes, it ends.
func (h *handler) meet(p *peer, c *stream.Conn) bool {
	cache, client := h.lookup(p.remote.Addr().Unmap())
	if client == nil {
		h.ignore(p.remote, causeClient, nil)
		c.Close()
		return false
	}
	if client != p.client {
		p.client, p.secret, p.known = client, nil, false
		p.own, _ = client.Wire.(*Client)
	}
	p.cache = cache
	if p.own == nil {
		h.ignore(p.remote, causeSecret, client)
		c.Close()
		return false
	}
	if state := c.TLS(); state != nil {
		p.secure = true
		if !p.known && (len(state.PeerCertificates) == 0 || !p.own.named(state.PeerCertificates[0])) {
			h.ignore(p.remote, causeCertificate, client)
			c.Close()
			return false
		}
		p.known = true
		return true
	}
	h.secrets = p.own.active(h.secrets[:0], h.loop.Now().UnixNano())
	if len(h.secrets) == 0 {
		h.ignore(p.remote, causeSecret, client)
		c.Close()
		return false
	}
	for _, s := range h.secrets {
		if s == p.secret {
			return true
		}
	}
	p.secret = h.secrets[0]
	return true
}

// spoiled answers a packet whose header has a fault. It returns false if the connection takes nothing more.
func (h *handler) spoiled(p *peer, a *arrival) bool {
	switch a.fault {
	case wire.InClear: // RFC 8907 section 4.5: outside TLS such a connection is refused, and says nothing
		h.ignore(p.remote, cause(a.fault), p.client)
		if c := h.loop.Conn(p.conn); c != nil {
			c.Close()
		}
		return false
	case wire.TypeUnknown:
		h.negotiate(p, &a.header)
		h.ignore(p.remote, cause(a.fault), p.client)
		h.refuseType(p, &a.header)
		return true
	case wire.MajorVersion:
		p.doomed = true
	}
	h.negotiate(p, &a.header)
	h.fail(p, &a.header, cause(a.fault))
	return true
}

// take handles a packet whose header is sound.
func (h *handler) take(p *peer, a *arrival, packet []byte) {
	h.negotiate(p, &a.header)
	if a.header.Seq%2 == 0 {
		h.fail(p, &a.header, cause(wire.SequenceUnexpected))
		return
	}
	s := p.find(a.header.Session)
	if a.header.Seq == 1 && s == nil {
		h.begin(p, a, packet)
		return
	}
	if f := h.parse(&a.header, packet[wire.HeaderLen:], p.own.quirks); f != wire.OK && !h.reopen(p, a, packet, f) {
		return
	}
	h.stats.requests[kindOf(a.header.Type)].Add(1)
	switch {
	case s == nil || !s.awaits(&a.header):
		h.fail(p, &a.header, causeSession)
	default:
		if f := s.seq.FromClient(a.header.Seq); f != wire.OK {
			h.fail(p, &a.header, cause(f))
			return
		}
		h.continued(s, &a.header)
	}
}

// parse reads a body into the place for its kind.
func (h *handler) parse(header *wire.Header, body []byte, q wire.Quirks) wire.Fault {
	switch header.Kind() {
	case wire.KindAuthenStart:
		return wire.ParseAuthenStart(header, body, q, &h.start)
	case wire.KindAuthenContinue:
		return wire.ParseAuthenContinue(body, q, &h.proceed)
	case wire.KindAuthorRequest:
		return wire.ParseAuthorRequest(body, q, &h.author)
	case wire.KindAcctRequest:
		return wire.ParseAcctRequest(body, q, &h.acct)
	}
	return wire.SequenceUnexpected
}

// reopen tries the other secrets of a client on a packet that makes no sense. Where none fits, it answers with an error and says in the
// log whether the secret differs; after that the connection takes no new sessions (RFC 8907 section 4.4).
func (h *handler) reopen(p *peer, a *arrival, packet []byte, f wire.Fault) bool {
	body := packet[wire.HeaderLen:]
	d := wire.Diagnose(&a.header, body, f)
	if !p.secure && (d.WrongSecret || f == wire.LengthMismatch) && len(h.secrets) > 1 {
		a.secret.Obfuscate(packet)
		var i int
		if i, d = wire.Open(&a.header, packet, p.own.quirks, h.secrets); i >= 0 {
			p.secret = h.secrets[i]
			return h.parse(&a.header, body, p.own.quirks) == wire.OK
		}
	}
	what := cause(f)
	if !p.secure && d.WrongSecret {
		what = causeWrongSecret
		p.doomed = true
	}
	h.stats.dropped[what].Add(1)
	if suppressed, ok := h.complaints.Due(h.loop.Now(), p.remote.Addr(), int(what)); ok {
		h.complaints.Tell(h.complaint(p.remote, what, p.client, d.String()), suppressed)
	}
	h.sendError(p, &a.header)
	return false
}

// negotiate looks at the first packet of a connection, and at no other, for whether the device wants to have many sessions on it (RFC 8907 section 4.3).
func (h *handler) negotiate(p *peer, header *wire.Header) {
	if p.begun {
		return
	}
	p.begun = true
	if header.Flags&wire.SingleConnect != 0 && p.own.singleConnect {
		p.single, p.agree = true, true
		h.stats.single.Add(1)
	}
}

// begin begins the session of a first packet.
func (h *handler) begin(p *peer, a *arrival, packet []byte) {
	switch {
	case p.doomed:
		h.fail(p, &a.header, causeDoomed)
		return
	case p.carried && !p.single: // RFC 8907 section 4.3: a connection carries one session unless both have agreed on more
		p.doomed = true
		h.fail(p, &a.header, causeSingle)
		return
	case h.draining:
		p.doomed = true
		h.fail(p, &a.header, causeDraining)
		return
	case len(p.sessions) >= h.sessions || h.open >= h.most:
		h.fail(p, &a.header, causeSessions)
		return
	}
	p.carried = true
	s := h.newSession(p, a)
	s.packet = append(s.packet[:0], packet[wire.HeaderLen:]...) // what is read lasts as long as the session
	if f := h.parse(&a.header, s.packet, p.own.quirks); f != wire.OK {
		if !h.reopen(p, a, packet, f) {
			return // the session went with the error
		}
		s.packet = append(s.packet[:0], packet[wire.HeaderLen:]...)
		if f := h.parse(&a.header, s.packet, p.own.quirks); f != wire.OK {
			panic("tacacs: a packet that was parsed before does not parse again: " + f.Error())
		}
	}
	h.stats.requests[kindOf(a.header.Type)].Add(1)
	switch a.header.Type {
	case wire.Authentication:
		s.begin(&h.start)
		h.started(s)
	case wire.Authorization:
		h.authorize(s)
	default:
		h.account(s)
	}
}

// ignore counts what is not processed, and says so in the log now and then.
func (h *handler) ignore(from netip.AddrPort, what cause, client *policy.Client) {
	h.stats.dropped[what].Add(1)
	if suppressed, ok := h.complaints.Due(h.loop.Now(), from.Addr(), int(what)); ok {
		h.complaints.Tell(h.complaint(from, what, client, what.text()), suppressed)
	}
}

func (h *handler) complaint(from netip.AddrPort, what cause, client *policy.Client, text string) complaint.Complaint {
	c := complaint.Complaint{Level: slog.LevelWarn, Message: "TACACS+ request not processed", Source: from, Cause: int(what), Name: what.name(), What: text}
	if client != nil {
		c.Client = client.Name
	}
	return c
}

// Wake takes the decisions and commits that came from elsewhere.
func (h *handler) Wake() {
	for _, l := range h.decided.Take() {
		h.finish(l)
	}
	for _, a := range h.authorized.Take() {
		h.answer(a)
	}
	for _, r := range h.stored.Take() {
		h.committed(r)
	}
}

// flushToken is the timer's that hands decisions to the log; no session has the question 0.
const flushToken = 0

// flushEvery is how long decisions wait for company at least; at most it is that and a tick of the timers.
const flushEvery = time.Millisecond

// flush hands the decisions of the batches so far to the log: at once where the last time is long ago, else together with those to come. Gnet calls for
// each connection by itself and does not tell when none has traffic any more, so a timer sees to the last.
func (h *handler) flush() {
	if !h.unflushed {
		return
	}
	if now := h.loop.Now(); now.Sub(h.flushed) >= flushEvery {
		h.flushed, h.unflushed = now, false
		h.lane.Flush()
	} else if !h.timed {
		h.timed = true
		h.loop.After(flushEvery, flushToken)
	}
}

// Expired forgets a login whose person did not answer, or hands decisions to the log.
func (h *handler) Expired(token uint64) {
	if token == flushToken {
		h.timed = false
		h.flush()
		return
	}
	s := h.all[uint32(token)]
	if s.question != uint32(token>>32) || s.asked == askedNothing {
		return
	}
	h.stats.dropped[causeSilent].Add(1)
	h.end(s)
}

// EndBatch sends the batch's answers and hands its decisions to the log.
func (h *handler) EndBatch() {
	h.dispatch()
	h.flush()
	h.stats.sessions.Store(int64(h.open))
	h.stats.logins.Store(int64(h.decisions))
	h.stats.records.Store(int64(h.recording))
}

// Drain makes the handler begin nothing new.
func (h *handler) Drain() { h.draining = true }

// Pending returns how many answers are still to come. People who are asked something are not waited for.
func (h *handler) Pending() int { return h.decisions + h.recording }
