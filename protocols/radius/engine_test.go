package radius

import (
	"context"
	"crypto/md5"
	"net/netip"
	"strings"
	"testing"
	"time"

	"layeh.com/radius/rfc2759"

	"trine/engine"
	"trine/engine/credential"
	"trine/engine/document"
	"trine/engine/event"
	"trine/engine/policy"
	"trine/engine/secret"
	"trine/engine/state"
	"trine/protocols/radius/wire"
)

// house is the real engine over real state and policies, with a log that commits at once.
type house struct {
	*rig
	people   *state.State
	keys     *secret.Keyring
	policies *policy.Compiler
	verifier *credential.Verifier
	engine   *engine.Engine
	index    uint64
	latest   time.Time // of a record
	proposed int
	seen     func(proposal []byte) // told of each proposal, if it is set
	apply    bool                  // proposals take effect; off where allocations are counted
}

const houseDocuments = `
kind: UserType
name: default
spec: {password: {keep: [keyed, nt, clear], allowChange: true}}
---
kind: Group
name: staff
spec:
  reply: ["Tunnel-Type:1 = VLAN", "Tunnel-Private-Group-Id:1 = 20"]
---
kind: User
name: alice
spec: {primaryGroup: staff}
---
kind: IdentityProvider
name: local
spec: {type: local, publicID: "https://idp.example.com", profiles: {radius: {enabled: true, mschapv1: true}}}
---
kind: ServiceProvider
name: core
spec:
  type: radius
  publicID: core
  radius: {sourceIPs: [192.0.2.0/24, "2001:db8::/32"], secret: testing123, reply: ["Session-Timeout = 3600"], rejectDelay: 0s}
`

// Proposer implements engine.Log.
func (h *house) Proposer(c engine.Completion) engine.Proposer { return houseProposer{h, c} }

// HasLeader implements engine.Log.
func (h *house) HasLeader() bool { return true }

type houseProposer struct {
	h *house
	c engine.Completion
}

func (p houseProposer) Propose(proposal []byte, token uint64) error {
	p.h.proposed++
	if p.h.seen != nil {
		p.h.seen(proposal)
	}
	var r state.Result
	if p.h.apply {
		r = p.h.commit(proposal)
	}
	p.c.Committed(token, engine.Outcome{Index: p.h.index, Code: r.Code, Value: r.Value, Detail: r.Detail})
	return nil
}

func (h *house) commit(proposal []byte) state.Result {
	h.index++
	if h.port.now.After(h.latest) { // record time never goes backwards
		h.latest = h.port.now
	}
	return h.people.Apply(state.Stamp{Index: h.index, Time: h.latest, Node: 1}, proposal)
}

// noHasher refuses slow work: nobody here keeps Argon2id.
type noHasher struct{}

func (noHasher) Submit(*credential.Job) error { return credential.ErrQueueFull }

func newHouse(t testing.TB, change ...func(*engine.Config)) *house {
	t.Helper()
	h := &house{rig: newRig(t), people: state.New(), keys: secret.NewKeyring(), apply: true}
	if err := h.keys.Add(1, secret.NewClusterKey()); err != nil {
		t.Fatal(err)
	}
	h.put(houseDocuments)
	h.password("alice", "wonderland")
	var err error
	h.policies, err = policy.NewCompiler(policy.Config{State: h.people, Wires: map[string]policy.Wire{"radius": NewWire(standard(t))}, Keyring: h.keys})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go func() { _ = h.policies.Run(ctx) }()
	if h.verifier, err = credential.New(credential.Config{Keyring: h.keys, Hasher: noHasher{}}); err != nil {
		t.Fatal(err)
	}
	clock := func() time.Time { return h.port.now }
	config := engine.Config{People: h.people, Policies: h.policies.Holder(), Log: h, Verifier: h.verifier, Keyring: h.keys, Clock: clock}
	for _, c := range change {
		c(&config)
	}
	h.engine = engine.New(config)
	shared := *h.h.common
	shared.lookup = func(a netip.Addr) (*policy.Cache, *policy.Client) {
		cache := h.policies.Holder().Load()
		return cache, cache.ClientFor(protocol, a)
	}
	h.h = newHandler(&shared, h.port, h.engine.NewLane(), new(counters))
	return h
}

