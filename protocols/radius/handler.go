package radius

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"time"

	"trine/engine"
	"trine/engine/policy"
	"trine/engine/secret"
	"trine/engine/trace"
	"trine/protocols/loop"
	"trine/protocols/radius/wire"
)

// Lane is what a loop needs of the engine. *engine.Lane is one.
type Lane interface {
	Authenticate(r *engine.Request) (decided bool)
	Refuse(r *engine.Request, reason trace.Reason) (decided bool)
	Overrule(r *engine.Request, reason trace.Reason)
	Account(a *engine.Accounting)
	Flush()
}

var _ Lane = (*engine.Lane)(nil)

// port is what a handler needs of its loop.
type port interface {
	Now() time.Time  // when the present batch began
	Time() time.Time // now
	Send(s *loop.Socket, to netip.AddrPort, data []byte)
	After(d time.Duration, token uint64)
	Wake()
}

// role is what a listener is for.
type role uint8

const (
	roleAuthentication role = iota
	roleAccounting
)

// common is what the handlers of all loops share; nothing in it changes.
type common struct {
	roles    []role // by listener
	lookup   func(netip.Addr) (*policy.Cache, *policy.Client)
	keys     *secret.Keyring // nil: no Chargeable-User-Identity
	mark     classMark
	logger   *slog.Logger
	deadline time.Duration
	life     time.Duration
	logins   int
	records  int
	entries  int
	bytes    int
}

// handler is the RADIUS server on one loop.
type handler struct {
	*common
	loop  port
	lane  Lane
	stats *counters

	view       wire.View
	builder    wire.Builder
	out        [wire.MaxPacket]byte
	challenge  [16]byte  // scratch for a new MS-CHAP challenge
	set        []setting // what the reply under construction has set so far
	duplicates *duplicates
	complaints complaints

	freeLogins  []*login
	freeRecords []*record
	loginCount  int // under way
	recordCount int
	delayed     int // rejects that wait for their time
	decided     *loop.Mailbox[*login]
	stored      *loop.Mailbox[*record]
	flushed     time.Time
	draining    bool
}

var _ loop.Handler = (*handler)(nil)

func newHandler(c *common, p port, lane Lane, stats *counters) *handler {
	h := &handler{
		common: c, loop: p, lane: lane, stats: stats,
		duplicates: newDuplicates(int64(c.life), c.entries, c.bytes, rand.Uint64()),
		complaints: complaints{logger: c.logger},
	}
	h.decided = loop.NewMailbox[*login](p)
	h.stored = loop.NewMailbox[*record](p)
	return h
}

// Packet takes one datagram. The order of the checks is what keeps strangers out of everything behind them: form, code,
// source, authenticity, and only then the duplicate cache and the content.
func (h *handler) Packet(s *loop.Socket, from netip.AddrPort, data []byte) {
	v := &h.view
	if fault := wire.Parse(data, v); fault != wire.OK {
		h.ignore(s, from, cause(fault), nil)
		return
	}
	what, ok := h.kind(s, v.Code())
	if !ok {
		h.ignore(s, from, causeCode, nil)
		return
	}
	cache, client := h.lookup(from.Addr())
	if client == nil {
		h.ignore(s, from, causeClient, nil)
		return
	}
	own, ok := client.Wire.(*Client)
	if !ok || own == nil {
		h.ignore(s, from, causeSecret, client)
		return
	}
	key, wrong := own.verify(v, h.loop.Now())
	if wrong != 0 {
		h.ignore(s, from, wrong, client)
		return
	}
	h.stats.requests[what].Add(1)
	if what == kindStatus {
		h.status(s, from, key, client)
		return
	}
	id := keyOf(from, v.ID(), s)
	if e := h.duplicates.find(id); e != nil {
		if e.authenticator == *v.Authenticator() {
			h.again(s, from, e)
			return
		}
		h.duplicates.supersede(e)
	}
	if h.draining {
		h.ignore(s, from, causeDraining, client)
		return
	}
	in := incoming{socket: s, from: from, cache: cache, client: client, own: own, key: key, id: id}
	if what == kindAccounting {
		h.account(&in)
	} else {
		h.authenticate(&in)
	}
}

