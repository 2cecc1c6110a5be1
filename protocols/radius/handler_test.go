package radius

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
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
	accounts []*engine.Accounting
	commit   bool // at once
	flushes  int
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
	r.Decision = engine.Decision{ID: 43, Verdict: event.Reject, Reason: reason}
	return true
}

func (l *fakeLane) Overrule(r *engine.Request, reason trace.Reason) {
	l.overrule = append(l.overrule, reason)
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
}

var nearPrefixes = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}

func newRig(t testing.TB, change ...func(*document.RadiusClient)) *rig {
	t.Helper()
	spec := &document.ServiceProvider{Type: document.TypeRadius, Radius: &document.RadiusClient{
		Secrets:                     []document.RadiusSecret{{Value: secret.Plain("testing123")}},
		RequireMessageAuthenticator: true, LimitProxyState: true, RejectDelay: time.Second,
	}}
	for _, c := range change {
		c(spec.Radius)
	}
	own, err := newClient(spec)
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
	r.h.Packet(s, r.from, bytes.Clone(data))
	r.h.EndBatch(true)
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

func TestAcceptedLoginIsAnsweredAndTied(t *testing.T) {
	r := newRig(t)
	p := r.request(wire.AccessRequest, func(b *wire.Builder) {
		b.PAP("alice", "wonderland")
		b.Text(wire.NASIdentifier, "nas-1")
		b.Text(wire.CallingStationID, "02-00-00-00-00-01")
		b.Text(wire.CalledStationID, "ssid")
		b.Uint32(wire.NASPort, 17)
	})
	r.lane.decide = func(q *engine.Request) bool {
		for _, c := range []struct{ what, got, want string }{
			{"name", string(q.Name), "alice"},
			{"password", string(q.Proof.Password), "wonderland"},
			{"NAS", string(q.NAS), "nas-1"},
			{"calling", string(q.Calling), "02-00-00-00-00-01"},
			{"called", string(q.Called), "ssid"},
			{"source", q.Source.String(), r.from.String()},
			{"client", q.Client.Name, "core"},
		} {
			if c.got != c.want {
				t.Errorf("%s is %q, want %q", c.what, c.got, c.want)
			}
		}
		if q.NASPort != 17 || q.Arrived != r.port.now || q.Protocol != "radius" || q.Cache == nil {
			t.Errorf("request is %d, %v, %q", q.NASPort, q.Arrived, q.Protocol)
		}
		q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
		return true
	}
	r.give(r.auth, p)
	v := r.answer(p)
	if v.Code() != wire.AccessAccept {
		t.Fatal(v.Code())
	}
	if id := r.h.mark.login(v); id != 42 {
		t.Errorf("Class names decision %d", id)
	}
	if markOf("other").login(v) != 0 {
		t.Error("another cluster takes our Class for its own")
	}
	if r.lane.flushes == 0 {
		t.Error("the decision was not handed to the log")
	}
}

func TestProxyStatesComeBackUnmodifiedAndInOrder(t *testing.T) {
	states := func(b *wire.Builder) {
		b.Attr(wire.ProxyState, []byte("first"))
		b.Text(wire.NASIdentifier, "between")
		b.Attr(wire.ProxyState, []byte{0, 255, 0})
		b.Attr(wire.ProxyState, nil)
	}
	check := func(t *testing.T, v *wire.View, code wire.Code) {
		t.Helper()
		var got [][]byte
		for s := range v.Each(wire.ProxyState) {
			got = append(got, s)
		}
		if v.Code() != code || len(got) != 3 || string(got[0]) != "first" || !bytes.Equal(got[1], []byte{0, 255, 0}) || len(got[2]) != 0 {
			t.Fatalf("%v with Proxy-State %q", v.Code(), got)
		}
	}
	t.Run("accept", func(t *testing.T) {
		r := newRig(t)
		p := r.request(wire.AccessRequest, func(b *wire.Builder) { b.PAP("a", "b"); states(b) })
		r.give(r.auth, p)
		check(t, r.answer(p), wire.AccessAccept)
	})
	t.Run("reject", func(t *testing.T) {
		r := newRig(t, func(c *document.RadiusClient) { c.RejectDelay = 0 })
		r.lane.decide = rejecting(trace.PasswordWrong)
		p := r.request(wire.AccessRequest, func(b *wire.Builder) { b.PAP("a", "b"); states(b) })
		r.give(r.auth, p)
		check(t, r.answer(p), wire.AccessReject)
	})
	t.Run("status", func(t *testing.T) {
		r := newRig(t)
		p := r.request(wire.StatusServer, states)
		r.give(r.auth, p)
		check(t, r.answer(p), wire.AccessAccept)
	})
	t.Run("accounting", func(t *testing.T) {
		r := newRig(t)
		r.lane.commit = true
		p := r.request(wire.AccountingRequest, func(b *wire.Builder) { b.Accounting(1, "s"); states(b) })
		r.give(r.acct, p)
		r.wake()
		check(t, r.answer(p), wire.AccountingResponse)
	})
	t.Run("late", func(t *testing.T) {
		r := newRig(t)
		r.lane.decide = waiting
		p := r.request(wire.AccessRequest, func(b *wire.Builder) { b.PAP("a", "b"); states(b) })
		r.give(r.auth, p)
		q := r.lane.last
		q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
		q.Done.Decided(q)
		r.wake()
		check(t, r.answer(p), wire.AccessAccept)
	})
}

func TestWhatIsNotAuthenticGetsSilence(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*document.RadiusClient)
		packet func(r *rig) (*loop.Socket, []byte)
		cause  cause
	}{
		{name: "short datagram", cause: cause(wire.TooShort), packet: func(r *rig) (*loop.Socket, []byte) { return r.auth, []byte("hello") }},
		{name: "length field beyond the datagram", cause: cause(wire.LengthField), packet: func(r *rig) (*loop.Socket, []byte) {
			p := r.request(wire.AccessRequest, pap("a", "b"))
			return r.auth, p[:len(p)-1]
		}},
		{name: "length field above 4096", cause: cause(wire.TooLong), packet: func(r *rig) (*loop.Socket, []byte) {
			p := r.request(wire.AccessRequest, pap("a", "b"))
			p[2], p[3] = 0x20, 0
			return r.auth, p
		}},
		{name: "attribute of length 1", cause: cause(wire.AttributeLength), packet: func(r *rig) (*loop.Socket, []byte) {
			p := r.request(wire.AccessRequest, pap("a", "b"))
			p[21] = 1
			return r.auth, p
		}},
		{name: "accounting on the authentication port", cause: causeCode, packet: func(r *rig) (*loop.Socket, []byte) {
			return r.auth, r.request(wire.AccountingRequest, func(b *wire.Builder) { b.Accounting(1, "s") })
		}},
		{name: "login on the accounting port", cause: causeCode, packet: func(r *rig) (*loop.Socket, []byte) {
			return r.acct, r.request(wire.AccessRequest, pap("a", "b"))
		}},
		{name: "an answer", cause: causeCode, packet: func(r *rig) (*loop.Socket, []byte) {
			return r.auth, r.request(wire.AccessAccept, nil)
		}},
		{name: "unknown client", cause: causeClient, packet: func(r *rig) (*loop.Socket, []byte) {
			r.from = netip.MustParseAddrPort("198.51.100.1:1")
			return r.auth, r.request(wire.AccessRequest, pap("a", "b"))
		}},
		{name: "wrong secret", cause: cause(wire.SignatureMismatch), packet: func(r *rig) (*loop.Socket, []byte) {
			r.key = mustKey(r.t, "other")
			return r.auth, r.request(wire.AccessRequest, pap("a", "b"))
		}},
		{name: "wrong secret of accounting", cause: cause(wire.AuthenticatorMismatch), packet: func(r *rig) (*loop.Socket, []byte) {
			r.key = mustKey(r.t, "other")
			return r.acct, r.request(wire.AccountingRequest, func(b *wire.Builder) { b.Accounting(1, "s") })
		}},
		{name: "no Message-Authenticator", cause: cause(wire.SignatureMissing), packet: func(r *rig) (*loop.Socket, []byte) {
			return r.auth, r.unsigned(wire.AccessRequest, pap("a", "b"))
		}},
		{
			name: "Proxy-State without Message-Authenticator", cause: causeProxyState,
			change: func(c *document.RadiusClient) { c.RequireMessageAuthenticator = false },
			packet: func(r *rig) (*loop.Socket, []byte) {
				return r.auth, r.unsigned(wire.AccessRequest, func(b *wire.Builder) { b.PAP("a", "b"); b.Text(wire.ProxyState, "x") })
			},
		},
		{
			name: "EAP without Message-Authenticator", cause: causeEAP,
			change: func(c *document.RadiusClient) { c.RequireMessageAuthenticator = false },
			packet: func(r *rig) (*loop.Socket, []byte) {
				return r.auth, r.unsigned(wire.AccessRequest, func(b *wire.Builder) { b.Attr(wire.EAPMessage, []byte{2, 1, 0, 5, 1}) })
			},
		},
		{
			name: "Status-Server without Message-Authenticator", cause: cause(wire.SignatureMissing),
			change: func(c *document.RadiusClient) { c.RequireMessageAuthenticator = false },
			packet: func(r *rig) (*loop.Socket, []byte) { return r.auth, r.unsigned(wire.StatusServer, nil) },
		},
		{name: "Status-Server with a password", cause: causeStatus, packet: func(r *rig) (*loop.Socket, []byte) {
			return r.auth, r.request(wire.StatusServer, pap("a", "b"))
		}},
		{
			name: "a secret that is not good yet", cause: causeSecret,
			change: func(c *document.RadiusClient) { c.Secrets[0].NotBefore = time.Unix(1_900_000_000, 0) },
			packet: func(r *rig) (*loop.Socket, []byte) { return r.auth, r.request(wire.AccessRequest, pap("a", "b")) },
		},
		{
			name: "a secret that is good no more", cause: causeSecret,
			change: func(c *document.RadiusClient) { c.Secrets[0].NotAfter = time.Unix(1_800_000_000, 0) },
			packet: func(r *rig) (*loop.Socket, []byte) { return r.auth, r.request(wire.AccessRequest, pap("a", "b")) },
		},
		{name: "accounting without status", cause: causeAccounting, packet: func(r *rig) (*loop.Socket, []byte) {
			return r.acct, r.request(wire.AccountingRequest, func(b *wire.Builder) { b.Text(wire.AcctSessionID, "s") })
		}},
		{name: "accounting without session", cause: causeAccounting, packet: func(r *rig) (*loop.Socket, []byte) {
			return r.acct, r.request(wire.AccountingRequest, func(b *wire.Builder) { b.Uint32(wire.AcctStatusType, 1) })
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var change []func(*document.RadiusClient)
			if tc.change != nil {
				change = append(change, tc.change)
			}
			r := newRig(t, change...)
			s, p := tc.packet(r)
			r.give(s, p)
			r.silent(tc.cause)
			if r.lane.requests+len(r.lane.refused)+len(r.lane.accounts) != 0 {
				t.Error("it reached the engine")
			}
			if r.h.duplicates.count != 0 {
				t.Error("it touched the duplicate cache")
			}
			if !strings.Contains(r.logs.String(), tc.cause.name()) {
				t.Errorf("the log does not say why: %s", r.logs)
			}
			if tc.cause != causeClient && !strings.Contains(r.logs.String(), "client=core") {
				t.Errorf("the log does not name the client: %s", r.logs)
			}
		})
	}
}