// put applies documents and, once there are policies, waits until they are in force.
func (h *house) put(text string) {
	h.t.Helper()
	docs, err := document.Parse("test.yaml", strings.NewReader(text))
	if err != nil {
		h.t.Fatal(err)
	}
	var b event.Builder
	for _, d := range docs {
		d.EachSecret(func(_ string, s *secret.Text) {
			if *s, err = s.Seal(h.keys, d.SecretContext()); err != nil {
				h.t.Fatal(err)
			}
		})
		spec, err := d.Stored()
		if err != nil {
			h.t.Fatal(err)
		}
		put := &event.DocumentPut{Kind: d.Kind, Name: d.Name, Spec: spec, Refs: d.Refs(), Claims: d.Claims()}
		if err := b.Add(event.TypeDocumentPut, event.ClassOf(d.Kind), nil, put); err != nil {
			h.t.Fatal(err)
		}
	}
	if r := h.commit(b.Bytes()); r.Code != 0 {
		h.t.Fatalf("void: %s", r.Detail)
	}
	if h.policies != nil {
		if err := h.policies.WaitPublished(context.Background(), h.index); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *house) password(user, password string) {
	h.t.Helper()
	set, err := credential.BuildForms(context.Background(), user, []byte(password), credential.Keep{Keyed: true, NT: true, Clear: true}, credential.Params{}, h.keys, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	var b event.Builder
	if err := b.Add(event.TypePasswordSet, event.ClassIdentity, nil, set); err != nil {
		h.t.Fatal(err)
	}
	if r := h.commit(b.Bytes()); r.Code != 0 {
		h.t.Fatalf("void: %s", r.Detail)
	}
}

// proofs returns how each method proves a password.
func proofs(t testing.TB, user, password string) map[string]func(*wire.Builder) {
	t.Helper()
	challenge := []byte("0123456789abcdef")
	var peer [16]byte
	response, err := rfc2759.GenerateNTResponse(challenge, peer[:], []byte(user), []byte(password))
	if err != nil {
		t.Fatal(err)
	}
	utf16, err := rfc2759.ToUTF16([]byte(password))
	if err != nil {
		t.Fatal(err)
	}
	first := rfc2759.ChallengeResponse(challenge[:8], rfc2759.NTPasswordHash(utf16))
	chapped := md5.Sum(append(append([]byte{9}, password...), challenge...))
	return map[string]func(*wire.Builder){
		"PAP":     pap(user, password),
		"CHAP":    func(b *wire.Builder) { b.CHAP(user, 9, chapped, challenge) },
		"MS-CHAP": func(b *wire.Builder) { b.MSCHAP(user, 9, [8]byte(challenge), [24]byte(first)) },
		"MS-CHAPv2": func(b *wire.Builder) {
			b.MSCHAP2(user, 9, [16]byte(challenge), peer, [24]byte(response))
		},
	}
}

func (h *house) login(fill func(*wire.Builder)) *wire.View {
	h.t.Helper()
	p := h.request(wire.AccessRequest, fill)
	h.give(h.auth, p)
	return h.answer(p)
}

func TestEngineDecidesEveryMethod(t *testing.T) {
	h := newHouse(t)
	for method, fill := range proofs(t, "alice", "wonderland") {
		v := h.login(fill)
		if v.Code() != wire.AccessAccept {
			t.Errorf("%s: %v", method, v.Code())
			continue
		}
		if timeout, _ := v.Uint32(wire.SessionTimeout); timeout != 3600 || v.Count(wire.TunnelType) != 1 {
			t.Errorf("%s: the templates are not in the reply: %v", method, names(t).Pairs(v))
		}
		_, success := v.Vendor(wire.VendorMicrosoft, wire.MSCHAP2Success)
		_, keys := v.Vendor(wire.VendorMicrosoft, wire.MSMPPESendKey)
		_, keys1 := v.Vendor(wire.VendorMicrosoft, wire.MSCHAPMPPEKeys)
		if success != (method == "MS-CHAPv2") || keys != (method == "MS-CHAPv2") || keys1 != (method == "MS-CHAP") {
			t.Errorf("%s: success %v, keys %v %v", method, success, keys, keys1)
		}
	}
	for method, fill := range proofs(t, "alice", "looking-glass") {
		if v := h.login(fill); v.Code() != wire.AccessReject {
			t.Errorf("%s with a wrong password: %v", method, v.Code())
		}
	}
	for method, fill := range proofs(t, "mallory", "wonderland") {
		p := h.request(wire.AccessRequest, fill)
		h.give(h.auth, p)
		if len(h.port.sent) > 0 && h.answer(p).Code() != wire.AccessReject {
			t.Errorf("%s of an unknown user was accepted", method)
		}
	}
	if h.proposed == 0 {
		t.Error("nothing was recorded")
	}
}

func TestAccountingTiesToItsLoginAndCountsOnce(t *testing.T) {
	h := newHouse(t)
	class, _ := h.login(pap("alice", "wonderland")).First(wire.Class)
	record := func(status, delay uint32) {
		t.Helper()
		p := h.request(wire.AccountingRequest, func(b *wire.Builder) {
			b.Accounting(status, "s-1")
			b.Text(wire.UserName, "alice")
			b.Text(wire.NASIdentifier, "nas")
			b.Attr(wire.Class, class)
			b.Uint32(wire.EventTimestamp, uint32(h.port.now.Unix()))
			b.Uint32(wire.AcctDelayTime, delay)
		})
		h.give(h.acct, p)
		h.wake()
		if v := h.answer(p); v.Code() != wire.AccountingResponse {
			t.Fatal(v.Code())
		}
	}
	record(event.StatusStart, 0)
	record(event.StatusStart, 5) // to the engine the same record; to the loop a new packet
	var s state.Session
	if !h.people.Session(&s, event.SessionID([]byte("core"), []byte("nas"), []byte("s-1"))) {
		t.Fatal("there is no session")
	}
	if h.h.stats.answers[outcomeRecorded].Load() != 1 || h.h.stats.answers[outcomeRepeat].Load() != 1 {
		t.Errorf("%d recorded, %d repeats", h.h.stats.answers[outcomeRecorded].Load(), h.h.stats.answers[outcomeRepeat].Load())
	}
}

func TestChangesTakeEffectOnTheNextPacket(t *testing.T) {
	h := newHouse(t)
	if v := h.login(pap("alice", "wonderland")); v.Code() != wire.AccessAccept {
		t.Fatal(v.Code())
	}
	h.password("alice", "looking-glass")
	if v := h.login(pap("alice", "wonderland")); v.Code() != wire.AccessReject {
		t.Error("the old password is still good")
	}
	if v := h.login(pap("alice", "looking-glass")); v.Code() != wire.AccessAccept {
		t.Error("the new password is not good")
	}
	h.put(strings.ReplaceAll(houseDocuments[strings.Index(houseDocuments, "kind: ServiceProvider"):], "testing123", "rotated"))
	h.give(h.auth, h.request(wire.AccessRequest, pap("alice", "looking-glass")))
	h.silent(cause(wire.SignatureMismatch))
	h.key = mustKey(t, "rotated")
	if v := h.login(pap("alice", "looking-glass")); v.Code() != wire.AccessAccept {
		t.Error("the new secret is not good")
	}
	h.put("kind: Group\nname: staff\nspec: {reply: [\"Tunnel-Private-Group-Id:1 = 30\"]}")
	if v := h.login(pap("alice", "looking-glass")); v.Count(wire.TunnelType) != 0 || v.Count(wire.TunnelPrivateGroupID) != 1 {
		t.Error("the old reply is still sent")
	}
}

// TestWholePathAllocatesNothing counts the handler together with the real engine, without the log's commits.
func TestWholePathAllocatesNothing(t *testing.T) {
	fills := proofs(t, "alice", "wonderland")
	fills["accounting"] = func(b *wire.Builder) {
		b.Accounting(event.StatusInterim, "s-1")
		b.Text(wire.UserName, "alice")
		b.Text(wire.CallingStationID, "02-00-00-00-00-01")
	}
	for name, fill := range fills {
		t.Run(name, func(t *testing.T) {
			h := newHouse(t)
			h.port.keep, h.apply = false, false
			code, s := wire.AccessRequest, h.auth
			if name == "accounting" {
				code, s = wire.AccountingRequest, h.acct
			}
			packets := make([][]byte, 256)
			for i := range packets {
				packets[i] = h.request(code, fill)
			}
			i := 0
			one := func() {
				h.packet(s, packets[i%len(packets)])
				h.h.Wake()
				h.port.now = h.port.now.Add(100 * time.Millisecond)
				h.h.EndBatch(true)
				i++
			}
			for range packets {
				one()
			}
			before := h.port.count
			if n := testing.AllocsPerRun(1000, one); n != 0 {
				t.Errorf("%v allocations a packet", n)
			}
			if h.port.count-before != 1001 {
				t.Errorf("%d of 1001 packets were answered", h.port.count-before)
			}
		})
	}
}