// incoming is an authentic request that was not seen before.
type incoming struct {
	socket *loop.Socket
	from   netip.AddrPort
	cache  *policy.Cache
	client *policy.Client
	own    *Client
	key    *wire.Secret
	id     dupKey
}

func (h *handler) kind(s *loop.Socket, code wire.Code) (kind, bool) {
	switch {
	case code == wire.StatusServer:
		return kindStatus, true
	case code == wire.AccessRequest && h.roles[s.Listener] == roleAuthentication:
		return kindAccess, true
	case code == wire.AccountingRequest && h.roles[s.Listener] == roleAccounting:
		return kindAccounting, true
	}
	return 0, false
}

// again handles a retransmission: the same bytes once more, or silence while there are none.
func (h *handler) again(s *loop.Socket, from netip.AddrPort, e *entry) {
	if e.state != entryAnswered {
		h.stats.dropped[causePending].Add(1)
		return
	}
	h.stats.resent.Add(1)
	h.loop.Send(s, from, e.reply)
}

// status answers a Status-Server (RFC 5997). It goes past the duplicate cache and the engine: it has no side effects.
func (h *handler) status(s *loop.Socket, from netip.AddrPort, key *wire.Secret, client *policy.Client) {
	v := &h.view
	if v.Has(wire.UserPassword) || v.Has(wire.CHAPPassword) || v.Has(wire.EAPMessage) {
		h.ignore(s, from, causeStatus, client)
		return
	}
	if h.draining {
		h.ignore(s, from, causeDraining, client)
		return
	}
	code := wire.AccessAccept
	if h.roles[s.Listener] == roleAccounting {
		code = wire.AccountingResponse
	}
	h.builder.Reply(h.out[:0], code, v, key)
	h.builder.ProxyStates(v)
	reply, fault := h.builder.Finish()
	if fault != wire.OK {
		h.ignore(s, from, cause(fault), client)
		return
	}
	h.stats.answers[outcomeStatus].Add(1)
	h.loop.Send(s, from, reply)
}

// ignore counts a packet that gets no answer, and says so in the log now and then.
func (h *handler) ignore(s *loop.Socket, from netip.AddrPort, what cause, client *policy.Client) {
	h.stats.dropped[what].Add(1)
	name := ""
	if client == nil {
		_, client = h.lookup(from.Addr())
	}
	if client != nil {
		name = client.Name
	}
	h.complaints.say(h.loop.Now(), slog.LevelWarn, "RADIUS packet ignored", name, from, s.Local, what)
}

// Wake takes the decisions and commits that came from elsewhere.
func (h *handler) Wake() {
	for _, l := range h.decided.Take() {
		if fault := wire.Parse(l.packet, &h.view); fault != wire.OK {
			panic("radius: a packet that was parsed before does not parse again: " + fault.Error())
		}
		h.finish(l, &h.view)
	}
	for _, r := range h.stored.Take() {
		h.committed(r)
	}
}

// Expired sends a reject whose time has come.
func (h *handler) Expired(token uint64) {
	h.delayed--
	if e := h.duplicates.get(ref(token)); e != nil && e.state == entryDelayed {
		h.loop.Send(e.socket, e.from, e.reply)
		h.stats.answers[outcomeReject].Add(1)
		h.duplicates.answered(ref(token), h.loop.Now().UnixNano())
	} else {
		h.stats.dropped[causeSuperseded].Add(1)
	}
}

// EndBatch hands the batch's decisions to the log: when no more datagrams wait, and otherwise once a millisecond.
func (h *handler) EndBatch(drained bool) {
	now := h.loop.Now()
	if drained || now.Sub(h.flushed) >= time.Millisecond {
		h.lane.Flush()
		h.flushed = now
	}
	h.duplicates.expire(now.UnixNano())
	h.stats.logins.Store(int64(h.loginCount))
	h.stats.records.Store(int64(h.recordCount))
	h.stats.kept.Store(int64(h.duplicates.count))
}

// Drain makes the handler take nothing new.
func (h *handler) Drain() { h.draining = true }

// Pending returns how many answers are still to come.
func (h *handler) Pending() int { return h.loginCount + h.recordCount + h.delayed }