func TestUnsignedLoginIsTakenWhereTheClientAllowsIt(t *testing.T) {
	r := newRig(t, func(c *document.RadiusClient) { c.RequireMessageAuthenticator = false })
	p := r.unsigned(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, p)
	if v := r.answer(p); v.Code() != wire.AccessAccept {
		t.Fatal(v.Code())
	}
	// A bad one counts wherever it is present.
	p = r.request(wire.AccessRequest, pap("alice", "x"))
	p[len(p)-1]++
	r.give(r.auth, p)
	r.silent(cause(wire.SignatureMismatch))
}

func TestPaddingAfterThePacketIsIgnored(t *testing.T) {
	r := newRig(t)
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, append(bytes.Clone(p), "padding"...))
	r.answer(p)
	r.lane.commit = true
	p = r.request(wire.AccountingRequest, func(b *wire.Builder) { b.Accounting(1, "s") })
	r.give(r.acct, append(bytes.Clone(p), 0, 0, 0))
	r.wake()
	r.answer(p)
}

func TestBothSecretsAreGoodDuringARotation(t *testing.T) {
	change := time.Unix(1_800_000_100, 0)
	r := newRig(t, func(c *document.RadiusClient) {
		c.Secrets = []document.RadiusSecret{
			{Value: secret.Plain("old"), NotAfter: change},
			{Value: secret.Plain("new")},
		}
	})
	for _, tc := range []struct {
		key  string
		wait time.Duration
		good bool
	}{{"old", 0, true}, {"new", 0, true}, {"old", 200 * time.Second, false}, {"new", 0, true}} {
		r.pass(tc.wait)
		r.key = mustKey(t, tc.key)
		for _, s := range []*loop.Socket{r.auth, r.acct} {
			p := r.request(wire.StatusServer, nil)
			r.give(s, p)
			if !tc.good {
				r.silent(cause(wire.SignatureMismatch))
				continue
			}
			r.answer(p) // under the secret that the request came with
		}
	}
}

