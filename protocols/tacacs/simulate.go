package tacacs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"trine/engine"
	"trine/engine/credential"
	"trine/engine/credential/chap"
	"trine/engine/event"
	"trine/engine/policy"
	"trine/engine/trace"
	"trine/protocols/stream"
	"trine/protocols/tacacs/wire"
)

// Attempt is a login or an authorization to try out.
type Attempt struct {
	Cache  *policy.Cache  // that decides
	Client *policy.Client // who asks; it must not be without what this package made of it
	Source netip.Addr     // from where
	Time   time.Time      // when

	User                string
	Port, RemoteAddress string // the line on the device, and where the person is

	// Of a login: how it is proved (ASCII, PAP, CHAP, MSCHAPv1 or MSCHAPv2), the password, where it is not looked at anything that is not empty, and the
	// privilege level that is asked for by enable; -1: it is a login.
	Method   credential.Method
	Password string
	Enable   int8

	// Of an authorization: its arguments, which make it one, and the privilege level that the device says that the person has.
	Arguments []string
	Level     int8
}

// Answer is what came of an attempt.
type Answer struct {
	Decided   *event.Decided // the record that it would have left
	Status    string         // of the answer by its name in RFC 8907, such as PASS, GETDATA or PASS_ADD
	Message   string         // what it has for the person to read
	Arguments []string       // of an authorization, in their order
}

var (
	// ErrAttempt means that no device could send such a request; the error that wraps it says what is wrong.
	ErrAttempt = errors.New("there is no such request")
	// ErrSecret means that no shared secret of the service provider is good at the time: without TLS, connections end without an answer.
	ErrSecret = errors.New("no shared secret of the service provider is good at this time")
)

// CommandArguments returns a command line as devices send it (RFC 8907 section 8.2): a word an argument, and <cr> for its end.
func CommandArguments(line string) []string {
	args := []string{"service=shell"}
	for i, word := range strings.Fields(line) {
		name := "cmd-arg="
		if i == 0 {
			name = "cmd="
		}
		args = append(args, name+word)
	}
	return append(args, "cmd-arg=<cr>")
}

// Try makes the packets that a device would send, and has them read, decided by a simulation and answered by the code that does so with packets from the
// network. Of an ASCII login the password's question is answered, and the answer to that is told. It waits for what takes its time until ctx ends.
func Try(ctx context.Context, sim engine.Simulation, q *Attempt) (*Answer, error) {
	own, ok := q.Client.Wire.(*Client)
	if !ok {
		return nil, fmt.Errorf("%w: the service provider %s cannot be asked over TACACS+", ErrAttempt, q.Client.Name)
	}
	if len(own.active(nil, q.Time.UnixNano())) == 0 {
		return nil, ErrSecret
	}
	at := &stage{now: q.Time, woken: make(chan struct{}, 1)}
	w := &witness{Lane: sim.NewLane(), sim: sim}
	h := newHandler(&common{
		logger: slog.New(slog.DiscardHandler), deadline: 5 * time.Second, patience: time.Minute, body: wire.MaxBody, clients: 1, sessions: 1, most: 1, logins: 1, records: 1,
	}, at, w, new(counters))
	p := h.newPeer()
	// Within TLS, packets are in clear. The decision is the same.
	p.remote, p.secure, p.known, p.cache, p.client, p.own = netip.AddrPortFrom(q.Source, 0), true, true, q.Cache, q.Client, own

	var b wire.Builder
	if err := q.ask(&b); err != nil {
		return nil, err
	}
	header, body, err := at.answer(ctx, h, p, &b)
	if err != nil {
		return nil, err
	}
	answer := new(Answer)
	if header.Type == wire.Authorization {
		var r wire.AuthorResponse
		if f := wire.ParseAuthorResponse(body, 0, &r); f != wire.OK {
			return nil, fmt.Errorf("read the answer: %w", f)
		}
		answer.Status, answer.Message = r.Status.String(), string(r.ServerMsg)
		for text := range r.Args.Raw() {
			answer.Arguments = append(answer.Arguments, string(text))
		}
	} else {
		var r wire.AuthenReply
		if f := wire.ParseAuthenReply(body, 0, &r); f == wire.OK && r.Status == wire.AuthenGetPass && w.decided == nil {
			header.Seq++
			b.AuthenContinue(make([]byte, 0, maxReply), header, &wire.AuthenContinue{UserMsg: []byte(q.Password)})
			if _, body, err = at.answer(ctx, h, p, &b); err != nil {
				return nil, err
			}
		}
		if f := wire.ParseAuthenReply(body, 0, &r); f != wire.OK {
			return nil, fmt.Errorf("read the answer: %w", f)
		}
		answer.Status, answer.Message = r.Status.String(), string(r.ServerMsg)
	}
	if w.err != nil {
		return nil, w.err
	}
	if answer.Decided = w.decided; answer.Decided == nil {
		return nil, fmt.Errorf("%w: it comes to no decision, and is answered %s", ErrAttempt, answer.Status)
	}
	return answer, nil
}

