package engine

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"trine/engine/credential"
	"trine/engine/credential/chap"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/policy"
	"trine/engine/secret"
	"trine/engine/state"
	"trine/engine/trace"
)

// clock is a clock that tests set.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(by)
}

// bench is a hasher that does its jobs at once, or when it is told to.
type bench struct {
	mu     sync.Mutex
	jobs   []*credential.Job
	hold   bool
	refuse error
	fail   error
	spread bool // each job on a goroutine of its own
}

func (b *bench) Submit(j *credential.Job) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.refuse != nil:
		return b.refuse
	case b.hold:
		b.jobs = append(b.jobs, j)
	case b.spread:
		go b.do(j)
	default:
		b.mu.Unlock()
		b.do(j)
		b.mu.Lock()
	}
	return nil
}

func (b *bench) do(j *credential.Job) {
	b.mu.Lock()
	fail := b.fail
	b.mu.Unlock()
	switch {
	case fail != nil:
		j.Err = fail
	case len(j.Form) > 0:
		j.Match, j.Err = credential.FormMatches(j.Form, j.Password)
	default:
		a, err := credential.HashArgon2id(j.Password, j.Params)
		j.Hash, j.Err = a.Append(nil), err
	}
	j.Done.Hashed(j)
}

func (b *bench) set(change func(b *bench)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

// work does all jobs that wait.
func (b *bench) work() {
	b.mu.Lock()
	jobs := b.jobs
	b.jobs = nil
	b.mu.Unlock()
	for _, j := range jobs {
		b.do(j)
	}
}

// fakeWire is a protocol that takes everything but a secret "bad" and names that begin with "No-".
type fakeWire struct{}

func (fakeWire) Client(sp *document.ServiceProvider) (any, error) {
	for i := range sp.Radius.Secrets {
		if clear, err := sp.Radius.Secrets[i].Value.Open(nil, nil, nil); err != nil || string(clear) == "bad" {
			return nil, errors.New("the secret is too weak")
		}
	}
	return &sp.Radius.RejectDelay, nil
}

func (fakeWire) Reply(lines []string) (any, error) {
	if text := strings.Join(lines, "\n"); !strings.HasPrefix(text, "No-") {
		return text, nil
	}
	return nil, errors.New("there is no such attribute")
}

func (fakeWire) Attribute(id string) (any, error) { return id, nil }

func (fakeWire) Asked(name, value string) (any, string, error) {
	if strings.HasPrefix(name, "No-") {
		return nil, "", errors.New("there is no such attribute")
	}
	return name, value, nil
}

// tacacsWire is TACACS+ without its codec.
type tacacsWire struct{ policy.Arguments }

func (tacacsWire) Client(sp *document.ServiceProvider) (any, error) { return &sp.Tacacs.Quirks, nil }

// inbox takes deliveries, and counts them.
type inbox struct {
	mu      sync.Mutex
	logins  map[*Request]int
	records map[*Accounting]int

	authorizations map[*Authorization]int

	told chan struct{} // holds one token while a delivery was not looked at
}

func newInbox() *inbox {
	return &inbox{logins: map[*Request]int{}, records: map[*Accounting]int{}, authorizations: map[*Authorization]int{}, told: make(chan struct{}, 1)}
}

func (i *inbox) Decided(r *Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.logins[r]++
	select {
	case i.told <- struct{}{}:
	default:
	}
}

func (i *inbox) Accounted(a *Accounting) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.records[a]++
}

func (i *inbox) decided(r *Request) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.logins[r]
}

func (i *inbox) accounted(a *Accounting) int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.records[a]
}

// rig is an engine over real state, policies and verifier, a log in memory and a bench.
type rig struct {
	t        testing.TB
	clock    *clock
	log      *memoryLog
	people   *state.State
	ring     *secret.Keyring
	bench    *bench
	compiler *policy.Compiler
	verifier *credential.Verifier
	engine   *Engine
	lane     *Lane
	inbox    *inbox
}

// start is when every rig's clock starts.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func cheap() credential.Params {
	return credential.Params{MemoryKiB: 64, Iterations: 1, Parallelism: 1}
}

func all() credential.Keep {
	return credential.Keep{Argon2id: true, Keyed: true, NT: true, Clear: true}
}

