package radius

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
	"trine/engine/secret"
	"trine/protocols/loop"
	"trine/protocols/radius/dictionary"
	"trine/protocols/radius/wire"
)

// Simulator tries out logins: it makes the packet that a device would send, and has it read, decided and answered by the code that does so
// with packets from the network. It may be used by any goroutine.
type Simulator struct {
	names *dictionary.Dictionary
	keys  *secret.Keyring
	mark  classMark
}

// NewSimulator returns a simulator that knows the attributes of names. Cluster and keys are those of the server; see Config.
func NewSimulator(names *dictionary.Dictionary, cluster string, keys *secret.Keyring) *Simulator {
	return &Simulator{names: names, keys: keys, mark: markOf(cluster)}
}

// Attempt is a login to try out.
type Attempt struct {
	Cache  *policy.Cache  // that decides
	Client *policy.Client // who asks; it must not be without what this package made of it
	Source netip.Addr     // from where
	Time   time.Time      // when

	User     string
	Method   credential.Method // PAP, CHAP, MSCHAPv1, MSCHAPv2, or NoProof
	Password string            // where it is not looked at, anything that is not empty
	// Attributes are further ones of the request, a line each: "NAS-Port-Type = Ethernet".
	Attributes []string
}

// Answer is what came of a login.
type Answer struct {
	Decided *event.Decided // the record that it would have left
	// Code is the name of the answer's code, such as Access-Accept; empty if the device would get no answer.
	Code string
	// Attributes are the answer's, in its order and without its signature. Secrets are redacted, and so is State: it would let whoever
	// sees it go on from a password that was only assumed.
	Attributes []dictionary.Pair
}

var (
	// ErrAttempt means that no device could send such a request; the error that wraps it says what is wrong.
	ErrAttempt = errors.New("there is no such request")
	// ErrSecret means that no shared secret of the service provider is good at the time: packets get no answer.
	ErrSecret = errors.New("no shared secret of the service provider is good at this time")
)

// Try has a login decided by a simulation, and waits for what takes its time until ctx ends.
func (s *Simulator) Try(ctx context.Context, sim engine.Simulation, q *Attempt) (*Answer, error) {
	own, ok := q.Client.Wire.(*Client)
	if !ok {
		return nil, fmt.Errorf("%w: the service provider %s cannot be asked over RADIUS", ErrAttempt, q.Client.Name)
	}
	key := own.present(q.Time.UnixNano())
	if key == nil {
		return nil, ErrSecret
	}
	packet, err := s.packet(q, key)
	if err != nil {
		return nil, err
	}
	return s.answer(ctx, sim, q, own, key, packet)
}

