package radius

import (
	"bytes"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"trine/engine"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/policy"
	"trine/engine/secret"
	"trine/engine/trace"
	"trine/protocols/loop"
	"trine/protocols/radius/wire"
)

// fakePort is a loop without sockets, with a clock of its own.
type fakePort struct {
	now    time.Time
	sent   []sent
	timers []timer
	wakes  int
	busy   time.Duration // how far the time is past the beginning of the batch
	keep   bool          // whether sent grows; off where allocations are counted
	count  int
}

type sent struct {
	socket *loop.Socket
	to     netip.AddrPort
	data   []byte
}

type timer struct {
	at    time.Time
	token uint64
}

func (p *fakePort) Now() time.Time { return p.now }

func (p *fakePort) Time() time.Time { return p.now.Add(p.busy) }

func (p *fakePort) Send(s *loop.Socket, to netip.AddrPort, data []byte) {
	p.count++
	if p.keep {
		p.sent = append(p.sent, sent{s, to, bytes.Clone(data)})
	}
}

func (p *fakePort) After(d time.Duration, token uint64) {
	p.timers = append(p.timers, timer{p.now.Add(d), token})
}

func (p *fakePort) Wake() { p.wakes++ }

// fakeLane decides as it is told.
type fakeLane struct {
	decide   func(*engine.Request) bool // nil: accept at once
	requests int
	last     *engine.Request
	refused  []trace.Reason
	overrule []trace.Reason
	remarks  []string // of both
	accounts []*engine.Accounting
	commit   bool // at once
	flushes  int
	watch    bool // whether expected grows
	expected []string
}

func (l *fakeLane) Authenticate(r *engine.Request) bool {
	l.requests++
	l.last = r
	r.Decision = engine.Decision{ID: 42}
	if l.decide != nil {
		return l.decide(r)
	}
	r.Decision.Verdict, r.Decision.Reason = event.Accept, trace.OK
	return true
}

func (l *fakeLane) Refuse(r *engine.Request, reason trace.Reason) bool {
	l.last = r
	l.refused = append(l.refused, reason)
	l.remarks = append(l.remarks, r.Remark)
	r.Remark = ""
	r.Decision = engine.Decision{ID: 43, Verdict: event.Reject, Reason: reason}
	return true
}

func (l *fakeLane) Overrule(r *engine.Request, reason trace.Reason) {
	l.overrule = append(l.overrule, reason)
	l.remarks = append(l.remarks, r.Remark)
	r.Remark = ""
	r.Decision.Verdict, r.Decision.Reason = event.Reject, reason
}

func (l *fakeLane) Account(a *engine.Accounting) {
	if l.commit {
		a.Err = nil
		a.Done.Accounted(a)
		return
	}
	l.accounts = append(l.accounts, a)
}

func (l *fakeLane) Expect(logins [][]byte) {
	for i := 0; l.watch && i < len(logins); i++ {
		name := logins[i]
		l.expected = append(l.expected, string(name))
	}
}

func (l *fakeLane) Flush() { l.flushes++ }

func rejecting(reason trace.Reason) func(*engine.Request) bool {
	return func(r *engine.Request) bool {
		r.Decision.Verdict, r.Decision.Reason = event.Reject, reason
		return true
	}
}

func waiting(*engine.Request) bool { return false }

// rig is a handler with everything around it faked, and one client at 192.0.2.0/24 and 2001:db8::/32.
type rig struct {
	t       testing.TB
	h       *handler
	port    *fakePort
	lane    *fakeLane
	client  *policy.Client
	key     *wire.Secret
	auth    *loop.Socket
	acct    *loop.Socket
	from    netip.AddrPort
	logs    *bytes.Buffer
	nextID  uint8
	builder wire.Builder
	batch   [1]loop.Datagram
}

var nearPrefixes = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}