// house is the configuration of most tests.
const house = `
kind: IdentityProvider
name: local
spec: {type: local, publicID: home, profiles: {radius: {enabled: true, mschapv1: true}}}
---
kind: ServiceProvider
name: wlan
spec: {type: radius, publicID: wlan, radius: {sourceIPs: [10.0.0.0/8], secret: one, reply: ["Idle-Timeout = 60"]}}
---
kind: Group
name: staff
spec: {reply: ["Session-Timeout = 3600"]}
---
kind: User
name: Alice
spec: {firstName: Alice, mail: alice, mailDomain: example.org, aliases: [ally], primaryGroup: staff, attributes: {room: [A1, B2]}}
---
kind: User
name: bob
spec: {firstName: Bob}
---
kind: AttributeDefinition
name: room
spec: {radiusID: Filter-Id}
---
kind: AttributePolicy
name: rooms
spec: {condition: any, attributes: [{attribute: room}]}
`

// newRig returns a rig with a house and its people.
func newRig(t testing.TB, change func(*Config)) *rig {
	t.Helper()
	r := newEmptyRig(t, change)
	r.apply(house)
	r.password("Alice", "wonderland", all())
	r.password("bob", "builder", credential.Keep{Argon2id: true})
	return r
}

// newEmptyRig returns a rig without documents.
func newEmptyRig(t testing.TB, change func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, clock: &clock{now: start}, people: state.New(), ring: secret.NewKeyring(), bench: &bench{}, inbox: newInbox()}
	if err := r.ring.Add(1, secret.NewClusterKey()); err != nil {
		t.Fatal(err)
	}
	r.log = &memoryLog{people: r.people, clock: r.clock}
	var err error
	r.compiler, err = policy.NewCompiler(policy.Config{
		State: r.people, Wires: map[string]policy.Wire{document.TypeRadius: fakeWire{}, document.TypeTacacs: tacacsWire{}}, Keyring: r.ring, Clock: r.clock.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	limits := credential.Limits{UserBurst: 1e6, UserUnderWay: 1 << 14, SourceBurst: 1e6, SourceUnderWay: 1 << 14}
	r.verifier, err = credential.New(credential.Config{
		Keyring: r.ring, Hasher: r.bench, Clock: r.clock.Now, CacheSize: 1024, Params: cheap(), Limits: limits,
	})
	if err != nil {
		t.Fatal(err)
	}
	c := Config{People: r.people, Policies: r.compiler.Holder(), Log: r.log, Verifier: r.verifier, Clock: r.clock.Now}
	if change != nil {
		change(&c)
	}
	r.engine = New(c)
	r.lane = r.engine.NewLane()
	return r
}

// propose applies one proposal past the engine.
func (r *rig) propose(messages ...proto.Message) {
	r.t.Helper()
	var b event.Builder
	for _, m := range messages {
		if err := b.Add(event.TypeOf(m), event.ClassConfig, nil, m); err != nil {
			r.t.Fatal(err)
		}
	}
	r.log.set(func(l *memoryLog) {
		l.at.Index++
		if now := l.clock.Now(); now.After(l.at.Time) {
			l.at.Time = now
		}
		if res := l.people.Apply(l.at, b.Bytes()); res.Code != 0 {
			r.t.Fatalf("void: %s", res.Detail)
		}
		l.took(l.at, bytes.Clone(b.Bytes()))
	})
	r.compiler.Recompile()
}

// apply stores documents.
func (r *rig) apply(text string) {
	r.t.Helper()
	docs, err := document.Parse("test.yaml", strings.NewReader(text))
	if err != nil {
		r.t.Fatal(err)
	}
	var puts []proto.Message
	for _, d := range r.withBrought(docs) {
		d.EachSecret(func(_ string, s *secret.Text) {
			if *s, err = s.Seal(r.ring, d.SecretContext()); err != nil {
				r.t.Fatal(err)
			}
		})
		spec, err := d.Stored()
		if err != nil {
			r.t.Fatal(err)
		}
		puts = append(puts, &event.DocumentPut{Kind: d.Kind, Name: d.Name, Spec: spec, Refs: d.Refs(), Claims: d.Claims()})
	}
	r.propose(puts...)
}

// withBrought adds what documents bring with them and what is not there yet.
func (r *rig) withBrought(docs []*document.Document) []*document.Document {
	all := slices.Clip(docs)
	for _, d := range docs {
		for _, b := range d.Brings() {
			given := slices.ContainsFunc(all, func(o *document.Document) bool { return o.Key() == b.Key() })
			if _, present := r.people.Document(b.Kind, b.Name); !given && !present {
				all = append(all, b)
			}
		}
	}
	return all
}

func (r *rig) delete(kind, name string) { r.propose(&event.DocumentDeleted{Kind: kind, Name: name}) }

func (r *rig) password(user, password string, keep credential.Keep) {
	r.t.Helper()
	r.propose(r.forms(user, password, keep))
}

func (r *rig) forms(user, password string, keep credential.Keep) *event.PasswordSet {
	set, err := credential.BuildForms(context.Background(), user, []byte(password), keep, cheap(), r.ring, &bench{})
	if err != nil {
		r.t.Fatal(err)
	}
	return set
}

// request returns a login over PAP.
func (r *rig) request(name, password string) *Request {
	cache := r.compiler.Holder().Load()
	now := r.clock.Now()
	q := &Request{
		Protocol: "radius", Cache: cache, Client: cache.ClientFor(document.TypeRadius, netip.MustParseAddr("10.0.0.1")),
		Source: netip.MustParseAddrPort("10.0.0.1:3000"), Name: []byte(name), NAS: []byte("ap1"), Calling: []byte("AA-BB-CC-DD-EE-FF"),
		NASPort: 7, Arrived: now, Deadline: now.Add(5 * time.Second), Done: r.inbox,
	}
	q.Proof = credential.Proof{Method: credential.PAP, Password: []byte(password)}
	return q
}

// prove makes the proof of a request one of another method.
func prove(t testing.TB, q *Request, m credential.Method, password string) *Request {
	t.Helper()
	p := credential.Proof{Method: m, Identifier: 7, HashName: q.Name}
	challenge, peer := []byte("0123456789abcdef"), []byte("fedcba9876543210")
	hash, ok := chap.NTHash([]byte(password))
	if !ok {
		t.Fatal("no NT hash")
	}
	switch m {
	case credential.CHAP:
		response := chap.Response(p.Identifier, []byte(password), challenge)
		p.Challenge, p.Response = challenge, response[:]
	case credential.MSCHAPv1:
		response := chap.ChallengeResponse(&hash, (*[8]byte)(challenge))
		p.Challenge, p.Response = challenge[:8], response[:]
	case credential.MSCHAPv2, credential.MSCHAPCPW:
		c := chap.ChallengeHash((*[16]byte)(peer), (*[16]byte)(challenge), p.HashName)
		response := chap.ChallengeResponse(&hash, &c)
		p.Challenge, p.PeerChallenge, p.Response = challenge, peer, response[:]
		p.EncryptedHash, p.EncryptedPassword = make([]byte, 16), make([]byte, 516)
	case credential.PAP, credential.ASCII:
		p.Password = []byte(password)
	}
	q.Proof = p
	return q
}

// decide has a login decided, whatever it waits for, and checks that its decision is delivered once.
func (r *rig) decide(q *Request) *Decision {
	r.t.Helper()
	before := r.inbox.decided(q)
	decided := r.lane.Authenticate(q)
	if !decided {
		r.bench.work()
		r.log.release()
	}
	r.once(q, decided, before)
	return &q.Decision
}

func (r *rig) once(q *Request, decided bool, before int) {
	r.t.Helper()
	want := 1
	if decided {
		want = 0
	}
	if n := r.inbox.decided(q) - before; n != want {
		r.t.Fatalf("a login that was decided at once: %v was delivered %d times later", decided, n)
	}
	if q.Decision.Verdict == 0 || q.Decision.Reason == "" {
		r.t.Fatalf("no decision: %+v", q.Decision)
	}
}

// recorded flushes, and returns the record of a decision.
func (r *rig) recorded(q *Request) decision {
	r.t.Helper()
	r.lane.Flush()
	r.engine.Flush()
	var found []decision
	for _, d := range r.log.decisions(r.t) {
		if d.ID == q.Decision.ID {
			found = append(found, d)
		}
	}
	if len(found) == 0 {
		r.t.Fatalf("the decision %+v was not recorded", q.Decision)
	}
	return found[len(found)-1]
}

// accept has a login decided and fails unless it is accepted.
func (r *rig) accept(q *Request) *Decision {
	r.t.Helper()
	if d := r.decide(q); d.Verdict != event.Accept || d.Reason != trace.OK {
		r.t.Fatalf("%s %s", d.Verdict, d.Reason)
	}
	return &q.Decision
}

// deny has a login decided and fails unless it comes out as wanted, with nothing that an accept carries.
func (r *rig) deny(q *Request, verdict event.Verdict, reason trace.Reason) decision {
	r.t.Helper()
	d := r.decide(q)
	if d.Verdict != verdict || d.Reason != reason || len(d.Replies) > 0 || len(d.Released) > 0 {
		r.t.Fatalf("%s %s with %d replies, want %s %s", d.Verdict, d.Reason, len(d.Replies), verdict, reason)
	}
	return r.recorded(q)
}