func TestStatusServerIsAnsweredOnBothPortsWithoutSideEffects(t *testing.T) {
	r := newRig(t)
	for _, tc := range []struct {
		socket *loop.Socket
		code   wire.Code
	}{{r.auth, wire.AccessAccept}, {r.acct, wire.AccountingResponse}} {
		p := r.request(wire.StatusServer, nil)
		r.give(tc.socket, p)
		if v := r.answer(p); v.Code() != tc.code {
			t.Errorf("answer is %v", v.Code())
		}
	}
	if r.lane.requests != 0 || len(r.lane.accounts) != 0 || r.h.duplicates.count != 0 {
		t.Error("it had side effects")
	}
	if n := r.h.stats.requests[kindStatus].Load(); n != 2 || r.h.stats.requests[kindAccess].Load() != 0 {
		t.Errorf("%d counted", n)
	}
}

func TestFormOfTheProofIsChecked(t *testing.T) {
	vsa := func(kind uint8, value []byte) func(*wire.Builder) {
		return func(b *wire.Builder) { b.Text(wire.UserName, "a"); b.VSA(wire.VendorMicrosoft, kind, value) }
	}
	for _, tc := range []struct {
		name string
		fill func(*wire.Builder)
		want trace.Reason
	}{
		{"password and CHAP together", func(b *wire.Builder) { b.PAP("a", "b"); b.Attr(wire.CHAPPassword, make([]byte, 17)) }, trace.ProofMalformed},
		{"password of 15 bytes", func(b *wire.Builder) { b.Attr(wire.UserPassword, make([]byte, 15)) }, trace.ProofMalformed},
		{"password of 144 bytes", func(b *wire.Builder) { b.Attr(wire.UserPassword, make([]byte, 144)) }, trace.ProofMalformed},
		{"CHAP of 16 bytes", func(b *wire.Builder) { b.Attr(wire.CHAPPassword, make([]byte, 16)) }, trace.ProofMalformed},
		{"empty CHAP challenge", func(b *wire.Builder) {
			b.Attr(wire.CHAPPassword, make([]byte, 17))
			b.Attr(wire.CHAPChallenge, nil)
		}, trace.ProofMalformed},
		{"MS-CHAP without challenge", vsa(wire.MSCHAPResponse, append([]byte{1, 1}, make([]byte, 48)...)), trace.ProofMalformed},
		{"MS-CHAPv2 without challenge", vsa(wire.MSCHAP2Response, make([]byte, 50)), trace.ProofMalformed},
		{"MS-CHAPv2 of 49 bytes", vsa(wire.MSCHAP2Response, make([]byte, 49)), trace.ProofMalformed},
		{"LAN manager response only", func(b *wire.Builder) {
			b.VSA(wire.VendorMicrosoft, wire.MSCHAPChallenge, make([]byte, 8))
			b.VSA(wire.VendorMicrosoft, wire.MSCHAPResponse, make([]byte, 50))
		}, trace.ProofMalformed},
		{"call check without proof", func(b *wire.Builder) { b.Uint32(wire.ServiceType, 10) }, trace.RadiusServiceUnsupported},
		{"EAP", func(b *wire.Builder) { b.Attr(wire.EAPMessage, []byte{2, 9, 0, 5, 1}) }, trace.RadiusEAPUnsupported},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, func(c *document.RadiusClient) { c.RejectDelay = 0 })
			p := r.request(wire.AccessRequest, tc.fill)
			r.give(r.auth, p)
			v := r.answer(p)
			if v.Code() != wire.AccessReject || len(r.lane.refused) != 1 || r.lane.refused[0] != tc.want {
				t.Fatalf("%v, refused for %v", v.Code(), r.lane.refused)
			}
			if eap, ok := v.First(wire.EAPMessage); ok != (tc.want == trace.RadiusEAPUnsupported) || ok && !bytes.Equal(eap, []byte{4, 9, 0, 4}) {
				t.Errorf("EAP-Message is %x", eap)
			}
			if v.Has(wire.ReplyMessage) || v.Has(wire.State) {
				t.Error("the reject carries more than it may")
			}
		})
	}
}