// ask makes the first packet of an attempt.
func (q *Attempt) ask(b *wire.Builder) error {
	buf := make([]byte, 0, maxReply)
	if len(q.Arguments) > 0 {
		b.AuthorRequest(buf, wire.Header{Version: wire.Version0, Type: wire.Authorization, Seq: 1}, &wire.AuthorRequest{
			Method: wire.MethodTACACSPlus, PrivLvl: uint8(q.Level), Type: wire.TypeASCII, Service: wire.ServiceLogin,
			User: []byte(q.User), Port: []byte(q.Port), RemAddr: []byte(q.RemoteAddress),
		})
		for _, text := range q.Arguments {
			b.Arg([]byte(text))
		}
		return q.sound(b)
	}
	if q.User == "" {
		return fmt.Errorf("%w: a login has a name", ErrAttempt)
	}
	s := &wire.AuthenStart{
		Action: wire.Login, PrivLvl: 1, Service: wire.ServiceLogin, User: []byte(q.User), Port: []byte(q.Port), RemAddr: []byte(q.RemoteAddress),
	}
	if q.Enable >= 0 {
		s.Service, s.PrivLvl = wire.ServiceEnable, uint8(q.Enable)
	}
	if err := q.prove(s); err != nil {
		return err
	}
	version := wire.Version1
	if s.Type == wire.TypeASCII {
		version = wire.Version0
	}
	b.AuthenStart(buf, wire.Header{Version: version, Type: wire.Authentication, Seq: 1}, s)
	return q.sound(b)
}

// sound says what is wrong with a request that no device could send.
func (q *Attempt) sound(b *wire.Builder) error {
	if f := b.Err(); f != wire.OK {
		return fmt.Errorf("%w: %w", ErrAttempt, f)
	}
	return nil
}

// prove fills in how the password is proved, RFC 8907 sections 5.4.2.1 to 5.4.2.5.
func (q *Attempt) prove(s *wire.AuthenStart) error {
	const ident = 1
	// Read never fails: it ends the process instead.
	var challenge, peer [16]byte
	_, _ = rand.Read(challenge[:])
	_, _ = rand.Read(peer[:])
	switch q.Method {
	case credential.ASCII:
		s.Type = wire.TypeASCII
	case credential.PAP:
		s.Type, s.Data = wire.TypePAP, []byte(q.Password)
	case credential.CHAP:
		response := chap.Response(ident, []byte(q.Password), challenge[:])
		s.Type, s.Data = wire.TypeCHAP, append(append([]byte{ident}, challenge[:]...), response[:]...)
	case credential.MSCHAPv1, credential.MSCHAPv2:
		hash, ok := chap.NTHash([]byte(q.Password))
		if !ok {
			return fmt.Errorf("%w: a password that is not UTF-8, or longer than 256 UTF-16 units, has no NT hash", ErrAttempt)
		}
		if q.Method == credential.MSCHAPv1 {
			short := [8]byte(challenge[:8])
			response := chap.ChallengeResponse(&hash, &short)
			s.Type, s.Data = wire.TypeMSCHAP, append(append(append([]byte{ident}, short[:]...), make([]byte, 24)...), response[:]...)
			s.Data = append(s.Data, 1) // the NT response counts
			break
		}
		mixed := chap.ChallengeHash(&peer, &challenge, chap.WithoutDomain([]byte(q.User)))
		response := chap.ChallengeResponse(&hash, &mixed)
		s.Type, s.Data = wire.TypeMSCHAPv2, append(append(append([]byte{ident}, challenge[:]...), peer[:]...), make([]byte, 8)...)
		s.Data = append(append(s.Data, response[:]...), 0)
	default:
		return fmt.Errorf("%w: a login over TACACS+ cannot be proved by %s", ErrAttempt, q.Method)
	}
	return nil
}