// answer has the packet of an attempt answered, which is authentic under a key of the device's.
func (s *Simulator) answer(ctx context.Context, sim engine.Simulation, q *Attempt, own *Client, key *wire.Secret, packet []byte) (*Answer, error) {
	a := &arrival{from: netip.AddrPortFrom(q.Source, 0), cache: q.Cache, client: q.Client, own: own, key: key, check: -1}
	if fault := wire.Parse(packet, &a.view); fault != wire.OK {
		return nil, fmt.Errorf("%w: %w", ErrAttempt, fault)
	}
	at := &stage{now: q.Time, woken: make(chan struct{}, 1)}
	h := newHandler(&common{
		keys: s.keys, mark: s.mark, logger: slog.New(slog.DiscardHandler), life: time.Second, logins: 1, entries: 1, bytes: wire.MaxPacket,
	}, at, sim.NewLane(), new(counters))
	l := h.newLogin()
	l.ask(a, q.Time)
	if !h.decide(l, &a.view) {
		select {
		case <-at.woken: // the only login there is was put into the mailbox
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	h.render(l, &a.view)
	decided, err := sim.Decided(&l.Request)
	if err != nil {
		return nil, err
	}
	answer := &Answer{Decided: decided}
	switch l.Decision.Verdict {
	case event.Accept:
	case event.Challenge:
		clear(l.Decision.State)
		h.challengeLogin(l, &a.view)
	case event.Reject:
		h.reject(l, &a.view)
	default:
		return answer, nil
	}
	if fault := h.replies.Add(&h.builder); fault != wire.OK {
		return nil, fmt.Errorf("build the answer: %w", fault)
	}
	h.replies.Complete()
	return answer, s.read(answer, h.replies.At(0))
}

// packet makes the request of a device.
func (s *Simulator) packet(q *Attempt, key *wire.Secret) ([]byte, error) {
	var b wire.Builder
	b.Request(make([]byte, 0, wire.MaxPacket), wire.AccessRequest, 0, key)
	if err := q.prove(&b); err != nil {
		return nil, err
	}
	items, err := parseLines(q.Attributes)
	if err != nil {
		return nil, attemptError(err)
	}
	for _, item := range items {
		if a := s.names.Attribute(item.Name); a != nil && s.proves(a) {
			return nil, fmt.Errorf("%w: %s is made of the user, the method and the password", ErrAttempt, a.Name)
		}
	}
	t, err := s.names.Compile(items)
	if err != nil {
		return nil, attemptError(err)
	}
	t.AppendTo(&b)
	packet, fault := b.Finish()
	if fault != wire.OK {
		return nil, fmt.Errorf("%w: %w", ErrAttempt, fault)
	}
	return packet, nil
}

// attemptError says what is wrong with the attributes of an attempt.
func attemptError(err error) error {
	var inside *dictionary.LineError
	if errors.As(err, &inside) {
		return fmt.Errorf("%w: attribute %d: %w", ErrAttempt, inside.Line(), inside.Unwrap())
	}
	return fmt.Errorf("%w: %w", ErrAttempt, err)
}

// proves reports whether an attribute says who logs in, or proves it.
func (s *Simulator) proves(a *dictionary.Attribute) bool {
	switch {
	case a.Vendor == nil && a.Parent == nil:
		return a == s.names.Standard(wire.UserName) || reserved(wire.Type(a.Number))
	case a.Vendor != nil && a.Vendor.Number == wire.VendorMicrosoft:
		switch uint8(a.Number) {
		case wire.MSCHAPChallenge, wire.MSCHAPResponse, wire.MSCHAP2Response, wire.MSCHAP2CPW, wire.MSCHAPNTEncPW:
			return true
		}
	}
	return false
}

// prove appends the name and the proof of a login.
func (q *Attempt) prove(b *wire.Builder) error {
	const ident = 1
	// Read never fails: it ends the process instead.
	var challenge, peer [16]byte
	_, _ = rand.Read(challenge[:])
	_, _ = rand.Read(peer[:])
	switch q.Method {
	case credential.NoProof:
		b.Text(wire.UserName, q.User)
	case credential.PAP:
		b.PAP(q.User, q.Password)
	case credential.CHAP:
		b.CHAP(q.User, ident, chap.Response(ident, []byte(q.Password), challenge[:]), challenge[:])
	case credential.MSCHAPv1, credential.MSCHAPv2:
		hash, ok := chap.NTHash([]byte(q.Password))
		if !ok {
			return fmt.Errorf("%w: a password that is not UTF-8, or longer than 256 UTF-16 units, has no NT hash", ErrAttempt)
		}
		if q.Method == credential.MSCHAPv1 {
			short := [8]byte(challenge[:8])
			b.MSCHAP(q.User, ident, short, chap.ChallengeResponse(&hash, &short))
			break
		}
		c := chap.ChallengeHash(&peer, &challenge, chap.WithoutDomain([]byte(q.User)))
		b.MSCHAP2(q.User, ident, challenge, peer, chap.ChallengeResponse(&hash, &c))
	default:
		return fmt.Errorf("%w: the method %s cannot be tried out", ErrAttempt, q.Method)
	}
	if fault := b.Err(); fault != wire.OK {
		return fmt.Errorf("%w: a login name has at most 253 bytes, and a password at most 128", ErrAttempt)
	}
	return nil
}

// read tells the attributes of an answer.
func (s *Simulator) read(answer *Answer, packet []byte) error {
	v := new(wire.View)
	if fault := wire.Parse(packet, v); fault != wire.OK {
		return fmt.Errorf("read the answer: %w", fault)
	}
	answer.Code = v.Code().String()
	for _, p := range s.names.Pairs(v) {
		switch {
		case p.Attribute == nil:
		case p.Attribute == s.names.Standard(wire.MessageAuthenticator):
			continue
		case p.Attribute == s.names.Standard(wire.State):
			p.Value = secret.Mark
		}
		answer.Attributes = append(answer.Attributes, p)
	}
	return nil
}

// ParseMethod returns the method of that name, as credential.Method.String gives it, among those that can be tried out.
func ParseMethod(name string) (credential.Method, error) {
	for _, m := range [...]credential.Method{credential.PAP, credential.CHAP, credential.MSCHAPv1, credential.MSCHAPv2, credential.NoProof} {
		if strings.EqualFold(name, m.String()) {
			return m, nil
		}
	}
	return 0, fmt.Errorf("%w: unknown method %q; there are pap, chap, mschapv1, mschapv2 and none", ErrAttempt, name)
}

// stage is a loop without sockets, at one point in time, for one login.
type stage struct {
	now   time.Time
	woken chan struct{}
}

var _ port = (*stage)(nil)

func (s *stage) Now() time.Time                            { return s.now }
func (s *stage) Time() time.Time                           { return s.now }
func (s *stage) Send(*loop.Socket, netip.AddrPort, []byte) {}
func (s *stage) After(time.Duration, uint64)               {}
func (s *stage) Wake()                                     { s.woken <- struct{}{} }