func TestRejectSaysNothing(t *testing.T) {
	for _, reason := range []trace.Reason{trace.PasswordWrong, trace.UserUnknown, trace.UserInactive, trace.ConfigBroken} {
		r := newRig(t, func(c *document.RadiusClient) { c.RejectDelay = 0 })
		r.lane.decide = func(q *engine.Request) bool {
			q.Decision.Verdict, q.Decision.Reason = event.Reject, reason
			q.Decision.Replies = []any{compile(t, "Reply-Message = no")}
			return true
		}
		p := r.request(wire.AccessRequest, func(b *wire.Builder) { b.PAP("a", "b"); b.Text(wire.State, "s") })
		r.give(r.auth, p)
		if v := r.answer(p); v.Code() != wire.AccessReject || v.Len() != 1 {
			t.Errorf("%s: %v with %d attributes", reason, v.Code(), v.Len())
		}
	}
}

func TestRejectWaitsForItsTimeCountedFromArrival(t *testing.T) {
	r := newRig(t)
	r.lane.decide = waiting
	p := r.request(wire.AccessRequest, pap("a", "wrong"))
	r.give(r.auth, p)
	r.pass(400 * time.Millisecond) // verifying takes its time
	q := r.lane.last
	q.Decision.Verdict, q.Decision.Reason = event.Reject, trace.PasswordWrong
	q.Done.Decided(q)
	r.wake()
	r.give(r.auth, p) // a retransmission meanwhile
	r.pass(500 * time.Millisecond)
	r.silent(causePending)
	if r.h.Pending() != 1 {
		t.Errorf("%d pending", r.h.Pending())
	}
	r.pass(100 * time.Millisecond)
	if v := r.answer(p); v.Code() != wire.AccessReject {
		t.Fatal(v.Code())
	}
	if r.h.Pending() != 0 {
		t.Errorf("%d pending", r.h.Pending())
	}
	// Where verifying took longer than the delay, nothing is added.
	p = r.request(wire.AccessRequest, pap("a", "wrong"))
	r.give(r.auth, p)
	r.pass(2 * time.Second)
	q = r.lane.last
	q.Decision.Verdict, q.Decision.Reason = event.Reject, trace.PasswordWrong
	q.Done.Decided(q)
	r.wake()
	r.answer(p)
}