func newRig(t testing.TB, change ...func(*document.RadiusClient)) *rig {
	t.Helper()
	spec := &document.ServiceProvider{Type: document.TypeRadius, Radius: &document.RadiusClient{
		SharedSecrets:               document.SharedSecrets{Secrets: []document.SharedSecret{{Value: secret.Plain("testing123")}}},
		RequireMessageAuthenticator: true, LimitProxyState: true, RejectDelay: time.Second,
	}}
	for _, c := range change {
		c(spec.Radius)
	}
	own, err := NewWire(names(t)).Client(spec)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		t: t, port: &fakePort{now: time.Unix(1_800_000_000, 0), keep: true}, lane: &fakeLane{},
		client: &policy.Client{Name: "core", Spec: spec, Wire: own}, key: mustKey(t, "testing123"),
		auth: &loop.Socket{Listener: 0, Index: 0}, acct: &loop.Socket{Listener: 1, Index: 1},
		from: netip.MustParseAddrPort("192.0.2.7:50000"), logs: new(bytes.Buffer),
	}
	keys := secret.NewKeyring()
	if err := keys.Add(1, bytes.Repeat([]byte{7}, secret.KeySize)); err != nil {
		t.Fatal(err)
	}
	cache := new(policy.Cache)
	c := &common{
		roles: []role{roleAuthentication, roleAccounting},
		lookup: func(a netip.Addr) (*policy.Cache, *policy.Client) {
			for _, p := range nearPrefixes {
				if p.Contains(a) {
					return cache, r.client
				}
			}
			return cache, nil
		},
		keys: keys, mark: markOf("test"), logger: slog.New(slog.NewTextHandler(r.logs, nil)),
		deadline: 5 * time.Second, life: 10 * time.Second, logins: 64, records: 64, entries: 256, bytes: 1 << 20,
	}
	r.h = newHandler(c, r.port, r.lane, new(counters))
	return r
}

func mustKey(t testing.TB, text string) *wire.Secret {
	t.Helper()
	k, err := wire.NewSecret([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// request builds a packet under the rig's secret.
func (r *rig) request(code wire.Code, fill func(b *wire.Builder)) []byte {
	r.t.Helper()
	r.nextID++
	r.builder.Request(make([]byte, 0, wire.MaxPacket), code, r.nextID, r.key)
	return r.done(fill)
}

// unsigned is request without Message-Authenticator.
func (r *rig) unsigned(code wire.Code, fill func(b *wire.Builder)) []byte {
	r.t.Helper()
	r.nextID++
	r.builder.UnsignedRequest(make([]byte, 0, wire.MaxPacket), code, r.nextID, r.key)
	return r.done(fill)
}

func (r *rig) done(fill func(b *wire.Builder)) []byte {
	if fill != nil {
		fill(&r.builder)
	}
	p, fault := r.builder.Finish()
	if fault != wire.OK {
		r.t.Fatal(fault)
	}
	return p
}

func pap(user, password string) func(*wire.Builder) {
	return func(b *wire.Builder) { b.PAP(user, password) }
}

// give hands a datagram to the handler and ends the batch.
func (r *rig) give(s *loop.Socket, data []byte) {
	r.packet(s, bytes.Clone(data))
	r.h.EndBatch(true)
}

// packet hands a datagram to the handler, alone.
func (r *rig) packet(s *loop.Socket, data []byte) {
	r.batch[0] = loop.Datagram{From: r.from, Data: data}
	r.h.Packets(s, r.batch[:])
}

func (r *rig) wake() {
	r.h.Wake()
	r.h.EndBatch(true)
}

// pass lets time go by and fires the timers that come due.
func (r *rig) pass(d time.Duration) {
	r.port.now = r.port.now.Add(d)
	timers := r.port.timers
	r.port.timers = nil
	for _, t := range timers {
		if t.at.After(r.port.now) {
			r.port.timers = append(r.port.timers, t)
			continue
		}
		r.h.Expired(t.token)
	}
	r.h.EndBatch(true)
}

// silent fails unless nothing was sent since the last look, and cause was counted.
func (r *rig) silent(what cause) {
	r.t.Helper()
	if len(r.port.sent) != 0 {
		r.t.Fatalf("answered with %x", r.port.sent[0].data)
	}
	if r.h.stats.dropped[what].Load() == 0 {
		r.t.Fatalf("cause %s was not counted", what.name())
	}
}

// answer returns the one reply since the last look, verified against its request.
func (r *rig) answer(request []byte) *wire.View {
	r.t.Helper()
	if len(r.port.sent) != 1 {
		r.t.Fatalf("%d replies; log: %s", len(r.port.sent), r.logs)
	}
	s := r.port.sent[0]
	r.port.sent = nil
	if s.to != r.from {
		r.t.Fatalf("the reply went to %v", s.to)
	}
	var q wire.View
	if fault := wire.Parse(request, &q); fault != wire.OK {
		r.t.Fatal(fault)
	}
	v := new(wire.View)
	if fault := wire.Parse(s.data, v); fault != wire.OK {
		r.t.Fatal(fault)
	}
	if fault := r.key.VerifyReply(v, q.ID(), q.Authenticator(), v.Code() != wire.AccountingResponse); fault != wire.OK {
		r.t.Fatalf("%v: %v", v.Code(), fault)
	}
	if v.Code() != wire.AccountingResponse {
		if first, _ := v.At(0); first != wire.MessageAuthenticator {
			r.t.Fatalf("%v begins with attribute %d, not with Message-Authenticator", v.Code(), first)
		}
	}
	return v
}