// ParseMethod returns the method of that name, as credential.Method.String gives it, among those of TACACS+.
func ParseMethod(name string) (credential.Method, error) {
	for _, m := range [...]credential.Method{credential.ASCII, credential.PAP, credential.CHAP, credential.MSCHAPv1, credential.MSCHAPv2} {
		if strings.EqualFold(name, m.String()) {
			return m, nil
		}
	}
	return 0, fmt.Errorf("%w: unknown method %q; over TACACS+ there are ascii, pap, chap, mschapv1 and mschapv2", ErrAttempt, name)
}

// stage is a loop without connections, at one point in time, for one session.
type stage struct {
	now   time.Time
	woken chan struct{}
}

var _ port = (*stage)(nil)

func (s *stage) Now() time.Time                  { return s.now }
func (s *stage) Time() time.Time                 { return s.now }
func (s *stage) Conn(stream.Handle) *stream.Conn { return nil }
func (s *stage) After(time.Duration, uint64)     {}
func (s *stage) Wake()                           { s.woken <- struct{}{} }

// answer has a handler take a packet that was built, and returns the answer.
func (s *stage) answer(ctx context.Context, h *handler, p *peer, b *wire.Builder) (wire.Header, []byte, error) {
	packet, f := b.Finish(nil)
	if f != wire.OK {
		return wire.Header{}, nil, fmt.Errorf("%w: %w", ErrAttempt, f)
	}
	a := new(arrival)
	if a.header, f = wire.ParseHeader(packet, wire.MaxBody, 0); f != wire.OK {
		return wire.Header{}, nil, fmt.Errorf("%w: %w", ErrAttempt, f)
	}
	h.take(p, a, packet)
	if h.departures.count == 0 {
		select {
		case <-s.woken: // what the engine had is in a mailbox
			h.Wake()
		case <-ctx.Done():
			return wire.Header{}, nil, ctx.Err()
		}
	}
	if h.departures.count != 1 {
		return wire.Header{}, nil, fmt.Errorf("%w: it gets no answer", ErrAttempt)
	}
	sent := append([]byte(nil), h.departures.list[0].packet...)
	h.dispatch()
	header, f := wire.ParseHeader(sent, wire.MaxBody, 0)
	if f != wire.OK {
		return header, nil, fmt.Errorf("read the answer: %w", f)
	}
	return header, sent[wire.HeaderLen:], nil
}

// witness is the way into a simulated engine that keeps the record which a decision would have left.
type witness struct {
	Lane
	sim     engine.Simulation
	decided *event.Decided
	err     error
}

func (w *witness) keep(d *event.Decided, err error) { w.decided, w.err = d, err }

// Authenticate implements Lane.
func (w *witness) Authenticate(r *engine.Request) bool {
	r.Done = &witnessed{w: w, login: r.Done}
	return w.seen(r, w.Lane.Authenticate(r))
}

// Refuse implements Lane.
func (w *witness) Refuse(r *engine.Request, reason trace.Reason) bool {
	r.Done = &witnessed{w: w, login: r.Done}
	return w.seen(r, w.Lane.Refuse(r, reason))
}

func (w *witness) seen(r *engine.Request, decided bool) bool {
	if decided {
		w.keep(w.sim.Decided(r))
	}
	return decided
}

// Authorize implements Lane.
func (w *witness) Authorize(a *engine.Authorization) bool {
	a.Done = &witnessed{w: w, authorization: a.Done}
	if !w.Lane.Authorize(a) {
		return false
	}
	w.keep(w.sim.Authorized(a))
	return true
}

// witnessed is where a decision that took its time goes on its way.
type witnessed struct {
	w             *witness
	login         engine.Delivery
	authorization engine.AuthorizationDelivery
}

// Decided implements engine.Delivery.
func (d *witnessed) Decided(r *engine.Request) {
	d.w.keep(d.w.sim.Decided(r))
	d.login.Decided(r)
}

// Authorized implements engine.AuthorizationDelivery.
func (d *witnessed) Authorized(a *engine.Authorization) {
	d.w.keep(d.w.sim.Authorized(a))
	d.authorization.Authorized(a)
}