func TestRetransmissionGetsTheSameBytes(t *testing.T) {
	r := newRig(t)
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, p)
	first := bytes.Clone(r.port.sent[0].data)
	r.answer(p)
	for _, wait := range []time.Duration{time.Second, 8 * time.Second} {
		r.pass(wait)
		r.give(r.auth, p)
		if len(r.port.sent) != 1 || !bytes.Equal(r.port.sent[0].data, first) {
			t.Fatalf("after %v another answer came", wait)
		}
		r.port.sent = nil
	}
	if r.lane.requests != 1 || r.h.stats.resent.Load() != 2 {
		t.Fatalf("the engine was asked %d times", r.lane.requests)
	}
	r.pass(2 * time.Second)
	r.give(r.auth, p)
	r.answer(p)
	if r.lane.requests != 2 {
		t.Error("an answer outlived its life")
	}
}

func TestRetransmissionWhilePendingIsSilentAndJoins(t *testing.T) {
	r := newRig(t)
	r.lane.decide = waiting
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, p)
	r.give(r.auth, p)
	r.silent(causePending)
	q := r.lane.last
	q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
	q.Done.Decided(q)
	r.wake()
	r.answer(p)
	if r.lane.requests != 1 {
		t.Errorf("the engine was asked %d times", r.lane.requests)
	}
}

func TestDuplicatesAreToldApartByTheirKey(t *testing.T) {
	r := newRig(t)
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	for _, change := range []func(){
		func() {},
		func() { r.from = netip.AddrPortFrom(r.from.Addr(), 50001) },
		func() { r.from = netip.MustParseAddrPort("192.0.2.8:50001") },
		func() { r.auth = &loop.Socket{Listener: 0, Index: 2} },
	} {
		change()
		r.give(r.auth, p)
		r.answer(p)
	}
	if r.lane.requests != 4 {
		t.Fatalf("the engine was asked %d times", r.lane.requests)
	}
}

