package radius

import (
	"crypto/md5"
	"net/netip"
	"strings"
	"testing"
	"time"

	"layeh.com/radius/rfc2759"

	"trine/engine"
	"trine/engine/event"
	"trine/engine/policy"
	"trine/engine/state"
	"trine/protocols/internal/enginetest"
	"trine/protocols/radius/wire"
)

// house is the real engine behind a handler.
type house struct {
	*rig
	*enginetest.House
	proposed int
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

func newHouse(t testing.TB, change ...func(*engine.Config)) *house {
	t.Helper()
	h := &house{rig: newRig(t)}
	h.House = enginetest.New(t, map[string]policy.Wire{"radius": NewWire(standard(t))}, houseDocuments, func() time.Time { return h.port.now }, change...)
	h.Password("alice", "wonderland")
	h.watch(func([]byte) {})
	shared := *h.h.common
	shared.lookup = func(a netip.Addr) (*policy.Cache, *policy.Client) {
		cache := h.Policies.Holder().Load()
		return cache, cache.ClientFor(protocol, a)
	}
	h.h = newHandler(&shared, h.port, h.Engine.NewLane(), new(counters))
	return h
}

// watch counts proposals and tells them.
func (h *house) watch(f func(proposal []byte)) {
	h.Watch(func(proposal []byte) {
		h.proposed++
		f(proposal)
	})
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
	if !h.People.Session(&s, event.SessionID([]byte("core"), []byte("nas"), []byte("s-1"))) {
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
	h.Password("alice", "looking-glass")
	if v := h.login(pap("alice", "wonderland")); v.Code() != wire.AccessReject {
		t.Error("the old password is still good")
	}
	if v := h.login(pap("alice", "looking-glass")); v.Code() != wire.AccessAccept {
		t.Error("the new password is not good")
	}
	h.Put(strings.ReplaceAll(houseDocuments[strings.Index(houseDocuments, "kind: ServiceProvider"):], "testing123", "rotated"))
	h.give(h.auth, h.request(wire.AccessRequest, pap("alice", "looking-glass")))
	h.silent(cause(wire.SignatureMismatch))
	h.key = mustKey(t, "rotated")
	if v := h.login(pap("alice", "looking-glass")); v.Code() != wire.AccessAccept {
		t.Error("the new secret is not good")
	}
	h.Put("kind: Group\nname: staff\nspec: {reply: [\"Tunnel-Private-Group-Id:1 = 30\"]}")
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
			h.port.keep = false
			h.Void()
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
