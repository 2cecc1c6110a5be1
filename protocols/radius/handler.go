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
	"trine/protocols/internal/complaint"
	"trine/protocols/loop"
	"trine/protocols/radius/wire"
)

// Lane is what a loop needs of the engine. *engine.Lane is one.
type Lane interface {
	Expect(logins [][]byte)
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

	arrivals   [wire.MaxBatch]arrival
	expected   [wire.MaxBatch][]byte // login names of a batch
	checks     *wire.Checks
	view       wire.View // of a request that was copied
	builder    wire.Builder
	replies    *wire.Replies
	departures [wire.MaxBatch]departure // of the replies
	challenge  [16]byte                 // scratch for a new MS-CHAP challenge
	set        []setting                // what the reply under construction has set so far
	duplicates *duplicates
	complaints *complaint.Box

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
		checks: wire.NewChecks(), replies: wire.NewReplies(),
		duplicates: newDuplicates(int64(c.life), c.entries, c.bytes, rand.Uint64()),
		complaints: complaint.NewBox(c.logger),
	}
	h.decided = loop.NewMailbox[*login](p)
	h.stored = loop.NewMailbox[*record](p)
	return h
}

// arrival is a datagram of a batch on its way through the checks.
type arrival struct {
	view   wire.View
	socket *loop.Socket
	from   netip.AddrPort
	kind   kind
	wrong  cause // 0: nothing so far
	cache  *policy.Cache
	client *policy.Client
	own    *Client
	key    *wire.Secret // that the packet is authentic by, once that is known
	check  int          // its number among the checks; -1 if it is none of them
}

// Packets takes the datagrams that came together. Each goes through form, code, source, authenticity, and only then the duplicate
// cache and the content: that order is what keeps strangers out of everything behind. The digests that tell who is authentic are
// computed for all of them side by side; what needs an order happens in the order of arrival.
func (h *handler) Packets(s *loop.Socket, batch []loop.Datagram) {
	for len(batch) > 0 {
		n := min(len(batch), len(h.arrivals))
		h.packets(s, batch[:n])
		batch = batch[n:]
	}
}

func (h *handler) packets(s *loop.Socket, batch []loop.Datagram) {
	h.checks.Reset()
	var before *arrival
	for i := range batch {
		a := &h.arrivals[i]
		a.socket, a.from, a.check = s, batch[i].From, -1
		a.wrong = h.meet(a, before, batch[i].Data)
		if a.client != nil {
			before = a
		}
	}
	h.checks.Run()
	h.expect(len(batch))
	var requests [kinds]uint64
	for i := range batch {
		a := &h.arrivals[i]
		if a.wrong == 0 {
			h.verify(a)
		}
		if a.wrong == 0 {
			requests[a.kind]++
			h.take(a)
		} else {
			h.ignore(s, a.from, a.wrong, a.client)
		}
		a.cache, a.client, a.own, a.key = nil, nil, nil, nil // an old policy cache must not stay for our sake
	}
	for i, n := range requests {
		if n > 0 {
			h.stats.requests[i].Add(n)
		}
	}
}

// worthExpecting is how many requests have to come together for it to pay to look ahead.
const worthExpecting = 4

// expect tells the engine whom the first n arrivals are about.
func (h *handler) expect(n int) {
	names := h.expected[:0]
	for i := range h.arrivals[:n] {
		a := &h.arrivals[i]
		if a.wrong != 0 || a.kind == kindStatus || a.check < 0 || !h.checks.Authentic(a.check) {
			continue
		}
		if name, ok := a.view.First(wire.UserName); ok {
			names = append(names, name)
		}
	}
	if len(names) >= worthExpecting {
		h.lane.Expect(names)
	}
}

// meet checks the form of a datagram and finds who it is from, and puts it among the checks. Before is one of the same batch
// whose sender is known, or nil.
func (h *handler) meet(a, before *arrival, data []byte) cause {
	v := &a.view
	if fault := wire.Parse(data, v); fault != wire.OK {
		return cause(fault)
	}
	var ok bool
	if a.kind, ok = h.kind(a.socket, v.Code()); !ok {
		return causeCode
	}
	if before != nil && before.from.Addr() == a.from.Addr() {
		a.cache, a.client, a.own = before.cache, before.client, before.own
	} else if a.cache, a.client = h.lookup(a.from.Addr()); a.client == nil {
		return causeClient
	} else {
		a.own, _ = a.client.Wire.(*Client)
	}
	if a.own == nil {
		return causeSecret
	}
	key := a.own.present(h.loop.Now().UnixNano())
	if key == nil {
		return causeSecret
	}
	require, _ := a.own.demands(v)
	if n, ok := h.checks.Add(key, v, require); ok {
		a.key, a.check = key, n
	}
	return 0
}

// verify finds out whether a packet is authentic. What does not verify with the first secret may do so with the next, and where
// none does, one of them says why.
func (h *handler) verify(a *arrival) {
	if a.check >= 0 && h.checks.Authentic(a.check) {
		return
	}
	a.check = -1
	a.key, a.wrong = a.own.verify(&a.view, h.loop.Now())
}

// take handles an authentic request.
func (h *handler) take(a *arrival) {
	if a.kind == kindStatus {
		h.status(a)
		return
	}
	id := keyOf(a.from, a.view.ID(), a.socket)
	e := h.duplicates.find(id)
	if e != nil && e.state == entryUnsigned {
		h.dispatch()
		e = h.duplicates.find(id)
	}
	if e != nil {
		if e.authenticator == *a.view.Authenticator() {
			h.again(a.socket, a.from, e)
			return
		}
		h.duplicates.supersede(e)
	}
	if h.draining {
		h.ignore(a.socket, a.from, causeDraining, a.client)
		return
	}
	if a.kind == kindAccounting {
		h.account(a, id)
	} else {
		h.authenticate(a, id)
	}
}

// remember makes the entry of a request that was not seen before.
func (h *handler) remember(a *arrival, id dupKey) (ref, bool) {
	r, ok := h.duplicates.insert(id, a.view.Authenticator(), a.socket, a.from)
	if !ok && h.replies.Len() > 0 { // the answers of this batch count as under way until they are signed
		h.dispatch()
		r, ok = h.duplicates.insert(id, a.view.Authenticator(), a.socket, a.from)
	}
	return r, ok
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
func (h *handler) status(a *arrival) {
	v := &a.view
	if v.Has(wire.UserPassword) || v.Has(wire.CHAPPassword) || v.Has(wire.EAPMessage) {
		h.ignore(a.socket, a.from, causeStatus, a.client)
		return
	}
	if h.draining {
		h.ignore(a.socket, a.from, causeDraining, a.client)
		return
	}
	code := wire.AccessAccept
	if h.roles[a.socket.Listener] == roleAccounting {
		code = wire.AccountingResponse
	}
	h.begin(code, v.ID(), v.Authenticator(), a.key)
	h.builder.ProxyStates(v)
	if fault := h.depart(departure{socket: a.socket, to: a.from, outcome: outcomeStatus}); fault != wire.OK {
		h.ignore(a.socket, a.from, cause(fault), a.client)
	}
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
	h.complaints.Say(h.loop.Now(), complaint.Complaint{
		Level: slog.LevelWarn, Message: "RADIUS packet ignored", Client: name, Source: from, Local: s.Local, Cause: int(what), Name: what.name(), What: what.text(),
	})
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

// EndBatch signs and sends the batch's answers, and hands its decisions to the log: when no more datagrams wait, and otherwise once a
// millisecond.
func (h *handler) EndBatch(drained bool) {
	h.dispatch()
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