func TestAnotherAuthenticatorEvicts(t *testing.T) {
	r := newRig(t)
	r.lane.decide = waiting
	old := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, old)
	late := r.lane.last
	r.nextID-- // the device reuses the identifier
	fresh := r.request(wire.AccessRequest, pap("alice", "y"))
	r.lane.decide = nil
	r.give(r.auth, fresh)
	r.answer(fresh)
	late.Decision.Verdict, late.Decision.Reason = event.Accept, trace.OK
	late.Done.Decided(late)
	r.wake()
	r.silent(causeSuperseded)
	r.give(r.auth, fresh)
	r.answer(fresh)
	if r.lane.requests != 2 {
		t.Errorf("the engine was asked %d times", r.lane.requests)
	}
}

func TestForgedPacketDoesNotEvict(t *testing.T) {
	r := newRig(t)
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, p)
	r.answer(p)
	forged := bytes.Clone(p)
	forged[4] ^= 1
	r.give(r.auth, forged)
	r.silent(cause(wire.SignatureMismatch))
	r.give(r.auth, p)
	r.answer(p)
	if r.lane.requests != 1 {
		t.Error("the forged packet evicted the answer")
	}
}

func TestDiscardedLoginIsTriedAgain(t *testing.T) {
	r := newRig(t)
	r.lane.decide = func(q *engine.Request) bool {
		q.Decision.Verdict, q.Decision.Reason = event.Discard, trace.LogNoLeader
		return true
	}
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, p)
	r.silent(causeDiscarded)
	r.lane.decide = nil
	r.give(r.auth, p)
	r.answer(p)
}

func TestReplyThatIsTooLargeBecomesAReject(t *testing.T) {
	r := newRig(t, func(c *document.RadiusClient) { c.RejectDelay = 0 })
	big := compile(t, strings.Repeat("Reply-Message += "+strings.Repeat("x", 253)+"\n", 15))
	r.lane.decide = func(q *engine.Request) bool {
		q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
		q.Decision.Replies = []any{big, big}
		return true
	}
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, p)
	if v := r.answer(p); v.Code() != wire.AccessReject {
		t.Fatal(v.Code())
	}
	if len(r.lane.overrule) != 1 || r.lane.overrule[0] != trace.RadiusReplyTooLarge {
		t.Errorf("overruled with %v", r.lane.overrule)
	}
	if !strings.Contains(r.logs.String(), string(trace.RadiusReplyTooLarge)) {
		t.Errorf("the log does not say so: %s", r.logs)
	}
}

func TestOverloadDropsTheNewestAndCounts(t *testing.T) {
	r := newRig(t)
	r.lane.decide = waiting
	for i := range 70 {
		r.from = netip.AddrPortFrom(r.from.Addr(), uint16(1000+i))
		r.give(r.auth, r.request(wire.AccessRequest, pap("a", "b")))
	}
	if n := r.h.stats.dropped[causeLogins].Load(); n != 6 || r.lane.requests != 64 {
		t.Errorf("%d dropped, %d taken", n, r.lane.requests)
	}
	// Accounting has room of its own.
	for i := range 70 {
		r.from = netip.AddrPortFrom(r.from.Addr(), uint16(2000+i))
		r.give(r.acct, r.request(wire.AccountingRequest, func(b *wire.Builder) { b.Accounting(1, "s") }))
	}
	if n := r.h.stats.dropped[causeRecords].Load(); n != 6 || len(r.lane.accounts) != 64 {
		t.Errorf("%d dropped, %d taken", n, len(r.lane.accounts))
	}
}

func TestDrainTakesNothingNewAndFinishes(t *testing.T) {
	r := newRig(t)
	r.lane.decide = waiting
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, p)
	r.h.Drain()
	r.give(r.auth, r.request(wire.AccessRequest, pap("bob", "x")))
	r.silent(causeDraining)
	if r.h.Pending() != 1 {
		t.Fatalf("%d pending", r.h.Pending())
	}
	q := r.lane.last
	q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
	q.Done.Decided(q)
	r.wake()
	r.answer(p)
	if r.h.Pending() != 0 {
		t.Fatalf("%d pending", r.h.Pending())
	}
}

func TestComplaintsAreLimited(t *testing.T) {
	r := newRig(t)
	r.key = mustKey(t, "other")
	p := r.request(wire.AccessRequest, pap("a", "b"))
	for range 100 {
		r.give(r.auth, p)
	}
	if n := strings.Count(r.logs.String(), "\n"); n != 1 {
		t.Fatalf("%d lines for one wrong secret", n)
	}
	r.pass(11 * time.Second)
	r.give(r.auth, p)
	if !strings.Contains(r.logs.String(), "suppressed=99") || !strings.Contains(r.logs.String(), "secret differs?") {
		t.Errorf("log is %s", r.logs)
	}
	if strings.Contains(r.logs.String(), "testing123") {
		t.Error("the log holds a secret")
	}
}

func TestChargeableUserIdentityIsGivenOnRequestOnly(t *testing.T) {
	for _, tc := range []struct{ asked, allowed, want bool }{{true, true, true}, {false, true, false}, {true, false, false}} {
		r := newRig(t, func(c *document.RadiusClient) { c.ChargeableUserIdentity = tc.allowed })
		r.lane.decide = func(q *engine.Request) bool {
			q.Decision.Verdict, q.Decision.Reason, q.Decision.UserID = event.Accept, trace.OK, 5
			return true
		}
		var seen [2][]byte
		for i := range seen {
			p := r.request(wire.AccessRequest, func(b *wire.Builder) {
				b.PAP("alice", "x")
				if tc.asked {
					b.Attr(wire.ChargeableUser, []byte{0})
				}
			})
			r.give(r.auth, p)
			v := r.answer(p)
			identity, ok := v.First(wire.ChargeableUser)
			if ok != tc.want {
				t.Fatalf("%+v: sent %v", tc, ok)
			}
			seen[i] = identity
		}
		if !bytes.Equal(seen[0], seen[1]) {
			t.Errorf("the identity changes: %q, %q", seen[0], seen[1])
		}
	}
}

func TestLatencyCountsTheTimeWithinABatch(t *testing.T) {
	r := newRig(t)
	r.port.busy = 300 * time.Microsecond
	p := r.request(wire.AccessRequest, pap("alice", "x"))
	r.give(r.auth, p)
	s := collect([]*counters{r.h.stats})
	for _, l := range s.Latencies {
		if l.Method == "pap" && (l.Buckets[3] != 1 || l.Sum != r.port.busy) {
			t.Errorf("observed %v in %v", l.Sum, l.Buckets)
		}
	}
}

func TestClientThatCouldNotBeCompiled(t *testing.T) {
	t.Run("without a usable secret it gets silence", func(t *testing.T) {
		r := newRig(t)
		r.client.Broken, r.client.Wire = errors.New("the secret could not be opened"), nil
		r.give(r.auth, r.request(wire.AccessRequest, pap("a", "b")))
		r.silent(causeSecret)
	})
	t.Run("with one the engine says why", func(t *testing.T) {
		r := newRig(t)
		r.client.Broken = errors.New("reply line 1")
		r.lane.decide = rejecting(trace.ConfigBroken)
		p := r.request(wire.AccessRequest, pap("a", "b"))
		r.give(r.auth, p)
		r.pass(time.Second)
		if v := r.answer(p); v.Code() != wire.AccessReject {
			t.Error(v.Code())
		}
	})
}

func TestUncompiledTemplateRejects(t *testing.T) {
	r := newRig(t)
	r.lane.decide = func(q *engine.Request) bool {
		q.Decision.Verdict, q.Decision.Reason = event.Accept, trace.OK
		q.Decision.Replies = []any{"not a template"}
		return true
	}
	r.give(r.auth, r.request(wire.AccessRequest, pap("a", "b")))
	if len(r.lane.overrule) != 1 || r.lane.overrule[0] != trace.RadiusReplyBroken {
		t.Errorf("overruled with %v", r.lane.overrule)
	}
}

func TestServiceProviderIsRefusedWithAdvice(t *testing.T) {
	w := NewWire(names(t))
	for want, sp := range map[string]*document.ServiceProvider{
		`type "saml"`:                {Type: "saml"},
		"no shared secret":           {Type: document.TypeRadius, Radius: &document.RadiusClient{}},
		"secret could not be opened": {Type: document.TypeRadius, Radius: &document.RadiusClient{Secrets: []document.RadiusSecret{{Value: secret.Redacted()}}}},
	} {
		if _, err := w.Client(sp); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %q", err, want)
		}
	}
}
